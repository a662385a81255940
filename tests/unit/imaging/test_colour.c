#define KM_TEST_NAME "colour"
#include "../cm.h"

#include <string.h>

#include "container/imaging/colour.h"

static void classes_of_all_bytes(void **state)
{
    (void)state;
    uint8_t table[256];
    km_colour_fill_class(table);
    for (int byte = 0; byte < 256; byte++) {
        bool printable = (byte >= 9 && byte <= 13) || (byte >= 32 && byte <= 126);
        int want = byte == 0 ? 0 : byte == 255 ? 255 : printable ? 55 : 228;
        assert_int_equal(table[byte], want);
        assert_int_equal(km_colour_class((uint8_t)byte), want);
    }
}

static void palette_of_the_class_map_alone(void **state)
{
    (void)state;
    uint8_t table[256][3];
    km_colour_fill_class_palette(table);
    assert_memory_equal(table[0], "\x00\x00\x00", 3);
    assert_memory_equal(table[255], "\xff\xff\xff", 3);
    assert_memory_equal(table['a'], "\x37\x7e\xb8", 3);
    assert_memory_equal(table[200], "\xe4\x1a\x1c", 3);
}

static void map_lists_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t count; /* 0: refused */
    } rows[] = {{"class", 1},
                {"class,magnitude,structure", 3},
                {"entropy,entropy,entropy,class", 4},
                {"class,class,class,class,class", 0},
                {"", 0},
                {"class,", 0},
                {",class", 0},
                {"clas", 0},
                {"classy", 0},
                {"hilbert", 0}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum km_colour_map maps[KM_COLOUR_MAX_MAPS];
        size_t count = 99;
        struct km_err err = KM_ERR_INIT;
        enum km_code code = km_colour_parse_maps(rows[i].text, maps, &count, &err);
        assert_int_equal(code, rows[i].count > 0 ? KM_OK : KM_FORMAT);
        assert_int_equal(count, rows[i].count > 0 ? rows[i].count : 99);
    }
    for (int map = KM_COLOUR_CLASS; map <= KM_COLOUR_ENTROPY; map++) {
        enum km_colour_map maps[KM_COLOUR_MAX_MAPS];
        size_t count;
        struct km_err err = KM_ERR_INIT;
        assert_ok(km_colour_parse_maps(km_colour_map_to_string((enum km_colour_map)map), maps, &count, &err), err);
        assert_int_equal(maps[0], map);
    }
}

static void entropy_of_what_is_known(void **state)
{
    (void)state;
    uint8_t same[64], all[64];
    memset(same, 'x', sizeof same);
    for (unsigned i = 0; i < 64; i++)
        all[i] = (uint8_t)i;
    struct km_entropy entropy;
    km_entropy_init(&entropy, same, sizeof same);
    for (unsigned i = 0; i < 64; i++) {
        double share = km_entropy_next(&entropy);
        assert_true(i < 16 || i > 48 ? share > 0 : share <= 0); /* the border counts as zeros */
    }
    km_entropy_init(&entropy, all, sizeof all);
    for (unsigned i = 0; i < 64; i++) {
        double share = km_entropy_next(&entropy);
        assert_true(share >= 0 && share <= 1);
        if (i >= 16 && i <= 48)
            assert_int_equal((int)(255 * share), 255); /* 32 different bytes: all that is possible */
    }
    km_entropy_init(&entropy, all, 1);
    assert_true(km_entropy_next(&entropy) <= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_of_all_bytes),
        cmocka_unit_test(palette_of_the_class_map_alone),
        cmocka_unit_test(map_lists_table),
        cmocka_unit_test(entropy_of_what_is_known),
    };
    return KM_RUN_TESTS(tests);
}
