#include "container/scan/fileparts.h"

#include <elf.h>
#include <string.h>

#include "container/source/elfhead.h"

#define LINE_BYTES 64 /* in which an interpreter line shows that it is one */
#define BLOCK      64

/* ---- ELF ---- */

/* Sizes of a section header, and where its type, place and length stand. */
static const struct {
    size_t bytes, type, begin, length, width;
} sections[] = {{sizeof(Elf32_Shdr), 4, 16, 20, 4}, {sizeof(Elf64_Shdr), 4, 24, 32, 8}};

static uint64_t later(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The end of what the section headers that can be read name. */
static uint64_t end_of_sections(const struct km_elfhead *elf, const uint8_t *bytes, size_t length)
{
    size_t size = sections[elf->is_64].bytes, width = sections[elf->is_64].width;
    uint64_t end = 0, place = elf->section_at;
    for (uint64_t i = 0; i < elf->section_count && place <= length && length - place >= size; i++, place += size) {
        const uint8_t *at = bytes + place;
        uint64_t type = km_elfhead_number(at + sections[elf->is_64].type, 4, elf->big_endian);
        uint64_t begin = km_elfhead_number(at + sections[elf->is_64].begin, width, elf->big_endian);
        if (type != SHT_NOBITS && type != SHT_NULL)
            end = later(end, km_elfhead_sum(
                                 begin, km_elfhead_number(at + sections[elf->is_64].length, width, elf->big_endian)));
    }
    return end;
}

/* More than the magic number: this is looked for in bytes of any kind. */
static bool is_head(const struct km_elfhead *elf, const uint8_t *bytes)
{
    size_t own_size = elf->is_64 ? offsetof(Elf64_Ehdr, e_ehsize) : offsetof(Elf32_Ehdr, e_ehsize);
    bool is_class = elf->is_64 || bytes[EI_CLASS] == ELFCLASS32;
    bool is_data = elf->big_endian || bytes[EI_DATA] == ELFDATA2LSB;
    return is_class && is_data && bytes[EI_VERSION] == EV_CURRENT &&
           km_elfhead_number(bytes + offsetof(Elf64_Ehdr, e_version), 4, elf->big_endian) == EV_CURRENT &&
           km_elfhead_number(bytes + own_size, 2, elf->big_endian) == elf->header_bytes &&
           elf->program_count + elf->section_count > 0 &&
           (elf->program_count == 0 || elf->program_bytes == elf->least_program_bytes) &&
           (elf->section_count == 0 || elf->section_bytes == sections[elf->is_64].bytes);
}

uint64_t km_filepart_elf_extent(const uint8_t *bytes, size_t length)
{
    struct km_elfhead elf;
    if (!km_elfhead_read(bytes, length, &elf) || !is_head(&elf, bytes))
        return 0;
    uint64_t programs = (uint64_t)elf.program_count * elf.program_bytes, end = elf.header_bytes;
    if (programs > 0)
        end = later(end, km_elfhead_sum(elf.program_at, programs));
    struct km_elfhead_program program;
    for (size_t i = 0; km_elfhead_program(&elf, bytes, length, i, &program); i++)
        end = later(end, program.end);
    if (elf.section_at > 0 && elf.section_count > 0)
        end = later(end, later(km_elfhead_sections_end(&elf), end_of_sections(&elf, bytes, length)));
    return end;
}

/* ---- Elsewhere ---- */

/* "#!" and a path of printable bytes, up to the line's end. */
static bool is_interpreter_line(const uint8_t *bytes, size_t length)
{
    if (length < 4 || bytes[0] != '#' || bytes[1] != '!')
        return false;
    size_t at = 2;
    while (at < length && at < LINE_BYTES && bytes[at] == ' ')
        at++;
    if (at == length || bytes[at] != '/')
        return false;
    while (at < length && at < LINE_BYTES && bytes[at] >= ' ' && bytes[at] < 0x7f)
        at++;
    return at < length && (at == LINE_BYTES || bytes[at] == '\n');
}

/* Whether one of BLOCK bytes and its neighbour may begin a head: a loop that compilers turn into vector code. */
static bool may_hold_head(const uint8_t *bytes)
{
    uint8_t any = 0;
    for (size_t i = 0; i < BLOCK; i++)
        any |= (uint8_t)((bytes[i] == ELFMAG0) & (bytes[i + 1] == ELFMAG1)) |
               (uint8_t)((bytes[i] == '\n') & (bytes[i + 1] == '#'));
    return any != 0;
}

/* The nearest of two kinds of heads at or behind `from`; `length` when there is none. */
static size_t find_head(const uint8_t *bytes, size_t length, size_t from)
{
    size_t at = from;
    while (at < length) {
        size_t left = length - at, end = left < BLOCK ? length : at + BLOCK;
        if (left > BLOCK && !may_hold_head(bytes + at)) {
            at = end;
            continue;
        }
        for (; at < end; at++) {
            if (bytes[at] == ELFMAG0 && km_filepart_elf_extent(bytes + at, length - at) > 0)
                return at;
            if (bytes[at] == '\n' && is_interpreter_line(bytes + at + 1, length - at - 1))
                return at + 1;
        }
    }
    return length;
}

bool km_filepart_find_end(const uint8_t *bytes, size_t length, size_t begin, size_t *out_end)
{
    size_t left = length - begin, end = length;
    uint64_t extent = km_filepart_elf_extent(bytes + begin, left);
    if (extent >= KM_FILEPART_LEAST_BYTES && extent < left)
        end = begin + (size_t)extent;
    else if (extent < KM_FILEPART_LEAST_BYTES && left > KM_FILEPART_LEAST_BYTES)
        end = find_head(bytes, length, begin + KM_FILEPART_LEAST_BYTES);
    bool ends = length - end >= KM_FILEPART_LEAST_BYTES;
    *out_end = ends ? end : length;
    return ends;
}
