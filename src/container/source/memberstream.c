#include "container/source/memberstream.h"

#include <string.h>

#define ZERO_BYTES ((size_t)64 << 10)

static enum km_code show(struct km_memberstream *stream, const struct km_piece *piece, struct km_err *err)
{
    return stream->show ? stream->show(stream->context, piece, &stream->stopped, err) : KM_OK;
}

/* The next piece; a hole only starts here and is shown by whoever goes through it. */
static enum km_code advance(struct km_memberstream *stream, struct km_piece *out, struct km_err *err)
{
    *out = (struct km_piece){0};
    if (stream->stopped || stream->over)
        return KM_OK;
    enum km_code code = stream->members->read(stream->members, out, err);
    if (code != KM_OK)
        return code;
    if (out->length == 0) {
        stream->over = true;
        stream->broken = out->broken;
        stream->told = out->told;
    } else if (!out->bytes) {
        stream->hole_offset = out->offset;
        stream->hole_left = out->length;
    }
    return KM_OK;
}

static enum km_code give_hole(struct km_memberstream *stream, uint64_t max, uint64_t *out_length, struct km_err *err)
{
    uint64_t length = stream->hole_left < max ? stream->hole_left : max;
    const struct km_piece piece = {.offset = stream->hole_offset, .length = length};
    stream->hole_offset += length;
    stream->hole_left -= length;
    *out_length = length;
    return show(stream, &piece, err);
}

static enum km_code pull_member(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                struct km_err *err)
{
    static const uint8_t zeros[ZERO_BYTES];
    struct km_memberstream *stream = (struct km_memberstream *)base;
    struct km_piece piece = {0};
    *out_length = 0;
    if (stream->hole_left == 0) {
        enum km_code code = advance(stream, &piece, err);
        if (code != KM_OK)
            return code;
    }
    if (stream->hole_left > 0 && !stream->stopped) {
        uint64_t length = 0;
        enum km_code code = give_hole(stream, sizeof zeros, &length, err);
        *out_bytes = zeros;
        *out_length = (size_t)length;
        return code;
    }
    if (piece.length == 0)
        return KM_OK;
    *out_bytes = piece.bytes;
    *out_length = (size_t)piece.length;
    return show(stream, &piece, err);
}

void km_memberstream_init(struct km_memberstream *stream, struct km_members *members, void *context,
                          enum km_code (*show_piece)(void *context, const struct km_piece *piece, bool *out_stop,
                                                     struct km_err *err))
{
    memset(stream, 0, offsetof(struct km_memberstream, base.join));
    memset((char *)stream + sizeof stream->base, 0, sizeof *stream - sizeof stream->base);
    stream->base.pull = pull_member;
    stream->members = members;
    stream->context = context;
    stream->show = show_piece;
}

enum km_code km_memberstream_drain(struct km_memberstream *stream, struct km_err *err)
{
    enum km_code code = KM_OK;
    while (code == KM_OK && !stream->stopped && !stream->over) {
        struct km_piece piece = {0};
        uint64_t length = 0;
        if (stream->hole_left == 0)
            code = advance(stream, &piece, err);
        if (code != KM_OK || (piece.length == 0 && stream->hole_left == 0))
            continue;
        code = stream->hole_left > 0 ? give_hole(stream, UINT64_MAX, &length, err) : show(stream, &piece, err);
    }
    return code;
}
