/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernel side: landmarks when their call returns. What was kept at its entry is told with its outcome; where a link led
 * and who connected is known only now.
 */
#ifndef KM_PROBE_EXIT_H
#define KM_PROBE_EXIT_H

#include "daemon/probe/bpf/probe_landmark.h"

static __noinline void landmark_exit(struct task_struct *task, struct km_probe_thread *thread, __u8 outcome)
{
    __u32 zero = 0;
    struct km_probe_landmark_record *record = bpf_task_storage_get(&pendings, task, 0, 0);
    struct km_probe_landmark_record *row = bpf_map_lookup_elem(&scratch, &zero);

    thread->pending = 0;
    if (!record || !row)
        return;
    if (record->memory) { /* late */
        bpf_probe_read_kernel(row, sizeof *row, record);
        record = row;
        __u64 pointer = record->digest;
        __s32 directory = record->peer_tid;
        record->memory = 0;
        record->digest = 0;
        record->peer_tid = 0;
        if (read_text(record, 0, pointer, &record->path_bytes) != 0) {
            record->cut = 1;
            COUNT(thread->daemon, unread, 1);
        } else if (record->kind == KM_LANDMARK_OPEN || record->kind == KM_LANDMARK_UNLINK) {
            if (!judge_path(record, task, thread->role, directory))
                return;
        } else if (record->kind != KM_LANDMARK_MEMFD) {
            settle_path(record, task, 0, directory);
        }
        if (!worth_telling(thread, record->entity))
            return;
    }
    emit_landmark(task, thread, record, outcome);
}

/* A file was opened: does the directory that it lies in bear the name that the path gave it? If not, a link led there.
 * A mounted directory is judged by the name that it is mounted on. */
static __noinline void link_exit(struct task_struct *task, struct km_probe_thread *thread, long value, __u32 call)
{
    __u32 zero = 0;
    struct km_probe_landmark_record *record = bpf_map_lookup_elem(&scratch, &zero);
    struct file *file = file_of(task, value);
    __u64 named = thread->open_directory;
    struct km_probe_scan *scan;
    __u64 parent, real;

    thread->open_directory = 0;
    if (!record || !file)
        return;
    parent = (__u64)BPF_CORE_READ(file, f_path.dentry, d_parent);
    if (parent == thread->same_entry && named == thread->same_directory)
        return;
    real = directory_of_file(file);
    if (!real)
        return;
    clear_record(record, call);
    bpf_probe_read_kernel_str(record->text, KM_PROBE_PATH_BYTES, BPF_CORE_READ((struct dentry *)real, d_name.name));
    scan = scan_path(0);
    if (!scan)
        return;
    if (scan->path.name == named) {
        thread->same_entry = parent;
        thread->same_directory = named;
        return;
    }
    record->kind = KM_LANDMARK_OPEN;
    record->entity = km_probe_entity(thread->role, KM_LANDMARK_OPEN, km_probe_link_detail(named, scan->path.name));
    if (!worth_telling(thread, record->entity))
        return;
    record->in_root = thread->open_in_root;
    if (read_text(record, 0, thread->open_path, &record->path_bytes) != 0)
        record->cut = 1;
    else
        settle_path(record, task, 0, thread->open_base);
    record->path2_bytes = path_of_file(record, task, file, KM_PROBE_PATH_BYTES);
    emit_landmark(task, thread, record, KM_OUTCOME_OK);
}

/* accept's peer is known when it returns. */
static __noinline void accept_exit(struct task_struct *task, struct km_probe_thread *thread, long value, __u32 call)
{
    __u32 zero = 0;
    struct km_probe_landmark_record *record = bpf_map_lookup_elem(&scratch, &zero);

    if (!record || value < 0)
        return;
    clear_record(record, call);
    record->kind = KM_LANDMARK_ACCEPT;
    take_socket(record, task, value, 1);
    judge_address(record, thread->role, 0);
    if (worth_telling(thread, record->entity))
        emit_landmark(task, thread, record, KM_OUTCOME_OK);
}

#endif
