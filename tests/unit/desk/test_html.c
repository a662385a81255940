#define KM_TEST_NAME "html"
#include "../cm.h"

#include "base/text.h"
#include "desk/report/html.h"
#include "desk/report/html_writer.h"
#include "desk/triage/decide.h"
#include "desk/triage/kpi_text.h"
#include "desk/triage/triage.h"
#include "deskfile.h"
#include "deskrecord.h"

#define MAX_PAGE_BYTES ((size_t)4 << 20)

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

static void text_is_escaped_for_html_and_xml(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "plain"},
        {"", ""},
        {NULL, "-"},
        {"<script>", "&lt;script&gt;"},
        {"a&b \"c\" 'd'", "a&amp;b &quot;c&quot; &#39;d&#39;"},
        {"&lt;", "&amp;lt;"},
        {"\x1b[31m\n", "\\x1b[31m\\n"},
        {"\xff", "\\xff"},
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"},
        {"\xef\xbf\xbf", "\\xef\\xbf\\xbf"}, /* U+FFFF is UTF-8, but no character of XML */
        {"\xef\xbc\xa1", "\xef\xbc\xa1"},    /* U+FF21 is one */
        {"\xe7\x8b\x9b", "\xe7\x8b\x9b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_buf out;
        km_buf_init(&out, 1024);
        struct km_html html = {.out = &out, .err = &err, .code = KM_OK};
        km_html_text(&html, cases[i][0]);
        assert_ok(html.code, err);
        assert_string_equal(km_buf_text(&out), cases[i][1]);
        km_buf_done(&out);
    }
}

static void a_full_buffer_is_said_once_and_stays(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf out;
    km_buf_init(&out, 8);
    struct km_html html = {.out = &out, .err = &err, .code = KM_OK};
    km_html_text(&html, "<<<");
    assert_int_equal(html.code, KM_LIMIT);
    km_html_raw(&html, "x");
    assert_int_equal(html.code, KM_LIMIT);
    assert_string_equal(km_buf_text(&out), "&lt;&lt;");
    km_buf_done(&out);
}

static struct km_pilot *load(struct km_desk *desk, int64_t since_ns, int64_t until_ns)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_kpi_request period = {.since_ns = since_ns, .until_ns = until_ns, .now_ns = until_ns};
    struct km_pilot *pilot = km_pilot_load(desk, &period, &err);
    if (!pilot)
        fail_msg("%s", err.text);
    return pilot;
}

static const struct km_kpi *figure(const struct km_pilot *pilot, const char *id)
{
    const struct km_kpi *row = km_kpi_find(pilot->figures, id);
    assert_non_null(row);
    return row;
}

static void a_period_without_anything_is_not_known(void **state)
{
    struct km_pilot *pilot = load(*state, NOON - 3 * DAY, NOON);
    assert_int_equal(pilot->incidents, 0);
    assert_int_equal(pilot->day_count, 4);
    assert_false(figure(pilot, "minutes_to_decision")->known);
    struct km_err err = KM_ERR_INIT;
    struct km_buf out;
    km_buf_init(&out, MAX_PAGE_BYTES);
    assert_ok(km_report_html_pilot(pilot, NOON, &out, &err), err);
    assert_non_null(strstr(km_buf_text(&out), "not known: nobody entered any"));
    assert_non_null(strstr(km_buf_text(&out), "no data"));
    assert_null(strstr(km_buf_text(&out), ">nan"));
    km_buf_done(&out);
    km_pilot_free(pilot);
}

static void a_period_must_have_a_past(void **state)
{
    static const struct km_kpi_request periods[] = {
        {.since_ns = NOON, .until_ns = NOON, .now_ns = NOON + DAY},
        {.since_ns = -1, .until_ns = NOON, .now_ns = NOON},
        {.since_ns = NOON, .until_ns = NOON + DAY, .now_ns = NOON},
    };
    for (size_t i = 0; i < sizeof periods / sizeof periods[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_null(km_pilot_load(*state, &periods[i], &err));
        assert_int_equal(err.code, KM_FORMAT);
    }
}

/* Every key figure is in the page and in the document, with the interval that `komainu kpi` gives it. */
static void the_report_has_the_key_figures(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    record_alone(desk, file_finding("shop:1", "opt/x", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    assert_ok(km_triage_run(desk, NOON, NULL, &err), err);
    const struct km_verdict_given attack = {1, KM_DECISION_ATTACK, "kato", "shell", 0, 12};
    int64_t id = 0;
    assert_ok(km_decide_add(desk, &attack, NOON + MINUTE, &id, &err), err);
    struct km_pilot *pilot = load(desk, NOON - DAY, NOON + DAY);
    struct km_buf page, document;
    km_buf_init(&page, MAX_PAGE_BYTES);
    km_buf_init(&document, MAX_PAGE_BYTES);
    assert_ok(km_report_html_pilot(pilot, NOON, &page, &err), err);
    assert_ok(km_report_json_pilot(pilot, NOON, &document, &err), err);
    for (size_t i = 0; i < pilot->figures->count; i++) {
        char title[KM_KPI_TITLE_BYTES], quoted[2 * KM_KPI_TITLE_BYTES];
        km_kpi_format_title(&pilot->figures->rows[i], title);
        (void)snprintf(quoted, sizeof quoted, "\"id\": \"%s\"", pilot->figures->rows[i].id);
        assert_non_null(strstr(km_buf_text(&document), quoted));
        if (!strchr(title, '\'')) /* is written as &#39; there */
            assert_non_null(strstr(km_buf_text(&page), title));
    }
    /* 1 of 1, Wilson at 95 % */
    assert_non_null(strstr(km_buf_text(&page),
                           "decided alerts that were right</th><td>100.0 %</td><td>20.7 % .. 100.0 %"
                           "</td><td>1 decided alerts</td>"));
    km_buf_done(&page);
    km_buf_done(&document);
    km_pilot_free(pilot);
}

static void decisions_and_minutes_are_counted_in_their_period(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t id = 0;
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.9));
    record_alone(desk, file_finding("shop:1", "opt/x", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    record_alone(desk, file_finding("shop:1", "opt/y", SHA_B, KM_VERDICT_SUSPICIOUS, 0.7));
    assert_ok(km_triage_run(desk, NOON, NULL, &err), err);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident"), 3);
    const struct km_verdict_given attack = {1, KM_DECISION_ATTACK, "kato", "shell", 0, 12};
    const struct km_verdict_given benign = {2, KM_DECISION_BENIGN_LEARN, "kato", "ours", 0, 3};
    assert_ok(km_decide_add(desk, &attack, NOON + 10 * MINUTE, &id, &err), err);
    assert_ok(km_decide_add(desk, &benign, NOON + 30 * MINUTE, &id, &err), err);
    struct km_pilot *pilot = load(desk, NOON - DAY, NOON + DAY);
    assert_int_equal(pilot->incidents, 3);
    assert_true(figure(pilot, "alerts")->value == 3);
    assert_true(figure(pilot, "precision")->value == 0.5 && figure(pilot, "precision")->n == 2);
    assert_int_equal(pilot->undecided, 1);
    assert_int_equal(pilot->decisions[KM_DECISION_ATTACK], 1);
    assert_int_equal(pilot->minutes_known, 2);
    assert_true(pilot->minutes > 14.9 && pilot->minutes < 15.1);
    const struct km_kpi *median = figure(pilot, "minutes_to_decision");
    assert_true(median->value > 19.9 && median->value < 20.1);
    assert_int_equal(pilot->days[1].alerts, 3);
    assert_int_equal(pilot->days[1].right, 1);
    assert_int_equal(pilot->days[1].wrong, 1);
    km_pilot_free(pilot);
    pilot = load(desk, NOON - 2 * DAY, NOON); /* half open: what begins at its end is not in it */
    assert_int_equal(pilot->incidents, 0);
    km_pilot_free(pilot);
}

static void a_stretch_of_watching_counts_within_the_period_once(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_recorder *recorder = recorder_of(desk, "guard");
    const struct km_watch watches[] = {
        {"nginx.service", "worker", NOON - 60 * MINUTE, NOON + 60 * MINUTE, true, 1, 100, 10},
        {"nginx.service", "master", NOON - 60 * MINUTE, NOON + 60 * MINUTE, false, 1, 20, 10},
        {"cron.service", "main", NOON, NOON + 30 * MINUTE, false, 1, 3, 1},
    };
    for (size_t i = 0; i < sizeof watches / sizeof watches[0]; i++)
        assert_ok(km_recorder_add_watch(recorder, &watches[i], &err), err);
    km_recorder_free(recorder);
    struct km_pilot *pilot = load(desk, NOON, NOON + DAY);
    assert_int_equal(pilot->daemons, 2);
    double hours = figure(pilot, "daemon_days")->value * 24;
    assert_true(hours > 1.499 && hours < 1.501); /* two roles are one daemon */
    km_pilot_free(pilot);
}

static void a_long_period_draws_its_last_days(void **state)
{
    struct km_pilot *pilot = load(*state, 0, NOON);
    assert_int_equal(pilot->day_count, KM_PILOT_MAX_DAYS);
    assert_int_equal(pilot->first_day, NOON / DAY - KM_PILOT_MAX_DAYS + 1);
    struct km_err err = KM_ERR_INIT;
    struct km_buf out;
    km_buf_init(&out, MAX_PAGE_BYTES);
    assert_ok(km_report_html_pilot(pilot, NOON, &out, &err), err);
    km_buf_done(&out);
    km_pilot_free(pilot);
}

static void pages_of_what_is_not_there_are_not_found(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_buf out;
    km_buf_init(&out, MAX_PAGE_BYTES);
    assert_int_equal(km_report_html_incident(*state, 1, NOON, &out, &err), KM_NOTFOUND);
    assert_int_equal(km_report_html_container(*state, "shop:1", NOON, &out, &err), KM_NOTFOUND);
    assert_int_equal(out.length, 0);
    km_buf_done(&out);
}

static void a_hostile_path_stays_text(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    record_alone(desk, file_finding("shop:1", "x/<script>alert(1)</script>\x1b", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    assert_ok(km_triage_run(desk, NOON, NULL, &err), err);
    struct km_buf out;
    km_buf_init(&out, MAX_PAGE_BYTES);
    assert_ok(km_report_html_incident(desk, 1, NOON, &out, &err), err);
    assert_null(strstr(km_buf_text(&out), "<script"));
    assert_null(strchr(km_buf_text(&out), '\x1b'));
    assert_non_null(strstr(km_buf_text(&out), "x/&lt;script&gt;alert(1)&lt;/script&gt;\\x1b"));
    km_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped_for_html_and_xml),
        cmocka_unit_test(a_full_buffer_is_said_once_and_stays),
        cmocka_unit_test_setup_teardown(a_period_without_anything_is_not_known, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_period_must_have_a_past, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_report_has_the_key_figures, set_up, tear_down),
        cmocka_unit_test_setup_teardown(decisions_and_minutes_are_counted_in_their_period, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stretch_of_watching_counts_within_the_period_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_period_draws_its_last_days, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pages_of_what_is_not_there_are_not_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_hostile_path_stays_text, set_up, tear_down),
    };
    return KM_RUN_TESTS(tests);
}
