#define KM_TEST_NAME "special"
#include "../cm.h"

#include "close.h"
#include "stats/special.h"

/* Values of R 4.2: pnorm, qnorm, pgamma, qgamma, pbeta, qbeta. */

static void normal(void **state)
{
    (void)state;
    assert_close(km_special_normal_cdf(-5), 2.866515718791939e-07, 1e-13);
    assert_close(km_special_normal_cdf(-1), 0.158655253931457, 1e-13);
    assert_close(km_special_normal_cdf(1.5), 0.9331927987311419, 1e-14);
    assert_close(km_special_normal_quantile(.975), 1.95996398454005, 1e-13);
    assert_close(km_special_normal_quantile(.5), 0, 0);
    assert_close(km_special_normal_quantile(.005), -2.57582930354890, 1e-13);
    assert_close(km_special_normal_quantile(1e-10), -6.36134090240406, 1e-13);
    assert_close(km_special_normal_quantile(.8), 0.84162123357291, 1e-13);
}

static void gamma_values(void **state)
{
    (void)state;
    static const double cdf[][3] = {
        {.5, .1, 0.345279153981423},
        {1, 1, 0.632120558828558},
        {3, 2.5, 0.45618688411667},
        {10, 3, 0.00110248813011548},
        {10, 25, 0.999778523361751},
        {1000, 1010, 0.627678944736995},
        {2, 0, 0},
    };
    static const double quantile[][3] = {
        {.5, .1, 0.00789538704671561},  {1, .975, 3.68887945411394},  {4, .025, 1.08986537362632},
        {4, .999999, 21.3504569632389}, {1000, .5, 999.666686426965}, {2, 0, 0},
    };
    for (size_t i = 0; i < sizeof cdf / sizeof cdf[0]; i++)
        assert_close(km_special_gamma_cdf(cdf[i][0], cdf[i][1]), cdf[i][2], 1e-12);
    for (size_t i = 0; i < sizeof quantile / sizeof quantile[0]; i++)
        assert_close(km_special_gamma_quantile(quantile[i][0], quantile[i][1]), quantile[i][2], 1e-11);
}

static void beta_values(void **state)
{
    (void)state;
    static const double cdf[][4] = {
        {.5, .5, .1, 0.204832764699133},
        {1, 3, .2, 0.488},
        {90, 11, .9, 0.583155512266492},
        {2, 500, .004, 0.595619256368079},
        {3000, 7000, .305, 0.862266068041617},
        {2, 3, 0, 0},
        {2, 3, 1, 1},
    };
    static const double quantile[][4] = {
        {.5, .5, .1, 0.0244717418524232},
        {1, 3, .2, 0.0716822332774442},
        {90, 11, .025, 0.823777402259977},
        {91, 10, .975, 0.950995310778514},
        {1, 1e6, .025, 2.53178076637942e-08},
        {2, 3, 0, 0},
        {2, 3, 1, 1},
    };
    for (size_t i = 0; i < sizeof cdf / sizeof cdf[0]; i++)
        assert_close(km_special_beta_cdf(cdf[i][0], cdf[i][1], cdf[i][2]), cdf[i][3], 1e-11);
    for (size_t i = 0; i < sizeof quantile / sizeof quantile[0]; i++)
        assert_close(km_special_beta_quantile(quantile[i][0], quantile[i][1], quantile[i][2]), quantile[i][3], 1e-11);
}

static void quantiles_invert(void **state)
{
    (void)state;
    for (double p = .001; p < 1; p += .0371) {
        assert_close(km_special_normal_cdf(km_special_normal_quantile(p)), p, 1e-13);
        for (double a = .3; a < 3000; a *= 7) {
            assert_close(km_special_gamma_cdf(a, km_special_gamma_quantile(a, p)), p, 1e-10);
            assert_close(km_special_beta_cdf(a, 2.5, km_special_beta_quantile(a, 2.5, p)), p, 1e-9);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(normal), cmocka_unit_test(gamma_values),
                                       cmocka_unit_test(beta_values), cmocka_unit_test(quantiles_invert)};
    return KM_RUN_TESTS(tests);
}
