#define KM_TEST_NAME "curve"
#include "../cm.h"

#include <stdlib.h>
#include <string.h>

#include "container/imaging/curve.h"

static struct km_curve *open_curve(enum km_curve_kind kind, uint32_t side)
{
    struct km_err err = KM_ERR_INIT;
    struct km_curve *curve = km_curve_new(kind, side, &err);
    if (!curve)
        fail_msg("side %u: %s", side, err.text);
    return curve;
}

static void first_cells_are_the_reference_s(void **state)
{
    (void)state;
    static const uint8_t of_four[16][2] = {{0, 0}, {0, 1}, {1, 1}, {1, 0}, {2, 0}, {3, 0}, {3, 1}, {2, 1},
                                           {2, 2}, {3, 2}, {3, 3}, {2, 3}, {1, 3}, {1, 2}, {0, 2}, {0, 3}};
    static const uint8_t of_two[4][2] = {{0, 0}, {1, 0}, {1, 1}, {0, 1}};
    struct km_curve *four = open_curve(KM_CURVE_HILBERT, 4), *two = open_curve(KM_CURVE_HILBERT, 2);
    uint32_t col, row;
    for (unsigned p = 0; p < 16; p++) {
        km_curve_get_pixel(four, p, &col, &row);
        assert_int_equal(col, of_four[p][0]);
        assert_int_equal(row, of_four[p][1]);
    }
    for (unsigned p = 0; p < 4; p++) {
        km_curve_get_pixel(two, p, &col, &row);
        assert_int_equal(col, of_two[p][0]);
        assert_int_equal(row, of_two[p][1]);
    }
    km_curve_free(four);
    km_curve_free(two);
}

static void patches_follow_the_coarse_curve(void **state)
{
    (void)state;
    static const unsigned patches[16] = {0, 4, 5, 1, 2, 3, 7, 6, 10, 11, 15, 14, 13, 9, 8, 12};
    struct km_curve *curve = open_curve(KM_CURVE_HILBERT, 1024);
    for (uint64_t p = 0; p < UINT64_C(1024) * 1024; p += 997) {
        uint32_t col, row;
        km_curve_get_pixel(curve, p, &col, &row);
        assert_int_equal(row / 256 * 4 + col / 256, patches[p / 65536]);
    }
    km_curve_free(curve);
}

/* Every pixel once, the way back, and neighbours next to each other. */
static void check_curve(enum km_curve_kind kind, uint32_t side)
{
    struct km_curve *curve = open_curve(kind, side);
    uint8_t *seen = calloc(side, side);
    uint32_t last_col = 0, last_row = 0;
    for (uint64_t p = 0; p < (uint64_t)side * side; p++) {
        uint32_t col, row;
        km_curve_get_pixel(curve, p, &col, &row);
        assert_true(col < side && row < side);
        assert_int_equal(seen[(size_t)row * side + col]++, 0);
        assert_int_equal(km_curve_get_position(curve, col, row), p);
        assert_true(p == 0 || abs((int)col - (int)last_col) + abs((int)row - (int)last_row) == 1);
        last_col = col;
        last_row = row;
    }
    free(seen);
    km_curve_free(curve);
}

static void curves_are_bijections_without_jumps(void **state)
{
    (void)state;
    for (uint32_t side = 1; side <= 512; side *= 2)
        check_curve(KM_CURVE_HILBERT, side);
    for (uint32_t side = 1; side <= 40; side++)
        check_curve(KM_CURVE_ZIGZAG, side);
}

static void check_runs(enum km_curve_kind kind, uint32_t side)
{
    struct km_curve *curve = open_curve(kind, side);
    uint64_t total = (uint64_t)side * side;
    for (uint64_t p = 0; p < total; p += 1 + p % 7) { /* starts in the middle of runs, too */
        struct km_curve_run run = km_curve_get_run(curve, p);
        assert_true(run.length >= 1 && p + run.length <= total);
        uint32_t ends[2] = {0, run.length - 1};
        for (unsigned i = 0; i < 2; i++) {
            uint32_t col, row;
            km_curve_get_pixel(curve, p + ends[i], &col, &row);
            assert_int_equal(run.base + run.offsets[ends[i]], row * side + col);
        }
    }
    km_curve_free(curve);
}

static void runs_agree_with_single_pixels(void **state)
{
    (void)state;
    for (uint32_t side = 1; side <= 512; side *= 2)
        check_runs(KM_CURVE_HILBERT, side);
    check_runs(KM_CURVE_ZIGZAG, 33);
    check_runs(KM_CURVE_ZIGZAG, 64);
}

static void bad_sides_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum km_curve_kind kind;
        uint32_t side;
        enum km_code code;
    } rows[] = {{KM_CURVE_HILBERT, 0, KM_LIMIT},     {KM_CURVE_HILBERT, 3, KM_FORMAT},
                {KM_CURVE_HILBERT, 1000, KM_FORMAT}, {KM_CURVE_HILBERT, 2 * KM_CURVE_MAX_SIDE, KM_LIMIT},
                {KM_CURVE_ZIGZAG, 0, KM_LIMIT},      {KM_CURVE_ZIGZAG, KM_CURVE_MAX_SIDE + 1, KM_LIMIT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_null(km_curve_new(rows[i].kind, rows[i].side, &err));
        assert_int_equal(err.code, rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_cells_are_the_reference_s),
        cmocka_unit_test(patches_follow_the_coarse_curve),
        cmocka_unit_test(curves_are_bijections_without_jumps),
        cmocka_unit_test(runs_agree_with_single_pixels),
        cmocka_unit_test(bad_sides_are_refused),
    };
    return KM_RUN_TESTS(tests);
}
