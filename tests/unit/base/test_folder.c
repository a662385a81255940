#define KM_TEST_NAME "folder"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"

static void set(const char *name, const char *value)
{
    assert_int_equal(value ? setenv(name, value, 1) : unsetenv(name), 0);
}

static void the_variable_comes_before_home(void **state)
{
    (void)state;
    static const struct {
        enum km_folder kind;
        const char *variable, *value, *home, *path;
    } rows[] = {
        {KM_FOLDER_STATE, "XDG_STATE_HOME", "/s", "/h", "/s/komainu/desk.db"},
        {KM_FOLDER_STATE, "XDG_STATE_HOME", NULL, "/h", "/h/.local/state/komainu/desk.db"},
        {KM_FOLDER_STATE, "XDG_STATE_HOME", "", "/h", "/h/.local/state/komainu/desk.db"},
        {KM_FOLDER_STATE, "XDG_STATE_HOME", "s", "/h", "/h/.local/state/komainu/desk.db"},
        {KM_FOLDER_STATE, "XDG_STATE_HOME", "/s", NULL, "/s/komainu/desk.db"},
        {KM_FOLDER_STATE, "XDG_STATE_HOME", NULL, NULL, NULL},
        {KM_FOLDER_STATE, "XDG_STATE_HOME", "s", "h", NULL},
        {KM_FOLDER_CONFIG, "XDG_CONFIG_HOME", "/c", "/h", "/c/komainu/desk.db"},
        {KM_FOLDER_CONFIG, "XDG_CONFIG_HOME", NULL, "/h", "/h/.config/komainu/desk.db"},
        {KM_FOLDER_CACHE, "XDG_CACHE_HOME", "/c", "/h", "/c/komainu/desk.db"},
        {KM_FOLDER_CACHE, "XDG_CACHE_HOME", NULL, "/h", "/h/.cache/komainu/desk.db"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char path[64] = "untouched";
        struct km_err err = KM_ERR_INIT;
        set(rows[i].variable, rows[i].value);
        set("HOME", rows[i].home);
        enum km_code code = km_folder_own(rows[i].kind, "desk.db", path, sizeof path, &err);
        assert_int_equal(code, rows[i].path ? KM_OK : KM_NOTFOUND);
        assert_string_equal(path, rows[i].path ? rows[i].path : "untouched");
    }
}

static void a_path_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    char path[32] = "untouched";
    struct km_err err = KM_ERR_INIT;
    set("XDG_STATE_HOME", "/1234567"); /* and "/komainu/desk.db": 24 characters */
    assert_int_equal(km_folder_own(KM_FOLDER_STATE, "desk.db", path, 24, &err), KM_LIMIT);
    assert_string_equal(path, "untouched");
    assert_int_equal(km_folder_own(KM_FOLDER_STATE, "desk.db", path, 25, &err), KM_OK);
    assert_string_equal(path, "/1234567/komainu/desk.db");
    assert_int_equal(km_folder_state("a-name-that-is-longer-than-it-may-be", path, sizeof path, &err), KM_LIMIT);
    assert_string_equal(path, "/1234567/komainu/desk.db");
}

static void state_of_root_is_the_machines(void **state)
{
    (void)state;
    char path[64];
    struct km_err err = KM_ERR_INIT;
    set("XDG_STATE_HOME", "/s");
    assert_int_equal(km_folder_state("profiles", path, sizeof path, &err), KM_OK);
    assert_string_equal(path, geteuid() == 0 ? KM_FOLDER_SHARED "/profiles" : "/s/komainu/profiles");
}

static void parents_are_made_closed_to_others(void **state)
{
    (void)state;
    char folder[] = "/tmp/komainu-folder-XXXXXX", path[128];
    struct stat status;
    struct km_err err = KM_ERR_INIT;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/a/b/file", folder);
    assert_int_equal(km_folder_make_parents(path, &err), KM_OK);
    assert_int_equal(km_folder_make_parents(path, &err), KM_OK); /* again */
    assert_int_equal(stat(path, &status), -1);
    *strrchr(path, '/') = '\0';
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0700);
    assert_int_equal(rmdir(path), 0);
    FILE *file = fopen(path, "we"); /* a file in the way */
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(path, sizeof path, "%s/a/b/c/file", folder);
    assert_int_equal(km_folder_make_parents(path, &err), KM_IO);
    (void)snprintf(path, sizeof path, "%s/a/b", folder);
    assert_int_equal(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(rmdir(folder), 0);
}

static void a_path_of_no_length_or_too_much_is_refused(void **state)
{
    (void)state;
    char path[5000];
    struct km_err err = KM_ERR_INIT;
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(km_folder_make_parents(path, &err), KM_LIMIT);
    assert_int_equal(km_folder_make_parents("", &err), KM_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_variable_comes_before_home),
        cmocka_unit_test(a_path_that_does_not_fit_is_refused),
        cmocka_unit_test(state_of_root_is_the_machines),
        cmocka_unit_test(parents_are_made_closed_to_others),
        cmocka_unit_test(a_path_of_no_length_or_too_much_is_refused),
    };
    return KM_RUN_TESTS(tests);
}
