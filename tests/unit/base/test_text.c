#define KM_TEST_NAME "text"
#include "../cm.h"

#include <string.h>

#include "base/text.h"

static void escape_table(void **state)
{
    (void)state;
    static const struct {
        const char *in;
        size_t length;
        const char *out;
    } rows[] = {
        {"plain", 5, "plain"},
        {"tab\tnl\ncr\r", 10, "tab\\tnl\\ncr\\r"},
        {"a\0b", 3, "a\\x00b"},
        {"back\\slash", 10, "back\\\\slash"},
        {"\x1b[2J", 4, "\\x1b[2J"},
        {"gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f"},
        {"\xff\xfe", 2, "\\xff\\xfe"},
        {"\xc0\xaf", 2, "\\xc0\\xaf"},                      /* overlong '/' */
        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80"},             /* surrogate */
        {"exe\xe2\x80\xaegnp", 9, "exe\\xe2\\x80\\xaegnp"}, /* right-to-left override */
        {"\xc2\x9b", 2, "\\xc2\\x9b"},                      /* C1 CSI */
        {"\xef\xbf\xbe", 3, "\\xef\\xbf\\xbe"},             /* U+FFFE is no character */
        {"\xf0\x9f\xbf\xbf", 4, "\\xf0\\x9f\\xbf\\xbf"},    /* U+1FFFF neither */
        {"\xef\xbf\xbd", 3, "\xef\xbf\xbd"},                /* U+FFFD is */
        {"", 0, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[64];
        size_t length = km_text_escape(rows[i].in, rows[i].length, out, sizeof out);
        assert_string_equal(out, rows[i].out);
        assert_int_equal(length, strlen(out));
    }
}

static void escape_cuts_at_whole_characters(void **state)
{
    (void)state;
    char out[8];
    km_text_escape("abcdefghij", 10, out, sizeof out);
    assert_string_equal(out, "abcd...");
    km_text_escape("abc\x01xyz", 7, out, sizeof out);
    assert_string_equal(out, "abc...");
    km_text_escape("abcdefg", 7, out, sizeof out);
    assert_string_equal(out, "abcdefg");
    km_text_escape("\x01\x01", 2, out, 4);
    assert_string_equal(out, "...");
}

static void bytes_table(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } rows[] = {{0, "0 B"},         {999, "999 B"},         {1000, "1.0 kB"},
                {99949, "99.9 kB"}, {170000000, "170 MB"},  {6200000000, "6.2 GB"},
                {999600, "1.0 MB"}, {UINT64_MAX, "18.4 EB"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char out[16];
        km_text_format_bytes(rows[i].bytes, out, sizeof out);
        assert_string_equal(out, rows[i].text);
    }
}

static void seconds_table(void **state)
{
    (void)state;
    char out[24];
    km_text_format_seconds(3.2, out, sizeof out);
    assert_string_equal(out, "3 s");
    km_text_format_seconds(125, out, sizeof out);
    assert_string_equal(out, "2 min 05 s");
    km_text_format_seconds(4020, out, sizeof out);
    assert_string_equal(out, "1 h 07 min");
    km_text_format_seconds(-1, out, sizeof out);
    assert_string_equal(out, "unknown");
}

static void columns_count_wide_and_combining(void **state)
{
    (void)state;
    assert_int_equal(km_text_columns("abc"), 3);
    assert_int_equal(km_text_columns("\xe7\x8b\x9b\xe7\x8a\xac"), 4);
    assert_int_equal(km_text_columns("e\xcc\x81"), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escape_table),
        cmocka_unit_test(escape_cuts_at_whole_characters),
        cmocka_unit_test(bytes_table),
        cmocka_unit_test(seconds_table),
        cmocka_unit_test(columns_count_wide_and_combining),
    };
    return KM_RUN_TESTS(tests);
}
