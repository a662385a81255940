#define KM_TEST_NAME "geometry"
#include "../cm.h"

#include "container/imaging/geometry.h"

static struct km_geometry make(enum km_geometry_layout layout, uint32_t side, uint32_t step, uint64_t bytes)
{
    struct km_err err = KM_ERR_INIT;
    struct km_geometry geometry;
    assert_ok(km_geometry_init(&geometry, layout, side, step, bytes, &err), err);
    return geometry;
}

static void rows_table(void **state)
{
    (void)state;
    static const struct {
        enum km_geometry_layout layout;
        uint32_t side, step;
        uint64_t bytes;
        uint32_t rows;
    } rows[] = {
        {KM_GEOMETRY_SQUARE, 1024, 0, 12345, 1024},
        {KM_GEOMETRY_UNROLLED, 1024, 0, 12345, 4096},
        {KM_GEOMETRY_UNROLLED, 1024, 30, 31457280, 1024},
        {KM_GEOMETRY_UNROLLED, 1024, 30, 31457281, 2048},
        {KM_GEOMETRY_UNROLLED_N, 1024, 0, 1048576, 1024},
        {KM_GEOMETRY_UNROLLED_N, 1024, 0, 1048577, 2048},
        {KM_GEOMETRY_UNROLLED_N, 1024, 0, 0, 1024}, /* black, not nothing */
        {KM_GEOMETRY_UNROLLED, 16, 3, 0, 16},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_geometry geometry = make(rows[i].layout, rows[i].side, rows[i].step, rows[i].bytes);
        assert_int_equal(km_geometry_get_rows(&geometry), rows[i].rows);
    }
}

static void offsets_table(void **state)
{
    (void)state;
    struct km_geometry square = make(KM_GEOMETRY_SQUARE, 4, 0, 100);
    assert_int_equal(km_geometry_get_offset(&square, 0, 15), 93);
    struct km_geometry stretched = make(KM_GEOMETRY_SQUARE, 4, 0, 8);
    assert_int_equal(km_geometry_get_offset(&stretched, 0, 5), 2);
    struct km_geometry unrolled = make(KM_GEOMETRY_UNROLLED, 4, 0, 1000);
    assert_int_equal(km_geometry_get_offset(&unrolled, 3, 0), 750);
    assert_int_equal(km_geometry_get_offset(&unrolled, 3, 15), 984);
    struct km_geometry stepped = make(KM_GEOMETRY_UNROLLED, 4, 30, 1000);
    assert_int_equal(km_geometry_get_offset(&stepped, 2, 1), 990);
    assert_int_equal(km_geometry_get_offset(&stepped, 2, 2), 1020);
    struct km_geometry all = make(KM_GEOMETRY_UNROLLED_N, 1024, 0, UINT64_C(9) << 30);
    assert_int_equal(km_geometry_get_offset(&all, 9215, 1048575), (UINT64_C(9) << 30) - 1);
}

static void quads_meet_when_the_length_is_odd(void **state)
{
    (void)state;
    for (uint64_t bytes = 64; bytes < 72; bytes++) {
        struct km_geometry geometry = make(KM_GEOMETRY_UNROLLED, 2, 0, bytes);
        for (uint64_t quad = 0; quad < 4; quad++)
            assert_int_equal(km_geometry_get_offset(&geometry, quad, 0), quad * bytes / 4);
    }
}

static const struct {
    enum km_geometry_layout layout;
    uint32_t side, step;
    uint64_t bytes;
} shapes[] = {
    {KM_GEOMETRY_SQUARE, 8, 0, 1000},     {KM_GEOMETRY_SQUARE, 8, 0, 10},      {KM_GEOMETRY_SQUARE, 7, 0, 997},
    {KM_GEOMETRY_UNROLLED, 8, 0, 4099},   {KM_GEOMETRY_UNROLLED, 8, 0, 3},     {KM_GEOMETRY_UNROLLED, 8, 30, 5001},
    {KM_GEOMETRY_UNROLLED_N, 8, 0, 1001}, {KM_GEOMETRY_UNROLLED_N, 5, 0, 999}, {KM_GEOMETRY_UNROLLED, 5, 1, 77},
};

static void every_byte_has_its_pixels(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct km_geometry g = make(shapes[i].layout, shapes[i].side, shapes[i].step, shapes[i].bytes);
        for (uint64_t byte = 0; byte < g.bytes; byte++) {
            uint64_t first, count, begin, end;
            assert_true(km_geometry_find_pixels(&g, byte, &first, &count));
            assert_true(count >= 1);
            for (uint64_t pixel = first; pixel < first + count; pixel++) {
                assert_true(km_geometry_find_bytes(&g, pixel / g.quad_pixels, pixel % g.quad_pixels, &begin, &end));
                assert_true(begin <= byte && byte < end);
            }
            assert_true(first == 0 ||
                        km_geometry_get_offset(&g, (first - 1) / g.quad_pixels, (first - 1) % g.quad_pixels) < byte);
        }
        uint64_t first, count;
        assert_false(km_geometry_find_pixels(&g, g.bytes, &first, &count));
    }
}

static void pixels_ascend_and_black_has_no_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct km_geometry g = make(shapes[i].layout, shapes[i].side, shapes[i].step, shapes[i].bytes);
        uint64_t before = 0;
        for (uint64_t pixel = 0; pixel < g.quads * g.quad_pixels; pixel++) {
            uint64_t quad = pixel / g.quad_pixels, position = pixel % g.quad_pixels, begin, end;
            uint64_t offset = km_geometry_get_offset(&g, quad, position);
            assert_true(offset >= before);
            before = offset;
            assert_int_equal(km_geometry_find_bytes(&g, quad, position, &begin, &end), offset < g.bytes);
        }
    }
}

static void limits_are_refused(void **state)
{
    (void)state;
    struct km_geometry geometry = {.side = 77};
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_geometry_init(&geometry, KM_GEOMETRY_SQUARE, 0, 0, 1, &err), KM_LIMIT);
    assert_int_equal(km_geometry_init(&geometry, KM_GEOMETRY_SQUARE, 16, 3, 1, &err), KM_FORMAT);
    assert_int_equal(km_geometry_init(&geometry, KM_GEOMETRY_SQUARE, 16, 0, KM_GEOMETRY_MAX_BYTES + 1, &err), KM_LIMIT);
    assert_int_equal(km_geometry_init(&geometry, KM_GEOMETRY_UNROLLED_N, 1, 0, UINT64_C(1) << 31, &err), KM_LIMIT);
    assert_int_equal(km_geometry_init(&geometry, KM_GEOMETRY_UNROLLED_N, 1, 0, UINT64_C(0x7fffffff), &err), KM_OK);
    geometry.side = 77;
    assert_int_equal(km_geometry_init(&geometry, KM_GEOMETRY_UNROLLED_N, 2, 0, UINT64_C(1) << 40, &err), KM_LIMIT);
    assert_int_equal(geometry.side, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_table),
        cmocka_unit_test(offsets_table),
        cmocka_unit_test(quads_meet_when_the_length_is_odd),
        cmocka_unit_test(every_byte_has_its_pixels),
        cmocka_unit_test(pixels_ascend_and_black_has_no_bytes),
        cmocka_unit_test(limits_are_refused),
    };
    return KM_RUN_TESTS(tests);
}
