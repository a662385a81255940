/*
 * Writes what a guardian finds into the store: a km_sink with group commit.
 *
 * A recorder is one run of one guardian (a row of table `run`). Findings and gaps are copied to a queue; the queue is
 * written in one transaction when it holds `batch` rows, when its oldest is `batch_ms` old, at target_end and by
 * km_recorder_flush. After the commit, `acknowledged` is told: what it was told about survives kill -9 and power loss,
 * and is there once, even when a commit had to be tried again.
 *
 * While the store cannot be written (a full disk, a lock that stays) the queue grows to max_queue and the sink goes on
 * saying KM_OK; the guardian must not stop for it. `notice` is called once when that begins and once when it is over.
 * Beyond max_queue the newest findings are dropped, counted, and recorded as a loss as soon as there is room. One
 * recorder, one thread; it uses the desk's connection and must not be inside of a transaction of the caller.
 */
#ifndef KM_DESK_STORE_RECORDER_H
#define KM_DESK_STORE_RECORDER_H

#include "base/err.h"
#include "base/mem.h"
#include "desk/store/store.h"
#include "finding/sink.h"

struct km_recorder_options {
    const char *kind;            /* "scan", "guard", "replay" */
    const char *who;             /* the user's name */
    const char *host;            /* this machine's name */
    struct km_versions versions; /* of the run; the outcome's replace them at target_end */
    size_t batch;                /* rows a transaction; 0: 256 */
    int64_t batch_ms;            /* 0: 200 */
    size_t max_queue;            /* rows; 0: 65536 */
    void *context;
    /* Rows first_id..last_id (ids ascend, others may lie between) are on the disk; count of them findings. NULL: none
     */
    void (*acknowledged)(void *context, int64_t first_id, int64_t last_id, size_t count);
    /* cause: why the store cannot be written; NULL: it can again. NULL: none. */
    void (*notice)(void *context, const struct km_err *cause);
};

struct km_recorder;

/* Begins a run. The desk outlives the recorder; strings are copied. NULL: codes of the store. */
struct km_recorder *km_recorder_new(struct km_desk *desk, const struct km_recorder_options *options,
                                    struct km_err *err) KM_MUST_USE;
/* Frees; what was not flushed is lost. km_recorder_finish before it. */
void km_recorder_free(struct km_recorder *recorder);
KM_DEFINE_CLEANUP(struct km_recorder, km_recorder_cleanup, km_recorder_free);

/* Callbacks fail with KM_NOMEM only. */
struct km_sink km_recorder_sink(struct km_recorder *recorder);

/* The desk it was made with. */
struct km_desk *km_recorder_desk(const struct km_recorder *recorder);
/* Id of the run in table `run`. */
int64_t km_recorder_run(const struct km_recorder *recorder);

/* Writes the queue now. A failure leaves the queue as it is, to be tried again. */
enum km_code km_recorder_flush(struct km_recorder *recorder, struct km_err *err) KM_MUST_USE;
/* Writes the queue when its oldest row is old enough: for loops that wait for other things. Failures go to `notice`. */
void km_recorder_tick(struct km_recorder *recorder);

/* Flushes and ends the run with its cost (CPU and peak memory of this process). */
enum km_code km_recorder_finish(struct km_recorder *recorder, struct km_err *err) KM_MUST_USE;

struct km_recorder_counts {
    uint64_t acknowledged; /* findings on the disk */
    uint64_t waiting;      /* rows in the queue */
    uint64_t dropped;      /* findings beyond max_queue */
};
struct km_recorder_counts km_recorder_count(const struct km_recorder *recorder);

/* ---- What else a guardian reports; written at once, in the caller's transaction if there is one ---- */

/* `lost` of `seen` things of kind `what` ("event", "episode") at the daemon `unit` (NULL: all). */
enum km_code km_recorder_add_loss(struct km_recorder *recorder, const char *what, const char *unit, uint64_t lost,
                                  uint64_t seen, struct km_err *err) KM_MUST_USE;

/* One figure of the guardian's health: "cpu_share", "ring_fill". `text` may be NULL. */
enum km_code km_recorder_add_health(struct km_recorder *recorder, const char *name, double value, const char *text,
                                    struct km_err *err) KM_MUST_USE;

/* A stretch of time in which a daemon's role was watched: the source of daemon-hours and of their coverage. */
struct km_watch {
    const char *unit, *role;
    int64_t from_ns, to_ns; /* wall clock */
    bool mature;            /* its profile was */
    double confidence;
    uint64_t episodes, tapped; /* scored; delivered in full by the tap */
};
enum km_code km_recorder_add_watch(struct km_recorder *recorder, const struct km_watch *watch,
                                   struct km_err *err) KM_MUST_USE;

/* A model, rule set, profile, baseline or hash list that comes into force; the one of the same kind and name before it
 * ends. The same digest again changes nothing. made_ns: when it was made or published, 0: unknown. */
struct km_component {
    const char *kind, *name, *version, *digest; /* version, digest: or NULL */
    int64_t made_ns;
};
enum km_code km_recorder_add_component(struct km_recorder *recorder, const struct km_component *component,
                                       struct km_err *err) KM_MUST_USE;

#endif
