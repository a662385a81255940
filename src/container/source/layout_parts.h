/*
 * What the parts of the layout share (layout.c stores and answers, manifest.c reads documents into images, marks.c
 * knows which layer hides what, whiteout.c asks that for all images, focus.c for one). Nobody else includes this.
 */
#ifndef KM_CONTAINER_SOURCE_LAYOUT_PARTS_H
#define KM_CONTAINER_SOURCE_LAYOUT_PARTS_H

#include "base/arena.h"
#include "container/source/layout.h"
#include "container/source/pathtree.h"

#define KM_LAYOUT_NONE UINT32_MAX

/* Where an entry is in an image. */
struct km_layout_seat {
    uint16_t image; /* KM_LAYOUT_NO_IMAGE until placed */
    uint16_t layer; /* in that image */
    uint16_t hider; /* the layer that hides it there; meaningful with one of the flags below */
    uint8_t flags;
};
#define KM_LAYOUT_NO_IMAGE UINT16_MAX
#define KM_LAYOUT_DELETED  0x1U
#define KM_LAYOUT_REPLACED 0x2U

/* One entry. 20 bytes; with its 24 bytes of path node, 8 of table and 8 while resolving: 60 and the path. */
struct km_layout_entry {
    uint32_t node; /* its path */
    uint32_t blob;
    uint32_t parent;
    uint16_t image, layer, hider; /* as in km_layout_seat: in the first image that shows it */
    uint8_t type;                 /* enum km_entry_type */
    uint8_t flags;
};

struct km_layout_blob {
    struct km_blob info;
    uint32_t first_entry, end_entry; /* the range of ids in which its entries are; empty: first == end */
    uint32_t unplaced;               /* entries that no image has been found to show yet */
    uint32_t document;               /* index into documents, or KM_LAYOUT_NONE */
    const char *diff_id;             /* "sha256:…" of its stream, made when first asked for */
    bool referenced;                 /* by a manifest, an index or an image */
    bool visited;                    /* as an index or manifest */
};

struct km_layout_document {
    char *text;
    size_t length;
};

struct km_layout_alias {
    const char *name, *target;
};

struct km_layout {
    size_t max_bytes;
    bool full; /* once an entry was refused, all later ones are: ids stay true */
    struct km_pathtree *paths;
    struct km_arena *names; /* blob names, aliases */
    struct km_arena *images_memory;
    struct km_layout_entry *entries;
    size_t entry_count, entry_capacity;
    struct km_layout_blob *blobs;
    size_t blob_count, blob_capacity;
    struct km_layout_document *documents;
    size_t document_count, document_capacity, document_bytes;
    struct km_layout_alias *aliases;
    size_t alias_count, alias_capacity;
    struct km_image *images;
    size_t image_count, image_capacity;
};

/* Outermost entries of a blob; members of nested archives follow their parents. */
static inline bool km_layout_is_outermost(const struct km_layout_entry *entry, uint32_t blob)
{
    return entry->blob == blob && entry->parent == KM_ENTRY_NONE;
}

/* What km_place says of entry `id` in an image (KM_LAYOUT_NO_IMAGE: in none). flags: KM_LAYOUT_DELETED … */
struct km_place km_layout_describe(const struct km_layout *layout, uint32_t id, const struct km_layout_seat *seat);

/* "sha256:<hex>" of a blob's uncompressed stream, or NULL when it has none (directories). KM_NOMEM, KM_LIMIT. */
enum km_code km_layout_diff_id(struct km_layout *layout, uint32_t blob, const char **out_text,
                               struct km_err *err) KM_MUST_USE;

/* Fills layout->images from the documents, marks blobs as referenced, reports what does not fit. */
enum km_code km_manifest_read(struct km_layout *layout, const struct km_entry_sink *sink,
                              struct km_err *err) KM_MUST_USE;

/* Fills image, layer, hider and flags of every entry. *out_complete is false when the work limit was met: the images
 * behind it were not looked at, and no entry is said to be hidden that was not worked out. KM_NOMEM. */
enum km_code km_whiteout_apply(struct km_layout *layout, bool *out_complete, struct km_err *err) KM_MUST_USE;

#endif
