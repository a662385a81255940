#include "container/tokens/tokenhash.h"

#include <string.h>

/* Eight bytes at a time, little endian, the last ones filled up with zeros; then the finaliser of MurmurHash3. */
#define MULTIPLIER UINT64_C(0x9E3779B97F4A7C15)

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * MULTIPLIER;
    return hash ^ hash >> 32;
}

static uint64_t finish(uint64_t hash)
{
    hash = (hash ^ hash >> 33) * UINT64_C(0xFF51AFD7ED558CCD);
    hash = (hash ^ hash >> 33) * UINT64_C(0xC4CEB9FE1A85EC53);
    return hash ^ hash >> 33;
}

static uint64_t little_endian(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

uint64_t km_token_hash(enum km_token_kind kind, const char *text, size_t length)
{
    uint64_t hash = mix((uint64_t)kind + 1, length);
    for (; length > 0;) {
        uint64_t word = 0;
        size_t step = length < 8 ? length : 8;
        memcpy(&word, text, step);
        word = little_endian(word);
        if (kind == KM_TOKEN_WORD ||
            kind == KM_TOKEN_STEM) /* sets bit 5: folds letters; digits have it, and "_" stays apart from them all */
            word |= UINT64_C(0x2020202020202020) >> 8 * (8 - step);
        hash = mix(hash, word);
        text += step;
        length -= step;
    }
    return finish(hash);
}

uint64_t km_token_hash_padded(const uint8_t *text, size_t length)
{
    uint64_t hash = mix(KM_TOKEN_WORD + 1, length), word;
    for (; length > 8; length -= 8, text += 8) {
        memcpy(&word, text, 8);
        hash = mix(hash, little_endian(word) | UINT64_C(0x2020202020202020));
    }
    memcpy(&word, text, 8);
    word = (little_endian(word) | UINT64_C(0x2020202020202020)) & UINT64_MAX >> 8 * (8 - length);
    return finish(mix(hash, word));
}

uint64_t km_token_hash_stem(const uint8_t *text)
{
    uint64_t word;
    memcpy(&word, text, 8);
    word = (little_endian(word) | UINT64_C(0x2020202020202020)) & UINT64_MAX >> 8 * (8 - KM_TOKEN_STEM_BYTES);
    return finish(mix(mix(KM_TOKEN_STEM + 1, KM_TOKEN_STEM_BYTES), word));
}
