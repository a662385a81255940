#include "container/lab/evaluation.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "container/lab/evaluation_parts.h"

#define TWIN_SEED 1

bool km_evaluating_is_test(const struct km_sample *sample)
{
    return sample->home && sample->split == KM_RECIPE_TEST;
}

bool km_evaluating_is_known(const struct km_sample *sample)
{
    return !sample->home && sample->role == KM_RECIPE_POSITIVE && sample->split == KM_RECIPE_TRAIN;
}

/* ---- Adding figures ---- */

static bool has_both(const struct km_figure_files *files)
{
    size_t positives = 0;
    for (size_t i = 0; i < files->count; i++)
        positives += files->positives[i];
    return positives > 0 && positives < files->count;
}

static struct km_figure *next_figure(struct km_evaluating *work)
{
    KM_ASSERT(work->out->count < KM_EVALUATION_MAX_FIGURES);
    return &work->out->figures[work->out->count];
}

enum km_code km_evaluating_add_auc(struct km_evaluating *work, const char *name, struct km_figure_files *files,
                                   struct km_err *err)
{
    if (!has_both(files))
        return KM_OK;
    enum km_code code = km_figure_files_weigh(files, true, err);
    if (code == KM_OK)
        code = km_figure_auc(name, files, next_figure(work), err);
    work->out->count += code == KM_OK;
    return code;
}

enum km_code km_evaluating_add(struct km_evaluating *work, const char *stem, struct km_figure_files *files, bool auc,
                               struct km_err *err)
{
    static const struct {
        const char *suffix;
        double rate;
    } rates[] = {{"tpr10", 0.1}, {"tpr1", 0.01}, {"tpr01", 0.001}};
    char name[KM_FIGURE_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.auc", stem);
    enum km_code code = auc ? km_evaluating_add_auc(work, name, files, err) : KM_OK;
    if (code != KM_OK || !has_both(files))
        return code;
    code = km_figure_files_weigh(files, false, err);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0] && code == KM_OK; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", stem, rates[i].suffix);
        code = km_figure_tpr(name, files, rates[i].rate, next_figure(work), err);
        work->out->count += code == KM_OK;
    }
    return code;
}

enum km_code km_evaluating_add_share(struct km_evaluating *work, const char *name, struct km_figure_files *files,
                                     struct km_err *err)
{
    if (files->count == 0)
        return KM_OK;
    enum km_code code = km_figure_files_weigh(files, true, err);
    if (code == KM_OK)
        code = km_figure_share(name, files, next_figure(work), err);
    work->out->count += code == KM_OK;
    return code;
}

/* ---- Unseen families ---- */

/* Positives of families that training has not seen, each with its twin: two files of one family to the bootstrap. */
static enum km_code add_twins(struct km_evaluating *work, const char *name, enum km_filescore_part part,
                              struct km_err *err)
{
    struct km_figure_files files = {0};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        if (!km_evaluating_is_test(sample) || work->twins[i] == KM_DATASET_NO_TWIN)
            continue;
        code = km_figure_files_add(&files, work->scores[i].parts[part], true, sample->family_id, err);
        if (code == KM_OK)
            code = km_figure_files_add(&files, work->scores[work->twins[i]].parts[part], false, sample->family_id, err);
    }
    if (code == KM_OK)
        code = km_evaluating_add_auc(work, name, &files, err);
    km_figure_files_done(&files);
    return code;
}

/* without: a part that the fusion does not get to know; KM_FILESCORE_FUSED: none. */
static double fused_without(const struct km_evaluating *work, size_t sample, enum km_filescore_part without)
{
    struct km_filescore score = work->scores[sample];
    if (without == KM_FILESCORE_FUSED)
        return score.parts[KM_FILESCORE_FUSED];
    score.parts[without] = NAN;
    return km_filescore_fuse(work->parts->fusion, &score);
}

/* Which benign files stand against the positives. */
enum pool {
    POOL_ALL,
    POOL_HARD,  /* administrators' tools alone */
    POOL_PLAIN, /* all but those */
};

static enum km_code collect_pool(const struct km_evaluating *work, enum km_filescore_part part,
                                 enum km_filescore_part without, enum pool pool, struct km_figure_files *files,
                                 struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        bool left_out = (pool == POOL_HARD && sample->role == KM_RECIPE_BENIGN) ||
                        (pool == POOL_PLAIN && sample->role == KM_RECIPE_HARD);
        if (!km_evaluating_is_test(sample) || left_out)
            continue;
        double score = part == KM_FILESCORE_FUSED ? fused_without(work, i, without) : work->scores[i].parts[part];
        code = km_figure_files_add(files, score, sample->role == KM_RECIPE_POSITIVE, sample->family_id, err);
    }
    return code;
}

static enum km_code add_unseen(struct km_evaluating *work, struct km_err *err)
{
    static const struct {
        enum km_filescore_part part;
        const char *name;
    } parts[] = {{KM_FILESCORE_FUSED, "detect.unseen"},
                 {KM_FILESCORE_TOKENS, "detect.unseen.tokens"},
                 {KM_FILESCORE_LOOKALIKE, "detect.unseen.lookalike"},
                 {KM_FILESCORE_NETWORK, "detect.unseen.net"}};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && code == KM_OK; i++) {
        char name[KM_FIGURE_NAME_BYTES];
        struct km_figure_files files = {0};
        /* Of a part alone "the AUC" is the one on twins; of all together both are told. */
        (void)snprintf(name, sizeof name, i == 0 ? "%s.twin.auc" : "%s.auc", parts[i].name);
        code = add_twins(work, name, parts[i].part, err);
        if (code == KM_OK)
            code = collect_pool(work, parts[i].part, KM_FILESCORE_FUSED, POOL_ALL, &files, err);
        (void)snprintf(name, sizeof name, "%s.pool.auc", parts[i].name);
        if (code == KM_OK)
            code = km_evaluating_add_auc(work, name, &files, err);
        if (code == KM_OK)
            code = km_evaluating_add(work, parts[i].name, &files, false, err);
        km_figure_files_done(&files);
    }
    struct km_figure_files files = {0};
    if (code == KM_OK)
        code = collect_pool(work, KM_FILESCORE_FUSED, KM_FILESCORE_FUSED, POOL_HARD, &files, err);
    if (code == KM_OK)
        code = km_evaluating_add_auc(work, "detect.unseen.hard.auc", &files, err);
    km_figure_files_done(&files);
    if (code == KM_OK)
        code = collect_pool(work, KM_FILESCORE_FUSED, KM_FILESCORE_FUSED, POOL_PLAIN, &files, err);
    if (code == KM_OK)
        code = km_evaluating_add(work, "detect.unseen.plain", &files, true, err);
    km_figure_files_done(&files);
    return code;
}

/* What each term is worth: the fusion without it, on unseen families. */
static enum km_code add_ablation(struct km_evaluating *work, struct km_err *err)
{
    static const enum km_filescore_part parts[] = {KM_FILESCORE_TOKENS, KM_FILESCORE_LOOKALIKE, KM_FILESCORE_NETWORK};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0] && code == KM_OK; i++) {
        char name[KM_FIGURE_NAME_BYTES];
        struct km_figure_files files = {0};
        (void)snprintf(name, sizeof name, "ablate.%s", km_filescore_name(parts[i]));
        code = collect_pool(work, KM_FILESCORE_FUSED, parts[i], POOL_ALL, &files, err);
        if (code == KM_OK)
            code = km_evaluating_add(work, name, &files, true, err);
        km_figure_files_done(&files);
    }
    return code;
}

/* ---- Known families in another build ---- */

static bool is_other_architecture(const struct km_sample *sample)
{
    return strcmp(sample->architecture, "i386") == 0 || strcmp(sample->architecture, "arm64") == 0;
}

static enum km_code add_known(struct km_evaluating *work, const char *stem, bool architecture,
                              enum km_filescore_part part, struct km_err *err)
{
    struct km_figure_files files = {0};
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        bool known = km_evaluating_is_known(sample);
        bool benign = sample->role != KM_RECIPE_POSITIVE && sample->split == KM_RECIPE_TEST;
        bool fits = architecture ? is_other_architecture(sample) && km_sample_kind_is_elf(sample->kind)
                                 : !is_other_architecture(sample);
        if (fits && (known || benign))
            code = km_figure_files_add(&files, work->scores[i].parts[part], known, sample->family_id, err);
    }
    if (code == KM_OK)
        code = km_evaluating_add(work, stem, &files, true, err);
    km_figure_files_done(&files);
    return code;
}

static enum km_code add_all_known(struct km_evaluating *work, struct km_err *err)
{
    enum km_code code = add_known(work, "detect.known.release", false, KM_FILESCORE_FUSED, err);
    if (code == KM_OK)
        code = add_known(work, "detect.known.release.lookalike", false, KM_FILESCORE_LOOKALIKE, err);
    if (code == KM_OK)
        code = add_known(work, "detect.known.release.net", false, KM_FILESCORE_NETWORK, err);
    if (code == KM_OK)
        code = add_known(work, "detect.known.arch", true, KM_FILESCORE_FUSED, err);
    if (code == KM_OK)
        code = add_known(work, "detect.known.arch.lookalike", true, KM_FILESCORE_LOOKALIKE, err);
    return code;
}

/* ---- The whole ---- */

static void show(void *context, uint64_t done, uint64_t total)
{
    const struct km_evaluation_options *options = context;
    if (options->progress)
        options->progress(options->context, "scores", done, total);
}

static enum km_code score_all(const struct km_dataset *dataset, const struct km_modelparts *parts,
                              const struct km_evaluation_options *options, struct km_filescore *scores,
                              struct km_err *err)
{
    size_t count = km_dataset_count(dataset), tests = 0;
    KM_CLEANUP(km_cleanup_free) bool *wanted = km_calloc(count, sizeof *wanted, SIZE_MAX, err);
    if (!wanted)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        wanted[i] = sample->split == KM_RECIPE_TEST || km_evaluating_is_known(sample);
        tests += km_evaluating_is_test(sample);
    }
    if (tests == 0)
        return km_fail(err, KM_NOTFOUND, "the data set has no test samples");
    struct km_evaluation_options copy = *options;
    const struct km_filescore_work work = {options->threads, options->cancel, show, &copy};
    return km_filescore_samples(parts, dataset, wanted, &work, scores, err);
}

enum km_code km_evaluation_run(const struct km_dataset *dataset, const struct km_modelparts *parts,
                               const struct km_evaluation_options *options, struct km_evaluation *out,
                               struct km_err *err)
{
    if (!parts->fusion)
        return km_fail(err, KM_NOTFOUND, "the model has no fusion");
    size_t count = km_dataset_count(dataset);
    KM_CLEANUP(km_cleanup_free) struct km_filescore *scores = km_calloc(count, sizeof *scores, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free) uint32_t *twins = scores ? km_calloc(count, sizeof *twins, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free)
    struct km_evaluation *evaluation = twins ? km_calloc(1, sizeof *evaluation, sizeof *evaluation, err) : NULL;
    if (!evaluation)
        return err->code;
    struct km_evaluating work = {dataset, parts, options, scores, twins, evaluation};
    enum km_code code = score_all(dataset, parts, options, scores, err);
    if (code == KM_OK)
        code = km_dataset_find_twins(dataset, TWIN_SEED, twins, err);
    enum km_code (*const steps[])(struct km_evaluating *,
                                  struct km_err *) = {add_unseen,           add_ablation,
                                                      add_all_known,        km_evaluating_appended,
                                                      km_evaluating_packed, km_evaluating_containers,
                                                      km_evaluating_site};
    size_t step_count = sizeof steps / sizeof steps[0] - (options->site ? 0 : 1);
    if (options->brief)
        step_count = 3;
    for (size_t i = 0; i < step_count && code == KM_OK; i++) {
        if (options->progress)
            options->progress(options->context, "figures", i, step_count);
        code = km_cancel_check(options->cancel, err);
        if (code == KM_OK)
            code = steps[i](&work, err);
    }
    if (code == KM_OK)
        *out = *evaluation;
    return code;
}
