#include "stats/roc.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stats/special.h"

#define RATE_SLACK 1e-9 /* relative: 0.29 · 100 is 28.999999999999996 */

/* Sums of weights in another order differ in their last bits. What comes of that is no variance, which is above 1e-26
 * for one misplaced pair among 10^12, and no failed pair. */
#define VARIANCE_NOISE 1e-26
#define COUNT_NOISE    1e-9

struct sample {
    double score, weight;
    double placement; /* share of the other class that this one beats, ties half */
    bool positive;
};

struct totals {
    double weight, weight_squares;
    size_t count; /* of samples with a weight */
};

static int compare_samples(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;
    return x->score < y->score ? -1 : x->score > y->score;
}

static void add_to_totals(struct totals *totals, double weight)
{
    totals->weight += weight;
    totals->weight_squares += weight * weight;
    totals->count += weight > 0;
}

/* Copies and sorts by score; totals[0] negatives, totals[1] positives. The caller frees. */
static struct sample *sort_samples(const struct km_roc_data *data, struct totals totals[2], struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) struct sample *samples = km_calloc(data->count, sizeof *samples, SIZE_MAX, err);
    if (!samples)
        return NULL;
    totals[0] = totals[1] = (struct totals){0, 0, 0};
    for (size_t i = 0; i < data->count; i++) {
        double weight = data->weights ? data->weights[i] : 1;
        if (isnan(data->scores[i]) || !isfinite(weight) || weight < 0) {
            km_fail(err, KM_FORMAT, "sample %zu has score %g and weight %g", i, data->scores[i], weight);
            return NULL;
        }
        samples[i] = (struct sample){data->scores[i], weight, 0, data->positives[i]};
        add_to_totals(&totals[data->positives[i]], weight);
    }
    if (totals[0].count == 0 || totals[1].count == 0) {
        km_fail(err, KM_NOTFOUND, "%zu positive and %zu negative samples: both are needed", totals[1].count,
                totals[0].count);
        return NULL;
    }
    if (data->count > 1)
        qsort(samples, data->count, sizeof *samples, compare_samples);
    return km_steal(samples);
}

/* One walk over the runs of equal scores: a positive beats the negatives below it and half of those at its score; for a
 * negative the placement is the share of positives that beat *it*. Returns the AUC. */
static double place(struct sample *samples, size_t count, const struct totals totals[2])
{
    double below[2] = {0, 0}, sum = 0;
    for (size_t start = 0, end; start < count; start = end) {
        double here[2] = {0, 0};
        for (end = start; end < count && samples[end].score == samples[start].score; end++)
            here[samples[end].positive] += samples[end].weight;
        double beats = (below[0] + here[0] / 2) / totals[0].weight;
        double beaten = (totals[1].weight - below[1] - here[1] / 2) / totals[1].weight;
        for (size_t i = start; i < end; i++)
            samples[i].placement = samples[i].positive ? beats : beaten;
        sum += here[1] * beats;
        below[0] += here[0];
        below[1] += here[1];
    }
    return sum / totals[1].weight;
}

/* DeLong's variance; with weights the sandwich Σ w² (V − AUC)² / (Σ w)² per class, whose factor n / (n − 1) makes it
 * DeLong's again when the weights are equal. NaN when a class has one sample. */
static double variance(const struct sample *samples, size_t count, const struct totals totals[2], double auc)
{
    double squares[2] = {0, 0};
    for (size_t i = 0; i < count; i++) {
        double part = samples[i].weight * (samples[i].placement - auc);
        squares[samples[i].positive] += part * part;
    }
    double sum = 0;
    for (int class = 0; class < 2; class ++) {
        if (totals[class].count < 2)
            return NAN;
        double n = (double)totals[class].count;
        sum += squares[class] / (totals[class].weight * totals[class].weight) * n / (n - 1);
    }
    return sum;
}

/* Kish's number of samples. */
static double effective_count(const struct totals *totals)
{
    return totals->weight * totals->weight / totals->weight_squares;
}

static double from_logit(double x)
{
    return 1 / (1 + exp(-x));
}

static struct km_interval auc_interval(double auc, double variance_of_auc, const struct totals totals[2],
                                       double confidence)
{
    if (auc <= 0 || auc >= 1 || !(variance_of_auc > VARIANCE_NOISE)) {
        double pairs = fmin(effective_count(&totals[0]), effective_count(&totals[1])), right = auc * pairs;
        right = right < COUNT_NOISE ? 0 : right > pairs - COUNT_NOISE ? pairs : right;
        return km_interval_clopper_pearson(right, pairs, confidence);
    }
    double z = -km_special_normal_quantile((1 - confidence) / 2);
    double centre = log(auc) - log1p(-auc), half = z * sqrt(variance_of_auc) / (auc * (1 - auc));
    return (struct km_interval){from_logit(centre - half), from_logit(centre + half)};
}

enum km_code km_roc_auc(const struct km_roc_data *data, double confidence, struct km_estimate *out, struct km_err *err)
{
    KM_ASSERT(confidence > 0 && confidence < 1);
    struct totals totals[2];
    KM_CLEANUP(km_cleanup_free) struct sample *samples = sort_samples(data, totals, err);
    if (!samples)
        return err->code;
    double auc = place(samples, data->count, totals);
    double spread = variance(samples, data->count, totals, auc);
    *out = (struct km_estimate){auc, auc_interval(auc, spread, totals, confidence)};
    return KM_OK;
}

/* Walks down the scores while the negatives above the next one still fit into the rate. */
static double find_threshold(const struct sample *samples, size_t count, double allowed, double *out_above)
{
    double above = 0;
    size_t end = count;
    while (end > 0) {
        double here = 0, score = samples[end - 1].score;
        size_t start = end;
        for (; start > 0 && samples[start - 1].score == score; start--)
            here += samples[start - 1].positive ? 0 : samples[start - 1].weight;
        if (above + here > allowed) {
            *out_above = above;
            return score;
        }
        above += here;
        end = start;
    }
    *out_above = above;
    return -INFINITY;
}

enum km_code km_roc_at_false_positive_rate(const struct km_roc_data *data, double max_false_positive_rate,
                                           double confidence, struct km_roc_point *out, struct km_err *err)
{
    KM_ASSERT(max_false_positive_rate >= 0 && max_false_positive_rate <= 1);
    struct totals totals[2];
    KM_CLEANUP(km_cleanup_free) struct sample *samples = sort_samples(data, totals, err);
    if (!samples)
        return err->code;
    double above = 0, found = 0;
    double allowed = max_false_positive_rate * totals[0].weight * (1 + RATE_SLACK);
    double threshold = find_threshold(samples, data->count, allowed, &above);
    for (size_t i = 0; i < data->count; i++)
        if (samples[i].positive && (samples[i].score > threshold || threshold == -INFINITY))
            found += samples[i].weight;
    double rate = fmin(found / totals[1].weight, 1), trials = effective_count(&totals[1]);
    out->threshold = threshold;
    out->false_positive_rate = above / totals[0].weight;
    out->true_positive_rate = (struct km_estimate){rate, km_interval_wilson(rate * trials, trials, confidence)};
    return KM_OK;
}

struct member {
    uint32_t group;
    bool positive;
    size_t sample;
};

static int compare_members(const void *a, const void *b)
{
    const struct member *x = a, *y = b;
    if (x->positive != y->positive)
        return x->positive ? 1 : -1;
    return x->group < y->group ? -1 : x->group > y->group;
}

enum km_code km_roc_weigh_groups(const uint32_t *groups, const bool *positives, size_t count, double *out_weights,
                                 struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) struct member *members = km_calloc(count, sizeof *members, SIZE_MAX, err);
    if (!members)
        return err->code;
    for (size_t i = 0; i < count; i++)
        members[i] = (struct member){groups[i], positives[i], i};
    if (count > 1)
        qsort(members, count, sizeof *members, compare_members);
    for (size_t start = 0, end; start < count; start = end) {
        for (end = start; end < count && compare_members(&members[start], &members[end]) == 0; end++)
            continue;
        for (size_t i = start; i < end; i++)
            out_weights[members[i].sample] = 1 / (double)(end - start);
    }
    return KM_OK;
}
