#define KM_TEST_NAME "confusion"
#include "../cm.h"

#include "close.h"
#include "stats/confusion.h"

static void counts_the_four_cases(void **state)
{
    (void)state;
    struct km_confusion confusion = {0};
    km_confusion_add(&confusion, true, true);
    km_confusion_add(&confusion, true, false);
    km_confusion_add(&confusion, true, false);
    km_confusion_add(&confusion, false, true);
    for (int i = 0; i < 6; i++)
        km_confusion_add(&confusion, false, false);
    assert_int_equal(confusion.true_positives, 1);
    assert_int_equal(confusion.false_negatives, 2);
    assert_int_equal(confusion.false_positives, 1);
    assert_int_equal(confusion.true_negatives, 6);
}

static void rates_and_their_intervals(void **state)
{
    (void)state;
    const struct km_confusion confusion = {90, 30, 970, 10};
    struct km_estimate recall = km_confusion_recall(&confusion, .95);
    assert_close(recall.value, .9, 1e-15);
    assert_close(recall.interval.low, 0.825634338495, 1e-9); /* R: prop.test(90, 100, correct = FALSE) */
    assert_close(recall.interval.high, 0.944770862939, 1e-9);
    struct km_estimate precision = km_confusion_precision(&confusion, .95);
    assert_close(precision.value, .75, 1e-15);
    assert_true(precision.interval.low < .75 && precision.interval.high > .75);
    assert_close(km_confusion_false_positive_rate(&confusion, .95).value, .03, 1e-15);
    assert_close(km_confusion_f1(&confusion), 2 * .75 * .9 / (.75 + .9), 1e-15);
}

static void undefined_rates_are_nan_and_wide(void **state)
{
    (void)state;
    const struct km_confusion nothing = {0}, negatives = {.true_negatives = 5};
    assert_true(isnan(km_confusion_precision(&nothing, .95).value));
    assert_true(isnan(km_confusion_recall(&negatives, .95).value));
    assert_true(isnan(km_confusion_f1(&negatives)));
    struct km_interval interval = km_confusion_precision(&negatives, .95).interval;
    assert_true(interval.low == 0 && interval.high == 1);
    const struct km_confusion missed = {.false_negatives = 3};
    assert_true(km_confusion_f1(&missed) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(counts_the_four_cases),
                                       cmocka_unit_test(rates_and_their_intervals),
                                       cmocka_unit_test(undefined_rates_are_nan_and_wide)};
    return KM_RUN_TESTS(tests);
}
