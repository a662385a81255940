#define KM_TEST_NAME "leastsquares"
#include "../cm.h"

#include "close.h"
#include "stats/leastsquares.h"

static void plane_is_found(void **state)
{
    (void)state;
    struct km_least_squares squares = {0};
    for (int i = 0; i < 5; i++)
        for (int j = 0; j < 5; j++)
            km_least_squares_add(&squares, (double[]){1, i, 0.1 * j}, 3, 2 - 3.0 * i + 7 * 0.1 * j);
    double b[3];
    km_least_squares_solve(&squares, 3, b);
    assert_close(b[0], 2, 1e-4);
    assert_close(b[1], -3, 1e-4);
    assert_close(b[2], 7, 1e-4);
}

/* numpy.linalg.lstsq of the same five points: 1.1, 1.94. */
static void noisy_line_as_numpy(void **state)
{
    (void)state;
    static const double y[] = {1.0, 3.2, 5.1, 6.6, 9.0};
    struct km_least_squares squares = {0};
    for (int i = 0; i < 5; i++)
        km_least_squares_add(&squares, (double[]){1, i}, 2, y[i]);
    double b[2];
    km_least_squares_solve(&squares, 2, b);
    assert_close(b[0], 1.1, 1e-4);
    assert_close(b[1], 1.94, 1e-4);
}

static void without_variation_or_data_nothing_explodes(void **state)
{
    (void)state;
    struct km_least_squares squares = {0};
    double b[3] = {9, 9, 9};
    km_least_squares_solve(&squares, 3, b);
    for (int i = 0; i < 3; i++)
        assert_close(b[i], 0, 0);
    for (int i = 0; i < 100; i++)
        km_least_squares_add(&squares, (double[]){1, 0.5, 0}, 3, 4);
    km_least_squares_solve(&squares, 3, b);
    assert_close(b[0] + 0.5 * b[1], 4, 1e-4);
    assert_close(b[2], 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plane_is_found),
        cmocka_unit_test(noisy_line_as_numpy),
        cmocka_unit_test(without_variation_or_data_nothing_explodes),
    };
    return KM_RUN_TESTS(tests);
}
