#include "nn/stem.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define GRANULE_SIDE 32u
#define AHEAD        16u /* cells whose rows are on their way */
#define MAX_SIDE     KM_GRAPH_MAX_SIDE

_Static_assert(KM_STEM_BYTE_ROWS == KM_STEM_CELL_BYTES * KM_STEM_SYMBOLS, "one row for each place and symbol");

struct km_stem_order {
    uint32_t side;
    uint32_t *cell_place;    /* [side² / 16] place of the 4x4 cell that 16 bytes fill, in cells */
    uint8_t *place_in_cell;  /* [side²] 0..15 */
    uint32_t *granule_place; /* [side² / 1024] */
};

static enum km_code check_cells(const uint32_t *place_of_byte, uint32_t side, uint32_t cell_side, struct km_err *err)
{
    uint32_t cell_bytes = cell_side * cell_side;
    for (uint32_t first = 0; first < side * side; first += cell_bytes) {
        uint32_t row = place_of_byte[first] / side / cell_side, column = place_of_byte[first] % side / cell_side;
        for (uint32_t i = first; i < first + cell_bytes; i++)
            if (place_of_byte[i] / side / cell_side != row || place_of_byte[i] % side / cell_side != column)
                return km_fail(err, KM_FORMAT, "stem order: bytes %u..%u leave their %ux%u cell", first,
                               first + cell_bytes - 1, cell_side, cell_side);
    }
    return KM_OK;
}

static enum km_code check_places(const uint32_t *place_of_byte, uint32_t side, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *seen = km_calloc((size_t)side * side, 1, SIZE_MAX, err);
    if (!seen)
        return err->code;
    for (uint32_t i = 0; i < side * side; i++) {
        if (place_of_byte[i] >= side * side || seen[place_of_byte[i]])
            return km_fail(err, KM_FORMAT, "stem order: byte %u has no place of its own", i);
        seen[place_of_byte[i]] = 1;
    }
    return KM_OK;
}

struct km_stem_order *km_stem_order_new(uint32_t side, const uint32_t *place_of_byte, struct km_err *err)
{
    if (side == 0 || side > MAX_SIDE || side % GRANULE_SIDE != 0) {
        km_fail(err, KM_LIMIT, "stem order: a side of %u is not a multiple of 32 up to %u", side, MAX_SIDE);
        return NULL;
    }
    if (check_places(place_of_byte, side, err) != KM_OK ||
        check_cells(place_of_byte, side, KM_STEM_CELL_SIDE, err) != KM_OK ||
        check_cells(place_of_byte, side, GRANULE_SIDE, err) != KM_OK)
        return NULL;
    KM_CLEANUP(km_stem_order_cleanup) struct km_stem_order *order = km_calloc(1, sizeof *order, SIZE_MAX, err);
    if (!order)
        return NULL;
    size_t bytes = (size_t)side * side;
    order->side = side;
    order->cell_place = km_calloc(bytes / KM_STEM_CELL_BYTES, sizeof *order->cell_place, SIZE_MAX, err);
    order->place_in_cell = order->cell_place ? km_calloc(bytes, 1, SIZE_MAX, err) : NULL;
    order->granule_place =
        order->place_in_cell ? km_calloc(bytes / KM_STEM_GRANULE, sizeof *order->granule_place, SIZE_MAX, err) : NULL;
    if (!order->granule_place)
        return NULL;
    for (uint32_t i = 0; i < bytes; i++) {
        uint32_t row = place_of_byte[i] / side, column = place_of_byte[i] % side;
        order->place_in_cell[i] = (uint8_t)(row % KM_STEM_CELL_SIDE * KM_STEM_CELL_SIDE + column % KM_STEM_CELL_SIDE);
        order->cell_place[i / KM_STEM_CELL_BYTES] =
            row / KM_STEM_CELL_SIDE * (side / KM_STEM_CELL_SIDE) + column / KM_STEM_CELL_SIDE;
        order->granule_place[i / KM_STEM_GRANULE] = row / GRANULE_SIDE * (side / GRANULE_SIDE) + column / GRANULE_SIDE;
    }
    return km_steal(order);
}

void km_stem_order_free(struct km_stem_order *order)
{
    if (!order)
        return;
    free(order->cell_place);
    free(order->place_in_cell);
    free(order->granule_place);
    free(order);
}

uint32_t km_stem_order_side(const struct km_stem_order *order)
{
    return order->side;
}

void km_stem_valid_cells(const struct km_stem_order *order, size_t length, float *valid)
{
    size_t granules = (size_t)order->side * order->side / KM_STEM_GRANULE;
    for (size_t i = 0; i < granules; i++)
        valid[order->granule_place[i]] = i * KM_STEM_GRANULE < length ? 1.0F : 0.0F;
}

static uint32_t symbol_at(const struct km_square *square, size_t i)
{
    return i < square->length ? square->bytes[i] : KM_STEM_PADDING;
}

/* Four symbols as a number to the base 257, mixed by Fibonacci hashing; the upper 16 bits are the row. */
static inline uint32_t hash_row(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    return (a + 257U * (b + 257U * (c + 257U * d))) * UINT32_C(0x9E3779B1) >> 16;
}

static void hash_rows(const struct km_square *square, size_t first, uint32_t rows[KM_STEM_CELL_BYTES])
{
    if (first + KM_STEM_CELL_BYTES + 3 <= square->length) {
        const uint8_t *s = square->bytes + first;
        for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++)
            rows[i] = hash_row(s[i], s[i + 1], s[i + 2], s[i + 3]);
        return;
    }
    for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++) {
        size_t at = first + i;
        rows[i] = at >= square->length ? KM_STEM_NO_ROW
                                       : hash_row(square->bytes[at], symbol_at(square, at + 1),
                                                  symbol_at(square, at + 2), symbol_at(square, at + 3));
    }
}

void km_stem_rows(enum km_stem_kind kind, const struct km_stem_order *order, const struct km_square *square,
                  uint32_t cell, uint32_t rows[KM_STEM_CELL_BYTES], uint32_t *out_place)
{
    size_t first = (size_t)cell * KM_STEM_CELL_BYTES;
    *out_place = order->cell_place[cell];
    if (kind == KM_STEM_HASH) {
        hash_rows(square, first, rows);
        return;
    }
    for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++)
        rows[i] = order->place_in_cell[first + i] * KM_STEM_SYMBOLS + symbol_at(square, first + i);
}

/* Sixteen numbers at once: one register where there are such wide ones, several elsewhere. aligned(4): activations of
 * another library. */
typedef float sixteen_floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef int32_t sixteen_masks __attribute__((vector_size(64)));
typedef float eight __attribute__((vector_size(32), aligned(4), may_alias));

_Static_assert(KM_STEM_CHANNELS == 16, "a row is one vector");

/* Where the rows of sixteen bytes with three more behind them begin, in floats. A loop that compilers widen well; gcc
 * 12 makes single loads of __builtin_convertvector. */
static inline __attribute__((always_inline)) void hash_whole_cell(const uint8_t *bytes, uint32_t *restrict begins)
{
    for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++)
        begins[i] = hash_row(bytes[i], bytes[i + 1], bytes[i + 2], bytes[i + 3]) * KM_STEM_CHANNELS;
}

static inline __attribute__((always_inline)) void begin_cell(const struct km_stem_sums *sums, sixteen_floats *out)
{
    *out = (sixteen_floats){0};
    if (sums->bias)
        *out = *(const sixteen_floats *)sums->bias;
}

static inline __attribute__((always_inline)) void put_cell(const struct km_stem_sums *sums, const sixteen_floats *total,
                                                           float *to)
{
    sixteen_floats sum = *total;
    if (sums->relu)
        sum = (sixteen_floats)((sixteen_masks)sum & (sum > (sixteen_floats){0}));
    if (sums->layout.second == 8) {
        *(sixteen_floats *)to = sum;
        return;
    }
    *(eight *)to = __builtin_shufflevector(sum, sum, 0, 1, 2, 3, 4, 5, 6, 7);
    *(eight *)(to + sums->layout.second) = __builtin_shufflevector(sum, sum, 8, 9, 10, 11, 12, 13, 14, 15);
}

/* Up to sixteen rows of one cell, from the bias on. */
static inline __attribute__((always_inline)) void sum_cell(const struct km_stem_sums *sums, const uint32_t *rows,
                                                           float *to)
{
    sixteen_floats sum;
    begin_cell(sums, &sum);
    for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++) {
        if (rows[i] == KM_STEM_NO_ROW)
            break; /* padding stands behind the content: no place after this one holds a byte */
        sum += *(const sixteen_floats *)(sums->table + (size_t)rows[i] * KM_STEM_CHANNELS);
    }
    put_cell(sums, &sum, to);
}

/* The byte table (257 KB) is near; looking ahead would cost more than it saves. */
static inline __attribute__((always_inline)) void sum_bytes(const struct km_stem_sums *sums,
                                                            const struct km_square *square, float *out)
{
    uint32_t cells = sums->order->side * sums->order->side / KM_STEM_CELL_BYTES;
    for (uint32_t cell = 0; cell < cells; cell++) {
        uint32_t rows[KM_STEM_CELL_BYTES], place;
        km_stem_rows(sums->kind, sums->order, square, cell, rows, &place);
        sum_cell(sums, rows, out + place * sums->layout.step);
    }
}

/* The rows of cell number `cell`, asked for from memory. */
static inline __attribute__((always_inline)) void fetch_cell(const struct km_stem_sums *sums,
                                                             const struct km_square *square, uint32_t cell,
                                                             uint32_t *begins)
{
    hash_whole_cell(square->bytes + (size_t)cell * KM_STEM_CELL_BYTES, begins);
    for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++)
        __builtin_prefetch(sums->table + begins[i], 0, 2);
}

/* The 4 MB of a hash table lie in the last cache: rows are asked for some cells before they are summed, and to the
 * second cache, which has more such requests open at once than the first. Cells without content are all the same. */
static inline __attribute__((always_inline)) void sum_hashes(const struct km_stem_sums *sums,
                                                             const struct km_square *square, float *out)
{
    const uint32_t *places = sums->order->cell_place;
    uint32_t cells = sums->order->side * sums->order->side / KM_STEM_CELL_BYTES;
    uint32_t full = (uint32_t)((square->length + KM_STEM_CELL_BYTES - 1) / KM_STEM_CELL_BYTES);
    uint32_t whole = square->length < 3 ? 0 : (uint32_t)((square->length - 3) / KM_STEM_CELL_BYTES);
    uint32_t begins[AHEAD][KM_STEM_CELL_BYTES], rows[KM_STEM_CELL_BYTES];
    for (uint32_t cell = 0; cell < AHEAD && cell < whole; cell++)
        fetch_cell(sums, square, cell, begins[cell]);
    for (uint32_t cell = 0; cell < whole; cell++) {
        sixteen_floats sum;
        begin_cell(sums, &sum);
        for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++)
            sum += *(const sixteen_floats *)(sums->table + begins[cell % AHEAD][i]);
        put_cell(sums, &sum, out + places[cell] * sums->layout.step);
        if (cell + AHEAD < whole)
            fetch_cell(sums, square, cell + AHEAD, begins[cell % AHEAD]);
    }
    for (uint32_t cell = whole; cell < full; cell++) {
        hash_rows(square, (size_t)cell * KM_STEM_CELL_BYTES, rows);
        sum_cell(sums, rows, out + places[cell] * sums->layout.step);
    }
    rows[0] = KM_STEM_NO_ROW;
    for (uint32_t cell = full; cell < cells; cell++)
        sum_cell(sums, rows, out + places[cell] * sums->layout.step);
}

static inline __attribute__((always_inline)) void sum_square(const struct km_stem_sums *sums,
                                                             const struct km_square *square, float *out)
{
    if (sums->kind == KM_STEM_HASH)
        sum_hashes(sums, square, out);
    else
        sum_bytes(sums, square, out);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void sum_square_avx2(const struct km_stem_sums *sums,
                                                            const struct km_square *square, float *out)
{
    sum_square(sums, square, out);
}

__attribute__((target("avx512f,avx512bw,avx512vl"))) static void sum_square_avx512(const struct km_stem_sums *sums,
                                                                                   const struct km_square *square,
                                                                                   float *out)
{
    sum_square(sums, square, out);
}
#endif

/* The same additions in the same order, so the same floats, with the widest registers that there are. */
void km_stem_forward(const struct km_stem_sums *sums, const struct km_square *square, float *out)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
        sum_square_avx512(sums, square, out);
        return;
    }
    if (__builtin_cpu_supports("avx2")) {
        sum_square_avx2(sums, square, out);
        return;
    }
#endif
    sum_square(sums, square, out);
}

void km_stem_backward(const struct km_stem_sums *sums, const struct km_square *square, const float *diff_out,
                      float *diff_table)
{
    uint32_t cells = sums->order->side * sums->order->side / KM_STEM_CELL_BYTES;
    for (uint32_t cell = 0; cell < cells; cell++) {
        uint32_t rows[KM_STEM_CELL_BYTES], place;
        km_stem_rows(sums->kind, sums->order, square, cell, rows, &place);
        const float *from = diff_out + place * sums->layout.step;
        eight low = *(const eight *)from, high = *(const eight *)(from + sums->layout.second);
        for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++) {
            if (rows[i] == KM_STEM_NO_ROW)
                break;
            eight *row = (eight *)(diff_table + (size_t)rows[i] * KM_STEM_CHANNELS);
            row[0] += low;
            row[1] += high;
        }
    }
}

/* weight[channel][colour][place] */
static size_t weight_at(uint32_t channel, uint32_t colour, uint32_t place)
{
    return ((size_t)channel * 3 + colour) * KM_STEM_CELL_BYTES + place;
}

void km_stem_colours_fold(const float *weight, const float *colours, float *table)
{
    for (uint32_t place = 0; place < KM_STEM_CELL_BYTES; place++)
        for (uint32_t symbol = 0; symbol < KM_STEM_SYMBOLS; symbol++) {
            float *row = table + ((size_t)place * KM_STEM_SYMBOLS + symbol) * KM_STEM_CHANNELS;
            const float *colour = colours + (size_t)symbol * 3;
            for (uint32_t channel = 0; channel < KM_STEM_CHANNELS; channel++) {
                float sum = 0;
                for (uint32_t c = 0; c < 3; c++)
                    sum += weight[weight_at(channel, c, place)] * colour[c];
                row[channel] = sum;
            }
        }
}

void km_stem_colours_unfold(const float *diff_table, const float *colours, float *diff_weight)
{
    memset(diff_weight, 0, (size_t)KM_STEM_CHANNELS * 3 * KM_STEM_CELL_BYTES * sizeof *diff_weight);
    for (uint32_t place = 0; place < KM_STEM_CELL_BYTES; place++)
        for (uint32_t symbol = 0; symbol < KM_STEM_SYMBOLS; symbol++) {
            const float *row = diff_table + ((size_t)place * KM_STEM_SYMBOLS + symbol) * KM_STEM_CHANNELS;
            const float *colour = colours + (size_t)symbol * 3;
            for (uint32_t channel = 0; channel < KM_STEM_CHANNELS; channel++)
                for (uint32_t c = 0; c < 3; c++)
                    diff_weight[weight_at(channel, c, place)] += row[channel] * colour[c];
        }
}
