#define KM_TEST_NAME "lookalike"
#include "unit/cm.h"

#include <math.h>

#include "container/lab/lookalike.h"

static struct km_additive *make_fusion(bool tokens)
{
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = km_additive_new(&err);
    assert_non_null(fusion);
    const struct km_additive_term words = {
        .name = "tokens.score", .weight = 0.5, .low = -INFINITY, .high = INFINITY, .missing = 0.1};
    const struct km_additive_term network = {
        .name = "network.score", .weight = 2, .low = -INFINITY, .high = INFINITY, .missing = 0.3};
    if (tokens)
        assert_ok(km_additive_set_term(fusion, &words, &err), err);
    assert_ok(km_additive_set_term(fusion, &network, &err), err);
    km_additive_set_bias(fusion, -1);
    return fusion;
}

/* Terms stand in this order: words, network, likeness. */
static double score(const struct km_additive *fusion, double likeness)
{
    const double values[] = {1, 1, likeness};
    return km_additive_score(fusion, values, NULL);
}

static void what_is_chance_says_nothing(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = make_fusion(true);
    assert_ok(km_lookalike_set(fusion, false, &err), err);
    const double plain = -1 + 0.5 + 2;
    for (int again = 0; again < 2; again++) {
        static const double chance[] = {-0.15, 0, KM_LOOKALIKE_LEAST, -0.45, NAN};
        for (size_t i = 0; i < sizeof chance / sizeof chance[0]; i++)
            assert_true(fabs(score(fusion, chance[i]) - plain) < 1e-9);
        for (double likeness = 0.25; likeness <= 0.96;
             likeness += 0.01) { /* of either side, down to the step's begin */
            double wanted = 0.5 * KM_LOOKALIKE_WEIGHT * (likeness - KM_LOOKALIKE_LEAST), most = 8 * 0.07;
            assert_true(score(fusion, likeness) - plain <= wanted + 1e-9);
            assert_true(score(fusion, likeness) - plain >= wanted - most);
            double excused = 0.5 * KM_LOOKALIKE_WEIGHT * fmax(0, likeness - KM_LOOKALIKE_BENIGN);
            assert_true(score(fusion, -likeness) - plain <= -excused + most);
            assert_true(score(fusion, -likeness) - plain >= -excused - 8 * 0.11); /* the first step is wider */
        }
        assert_true(score(fusion, 0.95) > score(fusion, 0.5) + 3 && score(fusion, -0.95) < score(fusion, -0.5) - 2);
        assert_ok(km_lookalike_set(fusion, false, &err), err);
    }
    km_additive_free(fusion);
}

static void a_site_excuses_what_is_like_its_own(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = make_fusion(true);
    assert_ok(km_lookalike_set(fusion, false, &err), err);
    assert_ok(km_lookalike_set(fusion, true, &err), err);
    const double plain = -1 + 0.5; /* nothing of the network's */
    for (double likeness = -0.685; likeness < -0.001; likeness += 0.01)
        assert_true(fabs(score(fusion, likeness) - plain - 0.5 * KM_LOOKALIKE_SITE * likeness) <
                    0.5 * KM_LOOKALIKE_SITE * 0.016);
    assert_true(fabs(score(fusion, -0.95) - plain + 0.5 * KM_LOOKALIKE_SITE * 0.69) < 1e-9);
    static const double chance[] = {0, 0.1, 0.29, NAN};
    for (size_t i = 0; i < sizeof chance / sizeof chance[0]; i++)
        assert_true(fabs(score(fusion, chance[i]) - plain) < 1e-9);
    for (double likeness = 0.305; likeness < 0.98; likeness += 0.01) {
        double wanted = 0.5 * KM_LOOKALIKE_WEIGHT * (likeness - KM_LOOKALIKE_LEAST);
        assert_true(score(fusion, likeness) - plain <= wanted + 1e-9);
        assert_true(score(fusion, likeness) - plain >= wanted - 8 * 0.11);
    }
    km_additive_free(fusion);
}

static void without_words_it_stays(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = make_fusion(false);
    assert_ok(km_lookalike_set(fusion, true, &err), err);
    assert_int_equal(km_additive_term_count(fusion), 1);
    assert_true(km_additive_term(fusion, 0)->weight > 1.9);
    km_additive_free(fusion);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_chance_says_nothing),
        cmocka_unit_test(a_site_excuses_what_is_like_its_own),
        cmocka_unit_test(without_words_it_stays),
    };
    return KM_RUN_TESTS(tests);
}
