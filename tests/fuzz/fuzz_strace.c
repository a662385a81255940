/* The importers: strace logs and tables of call numbers, in pieces of uneven size. */
#include <stdlib.h>

#include "daemon/trace/import.h"

static enum km_code take(void *context, const struct km_event *event, struct km_err *err)
{
    (void)err;
    size_t *texts = context;
    if (event->kind == KM_EVENT_LANDMARK) {
        if (event->landmark.path.length > KM_EVENT_MAX_PATH_BYTES ||
            event->landmark.address.length > KM_EVENT_MAX_ADDRESS)
            abort();
        *texts += event->landmark.path.length;
    }
    if (event->kind == KM_EVENT_CALL && event->call.number >= KM_CALL_NUMBERS)
        abort();
    return KM_OK;
}

static void import_as(enum km_import_kind kind, const char *text, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    size_t texts = 0;
    struct km_event_sink sink = {&texts, take};
    struct km_import *import = km_import_new(kind, "fuzz", &sink, &err);
    if (!import)
        abort();
    enum km_code code = KM_OK;
    for (size_t at = 0, piece = 1; at < size && code == KM_OK; at += piece, piece = piece * 3 % 101 + 1)
        code = km_import_text(import, text + at, at + piece < size ? piece : size - at, &err);
    if (code == KM_OK)
        code = km_import_finish(import, &err);
    if (code != KM_OK && code != KM_FORMAT && code != KM_LIMIT)
        abort();
    km_import_free(import);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    import_as(KM_IMPORT_STRACE, (const char *)data, size);
    import_as(KM_IMPORT_TSV, (const char *)data, size);
    return 0;
}
