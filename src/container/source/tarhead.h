/*
 * The 512-byte headers of tar and the records of PAX: pure functions over bytes, no state. Understands V7, ustar, GNU
 * and PAX as Go's archive/tar does, because that is what container engines extract layers with.
 */
#ifndef KM_CONTAINER_SOURCE_TARHEAD_H
#define KM_CONTAINER_SOURCE_TARHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define KM_TAR_BLOCK         ((size_t)512)
#define KM_TAR_MAX_META      ((size_t)1 << 20) /* of one PAX or long name header, as in Go */
#define KM_TAR_MAX_NAME      ((size_t)64 << 10)
#define KM_TAR_MAX_SPARSE    65536u /* data regions of one sparse member */
#define KM_TAR_HEADER_SPARSE 4      /* regions in an old GNU header */
#define KM_TAR_EXTRA_SPARSE  21     /* regions in one of its continuation blocks */

enum km_tar_block {
    KM_TAR_HEADER = 0, /* its checksum is right */
    KM_TAR_ZERO = 1,
    KM_TAR_BAD = 2,
};

enum km_tar_block km_tar_classify(const uint8_t *block);

struct km_tar_header {
    char type;
    bool gnu;      /* the GNU dialect: fields behind `prefix` differ */
    bool size_bad; /* `size` is not a number */
    char path[258];
    char link[101];
    uint64_t size;
    uint32_t mode, uid, gid;
    int64_t mtime_s;
};

/* Reads a block that km_tar_classify called a header. */
void km_tar_header_read(const uint8_t *block, struct km_tar_header *out);

/* A number field: octal text, or base 256. False when it is neither, negative, or above INT64_MAX. */
bool km_tar_number(const uint8_t *field, size_t length, uint64_t *out);

struct km_tar_region {
    uint64_t offset; /* logical */
    uint64_t length;
};

/* The regions of a sparse member's data, ascending. A growing array with KM_TAR_MAX_SPARSE as its limit. */
struct km_tar_sparse {
    struct km_tar_region *regions;
    size_t count, capacity;
};

/* KM_LIMIT above KM_TAR_MAX_SPARSE, KM_NOMEM. */
enum km_code km_tar_sparse_add(struct km_tar_sparse *sparse, uint64_t offset, uint64_t length,
                               struct km_err *err) KM_MUST_USE;

/* Regions ascend, do not overlap, and lie within [0, size); *out_stored is the sum of their lengths. */
bool km_tar_sparse_valid(const struct km_tar_sparse *sparse, uint64_t size, uint64_t *out_stored);

/* Regions of an old GNU header (which = 0) or continuation block (1). *out_more: a continuation block follows.
 * KM_FORMAT for fields that are not numbers; KM_LIMIT, KM_NOMEM. */
enum km_code km_tar_sparse_read(const uint8_t *block, int which, struct km_tar_sparse *sparse, bool *out_more,
                                struct km_err *err) KM_MUST_USE;
/* The logical size in an old GNU sparse header. */
bool km_tar_sparse_realsize(const uint8_t *block, uint64_t *out_size);

/* What PAX records say about the next member. Lives in the walker; cleared between members. */
struct km_tar_pax {
    struct km_buf path, link, sparse_name; /* in use when length > 0; a NUL in a value stays in it */
    bool has_size, has_mtime, has_uid, has_gid;
    uint64_t size;
    int64_t mtime_s;
    uint32_t uid, gid;
    bool sparse;           /* some GNU.sparse record was there */
    unsigned sparse_major; /* 1: the map stands in front of the data */
    bool has_sparse_size;  /* the logical size: */
    uint64_t sparse_size;
    bool has_sparse_offset; /* of format 0.0: an offset that waits for its length */
    uint64_t sparse_offset;
    struct km_tar_sparse map;
};

void km_tar_pax_init(struct km_tar_pax *pax);
void km_tar_pax_done(struct km_tar_pax *pax);
void km_tar_pax_clear(struct km_tar_pax *pax);

/* Reads "LENGTH KEY=VALUE\n"…; later records win. KM_FORMAT (what came before the bad record counts), KM_LIMIT,
 * KM_NOMEM. */
enum km_code km_tar_pax_read(struct km_tar_pax *pax, const char *text, size_t length, struct km_err *err) KM_MUST_USE;

/* Decimal digits text[0..length): false for anything else or a value above INT64_MAX. */
bool km_tar_decimal(const char *text, size_t length, uint64_t *out);

#endif
