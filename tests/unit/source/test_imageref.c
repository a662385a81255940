#define KM_TEST_NAME "imageref"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "container/source/imageref.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void accepted_references(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"nginx", "nginx:latest"},
        {"nginx:1.25", "nginx:1.25"},
        {"library/nginx", "library/nginx:latest"},
        {"registry:5000/x:1", "registry:5000/x:1"},
        {"registry:5000/x", "registry:5000/x:latest"},
        {"localhost/x", "localhost/x:latest"},
        {"localhost:5000", "localhost:5000"}, /* as docker reads it: a name and a tag */
        {"Registry.Example.com/a/b/c:V1", "Registry.Example.com/a/b/c:V1"},
        {"a@sha256:" HEX64, "a@sha256:" HEX64},
        {"r:5000/a:1@sha256:" HEX64, "r:5000/a@sha256:" HEX64},
        {"a__b.c-d---e_f", "a__b.c-d---e_f:latest"},
        {"a:_x.Y-z", "a:_x.Y-z"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        char out[KM_IMAGEREF_MAX_BYTES];
        assert_ok(km_imageref_normalise(rows[i][0], out, &err), err);
        assert_string_equal(out, rows[i][1]);
    }
}

static void refused_references(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        ":",
        "@",
        "/",
        "a/",
        "/a",
        "a//b",
        "A",
        "a/B",
        "a b",
        "a\n",
        "-a",
        "a-",
        "a..b",
        "a___b",
        "a._b",
        ".a",
        "a:",
        "a:b/",
        "a:-x",
        "a:b:c",
        "a:b c",
        "a@",
        "a@sha256:",
        "a@sha256:123",
        ("a@sha256:" HEX64 "0"),
        ("a@SHA256:" HEX64),
        "a@sha256:12@x",
        "r:port/a",
        "r:/a",
        "r:123456/a",
        "-r.x/a",
        "r.x-/a",
        "${TAG}",
        "a:{{ .Values.tag }}",
        "../etc",
        "a/../b",
        "http://x/y",
        "a?b=c",
        "a#b",
        "a%2fb",
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        char out[KM_IMAGEREF_MAX_BYTES] = "untouched";
        if (km_imageref_normalise(rows[i], out, &err) != KM_FORMAT)
            fail_msg("accepted '%s' as '%s'", rows[i], out);
        assert_string_equal(out, "untouched");
    }
}

static void lengths(void **state)
{
    (void)state;
    static const struct {
        size_t name, tag;
        enum km_code code;
    } rows[] = {{255, 128, KM_OK}, {256, 1, KM_FORMAT}, {1, 129, KM_FORMAT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        char text[1024], out[KM_IMAGEREF_MAX_BYTES];
        memset(text, 'a', sizeof text);
        text[rows[i].name] = ':';
        text[rows[i].name + 1 + rows[i].tag] = '\0';
        assert_int_equal(km_imageref_normalise(text, out, &err), rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_references),
        cmocka_unit_test(refused_references),
        cmocka_unit_test(lengths),
    };
    return KM_RUN_TESTS(tests);
}
