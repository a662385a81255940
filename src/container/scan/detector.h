/*
 * The learned detector: a bundle of models, and what they say about the bytes of one file.
 *
 * A bundle is a folder with `bundle.json`, which names its parts with their SHA-256: a network (card and weights of
 * nn/modelfile.h), a token model, an index of known files, a fusion (stats/additive.h) with its calibration. Each part
 * may be missing; what it would have said is then unknown (NaN), never zero. docs/formats/detector.md has the format.
 *
 * A file is cut into segments of KM_SEGMENT_BYTES from its first byte, the last one shorter. Each segment is scored
 * alone, by its content alone, so that it can be cached and computed by any worker; km_detector_fold joins segments in
 * file order. Words that cross a segment's end, and ELF symbol tables behind the first segment, are not seen. The
 * result does not depend on how many workers there are, nor on what came from a cache.
 *
 * A file that is several files, one behind the other (fileparts.h), is judged as a whole and by each that lies whole in
 * a segment, as if it were alone: its scores are those of the strongest, which they name. So nothing that is appended,
 * or put in front, takes anything from what a program in it says.
 *
 * Network and indexes are loaded by the first score that needs them (km_detector_load).
 *
 * Threads: a km_detector is read-only after opening and shared; a km_detector_worker belongs to the thread that made
 * it, computes on that thread alone and outlives no detector.
 */
#ifndef KM_CONTAINER_SCAN_DETECTOR_H
#define KM_CONTAINER_SCAN_DETECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "stats/additive.h"

#define KM_SEGMENT_BYTES         ((size_t)1 << 20)
#define KM_DETECTOR_NAME_BYTES   128
#define KM_DETECTOR_RANGES       4 /* the strongest places of a file */
#define KM_DETECTOR_REASONS      6 /* the heaviest tokens of a file */
#define KM_DETECTOR_REASON_BYTES 32
#define KM_DETECTOR_LABEL_BYTES  160
/* A file's network score is t log(mean over 1 KiB cells of exp(logit of the cell's square / t)): between the mean and
 * the strongest square's. With a small t the noise of small squares, and the one odd square of a large file, decides.
 */
#define KM_NETWORK_SOFTNESS        8.0F
#define KM_DETECTOR_MANIFEST       "bundle.json"
#define KM_DETECTOR_MANIFEST_BYTES ((size_t)64 << 10)

/* What the fusion may weigh, by these names; the numbers are stable within one build only. Unknown is NaN. */
enum km_feature {
    KM_FEATURE_TOKENS_SCORE = 0,      /* "tokens.score": the higher of the file's and its strongest window's */
    KM_FEATURE_TOKENS_WINDOW = 1,     /* "tokens.window": the window's alone */
    KM_FEATURE_TOKENS_LOOKALIKE = 2,  /* "tokens.lookalike": cosine to the nearest known less to the nearest benign */
    KM_FEATURE_TOKENS_BACKGROUND = 3, /* "tokens.background": z-score of tokens.score among the container's programs */
    KM_FEATURE_NETWORK_SCORE = 4,     /* "network.score": the squares' logits, by KM_NETWORK_SOFTNESS */
    KM_FEATURE_PACKED_FOREIGN = 5,    /* "packed.foreign": 1 packed, not opened, and of unknown origin; else 0 */
    KM_FEATURE_BASELINE_KNOWN = 6,    /* "baseline.known": 1 the site's baseline has this content; else 0 */
    KM_FEATURE_PACKAGE_UNOWNED = 7,   /* 0 or 1, as the rest; the names are those of the evidence */
    KM_FEATURE_PACKAGE_CHANGED = 8,
    KM_FEATURE_EXECUTABLE = 9, /* these four only of programs of doubtful origin */
    KM_FEATURE_SETUID = 10,
    KM_FEATURE_PLACE_SYSTEM = 11,
    KM_FEATURE_PLACE_TEMPORARY = 12,
    KM_FEATURE_PLACE_HIDDEN = 13,
};
#define KM_FEATURE_COUNT 14

const char *km_feature_name(enum km_feature feature); /* static storage */
/* False when no feature has this name. */
bool km_feature_from_name(const char *name, enum km_feature *out);

/* ---- The bundle ---- */

struct km_detector;

/* Opens the bundle in a folder (borrowed); its descriptors stay open until network and indexes are loaded. KM_CONFLICT:
 * a part is not the one that the manifest names; KM_FORMAT, KM_LIMIT, KM_UNSUPPORTED (version), KM_NOTFOUND, KM_IO,
 * KM_NOMEM. The text names the part. */
enum km_code km_detector_open(int folder, struct km_detector **out, struct km_err *err) KM_MUST_USE;
void km_detector_free(struct km_detector *detector);
KM_DEFINE_CLEANUP(struct km_detector, km_detector_cleanup, km_detector_free);

/* Loads what opening left: for who wants to know now whether it can be; workers do it when they score. Any thread, any
 * number of times, always the same answer. KM_CONFLICT, KM_FORMAT, KM_LIMIT, KM_UNSUPPORTED, KM_IO, KM_NOMEM. */
enum km_code km_detector_load(const struct km_detector *detector, struct km_err *err) KM_MUST_USE;

/* "NAME (tokens, lookalike, network, fusion) 0123456789ab": for the versions of a result. Borrowed. */
const char *km_detector_version(const struct km_detector *detector);
/* Identifies models and the meaning of scores: another digest, other scores. */
const uint8_t *km_detector_digest(const struct km_detector *detector);
bool km_detector_has_tokens(const struct km_detector *detector);
bool km_detector_has_network(const struct km_detector *detector);
/* The bundle's, or NULL. */
const struct km_additive *km_detector_fusion(const struct km_detector *detector);

/* Further indexes of the token side (those of a site's baseline), as tokens/tokenindex.h writes them, joined to one;
 * once, before the first worker; from the first one on that does not fit into an index with those before it, they are
 * left out. The descriptors are taken over where that succeeds. A detector without a token model takes none:
 * KM_UNSUPPORTED. The digest changes. KM_IO, KM_NOMEM: the detector is of no use. */
enum km_code km_detector_add_indexes(struct km_detector *detector, const int *fds, size_t count,
                                     struct km_err *err) KM_MUST_USE;

/* Replaces the calibration, and terms of the fusion by those of `fusion`: a site's own. Before it is shared. Names that
 * are no feature's are KM_FORMAT. Does not change the digest: scores of segments stay what they are. */
enum km_code km_detector_set_fusion(struct km_detector *detector, const struct km_additive *fusion,
                                    struct km_err *err) KM_MUST_USE;

/* A new bundle.json in the folder for the parts named there: base names of files that are in it, NULL: none. Network
 * and tokens are stems: STEM.json and STEM.safetensors. name is printable. KM_IO, KM_NOTFOUND, KM_LIMIT, KM_FORMAT. */
struct km_detector_parts {
    const char *network, *tokens; /* stems */
    const char *index, *fusion;   /* file names */
};
enum km_code km_detector_write_manifest(int folder, const char *name, const struct km_detector_parts *given,
                                        struct km_err *err) KM_MUST_USE;

/* ---- Scores ---- */

struct km_detector_worker;

/* NULL with *err set: KM_NOMEM. What it computes with is made at the first score. */
struct km_detector_worker *km_detector_worker_new(const struct km_detector *detector, struct km_err *err) KM_MUST_USE;
void km_detector_worker_free(struct km_detector_worker *worker);
KM_DEFINE_CLEANUP(struct km_detector_worker, km_detector_worker_cleanup, km_detector_worker_free);

struct km_score_range {
    uint64_t begin, end; /* bytes of the file, half open, at most 1 KiB */
    float logit;         /* what the network says of it alone */
};

struct km_token_reason {
    char text[KM_DETECTOR_REASON_BYTES]; /* printable ASCII; cut when longer */
    float weight;                        /* its term in the token logit */
};

/* What the models say about a file. NaN: unknown (no such model, nothing to read). */
struct km_file_scores {
    uint64_t bytes;                          /* that were scored */
    float tokens;                            /* of the file as a whole */
    float window;                            /* of its strongest 64 KiB window */
    float network;                           /* of its squares' logits, by KM_NETWORK_SOFTNESS */
    float known, benign;                     /* cosines to the nearest known and the nearest benign file */
    char lookalike[KM_DETECTOR_LABEL_BYTES]; /* the nearest known file, printable; "": none */
    uint64_t window_begin;                   /* of the strongest window, in the file */
    uint64_t part_begin, part_end;           /* whose scores these are; part_end 0: the file's as a whole */
    uint32_t range_count, reason_count;
    struct km_score_range ranges[KM_DETECTOR_RANGES];    /* strongest first */
    struct km_token_reason reasons[KM_DETECTOR_REASONS]; /* heaviest first */
};

/* A whole file in memory, cut as a scan cuts it. The codes of km_detector_load, KM_IO of the network's backend. */
enum km_code km_detector_score_file(struct km_detector_worker *worker, const uint8_t *bytes, size_t length,
                                    struct km_file_scores *out, struct km_err *err) KM_MUST_USE;

/* What the models alone say of a file, to rank files: the fusion's terms of their features, or the highest score. */
double km_detector_rank(const struct km_detector *detector, const struct km_file_scores *scores);

/* Puts what the scores say into the features; the others become NaN. */
void km_detector_features(const struct km_file_scores *scores, double out[KM_FEATURE_COUNT]);

/* ---- Segment by segment, for the pipeline and its cache ---- */

struct km_segment; /* segment.h */

/* Scores segments [0, count), each alone; together only because small ones are then cheaper. Every segment has its
 * bytes, length and is_whole set; the rest is filled. The codes of km_detector_load. */
enum km_code km_detector_score_segments(struct km_detector_worker *worker, struct km_segment *segments, size_t count,
                                        struct km_err *err) KM_MUST_USE;

/* Joins a file's segments, given in order. The fold may go from thread to thread; finishing needs the caller's own
 * worker, and makes it ready for the next file. KM_NOMEM; uniting and finishing: the codes of km_detector_load, for
 * words of several segments have to be judged together. */
struct km_detector_fold;
struct km_detector_fold *km_detector_fold_new(struct km_err *err) KM_MUST_USE;
void km_detector_fold_free(struct km_detector_fold *fold);
enum km_code km_detector_fold_add(struct km_detector_fold *fold, uint64_t offset, const struct km_segment *segment,
                                  struct km_err *err) KM_MUST_USE;
/* Before finishing: what the segments, which were all of the file, came to, as one segment of the file's length. A fold
 * of that alone finishes as this one does. */
enum km_code km_detector_fold_unite(struct km_detector_fold *fold, struct km_detector_worker *worker,
                                    struct km_segment *out, struct km_err *err) KM_MUST_USE;
enum km_code km_detector_fold_finish(struct km_detector_fold *fold, struct km_detector_worker *worker,
                                     struct km_file_scores *out, struct km_err *err) KM_MUST_USE;

#endif
