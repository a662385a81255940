#define KM_TEST_NAME "stage"
#include "../cm.h"

#include <math.h>

#include "desk/store/audit_chain.h"
#include "desk/triage/stage.h"
#include "desk/triage/triage.h"
#include "deskfacts.h"

static int set_up(void **state)
{
    struct km_err err = KM_ERR_INIT;
    *state = km_desk_open(":memory:", &err);
    return *state ? 0 : -1;
}

static int tear_down(void **state)
{
    km_desk_close(*state);
    return 0;
}

static enum km_code try_set(struct km_desk *desk, const char *scope, int stage, const char *daemon, const char *image)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_stage_change change = {.scope = scope,
                                           .stage = stage,
                                           .daemon_count = daemon != NULL,
                                           .daemons = &daemon,
                                           .image_count = image != NULL,
                                           .images = &image,
                                           .who = "kato",
                                           .note = "pilot"};
    return km_stage_set(desk, &change, NOON, &err);
}

static void limit(struct km_desk *desk, const char *scope, const char *criterion)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_stage_change change = {
        .scope = scope, .stage = -1, .criterion_count = 1, .criteria = &criterion, .who = "kato", .note = "agreed"};
    assert_ok(km_stage_set(desk, &change, NOON, &err), err);
}

static struct km_stage_answer answer(struct km_desk *desk, const char *daemon, const char *image)
{
    struct km_err err = KM_ERR_INIT;
    struct km_stage_answer out;
    assert_ok(km_stage_of(desk, daemon, image, &out, &err), err);
    return out;
}

static void what_no_scope_names_is_shown_whole(void **state)
{
    assert_int_equal(answer(*state, "nginx.service", NULL).stage, KM_STAGE_ALL);
    assert_int_equal(answer(*state, NULL, "shop:1").scope, 0);
}

static void the_longest_pattern_decides_then_caution(void **state)
{
    assert_int_equal(try_set(*state, "everything", KM_STAGE_SHADOW, "*", "*"), KM_OK);
    assert_int_equal(try_set(*state, "web", KM_STAGE_ALL, "nginx*", NULL), KM_OK);
    assert_int_equal(try_set(*state, "careful", KM_STAGE_RECORD, "nginx?", NULL), KM_OK); /* as long as web's */
    assert_int_equal(try_set(*state, "shop", -1, NULL, "reg:5000/shop"), KM_OK);
    static const struct {
        const char *daemon, *image;
        enum km_stage stage;
    } cases[] = {
        {"sshd.service", NULL, KM_STAGE_SHADOW},
        {"nginx.service", NULL, KM_STAGE_ALL},
        {"nginx2", NULL, KM_STAGE_RECORD},
        {NULL, "reg:5000/shop:1.2", KM_STAGE_RECORD},
        {NULL, "reg:5000/shop", KM_STAGE_RECORD},
        {NULL, "reg:5000/shop@sha256:0", KM_STAGE_RECORD},
        {NULL, "reg:5000/shopping", KM_STAGE_SHADOW},
        {NULL, "nginx2", KM_STAGE_SHADOW},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(answer(*state, cases[i].daemon, cases[i].image).stage, cases[i].stage);
}

static void the_top_band_is_the_scopes(void **state)
{
    assert_int_equal(try_set(*state, "web", KM_STAGE_TOP, "nginx*", NULL), KM_OK);
    assert_true(answer(*state, "nginx", NULL).top_band == KM_STAGE_USUAL_TOP_BAND);
    limit(*state, "web", "top_band=0.7");
    assert_true(answer(*state, "nginx", NULL).top_band == 0.7);
    /* it goes along when the stage changes; limits do not */
    limit(*state, "web", "precision=0.9");
    struct km_err err = KM_ERR_INIT;
    const struct km_stage_step step = {.scope = "web", .who = "kato"};
    assert_ok(km_stage_back(*state, &step, NOON + DAY, &err), err);
    assert_true(answer(*state, "nginx", NULL).top_band == 0.7);
    assert_string_equal(desk_text(*state, "SELECT criteria FROM stage WHERE to_ns IS NULL"), "{\"top_band\":0.7}");
}

static void what_is_wrong_changes_nothing(void **state)
{
    char name[80], pattern[300];
    memset(name, 'a', sizeof name);
    name[65] = '\0';
    memset(pattern, 'a', sizeof pattern);
    pattern[257] = '\0';
    assert_int_equal(try_set(*state, "", -1, "a", NULL), KM_FORMAT);
    assert_int_equal(try_set(*state, "two words", -1, "a", NULL), KM_FORMAT);
    assert_int_equal(try_set(*state, name, -1, "a", NULL), KM_FORMAT);
    assert_int_equal(try_set(*state, "new", -1, NULL, NULL), KM_FORMAT); /* no pattern */
    assert_int_equal(try_set(*state, "new", -1, "", NULL), KM_FORMAT);
    assert_int_equal(try_set(*state, "new", -1, pattern, NULL), KM_FORMAT);
    assert_int_equal(try_set(*state, "new", 4, "a", NULL), KM_FORMAT);
    struct km_err err = KM_ERR_INIT;
    const char *patterns[KM_STAGE_MAX_PATTERNS + 1];
    for (size_t i = 0; i <= KM_STAGE_MAX_PATTERNS; i++)
        patterns[i] = "a";
    struct km_stage_change change = {.scope = "new",
                                     .stage = -1,
                                     .daemons = patterns,
                                     .daemon_count = KM_STAGE_MAX_PATTERNS + 1,
                                     .who = "kato",
                                     .note = "n"};
    assert_int_equal(km_stage_set(*state, &change, NOON, &err), KM_LIMIT);
    change.daemon_count = 1;
    change.note = "";
    assert_int_equal(km_stage_set(*state, &change, NOON, &err), KM_FORMAT);
    static const char *const criteria[] = {"precision",      "nothing=1",    "precision=x",  "precision=-1",
                                           "precision=nan",  "top_band=1.1", "top_band=off", "=1",
                                           "precision=0.5 ", "precision="};
    change.note = "n";
    change.criterion_count = 1;
    for (size_t i = 0; i < sizeof criteria / sizeof criteria[0]; i++) {
        change.criteria = &criteria[i];
        if (km_stage_set(*state, &change, NOON, &err) != KM_FORMAT)
            fail_msg("%s was taken", criteria[i]);
    }
    assert_int_equal(desk_number(*state, "SELECT (SELECT count(*) FROM scope)+(SELECT count(*) FROM audit)"), 0);
    const struct km_stage_step step = {.scope = "new", .who = "kato", .note = "n"};
    struct km_stage_check check;
    assert_int_equal(km_stage_check(*state, &step, NOON, &check, &err), KM_NOTFOUND);
    assert_int_equal(km_stage_advance(*state, &step, NOON, &err), KM_NOTFOUND);
    assert_int_equal(km_stage_back(*state, &step, NOON, &err), KM_NOTFOUND);
}

/* ---- criteria ---- */

static struct km_stage_check check_at(struct km_desk *desk, int64_t now_ns, int64_t found, int64_t total)
{
    struct km_err err = KM_ERR_INIT;
    struct km_stage_check check;
    const struct km_stage_step step = {.scope = "web", .staged_found = found, .staged_total = total};
    assert_ok(km_stage_check(desk, &step, now_ns, &check, &err), err);
    return check;
}

static enum km_criterion_result result_of(const struct km_stage_check *check, const char *id)
{
    for (size_t i = 0; i < check->count; i++)
        if (strcmp(check->checks[i].criterion->id, id) == 0)
            return check->checks[i].result;
    return (enum km_criterion_result) - 1;
}

/* All that the criteria of daemons ask for, but alerts, from NOON for so many days. */
static void good_days(struct km_desk *desk, int days)
{
    facts_run(desk, 1, "guard", "gate", NOON, 0);
    facts_watch(desk, 1, "nginx.service", "worker", NOON, NOON + days * DAY, 1);
    facts_do(desk, "INSERT INTO loss(run_id, at_ns, what, lost, seen) VALUES(1, %lld, 'event', 1, 1000)",
             (long long)NOON);
    facts_do(desk, "INSERT INTO health(run_id, at_ns, name, value) VALUES(1, %lld, 'cpu_share', 0.02)",
             (long long)NOON);
}

static void recording_ends_after_seven_watched_days(void **state)
{
    assert_int_equal(try_set(*state, "web", -1, "nginx*", NULL), KM_OK);
    good_days(*state, 7);
    struct km_stage_check check = check_at(*state, NOON + 7 * DAY - 1, 0, 0);
    assert_int_equal(result_of(&check, "days"), KM_CRITERION_FAILED);
    assert_false(check.met);
    check = check_at(*state, NOON + 7 * DAY, 0, 0);
    assert_true(check.met);
    assert_int_equal(check.count, 4); /* days, hours watched, loss, cpu: nothing of images, no precision */
    /* 7 of 7.4 days watched: 94.6 % */
    check = check_at(*state, NOON + 7 * DAY + 2 * DAY / 5, 0, 0);
    assert_int_equal(result_of(&check, "daemon_hours_watched"), KM_CRITERION_FAILED);
}

static void no_data_and_a_clock_set_back_are_not_met(void **state)
{
    assert_int_equal(try_set(*state, "web", -1, "nginx*", "shop*"), KM_OK);
    struct km_stage_check check = check_at(*state, NOON + 30 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "days"), KM_CRITERION_MET);
    assert_int_equal(result_of(&check, "daemon_hours_watched"), KM_CRITERION_NO_DATA);
    assert_int_equal(result_of(&check, "bytes_examined"), KM_CRITERION_NO_DATA);
    assert_int_equal(result_of(&check, "loss"), KM_CRITERION_NO_DATA);
    assert_false(check.met);
    check = check_at(*state, NOON - DAY, 0, 0);
    assert_int_equal(result_of(&check, "days"), KM_CRITERION_NO_DATA);
    assert_false(check.met);
    check = check_at(*state, NOON, 0, 0); /* this very moment */
    assert_int_equal(result_of(&check, "days"), KM_CRITERION_FAILED);
}

static void the_shadow_is_judged_by_what_people_decided(void **state)
{
    assert_int_equal(try_set(*state, "web", KM_STAGE_SHADOW, "nginx*", NULL), KM_OK);
    good_days(*state, 14);
    struct km_stage_check check = check_at(*state, NOON + 14 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "precision"), KM_CRITERION_IDLE); /* nothing alerted */
    assert_int_equal(result_of(&check, "decisions_reversed"), KM_CRITERION_IDLE);
    assert_int_equal(result_of(&check, "suppressions_reviewed"), KM_CRITERION_IDLE);
    assert_true(check.met);
    for (int i = 0; i < 5; i++)
        facts_alert(*state, "nginx.service", NOON + DAY, 0, -1, 0);
    check = check_at(*state, NOON + 14 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "alerts_decided"), KM_CRITERION_FAILED);
    assert_int_equal(result_of(&check, "precision"), KM_CRITERION_NO_DATA); /* alerts, and nobody decided */
    desk_do(*state, "DELETE FROM incident");
    facts_alert(*state, "nginx.service", NOON + DAY, MINUTE, 4, 3);
    facts_alert(*state, "nginx.service", NOON + DAY, MINUTE, 1, 3);
    facts_alert(*state, "nginx.service", NOON + DAY, MINUTE, 1, 3);
    check = check_at(*state, NOON + 14 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "precision"), KM_CRITERION_MET); /* 1 of 3 */
    assert_int_equal(result_of(&check, "false_per_daemon_day"), KM_CRITERION_MET);
    assert_true(check.met);
    facts_alert(*state, "nginx.service", NOON + DAY, MINUTE, 1, 3);
    check = check_at(*state, NOON + 14 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "precision"), KM_CRITERION_FAILED); /* 1 of 4 */
    limit(*state, "web", "precision=0.25");
    check = check_at(*state, NOON + 14 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "precision"), KM_CRITERION_MET);
    limit(*state, "web", "precision=off");
    check = check_at(*state, NOON + 14 * DAY, 0, 0);
    assert_true((int)result_of(&check, "precision") == -1);
}

static void the_last_step_wants_staged_attacks(void **state)
{
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(try_set(*state, "web", KM_STAGE_TOP, "nginx*", NULL), KM_OK);
    good_days(*state, 30);
    struct km_stage_check check = check_at(*state, NOON + 30 * DAY, 0, 0);
    assert_int_equal(result_of(&check, "staged"), KM_CRITERION_NO_DATA);
    check = check_at(*state, NOON + 30 * DAY, 7, 10);
    assert_int_equal(result_of(&check, "staged"), KM_CRITERION_FAILED);
    check = check_at(*state, NOON + 30 * DAY, 8, 10);
    assert_true(check.met);
    static const int64_t wrong[][2] = {{11, 10}, {-1, 10}, {0, -1}};
    for (size_t i = 0; i < 3; i++) {
        const struct km_stage_step step = {.scope = "web", .staged_found = wrong[i][0], .staged_total = wrong[i][1]};
        assert_int_equal(km_stage_check(*state, &step, NOON + 30 * DAY, &check, &err), KM_FORMAT);
    }
}

static void a_scope_walks_to_the_end_and_back_on_record(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_stage_step step = {
        .scope = "web", .who = "kato", .note = "as agreed", .staged_found = 10, .staged_total = 10};
    assert_int_equal(try_set(*state, "web", -1, "nginx*", NULL), KM_OK);
    good_days(*state, 60);
    assert_int_equal(km_stage_advance(*state, &step, NOON + 6 * DAY, &err), KM_CONFLICT);
    step.note = NULL;
    assert_int_equal(km_stage_advance(*state, &step, NOON + 7 * DAY, &err), KM_FORMAT);
    step.note = "as agreed";
    assert_int_equal(desk_number(*state, "SELECT count(*) FROM stage"), 1);
    assert_ok(km_stage_advance(*state, &step, NOON + 7 * DAY, &err), err);
    /* the losses that were reported lie in the stage before: the new one has no data */
    assert_int_equal(km_stage_advance(*state, &step, NOON + 21 * DAY, &err), KM_CONFLICT);
    desk_do(*state, "UPDATE loss SET at_ns=at_ns+7*86400000000000+1; UPDATE health SET at_ns=at_ns+7*86400000000000+1");
    assert_ok(km_stage_advance(*state, &step, NOON + 21 * DAY, &err), err);
    desk_do(*state, "UPDATE loss SET at_ns=at_ns+14*86400000000000; UPDATE health SET at_ns=at_ns+14*86400000000000");
    assert_ok(km_stage_advance(*state, &step, NOON + 51 * DAY, &err), err);
    assert_int_equal(answer(*state, "nginx.service", NULL).stage, KM_STAGE_ALL);
    assert_int_equal(km_stage_advance(*state, &step, NOON + 90 * DAY, &err), KM_CONFLICT);
    step.note = NULL; /* back wants no reason, only somebody */
    for (int i = 0; i < 3; i++)
        assert_ok(km_stage_back(*state, &step, NOON + 60 * DAY, &err), err);
    assert_int_equal(km_stage_back(*state, &step, NOON + 60 * DAY, &err), KM_CONFLICT);
    step.who = "";
    assert_int_equal(km_stage_back(*state, &step, NOON + 60 * DAY, &err), KM_FORMAT);
    assert_string_equal(desk_text(*state, "SELECT group_concat(action, ' ') FROM audit"),
                        "stage.set stage.advance stage.advance stage.advance stage.back stage.back stage.back");
    assert_int_equal(desk_number(*state, "SELECT count(*) FROM stage WHERE to_ns IS NULL"), 1);
    assert_int_equal(desk_number(*state, "SELECT count(*) FROM stage WHERE checked IS NOT NULL"), 3);
    assert_int_equal(desk_number(*state, "SELECT json_array_length(checked) FROM stage WHERE id=2"), 4);
    struct km_audit_report report;
    assert_ok(km_audit_verify(*state, NULL, NULL, NULL, &report, &err), err);
    assert_int_equal(report.entries, 7);
}

static void a_damaged_stage_is_an_error_and_not_silence(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_stage_answer out;
    static const char *const damages[] = {"UPDATE stage SET criteria='{'", "UPDATE stage SET criteria='[]'",
                                          "UPDATE stage SET criteria=NULL, stage=9"};
    assert_int_equal(try_set(*state, "web", -1, "nginx*", NULL), KM_OK);
    for (size_t i = 0; i < 3; i++) {
        desk_do(*state, damages[i]);
        assert_int_equal(km_stage_of(*state, "nginx", NULL, &out, &err), KM_FORMAT);
    }
}

/* ---- what is shown ---- */

static void find_daemon(struct km_desk *desk, int seq, const char *unit, double score)
{
    facts_do(desk,
             "INSERT INTO finding(run_id, seq, at_ns, kind, unit, role, verdict, score, confidence, evidence, dominant)"
             " VALUES(1, %d, %lld, 'daemon', '%s', 'w', 2, %.3f, 1, '[]', 'e%d')",
             seq, (long long)NOON, unit, score, seq);
}

static void triage_shows_what_the_stage_says(void **state)
{
    struct km_err err = KM_ERR_INIT;
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    assert_int_equal(try_set(*state, "recorded", KM_STAGE_RECORD, "rec*", NULL), KM_OK);
    assert_int_equal(try_set(*state, "shadowed", KM_STAGE_SHADOW, "shadow*", NULL), KM_OK);
    assert_int_equal(try_set(*state, "top", KM_STAGE_TOP, "top*", NULL), KM_OK);
    find_daemon(*state, 1, "rec", 0.99);
    find_daemon(*state, 2, "shadow", 0.99);
    find_daemon(*state, 3, "top", 0.9);
    find_daemon(*state, 4, "top", 0.89);
    find_daemon(*state, 5, "free", 0.5);
    for (int i = 0; i < 9; i++) /* nine more in the shadow: three alerts a daemon, one above, and no real one less */
        find_daemon(*state, 10 + i, "shadow", 0.6);
    struct km_triage_report report;
    assert_ok(km_triage_run(*state, NOON, &report, &err), err);
    assert_int_equal(report.alerts, 2);
    static const struct {
        const char *subject;
        int shown;
        int64_t count;
    } cases[] = {
        {"rec", KM_TRIAGE_RECORDED, 1}, {"shadow", KM_TRIAGE_SHADOW, 3}, {"shadow", KM_TRIAGE_DIGEST, 7},
        {"top", KM_TRIAGE_ALERT, 1},    {"top", KM_TRIAGE_DIGEST, 1},    {"free", KM_TRIAGE_ALERT, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char sql[128];
        snprintf(sql, sizeof sql, "SELECT count(*) FROM incident WHERE subject='%s' AND shown=%d", cases[i].subject,
                 cases[i].shown);
        if (desk_number(*state, sql) != cases[i].count)
            fail_msg("%s: %lld", sql, (long long)desk_number(*state, sql));
    }
}

static void nobody_is_asked_about_what_is_only_recorded(void **state)
{
    struct km_err err = KM_ERR_INIT;
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    assert_int_equal(try_set(*state, "recorded", KM_STAGE_RECORD, "rec*", NULL), KM_OK);
    find_daemon(*state, 1, "rec", 0.45);
    find_daemon(*state, 2, "free", 0.35);
    desk_do(*state, "UPDATE finding SET verdict=0, grouped=1");
    assert_ok(km_triage_run(*state, NOON, NULL, &err), err);
    assert_string_equal(desk_text(*state, "SELECT group_concat(subject) FROM incident"), "free");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_no_scope_names_is_shown_whole),
        TEST(the_longest_pattern_decides_then_caution),
        TEST(the_top_band_is_the_scopes),
        TEST(what_is_wrong_changes_nothing),
        TEST(recording_ends_after_seven_watched_days),
        TEST(no_data_and_a_clock_set_back_are_not_met),
        TEST(the_shadow_is_judged_by_what_people_decided),
        TEST(the_last_step_wants_staged_attacks),
        TEST(a_scope_walks_to_the_end_and_back_on_record),
        TEST(a_damaged_stage_is_an_error_and_not_silence),
        TEST(triage_shows_what_the_stage_says),
        TEST(nobody_is_asked_about_what_is_only_recorded),
    };
    return KM_RUN_TESTS(tests);
}
