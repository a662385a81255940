#define KM_TEST_NAME "hasher"
#include "../cm.h"

#include <stdlib.h>
#include <string.h>

#include "container/source/hasher.h"

#define BLOCK_BYTES ((size_t)300 << 10)

static uint8_t block[BLOCK_BYTES];

static void fill(size_t length, uint32_t seed)
{
    for (size_t i = 0; i < length; i++)
        block[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
}

/* Both are given the same. */
struct pair {
    struct km_hasher *hasher;
    struct km_digest *digest;
};

static struct pair begin(void)
{
    struct km_err err = KM_ERR_INIT;
    struct pair pair = {km_hasher_new(&err), km_digest_new(KM_DIGEST_SHA256, &err)};
    assert_non_null(pair.hasher);
    assert_non_null(pair.digest);
    return pair;
}

static void end(struct pair *pair)
{
    uint8_t wanted[KM_SHA256_BYTES], got[KM_SHA256_BYTES];
    km_digest_finish(pair->digest, wanted);
    km_hasher_finish(pair->hasher, got);
    assert_memory_equal(got, wanted, sizeof got);
    km_hasher_free(pair->hasher);
    km_digest_free(pair->digest);
}

/* Large and small blocks in any order, each gone as soon as it may. */
static void it_hashes_as_the_digest_does(void **state)
{
    (void)state;
    static const size_t rows[][6] = {
        {0},
        {1, 2, 3},
        {BLOCK_BYTES},
        {BLOCK_BYTES, 5, BLOCK_BYTES, 100000, 32768},
        {70000, BLOCK_BYTES, 1, 32767, 1, BLOCK_BYTES},
    };
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct pair pair = begin();
        for (size_t i = 0; i < 6 && rows[r][i] > 0; i++) {
            fill(rows[r][i], (uint32_t)(r * 10 + i));
            km_digest_update(pair.digest, block, rows[r][i]);
            km_hasher_update(pair.hasher, block, rows[r][i]);
            km_hasher_wait(pair.hasher, 0);
            memset(block, 0, sizeof block);
        }
        end(&pair);
    }
}

/* A block is spoiled as soon as it may be, while those behind it still wait. */
static void blocks_may_lag_behind(void **state)
{
    (void)state;
    static uint8_t ring[4][40000];
    for (unsigned most = 0; most < 4; most++) {
        struct pair pair = begin();
        for (unsigned i = 0; i < 60; i++) {
            size_t length = i % 11 == 10 ? 100 : sizeof ring[0] - i; /* also one that the caller hashes */
            fill(length, i);
            km_digest_update(pair.digest, block, length);
            km_hasher_wait(pair.hasher, most);
            memcpy(ring[i % (most + 1)], block, length);
            km_hasher_update(pair.hasher, ring[i % (most + 1)], length);
        }
        end(&pair);
    }
}

/* Without waiting in between, and up to the end that nobody asks for. */
static void calls_wait_for_each_other(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_hasher *hasher = km_hasher_new(&err);
    assert_non_null(hasher);
    fill(BLOCK_BYTES, 9);
    for (size_t i = 0; i < 50; i++)
        km_hasher_update(hasher, block + i, BLOCK_BYTES - i);
    km_hasher_free(hasher);
    km_hasher_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_hashes_as_the_digest_does),
        cmocka_unit_test(blocks_may_lag_behind),
        cmocka_unit_test(calls_wait_for_each_other),
    };
    return KM_RUN_TESTS(tests);
}
