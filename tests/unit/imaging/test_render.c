#define KM_TEST_NAME "render"
#include "../cm.h"

#include "container/imaging/render.h"
#include "memfile.h"
#include "rowkeeper.h"
#include "tarfake.h"

static struct km_input open_bytes(const void *bytes, size_t length)
{
    struct km_input input;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_input_open(&input, memfile_open(bytes, length), NULL, &err), err);
    return input;
}

static void pixels_are_class_magnitude_structure(void **state)
{
    (void)state;
    static struct tarfake fake;
    fake.length = 0;
    tarfake_file(&fake, "a", "A\xff");
    tarfake_end(&fake);
    struct km_input input = open_bytes(fake.bytes, fake.length);
    struct km_geometry geometry;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_geometry_init(&geometry, KM_GEOMETRY_UNROLLED_N, 64, 0, input.bytes, &err), err);
    struct km_render_options options = {
        .geometry = &geometry,
        .maps = {KM_COLOUR_CLASS, KM_COLOUR_MAGNITUDE, KM_COLOUR_STRUCTURE},
        .map_count = 3,
    };
    struct rowkeeper keeper = {0};
    struct km_row_sink sink = rowkeeper_sink(&keeper);
    struct km_render_report report;
    assert_ok(km_render_run(&input, &options, &sink, &report, &err), err);
    assert_int_equal(keeper.rows, 64);
    struct km_curve *curve = km_curve_new(KM_CURVE_HILBERT, 64, &err);
    assert_non_null(curve);
    static const struct {
        uint64_t offset;
        uint8_t rgb[3];
    } rows[] = {{0, {55, 'a', 155}},    {1, {0, 0, 155}}, {512, {55, 'A', 255}},
                {513, {255, 255, 255}}, {514, {0, 0, 0}}, {4000, {0, 0, 0}}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint32_t col, row;
        km_curve_get_pixel(curve, rows[i].offset, &col, &row);
        assert_memory_equal(rowkeeper_pixel(&keeper, col, row), rows[i].rgb, 3);
    }
    assert_true(report.walked);
    assert_int_equal(report.members, 1);
    assert_int_equal(report.stop, KM_TARWALK_END_MARK);
    km_curve_free(curve);
    km_input_close(&input);
    free(keeper.rgb);
}

static void sinks_and_tokens_end_the_work(void **state)
{
    (void)state;
    static const uint8_t bytes[4096] = {1};
    struct km_input input = open_bytes(bytes, sizeof bytes);
    struct km_geometry geometry;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_geometry_init(&geometry, KM_GEOMETRY_UNROLLED, 16, 0, input.bytes, &err), err);
    struct km_cancel cancel = KM_CANCEL_INIT;
    struct km_render_options options = {
        .geometry = &geometry, .maps = {KM_COLOUR_MAGNITUDE}, .map_count = 1, .cancel = &cancel};
    struct rowkeeper keeper = {.fail_after = 2};
    struct km_row_sink sink = rowkeeper_sink(&keeper);
    assert_int_equal(km_render_run(&input, &options, &sink, NULL, &err), KM_IO);
    assert_int_equal(keeper.rows, 32);
    km_cancel_request(&cancel);
    assert_int_equal(km_render_run(&input, &options, &sink, NULL, &err), KM_CANCELLED);
    assert_int_equal(keeper.rows, 0);
    assert_int_equal(ftruncate(input.fd, 100), 0);
    options.cancel = NULL;
    keeper.fail_after = 0;
    assert_int_equal(km_render_run(&input, &options, &sink, NULL, &err), KM_IO); /* shrunk under our hands */
    km_input_close(&input);
    free(keeper.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_class_magnitude_structure),
        cmocka_unit_test(sinks_and_tokens_end_the_work),
    };
    return KM_RUN_TESTS(tests);
}
