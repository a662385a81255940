#define KM_TEST_NAME "stem"
#include "nets.h"

#include <string.h>

#include "nn/stem.h"

static void order_wants_whole_cells(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    uint32_t *places = nets_hilbert(64);
    struct km_stem_order *order = km_stem_order_new(64, places, &err);
    assert_non_null(order);
    assert_int_equal(km_stem_order_side(order), 64);
    km_stem_order_free(order);

    uint32_t held = places[5];
    places[5] = places[6]; /* one place twice */
    assert_null(km_stem_order_new(64, places, &err));
    assert_int_equal(err.code, KM_FORMAT);
    places[5] = 64 * 64; /* outside */
    assert_null(km_stem_order_new(64, places, &err));
    places[5] = places[100]; /* two bytes change cells */
    places[100] = held;
    assert_null(km_stem_order_new(64, places, &err));
    assert_int_equal(err.code, KM_FORMAT);
    free(places);

    uint32_t *rows = malloc(sizeof *rows * 64 * 64);
    assert_non_null(rows);
    for (uint32_t i = 0; i < 64 * 64; i++) /* 4x4 cells in rows: 32x32 ones are not whole */
        rows[i] = (i / 16 / 16 * 4 + i % 16 / 4) * 64 + i / 16 % 16 * 4 + i % 4;
    assert_null(km_stem_order_new(64, rows, &err));
    assert_non_null(strstr(err.text, "32x32"));
    free(rows);
}

static void order_wants_a_side_it_can_cut(void **state)
{
    (void)state;
    static const uint32_t sides[] = {0, 4, 33, 2048};
    uint32_t *places = nets_hilbert(32);
    for (size_t i = 0; i < sizeof sides / sizeof *sides; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_null(km_stem_order_new(sides[i], places, &err));
        assert_int_equal(err.code, KM_LIMIT);
    }
    free(places);
}

static void cells_are_valid_while_content_lasts(void **state)
{
    (void)state;
    struct km_stem_order *order = nets_order(64);
    static const struct {
        size_t length, cells;
    } table[] = {{0, 0}, {1, 1}, {1024, 1}, {1025, 2}, {2048, 2}, {4096, 4}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        float valid[4];
        km_stem_valid_cells(order, table[i].length, valid);
        float sum = valid[0] + valid[1] + valid[2] + valid[3];
        assert_int_equal((int)sum, table[i].cells);
    }
    km_stem_order_free(order);
}

/* The hash stem's rows, from its definition: symbols to the base 257, Fibonacci hashing. */
static uint32_t row_by_definition(const uint8_t *bytes, size_t length, size_t i)
{
    uint64_t value = 0;
    for (size_t k = 4; k-- > 0;)
        value = value * 257 + (i + k < length ? bytes[i + k] : 256);
    return (uint32_t)(value * UINT64_C(0x9E3779B1) & UINT32_MAX) >> 16;
}

static void hash_reads_four_symbols_and_padding_is_one(void **state)
{
    (void)state;
    struct km_stem_order *order = nets_order(32);
    uint8_t bytes[1024];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37 + i / 7);
    static const size_t lengths[] = {0, 1, 15, 16, 17, 19, 20, 1023, 1024};
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        struct km_square square = {bytes, lengths[l]};
        for (uint32_t cell = 0; cell < 64; cell++) {
            uint32_t rows[16], place;
            km_stem_rows(KM_STEM_HASH, order, &square, cell, rows, &place);
            assert_true(place < 64);
            for (size_t i = 0; i < 16; i++) {
                size_t at = (size_t)cell * 16 + i;
                if (at >= lengths[l])
                    assert_int_equal(rows[i], KM_STEM_NO_ROW);
                else
                    assert_int_equal(rows[i], row_by_definition(bytes, lengths[l], at));
            }
        }
    }
    km_stem_order_free(order);
}

/* Colour the square, convolve 4x4 with stride 4, compare with look-ups. */
static void colours_folded_are_the_convolution(void **state)
{
    (void)state;
    const size_t side = 32, cells = 8;
    uint32_t *places = nets_hilbert(32);
    struct km_err err = KM_ERR_INIT;
    struct km_stem_order *order = km_stem_order_new(32, places, &err);
    assert_non_null(order);
    static float weight[16 * 3 * 16], picture[3][32][32], out[8 * 8 * 16];
    static _Alignas(64) float table[(size_t)KM_STEM_BYTE_ROWS * KM_STEM_CHANNELS];
    uint8_t bytes[1000];
    nets_fill(weight, sizeof weight / sizeof *weight, 3);
    for (size_t i = 0; i < side * side; i++) {
        size_t symbol = 256;
        if (i < sizeof bytes)
            symbol = bytes[i] = (uint8_t)(i * 11 + i / 3);
        for (size_t c = 0; c < 3; c++)
            picture[c][places[i] / side][places[i] % side] = nets_colours()[symbol * 3 + c];
    }
    km_stem_colours_fold(weight, nets_colours(), table);
    struct km_stem_sums sums = {.kind = KM_STEM_COLOUR, .order = order, .layout = {16, 8}, .table = table};
    km_stem_forward(&sums, &(struct km_square){bytes, sizeof bytes}, out);
    for (size_t channel = 0; channel < 16; channel++)
        for (size_t cell = 0; cell < cells * cells; cell++) {
            double expected = 0;
            for (size_t i = 0; i < 48; i++)
                expected += (double)weight[channel * 48 + i] *
                            (double)picture[i / 16][cell / cells * 4 + i / 4 % 4][cell % cells * 4 + i % 4];
            assert_true(fabs(expected - (double)out[cell * 16 + channel]) < 1e-5);
        }
    free(places);
    km_stem_order_free(order);
}

static void channels_go_where_the_layout_says(void **state)
{
    (void)state;
    struct km_stem_order *order = nets_order(32);
    static _Alignas(64) float table[(size_t)KM_STEM_HASH_ROWS * KM_STEM_CHANNELS];
    static float last[64 * 16], blocked[64 * 16];
    float bias[16];
    uint8_t bytes[300];
    nets_fill(table, sizeof table / sizeof *table, 4);
    nets_fill(bias, 16, 5);
    memset(bytes, 'x', sizeof bytes);
    struct km_square square = {bytes, sizeof bytes};
    struct km_stem_sums sums = {
        .kind = KM_STEM_HASH, .order = order, .layout = {16, 8}, .table = table, .bias = bias, .relu = true};
    km_stem_forward(&sums, &square, last);
    sums.layout = (struct km_stem_layout){8, 512};
    km_stem_forward(&sums, &square, blocked);
    bool some = false;
    for (size_t place = 0; place < 64; place++)
        for (size_t c = 0; c < 16; c++) {
            float value = last[place * 16 + c];
            assert_true(value >= 0);
            some |= value > 0;
            assert_true(value == blocked[c / 8 * 512 + place * 8 + c % 8]);
        }
    assert_true(some);
    km_stem_order_free(order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_wants_whole_cells),
        cmocka_unit_test(order_wants_a_side_it_can_cut),
        cmocka_unit_test(cells_are_valid_while_content_lasts),
        cmocka_unit_test(hash_reads_four_symbols_and_padding_is_one),
        cmocka_unit_test(colours_folded_are_the_convolution),
        cmocka_unit_test(channels_go_where_the_layout_says),
    };
    return KM_RUN_TESTS(tests);
}
