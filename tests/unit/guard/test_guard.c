/* The guard without a kernel: events are made here, and what it asks of the probe is written down. */
#define KM_TEST_NAME "guard"
#include "../cm.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../profile/made_episodes.h"
#include "daemon/guard/guard.h"
#include "daemon/profile/watch.h"
#include "finding/alert_output.h"
#include "finding/strange.h"

#define MS      UINT64_C(1000000)
#define S       UINT64_C(1000000000)
#define LEARN_S 200
#define WALL    (INT64_C(1790000000) * 1000000000)

static struct km_err err;
static char folder[64];

struct seen {
    size_t alerts, updates, kept_back, weak;
    char kept_key[256];
    char key[256], role[256], sentence[4096], text[8192], json[16384];
    double confidence;
    enum km_verdict verdict;
    double score;
    bool lost, immature;
    char said[65536];
    size_t keys, modes, rules_set;
    bool mode_before_keys;
};

static enum km_code on_alert(void *context, const struct km_alert *alert, struct km_err *e)
{
    struct seen *seen = context;
    struct km_buf buf;
    seen->alerts += !alert->update;
    seen->updates += alert->update;
    (void)snprintf(seen->key, sizeof seen->key, "%s", alert->incident->key);
    (void)snprintf(seen->role, sizeof seen->role, "%s", alert->incident->role);
    seen->confidence = alert->finding->confidence;
    seen->score = alert->finding->score;
    seen->verdict = alert->finding->verdict;
    seen->lost = seen->immature = false;
    for (size_t i = 0; i < alert->finding->evidence_count; i++) {
        seen->lost |= strcmp(alert->finding->evidence[i].id, "confidence.lost") == 0;
        seen->immature |= strcmp(alert->finding->evidence[i].id, "confidence.immature") == 0;
    }
    km_buf_init(&buf, 1 << 20);
    assert_ok(km_alert_format_line(alert, &buf, e), *e);
    (void)snprintf(seen->sentence, sizeof seen->sentence, "%s", km_buf_text(&buf));
    km_buf_clear(&buf);
    assert_ok(km_alert_format_text(alert, false, &buf, e), *e);
    (void)snprintf(seen->text, sizeof seen->text, "%s", km_buf_text(&buf));
    km_buf_clear(&buf);
    assert_ok(km_alert_format_json(alert, &buf, e), *e);
    (void)snprintf(seen->json, sizeof seen->json, "%s", km_buf_text(&buf));
    km_buf_done(&buf);
    return KM_OK;
}

static enum km_code on_kept_back(void *context, const struct km_alert *alert, struct km_err *e)
{
    struct seen *seen = context;
    (void)e;
    assert_true(alert->kept_back && !alert->incident->shown);
    seen->kept_back++;
    seen->weak += alert->weak;
    (void)snprintf(seen->kept_key, sizeof seen->kept_key, "%s", alert->incident->key);
    return KM_OK;
}

static void on_say(void *context, const char *line)
{
    struct seen *seen = context;
    size_t n = strlen(seen->said);
    (void)snprintf(seen->said + n, sizeof seen->said - n, "%s\n", line);
}

static enum km_code add_known(void *context, const uint64_t *keys, size_t count, struct km_err *e)
{
    struct seen *seen = context;
    (void)keys;
    (void)e;
    seen->keys += count;
    return KM_OK;
}

static uint64_t landmark_key(void *context, unsigned role, const struct km_event_landmark *landmark)
{
    (void)context;
    return role + 1000U * landmark->kind;
}

static enum km_code set_rule(void *context, unsigned role, const struct km_episode_rule *rule, struct km_err *e)
{
    struct seen *seen = context;
    (void)role;
    (void)e;
    seen->rules_set += rule != NULL;
    return KM_OK;
}

static enum km_code learned(void *context, const char *daemon, struct km_err *e)
{
    struct seen *seen = context;
    (void)e;
    assert_string_equal(daemon, "web.service");
    seen->modes++;
    seen->mode_before_keys |= seen->keys == 0;
    return KM_OK;
}

static struct km_guard *new_guard(struct seen *seen, struct km_guard_config config)
{
    config.alerts = (struct km_alert_sink){seen, on_alert};
    config.kept_back = (struct km_alert_sink){seen, on_kept_back};
    config.say_context = seen;
    config.say = on_say;
    config.kernel = (struct km_guard_kernel){.context = seen,
                                             .add_known = add_known,
                                             .landmark_key = landmark_key,
                                             .set_rule = set_rule,
                                             .learned = learned};
    config.host = "here";
    struct km_guard *guard = km_guard_new(&config, &err);
    assert_non_null(guard);
    km_guard_set_clock(guard, WALL, 0);
    return guard;
}

static void give(struct km_guard *guard, const struct km_event *event)
{
    assert_ok(km_guard_event(guard, event, &err), err);
}

static struct km_bytes text(const char *s)
{
    return (struct km_bytes){s, strlen(s)};
}

static uint32_t announced_tgid; /* of the next announcement */

static void announce(struct km_guard *guard, uint16_t role, const char *name, uint8_t build, const char *package,
                     uint64_t time_ns)
{
    struct km_event event = {.kind = KM_EVENT_ROLE, .role = role, .time_ns = time_ns, .tgid = announced_tgid};
    event.role_info = (struct km_event_role){.unit = text("web.service"),
                                             .name = text(name),
                                             .exe = text("/usr/sbin/web"),
                                             .package = text(package),
                                             .build_id_length = 20};
    memset(event.role_info.build_id, build, 20);
    give(guard, &event);
}

static void tick(struct km_guard *guard, uint64_t time_ns)
{
    struct km_event event = {.kind = KM_EVENT_RATE, .time_ns = time_ns};
    give(guard, &event);
}

static void begin_thread(struct km_guard *guard, uint16_t role, uint32_t tid, uint32_t parent, uint64_t time_ns)
{
    struct km_event event = {.kind = KM_EVENT_THREAD, .role = role, .tid = tid, .tgid = tid, .time_ns = time_ns};
    event.thread = (struct km_event_thread){.parent_tid = parent, .uid = 33, .comm = text("web")};
    give(guard, &event);
}

static void end_thread(struct km_guard *guard, uint16_t role, uint32_t tid, uint64_t time_ns)
{
    struct km_event event = {.kind = KM_EVENT_END, .role = role, .tid = tid, .tgid = tid, .time_ns = time_ns};
    give(guard, &event);
}

static void play(struct km_guard *guard, uint16_t role, const struct made *m, uint32_t tid, uint64_t time_ns)
{
    struct km_event event = {.role = role, .tid = tid, .tgid = tid, .feed = KM_FEED_LEARN, .kind = KM_EVENT_CALL};
    for (size_t i = 0; i < m->episode.count; i++) {
        event.time_ns = time_ns + i * 1000;
        event.call = (struct km_event_call){.number = (uint16_t)km_call_number(m->packed[i])};
        give(guard, &event);
    }
    end_thread(guard, role, tid, time_ns + m->episode.count * 1000);
}

static void act(struct km_guard *guard, uint16_t role, uint32_t tid, enum km_landmark_kind kind, const char *path,
                uint64_t time_ns)
{
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .role = role, .tid = tid, .tgid = tid, .time_ns = time_ns};
    event.landmark =
        (struct km_event_landmark){.kind = (uint16_t)kind,
                                   .outcome = KM_OUTCOME_OK,
                                   .zone = strncmp(path, "/etc/", 5) == 0 ? KM_ZONE_CONFIG : KM_ZONE_SYSTEM,
                                   .path = text(path)};
    if (kind == KM_LANDMARK_EXEC)
        event.landmark.path2 = (struct km_bytes){"sh\0-c\0id", 8};
    give(guard, &event);
}

/* Learns for LEARN_S seconds and leaves the guard comparing. */
static uint64_t learn(struct km_guard *guard)
{
    struct made m;
    uint64_t now = S;
    announce(guard, 1, "web", 1, "web 1.0", now);
    for (uint32_t i = 0; now < LEARN_S * S; i++, now += S / 2) {
        made_normal(&m, i);
        play(guard, 1, &m, 100 + i, now);
    }
    now += 2 * S;
    tick(guard, now);
    return now;
}

static struct km_store *new_store(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/komainu-guard-XXXXXX");
    assert_non_null(mkdtemp(folder));
    struct km_store *store = km_store_open(folder, &err);
    assert_non_null(store);
    return store;
}

static void remove_store(struct km_store *store)
{
    char command[128];
    km_store_close(store);
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
}

static const struct km_guard_config learning = {.learn_ns = (LEARN_S - 2) * S};

/* ---- tests ---- */

static void learns_tells_the_kernel_and_stays_quiet(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    struct km_guard_status status;
    bool learns = false;
    assert_ok(km_guard_add(guard, "web.service", &learns, &err), err);
    assert_true(learns);
    uint64_t now = learn(guard);
    assert_true(km_guard_get_status(guard, 0, &status));
    assert_false(status.learning);
    assert_true(status.mature);
    assert_true(seen->keys > 10);
    assert_int_equal(seen->modes, 1);
    assert_int_equal(seen->rules_set, 1);
    assert_false(seen->mode_before_keys);
    assert_non_null(strstr(seen->said, "web.service (web): learned from"));
    struct made m;
    for (uint32_t i = 0; i < 100; i++, now += S) {
        made_normal(&m, i * 3);
        play(guard, 1, &m, 5000 + i, now);
        tick(guard, now + S / 2);
    }
    assert_int_equal(seen->alerts, 0);
    assert_false(km_guard_get_status(guard, 1, &status));
    assert_ok(km_guard_finish(guard, &err), err);
    km_guard_free(guard);
    free(seen);
}

static void a_strange_sequence_is_an_explained_alert(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    uint64_t now = learn(guard);
    struct made m;
    made_strange(&m);
    play(guard, 1, &m, 7000, now);
    assert_int_equal(seen->alerts, 1);
    assert_non_null(strstr(seen->text, "expected instead"));
    assert_non_null(strstr(seen->text, "nearest normal episode"));
    assert_non_null(strstr(seen->text, "what to do"));
    assert_non_null(strstr(seen->json, "\"schema\":\"komainu.alert/1\""));
    assert_non_null(strstr(seen->json, "behaviour.sequence"));
    assert_non_null(strstr(seen->text, "compared with its ordinary episodes"));
    assert_null(strstr(seen->text, "nothing but the order"));
    assert_true(seen->confidence > 0.5);
    /* The same again is the same incident. */
    play(guard, 1, &m, 7001, now + S);
    assert_int_equal(seen->alerts, 1);
    assert_int_equal(km_incidents_count(km_guard_incidents(guard)), 1);
    assert_int_equal(km_incidents_get(km_guard_incidents(guard), 0)->count > 1, true);
    km_guard_free(guard);
    free(seen);
}

static void a_few_strange_calls_say_why_they_are_trusted_little(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard_config config = learning;
    config.incidents.least_strength = 1e-9;
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    struct made m;
    made_normal(&m, 1);
    for (size_t i = 1; i < 4; i++)
        m.packed[m.episode.count - i] = km_call_pack(0, 105);
    play(guard, 1, &m, 7000, now);
    assert_int_equal(seen->alerts, 1);
    assert_true(seen->confidence < 0.02);
    assert_non_null(strstr(seen->text, "system calls came in an order or mix"));
    assert_non_null(strstr(seen->text, "nothing but the order and mix of calls is strange"));
    assert_non_null(strstr(seen->text, "what to do: "));
    km_guard_free(guard);
    free(seen);
}

/* A known thread forks, the child starts a shell, the shell starts a program and waits: one incident, told at once. */
static void a_shell_and_what_it_starts_are_one_incident(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    announced_tgid = 8001;
    announce(guard, 2, "web+", 1, "web 1.0", now);
    begin_thread(guard, 2, 8001, 8000, now);
    act(guard, 2, 8001, KM_LANDMARK_EXEC, "/bin/sh", now + MS);
    assert_int_equal(seen->alerts, 1);
    assert_string_equal(seen->key, "exec /bin/sh");
    assert_string_equal(seen->role, "web");
    assert_non_null(strstr(seen->sentence, "started the program /bin/sh"));
    assert_non_null(strstr(seen->sentence, "sh -c id"));
    assert_non_null(strstr(seen->text, "learned episodes: none of them had it"));
    assert_non_null(strstr(seen->text, "process 8001 (/bin/sh), thread 8001"));
    announce(guard, 3, "sh+", 9, "dash 0.5", now + 2 * MS);
    begin_thread(guard, 3, 8001, 8000, now + 2 * MS);
    announced_tgid = 8002;
    announce(guard, 4, "sh++", 9, "dash 0.5", now + 3 * MS);
    announced_tgid = 0;
    begin_thread(guard, 4, 8002, 8001, now + 3 * MS);
    act(guard, 4, 8002, KM_LANDMARK_EXEC, "/usr/bin/id", now + 4 * MS);
    for (int i = 1; i < 20; i++)
        tick(guard, now + (uint64_t)i * 100 * MS);
    assert_int_equal(seen->alerts, 1);
    assert_int_equal(km_incidents_count(km_guard_incidents(guard)), 1);
    km_guard_free(guard);
    free(seen);
}

static void an_act_is_told_though_its_thread_waits(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    act(guard, 1, 8000, KM_LANDMARK_OPEN, "/etc/secret", now);
    assert_int_equal(seen->alerts, 0);
    tick(guard, now + 600 * MS);
    assert_int_equal(seen->alerts, 1);
    assert_string_equal(seen->key, "open read /etc/secret");
    km_guard_free(guard);
    free(seen);
}

/* The calls around it are known, so the kernel keeps them: the score, by which the desk ranks, is the act's. */
static void an_act_among_ordinary_calls_has_the_acts_score(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    act(guard, 1, 8000, KM_LANDMARK_OPEN, "/etc/secret", now);
    end_thread(guard, 1, 8000, now + 1000);
    tick(guard, now + S);
    assert_int_equal(seen->alerts, 1);
    assert_string_equal(seen->key, "open read /etc/secret");
    assert_true(seen->score > 0.9 && seen->score < 1);
    km_guard_free(guard);
    free(seen);
}

/* By its key; without strength and shown when there is none. */
static struct km_incident incident_of(struct km_guard *guard, const char *key)
{
    const struct km_incidents *incidents = km_guard_incidents(guard);
    for (size_t i = 0; i < km_incidents_count(incidents); i++)
        if (strcmp(km_incidents_get(incidents, i)->key, key) == 0)
            return *km_incidents_get(incidents, i);
    return (struct km_incident){.shown = true};
}

/* A start that was never learned: what it may bring waits in the digest, and is an alert when it comes again later. */
static void what_a_start_brings_is_held_and_not_forgotten(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    struct km_guard_status status;
    struct made m;
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    act(guard, 1, 8000, KM_LANDMARK_EXEC_MEMORY, "/lib/x86_64-linux-gnu/libc.so.6", now);
    act(guard, 1, 8000, KM_LANDMARK_LISTEN, "", now + S);
    made_strange(&m);
    play(guard, 1, &m, 8000, now + 2 * S);
    tick(guard, now + 4 * S);
    assert_int_equal(seen->alerts, 0);
    assert_true(km_guard_get_status(guard, 0, &status));
    assert_true(status.held >= 1);
    assert_int_equal(status.held, status.alarms);
    assert_true(seen->kept_back > 0 && seen->kept_back == seen->weak);
    const struct km_incident held = incident_of(guard, "listen family 0");
    assert_false(held.shown);
    assert_true(held.strongest > 0 && held.strongest < 1);
    assert_non_null(strstr(seen->said, "the rest waits in the digest"));
    /* No start explains this. */
    begin_thread(guard, 1, 8001, 0, now + 5 * S);
    act(guard, 1, 8001, KM_LANDMARK_EXEC_MEMORY, "/lib/x86_64-linux-gnu/libc.so.6", now + 5 * S);
    act(guard, 1, 8001, KM_LANDMARK_UNLINK, "/usr/bin/tool", now + 6 * S);
    tick(guard, now + 7 * S);
    assert_int_equal(seen->alerts, 1);
    assert_string_equal(seen->key, "unlink /usr/bin/tool");
    /* The window is closed. */
    begin_thread(guard, 1, 8002, 0, now + 30 * S);
    act(guard, 1, 8002, KM_LANDMARK_EXEC_MEMORY, "/lib/x86_64-linux-gnu/libc.so.6", now + 30 * S);
    tick(guard, now + 31 * S);
    act(guard, 1, 8002, KM_LANDMARK_LISTEN, "", now + 45 * S);
    tick(guard, now + 46 * S);
    assert_int_equal(seen->alerts, 2);
    assert_string_equal(seen->key, "listen family 0");
    km_guard_free(guard);
    free(seen);
}

/* What is over the budget is no alert; each incident of it is handed on once, for the digest. */
static void what_the_budget_keeps_back_is_handed_on(void **state)
{
    (void)state;
    static const char *const programs[] = {"/bin/a", "/bin/b", "/bin/c", "/bin/c", "/bin/d"};
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard_config config = learning;
    config.incidents.per_daemon = 1;
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    for (size_t i = 0; i < sizeof programs / sizeof programs[0]; i++) {
        now += 2 * S;
        act(guard, 1, 8000, KM_LANDMARK_EXEC, programs[i], now);
        tick(guard, now + S);
    }
    assert_int_equal(seen->alerts, 2); /* a program has a budget of the same size when the usual one is used up */
    assert_string_equal(seen->key, "exec /bin/b");
    assert_int_equal(seen->kept_back, 2);
    assert_int_equal(seen->weak, 0);
    assert_string_equal(seen->kept_key, "exec /bin/d");
    km_guard_free(guard);
    free(seen);
}

static void a_stored_profile_is_used_at_once(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_store *store = new_store();
    struct km_guard_config config = learning;
    config.store = store;
    struct km_guard *guard = new_guard(seen, config);
    (void)learn(guard);
    km_guard_free(guard);
    bool learns = true;
    memset(seen, 0, sizeof *seen);
    guard = new_guard(seen, config);
    assert_ok(km_guard_add(guard, "web.service", &learns, &err), err);
    assert_false(learns);
    announce(guard, 1, "web", 1, "web 1.0", S);
    assert_true(seen->keys > 10);
    assert_int_equal(seen->alerts, 0);
    struct made m;
    made_strange(&m);
    play(guard, 1, &m, 7000, 2 * S);
    assert_int_equal(seen->alerts, 1);
    struct km_json *waiting = km_store_waiting(store, "web.service", "web", &err);
    assert_true(km_json_size(waiting) > 0);
    km_json_free(waiting);
    km_guard_free(guard);
    config.relearn = true;
    guard = new_guard(seen, config);
    assert_ok(km_guard_add(guard, "web.service", &learns, &err), err);
    assert_true(learns);
    km_guard_free(guard);
    remove_store(store);
    free(seen);
}

static void interrupted_learning_keeps_nothing_and_says_so(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_store *store = new_store();
    struct km_guard_config config = learning;
    struct made m;
    config.store = store;
    struct km_guard *guard = new_guard(seen, config);
    announce(guard, 1, "web", 1, "web 1.0", S);
    made_normal(&m, 1);
    play(guard, 1, &m, 100, 2 * S);
    assert_ok(km_guard_finish(guard, &err), err);
    assert_non_null(strstr(seen->said, "stopped before it was learned; nothing of it is kept"));
    struct km_store_loaded loaded;
    assert_null(km_store_load(store, "web.service", "web", 0, &loaded, &err));
    km_guard_free(guard);
    remove_store(store);
    free(seen);
}

static void a_changed_program_is_told_and_an_upgrade_is_not(void **state)
{
    (void)state;
    static const struct {
        uint8_t build;
        const char *package;
        size_t alerts;
    } rows[] = {{1, "web 1.0", 0}, {2, "web 1.1", 0}, {2, "web 1.0", 1}, {2, "", 1}};
    struct km_store *store = new_store();
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard_config config = learning;
    config.store = store;
    struct km_guard *guard = new_guard(seen, config);
    (void)learn(guard);
    /* While it is guarded, too. */
    announce(guard, 1, "web", 7, "web 1.0", 300 * S);
    assert_int_equal(seen->alerts, 1);
    assert_non_null(strstr(seen->json, "program.changed"));
    km_guard_free(guard);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        memset(seen, 0, sizeof *seen);
        guard = new_guard(seen, config);
        announce(guard, 1, "web", rows[i].build, rows[i].package, S);
        if (seen->alerts != rows[i].alerts)
            fail_msg("row %zu: %zu alerts", i, seen->alerts);
        km_guard_free(guard);
    }
    remove_store(store);
    free(seen);
}

/* A release window holds back, says so, and says at its end what stayed strange. */
static void an_upgrade_is_said_to_begin_and_to_be_over(void **state)
{
    (void)state;
    struct km_store *store = new_store();
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard_config config = learning;
    config.store = store;
    struct km_guard *guard = new_guard(seen, config);
    (void)learn(guard);
    km_guard_free(guard);
    memset(seen, 0, sizeof *seen);
    guard = new_guard(seen, config);
    uint64_t now = 400 * S;
    announce(guard, 1, "web", 2, "web 1.1", now);
    assert_non_null(strstr(seen->said, "upgraded to web 1.1 since it was learned"));
    for (uint32_t i = 0; i < KM_WATCH_RELEASE_EPISODES; i++, now += S / 2) {
        struct made m;
        made_normal(&m, i);
        assert_null(strstr(seen->said, "since the upgrade to"));
        play(guard, 1, &m, 9000 + i, now);
    }
    assert_non_null(strstr(seen->said, "web.service (web): since the upgrade to web 1.1 "));
    km_guard_free(guard);
    remove_store(store);
    free(seen);
}

/* A desk that at first says benign of whatever it is asked about, and then answers by these decisions. */
struct keyed {
    char decided[8][KM_STRANGE_TEXT_BYTES];
    unsigned count, answered, unanswered;
    bool over;
};

static const struct km_decision *decide_by_keys(void *context, const struct km_finding *finding, int64_t now_wall_ns)
{
    static const struct km_decision benign = {.kind = KM_DECISION_BENIGN_UNTIL, .who = "x", .note = "y"};
    struct keyed *keyed = context;
    (void)now_wall_ns;
    assert_non_null(finding->subject.strange);
    if (!keyed->over) {
        assert_true(keyed->count < 8);
        (void)snprintf(keyed->decided[keyed->count++], KM_STRANGE_TEXT_BYTES, "%s", finding->subject.strange);
        return &benign;
    }
    for (unsigned i = 0; i < keyed->count; i++)
        if (km_strange_covers(keyed->decided[i], finding->subject.strange)) {
            keyed->answered++;
            return &benign;
        }
    keyed->unanswered++;
    return NULL;
}

/* Ordinary work, twenty times as much of it: the pace is what is strange, and a decision covers it up to this pace. */
static void another_pace_is_an_explained_alert(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct keyed keyed = {.over = true};
    struct km_guard_config config = learning;
    config.decisions = (struct km_decisions){&keyed, decide_by_keys};
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    static const unsigned times[] = {1, 20, 1, 10000, 1};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        for (unsigned s = 0; s < 700; s++, now += S) {
            struct km_event rate = {.kind = KM_EVENT_RATE, .role = 1, .time_ns = now};
            rate.rate = (struct km_event_rate){.interval_ns = S, .calls = 35 * times[i], .episodes = 2 * times[i]};
            give(guard, &rate);
            if (i == 1 && keyed.unanswered == 1 && keyed.count == 0) { /* benign from now on */
                assert_int_equal(seen->alerts, 1);
                assert_non_null(
                    strstr(seen->sentence, "times as many as in the busiest ten seconds that were learned"));
                assert_non_null(strstr(seen->text, "what to do: Look at who asks it for so much"));
                assert_string_equal(seen->key, "behaviour.pace");
                keyed.over = false;
            }
            keyed.over |= keyed.count > 0;
        }
    assert_int_equal(keyed.count, 1);      /* ten minutes later */
    assert_int_equal(keyed.unanswered, 3); /* the first, and five hundred times of that */
    assert_int_equal(seen->alerts, 2);
    km_guard_free(guard);
    free(seen);
}

/* The budget is for noise: a program that the daemon never started is told when other things have used it up. */
static void a_program_is_told_above_the_budget(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard_config config = learning;
    config.incidents.per_daemon = 2;
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    static const char *const noise[] = {"/etc/a/x", "/etc/b/x", "/etc/c/x"};
    begin_thread(guard, 1, 8000, 0, now);
    for (unsigned i = 0; i < 3; i++, now += S) {
        struct made m;
        made_strange(&m); /* louder than the program alone */
        begin_thread(guard, 1, 8001 + i, 0, now);
        act(guard, 1, 8001 + i, KM_LANDMARK_OPEN, noise[i], now);
        play(guard, 1, &m, 8001 + i, now);
    }
    assert_int_equal(seen->alerts, 2);
    begin_thread(guard, 1, 8100, 0, now);
    act(guard, 1, 8100, KM_LANDMARK_EXEC, "/bin/sh", now);
    tick(guard, now + S);
    assert_int_equal(seen->alerts, 3);
    assert_string_equal(seen->key, "exec /bin/sh");
    km_guard_free(guard);
    free(seen);
}

static void losses_lower_the_confidence_and_are_told(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    uint64_t now = learn(guard);
    struct made m;
    struct km_event loss = {.kind = KM_EVENT_LOSS, .role = 1, .time_ns = now, .loss = {.events = 50000}};
    struct km_guard_status status;
    give(guard, &loss);
    made_strange(&m);
    play(guard, 1, &m, 7000, now);
    assert_int_equal(seen->alerts, 1);
    assert_true(seen->lost);
    assert_true(seen->confidence < 0.3);
    assert_true(km_guard_get_status(guard, 0, &status));
    assert_int_equal(status.lost, 50000);
    km_guard_free(guard);
    free(seen);
}

static const struct km_decision *decide(void *context, const struct km_finding *finding, int64_t now_wall_ns)
{
    static const struct km_decision benign = {.kind = KM_DECISION_BENIGN_UNTIL, .who = "x", .note = "y"};
    (void)now_wall_ns;
    char *path = context;
    (void)snprintf(path, 256, "%s", finding->subject.path);
    return strstr(path, "/exec /bin/sh") ? &benign : NULL;
}

static void benign_decisions_are_counted_and_not_told(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    char path[256] = "";
    struct km_guard_config config = learning;
    config.decisions = (struct km_decisions){path, decide};
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    act(guard, 1, 8000, KM_LANDMARK_EXEC, "/bin/sh", now);
    tick(guard, now + S);
    assert_string_equal(path, "web.service/web/exec /bin/sh");
    assert_int_equal(seen->alerts, 0);
    struct km_guard_status status;
    assert_true(km_guard_get_status(guard, 0, &status));
    assert_int_equal(status.suppressed, 1);
    km_guard_free(guard);
    free(seen);
}

static void a_decision_about_one_sequence_covers_no_other(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct keyed keyed = {.over = false};
    struct km_guard_config config = learning;
    config.decisions = (struct km_decisions){&keyed, decide_by_keys};
    config.incidents.least_strength = 1e-9;
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    struct made m;
    made_strange(&m);
    play(guard, 1, &m, 7000, now);
    assert_true(keyed.count > 0);
    keyed.over = true;
    /* the same again, with other numbers and at another time */
    play(guard, 1, &m, 7100, now + 3000 * S);
    assert_int_equal(keyed.answered, keyed.count);
    assert_int_equal(keyed.unanswered, 0);
    assert_int_equal(seen->alerts, 0);
    /* another order of calls in the same role */
    made_normal(&m, 1);
    for (size_t i = 1; i < 4; i++)
        m.packed[m.episode.count - i] = km_call_pack(0, 105);
    play(guard, 1, &m, 7200, now + 6000 * S);
    assert_int_equal(keyed.unanswered, 1);
    assert_int_equal(seen->alerts, 1);
    /* an act in the middle of the one that was decided about */
    made_strange(&m);
    begin_thread(guard, 1, 7300, 0, now + 9000 * S);
    act(guard, 1, 7300, KM_LANDMARK_EXEC, "/bin/sh", now + 9000 * S);
    play(guard, 1, &m, 7300, now + 9000 * S + 1000);
    assert_int_equal(keyed.unanswered, 2);
    assert_int_equal(seen->alerts, 2);
    assert_string_equal(seen->key, "exec /bin/sh");
    km_guard_free(guard);
    free(seen);
}

static void a_decision_about_an_act_covers_what_is_around_it(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct keyed keyed = {.over = false};
    struct km_guard_config config = learning;
    config.decisions = (struct km_decisions){&keyed, decide_by_keys};
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    static const char *const programs[] = {"/bin/sh", "/bin/sh", "/bin/bash"};
    for (unsigned i = 0; i < 3; i++, now += 3000 * S) {
        struct made m;
        made_normal(&m, i);
        keyed.over = i > 0;
        begin_thread(guard, 1, 7000 + i, 0, now);
        act(guard, 1, 7000 + i, KM_LANDMARK_EXEC, programs[i], now);
        play(guard, 1, &m, 7000 + i, now + 1000);
    }
    assert_int_equal(keyed.count, 1);
    assert_int_equal(strlen(keyed.decided[0]), KM_STRANGE_KEY_DIGITS);
    assert_int_equal(keyed.answered, 1);
    assert_int_equal(keyed.unanswered, 1);
    assert_int_equal(seen->alerts, 1);
    km_guard_free(guard);
    free(seen);
}

static struct km_rules *new_rules(const char *level)
{
    char path[] = "/tmp/komainu-rule-XXXXXX.yml";
    int fd = mkstemps(path, 4);
    assert_true(fd >= 0);
    assert_true(dprintf(fd,
                        "title: Shell\nid: 41f19be3-9975-5878-a6f3-6c7efbf9eca9\nlogsource:\n  product: linux\n"
                        "  category: process_creation\ndetection:\n  a:\n    Image|endswith: /sh\n"
                        "    ParentImage|endswith: /web\n  condition: a\nlevel: %s\n",
                        level) > 0);
    struct km_rules *rules = km_rules_new(&err);
    assert_non_null(rules);
    assert_ok(km_rules_load_path(rules, path, NULL, &err), err);
    assert_int_equal(km_rules_count(rules), 1);
    (void)close(fd);
    (void)unlink(path);
    return rules;
}

static void rules_judge_also_what_was_never_learned(void **state)
{
    (void)state;
    static const struct {
        const char *level;
        enum km_verdict verdict;
    } rows[] = {{"high", KM_VERDICT_SUSPICIOUS}, {"critical", KM_VERDICT_MALICIOUS}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen *seen = calloc(1, sizeof *seen);
        struct km_rules *rules = new_rules(rows[i].level);
        struct km_guard *guard = new_guard(seen, (struct km_guard_config){.rules = rules});
        announce(guard, 1, "web", 1, "web 1.0", S);
        begin_thread(guard, 1, 8000, 0, S);
        act(guard, 1, 8000, KM_LANDMARK_EXEC, "/usr/sbin/web", S);
        assert_int_equal(seen->alerts, 0);
        begin_thread(guard, 1, 8001, 8000, S);
        act(guard, 1, 8001, KM_LANDMARK_EXEC, "/bin/sh", S);
        assert_int_equal(seen->alerts, 1);
        assert_int_equal(seen->verdict, rows[i].verdict);
        assert_non_null(strstr(seen->text, "rule \"Shell\""));
        assert_non_null(strstr(seen->json, "rule.matched"));
        km_guard_free(guard);
        km_rules_free(rules);
        free(seen);
    }
}

/* What was learned as normal is not told again by a rule, and counted. */
static void a_rule_on_a_learned_act_is_counted(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_rules *rules = new_rules("high");
    struct km_guard_config config = learning;
    struct km_guard_status status;
    struct made m;
    config.rules = rules;
    struct km_guard *guard = new_guard(seen, config);
    announce(guard, 1, "web", 1, "web 1.0", S);
    begin_thread(guard, 1, 8000, 0, S);
    act(guard, 1, 8000, KM_LANDMARK_EXEC, "/usr/sbin/web", S);
    begin_thread(guard, 1, 8001, 8000, S);
    act(guard, 1, 8001, KM_LANDMARK_EXEC, "/bin/sh", S);
    made_normal(&m, 1);
    play(guard, 1, &m, 8001, S);
    assert_int_equal(seen->alerts, 1); /* while learning, it is told */
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8002, 8000, now);
    act(guard, 1, 8002, KM_LANDMARK_EXEC, "/bin/sh", now);
    tick(guard, now + S);
    assert_int_equal(seen->alerts, 1);
    assert_true(km_guard_get_status(guard, 0, &status));
    assert_int_equal(status.rules_fired, 2);
    assert_int_equal(status.rules_learned, 1);
    km_guard_free(guard);
    km_rules_free(rules);
    free(seen);
}

static void an_unlearned_daemon_is_said_once_and_judged_by_nothing_else(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, (struct km_guard_config){0});
    struct made m;
    announce(guard, 1, "web", 1, "web 1.0", S);
    announce(guard, 2, "web+", 1, "web 1.0", S);
    made_strange(&m);
    play(guard, 1, &m, 100, S);
    act(guard, 2, 101, KM_LANDMARK_EXEC, "/bin/sh", 2 * S);
    tick(guard, 4 * S);
    assert_int_equal(seen->alerts, 0);
    assert_string_equal(seen->said, "web.service: nothing is known of it; learn it with --learn\n");
    km_guard_free(guard);
    free(seen);
}

static void hostile_names_and_thousands_of_children_are_borne(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard_config config = learning;
    config.incidents = (struct km_incident_config){.per_daemon = 100000, .per_host = 100000};
    struct km_guard *guard = new_guard(seen, config);
    uint64_t now = learn(guard);
    begin_thread(guard, 1, 8000, 0, now);
    announce(guard, 2, "web+\x1b[2J", 1, "web\n1.0", now);
    for (uint32_t i = 0; i < 5000; i++)
        begin_thread(guard, 2, 10000 + i, 8000, now + (uint64_t)i * 1000);
    act(guard, 2, 10001, KM_LANDMARK_EXEC, "/tmp/\x1b]0;x\x07\n\xff", now + 6 * MS);
    assert_int_equal(seen->alerts, 1);
    assert_null(strpbrk(seen->sentence, "\x1b\x07\n"));
    assert_null(strchr(seen->text, '\x1b'));
    assert_null(strchr(seen->json, '\x1b'));
    assert_int_equal(strcspn(seen->json, "\n"), strlen(seen->json) - 1);
    for (uint32_t i = 0; i < 5000; i++)
        end_thread(guard, 2, 10000 + i, now + 10 * MS);
    for (int i = 1; i < 10; i++)
        tick(guard, now + (uint64_t)i * S);
    assert_ok(km_guard_finish(guard, &err), err);
    km_guard_free(guard);
    free(seen);
}

/* The wall clock is for people: when it jumps, learning and grouping by the events' clock go on. */
static void a_clock_that_jumps_only_changes_the_dates(void **state)
{
    (void)state;
    struct seen *seen = calloc(1, sizeof *seen);
    struct km_guard *guard = new_guard(seen, learning);
    struct made m;
    uint64_t now = learn(guard);
    made_strange(&m);
    play(guard, 1, &m, 7000, now);
    km_guard_set_clock(guard, WALL - INT64_C(3600) * 1000000000, 0);
    play(guard, 1, &m, 7001, now + S);
    assert_int_equal(km_incidents_count(km_guard_incidents(guard)), 2);
    km_guard_set_clock(guard, WALL, 0);
    play(guard, 1, &m, 7002, now + 2 * S);
    assert_int_equal(km_incidents_count(km_guard_incidents(guard)), 2);
    km_guard_free(guard);
    free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learns_tells_the_kernel_and_stays_quiet),
        cmocka_unit_test(a_strange_sequence_is_an_explained_alert),
        cmocka_unit_test(a_few_strange_calls_say_why_they_are_trusted_little),
        cmocka_unit_test(a_shell_and_what_it_starts_are_one_incident),
        cmocka_unit_test(an_act_is_told_though_its_thread_waits),
        cmocka_unit_test(an_act_among_ordinary_calls_has_the_acts_score),
        cmocka_unit_test(what_a_start_brings_is_held_and_not_forgotten),
        cmocka_unit_test(what_the_budget_keeps_back_is_handed_on),
        cmocka_unit_test(a_stored_profile_is_used_at_once),
        cmocka_unit_test(interrupted_learning_keeps_nothing_and_says_so),
        cmocka_unit_test(a_changed_program_is_told_and_an_upgrade_is_not),
        cmocka_unit_test(an_upgrade_is_said_to_begin_and_to_be_over),
        cmocka_unit_test(another_pace_is_an_explained_alert),
        cmocka_unit_test(a_program_is_told_above_the_budget),
        cmocka_unit_test(losses_lower_the_confidence_and_are_told),
        cmocka_unit_test(benign_decisions_are_counted_and_not_told),
        cmocka_unit_test(a_decision_about_one_sequence_covers_no_other),
        cmocka_unit_test(a_decision_about_an_act_covers_what_is_around_it),
        cmocka_unit_test(rules_judge_also_what_was_never_learned),
        cmocka_unit_test(a_rule_on_a_learned_act_is_counted),
        cmocka_unit_test(an_unlearned_daemon_is_said_once_and_judged_by_nothing_else),
        cmocka_unit_test(hostile_names_and_thousands_of_children_are_borne),
        cmocka_unit_test(a_clock_that_jumps_only_changes_the_dates),
    };
    return KM_RUN_TESTS(tests);
}
