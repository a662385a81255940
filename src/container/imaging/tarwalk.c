#include "container/imaging/tarwalk.h"

#include <string.h>

#include "container/imaging/paxrecord.h"
#include "container/imaging/tarheader.h"

#define WINDOW_BYTES     4096U
#define MAX_KEYWORD      64U  /* ours are shorter: longer ones are somebody else's */
#define MAX_LENGTH_CHARS 20U  /* digits of a PAX record's length, as tarfile has it */
#define MAX_RECORD_HEAD  128U /* length, blank, keyword and a number: what is looked at in place */

/* A name that is not in the header block: where it lies in the archive. */
struct name_range {
    bool set;
    bool ends_at_nul; /* a GNU long name, in whole blocks */
    bool strip_slashes;
    uint64_t offset;
    uint64_t length;
};

struct km_tarwalk {
    struct km_tarwalk_input input;
    uint64_t next_offset;
    uint64_t number;
    enum km_tarwalk_stop stop;
    uint64_t stop_offset;
    struct km_paxrecord_table globals;
    uint64_t window_offset;
    size_t window_length;
    uint8_t window[WINDOW_BYTES];
    char name[KM_TARWALK_MAX_NAME + 1];
};

/* What the extension headers in front of a member said. The outermost is applied last, so the first one decides. */
struct pending {
    bool any; /* of those that belong to the member: not a global header */
    uint64_t begin;
    struct name_range name;
    bool has_size, has_stored_size;
    uint64_t size;        /* as tarfile will report it */
    uint64_t stored_size; /* by which it finds the next header */
    bool map_in_data;
};

struct km_tarwalk *km_tarwalk_new(const struct km_tarwalk_input *input, struct km_err *err)
{
    struct km_tarwalk *walk = km_calloc(1, sizeof *walk, sizeof *walk, err);
    if (walk)
        walk->input = *input;
    return walk;
}

void km_tarwalk_free(struct km_tarwalk *walk)
{
    free(walk);
}

enum km_tarwalk_stop km_tarwalk_get_stop(const struct km_tarwalk *walk, uint64_t *out_offset)
{
    *out_offset = walk->stop_offset;
    return walk->stop;
}

const char *km_tarwalk_stop_to_string(enum km_tarwalk_stop stop)
{
    switch (stop) {
    case KM_TARWALK_GOING:
        return "going on";
    case KM_TARWALK_END_MARK:
        return "end of archive";
    case KM_TARWALK_END_BYTES:
        return "end of input without an end mark";
    case KM_TARWALK_TRUNCATED:
        return "truncated archive";
    case KM_TARWALK_DAMAGED:
        return "damaged header";
    case KM_TARWALK_NOT_TAR:
        return "not a tar archive";
    }
    return "unknown";
}

bool km_tarwalk_is_file(const struct km_tarwalk_member *member)
{
    return member->type == '0' || member->type == '\0' || member->type == '7' || member->type == 'S';
}

static uint64_t saturating_add(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

static uint64_t round_to_block(uint64_t bytes)
{
    uint64_t up = saturating_add(bytes, KM_TARWALK_BLOCK - 1);
    return up - up % KM_TARWALK_BLOCK;
}

static void stop_at(struct km_tarwalk *walk, enum km_tarwalk_stop stop, uint64_t offset)
{
    walk->stop = stop;
    walk->stop_offset = offset;
}

/* Borrows up to `wanted` (at most WINDOW_BYTES) bytes at offset; *out_length says how many there are. */
static enum km_code peek(struct km_tarwalk *walk, uint64_t offset, size_t wanted, const uint8_t **out_bytes,
                         size_t *out_length, struct km_err *err)
{
    uint64_t left = offset < walk->input.size_bytes ? walk->input.size_bytes - offset : 0;
    size_t length = left < wanted ? (size_t)left : wanted;
    *out_bytes = walk->window;
    *out_length = length;
    if (length == 0)
        return KM_OK;
    bool inside = offset >= walk->window_offset && offset - walk->window_offset <= walk->window_length &&
                  walk->window_length - (size_t)(offset - walk->window_offset) >= length;
    if (!inside) {
        size_t fill = left < WINDOW_BYTES ? (size_t)left : WINDOW_BYTES;
        walk->window_length = 0;
        enum km_code code = walk->input.read(walk->input.context, offset, walk->window, fill, err);
        if (code != KM_OK)
            return code;
        walk->window_offset = offset;
        walk->window_length = fill;
    }
    *out_bytes = walk->window + (size_t)(offset - walk->window_offset);
    return KM_OK;
}

/* The head of one record "LENGTH KEYWORD=VALUE\n"; 0 when it is malformed. */
static size_t parse_record_length(const uint8_t *bytes, size_t available, uint64_t *out_length)
{
    uint64_t length = 0;
    size_t digits = 0;
    while (digits < available && digits <= MAX_LENGTH_CHARS && bytes[digits] >= '0' && bytes[digits] <= '9') {
        if (__builtin_mul_overflow(length, 10, &length))
            return 0;
        length = saturating_add(length, bytes[digits] - (uint64_t)'0');
        digits++;
    }
    if (digits == 0 || digits > MAX_LENGTH_CHARS || digits >= available || bytes[digits] != ' ')
        return 0;
    *out_length = length;
    return digits + 1;
}

/* Takes the record at `offset` into the table; *out_next is the offset behind it. A malformed one stops the walk. */
static enum km_code read_record(struct km_tarwalk *walk, uint64_t offset, uint64_t end,
                                struct km_paxrecord_table *table, uint64_t *out_next, struct km_err *err)
{
    const uint8_t *bytes;
    size_t available;
    enum km_code code = peek(walk, offset, MAX_RECORD_HEAD, &bytes, &available, err);
    if (code != KM_OK)
        return code;
    uint64_t length = 0;
    size_t head = parse_record_length(bytes, available, &length);
    if (head == 0 || length < 5 || length > end - offset || length <= head) {
        stop_at(walk, KM_TARWALK_DAMAGED, offset);
        return KM_OK;
    }
    size_t visible = length - 1 < available ? (size_t)(length - 1) : available;
    size_t keyword = visible - head < MAX_KEYWORD ? visible - head : MAX_KEYWORD;
    const uint8_t *equals = memchr(bytes + head, '=', keyword);
    enum km_paxrecord_key key;
    if (equals && km_paxrecord_find_key((const char *)bytes + head, (size_t)(equals - bytes) - head, &key)) {
        size_t value = (size_t)(equals - bytes) + 1;
        km_paxrecord_set(table, key, offset + value, length - 1 - value, (const char *)bytes + value, visible - value);
    }
    code = peek(walk, offset + length - 1, 1, &bytes, &available, err);
    if (code != KM_OK)
        return code;
    if (available == 0 || bytes[0] != '\n' || (!equals && keyword < MAX_KEYWORD))
        stop_at(walk, KM_TARWALK_DAMAGED, offset);
    *out_next = offset + length;
    return KM_OK;
}

static enum km_code read_records(struct km_tarwalk *walk, uint64_t begin, uint64_t size,
                                 struct km_paxrecord_table *table, struct km_err *err)
{
    uint64_t end = saturating_add(begin, round_to_block(size));
    end = end < walk->input.size_bytes ? end : walk->input.size_bytes;
    for (uint64_t offset = begin; offset < end && walk->stop == KM_TARWALK_GOING;) {
        const uint8_t *bytes;
        size_t available;
        enum km_code code = peek(walk, offset, 1, &bytes, &available, err);
        if (code != KM_OK)
            return code;
        if (bytes[0] == '\0')
            break;
        code = read_record(walk, offset, end, table, &offset, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static struct name_range name_of_table(const struct km_paxrecord_table *table)
{
    struct name_range range = {0};
    const struct km_paxrecord *name = km_paxrecord_find_name(table, &range.strip_slashes);
    if (name) {
        range.set = true;
        range.offset = name->offset;
        range.length = name->length;
    }
    return range;
}

/* A negative size from a PAX record breaks tarfile; here it ends the walk. */
static uint64_t size_of_record(struct km_tarwalk *walk, const struct km_paxrecord *record)
{
    if (record->number < 0)
        stop_at(walk, KM_TARWALK_DAMAGED, record->offset);
    return record->number < 0 ? 0 : (uint64_t)record->number;
}

static enum km_code take_pax(struct km_tarwalk *walk, const struct km_tarheader *header, uint64_t payload,
                             struct pending *pending, struct km_err *err)
{
    if (header->type == 'g') {
        enum km_code code = read_records(walk, payload, header->size, &walk->globals, err);
        pending->map_in_data |= km_paxrecord_has_sparse_map_in_data(&walk->globals);
        return code;
    }
    struct km_paxrecord_table table = walk->globals;
    enum km_code code = read_records(walk, payload, header->size, &table, err);
    if (code != KM_OK)
        return code;
    if (!pending->name.set)
        pending->name = name_of_table(&table);
    const struct km_paxrecord *size = km_paxrecord_find_size(&table);
    if (size && !pending->has_size) {
        pending->has_size = true;
        pending->size = size_of_record(walk, size);
    }
    if (size && table.records[KM_PAXRECORD_SIZE].order != 0 && !pending->has_stored_size) {
        pending->has_stored_size = true;
        pending->stored_size = size_of_record(walk, size);
    }
    pending->map_in_data |= km_paxrecord_has_sparse_map_in_data(&table);
    return KM_OK;
}

/* One extension header (long name, long link, PAX) with its payload; *offset moves behind it. */
static enum km_code take_extension(struct km_tarwalk *walk, const struct km_tarheader *header, uint64_t *offset,
                                   struct pending *pending, struct km_err *err)
{
    uint64_t payload = *offset + KM_TARWALK_BLOCK;
    if (header->type != 'g' && !pending->any) {
        pending->any = true;
        pending->begin = *offset;
    }
    enum km_code code = KM_OK;
    if (header->type == 'L' && !pending->name.set)
        pending->name = (struct name_range){
            .set = true, .ends_at_nul = true, .offset = payload, .length = round_to_block(header->size)};
    else if (header->type != 'L' && header->type != 'K')
        code = take_pax(walk, header, payload, pending, err);
    *offset = saturating_add(payload, round_to_block(header->size));
    return code;
}

static enum km_code read_name_range(struct km_tarwalk *walk, const struct name_range *range, bool directory,
                                    struct km_tarwalk_member *member, struct km_err *err)
{
    uint64_t left = range->offset < walk->input.size_bytes ? walk->input.size_bytes - range->offset : 0;
    uint64_t whole = range->length < left ? range->length : left;
    size_t length = whole < KM_TARWALK_MAX_NAME ? (size_t)whole : KM_TARWALK_MAX_NAME;
    if (length > 0) {
        enum km_code code = walk->input.read(walk->input.context, range->offset, walk->name, length, err);
        if (code != KM_OK)
            return code;
    }
    size_t used = range->ends_at_nul ? strnlen(walk->name, length) : length;
    member->name_cut = used == length && whole > length;
    if (range->strip_slashes)
        while (used > 0 && walk->name[used - 1] == '/')
            used--;
    else if (range->ends_at_nul && directory && used > 0 && walk->name[used - 1] == '/')
        used--;
    walk->name[used] = '\0';
    member->name = walk->name;
    member->name_length = used;
    return KM_OK;
}

static enum km_code set_name(struct km_tarwalk *walk, const struct km_tarheader *header, const struct pending *pending,
                             struct km_tarwalk_member *member, struct km_err *err)
{
    struct name_range range = pending->name;
    if (!range.set && header->type != 'S')
        range = name_of_table(&walk->globals);
    if (range.set)
        return read_name_range(walk, &range, header->type == '5', member, err);
    memcpy(walk->name, header->name, header->name_length + 1);
    member->name = walk->name;
    member->name_length = header->name_length;
    return KM_OK;
}

/* Extension blocks of the old GNU sparse format: *data moves behind them. */
static enum km_code skip_sparse_blocks(struct km_tarwalk *walk, bool continues, uint64_t *data, struct km_err *err)
{
    while (continues) {
        const uint8_t *block;
        size_t available;
        enum km_code code = peek(walk, *data, KM_TARWALK_BLOCK, &block, &available, err);
        if (code != KM_OK)
            return code;
        if (available < KM_TARWALK_BLOCK || !km_tarheader_parse_sparse(block, &continues)) {
            stop_at(walk, available < KM_TARWALK_BLOCK ? KM_TARWALK_TRUNCATED : KM_TARWALK_DAMAGED, *data);
            return KM_OK;
        }
        *data += KM_TARWALK_BLOCK;
    }
    return KM_OK;
}

/* The map in front of the data in GNU sparse format 1.0: decimal lines, first their number of pairs, in whole blocks.
 */
static enum km_code skip_sparse_map(struct km_tarwalk *walk, uint64_t *data, struct km_err *err)
{
    uint64_t lines_left = 1;
    bool counted = false;
    char line[24];
    size_t used = 0;
    uint64_t offset = *data;
    while (lines_left > 0) {
        const uint8_t *bytes;
        size_t available;
        enum km_code code = peek(walk, offset, KM_TARWALK_BLOCK, &bytes, &available, err);
        if (code != KM_OK)
            return code;
        for (size_t i = 0; i < available && lines_left > 0; i++) {
            if (bytes[i] != '\n' && used < sizeof line) {
                line[used++] = (char)bytes[i];
                continue;
            }
            int64_t number;
            if (bytes[i] != '\n' || !km_tarheader_parse_integer(line, used, 10, &number) || number < 0) {
                stop_at(walk, KM_TARWALK_DAMAGED, offset);
                return KM_OK;
            }
            used = 0;
            lines_left = counted ? lines_left - 1 : 2 * (uint64_t)number;
            counted = true;
        }
        if (available < KM_TARWALK_BLOCK && lines_left > 0) {
            stop_at(walk, KM_TARWALK_TRUNCATED, offset);
            return KM_OK;
        }
        offset += available;
    }
    *data = offset;
    return KM_OK;
}

/* Whether data follows: for files, and for types that nobody knows. */
static bool has_data(char type)
{
    return type == '\0' || type == '0' || type == '7' || type == 'S' || type < '1' || type > '6';
}

/* The member whose own header is at `offset`; sets where the next one begins. */
static enum km_code finish_member(struct km_tarwalk *walk, const struct km_tarheader *header, uint64_t offset,
                                  const struct pending *pending, struct km_tarwalk_member *member, struct km_err *err)
{
    uint64_t data = offset + KM_TARWALK_BLOCK;
    uint64_t stored = has_data(header->type) ? header->size : 0;
    member->header_begin = pending->any ? pending->begin : offset;
    member->type = header->type;
    member->size = header->size;
    enum km_code code = skip_sparse_blocks(walk, header->sparse_continues, &data, err);
    if (code != KM_OK || walk->stop != KM_TARWALK_GOING)
        return code;
    if (header->type == 'S')
        member->size = header->expanded_size;
    else if (km_paxrecord_find_size(&walk->globals))
        member->size = size_of_record(walk, km_paxrecord_find_size(&walk->globals));
    walk->next_offset = saturating_add(data, round_to_block(stored));
    uint64_t stored_end = saturating_add(data, stored);
    if (pending->map_in_data) {
        code = skip_sparse_map(walk, &data, err);
        if (code != KM_OK || walk->stop != KM_TARWALK_GOING)
            return code;
    }
    if (pending->has_size)
        member->size = pending->size;
    if (pending->has_stored_size && has_data(header->type)) {
        stored_end = saturating_add(data, pending->stored_size);
        walk->next_offset = saturating_add(data, round_to_block(pending->stored_size));
    } else if (pending->has_stored_size) {
        walk->next_offset = data;
    }
    member->data_begin = data;
    member->stored_bytes = stored_end > data ? stored_end - data : 0;
    member->number = walk->number++;
    return set_name(walk, header, pending, member, err);
}

/* The header block at `offset`, or a stop. */
static enum km_code read_header(struct km_tarwalk *walk, uint64_t offset, const struct pending *pending,
                                struct km_tarheader *out_header, struct km_err *err)
{
    const uint8_t *block;
    size_t available;
    enum km_code code = peek(walk, offset, KM_TARWALK_BLOCK, &block, &available, err);
    if (code != KM_OK)
        return code;
    if (available < KM_TARWALK_BLOCK) {
        bool between = available == 0 && offset == walk->input.size_bytes && !pending->any;
        enum km_tarwalk_stop inside = offset == 0 ? KM_TARWALK_NOT_TAR : KM_TARWALK_TRUNCATED;
        stop_at(walk, between ? KM_TARWALK_END_BYTES : inside, offset);
        return KM_OK;
    }
    switch (km_tarheader_parse(block, out_header)) {
    case KM_TARHEADER_VALID:
        break;
    case KM_TARHEADER_ZERO:
        stop_at(walk, pending->any ? KM_TARWALK_DAMAGED : KM_TARWALK_END_MARK, offset);
        break;
    case KM_TARHEADER_DAMAGED:
        stop_at(walk, offset == 0 ? KM_TARWALK_NOT_TAR : KM_TARWALK_DAMAGED, offset);
        break;
    }
    return KM_OK;
}

enum km_code km_tarwalk_next(struct km_tarwalk *walk, struct km_tarwalk_member *out_member, bool *out_found,
                             struct km_err *err)
{
    struct pending pending = {0};
    uint64_t offset = walk->next_offset;
    *out_found = false;
    while (walk->stop == KM_TARWALK_GOING) {
        struct km_tarheader header;
        enum km_code code = read_header(walk, offset, &pending, &header, err);
        if (code != KM_OK || walk->stop != KM_TARWALK_GOING)
            return code;
        bool extension =
            header.type == 'L' || header.type == 'K' || header.type == 'x' || header.type == 'X' || header.type == 'g';
        if (extension) {
            code = take_extension(walk, &header, &offset, &pending, err);
            if (code != KM_OK)
                return code;
            continue;
        }
        struct km_tarwalk_member member = {0};
        code = finish_member(walk, &header, offset, &pending, &member, err);
        if (code != KM_OK || walk->stop != KM_TARWALK_GOING)
            return code;
        *out_member = member;
        *out_found = true;
        return KM_OK;
    }
    return KM_OK;
}
