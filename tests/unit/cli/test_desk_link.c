#define KM_TEST_NAME "desk_link"
#include "../cm.h"

#include <stdlib.h>

#include "../desk/deskfile.h"
#include "../desk/deskrecord.h"
#include "cli/desk_link.h"

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

static struct km_desk_link *link_to(const struct deskfile *file, const char *command)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_desk_link_options options = {.command = command, .store = file->path};
    struct km_desk_link *link = km_desk_link_open(&options, &err);
    if (!link)
        fail_msg("%s", err.text);
    return link;
}

/* A first sink that counts, and fails from a given call on. */
struct counting {
    int calls, fail_from; /* 0: never */
};

static enum km_code count(struct counting *counting, struct km_err *err)
{
    counting->calls++;
    return counting->fail_from > 0 && counting->calls >= counting->fail_from ? km_fail(err, KM_LIMIT, "enough") : KM_OK;
}

static enum km_code on_begin(void *context, const struct km_target *target, struct km_err *err)
{
    (void)target;
    return count(context, err);
}

static enum km_code on_finding(void *context, const struct km_finding *finding, struct km_err *err)
{
    (void)finding;
    return count(context, err);
}

static enum km_code on_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)gap;
    return count(context, err);
}

static enum km_code on_end(void *context, const struct km_outcome *outcome, struct km_err *err)
{
    (void)outcome;
    return count(context, err);
}

static void give_target(const struct km_sink *sink)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_target target = {"shop:1", "dir"};
    const struct km_gap gap = {.where = "a"};
    const struct km_outcome outcome = {.verdict = KM_VERDICT_MALICIOUS};
    const struct km_finding finding = file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.9);
    assert_ok(sink->target_begin(sink->context, &target, &err), err);
    assert_ok(sink->finding(sink->context, &finding, &err), err);
    assert_ok(sink->gap(sink->context, &gap, &err), err);
    assert_ok(sink->target_end(sink->context, &outcome, &err), err);
}

static void both_sinks_get_everything(void **state)
{
    struct counting counting = {0, 0};
    const struct km_sink first = {&counting, on_begin, on_finding, on_gap, on_end};
    struct km_desk_link *link = link_to(*state, "scan");
    struct km_sink sink = km_desk_link_tee(link, &first);
    give_target(&sink);
    assert_int_equal(counting.calls, 4);
    assert_true(km_desk_link_finish(link));
    struct km_desk *desk = deskfile_open(*state);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM gap"), 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM target WHERE verdict=3"), 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM run WHERE ended_ns NOT NULL"), 1);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM incident WHERE shown=1"), 1); /* taken up at the end */
    km_desk_close(desk);
}

static void what_the_first_refuses_is_not_recorded(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct counting counting = {0, 1};
    const struct km_sink first = {&counting, on_begin, on_finding, on_gap, on_end};
    struct km_desk_link *link = link_to(*state, "scan");
    struct km_sink sink = km_desk_link_tee(link, &first);
    const struct km_finding finding = file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.9);
    assert_int_equal(sink.finding(sink.context, &finding, &err), KM_LIMIT);
    assert_int_equal(km_recorder_count(km_desk_link_recorder(link)).waiting, 0);
    assert_true(km_desk_link_finish(link));
}

static enum km_code on_alert(void *context, const struct km_alert *alert, struct km_err *err)
{
    (void)alert;
    return count(context, err);
}

static void a_guards_alert_is_recorded_as_its_finding(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct counting counting = {0, 0};
    const struct km_alert_sink first = {&counting, on_alert};
    struct km_desk_link *link = link_to(*state, "guard");
    const struct km_finding finding = daemon_finding("nginx.service", "/bin/sh", NOON, 0.8);
    const struct km_alert alert = {.finding = &finding, .host = "gate"};
    struct km_alert_sink sink = km_desk_link_alerts(link, &first);
    assert_ok(sink.alert(sink.context, &alert, &err), err);
    sink = km_desk_link_alerts(link, NULL);
    assert_ok(sink.alert(sink.context, &alert, &err), err);
    assert_int_equal(counting.calls, 1);
    assert_true(km_desk_link_finish(link));
    struct km_desk *desk = deskfile_open(*state);
    assert_string_equal(desk_text(desk, "SELECT subject||' '||role||' '||count FROM incident"),
                        "nginx.service worker 2");
    assert_string_equal(desk_text(desk, "SELECT kind FROM run"), "guard");
    km_desk_close(desk);
}

static const struct km_decision *always(void *context, const struct km_finding *finding, int64_t now_wall_ns)
{
    (void)finding;
    (void)now_wall_ns;
    return context;
}

static void the_first_decisions_win(void **state)
{
    struct km_decision decision = {.kind = KM_DECISION_ATTACK, .who = "file"};
    const struct km_decisions first = {&decision, always};
    const struct km_finding finding = file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.9);
    struct km_desk_link *link = link_to(*state, "scan");
    struct km_decisions decisions = km_desk_link_decisions(link, &first);
    assert_ptr_equal(decisions.find(decisions.context, &finding, NOON), &decision);
    decisions = km_desk_link_decisions(link, NULL);
    assert_null(decisions.find(decisions.context, &finding, NOON)); /* the store says nothing about it */
    assert_true(km_desk_link_finish(link));
}

/* The store is lost in the middle: the guardian goes on, and the end says so. */
static void trouble_with_the_store_ends_nothing(void **state)
{
    struct counting counting = {0, 0};
    const struct km_sink first = {&counting, on_begin, on_finding, on_gap, on_end};
    struct km_desk_link *link = link_to(*state, "scan");
    struct km_desk *desk = km_desk_link_desk(link);
    struct km_sink sink = km_desk_link_tee(link, &first);
    char limit[64];
    snprintf(limit, sizeof limit, "PRAGMA max_page_count=%lld", (long long)desk_number(desk, "PRAGMA page_count"));
    desk_do(desk, limit);
    struct km_err err = KM_ERR_INIT;
    for (int i = 0; i < 3000; i++) {
        const struct km_finding finding = file_finding("shop:1", "opt/a", SHA_A, KM_VERDICT_MALICIOUS, 0.9);
        assert_ok(sink.finding(sink.context, &finding, &err), err);
    }
    assert_int_equal(counting.calls, 3000);
    assert_false(km_desk_link_finish(link));
}

static void another_command_adds_to_the_log(void **state)
{
    const struct deskfile *file = *state;
    assert_int_equal(setenv("KOMAINU_STORE", file->path, 1), 0);
    (void)unlink(file->path);
    km_desk_link_audit("profile", "profile.rollback", "profile nginx.service worker", NULL);
    assert_int_not_equal(access(file->path, F_OK), 0); /* no store: none is made for this */
    km_desk_close(deskfile_open(file));
    km_desk_link_audit("profile", "profile.rollback", "profile nginx.service worker", NULL);
    assert_int_equal(unsetenv("KOMAINU_STORE"), 0);
    struct km_desk *desk = deskfile_open(file);
    assert_string_equal(desk_text(desk, "SELECT action||': '||object FROM audit"),
                        "profile.rollback: profile nginx.service worker");
    km_desk_close(desk);
}

static void nothing_to_finish_is_fine(void **state)
{
    (void)state;
    assert_true(km_desk_link_finish(NULL));
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(both_sinks_get_everything),
        IN_FOLDER(what_the_first_refuses_is_not_recorded),
        IN_FOLDER(a_guards_alert_is_recorded_as_its_finding),
        IN_FOLDER(the_first_decisions_win),
        IN_FOLDER(trouble_with_the_store_ends_nothing),
        IN_FOLDER(another_command_adds_to_the_log),
        cmocka_unit_test(nothing_to_finish_is_fine),
    };
    return KM_RUN_TESTS(tests);
}
