/* gzip read beside zlib: what zlib accepts comes out the same and without a fault; what is cut off, or has another
 * checksum or length than it says, has one. What zlib refuses for another cause may still be read (reserved flags, code
 * tables that are not full), but begins with what zlib made of it. The first byte of the input says in which blocks the
 * rest is read. */
#include <stdint.h>
#include <string.h>
#include <zlib.h>

#include "base/buf.h"
#include "container/source/inflate.h"
#include "container/source/stream.h"
#include "pieces.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming): given */

#define MEMORY ((size_t)64 << 20)

static void append(struct km_buf *output, const uint8_t *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    enum km_code code = km_buf_append(output, bytes, length, &err);
    KM_ASSERT(code == KM_OK);
}

/* All members; whether the reader found fault with them. */
static bool read_gzip(struct pieces input, struct km_buf *output)
{
    struct km_err err = KM_ERR_INIT;
    size_t memory = MEMORY;
    const struct km_inflate_limits limits = {
        .max_ratio = UINT64_MAX, .grace_bytes = UINT64_MAX, .memory_left = &memory};
    const struct km_stream_callback callback = {.context = &input, .read = pieces_read};
    struct km_stream *source = km_stream_new_callback(&callback, &err);
    KM_ASSERT(source);
    struct km_stream *stream = km_inflate_new(KM_CONTENT_GZIP, source, &limits, &err);
    KM_ASSERT(stream);
    const uint8_t *bytes = NULL;
    size_t length = 0;
    do {
        enum km_code code = km_stream_next(stream, UINT64_MAX, &bytes, &length, &err);
        KM_ASSERT(code == KM_OK);
        if (length > 0)
            append(output, bytes, length);
    } while (length > 0);
    bool faulty = km_inflate_fault(stream) != NULL;
    km_stream_close(stream);
    km_stream_close(source);
    KM_ASSERT(memory == MEMORY);
    return faulty;
}

enum verdict {
    VERDICT_ACCEPTED = 0,
    VERDICT_BROKEN = 1,  /* cut off, or a checksum or length that is not the content's */
    VERDICT_REFUSED = 2, /* for another cause */
};

static enum verdict judge(int result, const char *cause)
{
    static const char *const broken[] = {"incorrect data check", "incorrect length check", "header crc mismatch"};
    if (result == Z_STREAM_END)
        return VERDICT_ACCEPTED;
    if (result == Z_BUF_ERROR)
        return VERDICT_BROKEN;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++)
        if (cause && strcmp(cause, broken[i]) == 0)
            return VERDICT_BROKEN;
    return VERDICT_REFUSED;
}

/* What zlib says of the first member. *out_rest is what it leaves. */
static enum verdict read_member(const uint8_t *bytes, size_t length, struct km_buf *output, size_t *out_rest)
{
    static uint8_t block[1 << 16];
    z_stream stream = {.next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)length};
    int result = inflateInit2(&stream, 31);
    KM_ASSERT(result == Z_OK);
    do {
        stream.next_out = block;
        stream.avail_out = sizeof block;
        result = inflate(&stream, Z_NO_FLUSH);
        append(output, block, sizeof block - stream.avail_out);
    } while (result == Z_OK);
    *out_rest = stream.avail_in;
    enum verdict verdict = judge(result, stream.msg);
    (void)inflateEnd(&stream);
    return verdict;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) /* of nothing there is nothing to say */
        return 0;
    const uint8_t *gzip = data + 1;
    size_t length = size - 1, rest = 0;
    size_t block = (size_t)(data[0] / 2 + 1) * (data[0] % 2 ? 1 : 97);
    struct km_buf ours, theirs;
    km_buf_init(&ours, SIZE_MAX / 2);
    km_buf_init(&theirs, SIZE_MAX / 2);
    bool faulty = read_gzip((struct pieces){gzip, length, block}, &ours);
    enum verdict verdict = read_member(gzip, length, &theirs, &rest);
    KM_ASSERT(verdict != VERDICT_ACCEPTED || ours.length >= theirs.length);
    KM_ASSERT(verdict != VERDICT_ACCEPTED || rest > 0 || (!faulty && ours.length == theirs.length));
    KM_ASSERT(verdict != VERDICT_BROKEN || faulty);
    size_t shared = ours.length < theirs.length ? ours.length : theirs.length;
    KM_ASSERT(memcmp(km_buf_text(&ours), km_buf_text(&theirs), shared) == 0);
    km_buf_done(&ours);
    km_buf_done(&theirs);
    return 0;
}
