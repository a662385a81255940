/*
 * Finds blobs of a layout by name (through links of the outer archive) and by digest. Built once, when all blobs are
 * known; borrows the layout.
 */
#ifndef KM_CONTAINER_SOURCE_BLOBINDEX_H
#define KM_CONTAINER_SOURCE_BLOBINDEX_H

#include "container/source/layout_parts.h"

#define KM_BLOBINDEX_MAX_LINKS 16

struct km_blobindex {
    const struct km_layout *layout;
    uint32_t *by_name, *by_digest, *alias_by_name; /* sorted; ties in the order of the source */
    size_t digest_count;                           /* blobs that were read whole */
};

enum km_code km_blobindex_init(struct km_blobindex *index, const struct km_layout *layout,
                               struct km_err *err) KM_MUST_USE;
void km_blobindex_done(struct km_blobindex *index);

/* The blob with this name, the last one when the source repeats it, as extracting tools see it. Up to
 * KM_BLOBINDEX_MAX_LINKS links are followed. KM_LAYOUT_NONE when there is none. */
uint32_t km_blobindex_find_name(const struct km_blobindex *index, const char *name);

/* The blob that an OCI descriptor's "<algorithm>:<hex>" names: the one stored under that name when its content agrees,
 * else one with that content, else the one under that name after all (a lie that the caller reports).
 * KM_LAYOUT_NONE when there is none. */
uint32_t km_blobindex_find_digest(const struct km_blobindex *index, const char *digest);

/* Reads "sha256:<64 hex digits>". false for anything else. */
bool km_blobindex_parse_digest(const char *text, uint8_t out_sha256[KM_SHA256_BYTES]);

#endif
