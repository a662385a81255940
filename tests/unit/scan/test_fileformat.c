#define KM_TEST_NAME "fileformat"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "container/scan/fileformat.h"

static void detect_table(void **state)
{
    (void)state;
    static const uint8_t elf_le[64] = "\177ELF\2\1\1";
    uint8_t program[64], object[64], big_endian[64], pe[64] = "MZ";
    memcpy(program, elf_le, sizeof program);
    program[16] = 3;
    memcpy(object, elf_le, sizeof object);
    object[16] = 1;
    memcpy(big_endian, elf_le, sizeof big_endian);
    big_endian[5] = 2;
    big_endian[17] = 2;
    assert_int_equal(km_fileformat_detect(program, 64), KM_FORMAT_ELF_PROGRAM);
    assert_int_equal(km_fileformat_detect(object, 64), KM_FORMAT_ELF_OBJECT);
    assert_int_equal(km_fileformat_detect(big_endian, 64), KM_FORMAT_ELF_PROGRAM);
    assert_int_equal(km_fileformat_detect(program, 17), KM_FORMAT_DATA);
    assert_int_equal(km_fileformat_detect((const uint8_t *)"#!/bin/sh\n", 10), KM_FORMAT_SCRIPT);
    assert_int_equal(km_fileformat_detect((const uint8_t *)"#!", 2), KM_FORMAT_DATA);
    assert_int_equal(km_fileformat_detect(pe, 64), KM_FORMAT_PE);
    assert_int_equal(km_fileformat_detect(pe, 10), KM_FORMAT_DATA);
    assert_int_equal(km_fileformat_detect((const uint8_t *)"", 0), KM_FORMAT_DATA);
}

static void code_is_known_by_its_suffix(void **state)
{
    (void)state;
    static const char *const code[] = {"a.py", "usr/share/perl5/Some.pm", "x/y.mjs", "..sh"};
    static const char *const other[] = {"", ".py", "py", "a.py.gz", "a.txt", "a.PY", "a.py/b"};
    for (size_t i = 0; i < sizeof code / sizeof code[0]; i++)
        assert_true(km_fileformat_has_code_suffix(code[i]));
    for (size_t i = 0; i < sizeof other / sizeof other[0]; i++)
        assert_false(km_fileformat_has_code_suffix(other[i]));
}

static void eicar_is_the_string_and_white_space(void **state)
{
    (void)state;
    char file[200];
    int length = snprintf(file, sizeof file, "X5O!P%%@AP[4\\PZX54(P^)7CC)7}$%s", "EICAR");
    length += snprintf(file + length, sizeof file - (size_t)length, "-STANDARD-ANTIVIRUS-TEST-FILE!$H+H*");
    assert_int_equal(length, 68);
    memset(file + length, '\n', sizeof file - (size_t)length);
    const uint8_t *head = (const uint8_t *)file;
    assert_true(km_fileformat_is_eicar(head, 68, 68));
    assert_true(km_fileformat_is_eicar(head, 69, 69));
    assert_true(km_fileformat_is_eicar(head, 128, 128));
    assert_false(km_fileformat_is_eicar(head, 129, 129));
    assert_false(km_fileformat_is_eicar(head, 67, 67));
    file[70] = 'x';
    assert_false(km_fileformat_is_eicar(head, 71, 71));
    file[70] = '\n';
    file[10] ^= 1;
    assert_false(km_fileformat_is_eicar(head, 68, 68));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(detect_table), cmocka_unit_test(code_is_known_by_its_suffix),
                                       cmocka_unit_test(eicar_is_the_string_and_white_space)};
    return KM_RUN_TESTS(tests);
}
