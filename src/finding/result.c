#include "finding/result.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "finding/decision.h"

#define MAX_TARGETS 100000

struct km_results {
    struct km_arena *arena;
    struct km_result **list;
    size_t count, capacity;
    size_t finding_capacity, gap_capacity; /* of the newest target */
};

struct km_results *km_results_new(size_t max_bytes, struct km_err *err)
{
    struct km_results *results = km_calloc(1, sizeof *results, sizeof *results, err);
    if (!results)
        return NULL;
    results->arena = km_arena_new(max_bytes, err);
    if (!results->arena) {
        free(results);
        return NULL;
    }
    return results;
}

void km_results_free(struct km_results *results)
{
    if (!results)
        return;
    for (size_t i = 0; i < results->count; i++) {
        free(results->list[i]->findings);
        free(results->list[i]->gaps);
    }
    free(results->list);
    km_arena_free(results->arena);
    free(results);
}

/* Copies *text into the arena in place; NULL stays NULL. */
static enum km_code keep(struct km_results *results, const char **text, struct km_err *err)
{
    if (!*text)
        return KM_OK;
    const char *copy = km_arena_strndup(results->arena, *text, strlen(*text), err);
    if (!copy)
        return err->code;
    *text = copy;
    return KM_OK;
}

static enum km_code keep_all(struct km_results *results, const char **const *texts, size_t count, struct km_err *err)
{
    for (size_t i = 0; i < count; i++)
        if (keep(results, texts[i], err) != KM_OK)
            return err->code;
    return KM_OK;
}

#define KEEP_ALL(results, err, ...)                                                                                    \
    keep_all(results, (const char **const[]){__VA_ARGS__},                                                             \
             sizeof((const char **const[]){__VA_ARGS__}) / sizeof(const char **), err)

static enum km_code begin(void *context, const struct km_target *target, struct km_err *err)
{
    struct km_results *results = context;
    struct km_result *result = km_arena_alloc(results->arena, sizeof *result, err);
    if (!result)
        return err->code;
    result->target = *target;
    void *list = results->list;
    enum km_code code = km_grow(&list, &results->capacity, results->count + 1, sizeof(void *), MAX_TARGETS, err);
    results->list = list;
    if (code == KM_OK)
        code = KEEP_ALL(results, err, &result->target.name, &result->target.scheme);
    if (code != KM_OK)
        return code;
    results->list[results->count++] = result;
    results->finding_capacity = results->gap_capacity = 0;
    return KM_OK;
}

static enum km_code keep_evidence(struct km_results *results, struct km_finding *finding, struct km_err *err)
{
    size_t bytes = finding->evidence_count * sizeof *finding->evidence; /* the producer's memory, so no overflow */
    struct km_evidence *list = km_arena_alloc(results->arena, bytes, err);
    if (!list)
        return err->code;
    if (bytes > 0)
        memcpy(list, finding->evidence, bytes);
    for (size_t i = 0; i < finding->evidence_count; i++) {
        if (KEEP_ALL(results, err, &list[i].id, &list[i].reference) != KM_OK)
            return err->code;
        for (size_t k = 0; k < list[i].arg_count; k++)
            if (KEEP_ALL(results, err, &list[i].args[k].name, &list[i].args[k].text) != KM_OK)
                return err->code;
    }
    finding->evidence = list;
    return KM_OK;
}

static enum km_code keep_ranges(struct km_results *results, struct km_finding *finding, struct km_err *err)
{
    size_t bytes = finding->range_count * sizeof *finding->ranges;
    struct km_range *list = km_arena_alloc(results->arena, bytes, err);
    if (!list)
        return err->code;
    if (bytes > 0)
        memcpy(list, finding->ranges, bytes);
    finding->ranges = list;
    return KM_OK;
}

static enum km_code keep_decision(struct km_results *results, struct km_finding *finding, struct km_err *err)
{
    if (!finding->decision)
        return KM_OK;
    struct km_decision *decision = km_arena_alloc(results->arena, sizeof *decision, err);
    if (!decision)
        return err->code;
    *decision = *finding->decision;
    finding->decision = decision;
    return KEEP_ALL(results, err, &decision->who, &decision->note, &decision->path, &decision->sha256);
}

static enum km_code add_finding(void *context, const struct km_finding *given, struct km_err *err)
{
    struct km_results *results = context;
    KM_ASSERT(results->count > 0);
    struct km_result *result = results->list[results->count - 1];
    struct km_finding finding = *given;
    struct km_subject *subject = &finding.subject;
    enum km_code code =
        KEEP_ALL(results, err, &finding.kind, &finding.package, &subject->image, &subject->path, &subject->layer,
                 &subject->layer_history, &subject->deleted_by, &subject->replaced_by, &subject->sha256);
    if (code == KM_OK)
        code = keep_evidence(results, &finding, err);
    if (code == KM_OK)
        code = keep_ranges(results, &finding, err);
    if (code == KM_OK)
        code = keep_decision(results, &finding, err);
    void *list = result->findings;
    if (code == KM_OK)
        code = km_grow(&list, &results->finding_capacity, result->finding_count + 1, sizeof finding,
                       KM_RESULT_MAX_FINDINGS, err);
    result->findings = list;
    if (code == KM_OK)
        result->findings[result->finding_count++] = finding;
    return code;
}

static enum km_code add_gap(void *context, const struct km_gap *given, struct km_err *err)
{
    struct km_results *results = context;
    KM_ASSERT(results->count > 0);
    struct km_result *result = results->list[results->count - 1];
    if (result->gap_count == KM_RESULT_MAX_GAPS) {
        result->gaps_omitted++;
        return KM_OK;
    }
    struct km_gap gap = *given;
    enum km_code code = KEEP_ALL(results, err, &gap.where, &gap.layer, &gap.detail);
    void *list = result->gaps;
    if (code == KM_OK)
        code = km_grow(&list, &results->gap_capacity, result->gap_count + 1, sizeof gap, KM_RESULT_MAX_GAPS, err);
    result->gaps = list;
    if (code == KM_OK)
        result->gaps[result->gap_count++] = gap;
    return code;
}

static enum km_code keep_images(struct km_results *results, struct km_outcome *outcome, struct km_err *err)
{
    size_t bytes = outcome->image_count * sizeof *outcome->images;
    struct km_image_info *list = km_arena_alloc(results->arena, bytes, err);
    if (!list)
        return err->code;
    if (bytes > 0)
        memcpy(list, outcome->images, bytes);
    for (size_t i = 0; i < outcome->image_count; i++)
        if (KEEP_ALL(results, err, &list[i].name, &list[i].digest, &list[i].platform, &list[i].packages.database,
                     &list[i].packages.detail) != KM_OK)
            return err->code;
    outcome->images = list;
    return KM_OK;
}

/* Strongest first; equal ones by path, so that two runs print the same. */
static int compare_findings(const void *a, const void *b)
{
    const struct km_finding *left = a;
    const struct km_finding *right = b;
    if (left->verdict != right->verdict)
        return left->verdict < right->verdict ? 1 : -1;
    if (left->score < right->score || left->score > right->score)
        return left->score < right->score ? 1 : -1;
    int order = strcmp(left->subject.path ? left->subject.path : "", right->subject.path ? right->subject.path : "");
    if (order != 0)
        return order;
    return left->subject.layer_index < right->subject.layer_index
               ? -1
               : left->subject.layer_index > right->subject.layer_index;
}

static enum km_code end(void *context, const struct km_outcome *outcome, struct km_err *err)
{
    struct km_results *results = context;
    KM_ASSERT(results->count > 0);
    struct km_result *result = results->list[results->count - 1];
    result->outcome = *outcome;
    result->ended = true;
    if (outcome->error) {
        result->error = *outcome->error;
        result->outcome.error = &result->error;
    }
    if (outcome->integrity) {
        result->integrity = *outcome->integrity;
        result->outcome.integrity = &result->integrity;
    }
    if (outcome->expectation) {
        result->expectation = *outcome->expectation;
        result->outcome.expectation = &result->expectation;
    }
    if (outcome->scheme)
        result->target.scheme = outcome->scheme;
    if (result->finding_count > 0)
        qsort(result->findings, result->finding_count, sizeof *result->findings, compare_findings);
    struct km_versions *versions = &result->outcome.versions;
    enum km_code code =
        KEEP_ALL(results, err, &result->target.scheme, &versions->komainu, &versions->rules, &versions->model);
    if (code == KM_OK && outcome->integrity)
        code = KEEP_ALL(results, err, &result->integrity.database, &result->integrity.detail);
    if (code == KM_OK && outcome->expectation)
        code = KEEP_ALL(results, err, &result->expectation.set);
    return code == KM_OK ? keep_images(results, &result->outcome, err) : code;
}

struct km_sink km_results_sink(struct km_results *results)
{
    return (struct km_sink){results, begin, add_finding, add_gap, end};
}

size_t km_results_count(const struct km_results *results)
{
    return results->count;
}

const struct km_result *km_results_get(const struct km_results *results, size_t i)
{
    return results->list[i];
}

enum km_verdict km_results_verdict(const struct km_results *results)
{
    enum km_verdict worst = results->count ? KM_VERDICT_CLEAN : KM_VERDICT_INCOMPLETE;
    for (size_t i = 0; i < results->count; i++) {
        const struct km_result *result = results->list[i];
        enum km_verdict verdict = result->ended ? result->outcome.verdict : KM_VERDICT_INCOMPLETE;
        if (verdict == KM_VERDICT_CLEAN && result->outcome.error)
            verdict = KM_VERDICT_INCOMPLETE;
        worst = verdict > worst ? verdict : worst;
    }
    return worst;
}
