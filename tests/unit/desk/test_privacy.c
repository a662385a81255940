#define KM_TEST_NAME "privacy"
#include "../cm.h"

#include "desk/store/audit_chain.h"
#include "desk/store/privacy.h"
#include "desk/store/settings.h"
#include "deskfile.h"
#include "deskrecord.h"

static int set_up(void **state)
{
    static struct deskfile file;
    deskfile_init(&file);
    *state = &file;
    return 0;
}

static int tear_down(void **state)
{
    deskfile_done(*state);
    return 0;
}

static enum km_code add_matching(void *context, const struct km_privacy_kind *kind, struct km_err *err)
{
    (void)err;
    int64_t *sum = context;
    *sum += kind->matching;
    return KM_OK;
}

static int64_t matching(struct km_desk *desk, const char *text)
{
    struct km_err err = KM_ERR_INIT;
    int64_t sum = 0;
    assert_ok(km_privacy_visit(desk, text, &sum, add_matching, &err), err);
    return sum;
}

/* Whether a file of the store holds the bytes. */
static bool file_holds(const struct deskfile *file, const char *text)
{
    static const char *const suffixes[] = {"", "-wal"};
    static char bytes[1 << 20];
    for (size_t i = 0; i < 2; i++) {
        char path[160];
        snprintf(path, sizeof path, "%s%s", file->path, suffixes[i]);
        FILE *stream = fopen(path, "r");
        if (!stream)
            continue;
        size_t length = fread(bytes, 1, sizeof bytes, stream);
        fclose(stream);
        if (memmem(bytes, length, text, strlen(text)))
            return true;
    }
    return false;
}

static void what_is_erased_is_nowhere_any_more(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    int64_t rows = 0;
    record_alone(desk, file_finding("shop:1", "home/tanaka/key", SHA_A, KM_VERDICT_SUSPICIOUS, 0.5));
    record_alone(desk, daemon_finding("nginx.service", "/home/tanaka/sh", NOON, 0.5));
    record_alone(desk, file_finding("shop:1", "home/sato/key", SHA_B, KM_VERDICT_SUSPICIOUS, 0.5));
    desk_do(desk,
            "INSERT INTO incident(key, kind, host, subject, dominant, first_ns, last_ns, count, verdict, score,"
            " confidence, opened_ns, assignee) VALUES('x tanaka', 'file', 'gate', 'home/tanaka/key', 'd', 1, 1, 1,"
            " 2, 0.5, 1, 1, 'tanaka');"
            "INSERT INTO decision(incident_id, kind, who, note, at_ns, guardian, host) VALUES(1, 0, 'tanaka',"
            " 'mine', 1, 'scan', 'gate');"
            "INSERT INTO survey(at_ns, who, note) VALUES(1, 'tanaka', 'tired')");
    assert_ok(km_desk_begin(desk, &err), err);
    struct km_json *detail = km_json_new_object();
    km_json_set_string(detail, "note", "asked tanaka");
    assert_ok(km_audit_add(desk, "sato", "decision.add", "decision 1", detail, &err), err);
    km_json_free(detail);
    assert_ok(km_desk_commit(desk, &err), err);
    assert_int_equal(matching(desk, "tanaka"), 6);
    assert_true(file_holds(*state, "tanaka"));
    assert_ok(km_privacy_erase(desk, "tanaka", "sato", &rows, &err), err);
    assert_int_equal(rows, 6);
    assert_int_equal(matching(desk, "tanaka"), 0);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding_words WHERE finding_words MATCH 'tanaka'"), 0);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding_words WHERE finding_words MATCH 'sato'"), 1);
    struct km_audit_report report;
    assert_ok(km_audit_verify(desk, NULL, NULL, NULL, &report, &err), err);
    assert_int_equal(report.faults, 0);
    assert_int_equal(report.erased, 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 1);
    assert_string_equal(desk_text(desk, "SELECT who FROM decision"), "(erased)");
    assert_false(file_holds(*state, "tanaka"));
    km_desk_close(desk);
    assert_false(file_holds(*state, "tanaka"));
}

static void text_within_json_is_found_in_its_own_form(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    int64_t rows = 0;
    struct km_finding finding = daemon_finding("nginx.service", "/bin/sh", NOON, 0.5);
    finding.subject.command = "say \"hello there\"";
    record_alone(desk, finding);
    assert_int_equal(matching(desk, "\"hello there\""), 1);
    assert_ok(km_privacy_erase(desk, "\"hello there\"", "sato", &rows, &err), err);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 0);
    km_desk_close(desk);
}

static void a_text_that_is_too_short_or_long_is_refused(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    int64_t rows = 7;
    char text[KM_PRIVACY_MAX_TEXT_BYTES + 2];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(km_privacy_erase(desk, "ab", "sato", &rows, &err), KM_FORMAT);
    assert_int_equal(km_privacy_erase(desk, text, "sato", &rows, &err), KM_FORMAT);
    assert_int_equal(km_privacy_visit(desk, "", NULL, add_matching, &err), KM_FORMAT);
    assert_int_equal(rows, 7);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit"), 0);
    km_desk_close(desk);
}

static void retention_is_enforced_once_a_day(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    int64_t rows = 0;
    struct km_finding old = file_finding("shop:1", "opt/old", NULL, KM_VERDICT_CLEAN, 0.1);
    old.time_wall_ns = NOON - 31 * DAY;
    record_alone(desk, old);
    struct km_finding recent = file_finding("shop:1", "opt/recent", NULL, KM_VERDICT_CLEAN, 0.1);
    recent.time_wall_ns = NOON - 29 * DAY;
    record_alone(desk, recent);
    struct km_finding waiting = file_finding("shop:1", "opt/waiting", NULL, KM_VERDICT_MALICIOUS, 0.9);
    waiting.time_wall_ns = NOON - 900 * DAY; /* not yet grouped: nobody has seen it */
    record_alone(desk, waiting);
    assert_ok(km_privacy_enforce(desk, NOON, false, &rows, &err), err);
    assert_int_equal(rows, 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 2);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding_words WHERE finding_words MATCH 'old'"), 0);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit WHERE action='privacy.retention'"), 1);
    assert_ok(km_settings_change(desk, "retention.noted", "7", "kato", &err), err);
    assert_ok(km_privacy_enforce(desk, NOON + DAY / 2, false, &rows, &err), err);
    assert_int_equal(rows, 0);
    assert_ok(km_privacy_enforce(desk, NOON + DAY / 2, true, &rows, &err), err);
    assert_int_equal(rows, 1);
    assert_ok(km_privacy_enforce(desk, NOON + 2 * DAY, false, &rows, &err), err);
    assert_int_equal(rows, 0);
    km_desk_close(desk);
}

static void settings_are_checked_and_audited(void **state)
{
    static const char *const wrong[][2] = {
        {"collect.paths", "some"}, {"collect.paths", ""},      {"retention.noted", "0"}, {"retention.noted", "x"},
        {"budget.host", "-1"},     {"budget.uncertain", "51"}, {"budget.host", "1e3"},   {"retention.noted", ""}};
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    int64_t number = 0;
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (km_settings_change(desk, wrong[i][0], wrong[i][1], "kato", &err) != KM_FORMAT)
            fail_msg("%s=%s was taken", wrong[i][0], wrong[i][1]);
    assert_int_equal(km_settings_change(desk, "collect.salt", "00", "kato", &err), KM_NOTFOUND);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM setting"), 0);
    assert_ok(km_settings_number(desk, "budget.host", &number, &err), err);
    assert_int_equal(number, 10);
    assert_ok(km_settings_change(desk, "budget.host", "20", "kato", &err), err);
    assert_ok(km_settings_number(desk, "budget.host", &number, &err), err);
    assert_int_equal(number, 20);
    assert_string_equal(desk_text(desk, "SELECT text FROM audit_detail"), "{\"from\":\"10\",\"to\":\"20\"}");
    km_desk_close(desk);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(what_is_erased_is_nowhere_any_more),
        IN_FOLDER(text_within_json_is_found_in_its_own_form),
        IN_FOLDER(a_text_that_is_too_short_or_long_is_refused),
        IN_FOLDER(retention_is_enforced_once_a_day),
        IN_FOLDER(settings_are_checked_and_audited),
    };
    return KM_RUN_TESTS(tests);
}
