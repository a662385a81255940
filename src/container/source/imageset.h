/*
 * The images of a layout while its documents are read: one draft at a time is filled from a manifest and then added,
 * with what its config says. Known images are not added twice. Everything that does not fit becomes a gap.
 *
 * Codes: KM_OK also when something was reported; KM_LIMIT when one of layout.h's limits is met, which
 * km_imageset_stop_at_limit() turns into a gap; KM_NOMEM; and whatever the sink returns.
 */
#ifndef KM_CONTAINER_SOURCE_IMAGESET_H
#define KM_CONTAINER_SOURCE_IMAGESET_H

#include "base/json.h"
#include "container/source/blobindex.h"
#include "container/source/layout_parts.h"

#define KM_IMAGESET_MAX_TEXT_BYTES ((size_t)1024) /* of a name or platform; longer ones are cut */

enum km_layer_media {
    KM_LAYER_FILE_SYSTEM = 0,
    KM_LAYER_ENCRYPTED = 1,
    KM_LAYER_OTHER = 2, /* attestations, signatures, charts: content of an artifact */
};

struct km_draft_layer {
    uint32_t blob;
    size_t position; /* in the manifest, which the config's diff_ids follow */
};

struct km_draft {
    const char *name;     /* borrowed from a document */
    const char *platform; /* likewise */
    uint32_t config;      /* blob, or KM_LAYOUT_NONE */
    uint32_t manifest;    /* blob whose digest is the image's; of docker archives the config */
    size_t positions;     /* layers that the manifest lists */
    size_t layer_count;
    bool tagged_by_docker;
    struct km_draft_layer layers[KM_LAYOUT_MAX_LAYERS];
};

struct km_imageset {
    struct km_layout *layout;
    const struct km_entry_sink *sink;
    struct km_blobindex index;
    struct km_draft *draft;  /* the image being read */
    uint32_t *image_configs; /* parallel to layout->images */
    size_t image_config_capacity;
    size_t descriptors_left; /* layers and manifests named, found or not: bounds the gaps, too */
    size_t parse_bytes_left;
    bool full;        /* a limit was met and reported: no further documents are read */
    bool sink_failed; /* its code goes to the caller as it is */
};

enum km_code km_imageset_init(struct km_imageset *set, struct km_layout *layout, const struct km_entry_sink *sink,
                              struct km_err *err) KM_MUST_USE;
void km_imageset_done(struct km_imageset *set);

/* Gaps. The first is about a blob that is there, the second about one that is not (size < 0: unknown). */
enum km_code km_imageset_report_blob(struct km_imageset *set, enum km_gap_reason reason, uint32_t blob,
                                     const char *detail, struct km_err *err) KM_MUST_USE;
enum km_code km_imageset_report_missing(struct km_imageset *set, const char *name, int64_t size, const char *detail,
                                        struct km_err *err) KM_MUST_USE;

/* Returns code, unless it is a KM_LIMIT of ours: that becomes a gap, set->full and KM_OK. */
enum km_code km_imageset_stop_at_limit(struct km_imageset *set, enum km_code code, struct km_err *err) KM_MUST_USE;

/* Every layer and manifest that a document names is counted before it is looked up. KM_LIMIT. */
enum km_code km_imageset_count_descriptor(struct km_imageset *set, struct km_err *err) KM_MUST_USE;

/* The JSON of a blob, owned by the caller; *out_json is NULL when it could not be had, which is then reported. */
enum km_code km_imageset_load(struct km_imageset *set, uint32_t blob, struct km_json **out_json,
                              struct km_err *err) KM_MUST_USE;

/* Reports a blob that has another size than its OCI descriptor says. */
enum km_code km_imageset_check_size(struct km_imageset *set, const struct km_json *descriptor, uint32_t blob,
                                    struct km_err *err) KM_MUST_USE;

/* Reports a layer that is there and is no archive of files. */
enum km_code km_imageset_check_kind(struct km_imageset *set, uint32_t blob, enum km_layer_media media,
                                    struct km_err *err) KM_MUST_USE;

/* Empties the draft; appends a layer at set->draft->positions - 1; adds the draft to the layout's images. */
void km_imageset_begin(struct km_imageset *set);
enum km_code km_imageset_add_layer(struct km_draft *draft, uint32_t blob, struct km_err *err) KM_MUST_USE;
enum km_code km_imageset_add(struct km_imageset *set, struct km_err *err) KM_MUST_USE;

#endif
