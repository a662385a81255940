#define KM_TEST_NAME "roc"
#include "../cm.h"

#include "close.h"
#include "stats/random.h"
#include "stats/roc.h"

/* 10 positives, 12 negatives, with ties. */
static const double scores[22] = {.9, .8, .8, .7, .55, .54, .53, .51, .4, .3, /* positives */
                                  .7, .6, .5, .5, .45, .4,  .4,  .35, .3, .2, .1, .05};
static const bool positives[22] = {true, true, true, true, true, true, true, true, true, true};
static const struct km_roc_data example = {scores, positives, NULL, 22};

static void auc_and_interval_as_proc(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_estimate auc;
    assert_ok(km_roc_auc(&example, .95, &auc, &err), err);
    /* R 4.2, pROC 1.18: auc; var(method = "delong") = 0.0094577721661055; its interval put on the logit scale */
    assert_close(auc.value, 0.808333333333333, 1e-14);
    assert_close(auc.interval.low, 0.552043963035, 1e-10);
    assert_close(auc.interval.high, 0.935202795338, 1e-10);
}

static void order_of_samples_does_not_matter(void **state)
{
    (void)state;
    double mixed_scores[22];
    bool mixed_positives[22];
    for (size_t i = 0; i < 22; i++) {
        mixed_scores[i] = scores[i * 5 % 22];
        mixed_positives[i] = positives[i * 5 % 22];
    }
    struct km_err err = KM_ERR_INIT;
    struct km_roc_data data = {mixed_scores, mixed_positives, NULL, 22};
    struct km_estimate auc;
    assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
    assert_close(auc.value, 0.808333333333333, 1e-14);
    assert_close(auc.interval.low, 0.552043963035, 1e-10);
}

static void equal_weights_change_nothing(void **state)
{
    (void)state;
    double weights[22];
    for (size_t i = 0; i < 22; i++)
        weights[i] = .25;
    struct km_err err = KM_ERR_INIT;
    struct km_roc_data data = {scores, positives, weights, 22};
    struct km_estimate auc;
    assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
    assert_close(auc.value, 0.808333333333333, 1e-14);
    assert_close(auc.interval.high, 0.935202795338, 1e-10);
}

static void weights_as_an_independent_program(void **state)
{
    (void)state;
    static const double weights[22] = {1, .5, .5, 1, .25, .25, .25, .25, 1, 1, 1, 1, .5, .5, 1, 1, 1, 1, 2, 1, 1, 1};
    struct km_err err = KM_ERR_INIT;
    struct km_roc_data data = {scores, positives, weights, 22};
    struct km_estimate auc;
    assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
    /* all pairs one by one in Python; variance 0.014050275885570 */
    assert_close(auc.value, 0.784722222222222, 1e-14);
    assert_close(auc.interval.low, 0.479554040527, 1e-10);
    assert_close(auc.interval.high, 0.935150040243, 1e-10);
}

static void auc_is_the_share_of_pairs(void **state)
{
    (void)state;
    struct km_random random;
    km_random_init(&random, 11);
    for (int round = 0; round < 50; round++) {
        double values[60], weights[60], won = 0, all = 0;
        bool truth[60];
        for (int i = 0; i < 60; i++) {
            truth[i] = i == 1 || (i > 1 && km_random_below(&random, 2) == 1);
            values[i] = (double)km_random_below(&random, 12); /* many ties */
            weights[i] = km_random_real(&random) + .01;
        }
        for (int i = 0; i < 60; i++) {
            for (int j = 0; j < 60; j++) {
                if (!truth[i] || truth[j])
                    continue;
                all += weights[i] * weights[j];
                won += weights[i] * weights[j] * (values[i] > values[j] ? 1 : values[i] == values[j] ? .5 : 0);
            }
        }
        struct km_err err = KM_ERR_INIT;
        struct km_roc_data data = {values, truth, weights, 60};
        struct km_estimate auc;
        assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
        assert_close(auc.value, won / all, 1e-12);
        assert_true(auc.interval.low < auc.value && auc.value < auc.interval.high);
    }
}

static void degenerate_rankings_have_wide_intervals(void **state)
{
    (void)state;
    static const struct {
        double scores[6];
        double value, low, high; /* 3 pairs: Clopper-Pearson of 3, 0 and 1.5 successes in 3 */
    } table[] = {
        {{4, 5, 6, 1, 2, 3}, 1, 0.292401773821287, 1}, /* 0.025^(1/3) */
        {{1, 2, 3, 4, 5, 6}, 0, 0, 0.707598226178713},
        {{7, 7, 7, 7, 7, 7}, .5, 0, 1}, /* bounds checked below to lie inside */
    };
    static const bool truth[6] = {true, true, true};
    for (size_t i = 0; i < 3; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_roc_data data = {table[i].scores, truth, NULL, 6};
        struct km_estimate auc;
        assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
        assert_true(auc.value == table[i].value);
        if (i < 2) {
            assert_close(auc.interval.low, table[i].low, 1e-12);
            assert_close(auc.interval.high, table[i].high, 1e-12);
        } else {
            assert_true(auc.interval.low > 0 && auc.interval.low < .1);
            assert_close(auc.interval.low, 1 - auc.interval.high, 1e-10);
        }
    }
}

/* Weights whose sums round differently in different orders must not look like a tiny variance. */
static void a_perfect_ranking_stays_perfect_with_weights(void **state)
{
    (void)state;
    struct km_random random;
    km_random_init(&random, 77);
    for (int round = 0; round < 200; round++) {
        double values[40], weights[40], sum[2] = {0, 0}, squares[2] = {0, 0};
        bool truth[40];
        for (int i = 0; i < 40; i++) {
            truth[i] = i % 2;
            values[i] = truth[i] ? 50 - i : -km_random_real(&random);
            weights[i] = km_random_real(&random) + .001;
            sum[truth[i]] += weights[i];
            squares[truth[i]] += weights[i] * weights[i];
        }
        double pairs = fmin(sum[0] * sum[0] / squares[0], sum[1] * sum[1] / squares[1]);
        struct km_err err = KM_ERR_INIT;
        struct km_roc_data data = {values, truth, weights, 40};
        struct km_estimate auc;
        assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
        assert_close(auc.value, 1, 1e-14);
        assert_close(auc.interval.low, pow(.025, 1 / pairs), 1e-9);
        assert_close(auc.interval.high, 1, 0);
    }
}

static void one_sample_of_a_class_is_no_certainty(void **state)
{
    (void)state;
    static const double values[4] = {3, 1, 2, 4};
    static const bool truth[4] = {true, false, false, false};
    struct km_err err = KM_ERR_INIT;
    struct km_roc_data data = {values, truth, NULL, 4};
    struct km_estimate auc;
    assert_ok(km_roc_auc(&data, .95, &auc, &err), err);
    assert_close(auc.value, 2.0 / 3, 1e-15);
    assert_true(auc.interval.low < .1 && auc.interval.high > .9);
}

static void what_cannot_be_ranked_is_refused(void **state)
{
    (void)state;
    static const double values[3] = {1, 2, 3}, bad[3] = {1, NAN, 3}, infinite[3] = {-INFINITY, 2, INFINITY};
    static const bool none[3] = {false}, all[3] = {true, true, true}, some[3] = {false, true, true};
    static const double zero[3] = {1, 0, 0}, negative[3] = {1, 1, -1}, huge[3] = {1, 1, INFINITY};
    static const struct {
        struct km_roc_data data;
        enum km_code code;
    } table[] = {
        {{values, none, NULL, 3}, KM_NOTFOUND}, {{values, all, NULL, 3}, KM_NOTFOUND},
        {{values, none, NULL, 0}, KM_NOTFOUND}, {{values, some, zero, 3}, KM_NOTFOUND},
        {{bad, some, NULL, 3}, KM_FORMAT},      {{values, some, negative, 3}, KM_FORMAT},
        {{values, some, huge, 3}, KM_FORMAT},   {{infinite, some, NULL, 3}, KM_OK},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_estimate auc = {-1, {-1, -1}};
        struct km_roc_point point = {.threshold = -1};
        assert_int_equal(km_roc_auc(&table[i].data, .95, &auc, &err), table[i].code);
        assert_int_equal(km_roc_at_false_positive_rate(&table[i].data, .1, .95, &point, &err), table[i].code);
        if (table[i].code != KM_OK)
            assert_true(auc.value == -1 && auc.interval.low == -1 && point.threshold == -1);
    }
}

static void points_of_the_curve(void **state)
{
    (void)state;
    static const struct {
        double rate, threshold, false_positive_rate, true_positive_rate;
    } table[] = {
        {0, .7, 0, .3},   /* the positive at .7 ties with the worst negative: no alarm */
        {.05, .7, 0, .3}, /* one of 12 is more than 5 % */
        {1 / 12.0, .6, 1 / 12.0, .4},
        {.2, .5, 2 / 12.0, .8},
        {.3, .5, 2 / 12.0, .8}, /* the two at .5 come together or not at all */
        {4 / 12.0, .45, 4 / 12.0, .8},
        {.999, .05, 11 / 12.0, 1},
        {1, -INFINITY, 1, 1},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_roc_point point;
        assert_ok(km_roc_at_false_positive_rate(&example, table[i].rate, .95, &point, &err), err);
        assert_true(point.threshold == table[i].threshold);
        assert_close(point.false_positive_rate, table[i].false_positive_rate, 1e-15);
        assert_close(point.true_positive_rate.value, table[i].true_positive_rate, 1e-15);
    }
}

static void a_point_has_wilsons_interval(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_roc_point point;
    assert_ok(km_roc_at_false_positive_rate(&example, 1, .95, &point, &err), err);
    assert_close(point.true_positive_rate.interval.low, 0.722467200137, 1e-9); /* R: prop.test(10, 10, correct = F) */
    assert_close(point.true_positive_rate.interval.high, 1, 0);
}

static void a_rate_is_not_lost_to_rounding(void **state)
{
    (void)state;
    double values[101];
    bool truth[101] = {true};
    values[0] = 50;
    for (int i = 1; i <= 100; i++)
        values[i] = i + 22; /* 23 … 122 */
    struct km_err err = KM_ERR_INIT;
    struct km_roc_data data = {values, truth, NULL, 101};
    struct km_roc_point point;
    assert_ok(km_roc_at_false_positive_rate(&data, .29, .95, &point, &err), err); /* .29 * 100 < 29 in doubles */
    assert_close(point.false_positive_rate, .29, 1e-15);
}

static void ties_with_the_threshold_never_alarm(void **state)
{
    (void)state;
    static const double values[4] = {0, 0, 0, 0};
    static const bool truth[4] = {true, true, false, false};
    struct km_err err = KM_ERR_INIT;
    struct km_roc_data data = {values, truth, NULL, 4};
    struct km_roc_point point;
    assert_ok(km_roc_at_false_positive_rate(&data, .5, .95, &point, &err), err);
    assert_true(point.true_positive_rate.value == 0 && point.false_positive_rate == 0 && point.threshold == 0);
}

static void groups_weigh_the_same(void **state)
{
    (void)state;
    static const uint32_t groups[6] = {7, 7, 7, 7, UINT32_MAX, UINT32_MAX};
    static const bool truth[6] = {true, true, false, true, true, true};
    static const double expected[6] = {1 / 3.0, 1 / 3.0, 1, 1 / 3.0, .5, .5};
    double weights[6];
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_roc_weigh_groups(groups, truth, 6, weights, &err), err);
    for (int i = 0; i < 6; i++)
        assert_close(weights[i], expected[i], 1e-15);
    assert_ok(km_roc_weigh_groups(groups, truth, 0, weights, &err), err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_and_interval_as_proc),
        cmocka_unit_test(order_of_samples_does_not_matter),
        cmocka_unit_test(equal_weights_change_nothing),
        cmocka_unit_test(weights_as_an_independent_program),
        cmocka_unit_test(auc_is_the_share_of_pairs),
        cmocka_unit_test(degenerate_rankings_have_wide_intervals),
        cmocka_unit_test(a_perfect_ranking_stays_perfect_with_weights),
        cmocka_unit_test(one_sample_of_a_class_is_no_certainty),
        cmocka_unit_test(what_cannot_be_ranked_is_refused),
        cmocka_unit_test(points_of_the_curve),
        cmocka_unit_test(a_point_has_wilsons_interval),
        cmocka_unit_test(a_rate_is_not_lost_to_rounding),
        cmocka_unit_test(ties_with_the_threshold_never_alarm),
        cmocka_unit_test(groups_weigh_the_same),
    };
    return KM_RUN_TESTS(tests);
}
