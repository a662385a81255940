/*
 * How well a score ranks positives above negatives, and what it finds at a given rate of false alarms.
 *
 * Weights: NULL, or one per sample, finite and ≥ 0, to let each *family* of samples count the same instead of each
 * sample (km_roc_weigh_groups). Intervals treat samples as independent, with an effective number (Σw)² / Σw² (L. Kish,
 * Survey Sampling, 1965) where a count is needed; samples of one family are not independent, so beside weights report
 * the cluster bootstrap too (bootstrap.h) and believe the wider one.
 *
 * Errors of all: KM_FORMAT (a score is NaN, a weight is negative or not finite), KM_NOTFOUND (no positives or no
 * negatives, or their weights are all zero), KM_NOMEM.
 */
#ifndef KM_STATS_ROC_H
#define KM_STATS_ROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "stats/interval.h"

struct km_roc_data {
    const double *scores;  /* [count]; higher is more suspicious; infinities are ordered, NaN is refused */
    const bool *positives; /* [count] */
    const double *weights; /* [count] or NULL */
    size_t count;
};

/* The probability that a positive scores above a negative, ties counting one half: Mann and Whitney's U by midranks in
 * O(n log n) (X. Sun, W. Xu, IEEE Signal Processing Letters 21 (2014) 1389). The interval: variance of E. R. DeLong, D.
 * M. DeLong, D. L. Clarke-Pearson, Biometrics 44 (1988) 837, on the logit scale (M. S. Pepe, The Statistical Evaluation
 * of Medical Tests, 2003, 5.2). Where that variance is zero or undefined (perfect ranking, one sample of a class), k =
 * AUC · n of n = min(positives, negatives) disjoint pairs take its place in Clopper and Pearson's interval: exact for a
 * perfect ranking without weights, and conservative, for it uses n independent pairs only. */
enum km_code km_roc_auc(const struct km_roc_data *data, double confidence, struct km_estimate *out,
                        struct km_err *err) KM_MUST_USE;

struct km_roc_point {
    double threshold;           /* alarm: score > threshold, strictly; −infinity when every sample may alarm */
    double false_positive_rate; /* what is reached, ≤ what was asked for */
    struct km_estimate true_positive_rate;
};

/* The most sensitive threshold whose share of negatives above it is at most max_false_positive_rate (0 … 1). A tie with
 * the threshold is no alarm, so equal scores never buy detections that the rate does not allow. The interval is
 * Wilson's for the positives, with the threshold taken as given: choose it on other data than it is judged on. */
enum km_code km_roc_at_false_positive_rate(const struct km_roc_data *data, double max_false_positive_rate,
                                           double confidence, struct km_roc_point *out, struct km_err *err) KM_MUST_USE;

/* Weights for which every group of positives and every group of negatives weighs 1: out_weights[i] = 1 / (samples of
 * the same class and group). groups: [count] numbers of any value. KM_NOMEM. */
enum km_code km_roc_weigh_groups(const uint32_t *groups, const bool *positives, size_t count, double *out_weights,
                                 struct km_err *err) KM_MUST_USE;

#endif
