/* Sets of tokens for tests: classes that a linear model can tell apart, and none of whose members are equal. */
#ifndef KM_TESTS_MADESETS_H
#define KM_TESTS_MADESETS_H

#include <stdlib.h>

#include "container/tokens/idset.h"
#include "container/tokens/tokens.h"

struct made_set {
    uint32_t ids[256];
    struct km_token_set set;
};

static inline uint64_t made_next(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static inline int made_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* `own` ids out of 60 that begin at `base`, and `common` ids out of all. */
static inline void made_set_fill(struct made_set *out, uint64_t *seed, uint32_t base, size_t own, size_t common)
{
    size_t count = 0, kept = 0;
    for (size_t i = 0; i < own + common; i++)
        out->ids[count++] =
            (uint32_t)(i < own ? base + made_next(seed) % 60 * 97 : made_next(seed) % KM_TOKEN_IDS) % KM_TOKEN_IDS;
    qsort(out->ids, count, sizeof *out->ids, made_compare);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || out->ids[i] != out->ids[kept - 1])
            out->ids[kept++] = out->ids[i];
    out->set.ids = out->ids;
    out->set.count = kept;
}

#endif
