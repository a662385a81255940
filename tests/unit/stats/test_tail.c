#define KM_TEST_NAME "tail"
#include "../cm.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "close.h"
#include "stats/random.h"
#include "stats/tail.h"

static double exponential(struct km_random *random)
{
    return -log(1 - km_random_real(random));
}

static int compare(const void *a, const void *b)
{
    const double *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

static void gpd_recovers_its_parameters(void **state)
{
    (void)state;
    static const struct {
        double shape, scale;
    } rows[] = {{0, 1}, {0.2, 2}, {0.5, 0.1}};
    static double values[20000];
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct km_random random;
        km_random_init(&random, 7);
        for (size_t i = 0; i < 20000; i++) {
            double u = 1 - km_random_real(&random);
            values[i] = rows[r].shape == 0 ? -rows[r].scale * log(u)
                                           : rows[r].scale / rows[r].shape * (pow(u, -rows[r].shape) - 1);
        }
        qsort(values, 20000, sizeof values[0], compare);
        struct km_gpd gpd = km_gpd_fit(values, 20000);
        assert_true(fabs(gpd.shape - rows[r].shape) < 0.05);
        assert_true(fabs(gpd.scale / rows[r].scale - 1) < 0.06);
        assert_true(fabs(km_gpd_p(&gpd, km_gpd_quantile(&gpd, 0.01)) - 0.01) < 1e-9);
    }
}

static void few_or_equal_excesses_give_no_tail(void **state)
{
    (void)state;
    double few[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, zero[20] = {0};
    assert_true(km_gpd_fit(few, 9).scale == 0);
    assert_true(km_gpd_fit(zero, 20).scale == 0);
}

static void a_bounded_tail_never_says_impossible(void **state)
{
    (void)state;
    double values[1000];
    for (int i = 0; i < 1000; i++)
        values[i] = i / 1000.0;
    struct km_tail tail;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_tail_init(&tail, values, 1000, &err), err);
    assert_true(tail.gpd.shape == 0);
    assert_true(km_tail_p(&tail, 1.5) >= KM_TAIL_LEAST_P);
    assert_true(km_tail_p(&tail, 1e9) == KM_TAIL_LEAST_P);
    km_tail_done(&tail);
}

static void p_falls_and_meets_the_sample(void **state)
{
    (void)state;
    struct km_random random;
    km_random_init(&random, 3);
    static double values[5000];
    for (int i = 0; i < 5000; i++)
        values[i] = exponential(&random);
    struct km_tail tail;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_tail_init(&tail, values, 5000, &err), err);
    double last = 1.1;
    for (double x = -1; x < 30; x += 0.1) {
        double p = km_tail_p(&tail, x);
        assert_true(p <= last && p > 0);
        last = p;
    }
    assert_true(fabs(log(km_tail_p(&tail, 12)) + 12) < 2.0); /* e^-12 from five thousand values */
    assert_true(fabs(km_tail_quantile(&tail, 1e-4) - -log(1e-4)) < 1.5);
    assert_true(fabs(km_tail_quantile(&tail, 0.5) - log(2)) < 0.1);
    km_tail_done(&tail);
}

/* Most of a deployed view's values are the same: no tail can be fitted, and yet 20 is stranger than 2. */
static void ties_without_a_tail_still_rank_what_is_beyond(void **state)
{
    (void)state;
    double values[200];
    for (int i = 0; i < 200; i++)
        values[i] = i < 197 ? 1 : 1 + 0.1 * (i - 196);
    struct km_err err = KM_ERR_INIT;
    struct km_tail tail;
    assert_ok(km_tail_init(&tail, values, 200, &err), err);
    assert_true(tail.gpd.scale == 0);
    assert_close(km_tail_p(&tail, 1.3), 2.0 / 201, 1e-12);
    /* scale 0.3 / ln 201, shape 1/2: (1 + (2 - 1.3) / (2 * scale))^-2 / 201, by hand */
    assert_close(km_tail_p(&tail, 2), 1.0 / 201 / 51.65568657559148, 1e-12);
    assert_true(km_tail_p(&tail, 20) < km_tail_p(&tail, 2) / 100);
    km_tail_done(&tail);
    assert_ok(km_tail_init(&tail, values, 29, &err), err); /* all equal, and few: nothing to scale by */
    assert_close(km_tail_p(&tail, 50), 1.0 / 30, 1e-12);
    km_tail_done(&tail);
}

static void empty_and_not_finite_samples(void **state)
{
    (void)state;
    struct km_tail tail;
    struct km_err err = KM_ERR_INIT;
    double values[3] = {NAN, INFINITY, 1};
    assert_ok(km_tail_init(&tail, values, 0, &err), err);
    assert_true(km_tail_p(&tail, 5) == 1 && km_tail_quantile(&tail, 0.5) == 0);
    km_tail_done(&tail);
    assert_ok(km_tail_init(&tail, values, 3, &err), err);
    assert_int_equal(tail.count, 1);
    km_tail_done(&tail);
    assert_int_equal(km_tail_init(&tail, values, KM_TAIL_MAX_VALUES + 1, &err), KM_LIMIT);
}

/* Fewer values than a tail needs: beyond the largest each unit is an e-fold, and p and quantile agree. */
static void a_unit_extends_small_samples(void **state)
{
    (void)state;
    struct km_tail tail;
    struct km_err err = KM_ERR_INIT;
    double values[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    assert_ok(km_tail_init(&tail, values, 9, &err), err);
    assert_true(tail.gpd.scale == 0);
    assert_true(km_tail_quantile(&tail, 1e-6) == 9 && km_tail_p(&tail, 100) == 0.1);
    tail.unit = 2;
    assert_true(fabs(km_tail_p(&tail, 13) - 0.1 * exp(-2)) < 1e-12);
    assert_true(fabs(km_tail_quantile(&tail, 0.1 * exp(-2)) - 13) < 1e-9);
    assert_true(km_tail_quantile(&tail, 0.5) == 5 && km_tail_p(&tail, 5) > 0.5);
    km_tail_done(&tail);
    struct km_spot *spot = km_spot_new(16, 1, &err);
    assert_non_null(spot);
    km_spot_set_unit(spot, 1);
    assert_true(fabs(km_spot_threshold(spot, exp(-3)) - 3) < 1e-9);
    assert_true(fabs(km_spot_p(spot, 3) - exp(-3)) < 1e-9);
    km_spot_add(spot, 5);
    assert_true(fabs(km_spot_threshold(spot, 0.5 * exp(-3)) - 8) < 1e-9);
    km_spot_free(spot);
}

/* From 21 values on, the largest ten make the tail. */
static void small_samples_have_a_tail(void **state)
{
    (void)state;
    struct km_tail tail;
    struct km_err err = KM_ERR_INIT;
    double values[40];
    for (int i = 0; i < 40; i++)
        values[i] = -log(1 - (i + 0.5) / 40);
    assert_ok(km_tail_init(&tail, values, 20, &err), err);
    assert_true(tail.gpd.scale == 0);
    km_tail_done(&tail);
    assert_ok(km_tail_init(&tail, values, 40, &err), err);
    assert_true(tail.gpd.scale > 0 && tail.exceed_share == 0.25);
    assert_true(km_tail_quantile(&tail, 1e-4) > values[39]);
    km_tail_done(&tail);
}

static void spot_limits(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    assert_null(km_spot_new(15, 1, &err));
    assert_int_equal(err.code, KM_LIMIT);
    assert_null(km_spot_new(100, 0, &err));
    struct km_spot *spot = km_spot_new(16, 1, &err);
    assert_non_null(spot);
    assert_true(isinf(km_spot_threshold(spot, 0.1)));
    assert_true(km_spot_p(spot, 3) == 1);
    km_spot_add(spot, NAN);
    assert_true(isinf(km_spot_threshold(spot, 0.1)));
    km_spot_free(spot);
}

/* The stream doubles its scale half way; the rate of exceedances must hold in both halves. */
static void spot_holds_the_rate_while_the_stream_drifts(void **state)
{
    (void)state;
    static const size_t strides[] = {1, 4};
    for (size_t s = 0; s < 2; s++) {
        struct km_err err = KM_ERR_INIT;
        struct km_spot *spot = km_spot_new(400, strides[s], &err);
        assert_non_null(spot);
        struct km_random random;
        km_random_init(&random, 11);
        int alarms[2] = {0, 0};
        for (int i = 0; i < 40000; i++) {
            double value = exponential(&random) * (i < 20000 ? 1 : 2);
            bool settled = i % 20000 >= 4000;
            alarms[i >= 20000] += settled && value > km_spot_threshold(spot, 0.02);
            km_spot_add(spot, value);
        }
        for (int half = 0; half < 2; half++)
            assert_in_range(alarms[half], 16000 * 0.02 * 0.75, 16000 * 0.02 * 1.3);
        km_spot_free(spot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpd_recovers_its_parameters),
        cmocka_unit_test(few_or_equal_excesses_give_no_tail),
        cmocka_unit_test(a_bounded_tail_never_says_impossible),
        cmocka_unit_test(p_falls_and_meets_the_sample),
        cmocka_unit_test(ties_without_a_tail_still_rank_what_is_beyond),
        cmocka_unit_test(empty_and_not_finite_samples),
        cmocka_unit_test(a_unit_extends_small_samples),
        cmocka_unit_test(small_samples_have_a_tail),
        cmocka_unit_test(spot_limits),
        cmocka_unit_test(spot_holds_the_rate_while_the_stream_drifts),
    };
    return KM_RUN_TESTS(tests);
}
