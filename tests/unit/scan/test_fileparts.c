#define KM_TEST_NAME "fileparts"
#include "../cm.h"

#include <stdlib.h>
#include <string.h>

#include "container/scan/fileparts.h"

#define ROOM 16384

/* An ELF header of either class and order, with one segment and one section; offsets count from its first byte. */
struct shape {
    bool wide, big;
    uint64_t segment_at, segment_bytes, section_at, section_bytes, sections_at;
    uint32_t section_type;
};

static void put(const struct shape *shape, uint8_t *at, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        at[shape->big ? bytes - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

static void write_elf(const struct shape *shape, uint8_t *bytes)
{
    bool wide = shape->wide;
    unsigned word = wide ? 8 : 4, head = wide ? 64 : 52, program = wide ? 56 : 32, section = wide ? 64 : 40;
    memcpy(bytes, "\177ELF", 4);
    bytes[4] = wide ? 2 : 1;
    bytes[5] = shape->big ? 2 : 1;
    bytes[6] = 1;
    put(shape, bytes + 20, 1, 4);
    put(shape, bytes + (wide ? 32 : 28), head, word);
    put(shape, bytes + (wide ? 40 : 32), shape->sections_at, word);
    uint8_t *sizes = bytes + (wide ? 52 : 40);
    put(shape, sizes, head, 2);
    put(shape, sizes + 2, program, 2);
    put(shape, sizes + 4, 1, 2);
    put(shape, sizes + 6, section, 2);
    put(shape, sizes + 8, shape->sections_at > 0, 2);
    uint8_t *load = bytes + head;
    put(shape, load, 1, 4);
    put(shape, load + (wide ? 8 : 4), shape->segment_at, word);
    put(shape, load + (wide ? 32 : 16), shape->segment_bytes, word);
    if (shape->sections_at == 0 || shape->sections_at > ROOM - 64)
        return;
    uint8_t *table = bytes + shape->sections_at;
    put(shape, table + 4, shape->section_type, 4);
    put(shape, table + (wide ? 24 : 16), shape->section_at, word);
    put(shape, table + (wide ? 32 : 20), shape->section_bytes, word);
}

static void an_elf_file_says_where_it_ends(void **state)
{
    (void)state;
    static const struct {
        struct shape shape;
        uint64_t extent;
    } rows[] = {
        {{.wide = true, .segment_bytes = 2000}, 2000},
        {{.wide = false, .segment_bytes = 2000}, 2000},
        {{.wide = true, .big = true, .segment_at = 100, .segment_bytes = 2000}, 2100},
        {{.wide = false, .big = true, .segment_at = 100, .segment_bytes = 2000}, 2100},
        {{.wide = true, .segment_bytes = 10}, 120}, /* the headers themselves */
        {{.wide = true,
          .segment_bytes = 2000,
          .sections_at = 3000,
          .section_at = 2500,
          .section_bytes = 1500,
          .section_type = 1},
         4000},
        {{.wide = false,
          .segment_bytes = 2000,
          .sections_at = 3000,
          .section_at = 2500,
          .section_bytes = 100,
          .section_type = 1},
         3040},
        {{.wide = true,
          .segment_bytes = 2000,
          .sections_at = 3000,
          .section_at = 2500,
          .section_bytes = 1 << 30,
          .section_type = 8 /* holds no bytes */},
         3064},
        {{.wide = true, .segment_bytes = 2000, .sections_at = 1 << 20}, (1 << 20) + 64}, /* out of sight */
        {{.wide = true, .segment_at = UINT64_MAX - 5, .segment_bytes = 100}, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        static uint8_t bytes[ROOM];
        memset(bytes, 0, sizeof bytes);
        write_elf(&rows[i].shape, bytes);
        assert_int_equal(km_filepart_elf_extent(bytes, sizeof bytes), rows[i].extent);
    }
}

static void a_head_must_be_one(void **state)
{
    (void)state;
    static const struct {
        size_t offset;
        uint8_t value;
    } rows[] = {{0, 0}, {4, 0}, {4, 3}, {5, 0}, {5, 3}, {6, 0}, {20, 2}, {52, 63}, {54, 55}, {56, 0}};
    static uint8_t bytes[ROOM];
    const struct shape shape = {.wide = true, .segment_bytes = 2000};
    write_elf(&shape, bytes);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t before = bytes[rows[i].offset];
        bytes[rows[i].offset] = rows[i].value;
        assert_int_equal(km_filepart_elf_extent(bytes, sizeof bytes), 0);
        bytes[rows[i].offset] = before;
    }
    for (size_t length = 0; length < 64; length++) {
        uint8_t *tight = malloc(length + 1); /* for the sanitizer */
        assert_non_null(tight);
        memcpy(tight, bytes, length);
        assert_int_equal(km_filepart_elf_extent(tight, length), 0);
        free(tight);
    }
}

/* All ends, one behind the other; the last one is the length. */
static size_t cut(const uint8_t *bytes, size_t length, size_t *ends, size_t most)
{
    size_t count = 0, begin = 0;
    bool more = true;
    while (more) {
        assert_true(count < most);
        more = km_filepart_find_end(bytes, length, begin, &ends[count]);
        assert_true(ends[count] > begin && ends[count] <= length);
        assert_true(more || ends[count] == length);
        assert_true(!more || ends[count] - begin >= KM_FILEPART_LEAST_BYTES);
        begin = ends[count++];
    }
    return count;
}

static void parts_are_found(void **state)
{
    (void)state;
    static uint8_t bytes[ROOM];
    const struct shape shape = {.wide = true, .segment_bytes = 2000};
    size_t ends[20];
    memset(bytes, 'x', sizeof bytes);
    assert_int_equal(cut(bytes, sizeof bytes, ends, 20), 1);
    /* text, program, text, script, program whose extent says more than there is */
    write_elf(&shape, bytes + 3000);
    memcpy(bytes + 7000, "\n#!/bin/sh\n", 11);
    const struct shape open = {.wide = true, .segment_bytes = 90000};
    write_elf(&open, bytes + 9000);
    assert_int_equal(cut(bytes, sizeof bytes, ends, 20), 5);
    assert_int_equal(ends[0], 3000);
    assert_int_equal(ends[1], 5000);
    assert_int_equal(ends[2], 7001);
    assert_int_equal(ends[3], 9000);
    assert_int_equal(ends[4], sizeof bytes);
    /* What is short goes with what it follows: before the end, and behind a head. */
    assert_int_equal(cut(bytes, 5000 + KM_FILEPART_LEAST_BYTES - 1, ends, 20), 2);
    assert_int_equal(ends[1], 5000 + KM_FILEPART_LEAST_BYTES - 1);
    assert_int_equal(cut(bytes, 5000 + KM_FILEPART_LEAST_BYTES, ends, 20), 3);
    memcpy(bytes + 7500, "\n#!/bin/sh\n", 11);
    assert_int_equal(cut(bytes, sizeof bytes, ends, 20), 5);
    assert_int_equal(ends[3], 9000);
}

static void only_interpreter_lines_begin_scripts(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        bool begins;
    } rows[] = {{"\n#!/usr/bin/env python3\n", true},
                {"\n#! /bin/sh -e\n", true},
                {"\n#!bin/sh\n", false},
                {" #!/bin/sh\n", false},
                {"\n#!/bin/sh\1\n", false},
                {"\n#!\n", false}};
    static uint8_t bytes[8192];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t ends[4];
        memset(bytes, '\t', sizeof bytes);
        memcpy(bytes + 2000, rows[i].line, strlen(rows[i].line));
        assert_int_equal(cut(bytes, sizeof bytes, ends, 4), rows[i].begins ? 2 : 1);
    }
    memset(bytes, '\t', sizeof bytes);
    memcpy(bytes + 2000, "\n#!/", 4); /* the bytes end in the line: nobody knows */
    for (size_t length = 2001; length < 2005; length++) {
        size_t end;
        assert_false(km_filepart_find_end(bytes, length, 0, &end));
        assert_int_equal(end, length);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_elf_file_says_where_it_ends),
        cmocka_unit_test(a_head_must_be_one),
        cmocka_unit_test(parts_are_found),
        cmocka_unit_test(only_interpreter_lines_begin_scripts),
    };
    return KM_RUN_TESTS(tests);
}
