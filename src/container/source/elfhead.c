#include "container/source/elfhead.h"

#include <string.h>

uint64_t km_elfhead_number(const uint8_t *bytes, size_t length, bool big_endian)
{
    uint64_t value = 0;
    for (size_t i = 0; i < length; i++)
        value |= (uint64_t)bytes[big_endian ? length - 1 - i : i] << (8 * i);
    return value;
}

uint64_t km_elfhead_sum(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

bool km_elfhead_read(const uint8_t *head, size_t length, struct km_elfhead *out)
{
    if (length < 16 || memcmp(head, "\177ELF", 4) != 0)
        return false;
    bool is_64 = head[4] == 2, big = head[5] == 2;
    size_t header_bytes = is_64 ? 64 : 52, word = is_64 ? 8 : 4;
    if (length < header_bytes)
        return false;
    const uint8_t *counts = head + (is_64 ? 54 : 42);
    *out = (struct km_elfhead){
        .is_64 = is_64,
        .big_endian = big,
        .header_bytes = header_bytes,
        .least_program_bytes = is_64 ? 56 : 32,
        .program_at = km_elfhead_number(head + (is_64 ? 32 : 28), word, big),
        .section_at = km_elfhead_number(head + (is_64 ? 40 : 32), word, big),
        .program_bytes = (uint16_t)km_elfhead_number(counts, 2, big),
        .program_count = (uint16_t)km_elfhead_number(counts + 2, 2, big),
        .section_bytes = (uint16_t)km_elfhead_number(counts + 4, 2, big),
        .section_count = (uint16_t)km_elfhead_number(counts + 6, 2, big),
    };
    return true;
}

bool km_elfhead_program(const struct km_elfhead *elf, const uint8_t *head, size_t length, size_t i,
                        struct km_elfhead_program *out)
{
    if (i >= elf->program_count || elf->program_bytes < elf->least_program_bytes)
        return false;
    uint64_t at = km_elfhead_sum(elf->program_at, (uint64_t)i * elf->program_bytes);
    if (at > length || length - at < elf->least_program_bytes)
        return false;
    const uint8_t *program = head + at;
    bool is_64 = elf->is_64, big = elf->big_endian;
    size_t word = is_64 ? 8 : 4;
    *out = (struct km_elfhead_program){
        .type = (uint32_t)km_elfhead_number(program, 4, big),
        .flags = (uint32_t)km_elfhead_number(program + (is_64 ? 4 : 24), 4, big),
        .begin = km_elfhead_number(program + (is_64 ? 8 : 4), word, big),
        .bytes = km_elfhead_number(program + (is_64 ? 32 : 16), word, big),
    };
    out->end = km_elfhead_sum(out->begin, out->bytes);
    return true;
}

uint64_t km_elfhead_sections_end(const struct km_elfhead *elf)
{
    return elf->section_at == 0 ? 0
                                : km_elfhead_sum(elf->section_at, (uint64_t)elf->section_bytes * elf->section_count);
}
