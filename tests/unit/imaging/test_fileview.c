#define KM_TEST_NAME "fileview"
#include "../cm.h"

#include <string.h>

#include "container/imaging/fileview.h"

static void cutting_table(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        uint32_t sides[12]; /* 0 ends */
        uint32_t last_valid;
    } rows[] = {
        {0, {0}, 0},
        {1, {32}, 1},
        {1024, {32}, 1024},
        {1025, {32, 32}, 1},
        {4095, {32, 32, 32, 32}, 1023},
        {4096, {64}, 4096},
        {65535, {128, 128, 128, 64, 64, 64, 32, 32, 32, 32}, 1023},
        {65536, {256}, 65536},
        {65536 + 16384 + 5, {256, 128, 32}, 5},
        {3 * 65536, {256, 256, 256}, 65536},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_fileview_square square = {0};
        uint64_t offset = 0;
        size_t n = 0;
        for (; km_fileview_cut(rows[i].bytes, offset, &square); n++) {
            assert_int_equal(square.offset, offset);
            assert_int_equal(square.side, rows[i].sides[n]);
            assert_int_equal(offset % 1024, 0);
            offset += square.valid;
        }
        assert_int_equal(rows[i].sides[n], 0);
        assert_int_equal(offset, rows[i].bytes);
        assert_int_equal(square.valid, rows[i].last_valid);
    }
}

static void every_byte_is_found_in_its_square(void **state)
{
    (void)state;
    struct km_fileview_square square;
    uint64_t bytes = 2 * 65536 + 40000;
    for (uint64_t offset = 0; offset < bytes; offset += 37) {
        assert_true(km_fileview_find(bytes, offset, &square));
        assert_true(square.offset <= offset && offset - square.offset < square.valid);
    }
    assert_false(km_fileview_find(bytes, bytes, &square));
    assert_true(km_fileview_find((UINT64_C(1) << 40) + 1, UINT64_C(1) << 40, &square));
    assert_int_equal(square.valid, 1);
}

static void symbols_tell_padding_from_zeros(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_curve *curve = km_curve_new(KM_CURVE_HILBERT, 32, &err);
    assert_non_null(curve);
    struct km_fileview_square square = {.offset = 2048, .side = 32, .valid = 700};
    static uint8_t bytes[700];
    static uint16_t symbols[1024];
    for (unsigned i = 0; i < 700; i++)
        bytes[i] = (uint8_t)(i % 3 == 0 ? 0 : i);
    km_fileview_fill_symbols(&square, curve, bytes, symbols);
    unsigned padding = 0;
    for (uint32_t row = 0; row < 32; row++) {
        for (uint32_t col = 0; col < 32; col++) {
            uint64_t offset;
            bool inside = km_fileview_find_byte(&square, curve, col, row, &offset);
            assert_int_equal(symbols[row * 32 + col], inside ? bytes[offset - 2048] : KM_FILEVIEW_PADDING);
            padding += !inside;
        }
    }
    assert_int_equal(padding, 324);
    km_curve_free(curve);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cutting_table),
        cmocka_unit_test(every_byte_is_found_in_its_square),
        cmocka_unit_test(symbols_tell_padding_from_zeros),
    };
    return KM_RUN_TESTS(tests);
}
