#include "container/source/lookahead.h"

#include <stdlib.h>
#include <string.h>

static void note_last(struct km_lookahead *ahead, const uint8_t *bytes, size_t length)
{
    size_t take = length < KM_LOOKAHEAD_LAST ? length : KM_LOOKAHEAD_LAST;
    size_t keep = KM_LOOKAHEAD_LAST - take < ahead->last_bytes ? KM_LOOKAHEAD_LAST - take : ahead->last_bytes;
    if (length == 0)
        return;
    memmove(ahead->last, ahead->last + ahead->last_bytes - keep, keep);
    memcpy(ahead->last + keep, bytes + length - take, take);
    ahead->last_bytes = keep + take;
}

static enum km_code pull_lookahead(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                   struct km_err *err)
{
    struct km_lookahead *ahead = (struct km_lookahead *)base;
    if (ahead->held_bytes > 0) {
        *out_bytes = ahead->held;
        *out_length = ahead->held_bytes;
        ahead->held_bytes = 0;
        return KM_OK;
    }
    if (ahead->rest_bytes > 0) {
        *out_bytes = ahead->rest;
        *out_length = ahead->rest_bytes;
        ahead->rest_bytes = 0;
        return KM_OK;
    }
    enum km_code code = km_stream_next(ahead->source, UINT64_MAX, out_bytes, out_length, err);
    if (code == KM_OK)
        note_last(ahead, *out_bytes, *out_length);
    return code;
}

void km_lookahead_init(struct km_lookahead *ahead, struct km_stream *source)
{
    memset(ahead, 0, sizeof *ahead);
    ahead->base.pull = pull_lookahead;
    ahead->source = source;
}

void km_lookahead_done(struct km_lookahead *ahead)
{
    free(ahead->held);
    ahead->held = NULL;
}

/* All that was held is read again with the first bytes, for nothing longer than KM_LOOKAHEAD_MAX is ever held: what
 * then is left of a block is the source's. */
static enum km_code hold(struct km_lookahead *ahead, size_t want, struct km_err *err)
{
    uint8_t *bytes = malloc(KM_LOOKAHEAD_MAX);
    size_t got = 0;
    if (!bytes)
        return km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", KM_LOOKAHEAD_MAX);
    want = want < ahead->held_bytes ? ahead->held_bytes : want;
    enum km_code code = km_stream_read(&ahead->base, bytes, want, &got, err);
    if (code != KM_OK) {
        free(bytes);
        return code;
    }
    if (ahead->base.left > 0) {
        ahead->rest = ahead->base.block;
        ahead->rest_bytes = ahead->base.left;
    }
    free(ahead->held);
    ahead->held = bytes;
    ahead->held_bytes = got;
    ahead->base.left = 0;
    ahead->base.position -= got;
    ahead->base.ended = ahead->base.ended && got == 0;
    return KM_OK;
}

enum km_code km_lookahead_show(struct km_lookahead *ahead, size_t want, const uint8_t **out_bytes, size_t *out_length,
                               struct km_err *err)
{
    KM_ASSERT(want >= KM_STREAM_PEEK_MAX && want <= KM_LOOKAHEAD_MAX);
    enum km_code code = km_stream_peek(&ahead->base, 1, out_bytes, out_length, err);
    if (code != KM_OK || *out_length >= want || *out_length == 0)
        return code;
    code = hold(ahead, want, err);
    return code == KM_OK ? km_stream_peek(&ahead->base, 1, out_bytes, out_length, err) : code;
}
