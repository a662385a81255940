/*
 * Intervals for any statistic by resampling (B. Efron, Annals of Statistics 7 (1979) 1). Samples that are not
 * independent (files of one package, builds of one family) share a group number, and whole groups are drawn: the
 * cluster bootstrap (A. C. Davison, D. V. Hinkley, Bootstrap Methods and their Application, 1997, 3.8).
 *
 * The same seed gives the same result. One thread; replicates · cost of the statistic.
 */
#ifndef KM_STATS_BOOTSTRAP_H
#define KM_STATS_BOOTSTRAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "stats/interval.h"

#define KM_BOOTSTRAP_MAX_REPLICATES 1000000

/* The statistic of samples[0 … count), numbers of samples, some several times. NaN when these samples do not define it
 * (no positives among them). */
struct km_bootstrap_statistic {
    double (*compute)(void *context, const uint32_t *samples, size_t count);
    void *context;
};

struct km_bootstrap_plan {
    const uint32_t *groups; /* [count], numbers of any value; NULL: every sample is its own group */
    size_t count;           /* samples */
    unsigned replicates;    /* 2000 give the ends of a 95 % interval to about a tenth of its width */
    double confidence;      /* 0.95 */
    uint64_t seed;
};

struct km_bootstrap_result {
    double value; /* the statistic of the samples themselves */
    struct km_interval percentile;
    /* Bias-corrected and accelerated: B. Efron, JASA 82 (1987) 171, acceleration from leaving out one group at a time.
     * The same as `percentile` where it is undefined: all replicates on one side of the value, a statistic that does
     * not vary, or is NaN when one group is left out. */
    struct km_interval bca;
    unsigned undefined; /* replicates that gave NaN and were left out: with more than a few the interval is a guess */
};

/* Ends of intervals interpolate between order statistics at p · (replicates + 1). KM_NOTFOUND: no samples, or the
 * statistic is NaN for all of them or for every replicate. KM_LIMIT: more than KM_BOOTSTRAP_MAX_REPLICATES, or 2^32 − 1
 * samples in one replicate. KM_NOMEM. */
enum km_code km_bootstrap_run(const struct km_bootstrap_plan *plan, const struct km_bootstrap_statistic *statistic,
                              struct km_bootstrap_result *out, struct km_err *err) KM_MUST_USE;

#endif
