#define KM_TEST_NAME "siphash"
#include "../cm.h"

#include "package/siphash.h"

/* Key 00 … 0f, message 00 01 … of length n: the values of Aumasson and Bernstein's paper (n = 15, appendix A) and of
 * their reference implementation's table of vectors (0, 1, 7, 8, 63). */
static void known_vectors(void **state)
{
    (void)state;
    static const struct {
        size_t length;
        uint64_t hash;
    } table[] = {
        {0, UINT64_C(0x726fdb47dd0e0e31)}, {1, UINT64_C(0x74f839c593dc67fd)},  {7, UINT64_C(0xab0200f58b01d137)},
        {8, UINT64_C(0x93f5f5799a932462)}, {15, UINT64_C(0xa129ca6149be45e5)}, {63, UINT64_C(0x958a324ceb064572)},
    };
    uint8_t key[KM_SIPHASH_KEY_BYTES], message[64];
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)i;
    for (unsigned i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        assert_true(km_siphash(key, message, table[i].length) == table[i].hash);
}

static void the_key_matters(void **state)
{
    (void)state;
    uint8_t key[KM_SIPHASH_KEY_BYTES] = {0};
    uint64_t before = km_siphash(key, "usr/bin/x", 9);
    key[15] = 1;
    assert_true(km_siphash(key, "usr/bin/x", 9) != before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(known_vectors), cmocka_unit_test(the_key_matters)};
    return KM_RUN_TESTS(tests);
}
