/*
 * A stream over another one that can be looked at far ahead without being consumed: what a peek of 4 KiB is too short
 * for. Bytes are copied only when a look goes over the end of a block. Lives in the caller's storage.
 */
#ifndef KM_CONTAINER_SOURCE_LOOKAHEAD_H
#define KM_CONTAINER_SOURCE_LOOKAHEAD_H

#include "container/source/stream.h"

#define KM_LOOKAHEAD_MAX  ((size_t)256 << 10)
#define KM_LOOKAHEAD_LAST ((size_t)40)

struct km_lookahead {
    struct km_stream base;
    struct km_stream *source; /* borrowed */
    uint8_t *held;            /* given out before `rest` */
    size_t held_bytes;
    const uint8_t *rest; /* of the source's block, given out before its next one */
    size_t rest_bytes;
    uint8_t last[KM_LOOKAHEAD_LAST]; /* of what the source has given: the file's end, once it is over */
    size_t last_bytes;
};

void km_lookahead_init(struct km_lookahead *ahead, struct km_stream *source);
void km_lookahead_done(struct km_lookahead *ahead);

/* Shows the next `want` bytes (at most KM_LOOKAHEAD_MAX), fewer only at the end. Borrowed until the next call on the
 * stream. KM_NOMEM and the source's codes. */
enum km_code km_lookahead_show(struct km_lookahead *ahead, size_t want, const uint8_t **out_bytes, size_t *out_length,
                               struct km_err *err) KM_MUST_USE;

#endif
