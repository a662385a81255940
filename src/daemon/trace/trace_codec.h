/*
 * Events as bytes: the payload of a trace block. Numbers are LEB128 varints; a block starts from zero, so each can be
 * read alone.
 */
#ifndef KM_TRACE_TRACE_CODEC_H
#define KM_TRACE_TRACE_CODEC_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "daemon/trace/event.h"

/* What the previous event of the block was: zeroed at its start. */
struct km_trace_context {
    uint64_t time_ns;
    uint32_t tid, tgid;
    uint16_t role;
    uint8_t feed;
};

#define KM_TRACE_LARGEST_EVENT_BYTES (4 * KM_EVENT_MAX_PATH_BYTES + 512)

/* KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_trace_encode(struct km_trace_context *context, const struct km_event *event, struct km_buf *out,
                             struct km_err *err) KM_MUST_USE;

/* Reads one event at *at and moves *at behind it; strings point into the bytes. False when the bytes are no event. */
bool km_trace_decode(struct km_trace_context *context, const uint8_t **at, const uint8_t *end, struct km_event *out);

#endif
