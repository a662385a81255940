/*
 * Inside of src/daemon/probe: the loaded probe. probe.c owns it, probe_scope.c finds what to guard, probe_read.c turns
 * records into events.
 */
#ifndef KM_PROBE_INTERNAL_H
#define KM_PROBE_INTERNAL_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "daemon/probe/bpf/probe_logic.h"
#include "daemon/probe/probe.h"
#include "probe.skel.h"

#define KM_PROBE_MAX_EXITS  80
#define KM_PROBE_NAME_BYTES 256

struct km_probe_daemon {
    bool used; /* stays set when the guarding ends, so that the same target gets the same index again */
    enum km_probe_scope scope;
    enum km_probe_mode mode;
    char target[KM_PROBE_NAME_BYTES];
};

struct km_probe_role_seen {
    bool introduced;
    uint32_t tgid; /* whose program was looked at last */
    uint64_t exe_device;
    uint64_t exe_inode;
    struct km_probe_role_counters told; /* as of the last RATE and LOSS events */
};

struct km_probe {
    struct probe_bpf *skeleton;
    struct bpf_link *always[9]; /* fork, exec, exit … in the order of attach_all */
    struct bpf_link *exits[KM_PROBE_MAX_EXITS];
    struct bpf_link *exit_all;
    struct ring_buffer *ring;
    int cpus;
    char proc_root[KM_PROBE_NAME_BYTES];
    char cgroup_root[KM_PROBE_NAME_BYTES]; /* empty: no cgroup v2 */
    bool attached;
    size_t exit_count;
    size_t known;
    struct km_probe_daemon daemons[KM_PROBE_MAX_DAEMONS];
    struct km_probe_role_seen roles[KM_PROBE_MAX_ROLES];
    struct km_probe_role_counters *cpu_rows; /* cpus of them */
    uint64_t *told_lost;                     /* [role][cpu] */
    int64_t clock_offset_ns;                 /* added to the kernel's times */
    int64_t rates_ns;                        /* when RATE events were sent last */
    uint32_t tap_period_ms, tap_window_ms, tap_share, tap_episodes;
    int64_t tap_next_ns, tap_until_ns;
    uint64_t tap_random;
    const struct km_event_sink *sink; /* during km_probe_poll */
    enum km_code failed;              /* what the sink returned */
    struct km_err *err;
};

/* probe_scope.c: puts what runs of a daemon into the maps; *out_found is the number of cgroups and processes. */
enum km_code km_probe_scope_fill(struct km_probe *probe, unsigned daemon, struct km_err *err) KM_MUST_USE;
/* Takes it out of the maps again. */
void km_probe_scope_clear(struct km_probe *probe, unsigned daemon);
/* The cgroup v2 root, or "" */
void km_probe_scope_find_root(const char *wanted, char *out, size_t out_bytes);

/* probe_read.c: a record from the ring; ring_buffer_sample_fn. */
int km_probe_read_record(void *context, void *data, size_t bytes);
/* RATE and LOSS events for what changed since the last ones. */
enum km_code km_probe_read_rates(struct km_probe *probe, int64_t now_ns, struct km_err *err) KM_MUST_USE;

#endif
