#include "container/scan/packing.h"

#include <math.h>
#include <string.h>

#include "container/source/elfhead.h"
#include "container/source/upxhead.h"

#define MAX_ENTROPY       7.2 /* bits a byte: machine code of compilers stays below 6.8, compressed data are above 7.8 */
#define SCRIPT_SHARE      10  /* a tenth … */
#define TAIL_SHARE        10
#define MIN_TAIL_BYTES    4096
#define MAX_PROGRAM_COUNT 64

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void look_at_segment(struct km_packing_state *state, const struct km_elfhead_program *program)
{
    if (program->type == KM_ELFHEAD_LOAD || program->end <= state->size)
        state->elf_end = larger(state->elf_end, program->end);
    if (program->type != KM_ELFHEAD_LOAD || !(program->flags & KM_ELFHEAD_EXECUTE) ||
        state->segment_count == KM_PACKING_MAX_SEGMENTS)
        return;
    state->segments[state->segment_count][0] = program->begin;
    state->segments[state->segment_count++][1] = program->end;
}

static void look_at_elf(struct km_packing_state *state, const struct km_elfhead *elf)
{
    struct km_upx_head upx;
    struct km_elfhead_program program;
    state->is_elf = true;
    state->is_upx = km_upxhead_find(state->head, state->head_bytes, &upx);
    state->elf_end = larger(elf->header_bytes, km_elfhead_sections_end(elf));
    for (size_t i = 0; i < MAX_PROGRAM_COUNT && km_elfhead_program(elf, state->head, state->head_bytes, i, &program);
         i++)
        look_at_segment(state, &program);
}

/* Everything that the head can tell, once it is there. */
static void look_at_head(struct km_packing_state *state)
{
    struct km_elfhead elf;
    state->known = true;
    if (km_elfhead_read(state->head, state->head_bytes, &elf))
        look_at_elf(state, &elf);
    else
        state->is_script = state->head_bytes >= 3 && state->head[0] == '#' && state->head[1] == '!';
}

/* Bytes of UTF-8 text do not count as binary: comments are written in every language. */
static void count_high(struct km_packing_state *state, const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        uint8_t byte = bytes[i];
        bool continues = (byte & 0xc0) == 0x80;
        if (state->utf8_left > 0 && continues) {
            state->utf8_left--;
            state->utf8_held = state->utf8_left > 0 ? state->utf8_held + 1 : 0;
            continue;
        }
        state->high += state->utf8_held; /* of a character that broke off */
        state->utf8_left = byte >= 0xf0 && byte <= 0xf4  ? 3
                           : byte >= 0xe0 && byte < 0xf0 ? 2
                                                         : byte >= 0xc2 && byte < 0xe0;
        state->utf8_held = state->utf8_left > 0 ? 1 : 0;
        state->high += byte >= 0x80 && state->utf8_left == 0;
    }
}

/* In several tallies, because equal neighbours would wait for each other's sum; four bytes of one load. */
static void count_bytes(struct km_packing_tally *tally, const uint8_t *bytes, uint64_t length)
{
    uint64_t counts[4][256] = {{0}}, i = 0;
    tally->total += length;
    if (!bytes) {
        tally->counts[0] += length;
        return;
    }
    for (; i + 4 <= length; i += 4) {
        uint32_t four;
        memcpy(&four, bytes + i, sizeof four);
        counts[0][four & 0xff]++;
        counts[1][four >> 8 & 0xff]++;
        counts[2][four >> 16 & 0xff]++;
        counts[3][four >> 24]++;
    }
    for (; i < length; i++)
        counts[0][bytes[i]]++;
    for (size_t byte = 0; byte < 256; byte++)
        tally->counts[byte] += counts[0][byte] + counts[1][byte] + counts[2][byte] + counts[3][byte];
}

/* The part of a range that lies in the block at state->offset. */
static void count_overlap(const struct km_packing_state *state, const uint64_t range[2], const uint8_t *bytes,
                          uint64_t length, struct km_packing_tally *tally)
{
    uint64_t from = larger(range[0], state->offset), block_end = km_elfhead_sum(state->offset, length);
    uint64_t to = range[1] < block_end ? range[1] : block_end;
    if (from < to)
        count_bytes(tally, bytes ? bytes + (from - state->offset) : NULL, to - from);
}

static void count(struct km_packing_state *state, const uint8_t *bytes, uint64_t length)
{
    if (state->is_elf) {
        const uint64_t behind[2] = {state->elf_end, UINT64_MAX};
        for (unsigned i = 0; i < state->segment_count; i++)
            count_overlap(state, state->segments[i], bytes, length, &state->code);
        count_overlap(state, behind, bytes, length, &state->tail);
    } else if (state->is_script && bytes) {
        count_high(state, bytes, (size_t)length);
    }
    state->offset = km_elfhead_sum(state->offset, length);
}

static void finish_head(struct km_packing_state *state)
{
    look_at_head(state);
    count(state, state->head, state->head_bytes);
}

void km_packing_init(struct km_packing_state *state, uint64_t size)
{
    *state = (struct km_packing_state){.size = size};
}

/* Of a hole nothing is kept: nobody signs with zeros. */
static void note_last(struct km_packing_state *state, const uint8_t *bytes, uint64_t length)
{
    size_t room = sizeof state->last, take = length < room ? (size_t)length : room;
    size_t keep = room - take < state->last_bytes ? room - take : state->last_bytes;
    if (!bytes) {
        state->last_bytes = 0;
        return;
    }
    memmove(state->last, state->last + state->last_bytes - keep, keep);
    memcpy(state->last + keep, bytes + length - take, take);
    state->last_bytes = (uint32_t)(keep + take);
}

void km_packing_feed(struct km_packing_state *state, const void *bytes, uint64_t length)
{
    const uint8_t *at = bytes;
    if (length > 0)
        note_last(state, bytes, length);
    if (!state->known) {
        uint64_t room = KM_PACKING_HEAD_BYTES - state->head_bytes, take = length < room ? length : room;
        if (at) /* a hole's zeros are there already */
            memcpy(state->head + state->head_bytes, at, (size_t)take);
        state->head_bytes += (uint32_t)take;
        at = at ? at + take : NULL;
        length -= take;
        if (state->head_bytes < KM_PACKING_HEAD_BYTES)
            return;
        finish_head(state);
    }
    if (length > 0)
        count(state, at, length);
}

static double entropy(const struct km_packing_tally *tally)
{
    double bits = 0;
    for (size_t i = 0; i < 256; i++)
        if (tally->counts[i] > 0) {
            double share = (double)tally->counts[i] / (double)tally->total;
            bits -= share * log2(share);
        }
    return bits;
}

enum km_packing km_packing_end(struct km_packing_state *state)
{
    if (!state->known)
        finish_head(state);
    if (state->is_upx || (state->is_elf && km_upxhead_ends(state->last, state->last_bytes)))
        return KM_PACKING_UPX;
    if (state->is_script && state->high + state->utf8_held > state->offset / SCRIPT_SHARE)
        return KM_PACKING_SCRIPT;
    if (state->code.total >= KM_PACKING_MIN_CODE_BYTES && entropy(&state->code) > MAX_ENTROPY)
        return KM_PACKING_ENTROPY;
    if (state->tail.total >= MIN_TAIL_BYTES && state->tail.total > state->offset / TAIL_SHARE &&
        entropy(&state->tail) > MAX_ENTROPY)
        return KM_PACKING_APPENDED;
    return KM_PACKING_NONE;
}

const char *km_packing_to_string(enum km_packing packing)
{
    switch (packing) {
    case KM_PACKING_NONE:
        return "none";
    case KM_PACKING_UPX:
        return "upx";
    case KM_PACKING_ENTROPY:
        return "entropy";
    case KM_PACKING_SCRIPT:
        return "script";
    case KM_PACKING_APPENDED:
        return "appended";
    }
    return "none";
}
