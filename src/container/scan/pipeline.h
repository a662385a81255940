/*
 * Workers that score what the reading thread hands them. The reading thread opens files, feeds and ends them; the
 * pipeline cuts them into segments, puts small files together, and queues the work; each worker has one single-threaded
 * detector worker. Results are the same for any number of workers.
 *
 * Hashes: a file of at most KM_PIPELINE_HELD_SEGMENTS segments is held until it is over and hashed by a worker, which
 * then knows before scoring whether the baseline or the cache has it; the hashes come back through `hashed`. A larger
 * file, and one with holes of a segment or with missing bytes, streams: the reading thread hashes the whole (the caller
 * is given each segment through `feed_hash`), segments are scored before the hash is known, and only the cache, asked
 * for each segment by its own hash, spares them that.
 *
 * Memory: KM_PIPELINE_BYTES_PER_WORKER for each worker, twice the segments that are held (one file is read while
 * another is scored), one segment for each open file, 16 bytes a file and KM_PIPELINE_MAX_DETAILS full scores, whatever
 * is read. The queue is bounded: feeding waits.
 *
 * Threads: all functions are the reading thread's; `hashed` is called in workers, one call at a time.
 */
#ifndef KM_CONTAINER_SCAN_PIPELINE_H
#define KM_CONTAINER_SCAN_PIPELINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "container/scan/detector.h"

#define KM_PIPELINE_MAX_JOBS         64u
#define KM_PIPELINE_MAX_DETAILS      4096u /* the files of highest rank, whose full scores are kept */
#define KM_PIPELINE_SAMPLE           16u
#define KM_PIPELINE_BYTES_PER_WORKER ((size_t)14 << 20)
#define KM_PIPELINE_HELD_SEGMENTS    32u /* of all files that are open at once */

struct km_baseline;
struct km_segcache;

struct km_pipeline_hashes {
    uint8_t sha256[KM_SHA256_BYTES], md5[KM_MD5_BYTES];
    bool has_md5;
};

struct km_pipeline_options {
    const struct km_detector *detector;
    const struct km_baseline *baseline; /* or NULL */
    struct km_segcache *cache;          /* or NULL */
    unsigned jobs;                      /* 1..KM_PIPELINE_MAX_JOBS */
    /* A file that was not streamed was hashed. A failure ends the scan with its code. */
    enum km_code (*hashed)(void *context, void *tag, const struct km_pipeline_hashes *hashes, struct km_err *err);
    /* The next bytes of a file that streams, to be hashed by the caller, in the reading thread. */
    void (*feed_hash)(void *context, void *tag, const uint8_t *bytes, uint64_t length); /* NULL: zeros */
    void *context;
};

struct km_pipeline;
struct km_pipeline_file;

/* Starts the workers, which make their networks while the reading begins: a failure of theirs is told by open and
 * finish. NULL with *err set: KM_NOMEM, KM_IO. options is copied. */
struct km_pipeline *km_pipeline_new(const struct km_pipeline_options *options, struct km_err *err) KM_MUST_USE;
/* Drops what waits, joins the workers. */
void km_pipeline_free(struct km_pipeline *pipeline);
KM_DEFINE_CLEANUP(struct km_pipeline, km_pipeline_cleanup, km_pipeline_free);

struct km_pipeline_begin {
    uint32_t id; /* the entry's */
    void *tag;   /* the caller's, for its callbacks */
    bool wants_md5;
    bool sample; /* of a file of several segments, score the first, the last and one in KM_PIPELINE_SAMPLE */
};

/* Opens a file; as many may be open at once as the source nests. KM_NOMEM, KM_LIMIT, and the first failure of any
 * worker; so do feed, end and finish. */
enum km_code km_pipeline_open(struct km_pipeline *pipeline, const struct km_pipeline_begin *begin,
                              struct km_pipeline_file **out, struct km_err *err) KM_MUST_USE;

/* Bytes at `offset`; NULL is a hole. Offsets ascend; what is left out is a damaged region. A segment that is one hole
 * costs nothing. */
enum km_code km_pipeline_feed(struct km_pipeline_file *file, uint64_t offset, const uint8_t *bytes, uint64_t length,
                              struct km_err *err) KM_MUST_USE;

/* Nobody will ask for this file's scores: what is not yet queued is hashed as ever, and asked for in the baseline, but
 * neither scored nor cached. */
void km_pipeline_hash_only(struct km_pipeline_file *file);

/* The file is over; `file` is gone. is_hashed: its hashes come through `hashed`, perhaps later; else the caller has all
 * bytes through feed_hash by now. hashable: false when a hash would say nothing (bytes are missing). */
struct km_pipeline_end {
    bool is_hashed;
    uint64_t left_out; /* bytes that the sample does not hold */
};
enum km_code km_pipeline_end(struct km_pipeline_file *file, bool hashable, struct km_pipeline_end *out,
                             struct km_err *err) KM_MUST_USE;
/* The same, and what is not yet queued is dropped: for a scan that ends with an error. */
void km_pipeline_abandon(struct km_pipeline_file *file);

/* Waits for all work. Then the results may be asked for. The first failure of a worker. */
enum km_code km_pipeline_finish(struct km_pipeline *pipeline, struct km_err *err) KM_MUST_USE;

/* ---- Results, after finish ---- */

struct km_score {
    float tokens, lookalike, network; /* KM_FEATURE_TOKENS_SCORE, …; NaN: unknown */
    bool is_scored;                   /* false: the baseline knows it, it was only hashed, or it is empty */
    bool is_known;                    /* the baseline knows it */
};
/* Of an entry's own content. */
struct km_score km_pipeline_score(const struct km_pipeline *pipeline, uint32_t id);
/* All that the models said, or NULL: the file's rank is below those that were kept. */
const struct km_file_scores *km_pipeline_details(const struct km_pipeline *pipeline, uint32_t id);

struct km_pipeline_counts {
    uint64_t files_scored, files_known, segments, segments_cached;
};
struct km_pipeline_counts km_pipeline_counts(const struct km_pipeline *pipeline);

#endif
