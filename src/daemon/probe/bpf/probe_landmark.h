/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernel side: landmarks. A call that may be one is looked at when it is entered; what turns out new or weighty waits
 * in the pending storage for the call's outcome and leaves with it.
 *
 * A tracepoint cannot fault a page in. A path that could not be read at entry is read at the exit, when the kernel
 * itself has read it; its entity is judged then (`late`).
 */
#ifndef KM_PROBE_LANDMARK_H
#define KM_PROBE_LANDMARK_H

#include "daemon/probe/bpf/probe_path.h"
#include "daemon/trace/event.h"

#define S_IFMT_BITS 0170000
#define O_WRITES    (00000001 | 00000002 | 00000100 | 00001000) /* O_WRONLY O_RDWR O_CREAT O_TRUNC */
#define NEW_SPACES  0x7e020080ULL                               /* all CLONE_NEW… */

struct call_args {
    __u64 a[5];
};

static __always_inline void read_args(struct call_args *args, struct pt_regs *regs, __u32 space)
{
    if (space == KM_SPACE_COMPAT) {
        args->a[0] = (__u32)regs->bx;
        args->a[1] = (__u32)regs->cx;
        args->a[2] = (__u32)regs->dx;
        args->a[3] = (__u32)regs->si;
        args->a[4] = (__u32)regs->di;
    } else {
        args->a[0] = regs->di;
        args->a[1] = regs->si;
        args->a[2] = regs->dx;
        args->a[3] = regs->r10;
        args->a[4] = regs->r8;
    }
}

static __always_inline __u16 family_of(struct file *file, struct sock **out)
{
    struct socket *socket = BPF_CORE_READ(file, private_data);
    struct sock *sock = BPF_CORE_READ(socket, sk);

    *out = sock;
    return sock ? BPF_CORE_READ(sock, __sk_common.skc_family) : 0;
}

static __always_inline __u8 family_class(__u32 family)
{
    return family == 1 ? KM_ARGC_UNIX : family == 16 ? KM_ARGC_NETLINK : KM_ARGC_SOCKET;
}

static __noinline __u8 descriptor_class(struct task_struct *task, __u32 fd)
{
    struct file *file = file_of(task, fd);
    struct sock *sock;

    if (!file)
        return KM_ARGC_NONE;
    switch (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT_BITS) {
    case 0100000:
        return KM_ARGC_FILE;
    case 0040000:
        return KM_ARGC_DIR;
    case 0010000:
        return KM_ARGC_PIPE;
    case 0140000:
        return family_class(family_of(file, &sock));
    case 0020000:
    case 0060000:
        return KM_ARGC_DEVICE;
    default:
        return KM_ARGC_ANON;
    }
}

static __always_inline __u8 peer_class(__u64 detail)
{
    __u32 peer = detail >> 16 & 0xff;

    if (peer == KM_PROBE_PEER_NONE || peer == KM_PROBE_PEER_ANY)
        return family_class(detail >> 32 & 0xff);
    return peer == KM_PROBE_PEER_LOCAL     ? KM_ARGC_LOCAL
           : peer == KM_PROBE_PEER_PRIVATE ? KM_ARGC_PRIVATE
                                           : KM_ARGC_PUBLIC;
}

/* ---- addresses ---- */

static __always_inline void take_sockaddr(struct km_probe_landmark_record *record, __u64 pointer, __u64 length)
{
    record->address_bytes = 0;
    __builtin_memset(record->address, 0, sizeof record->address);
    if (length > KM_PROBE_ADDR_BYTES)
        length = KM_PROBE_ADDR_BYTES;
    if (length >= 2 && bpf_probe_read_user(record->address, length & 127, (const void *)pointer) == 0)
        record->address_bytes = length;
    else
        record->cut = 1;
}

/* A socket's own end (peer = 0) or other end as a sockaddr. */
static __always_inline void take_socket(struct km_probe_landmark_record *record, struct task_struct *task, __u32 fd,
                                        int peer)
{
    struct file *file = file_of(task, fd);
    struct sock *sock = 0;
    __u16 family, port;

    record->address_bytes = 0;
    __builtin_memset(record->address, 0, sizeof record->address);
    if (!file || (BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT_BITS) != 0140000)
        return;
    family = family_of(file, &sock);
    record->address[0] = family & 0xff;
    record->address[1] = family >> 8;
    record->address_bytes = 2;
    if (family != 2 && family != 10)
        return;
    port =
        peer ? __builtin_bswap16(BPF_CORE_READ(sock, __sk_common.skc_dport)) : BPF_CORE_READ(sock, __sk_common.skc_num);
    record->address[2] = port >> 8;
    record->address[3] = port & 0xff;
    if (family == 2) {
        __u32 ip = peer ? BPF_CORE_READ(sock, __sk_common.skc_daddr) : BPF_CORE_READ(sock, __sk_common.skc_rcv_saddr);
        __builtin_memcpy(record->address + 4, &ip, 4);
        record->address_bytes = 16;
    } else {
        struct in6_addr ip;
        if (peer)
            BPF_CORE_READ_INTO(&ip, sock, __sk_common.skc_v6_daddr);
        else
            BPF_CORE_READ_INTO(&ip, sock, __sk_common.skc_v6_rcv_saddr);
        __builtin_memcpy(record->address + 8, &ip, 16);
        record->address_bytes = 28;
    }
}

/* ---- judging ---- */

/* The functions below judge the record in the scratch row of this CPU. */

/* Whether the path makes it a landmark; sets places and entity. */
static __noinline int judge_path(struct km_probe_landmark_record *record, struct task_struct *task, __u32 role,
                                 __s32 directory)
{
    struct km_probe_scan *scan = settle_path(record, task, 0, directory);
    int writes, told;

    if (!scan)
        return 0;
    record->places = scan->places;
    writes = record->kind != KM_LANDMARK_OPEN || (record->flags & O_WRITES);
    told = km_probe_place_told(record->places, writes) || record->flags == KM_PROBE_CHDIR_FLAGS;
    if (record->kind != KM_LANDMARK_OPEN && !told)
        return 0;
    record->entity = km_probe_entity(role, record->kind, km_probe_path_detail(&scan->path, told, writes));
    return 1;
}

static __noinline int judge_rename(struct km_probe_landmark_record *record, struct task_struct *task, __u32 role,
                                   __s32 from, __s32 to)
{
    struct km_probe_scan *scan = settle_path(record, task, 0, from);
    __u64 detail;
    __u32 found;

    if (!scan)
        return 0;
    detail = scan->path.whole;
    found = scan->places;
    scan = settle_path(record, task, KM_PROBE_PATH_BYTES, to);
    if (!scan)
        return 0;
    record->places = found | scan->places;
    record->entity = km_probe_entity(role, record->kind, detail + 3 * scan->path.whole);
    return (record->places & (KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_SYSTEM)) != 0;
}

static __noinline int judge_address(struct km_probe_landmark_record *record, __u32 role, int with_port)
{
    struct km_probe_scan *scan;
    __u64 detail = km_probe_address_detail(record->address, record->address_bytes, with_port);

    if (detail >> 32 == 1) {
        /* Unix: an abstract name begins with NUL and is hashed behind it. */
        __builtin_memcpy(record->text, record->address + 2, 108);
        record->text[108] = 0;
        if (record->text[0] == 0)
            record->text[0] = '@';
        scan = scan_path(0);
        record->text[0] = 0;
        if (scan)
            detail ^= scan->path.whole;
    }
    record->entity = km_probe_entity(role, record->kind, detail);
    return 1;
}

static __always_inline int worth_telling(const struct km_probe_thread *thread, __u64 entity)
{
    if (entity == 0)
        return 1;
    if (is_known(entity))
        return 0;
    if (first_told(entity, retell_ns))
        return 1;
    COUNT(thread->daemon, repeated, 1);
    return 0;
}

static __noinline void emit_landmark(struct task_struct *task, struct km_probe_thread *thread,
                                     struct km_probe_landmark_record *record, __u8 outcome)
{
    __u32 bytes = __builtin_offsetof(struct km_probe_landmark_record, text);

    if (record->path2_bytes)
        bytes += KM_PROBE_TEXT_BYTES;
    else if (record->path_bytes)
        bytes += KM_PROBE_PATH_BYTES;
    record->outcome = outcome;
    fill_header(&record->header, task, thread, KM_PROBE_REC_LANDMARK, bytes);
    count_sent(thread, bpf_ringbuf_output(&ring, record, bytes & 1023, wake_flags()) != 0);
}

/* ---- at entry ---- */

/* A path that waits for the exit to be read there, from `pointer`; relative to `directory`. */
static __always_inline void read_later(struct km_probe_landmark_record *record, __u64 pointer, __s32 directory,
                                       __u64 *late)
{
    *late = pointer;
    record->peer_tid = directory;
}

/* What each class takes from its arguments. Returns whether it is a landmark so far; *late is set when its path has to
 * be read at the exit, from that pointer. */
static __always_inline int take_file_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                          const struct call_args *args, __u32 class, __u32 role, __u64 *late)
{
    __u64 pointer = args->a[0];
    __s32 directory = AT_CWD;

    record->kind = KM_LANDMARK_OPEN;
    if (class == KM_PROBE_CALL_OPEN) {
        record->flags = args->a[1];
    } else if (class == KM_PROBE_CALL_CREAT) {
        record->flags = 01101;
    } else if (class == KM_PROBE_CALL_OPENAT) {
        pointer = args->a[1];
        directory = args->a[0];
        record->flags = args->a[2];
    } else if (class == KM_PROBE_CALL_OPENAT2) {
        __u64 how[3] = {}; /* flags, mode, how to resolve */
        bpf_probe_read_user(how, sizeof how, (const void *)args->a[2]);
        pointer = args->a[1];
        directory = args->a[0];
        record->flags = how[0];
        record->in_root = (how[2] & IN_ROOT) != 0;
    } else if (class == KM_PROBE_CALL_CHDIR) {
        record->flags = KM_PROBE_CHDIR_FLAGS;
    } else {
        record->kind = KM_LANDMARK_UNLINK;
        if (class == KM_PROBE_CALL_UNLINKAT) {
            pointer = args->a[1];
            directory = args->a[0];
        }
    }
    if (read_text(record, 0, pointer, &record->path_bytes) != 0) {
        read_later(record, pointer, directory, late);
        return 1;
    }
    return judge_path(record, task, role, directory);
}

static __always_inline int take_socket_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                            const struct call_args *args, __u32 class, __u32 role)
{
    if (class == KM_PROBE_CALL_LISTEN) {
        record->kind = KM_LANDMARK_LISTEN;
        record->value = args->a[1];
        take_socket(record, task, args->a[0], 0);
        return 1;
    }
    take_sockaddr(record, args->a[1], args->a[2]);
    record->kind = class == KM_PROBE_CALL_BIND ? KM_LANDMARK_BIND : KM_LANDMARK_CONNECT;
    if (record->kind == KM_LANDMARK_BIND)
        return 1;
    return judge_address(record, role, 1);
}

static __always_inline int take_memory_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                            const struct call_args *args, __u32 class, __u32 role)
{
    struct km_probe_scan *scan;
    __u64 detail;

    if (!(args->a[2] & 4)) /* PROT_EXEC */
        return 0;
    record->kind = KM_LANDMARK_EXEC_MEMORY;
    record->flags = args->a[2];
    record->value = args->a[1];
    detail = args->a[2] | (class == KM_PROBE_CALL_MPROTECT ? 0x100 : 0);
    if (class == KM_PROBE_CALL_MMAP && !(args->a[3] & 0x20)) { /* not MAP_ANONYMOUS */
        struct file *file = file_of(task, args->a[4]);
        if (file) {
            name_file(record, file);
            scan = scan_path(0);
            if (scan)
                detail += scan->path.whole;
        }
    }
    record->entity = km_probe_entity(role, record->kind, detail);
    return 1;
}

static __always_inline int take_right_call(struct km_probe_landmark_record *record, const struct call_args *args,
                                           __u32 class)
{
    __u64 flags = args->a[0];
    __u32 sets[6] = {};

    if (class == KM_PROBE_CALL_IDENTITY) {
        record->kind = KM_LANDMARK_IDENTITY;
        record->value = (__u32)args->a[0] == ~0U ? (__u32)args->a[1] : (__u32)args->a[0];
        record->flags = KM_PROBE_CALL_NUMBER(record->call);
        return 1;
    }
    if (class == KM_PROBE_CALL_CAPSET) {
        record->kind = KM_LANDMARK_CAPABILITY;
        if (bpf_probe_read_user(sets, sizeof sets, (const void *)args->a[1]) != 0)
            record->cut = 1;
        record->value = sets[1] | (__u64)sets[4] << 32;
        return 1;
    }
    record->kind = KM_LANDMARK_NAMESPACE;
    if (class == KM_PROBE_CALL_SETNS) {
        record->value = args->a[1];
        return 1;
    }
    if (class == KM_PROBE_CALL_CLONE3 && bpf_probe_read_user(&flags, sizeof flags, (const void *)args->a[0]) != 0)
        return 0;
    record->value = flags & NEW_SPACES;
    return record->value != 0;
}

static __always_inline int take_mode_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                          const struct call_args *args, __u32 class, __u64 *late)
{
    int at = class == KM_PROBE_CALL_FCHMODAT;
    __s32 directory = at ? args->a[0] : AT_CWD;

    record->kind = KM_LANDMARK_SETUID_BIT;
    record->value = at ? args->a[2] : args->a[1];
    if (!(record->value & 06000))
        return 0;
    if (class == KM_PROBE_CALL_FCHMOD) {
        struct file *file = file_of(task, args->a[0]);
        if (file)
            name_file(record, file);
        return 1;
    }
    if (read_text(record, 0, at ? args->a[1] : args->a[0], &record->path_bytes) != 0)
        read_later(record, at ? args->a[1] : args->a[0], directory, late);
    else
        settle_path(record, task, 0, directory);
    return 1;
}

static __always_inline int take_process_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                             const struct km_probe_thread *thread, const struct call_args *args,
                                             __u32 class)
{
    __u32 target = args->a[0];
    __u32 *daemon;

    if (class == KM_PROBE_CALL_PTRACE || class == KM_PROBE_CALL_VM_WRITE) {
        record->kind = KM_LANDMARK_PTRACE;
        record->value = class == KM_PROBE_CALL_PTRACE ? args->a[0] : ~0ULL;
        record->peer_tid = class == KM_PROBE_CALL_PTRACE ? args->a[1] : args->a[0];
        return 1;
    }
    record->kind = KM_LANDMARK_KILL;
    record->value = class == KM_PROBE_CALL_TGKILL ? args->a[2] : args->a[1];
    record->peer_tid = target;
    if (record->value == 0 || target == 0 || target == (__u32)task->tgid)
        return 0;
    daemon = bpf_map_lookup_elem(&processes, &target);
    if (daemon && *daemon == thread->daemon)
        return 0;
    record->entity = km_probe_entity(thread->role, record->kind, record->value);
    return 1;
}

static __always_inline int take_module_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                            const struct call_args *args, __u32 class)
{
    record->kind = KM_LANDMARK_MODULE;
    if (class == KM_PROBE_CALL_BPF) {
        record->value = args->a[0];
        return args->a[0] == 5; /* BPF_PROG_LOAD */
    }
    if (class == KM_PROBE_CALL_FMODULE) {
        struct file *file = file_of(task, args->a[0]);
        if (file)
            name_file(record, file);
    } else if (class == KM_PROBE_CALL_DMODULE) {
        read_text(record, 0, args->a[0], &record->path_bytes);
    }
    return 1;
}

static __always_inline int take_name_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                          const struct call_args *args, __u32 class, __u64 *late)
{
    __u64 pointer = args->a[0];
    __s32 directory = AT_CWD;

    if (class == KM_PROBE_CALL_MEMFD) {
        record->kind = KM_LANDMARK_MEMFD;
        record->flags = args->a[1];
    } else if (class == KM_PROBE_CALL_MOUNT || class == KM_PROBE_CALL_UMOUNT) {
        record->kind = KM_LANDMARK_MOUNT;
        pointer = class == KM_PROBE_CALL_MOUNT ? args->a[1] : args->a[0];
    } else {
        record->kind = KM_LANDMARK_EXEC;
        if (class == KM_PROBE_CALL_EXECVEAT) {
            pointer = args->a[1];
            directory = args->a[0];
        }
    }
    if (read_text(record, 0, pointer, &record->path_bytes) != 0)
        read_later(record, pointer, directory, late);
    else if (record->kind != KM_LANDMARK_MEMFD)
        settle_path(record, task, 0, directory);
    return 1;
}

static __always_inline int take_rename_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                            const struct call_args *args, __u32 class, __u32 role)
{
    int at = class == KM_PROBE_CALL_RENAMEAT;

    record->kind = KM_LANDMARK_RENAME;
    if (read_text(record, 0, at ? args->a[1] : args->a[0], &record->path_bytes) != 0 ||
        read_text(record, KM_PROBE_PATH_BYTES, at ? args->a[3] : args->a[1], &record->path2_bytes) != 0)
        record->cut = 1;
    return judge_rename(record, task, role, at ? args->a[0] : AT_CWD, at ? args->a[2] : AT_CWD) || record->cut;
}

static __always_inline int take_call(struct km_probe_landmark_record *record, struct task_struct *task,
                                     const struct km_probe_thread *thread, const struct call_args *args, __u32 class,
                                     __u64 *late)
{
    switch (class) {
    case KM_PROBE_CALL_OPEN:
    case KM_PROBE_CALL_OPENAT:
    case KM_PROBE_CALL_OPENAT2:
    case KM_PROBE_CALL_CREAT:
    case KM_PROBE_CALL_CHDIR:
    case KM_PROBE_CALL_UNLINK:
    case KM_PROBE_CALL_UNLINKAT:
        return take_file_call(record, task, args, class, thread->role, late);
    case KM_PROBE_CALL_CONNECT:
    case KM_PROBE_CALL_BIND:
    case KM_PROBE_CALL_LISTEN:
        return take_socket_call(record, task, args, class, thread->role);
    case KM_PROBE_CALL_MMAP:
    case KM_PROBE_CALL_MPROTECT:
        return take_memory_call(record, task, args, class, thread->role);
    case KM_PROBE_CALL_IDENTITY:
    case KM_PROBE_CALL_CAPSET:
    case KM_PROBE_CALL_UNSHARE:
    case KM_PROBE_CALL_SETNS:
    case KM_PROBE_CALL_CLONE:
    case KM_PROBE_CALL_CLONE3:
        return take_right_call(record, args, class);
    case KM_PROBE_CALL_CHMOD:
    case KM_PROBE_CALL_FCHMOD:
    case KM_PROBE_CALL_FCHMODAT:
        return take_mode_call(record, task, args, class, late);
    case KM_PROBE_CALL_PTRACE:
    case KM_PROBE_CALL_VM_WRITE:
    case KM_PROBE_CALL_KILL:
    case KM_PROBE_CALL_TGKILL:
        return take_process_call(record, task, thread, args, class);
    case KM_PROBE_CALL_MODULE:
    case KM_PROBE_CALL_FMODULE:
    case KM_PROBE_CALL_DMODULE:
    case KM_PROBE_CALL_BPF:
        return take_module_call(record, task, args, class);
    case KM_PROBE_CALL_RENAME:
    case KM_PROBE_CALL_RENAMEAT:
        return take_rename_call(record, task, args, class, thread->role);
    case KM_PROBE_CALL_MEMFD:
    case KM_PROBE_CALL_MOUNT:
    case KM_PROBE_CALL_UMOUNT:
    case KM_PROBE_CALL_EXECVE:
    case KM_PROBE_CALL_EXECVEAT:
        return take_name_call(record, task, args, class, late);
    default:
        return 0;
    }
}

static __always_inline void clear_record(struct km_probe_landmark_record *record, __u16 call)
{
    __builtin_memset(record, 0, __builtin_offsetof(struct km_probe_landmark_record, address));
    record->call = call;
    record->address_bytes = 0;
    record->path_bytes = 0;
    record->path2_bytes = 0;
    record->text[0] = 0;
}

/* Moves a landmark from the scratch row to the thread, where it waits for its outcome. */
static __always_inline void make_pending(struct task_struct *task, struct km_probe_thread *thread,
                                         const struct km_probe_landmark_record *record)
{
    struct km_probe_landmark_record *pending = bpf_task_storage_get(&pendings, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);

    if (!pending) {
        COUNT(thread->daemon, storage_failed, 1);
        COUNT_ROLE(thread->role, lost, 1);
        return;
    }
    bpf_probe_read_kernel(pending, sizeof *pending, record);
    thread->pending = 1;
}

static __always_inline int opens_file(__u32 class)
{
    return class == KM_PROBE_CALL_OPENAT || class == KM_PROBE_CALL_OPEN || class == KM_PROBE_CALL_OPENAT2 ||
           class == KM_PROBE_CALL_CREAT;
}

/* For link_exit: the path that was judged last is still in this CPU's rows. */
static __always_inline void remember_open(struct km_probe_thread *thread, const struct km_probe_landmark_record *record,
                                          const struct call_args *args, __u32 class, __u64 late)
{
    __u32 zero = 0;
    struct km_probe_scan *scan = bpf_map_lookup_elem(&scans, &zero);
    int at = class == KM_PROBE_CALL_OPENAT || class == KM_PROBE_CALL_OPENAT2;

    thread->open_directory = scan && !late ? km_probe_path_directory(&scan->path, record->path_bytes) : 0;
    thread->open_path = at ? args->a[1] : args->a[0];
    thread->open_base = at ? args->a[0] : AT_CWD;
    thread->open_in_root = record->in_root;
}

static __noinline int landmark_enter(struct task_struct *task, struct km_probe_thread *thread,
                                     const struct call_args *args, __u32 class, __u32 call)
{
    __u32 zero = 0;
    __u64 late = 0;
    struct km_probe_landmark_record *record = bpf_map_lookup_elem(&scratch, &zero);

    if (!record)
        return 0;
    clear_record(record, call);
    if (!take_call(record, task, thread, args, class, &late))
        return 0;
    if (opens_file(class))
        remember_open(thread, record, args, class, late);
    if (late)
        record->digest = late; /* until the exit, the pointer to read from */
    else if (!worth_telling(thread, record->entity))
        return 0;
    record->memory = late != 0;
    make_pending(task, thread, record);
    return 0;
}

#endif
