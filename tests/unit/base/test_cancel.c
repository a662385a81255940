#define KM_TEST_NAME "cancel"
#include "../cm.h"

#include <signal.h>

#include "base/cancel.h"
#include "base/clock.h"

static struct km_cancel by_signal = KM_CANCEL_INIT;

static void on_signal(int signal)
{
    (void)signal;
    km_cancel_request(&by_signal); /* NOLINT(bugprone-signal-handler): what is tested here */
}

static void a_token_is_good_until_it_is_requested(void **state)
{
    (void)state;
    struct km_cancel cancel = KM_CANCEL_INIT;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_cancel_check(NULL, &err), err);
    assert_ok(km_cancel_check(&cancel, &err), err);
    km_cancel_request(&cancel);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(km_cancel_check(&cancel, &err), KM_CANCELLED);
        assert_string_equal(err.text, "interrupted");
    }
}

static void a_deadline_cancels(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_cancel cancel = {0, km_clock_monotonic_ns() - 1};
    assert_int_equal(km_cancel_check(&cancel, &err), KM_CANCELLED);
    assert_string_equal(err.text, "the time limit is over");
    cancel.deadline_ns = km_clock_monotonic_ns() + 3600 * KM_NS_PER_S;
    assert_ok(km_cancel_check(&cancel, &err), err);
    km_cancel_request(&cancel); /* the person comes first */
    assert_int_equal(km_cancel_check(&cancel, &err), KM_CANCELLED);
    assert_string_equal(err.text, "interrupted");
}

static void a_signal_handler_may_request(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    assert_true(signal(SIGUSR1, on_signal) != SIG_ERR);
    assert_ok(km_cancel_check(&by_signal, &err), err);
    assert_int_equal(raise(SIGUSR1), 0);
    assert_int_equal(km_cancel_check(&by_signal, &err), KM_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_good_until_it_is_requested),
        cmocka_unit_test(a_deadline_cancels),
        cmocka_unit_test(a_signal_handler_may_request),
    };
    return KM_RUN_TESTS(tests);
}
