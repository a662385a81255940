/*
 * How rare is a value, judged by values seen before: an empirical body, and a generalised Pareto tail above its 90th
 * percentile (peaks over threshold), so that "once in ten million" can be said after a few hundred values.
 *
 * km_tail is fitted once over a sample. km_spot follows a stream: body and peaks are forgotten at a stated pace, so
 * that its threshold holds the wanted rate of exceedances while the stream drifts. Deterministic; not thread-safe.
 */
#ifndef KM_STATS_TAIL_H
#define KM_STATS_TAIL_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_TAIL_MAX_VALUES 65536
#define KM_TAIL_LEAST_P    1e-12 /* no probability is said to be smaller */

/* Excess over a threshold: P(X - u >= e) = (1 + shape * e / scale)^(-1/shape); exponential when shape is 0. The shape
 * is kept within 0..0.9: a bounded tail would call the first larger value impossible. */
struct km_gpd {
    double shape;
    double scale; /* 0: no tail could be fitted (fewer than ten excesses, or all equal) */
};

/* By probability-weighted moments. `excesses` must ascend. */
struct km_gpd km_gpd_fit(const double *excesses, size_t count);
/* P(excess >= e), for e >= 0. scale must not be 0. */
double km_gpd_p(const struct km_gpd *gpd, double excess);
/* The excess that is reached with probability p, 0 < p <= 1. */
double km_gpd_quantile(const struct km_gpd *gpd, double p);

struct km_tail {
    double *sorted; /* ascending; owned */
    size_t count;
    double threshold;    /* the tail begins above it */
    double exceed_share; /* of the sample above it */
    struct km_gpd gpd;
    double unit; /* set by the caller, 0 at first: while no tail could be fitted, values beyond the largest are taken to
                    be an e-fold rarer for each unit (1 for a sum of -ln p); 0: as rare as the largest */
};

/* Copies the sample. Values that are not finite are left out. An empty sample is valid: nothing is rare to it.
 * KM_LIMIT above KM_TAIL_MAX_VALUES, KM_NOMEM. */
enum km_code km_tail_init(struct km_tail *tail, const double *values, size_t count, struct km_err *err) KM_MUST_USE;
void km_tail_done(struct km_tail *tail);

/* P(X >= x): never 0 (KM_TAIL_LEAST_P), 1 for an empty sample. Non-increasing in x. Where ties left no tail to fit, 30
 * values or more still say, cautiously, how far beyond the largest x is. */
double km_tail_p(const struct km_tail *tail, double x);

/* A value that the share p of the population exceeds, 0 < p < 1. 0 for an empty sample without a unit. */
double km_tail_quantile(const struct km_tail *tail, double p);

struct km_spot;

/* `window` values make the body (16..KM_TAIL_MAX_VALUES). With a stride above 1 only every stride-th value enters it;
 * peaks enter always, so that rare events are remembered over window * stride values. NULL: KM_LIMIT, KM_NOMEM. */
struct km_spot *km_spot_new(size_t window, size_t stride, struct km_err *err) KM_MUST_USE;
void km_spot_free(struct km_spot *spot);

/* The unit of km_tail, for values that are a sum of -ln p. */
void km_spot_set_unit(struct km_spot *spot, double unit);

void km_spot_add(struct km_spot *spot, double value);

/* The threshold that the share `rate` of values exceeds; +infinity before the first value of a spot without a unit. */
double km_spot_threshold(struct km_spot *spot, double rate);

/* P(X >= x) by the same estimate. */
double km_spot_p(struct km_spot *spot, double x);

#endif
