/*
 * The bytes of a picture: an input of known length that can be read at any offset. A pipe or terminal is first stored
 * in an unlinked temporary file, because layouts and picture headers need the length before the first pixel.
 *
 * Lifecycle: km_input_open, reads, km_input_close. Not thread-safe.
 */
#ifndef KM_CONTAINER_IMAGING_INPUT_H
#define KM_CONTAINER_IMAGING_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/err.h"

struct km_input {
    int fd; /* owned */
    uint64_t bytes;
};

#define KM_INPUT_CLOSED                                                                                                \
    {                                                                                                                  \
        -1, 0                                                                                                          \
    }

/* Takes over fd (also on failure). Regular files and block devices are used in place, from their first byte; anything
 * else is copied to a file in $TMPDIR (or /tmp) that has no name. KM_UNSUPPORTED for directories, KM_IO, KM_DENIED,
 * KM_CANCELLED. */
enum km_code km_input_open(struct km_input *out_input, int fd, const struct km_cancel *cancel,
                           struct km_err *err) KM_MUST_USE;
void km_input_close(struct km_input *input);

/* Fills out[0..length) from `offset`; `context` is a struct km_input *, so that this is a km_tarwalk_input's read.
 * KM_IO, also when the file has become shorter. */
enum km_code km_input_read(void *context, uint64_t offset, void *out, size_t length, struct km_err *err) KM_MUST_USE;

/* A view that moves forward over an input. */
struct km_input_window {
    struct km_input *input;
    uint64_t begin; /* bytes[0..length) are the input's from `begin` */
    size_t length;
    size_t fill_bytes; /* how much one read takes */
    uint8_t *bytes;
};

#define KM_INPUT_WINDOW_BYTES ((size_t)256 << 10)

/* `distance` is the usual gap between two wanted bytes: far apart, little is read at once. KM_NOMEM. */
enum km_code km_input_window_init(struct km_input_window *window, struct km_input *input, uint64_t distance,
                                  struct km_err *err) KM_MUST_USE;
void km_input_window_done(struct km_input_window *window);

/* Makes the window begin at `offset`, which is below the input's length. */
enum km_code km_input_window_move(struct km_input_window *window, uint64_t offset, struct km_err *err) KM_MUST_USE;

#endif
