#define KM_TEST_NAME "triage"
#include "../cm.h"

#include "desk/triage/decide.h"
#include "desk/triage/incident_list.h"
#include "desk/triage/suppress.h"
#include "desk/triage/triage.h"
#include "deskfile.h"
#include "deskrecord.h"

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

static struct km_triage_report triage(struct km_desk *desk, int64_t now_ns)
{
    struct km_err err = KM_ERR_INIT;
    struct km_triage_report report;
    assert_ok(km_triage_run(desk, now_ns, &report, &err), err);
    return report;
}

static int64_t decide(struct km_desk *desk, int64_t incident, enum km_decision_kind kind, int64_t until_ns)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_verdict_given given = {incident, kind, "kato", "looked at it", until_ns, 2};
    int64_t id = 0;
    assert_ok(km_decide_add(desk, &given, NOON, &id, &err), err);
    return id;
}

static void a_lineage_has_no_tag(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"shop:1.2", "shop"},
        {"shop", "shop"},
        {"reg:5000/shop:1", "reg:5000/shop"},
        {"reg:5000/shop", "reg:5000/shop"},
        {"shop@sha256:00", "shop"},
        {"", ""},
        {"a/b:c@sha256:1", "a/b"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char lineage[64];
        km_triage_format_lineage(cases[i][0], lineage, sizeof lineage);
        assert_string_equal(lineage, cases[i][1]);
    }
}

static void a_daemons_findings_within_the_gap_are_one_incident(void **state)
{
    struct km_desk *desk = *state;
    struct km_recorder *recorder = recorder_of(desk, "guard");
    for (int i = 0; i < 5; i++)
        record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + i * 9 * MINUTE, 0.6 + 0.01 * i));
    record(recorder, daemon_finding("nginx.service", "/usr/bin/id", NOON, 0.5));                 /* other evidence */
    record(recorder, daemon_finding("sshd.service", "/bin/sh", NOON, 0.5));                      /* other daemon */
    record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + 3 * 3600 * SECOND, 0.5)); /* later */
    flush_recorder(recorder);
    struct km_triage_report report = triage(desk, NOON + DAY / 4);
    assert_int_equal(report.findings, 8);
    assert_int_equal(report.begun, 4);
    assert_int_equal(desk_number(desk, "SELECT count FROM incident ORDER BY id LIMIT 1"), 5);
    assert_int_equal(desk_number(desk, "SELECT last_ns-first_ns FROM incident ORDER BY id LIMIT 1"), 36 * MINUTE);
    assert_string_equal(desk_text(desk, "SELECT dominant FROM incident ORDER BY id LIMIT 1"), "first.exec /bin/sh");
    /* the strongest finding is the one to show */
    assert_int_equal(desk_number(desk, "SELECT finding_id FROM incident ORDER BY id LIMIT 1"), 5);
    report = triage(desk, NOON + DAY / 4);
    assert_int_equal(report.findings, 0);
    km_recorder_free(recorder);
}

static void the_same_content_in_two_images_is_one_incident_of_more_reach(void **state)
{
    struct km_desk *desk = *state;
    struct km_recorder *recorder = recorder_of(desk, "scan");
    record(recorder, file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    record(recorder, file_finding("till:7", "srv/b", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    record(recorder, file_finding("shop:2", "opt/a", SHA_B, KM_VERDICT_MALICIOUS, 0.8)); /* next build, same path */
    record(recorder, file_finding("shop:2", "opt/c", NULL, KM_VERDICT_MALICIOUS, 0.8));
    record(recorder, file_finding("shop:2", "opt/d", NULL, KM_VERDICT_CLEAN, 0.1)); /* noted: no incident */
    flush_recorder(recorder);
    assert_int_equal(triage(desk, NOON).begun, 2);
    assert_int_equal(desk_number(desk, "SELECT count FROM incident WHERE id=1"), 3);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident_image WHERE incident_id=1"), 3);
    assert_int_equal(desk_number(desk, "SELECT round(1000*reach) FROM incident WHERE id=1"), 2585);
    assert_int_equal(desk_number(desk, "SELECT round(1000*priority) FROM incident WHERE id=1"), 2068);
    km_recorder_free(recorder);
}

static void the_budget_shows_the_strongest_and_digests_the_rest(void **state)
{
    struct km_desk *desk = *state;
    struct km_recorder *recorder = recorder_of(desk, "guard");
    char what[32];
    for (int i = 0; i < 8; i++) {
        snprintf(what, sizeof what, "/bin/%d", i);
        record(recorder, daemon_finding("nginx.service", what, NOON, 0.50 + 0.01 * i));
    }
    flush_recorder(recorder);
    struct km_triage_report report = triage(desk, NOON);
    assert_int_equal(report.alerts, KM_TRIAGE_BUDGET_DAEMON);
    assert_int_equal(report.digested, 5);
    assert_int_equal(desk_number(desk, "SELECT min(score)*100 FROM incident WHERE shown=1"), 55);
    /* what is stronger than all that was shown is shown above the budget, once */
    record(recorder, daemon_finding("nginx.service", "/bin/strong", NOON, 0.9));
    flush_recorder(recorder);
    assert_int_equal(triage(desk, NOON).alerts, 1);
    record(recorder, daemon_finding("nginx.service", "/bin/stronger", NOON, 0.95));
    flush_recorder(recorder);
    assert_int_equal(triage(desk, NOON).alerts, 0);
    /* the next day has a budget of its own */
    record(recorder, daemon_finding("nginx.service", "/bin/0", NOON + DAY, 0.5));
    flush_recorder(recorder);
    assert_int_equal(triage(desk, NOON + DAY).alerts, 1);
    km_recorder_free(recorder);
}

static void what_is_weak_waits_in_the_digest_until_it_is_strong(void **state)
{
    struct km_desk *desk = *state;
    struct km_recorder *recorder = recorder_of(desk, "guard");
    record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON, KM_TRIAGE_WEAK_SCORE / 2));
    flush_recorder(recorder);
    struct km_triage_report report = triage(desk, NOON);
    assert_int_equal(report.alerts, 0);
    assert_int_equal(report.digested, 1);
    record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + SECOND, KM_TRIAGE_WEAK_SCORE / 2));
    flush_recorder(recorder);
    assert_int_equal(triage(desk, NOON).alerts, 0);
    record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + MINUTE, 0.8));
    flush_recorder(recorder);
    assert_int_equal(triage(desk, NOON).alerts, 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident WHERE shown=1 AND count=3"), 1);
    km_recorder_free(recorder);
}

static void the_hosts_budget_holds_over_all_daemons(void **state)
{
    struct km_desk *desk = *state;
    struct km_recorder *recorder = recorder_of(desk, "guard");
    char unit[32];
    for (int i = 0; i < 30; i++) {
        snprintf(unit, sizeof unit, "d%d.service", i);
        record(recorder, daemon_finding(unit, "/bin/sh", NOON, 0.5));
    }
    flush_recorder(recorder);
    /* of ten, one is kept for the uncertain band and one for the sample */
    assert_int_equal(triage(desk, NOON).alerts, 8);
    km_recorder_free(recorder);
}

static void a_share_is_spent_on_what_nobody_alarmed_about(void **state)
{
    struct km_desk *desk = *state;
    char path[32];
    for (int day = 0; day < 2; day++) {
        struct km_recorder *recorder = recorder_of(desk, "scan");
        for (int i = 0; i < 40; i++) {
            snprintf(path, sizeof path, "opt/%d-%d", day, i);
            struct km_finding finding = file_finding("shop:1", path, NULL, KM_VERDICT_CLEAN, 0.01 * i);
            finding.time_wall_ns = NOON + day * DAY;
            record(recorder, finding);
        }
        flush_recorder(recorder);
        (void)triage(desk, NOON + day * DAY);
        (void)triage(desk, NOON + day * DAY);
        km_recorder_free(recorder);
    }
    /* one of the band a day, the one nearest to the threshold; the sample is drawn from the day before */
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident WHERE origin=1 AND shown=3"), 2);
    assert_int_equal(desk_number(desk, "SELECT round(100*min(score)) FROM incident WHERE origin=1"), 39);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident WHERE origin=2 AND shown=4"), 1);
    assert_int_equal(desk_number(desk, "SELECT first_ns FROM incident WHERE origin=2"), NOON);
}

/* The draw falls anywhere: what lies before it is found, too. */
static void a_sample_is_drawn_whenever_there_is_one(void **state)
{
    struct km_desk *desk = *state;
    char path[32];
    struct km_recorder *recorder = recorder_of(desk, "scan");
    for (int i = 0; i < 40; i++) {
        snprintf(path, sizeof path, "opt/%d", i);
        record(recorder, file_finding("shop:1", path, NULL, i == 0 ? KM_VERDICT_CLEAN : KM_VERDICT_MALICIOUS, 0.01));
    }
    flush_recorder(recorder);
    km_recorder_free(recorder);
    (void)triage(desk, NOON);
    (void)triage(desk, NOON + DAY);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident WHERE origin=2 AND shown=4"), 1);
}

/* The row's number of the first incident that the usual list shows; 0: none. */
static enum km_code keep_id(void *context, const struct km_incident_row *row, struct km_err *err)
{
    (void)err;
    int64_t *ids = context;
    ids[++ids[0]] = row->id;
    return KM_OK;
}

static int64_t listed(struct km_desk *desk, struct km_incident_filter filter, int64_t *ids, bool *more)
{
    struct km_err err = KM_ERR_INIT;
    ids[0] = 0;
    assert_ok(km_incident_list(desk, &filter, ids, keep_id, more, &err), err);
    return ids[0];
}

static void lists_are_filtered_and_paged(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_recorder *recorder = recorder_of(desk, "guard");
    int64_t ids[16];
    bool more = true;
    record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON, 0.5));
    record(recorder, daemon_finding("sshd.service", "/usr/bin/curl", NOON, 0.9));
    record(recorder, daemon_finding("cron.service", "/bin/sh", NOON - DAY, 0.7));
    flush_recorder(recorder);
    (void)triage(desk, NOON);
    const struct km_incident_filter usual = {.state = -1, .shown = -1, .limit = 10};
    assert_int_equal(listed(desk, usual, ids, &more), 3);
    assert_false(more);
    assert_int_equal(ids[1], 2); /* by priority */
    assert_int_equal(ids[2], 3);
    struct km_incident_filter filter = usual;
    filter.limit = 2;
    assert_int_equal(listed(desk, filter, ids, &more), 2);
    assert_true(more);
    filter.before_id = ids[2];
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    assert_int_equal(ids[1], 1);
    assert_false(more);
    filter = usual;
    filter.search = "curl";
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    assert_int_equal(ids[1], 2);
    filter.search = "service -curl -cron";
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    assert_int_equal(ids[1], 1);
    filter.search = "daemon:ssh";
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    filter = usual;
    filter.since_ns = NOON - DAY / 2;
    assert_int_equal(listed(desk, filter, ids, &more), 2);
    filter = usual;
    filter.subject = "cron";
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    const struct km_incident_change change = {
        .who = "kato", .assignee = "sato", .state = -1, .minutes = 3, .importance = 2};
    assert_ok(km_incident_apply(desk, 3, &change, NOON, &err), err);
    filter = usual;
    filter.assignee = "sato";
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    filter = usual;
    filter.state = KM_TRIAGE_ASSIGNED;
    assert_int_equal(listed(desk, filter, ids, &more), 1);
    assert_int_equal(desk_number(desk, "SELECT round(100*priority) FROM incident WHERE id=3"), 140);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit WHERE action='incident.change'"), 1);
    record(recorder, daemon_finding("cron.service", "/bin/id", NOON, 0.5)); /* it matters as much */
    flush_recorder(recorder);
    (void)triage(desk, NOON);
    assert_int_equal(desk_number(desk, "SELECT importance FROM incident WHERE id=4"), 2);
    filter = usual;
    filter.search = "\"open";
    assert_int_equal(km_incident_list(desk, &filter, ids, keep_id, &more, &err), KM_FORMAT);
    km_recorder_free(recorder);
}

static void a_change_out_of_range_is_refused(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_incident_change change = {.who = "kato", .state = -1, .minutes = -1, .importance = -1};
    assert_int_equal(km_incident_apply(desk, 9, &change, NOON, &err), KM_NOTFOUND);
    assert_false(km_desk_in_transaction(desk));
    change.importance = 11;
    assert_int_equal(km_incident_apply(desk, 9, &change, NOON, &err), KM_FORMAT);
    change.importance = -1;
    change.who = "";
    assert_int_equal(km_incident_apply(desk, 9, &change, NOON, &err), KM_FORMAT);
}

static void a_benign_decision_closes_and_answers_what_comes_after(void **state)
{
    struct km_desk *desk = *state;
    record_alone(desk, file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    (void)triage(desk, NOON);
    (void)decide(desk, 1, KM_DECISION_BENIGN_ONCE, 0);
    assert_int_equal(desk_number(desk, "SELECT state FROM incident WHERE id=1"), KM_TRIAGE_CLOSED);
    assert_int_equal(desk_number(desk, "SELECT minutes FROM incident WHERE id=1"), 2);
    record_alone(desk, file_finding("till:1", "opt/x", SHA_A, KM_VERDICT_MALICIOUS, 0.8)); /* this very content */
    assert_int_equal(triage(desk, NOON).begun, 0);
    record_alone(desk, file_finding("shop:2", "opt/a", SHA_B, KM_VERDICT_MALICIOUS, 0.8)); /* another one, same path */
    assert_int_equal(triage(desk, NOON).begun, 1);
}

static void benign_until_covers_a_path_until_its_day(void **state)
{
    struct km_desk *desk = *state;
    record_alone(desk, file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    (void)triage(desk, NOON);
    (void)decide(desk, 1, KM_DECISION_BENIGN_UNTIL, NOON + 7 * DAY);
    record_alone(desk, file_finding("shop:2", "opt/a", SHA_B, KM_VERDICT_MALICIOUS, 0.8));
    assert_int_equal(triage(desk, NOON + DAY).begun, 0);
    record_alone(desk, file_finding("till:2", "opt/a", SHA_B, KM_VERDICT_MALICIOUS, 0.8)); /* another image */
    assert_int_equal(triage(desk, NOON + DAY).begun, 1);
    record_alone(desk, file_finding("shop:3", "opt/a", "c", KM_VERDICT_MALICIOUS, 0.8));
    assert_int_equal(triage(desk, NOON + 8 * DAY).begun, 1);
}

static void suspicious_and_attack_confirm_and_never_hide(void **state)
{
    struct km_desk *desk = *state;
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    (void)decide(desk, 1, KM_DECISION_ATTACK, 0);
    assert_int_equal(desk_number(desk, "SELECT state FROM incident WHERE id=1"), KM_TRIAGE_CONFIRMED);
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON + 3600 * SECOND, 0.8));
    assert_int_equal(triage(desk, NOON + 3600 * SECOND).begun, 1);
}

static void undo_puts_the_incident_back(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t id = 0;
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    int64_t first = decide(desk, 1, KM_DECISION_SUSPICIOUS, 0);
    int64_t second = decide(desk, 1, KM_DECISION_BENIGN_LEARN, 0);
    assert_ok(km_decide_undo(desk, &(struct km_undo_given){1, "sato", "wrong button"}, NOON, &id, &err), err);
    assert_int_equal(id, second);
    assert_int_equal(desk_number(desk, "SELECT state FROM incident"), KM_TRIAGE_CONFIRMED);
    assert_int_equal(desk_number(desk, "SELECT decision_kind FROM incident"), KM_DECISION_SUSPICIOUS);
    assert_ok(km_decide_undo(desk, &(struct km_undo_given){1, "sato", "that, too"}, NOON, &id, &err), err);
    assert_int_equal(id, first);
    assert_int_equal(desk_number(desk, "SELECT state FROM incident"), KM_TRIAGE_OPEN);
    assert_int_equal(desk_number(desk, "SELECT decision_kind IS NULL AND closed_ns IS NULL FROM incident"), 1);
    assert_int_equal(km_decide_undo(desk, &(struct km_undo_given){1, "sato", "again"}, NOON, &id, &err), KM_NOTFOUND);
    assert_int_equal(km_decide_undo(desk, &(struct km_undo_given){1, "sato", ""}, NOON, &id, &err), KM_FORMAT);
}

static void a_decision_without_reason_end_or_content_is_refused(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t id = 0;
    record_alone(desk, file_finding("shop:1", "opt/a", NULL, KM_VERDICT_MALICIOUS, 0.8));
    (void)triage(desk, NOON);
    const struct {
        struct km_verdict_given given;
        enum km_code code;
    } cases[] = {
        {{1, KM_DECISION_ATTACK, "kato", "", 0, 0}, KM_FORMAT},
        {{1, KM_DECISION_ATTACK, "", "note", 0, 0}, KM_FORMAT},
        {{1, KM_DECISION_BENIGN_UNTIL, "kato", "note", 0, 0}, KM_FORMAT},
        {{1, KM_DECISION_BENIGN_UNTIL, "kato", "note", NOON - 1, 0}, KM_FORMAT},
        {{1, KM_DECISION_BENIGN_ONCE, "kato", "note", 0, 0}, KM_CONFLICT}, /* no content to hold on to */
        {{1, KM_DECISION_ATTACK, "kato", "note", 0, -1}, KM_FORMAT},
        {{77, KM_DECISION_ATTACK, "kato", "note", 0, 0}, KM_NOTFOUND},
        {{1, (enum km_decision_kind)9, "kato", "note", 0, 0}, KM_FORMAT},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(km_decide_add(desk, &cases[i].given, NOON, &id, &err), cases[i].code);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM decision"), 0);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit"), 0);
}

struct pending_seen {
    int count;
    int64_t id;
    bool undo;
    char daemon[64], dominant[64];
};

static enum km_code see_pending(void *context, const struct km_pending *pending, struct km_err *err)
{
    (void)err;
    struct pending_seen *seen = context;
    seen->count++;
    seen->id = pending->decision;
    seen->undo = pending->undo;
    snprintf(seen->daemon, sizeof seen->daemon, "%s", pending->daemon ? pending->daemon : "");
    snprintf(seen->dominant, sizeof seen->dominant, "%s", pending->dominant ? pending->dominant : "");
    return KM_OK;
}

static struct pending_seen pending_of(struct km_desk *desk, const char *guardian, const char *host)
{
    struct km_err err = KM_ERR_INIT;
    struct pending_seen seen = {0};
    assert_ok(km_decide_visit_pending(desk, guardian, host, &seen, see_pending, &err), err);
    return seen;
}

static void a_guardian_is_told_once_and_acknowledges(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t undone = 0;
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    int64_t id = decide(desk, 1, KM_DECISION_BENIGN_LEARN, 0);
    assert_int_equal(pending_of(desk, "scan", "gate").count, 0);
    assert_int_equal(pending_of(desk, "guard", "elsewhere").count, 0);
    struct pending_seen seen = pending_of(desk, "guard", "gate");
    assert_int_equal(seen.count, 1);
    assert_int_equal(seen.id, id);
    assert_false(seen.undo);
    assert_string_equal(seen.daemon, "nginx.service");
    assert_string_equal(seen.dominant, "first.exec /bin/sh");
    assert_ok(km_decide_acknowledge(desk, &(struct km_acknowledgement){id, false, "guard", NULL}, NOON + 5, &err), err);
    assert_int_equal(desk_number(desk, "SELECT applied_ns FROM decision"), NOON + 5);
    assert_int_equal(pending_of(desk, "guard", "gate").count, 0);
    assert_int_equal(km_decide_acknowledge(desk, &(struct km_acknowledgement){id, false, "guard", NULL}, NOON, &err),
                     KM_NOTFOUND);
    /* what was applied has to be taken out again */
    assert_ok(km_decide_undo(desk, &(struct km_undo_given){1, "kato", "was wrong"}, NOON, &undone, &err), err);
    seen = pending_of(desk, "guard", "gate");
    assert_int_equal(seen.count, 1);
    assert_true(seen.undo);
    assert_ok(km_decide_acknowledge(desk, &(struct km_acknowledgement){id, true, "guard", NULL}, NOON, &err), err);
    assert_int_equal(pending_of(desk, "guard", "gate").count, 0);
}

static void a_decision_that_cannot_be_applied_says_why(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    int64_t id = decide(desk, 1, KM_DECISION_BENIGN_LEARN, 0);
    assert_ok(
        km_decide_acknowledge(desk, &(struct km_acknowledgement){id, false, "guard", "no such alarm"}, NOON, &err),
        err);
    assert_string_equal(desk_text(desk, "SELECT applied_error FROM decision"), "no such alarm");
    assert_int_equal(desk_number(desk, "SELECT applied_ns IS NULL FROM decision"), 1);
    assert_int_equal(pending_of(desk, "guard", "gate").count, 0);
}

static void a_scan_is_answered_from_the_store(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    record_alone(desk, file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.8));
    (void)triage(desk, NOON);
    (void)decide(desk, 1, KM_DECISION_BENIGN_LEARN, 0);
    struct km_decide_source *source = km_decide_open(desk, "scan", "gate", &err);
    assert_non_null(source);
    struct km_decisions decisions = km_decide_decisions(source);
    struct km_finding other = file_finding("shop:1", "opt/a", SHA_B, KM_VERDICT_MALICIOUS, 0.8);
    assert_null(decisions.find(decisions.context, &other, NOON));
    struct km_finding same = file_finding("till:1", "x", SHA_A, KM_VERDICT_MALICIOUS, 0.8);
    for (int i = 0; i < 2; i++) {
        const struct km_decision *decision = decisions.find(decisions.context, &same, NOON);
        assert_non_null(decision);
        assert_int_equal(decision->kind, KM_DECISION_BENIGN_LEARN);
        assert_string_equal(decision->who, "kato");
        assert_string_equal(decision->note, "looked at it");
        assert_true(decision->until_wall_ns == INT64_MAX);
    }
    assert_int_equal(desk_number(desk, "SELECT applied_ns IS NULL FROM decision"), 1);
    assert_ok(km_decide_close(source, &err), err);
    assert_int_equal(desk_number(desk, "SELECT applied_ns IS NULL FROM decision"), 0);
}

static bool is_answered(struct km_desk *desk, const struct km_finding *finding)
{
    struct km_err err = KM_ERR_INIT;
    struct km_decide_source *source = km_decide_open(desk, "guard", "gate", &err);
    assert_non_null(source);
    struct km_decisions decisions = km_decide_decisions(source);
    bool answered = decisions.find(decisions.context, finding, NOON) != NULL;
    assert_ok(km_decide_close(source, &err), err);
    return answered;
}

static const char *keys_of(const char *const *things)
{
    static char texts[8][KM_STRANGE_TEXT_BYTES];
    static size_t used;
    struct km_strange strange = {0};
    for (; *things; things++)
        km_strange_add(&strange, "thing", *things);
    km_strange_format(&strange, texts[used % 8]);
    return texts[used++ % 8];
}
#define KEYS(...) keys_of((const char *const[]){__VA_ARGS__, NULL})

/* A strange order of calls, which no evidence names. */
static struct km_finding sequence(const char *strange)
{
    static const struct km_evidence order = {.id = "behaviour.sequence", .weight = 9};
    struct km_finding finding = daemon_finding("nginx.service", "", NOON, 0.8);
    finding.evidence = &order;
    finding.subject.strange = strange;
    return finding;
}

static int64_t decide_newest(struct km_desk *desk, struct km_finding finding, enum km_decision_kind kind)
{
    record_alone(desk, finding);
    (void)triage(desk, NOON);
    return decide(desk, desk_number(desk, "SELECT max(id) FROM incident"), kind,
                  kind == KM_DECISION_BENIGN_UNTIL ? NOON + DAY : 0);
}

static bool answers(struct km_desk *desk, const char *strange)
{
    struct km_finding finding = sequence(strange);
    return is_answered(desk, &finding);
}

static void a_decision_answers_what_was_strange_and_nothing_else(void **state)
{
    static const enum km_decision_kind kinds[] = {KM_DECISION_BENIGN_LEARN, KM_DECISION_BENIGN_UNTIL};
    struct km_desk *desk = *state;
    for (size_t i = 0; i < 2; i++) {
        (void)decide_newest(desk, sequence(KEYS("a", "b")), kinds[i]);
        assert_true(answers(desk, KEYS("b", "a")));
        assert_true(answers(desk, KEYS("a"))); /* less of it */
        assert_false(answers(desk, KEYS("a", "b", "c")));
        assert_false(answers(desk, KEYS("c")));
        assert_false(answers(desk, NULL));
        assert_false(answers(desk, ""));
        struct km_finding elsewhere = sequence(KEYS("a", "b"));
        elsewhere.subject.role = "master";
        assert_false(is_answered(desk, &elsewhere));
        int64_t incidents = desk_number(desk, "SELECT count(*) FROM incident");
        record_alone(desk, sequence(KEYS("a", "b")));
        (void)triage(desk, NOON);
        assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident"), incidents);
        desk_do(desk, "UPDATE decision SET undone_ns=1");
    }
}

/* One benign act in a role does not open the door for what comes with another, whatever the evidence names first. */
static void a_benign_act_covers_no_second_one(void **state)
{
    struct km_desk *desk = *state;
    struct km_finding act = daemon_finding("nginx.service", "/bin/sh", NOON, 0.8);
    (void)decide_newest(desk, act, KM_DECISION_BENIGN_UNTIL);
    assert_true(is_answered(desk, &act));
    struct km_finding more = act;
    struct km_strange strange = {0};
    char text[KM_STRANGE_TEXT_BYTES];
    km_strange_add(&strange, "exec", "/bin/sh");
    km_strange_add(&strange, "connect", "inet public 443");
    km_strange_format(&strange, text);
    more.subject.strange = text;
    assert_false(is_answered(desk, &more));
}

static void an_attack_covers_what_adds_to_it(void **state)
{
    struct km_desk *desk = *state;
    (void)decide_newest(desk, sequence(KEYS("a", "b")), KM_DECISION_ATTACK);
    assert_true(answers(desk, KEYS("a", "b", "c")));
    assert_true(answers(desk, KEYS("b")));
    assert_false(answers(desk, KEYS("a", "c")));
}

static void a_decision_from_before_the_keys_answers_by_name(void **state)
{
    struct km_desk *desk = *state;
    (void)decide_newest(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8), KM_DECISION_BENIGN_LEARN);
    desk_do(desk, "UPDATE decision SET strange='named'");
    struct km_finding same = daemon_finding("nginx.service", "/bin/sh", NOON, 0.8);
    assert_true(is_answered(desk, &same));
    struct km_finding other = daemon_finding("nginx.service", "/bin/bash", NOON, 0.8);
    assert_false(is_answered(desk, &other));
}

/* Keys are made of paths: they are hashed with the store's salt, and not kept where paths are not. */
static void keys_are_kept_as_paths_are(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    record_alone(desk, sequence(KEYS("a")));
    assert_string_not_equal(desk_text(desk, "SELECT strange FROM finding"), KEYS("a"));
    assert_int_equal(desk_number(desk, "SELECT length(strange) FROM finding"), KM_STRANGE_KEY_DIGITS);
    assert_ok(km_desk_set_setting(desk, "collect.paths", "none", &err), err);
    (void)decide_newest(desk, sequence(KEYS("b")), KM_DECISION_BENIGN_UNTIL);
    assert_int_equal(desk_number(desk, "SELECT count(strange) FROM finding"), 1);
    assert_false(answers(desk, KEYS("b")));
}

static enum km_code see_label(void *context, const struct km_label_given *label, struct km_err *err)
{
    (void)err;
    char *text = context;
    strncat(text, km_decision_is_benign(label->kind) ? "benign:" : "bad:", 16);
    strncat(text, label->sha256, 1);
    strncat(text, " ", 2);
    return KM_OK;
}

static void only_learned_content_is_labelled_benign(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    static const enum km_decision_kind kinds[] = {KM_DECISION_BENIGN_LEARN, KM_DECISION_ATTACK, KM_DECISION_BENIGN_ONCE,
                                                  KM_DECISION_BENIGN_UNTIL, KM_DECISION_SUSPICIOUS};
    char path[8] = "p0", sha[8] = "0";
    for (int i = 0; i < 5; i++) {
        path[1] = sha[0] = (char)('0' + i);
        record_alone(desk, file_finding("shop:1", path, sha, KM_VERDICT_MALICIOUS, 0.8));
        (void)triage(desk, NOON);
        (void)decide(desk, i + 1, kinds[i], kinds[i] == KM_DECISION_BENIGN_UNTIL ? NOON + DAY : 0);
    }
    char labels[256] = "";
    assert_ok(km_decide_visit_labels(desk, labels, see_label, &err), err);
    assert_string_equal(labels, "benign:0 bad:1 bad:4 ");
    int64_t id = 0;
    assert_ok(km_decide_undo(desk, &(struct km_undo_given){1, "kato", "not sure"}, NOON, &id, &err), err);
    labels[0] = '\0';
    assert_ok(km_decide_visit_labels(desk, labels, see_label, &err), err);
    assert_string_equal(labels, "bad:1 bad:4 ");
    /* Only what is in the file is applied: neither what came later nor what teaches nothing. */
    int64_t applied = 0;
    const struct km_labels_taken first = {.newest = 4, .who = "kato", .file_sha256 = SHA_A};
    assert_ok(km_decide_take_labels(desk, &first, NOON, &applied, &err), err);
    assert_int_equal(applied, 1);
    assert_int_equal(desk_number(desk, "SELECT group_concat(id) FROM decision WHERE applied_ns IS NOT NULL"), 2);
    const struct km_labels_taken all = {.newest = 5, .who = "kato", .file_sha256 = SHA_A};
    assert_ok(km_decide_take_labels(desk, &all, NOON, &applied, &err), err);
    assert_int_equal(applied, 1);
    assert_ok(km_decide_take_labels(desk, &all, NOON, &applied, &err), err);
    assert_int_equal(applied, 0);
}

static int64_t suppress(struct km_desk *desk, const char *daemon, int64_t expires_ns)
{
    struct km_err err = KM_ERR_INIT;
    int64_t id = 0;
    const struct km_suppression suppression = {
        .daemon = daemon, .reason = "nightly job", .owner = "kato", .expires_ns = expires_ns};
    assert_ok(km_suppress_add(desk, &suppression, "kato", NOON, &id, &err), err);
    return id;
}

static void a_suppression_hides_counts_and_gives_back(void **state)
{
    struct km_desk *desk = *state;
    int64_t ids[16];
    bool more;
    const struct km_incident_filter usual = {.state = -1, .shown = -1, .limit = 10};
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    assert_int_equal(listed(desk, usual, ids, &more), 1);
    (void)suppress(desk, "nginx*", NOON + 7 * DAY);
    assert_int_equal(listed(desk, usual, ids, &more), 0);
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON + MINUTE, 0.8));
    record_alone(desk, daemon_finding("nginx.service", "/bin/id", NOON + MINUTE, 0.8));
    record_alone(desk, daemon_finding("sshd.service", "/bin/id", NOON + MINUTE, 0.8));
    struct km_triage_report report = triage(desk, NOON + 2 * MINUTE);
    assert_int_equal(report.suppressed, 2);
    assert_int_equal(listed(desk, usual, ids, &more), 1);
    assert_int_equal(desk_number(desk, "SELECT hidden FROM suppression"), 2);
    report = triage(desk, NOON + 7 * DAY + 1);
    assert_int_equal(report.returned, 2);
    assert_int_equal(listed(desk, usual, ids, &more), 3);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident WHERE returned_ns IS NOT NULL"), 2);
    assert_int_equal(desk_number(desk, "SELECT ended_ns FROM suppression"), NOON + 7 * DAY);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit WHERE action LIKE 'suppression.%'"), 2);
}

static void a_suppression_can_end_early(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t ids[16];
    bool more;
    const struct km_incident_filter usual = {.state = -1, .shown = -1, .limit = 10};
    int64_t id = suppress(desk, "nginx.service", NOON + DAY);
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    assert_int_equal(listed(desk, usual, ids, &more), 0);
    assert_ok(km_suppress_end(desk, id, "sato", NOON, NULL, &err), err);
    assert_int_equal(listed(desk, usual, ids, &more), 1);
    assert_int_equal(km_suppress_end(desk, id, "sato", NOON, NULL, &err), KM_NOTFOUND);
}

/* Forty incidents of ten days, ten daemons: half of the host's eight come back as alerts, the strongest, and news of
 * the same day still has its place. */
static void the_end_of_a_suppression_is_no_flood(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t ids[64];
    bool more;
    const struct km_incident_filter usual = {.state = -1, .shown = -1, .limit = 64};
    int64_t id = suppress(desk, "batch*", NOON + 20 * DAY);
    for (int i = 0; i < 40; i++) {
        char daemon[32];
        snprintf(daemon, sizeof daemon, "batch%d.service", i % 10);
        record_alone(desk,
                     daemon_finding(daemon, i % 2 ? "/bin/sh" : "/bin/id", NOON + i / 4 * DAY + i, 0.6 + i / 200.0));
    }
    (void)triage(desk, NOON + 10 * DAY);
    assert_int_equal(listed(desk, usual, ids, &more), 0);
    struct km_suppression_end ended;
    assert_ok(km_suppress_end(desk, id, "sato", NOON + 12 * DAY, &ended, &err), err);
    assert_int_equal(ended.returned, 40);
    assert_int_equal(ended.shown, 4);
    assert_int_equal(ended.digested, 36);
    assert_int_equal(listed(desk, usual, ids, &more), 4);
    assert_int_equal(desk_number(desk, "SELECT min(priority)>=(SELECT max(priority) FROM incident WHERE shown=2 AND"
                                       " subject NOT IN (SELECT subject FROM incident WHERE shown=1)) FROM incident"
                                       " WHERE shown=1"),
                     1);
    const struct km_incident_filter of_it = {.state = -1, .shown = -1, .limit = 64, .suppression = id};
    assert_int_equal(listed(desk, of_it, ids, &more), 40);
    const struct km_incident_filter back = {.state = -1, .shown = -1, .limit = 64, .returned = true};
    assert_int_equal(listed(desk, back, ids, &more), 40);
    record_alone(desk, daemon_finding("sshd.service", "/bin/nc", NOON + 12 * DAY + MINUTE, 0.5));
    assert_int_equal(triage(desk, NOON + 12 * DAY + 2 * MINUTE).alerts, 1);
    assert_int_equal(listed(desk, usual, ids, &more), 5);
    (void)listed(desk, back, ids, &more);
    (void)decide(desk, ids[0], KM_DECISION_BENIGN_ONCE, 0);
    assert_int_equal(listed(desk, back, ids, &more), 39);
}

/* Who renews a suppression before it ends is shown nothing when the old one does. */
static void what_another_suppression_covers_stays_hidden(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t ids[16];
    bool more;
    const struct km_incident_filter usual = {.state = -1, .shown = -1, .limit = 10};
    int64_t id = suppress(desk, "nginx*", NOON + DAY);
    record_alone(desk, daemon_finding("nginx.service", "/bin/sh", NOON, 0.8));
    (void)triage(desk, NOON);
    (void)suppress(desk, "nginx.service", NOON + 9 * DAY);
    struct km_suppression_end ended;
    assert_ok(km_suppress_end(desk, id, "sato", NOON, &ended, &err), err);
    assert_int_equal(ended.returned, 0);
    assert_int_equal(listed(desk, usual, ids, &more), 0);
}

static void a_suppression_of_everything_or_for_ever_is_refused(void **state)
{
    struct km_desk *desk = *state;
    struct km_err err = KM_ERR_INIT;
    int64_t id = 0;
    const struct km_suppression cases[] = {
        {.reason = "r", .owner = "o", .expires_ns = NOON + DAY},
        {.host = "gate", .reason = "r", .owner = "o", .expires_ns = NOON + DAY},
        {.daemon = "d", .owner = "o", .expires_ns = NOON + DAY},
        {.daemon = "d", .reason = "r", .expires_ns = NOON + DAY},
        {.daemon = "d", .reason = "r", .owner = "o"},
        {.daemon = "d", .reason = "r", .owner = "o", .expires_ns = NOON},
        {.daemon = "d", .reason = "r", .owner = "o", .expires_ns = NOON + 400 * DAY},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(km_suppress_add(desk, &cases[i], "kato", NOON, &id, &err), KM_FORMAT);
}

int main(void)
{
#define WITH_DESK(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lineage_has_no_tag),
        WITH_DESK(a_daemons_findings_within_the_gap_are_one_incident),
        WITH_DESK(the_same_content_in_two_images_is_one_incident_of_more_reach),
        WITH_DESK(the_budget_shows_the_strongest_and_digests_the_rest),
        WITH_DESK(the_hosts_budget_holds_over_all_daemons),
        WITH_DESK(what_is_weak_waits_in_the_digest_until_it_is_strong),
        WITH_DESK(a_share_is_spent_on_what_nobody_alarmed_about),
        WITH_DESK(a_sample_is_drawn_whenever_there_is_one),
        WITH_DESK(lists_are_filtered_and_paged),
        WITH_DESK(a_change_out_of_range_is_refused),
        WITH_DESK(a_benign_decision_closes_and_answers_what_comes_after),
        WITH_DESK(benign_until_covers_a_path_until_its_day),
        WITH_DESK(suspicious_and_attack_confirm_and_never_hide),
        WITH_DESK(undo_puts_the_incident_back),
        WITH_DESK(a_decision_without_reason_end_or_content_is_refused),
        WITH_DESK(a_guardian_is_told_once_and_acknowledges),
        WITH_DESK(a_decision_that_cannot_be_applied_says_why),
        WITH_DESK(a_scan_is_answered_from_the_store),
        WITH_DESK(a_decision_answers_what_was_strange_and_nothing_else),
        WITH_DESK(a_benign_act_covers_no_second_one),
        WITH_DESK(an_attack_covers_what_adds_to_it),
        WITH_DESK(a_decision_from_before_the_keys_answers_by_name),
        WITH_DESK(keys_are_kept_as_paths_are),
        WITH_DESK(only_learned_content_is_labelled_benign),
        WITH_DESK(a_suppression_hides_counts_and_gives_back),
        WITH_DESK(a_suppression_can_end_early),
        WITH_DESK(the_end_of_a_suppression_is_no_flood),
        WITH_DESK(what_another_suppression_covers_stays_hidden),
        WITH_DESK(a_suppression_of_everything_or_for_ever_is_refused),
    };
    return KM_RUN_TESTS(tests);
}
