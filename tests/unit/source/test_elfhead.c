#define KM_TEST_NAME "elfhead"
#include "../cm.h"

#include <elf.h>
#include <stdbool.h>
#include <string.h>

#include "container/source/elfhead.h"

#define FILE_BYTES 512

static void a_header_of_this_machine(uint8_t bytes[FILE_BYTES], unsigned programs)
{
    Elf64_Ehdr head = {.e_phoff = 64,
                       .e_shoff = 4096,
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = (uint16_t)programs,
                       .e_shentsize = 64,
                       .e_shnum = 3};
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    memset(bytes, 0, FILE_BYTES);
    memcpy(bytes, &head, sizeof head);
    for (unsigned i = 0; i < programs && 64 + (i + 1) * sizeof(Elf64_Phdr) <= FILE_BYTES; i++) {
        const Elf64_Phdr program = {.p_type = PT_LOAD, .p_flags = PF_R | PF_X, .p_offset = 100 * i, .p_filesz = 7 + i};
        memcpy(bytes + 64 + i * sizeof program, &program, sizeof program);
    }
}

static void the_headers_of_64_bits(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES];
    struct km_elfhead elf;
    struct km_elfhead_program program;
    a_header_of_this_machine(bytes, 2);
    assert_true(km_elfhead_read(bytes, sizeof bytes, &elf));
    assert_true(elf.is_64);
    assert_false(elf.big_endian);
    assert_int_equal(elf.header_bytes, sizeof(Elf64_Ehdr));
    assert_int_equal(elf.least_program_bytes, sizeof(Elf64_Phdr));
    assert_int_equal(elf.program_count, 2);
    assert_int_equal(km_elfhead_sections_end(&elf), 4096 + 3 * 64);
    assert_true(km_elfhead_program(&elf, bytes, sizeof bytes, 1, &program));
    assert_int_equal(program.type, KM_ELFHEAD_LOAD);
    assert_true(program.flags & KM_ELFHEAD_EXECUTE);
    assert_int_equal(program.begin, 100);
    assert_int_equal(program.bytes, 8);
    assert_int_equal(program.end, 108);
    assert_false(km_elfhead_program(&elf, bytes, sizeof bytes, 2, &program));
    assert_int_equal(program.begin, 100); /* untouched */
}

static void put_high_first(uint8_t *at, unsigned value, size_t length)
{
    for (size_t i = 0; i < length; i++)
        at[i] = (uint8_t)(value >> (8 * (length - 1 - i)));
}

static void the_headers_of_32_bits_high_byte_first(void **state)
{
    (void)state;
    uint8_t bytes[52 + 32] = "\177ELF\1\2\1";
    struct km_elfhead elf;
    struct km_elfhead_program program;
    put_high_first(bytes + 28, 52, 4);
    put_high_first(bytes + 42, 32, 2);
    put_high_first(bytes + 44, 1, 2);
    put_high_first(bytes + 52, PT_LOAD, 4);
    put_high_first(bytes + 52 + 4, 0x1234, 4);
    put_high_first(bytes + 52 + 16, 0x100, 4);
    put_high_first(bytes + 52 + 24, PF_X, 4);
    assert_false(km_elfhead_read(bytes, 51, &elf));
    assert_true(km_elfhead_read(bytes, sizeof bytes, &elf));
    assert_false(elf.is_64);
    assert_true(elf.big_endian);
    assert_int_equal(km_elfhead_sections_end(&elf), 0);
    assert_true(km_elfhead_program(&elf, bytes, sizeof bytes, 0, &program));
    assert_int_equal(program.begin, 0x1234);
    assert_int_equal(program.end, 0x1334);
    assert_int_equal(program.flags, PF_X);
    assert_false(km_elfhead_program(&elf, bytes, sizeof bytes - 1, 0, &program));
}

static void what_is_no_header_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES];
    struct km_elfhead elf;
    a_header_of_this_machine(bytes, 1);
    assert_false(km_elfhead_read(bytes, 0, &elf));
    assert_false(km_elfhead_read(bytes, 15, &elf));
    assert_false(km_elfhead_read(bytes, 63, &elf));
    assert_true(km_elfhead_read(bytes, 64, &elf));
    bytes[1] = 'e';
    assert_false(km_elfhead_read(bytes, sizeof bytes, &elf));
}

static void hostile_numbers_saturate_or_end(void **state)
{
    (void)state;
    uint8_t bytes[FILE_BYTES];
    struct km_elfhead elf;
    struct km_elfhead_program program;
    a_header_of_this_machine(bytes, 65535);
    assert_true(km_elfhead_read(bytes, sizeof bytes, &elf));
    assert_true(km_elfhead_program(&elf, bytes, sizeof bytes, 7, &program));
    assert_false(km_elfhead_program(&elf, bytes, sizeof bytes, 8, &program)); /* its end is not there */
    assert_false(km_elfhead_program(&elf, bytes, sizeof bytes, 65534, &program));
    memset(bytes + 64 + 32, 0xff, 8); /* the first segment's length */
    bytes[64 + 8] = 1;
    assert_true(km_elfhead_program(&elf, bytes, sizeof bytes, 0, &program));
    assert_true(program.end == UINT64_MAX);
    elf.program_at = UINT64_MAX - 8;
    assert_false(km_elfhead_program(&elf, bytes, sizeof bytes, 1, &program));
    elf.section_at = UINT64_MAX - 8;
    assert_true(km_elfhead_sections_end(&elf) == UINT64_MAX);
    elf.program_at = 64;
    elf.program_bytes = 55;
    assert_false(km_elfhead_program(&elf, bytes, sizeof bytes, 0, &program));
}

static void numbers_are_read_from_either_end(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8};
    assert_true(km_elfhead_number(bytes, 8, true) == UINT64_C(0x0102030405060708));
    assert_true(km_elfhead_number(bytes, 8, false) == UINT64_C(0x0807060504030201));
    assert_int_equal(km_elfhead_number(bytes, 2, true), 0x0102);
    assert_int_equal(km_elfhead_number(bytes, 1, true), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_headers_of_64_bits),           cmocka_unit_test(the_headers_of_32_bits_high_byte_first),
        cmocka_unit_test(what_is_no_header_is_refused),     cmocka_unit_test(hostile_numbers_saturate_or_end),
        cmocka_unit_test(numbers_are_read_from_either_end),
    };
    return KM_RUN_TESTS(tests);
}
