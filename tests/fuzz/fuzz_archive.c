/* The whole reader over bytes: every kind of input, nested archives, decoders, layout. The sink reads all it is shown
 * and checks what source.h promises about the order of calls and the accounts; and that a sink which could remember
 * compressed files, and remembers none, is shown the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "container/source/layout.h"
#include "container/source/source.h"
#include "container/source/stream.h"
#include "pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming): given */

struct state {
    uint64_t at;
    enum km_entry_type type;
};

struct account {
    uint32_t entries;
    size_t open;
    uint64_t gaps, sum;
    struct km_coverage coverage;
};

struct way {
    enum km_source_kind kind;
    size_t piece_bytes; /* 0: all at once */
    bool (*recalls)(void *context, void *state, const char *name, const void *bytes, size_t length, uint64_t *out_size);
    uint64_t max_ratio, nested_grace;
};

static bool recall_none(void *context, void *state, const char *name, const void *bytes, size_t length,
                        uint64_t *out_size)
{
    (void)context, (void)state, (void)name, (void)bytes, (void)length, (void)out_size;
    return false;
}

static bool recall_some(void *context, void *state, const char *name, const void *bytes, size_t length,
                        uint64_t *out_size)
{
    const struct state *of = state;
    (void)context;
    KM_ASSERT(name && of->type == KM_ENTRY_FILE && of->at == length);
    *out_size = ((const uint8_t *)bytes)[length - 1] * (KM_SOURCE_MAX_RECALLED / UINT8_MAX);
    return *out_size % 2 == 1;
}

static enum km_code on_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct account *account = context;
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return km_fail(err, KM_NOMEM, "out of memory");
    KM_ASSERT(entry->id == account->entries++);
    for (const char *at = entry->path; *at; at++)
        account->sum += (uint8_t)*at;
    state->type = entry->type;
    account->open++;
    *out_state = state;
    return KM_OK;
}

static enum km_code on_data(void *context, void *opaque, uint64_t offset, const void *bytes, uint64_t length,
                            struct km_err *err)
{
    struct account *account = context;
    struct state *state = opaque;
    (void)err;
    KM_ASSERT(state->type == KM_ENTRY_FILE && offset == state->at && length > 0);
    for (uint64_t i = 0; bytes && i < length; i++)
        account->sum += ((const uint8_t *)bytes)[i] * (offset + i + 1);
    state->at += length;
    return KM_OK;
}

static enum km_code on_end(void *context, void *opaque, bool complete, struct km_err *err)
{
    struct account *account = context;
    (void)complete;
    (void)err;
    KM_ASSERT(account->open > 0);
    account->open--;
    free(opaque);
    return KM_OK;
}

static enum km_code on_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct account *account = context;
    (void)err;
    KM_ASSERT(gap->where);
    account->gaps++;
    return KM_OK;
}

static struct account read_as(const uint8_t *data, size_t size, const struct way *way)
{
    struct km_err err = KM_ERR_INIT;
    struct account account = {0};
    struct pieces pieces = {data, size, way->piece_bytes};
    const struct km_stream_callback callback = {.context = &pieces, .read = pieces_read};
    const struct km_entry_sink sink = {
        .context = &account, .begin = on_begin, .data = on_data, .end = on_end, .gap = on_gap, .recalls = way->recalls};
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.max_entries = 5000;
    limits.max_nested_bytes = (uint64_t)32 << 20; /* so that one input takes no more than a moment */
    limits.max_ratio = way->max_ratio;
    limits.layer_grace = (uint64_t)1 << 20;
    limits.nested_grace = way->nested_grace;
    struct km_source *source = NULL;
    struct km_stream *stream =
        way->piece_bytes ? km_stream_new_callback(&callback, &err) : km_stream_new_memory(data, size, &err);
    if (!stream || km_source_open_stream(stream, way->kind, "fuzz", &limits, &source, &err) != KM_OK)
        return account;
    enum km_code code = km_source_run(source, &sink, NULL, &err);
    const struct km_coverage *coverage = km_source_coverage(source);
    KM_ASSERT(account.open == 0);
    KM_ASSERT(coverage->bytes_examined + coverage->bytes_opaque <= coverage->bytes_total);
    if (code == KM_OK) {
        KM_ASSERT(coverage->gaps == account.gaps);
        KM_ASSERT(account.gaps > 0 || coverage->bytes_examined == coverage->bytes_total);
    }
    account.coverage = *coverage;
    km_source_close(source);
    return account;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct way ways[] = {
        {.kind = KM_SOURCE_AUTO, .max_ratio = 100, .nested_grace = (uint64_t)1 << 20},
        {.kind = KM_SOURCE_TAR, .max_ratio = 100, .nested_grace = (uint64_t)1 << 20},
        {.kind = KM_SOURCE_IMAGES, .max_ratio = 100, .nested_grace = (uint64_t)1 << 20},
        {.kind = KM_SOURCE_AUTO, .max_ratio = 100, .nested_grace = KM_SOURCE_MAX_RECALLED, .recalls = recall_some},
    };
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        (void)read_as(data, size, &ways[i]);
    /* In pieces, so that a compressed file has to be put together. Without a ratio: that counts what was pulled. */
    struct way plain = {
        .kind = KM_SOURCE_AUTO, .piece_bytes = 700, .max_ratio = UINT64_MAX, .nested_grace = KM_SOURCE_MAX_RECALLED};
    struct way asked = plain;
    asked.recalls = recall_none;
    const struct account a = read_as(data, size, &plain), b = read_as(data, size, &asked);
    KM_ASSERT(a.entries == b.entries && a.gaps == b.gaps);
    KM_ASSERT(a.gaps > 0 || a.sum == b.sum); /* how much comes before damage depends on where blocks end */
    KM_ASSERT(memcmp(&a.coverage, &b.coverage, sizeof a.coverage) == 0);
    return 0;
}
