/*
 * An archive, or a directory, as a sequence of members: what tarmembers, unpack, single and dirwalk have in common, and
 * all that the reader knows of them. Raw names, exact offsets; what cannot be read is said through `fault`.
 *
 * Protocol: next, then read until a piece of length 0 (or fewer times: next skips what is left), then next again.
 * Structs are embedded in their makers' objects. Not thread-safe.
 */
#ifndef KM_CONTAINER_SOURCE_MEMBERS_H
#define KM_CONTAINER_SOURCE_MEMBERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "container/source/source.h"
#include "container/source/stream.h"

/* One member. Strings are borrowed until the next call of next. */
struct km_member {
    enum km_entry_type type; /* never KM_ENTRY_WHITEOUT or KM_ENTRY_OPAQUE: the reader finds those by name */
    const char *path;        /* as stored */
    const char *link;        /* as stored, or NULL */
    bool odd_name;           /* the stored name held a NUL byte or was too long, and was cut */
    bool encrypted;          /* its data cannot be read */
    uint64_t size;           /* logical bytes or KM_SIZE_UNKNOWN */
    uint32_t mode, uid, gid;
    int64_t mtime_s;
    uint64_t offset; /* of its first header in the archive's stream */
};

/* A run of a member's content. length 0: there is no more. bytes NULL: a hole. */
struct km_piece {
    uint64_t offset;
    const void *bytes;
    uint64_t length;
    bool broken; /* with length 0: the member ends before its size says so, … */
    bool told;   /* … and a fault has said why */
};

struct km_fault {
    enum km_gap_reason reason;
    uint64_t offset;    /* in the archive's stream; UINT64_MAX when unknown */
    uint64_t bytes;     /* UINT64_MAX when unknown */
    const char *where;  /* below the archive: a name, or NULL for the archive itself */
    const char *detail; /* one line, or NULL */
};

/* Hands a fault on. Its failure ends the walk. */
struct km_fault_sink {
    void *context;
    enum km_code (*fault)(void *context, const struct km_fault *fault, struct km_err *err);
};

struct km_members {
    struct km_fault_sink faults; /* set by the reader before the first next */
    /* *out_found false: the archive is over; its stream has been read to the end and faults were told. */
    enum km_code (*next)(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err);
    enum km_code (*read)(struct km_members *members, struct km_piece *out, struct km_err *err);
    void (*close)(struct km_members *members); /* frees it, but not the stream below */
};

static inline enum km_code km_members_fault(const struct km_members *members, const struct km_fault *fault,
                                            struct km_err *err)
{
    return members->faults.fault ? members->faults.fault(members->faults.context, fault, err) : KM_OK;
}

#endif
