#include "container/tokens/elfsymbols.h"

#include <elf.h>
#include <string.h>

/* What the dynamic segment names; addresses, 0: not named. */
struct tables {
    uint64_t symbols, strings, strings_bytes, next; /* next: the nearest table behind the symbols ends them */
};

static uint64_t read_number(const struct km_elf *elf, const uint8_t *at, unsigned bytes)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < bytes; i++)
        value = value << 8 | at[elf->big ? i : bytes - 1 - i];
    return value;
}

static void read_load(struct km_elf *elf, const uint8_t *at)
{
    if (elf->load_count == KM_ELF_MAX_LOADS)
        return;
    struct km_elf_load *load = &elf->loads[elf->load_count++];
    unsigned word = elf->wide ? 8 : 4;
    load->offset = read_number(elf, at + (elf->wide ? 8 : 4), word);
    load->address = read_number(elf, at + (elf->wide ? 16 : 8), word);
    load->bytes = read_number(elf, at + (elf->wide ? 32 : 16), word);
}

static void read_dynamic_place(struct km_elf *elf, const uint8_t *at)
{
    unsigned word = elf->wide ? 8 : 4;
    uint64_t bytes = read_number(elf, at + (elf->wide ? 32 : 16), word);
    elf->dynamic_offset = read_number(elf, at + (elf->wide ? 8 : 4), word);
    elf->dynamic_bytes = bytes > KM_ELF_DYNAMIC_BYTES ? KM_ELF_DYNAMIC_BYTES : (uint32_t)bytes;
}

bool km_elf_read_headers(const uint8_t *head, size_t length, struct km_elf *out)
{
    if (length > KM_ELF_HEADERS_BYTES)
        length = KM_ELF_HEADERS_BYTES;
    if (length < sizeof(Elf32_Ehdr) || memcmp(head, ELFMAG, SELFMAG) != 0)
        return false;
    struct km_elf elf = {.wide = head[EI_CLASS] == ELFCLASS64, .big = head[EI_DATA] == ELFDATA2MSB};
    if ((!elf.wide && head[EI_CLASS] != ELFCLASS32) || (!elf.big && head[EI_DATA] != ELFDATA2LSB))
        return false;
    if (elf.wide && length < sizeof(Elf64_Ehdr))
        return false;
    uint64_t place = read_number(&elf, head + (elf.wide ? 32 : 28), elf.wide ? 8 : 4);
    uint64_t size = read_number(&elf, head + (elf.wide ? 54 : 42), 2);
    uint64_t count = read_number(&elf, head + (elf.wide ? 56 : 44), 2);
    size_t minimum = elf.wide ? sizeof(Elf64_Phdr) : sizeof(Elf32_Phdr);
    if (size < minimum)
        return false;
    for (uint64_t i = 0; i < count && place <= length && length - place >= minimum; i++, place += size) {
        uint64_t type = read_number(&elf, head + place, 4);
        if (type == PT_LOAD)
            read_load(&elf, head + place);
        else if (type == PT_DYNAMIC)
            read_dynamic_place(&elf, head + place);
    }
    if (elf.dynamic_bytes == 0 || elf.dynamic_offset > INT64_MAX)
        return false;
    *out = elf;
    return true;
}

/* The offset in the file of an address; SIZE_MAX when no segment holds it or it lies behind `length`. */
static size_t place_of(const struct km_elf *elf, uint64_t address, size_t length)
{
    for (uint32_t i = 0; i < elf->load_count; i++) {
        const struct km_elf_load *load = &elf->loads[i];
        uint64_t into = address - load->address;
        if (address < load->address || into >= load->bytes)
            continue;
        if (load->offset > length || into > length - load->offset)
            return SIZE_MAX;
        return (size_t)(load->offset + into);
    }
    return SIZE_MAX;
}

/* One entry of the dynamic segment; false at its end. */
static bool read_entry(const struct km_elf *elf, const uint8_t *at, uint64_t *out_tag, uint64_t *out_value)
{
    unsigned word = elf->wide ? 8 : 4;
    *out_tag = read_number(elf, at, word);
    *out_value = read_number(elf, at + word, word);
    return *out_tag != DT_NULL;
}

static bool is_table(uint64_t tag)
{
    return tag == DT_HASH || tag == DT_GNU_HASH || tag == DT_STRTAB || tag == DT_VERSYM || tag == DT_VERNEED ||
           tag == DT_VERDEF || tag == DT_RELA || tag == DT_REL || tag == DT_RELR || tag == DT_JMPREL ||
           tag == DT_INIT || tag == DT_FINI;
}

static struct tables read_tables(const struct km_elf *elf, const uint8_t *dynamic, size_t length)
{
    struct tables tables = {0};
    size_t step = elf->wide ? 16 : 8;
    uint64_t tag, value;
    for (size_t at = 0; length - at >= step && read_entry(elf, dynamic + at, &tag, &value); at += step) {
        if (tag == DT_SYMTAB)
            tables.symbols = value;
        else if (tag == DT_STRTAB)
            tables.strings = value;
        else if (tag == DT_STRSZ)
            tables.strings_bytes = value;
    }
    tables.next = UINT64_MAX;
    for (size_t at = 0; length - at >= step && read_entry(elf, dynamic + at, &tag, &value); at += step)
        if (is_table(tag) && value > tables.symbols && value < tables.next)
            tables.next = value;
    return tables;
}

/* A name of the string table, head[begin .. end). */
struct strings {
    const uint8_t *head;
    size_t begin, end;
};

static bool tell_name(const struct strings *strings, uint64_t index, enum km_token_kind kind,
                      const struct km_elf_names *names)
{
    if (index >= strings->end - strings->begin)
        return false;
    size_t offset = strings->begin + (size_t)index;
    size_t most = strings->end - offset < KM_ELF_NAME_BYTES ? strings->end - offset : KM_ELF_NAME_BYTES;
    const uint8_t *nul = memchr(strings->head + offset, 0, most);
    if (!nul)
        return false;
    size_t length = (size_t)(nul - (strings->head + offset));
    if (length > 0)
        names->name(names->context, kind, offset, length);
    return true;
}

/* False when some name was out of reach. */
static bool tell_symbols(const struct km_elf *elf, size_t place, uint64_t count, const struct strings *strings,
                         const struct km_elf_names *names)
{
    bool whole = true;
    size_t size = elf->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    for (uint64_t i = 1; i < count; i++) {
        const uint8_t *symbol = strings->head + place + i * size;
        uint64_t name = read_number(elf, symbol, 4);
        uint64_t section = read_number(elf, symbol + (elf->wide ? 6 : 14), 2);
        if (name != 0)
            whole &= tell_name(strings, name, section == SHN_UNDEF ? KM_TOKEN_IMPORT : KM_TOKEN_EXPORT, names);
    }
    return whole;
}

enum km_token_symbols km_elf_read_symbols(const struct km_elf *elf, const uint8_t *head, size_t length,
                                          const uint8_t *dynamic, size_t dynamic_length,
                                          const struct km_elf_names *names)
{
    struct tables tables = read_tables(elf, dynamic, dynamic_length);
    size_t strings_at = place_of(elf, tables.strings, length);
    if (tables.strings == 0 || strings_at == SIZE_MAX)
        return KM_TOKEN_SYMBOLS_PARTLY;
    bool whole = tables.strings_bytes <= length - strings_at;
    struct strings strings = {head, strings_at, whole ? strings_at + (size_t)tables.strings_bytes : length};
    size_t step = elf->wide ? 16 : 8;
    uint64_t tag, value;
    for (size_t at = 0; dynamic_length - at >= step && read_entry(elf, dynamic + at, &tag, &value); at += step)
        if (tag == DT_NEEDED)
            whole &= tell_name(&strings, value, KM_TOKEN_NEEDED, names);
    size_t symbols_at = place_of(elf, tables.symbols, length);
    if (tables.symbols == 0 || symbols_at == SIZE_MAX)
        return KM_TOKEN_SYMBOLS_PARTLY;
    size_t size = elf->wide ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
    uint64_t claimed = tables.next == UINT64_MAX ? UINT64_MAX : (tables.next - tables.symbols) / size;
    uint64_t count = (length - symbols_at) / size;
    whole &= claimed <= count && claimed <= KM_ELF_MAX_SYMBOLS;
    count = claimed < count ? claimed : count;
    count = count < KM_ELF_MAX_SYMBOLS ? count : KM_ELF_MAX_SYMBOLS;
    whole &= tell_symbols(elf, symbols_at, count, &strings, names);
    return whole ? KM_TOKEN_SYMBOLS_READ : KM_TOKEN_SYMBOLS_PARTLY;
}
