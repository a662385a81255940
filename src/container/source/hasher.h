/*
 * The SHA-256 of a stream on a thread of its own, while whoever reads the stream works on the same block.
 *
 * Nothing is copied: a block that was handed over is borrowed until km_hasher_wait says that it is done with.
 * The thread is started by the first large block and ends with the hasher; small blocks, and all where no thread can be
 * started, are hashed by the caller. One caller at a time.
 */
#ifndef KM_CONTAINER_SOURCE_HASHER_H
#define KM_CONTAINER_SOURCE_HASHER_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"

#define KM_HASHER_MAX_WAITING 16 /* blocks */

struct km_hasher;

/* NULL with *err set: the codes of km_digest_new. */
struct km_hasher *km_hasher_new(struct km_err *err) KM_MUST_USE;
/* Waits. NULL is allowed. */
void km_hasher_free(struct km_hasher *hasher);

/* After this all blocks may go but the last `most` ones. */
void km_hasher_wait(struct km_hasher *hasher, unsigned most);
/* Waits where KM_HASHER_MAX_WAITING blocks do. */
void km_hasher_update(struct km_hasher *hasher, const uint8_t *bytes, size_t length);
/* Of all that was handed over. Once. */
void km_hasher_finish(struct km_hasher *hasher, uint8_t out[KM_SHA256_BYTES]);

#endif
