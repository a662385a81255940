/*
 * Files read whole, and files replaced whole: a reader sees the old content or the new one, never half of it.
 */
#ifndef KM_NN_WHOLEFILE_H
#define KM_NN_WHOLEFILE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

/* All bytes of a regular file, from its start; the caller frees *out_bytes. KM_UNSUPPORTED when fd is no regular file,
 * KM_LIMIT above max_bytes (checked before memory is taken, which is never more than the file's size), KM_IO (also when
 * it shrinks meanwhile), KM_NOMEM. */
enum km_code km_wholefile_read(int fd, size_t max_bytes, uint8_t **out_bytes, size_t *out_length,
                               struct km_err *err) KM_MUST_USE;

/* Writes all bytes at the descriptor's offset. KM_IO, KM_DENIED. */
enum km_code km_wholefile_write(int fd, const void *bytes, size_t length, struct km_err *err) KM_MUST_USE;

/* A new file beside `name` in the folder; write to `fd`, then commit (flushed, renamed over `name`) or abort. */
struct km_replacement {
    int folder, fd;
    char name[256], temporary[300];
};

/* folder is borrowed. KM_LIMIT (name), KM_FORMAT (a name with '/'), KM_IO, KM_DENIED. */
enum km_code km_replacement_begin(struct km_replacement *replacement, int folder, const char *name,
                                  struct km_err *err) KM_MUST_USE;
/* KM_IO; `name` is then what it was. Ends the replacement in any case. */
enum km_code km_replacement_commit(struct km_replacement *replacement, struct km_err *err) KM_MUST_USE;
/* Does nothing after a commit. */
void km_replacement_abort(struct km_replacement *replacement);

#endif
