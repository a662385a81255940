#define KM_TEST_NAME "calibrator"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "../failing.h"
#include "container/scan/calibrator.h"

#define THRESHOLD 2.5

/* What the scan hands over: a file by its content's number, with log-odds that its fusion's threshold has moved. */
struct given {
    struct km_record record;
    struct km_case file;
    char path[32];
};

static struct km_additive *new_fusion(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = km_additive_new(&err);
    assert_non_null(fusion);
    km_additive_set_calibration(fusion, &(struct km_calibration){.threshold = THRESHOLD, .negatives = 1, .wanted = 1});
    return fusion;
}

static void give(struct km_calibrator *calibrator, const struct km_additive *fusion, unsigned content, double log_odds)
{
    struct given given = {.record = {.complete = true}};
    (void)snprintf(given.path, sizeof given.path, "content-%u-%.1f", content, log_odds);
    memcpy(given.record.md5, &content, sizeof content);
    given.file.record = &given.record;
    given.file.place.path = given.path;
    given.file.fusion = fusion;
    given.file.log_odds = log_odds - THRESHOLD;
    km_calibrator_take(calibrator, &given.file);
}

static struct km_calibrator *new_calibrator(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_calibrator *calibrator = km_calibrator_new(&err);
    assert_non_null(calibrator);
    return calibrator;
}

static void equal_contents_count_once_by_their_highest_score(void **state)
{
    (void)state;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = new_fusion();
    KM_CLEANUP(km_calibrator_cleanup) struct km_calibrator *calibrator = new_calibrator();
    struct km_calibration chosen;
    struct km_err err = KM_ERR_INIT;
    give(calibrator, fusion, 1, 1.0);
    give(calibrator, fusion, 2, 2.0);
    give(calibrator, fusion, 1, 4.0); /* the strongest of all, in another image */
    give(calibrator, fusion, 1, 3.0);
    give(calibrator, fusion, 3, 0.5);
    assert_ok(km_calibrator_choose(calibrator, 0.34, "two images", &chosen, &err), err);
    assert_int_equal(chosen.negatives, 3);
    assert_int_equal(chosen.above, 1); /* of three contents one may be above */
    assert_true(chosen.threshold > 2.0 && chosen.threshold <= 4.0);
    assert_true(chosen.wanted == 0.34);
    assert_string_equal(chosen.set, "two images");
}

static void scores_are_not_moved_by_the_present_threshold(void **state)
{
    (void)state;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = new_fusion();
    KM_CLEANUP(km_calibrator_cleanup) struct km_calibrator *calibrator = new_calibrator();
    const struct km_calibrator_file *strongest;
    give(calibrator, fusion, 1, 1.25);
    assert_int_equal(km_calibrator_strongest(calibrator, &strongest), 1);
    assert_true(strongest[0].log_odds == 1.25);
    assert_string_equal(strongest[0].path, "content-1-1.2");
}

static void the_strongest_come_first_each_content_once(void **state)
{
    (void)state;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = new_fusion();
    KM_CLEANUP(km_calibrator_cleanup) struct km_calibrator *calibrator = new_calibrator();
    const struct km_calibrator_file *strongest;
    for (unsigned round = 0; round < 3; round++)
        for (unsigned content = 0; content < 15; content++) /* each round in another order, one higher */
            give(calibrator, fusion, content * 4 % 15, content * 4 % 15 + (double)round);
    give(calibrator, fusion, 7, 100);
    assert_int_equal(km_calibrator_strongest(calibrator, &strongest), KM_CALIBRATOR_STRONGEST);
    static const double expected[KM_CALIBRATOR_STRONGEST] = {100, 16, 15, 14, 13, 12, 11, 10, 8, 7};
    for (size_t i = 0; i < KM_CALIBRATOR_STRONGEST; i++) {
        assert_true(strongest[i].log_odds == expected[i]);
        for (size_t k = 0; k < i; k++)
            assert_memory_not_equal(strongest[i].md5, strongest[k].md5, KM_MD5_BYTES);
    }
    assert_string_equal(strongest[0].path, "content-7-100.0");
}

static void only_what_a_fusion_weighed_to_its_end_is_taken(void **state)
{
    (void)state;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = new_fusion();
    KM_CLEANUP(km_calibrator_cleanup) struct km_calibrator *calibrator = new_calibrator();
    struct km_calibration chosen = {.negatives = 77};
    struct km_err err = KM_ERR_INIT;
    struct given cut = {.file = {.fusion = fusion, .log_odds = 5}};
    cut.file.record = &cut.record;
    cut.file.place.path = "cut";
    km_calibrator_take(calibrator, &cut.file);
    give(calibrator, NULL, 1, 1.0);
    const struct km_calibrator_file *strongest;
    assert_int_equal(km_calibrator_strongest(calibrator, &strongest), 0);
    assert_int_equal(km_calibrator_choose(calibrator, 0.01, "nothing", &chosen, &err), KM_NOTFOUND);
    assert_int_equal(chosen.negatives, 77);
}

static void a_failure_while_taking_is_kept_for_the_end(void **state)
{
    (void)state;
    KM_CLEANUP(km_additive_cleanup) struct km_additive *fusion = new_fusion();
    for (int n = 0; n < 2; n++) { /* the list of samples, the path */
        KM_CLEANUP(km_calibrator_cleanup) struct km_calibrator *calibrator = new_calibrator();
        struct km_calibration chosen = {.negatives = 77};
        struct km_err err = KM_ERR_INIT;
        fail_allocations_after(n);
        give(calibrator, fusion, 1, 1.0);
        assert_int_equal(end_failing(), 1);
        give(calibrator, fusion, 2, 2.0); /* later ones do not hide it */
        assert_int_equal(km_calibrator_choose(calibrator, 0.01, "set", &chosen, &err), KM_NOMEM);
        assert_int_equal(chosen.negatives, 77);
    }
    KM_CLEANUP(km_calibrator_cleanup) struct km_calibrator *calibrator = new_calibrator();
    struct km_calibration chosen = {.negatives = 77};
    struct km_err err = KM_ERR_INIT;
    give(calibrator, fusion, 1, 1.0);
    fail_allocations_after(0);
    enum km_code code = km_calibrator_choose(calibrator, 0.01, "set", &chosen, &err);
    assert_int_equal(end_failing(), 1);
    assert_int_equal(code, KM_NOMEM);
    assert_int_equal(chosen.negatives, 77);
    assert_ok(km_calibrator_choose(calibrator, 0.01, "set", &chosen, &err), err); /* nothing was lost */
    assert_int_equal(chosen.negatives, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_contents_count_once_by_their_highest_score),
        cmocka_unit_test(scores_are_not_moved_by_the_present_threshold),
        cmocka_unit_test(the_strongest_come_first_each_content_once),
        cmocka_unit_test(only_what_a_fusion_weighed_to_its_end_is_taken),
        cmocka_unit_test(a_failure_while_taking_is_kept_for_the_end),
    };
    return KM_RUN_TESTS(tests);
}
