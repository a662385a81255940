/*
 * Where the blocks of a UPX-packed ELF are in its bytes, and where their content belongs. Knows the layout, decodes
 * nothing but what upx.c hands it.
 */
#ifndef KM_CONTAINER_SOURCE_UPXLAYOUT_H
#define KM_CONTAINER_SOURCE_UPXLAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "container/source/upxhead.h"

#define KM_UPX_MAX_HEADER_BYTES ((size_t)64 << 10) /* of the original's ELF header and program headers */
#define KM_UPX_MAX_SEGMENTS     64
#define KM_UPX_MAX_BLOCKS       ((size_t)1 << 16)

struct km_upx_place {
    struct km_upx_block block;
    size_t packed_at;     /* of its packed bytes in the file */
    uint64_t original_at; /* of its content in the original */
};

struct km_upx_span {
    const uint8_t *bytes;
    size_t length;
};

struct km_upx_layout {
    struct km_upx_place *places; /* in the order of packing; the first one is the headers' */
    size_t count, capacity;
    bool has_checksum;
    uint32_t adler;
};

/* Walks the file `packed`. `original_head` is the unpacked content of the first block. The caller ends *out with
 * km_upx_layout_done, also on failure. KM_FORMAT with the reason: it does not add up; KM_LIMIT, KM_NOMEM. */
enum km_code km_upx_layout_read(const struct km_upx_head *head, struct km_upx_span packed,
                                struct km_upx_span original_head, struct km_upx_layout *out,
                                struct km_err *err) KM_MUST_USE;
void km_upx_layout_done(struct km_upx_layout *layout);

#endif
