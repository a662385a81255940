#define KM_TEST_NAME "call_table"
#include "../cm.h"

#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>

#include "daemon/probe/call_table.h"

static __u8 table[KM_PROBE_SPACES][KM_CALL_NUMBERS];

static void each_space_has_its_numbers(void **state)
{
    (void)state;
    memset(table, 0xff, sizeof table);
    km_call_table_fill(table);
    assert_int_equal(table[KM_SPACE_NATIVE][SYS_openat], KM_PROBE_CALL_OPENAT);
    assert_int_equal(table[KM_SPACE_NATIVE][SYS_getppid], KM_PROBE_CALL_PLAIN);
    assert_int_equal(table[KM_SPACE_COMPAT][5], KM_PROBE_CALL_OPEN);
    assert_int_equal(table[KM_SPACE_NATIVE][5], KM_PROBE_CALL_FD); /* fstat */
    assert_int_equal(table[KM_SPACE_COMPAT][11], KM_PROBE_CALL_EXECVE);
    assert_int_equal(table[KM_SPACE_X32][km_call_fold(KM_SPACE_X32, KM_X32_BIT | 520)], KM_PROBE_CALL_EXECVE);
    assert_int_equal(table[KM_SPACE_NATIVE][KM_CALL_OTHER], KM_PROBE_CALL_PLAIN);
}

static void outcomes_are_wanted_of_landmarks_only(void **state)
{
    (void)state;
    size_t count = 0;
    bool openat = false;
    const char *name;
    for (; (name = km_call_table_outcome(count)) != NULL; count++) {
        openat |= strcmp(name, "openat") == 0;
        assert_string_not_equal(name, "read");
        assert_string_not_equal(name, "exit_group");
        assert_string_not_equal(name, "epoll_wait");
    }
    assert_true(openat);
    assert_in_range(count, 40, 80);
}

static void waits_end_episodes(void **state)
{
    (void)state;
    unsigned long long set[KM_CALL_SET_WORDS];
    km_call_table_waits(set);
    assert_true(km_call_set_has(set, SYS_epoll_wait));
    assert_true(km_call_set_has(set, SYS_accept4));
    assert_true(km_call_set_has(set, SYS_poll));
    assert_false(km_call_set_has(set, SYS_read));
    assert_false(km_call_set_has(set, SYS_futex));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_space_has_its_numbers),
        cmocka_unit_test(outcomes_are_wanted_of_landmarks_only),
        cmocka_unit_test(waits_end_episodes),
    };
    return KM_RUN_TESTS(tests);
}
