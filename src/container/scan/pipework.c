#include "container/scan/pipework.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/scan/baseline.h"
#include "container/scan/segcache.h"

/* Its members are the thread's own but `pipeline`. */
struct km_pipework_thread {
    pthread_t thread;
    struct km_pipeline *pipeline;
    struct km_detector_worker *detector;
    struct km_detector_fold *fold; /* of small files */
    struct km_digest *sha256, *md5;
    struct km_segcache_key keys[KM_PIPEWORK_MAX_ITEMS];
    struct km_segment segments[KM_PIPEWORK_MAX_ITEMS];
    const struct km_pipework_item *of[KM_PIPEWORK_MAX_ITEMS];
    size_t count;
    bool splits; /* the held file of this hash has to be scored */
    uint8_t held_sha256[KM_SHA256_BYTES];
};

/* A smaller content's MD5 costs less than asking for it. */
#define MIN_MD5_KEPT 4096

void km_pipework_fail(struct km_pipeline *pipeline, const struct km_err *cause)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    if (pipeline->failure.code == KM_OK)
        pipeline->failure = *cause;
    pthread_cond_broadcast(&pipeline->freed);
    pthread_cond_broadcast(&pipeline->queued);
    pthread_mutex_unlock(&pipeline->queue_lock);
}

/* ---- Jobs ---- */

void km_pipework_append(struct km_pipeline *pipeline, struct km_pipework_job *job)
{
    job->next = NULL;
    if (pipeline->last)
        pipeline->last->next = job;
    else
        pipeline->first = job;
    pipeline->last = job;
}

/* With the lock. */
static void put_back(struct km_pipeline *pipeline, struct km_pipework_job *job)
{
    while (job) {
        struct km_pipework_job *rest = km_steal(job->rest);
        job->next = pipeline->unused;
        pipeline->unused = job;
        job = rest;
    }
    pthread_cond_signal(&pipeline->freed);
}

void km_pipework_put_back(struct km_pipeline *pipeline, struct km_pipework_job *job)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    put_back(pipeline, job);
    pthread_mutex_unlock(&pipeline->queue_lock);
}

/* ---- Results ---- */

static enum km_code put_known(struct km_pipeline *pipeline, uint32_t id, struct km_err *err)
{
    const struct km_score score = {NAN, NAN, NAN, false, true};
    pthread_mutex_lock(&pipeline->results_lock);
    pipeline->counts.files_known++;
    enum km_code code = km_scoretable_put(pipeline->scores, id, &score, NULL, 0, err);
    pthread_mutex_unlock(&pipeline->results_lock);
    return code;
}

static enum km_code put_scores(struct km_pipework_thread *thread, struct km_detector_fold *fold, uint32_t id,
                               struct km_err *err)
{
    struct km_pipeline *pipeline = thread->pipeline;
    struct km_file_scores file;
    double features[KM_FEATURE_COUNT];
    enum km_code code = km_detector_fold_finish(fold, thread->detector, &file, err);
    if (code != KM_OK)
        return code;
    km_detector_features(&file, features);
    const struct km_score score = {.tokens = (float)features[KM_FEATURE_TOKENS_SCORE],
                                   .lookalike = (float)features[KM_FEATURE_TOKENS_LOOKALIKE],
                                   .network = (float)features[KM_FEATURE_NETWORK_SCORE],
                                   .is_scored = file.bytes > 0};
    double rank = km_detector_rank(pipeline->options.detector, &file);
    pthread_mutex_lock(&pipeline->results_lock);
    pipeline->counts.files_scored += file.bytes > 0;
    code = km_scoretable_put(pipeline->scores, id, &score, &file, rank, err);
    pthread_mutex_unlock(&pipeline->results_lock);
    return code;
}

/* ---- Segments of big files: joined in order, by whoever brings the missing one ---- */

enum km_code km_pipework_make_big(struct km_pipeline *pipeline, uint32_t id, struct km_pipework_big **out,
                                  struct km_err *err)
{
    struct km_pipework_big *big = km_calloc(1, sizeof *big, SIZE_MAX, err);
    if (!big)
        return err->code;
    big->id = id;
    big->fold = km_detector_fold_new(err);
    if (!big->fold) {
        free(big);
        return err->code;
    }
    pthread_mutex_init(&big->lock, NULL);
    pthread_mutex_lock(&pipeline->results_lock);
    big->next = pipeline->bigs;
    if (big->next)
        big->next->before = big;
    pipeline->bigs = big;
    pthread_mutex_unlock(&pipeline->results_lock);
    *out = big;
    return KM_OK;
}

static void insert_result(struct km_pipework_big *big, struct km_pipework_result *result)
{
    struct km_pipework_result **at = &big->pending;
    while (*at && (*at)->sequence < result->sequence)
        at = &(*at)->next;
    result->next = *at;
    *at = result;
}

/* Joins what can be joined; true: that was the last one. */
static bool join_results(struct km_pipework_big *big, enum km_code *code, struct km_err *err)
{
    bool last = false;
    while (*code == KM_OK && big->pending && big->pending->sequence == big->wanted) {
        struct km_pipework_result *result = big->pending;
        big->pending = result->next;
        big->wanted++;
        last = result->last;
        if (!result->empty)
            *code = km_detector_fold_add(big->fold, result->offset, &result->segment, err);
        km_segment_done(&result->segment);
        free(result);
    }
    return last;
}

static void forget_big(struct km_pipeline *pipeline, struct km_pipework_big *big)
{
    pthread_mutex_lock(&pipeline->results_lock);
    if (big->before)
        big->before->next = big->next;
    else
        pipeline->bigs = big->next;
    if (big->next)
        big->next->before = big->before;
    pthread_mutex_unlock(&pipeline->results_lock);
    km_detector_fold_free(big->fold);
    pthread_mutex_destroy(&big->lock);
    free(big);
}

static struct km_segcache_key key_of(const struct km_pipework_thread *thread, const uint8_t sha256[KM_SHA256_BYTES],
                                     enum km_segcache_kind kind)
{
    struct km_segcache_key key = {.kind = (uint8_t)kind};
    memcpy(key.content, sha256, sizeof key.content);
    memcpy(key.models, km_detector_digest(thread->pipeline->options.detector), sizeof key.models);
    return key;
}

/* All segments are joined; nobody else has anything of the file any more. */
static enum km_code end_big(struct km_pipework_thread *thread, struct km_pipework_big *big, struct km_err *err)
{
    enum km_code code = KM_OK;
    if (big->has_hash && thread->pipeline->options.cache) {
        struct km_segment whole;
        const struct km_segcache_key key = key_of(thread, big->sha256, KM_SEGCACHE_FILE);
        code = km_detector_fold_unite(big->fold, thread->detector, &whole, err);
        if (code == KM_OK)
            km_segcache_put(thread->pipeline->options.cache, &key, &whole);
    }
    if (code == KM_OK)
        code = put_scores(thread, big->fold, big->id, err);
    forget_big(thread->pipeline, big);
    return code;
}

/* Takes the segment over. */
static enum km_code give_segment(struct km_pipework_thread *thread, const struct km_pipework_item *item,
                                 struct km_segment *segment, struct km_err *err)
{
    struct km_pipework_big *big = item->big;
    struct km_pipework_result *result = km_calloc(1, sizeof *result, SIZE_MAX, err);
    if (!result)
        return err->code;
    result->sequence = item->sequence;
    result->offset = item->offset;
    result->last = item->last;
    result->empty = segment == NULL;
    if (segment) {
        result->segment = *segment;
        segment->ids = NULL;
    }
    enum km_code code = KM_OK;
    pthread_mutex_lock(&big->lock);
    insert_result(big, result);
    bool last = join_results(big, &code, err);
    pthread_mutex_unlock(&big->lock);
    return code == KM_OK && last ? end_big(thread, big, err) : code;
}

/* ---- A job ---- */

/* Of an item, or of the held file that it begins. */
static void hash_item(struct km_digest *digest, const struct km_pipework_job *job, const struct km_pipework_item *item,
                      uint8_t *out)
{
    km_digest_reset(digest);
    km_digest_update(digest, job->bytes + item->begin, item->length);
    for (const struct km_pipework_job *rest = job->rest; rest; rest = rest->rest)
        km_digest_update(digest, rest->bytes, rest->used);
    km_digest_finish(digest, out);
}

/* Of what has this SHA-256 the cache may know the MD5. */
static void find_md5(struct km_pipework_thread *thread, const struct km_pipework_job *job,
                     const struct km_pipework_item *item, struct km_pipeline_hashes *hashes)
{
    struct km_segcache *cache = thread->pipeline->options.cache;
    bool is_kept = cache && item->length >= MIN_MD5_KEPT;
    if (is_kept && km_segcache_get_md5(cache, hashes->sha256, hashes->md5))
        return;
    hash_item(thread->md5, job, item, hashes->md5);
    if (is_kept)
        km_segcache_put_md5(cache, hashes->sha256, hashes->md5);
}

static enum km_code tell_hashes(struct km_pipework_thread *thread, const struct km_pipework_job *job,
                                const struct km_pipework_item *item, struct km_pipeline_hashes *hashes,
                                struct km_err *err)
{
    const struct km_pipeline_options *options = &thread->pipeline->options;
    if (item->big || !item->hashable)
        return KM_OK;
    hashes->has_md5 = item->wants_md5;
    if (item->wants_md5)
        find_md5(thread, job, item, hashes);
    pthread_mutex_lock(&thread->pipeline->results_lock);
    enum km_code code = options->hashed(options->context, item->tag, hashes, err);
    pthread_mutex_unlock(&thread->pipeline->results_lock);
    return code;
}

static enum km_code give_small(struct km_pipework_thread *thread, const struct km_pipework_item *item,
                               const struct km_segment *segment, struct km_err *err)
{
    enum km_code code = km_detector_fold_add(thread->fold, 0, segment, err);
    return code == KM_OK ? put_scores(thread, thread->fold, item->id, err) : code;
}

/* Asks the cache for a segment or a whole file, which has `segments`; true: it was there, and is done. */
static bool look_in_cache(struct km_pipework_thread *thread, const struct km_pipework_item *item,
                          const struct km_segcache_key *key, struct km_segment *segment, enum km_code *code,
                          struct km_err *err)
{
    struct km_pipeline *pipeline = thread->pipeline;
    uint64_t segments = (segment->length + KM_SEGMENT_BYTES - 1) / KM_SEGMENT_BYTES;
    if (!km_segcache_get(pipeline->options.cache, key, segment))
        return false;
    pthread_mutex_lock(&pipeline->results_lock);
    pipeline->counts.segments += segments;
    pipeline->counts.segments_cached += segments;
    pthread_mutex_unlock(&pipeline->results_lock);
    *code = item->big ? give_segment(thread, item, segment, err) : give_small(thread, item, segment, err);
    km_segment_done(segment);
    return true;
}

/* Looks a piece up by its hash: in the baseline, in the cache; what is in neither waits to be scored. */
static enum km_code look_up(struct km_pipework_thread *thread, const struct km_pipework_job *job,
                            const struct km_pipework_item *item, struct km_err *err)
{
    const struct km_pipeline_options *options = &thread->pipeline->options;
    struct km_pipeline_hashes hashes = {.has_md5 = false};
    if (item->hash_only && !item->hashable)
        return KM_OK;
    if (!item->big || options->cache) /* a segment's own hash is the cache's alone */
        hash_item(thread->sha256, job, item, hashes.sha256);
    enum km_code code = tell_hashes(thread, job, item, &hashes, err);
    if (code != KM_OK)
        return code;
    if (item->length == 0)
        return item->big ? give_segment(thread, item, NULL, err) : KM_OK;
    if (!item->big && item->hashable && options->baseline && km_baseline_has_file(options->baseline, hashes.sha256))
        return put_known(thread->pipeline, item->id, err);
    if (item->hash_only)
        return KM_OK;
    struct km_segment segment = {
        .bytes = job->bytes + item->begin, .length = item->length, .is_whole = item->big == NULL};
    for (const struct km_pipework_job *rest = job->rest; rest; rest = rest->rest)
        segment.length += rest->used;
    struct km_segcache_key *key = &thread->keys[thread->count];
    *key = key_of(thread, hashes.sha256, segment.is_whole ? KM_SEGCACHE_FILE : KM_SEGCACHE_SEGMENT);
    if (look_in_cache(thread, item, key, &segment, &code, err))
        return code;
    thread->splits = job->rest != NULL;
    if (thread->splits) {
        memcpy(thread->held_sha256, hashes.sha256, sizeof thread->held_sha256);
        return KM_OK;
    }
    thread->of[thread->count] = item;
    thread->segments[thread->count++] = segment;
    return KM_OK;
}

static enum km_code score(struct km_pipework_thread *thread, struct km_err *err)
{
    struct km_segcache *cache = thread->pipeline->options.cache;
    enum km_code code = km_detector_score_segments(thread->detector, thread->segments, thread->count, err);
    pthread_mutex_lock(&thread->pipeline->results_lock);
    thread->pipeline->counts.segments += thread->count;
    pthread_mutex_unlock(&thread->pipeline->results_lock);
    for (size_t i = 0; code == KM_OK && i < thread->count; i++) {
        struct km_segment *segment = &thread->segments[i];
        const struct km_pipework_item *item = thread->of[i];
        km_segcache_put(cache, &thread->keys[i], segment);
        code = item->big ? give_segment(thread, item, segment, err) : give_small(thread, item, segment, err);
    }
    for (size_t i = 0; i < thread->count; i++)
        km_segment_done(&thread->segments[i]);
    return code;
}

static enum km_code run_job(struct km_pipework_thread *thread, const struct km_pipework_job *job, struct km_err *err)
{
    enum km_code code = KM_OK;
    thread->count = 0;
    thread->splits = false;
    for (size_t i = 0; code == KM_OK && i < job->count; i++)
        code = look_up(thread, job, &job->items[i], err);
    return code == KM_OK && thread->count > 0 ? score(thread, err) : code;
}

/* Queues the segments of a held file, which become jobs of their own. */
static enum km_code split(const struct km_pipework_thread *thread, struct km_pipework_job *job, struct km_err *err)
{
    struct km_pipeline *pipeline = thread->pipeline;
    struct km_pipework_big *big = NULL;
    enum km_code code = km_pipework_make_big(pipeline, job->items[0].id, &big, err);
    if (code != KM_OK)
        return code;
    KM_ASSERT(big);
    big->has_hash = true;
    memcpy(big->sha256, thread->held_sha256, sizeof big->sha256);
    pthread_mutex_lock(&pipeline->queue_lock);
    for (uint64_t sequence = 0; job; sequence++) {
        struct km_pipework_job *rest = km_steal(job->rest);
        struct km_pipework_item *item = &job->items[0];
        item->big = big;
        item->sequence = sequence;
        item->last = rest == NULL;
        item->hash_only = false;
        km_pipework_append(pipeline, job);
        pipeline->busy++;
        job = rest;
    }
    pthread_cond_broadcast(&pipeline->queued);
    pthread_mutex_unlock(&pipeline->queue_lock);
    return KM_OK;
}

/* ---- Threads ---- */

static enum km_code prepare(struct km_pipework_thread *thread, struct km_err *err)
{
    thread->detector = km_detector_worker_new(thread->pipeline->options.detector, err);
    thread->fold = thread->detector ? km_detector_fold_new(err) : NULL;
    thread->sha256 = thread->fold ? km_digest_new(KM_DIGEST_SHA256, err) : NULL;
    thread->md5 = thread->sha256 ? km_digest_new(KM_DIGEST_MD5, err) : NULL;
    return thread->md5 ? KM_OK : err->code;
}

static struct km_pipework_job *next_job(struct km_pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    while (!pipeline->first && !pipeline->stop && !pipeline->drop && pipeline->failure.code == KM_OK)
        pthread_cond_wait(&pipeline->queued, &pipeline->queue_lock);
    bool ends = pipeline->drop || pipeline->failure.code != KM_OK;
    struct km_pipework_job *job = ends ? NULL : pipeline->first;
    if (job) {
        pipeline->first = job->next;
        if (!pipeline->first)
            pipeline->last = NULL;
    }
    pthread_mutex_unlock(&pipeline->queue_lock);
    return job;
}

/* job: NULL when others have it now. */
static void end_job(struct km_pipeline *pipeline, struct km_pipework_job *job)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    pipeline->busy--;
    put_back(pipeline, job);
    pthread_mutex_unlock(&pipeline->queue_lock);
}

/* The reading thread is what a scan of known content waits for, and workers have a queue: they do not interrupt it. */
static void give_way(void)
{
    const struct sched_param none = {.sched_priority = 0};
    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_BATCH, &none); /* a wish */
}

/* What a worker owns is made, used and freed by its thread, as networks want. */
static void *work(void *argument)
{
    struct km_pipework_thread *thread = argument;
    struct km_pipeline *pipeline = thread->pipeline;
    struct km_err err = KM_ERR_INIT;
    give_way();
    bool failed = prepare(thread, &err) != KM_OK;
    if (failed)
        km_pipework_fail(pipeline, &err);
    for (struct km_pipework_job *job; !failed && (job = next_job(pipeline));) {
        enum km_code code = run_job(thread, job, &err);
        if (code == KM_OK && thread->splits)
            code = split(thread, job, &err);
        if (code != KM_OK)
            km_pipework_fail(pipeline, &err);
        end_job(pipeline, code == KM_OK && thread->splits ? NULL : job);
    }
    km_digest_free(thread->sha256);
    km_digest_free(thread->md5);
    km_detector_fold_free(thread->fold);
    km_detector_worker_free(thread->detector);
    return NULL;
}

enum km_code km_pipework_start(struct km_pipeline *pipeline, struct km_err *err)
{
    pipeline->threads = km_calloc(pipeline->options.jobs, sizeof *pipeline->threads, SIZE_MAX, err);
    if (!pipeline->threads)
        return err->code;
    for (size_t i = 0; i < pipeline->options.jobs; i++) {
        struct km_pipework_thread *thread = &pipeline->threads[i];
        thread->pipeline = pipeline;
        int failure = pthread_create(&thread->thread, NULL, work, thread);
        if (failure != 0)
            return km_fail_errno(err, failure, "cannot start a worker");
        pipeline->thread_count++;
    }
    return KM_OK;
}

void km_pipework_join(struct km_pipeline *pipeline)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    pipeline->stop = true;
    pthread_cond_broadcast(&pipeline->queued);
    pthread_mutex_unlock(&pipeline->queue_lock);
    for (size_t i = 0; i < pipeline->thread_count; i++)
        (void)pthread_join(pipeline->threads[i].thread, NULL);
    pipeline->thread_count = 0;
    free(pipeline->threads);
    pipeline->threads = NULL;
}
