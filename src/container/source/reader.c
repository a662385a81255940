#include "container/source/reader_internal.h"

#include <stdlib.h>
#include <string.h>

#include "container/source/entrypath.h"
#include "container/source/single.h"
#include "container/source/tarhead.h"

#define MAX_PATH_BYTES  (KM_TAR_MAX_NAME + 16)
#define MAX_WHERE_BYTES ((KM_READER_MAX_FRAMES + 2) * MAX_PATH_BYTES)
#define NESTED_MARK     "!/"

struct km_reader *km_reader_new(const struct km_source_limits *limits, struct km_layout *layout, struct km_err *err)
{
    struct km_reader *reader = calloc(1, sizeof *reader);
    if (!reader) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *reader);
        return NULL;
    }
    reader->limits = *limits;
    reader->layout = layout;
    reader->decoder_left = limits->decoder_bytes;
    reader->nested_inflate = (struct km_inflate_limits){
        .max_ratio = limits->max_ratio, .grace_bytes = limits->nested_grace, .memory_left = &reader->decoder_left};
    reader->layer_inflate = reader->nested_inflate;
    reader->layer_inflate.grace_bytes = limits->layer_grace;
    if (reader->limits.nested_depth > KM_SOURCE_MAX_NESTED_DEPTH)
        reader->limits.nested_depth = KM_SOURCE_MAX_NESTED_DEPTH;
    km_buf_init(&reader->where, MAX_WHERE_BYTES);
    for (size_t i = 0; i < KM_READER_MAX_FRAMES; i++) {
        km_buf_init(&reader->frames[i].path, MAX_PATH_BYTES);
        reader->frames[i].reader = reader;
    }
    return reader;
}

void km_reader_free(struct km_reader *reader)
{
    if (!reader)
        return;
    free(reader->held);
    km_buf_done(&reader->where);
    for (size_t i = 0; i < KM_READER_MAX_FRAMES; i++)
        km_buf_done(&reader->frames[i].path);
    free(reader);
}

void km_reader_start(struct km_reader *reader, const struct km_entry_sink *sink, const struct km_cancel *cancel)
{
    reader->sink = sink;
    reader->cancel = cancel;
}

const struct km_coverage *km_reader_coverage(const struct km_reader *reader)
{
    return &reader->coverage;
}

const struct km_inflate_limits *km_reader_layer_limits(struct km_reader *reader)
{
    return &reader->layer_inflate;
}

enum km_code km_reader_check(const struct km_reader *reader, struct km_err *err)
{
    return km_cancel_check(reader->cancel, err);
}

static uint64_t saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- Gaps ---- */

enum km_code km_reader_gap(struct km_reader *reader, const struct km_gap *gap, struct km_err *err)
{
    reader->coverage.gaps++;
    return reader->sink->gap ? reader->sink->gap(reader->sink->context, gap, err) : KM_OK;
}

enum km_code km_reader_fault(struct km_reader *reader, const char *name, const struct km_fault *fault,
                             struct km_err *err)
{
    const struct km_gap gap = {.reason = fault->reason,
                               .where = fault->where ? fault->where : name,
                               .offset = fault->offset,
                               .bytes = fault->bytes,
                               .detail = fault->detail};
    return km_reader_gap(reader, &gap, err);
}

/* "blob!/path!/inner path": the blob, the current members of the first `levels` frames, and `last` unless NULL. */
static enum km_code build_where(struct km_reader *reader, unsigned levels, const char *last, struct km_err *err)
{
    struct km_buf *where = &reader->where;
    km_buf_clear(where);
    enum km_code code = km_buf_append_text(where, reader->tree->name, err);
    for (unsigned i = 0; code == KM_OK && i <= levels; i++) {
        const char *part = i < levels ? km_buf_text(&reader->frames[i].path) : last;
        if (!part)
            break;
        if (where->length > 0)
            code = km_buf_append_text(where, NESTED_MARK, err);
        if (code == KM_OK)
            code = km_buf_append_text(where, part, err);
    }
    return code;
}

enum km_code km_reader_tell(struct km_reader *reader, unsigned level, const struct km_fault *fault, struct km_err *err)
{
    if (level > 0) {
        if (reader->nested_over && fault->reason != KM_GAP_LIMIT)
            return KM_OK; /* what follows from stopping */
        reader->opaque = true;
    } else if (fault->reason != KM_GAP_TRAILING && !km_gap_is_opaque(fault->reason)) {
        reader->damaged = true;
    }
    enum km_code code = build_where(reader, level, fault->where, err);
    if (code != KM_OK)
        return code;
    const struct km_gap gap = {.reason = fault->reason,
                               .where = km_buf_text(&reader->where),
                               .offset = fault->offset,
                               .bytes = level > 0 ? UINT64_MAX : fault->bytes,
                               .detail = fault->detail};
    return km_reader_gap(reader, &gap, err);
}

enum km_code km_reader_on_fault(void *context, const struct km_fault *fault, struct km_err *err)
{
    struct km_reader_frame *frame = context;
    return km_reader_tell(frame->reader, (unsigned)(frame - frame->reader->frames), fault, err);
}

enum km_code km_reader_tell_content(struct km_reader *reader, struct km_reader_frame *frame, enum km_gap_reason reason,
                                    const char *detail, struct km_err *err)
{
    const struct km_fault fault = {.reason = reason,
                                   .bytes = frame->size == KM_SIZE_UNKNOWN ? UINT64_MAX : frame->size,
                                   .where = km_buf_text(&frame->path),
                                   .detail = detail};
    reader->opaque = true;
    return km_reader_tell(reader, (unsigned)(frame - reader->frames), &fault, err);
}

/* ---- Delivering ---- */

/* True when the nested content of the current file has become too much, which is told once. */
static enum km_code check_nested(struct km_reader *reader, struct km_reader_frame *frame, bool *out_stop,
                                 struct km_err *err)
{
    uint64_t stored = reader->frames[0].delivered, nested = reader->nested_bytes;
    bool ratio = nested > reader->limits.nested_grace && nested / reader->limits.max_ratio > stored;
    *out_stop = reader->nested_over;
    if (reader->nested_over || (!ratio && nested <= reader->limits.max_nested_bytes))
        return KM_OK;
    *out_stop = reader->nested_over = true;
    return km_reader_tell_content(reader, frame, KM_GAP_LIMIT,
                                  ratio ? "expands more than the allowed ratio" : "more nested content than allowed",
                                  err);
}

static enum km_code deliver(void *context, const struct km_piece *piece, bool *out_stop, struct km_err *err)
{
    struct km_reader_frame *frame = context;
    struct km_reader *reader = frame->reader;
    enum km_code code = km_reader_check(reader, err);
    if (code != KM_OK)
        return code;
    frame->delivered = saturated(frame->delivered, piece->length);
    code = reader->sink->data(reader->sink->context, frame->state, piece->offset, piece->bytes, piece->length, err);
    if (code != KM_OK || frame == reader->frames)
        return code;
    reader->nested_bytes = saturated(reader->nested_bytes, piece->length);
    return check_nested(reader, frame, out_stop, err);
}

static enum km_code end_member(struct km_reader *reader, struct km_reader_frame *frame, bool complete,
                               struct km_err *err)
{
    frame->open = false;
    return reader->sink->end(reader->sink->context, frame->state, complete, err);
}

/* The file of the tree is over: its bytes find their place in the accounts. */
static enum km_code account(struct km_reader *reader, struct km_reader_frame *frame, bool complete, struct km_err *err)
{
    struct km_coverage *coverage = &reader->coverage;
    if (frame->size == KM_SIZE_UNKNOWN || frame->delivered > frame->size) /* a file that grew while it was read */
        coverage->bytes_total =
            saturated(coverage->bytes_total, frame->delivered - (frame->size == KM_SIZE_UNKNOWN ? 0 : frame->size));
    if (reader->opaque)
        coverage->bytes_opaque = saturated(coverage->bytes_opaque, frame->delivered);
    else
        coverage->bytes_examined = saturated(coverage->bytes_examined, frame->delivered);
    coverage->files_examined += complete && !reader->opaque ? 1 : 0;
    if (complete || frame->stream.told)
        return KM_OK;
    uint64_t missing = frame->size == KM_SIZE_UNKNOWN ? UINT64_MAX : frame->size - frame->delivered;
    const struct km_fault fault = {.reason = KM_GAP_TRUNCATED,
                                   .offset = frame->delivered,
                                   .bytes = missing,
                                   .where = km_buf_text(&frame->path),
                                   .detail = "the file ends before its size says so"};
    return km_reader_tell(reader, 0, &fault, err);
}

static bool inflate_failed(const struct km_reader_frame *frame)
{
    const struct km_fault *fault = frame->inflated ? km_inflate_fault(frame->inflated) : NULL;
    return fault && fault->reason != KM_GAP_TRAILING;
}

static enum km_code close_member(struct km_reader *reader, struct km_reader_frame *frame, struct km_err *err)
{
    bool nested = frame != reader->frames;
    enum km_code code = KM_OK;
    if (!nested || !reader->nested_over)
        code = km_memberstream_drain(&frame->stream, err);
    if (code != KM_OK)
        return code;
    bool sized = frame->size != KM_SIZE_UNKNOWN;
    bool complete = frame->stream.over && !frame->stream.broken && (!sized || frame->delivered >= frame->size) &&
                    (sized || !inflate_failed(frame));
    if (!nested)
        code = account(reader, frame, complete, err);
    else if (!complete && sized && !frame->stream.told)
        code = km_reader_tell_content(reader, frame, KM_GAP_DAMAGED, "the nested file cannot be read to its end", err);
    enum km_code ended = end_member(reader, frame, complete, err);
    return code != KM_OK ? code : ended;
}

/* ---- Entries ---- */

/* Past the limit of entries: the tree's other files are counted, and said at its end. */
static enum km_code refuse_entry(struct km_reader *reader, struct km_reader_frame *frame,
                                 const struct km_member *member, struct km_err *err)
{
    if (frame != reader->frames) {
        if (reader->nested_over)
            return KM_OK;
        reader->nested_over = true;
        const struct km_fault fault = {.reason = KM_GAP_LIMIT, .offset = member->offset, .detail = "too many entries"};
        return km_reader_tell(reader, (unsigned)(frame - reader->frames), &fault, err);
    }
    reader->counting = true;
    if (member->type != KM_ENTRY_FILE)
        return KM_OK;
    uint64_t size = member->size == KM_SIZE_UNKNOWN ? 0 : member->size;
    reader->uncounted_files++;
    reader->uncounted_bytes = saturated(reader->uncounted_bytes, size);
    reader->coverage.files_total++;
    reader->coverage.bytes_total = saturated(reader->coverage.bytes_total, size);
    return KM_OK;
}

/* Records and begins one entry. *out_refused: a limit was met. */
static enum km_code begin_entry(struct km_reader *reader, struct km_reader_frame *frame, struct km_entry *entry,
                                bool *out_refused, struct km_err *err)
{
    *out_refused = reader->entries >= reader->limits.max_entries;
    if (*out_refused)
        return KM_OK;
    entry->id = reader->entries;
    enum km_code code = km_layout_add_entry(reader->layout, entry, err);
    if (code == KM_LIMIT) {
        *out_refused = true;
        reader->limits.max_entries = reader->entries; /* the index is full: no more from here on */
        return KM_OK;
    }
    if (code != KM_OK)
        return code;
    reader->entries++;
    frame->id = entry->id;
    frame->state = NULL;
    frame->size = entry->size;
    frame->delivered = 0;
    code = reader->sink->begin(reader->sink->context, entry, &frame->state, err);
    frame->open = code == KM_OK;
    return code;
}

static enum km_code describe(struct km_reader *reader, struct km_reader_frame *frame, const struct km_member *member,
                             struct km_entry *out, struct km_err *err)
{
    unsigned depth = (unsigned)(frame - reader->frames);
    *out = (struct km_entry){.blob = reader->tree->blob,
                             .parent = depth > 0 ? frame->parent : KM_ENTRY_NONE,
                             .depth = depth,
                             .type = member->type,
                             .link = member->link,
                             .size = member->size,
                             .mode = member->mode,
                             .uid = member->uid,
                             .gid = member->gid,
                             .mtime_s = member->mtime_s,
                             .stream_offset = member->offset};
    enum km_code code = km_entrypath_normalise(member->path, &frame->path, &out->odd_name, err);
    out->odd_name |= member->odd_name;
    out->path = km_buf_text(&frame->path);
    return code;
}

/* Begins the whiteout that a member's name means. A whiteout's own bytes, which nobody else looks at, are a file too.
 */
static enum km_code take_whiteout(struct km_reader *reader, struct km_reader_frame *frame, struct km_entry *entry,
                                  bool *out_done, struct km_err *err)
{
    bool applies = frame == reader->frames && reader->tree->whiteouts && entry->type == KM_ENTRY_FILE;
    uint64_t size = entry->size;
    *out_done = false;
    enum km_whiteout kind = applies ? km_entrypath_whiteout(&frame->path) : KM_WHITEOUT_NONE;
    if (kind == KM_WHITEOUT_NONE)
        return KM_OK;
    entry->type = kind == KM_WHITEOUT_OPAQUE ? KM_ENTRY_OPAQUE : KM_ENTRY_WHITEOUT;
    entry->path = km_buf_text(&frame->path);
    entry->size = 0;
    bool refused = false;
    enum km_code code = begin_entry(reader, frame, entry, &refused, err);
    if (code == KM_OK && frame->open)
        code = end_member(reader, frame, true, err);
    entry->type = KM_ENTRY_FILE;
    entry->size = size;
    *out_done = size == 0;
    return code;
}

static enum km_code begin_file(struct km_reader *reader, struct km_reader_frame *frame, const struct km_member *member,
                               struct km_err *err)
{
    if (frame == reader->frames) {
        reader->opaque = reader->nested_over = false;
        reader->nested_bytes = 0;
        reader->coverage.files_total++;
        if (member->size != KM_SIZE_UNKNOWN)
            reader->coverage.bytes_total = saturated(reader->coverage.bytes_total, member->size);
    }
    km_memberstream_init(&frame->stream, frame->members, frame, deliver);
    if (!member->encrypted)
        return km_reader_look_inside(reader, frame, err);
    frame->stream.stopped = true;
    enum km_code code = km_reader_tell_content(reader, frame, KM_GAP_ENCRYPTED, "an encrypted member", err);
    enum km_code ended = end_member(reader, frame, false, err);
    return code != KM_OK ? code : ended;
}

static enum km_code take_member(struct km_reader *reader, struct km_reader_frame *frame, const struct km_member *member,
                                struct km_err *err)
{
    struct km_entry entry;
    bool done = false, refused = false;
    enum km_code code = km_reader_check(reader, err);
    if (code == KM_OK)
        code = describe(reader, frame, member, &entry, err);
    if (code == KM_OK)
        code = take_whiteout(reader, frame, &entry, &done, err);
    if (code != KM_OK || done)
        return code;
    if (entry.type == KM_ENTRY_FILE && frame->path.length == 0)
        entry.odd_name = true;
    code = km_entrypath_normalise(member->path, &frame->path, &done, err); /* a whiteout has changed it */
    entry.path = km_buf_text(&frame->path);
    if (code == KM_OK)
        code = begin_entry(reader, frame, &entry, &refused, err);
    if (code == KM_OK && refused)
        return refuse_entry(reader, frame, member, err);
    if (code != KM_OK)
        return code;
    if (entry.type == KM_ENTRY_FILE)
        return begin_file(reader, frame, member, err);
    return end_member(reader, frame, true, err);
}

enum km_code km_reader_pass_recalled(struct km_reader *reader, const struct km_reader_frame *outer, const char *name,
                                     uint64_t size, struct km_err *err)
{
    struct km_reader_frame *child = &reader->frames[reader->frame_count];
    const struct km_member member = km_single_member(name);
    struct km_entry entry;
    bool refused = false;
    child->parent = outer->id;
    enum km_code code = describe(reader, child, &member, &entry, err);
    if (code == KM_OK)
        code = begin_entry(reader, child, &entry, &refused, err);
    if (code != KM_OK)
        return code;
    if (refused)
        return refuse_entry(reader, child, &member, err);
    reader->nested_bytes = saturated(reader->nested_bytes, size);
    return end_member(reader, child, true, err);
}

/* ---- The walk ---- */

static enum km_code step(struct km_reader *reader, struct km_err *err)
{
    struct km_reader_frame *frame = &reader->frames[reader->frame_count - 1];
    bool found = false;
    struct km_member member;
    if (frame->open)
        return close_member(reader, frame, err);
    if (frame != reader->frames && reader->nested_over)
        return km_reader_pop(reader, err);
    enum km_code code = frame->members->next(frame->members, &member, &found, err);
    if (code != KM_OK)
        return code;
    return found ? take_member(reader, frame, &member, err) : km_reader_pop(reader, err);
}

/* The run has failed: what was begun is ended, and nothing is told any more. */
static void unwind(struct km_reader *reader)
{
    struct km_err ignored = KM_ERR_INIT;
    while (reader->frame_count > 0) {
        struct km_reader_frame *frame = &reader->frames[--reader->frame_count];
        if (frame->open)
            (void)end_member(reader, frame, false, &ignored);
        if (frame != reader->frames) {
            frame->members->close(frame->members);
            km_reader_close_streams(frame);
        }
        frame->members = NULL;
    }
}

static enum km_code tell_uncounted(struct km_reader *reader, struct km_err *err)
{
    if (!reader->counting)
        return KM_OK;
    const struct km_fault fault = {.reason = KM_GAP_LIMIT,
                                   .offset = UINT64_MAX,
                                   .bytes = reader->uncounted_bytes,
                                   .detail = "too many entries: the rest was counted and not examined"};
    return km_reader_tell(reader, 0, &fault, err);
}

enum km_code km_reader_walk(struct km_reader *reader, const struct km_tree *tree, bool *out_complete,
                            struct km_err *err)
{
    struct km_reader_frame *root = &reader->frames[0];
    reader->tree = tree;
    reader->damaged = reader->counting = false;
    reader->uncounted_files = reader->uncounted_bytes = 0;
    root->members = tree->members;
    root->inflated = root->held = NULL;
    root->open = false;
    tree->members->faults = (struct km_fault_sink){root, km_reader_on_fault};
    reader->frame_count = 1;
    enum km_code code = KM_OK;
    while (code == KM_OK && reader->frame_count > 0)
        code = step(reader, err);
    if (code == KM_OK)
        code = tell_uncounted(reader, err);
    else
        unwind(reader);
    if (code == KM_OK)
        *out_complete = !reader->damaged;
    return code;
}
