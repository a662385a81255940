/*
 * Documents of an image archive. The input is a row of records: kind (0 document, 1 tree, 2 other, 3 link), length of
 * the name, name, length of the content (2 bytes, little endian), content. A tree's content is one entry a byte pair:
 * type and a letter that makes its path.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "container/source/layout.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct record {
    uint8_t kind;
    char name[256];
    const uint8_t *content;
    size_t length;
};

static bool next_record(const uint8_t **data, size_t *size, struct record *out)
{
    if (*size < 2 || *size - 2 < (*data)[1])
        return false;
    size_t name = (*data)[1];
    out->kind = (*data)[0] % 4;
    memcpy(out->name, *data + 2, name);
    out->name[name] = '\0';
    *data += 2 + name;
    *size -= 2 + name;
    if (*size < 2)
        return false;
    size_t length = (size_t)((*data)[0] | (*data)[1] << 8);
    *data += 2;
    *size -= 2;
    out->length = length < *size ? length : *size;
    out->content = *data;
    *data += out->length;
    *size -= out->length;
    return true;
}

static void add_entries(struct km_layout *layout, uint32_t blob, const struct record *record, uint32_t *id)
{
    static const char *const paths[] = {"", "a", "a/b", "a/b/c", "a/c", "b", "b/a", "c"};
    struct km_err err = KM_ERR_INIT;
    for (size_t i = 0; i + 1 < record->length; i += 2) {
        const struct km_entry entry = {.id = *id,
                                       .blob = blob,
                                       .parent = record->content[i + 1] & 0x80 && *id > 0 ? *id - 1 : KM_ENTRY_NONE,
                                       .type = (enum km_entry_type)(record->content[i] % (KM_ENTRY_OPAQUE + 1)),
                                       .path = paths[record->content[i + 1] % 8]};
        if (km_layout_add_entry(layout, &entry, &err) == KM_OK)
            ++*id;
    }
}

static void add_blob(struct km_layout *layout, const struct record *record, uint32_t *id)
{
    struct km_err err = KM_ERR_INIT;
    uint32_t blob = 0;
    if (km_layout_begin_blob(layout, record->name, &blob, &err) != KM_OK)
        return;
    struct km_blob result = {.kind = record->kind == 1   ? KM_BLOB_TREE
                                     : record->kind == 0 ? KM_BLOB_DOCUMENT
                                                         : KM_BLOB_OTHER,
                             .complete = record->length % 16 != 15,
                             .stored_bytes = record->length,
                             .stream_bytes = record->length};
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    KM_ASSERT(digest != NULL);
    km_digest_update(digest, record->content, record->length);
    km_digest_finish(digest, result.stored_sha256);
    km_digest_free(digest);
    memcpy(result.stream_sha256, result.stored_sha256, sizeof result.stream_sha256);
    if (record->kind == 1)
        add_entries(layout, blob, record, id);
    km_layout_end_blob(layout, blob, &result);
    if (record->kind == 0)
        KM_ASSERT(km_layout_add_document(layout, blob, (const char *)record->content, record->length, &err) == KM_OK);
}

static enum km_code take_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context;
    (void)err;
    KM_ASSERT(gap->where != NULL);
    return KM_OK;
}

static void check(const struct km_layout *layout)
{
    for (size_t i = 0; i < km_layout_image_count(layout); i++) {
        const struct km_image *image = km_layout_image(layout, i);
        for (size_t j = 0; j < image->layer_count; j++)
            KM_ASSERT(image->layers[j].blob == UINT32_MAX || image->layers[j].blob < km_layout_blob_count(layout));
    }
    for (uint32_t id = 0; id < km_layout_entry_count(layout); id++) {
        struct km_place place = km_layout_place(layout, id);
        const struct km_layer *hider = place.deleted_by ? place.deleted_by : place.replaced_by;
        KM_ASSERT(!place.deleted_by || !place.replaced_by);
        KM_ASSERT(place.image || (!hider && place.layer_index == -1));
        KM_ASSERT(!place.image || (place.layer_index >= 0 && (size_t)place.layer_index < place.image->layer_count));
        KM_ASSERT(!hider || hider - place.image->layers > place.layer_index);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_layout *layout = km_layout_new((size_t)1 << 20, &err);
    KM_ASSERT(layout != NULL);
    struct record record;
    uint32_t id = 0;
    while (next_record(&data, &size, &record)) {
        if (record.kind != 3) {
            add_blob(layout, &record, &id);
            continue;
        }
        char target[64];
        size_t length = record.length < sizeof target - 1 ? record.length : sizeof target - 1;
        memcpy(target, record.content, length);
        target[length] = '\0';
        KM_ASSERT(km_layout_add_alias(layout, record.name, target, &err) == KM_OK);
    }
    const struct km_entry_sink sink = {.gap = take_gap};
    enum km_code code = km_layout_resolve_images(layout, &sink, &err);
    KM_ASSERT(code == KM_OK || code == KM_FORMAT);
    check(layout);
    km_layout_free(layout);
    return 0;
}
