/*
 * A set of token ids as a bit set over all of them: its size does not depend on what a file says. In the caller's
 * storage; zeroed memory is an empty set.
 */
#ifndef KM_CONTAINER_TOKENS_IDSET_H
#define KM_CONTAINER_TOKENS_IDSET_H

#include "container/tokens/tokens.h"

struct km_idset {
    uint64_t bits[KM_TOKEN_IDS / 64];
    size_t count;
};

static inline bool km_idset_has(const struct km_idset *set, uint32_t id)
{
    return set->bits[id >> 6] >> (id & 63) & 1;
}

/* True when it was not in the set. */
static inline bool km_idset_add(struct km_idset *set, uint32_t id)
{
    uint64_t bit = UINT64_C(1) << (id & 63), *word = &set->bits[id >> 6];
    if (*word & bit)
        return false;
    *word |= bit;
    set->count++;
    return true;
}

/* Writes its ids, ascending, to out, which holds set->count. Returns how many. */
size_t km_idset_list(const struct km_idset *set, uint32_t *out);
void km_idset_clear(struct km_idset *set);

#endif
