#include "container/source/upxfilter.h"

#include <string.h>

#define CALL 0xe8
#define JUMP 0xe9
#define LAST_TARGET                                                                                                    \
    5             /* an instruction's target is the four bytes behind its opcode; the last five are never changed      \
                   */
#define RECENT 32 /* targets that the filters 0x80… remember */

static uint32_t get_high_first(const uint8_t *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static uint32_t get_low_first(const uint8_t *at)
{
    return (uint32_t)at[3] << 24 | (uint32_t)at[2] << 16 | (uint32_t)at[1] << 8 | at[0];
}

static void put_low_first(uint8_t *at, uint32_t value)
{
    for (size_t i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static bool is_condition(uint8_t byte)
{
    return byte >= 0x80 && byte <= 0x8f;
}

/* 0x46: calls and jumps. 0x49: conditional jumps (0f 8x) as well, but none that begins in a target just restored. A
 * changed target has `parameter` in its first byte, which no unchanged one has. */
static void undo_calls(bool conditional, uint8_t parameter, uint8_t *bytes, size_t length)
{
    size_t behind_last = 0;
    for (size_t i = 0; i + LAST_TARGET < length; i++) {
        bool branch = bytes[i] == CALL || bytes[i] == JUMP;
        if (!branch && conditional && i > 0 && i != behind_last)
            branch = bytes[i - 1] == 0x0f && is_condition(bytes[i]);
        if (!branch || bytes[i + 1] != parameter)
            continue;
        uint32_t target = get_high_first(bytes + i + 1) - ((uint32_t)parameter << 24);
        put_low_first(bytes + i + 1, target - (uint32_t)i - 1);
        i += 4;
        behind_last = i + 1;
    }
}

/* A ring of targets, the newest at `newest`. While it is not full, it grows downwards from `oldest`. */
struct recent {
    uint32_t targets[RECENT];
    size_t newest, oldest;
};

static size_t one_below(size_t at)
{
    return at > 0 ? at - 1 : RECENT - 1;
}

static uint32_t take_recent(struct recent *recent, uint32_t distance)
{
    size_t at = (recent->newest + distance) % RECENT;
    uint32_t target = recent->targets[at];
    recent->newest = one_below(recent->newest);
    uint32_t displaced = recent->targets[recent->newest];
    if (displaced == 0) { /* there was room: the gap that this target leaves is filled with the oldest one */
        recent->oldest = one_below(recent->oldest);
        displaced = recent->targets[recent->oldest];
        recent->targets[recent->oldest] = 0;
    }
    recent->targets[at] = displaced;
    recent->targets[recent->newest] = target;
    return target;
}

enum branch {
    BRANCH_NONE = -1,
    BRANCH_CALL = 0,
    BRANCH_JUMP = 1,
    BRANCH_CONDITIONAL = 2, /* its two opcode bytes are swapped */
};

static enum branch branch_at(const uint8_t *bytes, size_t i, size_t behind_last)
{
    if (bytes[i] == CALL)
        return BRANCH_CALL;
    if (bytes[i] == JUMP)
        return BRANCH_JUMP;
    bool conditional = i > 0 && i != behind_last && bytes[i] == 0x0f && is_condition(bytes[i - 1]);
    return conditional ? BRANCH_CONDITIONAL : BRANCH_NONE;
}

/* 0x80 to 0x87: as above, and each kind of branch is left alone (0), absolute (1), or absolute at first and then the
 * distance to its place among recent targets (2); the number's low digit says which. */
static void undo_recent(uint8_t filter, uint8_t parameter, uint8_t *bytes, size_t length)
{
    unsigned digit = 1 + (filter & 0x0fu);
    const unsigned jumps = digit / 3 % 3, modes[] = {digit % 3, jumps, jumps};
    struct recent recent = {0};
    size_t behind_last = 0;
    for (size_t i = 0; i + LAST_TARGET < length; i++) {
        enum branch branch = branch_at(bytes, i, behind_last);
        if (branch == BRANCH_NONE || modes[branch] == 0 || bytes[i + 1] != parameter)
            continue;
        uint32_t target = get_high_first(bytes + i + 1) - ((uint32_t)parameter << 24);
        if (modes[branch] == 2 && (target & 1)) {
            target >>= 1;
            recent.newest = one_below(recent.newest);
            recent.targets[recent.newest] = target;
        } else if (modes[branch] == 2) {
            target = take_recent(&recent, target >> 1);
        }
        put_low_first(bytes + i + 1, target - (uint32_t)i - 1);
        if (branch == BRANCH_CONDITIONAL) {
            bytes[i] = bytes[i - 1];
            bytes[i - 1] = 0x0f;
        }
        i += 4;
        behind_last = i + 1;
    }
}

/* 0x52: the 26 bits of arm64's "b" and "bl", which count instructions; 0x50: the 24 bits of arm's "bl". The last four
 * bytes are never changed. */
static void undo_links(bool is_64, uint8_t *bytes, size_t length)
{
    const uint32_t mask = is_64 ? 0x03ffffff : 0x00ffffff;
    for (size_t i = 0; i + 4 < length; i += 4) {
        bool link = is_64 ? (bytes[i + 3] & 0x7c) == 0x14 : (bytes[i + 3] & 0x0f) == 0x0b;
        if (!link)
            continue;
        uint32_t word = get_low_first(bytes + i);
        put_low_first(bytes + i, (word & ~mask) | ((word - (uint32_t)(i / 4)) & mask));
    }
}

bool km_upxfilter_undo(uint8_t filter, uint8_t parameter, uint8_t *bytes, size_t length)
{
    if (filter == 0x46 || filter == 0x49)
        undo_calls(filter == 0x49, parameter, bytes, length);
    else if (filter >= 0x80 && filter <= 0x87)
        undo_recent(filter, parameter, bytes, length);
    else if (filter == 0x50 || filter == 0x52)
        undo_links(filter == 0x52, bytes, length);
    else
        return filter == 0;
    return true;
}
