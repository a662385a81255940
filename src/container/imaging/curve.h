/*
 * The order in which a square picture shows a run of bytes: position 0, 1, 2, … → column and row, and back.
 *
 * hilbert: the textbook curve from the top left to the bottom left corner. Every aligned run of 4^k positions fills an
 * aligned square of side 2^k, which is what lets a patch be one contiguous byte range. zigzag: column by column, down
 * and up in turns.
 *
 * A curve is read-only after its birth and may be shared by threads. Its tables take at most 16 KiB (hilbert) or
 * 8 bytes per side (zigzag).
 */
#ifndef KM_CONTAINER_IMAGING_CURVE_H
#define KM_CONTAINER_IMAGING_CURVE_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

enum km_curve_kind {
    KM_CURVE_HILBERT = 0,
    KM_CURVE_ZIGZAG = 1,
};

#define KM_CURVE_MAX_SIDE UINT32_C(16384)

struct km_curve;

/* A curve over side * side pixels. NULL with *err set: KM_LIMIT when side is 0 or above KM_CURVE_MAX_SIDE, KM_FORMAT
 * when a hilbert side is not a power of two, KM_NOMEM. The caller frees it. */
struct km_curve *km_curve_new(enum km_curve_kind kind, uint32_t side, struct km_err *err) KM_MUST_USE;
void km_curve_free(struct km_curve *curve);
KM_DEFINE_CLEANUP(struct km_curve, km_curve_cleanup, km_curve_free);

/* The pixel of a position (< side * side), and the position of a pixel (col and row < side). */
void km_curve_get_pixel(const struct km_curve *curve, uint64_t position, uint32_t *out_col, uint32_t *out_row);
uint64_t km_curve_get_position(const struct km_curve *curve, uint32_t col, uint32_t row);

/* Consecutive positions at table speed: pixel number (row * side + col) of position + k is base + offsets[k] for
 * k < length. */
struct km_curve_run {
    uint32_t base;
    uint32_t length;
    const uint32_t *offsets; /* borrowed from the curve */
};

/* The run that begins at `position` and ends where the table does; length is at least 1. */
struct km_curve_run km_curve_get_run(const struct km_curve *curve, uint64_t position);

#endif
