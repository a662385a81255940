/*
 * From a pixel to the bytes and the file that it shows, and back.
 */
#ifndef KM_CONTAINER_IMAGING_LOCATE_H
#define KM_CONTAINER_IMAGING_LOCATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "container/imaging/curve.h"
#include "container/imaging/geometry.h"
#include "container/imaging/input.h"

/* What lies at an offset of an input. */
enum km_locate_part {
    KM_LOCATE_PLAIN = 0,   /* the input is no archive: the byte is its own */
    KM_LOCATE_HEADER = 1,  /* header blocks of a member, its long name and PAX headers included */
    KM_LOCATE_DATA = 2,    /* content of a member */
    KM_LOCATE_PADDING = 3, /* behind a member's data, up to the next block; or an archive-wide PAX header */
    KM_LOCATE_TAIL = 4,    /* the archive's end mark and what follows, or behind a damaged header */
};

/* "plain", "header", "data", "padding", "tail". Static storage. */
const char *km_locate_part_to_string(enum km_locate_part part);

/* Where a byte is. */
struct km_locate_place {
    uint64_t offset; /* in the input */
    enum km_locate_part part;
    struct km_buf name;     /* raw bytes of the member's name; empty for PLAIN and TAIL, and for PADDING in front of the
                             * first member */
    uint64_t member_offset; /* DATA: within the content; HEADER: within its blocks; else 0 */
    uint64_t member_size;   /* stored content of the member */
};

void km_locate_place_init(struct km_locate_place *place);
void km_locate_place_done(struct km_locate_place *place);

/* Describes the byte at `offset`, which is inside the input, into an initialised place. Walks the archive up to it.
 * KM_IO, KM_NOMEM. */
enum km_code km_locate_byte(struct km_input *input, uint64_t offset, struct km_locate_place *out_place,
                            struct km_err *err) KM_MUST_USE;

/* The input offset of byte `within` of the first member called `name` (exactly; no leading '/'). KM_NOTFOUND when there
 * is no such member or its stored content is shorter. */
enum km_code km_locate_member(struct km_input *input, const char *name, uint64_t within, uint64_t *out_offset,
                              struct km_err *err) KM_MUST_USE;

struct km_locate_pixel {
    uint32_t col, row;
};

/* The bytes [begin, end) of a pixel: the one it shows, and those skipped up to the next pixel's. */
struct km_locate_bytes {
    uint64_t begin, end;
};

/* The tar view. KM_NOTFOUND: outside the picture, or black because the input has ended. */
enum km_code km_locate_pixel_bytes(const struct km_geometry *geometry, const struct km_curve *curve,
                                   struct km_locate_pixel pixel, struct km_locate_bytes *out_bytes,
                                   struct km_err *err) KM_MUST_USE;

/* The first pixel that stands for a byte, and how many in curve order show it. KM_NOTFOUND behind the input's end. */
enum km_code km_locate_byte_pixel(const struct km_geometry *geometry, const struct km_curve *curve, uint64_t offset,
                                  struct km_locate_pixel *out_pixel, uint64_t *out_count,
                                  struct km_err *err) KM_MUST_USE;

/* The same for the file view's sheet (sheet.h) of the given width. KM_NOTFOUND also for padding and unused pixels, and
 * for bytes that are no file's content. */
enum km_code km_locate_sheet_byte(struct km_input *input, uint32_t width, struct km_locate_pixel pixel,
                                  uint64_t *out_offset, struct km_err *err) KM_MUST_USE;
enum km_code km_locate_sheet_pixel(struct km_input *input, uint32_t width, uint64_t offset,
                                   struct km_locate_pixel *out_pixel, struct km_err *err) KM_MUST_USE;

#endif
