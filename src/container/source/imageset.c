#include "container/source/imageset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define MAX_HISTORY_BYTES ((size_t)4096)      /* of one build step; longer ones are cut */
#define MAX_PARSED_BYTES  ((size_t)256 << 20) /* the same config may be named by thousands of manifests */

enum km_code km_imageset_init(struct km_imageset *set, struct km_layout *layout, const struct km_entry_sink *sink,
                              struct km_err *err)
{
    *set = (struct km_imageset){
        .layout = layout,
        .sink = sink,
        .descriptors_left = KM_LAYOUT_MAX_LAYERS_TOTAL,
        .parse_bytes_left = MAX_PARSED_BYTES,
    };
    enum km_code code = km_blobindex_init(&set->index, layout, err);
    if (code != KM_OK)
        return code;
    set->draft = km_calloc(1, sizeof *set->draft, SIZE_MAX, err);
    if (set->draft)
        return KM_OK;
    km_blobindex_done(&set->index);
    return err->code;
}

void km_imageset_done(struct km_imageset *set)
{
    km_blobindex_done(&set->index);
    free(set->draft);
    free(set->image_configs);
}

/* ---- Reporting and loading ---- */

static enum km_code report(struct km_imageset *set, const struct km_gap *gap, struct km_err *err)
{
    struct km_gap whole = *gap;
    whole.offset = UINT64_MAX;
    enum km_code code = set->sink->gap(set->sink->context, &whole, err);
    set->sink_failed = code != KM_OK;
    return code;
}

enum km_code km_imageset_report_blob(struct km_imageset *set, enum km_gap_reason reason, uint32_t blob,
                                     const char *detail, struct km_err *err)
{
    const struct km_blob *info = &set->layout->blobs[blob].info;
    const struct km_gap gap = {.reason = reason, .where = info->name, .bytes = info->stored_bytes, .detail = detail};
    return report(set, &gap, err);
}

static enum km_code report_limit(struct km_imageset *set, const char *detail, struct km_err *err)
{
    const struct km_gap gap = {.reason = KM_GAP_LIMIT, .where = "", .bytes = UINT64_MAX, .detail = detail};
    return report(set, &gap, err);
}

enum km_code km_imageset_stop_at_limit(struct km_imageset *set, enum km_code code, struct km_err *err)
{
    if (code != KM_LIMIT || set->sink_failed)
        return code;
    set->full = true;
    return report_limit(set, "too many images, layers or manifests: not all were read", err);
}

enum km_code km_imageset_count_descriptor(struct km_imageset *set, struct km_err *err)
{
    if (set->descriptors_left == 0)
        return km_fail(err, KM_LIMIT, "more than %zu layers and manifests", KM_LAYOUT_MAX_LAYERS_TOTAL);
    set->descriptors_left--;
    return KM_OK;
}

enum km_code km_imageset_load(struct km_imageset *set, uint32_t blob, struct km_json **out_json, struct km_err *err)
{
    struct km_layout_blob *record = &set->layout->blobs[blob];
    *out_json = NULL;
    if (record->document == KM_LAYOUT_NONE) {
        bool large = record->info.stored_bytes > KM_LAYOUT_MAX_DOCUMENT_BYTES;
        return km_imageset_report_blob(set, large ? KM_GAP_LIMIT : KM_GAP_DAMAGED, blob,
                                       large ? "too large to be read as JSON" : "should be JSON and is not", err);
    }
    const struct km_layout_document *document = &set->layout->documents[record->document];
    if (document->length > set->parse_bytes_left)
        return km_imageset_report_blob(set, KM_GAP_LIMIT, blob, "too many documents to read", err);
    set->parse_bytes_left -= document->length;
    struct km_err cause = KM_ERR_INIT;
    *out_json = km_json_parse(document->text, document->length, KM_LAYOUT_MAX_DOCUMENT_BYTES, &cause);
    if (*out_json)
        return KM_OK;
    if (cause.code == KM_NOMEM) {
        *err = cause;
        return KM_NOMEM;
    }
    return km_imageset_report_blob(set, cause.code == KM_LIMIT ? KM_GAP_LIMIT : KM_GAP_DAMAGED, blob, cause.text, err);
}

enum km_code km_imageset_check_size(struct km_imageset *set, const struct km_json *descriptor, uint32_t blob,
                                    struct km_err *err)
{
    const struct km_blob *info = &set->layout->blobs[blob].info;
    int64_t size = km_json_integer(descriptor, "size", -1);
    if (!info->complete || (size >= 0 && (uint64_t)size == info->stored_bytes))
        return KM_OK;
    char detail[128];
    if (size < 0)
        (void)snprintf(detail, sizeof detail, "its manifest states no size; %llu bytes are stored",
                       (unsigned long long)info->stored_bytes);
    else
        (void)snprintf(detail, sizeof detail, "its manifest promises %lld bytes; %llu are stored", (long long)size,
                       (unsigned long long)info->stored_bytes);
    return km_imageset_report_blob(set, KM_GAP_MISMATCH, blob, detail, err);
}

enum km_code km_imageset_report_missing(struct km_imageset *set, const char *name, int64_t size, const char *detail,
                                        struct km_err *err)
{
    const struct km_gap gap = {
        .reason = KM_GAP_MISSING, .where = name, .bytes = size < 0 ? UINT64_MAX : (uint64_t)size, .detail = detail};
    return report(set, &gap, err);
}

/* ---- Images ---- */

static enum km_code keep_text(struct km_imageset *set, const char *text, size_t max_bytes, const char **out,
                              struct km_err *err)
{
    if (!text)
        return KM_OK;
    *out = km_arena_strndup(set->layout->images_memory, text, strnlen(text, max_bytes), err);
    return *out ? KM_OK : err->code;
}

static bool is_same_image(const struct km_imageset *set, size_t image, const struct km_draft *draft)
{
    const struct km_image *known = &set->layout->images[image];
    if (set->image_configs[image] != draft->config || draft->config == KM_LAYOUT_NONE ||
        known->layer_count != draft->layer_count)
        return false;
    for (size_t i = 0; i < draft->layer_count; i++)
        if (known->layers[i].blob != draft->layers[i].blob)
            return false;
    return true;
}

/* The build steps that made layers, one for each; none when the history does not add up. */
static const struct km_json *find_step(const struct km_json *history, size_t *io_next)
{
    while (*io_next < km_json_size(history)) {
        const struct km_json *step = km_json_at(history, (*io_next)++);
        if (!km_json_bool(step, "empty_layer", false))
            return step;
    }
    return NULL;
}

static bool history_fits(const struct km_json *history, size_t positions)
{
    size_t next = 0, steps = 0;
    while (find_step(history, &next))
        steps++;
    return steps == positions;
}

/* What the config promises for one layer against what its stream is. */
static enum km_code check_diff_id(struct km_imageset *set, uint32_t blob, const char *claim, struct km_layer *layer,
                                  struct km_err *err)
{
    uint8_t sha256[KM_SHA256_BYTES];
    bool valid = claim && km_blobindex_parse_digest(claim, sha256);
    if (blob == KM_LAYOUT_NONE || !set->layout->blobs[blob].info.complete)
        return valid ? keep_text(set, claim, KM_IMAGESET_MAX_TEXT_BYTES, &layer->diff_id, err) : KM_OK;
    enum km_code code = km_layout_diff_id(set->layout, blob, &layer->diff_id, err);
    const struct km_blob *info = &set->layout->blobs[blob].info;
    if (code != KM_OK || !claim || info->kind != KM_BLOB_TREE)
        return code;
    if (valid && memcmp(sha256, info->stream_sha256, KM_SHA256_BYTES) == 0)
        return KM_OK;
    const struct km_gap gap = {.reason = KM_GAP_MISMATCH,
                               .where = info->name,
                               .layer = layer->diff_id,
                               .bytes = info->stream_bytes,
                               .detail = "its content is not the one whose digest (diff_id) the image's config states"};
    return report(set, &gap, err);
}

static enum km_code fill_layers(struct km_imageset *set, const struct km_json *config, struct km_layer *layers,
                                struct km_err *err)
{
    const struct km_draft *draft = set->draft;
    const struct km_json *diff_ids = km_json_find(config, "rootfs.diff_ids");
    const struct km_json *history = km_json_member(config, "history");
    bool with_history = history_fits(history, draft->positions);
    size_t next_step = 0, next_position = 0;
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < draft->layer_count; i++) {
        const struct km_draft_layer *from = &draft->layers[i];
        layers[i].blob = from->blob;
        code = check_diff_id(set, from->blob, km_json_text(km_json_at(diff_ids, from->position)), &layers[i], err);
        const struct km_json *step = NULL;
        for (; with_history && next_position <= from->position; next_position++)
            step = find_step(history, &next_step);
        if (code == KM_OK && step)
            code = keep_text(set, km_json_string(step, "created_by", NULL), MAX_HISTORY_BYTES, &layers[i].history, err);
    }
    size_t promised = km_json_size(diff_ids);
    if (code != KM_OK || !diff_ids || promised == draft->positions)
        return code;
    char detail[128];
    (void)snprintf(detail, sizeof detail, "the config lists %zu layers and the manifest %zu", promised,
                   draft->positions);
    return km_imageset_report_blob(set, KM_GAP_MISMATCH, draft->config, detail, err);
}

static enum km_code fill_platform(struct km_imageset *set, const struct km_json *config, struct km_image *image,
                                  struct km_err *err)
{
    const char *os = km_json_string(config, "os", NULL);
    const char *architecture = km_json_string(config, "architecture", NULL);
    const char *variant = km_json_string(config, "variant", NULL);
    if (!os || !architecture)
        return keep_text(set, set->draft->platform, KM_IMAGESET_MAX_TEXT_BYTES, &image->platform, err);
    char text[256];
    (void)snprintf(text, sizeof text, "%.64s/%.64s%s%.64s", os, architecture, variant ? "/" : "",
                   variant ? variant : "");
    return keep_text(set, text, sizeof text, &image->platform, err);
}

static enum km_code fill_image(struct km_imageset *set, const struct km_json *config, struct km_image *image,
                               struct km_err *err)
{
    struct km_layout *layout = set->layout;
    const struct km_draft *draft = set->draft;
    struct km_layer *layers = km_arena_alloc(layout->images_memory, draft->layer_count * sizeof *layers, err);
    if (!layers)
        return err->code;
    enum km_code code = fill_layers(set, config, layers, err);
    if (code == KM_OK)
        code = fill_platform(set, config, image, err);
    if (code == KM_OK)
        code = keep_text(set, draft->name, KM_IMAGESET_MAX_TEXT_BYTES, &image->name, err);
    if (code == KM_OK && draft->manifest != KM_LAYOUT_NONE && layout->blobs[draft->manifest].info.complete) {
        char digest[sizeof "sha256:" + KM_SHA256_HEX_BYTES] = "sha256:";
        km_hex_format(layout->blobs[draft->manifest].info.stored_sha256, KM_SHA256_BYTES, digest + strlen("sha256:"));
        code = keep_text(set, digest, sizeof digest, &image->digest, err);
    }
    image->layers = layers;
    image->layer_count = draft->layer_count;
    return code;
}

static enum km_code store_image(struct km_imageset *set, const struct km_image *image, struct km_err *err)
{
    struct km_layout *layout = set->layout;
    void *images = layout->images, *configs = set->image_configs;
    size_t wanted = layout->image_count + 1;
    enum km_code code = km_grow(&images, &layout->image_capacity, wanted, sizeof *image, KM_LAYOUT_MAX_IMAGES, err);
    layout->images = images;
    if (code == KM_OK)
        code = km_grow(&configs, &set->image_config_capacity, wanted, sizeof *set->image_configs, KM_LAYOUT_MAX_IMAGES,
                       err);
    set->image_configs = configs;
    if (code != KM_OK)
        return code;
    set->image_configs[layout->image_count] = set->draft->config;
    layout->images[layout->image_count++] = *image;
    return KM_OK;
}

enum km_code km_imageset_add(struct km_imageset *set, struct km_err *err)
{
    struct km_layout *layout = set->layout;
    struct km_draft *draft = set->draft;
    for (size_t i = 0; i < layout->image_count; i++)
        if (is_same_image(set, i, draft)) {
            bool better_name = draft->name && (draft->tagged_by_docker || !layout->images[i].name);
            return better_name ? keep_text(set, draft->name, KM_IMAGESET_MAX_TEXT_BYTES, &layout->images[i].name, err)
                               : KM_OK;
        }
    struct km_json *config KM_CLEANUP(km_json_cleanup) = NULL;
    enum km_code code = KM_OK;
    if (draft->config != KM_LAYOUT_NONE)
        code = km_imageset_load(set, draft->config, &config, err);
    if (code != KM_OK)
        return code;
    struct km_image image = {0};
    code = fill_image(set, config, &image, err);
    return code == KM_OK ? store_image(set, &image, err) : code;
}

void km_imageset_begin(struct km_imageset *set)
{
    struct km_draft *draft = set->draft;
    draft->name = draft->platform = NULL;
    draft->config = draft->manifest = KM_LAYOUT_NONE;
    draft->positions = draft->layer_count = 0;
    draft->tagged_by_docker = false;
}

enum km_code km_imageset_add_layer(struct km_draft *draft, uint32_t blob, struct km_err *err)
{
    if (draft->layer_count == KM_LAYOUT_MAX_LAYERS)
        return km_fail(err, KM_LIMIT, "more than %zu layers", KM_LAYOUT_MAX_LAYERS);
    draft->layers[draft->layer_count++] = (struct km_draft_layer){blob, draft->positions - 1};
    return KM_OK;
}

enum km_code km_imageset_check_kind(struct km_imageset *set, uint32_t blob, enum km_layer_media media,
                                    struct km_err *err)
{
    const struct km_blob *info = &set->layout->blobs[blob].info;
    if (info->kind == KM_BLOB_TREE || !info->complete)
        return KM_OK;
    if (media == KM_LAYER_ENCRYPTED)
        return km_imageset_report_blob(set, KM_GAP_ENCRYPTED, blob, "an encrypted layer", err);
    if (media == KM_LAYER_FILE_SYSTEM)
        return km_imageset_report_blob(set, KM_GAP_UNSUPPORTED, blob, "a layer that is no archive of files", err);
    return info->kind == KM_BLOB_DOCUMENT ? KM_OK
                                          : km_imageset_report_blob(set, KM_GAP_UNSUPPORTED, blob,
                                                                    "an artifact of a type that is not opened", err);
}
