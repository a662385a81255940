#include "desk/store/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/digest.h"
#include "desk/store/query.h"
#include "desk/store/record_row.h"

#define USUAL_BATCH     256
#define USUAL_BATCH_MS  200
#define USUAL_MAX_QUEUE 65536
#define RETRY_NS        KM_NS_PER_S /* a store that failed is left alone for so long */
#define TOKEN_BYTES     16

struct km_recorder {
    struct km_desk *desk;
    struct km_recorder_options options; /* its strings are not kept */
    struct km_collect collect;
    int64_t run, next_seq, target;
    int64_t target_cpu_ms; /* of this process, at target_begin */
    struct km_record *first, *last;
    uint64_t waiting, acknowledged, dropped, dropped_recorded;
    int64_t oldest_ns; /* monotonic, of the first row of the queue */
    int64_t retry_ns;  /* monotonic; 0: the store works */
};

static int64_t cpu_ms_of_process(int64_t *out_peak_bytes)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return 0;
    if (out_peak_bytes)
        *out_peak_bytes = (int64_t)usage.ru_maxrss * 1024;
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
           ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000;
}

static enum km_code insert_run(struct km_recorder *recorder, struct km_err *err)
{
    const struct km_recorder_options *options = &recorder->options;
    uint8_t drawn[TOKEN_BYTES];
    char token[2 * TOKEN_BYTES + 1];
    if (getrandom(drawn, sizeof drawn, 0) != (ssize_t)sizeof drawn)
        return km_fail_errno(err, errno, "cannot draw a number for the run");
    km_hex_format(drawn, sizeof drawn, token);
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(recorder->desk,
                      "INSERT INTO run(token, kind, host, who, began_ns, komainu, rules, model)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, token);
    km_query_bind_text(query, 2, options->kind);
    km_query_bind_text(query, 3, options->host);
    km_query_bind_text(query, 4, options->who);
    km_query_bind_integer(query, 5, km_clock_wall_ns());
    km_query_bind_text(query, 6, options->versions.komainu);
    km_query_bind_text(query, 7, options->versions.rules);
    km_query_bind_text(query, 8, options->versions.model);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    recorder->run = km_query_last_id(recorder->desk);
    return KM_OK;
}

struct km_recorder *km_recorder_new(struct km_desk *desk, const struct km_recorder_options *options, struct km_err *err)
{
    struct km_recorder *recorder KM_CLEANUP(km_recorder_cleanup) = km_calloc(1, sizeof *recorder, SIZE_MAX, err);
    if (!recorder)
        return NULL;
    recorder->desk = desk;
    recorder->options = *options;
    if (recorder->options.batch == 0)
        recorder->options.batch = USUAL_BATCH;
    if (recorder->options.batch_ms == 0)
        recorder->options.batch_ms = USUAL_BATCH_MS;
    if (recorder->options.max_queue == 0)
        recorder->options.max_queue = USUAL_MAX_QUEUE;
    if (km_collect_load(desk, &recorder->collect, err) != KM_OK || insert_run(recorder, err) != KM_OK)
        return NULL;
    return km_steal(recorder);
}

static void free_queue(struct km_recorder *recorder)
{
    for (struct km_record *row = recorder->first, *next; row; row = next) {
        next = km_record_get_next(row);
        km_record_free(row);
    }
    recorder->first = recorder->last = NULL;
    recorder->waiting = 0;
}

void km_recorder_free(struct km_recorder *recorder)
{
    if (!recorder)
        return;
    free_queue(recorder);
    free(recorder);
}

struct km_desk *km_recorder_desk(const struct km_recorder *recorder)
{
    return recorder->desk;
}

int64_t km_recorder_run(const struct km_recorder *recorder)
{
    return recorder->run;
}

struct km_recorder_counts km_recorder_count(const struct km_recorder *recorder)
{
    return (struct km_recorder_counts){recorder->acknowledged, recorder->waiting, recorder->dropped};
}

struct written {
    int64_t first_id, last_id;
    size_t findings;
};

static enum km_code write_queue(struct km_recorder *recorder, struct written *written, struct km_err *err)
{
    for (const struct km_record *row = recorder->first; row; row = km_record_get_next(row)) {
        int64_t id = 0;
        if (km_record_write(row, recorder->desk, recorder->run, &id, err) != KM_OK)
            return err->code;
        if (id == 0)
            continue;
        written->first_id = written->findings == 0 || id < written->first_id ? id : written->first_id;
        written->last_id = id > written->last_id ? id : written->last_id;
        written->findings++;
    }
    uint64_t lost = recorder->dropped - recorder->dropped_recorded;
    return lost == 0 ? KM_OK
                     : km_recorder_add_loss(recorder, "finding", NULL, lost, recorder->acknowledged + lost, err);
}

static enum km_code commit_queue(struct km_recorder *recorder, struct km_err *err)
{
    struct written written = {0};
    enum km_code code = km_desk_begin(recorder->desk, err);
    if (code == KM_OK)
        code = write_queue(recorder, &written, err);
    if (code == KM_OK)
        code = km_desk_commit(recorder->desk, err);
    if (code != KM_OK) {
        km_desk_rollback(recorder->desk);
        return code;
    }
    recorder->dropped_recorded = recorder->dropped;
    recorder->acknowledged += written.findings;
    free_queue(recorder);
    if (written.findings > 0 && recorder->options.acknowledged)
        recorder->options.acknowledged(recorder->options.context, written.first_id, written.last_id, written.findings);
    return KM_OK;
}

enum km_code km_recorder_flush(struct km_recorder *recorder, struct km_err *err)
{
    if (!recorder->first && recorder->dropped == recorder->dropped_recorded)
        return KM_OK;
    enum km_code code = commit_queue(recorder, err);
    bool was_failing = recorder->retry_ns != 0;
    recorder->retry_ns = code == KM_OK ? 0 : km_clock_monotonic_ns() + RETRY_NS;
    if (was_failing != (code != KM_OK) && recorder->options.notice)
        recorder->options.notice(recorder->options.context, code == KM_OK ? NULL : err);
    return code;
}

void km_recorder_tick(struct km_recorder *recorder)
{
    struct km_err err = KM_ERR_INIT;
    int64_t now = km_clock_monotonic_ns();
    if (recorder->retry_ns != 0 ? now < recorder->retry_ns
                                : recorder->waiting < recorder->options.batch &&
                                      now - recorder->oldest_ns < recorder->options.batch_ms * KM_NS_PER_MS)
        return;
    if (km_recorder_flush(recorder, &err) != KM_OK)
        return; /* `notice` was told */
}

/* Takes the row over. Findings and gaps meet the limit of the queue; beginnings and ends, a pair each target, do not.
 */
static enum km_code enqueue(struct km_recorder *recorder, struct km_record *row, const struct km_err *err)
{
    if (!row)
        return err->code;
    enum km_record_kind kind = km_record_get_kind(row);
    if (recorder->waiting >= recorder->options.max_queue && (kind == KM_RECORD_FINDING || kind == KM_RECORD_GAP)) {
        recorder->dropped += kind == KM_RECORD_FINDING;
        km_record_free(row);
        return KM_OK;
    }
    if (recorder->last)
        km_record_set_next(recorder->last, row);
    else
        recorder->first = row;
    recorder->last = row;
    if (recorder->waiting++ == 0)
        recorder->oldest_ns = km_clock_monotonic_ns();
    return KM_OK;
}

static struct km_record_place next_place(struct km_recorder *recorder)
{
    return (struct km_record_place){++recorder->next_seq, recorder->target, km_clock_wall_ns()};
}

static enum km_code begin(void *context, const struct km_target *target, struct km_err *err)
{
    struct km_recorder *recorder = context;
    recorder->target++;
    recorder->target_cpu_ms = cpu_ms_of_process(NULL);
    const struct km_record_place place = next_place(recorder);
    return enqueue(recorder, km_record_new_begin(&place, target, &recorder->collect, err), err);
}

static enum km_code add_finding(void *context, const struct km_finding *finding, struct km_err *err)
{
    struct km_recorder *recorder = context;
    const struct km_record_place place = next_place(recorder);
    enum km_code code = enqueue(recorder, km_record_new_finding(&place, finding, &recorder->collect, err), err);
    if (code == KM_OK)
        km_recorder_tick(recorder);
    return code;
}

static enum km_code add_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct km_recorder *recorder = context;
    const struct km_record_place place = next_place(recorder);
    enum km_code code = enqueue(recorder, km_record_new_gap(&place, gap, &recorder->collect, err), err);
    if (code == KM_OK)
        km_recorder_tick(recorder);
    return code;
}

static enum km_code end(void *context, const struct km_outcome *outcome, struct km_err *err)
{
    struct km_recorder *recorder = context;
    const struct km_record_place place = next_place(recorder);
    int64_t cpu_ms = cpu_ms_of_process(NULL) - recorder->target_cpu_ms;
    enum km_code code = enqueue(recorder, km_record_new_end(&place, outcome, cpu_ms, err), err);
    struct km_err cause = KM_ERR_INIT;
    if (code == KM_OK && km_recorder_flush(recorder, &cause) != KM_OK)
        return KM_OK; /* `notice` was told, and the rows wait */
    return code;
}

struct km_sink km_recorder_sink(struct km_recorder *recorder)
{
    return (struct km_sink){recorder, begin, add_finding, add_gap, end};
}

enum km_code km_recorder_finish(struct km_recorder *recorder, struct km_err *err)
{
    if (km_recorder_flush(recorder, err) != KM_OK)
        return err->code;
    int64_t peak_bytes = 0, cpu_ms = cpu_ms_of_process(&peak_bytes);
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(recorder->desk, "UPDATE run SET ended_ns=?2, cpu_ms=?3, memory_peak_bytes=?4 WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, recorder->run);
    km_query_bind_integer(query, 2, km_clock_wall_ns());
    km_query_bind_integer(query, 3, cpu_ms);
    km_query_bind_integer(query, 4, peak_bytes);
    return km_query_run(query, err);
}
