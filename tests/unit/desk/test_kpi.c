#define KM_TEST_NAME "kpi"
#include "../cm.h"

#include <math.h>

#include "desk/triage/kpi_text.h"
#include "desk/triage/survey.h"
#include "deskfacts.h"

#define CLOSE 1e-4

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

static struct km_kpi_report *measure(struct km_desk *desk, int64_t since_ns, int64_t until_ns)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_kpi_request request = {.since_ns = since_ns, .until_ns = until_ns, .now_ns = NOON + 100 * DAY};
    struct km_kpi_report *report = km_kpi_measure(desk, &request, &err);
    if (!report)
        fail_msg("%s", err.text);
    return report;
}

static const struct km_kpi *get(const struct km_kpi_report *report, const char *id)
{
    const struct km_kpi *row = km_kpi_find(report, id);
    if (!row)
        fail_msg("there is no %s", id);
    return row;
}

static void assert_note(const struct km_kpi *row, const char *wanted)
{
    char note[KM_KPI_NOTE_BYTES];
    km_kpi_format_note(row, note);
    assert_string_equal(note, wanted);
}

static void assert_value(const struct km_kpi_report *report, const char *id, double value, int64_t n)
{
    const struct km_kpi *row = get(report, id);
    if (!row->known || fabs(row->value - value) > CLOSE || row->n != n)
        fail_msg("%s: known %d, %.6f of %lld, wanted %.6f of %lld", id, row->known, row->value, (long long)row->n,
                 value, (long long)n);
}

static void assert_bounds(const struct km_kpi_report *report, const char *id, double low, double high)
{
    const struct km_kpi *row = get(report, id);
    if (!row->bounded || fabs(row->low - low) > CLOSE || fabs(row->high - high) > CLOSE)
        fail_msg("%s: %.6f..%.6f, wanted %.6f..%.6f", id, row->low, row->high, low, high);
}

static void an_empty_store_has_no_data_and_no_zeros(void **state)
{
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    static const char *const counts[] = {"decisions", "suppressions_created", "suppressions_ended",
                                         "suppressions_returned", "incidents_hidden"};
    for (size_t i = 0; i < report->count; i++) {
        bool count = false; /* what is counted in the store itself: none were made is a fact */
        for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++)
            count = count || strcmp(report->rows[i].id, counts[c]) == 0;
        if (report->rows[i].known != count)
            fail_msg("%s is %s", report->rows[i].id, count ? "not known" : "known");
    }
    assert_true(report->count > 20);
    assert_false(report->cut);
}

static void a_period_without_past_is_refused(void **state)
{
    struct km_err err = KM_ERR_INIT;
    static const int64_t cases[][3] = {
        {NOON, NOON, NOON + DAY}, {NOON + DAY, NOON, NOON + DAY}, {NOON + DAY, NOON + 2 * DAY, NOON}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct km_kpi_request request = {.since_ns = cases[i][0], .until_ns = cases[i][1], .now_ns = cases[i][2]};
        assert_null(km_kpi_measure(*state, &request, &err));
        assert_int_equal(err.code, KM_FORMAT);
    }
}

static void the_future_is_not_watched(void **state)
{
    struct km_err err = KM_ERR_INIT;
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    facts_watch(*state, 1, "nginx.service", "worker", NOON, NOON + DAY, 1);
    const struct km_kpi_request request = {.since_ns = NOON, .until_ns = NOON + 9 * DAY, .now_ns = NOON + DAY};
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = km_kpi_measure(*state, &request, &err);
    assert_non_null(report);
    assert_int_equal(report->until_ns, NOON + DAY);
    assert_value(report, "daemon_hours_mature", 1, 1);
}

static void watched_time_is_the_union_of_roles(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON - DAY, 0);
    facts_watch(*state, 1, "nginx.service", "worker", NOON, NOON + 4 * DAY, 1);
    facts_watch(*state, 1, "nginx.service", "master", NOON + 3 * DAY, NOON + 5 * DAY, 0);
    facts_watch(*state, 1, "sshd.service", "main", NOON - DAY, NOON + DAY, 1);
    facts_watch(*state, 1, "cron.service", "main", NOON - 2 * DAY, NOON, 1); /* ends at the border: outside */
    facts_watch(*state, 1, "cron.service", "main", NOON + 10 * DAY, NOON + 11 * DAY, 1); /* begins at it: outside */
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + 10 * DAY);
    assert_value(report, "daemon_days", 6, 2);            /* 5 + 1 */
    assert_value(report, "daemon_hours_watched", 0.3, 2); /* of 2 x 10 days */
    assert_value(report, "daemon_hours_mature", 0.2, 2);  /* less days 3 and 4 of nginx */
    assert_int_equal(report->clock_faults, 0);
}

static void rates_of_alerts(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    facts_watch(*state, 1, "nginx.service", "worker", NOON, NOON + 6 * DAY, 1);
    facts_alert(*state, "nginx.service", NOON + DAY, 2 * MINUTE, 4, 3);
    facts_alert(*state, "nginx.service", NOON + DAY, 4 * MINUTE, 3, 0);
    facts_alert(*state, "nginx.service", NOON + DAY, 9 * MINUTE, 4, 8);
    facts_alert(*state, "nginx.service", NOON + DAY, 30 * MINUTE, 1, 4);
    facts_alert(*state, "nginx.service", NOON + DAY, 0, -1, 7); /* not decided: its minutes are not all */
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + 10 * DAY);
    assert_value(report, "alerts", 5, 6);
    assert_value(report, "alerts_decided", 0.8, 5);
    assert_value(report, "precision", 0.75, 4);
    assert_bounds(report, "precision", 0.300642, 0.954413);
    assert_value(report, "false_per_daemon_day", 1.0 / 6, 1);
    assert_bounds(report, "false_per_daemon_day", 0.0253178 / 6, 5.5716434 / 6);
    assert_note(get(report, "false_per_daemon_day"), "at least: undecided alerts: 1");
    assert_value(report, "alerts_per_host_day", 5.0 / 6, 5);
    assert_value(report, "minutes_to_decision", 6.5, 4); /* (4 + 9) / 2 */
    assert_value(report, "minutes_per_alert", 4, 3);     /* 3 4 8 */
    assert_value(report, "latency_p50", 1, 5);
    assert_value(report, "decisions", 4, 0);
    assert_value(report, "decisions_reversed", 0, 4);
    assert_false(get(report, "false_per_100_images")->known);
}

static void one_alert_has_a_wide_interval(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    facts_watch(*state, 1, "nginx.service", "worker", NOON, NOON + DAY, 1);
    facts_alert(*state, "nginx.service", NOON, MINUTE, 4, 1);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "precision", 1, 1);
    assert_bounds(report, "precision", 0.206549, 1);
    assert_value(report, "false_per_daemon_day", 0, 0);
    assert_bounds(report, "false_per_daemon_day", 0, 3.688879);
    assert_note(get(report, "false_per_daemon_day"), "");
}

static void undecided_alerts_are_in_no_rate(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    facts_watch(*state, 1, "nginx.service", "worker", NOON, NOON + DAY, 1);
    for (int i = 0; i < 3; i++)
        facts_alert(*state, "nginx.service", NOON + i, 0, -1, 5);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "alerts_decided", 0, 3);
    static const char *const unknown[] = {"precision", "minutes_to_decision", "minutes_per_alert"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++)
        assert_false(get(report, unknown[i])->known);
    assert_note(get(report, "false_per_daemon_day"), "at least: undecided alerts: 3");
}

static void a_period_is_half_open(void **state)
{
    facts_alert(*state, "a.service", NOON - 1, MINUTE, 4, 1);
    facts_alert(*state, "a.service", NOON, MINUTE, 4, 1);
    facts_alert(*state, "a.service", NOON + DAY - 1, 2, 0, 1); /* decided after the end: not decided in the period */
    facts_alert(*state, "a.service", NOON + DAY, MINUTE, 4, 1);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "alerts_decided", 0.5, 2);
    assert_value(report, "precision", 1, 1);
    assert_value(report, "decisions", 2, 0); /* of the first alert but one, and of the one before the period */
}

static void a_clock_that_was_set_back_is_counted_and_left_out(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    facts_watch(*state, 1, "a.service", "main", NOON + 2 * HOUR, NOON + HOUR, 1);
    facts_watch(*state, 1, "a.service", "main", NOON, NOON + HOUR, 1);
    facts_alert(*state, "a.service", NOON + HOUR, -30 * MINUTE, 4, 2); /* decided before it was opened */
    facts_alert(*state, "a.service", NOON + HOUR, 10 * MINUTE, 4, 2);
    facts_do(*state, "UPDATE incident SET first_ns=opened_ns+1000000000 WHERE id=1"); /* seen before it happened */
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_int_equal(report->clock_faults, 3);
    assert_value(report, "minutes_to_decision", 10, 1);
    assert_value(report, "latency_p50", 1, 1);
    assert_value(report, "daemon_days", 1.0 / 24, 1);
}

static void scan(struct km_desk *desk, int64_t id, int64_t at_ns, const char *images, int64_t examined)
{
    facts_do(desk,
             "INSERT INTO target(run_id, seq, name, began_ns, ended_ns, bytes_total, bytes_examined, bytes_opaque,"
             " images) VALUES(1, %lld, 'shop.tar', %lld, %lld, 1000, %lld, 50, '%s')",
             (long long)id, (long long)at_ns, (long long)at_ns, (long long)examined, images);
}

static void new_images_are_counted_by_content(void **state)
{
    facts_run(*state, 1, "scan", "gate", NOON, NOON + DAY);
    scan(*state, 1, NOON - DAY, "[{\"name\":\"shop:1\",\"digest\":\"sha256:1\"}]", 0); /* before the period */
    scan(*state, 2, NOON, "[{\"name\":\"other:1\",\"digest\":\"sha256:1\"}]", 900);    /* the same content */
    scan(*state, 3, NOON,
         "[{\"name\":\"shop:2\",\"digest\":\"sha256:2\"},{\"name\":\"till:1\",\"digest\":\"sha256:3\"}]", 700);
    scan(*state, 4, NOON, "[]", 1000);            /* no image: the target itself */
    scan(*state, 5, NOON, "[\"text\", 3]", 1000); /* nobody's form */
    scan(*state, 6, NOON + 1, "no JSON", 400);    /* a damaged store */
    facts_alert(*state, NULL, NOON, MINUTE, 1, 1);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "images_new", 3, 4); /* sha256:2, sha256:3, shop.tar; sha256:1 is not new */
    assert_value(report, "bytes_examined", 4000.0 / 5000, 5);
    assert_value(report, "bytes_opaque", 250.0 / 5000, 5);
    assert_value(report, "false_per_100_images", 100.0 / 3, 1);
    assert_bounds(report, "false_per_100_images", 2.53178 / 3, 557.16434 / 3);
    assert_value(report, "alerts_per_host_day", 1, 1); /* a single scan is a day */
}

static void losses_are_shares_and_the_worst_is_told(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    static const char add[] = "INSERT INTO loss(run_id, at_ns, what, lost, seen) VALUES(1, %lld, '%s', %d, %d)";
    facts_do(*state, add, (long long)NOON, "event", 1, 1000);
    facts_do(*state, add, (long long)NOON, "event", 2, 2000);
    facts_do(*state, add, (long long)NOON, "finding", 0, 10);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "loss.event", 0.001, 2);
    assert_value(report, "loss.finding", 0, 1);
    assert_value(report, "loss", 0.001, 3);
    facts_do(*state, add, (long long)NOON, "episode", 5, 0);
    struct km_kpi_report *after KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_false(get(after, "loss.episode")->known);
    assert_note(get(after, "loss.episode"), "5 lost of an unknown number");
    assert_false(get(after, "loss")->known);
}

static void load_is_what_the_guard_reports_else_what_runs_took(void **state)
{
    facts_run(*state, 1, "guard", "gate", NOON, NOON + 100 * SECOND); /* 2 s of processor */
    struct km_kpi_report *before KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(before, "cpu_share", 0.02, 1);
    assert_value(before, "cpu_seconds", 2, 1);
    assert_value(before, "memory_peak", 1000000, 1);
    facts_do(*state,
             "INSERT INTO health(run_id, at_ns, name, value) VALUES(1, %lld, 'cpu_share', 0.01),"
             "(1, %lld, 'cpu_share', 0.03), (1, %lld, 'memory_bytes', 5e6)",
             (long long)NOON, (long long)NOON, (long long)NOON);
    facts_do(*state, "UPDATE run SET cpu_ms=5000");
    struct km_kpi_report *after KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(after, "cpu_share", 0.02, 2);
    assert_value(after, "memory_peak", 5e6, 1);
}

static void suppressions_and_their_review(void **state)
{
    static const char add[] = "INSERT INTO suppression(id, reason, owner, created_ns, expires_ns, ended_ns)"
                              " VALUES(%d, 'r', 'o', %lld, %lld, nullif(%lld, 0))";
    facts_do(*state, add, 1, (long long)NOON, (long long)NOON, (long long)NOON + HOUR);
    facts_do(*state, add, 2, (long long)(NOON - DAY), (long long)NOON, (long long)NOON + HOUR);
    facts_do(*state, add, 3, (long long)NOON, (long long)NOON, 0LL);
    facts_alert(*state, "a.service", NOON, MINUTE, 0, 1);
    facts_alert(*state, "a.service", NOON, 0, -1, 1);
    facts_do(*state, "UPDATE incident SET returned_ns=%lld, suppression_id=id", (long long)NOON);
    facts_alert(*state, "a.service", NOON, 0, -1, 1);
    facts_do(*state, "UPDATE incident SET shown=5, suppression_id=3 WHERE id=3");
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "suppressions_created", 2, 0);
    assert_value(report, "suppressions_ended", 2, 0);
    assert_value(report, "suppressions_returned", 2, 0);
    assert_value(report, "suppressions_reviewed", 0.5, 2);
    assert_value(report, "incidents_hidden", 1, 0);
    assert_value(report, "alerts", 2, 0);
}

static void reversed_decisions_count_and_no_longer_judge(void **state)
{
    facts_alert(*state, "a.service", NOON, MINUTE, 4, 1);
    facts_alert(*state, "a.service", NOON, MINUTE, 1, 1);
    facts_do(*state, "UPDATE decision SET undone_ns=%lld WHERE id=2", (long long)(NOON + HOUR));
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "decisions_reversed", 0.5, 2);
    assert_value(report, "precision", 1, 1);
}

static void ages_warn_past_their_limit(void **state)
{
    static const char add[] = "INSERT INTO component(kind, name, version, made_ns, from_ns, to_ns)"
                              " VALUES('%s', '%s', '1', nullif(%lld, 0), %lld, nullif(%lld, 0))";
    facts_do(*state, add, "model", "shipped", (long long)(NOON - 179 * DAY), (long long)NOON, 0LL);
    facts_do(*state, add, "model", "older", (long long)(NOON - 181 * DAY), (long long)NOON, 0LL);
    facts_do(*state, add, "rules", "sigma", (long long)(NOON - 31 * DAY), (long long)NOON, 0LL);
    facts_do(*state, add, "rules", "undated", 0LL, (long long)NOON, 0LL);
    facts_do(*state, add, "rules", "replaced", (long long)(NOON - 99 * DAY), (long long)NOON, (long long)(NOON + 1));
    facts_do(*state, add, "rules", "future\x1b[31m", (long long)(NOON + 99 * DAY), (long long)NOON, 0LL);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON - DAY, NOON + 2);
    assert_false(get(report, "age.model.shipped")->warned);
    assert_true(get(report, "age.model.older")->warned);
    assert_true(get(report, "age.rules.sigma")->warned);
    assert_value(report, "age.rules.sigma", 31, 0);
    assert_note(get(report, "age.rules.sigma"), "older than 30 days");
    assert_false(get(report, "age.rules.undated")->known);
    assert_null(km_kpi_find(report, "age.rules.replaced"));
    assert_false(get(report, "age.rules.future\\x1b[31m")->known);
    assert_int_equal(report->clock_faults, 1);
}

static void a_scope_sees_its_own(void **state)
{
    struct km_err err = KM_ERR_INIT;
    facts_run(*state, 1, "guard", "gate", NOON, 0);
    facts_watch(*state, 1, "nginx.service", "worker", NOON, NOON + DAY, 1);
    facts_watch(*state, 1, "sshd.service", "main", NOON, NOON + DAY, 1);
    facts_alert(*state, "nginx.service", NOON, MINUTE, 4, 1);
    facts_alert(*state, "sshd.service", NOON, MINUTE, 1, 1);
    facts_alert(*state, NULL, NOON, MINUTE, 1, 1);
    facts_do(*state, "INSERT INTO scope VALUES(7, 'web', 0); INSERT INTO scope_member VALUES(7, 'daemon', 'ngin*')");
    const struct km_kpi_request request = {.since_ns = NOON, .until_ns = NOON + DAY, .now_ns = NOON + DAY, .scope = 7};
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = km_kpi_measure(*state, &request, &err);
    assert_non_null(report);
    assert_value(report, "alerts", 1, 1);
    assert_value(report, "precision", 1, 1);
    assert_value(report, "daemon_days", 1, 1);
    assert_value(report, "decisions", 1, 0);
    facts_do(*state, "INSERT INTO scope_member VALUES(7, 'image', 'shop')");
    struct km_kpi_report *both KM_CLEANUP(km_kpi_cleanup) = km_kpi_measure(*state, &request, &err);
    assert_value(both, "alerts", 2, 1);
}

static void a_list_that_is_too_long_is_cut_and_says_so(void **state)
{
    for (int i = 0; i < 60; i++)
        facts_do(*state, "INSERT INTO component(kind, name, made_ns, from_ns) VALUES('model', 'm%d', %d, 1)", i, i + 1);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_true(report->cut);
    assert_true(report->count < KM_KPI_MAX_ROWS);
    get(report, "age.model.m0"); /* the oldest are there */
    assert_null(km_kpi_find(report, "age.model.m59"));
}

static void answers_are_means_for_each_stage(void **state)
{
    struct km_err err = KM_ERR_INIT;
    static const struct {
        const char *text;
        enum km_code code;
    } cases[] = {{"4,5,3,4,2", KM_OK},     {"5,5,5,5,5", KM_OK},      {"", KM_FORMAT},
                 {"4,5,3,4", KM_FORMAT},   {"4,5,3,4,2,", KM_FORMAT}, {"4,5,3,4,2,1", KM_FORMAT},
                 {"0,5,3,4,2", KM_FORMAT}, {"6,5,3,4,2", KM_FORMAT},  {"4, 5,3,4,2", KM_FORMAT},
                 {"4,5,3,4,22", KM_FORMAT}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int answers[KM_SURVEY_QUESTIONS];
        assert_int_equal(km_survey_parse(cases[i].text, answers, &err), cases[i].code);
        if (cases[i].code == KM_OK)
            assert_ok(km_survey_add(*state, 0, KM_STAGE_SHADOW, answers, NOON, &err), err);
    }
    int wrong[KM_SURVEY_QUESTIONS] = {1, 2, 3, 4, 6};
    assert_int_equal(km_survey_add(*state, 0, KM_STAGE_SHADOW, wrong, NOON, &err), KM_FORMAT);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(*state, NOON, NOON + DAY);
    assert_value(report, "trust.shadow.1", 4.5, 2);
    assert_value(report, "trust.shadow.5", 3.5, 2);
    assert_null(km_kpi_find(report, "trust"));
    assert_null(km_kpi_find(report, "trust.all.1"));
    assert_int_equal(desk_number(*state, "SELECT count(*) FROM survey WHERE who IS NOT NULL"), 0);
    assert_int_equal(desk_number(*state, "SELECT count(*) FROM audit WHERE action='survey.add'"), 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_empty_store_has_no_data_and_no_zeros),
        TEST(a_period_without_past_is_refused),
        TEST(the_future_is_not_watched),
        TEST(watched_time_is_the_union_of_roles),
        TEST(rates_of_alerts),
        TEST(one_alert_has_a_wide_interval),
        TEST(undecided_alerts_are_in_no_rate),
        TEST(a_period_is_half_open),
        TEST(a_clock_that_was_set_back_is_counted_and_left_out),
        TEST(new_images_are_counted_by_content),
        TEST(losses_are_shares_and_the_worst_is_told),
        TEST(load_is_what_the_guard_reports_else_what_runs_took),
        TEST(suppressions_and_their_review),
        TEST(reversed_decisions_count_and_no_longer_judge),
        TEST(ages_warn_past_their_limit),
        TEST(a_scope_sees_its_own),
        TEST(a_list_that_is_too_long_is_cut_and_says_so),
        TEST(answers_are_means_for_each_stage),
    };
    return KM_RUN_TESTS(tests);
}
