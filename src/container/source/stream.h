/*
 * Bytes to be pulled: a file descriptor, a callback, memory, or another stream behind a decoder. Whoever reads borrows
 * blocks instead of copying them.
 *
 * A stream is embedded in the object that makes it, which sets `pull` and `close`; readers use the functions below and
 * touch no field but `position`, `cancel` and `lasting`. Bytes handed out stay valid until the next call on the same
 * stream, where `lasting` says nothing else. A stream over another one does not own it unless its maker says so. Not
 * thread-safe.
 *
 * Codes: KM_IO and KM_NOMEM from below, KM_CANCELLED. Damaged content is no error: the stream ends early and its
 * maker knows why (km_inflate_fault).
 */
#ifndef KM_CONTAINER_SOURCE_STREAM_H
#define KM_CONTAINER_SOURCE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"
#include "base/mem.h"

#define KM_STREAM_PEEK_MAX    ((size_t)4096)
#define KM_STREAM_BLOCK_BYTES ((size_t)256 << 10)

struct km_stream {
    /* Borrows the next block; *out_length 0 is the end, after which pull is not called again. */
    enum km_code (*pull)(struct km_stream *stream, const uint8_t **out_bytes, size_t *out_length, struct km_err *err);
    void (*close)(struct km_stream *stream); /* frees the stream; NULL when it lives in its owner */
    const struct km_cancel *cancel;          /* or NULL; ends the waiting for a descriptor. Set before the first pull */
    uint64_t position;                       /* bytes consumed */
    unsigned lasting; /* the block that was pulled last stays valid for so many pulls behind it */
    const uint8_t *block;
    size_t left;
    bool ended;
    size_t join_at, join_length; /* bytes of a peek that crossed a block's end; they come before `block` */
    uint8_t join[KM_STREAM_PEEK_MAX];
};

/* A stream over a file descriptor, from where it stands. The descriptor is taken over: km_stream_close closes it.
 * NULL with *err set (KM_NOMEM); the descriptor is then still the caller's. */
struct km_stream *km_stream_new_fd(int fd, struct km_err *err) KM_MUST_USE;

/* A stream over a callback. read fills buffer with 1..size bytes and says how many; 0 is the end. It blocks no longer
 * than its own deadline. done (may be NULL) is called once by km_stream_close. NULL with *err set (KM_NOMEM). */
struct km_stream_callback {
    void *context;
    enum km_code (*read)(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err);
    void (*done)(void *context);
};
struct km_stream *km_stream_new_callback(const struct km_stream_callback *callback, struct km_err *err) KM_MUST_USE;

/* A stream over memory that the caller keeps until the stream is closed. NULL with *err set (KM_NOMEM). */
struct km_stream *km_stream_new_memory(const void *bytes, size_t length, struct km_err *err) KM_MUST_USE;

void km_stream_close(struct km_stream *stream);
KM_DEFINE_CLEANUP(struct km_stream, km_stream_cleanup, km_stream_close);

/* Shows the next bytes without consuming them: at least `want` (at most KM_STREAM_PEEK_MAX) in one piece, fewer only
 * when the stream ends; often more. */
enum km_code km_stream_peek(struct km_stream *stream, size_t want, const uint8_t **out_bytes, size_t *out_length,
                            struct km_err *err) KM_MUST_USE;

/* Consumes `length` bytes that the last km_stream_peek showed. */
void km_stream_consume(struct km_stream *stream, size_t length);

/* Borrows and consumes 1..max bytes; *out_length is 0 at the end. */
enum km_code km_stream_next(struct km_stream *stream, uint64_t max, const uint8_t **out_bytes, size_t *out_length,
                            struct km_err *err) KM_MUST_USE;

/* Copies up to `length` bytes; fewer only at the end. */
enum km_code km_stream_read(struct km_stream *stream, void *buffer, size_t length, size_t *out_length,
                            struct km_err *err) KM_MUST_USE;

/* Consumes up to `length` bytes unseen; fewer only at the end. */
enum km_code km_stream_skip(struct km_stream *stream, uint64_t length, uint64_t *out_length,
                            struct km_err *err) KM_MUST_USE;

#endif
