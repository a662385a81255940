/*
 * Records by key in LMDB, in two generations of which the older one is dropped: the one file that knows LMDB. What goes
 * in comes out as it was, or not at all: each record carries a checksum.
 *
 * Threads: find by any number; begin, add and commit by one at a time.
 */
#ifndef KM_CONTAINER_SCAN_SEGSTORE_H
#define KM_CONTAINER_SCAN_SEGSTORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct km_segstore;

/* In the folder (borrowed for the call). Damaged content, or another version's, is removed: *out_note says so. KM_IO,
 * KM_NOMEM, KM_DENIED. */
enum km_code km_segstore_open(int folder, size_t max_bytes, struct km_segstore **out, char out_note[KM_ERR_TEXT_BYTES],
                              struct km_err *err) KM_MUST_USE;
void km_segstore_close(struct km_segstore *store);

/* A copy, which the caller frees; is_old: it is in the generation that goes next. KM_NOTFOUND also for a record that is
 * damaged. KM_IO, KM_NOMEM. */
struct km_segstore_record {
    uint8_t *bytes;
    size_t length;
    bool is_old;
};
enum km_code km_segstore_find(struct km_segstore *store, const void *key, size_t key_bytes,
                              struct km_segstore_record *out, struct km_err *err) KM_MUST_USE;

/* A transaction. A store that is full forgets its older generation. After a failure the transaction is over, and
 * nothing of it is kept. KM_IO, KM_NOMEM, KM_LIMIT (a record that is larger than the store). */
enum km_code km_segstore_begin(struct km_segstore *store, struct km_err *err) KM_MUST_USE;
enum km_code km_segstore_add(struct km_segstore *store, const void *key, size_t key_bytes, const uint8_t *record,
                             size_t length, struct km_err *err) KM_MUST_USE;
enum km_code km_segstore_commit(struct km_segstore *store, struct km_err *err) KM_MUST_USE;

#endif
