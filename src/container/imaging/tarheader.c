#include "container/imaging/tarheader.h"

#include <string.h>

enum {
    NAME = 0,
    NAME_BYTES = 100,
    MODE = 100,
    UID = 108,
    GID = 116,
    SIZE = 124,
    MTIME = 136,
    CHECKSUM = 148,
    TYPE = 156,
    DEVMAJOR = 329,
    DEVMINOR = 337,
    PREFIX = 345,
    PREFIX_BYTES = 155,
    SPARSE = 386,
    SPARSE_CONTINUES = 482,
    SPARSE_SIZE = 483,
    SPARSE_ENTRIES = 4,
    EXTENSION_ENTRIES = 21,
    EXTENSION_CONTINUES = 504,
    SHORT = 8,
    LONG = 12,
};

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1c && c <= 0x1f);
}

static int64_t saturating_add_digit(int64_t value, unsigned base, unsigned digit)
{
    int64_t result;
    if (__builtin_mul_overflow(value, (int64_t)base, &result) ||
        __builtin_add_overflow(result, (int64_t)digit, &result))
        return INT64_MAX;
    return result;
}

bool km_tarheader_parse_integer(const char *text, size_t length, unsigned base, int64_t *out_value)
{
    while (length > 0 && is_blank(text[0])) {
        text++;
        length--;
    }
    while (length > 0 && is_blank(text[length - 1]))
        length--;
    bool negative = length > 0 && text[0] == '-';
    if (length > 0 && (text[0] == '-' || text[0] == '+')) {
        text++;
        length--;
    }
    bool may_underscore = false;
    if (base == 8 && length >= 2 && text[0] == '0' && (text[1] == 'o' || text[1] == 'O')) {
        text += 2;
        length -= 2;
        may_underscore = true;
    }
    if (length == 0 || text[length - 1] == '_')
        return false;
    int64_t value = 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] == '_' && may_underscore) {
            may_underscore = false;
            continue;
        }
        if (text[i] < '0' || (unsigned)(text[i] - '0') >= base)
            return false;
        value = saturating_add_digit(value, base, (unsigned)(text[i] - '0'));
        may_underscore = true;
    }
    *out_value = negative ? -value : value;
    return true;
}

static bool parse_number(const uint8_t *field, size_t length, int64_t *out_value)
{
    if (field[0] == 0x80 || field[0] == 0xff) {
        int64_t value = 0;
        for (size_t i = 1; i < length; i++)
            value = saturating_add_digit(value, 256, field[i]);
        *out_value = field[0] == 0xff ? -1 : value; /* no field of ours may be negative: the amount does not matter */
        return true;
    }
    const char *text = (const char *)field;
    size_t used = strnlen(text, length);
    bool empty = true;
    for (size_t i = 0; i < used && empty; i++)
        empty = is_blank(text[i]);
    if (empty) {
        *out_value = 0;
        return true;
    }
    return km_tarheader_parse_integer(text, used, 8, out_value);
}

static bool checksum_holds(const uint8_t *block)
{
    int64_t stored;
    if (!parse_number(block + CHECKSUM, SHORT, &stored))
        return false;
    int64_t as_unsigned = 0, as_signed = 0;
    for (size_t i = 0; i < KM_TARHEADER_BYTES; i++) {
        uint8_t byte = i >= CHECKSUM && i < CHECKSUM + SHORT ? ' ' : block[i];
        as_unsigned += byte;
        as_signed += (int8_t)byte;
    }
    return stored == as_unsigned || stored == as_signed;
}

static bool is_zero(const uint8_t *block)
{
    return block[0] == 0 && memcmp(block, block + 1, KM_TARHEADER_BYTES - 1) == 0;
}

/* tarfile reads all of them, so a bad owner ends a walk like a bad size does. */
static bool numbers_hold(const uint8_t *block)
{
    static const struct {
        size_t offset, length;
    } fields[] = {{MODE, SHORT}, {UID, SHORT}, {GID, SHORT}, {MTIME, LONG}, {DEVMAJOR, SHORT}, {DEVMINOR, SHORT}};
    int64_t ignored;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (!parse_number(block + fields[i].offset, fields[i].length, &ignored))
            return false;
    return true;
}

static bool sparse_entries_hold(const uint8_t *entries, size_t count)
{
    int64_t ignored;
    for (size_t i = 0; i < 2 * count; i++)
        if (!parse_number(entries + i * LONG, LONG, &ignored))
            return false;
    return true;
}

static void set_name(const uint8_t *block, struct km_tarheader *header)
{
    const char *name = (const char *)block + NAME, *prefix = (const char *)block + PREFIX;
    size_t name_length = strnlen(name, NAME_BYTES), prefix_length = strnlen(prefix, PREFIX_BYTES);
    if (header->type == '\0' && name_length > 0 && name[name_length - 1] == '/')
        header->type = '5';
    while (header->type == '5' && name_length > 0 && name[name_length - 1] == '/')
        name_length--;
    bool gnu = header->type == 'L' || header->type == 'K' || header->type == 'S';
    size_t length = 0;
    if (prefix_length > 0 && !gnu) {
        memcpy(header->name, prefix, prefix_length);
        header->name[prefix_length] = '/';
        length = prefix_length + 1;
    }
    memcpy(header->name + length, name, name_length);
    header->name_length = length + name_length;
    header->name[header->name_length] = '\0';
}

enum km_tarheader_kind km_tarheader_parse(const uint8_t block[KM_TARHEADER_BYTES], struct km_tarheader *out_header)
{
    if (is_zero(block))
        return KM_TARHEADER_ZERO;
    int64_t size = 0, expanded = 0;
    if (!checksum_holds(block) || !numbers_hold(block) || !parse_number(block + SIZE, LONG, &size) || size < 0)
        return KM_TARHEADER_DAMAGED;
    bool sparse = block[TYPE] == 'S';
    if (sparse && (!sparse_entries_hold(block + SPARSE, SPARSE_ENTRIES) ||
                   !parse_number(block + SPARSE_SIZE, LONG, &expanded) || expanded < 0))
        return KM_TARHEADER_DAMAGED;
    out_header->type = (char)block[TYPE];
    out_header->size = (uint64_t)size;
    out_header->expanded_size = (uint64_t)expanded;
    out_header->sparse_continues = sparse && block[SPARSE_CONTINUES] != 0;
    set_name(block, out_header);
    return KM_TARHEADER_VALID;
}

bool km_tarheader_parse_sparse(const uint8_t block[KM_TARHEADER_BYTES], bool *out_continues)
{
    if (!sparse_entries_hold(block, EXTENSION_ENTRIES))
        return false;
    *out_continues = block[EXTENSION_CONTINUES] != 0;
    return true;
}
