#include "stats/random.h"

#include "base/err.h"

static uint64_t split_mix(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

void km_random_init(struct km_random *random, uint64_t seed)
{
    for (int i = 0; i < 4; i++)
        random->state[i] = split_mix(&seed);
}

static uint64_t rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

uint64_t km_random_next(struct km_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate(s[1] * 5, 7) * 9, shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t km_random_below(struct km_random *random, uint64_t bound)
{
    KM_ASSERT(bound > 0);
    __uint128_t product = (__uint128_t)km_random_next(random) * bound;
    if ((uint64_t)product < bound) {
        uint64_t threshold = -bound % bound; /* 2^64 mod bound: that many low parts would count once too often */
        while ((uint64_t)product < threshold)
            product = (__uint128_t)km_random_next(random) * bound;
    }
    return (uint64_t)(product >> 64);
}

double km_random_real(struct km_random *random)
{
    return (double)(km_random_next(random) >> 11) * 0x1p-53;
}
