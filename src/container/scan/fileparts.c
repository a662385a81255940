#include "container/scan/fileparts.h"

#include <elf.h>
#include <string.h>

#define LINE_BYTES 64 /* in which an interpreter line shows that it is one */

/* ---- ELF ---- */

struct elf {
    const uint8_t *bytes;
    size_t length;
    bool wide, big;
    uint64_t end; /* of all that was named so far */
};

static uint64_t number(const struct elf *elf, size_t at, unsigned width)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < width; i++)
        value = value << 8 | elf->bytes[at + (elf->big ? i : width - 1 - i)];
    return value;
}

static uint64_t word(const struct elf *elf, size_t at)
{
    return number(elf, at, elf->wide ? 8 : 4);
}

static void cover(struct elf *elf, uint64_t begin, uint64_t length)
{
    uint64_t end = length > UINT64_MAX - begin ? UINT64_MAX : begin + length;
    elf->end = end > elf->end ? end : elf->end;
}

/* Both kinds of headers: a table of `count` entries of `size` bytes, of which the readable ones name bytes. */
static void cover_table(struct elf *elf, uint64_t place, uint64_t count, uint64_t size, bool sections)
{
    if (count == 0 || place == 0)
        return;
    cover(elf, place, count * size); /* both below 2^16 */
    for (uint64_t i = 0; i < count && place <= elf->length && elf->length - place >= size; i++, place += size) {
        size_t at = (size_t)place;
        if (sections) {
            uint64_t type = number(elf, at + 4, 4);
            if (type != SHT_NOBITS && type != SHT_NULL)
                cover(elf, word(elf, at + (elf->wide ? 24 : 16)), word(elf, at + (elf->wide ? 32 : 20)));
        } else {
            cover(elf, word(elf, at + (elf->wide ? 8 : 4)), word(elf, at + (elf->wide ? 32 : 16)));
        }
    }
}

uint64_t km_filepart_elf_extent(const uint8_t *bytes, size_t length)
{
    if (length < sizeof(Elf32_Ehdr) || memcmp(bytes, ELFMAG, SELFMAG) != 0)
        return 0;
    struct elf elf = {bytes, length, bytes[EI_CLASS] == ELFCLASS64, bytes[EI_DATA] == ELFDATA2MSB, 0};
    bool is_class = elf.wide || bytes[EI_CLASS] == ELFCLASS32, is_data = elf.big || bytes[EI_DATA] == ELFDATA2LSB;
    size_t head = elf.wide ? sizeof(Elf64_Ehdr) : sizeof(Elf32_Ehdr);
    if (!is_class || !is_data || bytes[EI_VERSION] != EV_CURRENT || length < head)
        return 0;
    size_t sizes = elf.wide ? 52 : 40; /* e_ehsize and the five numbers behind it */
    uint64_t program_size = number(&elf, sizes + 2, 2), programs = number(&elf, sizes + 4, 2);
    uint64_t section_size = number(&elf, sizes + 6, 2), sections = number(&elf, sizes + 8, 2);
    bool right_sizes = (programs == 0 || program_size == (elf.wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr))) &&
                       (sections == 0 || section_size == (elf.wide ? sizeof(Elf64_Shdr) : sizeof(Elf32_Shdr)));
    if (number(&elf, sizes, 2) != head || number(&elf, 20, 4) != EV_CURRENT || programs + sections == 0 || !right_sizes)
        return 0;
    cover(&elf, 0, head);
    cover_table(&elf, word(&elf, elf.wide ? 32 : 28), programs, program_size, false);
    cover_table(&elf, word(&elf, elf.wide ? 40 : 32), sections, section_size, true);
    return elf.end;
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

/* The nearest of two kinds of heads at or behind `from`; `length` when there is none. */
static size_t find_head(const uint8_t *bytes, size_t length, size_t from)
{
    size_t end = length;
    for (size_t at = from; at < end;) {
        const uint8_t *found = memmem(bytes + at, end - at, ELFMAG, SELFMAG);
        if (!found)
            break;
        at = (size_t)(found - bytes);
        if (km_filepart_elf_extent(found, length - at) > 0)
            end = at;
        at += SELFMAG;
    }
    for (size_t at = from; at < end;) {
        const uint8_t *found = memmem(bytes + at, end - at, "\n#!", 3);
        if (!found)
            break;
        at = (size_t)(found - bytes) + 1;
        if (is_interpreter_line(bytes + at, length - at))
            end = at;
    }
    return end;
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
