#define KM_TEST_NAME "interval"
#include "../cm.h"

#include "close.h"
#include "stats/interval.h"

struct row {
    double successes, trials, confidence, low, high;
};

static void wilson_as_r_prop_test(void **state)
{
    (void)state;
    /* R 4.2: prop.test(x, n, conf.level, correct = FALSE)$conf.int */
    static const struct row table[] = {
        {90, 100, .95, 0.825634338495, 0.944770862939},
        {0, 10, .95, 0, 0.277532799863},
        {10, 10, .95, 0.722467200137, 1},
        {1, 3, .95, 0.061491944720, 0.792340399198},
        {180, 200, .95, 0.850594187567, 0.934329551331},
        {3, 1000, .95, 0.001020783881, 0.008783014054},
        {5, 20, .99, 0.087363908401, 0.537188792148},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct km_interval got = km_interval_wilson(table[i].successes, table[i].trials, table[i].confidence);
        assert_close(got.low, table[i].low, 1e-9);
        assert_close(got.high, table[i].high, 1e-9);
    }
}

static void clopper_pearson_as_r_binom_test(void **state)
{
    (void)state;
    /* R 4.2: binom.test(x, n, conf.level)$conf.int */
    static const struct row table[] = {
        {90, 100, .95, 0.823777402260, 0.950995310779},
        {0, 10, .95, 0, 0.308497107819},
        {10, 10, .95, 0.691502892181, 1},
        {1, 3, .95, 0.008403758660, 0.905700675950},
        {180, 200, .95, 0.849787212132, 0.937840633746},
        {3, 1000, .95, 0.000619099932, 0.008742023238},
        {5, 20, .99, 0.058333936059, 0.559760907758},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct km_interval got = km_interval_clopper_pearson(table[i].successes, table[i].trials, table[i].confidence);
        assert_close(got.low, table[i].low, 1e-9);
        assert_close(got.high, table[i].high, 1e-9);
    }
}

static void poisson_as_r_poisson_test(void **state)
{
    (void)state;
    /* R 4.2: poisson.test(k, conf.level)$conf.int */
    static const struct {
        uint64_t events;
        double confidence, low, high;
    } table[] = {
        {0, .95, 0, 3.6888794541},
        {1, .95, 0.0253178080, 5.5716433909},
        {3, .95, 0.6186721229, 8.7672730697},
        {10, .95, 4.7953886961, 18.3903560420},
        {100, .95, 81.3639912509, 121.6267937924},
        {10000, .95, 9804.9524672602, 10197.9516246615},
        {7, .90, 3.2853156919, 13.1481138024},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct km_interval got = km_interval_poisson(table[i].events, table[i].confidence);
        assert_close(got.low, table[i].low, 1e-8);
        assert_close(got.high, table[i].high, 1e-8);
    }
}

static void nothing_seen_is_bounded(void **state)
{
    (void)state;
    /* 1 - 0.05^(1/n) */
    assert_close(km_interval_zero_upper(100, .95), 0.02951304960704, 1e-12);
    assert_close(km_interval_zero_upper(3000, .95), 0.00099807901200, 1e-10);
    assert_close(km_interval_zero_upper(UINT64_C(1000000000000), .95), 2.995732273e-12, 1e-9);
    assert_close(km_interval_zero_upper(0, .95), 1, 0);
}

static void no_trials_say_nothing(void **state)
{
    (void)state;
    struct km_interval wilson = km_interval_wilson(0, 0, .95), exact = km_interval_clopper_pearson(0, 0, .95);
    assert_true(wilson.low == 0 && wilson.high == 1);
    assert_true(exact.low == 0 && exact.high == 1);
}

/* What a confidence promises: over all outcomes of 30 trials, the exact interval covers the true rate often enough. */
static void clopper_pearson_never_covers_less(void **state)
{
    (void)state;
    for (int percent = 1; percent < 100; percent++) {
        double p = percent / 100.0, covered = 0;
        for (int k = 0; k <= 30; k++) {
            struct km_interval interval = km_interval_clopper_pearson(k, 30, .9);
            double probability = exp(lgamma(31) - lgamma(k + 1) - lgamma(31 - k) + k * log(p) + (30 - k) * log1p(-p));
            if (interval.low <= p && p <= interval.high)
                covered += probability;
        }
        assert_true(covered >= .9);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wilson_as_r_prop_test),     cmocka_unit_test(clopper_pearson_as_r_binom_test),
        cmocka_unit_test(poisson_as_r_poisson_test), cmocka_unit_test(nothing_seen_is_bounded),
        cmocka_unit_test(no_trials_say_nothing),     cmocka_unit_test(clopper_pearson_never_covers_less),
    };
    return KM_RUN_TESTS(tests);
}
