#include "container/source/layout.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/source/layout_parts.h"

#define MAX_BLOBS          ((size_t)100000)
#define MAX_ALIASES        ((size_t)100000)
#define MAX_DOCUMENT_BYTES ((size_t)64 << 20)
#define MAX_NAME_BYTES     ((size_t)32 << 20)
#define MAX_IMAGE_BYTES    ((size_t)16 << 20) /* names, layers and history lines of all images */

/* The marks that whiteout.c keeps for each path are paid for in advance. */
#define MARK_BYTES ((size_t)8)

struct km_layout *km_layout_new(size_t max_bytes, struct km_err *err)
{
    struct km_layout *layout = km_calloc(1, sizeof *layout, SIZE_MAX, err);
    if (!layout)
        return NULL;
    layout->max_bytes = max_bytes;
    layout->paths = km_pathtree_new(max_bytes, err);
    layout->names = layout->paths ? km_arena_new(MAX_NAME_BYTES, err) : NULL;
    layout->images_memory = layout->names ? km_arena_new(MAX_IMAGE_BYTES, err) : NULL;
    if (!layout->images_memory) {
        km_layout_free(layout);
        return NULL;
    }
    return layout;
}

static void free_documents(struct km_layout *layout)
{
    for (size_t i = 0; i < layout->document_count; i++)
        free(layout->documents[i].text);
    free(layout->documents);
    layout->documents = NULL;
    layout->document_count = layout->document_capacity = 0;
}

void km_layout_free(struct km_layout *layout)
{
    if (!layout)
        return;
    free_documents(layout);
    km_pathtree_free(layout->paths);
    km_arena_free(layout->names);
    km_arena_free(layout->images_memory);
    free(layout->entries);
    free(layout->blobs);
    free(layout->aliases);
    free(layout->images);
    free(layout);
}

/* ---- Adding ---- */

enum km_code km_layout_begin_blob(struct km_layout *layout, const char *name, uint32_t *out_blob, struct km_err *err)
{
    void *blobs = layout->blobs;
    enum km_code code =
        km_grow(&blobs, &layout->blob_capacity, layout->blob_count + 1, sizeof *layout->blobs, MAX_BLOBS, err);
    layout->blobs = blobs;
    if (code != KM_OK)
        return km_err_wrap(err, "blobs");
    const char *copy = km_arena_strndup(layout->names, name, strlen(name), err);
    if (!copy)
        return err->code;
    layout->blobs[layout->blob_count] = (struct km_layout_blob){.info = {.name = copy}, .document = KM_LAYOUT_NONE};
    *out_blob = (uint32_t)layout->blob_count++;
    return KM_OK;
}

void km_layout_end_blob(struct km_layout *layout, uint32_t blob, const struct km_blob *result)
{
    KM_ASSERT(blob < layout->blob_count);
    const char *name = layout->blobs[blob].info.name;
    layout->blobs[blob].info = *result;
    layout->blobs[blob].info.name = name;
}

enum km_code km_layout_add_document(struct km_layout *layout, uint32_t blob, const char *text, size_t length,
                                    struct km_err *err)
{
    KM_ASSERT(blob < layout->blob_count && layout->blobs[blob].document == KM_LAYOUT_NONE);
    if (length > KM_LAYOUT_MAX_DOCUMENT_BYTES)
        return km_fail(err, KM_LIMIT, "a document of %zu bytes", length);
    if (length > MAX_DOCUMENT_BYTES - layout->document_bytes)
        return km_fail(err, KM_LIMIT, "documents of more than %zu bytes together", MAX_DOCUMENT_BYTES);
    void *documents = layout->documents;
    enum km_code code = km_grow(&documents, &layout->document_capacity, layout->document_count + 1,
                                sizeof *layout->documents, MAX_BLOBS, err);
    layout->documents = documents;
    if (code != KM_OK)
        return code;
    char *copy = km_strndup(text, length, err);
    if (!copy)
        return err->code;
    layout->documents[layout->document_count] = (struct km_layout_document){copy, length};
    layout->blobs[blob].document = (uint32_t)layout->document_count++;
    layout->document_bytes += length;
    return KM_OK;
}

enum km_code km_layout_add_alias(struct km_layout *layout, const char *name, const char *target, struct km_err *err)
{
    void *aliases = layout->aliases;
    enum km_code code =
        km_grow(&aliases, &layout->alias_capacity, layout->alias_count + 1, sizeof *layout->aliases, MAX_ALIASES, err);
    layout->aliases = aliases;
    if (code != KM_OK)
        return km_err_wrap(err, "links");
    const char *own_name = km_arena_strndup(layout->names, name, strlen(name), err);
    const char *own_target = own_name ? km_arena_strndup(layout->names, target, strlen(target), err) : NULL;
    if (!own_target)
        return err->code;
    layout->aliases[layout->alias_count++] = (struct km_layout_alias){own_name, own_target};
    return KM_OK;
}

static size_t bytes_used(const struct km_layout *layout)
{
    return km_pathtree_used(layout->paths) + MARK_BYTES * km_pathtree_count(layout->paths) +
           layout->entry_count * sizeof *layout->entries;
}

static enum km_code store_entry(struct km_layout *layout, const struct km_entry *entry, struct km_err *err)
{
    if (bytes_used(layout) + sizeof *layout->entries > layout->max_bytes)
        return km_fail(err, KM_LIMIT, "more than %zu bytes of names and records", layout->max_bytes);
    void *entries = layout->entries;
    enum km_code code = km_grow(&entries, &layout->entry_capacity, layout->entry_count + 1, sizeof *layout->entries,
                                KM_ENTRY_NONE - 1, err);
    layout->entries = entries;
    if (code != KM_OK)
        return code;
    uint32_t node = 0;
    code = entry->parent == KM_ENTRY_NONE ? km_pathtree_add(layout->paths, entry->path, &node, err)
                                          : km_pathtree_add_loose(layout->paths, entry->path, &node, err);
    if (code != KM_OK)
        return code;
    layout->entries[layout->entry_count++] = (struct km_layout_entry){
        .node = node,
        .blob = entry->blob,
        .parent = entry->parent,
        .image = KM_LAYOUT_NO_IMAGE,
        .type = (uint8_t)entry->type,
    };
    return KM_OK;
}

enum km_code km_layout_add_entry(struct km_layout *layout, const struct km_entry *entry, struct km_err *err)
{
    if (layout->full)
        return km_fail(err, KM_LIMIT, "more than %zu bytes of names and records", layout->max_bytes);
    KM_ASSERT(entry->id == layout->entry_count && entry->blob < layout->blob_count);
    KM_ASSERT(entry->parent == KM_ENTRY_NONE || entry->parent < entry->id);
    enum km_code code = store_entry(layout, entry, err);
    if (code != KM_OK) {
        layout->full = true;
        return code;
    }
    struct km_layout_blob *blob = &layout->blobs[entry->blob];
    if (blob->first_entry == blob->end_entry)
        blob->first_entry = entry->id;
    blob->end_entry = entry->id + 1;
    return KM_OK;
}

/* ---- Resolving ---- */

static bool is_known(const uint8_t *digest)
{
    static const uint8_t none[KM_SHA256_BYTES];
    return memcmp(digest, none, sizeof none) != 0;
}

enum km_code km_layout_diff_id(struct km_layout *layout, uint32_t blob, const char **out_text, struct km_err *err)
{
    struct km_layout_blob *record = &layout->blobs[blob];
    if (!record->diff_id && is_known(record->info.stream_sha256)) {
        char text[sizeof "sha256:" + KM_SHA256_HEX_BYTES] = "sha256:";
        km_hex_format(record->info.stream_sha256, KM_SHA256_BYTES, text + strlen("sha256:"));
        record->diff_id = km_arena_strndup(layout->images_memory, text, strlen(text), err);
        if (!record->diff_id)
            return err->code;
    }
    *out_text = record->diff_id;
    return KM_OK;
}

enum km_code km_layout_resolve_single(struct km_layout *layout, const char *image_name, struct km_err *err)
{
    KM_ASSERT(layout->image_count == 0);
    if (layout->blob_count == 0)
        return km_fail(err, KM_FORMAT, "the source has no file system");
    struct km_layer *layer = km_arena_alloc(layout->images_memory, sizeof *layer, err);
    if (!layer)
        return err->code;
    enum km_code code = km_layout_diff_id(layout, 0, &layer->diff_id, err);
    const char *name = NULL;
    if (code == KM_OK && image_name) {
        name = km_arena_strndup(layout->images_memory, image_name, strlen(image_name), err);
        code = name ? KM_OK : err->code;
    }
    void *images = NULL;
    if (code == KM_OK)
        code = km_grow(&images, &layout->image_capacity, 1, sizeof *layout->images, 1, err);
    if (code != KM_OK)
        return code;
    layout->images = images;
    layout->images[0] = (struct km_image){.name = name, .layer_count = 1, .layers = layer};
    layout->image_count = 1;
    layout->blobs[0].referenced = true;
    free_documents(layout);
    bool complete = true;
    return km_whiteout_apply(layout, &complete, err);
}

enum km_code km_layout_resolve_images(struct km_layout *layout, const struct km_entry_sink *sink, struct km_err *err)
{
    KM_ASSERT(layout->image_count == 0);
    enum km_code code = km_manifest_read(layout, sink, err);
    free_documents(layout);
    bool complete = true;
    if (code == KM_OK)
        code = km_whiteout_apply(layout, &complete, err);
    if (code != KM_OK || complete)
        return code;
    const struct km_gap gap = {
        .reason = KM_GAP_LIMIT,
        .where = "",
        .offset = UINT64_MAX,
        .bytes = 0,
        .detail = "too many images share too many files: which of the later images show them was not worked out",
    };
    return sink->gap(sink->context, &gap, err);
}

/* ---- Answers ---- */

size_t km_layout_image_count(const struct km_layout *layout)
{
    return layout->image_count;
}

const struct km_image *km_layout_image(const struct km_layout *layout, size_t i)
{
    KM_ASSERT(i < layout->image_count);
    return &layout->images[i];
}

size_t km_layout_blob_count(const struct km_layout *layout)
{
    return layout->blob_count;
}

const struct km_blob *km_layout_blob(const struct km_layout *layout, uint32_t blob)
{
    KM_ASSERT(blob < layout->blob_count);
    return &layout->blobs[blob].info;
}

size_t km_layout_entry_count(const struct km_layout *layout)
{
    return layout->entry_count;
}

struct km_place km_layout_describe(const struct km_layout *layout, uint32_t id, const struct km_layout_seat *seat)
{
    const struct km_layout_entry *entry = &layout->entries[id];
    struct km_place place = {
        .layer_index = -1,
        .path = km_pathtree_path(layout->paths, entry->node),
        .type = (enum km_entry_type)entry->type,
        .blob = entry->blob,
        .parent = entry->parent,
    };
    if (seat->image == KM_LAYOUT_NO_IMAGE)
        return place;
    place.image = &layout->images[seat->image];
    place.layer_index = seat->layer;
    if (seat->flags & KM_LAYOUT_DELETED)
        place.deleted_by = &place.image->layers[seat->hider];
    if (seat->flags & KM_LAYOUT_REPLACED)
        place.replaced_by = &place.image->layers[seat->hider];
    return place;
}

struct km_place km_layout_place(const struct km_layout *layout, uint32_t id)
{
    KM_ASSERT(id < layout->entry_count);
    const struct km_layout_entry *entry = &layout->entries[id];
    const struct km_layout_seat seat = {entry->image, entry->layer, entry->hider, entry->flags};
    return km_layout_describe(layout, id, &seat);
}

enum km_code km_layout_format_path(const struct km_layout *layout, uint32_t id, char **out_path, struct km_err *err)
{
    static const char joint[] = "!/";
    size_t length = 1;
    for (uint32_t at = id; at != KM_ENTRY_NONE; at = layout->entries[at].parent) {
        KM_ASSERT(at < layout->entry_count);
        length += strlen(km_pathtree_path(layout->paths, layout->entries[at].node)) + sizeof joint - 1;
    }
    char *path = malloc(length);
    if (!path)
        return km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", length);
    char *begin = path + length - 1; /* built from its end: the innermost name is the last */
    *begin = '\0';
    for (uint32_t at = id; at != KM_ENTRY_NONE; at = layout->entries[at].parent) {
        const char *name = km_pathtree_path(layout->paths, layout->entries[at].node);
        if (at != id)
            memcpy(begin -= sizeof joint - 1, joint, sizeof joint - 1);
        begin -= strlen(name);
        memcpy(begin, name, strlen(name));
    }
    memmove(path, begin, strlen(begin) + 1);
    *out_path = path;
    return KM_OK;
}
