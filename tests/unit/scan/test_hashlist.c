#define KM_TEST_NAME "hashlist"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container/scan/hashlist.h"

#define HEX_A "00000000000000000000000000000000000000000000000000000000000000aa"
#define HEX_B "BB00000000000000000000000000000000000000000000000000000000000000"

static void names_and_comments_are_read(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_hashlist *list = km_hashlist_new(&err);
    const char *text = "# a comment\n\n" HEX_B "  *tool.bin\r\n" HEX_A;
    assert_ok(km_hashlist_add_text(list, "own", text, strlen(text), &err), err);
    km_hashlist_seal(list);
    assert_int_equal(km_hashlist_count(list), 2);
    uint8_t hash[KM_SHA256_BYTES] = {0xbb};
    struct km_hash_match match;
    assert_true(km_hashlist_find(list, hash, &match));
    assert_string_equal(match.label, "own");
    assert_string_equal(match.name, "tool.bin");
    memset(hash, 0, sizeof hash);
    assert_false(km_hashlist_find(list, hash, &match));
    hash[31] = 0xaa;
    assert_true(km_hashlist_find(list, hash, &match));
    assert_string_equal(match.name, "");
    km_hashlist_free(list);
}

static void a_bad_line_is_named_and_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"\n\nhello\n", "\n\n" HEX_A "0 x\n", "\n\n00aa\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_hashlist *list = km_hashlist_new(&err);
        assert_int_equal(km_hashlist_add_text(list, "own", bad[i], strlen(bad[i]), &err), KM_FORMAT);
        assert_memory_equal(err.text, "own:3: ", 7);
        km_hashlist_free(list);
    }
}

static void an_endless_line_is_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_hashlist *list = km_hashlist_new(&err);
    char text[2000];
    memset(text, 'a', sizeof text);
    assert_int_equal(km_hashlist_add_text(list, "own", text, sizeof text, &err), KM_LIMIT);
    km_hashlist_free(list);
}

static void files_that_cannot_be_read_are_named(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_hashlist *list = km_hashlist_new(&err);
    assert_int_equal(km_hashlist_add_file(list, "/nonexistent/list", &err), KM_NOTFOUND);
    assert_non_null(strstr(err.text, "/nonexistent/list"));
    assert_int_equal(km_hashlist_add_file(list, "/dev/zero", &err), KM_FORMAT);
    assert_int_equal(km_hashlist_add_file(list, "/", &err), KM_FORMAT);
    km_hashlist_free(list);
}

/* Longer than any block that it could be read in, so that lines are cut; the last one has no newline. */
static void long_files_are_read_to_the_last_line(void **state)
{
    (void)state;
    enum { COUNT = 3000 };
    struct km_err err = KM_ERR_INIT;
    char path[] = "/tmp/hashlist.XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    for (int i = 0; i < COUNT; i++)
        fprintf(file, "%s%064x  name %d", i ? "\n" : "", (unsigned)i, i);
    assert_int_equal(fclose(file), 0);
    struct km_hashlist *list = km_hashlist_new(&err);
    assert_ok(km_hashlist_add_file(list, path, &err), err);
    km_hashlist_seal(list);
    assert_int_equal(km_hashlist_count(list), COUNT);
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t hash[KM_SHA256_BYTES] = {[30] = (uint8_t)(i >> 8), [31] = (uint8_t)i};
        char name[32];
        struct km_hash_match match;
        snprintf(name, sizeof name, "name %u", i);
        assert_true(km_hashlist_find(list, hash, &match));
        assert_string_equal(match.name, name);
    }
    km_hashlist_free(list);
    assert_int_equal(truncate(path, 65 + 40), 0);
    list = km_hashlist_new(&err);
    assert_int_equal(km_hashlist_add_file(list, path, &err), KM_FORMAT);
    assert_non_null(strstr(err.text, ":2: "));
    km_hashlist_free(list);
    assert_int_equal(unlink(path), 0);
}

static void an_empty_list_finds_nothing(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_hashlist *list = km_hashlist_new(&err);
    km_hashlist_seal(list);
    uint8_t hash[KM_SHA256_BYTES] = {0};
    struct km_hash_match match;
    assert_false(km_hashlist_find(list, hash, &match));
    km_hashlist_free(list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_comments_are_read), cmocka_unit_test(a_bad_line_is_named_and_refused),
        cmocka_unit_test(an_endless_line_is_refused),  cmocka_unit_test(files_that_cannot_be_read_are_named),
        cmocka_unit_test(an_empty_list_finds_nothing), cmocka_unit_test(long_files_are_read_to_the_last_line),
    };
    return KM_RUN_TESTS(tests);
}
