#include "container/scan/pipeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/scan/pipework.h"

/* Files up to this size are gathered where they will be scored, without a copy. */
#define MAX_IN_PLACE ((size_t)128 << 10)

/* An open file. */
struct km_pipeline_file {
    struct km_pipeline_file *next; /* among the spare ones */
    struct km_pipeline *pipeline;
    struct km_pipeline_begin begin;
    uint8_t *bytes; /* KM_SEGMENT_BYTES; unused while the pipeline has the file in place */
    size_t used;
    uint64_t segment_begin; /* of the first of those bytes in the file */
    uint64_t reached;
    bool hash_only;
    struct km_pipework_job *held, **held_end; /* its segments, until its hash can be asked for; not while it streams */
    /* Of a file that streams: each segment is queued as soon as it is full. */
    bool streams;
    struct km_pipework_big *big; /* once it has a second segment */
    uint64_t sequence;           /* of the next segment that is queued */
    uint64_t number;             /* of the next segment, queued or left out */
    uint64_t left_out;
};

/* ---- Jobs ---- */

static enum km_code failure_of(struct km_pipeline *pipeline, struct km_err *err)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    enum km_code code = pipeline->failure.code;
    if (code != KM_OK)
        *err = pipeline->failure;
    pthread_mutex_unlock(&pipeline->queue_lock);
    return code;
}

static struct km_pipework_job *new_job(struct km_err *err)
{
    struct km_pipework_job *job = km_calloc(1, sizeof *job, SIZE_MAX, err);
    if (!job)
        return NULL;
    job->bytes = malloc(KM_SEGMENT_BYTES);
    if (job->bytes)
        return job;
    free(job);
    (void)km_fail(err, KM_NOMEM, "out of memory (a segment)");
    return NULL;
}

/* Waits while all jobs are with the workers, who always bring them back. */
static struct km_pipework_job *take_job(struct km_pipeline *pipeline, struct km_err *err)
{
    struct km_pipework_job *job = NULL;
    pthread_mutex_lock(&pipeline->queue_lock);
    while (!pipeline->unused && pipeline->job_count >= pipeline->job_limit && pipeline->failure.code == KM_OK)
        pthread_cond_wait(&pipeline->freed, &pipeline->queue_lock);
    bool failed = pipeline->failure.code != KM_OK;
    if (failed) {
        *err = pipeline->failure;
    } else if (pipeline->unused) {
        job = pipeline->unused;
        pipeline->unused = job->next;
    } else {
        pipeline->job_count++;
    }
    pthread_mutex_unlock(&pipeline->queue_lock);
    if (!failed && !job) {
        job = new_job(err);
        if (!job) {
            pthread_mutex_lock(&pipeline->queue_lock);
            pipeline->job_count--;
            pthread_mutex_unlock(&pipeline->queue_lock);
        }
    }
    if (job) {
        job->next = job->rest = NULL;
        job->used = job->count = 0;
    }
    return job;
}

/* `first`: before all that waits. */
static void queue_job(struct km_pipeline *pipeline, struct km_pipework_job *job, bool first)
{
    pthread_mutex_lock(&pipeline->queue_lock);
    if (first) {
        job->next = pipeline->first;
        pipeline->first = job;
        pipeline->last = pipeline->last ? pipeline->last : job;
    } else {
        km_pipework_append(pipeline, job);
    }
    pipeline->busy++;
    pthread_cond_signal(&pipeline->queued);
    pthread_mutex_unlock(&pipeline->queue_lock);
}

static void queue_gathered(struct km_pipeline *pipeline)
{
    if (pipeline->gathering && pipeline->gathering->count > 0)
        queue_job(pipeline, km_steal(pipeline->gathering), false);
}

/* ---- Files ---- */

static uint8_t *place_of(const struct km_pipeline_file *file)
{
    const struct km_pipework_job *job = file->pipeline->gathering;
    if (file->pipeline->in_place != file)
        return file->bytes;
    KM_ASSERT(job);
    return job->bytes + job->used;
}

/* The place is another's from here on, or the file is too large for it. */
static void leave_place(struct km_pipeline *pipeline)
{
    const struct km_pipeline_file *file = pipeline->in_place;
    if (file)
        memcpy(file->bytes, place_of(file), file->used);
    pipeline->in_place = NULL;
}

/* Before `length` more bytes. Of files that are open together (an archive and what is in it) one may have the place. */
static void choose_place(struct km_pipeline_file *file, size_t length)
{
    struct km_pipeline *pipeline = file->pipeline;
    const struct km_pipework_job *job = pipeline->gathering;
    bool fits = job && job->count < KM_PIPEWORK_MAX_ITEMS && file->used + length <= MAX_IN_PLACE &&
                file->used + length <= KM_SEGMENT_BYTES - job->used;
    if (pipeline->in_place == file && !fits)
        leave_place(pipeline);
    else if (!pipeline->in_place && fits && file->used == 0 && file->segment_begin == 0 && !file->streams)
        pipeline->in_place = file;
}

enum km_code km_pipeline_open(struct km_pipeline *pipeline, const struct km_pipeline_begin *begin,
                              struct km_pipeline_file **out, struct km_err *err)
{
    if (failure_of(pipeline, err) != KM_OK)
        return err->code;
    struct km_pipeline_file *file = pipeline->spare_files;
    if (file) {
        pipeline->spare_files = file->next;
    } else {
        file = km_calloc(1, sizeof *file, SIZE_MAX, err);
        if (!file)
            return err->code;
        file->bytes = malloc(KM_SEGMENT_BYTES);
        if (!file->bytes) {
            free(file);
            return km_fail(err, KM_NOMEM, "out of memory (a segment)");
        }
    }
    *file = (struct km_pipeline_file){
        .pipeline = pipeline, .begin = *begin, .bytes = file->bytes, .streams = begin->sample};
    file->held_end = &file->held;
    *out = file;
    return KM_OK;
}

/* A segment of a file that streams; the job is taken over. */
static enum km_code stream_segment(struct km_pipeline_file *file, struct km_pipework_job *job, bool last,
                                   struct km_err *err)
{
    struct km_pipeline *pipeline = file->pipeline;
    const uint64_t number = file->number++;
    const bool hash_only = file->hash_only && !file->big; /* what was begun has to be ended */
    const bool left_out = file->begin.sample && !last && number % KM_PIPELINE_SAMPLE != 0;
    enum km_code code = KM_OK;
    if (job->used > 0)
        pipeline->options.feed_hash(pipeline->options.context, file->begin.tag, job->bytes, job->used);
    if (!hash_only && !file->big)
        code = km_pipework_make_big(pipeline, file->begin.id, &file->big, err);
    if (left_out)
        file->left_out += job->used;
    if (code != KM_OK || hash_only || left_out) {
        km_pipework_put_back(pipeline, job);
        return code;
    }
    job->items[0].big = file->big;
    job->items[0].sequence = file->sequence++;
    job->items[0].last = last;
    queue_job(pipeline, job, false);
    return KM_OK;
}

/* It is too large to be held, or not all of it is there. */
static enum km_code begin_streaming(struct km_pipeline_file *file, struct km_err *err)
{
    enum km_code code = KM_OK;
    file->streams = true;
    while (code == KM_OK && file->held) {
        struct km_pipework_job *job = file->held;
        file->held = job->rest;
        job->rest = NULL;
        file->pipeline->held--;
        code = stream_segment(file, job, false, err);
    }
    return code;
}

/* The gathered bytes become a segment of a file of several. */
static enum km_code end_segment(struct km_pipeline_file *file, bool last, struct km_err *err)
{
    struct km_pipeline *pipeline = file->pipeline;
    if (pipeline->in_place == file)
        leave_place(pipeline);
    struct km_pipework_job *job = take_job(pipeline, err);
    if (!job)
        return err->code;
    uint8_t *bytes = job->bytes;
    job->bytes = file->bytes;
    file->bytes = bytes;
    job->used = file->used;
    job->count = 1;
    job->items[0] = (struct km_pipework_item){.id = file->begin.id,
                                              .tag = file->begin.tag,
                                              .offset = file->segment_begin,
                                              .length = file->used,
                                              .wants_md5 = file->begin.wants_md5,
                                              .hashable = true,
                                              .hash_only = file->hash_only};
    file->segment_begin += file->used;
    file->used = 0;
    if (file->streams)
        return stream_segment(file, job, last, err);
    *file->held_end = job;
    file->held_end = &job->rest;
    pipeline->held++;
    return !last && pipeline->held >= KM_PIPELINE_HELD_SEGMENTS ? begin_streaming(file, err) : KM_OK;
}

/* All of a held file is there: a worker hashes it and looks whether it is known. That goes first, so that the others
 * have its segments before they run out of work. */
static void queue_held(struct km_pipeline_file *file)
{
    for (const struct km_pipework_job *job = file->held; job; job = job->rest)
        file->pipeline->held--;
    file->held->items[0].hash_only = file->hash_only;
    queue_job(file->pipeline, km_steal(file->held), true);
}

static enum km_code append(struct km_pipeline_file *file, const uint8_t *bytes, uint64_t length, struct km_err *err)
{
    while (length > 0) {
        if (file->used == KM_SEGMENT_BYTES && end_segment(file, false, err) != KM_OK)
            return err->code;
        size_t room = KM_SEGMENT_BYTES - file->used, n = length < room ? (size_t)length : room;
        choose_place(file, n);
        if (bytes)
            memcpy(place_of(file) + file->used, bytes, n);
        else
            memset(place_of(file) + file->used, 0, n);
        file->used += n;
        length -= n;
        bytes = bytes ? bytes + n : NULL;
    }
    return KM_OK;
}

/* Fills the segment at hand; then as many whole segments of nothing as there are pass unscored. */
static enum km_code append_hole(struct km_pipeline_file *file, uint64_t length, struct km_err *err)
{
    struct km_pipeline *pipeline = file->pipeline;
    uint64_t room = (KM_SEGMENT_BYTES - file->used) % KM_SEGMENT_BYTES, n = length < room ? length : room;
    enum km_code code = append(file, NULL, n, err);
    length -= n;
    uint64_t whole = length / KM_SEGMENT_BYTES * KM_SEGMENT_BYTES;
    if (code == KM_OK && whole > 0) {
        code = begin_streaming(file, err);
        if (code == KM_OK && file->used > 0)
            code = end_segment(file, false, err);
        if (code == KM_OK && !file->big && !file->hash_only)
            code = km_pipework_make_big(pipeline, file->begin.id, &file->big, err);
        if (code != KM_OK)
            return code;
        pipeline->options.feed_hash(pipeline->options.context, file->begin.tag, NULL, whole);
        file->segment_begin += whole;
    }
    return code == KM_OK ? append(file, NULL, length - whole, err) : code;
}

enum km_code km_pipeline_feed(struct km_pipeline_file *file, uint64_t offset, const uint8_t *bytes, uint64_t length,
                              struct km_err *err)
{
    enum km_code code = KM_OK;
    if (offset != file->reached) { /* a damaged region: what follows begins a segment of its own */
        code = begin_streaming(file, err);
        if (code == KM_OK && file->used > 0)
            code = end_segment(file, false, err);
        file->segment_begin = offset;
    }
    file->reached = offset + length;
    if (code != KM_OK)
        return code;
    return bytes ? append(file, bytes, length, err) : append_hole(file, length, err);
}

static void put_back(struct km_pipeline_file *file)
{
    struct km_pipeline *pipeline = file->pipeline;
    for (const struct km_pipework_job *job = file->held; job; job = job->rest)
        pipeline->held--;
    if (file->held)
        km_pipework_put_back(pipeline, km_steal(file->held));
    if (pipeline->in_place == file)
        pipeline->in_place = NULL;
    file->next = pipeline->spare_files;
    pipeline->spare_files = file;
}

static enum km_code gather(struct km_pipeline_file *file, bool hashable, struct km_err *err)
{
    struct km_pipeline *pipeline = file->pipeline;
    struct km_pipework_job *job = pipeline->gathering;
    bool in_place = pipeline->in_place == file;
    if (!in_place)
        leave_place(pipeline);
    if (job && (job->count == KM_PIPEWORK_MAX_ITEMS || KM_SEGMENT_BYTES - job->used < file->used)) {
        queue_gathered(pipeline);
        job = NULL;
    }
    if (!job) {
        job = take_job(pipeline, err);
        if (!job)
            return err->code;
        pipeline->gathering = job;
    }
    if (!in_place)
        memcpy(job->bytes + job->used, file->bytes, file->used);
    job->items[job->count++] = (struct km_pipework_item){.id = file->begin.id,
                                                         .tag = file->begin.tag,
                                                         .begin = job->used,
                                                         .length = file->used,
                                                         .wants_md5 = file->begin.wants_md5,
                                                         .hashable = hashable,
                                                         .hash_only = file->hash_only};
    job->used += file->used;
    return KM_OK;
}

void km_pipeline_hash_only(struct km_pipeline_file *file)
{
    file->hash_only = true;
}

enum km_code km_pipeline_end(struct km_pipeline_file *file, bool hashable, struct km_pipeline_end *out,
                             struct km_err *err)
{
    bool small = !file->held && !file->big && file->segment_begin == 0;
    enum km_code code = KM_OK;
    if (!small && !hashable)
        code = begin_streaming(file, err);
    if (code == KM_OK)
        code = small ? gather(file, hashable, err) : end_segment(file, true, err);
    if (code == KM_OK && file->held)
        queue_held(file);
    if (code == KM_OK)
        *out = (struct km_pipeline_end){small || !file->streams, file->left_out};
    put_back(file);
    return code;
}

void km_pipeline_abandon(struct km_pipeline_file *file)
{
    if (file)
        put_back(file);
}

/* ---- The whole ---- */

enum km_code km_pipeline_finish(struct km_pipeline *pipeline, struct km_err *err)
{
    queue_gathered(pipeline);
    pthread_mutex_lock(&pipeline->queue_lock);
    while (pipeline->busy > 0 && pipeline->failure.code == KM_OK)
        pthread_cond_wait(&pipeline->freed, &pipeline->queue_lock);
    pthread_mutex_unlock(&pipeline->queue_lock);
    km_pipework_join(pipeline);
    km_scoretable_seal(pipeline->scores);
    enum km_code code = failure_of(pipeline, err);
    /* Who names models that cannot be used is told, even where there was nothing to ask them. Cached scores are theirs.
     */
    if (code == KM_OK && pipeline->counts.segments_cached == 0)
        code = km_detector_load(pipeline->options.detector, err);
    return code;
}

struct km_pipeline *km_pipeline_new(const struct km_pipeline_options *options, struct km_err *err)
{
    KM_ASSERT(options->jobs > 0 && options->jobs <= KM_PIPELINE_MAX_JOBS);
    struct km_pipeline *pipeline = km_calloc(1, sizeof *pipeline, SIZE_MAX, err);
    if (!pipeline)
        return NULL;
    pipeline->options = *options;
    pipeline->job_limit = 2 * ((size_t)options->jobs + 1 + KM_PIPELINE_HELD_SEGMENTS);
    pthread_mutex_init(&pipeline->queue_lock, NULL);
    pthread_mutex_init(&pipeline->results_lock, NULL);
    pthread_cond_init(&pipeline->queued, NULL);
    pthread_cond_init(&pipeline->freed, NULL);
    pipeline->scores = km_scoretable_new(KM_PIPELINE_MAX_DETAILS, err);
    if (!pipeline->scores || km_pipework_start(pipeline, err) != KM_OK) {
        km_pipeline_free(pipeline);
        return NULL;
    }
    return pipeline;
}

static void free_jobs(struct km_pipework_job *job)
{
    while (job) {
        struct km_pipework_job *next = job->next;
        while (job) {
            struct km_pipework_job *rest = job->rest;
            free(job->bytes);
            free(job);
            job = rest;
        }
        job = next;
    }
}

static void free_bigs(struct km_pipework_big *big)
{
    while (big) {
        struct km_pipework_big *next = big->next;
        for (struct km_pipework_result *at = big->pending; at;) {
            struct km_pipework_result *result = at;
            at = at->next;
            km_segment_done(&result->segment);
            free(result);
        }
        km_detector_fold_free(big->fold);
        pthread_mutex_destroy(&big->lock);
        free(big);
        big = next;
    }
}

void km_pipeline_free(struct km_pipeline *pipeline)
{
    if (!pipeline)
        return;
    pthread_mutex_lock(&pipeline->queue_lock);
    pipeline->drop = true;
    pthread_mutex_unlock(&pipeline->queue_lock);
    km_pipework_join(pipeline);
    free_jobs(pipeline->first);
    free_jobs(pipeline->unused);
    free_jobs(pipeline->gathering);
    free_bigs(pipeline->bigs);
    while (pipeline->spare_files) {
        struct km_pipeline_file *file = pipeline->spare_files;
        pipeline->spare_files = file->next;
        free(file->bytes);
        free(file);
    }
    km_scoretable_free(pipeline->scores);
    pthread_cond_destroy(&pipeline->queued);
    pthread_cond_destroy(&pipeline->freed);
    pthread_mutex_destroy(&pipeline->queue_lock);
    pthread_mutex_destroy(&pipeline->results_lock);
    free(pipeline);
}

struct km_score km_pipeline_score(const struct km_pipeline *pipeline, uint32_t id)
{
    return km_scoretable_get(pipeline->scores, id);
}

const struct km_file_scores *km_pipeline_details(const struct km_pipeline *pipeline, uint32_t id)
{
    return km_scoretable_find(pipeline->scores, id);
}

struct km_pipeline_counts km_pipeline_counts(const struct km_pipeline *pipeline)
{
    return pipeline->counts;
}
