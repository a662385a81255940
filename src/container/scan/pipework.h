/*
 * The insides of the pipeline, shared by its reading side (pipeline.c) and its workers (pipework.c).
 *
 * Locks, in this order: big.lock, results_lock, queue_lock; callbacks run under results_lock.
 */
#ifndef KM_CONTAINER_SCAN_PIPEWORK_H
#define KM_CONTAINER_SCAN_PIPEWORK_H

#include <pthread.h>

#include "container/scan/pipeline.h"
#include "container/scan/scoretable.h"
#include "container/scan/segment.h"

#define KM_PIPEWORK_MAX_ITEMS 256

/* A segment of a file of several that waits for those before it. */
struct km_pipework_result {
    struct km_pipework_result *next;
    uint64_t sequence, offset;
    bool last, empty;
    struct km_segment segment;
};

/* A file of several segments on its way: who delivers the last one frees it. */
struct km_pipework_big {
    struct km_pipework_big *next, *before; /* of all that live, for the end */
    uint32_t id;
    bool has_hash; /* of the whole, which was held */
    uint8_t sha256[KM_SHA256_BYTES];
    pthread_mutex_t lock;
    struct km_detector_fold *fold;
    struct km_pipework_result *pending; /* by sequence */
    uint64_t wanted;                    /* the sequence that comes next */
};

/* One piece of work: a small file, a segment of a big one, or the first segment of a held file. */
struct km_pipework_item {
    uint32_t id;
    void *tag;
    struct km_pipework_big *big; /* NULL: a whole file, or a held one */
    uint64_t sequence, offset;
    size_t begin, length; /* in the job's bytes */
    bool last, wants_md5, hashable;
    bool hash_only; /* never of a segment of a big file */
};

struct km_pipework_job {
    struct km_pipework_job *next;
    struct km_pipework_job *rest; /* the further segments of a held file, which nobody has hashed yet; or NULL */
    uint8_t *bytes;               /* KM_SEGMENT_BYTES */
    size_t used, count;
    struct km_pipework_item items[KM_PIPEWORK_MAX_ITEMS];
};

struct km_pipework_thread;

struct km_pipeline {
    struct km_pipeline_options options;

    pthread_mutex_t queue_lock;
    pthread_cond_t queued, freed;
    struct km_pipework_job *first, *last; /* queued */
    struct km_pipework_job *unused;
    size_t job_count, job_limit;
    size_t busy; /* queued, or with a worker */
    bool stop;   /* no more work: workers end when the queue is empty */
    bool drop;   /* they end at once */
    struct km_err failure;

    pthread_mutex_t results_lock;
    struct km_scoretable *scores;
    struct km_pipeline_counts counts;
    struct km_pipework_big *bigs;

    struct km_pipework_thread *threads;
    size_t thread_count;

    /* The reading thread's. */
    struct km_pipework_job *gathering;
    struct km_pipeline_file *in_place; /* whose bytes stand behind those of `gathering`; or NULL */
    struct km_pipeline_file *spare_files;
    size_t held; /* segments of files that are held */
};

/* Starts options.jobs workers; what they cannot have is the pipeline's failure. */
enum km_code km_pipework_start(struct km_pipeline *pipeline, struct km_err *err) KM_MUST_USE;
/* Ends and joins them. */
void km_pipework_join(struct km_pipeline *pipeline);

/* A file of several segments. KM_NOMEM. */
enum km_code km_pipework_make_big(struct km_pipeline *pipeline, uint32_t id, struct km_pipework_big **out,
                                  struct km_err *err) KM_MUST_USE;

/* Queues a job, with the lock. */
void km_pipework_append(struct km_pipeline *pipeline, struct km_pipework_job *job);
/* A job that is with nobody any more, and the rest of its file. */
void km_pipework_put_back(struct km_pipeline *pipeline, struct km_pipework_job *job);

void km_pipework_fail(struct km_pipeline *pipeline, const struct km_err *cause);

#endif
