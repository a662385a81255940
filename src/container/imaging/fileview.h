/*
 * The file view: a file is cut from its own first byte into squares of one byte per pixel, so that nothing of one file
 * reaches another's picture. No state.
 *
 * The cutting rule: as long as 64 KiB are left, a square of 256 x 256 bytes; then, each as long as it is filled, of
 * 128 x 128 (16 KiB), of 64 x 64 (4 KiB) and of 32 x 32 (1 KiB); what is left, less than 1 KiB, goes into a last square
 * of 32 x 32, which is padded. So a square begins at a multiple of 1 KiB, at most 1023 pixels of a file are padding,
 * and a file of n bytes beyond its last 64 KiB has at most ten squares. An empty file has none.
 *
 * Within a square the bytes lie along the hilbert curve. Padding is a symbol of its own, KM_FILEVIEW_PADDING, so that
 * it can never be taken for zeros of the file.
 */
#ifndef KM_CONTAINER_IMAGING_FILEVIEW_H
#define KM_CONTAINER_IMAGING_FILEVIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "container/imaging/curve.h"

#define KM_FILEVIEW_SIZES     4
#define KM_FILEVIEW_MAX_SIDE  256U
#define KM_FILEVIEW_MIN_SIDE  32U
#define KM_FILEVIEW_PADDING   256U /* the symbol after 0..255 */
#define KM_FILEVIEW_MAX_BYTES 65536U

struct km_fileview_square {
    uint64_t offset; /* of its first byte in the file */
    uint32_t side;   /* 256, 128, 64 or 32 */
    uint32_t valid;  /* bytes of the file in it; the other side * side - valid pixels are padding */
};

/* The square that begins at `offset`, where an earlier one ended (or 0). false: the file ends there. */
bool km_fileview_cut(uint64_t file_bytes, uint64_t offset, struct km_fileview_square *out_square);

/* The square that holds a byte. false: offset is not inside the file. */
bool km_fileview_find(uint64_t file_bytes, uint64_t offset, struct km_fileview_square *out_square);

/* Symbols of a square in rows: out[row * side + col]. `bytes` are its `valid` bytes; `curve` is the hilbert curve of
 * its side; out holds side * side. */
void km_fileview_fill_symbols(const struct km_fileview_square *square, const struct km_curve *curve,
                              const uint8_t *bytes, uint16_t *out);

/* The byte of the file that a pixel of the square shows. false: padding. */
bool km_fileview_find_byte(const struct km_fileview_square *square, const struct km_curve *curve, uint32_t col,
                           uint32_t row, uint64_t *out_offset);

#endif
