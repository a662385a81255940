#include "container/source/inflate.h"

#include <bzlib.h>
#include <isa-l/igzip_lib.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>
#include <zstd_errors.h>

/* What bzip2 allocates (its document's figure, rounded up); xz and zstd say it themselves. */
#define BZIP2_MEMORY   ((size_t)4 << 20)
#define MIN_WINDOW_LOG 10
#define MAX_WINDOW_LOG 30

enum step {
    STEP_MORE = 0,
    STEP_MEMBER_END = 1,
    STEP_DAMAGED = 2,
    STEP_LIMIT = 3,
    STEP_UNSUPPORTED = 4,
    STEP_NOMEM = 5,
};

struct inflate {
    struct km_stream base;
    struct km_stream *source;
    enum km_content content;
    struct km_inflate_limits limits;
    size_t charged; /* taken from limits.memory_left */
    bool open;      /* the decoder is within a member */
    bool members;   /* at least one was opened */
    uint64_t input_start;
    uint64_t produced;
    bool faulty;
    struct km_fault fault;
    size_t zstd_wants;          /* input for the rest of the header or block */
    struct inflate_state *gzip; /* or NULL: not needed so far; for all members */
    struct isal_gzip_header gzip_header;
    union {
        ZSTD_DStream *zstd;
        lzma_stream xz;
        bz_stream bzip2;
    } decoder;
    uint8_t bytes[KM_STREAM_BLOCK_BYTES];
};

/* One call of a decoder: in and out shrink by what was used and made. */
struct window {
    const uint8_t *in;
    size_t in_left;
    uint8_t *out;
    size_t out_left;
};

bool km_inflate_handles(enum km_content content)
{
    return content == KM_CONTENT_GZIP || content == KM_CONTENT_ZSTD || content == KM_CONTENT_XZ ||
           content == KM_CONTENT_BZIP2;
}

static void set_fault(struct inflate *self, enum km_gap_reason reason, const char *detail)
{
    self->faulty = true;
    self->fault = (struct km_fault){.reason = reason, .offset = self->produced, .bytes = UINT64_MAX, .detail = detail};
}

static bool charge(struct inflate *self, size_t bytes)
{
    size_t more = bytes > self->charged ? bytes - self->charged : 0;
    if (more > *self->limits.memory_left)
        return false;
    *self->limits.memory_left -= more;
    self->charged += more;
    return true;
}

static void close_member(struct inflate *self)
{
    if (!self->open)
        return;
    self->open = false;
    switch (self->content) {
    case KM_CONTENT_ZSTD:
        (void)ZSTD_freeDStream(self->decoder.zstd);
        break;
    case KM_CONTENT_XZ:
        lzma_end(&self->decoder.xz);
        break;
    case KM_CONTENT_BZIP2:
        (void)BZ2_bzDecompressEnd(&self->decoder.bzip2);
        break;
    case KM_CONTENT_GZIP:
    case KM_CONTENT_PLAIN:
    case KM_CONTENT_TAR:
    case KM_CONTENT_ZIP:
    case KM_CONTENT_AR:
    case KM_CONTENT_CPIO:
    case KM_CONTENT_ENCRYPTED:
    case KM_CONTENT_UNSUPPORTED:
        break;
    }
    *self->limits.memory_left += self->charged;
    self->charged = 0;
}

static enum step open_zstd(struct inflate *self)
{
    int window_log = MIN_WINDOW_LOG;
    while (window_log < MAX_WINDOW_LOG && ((size_t)2 << window_log) <= *self->limits.memory_left)
        window_log++;
    self->decoder.zstd = ZSTD_createDStream();
    if (!self->decoder.zstd)
        return STEP_NOMEM;
    self->open = true;
    self->zstd_wants = ZSTD_initDStream(self->decoder.zstd);
    (void)ZSTD_DCtx_setParameter(self->decoder.zstd, ZSTD_d_windowLogMax, window_log);
    return STEP_MORE;
}

static enum step open_xz(struct inflate *self)
{
    self->decoder.xz = (lzma_stream)LZMA_STREAM_INIT;
    size_t left = *self->limits.memory_left;
    if (lzma_stream_decoder(&self->decoder.xz, left ? left : 1, LZMA_TELL_UNSUPPORTED_CHECK) != LZMA_OK)
        return STEP_NOMEM;
    self->open = true;
    return STEP_MORE;
}

static enum step open_gzip(struct inflate *self)
{
    if (!charge(self, sizeof *self->gzip))
        return STEP_LIMIT;
    if (!self->gzip)
        self->gzip = malloc(sizeof *self->gzip);
    if (!self->gzip)
        return STEP_NOMEM;
    isal_inflate_init(self->gzip);
    self->gzip->crc_flag = ISAL_GZIP_NO_HDR_VER; /* the trailer only, as the header is read by itself */
    isal_gzip_header_init(&self->gzip_header);
    self->open = true;
    return STEP_MORE;
}

static enum step open_bzip2(struct inflate *self)
{
    if (!charge(self, BZIP2_MEMORY))
        return STEP_LIMIT;
    self->decoder.bzip2 = (bz_stream){0};
    if (BZ2_bzDecompressInit(&self->decoder.bzip2, 0, 0) != BZ_OK)
        return STEP_NOMEM;
    self->open = true;
    return STEP_MORE;
}

static enum step open_member(struct inflate *self)
{
    self->members = true;
    if (self->content == KM_CONTENT_GZIP)
        return open_gzip(self);
    if (self->content == KM_CONTENT_ZSTD)
        return open_zstd(self);
    if (self->content == KM_CONTENT_XZ)
        return open_xz(self);
    return open_bzip2(self);
}

/* isal_inflate would read the header too, but it forgets between two calls what the header says is still to come. */
static int inflate_gzip(struct inflate *self)
{
    if (!self->gzip->wrapper_flag) {
        int result = isal_read_gzip_header(self->gzip, &self->gzip_header);
        if (result != ISAL_DECOMP_OK)
            return result;
    }
    return isal_inflate(self->gzip);
}

/* After damage the library's counts are too small by the slop of its inner loop (avail_in and avail_out may even wrap),
 * so what was used and made is taken from its pointers. The last copy may then be counted and not made: it is cut off.
 */
static enum step step_gzip(struct inflate *self, struct window *window)
{
    struct inflate_state *stream = self->gzip;
    stream->next_in = (uint8_t *)(uintptr_t)window->in; /* the library's prototype lacks the const */
    stream->avail_in = window->in_left > UINT32_MAX ? UINT32_MAX : (uint32_t)window->in_left;
    stream->next_out = window->out;
    stream->avail_out = (uint32_t)window->out_left;
    int result = inflate_gzip(self);
    size_t made = (size_t)(stream->next_out - window->out);
    if (result == ISAL_INVALID_LOOKBACK || result == ISAL_INVALID_SYMBOL)
        made -= made < ISAL_DEF_MAX_MATCH ? made : ISAL_DEF_MAX_MATCH;
    window->in_left -= (size_t)(stream->next_in - window->in);
    window->in = stream->next_in;
    window->out_left -= made;
    window->out += made;
    if (result == ISAL_UNSUPPORTED_METHOD)
        return STEP_UNSUPPORTED;
    if (result < 0)
        return STEP_DAMAGED;
    return stream->block_state == ISAL_BLOCK_FINISH ? STEP_MEMBER_END : STEP_MORE;
}

/* The library forgets what it put out in the call that fails, so each call gets one block at most. */
static enum step step_zstd(struct inflate *self, struct window *window)
{
    ZSTD_inBuffer in = {window->in, self->zstd_wants < window->in_left ? self->zstd_wants : window->in_left, 0};
    ZSTD_outBuffer out = {window->out, window->out_left, 0};
    size_t result = ZSTD_decompressStream(self->decoder.zstd, &out, &in);
    window->in += in.pos;
    window->in_left -= in.pos;
    window->out += out.pos;
    window->out_left -= out.pos;
    if (ZSTD_isError(result)) {
        ZSTD_ErrorCode cause = ZSTD_getErrorCode(result);
        if (cause == ZSTD_error_frameParameter_windowTooLarge)
            return STEP_LIMIT;
        if (cause == ZSTD_error_memory_allocation)
            return STEP_NOMEM;
        bool known = cause != ZSTD_error_dictionary_wrong && cause != ZSTD_error_version_unsupported;
        return known ? STEP_DAMAGED : STEP_UNSUPPORTED;
    }
    if (!charge(self, ZSTD_sizeof_DStream(self->decoder.zstd)))
        return STEP_LIMIT;
    self->zstd_wants = result;
    return result == 0 ? STEP_MEMBER_END : STEP_MORE;
}

static enum step step_xz(struct inflate *self, struct window *window)
{
    lzma_stream *stream = &self->decoder.xz;
    stream->next_in = window->in;
    stream->avail_in = window->in_left;
    stream->next_out = window->out;
    stream->avail_out = window->out_left;
    lzma_ret result = lzma_code(stream, LZMA_RUN);
    window->in = stream->next_in;
    window->in_left = stream->avail_in;
    window->out = stream->next_out;
    window->out_left = stream->avail_out;
    if (result == LZMA_MEMLIMIT_ERROR)
        return STEP_LIMIT;
    if (result == LZMA_MEM_ERROR)
        return STEP_NOMEM;
    if (result == LZMA_OPTIONS_ERROR)
        return STEP_UNSUPPORTED;
    if (result == LZMA_STREAM_END)
        return STEP_MEMBER_END;
    if (result != LZMA_OK && result != LZMA_BUF_ERROR && result != LZMA_UNSUPPORTED_CHECK)
        return STEP_DAMAGED;
    return charge(self, (size_t)lzma_memusage(stream)) ? STEP_MORE : STEP_LIMIT;
}

static enum step step_bzip2(struct inflate *self, struct window *window)
{
    bz_stream *stream = &self->decoder.bzip2;
    unsigned in = window->in_left > UINT32_MAX ? UINT32_MAX : (unsigned)window->in_left;
    stream->next_in = (char *)(uintptr_t)window->in; /* bzlib's prototype lacks the const */
    stream->avail_in = in;
    stream->next_out = (char *)window->out;
    stream->avail_out = (unsigned)window->out_left;
    int result = BZ2_bzDecompress(stream);
    window->in += in - stream->avail_in;
    window->in_left -= in - stream->avail_in;
    window->out = (uint8_t *)stream->next_out;
    window->out_left = stream->avail_out;
    if (result == BZ_STREAM_END)
        return STEP_MEMBER_END;
    if (result == BZ_MEM_ERROR)
        return STEP_NOMEM;
    return result == BZ_OK ? STEP_MORE : STEP_DAMAGED;
}

static enum step step_decoder(struct inflate *self, struct window *window)
{
    if (self->content == KM_CONTENT_GZIP)
        return step_gzip(self, window);
    if (self->content == KM_CONTENT_ZSTD)
        return step_zstd(self, window);
    if (self->content == KM_CONTENT_XZ)
        return step_xz(self, window);
    return step_bzip2(self, window);
}

/* Between members: another one, padding, the end, or something that does not belong there. */
static enum km_code look_for_member(struct inflate *self, bool *out_found, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    *out_found = false;
    for (;;) {
        enum km_code code = km_stream_peek(self->source, KM_SNIFF_BYTES, &bytes, &have, err);
        if (code != KM_OK || have == 0)
            return code;
        size_t zeros = 0;
        while (self->members && zeros < have && bytes[zeros] == 0)
            zeros++;
        if (zeros == 0)
            break;
        km_stream_consume(self->source, zeros);
    }
    if (!self->members || km_sniff(bytes, have) == self->content) {
        *out_found = true;
        return KM_OK;
    }
    set_fault(self, KM_GAP_TRAILING, "bytes behind the end of compressed data");
    self->fault.offset = self->source->position - self->input_start;
    return KM_OK;
}

static enum km_code note_step(struct inflate *self, enum step step, struct km_err *err)
{
    switch (step) {
    case STEP_MORE:
        break;
    case STEP_MEMBER_END:
        close_member(self);
        break;
    case STEP_DAMAGED:
        set_fault(self, KM_GAP_DAMAGED, "compressed data are damaged");
        break;
    case STEP_LIMIT:
        set_fault(self, KM_GAP_LIMIT, "decompression would take more memory than allowed");
        break;
    case STEP_UNSUPPORTED:
        set_fault(self, KM_GAP_UNSUPPORTED, "compressed in a way that this build does not open");
        break;
    case STEP_NOMEM:
        return km_fail(err, KM_NOMEM, "out of memory (decompression)");
    }
    return KM_OK;
}

/* Runs the decoder once over what the source has. */
static enum km_code decode(struct inflate *self, struct window *window, struct km_err *err)
{
    size_t have = 0, room = window->out_left;
    enum km_code code = km_stream_peek(self->source, 1, &window->in, &have, err);
    if (code != KM_OK)
        return code;
    window->in_left = have;
    enum step step = step_decoder(self, window);
    km_stream_consume(self->source, have - window->in_left);
    self->produced += room - window->out_left;
    if (step == STEP_MORE && window->in_left == have && window->out_left == room) {
        if (have == 0)
            set_fault(self, KM_GAP_TRUNCATED, "compressed data end too early");
        else
            set_fault(self, KM_GAP_DAMAGED, "compressed data are damaged");
        return KM_OK;
    }
    return note_step(self, step, err);
}

static void check_ratio(struct inflate *self)
{
    uint64_t input = self->source->position - self->input_start;
    if (self->produced <= self->limits.grace_bytes || self->produced / self->limits.max_ratio <= input)
        return;
    set_fault(self, KM_GAP_LIMIT, "expands more than the allowed ratio");
}

static enum km_code pull_inflate(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                 struct km_err *err)
{
    struct inflate *self = (struct inflate *)base;
    struct window window = {.out = self->bytes, .out_left = sizeof self->bytes};
    while (!self->faulty && window.out_left > 0) {
        enum km_code code = KM_OK;
        if (!self->open) {
            bool found = false;
            code = look_for_member(self, &found, err);
            if (code != KM_OK)
                return code;
            if (!found)
                break;
            code = note_step(self, open_member(self), err);
        }
        if (code == KM_OK && self->open && !self->faulty)
            code = decode(self, &window, err);
        if (code != KM_OK)
            return code;
        check_ratio(self);
    }
    *out_bytes = self->bytes;
    *out_length = sizeof self->bytes - window.out_left;
    return KM_OK;
}

static void close_inflate(struct km_stream *base)
{
    struct inflate *self = (struct inflate *)base;
    close_member(self);
    *self->limits.memory_left += self->charged;
    free(self->gzip);
    free(self);
}

struct km_stream *km_inflate_new(enum km_content content, struct km_stream *source,
                                 const struct km_inflate_limits *limits, struct km_err *err)
{
    struct inflate *self = malloc(sizeof *self);
    if (!self) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *self);
        return NULL;
    }
    memset(self, 0, offsetof(struct inflate, bytes));
    self->base.pull = pull_inflate;
    self->base.close = close_inflate;
    self->source = source;
    self->content = content;
    self->limits = *limits;
    self->input_start = source->position;
    return &self->base;
}

const struct km_fault *km_inflate_fault(const struct km_stream *stream)
{
    const struct inflate *self = (const struct inflate *)stream;
    return self->faulty ? &self->fault : NULL;
}
