/*
 * A PNG file written row by row: 8-bit RGB, not interlaced. The file appears under its name only when it is complete:
 * until km_picture_commit it is a temporary file in the same folder, which km_picture_close removes.
 *
 * Lifecycle: km_picture_open, begin, rows…, commit, close. Not thread-safe.
 */
#ifndef KM_CONTAINER_IMAGING_PICTURE_H
#define KM_CONTAINER_IMAGING_PICTURE_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_PICTURE_DEFAULT_LEVEL 2
#define KM_PICTURE_MAX_LEVEL     9

struct km_picture;

/* Prepares `path`, or writes to the descriptor of standard output for "-"; what is no regular file (a device, a pipe)
 * is written in place. level 0..9 is zlib's. NULL with *err set: KM_IO, KM_DENIED, KM_NOTFOUND, KM_NOMEM. */
struct km_picture *km_picture_open(const char *path, int level, struct km_err *err) KM_MUST_USE;

/* The size, once; then exactly `height` rows of 3 * width bytes. KM_IO (a full disk), KM_LIMIT, KM_NOMEM. `picture` is
 * a struct km_picture *, so that these are the functions of a km_row_sink (render.h). */
enum km_code km_picture_begin(void *picture, uint32_t width, uint32_t height, struct km_err *err) KM_MUST_USE;
enum km_code km_picture_rows(void *picture, const uint8_t *rgb, uint32_t count, struct km_err *err) KM_MUST_USE;

/* Ends the file and gives it its name. */
enum km_code km_picture_commit(struct km_picture *picture, struct km_err *err) KM_MUST_USE;

void km_picture_close(struct km_picture *picture);
KM_DEFINE_CLEANUP(struct km_picture, km_picture_cleanup, km_picture_close);

#endif
