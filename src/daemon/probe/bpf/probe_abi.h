/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * What the kernel side and the user side of the probe share: sizes, map values, the records in the ring. Compiled by
 * both (clang -target bpf and the host compiler); fixed-width types, padding spelled out, layout asserted.
 */
#ifndef KM_PROBE_ABI_H
#define KM_PROBE_ABI_H

#include <linux/types.h>

#include "daemon/trace/window.h"

#define KM_PROBE_MAX_DAEMONS     64  /* index 0 is never used: a zeroed thread belongs to nobody */
#define KM_PROBE_MAX_ROLES       256 /* eight bits of the window key; role 0 is never given out */
#define KM_PROBE_NO_ROLE         0
#define KM_PROBE_MAX_DEPTH       3         /* forks counted for the role's name */
#define KM_PROBE_SETTLE_EPISODES 8         /* of a new process, in which the one that forked it may still leave */
#define KM_PROBE_BLOOM_WORDS     (1 << 17) /* 1 MiB: 2^23 bits */
#define KM_PROBE_MAX_KEYS        65536     /* then one unknown key in about 30,000 passes for known */
#define KM_PROBE_BATCH_CALLS     16
#define KM_PROBE_COMM_BYTES      16
#define KM_PROBE_PATH_BYTES      256 /* of a path, name or argument list, NUL included; longer ones are cut */
#define KM_PROBE_TEXT_BYTES      (2 * KM_PROBE_PATH_BYTES)
#define KM_PROBE_ADDR_BYTES      112 /* struct sockaddr_un and a little */
#define KM_PROBE_SPACES          3   /* native, compat, x32: enum km_call_space */
#define KM_PROBE_HINT_WORDS      64  /* 4096 bits before the hash of sensitive places */

/* What on_enter does with a call, by number space and folded number. */
enum km_probe_class {
    KM_PROBE_CALL_PLAIN = 0,
    KM_PROBE_CALL_OPEN = 1,    /* path, flags */
    KM_PROBE_CALL_OPENAT = 2,  /* dirfd, path, flags */
    KM_PROBE_CALL_OPENAT2 = 3, /* dirfd, path, struct open_how */
    KM_PROBE_CALL_CREAT = 4,   /* path */
    KM_PROBE_CALL_CONNECT = 5,
    KM_PROBE_CALL_BIND = 6,
    KM_PROBE_CALL_LISTEN = 7,
    KM_PROBE_CALL_ACCEPT = 8,
    KM_PROBE_CALL_EXECVE = 9,
    KM_PROBE_CALL_EXECVEAT = 10,
    KM_PROBE_CALL_IDENTITY = 11,
    KM_PROBE_CALL_CAPSET = 12,
    KM_PROBE_CALL_UNSHARE = 13,
    KM_PROBE_CALL_SETNS = 14,
    KM_PROBE_CALL_MMAP = 15,
    KM_PROBE_CALL_MPROTECT = 16,
    KM_PROBE_CALL_MEMFD = 17,
    KM_PROBE_CALL_PTRACE = 18,
    KM_PROBE_CALL_VM_WRITE = 19,
    KM_PROBE_CALL_MODULE = 20,   /* init_module: image in memory */
    KM_PROBE_CALL_FMODULE = 21,  /* finit_module: from a descriptor */
    KM_PROBE_CALL_DMODULE = 22,  /* delete_module: name */
    KM_PROBE_CALL_BPF = 23,      /* command */
    KM_PROBE_CALL_CHMOD = 24,    /* path, mode */
    KM_PROBE_CALL_FCHMOD = 25,   /* fd, mode */
    KM_PROBE_CALL_FCHMODAT = 26, /* dirfd, path, mode */
    KM_PROBE_CALL_UNLINK = 27,   /* path */
    KM_PROBE_CALL_UNLINKAT = 28, /* dirfd, path */
    KM_PROBE_CALL_RENAME = 29,   /* from, to */
    KM_PROBE_CALL_RENAMEAT = 30, /* dirfd, from, dirfd, to */
    KM_PROBE_CALL_MOUNT = 31,    /* source, target */
    KM_PROBE_CALL_UMOUNT = 32,   /* target; pivot_root and chroot too: first path */
    KM_PROBE_CALL_KILL = 33,     /* pid, signal */
    KM_PROBE_CALL_TGKILL = 34,   /* tgid, tid, signal */
    KM_PROBE_CALL_SOCKET = 35,   /* family: only the full stream's argument class */
    KM_PROBE_CALL_ENDS = 36,     /* exit, exit_group: never returns */
    KM_PROBE_CALL_FD = 37,       /* first argument is a descriptor */
    KM_PROBE_CALL_CLONE = 38,    /* flags first */
    KM_PROBE_CALL_CLONE3 = 39,   /* struct clone_args */
    KM_PROBE_CALL_WAIT = 40,     /* nothing to see; ends an episode */
    KM_PROBE_CALL_CHDIR = 41,    /* path: told as the opening of a directory */
};

/* Places, by hash of their first directory, their zone, whole path, or last name. Flags of one entry are or-ed. */
enum km_probe_place {
    KM_PROBE_PLACE_SENSITIVE = 1, /* told whenever it is opened */
    KM_PROBE_PLACE_SYSTEM = 2,    /* told when something there is written, created, removed or renamed */
    KM_PROBE_PLACE_NAMED = 4,     /* of a zone: each file in it counts on its own, though the zone be known */
    KM_PROBE_PLACE_FOLDER = 8, /* the name of a directory, wherever it is: the other flags hold for the files in it */
};

enum km_probe_mode {
    KM_PROBE_OFF = 0,
    KM_PROBE_GUARD = 1, /* filter, tap, escalation */
    KM_PROBE_LEARN = 2, /* full stream of everything */
};

enum km_probe_kind {
    KM_PROBE_REC_THREAD = 1,
    KM_PROBE_REC_END = 2,
    KM_PROBE_REC_CALLS = 3,
    KM_PROBE_REC_WINDOW = 4,
    KM_PROBE_REC_EPISODE = 5,
    KM_PROBE_REC_LANDMARK = 6,
    KM_PROBE_REC_STREAM = 7,
};

/* Before every record. */
struct km_probe_header {
    __u64 time_ns;
    __u32 tid;
    __u32 tgid;
    __u8 kind;
    __u8 daemon;
    __u8 role;
    __u8 feed; /* enum km_feed */
    __u32 bytes;
};

/* Row of the role table in memory shared with the loader: it needs no record that could be lost. */
struct km_probe_role {
    char comm[KM_PROBE_COMM_BYTES]; /* of the first thread seen in the role; empty: the row is free */
    __u32 tgid;                     /* of that thread */
    __u8 daemon;
    __u8 depth;
    __u8 ready; /* set last */
    __u8 padding;
};

struct km_probe_thread_record {
    struct km_probe_header header;
    __u32 parent_tid;
    __u32 uid;
    __u64 cgroup;
    char comm[KM_PROBE_COMM_BYTES];
};

/* WINDOW, EPISODE, END. */
struct km_probe_state_record {
    struct km_probe_header header;
    struct km_thread_state state;
};

struct km_probe_stream_record {
    struct km_probe_header header;
    __u32 started;
    __u32 padding;
};

struct km_probe_call {
    __u16 number; /* folded | space << 9 */
    __u8 outcome; /* enum km_outcome_class */
    __u8 arg_class;
};
#define KM_PROBE_CALL_NUMBER(call) ((call)&0x1ff)
#define KM_PROBE_CALL_SPACE(call)  ((call) >> 9 & 3)
#define KM_PROBE_CALL_OPEN_FLAG    0x8000    /* in km_probe_thread.open_call: there is one */
#define KM_PROBE_CHDIR_FLAGS       012200000 /* O_PATH, O_DIRECTORY, O_CLOEXEC: what stands for chdir */

struct km_probe_calls_record {
    struct km_probe_header header; /* time of the first call */
    __u64 end_ns;                  /* time of the last */
    __u32 count;
    __u32 padding;
    struct km_probe_call calls[KM_PROBE_BATCH_CALLS];
};

struct km_probe_landmark_record {
    struct km_probe_header header;
    __u16 kind; /* enum km_landmark_kind */
    __u16 call; /* folded | space << 9 */
    __u8 outcome;
    __u8 places; /* enum km_probe_place, or-ed */
    __u8 memory; /* EXEC: the program has no name in the file system */
    __u8 cut;    /* a text was longer than its room, or could not be read */
    __u32 flags;
    __u32 peer_tid;
    __u64 value;
    __u64 digest;
    __u64 entity; /* what is asked for in the known set; 0 = told always */
    __u16 address_bytes;
    __u16 path_bytes; /* without NUL */
    __u16 path2_bytes;
    __u16 in_root; /* openat2 with RESOLVE_IN_ROOT: "/x" is below the descriptor's directory */
    __u8 address[KM_PROBE_ADDR_BYTES];
    char text[KM_PROBE_TEXT_BYTES]; /* path at 0, path2 at KM_PROBE_PATH_BYTES; sent as far as used */
};

/* Of a guarded thread, in task storage. */
struct km_probe_thread {
    struct km_thread_state state;
    __u64 batch_begin_ns;
    __u64 batch_end_ns;
    __u16 open_call; /* entered, its outcome not yet seen */
    __u8 open_arg;
    __u8 batch_count;
    __u8 daemon;
    __u8 role;
    __u8 depth;
    __u8 feed;  /* of the running episode or escalation */
    __u8 stale; /* the role must be looked up at the next call */
    __u8 announced;
    __u8 pending; /* a landmark waits for its outcome in the pending storage */
    __u8 settled; /* episodes after which its depth was looked at again, up to KM_PROBE_SETTLE_EPISODES */
    __u32 parent_tid;
    struct km_probe_call batch[KM_PROBE_BATCH_CALLS];
    __u64 open_path; /* pointer to the path of the open that was entered */
    __s32 open_base; /* descriptor that it is relative to */
    __u16 open_in_root;
    __u16 padding;
    __u64 open_directory; /* hash of its last directory's name; 0 = none */
    __u64 same_directory; /* such a hash, and the directory that was found to bear that name */
    __u64 same_entry;
};

/* One per daemon and CPU. Nothing is dropped without a count here. */
struct km_probe_counters {
    __u64 records;        /* delivered to the ring, but for CALLS */
    __u64 calls;          /* delivered in CALLS */
    __u64 lost_records;   /* the ring was full */
    __u64 lost_calls;     /* the ring was full: calls of a full stream */
    __u64 storage_failed; /* a thread could not be watched: no memory for its state */
    __u64 roles_full;     /* a thread without role: all are taken */
    __u64 unread;         /* path, address or arguments could not be read */
    __u64 repeated;       /* landmarks and windows told before */
    __u64 withheld;       /* EPISODE records and escalations above their rate limit */
};

/* One per role and CPU: what stayed in the kernel. */
struct km_probe_role_counters {
    __u64 calls;
    __u64 episodes;
    __u64 misses;
    __u64 errors; /* failed calls, where outcomes were taken */
    __u64 lost;   /* records and streamed calls that met a full ring */
};

struct km_probe_bucket {
    __u64 refilled_ns;
    __u64 tokens;
};

/* One per CPU. */
struct km_probe_buckets {
    struct km_probe_bucket episodes;
    struct km_probe_bucket escalations;
};

#define KM_PROBE_ASSERT(condition, text) _Static_assert(condition, text)
KM_PROBE_ASSERT(sizeof(struct km_thread_state) == 160, "thread state");
KM_PROBE_ASSERT(sizeof(struct km_probe_header) == 24, "header");
KM_PROBE_ASSERT(sizeof(struct km_probe_role) == 24, "role");
KM_PROBE_ASSERT(sizeof(struct km_probe_thread_record) == 56, "thread record");
KM_PROBE_ASSERT(sizeof(struct km_probe_state_record) == 184, "state record");
KM_PROBE_ASSERT(sizeof(struct km_probe_stream_record) == 32, "stream record");
KM_PROBE_ASSERT(sizeof(struct km_probe_call) == 4, "call");
KM_PROBE_ASSERT(__builtin_offsetof(struct km_probe_calls_record, calls) == 40, "calls");
KM_PROBE_ASSERT(sizeof(struct km_probe_calls_record) == 104, "calls record");
KM_PROBE_ASSERT(__builtin_offsetof(struct km_probe_landmark_record, value) == 40, "landmark value");
KM_PROBE_ASSERT(__builtin_offsetof(struct km_probe_landmark_record, address) == 72, "landmark address");
KM_PROBE_ASSERT(__builtin_offsetof(struct km_probe_landmark_record, text) == 184, "landmark text");
KM_PROBE_ASSERT(sizeof(struct km_probe_landmark_record) == 184 + KM_PROBE_TEXT_BYTES, "landmark record");
KM_PROBE_ASSERT(__builtin_offsetof(struct km_probe_thread, open_call) == 176, "thread call");
KM_PROBE_ASSERT(sizeof(struct km_probe_thread) == 296, "thread");
KM_PROBE_ASSERT(sizeof(struct km_probe_counters) == 72, "counters");
KM_PROBE_ASSERT(KM_PROBE_MAX_ROLES == KM_WINDOW_MAX_ROLES, "role bits of the key");

#endif
