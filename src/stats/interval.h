/*
 * Intervals for proportions and counts: how much a measured rate can be trusted. All are two-sided at `confidence`
 * (0.95: 2.5 % outside at each end) unless said otherwise. Pure functions; arguments out of their range are our own
 * mistake (KM_ASSERT).
 */
#ifndef KM_STATS_INTERVAL_H
#define KM_STATS_INTERVAL_H

#include <stdint.h>

struct km_interval {
    double low, high;
};

/* A value with its interval. NaN with the widest interval when the data do not define the value. */
struct km_estimate {
    double value;
    struct km_interval interval;
};

/* `successes` of `trials`, 0 ≤ successes ≤ trials; weighted counts need not be whole. No trials: [0, 1]. The score
 * interval of E. B. Wilson, JASA 22 (1927) 209, without continuity correction; recommended for general use by L. D.
 * Brown, T. T. Cai, A. DasGupta, Statistical Science 16 (2001) 101. */
struct km_interval km_interval_wilson(double successes, double trials, double confidence);

/* The same data, never covering less than `confidence`: C. J. Clopper, E. S. Pearson, Biometrika 26 (1934) 404, by beta
 * quantiles. */
struct km_interval km_interval_clopper_pearson(double successes, double trials, double confidence);

/* The expected number of events when `events` were seen: F. Garwood, Biometrika 28 (1936) 437, exact, by chi-square
 * quantiles. Divide both ends by the exposure (days, images) for a rate. */
struct km_interval km_interval_poisson(uint64_t events, double confidence);

/* The largest rate that still gives no event in `trials` with probability 1 − confidence: one-sided,
 * 1 − (1 − confidence)^(1/trials). At 0.95 nearly 3 / trials, the "rule of three" (J. A. Hanley, A. Lippman-Hand, JAMA
 * 249 (1983) 1743). No trials: 1. */
double km_interval_zero_upper(uint64_t trials, double confidence);

#endif
