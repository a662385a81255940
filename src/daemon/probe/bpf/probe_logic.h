/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/*
 * Decisions of the probe that are more than a line, as pure inline functions: the BPF program, the loader and the
 * host's unit tests compile the same text. What profiles need to simulate a deployment is in daemon/trace/window.h.
 */
#ifndef KM_PROBE_LOGIC_H
#define KM_PROBE_LOGIC_H

#include "daemon/probe/bpf/probe_abi.h"

/* ---- the known set: a Bloom filter whose four bits lie in one 64-bit word, so that a look-up is one load ---- */

static inline __u64 km_probe_mix(__u64 key)
{
    key = (key ^ key >> 32) * 0x9e3779b97f4a7c15ULL;
    key = (key ^ key >> 29) * 0xbf58476d1ce4e5b9ULL;
    return key ^ key >> 32;
}

static inline __u32 km_probe_bloom_index(__u64 mixed)
{
    return (__u32)(mixed >> 40) & (KM_PROBE_BLOOM_WORDS - 1);
}

static inline __u64 km_probe_bloom_bits(__u64 mixed)
{
    return 1ULL << (mixed & 63) | 1ULL << (mixed >> 6 & 63) | 1ULL << (mixed >> 12 & 63) | 1ULL << (mixed >> 18 & 63);
}

/* ---- entities: what a landmark is about, so that a role's known ones stay in the kernel ---- */

/* Never 0. Distinct from window keys by mixing before and after. */
static inline __u64 km_probe_entity(__u32 role, __u32 kind, __u64 detail)
{
    __u64 entity =
        km_probe_mix(km_probe_mix(detail) ^ ((__u64)(role & 0xff) << 8 | (kind & 0xff)) ^ 0x6b6f6d61696e75ULL);
    return entity ? entity : 1;
}

/* ---- paths ---- */

#define KM_PROBE_ZONE_PARTS 3 /* directories that make a zone */

/* A path read byte by byte. All hashes see runs of digits as one '#', repeated slashes as one. */
struct km_probe_path {
    __u64 whole;     /* of all bytes */
    __u64 zone;      /* of the directory, at most three parts of it */
    __u64 first;     /* of the first directory, leading slash included; 0 for relative paths and files in / */
    __u64 name;      /* of the last part */
    __u64 directory; /* of the part before it; 0 = there is none */
    __u32 parts;     /* slashes counted, the leading one not; four at most */
    __u8 last;
    __u8 dots;     /* of the part so far: 0xff = has something else */
    __u8 climbs;   /* a part is ".." */
    __u8 relative; /* does not start with a slash */
};

#define KM_PROBE_HASH_SEED     0xcbf29ce484222325ULL
#define KM_PROBE_HASH_RELATIVE 0x84222325cbf29ce4ULL
#define KM_PROBE_HASH_PRIME    0x100000001b3ULL

static inline __u64 km_probe_hash_byte(__u64 hash, __u8 byte)
{
    return (hash ^ byte) * KM_PROBE_HASH_PRIME;
}

static inline void km_probe_path_begin(struct km_probe_path *path, __u8 first_byte)
{
    path->relative = first_byte != '/';
    path->whole = path->relative ? KM_PROBE_HASH_RELATIVE : KM_PROBE_HASH_SEED;
    path->zone = path->whole;
    path->first = 0;
    path->name = KM_PROBE_HASH_SEED;
    path->directory = 0;
    path->parts = 0;
    path->last = 0;
    path->dots = 0;
    path->climbs = 0;
}

/* Counts one byte, not NUL. */
static inline void km_probe_path_step(struct km_probe_path *path, __u8 byte)
{
    __u8 last = path->last;

    if (byte >= '0' && byte <= '9')
        byte = '#';
    if (byte == last && (byte == '#' || byte == '/'))
        return;
    path->last = byte;
    if (byte != '/') {
        path->whole = km_probe_hash_byte(path->whole, byte);
        path->name = km_probe_hash_byte(path->name, byte);
        path->dots = byte == '.' && path->dots < 3 ? path->dots + 1 : 0xff;
        return;
    }
    if (path->dots == 2)
        path->climbs = 1;
    path->dots = 0;
    /* The hash before the slash is that of the directory which ends here. */
    if (last != 0) {
        path->parts = path->parts > KM_PROBE_ZONE_PARTS ? path->parts : path->parts + 1;
        if (path->parts <= KM_PROBE_ZONE_PARTS)
            path->zone = path->whole;
        if (path->parts == 1 && !path->relative)
            path->first = path->whole;
        path->directory = path->name;
    }
    path->whole = km_probe_hash_byte(path->whole, byte);
    path->name = KM_PROBE_HASH_SEED;
}

/* Whether the directory of the path is not where its text says: it is relative, or it has parts "." or "..". */
static inline int km_probe_path_is_loose(const struct km_probe_path *path)
{
    return path->relative || path->climbs || path->dots == 1 || path->dots == 2;
}

/* What of a path makes it the same entity: what is told for its own sake counts file by file, the rest by its zone; a
 * path that could not be resolved has none. The name of a file and of a zone are never the same entity. */
static inline __u64 km_probe_path_detail(const struct km_probe_path *path, int told, int writes)
{
    int whole = told || km_probe_path_is_loose(path);
    return (whole ? path->whole : path->zone) + (__u64)(writes ? 1 : 0) + (whole ? 2 : 0);
}

/* What is told of a path, from the flags of its parts. */
static inline __u32 km_probe_place_flags(__u32 first, __u32 zone, __u32 whole, __u32 name, __u32 directory)
{
    __u32 flags = (first | whole | name) & ~(__u32)KM_PROBE_PLACE_NAMED;

    return (flags | zone | (directory & KM_PROBE_PLACE_FOLDER ? directory : 0)) & ~(__u32)KM_PROBE_PLACE_FOLDER;
}

/* Whether a path with these flags counts by its whole text. */
static inline int km_probe_place_told(__u32 flags, int writes)
{
    return (flags & (KM_PROBE_PLACE_SENSITIVE | KM_PROBE_PLACE_NAMED)) != 0 ||
           (writes && (flags & KM_PROBE_PLACE_SYSTEM));
}

/* The name of the directory in which a path of `bytes` says that its file is; one that was cut does not say it. */
static inline __u64 km_probe_path_directory(const struct km_probe_path *path, __u32 bytes)
{
    return bytes >= KM_PROBE_PATH_BYTES - 1 ? 1 : path->directory;
}

#define KM_PROBE_TIDY_PARTS 64 /* a power of two */

/* A path that is written anew without "." and "..", by its text alone. */
struct km_probe_tidy {
    __u16 starts[KM_PROBE_TIDY_PARTS]; /* of parts that are complete: where the slash before them is */
    __u16 begin;                       /* the slash before the part that is being written */
    __u16 used;
    __u8 depth;
    __u8 dots;
    __u8 cut;  /* more than `room` */
    __u8 deep; /* more parts than are remembered: ".." stays from there on */
};

static inline void km_probe_tidy_begin(struct km_probe_tidy *tidy)
{
    tidy->begin = 0;
    tidy->used = 0;
    tidy->depth = 0;
    tidy->dots = 0;
    tidy->cut = 0;
    tidy->deep = 0;
}

/* A part ends here: "." is dropped, ".." takes the part before it along. */
static inline void km_probe_tidy_part(struct km_probe_tidy *tidy)
{
    if (tidy->dots == 2 && !tidy->deep && tidy->depth > 0) {
        tidy->depth--;
        tidy->used = tidy->starts[tidy->depth & (KM_PROBE_TIDY_PARTS - 1)];
    } else if (tidy->dots < 2 || (tidy->dots == 2 && !tidy->deep)) { /* nothing between two slashes, too */
        tidy->used = tidy->begin;
    } else if (tidy->depth < KM_PROBE_TIDY_PARTS) {
        tidy->starts[tidy->depth & (KM_PROBE_TIDY_PARTS - 1)] = tidy->begin;
        tidy->depth++;
    } else {
        tidy->deep = 1;
    }
    tidy->dots = 0;
}

/* Takes the next byte of an absolute path; `mask` is the room of `out` less one, a power of two less one. */
static inline void km_probe_tidy_step(struct km_probe_tidy *tidy, char *out, __u32 mask, __u8 byte)
{
    if (byte == '/') {
        if (tidy->used > 0)
            km_probe_tidy_part(tidy);
        tidy->begin = tidy->used;
    } else {
        tidy->dots = byte == '.' && tidy->dots < 3 ? tidy->dots + 1 : 0xff;
    }
    __u32 used = tidy->used;
    if (used >= mask) {
        tidy->cut = 1;
        return;
    }
    __asm__ volatile("" : "+r"(used)); /* the compiler leaves the mask out otherwise, which the verifier wants to see */
    out[used & mask] = (char)byte;
    tidy->used = (__u16)(used + 1);
}

/* Ends the text with a NUL; tidy->used is its length. */
static inline void km_probe_tidy_end(struct km_probe_tidy *tidy, char *out, __u32 mask)
{
    if (tidy->dots == 1 || tidy->dots == 2)
        km_probe_tidy_part(tidy);
    if (tidy->used == 0) {
        out[0] = '/';
        tidy->used = 1;
    }
    out[tidy->used & mask] = 0;
}

/* An open that ended in a directory of another name than its path has: through a link. */
static inline __u64 km_probe_link_detail(__u64 named, __u64 real)
{
    return km_probe_mix(named) + 5 * real;
}

/* ---- texts and names ---- */

/* A role's identity: the daemon, the forks since its main process, and its name without digits. Never 0. */
static inline __u64 km_probe_role_signature(__u32 daemon, __u32 depth, const char *comm)
{
    __u64 hash = km_probe_hash_byte(km_probe_hash_byte(KM_PROBE_HASH_SEED, (__u8)daemon), (__u8)depth);

    for (int i = 0; i < KM_PROBE_COMM_BYTES; i++) {
        __u8 byte = (__u8)comm[i];
        if (byte == 0)
            break;
        if (byte < '0' || byte > '9')
            hash = km_probe_hash_byte(hash, byte);
    }
    return hash ? hash : 1;
}

/* What a name is of, so that a unit and a program of the same name differ. */
enum km_probe_name {
    KM_PROBE_NAME_CGROUP = 1,      /* last part of a cgroup's path: a unit */
    KM_PROBE_NAME_CGROUP_PATH = 2, /* within the hierarchy, from its root: "/system.slice/x.service" */
    KM_PROBE_NAME_COMMAND = 3,     /* program, as the kernel keeps it: 15 bytes */
};

/* Exact; ends at NUL or `room`. Never 0. */
static inline __u64 km_probe_name_hash(const char *text, int room, __u32 kind)
{
    __u64 hash = km_probe_hash_byte(KM_PROBE_HASH_SEED, (__u8)kind);

    for (int i = 0; i < room; i++) {
        if (text[i] == 0)
            break;
        hash = km_probe_hash_byte(hash, (__u8)text[i]);
    }
    return hash ? hash : 1;
}

/* ---- addresses ---- */

enum km_probe_peer {
    KM_PROBE_PEER_NONE = 0,
    KM_PROBE_PEER_ANY = 1, /* 0.0.0.0, :: */
    KM_PROBE_PEER_LOCAL = 2,
    KM_PROBE_PEER_PRIVATE = 3, /* private, link-local, shared (RFC 1918, 3927, 6598, 4193) */
    KM_PROBE_PEER_PUBLIC = 4,
};

/* Host byte order. */
static inline __u32 km_probe_peer_ipv4(__u32 address)
{
    if (address == 0)
        return KM_PROBE_PEER_ANY;
    if (address >> 24 == 127)
        return KM_PROBE_PEER_LOCAL;
    if (address >> 24 == 10 || address >> 20 == 0xac1 || address >> 16 == 0xc0a8 || address >> 16 == 0xa9fe ||
        address >> 22 == (100U << 2 | 1))
        return KM_PROBE_PEER_PRIVATE;
    return KM_PROBE_PEER_PUBLIC;
}

static inline __u32 km_probe_peer_ipv6(const __u8 *bytes)
{
    __u32 head = 0;
    for (int i = 0; i < 10; i++)
        head |= bytes[i];
    if (head == 0) {
        __u32 low = (__u32)bytes[12] << 24 | (__u32)bytes[13] << 16 | (__u32)bytes[14] << 8 | bytes[15];
        __u32 mid = (__u32)bytes[10] << 8 | bytes[11];
        if (mid == 0xffff)
            return km_probe_peer_ipv4(low);
        if (mid == 0 && low <= 1)
            return low == 1 ? KM_PROBE_PEER_LOCAL : KM_PROBE_PEER_ANY;
    }
    if ((bytes[0] & 0xfe) == 0xfc || (bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80))
        return KM_PROBE_PEER_PRIVATE;
    return KM_PROBE_PEER_PUBLIC;
}

/* What of a socket address makes it the same entity: family, kind of peer, port; for a client's port nothing. Unix
 * sockets: the hash of the name, which the caller adds. Bytes are as in struct sockaddr; length may be anything. */
static inline __u64 km_probe_address_detail(const __u8 *address, __u32 length, int with_port)
{
    __u32 family = 0;
    __u32 port = 0;
    __u32 peer = KM_PROBE_PEER_NONE;

    if (length >= 2)
        family = (__u32)address[0] | (__u32)address[1] << 8; /* host order: little endian */
    if (family == 2 && length >= 8)
        peer =
            km_probe_peer_ipv4((__u32)address[4] << 24 | (__u32)address[5] << 16 | (__u32)address[6] << 8 | address[7]);
    if (family == 10 && length >= 24)
        peer = km_probe_peer_ipv6(address + 8);
    if (with_port && length >= 4 && (family == 2 || family == 10))
        port = (__u32)address[2] << 8 | address[3];
    return (__u64)family << 32 | (__u64)peer << 16 | port;
}

/* ---- outcomes ---- */

/* enum km_outcome_class of a call's return value. EINPROGRESS is a connect that goes on: not an error. */
static inline __u8 km_probe_outcome(long long value)
{
    if (value >= 0 || value < -4095 || value == -115)
        return 1; /* KM_OUTCOME_OK */
    return value == -1 || value == -13 ? 2 : 3;
}

/* ---- rate limits ---- */

/* Takes one token; tokens come at per_second up to burst. Returns whether there was one. */
static inline int km_probe_bucket_take(struct km_probe_bucket *bucket, __u64 now_ns, __u32 per_second, __u32 burst)
{
    __u64 passed = now_ns - bucket->refilled_ns;
    __u64 step = per_second ? 1000000000ULL / per_second : ~0ULL;

    if (bucket->refilled_ns == 0) {
        bucket->tokens = burst;
        bucket->refilled_ns = now_ns;
    } else if (passed >= step) {
        __u64 gained = passed / step;
        bucket->tokens = gained > burst || bucket->tokens + gained > burst ? burst : bucket->tokens + gained;
        bucket->refilled_ns += gained * step;
    }
    if (bucket->tokens == 0)
        return 0;
    bucket->tokens--;
    return 1;
}

/* Whether an episode that begins while a tap window is open is taken: share of 65536. */
static inline int km_probe_tap_takes(__u32 random, __u32 share)
{
    return (random & 0xffff) < share;
}

#endif
