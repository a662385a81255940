#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "container/lab/evaluation_parts.h"
#include "container/lab/familydraw.h"
#include "nn/seeded.h"

#define APPENDED_FILES 10
#define APPENDED_BYTES ((size_t)1 << 20) /* of one appended file, at most: what a person would append */
#define CONTAINERS     1000
#define LEAST_PACKAGES 10
#define MOST_PACKAGES  40
#define SEED           7
#define SHOWN          3

/* ---- Ten benign files appended ---- */

struct composing {
    struct km_evaluating *work;
    struct km_filescorer *scorer;
    struct km_familydraw *benign;
    uint8_t *bytes;
    struct km_seeded random;
};

static size_t append(struct composing *composing, size_t at, size_t sample, size_t most)
{
    const struct km_sample *added = km_dataset_get(composing->work->dataset, sample);
    size_t length = added->length < most ? added->length : most;
    memcpy(composing->bytes + at, added->bytes, length);
    return at + length;
}

static enum km_code score_composed(struct composing *composing, size_t first, double *out, struct km_err *err)
{
    size_t length = append(composing, 0, first, (size_t)KM_SAMPLE_MAX_BYTES);
    for (int i = 0; i < APPENDED_FILES; i++)
        length = append(composing, length, km_familydraw_next(composing->benign, &composing->random), APPENDED_BYTES);
    struct km_filescore score;
    enum km_code code = km_filescorer_run(composing->scorer, composing->bytes, length, &score, err);
    if (code == KM_OK)
        *out = score.parts[KM_FILESCORE_FUSED];
    return code;
}

/* Composed positives against the plain pool, and against benign files to which as much was appended. */
static enum km_code compose_all(struct composing *composing, struct km_figure_files *plain,
                                struct km_figure_files *alike, struct km_err *err)
{
    struct km_evaluating *work = composing->work;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        if (!km_evaluating_is_test(sample))
            continue;
        if (sample->role != KM_RECIPE_POSITIVE) {
            code = km_figure_files_add(plain, work->scores[i].parts[KM_FILESCORE_FUSED], false, sample->family_id, err);
            continue;
        }
        double score = 0, benign = 0;
        uint32_t other = km_familydraw_next(composing->benign, &composing->random);
        code = score_composed(composing, i, &score, err);
        if (code == KM_OK)
            code = score_composed(composing, other, &benign, err);
        if (code == KM_OK)
            code = km_figure_files_add(plain, score, true, sample->family_id, err);
        if (code == KM_OK)
            code = km_figure_files_add(alike, score, true, sample->family_id, err);
        if (code == KM_OK)
            code = km_figure_files_add(alike, benign, false, km_dataset_get(work->dataset, other)->family_id, err);
    }
    return code;
}

enum km_code km_evaluating_appended(struct km_evaluating *work, struct km_err *err)
{
    struct composing composing = {.work = work, .random = km_seeded_of(SEED, 1)};
    size_t most = (size_t)KM_SAMPLE_MAX_BYTES + APPENDED_FILES * APPENDED_BYTES;
    size_t count = km_dataset_count(work->dataset);
    KM_CLEANUP(km_cleanup_free) bool *tests = km_calloc(count, sizeof *tests, SIZE_MAX, err);
    for (size_t i = 0; tests && i < count; i++)
        tests[i] = km_evaluating_is_test(km_dataset_get(work->dataset, i));
    KM_CLEANUP(km_filescorer_cleanup)
    struct km_filescorer *scorer = tests ? km_filescorer_new(work->parts, err) : NULL;
    KM_CLEANUP(km_familydraw_cleanup)
    struct km_familydraw *benign = scorer ? km_familydraw_new(work->dataset, tests, false, err) : NULL;
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = benign ? km_calloc(most, 1, most, err) : NULL;
    if (!bytes)
        return err->code;
    composing.scorer = scorer;
    composing.benign = benign;
    composing.bytes = bytes;
    struct km_figure_files plain = {0}, alike = {0};
    enum km_code code = compose_all(&composing, &plain, &alike, err);
    if (code == KM_OK)
        code = km_evaluating_add_auc(work, "detect.append.auc", &plain, err);
    if (code == KM_OK)
        code = km_evaluating_add_auc(work, "detect.append.alike.auc", &alike, err);
    km_figure_files_done(&plain);
    km_figure_files_done(&alike);
    return code;
}

/* ---- Containers ---- */

struct container {
    double highest;
    size_t above; /* files that rank before the injected one */
};

/* Packages as runs of samples: [starts[p], starts[p + 1]) of home test samples that are not positive. */
struct packages {
    uint32_t *starts, *ends;
    size_t count;
};

static enum km_code find_packages(const struct km_evaluating *work, struct packages *packages, struct km_err *err)
{
    size_t count = km_dataset_count(work->dataset);
    packages->starts = km_calloc(count, sizeof *packages->starts, SIZE_MAX, err);
    packages->ends = packages->starts ? km_calloc(count, sizeof *packages->ends, SIZE_MAX, err) : NULL;
    if (!packages->ends)
        return err->code;
    for (uint32_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        if (!km_evaluating_is_test(sample) || sample->role == KM_RECIPE_POSITIVE)
            continue;
        size_t last = packages->count - 1;
        bool same = packages->count > 0 && packages->ends[last] == i &&
                    strcmp(km_dataset_get(work->dataset, i - 1)->package, sample->package) == 0;
        if (!same)
            packages->starts[packages->count++] = i;
        packages->ends[packages->count - 1] = i + 1;
    }
    return KM_OK;
}

static struct container draw_container(const struct km_evaluating *work, const struct packages *packages,
                                       double injected, struct km_seeded *random)
{
    struct container container = {-INFINITY, 0};
    uint32_t wanted = LEAST_PACKAGES + km_seeded_below(random, MOST_PACKAGES - LEAST_PACKAGES + 1);
    for (uint32_t p = 0; p < wanted; p++) {
        uint32_t package = km_seeded_below(random, (uint32_t)packages->count);
        for (uint32_t i = packages->starts[package]; i < packages->ends[package]; i++) {
            double score = work->scores[i].parts[KM_FILESCORE_FUSED];
            container.highest = fmax(container.highest, score);
            container.above += score >= injected;
        }
    }
    return container;
}

/* Files that may be injected: unseen families at home, or known ones of another build of this architecture. */
static bool is_injectable(const struct km_sample *sample, bool known)
{
    return known ? km_evaluating_is_known(sample) && strcmp(sample->architecture, "amd64") == 0
                 : km_evaluating_is_test(sample) && sample->role == KM_RECIPE_POSITIVE;
}

static enum km_code inject(struct km_evaluating *work, const struct packages *packages, bool known, struct km_err *err)
{
    struct km_figure_files hits = {0}, containers = {0};
    struct km_seeded random = km_seeded_of(SEED, known ? 2 : 3);
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_dataset_count(work->dataset) && code == KM_OK; i++) {
        const struct km_sample *sample = km_dataset_get(work->dataset, i);
        if (!is_injectable(sample, known))
            continue;
        double score = work->scores[i].parts[KM_FILESCORE_FUSED];
        struct container container = draw_container(work, packages, score, &random);
        code = km_figure_files_add(&hits, container.above < SHOWN ? 1 : 0, true, sample->family_id, err);
        if (code == KM_OK)
            code = km_figure_files_add(&containers, score, true, sample->family_id, err);
    }
    for (uint32_t i = 0; i < CONTAINERS && code == KM_OK && hits.count > 0; i++) {
        struct container clean = draw_container(work, packages, INFINITY, &random);
        code = km_figure_files_add(&containers, clean.highest, false, UINT32_MAX - i, err);
    }
    if (code == KM_OK)
        code = km_evaluating_add_share(work, known ? "detect.hit3" : "detect.unseen.hit3", &hits, err);
    if (code == KM_OK)
        code = km_evaluating_add(work, known ? "detect.container.known" : "detect.container.unseen", &containers, false,
                                 err);
    km_figure_files_done(&hits);
    km_figure_files_done(&containers);
    return code;
}

enum km_code km_evaluating_containers(struct km_evaluating *work, struct km_err *err)
{
    struct packages packages = {0};
    enum km_code code = find_packages(work, &packages, err);
    if (code == KM_OK && packages.count > 0)
        code = inject(work, &packages, true, err);
    if (code == KM_OK && packages.count > 0)
        code = inject(work, &packages, false, err);
    free(packages.starts);
    free(packages.ends);
    return code;
}
