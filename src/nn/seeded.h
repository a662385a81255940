/*
 * Seeded random numbers for training (SplitMix64): the same seed and stream give the same numbers on every machine. Not
 * for secrets.
 * Plain data in the caller's storage; one owner at a time.
 */
#ifndef KM_NN_SEEDED_H
#define KM_NN_SEEDED_H

#include <stddef.h>
#include <stdint.h>

struct km_seeded {
    uint64_t state;
};

/* SplitMix64's mixer: a good hash of 64 bits. */
static inline uint64_t km_seeded_mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

/* Streams of one seed are independent for practical purposes. */
static inline struct km_seeded km_seeded_of(uint64_t seed, uint64_t stream)
{
    return (struct km_seeded){km_seeded_mix(km_seeded_mix(seed) + stream * UINT64_C(0xD1342543DE82EF95))};
}

static inline uint64_t km_seeded_next(struct km_seeded *random)
{
    return km_seeded_mix(random->state += UINT64_C(0x9E3779B97F4A7C15));
}

/* In [0, 1), 53 bits. */
static inline double km_seeded_unit(struct km_seeded *random)
{
    return (double)(km_seeded_next(random) >> 11) * 0x1p-53;
}

/* In [0, bound), bound > 0; biased by less than bound / 2^32. */
static inline uint32_t km_seeded_below(struct km_seeded *random, uint32_t bound)
{
    return (uint32_t)((km_seeded_next(random) >> 32) * bound >> 32);
}

/* Near normal, mean 0 and deviation 1: the sum of 12 uniforms less 6. Only additions, so no library's log or cos can
 * make two machines differ; tails end at 6. */
static inline double km_seeded_normal(struct km_seeded *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++)
        sum += km_seeded_unit(random);
    return sum;
}

/* A permutation of 0..count: the order of epoch `epoch`. */
static inline void km_seeded_shuffle(uint32_t *order, uint32_t count, uint64_t seed, uint64_t epoch)
{
    struct km_seeded random = km_seeded_of(seed, epoch);
    for (uint32_t i = 0; i < count; i++)
        order[i] = i;
    for (uint32_t i = count; i > 1; i--) {
        uint32_t j = km_seeded_below(&random, i);
        uint32_t held = order[i - 1];
        order[i - 1] = order[j];
        order[j] = held;
    }
}

#endif
