#include "daemon/trace/trace_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/digest.h"
#include "daemon/trace/trace_codec.h"

#define FULL_BLOCK_BYTES 65536
#define BLOCK_AGE_NS     ((uint64_t)KM_NS_PER_S)
#define HEAD_BYTES       40
#define BLOCK_HEAD_BYTES 24 /* mark 4, payload length 4, events 4, sequence 4, checksum 8 */
#define CHECKSUM_BYTES   8

static const uint8_t file_mark[8] = {'K', 'M', 'T', 'R', 'A', 'C', 'E', '\n'};
static const uint8_t block_mark[4] = {'K', 'M', 'B', 'K'};

static void put_le(uint8_t *out, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *in, int bytes)
{
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | in[i];
    return v;
}

/* The first eight bytes of the SHA-256 of `head` and `payload`. */
static void checksum(struct km_digest *digest, const uint8_t *head, size_t head_bytes, const void *payload,
                     size_t payload_bytes, uint8_t *out)
{
    uint8_t full[KM_SHA256_BYTES];
    km_digest_reset(digest);
    km_digest_update(digest, head, head_bytes);
    km_digest_update(digest, payload, payload_bytes);
    km_digest_finish(digest, full);
    memcpy(out, full, CHECKSUM_BYTES);
}

static enum km_code write_all(int fd, const uint8_t *bytes, size_t length, struct km_err *err)
{
    while (length > 0) {
        ssize_t n = write(fd, bytes, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot write the trace");
        bytes += n;
        length -= (size_t)n;
    }
    return KM_OK;
}

struct km_trace_writer {
    int fd;
    struct km_buf block; /* head and payload */
    struct km_digest *digest;
    struct km_trace_context context;
    uint64_t first_ns;
    uint32_t events, sequence;
};

struct km_trace_writer *km_trace_writer_new(int fd, int64_t wall_ns, int64_t monotonic_ns, struct km_err *err)
{
    struct km_trace_writer *w = km_calloc(1, sizeof *w, SIZE_MAX, err);
    if (!w)
        return NULL;
    w->fd = fd;
    km_buf_init(&w->block, KM_TRACE_MAX_BLOCK_BYTES);
    w->digest = km_digest_new(KM_DIGEST_SHA256, err);
    uint8_t head[HEAD_BYTES] = {0};
    memcpy(head, file_mark, sizeof file_mark);
    put_le(head + 8, KM_TRACE_VERSION, 2);
    put_le(head + 12, HEAD_BYTES, 4);
    put_le(head + 16, (uint64_t)wall_ns, 8);
    put_le(head + 24, (uint64_t)monotonic_ns, 8);
    if (w->digest)
        checksum(w->digest, head, HEAD_BYTES - CHECKSUM_BYTES, "", 0, head + HEAD_BYTES - CHECKSUM_BYTES);
    if (!w->digest || write_all(fd, head, sizeof head, err) != KM_OK) {
        km_trace_writer_free(w);
        return NULL;
    }
    return w;
}

void km_trace_writer_free(struct km_trace_writer *w)
{
    if (!w)
        return;
    km_buf_done(&w->block);
    km_digest_free(w->digest);
    free(w);
}

enum km_code km_trace_writer_flush(struct km_trace_writer *w, struct km_err *err)
{
    if (w->events == 0)
        return KM_OK;
    uint8_t *head = (uint8_t *)w->block.data, *payload = head + BLOCK_HEAD_BYTES;
    size_t payload_bytes = w->block.length - BLOCK_HEAD_BYTES;
    memcpy(head, block_mark, sizeof block_mark);
    put_le(head + 4, payload_bytes, 4);
    put_le(head + 8, w->events, 4);
    put_le(head + 12, w->sequence++, 4);
    checksum(w->digest, head, BLOCK_HEAD_BYTES - CHECKSUM_BYTES, payload, payload_bytes,
             head + BLOCK_HEAD_BYTES - CHECKSUM_BYTES);
    enum km_code code = write_all(w->fd, head, w->block.length, err);
    km_buf_clear(&w->block);
    w->events = 0;
    w->context = (struct km_trace_context){0};
    return code;
}

enum km_code km_trace_writer_event(struct km_trace_writer *w, const struct km_event *event, struct km_err *err)
{
    enum km_code code = KM_OK;
    bool old = w->events > 0 && event->time_ns > w->first_ns && event->time_ns - w->first_ns >= BLOCK_AGE_NS;
    if (old || w->block.length >= FULL_BLOCK_BYTES)
        code = km_trace_writer_flush(w, err);
    if (code == KM_OK && w->events == 0) {
        static const uint8_t room[BLOCK_HEAD_BYTES];
        w->first_ns = event->time_ns;
        code = km_buf_append(&w->block, room, sizeof room, err);
    }
    if (code == KM_OK)
        code = km_trace_encode(&w->context, event, &w->block, err);
    w->events += code == KM_OK;
    return code;
}

struct km_trace_reader {
    int fd;
    struct km_digest *digest;
    uint8_t *payload; /* KM_TRACE_MAX_BLOCK_BYTES */
    const uint8_t *at, *end;
    uint32_t events_left;
    uint64_t offset, block_offset;
    struct km_trace_context context;
    struct km_trace_info info;
    bool ended;
};

/* Reads up to `length` bytes; fewer only at the end of the file. */
static enum km_code read_some(struct km_trace_reader *r, uint8_t *out, size_t length, size_t *out_read,
                              struct km_err *err)
{
    size_t n = 0;
    while (n < length) {
        ssize_t got = read(r->fd, out + n, length - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read the trace");
        if (got == 0)
            break;
        n += (size_t)got;
    }
    r->offset += n;
    *out_read = n;
    return KM_OK;
}

static enum km_code read_head(struct km_trace_reader *r, struct km_err *err)
{
    uint8_t head[HEAD_BYTES], sum[CHECKSUM_BYTES];
    size_t n;
    enum km_code code = read_some(r, head, sizeof head, &n, err);
    if (code != KM_OK)
        return code;
    if (n < sizeof file_mark || memcmp(head, file_mark, sizeof file_mark) != 0)
        return km_fail(err, KM_FORMAT, "not a komainu trace");
    if (n < sizeof head)
        return km_fail(err, KM_FORMAT, "the trace's head is cut short");
    unsigned version = (unsigned)get_le(head + 8, 2);
    if (version != KM_TRACE_VERSION)
        return km_fail(err, KM_UNSUPPORTED, "the trace is of version %u; this program reads version %d", version,
                       KM_TRACE_VERSION);
    checksum(r->digest, head, HEAD_BYTES - CHECKSUM_BYTES, "", 0, sum);
    if (memcmp(sum, head + HEAD_BYTES - CHECKSUM_BYTES, sizeof sum) != 0)
        return km_fail(err, KM_FORMAT, "the trace's head is damaged");
    r->info.wall_ns = (int64_t)get_le(head + 16, 8);
    r->info.monotonic_ns = (int64_t)get_le(head + 24, 8);
    return KM_OK;
}

struct km_trace_reader *km_trace_reader_new(int fd, struct km_err *err)
{
    struct km_trace_reader *r = km_calloc(1, sizeof *r, SIZE_MAX, err);
    if (!r)
        return NULL;
    r->fd = fd;
    r->digest = km_digest_new(KM_DIGEST_SHA256, err);
    r->payload = r->digest ? km_calloc(1, KM_TRACE_MAX_BLOCK_BYTES, SIZE_MAX, err) : NULL;
    if (!r->payload || read_head(r, err) != KM_OK) {
        km_trace_reader_free(r);
        return NULL;
    }
    return r;
}

void km_trace_reader_free(struct km_trace_reader *r)
{
    if (!r)
        return;
    km_digest_free(r->digest);
    free(r->payload);
    free(r);
}

void km_trace_reader_get_info(const struct km_trace_reader *r, struct km_trace_info *out)
{
    *out = r->info;
}

static enum km_code damaged(const struct km_trace_reader *r, const char *why, struct km_err *err)
{
    return km_fail(err, KM_FORMAT, "the trace is damaged: block %llu at byte %llu: %s",
                   (unsigned long long)r->info.blocks, (unsigned long long)r->block_offset, why);
}

/* What a killed recorder leaves of its last block is no damage: it is counted. */
static enum km_code end_with(struct km_trace_reader *r, size_t cut, struct km_err *err)
{
    r->ended = true;
    r->info.cut_bytes = cut;
    return km_fail(err, KM_NOTFOUND, "the end of the trace");
}

static enum km_code next_block(struct km_trace_reader *r, struct km_err *err)
{
    uint8_t head[BLOCK_HEAD_BYTES], sum[CHECKSUM_BYTES];
    size_t n = 0, got = 0, payload_bytes;
    r->block_offset = r->offset;
    enum km_code code = read_some(r, head, sizeof head, &n, err);
    if (code != KM_OK)
        return code;
    if (n < sizeof head)
        return end_with(r, n, err);
    payload_bytes = (size_t)get_le(head + 4, 4);
    if (memcmp(head, block_mark, sizeof block_mark) != 0)
        return damaged(r, "no block begins here", err);
    if (payload_bytes == 0 || payload_bytes > KM_TRACE_MAX_BLOCK_BYTES - BLOCK_HEAD_BYTES)
        return damaged(r, "its length is impossible", err);
    code = read_some(r, r->payload, payload_bytes, &got, err);
    if (code != KM_OK)
        return code;
    if (got < payload_bytes)
        return end_with(r, n + got, err);
    checksum(r->digest, head, BLOCK_HEAD_BYTES - CHECKSUM_BYTES, r->payload, payload_bytes, sum);
    if (memcmp(sum, head + BLOCK_HEAD_BYTES - CHECKSUM_BYTES, sizeof sum) != 0)
        return damaged(r, "its checksum does not fit", err);
    if (get_le(head + 12, 4) != (r->info.blocks & UINT32_MAX))
        return damaged(r, "it is out of sequence", err);
    r->events_left = (uint32_t)get_le(head + 8, 4);
    r->at = r->payload;
    r->end = r->payload + payload_bytes;
    r->context = (struct km_trace_context){0};
    r->info.blocks++;
    return KM_OK;
}

enum km_code km_trace_reader_next(struct km_trace_reader *r, struct km_event *out, struct km_err *err)
{
    while (r->events_left == 0) {
        if (r->ended)
            return km_fail(err, KM_NOTFOUND, "the end of the trace");
        if (r->at != r->end)
            return damaged(r, "bytes behind its last event", err);
        enum km_code code = next_block(r, err);
        if (code != KM_OK)
            return code;
    }
    if (!km_trace_decode(&r->context, &r->at, r->end, out))
        return damaged(r, "an event breaks the format", err);
    r->events_left--;
    r->info.events++;
    return KM_OK;
}
