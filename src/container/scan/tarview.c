#include "container/scan/tarview.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "container/imaging/render.h"
#include "finding/evidence.h"

#define SIDE         KM_PATCHNET_SIDE
#define PATCH_PIXELS ((uint64_t)SIDE * SIDE)
#define MAX_BAND     (KM_CARD_PICTURE_MAX_SIZE / SIDE)

struct strong {
    struct km_range range;
    double score;
};

struct tarview {
    const struct km_tarview_options *options;
    const struct km_target *target;
    const struct km_sink *sink;
    const struct km_cancel *cancel;
    struct km_geometry geometry;
    struct km_curve *curve;
    uint8_t *band; /* 256 rows */
    uint32_t held; /* rows in it */
    uint64_t rows; /* of the picture, in front of the band */
    uint64_t patches, above;
    uint64_t reached, shown; /* bytes of the archive that scored patches stand for, and that they show */
    uint64_t gaps;
    double highest, highest_logit, benign_sum;
    size_t strong_count;
    struct strong strong[KM_TARVIEW_RANGES]; /* strongest first */
};

static void done(struct tarview *view)
{
    km_curve_free(view->curve);
    free(view->band);
}

/* ---- Patches ---- */

/* The bytes that a patch stands for. An aligned patch is one run along the curve. */
static struct km_range find_range(const struct tarview *view, uint64_t row, uint32_t col)
{
    const struct km_geometry *geometry = &view->geometry;
    uint64_t quad = row / geometry->side;
    uint64_t first = km_curve_get_position(view->curve, col, (uint32_t)(row % geometry->side)) / PATCH_PIXELS;
    first *= PATCH_PIXELS;
    uint64_t next = first + PATCH_PIXELS, begin = km_geometry_get_offset(geometry, quad, first), end = geometry->bytes;
    if (next < geometry->quad_pixels)
        end = km_geometry_get_offset(geometry, quad, next);
    else if (quad + 1 < geometry->quads)
        end = km_geometry_get_offset(geometry, quad + 1, 0);
    end = end < geometry->bytes ? end : geometry->bytes;
    return (struct km_range){begin < end ? begin : end, end};
}

/* How many different bytes of a range its patch shows. */
static uint64_t count_shown(const struct km_geometry *geometry, struct km_range range)
{
    uint64_t bytes = range.end - range.begin;
    if (geometry->step > 0)
        return bytes / geometry->step + (bytes % geometry->step > 0);
    return bytes < PATCH_PIXELS ? bytes : PATCH_PIXELS;
}

/* Of equal ones the earlier. */
static bool is_stronger(const struct strong *a, const struct strong *b)
{
    return a->score > b->score || (!(a->score < b->score) && a->range.begin < b->range.begin);
}

static void keep_strong(struct tarview *view, const struct strong *patch)
{
    size_t at = view->strong_count;
    while (at > 0 && is_stronger(patch, &view->strong[at - 1]))
        at--;
    if (at == KM_TARVIEW_RANGES)
        return;
    if (view->strong_count < KM_TARVIEW_RANGES)
        view->strong_count++;
    memmove(&view->strong[at + 1], &view->strong[at], (view->strong_count - at - 1) * sizeof view->strong[0]);
    view->strong[at] = *patch;
}

static void count_patch(struct tarview *view, struct km_range range, const struct km_patchnet_score *score)
{
    if (view->patches == 0 || score->logit > view->highest_logit) {
        view->highest = score->malevolent;
        view->highest_logit = score->logit;
    }
    view->patches++;
    view->benign_sum += score->benign;
    view->reached += range.end - range.begin;
    view->shown += count_shown(&view->geometry, range);
    if (score->malevolent > km_patchnet_threshold(view->options->network)) {
        view->above++;
        if (range.begin < range.end) /* a black patch behind the end is no place in the archive */
            keep_strong(view, &(struct strong){range, score->malevolent});
    }
}

static enum km_code score_band(struct tarview *view, struct km_err *err)
{
    struct km_patchnet_score scores[MAX_BAND];
    uint32_t count = view->geometry.side / SIDE;
    enum km_code code = km_cancel_check(view->cancel, err);
    if (code == KM_OK)
        code = km_patchnet_score(view->options->network, view->band, count, scores, err);
    if (code != KM_OK)
        return code;
    for (uint32_t i = 0; i < count; i++)
        count_patch(view, find_range(view, view->rows, i * SIDE), &scores[i]);
    view->rows += SIDE;
    view->held = 0;
    if (view->options->progress)
        view->options->progress(view->options->progress_context, view->reached, view->geometry.bytes);
    return KM_OK;
}

static enum km_code take_size(void *context, uint32_t width, uint32_t height, struct km_err *err)
{
    struct tarview *view = context;
    (void)err;
    KM_ASSERT(width == view->geometry.side && height % SIDE == 0);
    return KM_OK;
}

static enum km_code take_rows(void *context, const uint8_t *rgb, uint32_t count, struct km_err *err)
{
    struct tarview *view = context;
    size_t row = (size_t)view->geometry.side * 3;
    enum km_code code = KM_OK;
    while (code == KM_OK && count > 0) {
        uint32_t wanted = SIDE - view->held, taken = count < wanted ? count : wanted;
        memcpy(view->band + view->held * row, rgb, taken * row);
        view->held += taken;
        rgb += taken * row;
        count -= taken;
        if (view->held == SIDE)
            code = score_band(view, err);
    }
    return code;
}

/* ---- The picture ---- */

/* Looked at first: no network is asked about what the reference would refuse. */
static enum km_code check_archive(struct km_input *input, struct km_err *err)
{
    const struct km_tarwalk_input archive = {input, km_input_read, input->bytes};
    KM_CLEANUP(km_tarwalk_cleanup) struct km_tarwalk *walk = km_tarwalk_new(&archive, err);
    if (!walk)
        return err->code;
    struct km_tarwalk_member member;
    bool found = false;
    uint64_t offset = 0;
    enum km_code code = km_tarwalk_next(walk, &member, &found, err);
    enum km_tarwalk_stop stop = km_tarwalk_get_stop(walk, &offset);
    if (code == KM_OK && !found && (stop == KM_TARWALK_NOT_TAR || stop == KM_TARWALK_END_BYTES))
        return km_fail(err, KM_FORMAT, "not a tar archive; a compressed one must be decompressed first");
    return code;
}

static enum km_code draw(struct tarview *view, struct km_input *input, struct km_render_report *report,
                         struct km_err *err)
{
    const struct km_card_picture *picture = &km_patchnet_card(view->options->network)->picture;
    enum km_code code = check_archive(input, err);
    if (code == KM_OK)
        code = km_geometry_init(&view->geometry, KM_GEOMETRY_UNROLLED, picture->size, picture->step, input->bytes, err);
    if (code != KM_OK)
        return code;
    view->curve = km_curve_new(KM_CURVE_HILBERT, picture->size, err);
    view->band = view->curve ? km_calloc((size_t)picture->size * 3, SIDE, SIZE_MAX, err) : NULL;
    if (!view->band)
        return err->code;
    const struct km_render_options options = {
        .geometry = &view->geometry,
        .curve = KM_CURVE_HILBERT,
        .maps = {KM_COLOUR_CLASS, KM_COLOUR_MAGNITUDE, KM_COLOUR_STRUCTURE},
        .map_count = 3,
        .cancel = view->cancel,
    };
    const struct km_row_sink rows = {view, take_size, take_rows};
    return km_render_run(input, &options, &rows, report, err);
}

/* ---- The result ---- */

static enum km_code give_gap(struct tarview *view, struct km_gap gap, struct km_err *err)
{
    view->gaps++;
    gap.where = view->target->name;
    return view->sink->gap(view->sink->context, &gap, err);
}

static enum km_code give_gaps(struct tarview *view, uint64_t bytes, const struct km_render_report *report,
                              bool cancelled, struct km_err *err)
{
    enum km_code code = KM_OK;
    char detail[128];
    if (view->shown < view->reached) {
        uint32_t step = view->geometry.step;
        (void)snprintf(detail, sizeof detail, "the pictures show one byte in %.4g",
                       step > 0 ? step : (double)view->reached / (double)view->shown);
        code = give_gap(
            view,
            (struct km_gap){
                .reason = KM_GAP_POLICY, .offset = UINT64_MAX, .bytes = view->reached - view->shown, .detail = detail},
            err);
    }
    if (code == KM_OK && cancelled)
        code = give_gap(
            view, (struct km_gap){.reason = KM_GAP_CANCELLED, .offset = UINT64_MAX, .bytes = bytes - view->reached},
            err);
    bool damaged = report->stop == KM_TARWALK_DAMAGED, truncated = report->stop == KM_TARWALK_TRUNCATED;
    if (code == KM_OK && report->walked && (damaged || truncated))
        code = give_gap(view,
                        (struct km_gap){.reason = damaged ? KM_GAP_DAMAGED : KM_GAP_TRUNCATED,
                                        .offset = report->stop_offset,
                                        .bytes = UINT64_MAX,
                                        .detail = damaged ? "the picture has no structure behind it"
                                                          : "the archive ends before what it announces"},
                        err);
    return code;
}

static int compare_ranges(const void *a, const void *b)
{
    const struct km_range *x = a, *y = b;
    return (x->begin > y->begin) - (x->begin < y->begin);
}

/* The verdict and score that count, after what people said. */
struct verdict {
    enum km_verdict verdict;
    double score;
};

static struct verdict weigh_decision(const struct km_finding *finding)
{
    const struct km_decision *decision = finding->decision;
    struct verdict out = {finding->verdict, finding->score};
    if (decision && km_decision_is_benign(decision->kind))
        out = (struct verdict){KM_VERDICT_CLEAN, 0};
    else if (decision)
        out.verdict = decision->kind == KM_DECISION_ATTACK ? KM_VERDICT_MALICIOUS : KM_VERDICT_SUSPICIOUS;
    return out;
}

static enum km_code give_finding(struct tarview *view, uint64_t bytes, struct verdict *out, struct km_err *err)
{
    const struct km_patchnet *network = view->options->network;
    struct km_range ranges[KM_TARVIEW_RANGES];
    for (size_t i = 0; i < view->strong_count; i++)
        ranges[i] = view->strong[i].range;
    qsort(ranges, view->strong_count, sizeof ranges[0], compare_ranges);
    struct km_evidence evidence = {.id = KM_EVIDENCE_PICTURE, .weight = view->highest_logit};
    km_evidence_add_real(&evidence, "score", view->highest);
    km_evidence_add_integer(&evidence, "patches", (int64_t)view->patches);
    km_evidence_add_integer(&evidence, "above", (int64_t)view->above);
    km_evidence_add_real(&evidence, "threshold", km_patchnet_threshold(network));
    km_evidence_add_real(&evidence, "benign", view->benign_sum / (double)view->patches);
    km_evidence_add_text(&evidence, "model", km_patchnet_version(network));
    struct km_finding finding = {
        .kind = "file",
        .subject = {.image = view->target->name,
                    .path = view->target->name,
                    .layer_index = -1,
                    .size_bytes = bytes,
                    .uid = -1},
        .verdict = view->above > 0 ? KM_VERDICT_SUSPICIOUS : KM_VERDICT_CLEAN,
        .score = view->highest,
        .confidence = view->shown == bytes ? 1 : 0.5,
        .range_count = view->strong_count,
        .ranges = ranges,
        .evidence_count = 1,
        .evidence = &evidence,
    };
    const struct km_decisions *decisions = view->options->decisions;
    if (decisions)
        finding.decision = decisions->find(decisions->context, &finding, km_clock_wall_ns());
    *out = weigh_decision(&finding);
    return view->sink->finding(view->sink->context, &finding, err);
}

static enum km_code give_result(struct tarview *view, uint64_t bytes, const struct km_render_report *report,
                                const struct km_err *cause, double seconds, struct km_err *err)
{
    struct verdict verdict = {KM_VERDICT_CLEAN, 0};
    bool failed = cause->code != KM_OK && cause->code != KM_CANCELLED;
    enum km_code code = view->patches > 0 ? give_finding(view, bytes, &verdict, err) : KM_OK;
    if (code == KM_OK)
        code = give_gaps(view, bytes, report, cause->code == KM_CANCELLED, err);
    if (code != KM_OK)
        return code;
    bool whole = !failed && view->gaps == 0 && view->shown == bytes;
    struct km_outcome outcome = {
        .scheme = "tar",
        .verdict = verdict.verdict == KM_VERDICT_CLEAN && !whole ? KM_VERDICT_INCOMPLETE : verdict.verdict,
        .score = verdict.score,
        .coverage = {.bytes_total = bytes,
                     .bytes_examined = view->shown,
                     .files_total = 1,
                     .files_examined = view->shown == bytes,
                     .gaps = view->gaps},
        .versions = view->options->versions,
        .seconds = seconds,
        .error = failed ? cause : NULL,
    };
    outcome.versions.model = km_patchnet_version(view->options->network);
    return view->sink->target_end(view->sink->context, &outcome, err);
}

enum km_code km_tarview_run(struct km_input *input, const struct km_target *target,
                            const struct km_tarview_options *options, const struct km_sink *sink,
                            const struct km_cancel *cancel, struct km_err *err)
{
    int64_t start_ns = km_clock_monotonic_ns();
    struct tarview view KM_CLEANUP(done) = {.options = options, .target = target, .sink = sink, .cancel = cancel};
    struct km_render_report report = {0};
    struct km_err cause = KM_ERR_INIT;
    enum km_code code = sink->target_begin(sink->context, target, err);
    if (code != KM_OK)
        return code;
    code = draw(&view, input, &report, &cause);
    if (code == KM_NOMEM) {
        *err = cause;
        return code;
    }
    if (code == KM_OK)
        cause = (struct km_err)KM_ERR_INIT; /* what was overcome may have left its text */
    double seconds = (double)(km_clock_monotonic_ns() - start_ns) / (double)KM_NS_PER_S;
    return give_result(&view, input->bytes, &report, &cause, seconds, err);
}
