/*
 * The probe: watches guarded daemons from the kernel (libbpf, tracepoints only) and hands on what they do as km_event.
 *
 * Lifecycle: km_probe_open loads the programs, and nothing is attached; the first km_probe_guard attaches them, taking
 * the last daemon away detaches them: an idle probe costs the host nothing. km_probe_poll must be called regularly
 * (every 100 ms or so): it reads the ring, delivers the events, follows moved processes, opens tap windows, and
 * attaches the costly exit tracepoint only while a full stream wants it.
 *
 * Roles (kinds of threads within a daemon) are found by the kernel and introduced by a ROLE event before the first
 * event that names one. Windows and landmarks that are in the known set stay in the kernel; the set is empty at first.
 *
 * Nothing is lost silently: what a full ring, missing memory or a rate limit swallowed is in km_probe_counters and
 * comes as LOSS events. One thread at a time may use a probe. Linux 5.18 or newer on x86-64, with BTF, and CAP_BPF with
 * CAP_PERFMON, or root.
 */
#ifndef KM_PROBE_PROBE_H
#define KM_PROBE_PROBE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "daemon/probe/bpf/probe_abi.h"
#include "daemon/trace/event.h"

struct km_probe;

struct km_probe_options {
    size_t ring_bytes;       /* a power of two; 0 = 8 MiB */
    const char *proc_root;   /* NULL = "/proc" */
    const char *cgroup_root; /* cgroup v2; NULL = /sys/fs/cgroup or /sys/fs/cgroup/unified, whichever is one */
    bool hide_arguments;     /* the digest of a program's arguments is told, not their text */
    const struct km_episode_rule
        *rule;              /* of roles without one of their own; NULL = waits and 200 calls, 8 misses of 64 */
    uint32_t tap_period_ms; /* a tap window opens about so often, at random times; 0 = no tap */
    uint32_t tap_window_ms; /* and stays open so long */
    uint32_t tap_share;     /* of 65536 episodes that begin in it */
    uint32_t tap_episodes;  /* at most so many in one window */
};

enum km_probe_scope {
    KM_PROBE_SCOPE_UNIT = 0,    /* "nginx.service": every cgroup of that name, now and after restarts */
    KM_PROBE_SCOPE_CGROUP = 1,  /* "/system.slice/x": that path below the cgroup root and everything under it */
    KM_PROBE_SCOPE_PID = 2,     /* a process and its children, until it ends */
    KM_PROBE_SCOPE_COMMAND = 3, /* programs started under that name (15 bytes count), and their children */
};

#define KM_PROBE_COMMAND_BYTES 17 /* the kernel's 15, a line's end, NUL */
/* The name that a process (a number as text) bears in proc_root, "" when it is gone. out: KM_PROBE_COMMAND_BYTES. */
void km_probe_read_command(const char *proc_root, const char *pid, char *out);

/* Loads the programs. NULL with *err set: KM_DENIED (no right to use BPF), KM_UNSUPPORTED (kernel without BTF or too
 * old), KM_NOMEM, KM_IO. options may be NULL. */
struct km_probe *km_probe_open(const struct km_probe_options *options, struct km_err *err) KM_MUST_USE;
/* Detaches and frees; takes NULL. */
void km_probe_close(struct km_probe *probe);

/* Guards what `target` names and sets *out_daemon (1..63), the same one for the same target again. A unit, cgroup or
 * command need not run yet. KM_NOTFOUND (no such process), KM_LIMIT (63 daemons; the root cgroup, which is the whole
 * host), KM_UNSUPPORTED (no cgroup v2), KM_FORMAT (not a pid), KM_IO, KM_DENIED. */
enum km_code km_probe_guard(struct km_probe *probe, enum km_probe_scope scope, const char *target,
                            enum km_probe_mode mode, unsigned *out_daemon, struct km_err *err) KM_MUST_USE;
/* Ends it. Its threads' storage is freed; with the last daemon, everything is detached. */
enum km_code km_probe_unguard(struct km_probe *probe, unsigned daemon, struct km_err *err) KM_MUST_USE;
/* KM_PROBE_GUARD or KM_PROBE_LEARN, effective with each thread's next call. KM_NOTFOUND. */
enum km_code km_probe_set_mode(struct km_probe *probe, unsigned daemon, enum km_probe_mode mode,
                               struct km_err *err) KM_MUST_USE;

/* Threads of a daemon that are watched now: 0 = it does not run. */
unsigned km_probe_threads(const struct km_probe *probe, unsigned daemon);
/* The daemon of a role, 0 when the role does not exist. */
unsigned km_probe_role_daemon(const struct km_probe *probe, unsigned role);
/* Episodes and escalation of one role. KM_NOTFOUND for role 0 and above 255. */
enum km_code km_probe_set_rule(struct km_probe *probe, unsigned role, const struct km_episode_rule *rule,
                               struct km_err *err) KM_MUST_USE;

/* The key by which a landmark is in the known set, or 0 for one that is told always. */
uint64_t km_probe_landmark_key(unsigned role, const struct km_event_landmark *landmark);
/* Makes keys (km_window_key, km_probe_landmark_key) known, beside those that are. KM_LIMIT beyond KM_PROBE_MAX_KEYS. */
enum km_code km_probe_add_known(struct km_probe *probe, const uint64_t *keys, size_t count,
                                struct km_err *err) KM_MUST_USE;
/* Makes them the whole known set; a key in both the old and the new set is known throughout.
 * What was told before and is not in the set is told once more. KM_LIMIT, KM_NOMEM. */
enum km_code km_probe_replace_known(struct km_probe *probe, const uint64_t *keys, size_t count,
                                    struct km_err *err) KM_MUST_USE;

/* Waits up to timeout_ms, then delivers all that is in the ring. A failing sink ends the delivery with its code; the
 * records behind stay in the ring. KM_IO. */
enum km_code km_probe_poll(struct km_probe *probe, int timeout_ms, const struct km_event_sink *sink,
                           struct km_err *err) KM_MUST_USE;

/* Sums over CPUs since km_probe_open. cpu -1: all. */
enum km_code km_probe_read_counters(const struct km_probe *probe, unsigned daemon, int cpu,
                                    struct km_probe_counters *out, struct km_err *err) KM_MUST_USE;

struct km_probe_status {
    unsigned daemons;        /* guarded */
    unsigned roles;          /* found so far */
    bool attached;           /* tracepoints are active */
    bool exit_attached;      /* the one of every call's exit, too */
    bool single_exits;       /* outcomes of landmarks come from the calls' own tracepoints (tracefs is mounted) */
    unsigned exits_attached; /* how many of those */
};
void km_probe_get_status(const struct km_probe *probe, struct km_probe_status *out);

#endif
