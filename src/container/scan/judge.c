#include "container/scan/judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/text.h"
#include "container/scan/contents.h"
#include "container/scan/imageview.h"
#include "container/scan/integrity.h"
#include "container/scan/weigh.h"
#include "container/tokens/tokens.h"
#include "finding/decision.h"
#include "finding/evidence.h"
#include "package/package.h"

#define MAX_DETAIL_BYTES ((size_t)2 << 20) /* a line for each of the most images */
#define IN_NO_IMAGE      UINT16_MAX

static const char not_compared[] = "not compared with the files: too many files in too many images";

enum rank {
    RANK_UNSEEN = 0,
    RANK_NOTHING = 1, /* judged; nothing to report */
    RANK_HIDDEN = 2,
    RANK_SHOWN = 3,
};

/* The image in which an entry is worst; that one is reported. Equal ones: where it is shown, then the first. */
struct worst {
    float score;
    uint16_t image; /* IN_NO_IMAGE: judged as km_layout_place sees it, compared with nothing */
    uint8_t rank;   /* enum rank */
};

struct candidate {
    uint32_t id;
    float score;
    uint16_t image;
    bool listed;
};

struct judge {
    struct km_examine *examine;
    const struct km_records *records;
    const struct km_layout *layout;
    const struct km_judge_options *options;
    struct km_contents *contents;
    struct km_imageview *view;
    struct worst *worst;               /* of each entry */
    struct km_background *backgrounds; /* of each image, once it was judged */
    struct candidate *candidates;
    size_t count, capacity;
    const struct km_sink *sink;
    struct km_judgement *out;
    int64_t now_wall_ns;
};

/* Entry `id` as image `image` has it, which is open, or as the layout places it. */
static bool open_case(const struct judge *judge, uint32_t id, uint16_t image, struct km_case *file)
{
    struct km_case_sources sources = {.contents = judge->contents,
                                      .records = judge->records,
                                      .hashes = judge->options->hashes,
                                      .detector = judge->options->detector,
                                      .pipeline = km_examine_pipeline(judge->examine)};
    if (image == IN_NO_IMAGE) {
        struct km_place place = km_layout_place(judge->layout, id);
        return km_case_open(file, &sources, id, &place);
    }
    sources.packages = km_imageview_packages(judge->view);
    sources.background = &judge->backgrounds[image];
    struct km_place place = km_imageview_place(judge->view, id);
    return km_case_open(file, &sources, id, &place);
}

/* Unowned data files are counted; listing each would bury what matters (a web root is unowned by nature). */
static bool is_listed(const struct judge *judge, const struct km_case *file)
{
    KM_ASSERT(file->record);
    return judge->options->all || file->record->is_eicar || file->record->is_listed || file->record->has_odd_name ||
           km_record_is_executable(file->record) || file->match.state == KM_PACKAGE_CHANGED ||
           (file->fusion && km_case_score(file) >= KM_JUDGE_LEAST_SHOWN);
}

/* ---- First pass: each image, then what is in none ---- */

static void judge_entry(const struct judge *judge, uint32_t id, uint16_t image, struct km_integrity *integrity)
{
    struct km_case file;
    bool has_evidence = open_case(judge, id, image, &file);
    if (integrity)
        km_integrity_count(integrity, &file);
    if (judge->options->weighed && file.record && km_place_is_shown(&file.place))
        judge->options->weighed(judge->options->weighed_context, &file);
    struct worst *worst = &judge->worst[id];
    judge->out->programs += worst->rank == RANK_UNSEEN && file.fusion;
    struct worst here = {.image = image, .rank = RANK_NOTHING};
    if (has_evidence && is_listed(judge, &file)) {
        here.score = (float)km_case_score(&file);
        here.rank = km_place_is_shown(&file.place) ? RANK_SHOWN : RANK_HIDDEN;
    }
    bool weaker = worst->score < here.score;
    bool equal = !weaker && !(worst->score > here.score);
    if (weaker || (equal && worst->rank < here.rank))
        *worst = here;
}

static void name_image(const struct judge *judge, size_t i, char *out, size_t out_bytes)
{
    const struct km_image *image = km_layout_image(judge->layout, i);
    const char *name = image->name ? image->name : image->digest;
    if (name)
        km_text_escape(name, strlen(name), out, out_bytes);
    else
        snprintf(out, out_bytes, "image %zu", i + 1);
}

static enum km_code give_gap(struct judge *judge, enum km_gap_reason reason, const char *detail, struct km_err *err)
{
    const struct km_gap gap = {reason, "var/lib/dpkg", NULL, UINT64_MAX, 0, detail};
    judge->out->gaps++;
    return judge->sink->gap(judge->sink->context, &gap, err);
}

/* What the image's database cannot say is missing from the comparison. Of several images the gap names this one. */
static enum km_code note_database(struct judge *judge, size_t i, struct km_err *err)
{
    struct km_integrity *integrity = &judge->out->images[i];
    char name[256], reason[KM_ERR_TEXT_BYTES], detail[sizeof name + sizeof reason + 2];
    km_integrity_begin(integrity, km_imageview_packages(judge->view), reason);
    if (integrity->detail) { /* the view goes with the next image */
        integrity->detail = km_arena_strndup(judge->out->texts, integrity->detail, strlen(integrity->detail), err);
        if (!integrity->detail)
            return err->code;
    }
    if (reason[0] == '\0')
        return KM_OK;
    name_image(judge, i, name, sizeof name);
    bool several = judge->out->image_count > 1;
    snprintf(detail, sizeof detail, "%s%s%s", several ? name : "", several ? ": " : "", reason);
    return give_gap(judge, KM_GAP_DAMAGED, detail, err);
}

/* Mean and deviation of the token scores of the programs that the open image shows, in one pass (B. P. Welford,
 * Technometrics 4 (1962) 419). */
static void measure_background(const struct judge *judge, size_t i, const uint32_t *ids, size_t count)
{
    const struct km_pipeline *pipeline = km_examine_pipeline(judge->examine);
    struct km_background *background = &judge->backgrounds[i];
    double squares = 0;
    *background = (struct km_background){0};
    for (size_t k = 0; pipeline && k < count; k++) {
        const struct km_place place = km_imageview_place(judge->view, ids[k]);
        const struct km_record *record = place.type == KM_ENTRY_FILE ? km_records_find(judge->records, ids[k]) : NULL;
        if (!record || !km_place_is_shown(&place) || !km_record_is_program(record, place.path))
            continue;
        double score = (double)km_pipeline_score(pipeline, ids[k]).tokens;
        if (isnan(score))
            continue;
        double distance = score - background->mean;
        background->count++;
        background->mean += distance / (double)background->count;
        squares += distance * (score - background->mean);
    }
    background->deviation = background->count > 1 ? sqrt(squares / (double)(background->count - 1)) : 0;
}

/* The image that is open. */
static enum km_code judge_image(struct judge *judge, size_t i, struct km_err *err)
{
    enum km_code code = note_database(judge, i, err);
    if (code != KM_OK)
        return code;
    const uint32_t *ids;
    size_t count = km_imageview_entries(judge->view, &ids);
    measure_background(judge, i, ids, count);
    for (size_t k = 0; k < count; k++)
        judge_entry(judge, ids[k], (uint16_t)i, &judge->out->images[i]);
    return KM_OK;
}

static enum km_code judge_images(struct judge *judge, struct km_err *err)
{
    struct km_judgement *out = judge->out;
    uint64_t steps_left = judge->options->max_steps;
    size_t compared = 0;
    for (; compared < out->image_count; compared++) {
        enum km_code code = km_imageview_open(judge->view, compared, &steps_left, err);
        if (code == KM_LIMIT)
            break;
        if (code == KM_OK)
            code = judge_image(judge, compared, err);
        if (code != KM_OK)
            return code;
    }
    for (size_t i = compared; i < out->image_count; i++)
        km_integrity_skip(&out->images[i], not_compared);
    for (size_t i = 0; i < out->image_count; i++)
        km_integrity_add(&out->integrity, &out->images[i]);
    for (size_t id = 0; id < km_layout_entry_count(judge->layout); id++)
        if (judge->worst[id].rank == RANK_UNSEEN)
            judge_entry(judge, (uint32_t)id, IN_NO_IMAGE, NULL);
    if (compared == out->image_count)
        return KM_OK;
    char detail[KM_ERR_TEXT_BYTES];
    snprintf(detail, sizeof detail,
             "%zu of %zu images were not compared with their package databases: too many files in too many images",
             out->image_count - compared, out->image_count);
    return give_gap(judge, KM_GAP_LIMIT, detail, err);
}

/* ---- Second pass: findings ---- */

/* A finding with the strings that it points to. */
struct draft {
    struct km_finding finding;
    struct km_range ranges[1 + KM_DETECTOR_RANGES];
    char *path;
    char sha256[KM_SHA256_HEX_BYTES];
};

static void draft_done(struct draft *draft)
{
    free(draft->path);
}

/* Where to look: the strongest window of words and the strongest cells of the network, each where the models alone lift
 * the file; else the whole of it. */
static size_t list_ranges(const struct km_case *file, struct km_range *out)
{
    const struct km_file_scores *details = file->details;
    size_t count = 0;
    uint64_t size = details && details->part_end > 0 ? details->part_end : file->record->size;
    if (!details || !file->fusion || km_case_score(file) < KM_JUDGE_SUSPICIOUS_THRESHOLD) {
        out[0] = (struct km_range){0, file->record->size};
        return 1;
    }
    if (!isnan(details->window)) {
        uint64_t end = details->window_begin + KM_TOKEN_WINDOW_BYTES;
        out[count++] = (struct km_range){details->window_begin, end < size ? end : size};
    }
    for (size_t i = 0; i < details->range_count; i++)
        if (details->ranges[i].logit > 0)
            out[count++] = (struct km_range){details->ranges[i].begin, details->ranges[i].end};
    if (count == 0)
        out[count++] = (struct km_range){0, file->record->size};
    return count;
}

/* What the file's evidence amounts to, and what people said about it. */
static enum km_code draft_finding(const struct judge *judge, const struct km_case *file, struct draft *out,
                                  struct km_err *err)
{
    const struct km_place *place = &file->place;
    const uint8_t *sha256 = km_records_sha256(judge->records, file->record);
    if (sha256)
        km_hex_format(sha256, KM_SHA256_BYTES, out->sha256);
    enum km_code code = km_layout_format_path(judge->layout, file->id, &out->path, err);
    if (code != KM_OK)
        return code;
    const struct km_layer *layer = place->image ? &place->image->layers[place->layer_index] : NULL;
    double score = km_case_score(file);
    size_t range_count = list_ranges(file, out->ranges);
    out->finding = (struct km_finding){
        .kind = "file",
        .subject = {.image = place->image ? place->image->name : NULL,
                    .path = out->path,
                    .layer = layer ? layer->diff_id : NULL,
                    .layer_index = place->layer_index,
                    .layer_history = layer ? layer->history : NULL,
                    .deleted_by = place->deleted_by ? place->deleted_by->diff_id : NULL,
                    .replaced_by = place->replaced_by ? place->replaced_by->diff_id : NULL,
                    .sha256 = sha256 ? out->sha256 : NULL,
                    .size_bytes = file->record->size},
        .verdict = km_case_verdict(file, score),
        .score = score,
        .confidence = file->record->complete ? 1 : 0.5, /* half of the evidence needs the whole content */
        .package = file->match.package ? file->package : NULL,
        .range_count = range_count,
        .ranges = out->ranges,
        .evidence_count = file->evidence_count,
        .evidence = file->evidence,
    };
    const struct km_decisions *decisions = judge->options->decisions;
    if (decisions)
        out->finding.decision = decisions->find(decisions->context, &out->finding, judge->now_wall_ns);
    return KM_OK;
}

static bool is_excused(const struct km_finding *finding)
{
    return finding->decision && km_decision_is_benign(finding->decision->kind);
}

/* A benign decision takes the file out of the verdict, the others put it in. */
static void count_in_verdict(struct km_judgement *out, const struct km_finding *finding)
{
    if (is_excused(finding))
        return;
    enum km_verdict verdict = finding->verdict;
    if (finding->decision) {
        bool attack = finding->decision->kind == KM_DECISION_ATTACK;
        verdict = attack ? KM_VERDICT_MALICIOUS : verdict > KM_VERDICT_SUSPICIOUS ? verdict : KM_VERDICT_SUSPICIOUS;
    }
    out->verdict = verdict > out->verdict ? verdict : out->verdict;
    out->score = finding->score > out->score ? finding->score : out->score;
}

static enum km_code list_candidates(struct judge *judge, struct km_err *err)
{
    for (size_t id = 0; id < km_layout_entry_count(judge->layout); id++) {
        const struct worst *worst = &judge->worst[id];
        if (worst->rank < RANK_HIDDEN)
            continue;
        void *candidates = judge->candidates;
        enum km_code code =
            km_grow(&candidates, &judge->capacity, judge->count + 1, sizeof *judge->candidates, (size_t)1 << 26, err);
        judge->candidates = candidates;
        if (code != KM_OK)
            return code;
        judge->candidates[judge->count++] =
            (struct candidate){.id = (uint32_t)id, .score = worst->score, .image = worst->image};
    }
    return KM_OK;
}

static int compare_strength(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    if (left->score < right->score || left->score > right->score)
        return left->score < right->score ? 1 : -1;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* Each image is opened once more. */
static int compare_images(const void *a, const void *b)
{
    const struct candidate *left = a;
    const struct candidate *right = b;
    if (left->image != right->image)
        return left->image < right->image ? -1 : 1;
    return left->id < right->id ? -1 : left->id > right->id;
}

/* A member of a nested archive is shown where the outermost file lies. */
static void mark_finding(const struct judge *judge, uint32_t id, const struct km_finding *finding)
{
    uint32_t outermost = id;
    for (uint32_t at = id; at != KM_ENTRY_NONE; at = km_layout_place(judge->layout, at).parent)
        outermost = at;
    const struct km_record *record = km_records_find(judge->records, outermost);
    enum km_mosaic_severity severity =
        finding->verdict == KM_VERDICT_MALICIOUS ? KM_MOSAIC_MALICIOUS : KM_MOSAIC_SUSPICIOUS;
    bool in_place = outermost == id && finding->range_count > 1;
    uint64_t begin = in_place ? finding->ranges[0].begin : 0, end = in_place ? finding->ranges[0].end : UINT64_MAX;
    km_mosaic_mark(judge->options->mosaic, record->picture_entry, begin, end, severity, finding->subject.path);
}

/* Bands are named from the base up, by the step that made them. */
static void name_layers(const struct judge *judge)
{
    for (size_t i = 0; i < km_layout_image_count(judge->layout); i++) {
        const struct km_image *image = km_layout_image(judge->layout, i);
        for (size_t k = 0; k < image->layer_count; k++) {
            char name[KM_MOSAIC_TEXT_BYTES];
            const struct km_layer *layer = &image->layers[k];
            const char *text = layer->history ? layer->history : layer->diff_id ? layer->diff_id : "file system";
            snprintf(name, sizeof name, "%zu: %s", k + 1, text);
            km_mosaic_name_layer(judge->options->mosaic, layer->blob, name);
        }
    }
}

static enum km_code give_finding(const struct judge *judge, const struct candidate *candidate, struct km_err *err)
{
    struct km_case file;
    KM_ASSERT(open_case(judge, candidate->id, candidate->image, &file));
    if (file.place.deleted_by)
        km_evidence_add_text(km_case_add_evidence(&file, KM_EVIDENCE_DELETED, 0), "layer",
                             file.place.deleted_by->diff_id ? file.place.deleted_by->diff_id : "a later layer");
    struct draft draft KM_CLEANUP(draft_done) = {0};
    enum km_code code = draft_finding(judge, &file, &draft, err);
    if (code != KM_OK)
        return code;
    count_in_verdict(judge->out, &draft.finding);
    if (!candidate->listed)
        return KM_OK;
    if (judge->options->mosaic && draft.finding.verdict >= KM_VERDICT_SUSPICIOUS && !is_excused(&draft.finding))
        mark_finding(judge, file.id, &draft.finding);
    return judge->sink->finding(judge->sink->context, &draft.finding, err);
}

static enum km_code give_findings(struct judge *judge, struct km_err *err)
{
    enum km_code code = list_candidates(judge, err);
    if (code != KM_OK || judge->count == 0)
        return code;
    qsort(judge->candidates, judge->count, sizeof *judge->candidates, compare_strength);
    size_t listed = judge->count < judge->options->max_findings ? judge->count : judge->options->max_findings;
    judge->out->findings_omitted = judge->count - listed;
    for (size_t i = 0; i < listed; i++)
        judge->candidates[i].listed = true;
    qsort(judge->candidates, judge->count, sizeof *judge->candidates, compare_images);
    for (size_t i = 0; i < judge->count; i++) {
        const struct candidate *candidate = &judge->candidates[i];
        uint64_t steps_left = UINT64_MAX; /* the first pass went this way within its limit */
        if (candidate->image != IN_NO_IMAGE)
            code = km_imageview_open(judge->view, candidate->image, &steps_left, err);
        if (code == KM_OK)
            code = give_finding(judge, candidate, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static void judge_done(struct judge *judge)
{
    km_imageview_free(judge->view);
    km_contents_free(judge->contents);
    free(judge->worst);
    free(judge->backgrounds);
    free(judge->candidates);
}

static enum km_code judge_init(struct judge *judge, struct km_err *err)
{
    struct km_judgement *out = judge->out;
    out->image_count = km_layout_image_count(judge->layout);
    out->images = km_calloc(out->image_count, sizeof *out->images, SIZE_MAX, err);
    out->texts = out->images ? km_arena_new(MAX_DETAIL_BYTES, err) : NULL;
    judge->contents = out->texts ? km_contents_new(judge->examine, judge->layout, err) : NULL;
    judge->view = judge->contents ? km_imageview_new(judge->examine, judge->layout, err) : NULL;
    if (!judge->view)
        return err->code;
    judge->backgrounds = km_calloc(out->image_count, sizeof *judge->backgrounds, SIZE_MAX, err);
    if (!judge->backgrounds)
        return err->code;
    judge->worst = km_calloc(km_layout_entry_count(judge->layout), sizeof *judge->worst, SIZE_MAX, err);
    return judge->worst ? KM_OK : err->code;
}

enum km_code km_judge_run(struct km_examine *examine, const struct km_layout *layout,
                          const struct km_judge_options *options, const struct km_sink *sink, struct km_judgement *out,
                          struct km_err *err)
{
    *out = (struct km_judgement){.verdict = KM_VERDICT_CLEAN};
    struct judge judge KM_CLEANUP(judge_done) = {.examine = examine,
                                                 .records = km_examine_records(examine),
                                                 .layout = layout,
                                                 .options = options,
                                                 .sink = sink,
                                                 .now_wall_ns = km_clock_wall_ns(),
                                                 .out = out};
    enum km_code code = judge_init(&judge, err);
    if (code != KM_OK)
        return code;
    KM_ASSERT(judge.worst);
    code = judge_images(&judge, err);
    if (code == KM_OK && options->mosaic)
        name_layers(&judge);
    return code == KM_OK ? give_findings(&judge, err) : code;
}

void km_judgement_done(struct km_judgement *judgement)
{
    free(judgement->images);
    km_arena_free(judgement->texts);
}
