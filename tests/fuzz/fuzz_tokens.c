/* Token extraction: sets are sorted, ids in range, texts printable, and however a file is cut into pieces it says the
 * same. The first byte chooses the pieces. */
#include <stdint.h>
#include <string.h>

#include "container/tokens/tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct told {
    uint64_t digest;
    uint32_t windows;
};

static void fold_set(struct told *told, uint64_t offset, const struct km_token_set *set)
{
    uint64_t digest = offset;
    for (size_t i = 0; i < set->count; i++) {
        KM_ASSERT(set->ids[i] < KM_TOKEN_IDS && (i == 0 || set->ids[i] > set->ids[i - 1]));
        digest = (digest ^ set->ids[i]) * UINT64_C(0x100000001B3);
    }
    told->digest += digest; /* windows come in no particular order */
}

static enum km_code on_window(void *context, const struct km_token_window *window, struct km_err *err)
{
    (void)err;
    struct told *told = context;
    fold_set(told, window->offset, &window->set);
    told->windows++;
    return KM_OK;
}

static struct told extract(struct km_token_extractor *extractor, const uint8_t *data, size_t size, size_t step)
{
    struct km_err err = KM_ERR_INIT;
    struct told told = {0};
    struct km_token_sink sink = {.context = &told, .window = on_window};
    km_token_extractor_begin(extractor, &sink);
    for (size_t at = 0; at < size; at += step)
        KM_ASSERT(km_token_extractor_feed(extractor, data + at, size - at < step ? size - at : step, &err) == KM_OK);
    struct km_token_file file;
    KM_ASSERT(km_token_extractor_end(extractor, &file, &err) == KM_OK);
    KM_ASSERT(file.bytes == size && file.windows == told.windows);
    fold_set(&told, 1, &file.set);
    for (size_t i = 0; i < file.set.count && i < 8; i++) {
        char text[KM_TOKEN_TEXT_BYTES];
        KM_ASSERT(km_token_extractor_text(extractor, file.set.ids[i], text));
        KM_ASSERT(strlen(text) >= 1);
    }
    return told;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct km_token_extractor *extractor; /* 4 MiB: kept from input to input */
    struct km_err err = KM_ERR_INIT;
    if (!extractor)
        extractor = km_token_extractor_new(&err);
    if (!extractor || size == 0)
        return 0;
    struct told whole = extract(extractor, data + 1, size - 1, size);
    struct told split = extract(extractor, data + 1, size - 1, (size_t)data[0] * 257 + 1);
    KM_ASSERT(split.digest == whole.digest && split.windows == whole.windows);
    return 0;
}
