/*
 * The guard on the running kernel: opens the probe for its targets and feeds the guard with what it tells. Names the
 * package of each program, records when asked to, says when a daemon stops, comes back or is not there yet, and counts
 * what is lost. Never blocks or ends anything. One thread.
 */
#ifndef KM_GUARD_LIVE_H
#define KM_GUARD_LIVE_H

#include "daemon/guard/guard.h"
#include "daemon/probe/probe.h"

struct km_live_target {
    enum km_probe_scope scope;
    const char *text; /* "nginx.service", "/system.slice/x", "812", "nginx" */
};

struct km_live_config {
    struct km_guard_config guard; /* its kernel is filled in */
    struct km_probe_options probe;
    const struct km_live_target *targets;
    size_t target_count;
    int record_fd; /* of a new trace file, borrowed; -1: nothing is recorded */
};

struct km_live;

/* Loads the probe and guards the targets. NULL with *err: what km_probe_open and km_probe_guard say; KM_NOMEM. */
struct km_live *km_live_open(const struct km_live_config *config, struct km_err *err) KM_MUST_USE;
/* Detaches from the kernel and frees. */
void km_live_close(struct km_live *live);
KM_DEFINE_CLEANUP(struct km_live, km_live_cleanup, km_live_close);

/* Waits up to timeout_ms and handles what came. A recording that fails ends with one said line; the guard goes on. */
enum km_code km_live_poll(struct km_live *live, int timeout_ms, struct km_err *err) KM_MUST_USE;

/* Takes what is still in the ring, ends open episodes and the recording. */
enum km_code km_live_finish(struct km_live *live, struct km_err *err) KM_MUST_USE;

struct km_guard *km_live_guard(struct km_live *live);

/* Whether a daemon of this name runs. */
bool km_live_runs(const struct km_live *live, const char *name);

struct km_live_status {
    unsigned daemons, running, threads;
    uint64_t events; /* delivered since the start */
    uint64_t lost;   /* as the kernel counts them */
};
void km_live_get_status(const struct km_live *live, struct km_live_status *out);

/* The name under which a target's profiles are kept; out holds KM_EVENT_MAX_NAME_BYTES. */
void km_live_name(const struct km_live_target *target, const char *proc_root, char *out);

#endif
