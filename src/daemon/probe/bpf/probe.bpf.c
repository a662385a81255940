/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * The kernel side of the probe: tracepoints only. A task is guarded when it has a row in the task storage `threads`;
 * children inherit it, exec and new cgroups give it, iter/task gives it to what already runs. The common case, a call
 * of an unguarded task or a known window, is a handful of loads.
 */
#include "daemon/probe/bpf/probe_exit.h"
#include "daemon/probe/bpf/probe_thread.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Classes that are nothing to look at when the call is entered, but for its argument class in a full stream. */
#define NO_LANDMARK                                                                                                    \
    (1ULL << KM_PROBE_CALL_PLAIN | 1ULL << KM_PROBE_CALL_FD | 1ULL << KM_PROBE_CALL_ACCEPT |                           \
     1ULL << KM_PROBE_CALL_SOCKET | 1ULL << KM_PROBE_CALL_ENDS | 1ULL << KM_PROBE_CALL_WAIT)

#define FEED_TAP        2 /* enum km_feed */
#define FEED_ESCALATION 3

/* ---- streams and episodes ---- */

static __noinline void stream_start(struct task_struct *task, struct km_probe_thread *thread, __u8 feed)
{
    thread->feed = feed;
    __sync_fetch_and_add(&streams, 1);
    emit_stream(task, thread, 1);
}

static __noinline void stream_stop(struct task_struct *task, struct km_probe_thread *thread)
{
    if (thread->open_call & KM_PROBE_CALL_OPEN_FLAG)
        append_call(task, thread, thread->open_call & ~KM_PROBE_CALL_OPEN_FLAG, KM_OUTCOME_UNKNOWN, thread->open_arg);
    thread->open_call = 0;
    flush_calls(task, thread);
    emit_stream(task, thread, 0);
    if (thread->feed != KM_FEED_LEARN)
        __sync_fetch_and_add(&streams, -1);
    thread->feed = KM_FEED_NONE;
    thread->state.streamed = 0;
}

static __always_inline int allowed(int escalation)
{
    __u32 zero = 0;
    struct km_probe_buckets *row = bpf_map_lookup_elem(&buckets, &zero);

    if (!row)
        return 0;
    return escalation
               ? km_probe_bucket_take(&row->escalations, bpf_ktime_get_ns(), escalations_per_s, escalations_burst)
               : km_probe_bucket_take(&row->episodes, bpf_ktime_get_ns(), episodes_per_s, episodes_per_s);
}

static __noinline void count_episode(struct km_probe_thread *thread)
{
    __u32 role = thread->role;
    struct km_probe_role_counters *row = bpf_map_lookup_elem(&role_counters, &role);

    if (row) {
        row->calls += thread->state.calls;
        row->episodes++;
        row->misses += thread->state.misses;
    }
}

static __always_inline __u32 daemon_of_task(struct task_struct *task)
{
    __u64 id = cgroup_id_of(task);
    __u32 tgid = BPF_CORE_READ(task, tgid);
    __u32 *daemon = bpf_map_lookup_elem(&cgroups, &id);

    if (!daemon)
        daemon = bpf_map_lookup_elem(&processes, &tgid);
    return daemon ? *daemon : 0;
}

/* Forks between a task and the oldest of its living ancestors that belongs to the same daemon. */
static __always_inline __u32 depth_of(struct task_struct *task, __u32 daemon)
{
    struct task_struct *up = BPF_CORE_READ(task, real_parent);
    __u32 depth = 0;

    for (int i = 0; i < KM_PROBE_MAX_DEPTH; i++) {
        if (!up || daemon_of_task(up) != daemon)
            break;
        depth++;
        up = BPF_CORE_READ(up, real_parent);
    }
    return depth;
}

/* A daemon that puts itself into the background loses the process that forked it: it has the roles then that it is
 * found with when it runs already. */
static __noinline void settle(struct task_struct *task, struct km_probe_thread *thread)
{
    __u32 depth = depth_of(task, thread->daemon);

    thread->settled++;
    if (depth >= thread->depth)
        return;
    thread->depth = depth;
    thread->parent_tid = BPF_CORE_READ(task, real_parent, pid);
    thread->stale = 1;
}

static __noinline void end_episode(struct task_struct *task, struct km_probe_thread *thread)
{
    count_episode(thread);
    if (thread->state.misses && thread->feed == KM_FEED_NONE) {
        if (allowed(0))
            emit_state(task, thread, KM_PROBE_REC_EPISODE);
        else
            COUNT(thread->daemon, withheld, 1);
    }
    km_episode_begin(&thread->state);
    if (thread->depth && thread->settled < KM_PROBE_SETTLE_EPISODES && task->pid == task->tgid)
        settle(task, thread);
    if (thread->feed == FEED_TAP)
        stream_stop(task, thread);
    if (tap_share && thread->feed == KM_FEED_NONE && daemon_mode[thread->daemon & 63] == KM_PROBE_GUARD &&
        km_probe_tap_takes(bpf_get_prandom_u32(), tap_share)) {
        __u32 left = tap_left;
        /* Two CPUs may take the last one both: a tap too many is no harm. */
        if (left) {
            tap_left = left - 1;
            stream_start(task, thread, FEED_TAP);
        }
    }
}

static __noinline void on_miss(struct task_struct *task, struct km_probe_thread *thread, __u64 key, int escalated)
{
    if (first_told(key, 0))
        emit_state(task, thread, KM_PROBE_REC_WINDOW);
    else
        COUNT(thread->daemon, repeated, 1);
    if (!escalated)
        return;
    if (thread->feed != KM_FEED_NONE || !allowed(1)) {
        COUNT(thread->daemon, withheld, 1);
        thread->state.streamed = 0;
        return;
    }
    stream_start(task, thread, FEED_ESCALATION);
}

static __noinline __u8 arg_class_of(struct task_struct *task, const struct call_args *args, __u32 class)
{
    struct km_probe_landmark_record *record;
    __u32 zero = 0;
    __u64 flags = args->a[1];

    switch (class) {
    case KM_PROBE_CALL_OPENAT2:
        bpf_probe_read_user(&flags, sizeof flags, (const void *)args->a[2]);
        break;
    case KM_PROBE_CALL_OPENAT:
        flags = args->a[2];
        break;
    case KM_PROBE_CALL_OPEN:
        break;
    case KM_PROBE_CALL_CREAT:
        return KM_ARGC_CREATE;
    case KM_PROBE_CALL_SOCKET:
        return family_class(args->a[0]);
    case KM_PROBE_CALL_MMAP:
    case KM_PROBE_CALL_MPROTECT:
        return args->a[2] & 4 ? (args->a[2] & 2 ? KM_ARGC_EXEC_WRITE : KM_ARGC_EXEC) : KM_ARGC_NONE;
    case KM_PROBE_CALL_CONNECT:
    case KM_PROBE_CALL_BIND:
        record = bpf_map_lookup_elem(&scratch, &zero);
        if (!record)
            return KM_ARGC_NONE;
        take_sockaddr(record, args->a[1], args->a[2]);
        return peer_class(km_probe_address_detail(record->address, record->address_bytes, 0));
    case KM_PROBE_CALL_FD:
    case KM_PROBE_CALL_LISTEN:
    case KM_PROBE_CALL_ACCEPT:
    case KM_PROBE_CALL_FCHMOD:
        return descriptor_class(task, args->a[0]);
    default:
        return KM_ARGC_NONE;
    }
    return flags & 0100 ? KM_ARGC_CREATE : flags & 3 ? KM_ARGC_WRITE : KM_ARGC_READ;
}

/* The call goes into the full stream when it returns; what came before it goes now if its return never came. */
static __always_inline void stream_enter(struct task_struct *task, struct km_probe_thread *thread,
                                         const struct call_args *args, __u32 class, __u32 call)
{
    if (thread->open_call & KM_PROBE_CALL_OPEN_FLAG)
        append_call(task, thread, thread->open_call & ~KM_PROBE_CALL_OPEN_FLAG, KM_OUTCOME_UNKNOWN, thread->open_arg);
    thread->open_arg = class == KM_PROBE_CALL_PLAIN ? KM_ARGC_NONE : arg_class_of(task, args, class);
    thread->open_call = call | KM_PROBE_CALL_OPEN_FLAG;
    if (class == KM_PROBE_CALL_ENDS) {
        append_call(task, thread, call, KM_OUTCOME_UNKNOWN, KM_ARGC_NONE);
        thread->open_call = 0;
    }
}

static __always_inline void filter_enter(struct task_struct *task, struct km_probe_thread *thread,
                                         const struct km_episode_rule *rule, int full)
{
    __u64 key;
    int known, escalated;

    if (thread->state.streamed && --thread->state.streamed == 0)
        stream_stop(task, thread);
    if (!full || thread->role == KM_PROBE_NO_ROLE)
        return;
    key = km_window_key(thread->state.window, thread->state.space, thread->role);
    known = is_known(key);
    escalated = km_thread_judge(&thread->state, rule, known);
    if (!known)
        on_miss(task, thread, key, escalated);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(on_enter, struct pt_regs *regs, long id)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct km_probe_thread *thread = find_thread(task);
    const struct km_episode_rule *rule;
    struct call_args args;
    __u32 space, folded, class, mode;
    int full, looked_at;

    if (!thread)
        return 0;
    mode = daemon_mode[thread->daemon & (KM_PROBE_MAX_DAEMONS - 1)];
    if (mode == KM_PROBE_OFF)
        return 0;
    if (thread->stale)
        assign_role(task, thread);
    if (thread->pending) /* its exit had no tracepoint: a 32-bit call, or one that this kernel does not have */
        landmark_exit(task, thread, KM_OUTCOME_UNKNOWN);
    space = task->thread_info.status & KM_TS_COMPAT ? KM_SPACE_COMPAT
            : id > 0 && (id & KM_X32_BIT)           ? KM_SPACE_X32
                                                    : KM_SPACE_NATIVE;
    folded = km_call_fold(space, id) & (KM_CALL_NUMBERS - 1);
    rule = &rules[thread->role];
    if (km_episode_ends(&thread->state, rule, folded)) {
        flush_calls(task, thread); /* before it waits */
        end_episode(task, thread);
    }
    full = km_thread_push(&thread->state, space, folded);
    if (mode == KM_PROBE_GUARD) {
        if (thread->feed == KM_FEED_LEARN)
            stream_stop(task, thread);
        filter_enter(task, thread, rule, full);
    } else if (thread->feed != KM_FEED_LEARN) {
        if (thread->feed != KM_FEED_NONE)
            stream_stop(task, thread);
        thread->feed = KM_FEED_LEARN;
        emit_stream(task, thread, 1);
    }
    class = call_class[space][folded];
    looked_at = !(NO_LANDMARK >> class & 1);
    if (!looked_at && thread->feed == KM_FEED_NONE)
        return 0;
    read_args(&args, regs, space);
    if (thread->feed != KM_FEED_NONE)
        stream_enter(task, thread, &args, class, folded | space << KM_WINDOW_CALL_BITS);
    if (looked_at)
        landmark_enter(task, thread, &args, class, folded | space << KM_WINDOW_CALL_BITS);
    return 0;
}

/* ---- outcomes ---- */

static __always_inline void call_exit(struct task_struct *task, struct km_probe_thread *thread, __u32 space,
                                      long number, long value)
{
    __u32 folded = km_call_fold(space, number) & (KM_CALL_NUMBERS - 1);
    __u32 class = call_class[space][folded];

    if (thread->pending)
        landmark_exit(task, thread, km_probe_outcome(value));
    else if (value >= 0 && class == KM_PROBE_CALL_ACCEPT)
        accept_exit(task, thread, value, folded | space << KM_WINDOW_CALL_BITS);
    if (thread->open_directory && value >= 0 && opens_file(class))
        link_exit(task, thread, value, folded | space << KM_WINDOW_CALL_BITS);
}

/* The exits of single calls, attached once for each call that can be a landmark. */
SEC("tracepoint")
int on_call_exit(struct {
    __u64 common;
    int number;
    long value;
} * context)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct km_probe_thread *thread = find_thread(task);

    if (!thread || thread->stale)
        return 0;
    call_exit(task, thread, KM_SPACE_NATIVE, context->number, context->value);
    return 0;
}

/* Every exit: attached while a stream runs, or when the exits of single calls cannot be had. */
SEC("tp_btf/sys_exit")
int BPF_PROG(on_exit, struct pt_regs *regs, long value)
{
    struct task_struct *task = bpf_get_current_task_btf();
    struct km_probe_thread *thread = find_thread(task);
    __u8 outcome;

    if (!thread)
        return 0;
    if (thread->open_call & KM_PROBE_CALL_OPEN_FLAG) {
        outcome = km_probe_outcome(value);
        if (outcome != KM_OUTCOME_OK)
            COUNT_ROLE(thread->role, errors, 1);
        append_call(task, thread, thread->open_call & ~KM_PROBE_CALL_OPEN_FLAG, outcome, thread->open_arg);
        thread->open_call = 0;
    }
    if (thread->pending || (!thread->stale && value >= 0))
        call_exit(task, thread, thread->state.space < KM_PROBE_SPACES ? thread->state.space : KM_SPACE_NATIVE,
                  regs->orig_ax, value);
    return 0;
}

/* ---- life of processes ---- */

SEC("tp_btf/sched_process_fork")
int BPF_PROG(on_fork, struct task_struct *parent, struct task_struct *child)
{
    struct km_probe_thread *thread = find_thread(parent);
    struct km_probe_thread *added;
    __u32 daemon, depth;

    if (!thread)
        return 0;
    daemon = thread->daemon;
    depth = thread->depth + (parent->tgid != child->tgid);
    if (daemon_mode[daemon & (KM_PROBE_MAX_DAEMONS - 1)] == KM_PROBE_OFF)
        return 0;
    added = add_thread(child, daemon, depth);
    if (added)
        added->parent_tid = parent->pid;
    return 0;
}

static __always_inline __u32 daemon_of_exec(struct task_struct *task, struct linux_binprm *program)
{
    __u64 id = cgroup_id_of(task);
    __u32 *daemon = bpf_map_lookup_elem(&cgroups, &id);
    __u64 hash;

    if (daemon)
        return *daemon;
    hash = km_probe_name_hash(task->comm, KM_PROBE_COMM_BYTES, KM_PROBE_NAME_COMMAND);
    daemon = bpf_map_lookup_elem(&names, &hash);
    return daemon ? *daemon : 0;
}

/* The argument list as the new program sees it: up to 255 bytes, NULs between. */
static __always_inline void take_arguments(struct km_probe_landmark_record *record, struct task_struct *task)
{
    unsigned long start = BPF_CORE_READ(task, mm, arg_start);
    unsigned long length = BPF_CORE_READ(task, mm, arg_end) - start;
    __u64 digest = km_probe_hash_byte(KM_PROBE_HASH_SEED, length & 0xff);
    __u32 used = length < KM_PROBE_PATH_BYTES - 1 ? length : KM_PROBE_PATH_BYTES - 1;

    record->cut |= length > KM_PROBE_PATH_BYTES - 1;
    record->path2_bytes = 0;
    if (bpf_probe_read_user(record->text + KM_PROBE_PATH_BYTES, used & (KM_PROBE_PATH_BYTES - 1),
                            (const void *)start) != 0) {
        record->cut = 1;
        return;
    }
    for (__u32 i = 0; i < KM_PROBE_PATH_BYTES - 1; i++) {
        if (i >= used)
            break;
        digest = km_probe_hash_byte(digest, (__u8)record->text[KM_PROBE_PATH_BYTES + i]);
    }
    record->digest = digest;
    record->path2_bytes = read_arguments ? used : 0;
}

static __noinline void emit_exec(struct task_struct *task, struct km_probe_thread *thread, struct linux_binprm *program)
{
    __u32 zero = 0;
    struct km_probe_landmark_record *record = bpf_map_lookup_elem(&scratch, &zero);
    long length;

    thread->pending = 0;
    if (!record)
        return;
    clear_record(record, thread->state.window & (KM_CALL_NUMBERS - 1));
    length = bpf_probe_read_kernel_str(record->text, KM_PROBE_PATH_BYTES, program->filename);
    record->path_bytes = length > 0 ? length - 1 : 0;
    record->cut = length == KM_PROBE_PATH_BYTES;
    settle_path(record, task, 0, AT_CWD);
    record->memory = BPF_CORE_READ(program, file, f_inode, i_nlink) == 0;
    record->kind = record->memory ? KM_LANDMARK_MEMFD_EXEC : KM_LANDMARK_EXEC;
    take_arguments(record, task);
    emit_landmark(task, thread, record, KM_OUTCOME_OK);
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(on_exec, struct task_struct *task, int old_pid, struct linux_binprm *program)
{
    struct km_probe_thread *thread = find_thread(task);
    __u32 daemon;

    if (!thread || daemon_mode[thread->daemon & (KM_PROBE_MAX_DAEMONS - 1)] == KM_PROBE_OFF) {
        daemon = daemon_of_exec(task, program);
        if (daemon)
            add_thread(task, daemon, 0);
        return 0;
    }
    if (!thread->stale || thread->announced)
        emit_exec(task, thread, program);
    flush_calls(task, thread);
    thread->state.filled = 0;
    thread->state.window = 0;
    thread->state.recent = 0;
    thread->stale = 1;
    return 0;
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(on_task_exit, struct task_struct *task)
{
    struct km_probe_thread *thread = find_thread(task);
    struct km_probe_landmark_record *record;

    if (!thread)
        return 0;
    if (thread->pending) {
        record = bpf_task_storage_get(&pendings, task, 0, 0);
        if (record && !record->memory)
            emit_landmark(task, thread, record, KM_OUTCOME_UNKNOWN);
        thread->pending = 0;
    }
    if (thread->announced) {
        if (thread->feed != KM_FEED_NONE)
            stream_stop(task, thread);
        count_episode(thread);
        emit_state(task, thread, KM_PROBE_REC_END);
    }
    __sync_fetch_and_add(&daemon_threads[thread->daemon & (KM_PROBE_MAX_DAEMONS - 1)], -1);
    bpf_task_storage_delete(&threads, task);
    return 0;
}

/* A child that ended and was not waited for is signalled like any other: it is the daemon's until it is gone. */
SEC("tp_btf/sched_process_free")
int BPF_PROG(on_task_free, struct task_struct *task)
{
    __u32 tgid = task->tgid;

    if (task->pid == task->tgid)
        bpf_map_delete_elem(&processes, &tgid);
    return 0;
}

SEC("tp_btf/task_rename")
int BPF_PROG(on_rename, struct task_struct *task, const char *comm)
{
    struct km_probe_thread *thread = find_thread(task);

    if (thread)
        thread->stale = 1;
    return 0;
}

/* ---- cgroups: a unit keeps its name when it restarts, not its id ---- */

static __always_inline int is_default_hierarchy(struct cgroup *group)
{
    return BPF_CORE_READ(group, root, hierarchy_id) == 0;
}

SEC("tp_btf/cgroup_mkdir")
int BPF_PROG(on_cgroup_mkdir, struct cgroup *group, const char *path)
{
    char text[KM_PROBE_PATH_BYTES];
    __u64 id, parent, hash;
    __u32 *daemon;

    if (!is_default_hierarchy(group))
        return 0;
    id = BPF_CORE_READ(group, kn, id);
    parent = BPF_CORE_READ(group, self.parent, cgroup, kn, id);
    daemon = bpf_map_lookup_elem(&cgroups, &parent);
    if (!daemon) {
        __builtin_memset(text, 0, sizeof text);
        bpf_probe_read_kernel_str(text, sizeof text, BPF_CORE_READ(group, kn, name));
        hash = km_probe_name_hash(text, sizeof text, KM_PROBE_NAME_CGROUP);
        daemon = bpf_map_lookup_elem(&names, &hash);
    }
    if (!daemon) {
        bpf_probe_read_kernel_str(text, sizeof text, path);
        hash = km_probe_name_hash(text, sizeof text, KM_PROBE_NAME_CGROUP_PATH);
        daemon = bpf_map_lookup_elem(&names, &hash);
    }
    if (daemon) {
        __u32 index = *daemon;
        bpf_map_update_elem(&cgroups, &id, &index, BPF_ANY);
    }
    return 0;
}

SEC("tp_btf/cgroup_rmdir")
int BPF_PROG(on_cgroup_rmdir, struct cgroup *group, const char *path)
{
    __u64 id;

    if (!is_default_hierarchy(group))
        return 0;
    id = BPF_CORE_READ(group, kn, id);
    bpf_map_delete_elem(&cgroups, &id);
    return 0;
}

SEC("tp_btf/cgroup_attach_task")
int BPF_PROG(on_cgroup_attach, struct cgroup *group, const char *path, struct task_struct *task, _Bool threads_too)
{
    __u64 id;

    if (!is_default_hierarchy(group))
        return 0;
    id = BPF_CORE_READ(group, kn, id);
    if (bpf_map_lookup_elem(&cgroups, &id))
        rescan = 1;
    return 0;
}

/* ---- what already runs ---- */

SEC("iter/task")
int enrol(struct bpf_iter__task *context)
{
    struct task_struct *task = context->task;
    struct km_probe_thread *thread;
    __u32 daemon;

    /* A zombie's exit was seen already, and would not be counted again. */
    if (!task || (task->flags & (KM_PF_KTHREAD | KM_PF_EXITING)))
        return 0;
    thread = bpf_task_storage_get(&threads, task, 0, 0);
    if (thread) {
        if (daemon_mode[thread->daemon & (KM_PROBE_MAX_DAEMONS - 1)] != KM_PROBE_OFF)
            return 0;
        __sync_fetch_and_add(&daemon_threads[thread->daemon & (KM_PROBE_MAX_DAEMONS - 1)], -1);
        bpf_task_storage_delete(&threads, task);
    }
    daemon = daemon_of_task(task);
    /* systemd's child before its exec is called "(name)": not yet the daemon. */
    if (daemon == 0 || daemon >= KM_PROBE_MAX_DAEMONS || daemon_mode[daemon] == KM_PROBE_OFF || task->comm[0] == '(')
        return 0;
    add_thread(task, daemon, depth_of(task, daemon));
    return 0;
}
