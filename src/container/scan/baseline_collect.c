#include "container/scan/baseline_collect.h"

#include <stdlib.h>
#include <string.h>

#include "container/scan/fileformat.h"
#include "container/tokens/tokenindex.h"

#define INDEX_FAMILY "baseline" /* one for all images, so that what they share is kept once */
#define MAX_FILES    ((size_t)1 << 24)
#define MAX_HASHED_HOLE_BYTES                                                                                          \
    ((uint64_t)64 << 20) /* a file with larger holes is not taken in; the scan leaves it, too */

struct hashes {
    uint8_t (*list)[KM_SHA256_BYTES];
    size_t count, capacity;
};

/* An open file. As many as the source nests; kept for reuse. */
struct open_file {
    struct open_file *next; /* in the free list, and in the list of all */
    struct open_file *all;
    struct km_digest *digest;
    struct km_token_extractor *extractor; /* NULL until it was needed */
    uint8_t head[KM_FILEFORMAT_HEAD_BYTES];
    size_t head_length;
    char path[KM_TOKEN_INDEX_LABEL_BYTES]; /* its last bytes, printable */
    uint64_t reached, holes;
    bool hashable, is_fed; /* the extractor has its bytes */
};

struct km_baseline_collect {
    struct km_entry_sink sink;
    struct open_file *unused, *all;
    struct hashes files, layers;
    struct km_token_index *index;
    uint64_t gaps, programs_left_out;
};

static struct open_file *take_file(struct km_baseline_collect *collect, struct km_err *err)
{
    struct open_file *file = collect->unused;
    if (file) {
        collect->unused = file->next;
        km_digest_reset(file->digest);
        file->reached = file->holes = 0;
        file->head_length = 0;
        file->hashable = true;
        file->is_fed = false;
        return file;
    }
    file = km_calloc(1, sizeof *file, SIZE_MAX, err);
    if (!file)
        return NULL;
    file->hashable = true;
    file->digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!file->digest) {
        free(file);
        return NULL;
    }
    file->all = collect->all;
    collect->all = file;
    return file;
}

/* What follows the last bytes that fit is what tells files apart. */
static void keep_path(struct open_file *file, const char *path)
{
    size_t length = strlen(path), n = 0;
    if (length >= sizeof file->path)
        path += length - (sizeof file->path - 1);
    for (; path[n]; n++)
        file->path[n] = path[n] >= ' ' && path[n] <= '~' ? path[n] : '?';
    file->path[n] = '\0';
}

static enum km_code begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    if (entry->type != KM_ENTRY_FILE)
        return KM_OK;
    struct open_file *file = take_file(context, err);
    if (!file)
        return err->code;
    keep_path(file, entry->path);
    *out_state = file;
    return KM_OK;
}

static void hash_zeros(struct open_file *file, uint64_t length)
{
    static const uint8_t zeros[64 << 10];
    while (length > 0) {
        size_t n = length < sizeof zeros ? (size_t)length : sizeof zeros;
        km_digest_update(file->digest, zeros, n);
        length -= n;
    }
}

/* What the file is shows in its head; until that is here, nothing is fed. */
static enum km_code decide(struct open_file *file, struct km_err *err)
{
    if (!km_fileformat_is_program(km_fileformat_detect(file->head, file->head_length), file->path))
        return KM_OK;
    if (!file->extractor)
        file->extractor = km_token_extractor_new(err);
    if (!file->extractor)
        return err->code;
    km_token_extractor_begin(file->extractor, NULL);
    file->is_fed = true;
    return km_token_extractor_feed(file->extractor, file->head, file->head_length, err);
}

static enum km_code feed_tokens(struct open_file *file, const uint8_t *bytes, uint64_t length, struct km_err *err)
{
    size_t room = sizeof file->head - file->head_length;
    if (room > 0) {
        size_t n = length < room ? (size_t)length : room;
        if (bytes)
            memcpy(file->head + file->head_length, bytes, n);
        else
            memset(file->head + file->head_length, 0, n);
        file->head_length += n;
        enum km_code code = n == room ? decide(file, err) : KM_OK;
        if (code != KM_OK)
            return code;
        bytes = bytes ? bytes + n : NULL;
        length -= n;
    }
    return file->is_fed && length > 0 ? km_token_extractor_feed(file->extractor, bytes, length, err) : KM_OK;
}

/* A full index leaves the rest out, which is counted. */
static enum km_code keep_tokens(struct km_baseline_collect *collect, struct open_file *file, struct km_err *err)
{
    struct km_token_file tokens;
    enum km_code code = file->head_length < sizeof file->head ? decide(file, err) : KM_OK;
    if (code != KM_OK || !file->is_fed)
        return code;
    code = km_token_extractor_end(file->extractor, &tokens, err);
    if (code == KM_OK)
        code = km_token_index_add(collect->index, KM_TOKEN_INDEX_BENIGN, INDEX_FAMILY, file->path, &tokens.set, err);
    if (code != KM_LIMIT)
        return code;
    *err = (struct km_err)KM_ERR_INIT;
    collect->programs_left_out++;
    return KM_OK;
}

static enum km_code data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                         struct km_err *err)
{
    struct open_file *file = state;
    (void)context;
    file->hashable = file->hashable && offset == file->reached; /* bytes are missing before these */
    file->reached = offset + length;
    if (!bytes) {
        file->holes += length;
        file->hashable = file->hashable && file->holes <= MAX_HASHED_HOLE_BYTES;
    }
    if (file->hashable && bytes)
        km_digest_update(file->digest, bytes, (size_t)length);
    else if (file->hashable)
        hash_zeros(file, length);
    return file->hashable ? feed_tokens(file, bytes, length, err) : KM_OK;
}

static enum km_code add_hash(struct hashes *hashes, const uint8_t hash[KM_SHA256_BYTES], struct km_err *err)
{
    void *list = hashes->list;
    enum km_code code = km_grow(&list, &hashes->capacity, hashes->count + 1, KM_SHA256_BYTES, MAX_FILES, err);
    hashes->list = list;
    if (code == KM_OK)
        memcpy(hashes->list[hashes->count++], hash, KM_SHA256_BYTES);
    return code;
}

static enum km_code end(void *context, void *state, bool complete, struct km_err *err)
{
    struct km_baseline_collect *collect = context;
    struct open_file *file = state;
    uint8_t hash[KM_SHA256_BYTES];
    if (!file)
        return KM_OK;
    enum km_code code = KM_OK;
    if (complete && file->hashable && file->reached > 0) {
        km_digest_finish(file->digest, hash);
        code = add_hash(&collect->files, hash, err);
        if (code == KM_OK)
            code = keep_tokens(collect, file, err);
    }
    file->next = collect->unused;
    collect->unused = file;
    return code;
}

static enum km_code gap(void *context, const struct km_gap *told, struct km_err *err)
{
    struct km_baseline_collect *collect = context;
    (void)told, (void)err;
    collect->gaps++;
    return KM_OK;
}

struct km_baseline_collect *km_baseline_collect_new(struct km_err *err)
{
    struct km_baseline_collect *collect = km_calloc(1, sizeof *collect, SIZE_MAX, err);
    if (!collect)
        return NULL;
    collect->sink = (struct km_entry_sink){.context = collect, .begin = begin, .data = data, .end = end, .gap = gap};
    collect->index = km_token_index_new(err);
    if (collect->index)
        return collect;
    km_baseline_collect_free(collect);
    return NULL;
}

void km_baseline_collect_free(struct km_baseline_collect *collect)
{
    if (!collect)
        return;
    while (collect->all) {
        struct open_file *file = collect->all;
        collect->all = file->all;
        km_digest_free(file->digest);
        km_token_extractor_free(file->extractor);
        free(file);
    }
    km_token_index_free(collect->index);
    free(collect->files.list);
    free(collect->layers.list);
    free(collect);
}

const struct km_entry_sink *km_baseline_collect_sink(const struct km_baseline_collect *collect)
{
    return &collect->sink;
}

/* A directory has no stream and therefore no diff id. */
static bool is_layer(const struct km_blob *blob)
{
    static const uint8_t none[KM_SHA256_BYTES];
    return blob->kind == KM_BLOB_TREE && blob->complete && memcmp(blob->stream_sha256, none, sizeof none) != 0;
}

enum km_code km_baseline_collect_finish(struct km_baseline_collect *collect, const struct km_layout *layout,
                                        struct km_baseline_addition *addition, struct km_err *err)
{
    size_t images = km_layout_image_count(layout);
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < images; i++) {
        const struct km_image *image = km_layout_image(layout, i);
        for (size_t k = 0; code == KM_OK && k < image->layer_count; k++) {
            uint32_t blob = image->layers[k].blob;
            if (blob != UINT32_MAX && is_layer(km_layout_blob(layout, blob)))
                code = add_hash(&collect->layers, km_layout_blob(layout, blob)->stream_sha256, err);
        }
    }
    if (code != KM_OK)
        return code;
    const char *digest = images > 0 ? km_layout_image(layout, 0)->digest : NULL;
    addition->image.digest = digest ? digest : "";
    addition->image.gaps = collect->gaps;
    addition->files = collect->files.list;
    addition->file_count = collect->files.count;
    addition->layers = collect->layers.list;
    addition->layer_count = collect->layers.count;
    return KM_OK;
}

enum km_code km_baseline_collect_save_tokens(const struct km_baseline_collect *collect, int fd,
                                             struct km_baseline_programs *out, struct km_err *err)
{
    enum km_code code = km_token_index_save(collect->index, fd, err);
    if (code == KM_OK)
        *out = (struct km_baseline_programs){km_token_index_count(collect->index, KM_TOKEN_INDEX_BENIGN),
                                             collect->programs_left_out};
    return code;
}
