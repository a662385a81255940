/* cmocka with the headers that it wants before itself, and what our tests share. */
#ifndef KM_TESTS_CM_H
#define KM_TESTS_CM_H

#include <setjmp.h> /* IWYU pragma: keep */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

/* Stands before cmocka's own, which cmocka 1.1.5 gives "not ok N # SKIP NAME": Meson takes that for a failure. */
__attribute__((weak, visibility("default"), format(printf, 1, 2))) void print_message(const char *const format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    if (strncmp(format, "not ok %u # SKIP %s", strlen("not ok %u # SKIP %s")) == 0) {
        unsigned number = va_arg(arguments, unsigned);
        const char *name = va_arg(arguments, const char *);
        (void)printf("ok %u - %s # SKIP\n", number, name);
    } else {
        (void)vprintf(format, arguments);
    }
    va_end(arguments);
    (void)fflush(stdout); /* what a fork copies is printed twice */
}

#define KM_RUN_TESTS(tests) cmocka_run_group_tests_name(KM_TEST_NAME, tests, NULL, NULL)

/* Fails with the error's text, which a plain assert_int_equal hides. */
#define assert_ok(call, err)                                                                                           \
    do {                                                                                                               \
        if ((call) != KM_OK)                                                                                           \
            fail_msg("%s: %s: %s", #call, km_code_to_string((err).code), (err).text);                                  \
    } while (0)

#endif
