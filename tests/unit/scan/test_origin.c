#define KM_TEST_NAME "origin"
#include "unit/cm.h"

#include <math.h>

#include "container/scan/calibrator.h"
#include "container/scan/origin.h"
#include "finding/evidence.h"

#define THRESHOLD 3.0

struct given {
    struct km_case file;
    struct km_record record;
    struct km_additive *fusion;
};

/* A file of which models say `content`, before any other evidence. */
static void given_init(struct given *given, double content)
{
    struct km_err err = KM_ERR_INIT;
    *given = (struct given){.record = {.complete = true}, .fusion = km_additive_new(&err)};
    assert_non_null(given->fusion);
    const struct km_calibration calibration = {.threshold = THRESHOLD, .negatives = 10, .wanted = 0.1, .set = "s"};
    km_additive_set_calibration(given->fusion, &calibration);
    given->file.record = &given->record;
    given->file.fusion = given->fusion;
    given->file.place.path = "bin/x";
    given->file.log_odds = -THRESHOLD;
    for (size_t i = 0; i < KM_FEATURE_COUNT; i++)
        given->file.features[i] = NAN;
    given->file.features[KM_FEATURE_TOKENS_SCORE] = content;
    (void)km_case_add_evidence(&given->file, KM_EVIDENCE_TOKENS, content);
}

static void add(struct given *given, const char *id, double weight)
{
    (void)km_case_add_evidence(&given->file, id, weight);
}

static void given_done(struct given *given)
{
    km_additive_free(given->fusion);
}

static double sum(const struct given *given)
{
    double sum = -THRESHOLD;
    for (size_t i = 0; i < given->file.evidence_count; i++)
        sum += given->file.evidence[i].weight;
    return sum;
}

static void origin_alone_stays_below_the_threshold(void **state)
{
    (void)state;
    struct given given;
    given_init(&given, -0.5);
    add(&given, KM_EVIDENCE_UNOWNED, 3);
    add(&given, KM_EVIDENCE_EXECUTABLE, 1);
    add(&given, KM_EVIDENCE_HIDDEN_NAME, 2);
    km_origin_bound(&given.file, -0.5);
    assert_true(fabs(given.file.log_odds + KM_ORIGIN_BELOW) < 1e-9);
    assert_true(fabs(sum(&given) - given.file.log_odds) < 1e-9); /* what is shown is what was summed */
    assert_true(fabs(given.file.evidence[1].weight - 3 * given.file.evidence[2].weight) < 1e-9);
    assert_true(given.file.evidence[3].weight > 0);
    assert_int_equal(km_case_verdict(&given.file, km_case_score(&given.file)), KM_VERDICT_CLEAN);

    /* A calibration that lowers the threshold must not see it either. */
    struct km_err err = KM_ERR_INIT;
    struct km_calibrator *calibrator = km_calibrator_new(&err);
    const struct km_calibrator_file *strongest;
    km_calibrator_take(calibrator, &given.file);
    assert_int_equal(km_calibrator_strongest(calibrator, &strongest), 1);
    assert_true(fabs(strongest[0].log_odds + 0.5) < 1e-9);
    km_calibrator_free(calibrator);
    given_done(&given);
}

static void below_the_threshold_nothing_is_taken(void **state)
{
    (void)state;
    struct given given;
    given_init(&given, -0.5);
    add(&given, KM_EVIDENCE_CHANGED, 2.2);
    km_origin_bound(&given.file, -0.5);
    assert_true(fabs(given.file.log_odds - (-THRESHOLD - 0.5 + 2.2)) < 1e-9);
    assert_true(fabs(given.file.origin - 2.2) < 1e-9);
    given_done(&given);
}

/* Content that speaks against the file, other evidence against it, and what no model has seen. */
static void what_is_more_than_origin_is_not_bounded(void **state)
{
    (void)state;
    static const struct {
        double content;
        const char *more;
        double weight;
        bool known;
    } cases[] = {
        {0.5, NULL, 0, true},
        {-0.5, KM_EVIDENCE_SETUID, 1.5, true},
        {-0.5, KM_EVIDENCE_PACKED_FOREIGN, 1.2, true},
        {-0.5, KM_EVIDENCE_HASH_LISTED, 12, true},
        {-0.5, NULL, 0, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct given given;
        given_init(&given, cases[i].content);
        add(&given, KM_EVIDENCE_UNOWNED, 4);
        if (cases[i].more)
            add(&given, cases[i].more, cases[i].weight);
        if (!cases[i].known)
            given.file.features[KM_FEATURE_TOKENS_SCORE] = NAN;
        double before = given.file.log_odds;
        km_origin_bound(&given.file, cases[i].content);
        assert_true(given.file.log_odds == before && given.file.log_odds > 0);
        assert_true(given.file.origin == 0);
        given_done(&given);
    }
}

/* A calibration may put the threshold below what content alone says. */
static void content_that_is_an_alarm_stays_one(void **state)
{
    (void)state;
    struct given given;
    given_init(&given, -0.5);
    given.file.log_odds += THRESHOLD + 1; /* a threshold of -1 */
    add(&given, KM_EVIDENCE_UNOWNED, 1);
    km_origin_bound(&given.file, -0.5);
    assert_true(fabs(given.file.log_odds - 1.5) < 1e-9);
    given.file.fusion = NULL;
    given.file.log_odds = 5;
    km_origin_bound(&given.file, -0.5);
    assert_true(given.file.log_odds == 5);
    given_done(&given);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origin_alone_stays_below_the_threshold),
        cmocka_unit_test(below_the_threshold_nothing_is_taken),
        cmocka_unit_test(what_is_more_than_origin_is_not_bounded),
        cmocka_unit_test(content_that_is_an_alarm_stays_one),
    };
    return KM_RUN_TESTS(tests);
}
