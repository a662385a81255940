#include "container/scan/detector.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "container/scan/bundle.h"
#include "container/scan/fileparts.h"
#include "container/scan/segment.h"
#include "container/scan/squares.h"
#include "container/tokens/tokenjudge.h"

#define MAX_LOGIT 1e5F

struct km_detector_worker {
    const struct km_detector *detector;
    bool is_equipped;             /* with what follows */
    struct km_token_judge *judge; /* or NULL */
    struct km_token_query *query; /* or NULL */
    struct km_squares *squares;   /* or NULL */
    uint32_t *ids;                /* of a union: KM_TOKEN_IDS */
};

struct km_detector_fold {
    struct km_file_scores scores;
    uint64_t segments, cells;
    float sum, window_logit;
    float file_logit; /* of the only segment */
    uint64_t *ids;    /* bits of KM_TOKEN_IDS: the union of several segments; NULL until there are some */
    bool has_ids;
    struct km_segment_part part; /* the strongest of all segments */
    uint64_t part_at;            /* where its segment begins */
};

static const char *const names[KM_FEATURE_COUNT] = {
    [KM_FEATURE_TOKENS_SCORE] = "tokens.score",
    [KM_FEATURE_TOKENS_WINDOW] = "tokens.window",
    [KM_FEATURE_TOKENS_LOOKALIKE] = "tokens.lookalike",
    [KM_FEATURE_TOKENS_BACKGROUND] = "tokens.background",
    [KM_FEATURE_NETWORK_SCORE] = "network.score",
    [KM_FEATURE_PACKED_FOREIGN] = "packed.foreign",
    [KM_FEATURE_BASELINE_KNOWN] = "baseline.known",
    [KM_FEATURE_PACKAGE_UNOWNED] = "package.unowned",
    [KM_FEATURE_PACKAGE_CHANGED] = "package.changed",
    [KM_FEATURE_EXECUTABLE] = "file.executable",
    [KM_FEATURE_SETUID] = "file.setuid",
    [KM_FEATURE_PLACE_SYSTEM] = "place.system",
    [KM_FEATURE_PLACE_TEMPORARY] = "place.temporary",
    [KM_FEATURE_PLACE_HIDDEN] = "place.hidden",
};

const char *km_feature_name(enum km_feature feature)
{
    return names[feature];
}

bool km_feature_from_name(const char *name, enum km_feature *out)
{
    for (size_t i = 0; i < KM_FEATURE_COUNT; i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum km_feature)i;
            return true;
        }
    return false;
}

/* ---- A worker ---- */

struct km_detector_worker *km_detector_worker_new(const struct km_detector *detector, struct km_err *err)
{
    struct km_detector_worker *worker = km_calloc(1, sizeof *worker, SIZE_MAX, err);
    if (worker)
        worker->detector = detector;
    return worker;
}

/* What an earlier call made, which then failed, is kept. */
static enum km_code equip(struct km_detector_worker *worker, struct km_err *err)
{
    const struct km_detector *detector = worker->detector;
    if (worker->is_equipped)
        return KM_OK;
    enum km_code code = km_detector_load(detector, err);
    if (code != KM_OK)
        return code;
    size_t indexes = km_lateparts_index_count(detector->late);
    const struct km_squares_model *network = km_lateparts_network(detector->late);
    if (detector->tokens && !worker->judge) {
        worker->judge = km_token_judge_new(detector->tokens, err);
        if (!worker->judge)
            return err->code;
    }
    if (detector->tokens && !worker->ids) {
        worker->ids = km_calloc(KM_TOKEN_IDS, sizeof *worker->ids, SIZE_MAX, err);
        if (!worker->ids)
            return err->code;
    }
    if (indexes > 0 && !worker->query)
        code = km_token_query_new(km_lateparts_indexes(detector->late), indexes, &worker->query, err);
    if (code == KM_OK && network) {
        worker->squares = km_squares_new(network, err);
        code = worker->squares ? KM_OK : err->code;
    }
    worker->is_equipped = code == KM_OK;
    return code;
}

void km_detector_worker_free(struct km_detector_worker *worker)
{
    if (!worker)
        return;
    km_token_judge_free(worker->judge);
    km_token_query_free(worker->query);
    km_squares_free(worker->squares);
    free(worker->ids);
    free(worker);
}

/* ---- Tokens of a segment ---- */

/* A number that can be stored and compared, or unknown. */
static float usable(double value)
{
    return fabs(value) <= (double)MAX_LOGIT ? (float)value : NAN;
}

static void copy_printable(char *out, size_t out_bytes, const char *text)
{
    size_t n = 0;
    for (; n + 1 < out_bytes && text[n]; n++)
        out[n] = text[n] >= ' ' && text[n] <= '~' ? text[n] : '?';
    out[n] = '\0';
}

/* The nearest known file of a set. */
static void find_neighbours(struct km_detector_worker *worker, const struct km_token_set *set, float *known,
                            float *benign, char label[KM_DETECTOR_LABEL_BYTES])
{
    *known = *benign = NAN;
    label[0] = '\0';
    if (!worker->query || set->count < KM_TOKEN_INDEX_MIN_TOKENS)
        return;
    struct km_token_match match;
    km_token_query_run(worker->query, set, &match);
    *known = usable(match.positive.cosine);
    *benign = usable(match.benign.cosine);
    if (match.positive.cosine > 0) {
        char text[2 * KM_TOKEN_INDEX_LABEL_BYTES + 4];
        (void)snprintf(text, sizeof text, "%s (%s)", match.positive.family, match.positive.file);
        copy_printable(label, KM_DETECTOR_LABEL_BYTES, text);
    }
}

static void keep_reasons(const struct km_token_verdict *verdict, struct km_segment_scores *scores)
{
    for (size_t i = 0; i < verdict->word_count && scores->reason_count < KM_DETECTOR_REASONS; i++) {
        struct km_token_reason *reason = &scores->reasons[scores->reason_count];
        copy_printable(reason->text, sizeof reason->text, verdict->words[i].text);
        reason->weight = usable(verdict->words[i].weight);
        if (reason->text[0] != '\0' && !isnan(reason->weight))
            scores->reason_count++;
    }
}

static enum km_code score_tokens(struct km_detector_worker *worker, struct km_segment *segment, struct km_err *err)
{
    struct km_segment_scores *scores = &segment->scores;
    struct km_token_verdict verdict;
    km_token_judge_begin(worker->judge);
    km_token_judge_feed(worker->judge, segment->bytes, segment->length);
    km_token_judge_end(worker->judge, &verdict);
    scores->file_logit = usable(verdict.file_logit);
    scores->window_logit = usable(verdict.window_logit);
    scores->windows = verdict.file.windows;
    scores->window_begin = verdict.window_bytes > 0 ? (uint32_t)verdict.window_offset : 0;
    keep_reasons(&verdict, scores);
    if (segment->is_whole) {
        find_neighbours(worker, &verdict.file.set, &scores->known, &scores->benign, scores->lookalike);
        return KM_OK;
    }
    if (verdict.file.set.count == 0)
        return KM_OK;
    segment->ids = km_calloc(verdict.file.set.count, sizeof *segment->ids, SIZE_MAX, err);
    if (!segment->ids)
        return err->code;
    memcpy(segment->ids, verdict.file.set.ids, verdict.file.set.count * sizeof *segment->ids);
    segment->id_count = verdict.file.set.count;
    return KM_OK;
}

/* As many segments as there are, each by all its bytes. */
static enum km_code score_whole(struct km_detector_worker *worker, struct km_segment *segments, size_t count,
                                struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < count; i++) {
        KM_ASSERT(segments[i].length > 0 && segments[i].length <= KM_SEGMENT_BYTES);
        segments[i].scores = (struct km_segment_scores){.bytes = (uint32_t)segments[i].length,
                                                        .file_logit = NAN,
                                                        .window_logit = NAN,
                                                        .known = NAN,
                                                        .benign = NAN,
                                                        .sum = NAN};
        segments[i].part = (struct km_segment_part){.end = 0};
        segments[i].ids = NULL;
        segments[i].id_count = 0;
        if (worker->judge)
            code = score_tokens(worker, &segments[i], err);
    }
    if (code == KM_OK && worker->squares)
        code = km_squares_score(worker->squares, segments, count, err);
    return code;
}

/* ---- Parts of a segment ---- */

static double rank_by(const struct km_additive *fusion, const struct km_file_scores *scores)
{
    double features[KM_FEATURE_COUNT], sum = 0;
    km_detector_features(scores, features);
    if (!fusion)
        return fmax(features[KM_FEATURE_TOKENS_SCORE], features[KM_FEATURE_NETWORK_SCORE]);
    for (size_t i = 0; i < km_additive_term_count(fusion); i++) {
        const struct km_additive_term *term = km_additive_term(fusion, i);
        enum km_feature feature;
        if (km_feature_from_name(term->name, &feature))
            sum += km_additive_contribution(term, features[feature]);
    }
    return sum;
}

/* Logits of words and the network's sum become scores. */
static void tell_scores(const struct km_detector *detector, float file_logit, float window_logit, float sum,
                        uint64_t cells, struct km_file_scores *out)
{
    const struct km_token_model *tokens = detector->tokens;
    out->tokens = isnan(file_logit) ? NAN : usable(km_token_model_file_score(tokens, (double)file_logit));
    out->window = isnan(window_logit) ? NAN : usable(km_token_model_window_score(tokens, (double)window_logit));
    out->network = cells > 0 ? KM_NETWORK_SOFTNESS * (sum - logf((float)cells)) : NAN;
}

/* What the file's scores are when it is judged by this part; places in the file. */
static void tell_part(const struct km_detector *detector, const struct km_segment_part *part, uint64_t segment_at,
                      struct km_file_scores *out)
{
    const struct km_segment_scores *scores = &part->scores;
    uint64_t begin = segment_at + part->begin;
    tell_scores(detector, scores->file_logit, scores->window_logit, scores->sum, scores->cells, out);
    out->known = scores->known;
    out->benign = scores->benign;
    memcpy(out->lookalike, scores->lookalike, sizeof out->lookalike);
    out->window_begin = begin + scores->window_begin;
    out->part_begin = begin;
    out->part_end = segment_at + part->end;
    out->reason_count = scores->reason_count;
    memcpy(out->reasons, scores->reasons, sizeof out->reasons);
    out->range_count = scores->range_count;
    for (size_t i = 0; i < scores->range_count; i++)
        out->ranges[i] = (struct km_score_range){begin + scores->ranges[i].begin, begin + scores->ranges[i].end,
                                                 scores->ranges[i].logit};
}

static enum km_code score_part(struct km_detector_worker *worker, struct km_segment *segment, size_t begin, size_t end,
                               struct km_err *err)
{
    struct km_segment alone = {.bytes = segment->bytes + begin, .length = end - begin, .is_whole = true};
    enum km_code code = score_whole(worker, &alone, 1, err);
    if (code != KM_OK)
        return code;
    struct km_segment_part part = {.begin = (uint32_t)begin, .end = (uint32_t)end, .scores = alone.scores};
    struct km_file_scores told = {0};
    tell_part(worker->detector, &part, 0, &told);
    part.rank = usable(rank_by(worker->detector->ranking, &told));
    if (!isnan(part.rank) && (segment->part.end == 0 || part.rank > segment->part.rank))
        segment->part = part;
    return KM_OK;
}

/* Nothing to do for nearly all files: they are one. */
static enum km_code score_parts(struct km_detector_worker *worker, struct km_segment *segment, struct km_err *err)
{
    size_t begin = 0, end;
    enum km_code code = KM_OK;
    bool more = km_filepart_find_end(segment->bytes, segment->length, 0, &end);
    while (more && code == KM_OK) {
        code = score_part(worker, segment, begin, end, err);
        begin = end;
        more = km_filepart_find_end(segment->bytes, segment->length, begin, &end);
    }
    return code == KM_OK && begin > 0 ? score_part(worker, segment, begin, end, err) : code;
}

enum km_code km_detector_score_segments(struct km_detector_worker *worker, struct km_segment *segments, size_t count,
                                        struct km_err *err)
{
    enum km_code code = equip(worker, err);
    if (code == KM_OK)
        code = score_whole(worker, segments, count, err);
    for (size_t i = 0; code == KM_OK && i < count; i++)
        code = score_parts(worker, &segments[i], err);
    return code;
}

/* ---- A file ---- */

struct km_detector_fold *km_detector_fold_new(struct km_err *err)
{
    struct km_detector_fold *fold = km_calloc(1, sizeof *fold, SIZE_MAX, err);
    if (fold)
        fold->sum = fold->window_logit = fold->file_logit = NAN;
    return fold;
}

void km_detector_fold_free(struct km_detector_fold *fold)
{
    if (!fold)
        return;
    free(fold->ids);
    free(fold);
}

static enum km_code unite(struct km_detector_fold *fold, const struct km_segment *segment, struct km_err *err)
{
    if (segment->id_count == 0)
        return KM_OK;
    if (!fold->ids) {
        fold->ids = km_calloc(KM_TOKEN_IDS / 64, sizeof *fold->ids, SIZE_MAX, err);
        if (!fold->ids)
            return err->code;
    }
    fold->has_ids = true;
    for (size_t i = 0; i < segment->id_count; i++)
        fold->ids[segment->ids[i] / 64] |= UINT64_C(1) << segment->ids[i] % 64;
    return KM_OK;
}

static void fold_ranges(struct km_file_scores *file, uint64_t offset, const struct km_segment_scores *scores)
{
    for (size_t i = 0; i < scores->range_count; i++) {
        const struct km_score_range range = {scores->ranges[i].begin + offset, scores->ranges[i].end + offset,
                                             scores->ranges[i].logit};
        size_t at = file->range_count;
        while (at > 0 && file->ranges[at - 1].logit < range.logit)
            at--;
        if (at == KM_DETECTOR_RANGES)
            break;
        file->range_count += file->range_count < KM_DETECTOR_RANGES;
        for (size_t k = file->range_count - 1; k > at; k--)
            file->ranges[k] = file->ranges[k - 1];
        file->ranges[at] = range;
    }
}

enum km_code km_detector_fold_add(struct km_detector_fold *fold, uint64_t offset, const struct km_segment *segment,
                                  struct km_err *err)
{
    const struct km_segment_scores *scores = &segment->scores;
    struct km_file_scores *file = &fold->scores;
    enum km_code code = unite(fold, segment, err);
    if (code != KM_OK)
        return code;
    bool first = fold->segments++ == 0;
    if (!isnan(scores->window_logit) && !(fold->window_logit >= scores->window_logit)) {
        fold->window_logit = scores->window_logit;
        file->window_begin = offset + scores->window_begin;
        file->reason_count = scores->reason_count;
        memcpy(file->reasons, scores->reasons, sizeof file->reasons);
    }
    if (first) {
        fold->file_logit = scores->file_logit;
        file->known = scores->known;
        file->benign = scores->benign;
        memcpy(file->lookalike, scores->lookalike, sizeof file->lookalike);
    }
    if (segment->part.end > 0 && (fold->part.end == 0 || segment->part.rank > fold->part.rank)) {
        fold->part = segment->part;
        fold->part_at = offset;
    }
    fold->cells += scores->cells;
    if (scores->cells > 0 && isnan(fold->sum))
        fold->sum = scores->sum;
    else if (scores->cells > 0)
        fold->sum = fold->sum > scores->sum ? fold->sum + log1pf(expf(scores->sum - fold->sum))
                                            : scores->sum + log1pf(expf(fold->sum - scores->sum));
    fold_ranges(file, offset, scores);
    file->bytes += scores->bytes;
    return KM_OK;
}

/* The set of a file of several segments is the union of theirs. */
static enum km_code judge_union(struct km_detector_fold *fold, struct km_detector_worker *worker, struct km_err *err)
{
    if (!fold->has_ids)
        return KM_OK;
    enum km_code code = equip(worker, err);
    if (code != KM_OK)
        return code;
    struct km_token_set set = {worker->ids, 0};
    for (size_t word = 0; word < KM_TOKEN_IDS / 64; word++)
        for (uint64_t bits = fold->ids[word]; bits != 0; bits &= bits - 1)
            worker->ids[set.count++] = (uint32_t)(word * 64 + (unsigned)__builtin_ctzll(bits));
    fold->file_logit = usable(km_token_model_logit(worker->detector->tokens, &set));
    find_neighbours(worker, &set, &fold->scores.known, &fold->scores.benign, fold->scores.lookalike);
    memset(fold->ids, 0, KM_TOKEN_IDS / 64 * sizeof *fold->ids);
    fold->has_ids = false;
    return KM_OK;
}

enum km_code km_detector_fold_unite(struct km_detector_fold *fold, struct km_detector_worker *worker,
                                    struct km_segment *out, struct km_err *err)
{
    const struct km_file_scores *file = &fold->scores;
    enum km_code code = judge_union(fold, worker, err);
    if (code != KM_OK)
        return code;
    *out = (struct km_segment){.length = (size_t)file->bytes, .is_whole = true};
    out->scores = (struct km_segment_scores){.bytes = (uint32_t)file->bytes,
                                             .file_logit = fold->file_logit,
                                             .window_logit = fold->window_logit,
                                             .window_begin = (uint32_t)file->window_begin,
                                             .known = file->known,
                                             .benign = file->benign,
                                             .reason_count = file->reason_count,
                                             .sum = fold->sum,
                                             .cells = (uint32_t)fold->cells,
                                             .range_count = file->range_count};
    memcpy(out->scores.lookalike, file->lookalike, sizeof out->scores.lookalike);
    memcpy(out->scores.reasons, file->reasons, sizeof out->scores.reasons);
    memcpy(out->scores.ranges, file->ranges, sizeof out->scores.ranges);
    out->part = fold->part;
    if (fold->part.end > 0) {
        out->part.begin += (uint32_t)fold->part_at;
        out->part.end += (uint32_t)fold->part_at;
    }
    return KM_OK;
}

enum km_code km_detector_fold_finish(struct km_detector_fold *fold, struct km_detector_worker *worker,
                                     struct km_file_scores *out, struct km_err *err)
{
    const struct km_detector *detector = worker->detector;
    struct km_file_scores *file = &fold->scores;
    if (fold->segments == 0)
        file->known = file->benign = NAN;
    enum km_code code = judge_union(fold, worker, err);
    if (code != KM_OK)
        return code;
    tell_scores(detector, fold->file_logit, fold->window_logit, fold->sum, fold->cells, file);
    *out = *file;
    if (fold->part.end > 0) {
        struct km_file_scores part = {.bytes = file->bytes};
        tell_part(detector, &fold->part, fold->part_at, &part);
        if (!(rank_by(detector->fusion, &part) <= rank_by(detector->fusion, file)))
            *out = part;
    }
    *fold = (struct km_detector_fold){.ids = fold->ids, .sum = NAN, .window_logit = NAN, .file_logit = NAN};
    return KM_OK;
}

enum km_code km_detector_score_file(struct km_detector_worker *worker, const uint8_t *bytes, size_t length,
                                    struct km_file_scores *out, struct km_err *err)
{
    struct km_detector_fold *fold = km_detector_fold_new(err);
    enum km_code code = fold ? KM_OK : err->code;
    for (size_t at = 0; code == KM_OK && at < length; at += KM_SEGMENT_BYTES) {
        struct km_segment segment = {.bytes = bytes + at,
                                     .length = length - at < KM_SEGMENT_BYTES ? length - at : KM_SEGMENT_BYTES,
                                     .is_whole = length <= KM_SEGMENT_BYTES};
        code = km_detector_score_segments(worker, &segment, 1, err);
        if (code == KM_OK)
            code = km_detector_fold_add(fold, at, &segment, err);
        km_segment_done(&segment);
    }
    if (code == KM_OK)
        code = km_detector_fold_finish(fold, worker, out, err);
    km_detector_fold_free(fold);
    return code;
}

void km_detector_features(const struct km_file_scores *scores, double out[KM_FEATURE_COUNT])
{
    for (size_t i = 0; i < KM_FEATURE_COUNT; i++)
        out[i] = NAN;
    double file = (double)scores->tokens, window = (double)scores->window;
    out[KM_FEATURE_TOKENS_SCORE] = isnan(file) || window > file ? window : file;
    out[KM_FEATURE_TOKENS_WINDOW] = window;
    out[KM_FEATURE_TOKENS_LOOKALIKE] = (double)scores->known - (double)scores->benign;
    out[KM_FEATURE_NETWORK_SCORE] = (double)scores->network;
}

double km_detector_rank(const struct km_detector *detector, const struct km_file_scores *scores)
{
    return rank_by(detector->fusion, scores);
}
