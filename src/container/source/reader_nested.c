#include <string.h>

#include "container/source/payload.h"
#include "container/source/reader_internal.h"
#include "container/source/single.h"
#include "container/source/sniff.h"
#include "container/source/tarmembers.h"
#include "container/source/unpack.h"
#include "container/source/upx.h"

#define SMALLEST_NESTED 20                  /* bytes: no archive or compressed file with content is smaller */
#define HELD_BYTES      ((uint64_t)1 << 20) /* compressed files up to this size may be recalled */

static const char *single_name(const char *outer, struct km_buf *scratch, struct km_err *err)
{
    static const char *const endings[] = {".gz", ".xz", ".zst", ".bz2", ".tgz"};
    const char *slash = strrchr(outer, '/');
    const char *name = slash ? slash + 1 : outer;
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t ending = strlen(endings[i]);
        if (length > ending && strcmp(name + length - ending, endings[i]) == 0) {
            length -= ending;
            break;
        }
    }
    km_buf_clear(scratch);
    return km_buf_append(scratch, name, length, err) == KM_OK ? km_buf_text(scratch) : NULL;
}

/* A compressed member: what is inside decides. *out_members stays NULL when nothing comes out. */
static enum km_code open_inflated(struct km_reader *reader, struct km_reader_frame *child,
                                  struct km_reader_frame *outer, struct km_members **out_members, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    enum km_code code = km_stream_peek(child->inflated, KM_SNIFF_BYTES, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    const struct km_fault *fault = km_inflate_fault(child->inflated);
    if (have == 0) {
        bool chance = !fault || fault->reason == KM_GAP_DAMAGED || fault->reason == KM_GAP_TRUNCATED;
        return chance ? KM_OK : km_reader_tell_content(reader, outer, fault->reason, fault->detail, err);
    }
    if (km_sniff(bytes, have) == KM_CONTENT_TAR) {
        *out_members = km_tarmembers_new(child->inflated, err);
    } else {
        const char *name = single_name(km_buf_text(&outer->path), &child->path, err);
        *out_members = name ? km_single_new(name, child->inflated, err) : NULL;
    }
    return *out_members ? KM_OK : err->code;
}

/* The current member of a frame: the bytes at hand, and the stream that has them still to give. */
struct shown {
    const uint8_t *bytes;
    size_t length;
    struct km_stream *stream; /* the member's own, or one over `bytes`, which has an owner then */
};

/* All of it in one piece, which the block at hand has or which is put together. `length` is less than the member's size
 * when that is cut. */
static enum km_code hold(struct km_reader *reader, const struct km_reader_frame *frame, struct shown *shown,
                         struct km_err *err)
{
    if (shown->length == frame->size)
        return KM_OK;
    if (!reader->held)
        reader->held = km_calloc(1, HELD_BYTES, SIZE_MAX, err);
    if (!reader->held)
        return err->code;
    enum km_code code = km_stream_read(shown->stream, reader->held, (size_t)frame->size, &shown->length, err);
    if (code != KM_OK)
        return code;
    shown->bytes = reader->held;
    shown->stream = km_stream_new_memory(reader->held, shown->length, err);
    return shown->stream ? KM_OK : err->code;
}

/* Whether the sink is asked about the current member of `frame`, which is compressed. */
static bool is_recallable(const struct km_reader *reader, const struct km_reader_frame *frame)
{
    const struct km_source_limits *limits = &reader->limits;
    return reader->sink->recalls && frame == reader->frames && frame->size <= HELD_BYTES &&
           limits->nested_grace >= KM_SOURCE_MAX_RECALLED && limits->max_nested_bytes >= KM_SOURCE_MAX_RECALLED;
}

/* Asks the sink; what it remembers stays closed. */
static enum km_code recall(struct km_reader *reader, struct km_reader_frame *frame, struct shown *shown,
                           bool *out_recalled, struct km_err *err)
{
    const struct km_entry_sink *sink = reader->sink;
    uint64_t size = 0;
    enum km_code code = hold(reader, frame, shown, err);
    if (code != KM_OK || shown->length < frame->size)
        return code;
    const char *name = single_name(km_buf_text(&frame->path), &reader->where, err);
    if (!name)
        return err->code;
    *out_recalled = sink->recalls(sink->context, frame->state, name, shown->bytes, shown->length, &size);
    return *out_recalled ? km_reader_pass_recalled(reader, frame, name, size, err) : KM_OK;
}

/* `stream` is of the current member of `outer`: its own, or one over the same bytes, which is taken over. */
static enum km_code push(struct km_reader *reader, struct km_reader_frame *outer, struct km_stream *stream,
                         enum km_content content, struct km_err *err)
{
    struct km_reader_frame *child = &reader->frames[reader->frame_count];
    enum km_code code = KM_OK;
    child->members = NULL;
    child->inflated = NULL;
    child->held = stream != &outer->stream.base ? stream : NULL;
    child->open = false;
    child->parent = outer->id;
    if (km_inflate_handles(content)) {
        child->inflated = km_inflate_new(content, stream, &reader->nested_inflate, err);
        code = child->inflated ? open_inflated(reader, child, outer, &child->members, err) : err->code;
    } else {
        child->members =
            content == KM_CONTENT_TAR ? km_tarmembers_new(stream, err) : km_unpack_new(content, stream, err);
        code = child->members ? KM_OK : err->code;
    }
    if (code != KM_OK || !child->members) {
        km_reader_close_streams(child);
        return code;
    }
    child->members->faults = (struct km_fault_sink){child, km_reader_on_fault};
    reader->frame_count++;
    return KM_OK;
}

/* The same for members that are made already, NULL for want of memory. */
static enum km_code push_members(struct km_reader *reader, const struct km_reader_frame *outer,
                                 struct km_members *members, struct km_err *err)
{
    struct km_reader_frame *child = &reader->frames[reader->frame_count];
    if (!members)
        return err->code;
    members->faults = (struct km_fault_sink){child, km_reader_on_fault};
    child->members = members;
    child->inflated = NULL;
    child->held = NULL;
    child->open = false;
    child->parent = outer->id;
    reader->frame_count++;
    return KM_OK;
}

/* A file that is no archive may hold one all the same: packed by UPX, or behind itself. */
static enum km_code look_deeper(struct km_reader *reader, struct km_reader_frame *frame, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    struct km_upx_head upx;
    struct km_stream *stream = &frame->stream.base;
    bool too_deep = reader->frame_count > reader->limits.nested_depth;
    enum km_code code = km_stream_peek(stream, KM_PAYLOAD_HEAD_BYTES, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    if (km_upxhead_find(bytes, have, &upx)) {
        if (too_deep)
            return km_reader_tell_content(reader, frame, KM_GAP_NESTED, "a program packed by UPX", err);
        return push_members(reader, frame, km_upx_new(&upx, stream, &reader->nested_inflate, err), err);
    }
    struct km_payload_place place = km_payload_expect(bytes, have, frame->size);
    if (place.head == KM_PAYLOAD_NONE)
        return KM_OK;
    return push_members(reader, frame, km_payload_new(place, stream, &reader->nested_inflate, too_deep, err), err);
}

void km_reader_close_streams(struct km_reader_frame *frame)
{
    km_stream_close(km_steal(frame->inflated));
    km_stream_close(km_steal(frame->held));
}

enum km_code km_reader_pop(struct km_reader *reader, struct km_err *err)
{
    struct km_reader_frame *frame = &reader->frames[reader->frame_count - 1];
    enum km_code code = KM_OK;
    if (frame != reader->frames) {
        const struct km_fault *fault = frame->inflated ? km_inflate_fault(frame->inflated) : NULL;
        if (fault)
            code = km_reader_tell(reader, reader->frame_count - 1, fault, err);
        frame->members->close(frame->members);
        km_reader_close_streams(frame);
    }
    frame->members = NULL;
    reader->frame_count--;
    return code;
}

enum km_code km_reader_look_inside(struct km_reader *reader, struct km_reader_frame *frame, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    if (frame->size < SMALLEST_NESTED)
        return KM_OK;
    enum km_code code = km_stream_peek(&frame->stream.base, KM_SNIFF_BYTES, &bytes, &have, err);
    if (code != KM_OK || have < SMALLEST_NESTED || reader->nested_over)
        return code;
    enum km_content content = km_sniff(bytes, have);
    if (content == KM_CONTENT_PLAIN)
        return look_deeper(reader, frame, err);
    if (content == KM_CONTENT_ENCRYPTED)
        return km_reader_tell_content(reader, frame, KM_GAP_ENCRYPTED, km_sniff_name(bytes, have), err);
    if (content == KM_CONTENT_UNSUPPORTED)
        return km_reader_tell_content(reader, frame, KM_GAP_UNSUPPORTED, km_sniff_name(bytes, have), err);
    if (reader->frame_count > reader->limits.nested_depth)
        return km_reader_tell_content(reader, frame, KM_GAP_NESTED, km_sniff_name(bytes, have), err);
    bool recalled = false;
    struct shown shown = {bytes, have, &frame->stream.base};
    if (km_inflate_handles(content) && is_recallable(reader, frame))
        code = recall(reader, frame, &shown, &recalled, err);
    if (code == KM_OK && !recalled)
        return push(reader, frame, shown.stream, content, err);
    if (shown.stream != &frame->stream.base)
        km_stream_close(shown.stream);
    return code;
}
