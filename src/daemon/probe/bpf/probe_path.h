/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Kernel side: paths. A path is read as the call gave it. One that is relative, or that has "." or "..", is made
 * absolute and tidy: the directory that it starts from is walked up to the root of the process, over mounts, and its
 * own text is put behind. Those are few; an absolute path costs nothing more.
 */
#ifndef KM_PROBE_PATH_H
#define KM_PROBE_PATH_H

#include "daemon/probe/bpf/probe_maps.h"

#define AT_CWD          (-100)
#define IN_ROOT         0x10 /* openat2's RESOLVE_IN_ROOT: "/x" is below the directory, too */
#define WALK_TEXT_BYTES 1024
#define WALK_BASE_BYTES 256 /* of them, of the directory: a longer one is not resolved */

struct km_probe_walk {
    struct km_probe_tidy tidy;
    __u64 names[KM_PROBE_TIDY_PARTS]; /* where the names of the parts are, the last part first */
    __u32 depth;
    __u32 used;
    char text[WALK_TEXT_BYTES];
};

struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct km_probe_walk);
} walks SEC(".maps");

static __always_inline struct file *file_of(struct task_struct *task, __u32 fd)
{
    struct files_struct *own = task->files;
    struct fdtable *table;
    struct file *file = 0;

    /* Loads, not helper calls: the verifier knows the task's type. */
    if (!own)
        return 0;
    table = own->fdt;
    if (!table || fd >= table->max_fds)
        return 0;
    bpf_probe_read_kernel(&file, sizeof file, table->fd + fd);
    return file;
}

/* ---- reading and judging a text ---- */

static __always_inline __u32 place_of_hash(__u64 hash)
{
    __u32 *flags;

    if (!(place_hint[hash >> 6 & (KM_PROBE_HINT_WORDS - 1)] >> (hash & 63) & 1))
        return 0;
    flags = bpf_map_lookup_elem(&places, &hash);
    return flags ? *flags : 0;
}

static __always_inline __u32 places_of(const struct km_probe_path *path)
{
    return km_probe_place_flags(place_of_hash(path->first), place_of_hash(path->zone), place_of_hash(path->whole),
                                place_of_hash(path->name), place_of_hash(path->directory));
}

/* The row of the text in this CPU's `seen`. What the words tell goes through the row in memory, or the verifier would
 * follow every length by itself. */
static __always_inline __u32 seen_row(struct km_probe_scan *scan, const __u64 *words)
{
    __u64 hash = 0;

    scan->words = 0;
    for (__u32 i = 0; i < KM_PROBE_PATH_WORDS; i++) {
        __u64 word = words[i];
        __u64 nul = (word - 0x0101010101010101ULL) & ~word & 0x8080808080808080ULL;
        if (nul) {
            nul = ((nul & -nul) << 1) - 1; /* the bytes up to the first NUL */
            scan->words = i;
            scan->mask = nul;
            hash ^= word & nul;
            break;
        }
        hash = (hash ^ word) * 0x9e3779b97f4a7c15ULL;
    }
    scan->hash = hash;
    return km_probe_mix(scan->hash) & (KM_PROBE_SEEN_PATHS - 1);
}

static __always_inline int same_text(const struct km_probe_scan *scan, const __u64 *words, const __u64 *others)
{
    for (__u32 i = 0; i < KM_PROBE_PATH_WORDS; i++) {
        if (i == scan->words)
            return ((words[i] ^ others[i]) & scan->mask) == 0;
        if (words[i] != others[i])
            return 0;
    }
    return 0;
}

/* Reads the text at `at` of this CPU's scratch row into its scans row, or takes what it gave the last time: a daemon
 * opens the same few files over and over. A global function is verified by itself, once; and state that lives in a map
 * is unknown to the verifier, so that the ways through one byte meet again behind it. With the state in registers the
 * loop multiplies them until the limit of a million instructions. */
int scan_text(__u32 at)
{
    __u32 zero = 0;
    struct km_probe_landmark_record *record = bpf_map_lookup_elem(&scratch, &zero);
    struct km_probe_scan *scan = bpf_map_lookup_elem(&scans, &zero);
    struct km_probe_seen *known;
    __u32 row;

    if (!record || !scan)
        return 0;
    at &= KM_PROBE_PATH_BYTES;
    row = seen_row(scan, (const __u64 *)(record->text + at));
    known = bpf_map_lookup_elem(&seen, &row);
    if (known && known->scan.valid && same_text(scan, (const __u64 *)(record->text + at), (const __u64 *)known->text)) {
        *scan = known->scan;
        return 0;
    }
    km_probe_path_begin(&scan->path, (__u8)record->text[at]);
    for (__u32 i = 0; i < KM_PROBE_PATH_BYTES - 1; i++) {
        __u8 byte = (__u8)record->text[(at + i) & (KM_PROBE_TEXT_BYTES - 1)];
        if (byte == 0)
            break;
        km_probe_path_step(&scan->path, byte);
        asm volatile("" ::: "memory"); /* keeps that state out of registers */
    }
    scan->places = places_of(&scan->path);
    scan->valid = 1;
    if (!known)
        return 0;
    bpf_probe_read_kernel(known->text, KM_PROBE_PATH_BYTES, record->text + at);
    known->scan = *scan;
    return 0;
}

/* Valid until the next call. NULL only in the verifier's eyes. */
static __always_inline struct km_probe_scan *scan_path(__u32 at)
{
    __u32 zero = 0;

    scan_text(at);
    return bpf_map_lookup_elem(&scans, &zero);
}

/* Reads a user string to text[at]; sets its length in *out. Returns 0, or -1 when it could not be read. */
static __always_inline int read_text(struct km_probe_landmark_record *record, __u32 at, __u64 pointer, __u16 *out)
{
    long length = bpf_probe_read_user_str(record->text + at, KM_PROBE_PATH_BYTES, (const void *)pointer);

    if (length < 0) {
        *out = 0;
        record->text[at] = 0;
        return -1;
    }
    if (length == KM_PROBE_PATH_BYTES)
        record->cut = 1;
    *out = length > 0 ? length - 1 : 0;
    return 0;
}

/* "directory/name" of an open file, to text[at]: all of a path that can be had without its mount. Returns its length.
 */
static __always_inline __u16 name_file_at(struct km_probe_landmark_record *record, struct file *file, __u32 at)
{
    struct dentry *entry = BPF_CORE_READ(file, f_path.dentry);
    const unsigned char *name = BPF_CORE_READ(entry, d_parent, d_name.name);
    long used = bpf_probe_read_kernel_str(record->text + at, KM_PROBE_PATH_BYTES / 2, name);
    long length;

    if (used < 1)
        used = 1;
    used = used - 1 & (KM_PROBE_PATH_BYTES / 2 - 1);
    record->text[at + used] = '/';
    name = BPF_CORE_READ(entry, d_name.name);
    length = bpf_probe_read_kernel_str(record->text + at + used + 1, KM_PROBE_PATH_BYTES / 2 - 1, name);
    return length > 0 ? used + length : 0;
}

static __always_inline void name_file(struct km_probe_landmark_record *record, struct file *file)
{
    record->path_bytes = name_file_at(record, file, 0);
}

/* ---- where a path starts from ---- */

static __always_inline struct mount *mount_of(struct vfsmount *mounted)
{
    return (struct mount *)((__u64)mounted - bpf_core_field_offset(struct mount, mnt));
}

struct walk_state {
    struct km_probe_walk *walk;
    __u64 entry, mounted, mount_root;
    __u64 root, root_mounted;
    int reached;
};

static int walk_part(__u32 i, struct walk_state *state)
{
    struct dentry *at = (struct dentry *)state->entry;
    __u32 depth = state->walk->depth;

    if (state->entry == state->root && state->mounted == state->root_mounted) {
        state->reached = 1;
        return 1;
    }
    if (state->entry == state->mount_root) {
        struct mount *mount = mount_of((struct vfsmount *)state->mounted);
        struct mount *parent = BPF_CORE_READ(mount, mnt_parent);
        /* The root of all: the process is in a root of its own, and this is outside. */
        state->reached = parent == mount;
        state->entry = (__u64)BPF_CORE_READ(mount, mnt_mountpoint);
        state->mounted = (__u64)parent + bpf_core_field_offset(struct mount, mnt);
        state->mount_root = (__u64)BPF_CORE_READ(parent, mnt.mnt_root);
        return state->reached;
    }
    if (depth >= KM_PROBE_TIDY_PARTS)
        return 1;
    state->walk->names[depth & (KM_PROBE_TIDY_PARTS - 1)] = (__u64)BPF_CORE_READ(at, d_name.name);
    state->walk->depth = depth + 1;
    state->entry = (__u64)BPF_CORE_READ(at, d_parent);
    return state->entry == (__u64)at; /* it hangs on nothing */
}

/* Collects the names from `start` up to the root of the process. Returns whether that was reached. The verifier looks
 * at one part only, here and below. */
static __always_inline int walk_up(struct task_struct *task, struct km_probe_walk *walk, const struct path *start)
{
    struct walk_state state = {.walk = walk, .entry = (__u64)start->dentry, .mounted = (__u64)start->mnt};

    walk->depth = 0;
    state.root = (__u64)BPF_CORE_READ(task, fs, root.dentry);
    state.root_mounted = (__u64)BPF_CORE_READ(task, fs, root.mnt);
    state.mount_root = (__u64)BPF_CORE_READ(start->mnt, mnt_root);
    bpf_loop(2 * KM_PROBE_TIDY_PARTS, walk_part, &state, 0);
    return state.reached;
}

static int write_part(__u32 i, struct walk_state *state)
{
    struct km_probe_walk *walk = state->walk;
    __u32 used = walk->used, left = walk->depth - 1;
    long length;

    if (walk->depth == 0 || used >= WALK_BASE_BYTES)
        return 1;
    walk->depth = left;
    used &= WALK_BASE_BYTES - 1;
    walk->text[used] = '/';
    length = bpf_probe_read_kernel_str(walk->text + used + 1, KM_PROBE_PATH_BYTES,
                                       (const void *)walk->names[left & (KM_PROBE_TIDY_PARTS - 1)]);
    walk->used = used + (length > 0 ? length : 1);
    return 0;
}

/* "/first/second" from what walk_up found. Returns whether there was room. */
static __always_inline int walk_write(struct km_probe_walk *walk)
{
    struct walk_state state = {.walk = walk};

    walk->used = 0;
    walk->text[0] = 0;
    bpf_loop(KM_PROBE_TIDY_PARTS, write_part, &state, 0);
    return walk->depth == 0 && walk->used < WALK_BASE_BYTES;
}

struct tidy_rows {
    struct km_probe_landmark_record *record;
    struct km_probe_walk *walk;
    __u32 at;
};

static int tidy_byte(__u32 i, struct tidy_rows *rows)
{
    __u8 byte = (__u8)rows->walk->text[i & (WALK_TEXT_BYTES - 1)];

    if (byte == 0)
        return 1;
    km_probe_tidy_step(&rows->walk->tidy, rows->record->text + (rows->at & KM_PROBE_PATH_BYTES),
                       KM_PROBE_PATH_BYTES - 1, byte);
    return 0;
}

/* Writes the walk's text tidily to text[at] of the scratch row. The verifier looks at one byte of it only. */
static __always_inline void walk_tidy(struct km_probe_landmark_record *record, struct km_probe_walk *walk, __u32 at)
{
    struct tidy_rows rows = {record, walk, at};

    km_probe_tidy_begin(&walk->tidy);
    bpf_loop(WALK_BASE_BYTES + KM_PROBE_PATH_BYTES, tidy_byte, &rows, 0);
    km_probe_tidy_end(&walk->tidy, record->text + at, KM_PROBE_PATH_BYTES - 1);
    if (walk->tidy.cut)
        record->cut = 1;
    if (at)
        record->path2_bytes = walk->tidy.used;
    else
        record->path_bytes = walk->tidy.used;
}

/* The directory of a descriptor, or the working directory, as the walk's text. Returns whether it is. */
static __always_inline int walk_base(struct task_struct *task, struct km_probe_walk *walk, __s32 directory)
{
    struct path start = {};
    struct file *file;

    if (directory == AT_CWD) {
        BPF_CORE_READ_INTO(&start, task, fs, pwd);
    } else {
        file = file_of(task, directory);
        if (!file)
            return 0;
        BPF_CORE_READ_INTO(&start, file, f_path);
    }
    return walk_up(task, walk, &start) && walk_write(walk);
}

/* Makes the path at text[at] absolute and tidy. What cannot be is left as it is: relative, or with its "..". */
static __noinline void resolve_text(struct km_probe_landmark_record *record, struct task_struct *task, __u32 at,
                                    __s32 directory)
{
    __u32 zero = 0;
    struct km_probe_walk *walk = bpf_map_lookup_elem(&walks, &zero);
    __u32 used = 0;

    at &= KM_PROBE_PATH_BYTES;
    if (!walk || record->text[at] == 0)
        return;
    if (record->text[at] != '/' || record->in_root) {
        if (!walk_base(task, walk, directory))
            return;
        used = walk->used & (WALK_BASE_BYTES - 1);
        walk->text[used++] = '/';
    }
    bpf_probe_read_kernel(walk->text + used, KM_PROBE_PATH_BYTES, record->text + at);
    walk->text[WALK_BASE_BYTES + KM_PROBE_PATH_BYTES] = 0;
    walk_tidy(record, walk, at);
}

/* The path of an open file to text[at], "directory/name" when it cannot be walked. Returns its length. */
static __noinline __u16 path_of_file(struct km_probe_landmark_record *record, struct task_struct *task,
                                     struct file *file, __u32 at)
{
    __u32 zero = 0;
    struct km_probe_walk *walk = bpf_map_lookup_elem(&walks, &zero);
    struct path start;
    long length;

    at &= KM_PROBE_PATH_BYTES;
    BPF_CORE_READ_INTO(&start, file, f_path);
    if (!walk || !walk_up(task, walk, &start) || !walk_write(walk))
        return name_file_at(record, file, at);
    length = bpf_probe_read_kernel_str(record->text + at, KM_PROBE_PATH_BYTES, walk->text);
    if (length == KM_PROBE_PATH_BYTES)
        record->cut = 1;
    return length > 0 ? length - 1 : 0;
}

/* The directory in which an open file is, over mounts; 0: the root of all, which has no name. */
static __noinline __u64 directory_of_file(struct file *file)
{
    struct path at;
    struct mount *parent;
    struct dentry *directory;

    BPF_CORE_READ_INTO(&at, file, f_path);
    if (at.dentry == BPF_CORE_READ(at.mnt, mnt_root)) { /* mounted itself */
        struct mount *mount = mount_of(at.mnt);
        at.dentry = BPF_CORE_READ(mount, mnt_mountpoint);
        at.mnt =
            (struct vfsmount *)((__u64)BPF_CORE_READ(mount, mnt_parent) + bpf_core_field_offset(struct mount, mnt));
    }
    directory = BPF_CORE_READ(at.dentry, d_parent);
    if (directory == BPF_CORE_READ(at.mnt, mnt_root)) {
        struct mount *mount = mount_of(at.mnt);
        parent = BPF_CORE_READ(mount, mnt_parent);
        directory = parent == mount ? 0 : BPF_CORE_READ(mount, mnt_mountpoint);
    }
    return (__u64)directory;
}

/* Scans the path at text[at], after it was resolved if that is needed. Valid until the next call. */
static __always_inline struct km_probe_scan *settle_path(struct km_probe_landmark_record *record,
                                                         struct task_struct *task, __u32 at, __s32 directory)
{
    struct km_probe_scan *scan = scan_path(at);

    if (!scan || !(km_probe_path_is_loose(&scan->path) || record->in_root))
        return scan;
    resolve_text(record, task, at, directory);
    return scan_path(at);
}

#endif
