/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernel side: guarded tasks. A task's row in the task storage `threads`, and the role that its program and its place
 * among the forks give it.
 */
#ifndef KM_PROBE_THREAD_H
#define KM_PROBE_THREAD_H

#include "daemon/probe/bpf/probe_maps.h"

static __always_inline __u64 cgroup_id_of(struct task_struct *task)
{
    return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
}

static __always_inline struct km_probe_thread *find_thread(struct task_struct *task)
{
    /* Unguarded tasks mostly have no task storage at all: one load instead of a helper call. */
    if (!task->bpf_storage)
        return 0;
    return bpf_task_storage_get(&threads, task, 0, 0);
}

static __always_inline struct km_probe_thread *add_thread(struct task_struct *task, __u32 daemon, __u32 depth)
{
    struct km_probe_thread *thread;
    __u32 tgid = task->tgid;

    if (daemon == 0 || daemon >= KM_PROBE_MAX_DAEMONS)
        return 0;
    thread = bpf_task_storage_get(&threads, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
    if (!thread) {
        COUNT(daemon, storage_failed, 1);
        return 0;
    }
    if (thread->daemon == 0) /* not added by a fork meanwhile */
        __sync_fetch_and_add(&daemon_threads[daemon], 1);
    __builtin_memset(thread, 0, sizeof *thread);
    thread->daemon = daemon;
    thread->depth = depth > KM_PROBE_MAX_DEPTH ? KM_PROBE_MAX_DEPTH : depth;
    thread->stale = 1;
    thread->parent_tid = task->real_parent->pid;
    if (task->pid == task->tgid)
        bpf_map_update_elem(&processes, &tgid, &daemon, BPF_ANY);
    return thread;
}

/* ---- roles ---- */

static __always_inline __u32 new_role(struct task_struct *task, struct km_probe_thread *thread, __u64 signature)
{
    __u32 role = role_next < KM_PROBE_MAX_ROLES ? __sync_fetch_and_add(&role_next, 1) : KM_PROBE_MAX_ROLES;
    struct km_probe_role *row;
    __u32 *other;

    if (role >= KM_PROBE_MAX_ROLES)
        return KM_PROBE_NO_ROLE;
    row = &roles[role & (KM_PROBE_MAX_ROLES - 1)];
    bpf_probe_read_kernel(row->comm, KM_PROBE_COMM_BYTES, task->comm);
    row->tgid = task->tgid;
    row->daemon = thread->daemon;
    row->depth = thread->depth;
    if (bpf_map_update_elem(&role_ids, &signature, &role, BPF_NOEXIST) != 0) {
        /* Another CPU was faster; this row stays unused. */
        other = bpf_map_lookup_elem(&role_ids, &signature);
        return other ? *other : KM_PROBE_NO_ROLE;
    }
    row->ready = 1;
    return role;
}

static __noinline void emit_thread(struct task_struct *task, struct km_probe_thread *thread)
{
    struct km_probe_thread_record record = {};
    int failed;

    fill_header(&record.header, task, thread, KM_PROBE_REC_THREAD, sizeof record);
    record.parent_tid = thread->parent_tid;
    record.uid = BPF_CORE_READ(task, cred, uid.val);
    record.cgroup = cgroup_id_of(task);
    bpf_probe_read_kernel(record.comm, sizeof record.comm, task->comm);
    failed = bpf_ringbuf_output(&ring, &record, sizeof record, wake_flags()) != 0;
    count_sent(thread, failed);
    thread->announced = !failed;
    thread->stale = failed; /* told again at the next call */
}

static __noinline void assign_role(struct task_struct *task, struct km_probe_thread *thread)
{
    char comm[KM_PROBE_COMM_BYTES];
    __u64 signature;
    __u32 *found;

    flush_calls(task, thread);
    bpf_probe_read_kernel(comm, sizeof comm, task->comm);
    signature = km_probe_role_signature(thread->daemon, thread->depth, comm);
    found = bpf_map_lookup_elem(&role_ids, &signature);
    thread->role = found ? *found : new_role(task, thread, signature);
    if (thread->role == KM_PROBE_NO_ROLE)
        COUNT(thread->daemon, roles_full, 1);
    emit_thread(task, thread);
}

#endif
