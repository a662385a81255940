#define KM_TEST_NAME "locate"
#include "../cm.h"

#include "container/imaging/locate.h"
#include "container/imaging/sheet.h"
#include "memfile.h"
#include "rowkeeper.h"
#include "tarfake.h"

static struct tarfake fake;

static struct km_input open_fake(void)
{
    struct km_input input;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_input_open(&input, memfile_open(fake.bytes, fake.length), NULL, &err), err);
    return input;
}

static void parts_table(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_file(&fake, "a", "alpha");
    tarfake_header(&fake, "L", 'L', 4);
    tarfake_data(&fake, "long", 4);
    tarfake_file(&fake, "b", "be");
    tarfake_end(&fake);
    static const struct {
        uint64_t offset;
        enum km_locate_part part;
        const char *name;
        uint64_t within;
    } rows[] = {
        {0, KM_LOCATE_HEADER, "a", 0},          {511, KM_LOCATE_HEADER, "a", 511}, {512, KM_LOCATE_DATA, "a", 0},
        {516, KM_LOCATE_DATA, "a", 4},          {517, KM_LOCATE_PADDING, "a", 0},  {1024, KM_LOCATE_HEADER, "long", 0},
        {2559, KM_LOCATE_HEADER, "long", 1535}, {2560, KM_LOCATE_DATA, "long", 0}, {2562, KM_LOCATE_PADDING, "long", 0},
        {3072, KM_LOCATE_TAIL, "", 0},          {4095, KM_LOCATE_TAIL, "", 0},
    };
    struct km_input input = open_fake();
    struct km_locate_place place;
    km_locate_place_init(&place);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_ok(km_locate_byte(&input, rows[i].offset, &place, &err), err);
        assert_string_equal(km_locate_part_to_string(place.part), km_locate_part_to_string(rows[i].part));
        assert_string_equal(km_buf_text(&place.name), rows[i].name);
        assert_int_equal(place.member_offset, rows[i].within);
    }
    struct km_err err = KM_ERR_INIT;
    uint64_t offset;
    assert_ok(km_locate_member(&input, "long", 1, &offset, &err), err);
    assert_int_equal(offset, 2561);
    assert_int_equal(km_locate_member(&input, "long", 2, &offset, &err), KM_NOTFOUND);
    assert_int_equal(km_locate_member(&input, "lon", 0, &offset, &err), KM_NOTFOUND);
    km_locate_place_done(&place);
    km_input_close(&input);
}

static void what_is_no_archive_is_plain(void **state)
{
    (void)state;
    fake.length = 0;
    tarfake_data(&fake, "no archive", 10);
    struct km_input input = open_fake();
    struct km_locate_place place;
    struct km_err err = KM_ERR_INIT;
    km_locate_place_init(&place);
    assert_ok(km_locate_byte(&input, 3, &place, &err), err);
    assert_int_equal(place.part, KM_LOCATE_PLAIN);
    km_locate_place_done(&place);
    km_input_close(&input);
}

/* Files of all sizes, so that squares of every side share cells and rows of cells are closed. */
static void sheet_squares_do_not_overlap_and_are_found_again(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 5000, 17000, 900, 20000, 3, 4096, 1};
    static char text[20000];
    fake.length = 0;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char name[] = {'f', (char)('0' + i), '\0'};
        memset(text, 'a' + (int)i, sizes[i]);
        tarfake_header(&fake, name, '0', sizes[i]);
        KM_ASSERT(fake.length + sizes[i] + 512 < sizeof fake.bytes);
        tarfake_data(&fake, text, sizes[i]);
    }
    struct km_input input = open_fake();
    struct km_err err = KM_ERR_INIT;
    struct rowkeeper keeper = {0};
    struct km_row_sink sink = rowkeeper_sink(&keeper);
    struct km_render_report report;
    assert_ok(km_sheet_draw(&input, 256, NULL, &sink, &report, &err), err);
    assert_int_equal(keeper.rows, keeper.height);
    assert_int_equal(report.members, sizeof sizes / sizeof sizes[0]);
    size_t inside = 0, whole = 0;
    for (size_t i = 0; i < (size_t)keeper.width * keeper.height; i++)
        inside += keeper.rgb[3 * i + 2] == 255;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        whole += sizes[i];
    assert_int_equal(inside, whole);
    for (uint64_t offset = 0; offset < input.bytes; offset += 61) {
        struct km_locate_pixel pixel;
        uint64_t back;
        if (km_locate_sheet_pixel(&input, 256, offset, &pixel, &err) != KM_OK)
            continue;
        assert_ok(km_locate_sheet_byte(&input, 256, pixel, &back, &err), err);
        assert_int_equal(back, offset);
        assert_int_equal(rowkeeper_pixel(&keeper, pixel.col, pixel.row)[1], fake.bytes[offset]);
    }
    struct km_locate_pixel outside = {255, keeper.height};
    uint64_t ignored;
    assert_int_equal(km_locate_sheet_byte(&input, 256, outside, &ignored, &err), KM_NOTFOUND);
    km_input_close(&input);
    free(keeper.rgb);
}

static void sheet_widths_are_checked(void **state)
{
    (void)state;
    struct km_input input = {.fd = -1, .bytes = 0};
    struct km_err err = KM_ERR_INIT;
    assert_null(km_sheet_new(&input, 100, &err));
    assert_int_equal(err.code, KM_FORMAT);
    assert_null(km_sheet_new(&input, 0, &err));
    assert_null(km_sheet_new(&input, KM_CURVE_MAX_SIDE + 256, &err));
    assert_int_equal(err.code, KM_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_table),
        cmocka_unit_test(what_is_no_archive_is_plain),
        cmocka_unit_test(sheet_squares_do_not_overlap_and_are_found_again),
        cmocka_unit_test(sheet_widths_are_checked),
    };
    return KM_RUN_TESTS(tests);
}
