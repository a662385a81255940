#include "container/source/tarmembers.h"

#include <stdlib.h>
#include <string.h>

#include "container/source/tarhead.h"

struct tarmembers {
    struct km_members base;
    struct km_stream *stream;
    struct km_tar_pax pax;
    struct km_buf long_path, long_link, text; /* GNU 'L' and 'K' headers; scratch for header data */
    struct km_tar_header header;
    uint8_t block[KM_TAR_BLOCK];
    uint64_t first_header; /* of the member that is being put together */
    bool in_meta;          /* header data of the next member was read */
    bool pending;          /* block holds a header that resync found */
    bool over;             /* the archive's end, or a cut that was reported */
    unsigned zero_blocks;
    /* The member that is being read. */
    uint64_t size;        /* logical */
    uint64_t stored_left; /* in the stream, padding excluded */
    uint64_t padding;
    uint64_t cursor; /* logical */
    bool sparse;
    bool broken;
    struct km_tar_sparse map;
    size_t region;
};

static uint64_t padding_of(uint64_t size)
{
    return (KM_TAR_BLOCK - size % KM_TAR_BLOCK) % KM_TAR_BLOCK;
}

static enum km_code fault(struct tarmembers *walk, enum km_gap_reason reason, uint64_t offset, uint64_t bytes,
                          const char *detail, struct km_err *err)
{
    const struct km_fault told = {.reason = reason, .offset = offset, .bytes = bytes, .detail = detail};
    return km_members_fault(&walk->base, &told, err);
}

static enum km_code cut_here(struct tarmembers *walk, const char *detail, struct km_err *err)
{
    walk->over = true;
    return fault(walk, KM_GAP_TRUNCATED, walk->stream->position, UINT64_MAX, detail, err);
}

/* Takes the next block; *out_have false at the end of the stream (a part of a block is consumed with it). */
static enum km_code take_block(struct tarmembers *walk, bool *out_have, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    enum km_code code = km_stream_peek(walk->stream, KM_TAR_BLOCK, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    *out_have = have >= KM_TAR_BLOCK;
    if (!*out_have) {
        km_stream_consume(walk->stream, have);
        return KM_OK;
    }
    memcpy(walk->block, bytes, KM_TAR_BLOCK);
    km_stream_consume(walk->stream, KM_TAR_BLOCK);
    return KM_OK;
}

/* Reads the payload of a header into walk->text. *out_usable false: it was cut or is too large, which was told. */
static enum km_code take_meta(struct tarmembers *walk, uint64_t size, bool *out_usable, struct km_err *err)
{
    uint64_t at = walk->stream->position, done = 0;
    *out_usable = false;
    km_buf_clear(&walk->text);
    if (size > KM_TAR_MAX_META) {
        enum km_code code = fault(walk, KM_GAP_LIMIT, at, size, "header data above 1 MiB was left out", err);
        if (code != KM_OK)
            return code;
        code = km_stream_skip(walk->stream, size + padding_of(size), &done, err);
        return code;
    }
    while (walk->text.length < size) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        enum km_code code = km_stream_next(walk->stream, size - walk->text.length, &bytes, &got, err);
        if (code != KM_OK)
            return code;
        if (got == 0)
            return cut_here(walk, "the archive ends within a header", err);
        code = km_buf_append(&walk->text, bytes, got, err);
        if (code != KM_OK)
            return code;
    }
    enum km_code code = km_stream_skip(walk->stream, padding_of(size), &done, err);
    *out_usable = true;
    return code;
}

/* Codes that input can cause become faults; the others end the run. */
static enum km_code input_fault(struct tarmembers *walk, enum km_code code, struct km_err *err)
{
    if (code != KM_FORMAT && code != KM_LIMIT)
        return code;
    struct km_err cause = *err;
    return fault(walk, code == KM_LIMIT ? KM_GAP_LIMIT : KM_GAP_DAMAGED, walk->first_header,
                 walk->stream->position - walk->first_header, cause.text, err);
}

static enum km_code keep_long_name(struct tarmembers *walk, struct km_buf *name, struct km_err *err)
{
    size_t length = strnlen(km_buf_text(&walk->text), walk->text.length);
    km_buf_clear(name);
    return km_buf_append(name, km_buf_text(&walk->text), length, err);
}

/* Headers that describe the next one. *out_meta: it was one of them. */
static enum km_code take_description(struct tarmembers *walk, bool *out_meta, struct km_err *err)
{
    char type = walk->header.type;
    *out_meta = type != '\0' && strchr("xXgLKV", type) != NULL;
    if (!*out_meta)
        return KM_OK;
    bool usable = false;
    enum km_code code = take_meta(walk, walk->header.size, &usable, err);
    if (code != KM_OK || !usable)
        return code;
    walk->in_meta = true;
    switch (type) {
    case 'x':
    case 'X':
        km_tar_pax_clear(&walk->pax);
        code = km_tar_pax_read(&walk->pax, km_buf_text(&walk->text), walk->text.length, err);
        break;
    case 'L':
        code = keep_long_name(walk, &walk->long_path, err);
        break;
    case 'K':
        code = keep_long_name(walk, &walk->long_link, err);
        break;
    default: /* 'g' and 'V': Go applies neither to members */
        break;
    }
    return input_fault(walk, code, err);
}

/* Looks for the next good header behind a bad one. *out_found false: there is none. */
static enum km_code resync(struct tarmembers *walk, bool *out_found, struct km_err *err)
{
    uint64_t from = walk->stream->position - KM_TAR_BLOCK, bad_end = walk->stream->position;
    enum km_tar_block kind = KM_TAR_BAD;
    bool have = true;
    walk->zero_blocks = 0;
    while (have && kind != KM_TAR_HEADER) {
        uint64_t at = walk->stream->position;
        enum km_code code = take_block(walk, &have, err);
        if (code != KM_OK)
            return code;
        if (have)
            kind = km_tar_classify(walk->block);
        if (have ? kind == KM_TAR_BAD : walk->stream->position > at)
            bad_end = walk->stream->position;
        walk->zero_blocks = have && kind == KM_TAR_ZERO ? walk->zero_blocks + 1 : have ? 0 : walk->zero_blocks;
    }
    *out_found = walk->pending = have;
    if (have)
        bad_end = walk->stream->position - KM_TAR_BLOCK;
    return fault(walk, KM_GAP_DAMAGED, from, bad_end - from, "damaged headers were skipped", err);
}

/* What stands behind the archive's end: zeros, or something that an unpacker never sees. */
static enum km_code drain_end(struct tarmembers *walk, struct km_err *err)
{
    uint64_t first = UINT64_MAX, last = 0;
    walk->over = true;
    for (;;) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        uint64_t at = walk->stream->position;
        enum km_code code = km_stream_next(walk->stream, UINT64_MAX, &bytes, &got, err);
        if (code != KM_OK)
            return code;
        if (got == 0)
            break;
        if (bytes[0] == 0 && memcmp(bytes, bytes + 1, got - 1) == 0)
            continue;
        if (first == UINT64_MAX) {
            size_t i = 0;
            while (bytes[i] == 0)
                i++;
            first = at + i;
        }
        size_t i = got;
        while (bytes[i - 1] == 0)
            i--;
        last = at + i;
    }
    if (first == UINT64_MAX)
        return KM_OK;
    return fault(walk, KM_GAP_TRAILING, first, last - first, "bytes behind the end of the archive", err);
}

/* Takes blocks up to the next header. *out_found false: the archive is over. */
static enum km_code take_header(struct tarmembers *walk, bool *out_found, struct km_err *err)
{
    *out_found = walk->pending;
    if (walk->pending) {
        walk->pending = false;
        return KM_OK;
    }
    while (walk->zero_blocks < 2) {
        bool have = false;
        uint64_t at = walk->stream->position;
        enum km_code code = take_block(walk, &have, err);
        if (code != KM_OK)
            return code;
        if (!have) {
            walk->over = true;
            bool clean = walk->stream->position == at && walk->zero_blocks > 0; /* some writers add only one block */
            return clean ? KM_OK : cut_here(walk, "the archive has no end", err);
        }
        enum km_tar_block kind = km_tar_classify(walk->block);
        if (kind == KM_TAR_ZERO) {
            walk->zero_blocks++;
            continue;
        }
        if (walk->zero_blocks > 0) {
            walk->zero_blocks = 0;
            code = fault(walk, KM_GAP_DAMAGED, at - KM_TAR_BLOCK, KM_TAR_BLOCK, "a lone block of zeros", err);
        }
        bool found = true;
        if (code == KM_OK && kind == KM_TAR_BAD)
            code = resync(walk, &found, err);
        if (code != KM_OK)
            return code;
        walk->pending = false;
        if (found) {
            *out_found = true;
            return KM_OK;
        }
        if (walk->zero_blocks < 2)
            return cut_here(walk, "the archive has no end", err);
    }
    return drain_end(walk, err);
}

static bool next_line(const char **at, const char *end, uint64_t *out)
{
    const char *newline = memchr(*at, '\n', (size_t)(end - *at));
    if (!newline || !km_tar_decimal(*at, (size_t)(newline - *at), out))
        return false;
    *at = newline + 1;
    return true;
}

/* Parses a PAX 1.0 map from text. *out_done false: it needs more text. */
static enum km_code parse_map(struct tarmembers *walk, bool *out_done, struct km_err *err)
{
    const char *at = km_buf_text(&walk->text), *end = at + walk->text.length;
    uint64_t count = 0, offset = 0, length = 0;
    *out_done = false;
    walk->map.count = 0;
    if (!next_line(&at, end, &count))
        return memchr(at, '\n', (size_t)(end - at)) ? km_fail(err, KM_FORMAT, "a sparse map without its count") : KM_OK;
    if (count > KM_TAR_MAX_SPARSE)
        return km_fail(err, KM_LIMIT, "a sparse map of more than %u regions", KM_TAR_MAX_SPARSE);
    for (uint64_t i = 0; i < count; i++) {
        if (!next_line(&at, end, &offset) || !next_line(&at, end, &length))
            return walk->text.length >= KM_TAR_MAX_META ? km_fail(err, KM_FORMAT, "a sparse map that is malformed")
                                                        : KM_OK;
        enum km_code code = km_tar_sparse_add(&walk->map, offset, length, err);
        if (code != KM_OK)
            return code;
    }
    *out_done = true;
    return KM_OK;
}

/* The map of PAX format 1.0 stands in front of the data, in whole blocks. */
static enum km_code take_map(struct tarmembers *walk, struct km_err *err)
{
    bool done = false;
    size_t next_try = 0; /* parsing again at doubled lengths keeps this linear */
    km_buf_clear(&walk->text);
    while (!done) {
        bool have = false;
        if (walk->stored_left < KM_TAR_BLOCK)
            return km_fail(err, KM_FORMAT, "a sparse map that is longer than its member");
        enum km_code code = take_block(walk, &have, err);
        if (code != KM_OK)
            return code;
        if (!have)
            return km_fail(err, KM_FORMAT, "a sparse map that is cut");
        walk->stored_left -= KM_TAR_BLOCK;
        code = km_buf_append(&walk->text, walk->block, KM_TAR_BLOCK, err);
        if (code != KM_OK)
            return code;
        if (walk->text.length < next_try && memchr(walk->block, '\0', KM_TAR_BLOCK) == NULL)
            continue;
        next_try = walk->text.length * 2;
        code = parse_map(walk, &done, err);
        if (code != KM_OK)
            return code;
        if (!done && memchr(walk->block, '\0', KM_TAR_BLOCK))
            return km_fail(err, KM_FORMAT, "a sparse map that is malformed");
    }
    return KM_OK;
}

static enum km_code take_gnu_sparse(struct tarmembers *walk, struct km_err *err)
{
    bool more = false, have = true;
    if (!km_tar_sparse_realsize(walk->block, &walk->size))
        return km_fail(err, KM_FORMAT, "a sparse member without a size");
    enum km_code code = km_tar_sparse_read(walk->block, 0, &walk->map, &more, err);
    while (code == KM_OK && more) {
        code = take_block(walk, &have, err);
        if (code == KM_OK && !have)
            return km_fail(err, KM_FORMAT, "a sparse map that is cut");
        if (code == KM_OK)
            code = km_tar_sparse_read(walk->block, 1, &walk->map, &more, err);
    }
    return code;
}

static enum km_code take_sparse(struct tarmembers *walk, struct km_err *err)
{
    struct km_tar_pax *pax = &walk->pax;
    uint64_t stored = 0;
    enum km_code code = KM_OK;
    walk->map.count = 0;
    if (walk->header.type == 'S') {
        code = take_gnu_sparse(walk, err);
    } else {
        walk->size = pax->has_sparse_size ? pax->sparse_size : walk->size;
        if (pax->sparse_major > 1)
            code = km_fail(err, KM_FORMAT, "a sparse format that is unknown");
        else if (pax->sparse_major == 1)
            code = take_map(walk, err);
        for (size_t i = 0; code == KM_OK && pax->sparse_major == 0 && i < pax->map.count; i++)
            code = km_tar_sparse_add(&walk->map, pax->map.regions[i].offset, pax->map.regions[i].length, err);
    }
    if (code == KM_OK && (!km_tar_sparse_valid(&walk->map, walk->size, &stored) || stored != walk->stored_left))
        code = km_fail(err, KM_FORMAT, "a sparse map that does not fit its member");
    walk->sparse = code == KM_OK;
    if (code != KM_OK) /* then its bytes are read as they are stored */
        walk->size = walk->stored_left;
    return input_fault(walk, code, err);
}

static enum km_entry_type type_of(const struct tarmembers *walk, const char *path)
{
    size_t length = strlen(path);
    switch (walk->header.type) {
    case '1':
        return KM_ENTRY_HARDLINK;
    case '2':
        return KM_ENTRY_SYMLINK;
    case '3':
        return KM_ENTRY_CHARACTER;
    case '4':
        return KM_ENTRY_BLOCK;
    case '5':
        return KM_ENTRY_DIRECTORY;
    case 'D': /* GNU dump: the directory's listing is its content, and is shown */
        return walk->stored_left == 0 ? KM_ENTRY_DIRECTORY : KM_ENTRY_FILE;
    case '6':
        return KM_ENTRY_FIFO;
    case '\0': /* V7 has no type for directories. One with content is a file, whatever its name says. */
        return length > 0 && path[length - 1] == '/' && walk->stored_left == 0 ? KM_ENTRY_DIRECTORY : KM_ENTRY_FILE;
    default: /* POSIX: what is unknown is a regular file */
        return KM_ENTRY_FILE;
    }
}

static const char *choose(const struct km_buf *first, const struct km_buf *second, const char *last, bool *out_odd)
{
    const struct km_buf *chosen = first->length > 0 ? first : second;
    if (chosen->length == 0)
        return last;
    if (strlen(chosen->data) < chosen->length)
        *out_odd = true;
    return chosen->data;
}

static void describe(struct tarmembers *walk, struct km_member *out)
{
    const struct km_tar_header *header = &walk->header;
    const struct km_tar_pax *pax = &walk->pax;
    *out =
        (struct km_member){.mode = header->mode, .uid = header->uid, .gid = header->gid, .offset = walk->first_header};
    out->path = choose(&pax->path, &walk->long_path, header->path, &out->odd_name);
    if (pax->sparse_name.length > 0)
        out->path = choose(&pax->sparse_name, &pax->path, header->path, &out->odd_name);
    out->uid = pax->has_uid ? pax->uid : out->uid;
    out->gid = pax->has_gid ? pax->gid : out->gid;
    out->mtime_s = pax->has_mtime ? pax->mtime_s : header->mtime_s;
    out->type = type_of(walk, out->path);
    if (out->type == KM_ENTRY_SYMLINK || out->type == KM_ENTRY_HARDLINK)
        out->link = choose(&pax->link, &walk->long_link, header->link, &out->odd_name);
}

/* Go's rule: these types have no data, whatever their size field says; a header or damage follows. */
static bool header_only(char type)
{
    return type >= '1' && type <= '6';
}

static enum km_code finish_member(struct tarmembers *walk, struct km_err *err)
{
    uint64_t skipped = 0, wanted = walk->stored_left + walk->padding;
    if (walk->stored_left > UINT64_MAX - walk->padding)
        wanted = UINT64_MAX;
    enum km_code code = km_stream_skip(walk->stream, wanted, &skipped, err);
    if (code != KM_OK)
        return code;
    if (skipped < walk->stored_left)
        code = cut_here(walk, "the archive ends within a member", err);
    walk->stored_left = walk->padding = 0;
    km_tar_pax_clear(&walk->pax);
    km_buf_clear(&walk->long_path);
    km_buf_clear(&walk->long_link);
    walk->in_meta = false;
    return code;
}

static enum km_code begin_member(struct tarmembers *walk, struct km_member *out, struct km_err *err)
{
    const struct km_tar_pax *pax = &walk->pax;
    walk->stored_left = header_only(walk->header.type) ? 0 : pax->has_size ? pax->size : walk->header.size;
    walk->padding = padding_of(walk->stored_left);
    walk->size = walk->stored_left;
    walk->cursor = 0;
    walk->region = 0;
    walk->sparse = false;
    walk->broken = false;
    describe(walk, out);
    if (out->type == KM_ENTRY_FILE && (walk->header.type == 'S' || pax->sparse)) {
        enum km_code code = take_sparse(walk, err);
        if (code != KM_OK)
            return code;
    }
    out->size = out->type == KM_ENTRY_FILE ? walk->size : 0;
    return KM_OK;
}

static enum km_code next_member(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err)
{
    struct tarmembers *walk = (struct tarmembers *)members;
    *out_found = false;
    enum km_code code = finish_member(walk, err);
    while (code == KM_OK && !walk->over) {
        bool found = false, meta = false;
        code = take_header(walk, &found, err);
        if (code != KM_OK || !found)
            break;
        uint64_t at = walk->stream->position - KM_TAR_BLOCK;
        km_tar_header_read(walk->block, &walk->header);
        if (!walk->in_meta)
            walk->first_header = at;
        if (walk->header.size_bad && !header_only(walk->header.type)) {
            code = resync(walk, &found, err);
            if (code == KM_OK && found) /* let the loop meet that header again */
                continue;
            break;
        }
        code = take_description(walk, &meta, err);
        if (code == KM_OK && !meta) {
            *out_found = true;
            return begin_member(walk, out, err);
        }
    }
    return code;
}

static enum km_code read_stored(struct tarmembers *walk, uint64_t max, struct km_piece *out, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t got = 0;
    enum km_code code = km_stream_next(walk->stream, max, &bytes, &got, err);
    if (code != KM_OK)
        return code;
    *out = (struct km_piece){.offset = walk->cursor, .bytes = bytes, .length = got, .broken = got == 0};
    if (got == 0) {
        walk->broken = walk->over = true;
        walk->stored_left = walk->padding = 0;
    }
    walk->stored_left -= got;
    walk->cursor += got;
    return KM_OK;
}

static enum km_code read_member(struct km_members *members, struct km_piece *out, struct km_err *err)
{
    struct tarmembers *walk = (struct tarmembers *)members;
    if (walk->broken || walk->cursor >= walk->size) {
        *out = (struct km_piece){.offset = walk->cursor, .broken = walk->broken};
        return KM_OK;
    }
    if (!walk->sparse)
        return read_stored(walk, walk->stored_left, out, err);
    while (walk->region < walk->map.count) {
        const struct km_tar_region *region = &walk->map.regions[walk->region];
        if (walk->cursor < region->offset)
            break;
        uint64_t left = region->offset + region->length - walk->cursor;
        if (left > 0)
            return read_stored(walk, left, out, err);
        walk->region++;
    }
    uint64_t end = walk->region < walk->map.count ? walk->map.regions[walk->region].offset : walk->size;
    *out = (struct km_piece){.offset = walk->cursor, .length = end - walk->cursor};
    walk->cursor = end;
    return KM_OK;
}

static void close_walk(struct km_members *members)
{
    struct tarmembers *walk = (struct tarmembers *)members;
    km_tar_pax_done(&walk->pax);
    km_buf_done(&walk->long_path);
    km_buf_done(&walk->long_link);
    km_buf_done(&walk->text);
    free(walk->map.regions);
    free(walk);
}

struct km_members *km_tarmembers_new(struct km_stream *stream, struct km_err *err)
{
    struct tarmembers *walk = calloc(1, sizeof *walk);
    if (!walk) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *walk);
        return NULL;
    }
    walk->base.next = next_member;
    walk->base.read = read_member;
    walk->base.close = close_walk;
    walk->stream = stream;
    km_tar_pax_init(&walk->pax);
    km_buf_init(&walk->long_path, KM_TAR_MAX_NAME);
    km_buf_init(&walk->long_link, KM_TAR_MAX_NAME);
    km_buf_init(&walk->text, KM_TAR_MAX_META + KM_TAR_BLOCK);
    return &walk->base;
}
