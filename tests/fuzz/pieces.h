/* Bytes in pieces, as a stream's callback: what a target reads across the ends of blocks. */
#ifndef KM_TESTS_FUZZ_PIECES_H
#define KM_TESTS_FUZZ_PIECES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"

struct pieces {
    const uint8_t *bytes;
    size_t left, most; /* bytes of a piece */
};

static inline enum km_code pieces_read(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    struct pieces *pieces = context;
    size_t length = pieces->left < pieces->most ? pieces->left : pieces->most;
    (void)err;
    length = length < size ? length : size;
    if (length > 0)
        memcpy(buffer, pieces->bytes, length);
    pieces->bytes += length;
    pieces->left -= length;
    *out_length = length;
    return KM_OK;
}

#endif
