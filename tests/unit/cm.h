/* cmocka with the headers that it wants before itself, and what our tests share. */
#ifndef KM_TESTS_CM_H
#define KM_TESTS_CM_H

#include <setjmp.h> /* IWYU pragma: keep */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/err.h"

#define KM_RUN_TESTS(tests) cmocka_run_group_tests_name(KM_TEST_NAME, tests, NULL, NULL)

/* Fails with the error's text, which a plain assert_int_equal hides. */
#define assert_ok(call, err)                                                                                           \
    do {                                                                                                               \
        if ((call) != KM_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, km_code_to_string((err).code), (err).text);                                  \
    } while (0)

#endif
