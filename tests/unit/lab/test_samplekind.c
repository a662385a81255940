#define KM_TEST_NAME "samplekind"
#include "unit/cm.h"

#include <stdlib.h>
#include <string.h>

#include "container/lab/samplekind.h"

static void paths_of_documentation_and_tests_are_dropped(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int wanted;
    } cases[] = {
        {"usr/bin/john", 1},
        {"usr/share/doc/x/y.py", 0},
        {"usr/share/man/man1/x.1", 0},
        {"usr/lib/python3/dist-packages/x/tests/a.py", 0},
        {"usr/lib/python3/dist-packages/x/testing/a.py", 0},
        {"usr/share/x/examples/a.sh", 0},
        {"usr/share/tests", 1},
        {"usr/lib/contest/a.py", 1},
        {"opt/usr/share/doc/a.py", 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (km_sample_path_is_wanted(cases[i].path) != (bool)cases[i].wanted)
            fail_msg("%s", cases[i].path);
}

static void fill(uint8_t *bytes, size_t length, const char *head)
{
    memset(bytes, 'x', length);
    memcpy(bytes, head, strlen(head));
}

static void scripts_are_told_by_interpreter_then_by_suffix(void **state)
{
    (void)state;
    static const struct {
        const char *path, *head;
        enum km_sample_kind kind;
    } cases[] = {
        {"a", "#!/usr/bin/env python3\n", KM_SAMPLE_PYTHON},
        {"a", "#!/bin/sh\n", KM_SAMPLE_SHELL},
        {"a", "#!/bin/bash -e\n", KM_SAMPLE_SHELL},
        {"a", "#!/usr/bin/perl -w\n", KM_SAMPLE_PERL},
        {"a", "#!/usr/bin/ruby\n", KM_SAMPLE_RUBY},
        {"a", "#!/usr/bin/wish\n", KM_SAMPLE_TCL},
        {"a", "#!/opt/strange\n", KM_SAMPLE_SCRIPT},
        {"a.py", "import os\n", KM_SAMPLE_PYTHON},
        {"a.pm", "package A;\n", KM_SAMPLE_PERL},
        {"a.js", "let a\n", KM_SAMPLE_JAVASCRIPT},
        {"a.txt", "text\n", KM_SAMPLE_NONE},
        {"py", "import os\n", KM_SAMPLE_NONE},
        {"a.jar", "PK\3\4", KM_SAMPLE_JAVA},
        {"a.zip", "PK\3\4", KM_SAMPLE_NONE},
    };
    uint8_t bytes[KM_SAMPLE_MIN_BYTES];
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        fill(bytes, sizeof bytes, cases[i].head);
        if (km_sample_kind_detect(cases[i].path, bytes, sizeof bytes) != cases[i].kind)
            fail_msg("%s %s", cases[i].path, cases[i].head);
    }
}

static void bytes_that_are_no_text_need_more_than_a_suffix(void **state)
{
    (void)state;
    uint8_t bytes[KM_SAMPLE_MIN_BYTES];
    fill(bytes, sizeof bytes, "import os");
    bytes[1000] = 0;
    assert_int_equal(km_sample_kind_detect("a.py", bytes, sizeof bytes), KM_SAMPLE_NONE);
}

static void short_and_long_files_are_none(void **state)
{
    (void)state;
    uint8_t *bytes = calloc(1, KM_SAMPLE_MAX_BYTES + 1);
    assert_non_null(bytes);
    memcpy(bytes, "#!/bin/sh\n", 10);
    assert_int_equal(km_sample_kind_detect("a", bytes, KM_SAMPLE_MIN_BYTES - 1), KM_SAMPLE_NONE);
    assert_int_equal(km_sample_kind_detect("a", bytes, KM_SAMPLE_MIN_BYTES), KM_SAMPLE_SHELL);
    assert_int_equal(km_sample_kind_detect("a", bytes, KM_SAMPLE_MAX_BYTES), KM_SAMPLE_SHELL);
    assert_int_equal(km_sample_kind_detect("a", bytes, KM_SAMPLE_MAX_BYTES + 1), KM_SAMPLE_NONE);
    free(bytes);
}

/* A 64-bit little-endian ELF head with one program header at byte 64. */
static void make_elf(uint8_t *bytes, size_t length, uint8_t type, uint8_t header_type)
{
    memset(bytes, 0, length);
    memcpy(bytes, "\177ELF\2\1\1", 7);
    bytes[16] = type;
    bytes[32] = 64; /* e_phoff */
    bytes[54] = 56; /* e_phentsize */
    bytes[56] = 1;  /* e_phnum */
    bytes[64] = header_type;
}

static void elf_files_are_programs_or_libraries(void **state)
{
    (void)state;
    uint8_t bytes[KM_SAMPLE_MIN_BYTES];
    make_elf(bytes, sizeof bytes, 2, 1);
    assert_int_equal(km_sample_kind_detect("a", bytes, sizeof bytes), KM_SAMPLE_PROGRAM);
    make_elf(bytes, sizeof bytes, 3, 3); /* PT_INTERP */
    assert_int_equal(km_sample_kind_detect("a", bytes, sizeof bytes), KM_SAMPLE_PROGRAM);
    make_elf(bytes, sizeof bytes, 3, 1);
    assert_int_equal(km_sample_kind_detect("a", bytes, sizeof bytes), KM_SAMPLE_LIBRARY);
    make_elf(bytes, sizeof bytes, 1, 1); /* an object file */
    assert_int_equal(km_sample_kind_detect("a", bytes, sizeof bytes), KM_SAMPLE_NONE);
    make_elf(bytes, sizeof bytes, 3, 3);
    memset(bytes + 32, 0xFF, 8); /* headers beyond the file */
    assert_int_equal(km_sample_kind_detect("a", bytes, sizeof bytes), KM_SAMPLE_LIBRARY);
}

static void words_read_back(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    for (int i = KM_SAMPLE_PROGRAM; i < KM_SAMPLE_KINDS; i++) {
        enum km_sample_kind kind = KM_SAMPLE_NONE;
        assert_ok(km_sample_kind_from_string(km_sample_kind_to_string((enum km_sample_kind)i), &kind, &err), err);
        assert_int_equal(kind, i);
    }
    enum km_sample_kind kind = KM_SAMPLE_LUA;
    assert_int_equal(km_sample_kind_from_string("none", &kind, &err), KM_FORMAT);
    assert_int_equal(kind, KM_SAMPLE_LUA);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_of_documentation_and_tests_are_dropped),
        cmocka_unit_test(scripts_are_told_by_interpreter_then_by_suffix),
        cmocka_unit_test(bytes_that_are_no_text_need_more_than_a_suffix),
        cmocka_unit_test(short_and_long_files_are_none),
        cmocka_unit_test(elf_files_are_programs_or_libraries),
        cmocka_unit_test(words_read_back),
    };
    return KM_RUN_TESTS(tests);
}
