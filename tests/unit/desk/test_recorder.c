#define KM_TEST_NAME "recorder"
#include "../cm.h"

#include <signal.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "desk/store/collect.h"
#include "desk/store/evidence_json.h"
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

struct heard {
    size_t findings, calls;
    int64_t last_id;
    int failing, working;
    char cause[KM_ERR_TEXT_BYTES];
};

static void hear(void *context, int64_t first_id, int64_t last_id, size_t count)
{
    struct heard *heard = context;
    assert_true(first_id <= last_id);
    assert_true(first_id > heard->last_id);
    heard->findings += count;
    heard->calls++;
    heard->last_id = last_id;
}

static void notice(void *context, const struct km_err *cause)
{
    struct heard *heard = context;
    heard->failing += cause != NULL;
    heard->working += cause == NULL;
    if (cause)
        snprintf(heard->cause, sizeof heard->cause, "%s", cause->text);
}

static struct km_recorder *listening(struct km_desk *desk, struct heard *heard, size_t batch, size_t max_queue)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_recorder_options options = {
        .kind = "scan",
        .who = "kato",
        .host = "gate",
        .versions = {.komainu = "0.1.0"},
        .batch = batch,
        .batch_ms = 1000000,
        .max_queue = max_queue,
        .context = heard,
        .acknowledged = hear,
        .notice = notice,
    };
    struct km_recorder *recorder = km_recorder_new(desk, &options, &err);
    if (!recorder)
        fail_msg("%s", err.text);
    return recorder;
}

static void a_whole_target_is_kept(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    struct heard heard = {0};
    struct km_recorder *recorder = listening(desk, &heard, 100, 0);
    struct km_sink sink = km_recorder_sink(recorder);
    const struct km_target target = {"shop:1", "docker-archive"};
    const struct km_gap gap = {KM_GAP_ENCRYPTED, "a.zip", NULL, UINT64_MAX, 96, "needs a password"};
    const struct km_integrity integrity = {.database = "dpkg", .packages = 7, .files_changed = 1};
    const struct km_image_info image = {.name = "shop:1", .layers = 2};
    const struct km_outcome outcome = {.scheme = "docker-archive",
                                       .verdict = KM_VERDICT_MALICIOUS,
                                       .score = 0.9,
                                       .coverage = {1000, 900, 96, 10, 9, 1},
                                       .integrity = &integrity,
                                       .image_count = 1,
                                       .images = &image,
                                       .findings_omitted = 3,
                                       .versions = {"0.1.0", "rules 5", "model 2"},
                                       .seconds = 1.5};
    assert_ok(sink.target_begin(sink.context, &target, &err), err);
    struct km_finding finding = file_finding("shop:1", "opt/\xff\x1b[31m", SHA_A, KM_VERDICT_MALICIOUS, 0.9);
    const struct km_range ranges[] = {{0, 10}, {20, 30}};
    finding.ranges = ranges;
    finding.range_count = 2;
    finding.package = "agent 1.0";
    finding.subject.layer_history = "COPY agent /opt";
    assert_ok(sink.finding(sink.context, &finding, &err), err);
    assert_ok(sink.gap(sink.context, &gap, &err), err);
    assert_int_equal(heard.findings, 0); /* not before the commit */
    assert_ok(sink.target_end(sink.context, &outcome, &err), err);
    assert_int_equal(heard.findings, 1);
    assert_ok(km_recorder_finish(recorder, &err), err);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM target WHERE verdict=3 AND bytes_total=1000 AND"
                                       " bytes_examined=900 AND gaps=1 AND findings_omitted=3 AND ended_ns NOT NULL"),
                     1);
    assert_string_equal(desk_text(desk, "SELECT json_extract(integrity, '$.files_changed') FROM target"), "1");
    assert_string_equal(desk_text(desk, "SELECT path FROM finding"), "opt/\xff\x1b[31m"); /* raw bytes */
    assert_string_equal(desk_text(desk, "SELECT ranges FROM finding"), "[[0,10],[20,30]]");
    assert_string_equal(desk_text(desk, "SELECT json_extract(subject_more, '$.history') FROM finding"),
                        "COPY agent /opt");
    assert_string_equal(desk_text(desk, "SELECT place||' '||bytes||' '||(offset IS NULL)||' '||detail FROM gap"),
                        "a.zip 96 1 needs a password");
    assert_string_equal(desk_text(desk, "SELECT rules||', '||model FROM run WHERE ended_ns NOT NULL"),
                        "rules 5, model 2");
    assert_true(desk_number(desk, "SELECT memory_peak_bytes FROM run") > 0);
    assert_int_equal(desk_number(desk, "SELECT rowid FROM finding_words WHERE finding_words MATCH 'agent'"), 1);
    km_recorder_free(recorder);
    km_desk_close(desk);
}

static void commits_come_in_groups(void **state)
{
    struct km_desk *desk = deskfile_open(*state);
    struct heard heard = {0};
    struct km_recorder *recorder = listening(desk, &heard, 10, 0);
    for (int i = 0; i < 25; i++)
        record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + i, 0.5));
    assert_int_equal(heard.calls, 2);
    assert_int_equal(heard.findings, 20);
    assert_int_equal(km_recorder_count(recorder).waiting, 5);
    flush_recorder(recorder);
    assert_int_equal(heard.findings, 25);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 25);
    km_recorder_free(recorder);
    km_desk_close(desk);
}

/* The disk is full, then it is not: said once each way, and everything is there once. */
static void a_full_disk_is_said_once_and_nothing_is_lost(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    struct heard heard = {0};
    struct km_recorder *recorder = listening(desk, &heard, 50, 10000);
    char sql[64];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count=%lld", (long long)desk_number(desk, "PRAGMA page_count") + 8);
    desk_do(desk, sql);
    for (int i = 0; i < 1000; i++)
        record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + i, 0.5));
    assert_int_equal(km_recorder_flush(recorder, &err), KM_IO);
    assert_int_equal(km_recorder_flush(recorder, &err), KM_IO);
    assert_true(km_desk_is_full(desk));
    assert_int_equal(heard.failing, 1);
    assert_non_null(strstr(heard.cause, "full"));
    assert_true(heard.findings < 1000);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), heard.findings);
    desk_do(desk, "PRAGMA max_page_count=1000000");
    flush_recorder(recorder);
    assert_int_equal(heard.working, 1);
    assert_int_equal(heard.findings, 1000);
    assert_int_equal(desk_number(desk, "SELECT count(DISTINCT seq) FROM finding"), 1000);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM loss"), 0);
    km_recorder_free(recorder);
    km_desk_close(desk);
}

static void what_the_queue_cannot_hold_is_counted_as_lost(void **state)
{
    struct km_desk *desk = deskfile_open(*state), *other = deskfile_open(*state);
    struct km_err err = KM_ERR_INIT;
    struct heard heard = {0};
    struct km_recorder *recorder = listening(desk, &heard, 4, 16);
    desk_do(desk, "PRAGMA busy_timeout=1");
    assert_ok(km_desk_begin(other, &err), err);
    for (int i = 0; i < 100; i++)
        record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON + i, 0.5));
    assert_int_equal(km_recorder_count(recorder).waiting, 16);
    assert_int_equal(km_recorder_count(recorder).dropped, 84);
    assert_int_equal(heard.failing, 1);
    km_desk_rollback(other);
    flush_recorder(recorder);
    assert_int_equal(heard.working, 1);
    assert_int_equal(desk_number(desk, "SELECT lost FROM loss WHERE what='finding'"), 84);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"), 16);
    km_recorder_free(recorder);
    km_desk_close(other);
    km_desk_close(desk);
}

static void reports_of_a_guardian_are_kept(void **state)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = deskfile_open(*state);
    struct km_recorder *recorder = recorder_of(desk, "guard");
    const struct km_watch watch = {"nginx.service", "worker", NOON, NOON + DAY, true, 0.9, 100, 3};
    assert_ok(km_recorder_add_loss(recorder, "event", "nginx.service", 5, 1000, &err), err);
    assert_ok(km_recorder_add_health(recorder, "cpu_share", 0.02, NULL, &err), err);
    assert_ok(km_recorder_add_watch(recorder, &watch, &err), err);
    struct km_component component = {"model", "tokens", "1", "aa", NOON};
    assert_ok(km_recorder_add_component(recorder, &component, &err), err);
    assert_ok(km_recorder_add_component(recorder, &component, &err), err); /* the same changes nothing */
    component.version = "2";
    component.digest = NULL;
    assert_ok(km_recorder_add_component(recorder, &component, &err), err);
    assert_int_equal(desk_number(desk, "SELECT lost*10000+seen FROM loss"), 51000);
    assert_int_equal(desk_number(desk, "SELECT round(value*100) FROM health"), 2);
    assert_int_equal(desk_number(desk, "SELECT to_ns-from_ns FROM watch"), DAY);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM component"), 2);
    assert_string_equal(desk_text(desk, "SELECT version FROM component WHERE to_ns IS NULL"), "2");
    km_recorder_free(recorder);
    km_desk_close(desk);
}

static void set(struct km_desk *desk, const char *name, const char *value)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_desk_set_setting(desk, name, value, &err), err);
}

static void what_is_collected_is_configurable(void **state)
{
    struct km_desk *desk = deskfile_open(*state);
    set(desk, "collect.paths", "hashed");
    set(desk, "collect.arguments", "none");
    struct km_recorder *recorder = recorder_of(desk, "scan");
    record(recorder, file_finding("shop:1", "home/kato/a", NULL, KM_VERDICT_SUSPICIOUS, 0.5));
    record(recorder, file_finding("shop:2", "home/kato/a", NULL, KM_VERDICT_SUSPICIOUS, 0.5));
    record(recorder, daemon_finding("nginx.service", "/bin/sh", NOON, 0.5));
    flush_recorder(recorder);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding WHERE path LIKE 'hash:________________'"), 2);
    assert_int_equal(desk_number(desk, "SELECT count(DISTINCT path) FROM finding"), 1); /* still the same thing */
    assert_int_equal(
        desk_number(desk, "SELECT count(*) FROM finding WHERE subject_more LIKE '%id\"%command%sh -c id%'"), 0);
    assert_string_equal(
        desk_text(desk, "SELECT json_extract(subject_more, '$.command') FROM finding WHERE unit NOT NULL"),
        "(not kept)");
    assert_int_equal(desk_number(desk, "SELECT instr(evidence||dominant, '/bin/sh') FROM finding WHERE unit NOT NULL"),
                     0);
    km_recorder_free(recorder);
    struct km_collect collect;
    struct km_err err = KM_ERR_INIT;
    char room[KM_COLLECT_TEXT_BYTES];
    assert_ok(km_collect_load(desk, &collect, &err), err);
    assert_string_equal(km_collect_argument(&collect, "x", "content", "secret", room), "(not kept)"); /* the default */
    assert_string_equal(km_collect_argument(&collect, "x", "package", "bash 5", room), "bash 5");
    assert_string_equal(km_collect_argument(&collect, "first.connect", "what", "10.0.0.1:80", room), "10.0.0.1:80");
    set(desk, "collect.paths", "some");
    assert_int_equal(km_collect_load(desk, &collect, &err), KM_FORMAT);
    km_desk_close(desk);
}

static void evidence_survives_the_store(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    const struct km_collect collect = {
        .levels = {KM_COLLECT_WHOLE, KM_COLLECT_WHOLE, KM_COLLECT_WHOLE, KM_COLLECT_WHOLE}};
    struct km_evidence given[2] = {{.id = "a.b", .weight = 1.25, .reference = "CVE-1"}, {.id = "c.d", .weight = -3}};
    given[0].args[given[0].arg_count++] = (struct km_arg){.name = "t", .type = KM_ARG_TEXT, .text = "x\"\x01y"};
    given[0].args[given[0].arg_count++] = (struct km_arg){.name = "n", .type = KM_ARG_INTEGER, .integer = -7};
    given[0].args[given[0].arg_count++] = (struct km_arg){.name = "r", .type = KM_ARG_REAL, .real = 0.5};
    struct km_buf text;
    km_buf_init(&text, 4096);
    assert_ok(km_evidence_json_format(given, 2, &collect, &text, &err), err);
    struct km_arena *arena = km_arena_new(65536, &err);
    const struct km_evidence *read = NULL;
    size_t count = 0;
    assert_ok(km_evidence_json_parse(km_buf_text(&text), arena, &read, &count, &err), err);
    assert_int_equal(count, 2);
    assert_string_equal(read[0].id, "a.b");
    assert_string_equal(read[0].reference, "CVE-1");
    assert_true(read[0].weight > 1.24 && read[0].weight < 1.26);
    assert_int_equal(read[0].arg_count, 3);
    assert_string_equal(read[0].args[0].text, "x\"\x01y");
    assert_int_equal(read[0].args[1].integer, -7);
    assert_true(read[0].args[2].type == KM_ARG_REAL);
    assert_null(read[1].reference);
    km_buf_done(&text);
    km_arena_free(arena);
}

static void damaged_evidence_is_refused(void **state)
{
    (void)state;
    static const char *const evidence[] = {"{}",
                                           "[{}]",
                                           "[{\"id\":1}]",
                                           "[{\"id\":\"a\",\"args\":[[\"x\"]]}]",
                                           "[{\"id\":\"a\",\"args\":[[\"x\",{}]]}]",
                                           "[",
                                           "[1]",
                                           "[{\"id\":\"a\",\"args\":[[1,2],[1,2],[1,2],[1,2],[1,2],[1,2],[1,2]]}]"};
    static const char *const ranges[] = {"{}", "[1]", "[[1]]", "[[2,1]]", "[[-1,4]]", "[[1,2,3]]", "[[\"a\",2]]"};
    struct km_err err = KM_ERR_INIT;
    struct km_arena *arena = km_arena_new(65536, &err);
    const struct km_evidence *list = NULL;
    const struct km_range *pairs = NULL;
    size_t count = 9;
    for (size_t i = 0; i < sizeof evidence / sizeof evidence[0]; i++)
        if (km_evidence_json_parse(evidence[i], arena, &list, &count, &err) != KM_FORMAT)
            fail_msg("%s was taken", evidence[i]);
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (km_ranges_json_parse(ranges[i], arena, &pairs, &count, &err) != KM_FORMAT)
            fail_msg("%s was taken", ranges[i]);
    assert_int_equal(count, 9);
    assert_null(list);
    km_arena_free(arena);
}

/* ---- kill -9 ---- */

static int pipe_of_child = -1;

static void tell_parent(void *context, int64_t first_id, int64_t last_id, size_t count)
{
    (void)context;
    const int64_t told[3] = {first_id, last_id, (int64_t)count};
    if (write(pipe_of_child, told, sizeof told) != (ssize_t)sizeof told)
        _exit(1);
}

static void write_for_ever(const struct deskfile *file)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = km_desk_open(file->path, &err);
    const struct km_recorder_options options = {
        .kind = "guard", .who = "kato", .host = "gate", .batch = 8, .acknowledged = tell_parent};
    struct km_recorder *recorder = desk ? km_recorder_new(desk, &options, &err) : NULL;
    if (!recorder)
        _exit(1);
    struct km_sink sink = km_recorder_sink(recorder);
    for (int64_t i = 0;; i++) {
        struct km_finding finding = daemon_finding("nginx.service", "/bin/sh", NOON + i, 0.5);
        if (sink.finding(sink.context, &finding, &err) != KM_OK)
            _exit(1);
    }
}

static struct {
    int64_t acknowledged, last_id;
} heard_from_children;

/* Kills a writer after it acknowledged some batches, then some microseconds more. */
static void kill_one(const struct deskfile *file, unsigned batches, unsigned delay)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        close(ends[0]);
        pipe_of_child = ends[1];
        write_for_ever(file);
        _exit(0);
    }
    close(ends[1]);
    int64_t told[3];
    for (unsigned i = 0; read(ends[0], told, sizeof told) == (ssize_t)sizeof told; i++) {
        heard_from_children.acknowledged += told[2];
        heard_from_children.last_id = told[1];
        if (i == batches) {
            for (volatile unsigned spin = 0; spin < delay; spin++)
                ;
            assert_int_equal(kill(pid, SIGKILL), 0);
        }
    }
    close(ends[0]);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status));
}

static void kill_9_loses_and_doubles_nothing_acknowledged(void **state)
{
    const struct deskfile *file = *state;
    const char *asked = getenv("KOMAINU_KILLS"); /* the bench asks for a thousand */
    unsigned kills = asked ? (unsigned)strtoul(asked, NULL, 10) : 50, random = 12345;
    struct km_desk *desk = deskfile_open(file);
    heard_from_children.acknowledged = 0;
    for (unsigned i = 0; i < kills; i++) {
        int64_t before = desk_number(desk, "SELECT count(*) FROM finding");
        int64_t acknowledged = heard_from_children.acknowledged;
        random = random * 1103515245 + 12345;
        kill_one(file, random >> 16 & 3, random >> 8 & 0xffff);
        /* all that was acknowledged is there; at most one more transaction, that nobody was told about */
        int64_t written = desk_number(desk, "SELECT count(*) FROM finding") - before;
        acknowledged = heard_from_children.acknowledged - acknowledged;
        assert_true(written >= acknowledged);
        assert_true(written <= acknowledged + 8);
        assert_int_equal(written % 8, 0);
    }
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding"),
                     desk_number(desk, "SELECT count(*) FROM (SELECT DISTINCT run_id, at_ns FROM finding)"));
    /* each run's findings have no holes */
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM (SELECT max(at_ns)-min(at_ns)+1-count(*) AS holes FROM"
                                       " finding GROUP BY run_id) WHERE holes<>0"),
                     0);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM finding WHERE id NOT IN (SELECT rowid FROM finding_words"
                                       " WHERE finding_words MATCH 'nginx')"),
                     0);
    assert_string_equal(desk_text(desk, "PRAGMA integrity_check"), "ok");
    km_desk_close(desk);
    print_message("# %u kills, %lld findings acknowledged\n", kills, (long long)heard_from_children.acknowledged);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_whole_target_is_kept),
        IN_FOLDER(commits_come_in_groups),
        IN_FOLDER(a_full_disk_is_said_once_and_nothing_is_lost),
        IN_FOLDER(what_the_queue_cannot_hold_is_counted_as_lost),
        IN_FOLDER(reports_of_a_guardian_are_kept),
        IN_FOLDER(what_is_collected_is_configurable),
        cmocka_unit_test(evidence_survives_the_store),
        cmocka_unit_test(damaged_evidence_is_refused),
        IN_FOLDER(kill_9_loses_and_doubles_nothing_acknowledged),
    };
    return KM_RUN_TESTS(tests);
}
