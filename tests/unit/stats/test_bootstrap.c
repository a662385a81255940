#define KM_TEST_NAME "bootstrap"
#include "../cm.h"

#include <stdbool.h>

#include "close.h"
#include "stats/bootstrap.h"
#include "stats/random.h"

static const double values[10] = {1.5, 2, 2.5, 3, 4, 4.5, 6, 9, 15, 31};

static double mean(void *context, const uint32_t *samples, size_t count)
{
    const double *x = context;
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += x[samples[i]];
    return sum / (double)count;
}

static const struct km_bootstrap_statistic mean_of_values = {mean, (void *)(uintptr_t)values};

/* The ends come from a Python program written apart: same generator, same drawing, scipy's normal distribution. */
static void mean_as_an_independent_program(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_plan plan = {NULL, 10, 1999, .95, 7};
    struct km_bootstrap_result result;
    assert_ok(km_bootstrap_run(&plan, &mean_of_values, &result, &err), err);
    assert_close(result.value, 7.85, 1e-14);
    assert_close(result.percentile.low, 3.45, 1e-12);
    assert_close(result.percentile.high, 13.75, 1e-12);
    assert_close(result.bca.low, 4.15, 1e-12);
    assert_close(result.bca.high, 16.7668232398856, 1e-10);
    assert_int_equal(result.undefined, 0);
}

static void clusters_as_an_independent_program(void **state)
{
    (void)state;
    static const uint32_t groups[10] = {5, 5, 1, 1, 1, 9, 9, 2, 3, 3};
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_plan plan = {groups, 10, 999, .95, 42};
    struct km_bootstrap_result result;
    assert_ok(km_bootstrap_run(&plan, &mean_of_values, &result, &err), err);
    assert_close(result.percentile.low, 2.77272727272727, 1e-12);
    assert_close(result.percentile.high, 15.9, 1e-12);
    assert_close(result.bca.low, 3.22692182927642, 1e-10);
    assert_close(result.bca.high, 19.45, 1e-12);
}

struct cluster_check {
    const uint32_t *groups;
    size_t count;
    bool broken; /* a group was not drawn whole */
};

static double check_whole_groups(void *context, const uint32_t *samples, size_t count)
{
    struct cluster_check *check = context;
    unsigned times[6] = {0};
    for (size_t i = 0; i < count; i++)
        times[samples[i]]++;
    for (size_t i = 0; i < check->count; i++)
        for (size_t j = 0; j < check->count; j++)
            check->broken |= check->groups[i] == check->groups[j] && times[i] != times[j];
    return (double)count;
}

static void groups_are_drawn_whole(void **state)
{
    (void)state;
    static const uint32_t groups[6] = {3, 1, 3, 2, 2, 3};
    struct cluster_check check = {groups, 6, false};
    struct km_bootstrap_statistic statistic = {check_whole_groups, &check};
    struct km_bootstrap_plan plan = {groups, 6, 200, .95, 1};
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_result result;
    assert_ok(km_bootstrap_run(&plan, &statistic, &result, &err), err);
    assert_false(check.broken);
    assert_true(result.percentile.high > 6); /* 3 of the biggest group */
}

static void the_seed_decides(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_plan plan = {NULL, 10, 100, .9, 1};
    struct km_bootstrap_result one, again, other;
    assert_ok(km_bootstrap_run(&plan, &mean_of_values, &one, &err), err);
    assert_ok(km_bootstrap_run(&plan, &mean_of_values, &again, &err), err);
    plan.seed = 2;
    assert_ok(km_bootstrap_run(&plan, &mean_of_values, &other, &err), err);
    assert_true(one.percentile.low == again.percentile.low && one.bca.high == again.bca.high);
    assert_true(one.percentile.low != other.percentile.low || one.percentile.high != other.percentile.high);
}

/* 0 … 199 with mean 99.5 and standard error 57.73 / sqrt(200): the normal interval within a tenth of its width. */
static void agrees_with_theory_where_there_is_one(void **state)
{
    (void)state;
    double x[200];
    for (int i = 0; i < 200; i++)
        x[i] = i;
    struct km_bootstrap_statistic statistic = {mean, x};
    struct km_bootstrap_plan plan = {NULL, 200, 4000, .95, 5};
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_result result;
    assert_ok(km_bootstrap_run(&plan, &statistic, &result, &err), err);
    double half = 1.959964 * 57.734 / sqrt(200);
    assert_true(fabs(result.percentile.low - (99.5 - half)) < .2 * half);
    assert_true(fabs(result.percentile.high - (99.5 + half)) < .2 * half);
    assert_true(fabs(result.bca.low - (99.5 - half)) < .2 * half);
}

static double constant(void *context, const uint32_t *samples, size_t count)
{
    (void)context, (void)samples, (void)count;
    return 4;
}

static void a_constant_has_no_correction(void **state)
{
    (void)state;
    struct km_bootstrap_statistic statistic = {constant, NULL};
    struct km_bootstrap_plan plan = {NULL, 10, 50, .95, 5};
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_result result;
    assert_ok(km_bootstrap_run(&plan, &statistic, &result, &err), err);
    assert_true(result.percentile.low == 4 && result.percentile.high == 4);
    assert_true(result.bca.low == 4 && result.bca.high == 4);
    plan.count = 1;
    assert_ok(km_bootstrap_run(&plan, &statistic, &result, &err), err);
    assert_true(result.bca.low == 4 && result.bca.high == 4);
}

/* Defined only when sample 0 was drawn. */
static double needs_the_first(void *context, const uint32_t *samples, size_t count)
{
    (void)context;
    for (size_t i = 0; i < count; i++)
        if (samples[i] == 0)
            return (double)samples[count - 1];
    return NAN;
}

static void undefined_replicates_are_counted(void **state)
{
    (void)state;
    struct km_bootstrap_statistic statistic = {needs_the_first, NULL};
    struct km_bootstrap_plan plan = {NULL, 10, 1000, .95, 5};
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_result result;
    assert_ok(km_bootstrap_run(&plan, &statistic, &result, &err), err);
    assert_in_range(result.undefined, 280, 420);          /* 0.9^10 = 35 % */
    assert_true(result.bca.low == result.percentile.low); /* leaving out the first is NaN */
}

static double undefined(void *context, const uint32_t *samples, size_t count)
{
    (void)context, (void)samples, (void)count;
    return NAN;
}

static void what_cannot_be_drawn_is_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_bootstrap_result result = {.value = -1};
    struct km_bootstrap_plan plan = {NULL, 0, 100, .95, 1};
    assert_int_equal(km_bootstrap_run(&plan, &mean_of_values, &result, &err), KM_NOTFOUND);
    plan = (struct km_bootstrap_plan){NULL, 10, KM_BOOTSTRAP_MAX_REPLICATES + 1, .95, 1};
    assert_int_equal(km_bootstrap_run(&plan, &mean_of_values, &result, &err), KM_LIMIT);
    plan.replicates = 10;
    struct km_bootstrap_statistic statistic = {undefined, NULL};
    assert_int_equal(km_bootstrap_run(&plan, &statistic, &result, &err), KM_NOTFOUND);
    assert_true(result.value == -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mean_as_an_independent_program),
        cmocka_unit_test(clusters_as_an_independent_program),
        cmocka_unit_test(groups_are_drawn_whole),
        cmocka_unit_test(the_seed_decides),
        cmocka_unit_test(agrees_with_theory_where_there_is_one),
        cmocka_unit_test(a_constant_has_no_correction),
        cmocka_unit_test(undefined_replicates_are_counted),
        cmocka_unit_test(what_cannot_be_drawn_is_refused),
    };
    return KM_RUN_TESTS(tests);
}
