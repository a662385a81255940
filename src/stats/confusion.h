/*
 * Alarms against the truth: counts, and the rates made of them. Precision depends on how common positives are in the
 * data that was counted: it says nothing about another mixture.
 */
#ifndef KM_STATS_CONFUSION_H
#define KM_STATS_CONFUSION_H

#include <stdbool.h>
#include <stdint.h>

#include "stats/interval.h"

struct km_confusion {
    uint64_t true_positives, false_positives, true_negatives, false_negatives;
};

/* Counts one sample: was it positive, was there an alarm. */
void km_confusion_add(struct km_confusion *confusion, bool positive, bool alarm);

/* Share of alarms that are right; share of positives that raise an alarm; share of negatives that do. Intervals:
 * Wilson. NaN and [0, 1] when there is no alarm, no positive, no negative. */
struct km_estimate km_confusion_precision(const struct km_confusion *confusion, double confidence);
struct km_estimate km_confusion_recall(const struct km_confusion *confusion, double confidence);
struct km_estimate km_confusion_false_positive_rate(const struct km_confusion *confusion, double confidence);

/* Harmonic mean of precision and recall (C. J. van Rijsbergen, Information Retrieval, 1979), 2TP / (2TP + FP + FN). NaN
 * without positives and alarms. Not a proportion of independent trials: for an interval, bootstrap it. */
double km_confusion_f1(const struct km_confusion *confusion);

#endif
