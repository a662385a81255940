#define KM_TEST_NAME "buf"
#include "../cm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"

static void appends_and_always_ends_with_nul(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf buf;
    km_buf_init(&buf, 1000);
    assert_null(buf.data);
    assert_string_equal(km_buf_text(&buf), "");
    assert_ok(km_buf_append(&buf, "ab\0c", 4, &err), err);
    assert_int_equal(buf.length, 4);
    assert_memory_equal(buf.data, "ab\0c", 5);
    assert_ok(km_buf_append_text(&buf, "de", &err), err);
    assert_ok(km_buf_append_format(&buf, &err, "-%d-%s", 7, "x"), err);
    assert_ok(km_buf_append(&buf, NULL, 0, &err), err);
    assert_int_equal(buf.length, 10);
    assert_memory_equal(buf.data, "ab\0cde-7-x", 11);
    km_buf_done(&buf);
    km_buf_done(&buf); /* again does no harm */
}

static void nothing_appended_is_an_empty_text(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf buf;
    km_buf_init(&buf, 0);
    assert_ok(km_buf_append_text(&buf, "", &err), err);
    assert_ok(km_buf_append_format(&buf, &err, "%s", ""), err);
    assert_string_equal(km_buf_text(&buf), "");
    assert_int_equal(km_buf_append_text(&buf, "x", &err), KM_LIMIT);
    assert_string_equal(km_buf_text(&buf), "");
    km_buf_done(&buf);
}

static void a_failed_append_changes_nothing(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf buf;
    km_buf_init(&buf, 8);
    assert_ok(km_buf_append_text(&buf, "12345", &err), err);
    assert_int_equal(km_buf_append_text(&buf, "6789", &err), KM_LIMIT);
    assert_int_equal(km_buf_append_format(&buf, &err, "%04d", 1), KM_LIMIT);
    assert_int_equal(km_buf_append(&buf, "x", SIZE_MAX, &err), KM_LIMIT);
    assert_string_equal(km_buf_text(&buf), "12345");
    assert_int_equal(buf.length, 5);
    assert_ok(km_buf_append_text(&buf, "678", &err), err); /* exactly full */
    assert_string_equal(km_buf_text(&buf), "12345678");
    km_buf_done(&buf);
}

static void clearing_keeps_the_memory(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf buf;
    km_buf_init(&buf, 1000);
    km_buf_clear(&buf);
    assert_string_equal(km_buf_text(&buf), "");
    assert_ok(km_buf_append_text(&buf, "text", &err), err);
    const char *data = buf.data;
    size_t capacity = buf.capacity;
    km_buf_clear(&buf);
    assert_int_equal(buf.length, 0);
    assert_string_equal(km_buf_text(&buf), "");
    assert_ptr_equal(buf.data, data);
    assert_int_equal(buf.capacity, capacity);
    km_buf_done(&buf);
}

static void grows_over_many_appends(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf buf;
    km_buf_init(&buf, 100000);
    for (unsigned i = 0; i < 10000; i++)
        assert_ok(km_buf_append_format(&buf, &err, "%05u,", i), err);
    assert_int_equal(buf.length, 60000);
    assert_true(buf.capacity <= 100001);
    assert_memory_equal(buf.data + 6 * (size_t)1234, "01234,01235,", 12);
    km_buf_done(&buf);
}

static void files_are_appended_whole_or_not_at_all(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char folder[] = "/tmp/km-buf-XXXXXX", path[64], pipe[64];
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof path, "%s/file", folder);
    (void)snprintf(pipe, sizeof pipe, "%s/pipe", folder);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    struct km_buf buf;
    km_buf_init(&buf, 100000);
    assert_ok(km_buf_append_text(&buf, "head ", &err), err);
    assert_int_equal(km_buf_append_file(&buf, path, &err), KM_NOTFOUND);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(km_buf_append_file(&buf, folder, &err), KM_FORMAT);
    assert_int_equal(km_buf_append_file(&buf, pipe, &err), KM_FORMAT); /* and does not wait for a writer */
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (unsigned i = 0; i < 10000; i++)
        assert_true(fprintf(file, "%05u,", i) == 6);
    assert_int_equal(fclose(file), 0);
    assert_ok(km_buf_append_file(&buf, path, &err), err);
    assert_int_equal(buf.length, 60005);
    assert_string_equal(km_buf_text(&buf) + 60005 - 6, "09999,");
    assert_int_equal(km_buf_append_file(&buf, path, &err), KM_LIMIT);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(buf.length, 60005);
    assert_int_equal(strlen(km_buf_text(&buf)), 60005);
    km_buf_done(&buf);
    assert_int_equal(unlink(path) | unlink(pipe) | rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appends_and_always_ends_with_nul), cmocka_unit_test(nothing_appended_is_an_empty_text),
        cmocka_unit_test(a_failed_append_changes_nothing),  cmocka_unit_test(clearing_keeps_the_memory),
        cmocka_unit_test(grows_over_many_appends),          cmocka_unit_test(files_are_appended_whole_or_not_at_all),
    };
    return KM_RUN_TESTS(tests);
}
