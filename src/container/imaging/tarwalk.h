/*
 * Walks the headers of a tar archive and says where each member's header and data lie; data is never read. Members,
 * offsets and sizes are those of Python's tarfile, which the reference's colours and masks rest on: all dialects
 * (v7, ustar, old and new GNU, PAX with local and global headers, base-256 numbers, GNU long names, GNU sparse files of
 * all four kinds), and its way to stop: at the first block of zeros, or at a header that is damaged.
 *
 * The input is hostile. Memory is constant (one window, two names of at most KM_TARWALK_MAX_NAME bytes); each byte of
 * headers and extension payloads is looked at once; numbers saturate. Threads: one walk, one thread.
 */
#ifndef KM_CONTAINER_IMAGING_TARWALK_H
#define KM_CONTAINER_IMAGING_TARWALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_TARWALK_BLOCK    512U
#define KM_TARWALK_MAX_NAME ((size_t)64 << 10)

/* Where the archive's bytes come from. read fills out[0..length) from `offset`; ranges lie within size_bytes. */
struct km_tarwalk_input {
    void *context;
    enum km_code (*read)(void *context, uint64_t offset, void *out, size_t length, struct km_err *err);
    uint64_t size_bytes;
};

/* Why a walk is over. */
enum km_tarwalk_stop {
    KM_TARWALK_GOING = 0,
    KM_TARWALK_END_MARK = 1,  /* a block of zeros: the regular end */
    KM_TARWALK_END_BYTES = 2, /* the input ends between members, without a mark */
    KM_TARWALK_TRUNCATED = 3, /* it ends inside a header or inside data that a header announced */
    KM_TARWALK_DAMAGED = 4,   /* a header with a bad checksum, an unreadable number or a malformed extension */
    KM_TARWALK_NOT_TAR = 5,   /* no header at offset 0: damaged, or less than a block */
};

struct km_tarwalk_member {
    uint64_t number;       /* 0, 1, … */
    uint64_t header_begin; /* first block that belongs to it, its long name and PAX headers included */
    uint64_t data_begin;
    uint64_t size;         /* as tarfile has it: of sparse files the expanded size, of links whatever the header says */
    uint64_t stored_bytes; /* content that really follows data_begin, without padding; 0 for links, directories, … */
    char type;             /* type flag; '5' for old directories, which are '\0' with a name that ends in '/' */
    const char *name;      /* raw bytes with a NUL behind; borrowed until the next call */
    size_t name_length;
    bool name_cut; /* longer than KM_TARWALK_MAX_NAME: the rest is missing */
};

struct km_tarwalk;

/* A walk from offset 0; the input's context must outlive it. NULL with *err set: KM_NOMEM. */
struct km_tarwalk *km_tarwalk_new(const struct km_tarwalk_input *input, struct km_err *err) KM_MUST_USE;
void km_tarwalk_free(struct km_tarwalk *walk);
KM_DEFINE_CLEANUP(struct km_tarwalk, km_tarwalk_cleanup, km_tarwalk_free);

/* The next member. *out_found false: the walk is over, km_tarwalk_get_stop says why. Ends of the archive, good or bad,
 * are no errors; fails only with what input->read returns. */
enum km_code km_tarwalk_next(struct km_tarwalk *walk, struct km_tarwalk_member *out_member, bool *out_found,
                             struct km_err *err) KM_MUST_USE;

/* Why the walk stopped, and the offset of the block where it did. */
enum km_tarwalk_stop km_tarwalk_get_stop(const struct km_tarwalk *walk, uint64_t *out_offset);

/* "damaged header", "truncated", … Static storage. */
const char *km_tarwalk_stop_to_string(enum km_tarwalk_stop stop);

/* Whether a member's stored bytes are the content of a regular file. */
bool km_tarwalk_is_file(const struct km_tarwalk_member *member);

#endif
