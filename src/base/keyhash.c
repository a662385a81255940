#include "base/keyhash.h"

#include <endian.h>
#include <string.h>
#include <sys/auxv.h>

#include "base/err.h"

static uint64_t rotate_left(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static void mix(uint64_t v[4], unsigned rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[1] = rotate_left(v[1], 13) ^ v[0];
        v[0] = rotate_left(v[0], 32);
        v[2] += v[3];
        v[3] = rotate_left(v[3], 16) ^ v[2];
        v[0] += v[3];
        v[3] = rotate_left(v[3], 21) ^ v[0];
        v[2] += v[1];
        v[1] = rotate_left(v[1], 17) ^ v[2];
        v[2] = rotate_left(v[2], 32);
    }
}

static void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v, 2);
    v[0] ^= word;
}

uint64_t km_keyhash_bytes(const struct km_keyhash *key, const void *bytes, size_t length)
{
    uint64_t v[4] = {key->k0 ^ UINT64_C(0x736f6d6570736575), key->k1 ^ UINT64_C(0x646f72616e646f6d),
                     key->k0 ^ UINT64_C(0x6c7967656e657261), key->k1 ^ UINT64_C(0x7465646279746573)};
    const unsigned char *in = bytes;
    size_t left = length;
    for (; left >= 8; left -= 8, in += 8) {
        uint64_t word;
        memcpy(&word, in, 8);
        absorb(v, le64toh(word));
    }
    uint64_t last = (uint64_t)(length & 0xff) << 56;
    for (size_t i = 0; i < left; i++)
        last |= (uint64_t)in[i] << (8 * i);
    absorb(v, last);
    v[2] ^= 0xff;
    mix(v, 4);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void km_keyhash_init(struct km_keyhash *key)
{
    const void *random = (const void *)getauxval(AT_RANDOM); /* NOLINT(performance-no-int-to-ptr) */
    KM_ASSERT(random != NULL);
    struct km_keyhash seed;
    memcpy(&seed, random, sizeof seed);
    /* The C library makes its stack canary from the same bytes: derive, so that no table holds them. */
    *key = (struct km_keyhash){km_keyhash_bytes(&seed, "k0", 2), km_keyhash_bytes(&seed, "k1", 2)};
}
