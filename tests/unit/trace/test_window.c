#define KM_TEST_NAME "window"
#include "../cm.h"

#include <stdlib.h>

#include "daemon/trace/calls.h"
#include "daemon/trace/tidmap.h"
#include "daemon/trace/window.h"

static void folding_table(void **state)
{
    (void)state;
    static const struct {
        unsigned space;
        long long number;
        unsigned folded;
    } rows[] = {{KM_SPACE_NATIVE, 0, 0},
                {KM_SPACE_NATIVE, 334, 334},
                {KM_SPACE_NATIVE, 511, KM_CALL_OTHER},
                {KM_SPACE_NATIVE, -1, KM_CALL_OTHER},
                {KM_SPACE_NATIVE, 1LL << 40, KM_CALL_OTHER},
                {KM_SPACE_X32, KM_X32_BIT | 1, 1},
                {KM_SPACE_X32, KM_X32_BIT | 512, KM_X32_FOLDED},
                {KM_SPACE_X32, KM_X32_BIT | 575, KM_X32_FOLDED + 63},
                {KM_SPACE_X32, KM_X32_BIT | 576, KM_CALL_OTHER},
                {KM_SPACE_COMPAT, 11, 11}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(km_call_fold(rows[i].space, rows[i].number), rows[i].folded);
}

static void keys_tell_spaces_and_roles_apart(void **state)
{
    (void)state;
    unsigned long long w = 0x123456789abcdULL;
    assert_true(km_window_key(w, 0, 1) != km_window_key(w, 1, 1));
    assert_true(km_window_key(w, 0, 1) != km_window_key(w, 0, 2));
    assert_true((km_window_key(w, 3, 255) & KM_WINDOW_MASK) == w);
}

static void a_window_is_full_at_the_sixth_call_and_empties_with_the_space(void **state)
{
    (void)state;
    struct km_thread_state s = {0};
    for (unsigned i = 1; i <= 5; i++)
        assert_int_equal(km_thread_push(&s, KM_SPACE_NATIVE, i), 0);
    assert_int_equal(km_thread_push(&s, KM_SPACE_NATIVE, 6), 1);
    unsigned long long expected = 0;
    for (unsigned i = 1; i <= 6; i++)
        expected = expected << KM_WINDOW_CALL_BITS | i;
    assert_true(s.window == expected);
    assert_int_equal(km_thread_push(&s, KM_SPACE_COMPAT, 6), 0);
    assert_int_equal(s.filled, 1);
    assert_int_equal(s.calls, 7);
    assert_true(km_call_set_has(s.set, 3) && !km_call_set_has(s.set, 7));
}

static void pairs_are_sketched_once_each(void **state)
{
    (void)state;
    struct km_thread_state s = {0};
    unsigned ones = 0;
    for (unsigned i = 0; i < 100; i++)
        (void)km_thread_push(&s, KM_SPACE_NATIVE, i & 1);
    for (int i = 0; i < KM_PAIR_SKETCH_WORDS; i++)
        ones += km_bits_count(s.pairs[i]);
    assert_int_equal(ones, 2); /* 0 1 and 1 0 */
}

static void episodes_end_before_a_wait_and_after_the_limit(void **state)
{
    (void)state;
    struct km_episode_rule rule = {.max_calls = 3};
    km_call_set_add(rule.wait_set, 232);
    struct km_thread_state s = {0};
    assert_int_equal(km_episode_ends(&s, &rule, 232), 0); /* nothing to end */
    (void)km_thread_push(&s, 0, 232);
    assert_int_equal(km_episode_ends(&s, &rule, 1), 0);
    assert_int_equal(km_episode_ends(&s, &rule, 232), 1);
    (void)km_thread_push(&s, 0, 1);
    (void)km_thread_push(&s, 0, 1);
    assert_int_equal(km_episode_ends(&s, &rule, 1), 1);
    km_episode_begin(&s);
    assert_int_equal(s.calls, 0);
    assert_int_equal(s.filled, 3); /* the window goes on */
}

static void escalation_counts_recent_misses_and_does_not_repeat(void **state)
{
    (void)state;
    struct km_episode_rule rule = {.escalate_misses = 3, .escalate_calls = 10};
    struct km_thread_state s = {0};
    assert_int_equal(km_thread_judge(&s, &rule, 0), 0);
    assert_int_equal(km_thread_judge(&s, &rule, 1), 0);
    assert_int_equal(km_thread_judge(&s, &rule, 0), 0);
    assert_int_equal(km_thread_judge(&s, &rule, 0), 1);
    assert_int_equal(s.streamed, 10);
    assert_int_equal(km_thread_judge(&s, &rule, 0), 0);
    assert_int_equal(s.misses, 4);
    struct km_episode_rule never = {0};
    struct km_thread_state t = {0};
    for (int i = 0; i < 64; i++)
        assert_int_equal(km_thread_judge(&t, &never, 0), 0);
}

static void call_names_go_both_ways(void **state)
{
    (void)state;
    int number = km_call_find("openat");
    assert_true(number > 0);
    assert_string_equal(km_call_name(KM_SPACE_NATIVE, (unsigned)number), "openat");
    assert_int_equal(km_call_find("no_such_call"), -1);
    assert_null(km_call_name(KM_SPACE_FOREIGN, 3));
    char name[KM_CALL_NAME_BYTES];
    km_call_format(KM_SPACE_FOREIGN, 17, name);
    assert_string_equal(name, "call 17");
}

static void tidmap_survives_removals_in_a_run(void **state)
{
    (void)state;
    struct km_tidmap map = {0};
    struct km_err err = KM_ERR_INIT;
    static int values[3000];
    for (uint32_t tid = 1; tid < 3000; tid++)
        assert_ok(km_tidmap_add(&map, tid, &values[tid], &err), err);
    for (uint32_t tid = 1; tid < 3000; tid += 3)
        assert_ptr_equal(km_tidmap_remove(&map, tid), &values[tid]);
    for (uint32_t tid = 1; tid < 3000; tid++)
        assert_ptr_equal(km_tidmap_find(&map, tid), tid % 3 == 1 ? NULL : &values[tid]);
    void **sorted = km_tidmap_sorted(&map, &err);
    assert_non_null(sorted);
    for (size_t i = 1; i < map.count; i++)
        assert_true((int *)sorted[i] > (int *)sorted[i - 1]);
    free(sorted);
    assert_null(km_tidmap_remove(&map, 1));
    assert_int_equal(km_tidmap_add(&map, 0, values, &err), KM_LIMIT);
    km_tidmap_done(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_table),
        cmocka_unit_test(keys_tell_spaces_and_roles_apart),
        cmocka_unit_test(a_window_is_full_at_the_sixth_call_and_empties_with_the_space),
        cmocka_unit_test(pairs_are_sketched_once_each),
        cmocka_unit_test(episodes_end_before_a_wait_and_after_the_limit),
        cmocka_unit_test(escalation_counts_recent_misses_and_does_not_repeat),
        cmocka_unit_test(call_names_go_both_ways),
        cmocka_unit_test(tidmap_survives_removals_in_a_run),
    };
    return KM_RUN_TESTS(tests);
}
