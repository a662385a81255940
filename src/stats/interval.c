#include "stats/interval.h"

#include <math.h>

#include "base/err.h"
#include "stats/special.h"

static double tail_of(double confidence)
{
    KM_ASSERT(confidence > 0 && confidence < 1);
    return (1 - confidence) / 2;
}

struct km_interval km_interval_wilson(double successes, double trials, double confidence)
{
    KM_ASSERT(successes >= 0 && successes <= trials);
    double z = -km_special_normal_quantile(tail_of(confidence));
    if (trials == 0)
        return (struct km_interval){0, 1};
    double p = successes / trials, zz = z * z / trials;
    double centre = (p + zz / 2) / (1 + zz);
    double half = sqrt(p * (1 - p) * zz + zz * zz / 4) / (1 + zz);
    /* at the ends the exact value is 0 or 1, which rounding misses */
    return (struct km_interval){successes == 0 ? 0 : centre - half, successes == trials ? 1 : centre + half};
}

struct km_interval km_interval_clopper_pearson(double successes, double trials, double confidence)
{
    KM_ASSERT(successes >= 0 && successes <= trials);
    double tail = tail_of(confidence), failures = trials - successes;
    return (struct km_interval){
        successes == 0 ? 0 : km_special_beta_quantile(successes, failures + 1, tail),
        failures == 0 ? 1 : km_special_beta_quantile(successes + 1, failures, 1 - tail),
    };
}

struct km_interval km_interval_poisson(uint64_t events, double confidence)
{
    double tail = tail_of(confidence), k = (double)events;
    return (struct km_interval){
        events == 0 ? 0 : km_special_gamma_quantile(k, tail),
        km_special_gamma_quantile(k + 1, 1 - tail),
    };
}

double km_interval_zero_upper(uint64_t trials, double confidence)
{
    KM_ASSERT(confidence > 0 && confidence < 1);
    return trials == 0 ? 1 : -expm1(log1p(-confidence) / (double)trials);
}
