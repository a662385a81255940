#include "container/source/single.h"

#include <stdlib.h>
#include <string.h>

struct single {
    struct km_members base;
    struct km_stream *stream;
    char *path;
    bool begun;
    uint64_t start;
};

struct km_member km_single_member(const char *path)
{
    return (struct km_member){.type = KM_ENTRY_FILE, .path = path, .size = KM_SIZE_UNKNOWN, .mode = 0600};
}

static enum km_code next_member(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err)
{
    struct single *single = (struct single *)members;
    uint64_t skipped = 0;
    *out_found = !single->begun;
    if (single->begun)
        return km_stream_skip(single->stream, UINT64_MAX, &skipped, err);
    single->begun = true;
    single->start = single->stream->position;
    *out = km_single_member(single->path);
    return KM_OK;
}

static enum km_code read_member(struct km_members *members, struct km_piece *out, struct km_err *err)
{
    struct single *single = (struct single *)members;
    const uint8_t *bytes = NULL;
    size_t got = 0;
    uint64_t at = single->stream->position - single->start;
    enum km_code code = km_stream_next(single->stream, UINT64_MAX, &bytes, &got, err);
    if (code == KM_OK)
        *out = (struct km_piece){.offset = at, .bytes = bytes, .length = got};
    return code;
}

static void close_single(struct km_members *members)
{
    struct single *single = (struct single *)members;
    free(single->path);
    free(single);
}

struct km_members *km_single_new(const char *path, struct km_stream *stream, struct km_err *err)
{
    struct single *single = calloc(1, sizeof *single);
    if (single)
        single->path = strdup(path);
    if (!single || !single->path) {
        free(single);
        km_fail(err, KM_NOMEM, "out of memory (single file)");
        return NULL;
    }
    single->base.next = next_member;
    single->base.read = read_member;
    single->base.close = close_single;
    single->stream = stream;
    return &single->base;
}
