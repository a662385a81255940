#define KM_TEST_NAME "hashlist"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

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
        cmocka_unit_test(an_empty_list_finds_nothing),
    };
    return KM_RUN_TESTS(tests);
}
