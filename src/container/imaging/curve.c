#include "container/imaging/curve.h"

#include <stdlib.h>

/* The table covers squares of this side: 1024 positions, so that the walk down the curve's digits is paid once for
 * as many pixels and the four tables stay in the first-level cache. */
#define BLOCK_SIDE 32U

struct km_curve {
    enum km_curve_kind kind;
    uint32_t side;
    uint32_t block_side;      /* hilbert: side of the tabled square */
    uint32_t block_positions; /* positions that one table covers */
    uint32_t *tables;         /* hilbert: four orientations; zigzag: downwards, upwards */
};

static void hilbert_pixel(uint32_t side, uint64_t position, uint32_t *out_col, uint32_t *out_row)
{
    uint32_t x = 0, y = 0;
    for (uint32_t s = 1; s < side; s *= 2) {
        uint32_t rx = (uint32_t)(position >> 1) & 1U;
        uint32_t ry = ((uint32_t)position ^ rx) & 1U;
        if (ry == 0) {
            if (rx == 1) {
                x = s - 1 - x;
                y = s - 1 - y;
            }
            uint32_t swap = x;
            x = y;
            y = swap;
        }
        x += s * rx;
        y += s * ry;
        position >>= 2;
    }
    *out_col = y;
    *out_row = x;
}

static uint64_t hilbert_position(uint32_t side, uint32_t col, uint32_t row)
{
    uint32_t x = row, y = col;
    uint64_t position = 0;
    for (uint32_t s = side / 2; s > 0; s /= 2) {
        uint32_t rx = (x & s) != 0;
        uint32_t ry = (y & s) != 0;
        position += (uint64_t)s * s * ((3 * rx) ^ ry);
        if (ry == 0) {
            if (rx == 1) {
                x = side - 1 - x;
                y = side - 1 - y;
            }
            uint32_t swap = x;
            x = y;
            y = swap;
        }
    }
    return position;
}

/* A block's way is known from its two ends: entry at the top left or bottom right, exit in the same column or not. */
static unsigned orientation(uint32_t entry_col, uint32_t exit_col)
{
    return (entry_col != 0 ? 2U : 0U) + (entry_col == exit_col ? 0U : 1U);
}

static void fill_hilbert_tables(struct km_curve *curve)
{
    uint32_t n = curve->block_side, last = n - 1;
    for (uint32_t k = 0; k < curve->block_positions; k++) {
        uint32_t col, row;
        hilbert_pixel(n, k, &col, &row); /* from the top left to the bottom left */
        curve->tables[k] = row * curve->side + col;
        curve->tables[curve->block_positions + k] = col * curve->side + row;
        curve->tables[2 * curve->block_positions + k] = (last - row) * curve->side + (last - col);
        curve->tables[3 * curve->block_positions + k] = (last - col) * curve->side + (last - row);
    }
}

static void fill_zigzag_tables(struct km_curve *curve)
{
    for (uint32_t k = 0; k < curve->side; k++) {
        curve->tables[k] = k * curve->side;
        curve->tables[curve->side + k] = (curve->side - 1 - k) * curve->side;
    }
}

struct km_curve *km_curve_new(enum km_curve_kind kind, uint32_t side, struct km_err *err)
{
    if (side == 0 || side > KM_CURVE_MAX_SIDE) {
        km_fail(err, KM_LIMIT, "picture size %u is not between 1 and %u", side, KM_CURVE_MAX_SIDE);
        return NULL;
    }
    if (kind == KM_CURVE_HILBERT && (side & (side - 1)) != 0) {
        km_fail(err, KM_FORMAT, "picture size %u is not a power of two, which the hilbert curve needs", side);
        return NULL;
    }
    KM_CLEANUP(km_curve_cleanup) struct km_curve *curve = km_calloc(1, sizeof *curve, sizeof *curve, err);
    if (!curve)
        return NULL;
    curve->kind = kind;
    curve->side = side;
    curve->block_side = side < BLOCK_SIDE ? side : BLOCK_SIDE;
    curve->block_positions = kind == KM_CURVE_HILBERT ? curve->block_side * curve->block_side : side;
    size_t entries = (size_t)curve->block_positions * (kind == KM_CURVE_HILBERT ? 4 : 2);
    curve->tables = km_calloc(entries, sizeof *curve->tables, SIZE_MAX, err);
    if (!curve->tables)
        return NULL;
    if (kind == KM_CURVE_HILBERT)
        fill_hilbert_tables(curve);
    else
        fill_zigzag_tables(curve);
    return km_steal(curve);
}

void km_curve_free(struct km_curve *curve)
{
    if (!curve)
        return;
    free(curve->tables);
    free(curve);
}

void km_curve_get_pixel(const struct km_curve *curve, uint64_t position, uint32_t *out_col, uint32_t *out_row)
{
    if (curve->kind == KM_CURVE_HILBERT) {
        hilbert_pixel(curve->side, position, out_col, out_row);
        return;
    }
    uint32_t col = (uint32_t)(position / curve->side), row = (uint32_t)(position % curve->side);
    *out_col = col;
    *out_row = col % 2 == 0 ? row : curve->side - 1 - row;
}

uint64_t km_curve_get_position(const struct km_curve *curve, uint32_t col, uint32_t row)
{
    if (curve->kind == KM_CURVE_HILBERT)
        return hilbert_position(curve->side, col, row);
    return (uint64_t)col * curve->side + (col % 2 == 0 ? row : curve->side - 1 - row);
}

struct km_curve_run km_curve_get_run(const struct km_curve *curve, uint64_t position)
{
    uint32_t within = (uint32_t)(position % curve->block_positions);
    uint64_t first = position - within;
    unsigned table;
    uint32_t base;
    if (curve->kind == KM_CURVE_HILBERT) {
        uint32_t col, row, exit_col, exit_row;
        uint32_t inside = curve->block_side - 1;
        hilbert_pixel(curve->side, first, &col, &row);
        hilbert_pixel(curve->side, first + curve->block_positions - 1, &exit_col, &exit_row);
        table = orientation(col & inside, exit_col & inside);
        base = (row & ~inside) * curve->side + (col & ~inside);
    } else {
        base = (uint32_t)(first / curve->side);
        table = base & 1U;
    }
    return (struct km_curve_run){
        .base = base,
        .length = curve->block_positions - within,
        .offsets = curve->tables + (size_t)table * curve->block_positions + within,
    };
}
