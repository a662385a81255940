#define KM_TEST_NAME "random"
#include "../cm.h"

#include "stats/random.h"

static void xoshiro_from_a_known_state(void **state)
{
    (void)state;
    /* the authors' C program with the state 1, 2, 3, 4, as other implementations test it */
    static const uint64_t expected[] = {11520,
                                        0,
                                        1509978240,
                                        UINT64_C(1215971899390074240),
                                        UINT64_C(1216172134540287360),
                                        UINT64_C(607988272756665600)};
    struct km_random random = {{1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++)
        assert_true(km_random_next(&random) == expected[i]);
}

static void seeds_become_state_by_splitmix(void **state)
{
    (void)state;
    struct km_random random;
    km_random_init(&random, 1234567); /* the values that SplitMix64 is known by */
    assert_true(random.state[0] == UINT64_C(6457827717110365317));
    assert_true(random.state[1] == UINT64_C(3203168211198807973));
    assert_true(random.state[2] == UINT64_C(9817491932198370423));
    assert_true(random.state[3] == UINT64_C(4593380528125082431));
}

static void below_as_an_independent_program(void **state)
{
    (void)state;
    static const uint64_t next[] = {UINT64_C(1546998764402558742), UINT64_C(6990951692964543102),
                                    UINT64_C(12544586762248559009), UINT64_C(17057574109182124193)};
    static const uint64_t below[] = {9, 7, 7, 8, 7, 5, 6, 2, 8, 3};
    struct km_random random;
    km_random_init(&random, 42);
    for (size_t i = 0; i < 4; i++)
        assert_true(km_random_next(&random) == next[i]);
    for (size_t i = 0; i < 10; i++)
        assert_true(km_random_below(&random, 10) == below[i]);
}

static void below_stays_below_and_is_even(void **state)
{
    (void)state;
    struct km_random random;
    km_random_init(&random, 3);
    unsigned counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[km_random_below(&random, 7)]++;
    for (int i = 0; i < 7; i++) /* 10,000 ± 5 sd of 92 */
        assert_in_range(counts[i], 9540, 10460);
    for (int i = 0; i < 1000; i++) {
        assert_true(km_random_below(&random, 1) == 0);
        assert_true(km_random_below(&random, (UINT64_C(1) << 63) + 1) <= UINT64_C(1) << 63); /* rejects half */
        double real = km_random_real(&random);
        assert_true(real >= 0 && real < 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(xoshiro_from_a_known_state), cmocka_unit_test(seeds_become_state_by_splitmix),
        cmocka_unit_test(below_as_an_independent_program), cmocka_unit_test(below_stays_below_and_is_even)};
    return KM_RUN_TESTS(tests);
}
