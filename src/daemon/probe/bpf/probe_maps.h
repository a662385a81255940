/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernel side: the maps and shared variables of the probe, and how records leave.
 */
#ifndef KM_PROBE_MAPS_H
#define KM_PROBE_MAPS_H

#include <linux/bpf.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "daemon/probe/bpf/kernel_types.h"
#include "daemon/probe/bpf/probe_logic.h"

/* Written before loading; dead branches vanish. */
const volatile __u8 call_class[KM_PROBE_SPACES][KM_CALL_NUMBERS];
const volatile __u32 wake_bytes = 1 << 20;    /* the reader is woken when so much waits */
const volatile __u64 retell_ns = 10000000000; /* a landmark's entity is told again after this */
const volatile __u32 episodes_per_s = 200;    /* EPISODE records, per CPU */
const volatile __u32 escalations_per_s = 2;   /* per CPU */
const volatile __u32 escalations_burst = 16;
const volatile __u8 read_arguments = 1;

/* Shared with the loader while running (the .bss map is mapped there). */
__u64 bloom[KM_PROBE_BLOOM_WORDS];
volatile __u64 known_sets; /* counts the known sets: what was told under an earlier one is told once more */
__u64 place_hint[KM_PROBE_HINT_WORDS];
struct km_episode_rule rules[KM_PROBE_MAX_ROLES];
struct km_probe_role roles[KM_PROBE_MAX_ROLES];
__u8 daemon_mode[KM_PROBE_MAX_DAEMONS];     /* enum km_probe_mode */
__s32 daemon_threads[KM_PROBE_MAX_DAEMONS]; /* watched now */
__u32 role_next = 1;
__s32 streams;   /* threads in a tap or an escalation */
__u32 tap_share; /* of 65536 episodes; 0 = no tap window is open */
__u32 tap_left;  /* episodes that this window may still take */
__u32 rescan;    /* set when a process moved into a guarded cgroup: the loader enrols again */

struct km_probe_told {
    __u64 time_ns;
    __u64 known_set;
};

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct km_probe_thread);
} threads SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_TASK_STORAGE);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __type(key, int);
    __type(value, struct km_probe_landmark_record);
} pendings SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 4096);
    __type(key, __u64);
    __type(value, __u32);
} cgroups SEC(".maps"); /* cgroup id → daemon */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, __u32);
} names SEC(".maps"); /* hash of a cgroup's name or path, or of a program's name → daemon */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 65536);
    __type(key, __u32);
    __type(value, __u32);
} processes SEC(".maps"); /* tgid → daemon: what iter/task enrols, and who is inside a daemon */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 2 * KM_PROBE_MAX_ROLES);
    __type(key, __u64);
    __type(value, __u32);
} role_ids SEC(".maps"); /* signature → role */

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, 65536);
    __type(key, __u64);
    __type(value, struct km_probe_told);
} reported SEC(".maps"); /* window key or entity → when it was last told */

struct {
    __uint(type, BPF_MAP_TYPE_HASH);
    __uint(max_entries, 1024);
    __type(key, __u64);
    __type(value, __u32);
} places SEC(".maps"); /* hash → enum km_probe_place */

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, KM_PROBE_MAX_DAEMONS);
    __type(key, __u32);
    __type(value, struct km_probe_counters);
} counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, KM_PROBE_MAX_ROLES);
    __type(key, __u32);
    __type(value, struct km_probe_role_counters);
} role_counters SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct km_probe_buckets);
} buckets SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct km_probe_landmark_record);
} scratch SEC(".maps");

#define KM_PROBE_PATH_WORDS (KM_PROBE_PATH_BYTES / 8)
#define KM_PROBE_SEEN_PATHS 128

struct km_probe_scan {
    struct km_probe_path path;
    __u64 hash, mask; /* of the text in words; of its last one, up to the NUL */
    __u32 words;
    __u16 places;
    __u16 valid;
};

struct km_probe_seen {
    char text[KM_PROBE_PATH_BYTES];
    struct km_probe_scan scan;
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct km_probe_scan);
} scans SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, KM_PROBE_SEEN_PATHS);
    __type(key, __u32);
    __type(value, struct km_probe_seen);
} seen SEC(".maps"); /* texts that were scanned lately, whole: what is compared is exact */

struct {
    __uint(type, BPF_MAP_TYPE_RINGBUF);
    __uint(max_entries, 8 << 20);
} ring SEC(".maps");

#define COUNT(daemon_index, field, amount)                                                                             \
    do {                                                                                                               \
        __u32 count_key = (daemon_index);                                                                              \
        struct km_probe_counters *count_row = bpf_map_lookup_elem(&counters, &count_key);                              \
        if (count_row)                                                                                                 \
            count_row->field += (amount);                                                                              \
    } while (0)

#define COUNT_ROLE(role_index, field, amount)                                                                          \
    do {                                                                                                               \
        __u32 count_key = (role_index);                                                                                \
        struct km_probe_role_counters *count_row = bpf_map_lookup_elem(&role_counters, &count_key);                    \
        if (count_row)                                                                                                 \
            count_row->field += (amount);                                                                              \
    } while (0)

static __always_inline __u64 wake_flags(void)
{
    return bpf_ringbuf_query(&ring, BPF_RB_AVAIL_DATA) > wake_bytes ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP;
}

static __always_inline void fill_header(struct km_probe_header *header, struct task_struct *task,
                                        const struct km_probe_thread *thread, __u8 kind, __u32 bytes)
{
    header->time_ns = bpf_ktime_get_ns();
    header->tid = task->pid;
    header->tgid = task->tgid;
    header->kind = kind;
    header->daemon = thread->daemon;
    header->role = thread->role;
    header->feed = thread->feed;
    header->bytes = bytes;
}

static __always_inline void count_sent(const struct km_probe_thread *thread, int failed)
{
    if (failed) {
        COUNT(thread->daemon, lost_records, 1);
        COUNT_ROLE(thread->role, lost, 1);
    } else {
        COUNT(thread->daemon, records, 1);
    }
}

static __noinline void emit_state(struct task_struct *task, struct km_probe_thread *thread, __u8 kind)
{
    struct km_probe_state_record record;

    fill_header(&record.header, task, thread, kind, sizeof record);
    record.state = thread->state;
    count_sent(thread, bpf_ringbuf_output(&ring, &record, sizeof record, wake_flags()) != 0);
}

static __noinline void emit_stream(struct task_struct *task, struct km_probe_thread *thread, __u32 started)
{
    struct km_probe_stream_record record = {};

    fill_header(&record.header, task, thread, KM_PROBE_REC_STREAM, sizeof record);
    record.started = started;
    count_sent(thread, bpf_ringbuf_output(&ring, &record, sizeof record, wake_flags()) != 0);
}

static __noinline void flush_calls(struct task_struct *task, struct km_probe_thread *thread)
{
    struct km_probe_calls_record *record;
    __u32 count = thread->batch_count;

    if (count == 0)
        return;
    thread->batch_count = 0;
    record = bpf_ringbuf_reserve(&ring, sizeof *record, 0);
    if (!record) {
        COUNT(thread->daemon, lost_calls, count);
        COUNT_ROLE(thread->role, lost, count);
        return;
    }
    fill_header(&record->header, task, thread, KM_PROBE_REC_CALLS, sizeof *record);
    record->end_ns = record->header.time_ns;
    record->header.time_ns = thread->batch_begin_ns;
    record->count = count;
    record->padding = 0;
    __builtin_memcpy(record->calls, thread->batch, sizeof record->calls);
    bpf_ringbuf_submit(record, wake_flags());
    COUNT(thread->daemon, calls, count);
}

static __always_inline void append_call(struct task_struct *task, struct km_probe_thread *thread, __u16 number,
                                        __u8 outcome, __u8 arg_class)
{
    __u32 i = thread->batch_count & (KM_PROBE_BATCH_CALLS - 1);

    if (i == 0)
        thread->batch_begin_ns = bpf_ktime_get_ns();
    thread->batch[i].number = number;
    thread->batch[i].outcome = outcome;
    thread->batch[i].arg_class = arg_class;
    thread->batch_count = i + 1;
    /* Whoever watches an escalated thread wants each call at once; learning wants throughput. */
    if (i + 1 == KM_PROBE_BATCH_CALLS || thread->feed == 3)
        flush_calls(task, thread);
}

static __always_inline int is_known(__u64 key)
{
    __u64 mixed = km_probe_mix(key);
    __u64 bits = km_probe_bloom_bits(mixed);

    return (bloom[km_probe_bloom_index(mixed)] & bits) == bits;
}

/* Whether `key` was not told yet, or `again_ns` ago (0: never again); remembers that it is told now. */
static __always_inline int first_told(__u64 key, __u64 again_ns)
{
    struct km_probe_told now = {bpf_ktime_get_ns(), known_sets};
    struct km_probe_told *last = bpf_map_lookup_elem(&reported, &key);

    if (last && last->known_set == now.known_set && (again_ns == 0 || now.time_ns - last->time_ns < again_ns))
        return 0;
    bpf_map_update_elem(&reported, &key, &now, BPF_ANY);
    return 1;
}

#endif
