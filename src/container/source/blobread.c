#include "container/source/blobread.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "container/source/hasher.h"
#include "container/source/sniff.h"
#include "container/source/tarhead.h"
#include "container/source/tarmembers.h"

/* Passes another stream on and hashes it. */
struct hashed {
    struct km_stream base;
    struct km_stream *source;
    struct km_hasher *hasher; /* NULL: passes on only */
};

struct km_blobread {
    struct km_reader *reader;
    const bool *cut;
    struct hashed stored, uncompressed;
    struct km_stream *inflated; /* NULL when what is stored is not compressed */
    struct km_stream *head;     /* what readers see; NULL before km_blobread_open */
};

static enum km_code pull_hashed(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                struct km_err *err)
{
    struct hashed *hashed = (struct hashed *)base;
    if (hashed->hasher)
        km_hasher_wait(hashed->hasher, hashed->source->lasting); /* the source takes blocks back */
    enum km_code code = km_stream_next(hashed->source, UINT64_MAX, out_bytes, out_length, err);
    if (code == KM_OK && hashed->hasher && *out_length > 0)
        km_hasher_update(hashed->hasher, *out_bytes, *out_length);
    return code;
}

static enum km_code init_hashed(struct hashed *hashed, struct km_stream *source, struct km_err *err)
{
    hashed->base.pull = pull_hashed;
    hashed->source = source;
    hashed->hasher = km_hasher_new(err);
    return hashed->hasher ? KM_OK : err->code;
}

struct km_blobread *km_blobread_new(struct km_reader *reader, struct km_stream *stored, const bool *cut,
                                    struct km_err *err)
{
    struct km_blobread *blob = calloc(1, sizeof *blob);
    if (!blob) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *blob);
        return NULL;
    }
    blob->reader = reader;
    blob->cut = cut;
    if (init_hashed(&blob->stored, stored, err) == KM_OK)
        return blob;
    km_blobread_free(blob);
    return NULL;
}

void km_blobread_free(struct km_blobread *blob)
{
    if (!blob)
        return;
    km_blobread_forget_hashes(blob); /* first: blocks of the streams are being hashed */
    km_stream_close(blob->inflated);
    free(blob);
}

const struct km_fault *km_blobread_fault(const struct km_blobread *blob)
{
    return blob->inflated ? km_inflate_fault(blob->inflated) : NULL;
}

void km_blobread_forget_hashes(struct km_blobread *blob)
{
    km_hasher_free(km_steal(blob->stored.hasher));
    km_hasher_free(km_steal(blob->uncompressed.hasher));
}

enum km_code km_blobread_open(struct km_blobread *blob, struct km_stream **out, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    if (blob->head) {
        *out = blob->head;
        return KM_OK;
    }
    enum km_code code = km_stream_peek(&blob->stored.base, KM_SNIFF_BYTES, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    enum km_content content = km_sniff(bytes, have);
    blob->head = &blob->stored.base;
    if (km_inflate_handles(content)) {
        blob->inflated = km_inflate_new(content, &blob->stored.base, km_reader_layer_limits(blob->reader), err);
        code = blob->inflated ? init_hashed(&blob->uncompressed, blob->inflated, err) : err->code;
        blob->head = &blob->uncompressed.base;
    }
    if (code == KM_OK)
        *out = blob->head;
    return code;
}

enum km_code km_blobread_finish(struct km_blobread *blob, const char *name, bool *out_complete, struct km_err *err)
{
    uint64_t skipped = 0;
    bool complete = true;
    enum km_code code = km_stream_skip(blob->head, UINT64_MAX, &skipped, err);
    const struct km_fault *fault = code == KM_OK ? km_blobread_fault(blob) : NULL;
    uint64_t end = blob->stored.base.position;
    if (code == KM_OK)
        code = km_stream_skip(&blob->stored.base, UINT64_MAX, &skipped, err);
    if (code == KM_OK && fault) {
        struct km_fault told = *fault;
        complete = fault->reason == KM_GAP_TRAILING;
        if (complete)
            told.bytes = blob->stored.base.position - end;
        code = km_reader_fault(blob->reader, name, &told, err);
    }
    if (code == KM_OK)
        *out_complete = complete;
    return code;
}

static void fill_result(struct km_blobread *blob, struct km_blob *out)
{
    out->stored_bytes = blob->stored.base.position;
    out->stream_bytes = blob->head->position;
    km_hasher_finish(blob->stored.hasher, out->stored_sha256);
    if (blob->inflated)
        km_hasher_finish(blob->uncompressed.hasher, out->stream_sha256);
    else
        memcpy(out->stream_sha256, out->stored_sha256, sizeof out->stream_sha256);
}

/* JSON by its first character; what is too large for a document is other content. */
static bool looks_like_document(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isspace(bytes[i]))
            return bytes[i] == '{' || bytes[i] == '[';
    return false;
}

static enum km_code take_document(struct km_blobread *blob, struct km_layout *layout, uint32_t index,
                                  struct km_blob *result, struct km_err *err)
{
    struct km_buf text;
    enum km_code code = KM_OK;
    km_buf_init(&text, KM_LAYOUT_MAX_DOCUMENT_BYTES);
    for (;;) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        code = km_stream_next(blob->head, UINT64_MAX, &bytes, &got, err);
        if (code != KM_OK || got == 0)
            break;
        code = km_buf_append(&text, bytes, got, err);
        if (code != KM_OK)
            break;
    }
    result->kind = KM_BLOB_DOCUMENT;
    if (code == KM_OK)
        code = km_layout_add_document(layout, index, km_buf_text(&text), text.length, err);
    if (code == KM_LIMIT) { /* too large to be understood, which the layout will miss if it matters */
        result->kind = KM_BLOB_OTHER;
        code = KM_OK;
    }
    km_buf_done(&text);
    return code;
}

static enum km_code take_tree(struct km_blobread *blob, uint32_t index, const char *name, bool *out_complete,
                              struct km_err *err)
{
    struct km_members *members = km_tarmembers_new(blob->head, err);
    if (!members)
        return err->code;
    const struct km_tree tree = {.members = members, .blob = index, .name = name, .whiteouts = true};
    enum km_code code = km_reader_walk(blob->reader, &tree, out_complete, err);
    members->close(members);
    return code;
}

static bool has_ending(const char *name, const char *ending)
{
    size_t length = strlen(name), wanted = strlen(ending);
    return length >= wanted && strcmp(name + length - wanted, ending) == 0;
}

static enum km_blob_kind kind_of(const struct km_blobread *blob, const uint8_t *bytes, size_t have, const char *name,
                                 enum km_blob_want want)
{
    bool block = have >= KM_TAR_BLOCK;
    enum km_tar_block first = block ? km_tar_classify(bytes) : KM_TAR_BAD;
    if (want == KM_BLOB_WANT_TREE || first == KM_TAR_HEADER || (block && first == KM_TAR_ZERO))
        return KM_BLOB_TREE;
    if (looks_like_document(bytes, have))
        return KM_BLOB_DOCUMENT;
    /* A layer whose first header is damaged is still looked through for good ones. */
    return (blob->inflated && have > 0) || has_ending(name, ".tar") ? KM_BLOB_TREE : KM_BLOB_OTHER;
}

enum km_code km_blobread_run(struct km_blobread *blob, struct km_layout *layout, const char *name,
                             enum km_blob_want want, struct km_err *err)
{
    struct km_stream *head = NULL;
    const uint8_t *bytes = NULL;
    size_t have = 0;
    uint32_t index = 0;
    bool tree_complete = true, complete = true;
    struct km_blob result = {.name = name};
    enum km_code code = km_layout_begin_blob(layout, name, &index, err);
    if (code == KM_OK)
        code = km_blobread_open(blob, &head, err);
    if (code == KM_OK)
        code = km_stream_peek(head, KM_TAR_BLOCK, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    result.kind = kind_of(blob, bytes, have, name, want);
    if (result.kind == KM_BLOB_TREE)
        code = take_tree(blob, index, name, &tree_complete, err);
    else if (result.kind == KM_BLOB_DOCUMENT)
        code = take_document(blob, layout, index, &result, err);
    if (code == KM_OK)
        code = km_blobread_finish(blob, name, &complete, err);
    if (code != KM_OK)
        return code;
    result.complete = tree_complete && complete && !(blob->cut && *blob->cut);
    fill_result(blob, &result);
    km_layout_end_blob(layout, index, &result);
    return KM_OK;
}
