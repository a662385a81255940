#include "container/lab/figures.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "stats/bootstrap.h"
#include "stats/roc.h"

#define MAX_FILES ((size_t)1 << 24)
#define SEED      1

void km_figure_files_done(struct km_figure_files *files)
{
    free(files->scores);
    free(files->positives);
    free(files->families);
    free(files->weights);
    *files = (struct km_figure_files){0};
}

enum km_code km_figure_files_add(struct km_figure_files *files, double score, bool positive, uint32_t family,
                                 struct km_err *err)
{
    size_t capacities[4] = {files->capacity, files->capacity, files->capacity, files->capacity};
    size_t needed = files->count + 1;
    enum km_code code = km_grow((void **)&files->scores, &capacities[0], needed, sizeof *files->scores, MAX_FILES, err);
    if (code == KM_OK)
        code = km_grow((void **)&files->positives, &capacities[1], needed, sizeof *files->positives, MAX_FILES, err);
    if (code == KM_OK)
        code = km_grow((void **)&files->families, &capacities[2], needed, sizeof *files->families, MAX_FILES, err);
    if (code == KM_OK)
        code = km_grow((void **)&files->weights, &capacities[3], needed, sizeof *files->weights, MAX_FILES, err);
    for (int i = 0; i < 4; i++) /* what grew before a failure is only larger than it is said to be */
        files->capacity = i == 0 || capacities[i] < files->capacity ? capacities[i] : files->capacity;
    if (code != KM_OK)
        return code;
    files->scores[files->count] = isnan(score) ? -INFINITY : score;
    files->positives[files->count] = positive;
    files->families[files->count] = family;
    files->weights[files->count] = 1;
    files->count++;
    return KM_OK;
}

enum km_code km_figure_files_weigh(struct km_figure_files *files, bool even_benign, struct km_err *err)
{
    enum km_code code = km_roc_weigh_groups(files->families, files->positives, files->count, files->weights, err);
    for (size_t i = 0; code == KM_OK && !even_benign && i < files->count; i++)
        if (!files->positives[i])
            files->weights[i] = 1;
    return code;
}

/* ---- One statistic, of the files or of a draw of them ---- */

struct statistic {
    const struct km_figure_files *files;
    bool share;
    double rate; /* NaN: the AUC */
    double *scores, *weights;
    bool *positives;
    size_t capacity;
};

static void statistic_done(struct statistic *statistic)
{
    free(statistic->scores);
    free(statistic->weights);
    free(statistic->positives);
}

static bool make_room(struct statistic *statistic, size_t count)
{
    if (count <= statistic->capacity)
        return true;
    size_t wanted = count * 2;
    struct km_err err = KM_ERR_INIT;
    statistic_done(statistic);
    statistic->scores = km_calloc(wanted, sizeof *statistic->scores, SIZE_MAX, &err);
    statistic->weights = km_calloc(wanted, sizeof *statistic->weights, SIZE_MAX, &err);
    statistic->positives = km_calloc(wanted, sizeof *statistic->positives, SIZE_MAX, &err);
    statistic->capacity = wanted;
    return statistic->scores && statistic->weights && statistic->positives;
}

static double compute(void *context, const uint32_t *samples, size_t count)
{
    struct statistic *statistic = context;
    struct km_err err = KM_ERR_INIT;
    double sum = 0, weight = 0;
    for (size_t i = 0; statistic->share && i < count; i++) {
        sum += statistic->files->weights[samples[i]] * statistic->files->scores[samples[i]];
        weight += statistic->files->weights[samples[i]];
    }
    if (statistic->share)
        return sum / weight;
    if (!make_room(statistic, count))
        return NAN;
    for (size_t i = 0; i < count; i++) {
        statistic->scores[i] = statistic->files->scores[samples[i]];
        statistic->weights[i] = statistic->files->weights[samples[i]];
        statistic->positives[i] = statistic->files->positives[samples[i]];
    }
    const struct km_roc_data data = {statistic->scores, statistic->positives, statistic->weights, count};
    struct km_estimate auc;
    struct km_roc_point point;
    if (isnan(statistic->rate))
        return km_roc_auc(&data, KM_FIGURE_CONFIDENCE, &auc, &err) == KM_OK ? auc.value : NAN;
    return km_roc_at_false_positive_rate(&data, statistic->rate, KM_FIGURE_CONFIDENCE, &point, &err) == KM_OK
               ? point.true_positive_rate.value
               : NAN;
}

static enum km_code run(const char *name, struct statistic *statistic, struct km_figure *out, struct km_err *err)
{
    const struct km_figure_files *files = statistic->files;
    const struct km_bootstrap_statistic bootstrap = {compute, statistic};
    const struct km_bootstrap_plan plan = {files->families, files->count, KM_FIGURE_REPLICATES, KM_FIGURE_CONFIDENCE,
                                           SEED};
    struct km_bootstrap_result result;
    enum km_code code = km_bootstrap_run(&plan, &bootstrap, &result, err);
    statistic_done(statistic);
    if (code != KM_OK)
        return km_err_wrap(err, "%s", name);
    struct km_figure figure = {.value = result.value,
                               .low = fmin(result.percentile.low, result.value),
                               .high = fmax(result.percentile.high, result.value),
                               .reached = NAN};
    (void)snprintf(figure.name, sizeof figure.name, "%s", name);
    for (size_t i = 0; i < files->count; i++) {
        figure.positives += files->positives[i];
        figure.negatives += !files->positives[i];
    }
    *out = figure;
    return KM_OK;
}

enum km_code km_figure_auc(const char *name, const struct km_figure_files *files, struct km_figure *out,
                           struct km_err *err)
{
    struct statistic statistic = {.files = files, .rate = NAN};
    return run(name, &statistic, out, err);
}

enum km_code km_figure_tpr(const char *name, const struct km_figure_files *files, double rate, struct km_figure *out,
                           struct km_err *err)
{
    struct statistic statistic = {.files = files, .rate = rate};
    enum km_code code = run(name, &statistic, out, err);
    const struct km_roc_data data = {files->scores, files->positives, files->weights, files->count};
    struct km_roc_point point;
    if (code == KM_OK)
        code = km_roc_at_false_positive_rate(&data, rate, KM_FIGURE_CONFIDENCE, &point, err);
    if (code == KM_OK)
        out->reached = point.false_positive_rate;
    return code;
}

enum km_code km_figure_share(const char *name, const struct km_figure_files *files, struct km_figure *out,
                             struct km_err *err)
{
    struct statistic statistic = {.files = files, .share = true};
    return run(name, &statistic, out, err);
}
