/* The whole reader over bytes: every kind of input, nested archives, decoders, layout. The sink reads all it is shown
 * and checks what source.h promises about the order of calls and the accounts. */
#include <stdint.h>
#include <stdlib.h>

#include "container/source/layout.h"
#include "container/source/source.h"
#include "container/source/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming): given */

struct state {
    uint64_t at;
    enum km_entry_type type;
};

struct account {
    uint32_t entries;
    size_t open;
    uint64_t gaps;
    volatile uint8_t sum;
};

static enum km_code on_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct account *account = context;
    struct state *state = calloc(1, sizeof *state);
    if (!state)
        return km_fail(err, KM_NOMEM, "out of memory");
    KM_ASSERT(entry->id == account->entries++);
    for (const char *at = entry->path; *at; at++)
        account->sum = (uint8_t)(account->sum + (uint8_t)*at);
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
        account->sum = (uint8_t)(account->sum + ((const uint8_t *)bytes)[i]);
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

static void read_as(const uint8_t *data, size_t size, enum km_source_kind kind)
{
    struct km_err err = KM_ERR_INIT;
    struct account account = {0};
    const struct km_entry_sink sink = {
        .context = &account, .begin = on_begin, .data = on_data, .end = on_end, .gap = on_gap};
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.max_entries = 5000;
    limits.max_nested_bytes = (uint64_t)32 << 20; /* so that one input takes no more than a moment */
    limits.max_ratio = 100;
    limits.layer_grace = limits.nested_grace = (uint64_t)1 << 20;
    struct km_source *source = NULL;
    struct km_stream *stream = km_stream_new_memory(data, size, &err);
    if (!stream || km_source_open_stream(stream, kind, "fuzz", &limits, &source, &err) != KM_OK)
        return;
    enum km_code code = km_source_run(source, &sink, NULL, &err);
    const struct km_coverage *coverage = km_source_coverage(source);
    KM_ASSERT(account.open == 0);
    KM_ASSERT(coverage->bytes_examined + coverage->bytes_opaque <= coverage->bytes_total);
    if (code == KM_OK) {
        KM_ASSERT(coverage->gaps == account.gaps);
        KM_ASSERT(account.gaps > 0 || coverage->bytes_examined == coverage->bytes_total);
    }
    km_source_close(source);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_as(data, size, KM_SOURCE_AUTO);
    read_as(data, size, KM_SOURCE_TAR);
    read_as(data, size, KM_SOURCE_IMAGES);
    return 0;
}
