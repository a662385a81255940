/*
 * How the blobs of a source make up images: which are layers, in which order, made by which build step, and which
 * entries a later layer deletes or replaces.
 *
 * The reader adds what it meets in whatever order the source has it: blobs, small JSON documents, links between names
 * of the archive, and one compact record per entry. km_layout_resolve() then reads the documents (docker-archive
 * manifest.json; OCI index, manifests and configs), orders the layers, reports what does not fit as gaps (unreferenced
 * and missing blobs, wrong digests and sizes), and works out whiteouts. Documents are hostile: numbers of images,
 * layers and history lines are limited, a document that cannot be read becomes a gap.
 *
 * Memory: 60 bytes and the path per entry; a path is stored once, however many layers hold it. Everything together has
 * a maximum.
 */
#ifndef KM_CONTAINER_SOURCE_LAYOUT_H
#define KM_CONTAINER_SOURCE_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "container/source/source.h"

enum km_blob_kind {
    KM_BLOB_TREE = 0,     /* a layer archive or a directory: has entries */
    KM_BLOB_DOCUMENT = 1, /* JSON: manifest, config, attestation */
    KM_BLOB_OTHER = 2,    /* anything else: read and hashed */
};

struct km_blob {
    const char *name; /* in the source: "blobs/sha256/…", "<id>/layer.tar", "" for a bare tar or directory. Raw bytes */
    enum km_blob_kind kind;
    bool complete;                          /* read to its end without damage */
    uint64_t stored_bytes;                  /* as stored, compressed */
    uint64_t stream_bytes;                  /* uncompressed */
    uint8_t stored_sha256[KM_SHA256_BYTES]; /* of the stored bytes: what manifests name */
    uint8_t stream_sha256[KM_SHA256_BYTES]; /* of the uncompressed stream: the diff id */
};

struct km_layout;

/* max_bytes limits names and records together. NULL with *err set on KM_NOMEM. */
struct km_layout *km_layout_new(size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_layout_free(struct km_layout *layout);

/* Reserves the next blob index before its entries are added; km_layout_end_blob fills it in. KM_LIMIT above
 * 100,000 blobs. */
enum km_code km_layout_begin_blob(struct km_layout *layout, const char *name, uint32_t *out_blob,
                                  struct km_err *err) KM_MUST_USE;
void km_layout_end_blob(struct km_layout *layout, uint32_t blob, const struct km_blob *result);

/* The whole text of a blob of kind KM_BLOB_DOCUMENT (at most KM_LAYOUT_MAX_DOCUMENT_BYTES; the reader treats larger
 * ones as KM_BLOB_OTHER). Copied. KM_LIMIT when all documents together exceed 64 MiB. */
#define KM_LAYOUT_MAX_DOCUMENT_BYTES ((size_t)4 << 20)
enum km_code km_layout_add_document(struct km_layout *layout, uint32_t blob, const char *text, size_t length,
                                    struct km_err *err) KM_MUST_USE;

/* A symbolic or hard link among the outer archive's names (podman links <id>/layer.tar to another layer). */
enum km_code km_layout_add_alias(struct km_layout *layout, const char *name, const char *target,
                                 struct km_err *err) KM_MUST_USE;

/* One record per entry, in the order of entry->id from 0, members of nested archives included (they share the fate of
 * their outermost parent). KM_LIMIT when max_bytes is reached, and from then on: ids stay true. */
enum km_code km_layout_add_entry(struct km_layout *layout, const struct km_entry *entry,
                                 struct km_err *err) KM_MUST_USE;

/* A bare file system (tar:, dir:, an engine's export): blob 0 is the one layer of one image. */
enum km_code km_layout_resolve_single(struct km_layout *layout, const char *image_name, struct km_err *err) KM_MUST_USE;

/* An archive of images: docker's manifest.json, an OCI index, or both (one set of images). Gaps go to sink->gap, which
 * is the only callback used: MISSING      a blob that a manifest names (a layer stays in the list), a manifest that an
 * index names. A platform of a multi-platform index whose manifest is absent while another's is present is no part of
 * the source; MISMATCH     a blob whose content is not what its name, descriptor (size) or config (diff_id) promises;
 *   UNREFERENCED a blob that nothing names; attestations and their layers are named;
 *   UNSUPPORTED, ENCRYPTED  a layer that was read and is no archive of files;
 *   DAMAGED, LIMIT  a document that could not be read, or more of them than the limits below.
 * Blobs that were not read to their end are the reader's gaps and get no further one for digest or size.
 * KM_FORMAT when the source has no readable manifest at all (after the gaps), KM_NOMEM, and what the sink returns. */
#define KM_LAYOUT_MAX_IMAGES       ((size_t)1024)
#define KM_LAYOUT_MAX_LAYERS       ((size_t)1024)  /* of one image */
#define KM_LAYOUT_MAX_LAYERS_TOTAL ((size_t)65536) /* of all images, and manifests that indexes name */
enum km_code km_layout_resolve_images(struct km_layout *layout, const struct km_entry_sink *sink,
                                      struct km_err *err) KM_MUST_USE;

/* ---- After resolving ---- */

struct km_layer {
    uint32_t blob;       /* UINT32_MAX: missing from the source */
    const char *diff_id; /* "sha256:<hex>" of the uncompressed stream as it was read; of a layer that is missing or was
                          * not read whole what the config says; NULL when neither is known (a directory) */
    const char *history; /* the build step ("created_by"), or NULL */
};

struct km_image {
    const char *name;     /* "repo:tag" or NULL */
    const char *digest;   /* "sha256:<hex>" of its manifest or config, or NULL */
    const char *platform; /* "linux/amd64" or NULL */
    size_t layer_count;
    const struct km_layer *layers; /* 0 = base */
};

size_t km_layout_image_count(const struct km_layout *layout);
const struct km_image *km_layout_image(const struct km_layout *layout, size_t i);
size_t km_layout_blob_count(const struct km_layout *layout);
const struct km_blob *km_layout_blob(const struct km_layout *layout, uint32_t blob);
size_t km_layout_entry_count(const struct km_layout *layout);

/* Where entry `id` is: in the first image (in manifest order) that shows it, else in the first that holds it. */
struct km_place {
    const struct km_image *image;       /* NULL: its blob belongs to no image (reported as unreferenced) */
    int64_t layer_index;                /* -1 when image is NULL */
    const struct km_layer *deleted_by;  /* the layer whose whiteout hides it, or NULL */
    const struct km_layer *replaced_by; /* the layer that puts something else at its path, or NULL. Of a layer that
                                         * does both it is this one; at most one of the two is set */
    const char *path;                   /* as added */
    enum km_entry_type type;
    uint32_t blob, parent; /* as added */
};
struct km_place km_layout_place(const struct km_layout *layout, uint32_t id);

/* The whole path of entry `id`: "outer!/inner" for a member of a nested archive. The caller frees *out_path. KM_NOMEM.
 */
enum km_code km_layout_format_path(const struct km_layout *layout, uint32_t id, char **out_path,
                                   struct km_err *err) KM_MUST_USE;

#endif
