#define KM_TEST_NAME "pathset"
#include "../cm.h"

#include <string.h>

#include "container/imaging/pathset.h"
#include "memfile.h"

static struct km_pathset *load(const char *text, size_t length, char separator)
{
    struct km_err err = KM_ERR_INIT;
    int fd = memfile_open(text, length);
    struct km_pathset *set = km_pathset_load(fd, separator, &err);
    (void)close(fd);
    assert_non_null(set);
    return set;
}

static void lines_are_exact_names(void **state)
{
    (void)state;
    static const char text[] = "/etc/passwd\n\nusr/bin/x\nusr/bin/x\n//double\nlast";
    struct km_pathset *set = load(text, strlen(text), '\n');
    assert_int_equal(km_pathset_get_count(set), 4);
    assert_true(km_pathset_match(set, "etc/passwd", 10));
    assert_true(km_pathset_match(set, "last", 4));
    assert_true(km_pathset_match(set, "double", 6));
    assert_false(km_pathset_match(set, "usr/bin", 7));
    assert_false(km_pathset_match(set, "usr/bin/xy", 10));
    assert_false(km_pathset_match(set, "/etc/passwd", 11));
    assert_false(km_pathset_match(set, "", 0));
    unsigned missing = 0;
    for (size_t i = 0; i < km_pathset_get_count(set); i++) {
        bool met;
        const char *path = km_pathset_get_path(set, i, &met);
        missing += !met;
        assert_true(met || strcmp(path, "usr/bin/x") == 0);
    }
    assert_int_equal(missing, 1);
    km_pathset_free(set);
}

static void nul_lists_hold_newlines(void **state)
{
    (void)state;
    struct km_pathset *set = load("a\nb\0c\0", 6, '\0');
    assert_int_equal(km_pathset_get_count(set), 2);
    assert_true(km_pathset_match(set, "a\nb", 3));
    km_pathset_free(set);
}

static void nothing_matches_an_empty_list(void **state)
{
    (void)state;
    struct km_pathset *set = load("", 0, '\n');
    assert_int_equal(km_pathset_get_count(set), 0);
    assert_false(km_pathset_match(set, "x", 1));
    km_pathset_free(set);
    struct km_err err = KM_ERR_INIT;
    assert_null(km_pathset_load(-1, '\n', &err));
    assert_int_equal(err.code, KM_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_exact_names),
        cmocka_unit_test(nul_lists_hold_newlines),
        cmocka_unit_test(nothing_matches_an_empty_list),
    };
    return KM_RUN_TESTS(tests);
}
