#include "container/scan/scan.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "container/scan/examine.h"
#include "container/scan/judge.h"
#include "container/source/layout.h"

KM_DEFINE_CLEANUP(struct km_examine, examine_cleanup, km_examine_free);

/* Reading may end early; the code says whether the end itself is reported as the target's error. */
static enum km_code read_source(struct km_source *source, struct km_examine *examine, const struct km_cancel *cancel,
                                struct km_err *cause, struct km_err *err)
{
    *cause = (struct km_err)KM_ERR_INIT;
    struct km_err failure = KM_ERR_INIT;
    enum km_code code = km_source_run(source, km_examine_sink(examine), cancel, cause);
    enum km_code scored = km_examine_finish(examine, &failure);
    if (scored != KM_OK && (code == KM_OK || code == KM_CANCELLED)) { /* what was not scored, was not examined */
        *cause = failure;
        code = scored;
    }
    if (code == KM_NOMEM) {
        *err = *cause;
        return code;
    }
    if (code == KM_OK || code == KM_CANCELLED) /* a gap says so; and what was overcome may have left its text */
        *cause = (struct km_err)KM_ERR_INIT;
    return KM_OK;
}

/* The images of a layout in the form of a result. The caller frees *out. */
static enum km_code list_images(const struct km_layout *layout, const struct km_judgement *judgement,
                                struct km_image_info **out, size_t *out_count, struct km_err *err)
{
    size_t count = km_layout_image_count(layout);
    struct km_image_info *list = km_calloc(count, sizeof *list, SIZE_MAX, err);
    if (!list)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        const struct km_image *image = km_layout_image(layout, i);
        list[i] = (struct km_image_info){image->name, image->digest, image->platform, image->layer_count,
                                         judgement->images[i]};
    }
    *out = list;
    *out_count = count;
    return KM_OK;
}

/* Nothing found is only clean when everything was looked at. */
static enum km_verdict overall_verdict(enum km_verdict found, const struct km_coverage *coverage,
                                       const struct km_err *cause)
{
    bool whole = coverage->gaps == 0 && cause->code == KM_OK && coverage->bytes_examined == coverage->bytes_total &&
                 coverage->files_examined == coverage->files_total;
    return found == KM_VERDICT_CLEAN && !whole ? KM_VERDICT_INCOMPLETE : found;
}

/* What the calibration promises; no negatives: nothing. */
static struct km_expectation expect_alarms(const struct km_detector *detector, uint64_t programs)
{
    const struct km_additive *fusion = detector ? km_detector_fusion(detector) : NULL;
    if (!fusion || km_additive_calibration(fusion)->negatives == 0)
        return (struct km_expectation){0};
    const struct km_calibration *calibration = km_additive_calibration(fusion);
    struct km_estimate rate = km_calibration_rate(calibration);
    return (struct km_expectation){.rate = rate.value,
                                   .low = rate.interval.low,
                                   .high = rate.interval.high,
                                   .wanted = calibration->wanted,
                                   .negatives = calibration->negatives,
                                   .above = calibration->above,
                                   .programs = programs,
                                   .set = calibration->set};
}

static enum km_code scan_and_judge(struct km_source *source, const struct km_scan_options *options,
                                   const struct km_sink *sink, const struct km_cancel *cancel, struct km_err *err)
{
    int64_t start_ns = km_clock_monotonic_ns();
    const struct km_examine_options examine_options = {.hashes = options->hashes,
                                                       .sink = sink,
                                                       .mosaic = options->mosaic,
                                                       .baseline = options->baseline,
                                                       .policy = options->policy,
                                                       .detector = options->detector,
                                                       .cache = options->cache,
                                                       .jobs = options->jobs,
                                                       .progress = options->progress,
                                                       .progress_context = options->progress_context};
    struct km_examine *examine KM_CLEANUP(examine_cleanup) = km_examine_new(&examine_options, err);
    if (!examine)
        return err->code;
    struct km_err cause;
    enum km_code code = read_source(source, examine, cancel, &cause, err);
    if (code != KM_OK)
        return code;
    const struct km_layout *layout = km_source_layout(source);
    if (options->scored && km_examine_pipeline(examine))
        options->scored(options->scored_context, km_examine_pipeline(examine), layout);
    const struct km_judge_options judge_options = {.hashes = options->hashes,
                                                   .decisions = options->decisions,
                                                   .detector = options->detector,
                                                   .max_findings = options->max_findings,
                                                   .mosaic = options->mosaic,
                                                   .max_steps = KM_JUDGE_MAX_STEPS,
                                                   .weighed = options->weighed,
                                                   .weighed_context = options->weighed_context,
                                                   .all = options->all};
    struct km_judgement judgement KM_CLEANUP(km_judgement_done) = {0};
    code = km_judge_run(examine, layout, &judge_options, sink, &judgement, err);
    struct km_image_info *images KM_CLEANUP(km_cleanup_free) = NULL;
    size_t image_count = 0;
    if (code == KM_OK)
        code = list_images(layout, &judgement, &images, &image_count, err);
    if (code != KM_OK)
        return code;
    struct km_coverage coverage = *km_source_coverage(source);
    const struct km_examine_left_out left_out = km_examine_left_out(examine);
    coverage.bytes_examined -= left_out.bytes < coverage.bytes_examined ? left_out.bytes : coverage.bytes_examined;
    coverage.files_examined -= left_out.files < coverage.files_examined ? left_out.files : coverage.files_examined;
    coverage.gaps += judgement.gaps + km_examine_gaps(examine);
    const struct km_expectation expectation = expect_alarms(options->detector, judgement.programs);
    const struct km_outcome outcome = {
        .scheme = km_source_scheme(source),
        .verdict = overall_verdict(judgement.verdict, &coverage, &cause),
        .score = judgement.score,
        .coverage = coverage,
        .integrity = image_count > 0 ? &judgement.integrity : NULL,
        .image_count = image_count,
        .images = images,
        .findings_omitted = judgement.findings_omitted,
        .expectation = expectation.negatives > 0 ? &expectation : NULL,
        .versions = options->versions,
        .seconds = (double)(km_clock_monotonic_ns() - start_ns) / (double)KM_NS_PER_S,
        .error = cause.code == KM_OK ? NULL : &cause,
    };
    return sink->target_end(sink->context, &outcome, err);
}

enum km_code km_scan_run(struct km_source *source, const struct km_target *target,
                         const struct km_scan_options *options, const struct km_sink *sink,
                         const struct km_cancel *cancel, struct km_err *err)
{
    enum km_code code = sink->target_begin(sink->context, target, err);
    return code == KM_OK ? scan_and_judge(source, options, sink, cancel, err) : code;
}

enum km_code km_scan_give_failure(const struct km_target *target, const struct km_versions *versions,
                                  const struct km_err *cause, const struct km_sink *sink, struct km_err *err)
{
    const struct km_outcome outcome = {.verdict = KM_VERDICT_INCOMPLETE, .versions = *versions, .error = cause};
    enum km_code code = sink->target_begin(sink->context, target, err);
    return code == KM_OK ? sink->target_end(sink->context, &outcome, err) : code;
}
