/*
 * The table of a sequence model: ngram.c looks up and counts, ngram_file.c lists what it holds, halves it, writes and
 * reads it.
 */
#ifndef KM_DAEMON_PROFILE_NGRAM_INTERNAL_H
#define KM_DAEMON_PROFILE_NGRAM_INTERNAL_H

#include "daemon/profile/ngram.h"
#include "daemon/profile/seen.h"

/*
 * Keys. Bits 0..53: calls, newest low. 54, 55: number space. 56..58: length, 1..6. A key is never 0.
 * Attributes: length 7, and in the low bits attr (7), call (9), previous call (9), level (2): 1 = (call), 2 = (call,
 * attr), 3 = (previous, call) and 0 = (previous, call, attr).
 */
#define KM_NGRAM_LENGTH_SHIFT (KM_WINDOW_BITS + 2)
#define KM_NGRAM_ATTR_LENGTH  7ULL
#define KM_NGRAM_ATTR_VALUES  128

/* Which n-gram an entry is, how many episodes had it; as a context: sum of its continuations' counts, and how many
 * different ones. count + types in one word: types <= 512. */
struct km_ngram_entry {
    uint64_t key;
    uint32_t total;
    uint32_t count : 22;
    uint32_t types : 10;
};
_Static_assert(sizeof(struct km_ngram_entry) == 16, "an entry is 16 bytes");
#define KM_NGRAM_COUNT_MAX ((1U << 22) - 1)

enum km_ngram_attr_level {
    KM_NGRAM_ATTR_CALL = 1,
    KM_NGRAM_ATTR_OF_CALL = 2,
    KM_NGRAM_ATTR_PAIR = 3,
    KM_NGRAM_ATTR_OF_PAIR = 0
};

struct km_ngram {
    struct km_ngram_entry *slots;
    size_t slot_count; /* a power of two */
    size_t used;
    size_t windows;
    uint32_t root_total, root_types;
    uint64_t dropped;
    struct km_seen seen;
    size_t last_new, last_windows;
};

static inline uint64_t km_ngram_suffix_key(unsigned long long window, unsigned space, unsigned length)
{
    uint64_t calls = window & ((1ULL << (KM_WINDOW_CALL_BITS * length)) - 1);
    return calls | (uint64_t)space << KM_WINDOW_BITS | (uint64_t)length << KM_NGRAM_LENGTH_SHIFT;
}

/* The entry of a key, made when it is missing; NULL when there is no room (counted) or no memory (*err set). */
struct km_ngram_entry *km_ngram_obtain(struct km_ngram *model, uint64_t key, struct km_err *err);

#endif
