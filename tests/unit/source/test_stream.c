#define KM_TEST_NAME "stream"
#include "../cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container/source/inflate.h"
#include "container/source/stream.h"

#include "archives.h"

/* ---- Plain streams ---- */

struct slow {
    const uint8_t *bytes;
    size_t left, block;
    enum km_code at_end;
    int done;
};

static enum km_code read_slow(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    struct slow *slow = context;
    size_t length = slow->left < slow->block ? slow->left : slow->block;
    if (length == 0 && slow->at_end != KM_OK)
        return km_fail(err, slow->at_end, "the peer went away");
    assert_true(length <= size);
    memcpy(buffer, slow->bytes, length);
    slow->bytes += length;
    slow->left -= length;
    *out_length = length;
    return KM_OK;
}

static void count_done(void *context)
{
    ((struct slow *)context)->done++;
}

static struct km_stream *open_slow(struct slow *slow)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_stream_callback callback = {.context = slow, .read = read_slow, .done = count_done};
    struct km_stream *stream = km_stream_new_callback(&callback, &err);
    assert_non_null(stream);
    return stream;
}

/* Peeks at, uses and takes bytes in uneven steps until all are gone. */
static void go_through(struct km_stream *stream, const uint8_t *wanted, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    for (size_t at = 0; at < length;) {
        size_t want = at % 700 + 1, have = 0;
        const uint8_t *seen = NULL;
        assert_ok(km_stream_peek(stream, want, &seen, &have, &err), err);
        assert_true(have >= want || have == length - at);
        assert_memory_equal(seen, wanted + at, have);
        size_t use = have < want / 2 + 1 ? have : want / 2 + 1;
        km_stream_consume(stream, use);
        at += use;
        assert_int_equal(stream->position, at);
        assert_ok(km_stream_next(stream, 5, &seen, &have, &err), err);
        assert_true(have <= 5 && (have >= 1 || at == length));
        if (have > 0)
            assert_memory_equal(seen, wanted + at, have);
        at += have;
    }
}

static void peeks_join_blocks_of_any_size(void **state)
{
    (void)state;
    uint8_t bytes[3000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 256);
    for (size_t block = 1; block <= 1500; block = block * 2 + 1) {
        struct slow slow = {bytes, sizeof bytes, block, KM_OK, 0};
        struct km_stream *stream = open_slow(&slow);
        go_through(stream, bytes, sizeof bytes);
        km_stream_close(stream);
        assert_int_equal(slow.done, 1);
    }
}

static void the_end_stays_the_end(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_stream_cleanup) struct km_stream *stream = km_stream_new_memory("abc", 3, &err);
    uint8_t buffer[10];
    const uint8_t *bytes = NULL;
    size_t length = 0;
    uint64_t skipped = 0;
    assert_ok(km_stream_read(stream, buffer, sizeof buffer, &length, &err), err);
    assert_int_equal(length, 3);
    for (int i = 0; i < 2; i++) {
        assert_ok(km_stream_next(stream, 1, &bytes, &length, &err), err);
        assert_int_equal(length, 0);
        assert_ok(km_stream_peek(stream, 100, &bytes, &length, &err), err);
        assert_int_equal(length, 0);
        assert_ok(km_stream_skip(stream, 100, &skipped, &err), err);
        assert_int_equal(skipped, 0);
    }
}

static void failures_below_are_passed_on(void **state)
{
    (void)state;
    struct slow slow = {(const uint8_t *)"abcd", 4, 4, KM_IO, 0};
    struct km_stream *stream = open_slow(&slow);
    struct km_err err = KM_ERR_INIT;
    const uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(km_stream_peek(stream, 5, &bytes, &length, &err), KM_IO);
    assert_string_equal(err.text, "the peer went away");
    km_stream_close(stream);
}

static void pipes_give_what_they_have(void **state)
{
    (void)state;
    int ends[2];
    struct km_err err = KM_ERR_INIT;
    uint8_t buffer[16];
    size_t length = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], "hello", 5), 5);
    assert_int_equal(close(ends[1]), 0);
    KM_CLEANUP(km_stream_cleanup) struct km_stream *stream = km_stream_new_fd(ends[0], &err);
    assert_non_null(stream);
    assert_ok(km_stream_read(stream, buffer, sizeof buffer, &length, &err), err);
    assert_int_equal(length, 5);
    assert_memory_equal(buffer, "hello", 5);
}

/* ---- Decompression ---- */

struct codec {
    enum km_content content;
    void (*make)(const struct km_buf *raw, struct km_buf *out);
};

static const struct codec codecs[] = {
    {KM_CONTENT_GZIP, make_gzip},
    {KM_CONTENT_XZ, make_xz},
    {KM_CONTENT_ZSTD, make_zstd},
    {KM_CONTENT_BZIP2, make_bzip2},
};
#define CODECS (sizeof codecs / sizeof codecs[0])

struct outcome {
    size_t length;
    bool same; /* what came out begins what went in */
    int fault; /* enum km_gap_reason, or -1 */
    uint64_t fault_offset;
    size_t memory_after;
};

#define MEMORY ((size_t)72 << 20)

/* From a source that gives `block` bytes at a time. */
static struct outcome expand_blocks(enum km_content content, const struct km_buf *packed, const struct km_buf *raw,
                                    size_t memory, uint64_t ratio, size_t block)
{
    struct outcome outcome = {.same = true, .fault = -1};
    struct km_err err = KM_ERR_INIT;
    struct slow slow = {(const uint8_t *)packed->data, packed->length, block, KM_OK, 0};
    struct km_stream *source = open_slow(&slow);
    const struct km_inflate_limits limits = {.max_ratio = ratio, .grace_bytes = 1000, .memory_left = &memory};
    struct km_stream *stream = km_inflate_new(content, source, &limits, &err);
    assert_non_null(stream);
    for (;;) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        assert_ok(km_stream_next(stream, UINT64_MAX, &bytes, &got, &err), err);
        if (got == 0)
            break;
        for (size_t i = 0; i < got; i++) /* repeated members repeat their content */
            outcome.same &= bytes[i] == (uint8_t)raw->data[(outcome.length + i) % raw->length];
        outcome.length += got;
    }
    const struct km_fault *fault = km_inflate_fault(stream);
    if (fault) {
        outcome.fault = (int)fault->reason;
        outcome.fault_offset = fault->offset;
    }
    km_stream_close(stream);
    km_stream_close(source);
    outcome.memory_after = memory;
    return outcome;
}

static struct outcome expand(enum km_content content, const struct km_buf *packed, const struct km_buf *raw,
                             size_t memory, uint64_t ratio)
{
    return expand_blocks(content, packed, raw, memory, ratio, 1000);
}

#define BLOCKS 21

/* Reads the file from its begin up to `wanted` bytes or a block more, and to its end if those are all. */
static void read_file(FILE *file, const uint8_t *bytes, size_t length, size_t wanted)
{
    struct km_err err = KM_ERR_INIT;
    int fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    KM_CLEANUP(km_stream_cleanup) struct km_stream *stream = km_stream_new_fd(fd, &err);
    assert_non_null(stream);
    const uint8_t *seen = NULL, *before[BLOCKS];
    unsigned lasting[BLOCKS];
    size_t got = 0, blocks = 0;
    for (size_t at = 0; at < wanted; at += got) {
        assert_ok(km_stream_next(stream, UINT64_MAX, &seen, &got, &err), err);
        assert_in_range(got, 1, length - at);
        assert_memory_equal(seen, bytes + at, got);
        for (size_t i = 0; i < blocks; i++)
            if (blocks - i <= lasting[i])
                assert_memory_equal(before[i], bytes + i * KM_STREAM_BLOCK_BYTES, KM_STREAM_BLOCK_BYTES);
        assert_true(blocks < BLOCKS);
        lasting[blocks] = stream->lasting;
        before[blocks++] = seen;
    }
    assert_true(blocks < 6 || stream->lasting > 0);
    if (wanted < length)
        return;
    assert_ok(km_stream_next(stream, 1, &seen, &got, &err), err);
    assert_int_equal(got, 0);
}

/* Blocks of a file are read ahead from the fifth on; a stream may be closed while that goes on. */
static void files_are_read_to_their_end(void **state)
{
    (void)state;
    static uint8_t bytes[(BLOCKS - 1) * KM_STREAM_BLOCK_BYTES + 77];
    FILE *made = tmpfile();
    assert_non_null(made);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 2654435761U >> 13);
    for (size_t blocks = 0; blocks <= BLOCKS; blocks++) {
        size_t length = blocks < BLOCKS ? blocks * KM_STREAM_BLOCK_BYTES : sizeof bytes;
        assert_int_equal(ftruncate(fileno(made), 0), 0);
        assert_int_equal(pwrite(fileno(made), bytes, length, 0), length);
        read_file(made, bytes, length, length);
        if (blocks > 6)
            read_file(made, bytes, length, 6 * KM_STREAM_BLOCK_BYTES);
    }
    (void)fclose(made);
}

static void fill(struct km_buf *raw, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    uint32_t random = 1;
    km_buf_init(raw, length);
    for (size_t i = 0; i < length; i++) {
        random = random * 1664525 + 1013904223;
        const char byte = (char)('a' + (random >> 28));
        assert_ok(km_buf_append(raw, &byte, 1, &err), err);
    }
}

static void what_was_packed_comes_out(void **state)
{
    (void)state;
    struct km_buf raw, packed;
    fill(&raw, 70000);
    for (size_t i = 0; i < CODECS; i++) {
        km_buf_init(&packed, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        assert_int_equal(km_sniff((const uint8_t *)packed.data, packed.length), codecs[i].content);
        struct outcome outcome = expand(codecs[i].content, &packed, &raw, MEMORY, 1000);
        assert_int_equal(outcome.fault, -1);
        assert_true(outcome.same);
        assert_int_equal(outcome.length, raw.length);
        assert_int_equal(outcome.memory_after, MEMORY);
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

static void members_and_zeros_may_follow_and_nothing_else(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf raw, packed, twice;
    fill(&raw, 5000);
    for (size_t i = 0; i < CODECS; i++) {
        km_buf_init(&packed, SIZE_MAX / 2);
        km_buf_init(&twice, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        assert_ok(km_buf_append(&twice, packed.data, packed.length, &err), err);
        assert_ok(km_buf_append(&twice, "\0\0\0\0", 4, &err), err);
        assert_ok(km_buf_append(&twice, packed.data, packed.length, &err), err);
        struct outcome outcome = expand(codecs[i].content, &twice, &raw, MEMORY, 1000);
        assert_int_equal(outcome.fault, -1);
        assert_true(outcome.same);
        assert_int_equal(outcome.length, 2 * raw.length);
        size_t end = twice.length;
        assert_ok(km_buf_append(&twice, "a payload", 9, &err), err);
        outcome = expand(codecs[i].content, &twice, &raw, MEMORY, 1000);
        assert_int_equal(outcome.length, 2 * raw.length);
        assert_int_equal(outcome.fault, KM_GAP_TRAILING);
        assert_int_equal(outcome.fault_offset, end);
        km_buf_done(&twice);
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

/* A decoder may have taken more than it used when a block ended: nothing of the next member is lost. */
static void blocks_of_any_size_expand_to_the_same(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf raw, packed, twice;
    fill(&raw, 3000);
    for (size_t i = 0; i < CODECS; i++) {
        km_buf_init(&packed, SIZE_MAX / 2);
        km_buf_init(&twice, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        assert_ok(km_buf_append(&twice, packed.data, packed.length, &err), err);
        assert_ok(km_buf_append(&twice, packed.data, packed.length, &err), err);
        assert_ok(km_buf_append(&twice, "a payload", 9, &err), err);
        for (size_t block = 1; block <= twice.length; block += block < 40 || block > packed.length - 40 ? 1 : 40) {
            struct outcome outcome = expand_blocks(codecs[i].content, &twice, &raw, MEMORY, 1000, block);
            assert_true(outcome.same);
            assert_int_equal(outcome.length, 2 * raw.length);
            assert_int_equal(outcome.fault, KM_GAP_TRAILING);
            assert_int_equal(outcome.fault_offset, 2 * packed.length);
        }
        km_buf_done(&twice);
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

/* Extra field, name, comment and checksum: what the header announces is remembered over the end of a block. */
static void the_header_of_gzip_may_be_split_anywhere(void **state)
{
    (void)state;
    struct km_buf raw, packed;
    fill(&raw, 3000);
    for (size_t field = 1; field < 600; field += 7) {
        km_buf_init(&packed, SIZE_MAX / 2);
        make_gzip_full_header(&raw, field, &packed);
        for (size_t block = 1; block < 1000; block = block * 3 / 2 + 1) {
            struct outcome outcome = expand_blocks(KM_CONTENT_GZIP, &packed, &raw, MEMORY, 1000, block);
            if (outcome.fault >= 0 || !outcome.same || outcome.length != raw.length)
                fail_msg("fields of %zu, blocks of %zu: fault %d, %zu bytes", field, block, outcome.fault,
                         outcome.length);
        }
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

/* A copy of 258 bytes from a distance that deflate does not have, near the end of the block that is put out: nothing
 * is given that was not made, and no more than the length of a copy is lost. */
static void damage_beside_the_end_of_a_block_adds_nothing(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static const char copy[64] = {0x1b, 0x7d};
    struct km_buf raw, packed;
    fill(&raw, KM_STREAM_BLOCK_BYTES + 50);
    for (; raw.length > KM_STREAM_BLOCK_BYTES - 700; raw.length -= 25) {
        km_buf_init(&packed, SIZE_MAX / 2);
        make_gzip_unfinished(&raw, &packed);
        assert_ok(km_buf_append(&packed, copy, sizeof copy, &err), err);
        struct outcome outcome = expand_blocks(KM_CONTENT_GZIP, &packed, &raw, MEMORY, 1000, 1 << 20);
        assert_int_equal(outcome.fault, KM_GAP_DAMAGED);
        assert_true(outcome.same);
        assert_in_range(outcome.length, raw.length - 258, raw.length);
        assert_int_equal(outcome.fault_offset, outcome.length);
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

static void every_cut_is_noticed(void **state)
{
    (void)state;
    struct km_buf raw, packed;
    fill(&raw, 600);
    for (size_t i = 0; i < CODECS; i++) {
        km_buf_init(&packed, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        while (--packed.length > 0) {
            struct outcome outcome = expand(codecs[i].content, &packed, &raw, MEMORY, 1000);
            assert_true(outcome.same);
            if (outcome.fault != KM_GAP_TRUNCATED)
                fail_msg("codec %zu cut to %zu: fault %d", i, packed.length, outcome.fault);
        }
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

/* A flipped bit shows as a fault or, where the format has no check (gzip's header), changes nothing. */
static void no_flipped_bit_changes_content_silently(void **state)
{
    (void)state;
    struct km_buf raw, packed;
    fill(&raw, 600);
    for (size_t i = 0; i < CODECS; i++) {
        if (codecs[i].content == KM_CONTENT_ZSTD) /* ZSTD_compress writes no checksum */
            continue;
        km_buf_init(&packed, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        for (size_t at = 0; at < packed.length; at++) {
            packed.data[at] ^= 0x10;
            struct outcome outcome = expand(codecs[i].content, &packed, &raw, MEMORY, 1000);
            if (outcome.fault < 0 && (!outcome.same || outcome.length != raw.length))
                fail_msg("codec %zu, byte %zu: %zu wrong bytes without a fault", i, at, outcome.length);
            packed.data[at] ^= 0x10;
        }
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

static void bombs_stop_at_the_ratio(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf raw, packed;
    km_buf_init(&raw, SIZE_MAX / 2);
    static const char zeros[65536];
    for (int i = 0; i < 64; i++)
        assert_ok(km_buf_append(&raw, zeros, sizeof zeros, &err), err);
    for (size_t i = 0; i < CODECS; i++) {
        km_buf_init(&packed, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        struct outcome outcome = expand(codecs[i].content, &packed, &raw, MEMORY, 10);
        assert_int_equal(outcome.fault, KM_GAP_LIMIT);
        assert_true(outcome.length < raw.length);
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

static void decoders_keep_to_their_memory(void **state)
{
    (void)state;
    struct km_buf raw, packed;
    fill(&raw, 5000);
    for (size_t i = 0; i < CODECS; i++) {
        km_buf_init(&packed, SIZE_MAX / 2);
        codecs[i].make(&raw, &packed);
        struct outcome outcome = expand(codecs[i].content, &packed, &raw, 1000, 1000);
        assert_int_equal(outcome.fault, KM_GAP_LIMIT);
        assert_int_equal(outcome.memory_after, 1000);
        km_buf_done(&packed);
    }
    km_buf_done(&raw);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peeks_join_blocks_of_any_size),
        cmocka_unit_test(the_end_stays_the_end),
        cmocka_unit_test(failures_below_are_passed_on),
        cmocka_unit_test(pipes_give_what_they_have),
        cmocka_unit_test(files_are_read_to_their_end),
        cmocka_unit_test(what_was_packed_comes_out),
        cmocka_unit_test(members_and_zeros_may_follow_and_nothing_else),
        cmocka_unit_test(blocks_of_any_size_expand_to_the_same),
        cmocka_unit_test(the_header_of_gzip_may_be_split_anywhere),
        cmocka_unit_test(damage_beside_the_end_of_a_block_adds_nothing),
        cmocka_unit_test(every_cut_is_noticed),
        cmocka_unit_test(no_flipped_bit_changes_content_silently),
        cmocka_unit_test(bombs_stop_at_the_ratio),
        cmocka_unit_test(decoders_keep_to_their_memory),
    };
    return KM_RUN_TESTS(tests);
}
