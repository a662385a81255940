#include "daemon/profile/nearest.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void km_nearest_done(struct km_nearest *nearest)
{
    free(nearest->sets);
    *nearest = (struct km_nearest){0};
}

static struct km_call_set *same(const struct km_nearest *nearest, const unsigned long long *bits)
{
    for (size_t i = 0; i < nearest->count; i++)
        if (memcmp(nearest->sets[i].bits, bits, sizeof nearest->sets[i].bits) == 0)
            return &nearest->sets[i];
    return NULL;
}

enum km_code km_nearest_learn(struct km_nearest *nearest, const unsigned long long *bits, struct km_err *err)
{
    struct km_call_set *set = same(nearest, bits);
    if (!set && nearest->count == KM_NEAREST_MAX_SETS) {
        nearest->dropped++;
        return KM_OK;
    }
    if (!set) {
        enum km_code code = km_grow((void **)&nearest->sets, &nearest->capacity, nearest->count + 1, sizeof *set,
                                    KM_NEAREST_MAX_SETS, err);
        if (code != KM_OK)
            return code;
        set = &nearest->sets[nearest->count++];
        memcpy(set->bits, bits, sizeof set->bits);
        set->count = 0;
    }
    set->count += set->count < UINT32_MAX;
    return KM_OK;
}

void km_nearest_unlearn(struct km_nearest *nearest, const unsigned long long *bits)
{
    struct km_call_set *set = same(nearest, bits);
    if (set && set->count > 0)
        set->count--;
}

struct km_nearest_result km_nearest_find(const struct km_nearest *nearest, const unsigned long long *bits)
{
    struct km_nearest_result result = {1, SIZE_MAX, 0};
    unsigned own = 0, fewest = UINT32_MAX;
    for (int w = 0; w < KM_CALL_SET_WORDS; w++)
        own += (unsigned)__builtin_popcountll(bits[w]);
    for (size_t i = 0; i < nearest->count; i++) {
        const struct km_call_set *set = &nearest->sets[i];
        if (set->count == 0)
            continue;
        unsigned both = 0, theirs = 0;
        for (int w = 0; w < KM_CALL_SET_WORDS; w++) {
            both += (unsigned)__builtin_popcountll(bits[w] & set->bits[w]);
            theirs += (unsigned)__builtin_popcountll(set->bits[w]);
        }
        unsigned either = own + theirs - both;
        double distance = either ? 1 - (double)both / either : 0;
        if (result.index == SIZE_MAX || distance < result.distance) {
            result.distance = distance;
            result.index = i;
        }
        fewest = theirs - both < fewest ? theirs - both : fewest;
    }
    result.missing = fewest == UINT32_MAX ? 0 : fewest;
    return result;
}
