/*
 * A segment of a file on its way through the detector: its bytes, and what the models say about them alone. The scores
 * are plain data; the set of token ids goes with them only when the file has more segments, because its file-wide score
 * needs the union. km_segment_format and _parse are the cache's record of both.
 */
#ifndef KM_CONTAINER_SCAN_SEGMENT_H
#define KM_CONTAINER_SCAN_SEGMENT_H

#include "base/buf.h"
#include "container/imaging/fileview.h"
#include "container/scan/detector.h"

#define KM_SEGMENT_MAX_RECORD ((size_t)2 << 20)

struct km_segment_scores {
    uint32_t bytes;
    /* Tokens; NaN without any, or without a model. */
    float file_logit, window_logit; /* of the segment's set; of its strongest window */
    uint32_t windows, window_begin; /* how many windows have tokens; where the strongest begins in the segment */
    float known, benign;            /* of a whole file only */
    char lookalike[KM_DETECTOR_LABEL_BYTES];
    uint32_t reason_count;
    struct km_token_reason reasons[KM_DETECTOR_REASONS];
    /* Network; cells 0 without one. */
    float sum; /* log of the sum over 1 KiB cells of exp(logit of the cell's square / KM_NETWORK_SOFTNESS) */
    uint32_t cells;
    uint32_t range_count;
    struct km_score_range ranges[KM_DETECTOR_RANGES]; /* in the segment, strongest first */
};

/* The strongest of several files that stand behind each other in a segment (fileparts.h), as if it were alone. */
struct km_segment_part {
    uint32_t begin, end; /* in the segment; end 0: the segment has one file's bytes, or none that is whole in it */
    float rank;          /* by the bundle's own fusion: what it was chosen by */
    struct km_segment_scores scores; /* places count from the part's begin */
};

struct km_segment {
    const uint8_t *bytes;            /* borrowed; needed for scoring alone */
    size_t length;                   /* 1..KM_SEGMENT_BYTES; more in the record of a file of several */
    bool is_whole;                   /* the file is this segment */
    struct km_segment_scores scores; /* of all its bytes */
    struct km_segment_part part;
    uint32_t *ids; /* owned, ascending; NULL when is_whole or without tokens */
    size_t id_count;
    float side_sums[KM_FILEVIEW_SIZES]; /* scratch of squares.c */
};

void km_segment_done(struct km_segment *segment);

/* Appends the record. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_segment_format(const struct km_segment *segment, struct km_buf *out, struct km_err *err) KM_MUST_USE;

/* Fills scores and ids of a segment whose length and is_whole are set; the record is hostile: lengths, ranges, order,
 * printable text and finite numbers are checked. KM_FORMAT, also for a record of another length or another kind of
 * segment; KM_NOMEM. */
enum km_code km_segment_parse(struct km_segment *segment, const uint8_t *record, size_t length,
                              struct km_err *err) KM_MUST_USE;

#endif
