#define KM_TEST_NAME "place"
#include "../cm.h"

#include "container/scan/place.h"

static void classify_table(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        enum km_place_class class;
        size_t prefix;
    } rows[] = {
        {"usr/bin/ls", KM_PLACE_SYSTEM, 7},      {"bin/ls", KM_PLACE_SYSTEM, 3},
        {"usr/lib64/x.so", KM_PLACE_SYSTEM, 9},  {"usr/local/bin/x", KM_PLACE_OTHER, 0},
        {"usr/binx/y", KM_PLACE_OTHER, 0},       {"tmp/a", KM_PLACE_TEMPORARY, 3},
        {"var/tmp/.x/y", KM_PLACE_TEMPORARY, 7}, {"tmpfile", KM_PLACE_OTHER, 0},
        {"dev/shm/x", KM_PLACE_TEMPORARY, 3},    {"", KM_PLACE_OTHER, 0},
        {"opt/app/bin/x", KM_PLACE_OTHER, 0},    {"usr/libexec/x", KM_PLACE_SYSTEM, 11},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t prefix = 99;
        assert_int_equal(km_place_classify(rows[i].path, &prefix), rows[i].class);
        assert_int_equal(prefix, rows[i].prefix);
    }
}

static void hidden_table(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *hidden; /* NULL: none */
    } rows[] = {
        {"usr/bin/ls", NULL}, {"tmp/.x11/run", ".x11/run"}, {"root/.bashrc", NULL},       {"root/.bashrcx", ".bashrcx"},
        {"a/./b", NULL},      {"usr/lib/...", "..."},       {".dockerenv", ".dockerenv"}, {"home/u/.cache/.k", ".k"},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = 0;
        const char *hidden = km_place_find_hidden(rows[i].path, &length);
        if (rows[i].hidden)
            assert_string_equal(hidden, rows[i].hidden);
        else
            assert_null(hidden);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(classify_table), cmocka_unit_test(hidden_table)};
    return KM_RUN_TESTS(tests);
}
