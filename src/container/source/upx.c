#include "container/source/upx.h"

#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#if KM_HAVE_UCL
#include <ucl/ucl.h>
#endif

#include "base/mem.h"
#include "container/source/upxfilter.h"
#include "container/source/upxlayout.h"

#define FIRST_PACKED_BYTES ((size_t)64 << 10)
#define LZMA_HEADER_BYTES  2
#define LZMA_MEMORY        ((size_t)64 << 10) /* beside the dictionary: probabilities */
#define RATIO_GRACE        ((size_t)64 << 10)

struct upx {
    struct km_members base;
    struct km_stream *stream;
    struct km_upx_head head;
    struct km_inflate_limits limits;
    size_t charged;
    uint8_t *packed;
    size_t packed_bytes, packed_capacity;
    uint8_t *block;
    size_t block_capacity;
    struct km_upx_layout layout;
    size_t *order;  /* places by where they belong in the original */
    uLong *adlers;  /* of each place's content */
    size_t next;    /* in order */
    uint64_t given; /* bytes of the original */
    bool begun, over;
    struct km_err why; /* of the fault that is told */
};

static enum km_code charge(struct upx *upx, size_t bytes, struct km_err *err)
{
    if (bytes > *upx->limits.memory_left)
        return km_fail(err, KM_LIMIT, "it would take more memory than allowed");
    *upx->limits.memory_left -= bytes;
    upx->charged += bytes;
    return KM_OK;
}

static void give_back(struct upx *upx, size_t bytes)
{
    *upx->limits.memory_left += bytes;
    upx->charged -= bytes;
}

/* ---- The packed file ---- */

static enum km_code make_room(struct upx *upx, size_t needed, struct km_err *err)
{
    size_t capacity = upx->packed_capacity ? upx->packed_capacity : FIRST_PACKED_BYTES;
    while (capacity < needed)
        capacity += capacity / 2;
    if (capacity == upx->packed_capacity)
        return KM_OK;
    enum km_code code = charge(upx, capacity - upx->packed_capacity, err);
    uint8_t *grown = code == KM_OK ? realloc(upx->packed, capacity) : NULL;
    if (code == KM_OK && !grown)
        return km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", capacity);
    if (code != KM_OK)
        return code;
    upx->packed = grown;
    upx->packed_capacity = capacity;
    return KM_OK;
}

static enum km_code read_packed(struct upx *upx, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t got = 1;
    enum km_code code = KM_OK;
    while (code == KM_OK && got > 0) {
        code = km_stream_next(upx->stream, UINT64_MAX, &bytes, &got, err);
        if (code != KM_OK || got == 0)
            return code;
        code = got > SIZE_MAX / 2 - upx->packed_bytes ? km_fail(err, KM_LIMIT, "too large")
                                                      : make_room(upx, upx->packed_bytes + got, err);
        if (code == KM_OK) {
            memcpy(upx->packed + upx->packed_bytes, bytes, got);
            upx->packed_bytes += got;
        }
    }
    return code;
}

/* ---- One block ---- */

static enum km_code undo_lzma(const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes, struct km_err *err)
{
    lzma_options_lzma options;
    if (in_bytes < LZMA_HEADER_BYTES || lzma_lzma_preset(&options, 0))
        return km_fail(err, KM_FORMAT, "a block is too short");
    /* lc + lp and pb in the first byte, lp and lc in the second one. */
    options.pb = in[0] & 7;
    options.lc = in[1] & 15;
    options.lp = in[1] >> 4;
    options.dict_size = out_bytes < LZMA_DICT_SIZE_MIN ? LZMA_DICT_SIZE_MIN : (uint32_t)out_bytes;
    const lzma_filter filters[] = {{LZMA_FILTER_LZMA1, &options}, {LZMA_VLI_UNKNOWN, NULL}};
    lzma_stream stream = LZMA_STREAM_INIT;
    lzma_ret result = lzma_raw_decoder(&stream, filters);
    if (result != LZMA_OK)
        return result == LZMA_MEM_ERROR ? km_fail(err, KM_NOMEM, "out of memory (lzma)")
                                        : km_fail(err, KM_UNSUPPORTED, "unknown parameters of LZMA");
    stream.next_in = in + LZMA_HEADER_BYTES;
    stream.avail_in = in_bytes - LZMA_HEADER_BYTES;
    stream.next_out = out;
    stream.avail_out = out_bytes;
    result = lzma_code(&stream, LZMA_RUN);
    bool whole = stream.avail_out == 0 && (result == LZMA_OK || result == LZMA_STREAM_END);
    lzma_end(&stream);
    return whole ? KM_OK : km_fail(err, KM_FORMAT, "a block is damaged");
}

#if KM_HAVE_UCL
static enum km_code undo_nrv(uint8_t method, const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes,
                             struct km_err *err)
{
    ucl_uint made = (ucl_uint)out_bytes, given = (ucl_uint)in_bytes;
    int result = UCL_E_ERROR;
    if (method == KM_UPX_NRV2B)
        result = ucl_nrv2b_decompress_safe_le32(in, given, out, &made, NULL);
    else if (method == KM_UPX_NRV2D)
        result = ucl_nrv2d_decompress_safe_le32(in, given, out, &made, NULL);
    else
        result = ucl_nrv2e_decompress_safe_le32(in, given, out, &made, NULL);
    return result == UCL_E_OK && made == out_bytes ? KM_OK : km_fail(err, KM_FORMAT, "a block is damaged");
}
#else
static enum km_code undo_nrv(uint8_t method, const uint8_t *in, size_t in_bytes, uint8_t *out, size_t out_bytes,
                             struct km_err *err)
{
    (void)in, (void)in_bytes, (void)out, (void)out_bytes;
    return km_fail(err, KM_UNSUPPORTED, "this build does not open method %d", method);
}
#endif

bool km_upx_handles(enum km_upx_method method)
{
    return KM_HAVE_UCL || method == KM_UPX_LZMA || method == KM_UPX_STORED;
}

/* Memory is taken for what a block really can become, not for what it says. */
static enum km_code make_block(struct upx *upx, const struct km_upx_block *block, struct km_err *err)
{
    size_t needed = block->unpacked_bytes;
    if (needed > RATIO_GRACE && needed / upx->limits.max_ratio > block->packed_bytes)
        return km_fail(err, KM_LIMIT, "a block expands more than the allowed ratio");
    if (needed <= upx->block_capacity)
        return KM_OK;
    give_back(upx, upx->block_capacity);
    free(upx->block);
    upx->block = NULL;
    upx->block_capacity = 0;
    enum km_code code = charge(upx, needed, err);
    if (code != KM_OK)
        return code;
    upx->block_capacity = needed;
    upx->block = malloc(needed);
    return upx->block ? KM_OK : km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", needed);
}

static enum km_code undo_method(struct upx *upx, const struct km_upx_block *block, const uint8_t *in,
                                struct km_err *err)
{
    if (block->method != KM_UPX_LZMA)
        return undo_nrv(block->method, in, block->packed_bytes, upx->block, block->unpacked_bytes, err);
    size_t dictionary = LZMA_MEMORY + block->unpacked_bytes;
    enum km_code code = charge(upx, dictionary, err);
    if (code != KM_OK)
        return code;
    code = undo_lzma(in, block->packed_bytes, upx->block, block->unpacked_bytes, err);
    give_back(upx, dictionary);
    return code;
}

/* The block at `packed_at` into upx->block. */
static enum km_code unpack(struct upx *upx, const struct km_upx_block *block, size_t packed_at, struct km_err *err)
{
    const uint8_t *in = upx->packed + packed_at;
    enum km_code code = make_block(upx, block, err);
    if (code != KM_OK)
        return code;
    if (block->packed_bytes == block->unpacked_bytes) { /* did not shrink: stored, and not filtered */
        memcpy(upx->block, in, block->unpacked_bytes);
        return KM_OK;
    }
    if (block->method != KM_UPX_NRV2B && block->method != KM_UPX_NRV2D && block->method != KM_UPX_NRV2E &&
        block->method != KM_UPX_LZMA)
        return km_fail(err, KM_UNSUPPORTED, "unknown method %d", block->method);
    code = undo_method(upx, block, in, err);
    if (code == KM_OK && !km_upxfilter_undo(block->filter, block->parameter, upx->block, block->unpacked_bytes))
        return km_fail(err, KM_UNSUPPORTED, "unknown filter 0x%02x", block->filter);
    return code;
}

/* ---- The whole ---- */

static int by_original(const void *a, const void *b, void *context)
{
    const struct km_upx_place *places = context;
    uint64_t x = places[*(const size_t *)a].original_at, y = places[*(const size_t *)b].original_at;
    return x < y ? -1 : x > y;
}

static enum km_code arrange(struct upx *upx, struct km_err *err)
{
    size_t count = upx->layout.count;
    upx->order = km_calloc(count, sizeof *upx->order, SIZE_MAX, err);
    upx->adlers = upx->order ? km_calloc(count, sizeof *upx->adlers, SIZE_MAX, err) : NULL;
    if (!upx->adlers)
        return err->code;
    for (size_t i = 0; i < count; i++)
        upx->order[i] = i;
    qsort_r(upx->order, count, sizeof *upx->order, by_original, upx->layout.places);
    uint64_t at = 0;
    for (size_t i = 0; i < count; i++) {
        const struct km_upx_place *place = &upx->layout.places[upx->order[i]];
        if (place->original_at != at)
            return km_fail(err, KM_FORMAT, "the blocks do not fill the original");
        at += place->block.unpacked_bytes;
    }
    return at == upx->head.original_bytes ? KM_OK : km_fail(err, KM_FORMAT, "the blocks do not fill the original");
}

static enum km_code open_upx(struct upx *upx, struct km_err *err)
{
    enum km_code code = read_packed(upx, err);
    if (code != KM_OK)
        return code;
    if (upx->packed_bytes < upx->head.blocks_at + KM_UPX_BLOCK_BYTES)
        return km_fail(err, KM_FORMAT, "it ends too early");
    struct km_upx_block first = km_upxhead_read_block(upx->packed + upx->head.blocks_at, upx->head.big_endian);
    size_t first_at = upx->head.blocks_at + KM_UPX_BLOCK_BYTES;
    if (first.unpacked_bytes > KM_UPX_MAX_HEADER_BYTES || first.packed_bytes > first.unpacked_bytes ||
        first.unpacked_bytes == 0 || first.packed_bytes > upx->packed_bytes - first_at)
        return km_fail(err, KM_FORMAT, "the first block holds no headers");
    code = unpack(upx, &first, first_at, err);
    if (code == KM_OK)
        code = km_upx_layout_read(&upx->head, (struct km_upx_span){upx->packed, upx->packed_bytes},
                                  (struct km_upx_span){upx->block, first.unpacked_bytes}, &upx->layout, err);
    return code == KM_OK ? arrange(upx, err) : code;
}

static bool is_fatal(enum km_code code)
{
    return code != KM_OK && code != KM_FORMAT && code != KM_UNSUPPORTED && code != KM_LIMIT;
}

/* Packed, and not to be opened: opaque, with the reason. */
static enum km_code tell(struct upx *upx, enum km_code code, const struct km_err *why, struct km_err *err)
{
    struct km_err kept = *why;
    km_err_wrap(&kept, "packed by UPX%s", upx->head.has_magic ? "" : " (its name was removed)");
    upx->why = kept;
    const struct km_fault fault = {.reason = code == KM_LIMIT ? KM_GAP_LIMIT : KM_GAP_UNSUPPORTED,
                                   .offset = upx->given,
                                   .bytes = UINT64_MAX,
                                   .detail = upx->why.text};
    return km_members_fault(&upx->base, &fault, err);
}

static enum km_code drain(struct upx *upx, struct km_err *err)
{
    uint64_t skipped = 0;
    return km_stream_skip(upx->stream, UINT64_MAX, &skipped, err);
}

static enum km_code next_member(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err)
{
    struct upx *upx = (struct upx *)members;
    *out_found = false;
    if (upx->begun)
        return drain(upx, err);
    upx->begun = true;
    struct km_err why = KM_ERR_INIT;
    enum km_code code = open_upx(upx, &why);
    if (is_fatal(code)) {
        *err = why;
        return code;
    }
    if (code != KM_OK) {
        code = tell(upx, code, &why, err);
        return code == KM_OK ? drain(upx, err) : code;
    }
    *out = (struct km_member){
        .type = KM_ENTRY_FILE, .path = "upx", .size = upx->head.original_bytes, .mode = 0700, .offset = 0};
    *out_found = true;
    return KM_OK;
}

/* Adler-32 over the blocks as they were packed, which is not the order in which they were given out. */
static enum km_code check_whole(struct upx *upx, struct km_err *err)
{
    uLong adler = adler32(0, NULL, 0);
    for (size_t i = 0; i < upx->layout.count; i++)
        adler = adler32_combine(adler, upx->adlers[i], (z_off_t)upx->layout.places[i].block.unpacked_bytes);
    if (!upx->layout.has_checksum || (uint32_t)adler == upx->layout.adler)
        return KM_OK;
    const struct km_fault fault = {.reason = KM_GAP_DAMAGED,
                                   .offset = UINT64_MAX,
                                   .bytes = UINT64_MAX,
                                   .detail = "packed by UPX: the checksum of what was unpacked is wrong"};
    return km_members_fault(&upx->base, &fault, err);
}

static enum km_code read_member(struct km_members *members, struct km_piece *out, struct km_err *err)
{
    struct upx *upx = (struct upx *)members;
    *out = (struct km_piece){0};
    if (upx->over)
        return KM_OK;
    if (upx->next == upx->layout.count) {
        upx->over = true;
        return check_whole(upx, err);
    }
    size_t index = upx->order[upx->next];
    const struct km_upx_place *place = &upx->layout.places[index];
    struct km_err why = KM_ERR_INIT;
    enum km_code code = unpack(upx, &place->block, place->packed_at, &why);
    if (is_fatal(code)) {
        *err = why;
        return code;
    }
    if (code != KM_OK) {
        upx->over = true;
        *out = (struct km_piece){.broken = true, .told = true};
        return tell(upx, code, &why, err);
    }
    upx->next++;
    upx->adlers[index] = adler32(adler32(0, NULL, 0), upx->block, place->block.unpacked_bytes);
    *out = (struct km_piece){.offset = upx->given, .bytes = upx->block, .length = place->block.unpacked_bytes};
    upx->given += out->length;
    return KM_OK;
}

static void close_upx(struct km_members *members)
{
    struct upx *upx = (struct upx *)members;
    *upx->limits.memory_left += upx->charged;
    km_upx_layout_done(&upx->layout);
    free(upx->order);
    free(upx->adlers);
    free(upx->packed);
    free(upx->block);
    free(upx);
}

struct km_members *km_upx_new(const struct km_upx_head *head, struct km_stream *stream,
                              const struct km_inflate_limits *limits, struct km_err *err)
{
    struct upx *upx = km_calloc(1, sizeof *upx, SIZE_MAX, err);
    if (!upx)
        return NULL;
    upx->base.next = next_member;
    upx->base.read = read_member;
    upx->base.close = close_upx;
    upx->head = *head;
    upx->stream = stream;
    upx->limits = *limits;
    return &upx->base;
}
