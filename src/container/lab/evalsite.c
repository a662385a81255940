/*
 * Calibrated on the site's own images: the benign test packages at home are the site's, their next release is what
 * comes to be scanned, and families that nobody has seen are what must be found among it.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "container/lab/evaluation_parts.h"
#include "container/lab/lookalike.h"
#include "container/lab/tokenfit.h"

#define NEXT_SUITE "trixie"

static bool is_site(const struct km_sample *sample)
{
    return km_evaluating_is_test(sample) && sample->role != KM_RECIPE_POSITIVE;
}

static bool is_judged(const struct km_sample *sample)
{
    bool unseen = km_evaluating_is_test(sample) && sample->role == KM_RECIPE_POSITIVE;
    bool next = !sample->home && sample->split == KM_RECIPE_TEST && sample->role != KM_RECIPE_POSITIVE &&
                strcmp(sample->suite, NEXT_SUITE) == 0;
    return unseen || next;
}

/* The network's answers: what is judged has them, foreign files get them from the detector. */
static enum km_code copy_network(struct km_evaluating *work, const struct km_siting *siting, struct km_err *err)
{
    const struct km_filescore_work scoring = {work->options->threads, work->options->cancel, NULL, NULL};
    enum km_code code =
        km_filescore_samples(work->parts, work->dataset, siting->foreign, &scoring, siting->scores, err);
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++)
        if (siting->judged[i])
            siting->scores[i] = work->scores[i];
    return code;
}

static enum km_code score_words(struct km_evaluating *work, const struct km_siting *siting,
                                const struct km_modelparts *parts, const struct km_additive *fusion, const bool *which,
                                struct km_err *err)
{
    size_t count = km_dataset_count(work->dataset);
    KM_CLEANUP(km_cleanup_free) struct km_filescore *words = km_calloc(count, sizeof *words, SIZE_MAX, err);
    if (!words)
        return err->code;
    const struct km_filescore_work scoring = {work->options->threads, work->options->cancel, NULL, NULL};
    enum km_code code = km_filescore_samples(parts, work->dataset, which, &scoring, words, err);
    for (size_t i = 0; i < count && code == KM_OK; i++)
        if (which[i]) {
            words[i].parts[KM_FILESCORE_NETWORK] = siting->scores[i].parts[KM_FILESCORE_NETWORK];
            words[i].parts[KM_FILESCORE_FUSED] = km_filescore_fuse(fusion, &words[i]);
            siting->scores[i] = words[i];
        }
    return code;
}

static enum km_code score_all(struct km_evaluating *work, const struct km_siting *siting,
                              const struct km_token_model *model, struct km_token_index *index, struct km_err *err)
{
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = km_additive_copy(work->parts->fusion, err);
    enum km_code code = fusion ? km_lookalike_set(fusion, true, err) : err->code;
    if (code == KM_OK)
        code = km_token_index_prepare(index, km_token_model_idf(model), err);
    if (code == KM_OK)
        code = copy_network(work, siting, err);
    const struct km_token_index *indexes[] = {index};
    const struct km_modelparts parts = {.tokens = model, .indexes = indexes, .index_count = 1};
    if (code == KM_OK)
        code = score_words(work, siting, &parts, fusion, siting->judged, err);
    return code == KM_OK ? score_words(work, siting, &parts, fusion, siting->foreign, err) : code;
}

static enum km_code add_part(struct km_evaluating *work, const struct km_filescore *scores, const bool *judged,
                             enum km_filescore_part part, const char *stem, struct km_err *err)
{
    struct km_figure_files files = {0};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        if (judged[i])
            code = km_figure_files_add(&files, scores[i].parts[part], sample->role == KM_RECIPE_POSITIVE,
                                       sample->family_id, err);
    }
    if (code == KM_OK)
        code = km_evaluating_add(work, stem, &files, true, err);
    km_figure_files_done(&files);
    return code;
}

static enum km_code retrain(struct km_evaluating *work, const struct km_siting *siting,
                            struct km_token_model **out_model, struct km_token_index **out_index, struct km_err *err)
{
    const struct km_sampletokens_work extracting = {work->options->cancel, NULL, NULL};
    KM_CLEANUP(km_sampletokens_cleanup)
    struct km_sampletokens *tokens = km_sampletokens_new(work->dataset, siting->known, &extracting, err);
    if (!tokens)
        return err->code;
    const struct km_tokenfit_plan plan = {.train = siting->train, .held = siting->valid, .files_alone = true};
    enum km_code code = km_tokenfit_model(work->dataset, tokens, &plan, out_model, err);
    return code == KM_OK ? km_tokenfit_index(work->dataset, tokens, siting->known, SIZE_MAX, out_index, err) : code;
}

static enum km_code run_site(struct km_evaluating *work, const struct km_siting *siting, struct km_err *err)
{
    KM_CLEANUP(km_token_model_cleanup) struct km_token_model *model = NULL;
    KM_CLEANUP(km_token_index_cleanup) struct km_token_index *index = NULL;
    enum km_code code = retrain(work, siting, &model, &index, err);
    if (code == KM_OK)
        code = score_all(work, siting, model, index, err);
    if (code == KM_OK)
        code = add_part(work, siting->scores, siting->judged, KM_FILESCORE_FUSED, "detect.site", err);
    if (code == KM_OK)
        code = km_evaluating_site_origin(work, siting, err);
    if (code == KM_OK)
        code = add_part(work, siting->scores, siting->judged, KM_FILESCORE_TOKENS, "detect.site.tokens", err);
    if (code == KM_OK)
        code = add_part(work, siting->scores, siting->judged, KM_FILESCORE_LOOKALIKE, "detect.site.lookalike", err);
    return code;
}

enum km_code km_evaluating_site(struct km_evaluating *work, struct km_err *err)
{
    if (!work->parts->tokens)
        return KM_OK;
    size_t count = km_dataset_count(work->dataset), next = 0, unseen = 0;
    KM_CLEANUP(km_cleanup_free) bool *marks = km_calloc(count, 5, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free)
    struct km_filescore *scores = marks ? km_calloc(count, sizeof *scores, SIZE_MAX, err) : NULL;
    if (!scores)
        return err->code;
    const struct km_siting siting = {marks, marks + count, marks + 2 * count, marks + 3 * count, marks + 4 * count,
                                     scores};
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        bool training = sample->home && sample->split == KM_RECIPE_TRAIN;
        siting.train[i] = (training && sample->role == KM_RECIPE_POSITIVE) || is_site(sample);
        siting.known[i] = training || is_site(sample);
        siting.valid[i] = sample->home && sample->split == KM_RECIPE_VALID;
        siting.judged[i] = is_judged(sample);
        siting.foreign[i] = siting.valid[i] && sample->role != KM_RECIPE_POSITIVE;
        unseen += siting.judged[i] && sample->role == KM_RECIPE_POSITIVE;
        next += siting.judged[i] && sample->role != KM_RECIPE_POSITIVE;
    }
    return unseen > 0 && next > 0 ? run_site(work, &siting, err) : KM_OK;
}
