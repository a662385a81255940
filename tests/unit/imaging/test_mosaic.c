#define KM_TEST_NAME "mosaic"
#include "../cm.h"

#include "container/imaging/glyph.h"
#include "container/imaging/mosaic.h"
#include "rowkeeper.h"

#define FRAME_COLUMNS 16U
#define FRAME_ROWS    62U /* title and a layer's line, above the first band */

static struct km_mosaic *open_mosaic(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_mosaic *mosaic = km_mosaic_new(KM_MOSAIC_MIN_PIXELS, &err);
    assert_non_null(mosaic);
    return mosaic;
}

static uint64_t add_entry(struct km_mosaic *mosaic, uint32_t layer, const void *bytes, uint64_t length)
{
    struct km_err err = KM_ERR_INIT;
    uint64_t entry = 0;
    assert_ok(km_mosaic_begin_entry(mosaic, layer, &entry, &err), err);
    km_mosaic_add(mosaic, bytes, length);
    km_mosaic_end_entry(mosaic);
    return entry;
}

static void draw(const struct km_mosaic *mosaic, struct rowkeeper *keeper)
{
    struct km_row_sink sink = rowkeeper_sink(keeper);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_mosaic_draw(mosaic, "a title", &sink, &err), err);
    assert_int_equal(keeper->rows, keeper->height);
}

static void kinds_of_content_look_different(void **state)
{
    (void)state;
    static uint8_t text[4096], random[4096], code[4096];
    uint32_t seed = 1;
    for (unsigned i = 0; i < sizeof text; i++) {
        text[i] = (uint8_t) "the quick brown fox\n"[i % 20];
        seed = seed * 1664525 + 1013904223;
        random[i] = (uint8_t)(seed >> 24);
        code[i] = (uint8_t)(seed >> 28 | (i % 3 << 6));
    }
    const uint8_t *kinds[] = {text, random, code, NULL};
    uint8_t colours[4][3];
    for (unsigned i = 0; i < 4; i++) {
        struct km_mosaic *mosaic = open_mosaic();
        struct rowkeeper keeper = {0};
        add_entry(mosaic, 0, kinds[i], 4096);
        draw(mosaic, &keeper);
        memcpy(colours[i], rowkeeper_pixel(&keeper, FRAME_COLUMNS + 3, FRAME_ROWS + 3), 3);
        for (unsigned j = 0; j < i; j++) {
            int distance = 0;
            for (unsigned c = 0; c < 3; c++)
                distance += abs(colours[i][c] - colours[j][c]);
            assert_true(distance > 60);
        }
        km_mosaic_free(mosaic);
        free(keeper.rgb);
    }
}

static void pieces_do_not_change_the_picture(void **state)
{
    (void)state;
    static uint8_t bytes[100000];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * i >> 7);
    struct rowkeeper whole = {0}, parts = {0};
    for (unsigned way = 0; way < 2; way++) {
        struct km_mosaic *mosaic = open_mosaic();
        struct km_err err = KM_ERR_INIT;
        uint64_t entry;
        assert_ok(km_mosaic_begin_entry(mosaic, 7, &entry, &err), err);
        for (size_t at = 0; at < sizeof bytes;) {
            size_t part = way == 0 ? sizeof bytes : 1 + at % 777;
            part = part < sizeof bytes - at ? part : sizeof bytes - at;
            km_mosaic_add(mosaic, bytes + at, part);
            at += part;
        }
        km_mosaic_end_entry(mosaic);
        draw(mosaic, way == 0 ? &whole : &parts);
        km_mosaic_free(mosaic);
    }
    assert_int_equal(whole.height, parts.height);
    assert_memory_equal(whole.rgb, parts.rgb, (size_t)whole.width * whole.height * 3);
    free(whole.rgb);
    free(parts.rgb);
}

static void any_amount_fits(void **state)
{
    (void)state;
    struct km_mosaic *mosaic = open_mosaic();
    struct rowkeeper keeper = {0};
    add_entry(mosaic, 0, "first", 5);
    add_entry(mosaic, 0, NULL, UINT64_C(8) << 30);
    add_entry(mosaic, 1, NULL, UINT64_MAX); /* a hole that claims everything */
    add_entry(mosaic, 2, "last", 4);
    for (unsigned i = 0; i < 3000; i++)
        add_entry(mosaic, 3 + i % 2, "small", 5); /* more bands than there may be */
    draw(mosaic, &keeper);
    assert_true((uint64_t)keeper.width * keeper.height < 20000000);
    km_mosaic_free(mosaic);
    free(keeper.rgb);
}

static bool has_colour(const struct rowkeeper *keeper, const char *rgb, uint32_t last_row)
{
    for (size_t i = 0; i < (size_t)keeper->width * last_row; i++)
        if (memcmp(keeper->rgb + 3 * i, rgb, 3) == 0)
            return true;
    return false;
}

static void marks_are_drawn_and_counted(void **state)
{
    (void)state;
    static const char red[] = "\xff\x2d\x2d";
    struct km_mosaic *mosaic = open_mosaic();
    struct rowkeeper plain = {0}, marked = {0};
    static uint8_t bytes[60000];
    uint64_t entry = add_entry(mosaic, 0, bytes, sizeof bytes);
    uint64_t empty = add_entry(mosaic, 0, bytes, 0);
    km_mosaic_name_layer(mosaic, 0,
                         "a layer whose name is far too long to be shown in one line, so that its middle "
                         "is replaced by dots \n\033[31m and hostile");
    draw(mosaic, &plain);
    assert_false(has_colour(&plain, red, FRAME_ROWS + 16));
    km_mosaic_mark(mosaic, entry, 1000, 40000, KM_MOSAIC_MALICIOUS, "usr/bin/\xff\xfe");
    km_mosaic_mark(mosaic, empty, 0, 10, KM_MOSAIC_SUSPICIOUS, "empty");
    km_mosaic_mark(mosaic, 999, 0, 10, KM_MOSAIC_SUSPICIOUS, "no such entry");
    for (unsigned i = 0; i < 2000; i++)
        km_mosaic_mark(mosaic, entry, i, UINT64_MAX, KM_MOSAIC_SUSPICIOUS, "many");
    draw(mosaic, &marked);
    assert_true(has_colour(&marked, red, FRAME_ROWS + 16));
    assert_true(marked.height > plain.height);
    km_mosaic_free(mosaic);
    free(plain.rgb);
    free(marked.rgb);
}

static void an_empty_mosaic_can_be_drawn(void **state)
{
    (void)state;
    struct km_mosaic *mosaic = open_mosaic();
    struct rowkeeper keeper = {0};
    draw(mosaic, &keeper);
    assert_true(keeper.height > 0);
    add_entry(mosaic, 0, "", 0);
    draw(mosaic, &keeper);
    km_mosaic_free(mosaic);
    free(keeper.rgb);
    struct km_err err = KM_ERR_INIT;
    assert_null(km_mosaic_new(KM_MOSAIC_MIN_PIXELS - 1, &err));
    assert_int_equal(err.code, KM_LIMIT);
    assert_null(km_mosaic_new(KM_MOSAIC_MAX_PIXELS + 1, &err));
}

static void text_is_clipped_and_measured(void **state)
{
    (void)state;
    static const uint8_t white[3] = {255, 255, 255};
    uint8_t rgb[10 * 10 * 3 + 1] = {0};
    rgb[sizeof rgb - 1] = 77;
    struct km_glyph_canvas canvas = {rgb, 10, 10};
    assert_int_equal(km_glyph_draw_text(&canvas, 2, 2, 2, white, "W\xc3\xbc\xff"), 2 + 3 * 12);
    assert_int_equal(rgb[sizeof rgb - 1], 77);
    assert_int_equal(km_glyph_get_width("W\xc3\xbc\xff", 2), 36);
    assert_int_equal(rgb[(2 * 10 + 2) * 3], 255); /* the top left of W */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds_of_content_look_different),
        cmocka_unit_test(pieces_do_not_change_the_picture),
        cmocka_unit_test(any_amount_fits),
        cmocka_unit_test(marks_are_drawn_and_counted),
        cmocka_unit_test(an_empty_mosaic_can_be_drawn),
        cmocka_unit_test(text_is_clipped_and_measured),
    };
    return KM_RUN_TESTS(tests);
}
