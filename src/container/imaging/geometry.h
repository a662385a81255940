/*
 * Which byte of an input a pixel shows: the layouts of the reference, in its own double arithmetic.
 *
 * A picture is `side` pixels wide and consists of `quads` squares, one below the other. Within a quad the pixels are
 * numbered along a curve (curve.h); here only (quad, position) and byte offsets matter. Positions counted over all
 * quads show bytes in ascending order, whatever the layout: both directions rest on that.
 *
 * Plain data, no resources. Inputs up to 2^53 bytes: beyond, doubles are no longer exact.
 */
#ifndef KM_CONTAINER_IMAGING_GEOMETRY_H
#define KM_CONTAINER_IMAGING_GEOMETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum km_geometry_layout {
    KM_GEOMETRY_SQUARE = 0,     /* one quad, the whole input squeezed or stretched into it */
    KM_GEOMETRY_UNROLLED = 1,   /* four quads, or with a step: as many as needed, one byte in `step` */
    KM_GEOMETRY_UNROLLED_N = 2, /* every byte */
};

#define KM_GEOMETRY_MAX_BYTES (UINT64_C(1) << 53)
#define KM_GEOMETRY_MAX_ROWS  UINT32_C(0x7fffffff) /* what a PNG can hold */

struct km_geometry {
    enum km_geometry_layout layout;
    uint32_t side;
    uint32_t step;        /* 0: none */
    uint64_t bytes;       /* length of the input */
    uint64_t quads;       /* at least 1 */
    uint64_t quad_pixels; /* side * side */
};

/* KM_LIMIT when bytes, side (curve.h) or the resulting rows are too many; KM_FORMAT for a step with another layout
 * than unrolled. */
enum km_code km_geometry_init(struct km_geometry *out_geometry, enum km_geometry_layout layout, uint32_t side,
                              uint32_t step, uint64_t bytes, struct km_err *err) KM_MUST_USE;

/* Rows of the whole picture. */
uint32_t km_geometry_get_rows(const struct km_geometry *geometry);

/* The byte offsets of positions first, first + 1, … (first + count <= quad_pixels) of a quad, ascending. Offsets at or
 * behind the end of the input are black pixels. */
void km_geometry_get_offsets(const struct km_geometry *geometry, uint64_t quad, uint64_t first, uint32_t count,
                             uint64_t *out_offsets);
uint64_t km_geometry_get_offset(const struct km_geometry *geometry, uint64_t quad, uint64_t position);

/* The bytes [*out_begin, *out_end) that a pixel stands for: from the one it shows to the one that the next pixel
 * shows, at least one. false: the pixel is black because the input has ended. */
bool km_geometry_find_bytes(const struct km_geometry *geometry, uint64_t quad, uint64_t position, uint64_t *out_begin,
                            uint64_t *out_end);

/* The pixels that show `offset`, or the one whose bytes include it when it is skipped: the first, counted over all
 * quads (quad * quad_pixels + position), and how many follow each other. false: offset is behind the input's end or
 * no pixel stands for it. */
bool km_geometry_find_pixels(const struct km_geometry *geometry, uint64_t offset, uint64_t *out_first,
                             uint64_t *out_count);

#endif
