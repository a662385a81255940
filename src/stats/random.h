/*
 * Reproducible random numbers: xoshiro256** (D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators",
 * ACM TOMS 47 (2021) 36), its state filled by SplitMix64 (G. L. Steele, D. Lea, C. H. Flood, OOPSLA 2014). The same
 * seed gives the same numbers on every machine. For statistics, not for secrets.
 */
#ifndef KM_STATS_RANDOM_H
#define KM_STATS_RANDOM_H

#include <stdint.h>

struct km_random {
    uint64_t state[4];
};

void km_random_init(struct km_random *random, uint64_t seed);

/* 64 random bits. */
uint64_t km_random_next(struct km_random *random);

/* Uniform in 0 … bound − 1 without bias (D. Lemire, ACM TOMACS 29 (2019) 3). bound > 0. */
uint64_t km_random_below(struct km_random *random, uint64_t bound);

/* Uniform in [0, 1), a multiple of 2^-53. */
double km_random_real(struct km_random *random);

#endif
