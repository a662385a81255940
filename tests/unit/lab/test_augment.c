#define KM_TEST_NAME "augment"
#include "unit/cm.h"

#include <string.h>

#include "container/lab/augment.h"

#define LENGTH 5000

static uint8_t file[LENGTH], out[LENGTH];

static void fill_file(void)
{
    for (size_t i = 0; i < LENGTH; i++)
        file[i] = (uint8_t)(1 + i % 251);
}

static void without_changes_it_is_the_head_of_the_file(void **state)
{
    (void)state;
    static const struct km_augment none = {0};
    struct km_seeded random = km_seeded_of(1, 1);
    fill_file();
    assert_int_equal(km_augment_cut(&none, file, LENGTH, 1000, &random, out), 1000);
    assert_memory_equal(out, file, 1000);
    assert_int_equal(km_augment_cut(&none, file, 7, 1000, &random, out), 7);
}

static void the_same_numbers_give_the_same_piece(void **state)
{
    (void)state;
    static const struct km_augment full = KM_AUGMENT_FULL;
    uint8_t again[LENGTH];
    fill_file();
    int differ = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct km_seeded a = km_seeded_of(seed, 1), b = km_seeded_of(seed, 1);
        size_t length = km_augment_cut(&full, file, LENGTH, 2000, &a, out);
        assert_true(length >= 1 && length <= 2000);
        assert_int_equal(km_augment_cut(&full, file, LENGTH, 2000, &b, again), length);
        assert_memory_equal(out, again, length);
        differ += memcmp(out, file, length) != 0;
    }
    assert_true(differ > 25);
}

static void noise_changes_few_bytes(void **state)
{
    (void)state;
    static const struct km_augment noise = {.noise = 1, .noise_most = 0.02};
    fill_file();
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct km_seeded random = km_seeded_of(seed, 2);
        assert_int_equal(km_augment_cut(&noise, file, LENGTH, LENGTH, &random, out), LENGTH);
        size_t changed = 0;
        for (size_t i = 0; i < LENGTH; i++)
            changed += out[i] != file[i];
        assert_true(changed <= LENGTH / 50);
    }
}

static void a_zeroed_head_stays_in_bounds(void **state)
{
    (void)state;
    static const struct km_augment zero = {.zero_head = 1};
    fill_file();
    for (uint64_t seed = 0; seed < 50; seed++) {
        struct km_seeded random = km_seeded_of(seed, 3);
        assert_int_equal(km_augment_cut(&zero, file, LENGTH, LENGTH, &random, out), LENGTH);
        for (size_t i = 0; i < KM_AUGMENT_ZERO_LEAST; i++)
            assert_int_equal(out[i], 0);
        assert_memory_equal(out + KM_AUGMENT_ZERO_MOST, file + KM_AUGMENT_ZERO_MOST, LENGTH - KM_AUGMENT_ZERO_MOST);
        assert_int_equal(km_augment_cut(&zero, file, 10, LENGTH, &random, out), 10);
    }
}

static void every_piece_lies_in_the_file(void **state)
{
    (void)state;
    static const struct km_augment move = {.offset_small = 1, .offset_large = 1, .crop = 1, .crop_least = 0.4};
    fill_file();
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct km_seeded random = km_seeded_of(seed, 4);
        size_t length = 1 + (size_t)(seed * 25) % LENGTH;
        size_t taken = km_augment_cut(&move, file, length, 1500, &random, out);
        assert_true(taken >= 1 && taken <= 1500);
        assert_non_null(memmem(file, length, out, taken));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_changes_it_is_the_head_of_the_file),
        cmocka_unit_test(the_same_numbers_give_the_same_piece),
        cmocka_unit_test(noise_changes_few_bytes),
        cmocka_unit_test(a_zeroed_head_stays_in_bounds),
        cmocka_unit_test(every_piece_lies_in_the_file),
    };
    return KM_RUN_TESTS(tests);
}
