#define KM_TEST_NAME "clock"
#include "../cm.h"

#include <string.h>

#include "base/clock.h"

static void monotonic_time_never_goes_back(void **state)
{
    (void)state;
    int64_t last = km_clock_monotonic_ns();
    assert_true(last > 0);
    for (unsigned i = 0; i < 1000; i++) {
        int64_t now = km_clock_monotonic_ns();
        assert_true(now >= last);
        last = now;
    }
}

static void utc_table(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds, nanoseconds;
        const char *text;
    } rows[] = {
        {0, 0, "1970-01-01T00:00:00Z"},          {0, 999999999, "1970-01-01T00:00:00Z"}, /* cut, not rounded */
        {951782400, 0, "2000-02-29T00:00:00Z"},  {1795301435, 5, "2026-11-21T22:50:35Z"},
        {4102444799, 0, "2099-12-31T23:59:59Z"}, {-1, 0, "1969-12-31T23:59:59Z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[KM_CLOCK_UTC_BYTES];
        km_clock_format_utc(rows[i].seconds * KM_NS_PER_S + rows[i].nanoseconds, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void the_largest_times_fit(void **state)
{
    (void)state;
    static const int64_t times[] = {INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        char text[KM_CLOCK_UTC_BYTES + 1];
        memset(text, '#', sizeof text);
        km_clock_format_utc(times[i], text);
        assert_int_equal(strlen(text), strlen("1970-01-01T00:00:00Z"));
        assert_int_equal(text[KM_CLOCK_UTC_BYTES], '#');
    }
}

static void wall_time_is_of_this_century(void **state)
{
    (void)state;
    char text[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(km_clock_wall_ns(), text);
    assert_memory_equal(text, "20", 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(monotonic_time_never_goes_back),
        cmocka_unit_test(utc_table),
        cmocka_unit_test(the_largest_times_fit),
        cmocka_unit_test(wall_time_is_of_this_century),
    };
    return KM_RUN_TESTS(tests);
}
