#define KM_TEST_NAME "packing"
#include "../cm.h"

#include <stdlib.h>
#include <string.h>

#include "container/scan/packing.h"

#define FILE_BYTES ((size_t)64 << 10)

static const uint8_t elf_magic[7] = {0x7f, 'E', 'L', 'F', 2, 1, 1};

static uint8_t file[FILE_BYTES];

static void put(size_t at, uint64_t value, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        file[at + i] = (uint8_t)(value >> (8 * i));
}

/* Bytes that are as random as compressed data, and the same in every run. */
static void fill_random(size_t begin, size_t end)
{
    uint64_t x = 88172645463325252u;
    for (size_t i = begin; i < end; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        file[i] = (uint8_t)(x >> 24);
    }
}

/* A little-endian 64-bit ELF with one executable segment [code, code_end) and no sections. */
static void make_elf(size_t code, size_t code_end)
{
    memset(file, 'c', sizeof file);
    memset(file, 0, 256);
    memcpy(file, elf_magic, sizeof elf_magic);
    put(16, 2, 2);
    put(18, 62, 2);
    put(32, 64, 8); /* program headers */
    put(54, 56, 2);
    put(56, 1, 2);
    put(64, 1, 4); /* PT_LOAD */
    put(68, 5, 4); /* readable, executable */
    put(72, code, 8);
    put(96, code_end - code, 8);
}

static enum km_packing see_in_steps(size_t length, size_t step)
{
    struct km_packing_state state;
    km_packing_init(&state, length);
    for (size_t at = 0; at < length; at += step)
        km_packing_feed(&state, file + at, length - at < step ? length - at : step);
    return km_packing_end(&state);
}

/* Any split of the stream says the same. */
static enum km_packing see(size_t length)
{
    enum km_packing whole = see_in_steps(length, length ? length : 1);
    assert_int_equal(see_in_steps(length, 7), whole);
    assert_int_equal(see_in_steps(length, KM_PACKING_HEAD_BYTES), whole);
    assert_int_equal(see_in_steps(length, KM_PACKING_HEAD_BYTES + 1), whole);
    return whole;
}

static void random_code_is_packed_and_ordinary_code_is_not(void **state)
{
    (void)state;
    make_elf(4096, FILE_BYTES);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    fill_random(4096, FILE_BYTES);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_ENTROPY);
    file[68] = 4; /* the same bytes as data, which may well be compressed */
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
}

static void little_code_says_nothing(void **state)
{
    (void)state;
    make_elf(4096, 4096 + KM_PACKING_MIN_CODE_BYTES - 1);
    fill_random(4096, FILE_BYTES);
    assert_int_not_equal(see(4096 + KM_PACKING_MIN_CODE_BYTES - 1), KM_PACKING_ENTROPY);
    make_elf(4096, 4096 + KM_PACKING_MIN_CODE_BYTES);
    fill_random(4096, FILE_BYTES);
    assert_int_equal(see(4096 + KM_PACKING_MIN_CODE_BYTES), KM_PACKING_ENTROPY);
}

static void random_bytes_behind_the_end_are_an_appendix(void **state)
{
    (void)state;
    make_elf(4096, 8192);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    fill_random(8192, FILE_BYTES);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_APPENDED);
    put(40, 8192, 8); /* sections reach to the end: nothing is behind them */
    put(58, 64, 2);
    put(60, (FILE_BYTES - 8192) / 64, 2);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
}

static void upx_is_told_with_and_without_its_name(void **state)
{
    (void)state;
    make_elf(0, FILE_BYTES);
    memcpy(file + 120 + 4, "UPX!", 4);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_UPX);
    memset(file + 124, 0, 4);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    put(136, 100000, 4); /* original size, block size */
    put(140, 100000, 4);
    put(144, 792, 4); /* the first block */
    put(148, 231, 4);
    file[152] = 2;
    file[153] = 0;
    assert_int_equal(see(FILE_BYTES), KM_PACKING_UPX);
    file[152] = 3; /* no method of UPX for ELF */
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    file[152] = 2;
    put(148, 793, 4); /* packed is larger */
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
}

static void scripts_with_binary_data_are_packed(void **state)
{
    (void)state;
    static const char head[] = "#!/bin/sh\ntail -c +100 \"$0\" | gzip -cd\n";
    memset(file, 'a', sizeof file);
    memcpy(file, head, sizeof head - 1);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    fill_random(1000, FILE_BYTES);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_SCRIPT);
    file[0] = ' ';
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
}

static void text_in_any_language_is_no_binary_data(void **state)
{
    (void)state;
    static const char text[] = "\xe7\xa5\x9e \xc3\xbc \xf0\x9f\x90\x95"; /* three, two and four bytes */
    static const uint8_t head[12] = {'#', '!', '/', 'b', 'i', 'n', '/', 's', 'h', '\n', '#', ' '};
    memset(file, '\n', sizeof file);
    memcpy(file, head, sizeof head);
    for (size_t at = 12; at + sizeof text < FILE_BYTES; at += sizeof text - 1)
        memcpy(file + at, text, sizeof text - 1);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    for (size_t at = 12; at < FILE_BYTES; at++) /* characters that break off */
        file[at] = at % 2 ? 0xc3 : 'x';
    assert_int_equal(see(FILE_BYTES), KM_PACKING_SCRIPT);
}

static void hostile_headers_and_short_files_have_no_packing(void **state)
{
    (void)state;
    make_elf(0, 0);
    put(32, UINT64_MAX - 3, 8);
    put(40, UINT64_MAX, 8);
    put(54, 0xffff, 2);
    put(56, 0xffff, 2);
    put(58, 0xffff, 2);
    put(60, 0xffff, 2);
    for (size_t length = 0; length < 300; length++)
        assert_int_equal(see(length), KM_PACKING_NONE);
    make_elf(UINT64_MAX - 1, 10); /* a range that wraps */
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
    memset(file, 0, sizeof file);
    assert_int_equal(see(FILE_BYTES), KM_PACKING_NONE);
}

static void holes_count_as_zeros(void **state)
{
    (void)state;
    struct km_packing_state packing;
    make_elf(4096, 4096 + 200000);
    fill_random(4096, FILE_BYTES);
    km_packing_init(&packing, FILE_BYTES);
    km_packing_feed(&packing, file, FILE_BYTES);
    km_packing_feed(&packing, NULL, (uint64_t)1 << 40);
    assert_int_equal(km_packing_end(&packing), KM_PACKING_NONE);
    km_packing_init(&packing, UINT64_MAX);
    km_packing_feed(&packing, NULL, UINT64_MAX);
    assert_int_equal(km_packing_end(&packing), KM_PACKING_NONE);
}

static void names_are_stable(void **state)
{
    (void)state;
    static const char *const names[] = {"none", "upx", "entropy", "script", "appended"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_string_equal(km_packing_to_string((enum km_packing)i), names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_code_is_packed_and_ordinary_code_is_not),
        cmocka_unit_test(little_code_says_nothing),
        cmocka_unit_test(random_bytes_behind_the_end_are_an_appendix),
        cmocka_unit_test(upx_is_told_with_and_without_its_name),
        cmocka_unit_test(scripts_with_binary_data_are_packed),
        cmocka_unit_test(text_in_any_language_is_no_binary_data),
        cmocka_unit_test(hostile_headers_and_short_files_have_no_packing),
        cmocka_unit_test(holes_count_as_zeros),
        cmocka_unit_test(names_are_stable),
    };
    return KM_RUN_TESTS(tests);
}
