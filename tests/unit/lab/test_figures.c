#define KM_TEST_NAME "figures"
#include "unit/cm.h"

#include <math.h>

#include "container/lab/figures.h"

static void add(struct km_figure_files *files, double score, bool positive, uint32_t family)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_figure_files_add(files, score, positive, family, &err), err);
}

static void families_weigh_the_same(void **state)
{
    (void)state;
    struct km_figure_files files = {0};
    struct km_figure figure;
    struct km_err err = KM_ERR_INIT;
    add(&files, 2, true, 1); /* above all: one family of one file */
    for (int i = 0; i < 3; i++)
        add(&files, 0, true, 2); /* below all: one family of three */
    for (uint32_t i = 0; i < 10; i++)
        add(&files, 1, false, 10 + i);
    assert_ok(km_figure_files_weigh(&files, true, &err), err);
    assert_ok(km_figure_auc("auc", &files, &figure, &err), err);
    assert_true(fabs(figure.value - 0.5) < 1e-9);
    assert_true(figure.low <= 0.5 && figure.high >= 0.5 && figure.low < figure.high);
    assert_int_equal(figure.positives, 4);
    assert_int_equal(figure.negatives, 10);
    assert_string_equal(figure.name, "auc");
    assert_ok(km_figure_tpr("tpr", &files, 0.1, &figure, &err), err);
    assert_true(fabs(figure.value - 0.5) < 1e-9);
    assert_true(figure.reached <= 0.1);
    km_figure_files_done(&files);
}

static void false_alarms_are_counted_by_file(void **state)
{
    (void)state;
    struct km_figure_files files = {0};
    struct km_figure figure;
    struct km_err err = KM_ERR_INIT;
    add(&files, 5, true, 1);
    add(&files, 9, false, 2); /* a family of its own, but 1 of 10 files */
    for (int i = 0; i < 9; i++)
        add(&files, 0, false, 3);
    assert_ok(km_figure_files_weigh(&files, false, &err), err);
    assert_ok(km_figure_tpr("tpr", &files, 0.1, &figure, &err), err);
    assert_true(fabs(figure.value - 1) < 1e-9);
    assert_ok(km_figure_tpr("tpr", &files, 0.05, &figure, &err), err);
    assert_true(fabs(figure.value) < 1e-9);
    km_figure_files_done(&files);
}

static void what_has_no_score_is_no_alarm(void **state)
{
    (void)state;
    struct km_figure_files files = {0};
    struct km_figure figure;
    struct km_err err = KM_ERR_INIT;
    add(&files, NAN, true, 1);
    add(&files, -50, false, 2);
    assert_ok(km_figure_files_weigh(&files, true, &err), err);
    assert_ok(km_figure_auc("auc", &files, &figure, &err), err);
    assert_true(fabs(figure.value) < 1e-9);
    km_figure_files_done(&files);
}

static void a_share_is_a_mean_by_family(void **state)
{
    (void)state;
    struct km_figure_files files = {0};
    struct km_figure figure;
    struct km_err err = KM_ERR_INIT;
    add(&files, 1, true, 1);
    add(&files, 0, true, 2);
    add(&files, 0, true, 2);
    assert_ok(km_figure_files_weigh(&files, true, &err), err);
    assert_ok(km_figure_share("share", &files, &figure, &err), err);
    assert_true(fabs(figure.value - 0.5) < 1e-9);
    km_figure_files_done(&files);
}

static void one_class_gives_no_figure(void **state)
{
    (void)state;
    struct km_figure_files files = {0};
    struct km_figure figure;
    struct km_err err = KM_ERR_INIT;
    add(&files, 1, true, 1);
    assert_int_equal(km_figure_auc("auc", &files, &figure, &err), KM_NOTFOUND);
    km_figure_files_done(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_weigh_the_same),       cmocka_unit_test(false_alarms_are_counted_by_file),
        cmocka_unit_test(what_has_no_score_is_no_alarm), cmocka_unit_test(a_share_is_a_mean_by_family),
        cmocka_unit_test(one_class_gives_no_figure),
    };
    return KM_RUN_TESTS(tests);
}
