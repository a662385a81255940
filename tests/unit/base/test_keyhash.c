#define KM_TEST_NAME "keyhash"
#include "../cm.h"

#include "base/keyhash.h"

/* From the SipHash paper's appendix and its reference program: key 00..0f, message 00, 01, 02, … */
static void the_published_vectors(void **state)
{
    (void)state;
    const struct km_keyhash key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t message[64];
    for (size_t i = 0; i < sizeof message; i++)
        message[i] = (uint8_t)i;
    assert_true(km_keyhash_bytes(&key, message, 0) == UINT64_C(0x726fdb47dd0e0e31));
    assert_true(km_keyhash_bytes(&key, message, 15) == UINT64_C(0xa129ca6149be45e5));
}

static void the_key_decides(void **state)
{
    (void)state;
    struct km_keyhash a, b;
    km_keyhash_init(&a);
    km_keyhash_init(&b);
    assert_true(a.k0 == b.k0 && a.k1 == b.k1); /* one key a process */
    assert_true(a.k0 != a.k1);
    b.k1 ^= 1;
    assert_true(km_keyhash_bytes(&a, "name", 4) != km_keyhash_bytes(&b, "name", 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(the_published_vectors), cmocka_unit_test(the_key_decides)};
    return KM_RUN_TESTS(tests);
}
