#define KM_TEST_NAME "entrypath"
#include "../cm.h"

#include <string.h>

#include "container/source/entrypath.h"

static void names_become_plain(void **state)
{
    (void)state;
    static const struct {
        const char *stored, *plain;
        bool climbs;
    } cases[] = {
        {"a/b", "a/b", false},
        {"./a/b", "a/b", false},
        {"./", "", false},
        {".", "", false},
        {"a//b///c/", "a/b/c", false},
        {"a/./b", "a/b", false},
        {"", "", false},
        {"/etc/passwd", "etc/passwd", false},
        {"//etc", "etc", false},
        {"../etc/passwd", "etc/passwd", true},
        {"../../../..", "", true},
        {"a/../b", "b", true},
        {"a/b/../../../c", "c", true},
        {"..a/b..", "..a/b..", false},
        {".../x", ".../x", false},
        {"a\nb/\033[31m\xff", "a\nb/\033[31m\xff", false},
    };
    struct km_buf out;
    km_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        bool climbs = false;
        assert_ok(km_entrypath_normalise(cases[i].stored, &out, &climbs, &err), err);
        assert_string_equal(km_buf_text(&out), cases[i].plain);
        if (climbs != cases[i].climbs)
            fail_msg("climbs is wrong for %s", cases[i].stored);
    }
    km_buf_done(&out);
}

static void whiteouts_are_told_by_the_last_part(void **state)
{
    (void)state;
    static const struct {
        const char *path, *about;
        enum km_whiteout kind;
    } cases[] = {
        {"a/.wh.b", "a/b", KM_WHITEOUT_NAME},
        {".wh.b", "b", KM_WHITEOUT_NAME},
        {"a/.wh..wh..opq", "a", KM_WHITEOUT_OPAQUE},
        {".wh..wh..opq", "", KM_WHITEOUT_OPAQUE},
        {"a/.wh..b", "a/.b", KM_WHITEOUT_NAME},
        {"a/.wh.", "a/.wh.", KM_WHITEOUT_NONE},
        {"a/.wh..", "a/.wh..", KM_WHITEOUT_NONE},
        {"a/.wh...", "a/.wh...", KM_WHITEOUT_NONE},
        {"a/.wh..wh.plnk", "a/.wh..wh.plnk", KM_WHITEOUT_NONE},
        {".wh.a/b", ".wh.a/b", KM_WHITEOUT_NONE},
        {"a/b.wh.c", "a/b.wh.c", KM_WHITEOUT_NONE},
        {"", "", KM_WHITEOUT_NONE},
    };
    struct km_buf path;
    km_buf_init(&path, 4096);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        km_buf_clear(&path);
        assert_ok(km_buf_append_text(&path, cases[i].path, &err), err);
        assert_int_equal(km_entrypath_whiteout(&path), cases[i].kind);
        assert_string_equal(km_buf_text(&path), cases[i].about);
        assert_int_equal(path.length, strlen(cases[i].about));
    }
    km_buf_done(&path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_become_plain),
        cmocka_unit_test(whiteouts_are_told_by_the_last_part),
    };
    return KM_RUN_TESTS(tests);
}
