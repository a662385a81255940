/* Comparison of computed values with printed ones. */
#ifndef KM_TESTS_STATS_CLOSE_H
#define KM_TESTS_STATS_CLOSE_H

#include <math.h>

/* Within `relative` of expected, or 1e-15 of zero. */
#define assert_close(value, expected, relative)                                                                        \
    do {                                                                                                               \
        double close_value = (value), close_expected = (expected);                                                     \
        if (!(fabs(close_value - close_expected) <= (relative)*fabs(close_expected) + 1e-15))                          \
            fail_msg("%s is %.17g, not %.17g", #value, close_value, close_expected);                                   \
    } while (0)

#endif
