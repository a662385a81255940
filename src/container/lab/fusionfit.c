#include "container/lab/fusionfit.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"
#include "container/lab/figures.h"
#include "container/lab/lookalike.h"

#define PENALTY 1.0
#define PARTS   2

static const struct {
    enum km_filescore_part part;
    double low, high;
} known[PARTS] = {{KM_FILESCORE_TOKENS, -INFINITY, INFINITY},
                  {KM_FILESCORE_NETWORK, KM_FUSIONFIT_NETWORK_LOW, KM_FUSIONFIT_NETWORK_HIGH}};

struct fit {
    const struct km_fusionfit_plan *plan;
    size_t parts[PARTS], part_count; /* of `known`: those that there are */
    double *values;                  /* [samples][PARTS] */
    struct km_additive_sample *samples;
    size_t count;
};

static double bounded(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value; /* NaN stays */
}

/* Both classes weigh as many samples as there are positives, each family of a class the same. */
static enum km_code weigh_samples(struct km_figure_files *files, struct fit *fit, struct km_err *err)
{
    enum km_code code = km_figure_files_weigh(files, true, err);
    double sums[2] = {0, 0};
    for (size_t i = 0; i < files->count && code == KM_OK; i++)
        sums[fit->samples[i].positive] += files->weights[i];
    if (code == KM_OK && !(sums[0] > 0 && sums[1] > 0))
        return km_fail(err, KM_FORMAT, "a fusion needs positive and benign samples");
    for (size_t i = 0; i < files->count && code == KM_OK; i++)
        fit->samples[i].weight = files->weights[i] * sums[1] / sums[fit->samples[i].positive];
    return code;
}

static enum km_code collect(const struct km_dataset *dataset, struct fit *fit, struct km_err *err)
{
    struct km_figure_files files = {0}; /* for the weights of families */
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(dataset) && code == KM_OK; i++) {
        if (!fit->plan->among[i])
            continue;
        const struct km_sample *sample = km_dataset_get(dataset, i);
        double *own = fit->values + fit->count * PARTS;
        for (size_t j = 0; j < fit->part_count; j++) {
            size_t part = fit->parts[j];
            own[j] = bounded(fit->plan->scores[i].parts[known[part].part], known[part].low, known[part].high);
        }
        bool positive = sample->role == KM_RECIPE_POSITIVE;
        fit->samples[fit->count++] = (struct km_additive_sample){own, 1, positive};
        code = km_figure_files_add(&files, 0, positive, sample->family_id, err);
    }
    if (code == KM_OK)
        code = weigh_samples(&files, fit, err);
    km_figure_files_done(&files);
    return code;
}

static enum km_code fit_weights(const struct fit *fit, struct km_additive **out, struct km_err *err)
{
    static const bool rising[PARTS] = {true, true};
    const char *names[PARTS];
    for (size_t j = 0; j < fit->part_count; j++)
        names[j] = km_filescore_name(known[fit->parts[j]].part);
    const struct km_additive_fit plan = {names, fit->part_count, fit->samples, fit->count, PENALTY, rising};
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = km_additive_fit(&plan, err);
    enum km_code code = fusion ? KM_OK : err->code;
    for (size_t j = 0; j < fit->part_count && code == KM_OK; j++) {
        struct km_additive_term term = *km_additive_term(fusion, j);
        term.low = known[fit->parts[j]].low;
        term.high = known[fit->parts[j]].high;
        code = km_additive_set_term(fusion, &term, err);
    }
    if (code == KM_OK)
        *out = km_steal(fusion);
    return code;
}

static enum km_code calibrate(const struct km_dataset *dataset, const struct km_fusionfit_plan *plan,
                              struct km_additive *fusion, struct km_err *err)
{
    size_t count = km_dataset_count(dataset), found = 0;
    KM_CLEANUP(km_cleanup_free) double *negatives = km_calloc(count, sizeof *negatives, SIZE_MAX, err);
    if (!negatives)
        return err->code;
    for (size_t i = 0; i < count; i++)
        if (plan->among[i] && km_dataset_get(dataset, i)->role != KM_RECIPE_POSITIVE)
            negatives[found++] = km_filescore_fuse(fusion, &plan->scores[i]);
    struct km_calibration calibration;
    km_calibration_choose(negatives, found, plan->wanted, &calibration);
    (void)snprintf(calibration.set, sizeof calibration.set, "%s", plan->set);
    km_additive_set_calibration(fusion, &calibration);
    return KM_OK;
}

enum km_code km_fusionfit_run(const struct km_dataset *dataset, const struct km_fusionfit_plan *plan,
                              struct km_additive **out, struct km_err *err)
{
    size_t count = km_dataset_count(dataset);
    KM_CLEANUP(km_cleanup_free) double *values = km_calloc(count * PARTS, sizeof *values, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_additive_sample *samples = values ? km_calloc(count, sizeof *samples, SIZE_MAX, err) : NULL;
    if (!samples)
        return err->code;
    struct fit fit = {.plan = plan, .values = values, .samples = samples};
    const bool there[PARTS] = {plan->tokens, plan->network};
    for (size_t i = 0; i < PARTS; i++)
        if (there[i])
            fit.parts[fit.part_count++] = i;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = NULL;
    enum km_code code = collect(dataset, &fit, err);
    if (code == KM_OK)
        code = fit_weights(&fit, &fusion, err);
    if (code == KM_OK && plan->lookalike)
        code = km_lookalike_set(fusion, plan->site, err);
    if (code == KM_OK)
        code = calibrate(dataset, plan, fusion, err);
    if (code == KM_OK)
        *out = km_steal(fusion);
    return code;
}
