#define KM_TEST_NAME "assemble"
#include "../cm.h"

#include <string.h>

#include "daemon/trace/episode.h"

struct got {
    size_t count;
    size_t calls[8], windows[8], landmarks[8];
    bool complete[8];
    unsigned total_calls[8];
    uint32_t tid[8];
    char path[32];
    enum km_code answer;
};

static enum km_code take(void *context, const struct km_episode *e, struct km_err *err)
{
    struct got *got = context;
    assert_true(got->count < 8);
    got->calls[got->count] = e->count;
    got->windows[got->count] = e->window_count;
    got->landmarks[got->count] = e->landmark_count;
    got->complete[got->count] = e->complete;
    got->total_calls[got->count] = e->totals.calls;
    got->tid[got->count] = e->tid;
    if (e->landmark_count > 0)
        memcpy(got->path, e->landmarks[0].path.data, e->landmarks[0].path.length);
    got->count++;
    return got->answer == KM_OK ? KM_OK : km_fail(err, got->answer, "no more");
}

static struct km_assembler *new_assembler(struct got *got)
{
    struct km_err err = KM_ERR_INIT;
    struct km_episode_sink sink = {got, take};
    struct km_assembler *a = km_assembler_new(&sink, &err);
    assert_non_null(a);
    return a;
}

static void give(struct km_assembler *a, const struct km_event *event)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_assembler_event(a, event, &err), err);
}

static struct km_event call(uint32_t tid, uint16_t number, enum km_feed feed)
{
    return (struct km_event){.kind = KM_EVENT_CALL, .tid = tid, .feed = (uint8_t)feed, .call = {.number = number}};
}

static void a_life_is_an_episode(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    for (uint16_t i = 0; i < 10; i++) {
        struct km_event event = call(5, i, KM_FEED_IMPORT);
        give(a, &event);
    }
    assert_int_equal(got.count, 0);
    give(a, &(struct km_event){.kind = KM_EVENT_END, .tid = 5});
    assert_int_equal(got.count, 1);
    assert_true(got.complete[0]);
    assert_int_equal(got.calls[0], 10);
    km_assembler_free(a);
}

static void a_wait_begins_the_next_episode(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    struct km_episode_rule rule = {0};
    km_call_set_add(rule.wait_set, 232);
    km_assembler_set_rule(a, 0, &rule);
    static const uint16_t numbers[] = {232, 0, 1, 232, 0};
    for (size_t i = 0; i < 5; i++) {
        struct km_event event = call(5, numbers[i], KM_FEED_LEARN);
        give(a, &event);
    }
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_assembler_finish(a, &err), err);
    assert_int_equal(got.count, 2);
    assert_int_equal(got.calls[0], 3);
    assert_int_equal(got.calls[1], 2);
    km_assembler_free(a);
}

static void a_long_life_comes_in_pieces(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    for (int i = 0; i < KM_EPISODE_MAX_CALLS + 5; i++) {
        struct km_event event = call(5, 1, KM_FEED_IMPORT);
        give(a, &event);
    }
    assert_int_equal(got.count, 1);
    assert_int_equal(got.calls[0], KM_EPISODE_MAX_CALLS);
    km_assembler_free(a);
}

static void the_filter_gives_a_partial_episode_with_the_kernels_totals(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    struct km_event event = {.kind = KM_EVENT_WINDOW, .tid = 7};
    event.state = (struct km_thread_state){.window = 1, .calls = 50, .misses = 1, .filled = 6};
    give(a, &event);
    event.kind = KM_EVENT_EPISODE;
    event.state.calls = 90;
    event.state.misses = 2;
    give(a, &event);
    assert_int_equal(got.count, 1);
    assert_false(got.complete[0]);
    assert_int_equal(got.windows[0], 1);
    assert_int_equal(got.total_calls[0], 90);
    km_assembler_free(a);
}

static void a_tap_is_complete_and_not_told_twice(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    give(a, &(struct km_event){.kind = KM_EVENT_STREAM, .tid = 7, .stream = {KM_FEED_TAP, 1}});
    for (uint16_t i = 0; i < 8; i++) {
        struct km_event event = call(7, i, KM_FEED_TAP);
        give(a, &event);
    }
    struct km_event end = {.kind = KM_EVENT_EPISODE, .tid = 7, .state = {.calls = 8, .misses = 1, .filled = 6}};
    give(a, &end);
    give(a, &(struct km_event){.kind = KM_EVENT_STREAM, .tid = 7, .stream = {KM_FEED_TAP, 0}});
    assert_int_equal(got.count, 1);
    assert_true(got.complete[0]);
    assert_int_equal(got.calls[0], 8);
    km_assembler_free(a);
}

static void lonely_landmarks_are_handed_over_later(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    char path[] = "/etc/shadow";
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 7, .time_ns = 100};
    event.landmark = (struct km_event_landmark){.kind = KM_LANDMARK_OPEN, .path = {path, strlen(path)}};
    give(a, &event);
    path[1] = 'X'; /* the text was copied */
    event.time_ns += UINT64_C(2000000000);
    give(a, &event);
    assert_int_equal(got.count, 1);
    assert_int_equal(got.landmarks[0], 1);
    assert_string_equal(got.path, "/etc/shadow");
    km_assembler_free(a);
}

static void landmarks_beyond_the_limit_are_counted(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 7};
    event.landmark.kind = KM_LANDMARK_EXEC;
    for (int i = 0; i < KM_EPISODE_MAX_LANDMARKS + 3; i++)
        give(a, &event);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_assembler_finish(a, &err), err);
    assert_int_equal(got.landmarks[0], KM_EPISODE_MAX_LANDMARKS);
    km_assembler_free(a);
}

static void nonsense_is_refused_and_counted(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    struct km_event event = {.kind = 99, .tid = 1};
    give(a, &event);
    event = call(1, 600, KM_FEED_IMPORT);
    give(a, &event);
    event = call(0, 6, KM_FEED_IMPORT);
    give(a, &event);
    event = (struct km_event){.kind = KM_EVENT_CALL, .tid = 1, .role = 256};
    give(a, &event);
    struct km_assembler_stats stats;
    km_assembler_get_stats(a, &stats);
    assert_int_equal(stats.refused, 4);
    km_assembler_free(a);
}

static void the_sinks_failure_ends_it(void **state)
{
    (void)state;
    struct got got = {.answer = KM_CANCELLED};
    struct km_assembler *a = new_assembler(&got);
    struct km_event event = call(5, 1, KM_FEED_IMPORT);
    give(a, &event);
    struct km_err err = KM_ERR_INIT;
    event = (struct km_event){.kind = KM_EVENT_END, .tid = 5};
    assert_int_equal(km_assembler_event(a, &event, &err), KM_CANCELLED);
    km_assembler_free(a);
}

static void finish_goes_by_thread(void **state)
{
    (void)state;
    struct got got = {0};
    struct km_assembler *a = new_assembler(&got);
    static const uint32_t tids[] = {900, 3, 77};
    for (size_t i = 0; i < 3; i++) {
        struct km_event event = call(tids[i], 1, KM_FEED_IMPORT);
        give(a, &event);
    }
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_assembler_finish(a, &err), err);
    assert_int_equal(got.tid[0], 3);
    assert_int_equal(got.tid[1], 77);
    assert_int_equal(got.tid[2], 900);
    km_assembler_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_life_is_an_episode),
        cmocka_unit_test(a_wait_begins_the_next_episode),
        cmocka_unit_test(a_long_life_comes_in_pieces),
        cmocka_unit_test(the_filter_gives_a_partial_episode_with_the_kernels_totals),
        cmocka_unit_test(a_tap_is_complete_and_not_told_twice),
        cmocka_unit_test(lonely_landmarks_are_handed_over_later),
        cmocka_unit_test(landmarks_beyond_the_limit_are_counted),
        cmocka_unit_test(nonsense_is_refused_and_counted),
        cmocka_unit_test(the_sinks_failure_ends_it),
        cmocka_unit_test(finish_goes_by_thread),
    };
    return KM_RUN_TESTS(tests);
}
