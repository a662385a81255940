#include "container/lab/tokenfit.h"

#include <math.h>
#include <stdio.h>

#include "container/lab/trainwindows.h"
#include "container/tokens/tokenjudge.h"

static bool is_positive(const struct km_sample *sample)
{
    return sample->role == KM_RECIPE_POSITIVE;
}

/* 1 / (chosen samples of its family) for each chosen sample, 0 for the others. */
static double *weigh(const struct km_dataset *dataset, const bool *chosen, struct km_err *err)
{
    size_t count = km_dataset_count(dataset), families = km_dataset_families(dataset);
    KM_CLEANUP(km_cleanup_free) size_t *sizes = km_calloc(families, sizeof *sizes, SIZE_MAX, err);
    double *weights = sizes ? km_calloc(count, sizeof *weights, SIZE_MAX, err) : NULL;
    if (!weights)
        return NULL;
    for (size_t i = 0; i < count; i++)
        sizes[km_dataset_get(dataset, i)->family_id] += chosen[i];
    for (size_t i = 0; i < count; i++)
        weights[i] = chosen[i] ? 1 / (double)sizes[km_dataset_get(dataset, i)->family_id] : 0;
    return weights;
}

enum km_code km_tokenfit_calibrate(const struct km_dataset *dataset, const bool *held, const double *logits,
                                   struct km_token_model *model, struct km_err *err)
{
    size_t count = km_dataset_count(dataset), found = 0;
    KM_CLEANUP(km_cleanup_free) double *weights = weigh(dataset, held, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_token_observation *seen = weights ? km_calloc(count, sizeof *seen, SIZE_MAX, err) : NULL;
    if (!seen)
        return err->code;
    for (size_t i = 0; i < count; i++)
        if (held[i] && !isnan(logits[i]))
            seen[found++] = (struct km_token_observation){logits[i], logits[i], weights[i],
                                                          is_positive(km_dataset_get(dataset, i))};
    return km_token_model_calibrate(model, seen, found, err);
}

static enum km_code calibrate(const struct km_dataset *dataset, const bool *held, struct km_token_model *model,
                              struct km_err *err)
{
    size_t count = km_dataset_count(dataset);
    KM_CLEANUP(km_token_judge_cleanup) struct km_token_judge *judge = km_token_judge_new(model, err);
    KM_CLEANUP(km_cleanup_free) double *logits = judge ? km_calloc(count, sizeof *logits, SIZE_MAX, err) : NULL;
    if (!logits)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        if (!held[i])
            continue;
        const struct km_sample *sample = km_dataset_get(dataset, i);
        struct km_token_verdict verdict;
        km_token_judge_begin(judge);
        km_token_judge_feed(judge, sample->bytes, sample->length);
        km_token_judge_end(judge, &verdict);
        bool has_words = !isnan(verdict.file_logit) && !isnan(verdict.window_logit);
        logits[i] = has_words ? fmax(verdict.file_logit, verdict.window_logit) : NAN;
    }
    return km_tokenfit_calibrate(dataset, held, logits, model, err);
}

/* What a model learns from; numbers: of each sample in the data set, those of the site's files behind the others. */
struct lesson {
    const struct km_dataset *dataset;
    const struct km_tokenfit_plan *plan;
    struct km_token_sample *samples;
    size_t *numbers;
    size_t count;
};

static void gather(struct lesson *lesson, const struct km_sampletokens *tokens, const double *weights)
{
    const struct km_tokenfit_plan *plan = lesson->plan;
    size_t own = plan->site ? plan->site->count : 0;
    for (size_t i = 0; i < km_dataset_count(lesson->dataset); i++) {
        bool positive = is_positive(km_dataset_get(lesson->dataset, i));
        if (!plan->train[i] || (!positive && own > 0))
            continue;
        lesson->numbers[lesson->count] = i;
        lesson->samples[lesson->count++] =
            (struct km_token_sample){km_sampletokens_get(tokens, i), weights[i], positive};
    }
    for (size_t i = 0; i < own; i++) {
        const struct km_sitefile *file = &plan->site->files[i];
        lesson->numbers[lesson->count] = km_dataset_count(lesson->dataset) + i;
        lesson->samples[lesson->count++] = (struct km_token_sample){{file->ids, file->count}, 1, false};
    }
}

/* The model of whole files says which window of each is the strongest; the one that stays learns from both. */
static enum km_code learn_windows(const struct lesson *lesson, const struct km_token_model *first,
                                  struct km_token_model **out, struct km_err *err)
{
    KM_CLEANUP(km_trainwindows_cleanup)
    struct km_trainwindows *windows = km_trainwindows_new(first, lesson->count, err);
    if (!windows)
        return err->code;
    for (size_t i = 0; i < lesson->count; i++) {
        const struct km_sample *sample = km_dataset_get(lesson->dataset, lesson->numbers[i]);
        enum km_code code = km_trainwindows_read(windows, i, sample->bytes, sample->length, err);
        if (code != KM_OK)
            return code;
    }
    const struct km_token_train_options options = {.strength = KM_TOKENFIT_STRENGTH,
                                                   .windows = km_trainwindows_sets(windows)};
    return km_token_train(lesson->samples, lesson->count, &options, out, NULL, err);
}

/* With a site's files as the benign side windows cost more than they bring (README.md). */
static enum km_code learn(const struct lesson *lesson, struct km_token_model **out, struct km_err *err)
{
    const struct km_token_train_options options = {.strength = KM_TOKENFIT_STRENGTH};
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *first = NULL;
    enum km_code code = km_token_train(lesson->samples, lesson->count, &options, &first, NULL, err);
    if (code == KM_OK && !lesson->plan->site && !lesson->plan->files_alone)
        return learn_windows(lesson, first, out, err);
    if (code == KM_OK)
        *out = km_steal(first);
    return code;
}

enum km_code km_tokenfit_model(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                               const struct km_tokenfit_plan *plan, struct km_token_model **out, struct km_err *err)
{
    size_t most = km_dataset_count(dataset) + (plan->site ? plan->site->count : 0);
    KM_CLEANUP(km_cleanup_free) double *weights = weigh(dataset, plan->train, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_token_sample *samples = weights ? km_calloc(most, sizeof *samples, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free) size_t *numbers = samples ? km_calloc(most, sizeof *numbers, SIZE_MAX, err) : NULL;
    if (!numbers)
        return err->code;
    struct lesson lesson = {.dataset = dataset, .plan = plan, .samples = samples, .numbers = numbers};
    gather(&lesson, tokens, weights);
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = NULL;
    enum km_code code = learn(&lesson, &model, err);
    if (code == KM_OK && plan->held)
        code = calibrate(dataset, plan->held, model, err);
    if (code == KM_OK)
        *out = km_steal(model);
    return code;
}

/* ---- The index ---- */

static enum km_code add(struct km_token_index *index, const struct km_dataset *dataset,
                        const struct km_sampletokens *tokens, size_t number, struct km_err *err)
{
    const struct km_sample *sample = km_dataset_get(dataset, number);
    const struct km_token_set set = km_sampletokens_get(tokens, number);
    char file[KM_TOKEN_INDEX_LABEL_BYTES];
    (void)snprintf(file, sizeof file, "%.40s %.80s", sample->version, sample->path);
    return km_token_index_add(index, is_positive(sample) ? KM_TOKEN_INDEX_POSITIVE : KM_TOKEN_INDEX_BENIGN,
                              sample->package, file, &set, err);
}

/* Whether fewer than `most` chosen samples of the family have more tokens: ties go to the earlier one. */
static bool is_among_largest(const struct km_dataset *dataset, const struct km_sampletokens *tokens, const bool *known,
                             size_t number, size_t most)
{
    const struct km_sample *sample = km_dataset_get(dataset, number);
    size_t own = km_sampletokens_get(tokens, number).count, larger = 0;
    for (size_t i = 0; i < km_dataset_count(dataset) && larger < most; i++) {
        size_t size = known[i] && km_dataset_get(dataset, i)->family_id == sample->family_id
                          ? km_sampletokens_get(tokens, i).count
                          : 0;
        larger += size > own || (size == own && size > 0 && i < number);
    }
    return larger < most;
}

enum km_code km_tokenfit_index(const struct km_dataset *dataset, const struct km_sampletokens *tokens,
                               const bool *known, size_t most_benign, struct km_token_index **out, struct km_err *err)
{
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = km_token_index_new(err);
    if (!index)
        return err->code;
    for (size_t i = 0; i < km_dataset_count(dataset); i++) {
        if (!known[i] ||
            (!is_positive(km_dataset_get(dataset, i)) && !is_among_largest(dataset, tokens, known, i, most_benign)))
            continue;
        enum km_code code = add(index, dataset, tokens, i, err);
        if (code != KM_OK)
            return code;
    }
    *out = km_steal(index);
    return KM_OK;
}

enum km_code km_tokenfit_add_site(struct km_token_index *index, const struct km_sitefiles *site, struct km_err *err)
{
    for (size_t i = 0; i < site->count; i++) {
        const struct km_token_set set = {site->files[i].ids, site->files[i].count};
        enum km_code code = km_token_index_add(index, KM_TOKEN_INDEX_BENIGN, "site", site->files[i].label, &set, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}
