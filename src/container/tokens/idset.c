#include "container/tokens/idset.h"

#include <string.h>

size_t km_idset_list(const struct km_idset *set, uint32_t *out)
{
    size_t count = 0;
    for (uint32_t i = 0; i < KM_TOKEN_IDS / 64; i++)
        for (uint64_t bits = set->bits[i]; bits; bits &= bits - 1)
            out[count++] = i << 6 | (uint32_t)__builtin_ctzll(bits);
    return count;
}

void km_idset_clear(struct km_idset *set)
{
    if (set->count > 0)
        memset(set, 0, sizeof *set);
}
