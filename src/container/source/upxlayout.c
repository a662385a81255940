#include "container/source/upxlayout.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/source/elfhead.h"

#define L_INFO_BYTES  12
#define P_INFO_BYTES  12
#define TRAILER_BYTES 36 /* the pack header, 32 bytes from "UPX!", and the offset of p_info */
#define TRAILER_ADLER 8
#define LOADER_ALIGN  ((size_t)4)
#define MAX_STEPS     ((size_t)1 << 20) /* blocks looked at, those of the search included */

struct range {
    uint64_t begin, end;
};

/* What is to be found: runs of blocks, each filling a range of the original. */
struct plan {
    struct range segments[KM_UPX_MAX_SEGMENTS], gaps[KM_UPX_MAX_SEGMENTS];
    size_t segment_count, gap_count;
};

static enum km_code wrong(struct km_err *err, const char *what)
{
    return km_fail(err, KM_FORMAT, "%s", what);
}

static enum km_code add_segment(struct plan *plan, struct range segment, uint64_t original_bytes, struct km_err *err)
{
    if (segment.begin > segment.end || segment.end > original_bytes)
        return wrong(err, "a segment lies outside the original");
    for (size_t i = 0; i < plan->segment_count; i++)
        if (segment.begin < plan->segments[i].end && plan->segments[i].begin < segment.end)
            return wrong(err, "segments overlap");
    if (plan->segment_count == KM_UPX_MAX_SEGMENTS)
        return km_fail(err, KM_LIMIT, "too many segments");
    plan->segments[plan->segment_count++] = segment;
    return KM_OK;
}

static enum km_code read_segments(const struct km_upx_head *head, const uint8_t *elf, size_t elf_bytes,
                                  struct plan *plan, struct km_err *err)
{
    struct km_elfhead first;
    if (!km_elfhead_read(elf, elf_bytes, &first) || first.is_64 != head->is_64 || first.big_endian != head->big_endian)
        return wrong(err, "the first block is no ELF header of the same kind");
    for (size_t i = 0; i < first.program_count; i++) {
        struct km_elfhead_program program;
        if (!km_elfhead_program(&first, elf, elf_bytes, i, &program))
            return wrong(err, "the program headers are not in the first block");
        if (program.type != KM_ELFHEAD_LOAD || program.bytes == 0)
            continue;
        enum km_code code = add_segment(plan, (struct range){program.begin, program.end}, head->original_bytes, err);
        if (code != KM_OK)
            return code;
    }
    if (plan->segment_count == 0 || plan->segments[0].begin != 0 || plan->segments[0].end < elf_bytes)
        return wrong(err, "the first segment does not hold the headers");
    plan->segments[0].begin = elf_bytes; /* they have a block of their own */
    return KM_OK;
}

/* Behind each segment, in their order, what is before the next one or the end. */
static void find_gaps(const struct km_upx_head *head, struct plan *plan)
{
    for (size_t i = 0; i < plan->segment_count; i++) {
        struct range gap = {plan->segments[i].end, head->original_bytes};
        for (size_t k = 0; k < plan->segment_count; k++)
            if (k != i && plan->segments[k].begin >= gap.begin && plan->segments[k].begin < gap.end)
                gap.end = plan->segments[k].begin;
        if (gap.end > gap.begin)
            plan->gaps[plan->gap_count++] = gap;
    }
}

struct cursor {
    const struct km_upx_head *head;
    const uint8_t *bytes;
    size_t length, at;
    size_t steps; /* taken */
};

/* One b_info with its bytes. False when there is none that could be one. */
static bool next_block(struct cursor *cursor, struct km_upx_place *out)
{
    if (cursor->at > cursor->length || cursor->length - cursor->at < KM_UPX_BLOCK_BYTES)
        return false;
    struct km_upx_block block = km_upxhead_read_block(cursor->bytes + cursor->at, cursor->head->big_endian);
    size_t packed_at = cursor->at + KM_UPX_BLOCK_BYTES;
    if (block.unpacked_bytes == 0 || block.packed_bytes == 0 || block.packed_bytes > block.unpacked_bytes ||
        block.packed_bytes > cursor->length - packed_at)
        return false;
    *out = (struct km_upx_place){.block = block, .packed_at = packed_at};
    cursor->at = packed_at + block.packed_bytes;
    return true;
}

/* The blocks that fill a range exactly. KM_FORMAT when they do not. */
static enum km_code read_run(struct cursor *cursor, struct range range, struct km_upx_layout *out, struct km_err *err)
{
    while (range.begin < range.end) {
        struct km_upx_place place;
        if (++cursor->steps > MAX_STEPS)
            return km_fail(err, KM_LIMIT, "too many blocks");
        if (!next_block(cursor, &place) || place.block.unpacked_bytes > range.end - range.begin)
            return wrong(err, "the blocks do not fill the original");
        place.original_at = range.begin;
        range.begin += place.block.unpacked_bytes;
        void *places = out->places;
        enum km_code code = km_grow(&places, &out->capacity, out->count + 1, sizeof place, KM_UPX_MAX_BLOCKS, err);
        out->places = places;
        if (code != KM_OK)
            return code;
        out->places[out->count++] = place;
    }
    return KM_OK;
}

static enum km_code read_gaps(struct cursor *cursor, const struct plan *plan, struct km_upx_layout *out,
                              struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < plan->gap_count; i++)
        code = read_run(cursor, plan->gaps[i], out, err);
    return code;
}

/* Behind the loader, whose length l_info says; if that was changed, wherever a run fits. */
static enum km_code find_gap_runs(struct cursor *cursor, const struct plan *plan, struct km_upx_layout *out,
                                  struct km_err *err)
{
    size_t count = out->count, segments_end = cursor->at;
    size_t loader_at = cursor->head->blocks_at - L_INFO_BYTES - P_INFO_BYTES;
    size_t loader_bytes = (size_t)km_elfhead_number(cursor->bytes + loader_at + 8, 2, cursor->head->big_endian);
    if (plan->gap_count == 0)
        return KM_OK;
    cursor->at = (segments_end + loader_bytes + LOADER_ALIGN - 1) & ~(LOADER_ALIGN - 1);
    enum km_code code = read_gaps(cursor, plan, out, err);
    size_t at = (segments_end + LOADER_ALIGN - 1) & ~(LOADER_ALIGN - 1);
    for (; code == KM_FORMAT && at < cursor->length; at += LOADER_ALIGN) {
        out->count = count;
        cursor->at = at;
        code = read_gaps(cursor, plan, out, err);
    }
    return code;
}

static void read_checksum(struct cursor *cursor, struct km_upx_layout *out)
{
    if (cursor->length < TRAILER_BYTES)
        return;
    const uint8_t *trailer = cursor->bytes + cursor->length - TRAILER_BYTES;
    uint64_t info_at = km_elfhead_number(trailer + TRAILER_BYTES - 4, 4, cursor->head->big_endian);
    out->has_checksum = info_at == cursor->head->blocks_at - P_INFO_BYTES;
    out->adler = (uint32_t)km_elfhead_number(trailer + TRAILER_ADLER, 4, cursor->head->big_endian);
}

enum km_code km_upx_layout_read(const struct km_upx_head *head, struct km_upx_span packed,
                                struct km_upx_span original_head, struct km_upx_layout *out, struct km_err *err)
{
    struct plan plan = {0};
    struct cursor cursor = {.head = head, .bytes = packed.bytes, .length = packed.length, .at = head->blocks_at};
    *out = (struct km_upx_layout){0};
    enum km_code code = read_segments(head, original_head.bytes, original_head.length, &plan, err);
    if (code == KM_OK)
        code = read_run(&cursor, (struct range){0, original_head.length}, out, err);
    for (size_t i = 0; code == KM_OK && i < plan.segment_count; i++)
        code = read_run(&cursor, plan.segments[i], out, err);
    if (code != KM_OK)
        return code;
    find_gaps(head, &plan);
    code = find_gap_runs(&cursor, &plan, out, err);
    read_checksum(&cursor, out);
    return code;
}

void km_upx_layout_done(struct km_upx_layout *layout)
{
    free(layout->places);
    *layout = (struct km_upx_layout){0};
}
