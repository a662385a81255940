#include "archives.h"

#include <bzlib.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "../cm.h"
#include "container/source/stream.h"

#define BLOCK 512

/* ---- Making ---- */

static void append(struct km_buf *buf, const void *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_buf_append(buf, bytes, length, &err), err);
}

static void pad(struct km_buf *tar)
{
    static const char zeros[BLOCK];
    append(tar, zeros, (BLOCK - tar->length % BLOCK) % BLOCK);
}

/* A field's text without a NUL behind it. */
static void put(char *field, const char *text)
{
    while (*text)
        *field++ = *text++;
}

void tar_fix_checksum(struct km_buf *tar, size_t offset)
{
    unsigned sum = 0;
    char *header = tar->data + offset;
    memset(header + 148, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++)
        sum += (unsigned char)header[i];
    char text[8];
    (void)snprintf(text, sizeof text, "%06o", sum);
    memcpy(header + 148, text, 7);
}

void tar_add(struct km_buf *tar, const struct made_member *member)
{
    char header[BLOCK] = {0};
    size_t offset = tar->length;
    assert_true(strlen(member->path) <= 100 && (!member->link || strlen(member->link) <= 100));
    put(header, member->path);
    put(header + 100, "0000644");
    put(header + 108, "0000000");
    put(header + 116, "0000000");
    (void)snprintf(header + 124, 12, "%011zo", member->length);
    put(header + 136, "00000000000");
    header[156] = member->type ? member->type : '0';
    if (member->link)
        put(header + 157, member->link);
    put(header + 257, "ustar");
    put(header + 263, "00");
    append(tar, header, sizeof header);
    tar_fix_checksum(tar, offset);
    append(tar, member->data, member->length);
    pad(tar);
}

void tar_add_file(struct km_buf *tar, const char *path, const char *text)
{
    tar_add(tar, &(struct made_member){.path = path, .data = text, .length = strlen(text)});
}

void tar_add_pax(struct km_buf *tar, const char *key, const char *value)
{
    char record[2048];
    size_t body = strlen(key) + strlen(value) + 3, length = 0;
    for (size_t next = body + 1; next != length;) { /* the length counts its own digits */
        length = next;
        next = body + (size_t)snprintf(NULL, 0, "%zu", length);
    }
    int written = snprintf(record, sizeof record, "%zu %s=%s\n", length, key, value);
    assert_int_equal(written, (int)length);
    tar_add(tar, &(struct made_member){.path = "PaxHeaders/x", .type = 'x', .data = record, .length = length});
}

void tar_end(struct km_buf *tar)
{
    static const char zeros[2 * BLOCK];
    append(tar, zeros, sizeof zeros);
}

static void replace(struct km_buf *out, const void *bytes, size_t length)
{
    km_buf_clear(out);
    append(out, bytes, length);
}

static void write_gzip(const struct km_buf *raw, gz_header *header, int flush, struct km_buf *out)
{
    z_stream stream = {0};
    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    if (header)
        assert_int_equal(deflateSetHeader(&stream, header), Z_OK);
    size_t room = deflateBound(&stream, raw->length) + 64; /* counts the header, once it is set */
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    stream.next_in = (Bytef *)raw->data;
    stream.avail_in = (uInt)raw->length;
    stream.next_out = bytes;
    stream.avail_out = (uInt)room;
    assert_int_equal(deflate(&stream, flush), flush == Z_FINISH ? Z_STREAM_END : Z_OK);
    assert_int_equal(stream.avail_in, 0);
    replace(out, bytes, stream.total_out);
    (void)deflateEnd(&stream);
    free(bytes);
}

void make_gzip(const struct km_buf *raw, struct km_buf *out)
{
    write_gzip(raw, NULL, Z_FINISH, out);
}

void make_gzip_full_header(const struct km_buf *raw, size_t field, struct km_buf *out)
{
    char *text = calloc(1, field + 1);
    assert_non_null(text);
    memset(text, 'x', field);
    gz_header header = {
        .extra = (Bytef *)text, .extra_len = (uInt)field, .name = (Bytef *)text, .comment = (Bytef *)text, .hcrc = 1};
    write_gzip(raw, &header, Z_FINISH, out);
    free(text);
}

void make_gzip_unfinished(const struct km_buf *raw, struct km_buf *out)
{
    write_gzip(raw, NULL, Z_SYNC_FLUSH, out);
}

void make_xz(const struct km_buf *raw, struct km_buf *out)
{
    size_t room = lzma_stream_buffer_bound(raw->length), used = 0;
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    assert_int_equal(
        lzma_easy_buffer_encode(0, LZMA_CHECK_CRC64, NULL, (const uint8_t *)raw->data, raw->length, bytes, &used, room),
        LZMA_OK);
    replace(out, bytes, used);
    free(bytes);
}

void make_zstd(const struct km_buf *raw, struct km_buf *out)
{
    size_t room = ZSTD_compressBound(raw->length);
    uint8_t *bytes = malloc(room);
    assert_non_null(bytes);
    size_t used = ZSTD_compress(bytes, room, raw->data, raw->length, 3);
    assert_false(ZSTD_isError(used));
    replace(out, bytes, used);
    free(bytes);
}

void make_bzip2(const struct km_buf *raw, struct km_buf *out)
{
    unsigned room = (unsigned)(raw->length + raw->length / 100 + 700);
    char *bytes = malloc(room);
    assert_non_null(bytes);
    assert_int_equal(BZ2_bzBuffToBuffCompress(bytes, &room, raw->data, (unsigned)raw->length, 9, 0, 0), BZ_OK);
    replace(out, bytes, room);
    free(bytes);
}

/* ---- Remembering ---- */

struct open_entry {
    struct seen_entry entry;
    size_t index; /* in seen->entries, or SEEN_MAX and more */
};

static void keep(char *out, const char *text)
{
    (void)snprintf(out, SEEN_TEXT_MAX, "%s", text ? text : "");
}

static enum km_code count_call(struct seen *seen, struct km_err *err)
{
    if (++seen->calls == seen->fail_at_call)
        return km_fail(err, KM_CONFLICT, "the sink was told to fail");
    return KM_OK;
}

static enum km_code on_begin(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct seen *seen = context;
    assert_int_equal(entry->id, seen->entry_count);
    assert_null(*out_state);
    enum km_code code = count_call(seen, err);
    if (code != KM_OK)
        return code;
    struct open_entry *open = calloc(1, sizeof *open);
    assert_non_null(open);
    open->index = seen->entry_count++;
    open->entry.entry = *entry;
    keep(open->entry.path, entry->path);
    keep(open->entry.link, entry->link);
    if (open->index < SEEN_MAX)
        seen->entries[open->index] = open->entry;
    seen->open++;
    *out_state = open;
    return KM_OK;
}

static enum km_code on_data(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                            struct km_err *err)
{
    struct seen *seen = context;
    struct open_entry *open = state;
    struct seen_entry *entry = &open->entry;
    assert_int_equal(entry->entry.type, KM_ENTRY_FILE);
    assert_int_equal(offset, entry->delivered);
    assert_true(length > 0);
    for (uint64_t i = 0; bytes && i < length && offset + i < SEEN_BYTES_MAX; i++)
        entry->first[offset + i] = ((const uint8_t *)bytes)[i];
    if (bytes) { /* read all: a sanitizer sees what must not be shown */
        volatile uint8_t sum = 0;
        for (uint64_t i = 0; i < length; i++)
            sum = (uint8_t)(sum + ((const uint8_t *)bytes)[i]);
    } else {
        entry->holes += length;
    }
    entry->delivered += length;
    return count_call(seen, err);
}

static enum km_code on_end(void *context, void *state, bool complete, struct km_err *err)
{
    struct seen *seen = context;
    struct open_entry *open = state;
    open->entry.ended = true;
    open->entry.complete = complete;
    uint64_t size = open->entry.entry.size;
    if (complete && open->entry.entry.type == KM_ENTRY_FILE && size != KM_SIZE_UNKNOWN)
        assert_true(open->entry.delivered >= size);
    if (open->index < SEEN_MAX)
        seen->entries[open->index] = open->entry;
    assert_true(seen->open > 0);
    seen->open--;
    free(open);
    return count_call(seen, err);
}

static enum km_code on_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    struct seen *seen = context;
    (void)err;
    assert_non_null(gap->where);
    if (seen->gap_count < SEEN_MAX) {
        struct seen_gap *kept = &seen->gaps[seen->gap_count];
        kept->gap = *gap;
        keep(kept->where, gap->where);
        keep(kept->detail, gap->detail);
    }
    seen->gap_count++;
    return KM_OK;
}

struct chopped {
    const uint8_t *bytes;
    size_t left, block;
};

static enum km_code read_chopped(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    struct chopped *chopped = context;
    (void)err;
    size_t length = chopped->left < size ? chopped->left : size;
    length = length < chopped->block ? length : chopped->block;
    memcpy(buffer, chopped->bytes, length);
    chopped->bytes += length;
    chopped->left -= length;
    *out_length = length;
    return KM_OK;
}

static void run(struct km_source *source, const struct km_cancel *cancel, struct seen *out)
{
    const struct km_entry_sink sink = {
        .context = out, .begin = on_begin, .data = on_data, .end = on_end, .gap = on_gap};
    out->code = km_source_run(source, &sink, cancel, &out->err);
    out->coverage = *km_source_coverage(source);
    keep(out->scheme, "");
    (void)snprintf(out->scheme, sizeof out->scheme, "%s", km_source_scheme(source));
    assert_int_equal(out->open, 0);
    const struct km_coverage *coverage = &out->coverage;
    assert_true(coverage->bytes_examined + coverage->bytes_opaque <= coverage->bytes_total);
    assert_true(coverage->files_examined <= coverage->files_total);
    if (out->code == KM_OK) {
        assert_int_equal(coverage->gaps, out->gap_count);
        assert_int_equal(km_layout_entry_count(km_source_layout(source)), out->entry_count);
        if (out->gap_count == 0) /* nothing said: then everything was read */
            assert_int_equal(coverage->bytes_examined, coverage->bytes_total);
    }
    km_source_close(source);
}

void see_bytes(const void *bytes, size_t length, const struct seen_options *options, struct seen *out)
{
    static const struct seen_options none;
    struct km_source *source = NULL;
    const struct seen_options *chosen = options ? options : &none;
    struct chopped chopped = {bytes, length, chosen->block_bytes};
    const struct km_stream_callback callback = {.context = &chopped, .read = read_chopped};
    memset(out, 0, sizeof *out);
    out->fail_at_call = chosen->fail_at_call;
    struct km_stream *stream = chosen->block_bytes ? km_stream_new_callback(&callback, &out->err)
                                                   : km_stream_new_memory(bytes, length, &out->err);
    assert_non_null(stream);
    assert_ok(km_source_open_stream(stream, chosen->kind, "test", chosen->limits, &source, &out->err), out->err);
    run(source, chosen->cancel, out);
}

void see_target(const char *target, const struct km_source_limits *limits, struct seen *out)
{
    struct km_source *source = NULL;
    memset(out, 0, sizeof *out);
    out->code = km_source_open(target, limits, &source, &out->err);
    if (out->code == KM_OK)
        run(source, NULL, out);
}

const struct seen_entry *seen_find(const struct seen *seen, const char *path)
{
    for (size_t i = 0; i < seen->entry_count && i < SEEN_MAX; i++)
        if (strcmp(seen->entries[i].path, path) == 0)
            return &seen->entries[i];
    return NULL;
}

const struct seen_gap *seen_gap(const struct seen *seen, enum km_gap_reason reason)
{
    for (size_t i = 0; i < seen->gap_count && i < SEEN_MAX; i++)
        if (seen->gaps[i].gap.reason == reason)
            return &seen->gaps[i];
    return NULL;
}
