#define KM_TEST_NAME "err"
#include "../cm.h"

#include <errno.h>
#include <string.h>

static void fail_records_code_and_text(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_fail(&err, KM_FORMAT, "bad %s %d", "thing", 7), KM_FORMAT);
    assert_int_equal(err.code, KM_FORMAT);
    assert_string_equal(err.text, "bad thing 7");
}

static void fail_escapes_hostile_names(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    km_fail(&err, KM_FORMAT, "file %s", "a\n\033[31mb\xff");
    assert_string_equal(err.text, "file a\\n\\x1b[31mb\\xff");
}

static void errno_decides_the_code_and_is_named(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_fail_errno(&err, ENOENT, "cannot open %s", "x"), KM_NOTFOUND);
    assert_string_equal(err.text, "cannot open x: No such file or directory");
    assert_int_equal(err.sys_errno, ENOENT);
    assert_int_equal(km_fail_errno(&err, EACCES, "x"), KM_DENIED);
    assert_int_equal(km_fail_errno(&err, EIO, "x"), KM_IO);
}

static void wrap_keeps_cause(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    km_fail(&err, KM_LIMIT, "too deep");
    assert_int_equal(km_err_wrap(&err, "layer %d", 3), KM_LIMIT);
    assert_string_equal(err.text, "layer 3: too deep");
}

static void wrap_never_cuts_the_cause(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    km_fail(&err, KM_LIMIT, "the cause");
    for (int i = 0; i < 100; i++)
        km_err_wrap(&err, "a context that is rather long, number %d", i);
    size_t length = strlen(err.text);
    assert_true(length < KM_ERR_TEXT_BYTES);
    assert_string_equal(err.text + length - strlen("the cause"), "the cause");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fail_records_code_and_text),          cmocka_unit_test(fail_escapes_hostile_names),
        cmocka_unit_test(errno_decides_the_code_and_is_named), cmocka_unit_test(wrap_keeps_cause),
        cmocka_unit_test(wrap_never_cuts_the_cause),
    };
    return KM_RUN_TESTS(tests);
}
