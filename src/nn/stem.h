/*
 * Stems: from the bytes of one square to [16, side/4, side/4], by table look-ups alone. The square's bytes come in file
 * order. A stem order says where each byte stands in the picture; every 16 consecutive bytes fill one 4x4 cell (true of
 * a Hilbert curve, checked for any), so a cell of the output is a sum of 16 table rows of 16 floats.
 *
 * Symbols: 0..255 a byte, 256 padding (places behind the end of the content). Colour and byte stems sum one row for
 * each place of the cell. The hash stem sums one row for each place that holds a byte: the hash of its symbol and the
 * next three (padding at the end; a square sees nothing of its neighbours, so its score is its content's alone).
 */
#ifndef KM_NN_STEM_H
#define KM_NN_STEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "nn/graph.h"

#define KM_STEM_CELL_SIDE  4u
#define KM_STEM_CELL_BYTES 16u
#define KM_STEM_CHANNELS   16u
#define KM_STEM_SYMBOLS    257u
#define KM_STEM_PADDING    256u
#define KM_STEM_BYTE_ROWS  4112u /* KM_STEM_CELL_BYTES * KM_STEM_SYMBOLS */
#define KM_STEM_HASH_ROWS  65536u
#define KM_STEM_GRANULE    1024u /* bytes of one output cell of the light network: 32x32 places */

/* Immutable after km_stem_order_new: shared by threads and networks. */
struct km_stem_order;

/* place_of_byte[i], i in 0..side * side: row * side + column of byte i. side is a multiple of 32, at most 1024.
 * NULL with *err set: KM_FORMAT when 16 consecutive bytes do not fill an aligned 4x4 cell, or 1,024 an aligned 32x32
 * one, or a place is used twice; KM_LIMIT, KM_NOMEM. */
struct km_stem_order *km_stem_order_new(uint32_t side, const uint32_t *place_of_byte, struct km_err *err) KM_MUST_USE;
void km_stem_order_free(struct km_stem_order *order);
KM_DEFINE_CLEANUP(struct km_stem_order, km_stem_order_cleanup, km_stem_order_free);

uint32_t km_stem_order_side(const struct km_stem_order *order);

/* The content of one square: `length` bytes in file order (0..side * side), the rest is padding. Borrowed. */
struct km_square {
    const uint8_t *bytes;
    size_t length;
};

/* valid[(side / 32) squared], rows from the top: 1 for 32x32 cells that hold content, 0 for padding. */
void km_stem_valid_cells(const struct km_stem_order *order, size_t length, float *valid);

/* Row numbers of the 16 look-ups of 16-byte cell number `cell` (file order); the hash stem gives
 * KM_STEM_NO_ROW for places of padding. out_place: the cell's place, row * (side / 4) + column. */
#define KM_STEM_NO_ROW UINT32_MAX
void km_stem_rows(enum km_stem_kind kind, const struct km_stem_order *order, const struct km_square *square,
                  uint32_t cell, uint32_t rows[KM_STEM_CELL_BYTES], uint32_t *out_place);

/* How 16 channels of a place lie in memory: channels 0..7 at place * step, 8..15 at `second` floats behind. */
struct km_stem_layout {
    size_t step, second;
};

/* out = bias + sum of rows, then max(., 0) with relu, for one square. `table` is aligned to 64 bytes: byte or hash rows
 * (a colour stem's after km_stem_colours_fold). bias may be NULL. */
struct km_stem_sums {
    enum km_stem_kind kind; /* BYTE or HASH; COLOUR is looked up like BYTE */
    const struct km_stem_order *order;
    struct km_stem_layout layout;
    const float *table, *bias;
    bool relu;
};
void km_stem_forward(const struct km_stem_sums *sums, const struct km_square *square, float *out);

/* diff_table[row] += diff_out of its cell, for one square; cells in file order, so sums have one order. bias and relu
 * of `sums` are ignored. */
void km_stem_backward(const struct km_stem_sums *sums, const struct km_square *square, const float *diff_out,
                      float *diff_table);

/* table[place][symbol][channel] = sum over c of weight[channel][c][place] * colours[symbol][c]: exactly the convolution
 * of the coloured picture. weight: [16, 3, 4, 4]. */
void km_stem_colours_fold(const float *weight, const float *colours, float *table);
/* The gradient of that: diff_weight from diff_table. */
void km_stem_colours_unfold(const float *diff_table, const float *colours, float *diff_weight);

#endif
