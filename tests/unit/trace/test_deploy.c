#define KM_TEST_NAME "deploy"
#include "../cm.h"

#include <string.h>

#include "daemon/trace/deploy.h"

struct got {
    unsigned kinds[16];
    unsigned streamed[8]; /* calls by feed */
    struct km_thread_state end;
};

static enum km_code take(void *context, const struct km_event *event, struct km_err *err)
{
    (void)err;
    struct got *got = context;
    got->kinds[event->kind & 15]++;
    if (event->kind == KM_EVENT_CALL)
        got->streamed[event->feed & 7]++;
    if (event->kind == KM_EVENT_END)
        got->end = event->state;
    return KM_OK;
}

/* A role that knows only calls below ten. */
static bool knows_small(void *context, uint16_t role, unsigned long long window, unsigned space)
{
    (void)context;
    (void)role;
    (void)space;
    for (int i = 0; i < KM_WINDOW_CALLS; i++)
        if ((window >> (i * KM_WINDOW_CALL_BITS) & 511) >= 10)
            return false;
    return true;
}

static struct km_deploy *new_deploy(struct got *got, uint32_t tap_share, bool told_once,
                                    const struct km_episode_rule *rule)
{
    struct km_err err = KM_ERR_INIT;
    struct km_deploy_config config = {.knows_window = knows_small, .tap_share = tap_share, .told_once = told_once};
    struct km_event_sink sink = {got, take};
    struct km_deploy *d = km_deploy_new(&config, &sink, &err);
    assert_non_null(d);
    km_deploy_set_rule(d, 0, rule);
    return d;
}

static void give_calls(struct km_deploy *d, uint32_t tid, const uint16_t *numbers, size_t count)
{
    struct km_err err = KM_ERR_INIT;
    for (size_t i = 0; i < count; i++) {
        struct km_event event = {
            .kind = KM_EVENT_CALL, .tid = tid, .feed = KM_FEED_IMPORT, .call = {numbers[i], 0, 0, 0}};
        assert_ok(km_deploy_event(d, &event, &err), err);
    }
}

static void give_end(struct km_deploy *d, uint32_t tid)
{
    struct km_err err = KM_ERR_INIT;
    struct km_event event = {.kind = KM_EVENT_END, .tid = tid, .feed = KM_FEED_IMPORT};
    assert_ok(km_deploy_event(d, &event, &err), err);
}

static const uint16_t quiet[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 1, 2, 3};
static const uint16_t odd[] = {1, 2, 3, 4, 5, 6, 99, 1, 2, 3, 4, 5, 6, 7};

static void what_is_known_stays_in_the_kernel(void **state)
{
    (void)state;
    struct got got = {{0}, {0}, {0}};
    struct km_episode_rule rule = {.max_calls = 4};
    struct km_deploy *d = new_deploy(&got, 0, true, &rule);
    give_calls(d, 1, quiet, 12);
    for (int k = 0; k < 16; k++)
        assert_int_equal(got.kinds[k], 0);
    give_end(d, 1);
    assert_int_equal(got.kinds[KM_EVENT_END], 1);
    km_deploy_free(d);
}

static void unknown_windows_are_told_and_the_end_has_the_totals(void **state)
{
    (void)state;
    struct got got = {{0}, {0}, {0}};
    struct km_episode_rule rule = {0};
    struct km_deploy *d = new_deploy(&got, 0, true, &rule);
    give_calls(d, 1, odd, 14);
    give_end(d, 1);
    assert_int_equal(got.kinds[KM_EVENT_WINDOW], 6); /* the odd call passes through six windows */
    assert_int_equal(got.kinds[KM_EVENT_CALL], 0);
    assert_int_equal(got.end.calls, 14);
    assert_int_equal(got.end.misses, 6);
    km_deploy_free(d);
}

static void a_window_is_told_once_for_a_role_or_once_an_episode(void **state)
{
    (void)state;
    for (int once = 0; once < 2; once++) {
        struct got got = {{0}, {0}, {0}};
        struct km_episode_rule rule = {0};
        struct km_deploy *d = new_deploy(&got, 0, once != 0, &rule);
        for (uint32_t tid = 1; tid <= 3; tid++) {
            give_calls(d, tid, odd, 14);
            give_end(d, tid);
        }
        assert_int_equal(got.kinds[KM_EVENT_WINDOW], once ? 6 : 18);
        assert_int_equal(got.end.misses, 6); /* counted all the same */
        km_deploy_free(d);
    }
}

static void too_many_misses_stream_the_thread_for_a_while(void **state)
{
    (void)state;
    struct got got = {{0}, {0}, {0}};
    struct km_episode_rule rule = {.escalate_misses = 3, .escalate_calls = 5};
    struct km_deploy *d = new_deploy(&got, 0, true, &rule);
    give_calls(d, 1, odd, 14);
    assert_int_equal(got.kinds[KM_EVENT_WINDOW], 3);
    assert_int_equal(got.streamed[KM_FEED_ESCALATION], 5);
    assert_int_equal(got.kinds[KM_EVENT_STREAM], 2); /* starts and stops */
    km_deploy_free(d);
}

static void an_episode_with_misses_is_summed_up(void **state)
{
    (void)state;
    struct got got = {{0}, {0}, {0}};
    struct km_episode_rule rule = {.max_calls = 7};
    struct km_deploy *d = new_deploy(&got, 0, true, &rule);
    give_calls(d, 1, odd, 14);
    give_calls(d, 1, quiet, 12);
    assert_int_equal(got.kinds[KM_EVENT_EPISODE], 2); /* the odd window reaches into the second episode */
    km_deploy_free(d);
}

static void a_share_of_one_taps_all(void **state)
{
    (void)state;
    struct got got = {{0}, {0}, {0}};
    struct km_episode_rule rule = {0};
    struct km_deploy *d = new_deploy(&got, 65536, true, &rule);
    give_calls(d, 1, odd, 14);
    give_end(d, 1);
    assert_int_equal(got.streamed[KM_FEED_TAP], 14);
    assert_int_equal(got.kinds[KM_EVENT_WINDOW], 0);
    assert_int_equal(got.kinds[KM_EVENT_STREAM], 2);
    km_deploy_free(d);
}

static void events_of_a_deployment_pass_unchanged(void **state)
{
    (void)state;
    struct got got = {{0}, {0}, {0}};
    struct km_episode_rule rule = {0};
    struct km_deploy *d = new_deploy(&got, 0, true, &rule);
    struct km_err err = KM_ERR_INIT;
    struct km_event event = {.kind = KM_EVENT_WINDOW, .tid = 4, .state = {.calls = 9}};
    assert_ok(km_deploy_event(d, &event, &err), err);
    event = (struct km_event){.kind = KM_EVENT_CALL, .tid = 4, .feed = KM_FEED_TAP};
    assert_ok(km_deploy_event(d, &event, &err), err);
    event = (struct km_event){.kind = KM_EVENT_END, .tid = 4, .state = {.calls = 9, .misses = 2}};
    assert_ok(km_deploy_event(d, &event, &err), err);
    assert_int_equal(got.kinds[KM_EVENT_WINDOW], 1);
    assert_int_equal(got.streamed[KM_FEED_TAP], 1);
    assert_int_equal(got.end.misses, 2);
    km_deploy_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_known_stays_in_the_kernel),
        cmocka_unit_test(unknown_windows_are_told_and_the_end_has_the_totals),
        cmocka_unit_test(a_window_is_told_once_for_a_role_or_once_an_episode),
        cmocka_unit_test(too_many_misses_stream_the_thread_for_a_while),
        cmocka_unit_test(an_episode_with_misses_is_summed_up),
        cmocka_unit_test(a_share_of_one_taps_all),
        cmocka_unit_test(events_of_a_deployment_pass_unchanged),
    };
    return KM_RUN_TESTS(tests);
}
