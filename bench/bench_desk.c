/*
 * The store under load. `load FILE SECONDS`: two writers of a thousand findings a second each, while a third process
 * lists and searches. `many FILE COUNT`: that many findings in the store, and how long list and search take, beside
 * grep over the same findings as JSON lines. Prints "name value unit low high n".
 */
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/spawn.h"
#include "desk/store/query.h"
#include "desk/store/recorder.h"
#include "desk/triage/incident_list.h"
#include "desk/triage/triage.h"

#define WRITERS         2
#define RATE_OF_WRITER  1000
#define RUNS            15
#define MAX_TIMES       200000
#define INCIDENT_EVERY  100 /* one finding in so many is suspicious */
#define TRIAGE_EVERY_NS KM_NS_PER_S
#define LIST_LIMIT      50

static _Noreturn void die(const char *what, const struct km_err *err)
{
    fprintf(stderr, "bench_desk: %s: %s\n", what, err->text);
    exit(1);
}

static struct km_desk *open_desk(const char *path)
{
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = km_desk_open(path, &err);
    if (!desk)
        die("open", &err);
    return desk;
}

struct times {
    double ms[MAX_TIMES];
    size_t count;
};

static void add_time(struct times *times, int64_t ns)
{
    if (times->count < MAX_TIMES)
        times->ms[times->count++] = (double)ns / 1e6;
}

static int compare(const void *a, const void *b)
{
    double left, right;
    memcpy(&left, a, sizeof left);
    memcpy(&right, b, sizeof right);
    return (left > right) - (left < right);
}

static double quantile(struct times *times, double share)
{
    qsort(times->ms, times->count, sizeof times->ms[0], compare);
    return times->count ? times->ms[(size_t)(share * (double)(times->count - 1))] : NAN;
}

/* The median with its quartiles. */
static void print_times(const char *name, struct times *times)
{
    printf("%s %.2f ms %.2f %.2f %zu\n", name, quantile(times, 0.5), quantile(times, 0.25), quantile(times, 0.75),
           times->count);
    (void)fflush(stdout);
}

/* Finding i: an image's file or a daemon's act, of names that repeat as in a small site. */
static void make_finding(int64_t i, struct km_finding *out, struct km_evidence *evidence, char *path, size_t path_bytes)
{
    static const char *const units[] = {"nginx.service", "sshd.service", "postgresql.service", "cron.service"};
    bool daemon = i % 2 == 0;
    bool suspicious = i % INCIDENT_EVERY == 1 || i % INCIDENT_EVERY == 50;
    snprintf(path, path_bytes, "opt/app%" PRId64 "/lib/module%" PRId64 ".so", i % 997, i % 20011);
    *evidence = (struct km_evidence){.id = daemon ? "first.open" : "package.unowned", .weight = 2};
    evidence->args[evidence->arg_count++] = (struct km_arg){.name = "what", .type = KM_ARG_TEXT, .text = path};
    *out = (struct km_finding){
        .kind = daemon ? "daemon" : "file",
        .subject = {.layer_index = -1, .uid = 33},
        .verdict = suspicious ? KM_VERDICT_SUSPICIOUS : KM_VERDICT_CLEAN,
        .score = suspicious ? 0.6 : 0.05,
        .confidence = 0.9,
        .evidence_count = 1,
        .evidence = evidence,
    };
    if (daemon) {
        out->subject.daemon = units[i / 2 % 4];
        out->subject.role = "worker";
    } else {
        out->subject.image = "shop:1";
        out->subject.path = path;
    }
}

/* ---- load ---- */

struct writer {
    struct times latency;
    int64_t queued_ns[4096]; /* of findings that wait for their commit */
    size_t waiting;
    uint64_t acknowledged;
};

static void on_commit(void *context, int64_t first_id, int64_t last_id, size_t count)
{
    struct writer *writer = context;
    int64_t now = km_clock_monotonic_ns();
    (void)first_id;
    (void)last_id;
    for (size_t i = 0; i < writer->waiting; i++)
        add_time(&writer->latency, now - writer->queued_ns[i]);
    writer->waiting = 0;
    writer->acknowledged += count;
}

static void wait_until(int64_t at_ns)
{
    const struct timespec at = {at_ns / KM_NS_PER_S, at_ns % KM_NS_PER_S};
    (void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

/* Tells its parent: acknowledged, seconds, and the latency's quantiles. */
static void run_writer(const char *path, int seconds, int fd)
{
    static struct writer writer;
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk = open_desk(path);
    const struct km_recorder_options options = {.kind = "guard",
                                                .who = "bench",
                                                .host = "bench",
                                                .versions = {.komainu = "bench"},
                                                .context = &writer,
                                                .acknowledged = on_commit};
    struct km_recorder *recorder = km_recorder_new(desk, &options, &err);
    if (!recorder)
        die("writer", &err);
    struct km_sink sink = km_recorder_sink(recorder);
    int64_t begin = km_clock_monotonic_ns();
    for (int64_t i = 0; i < (int64_t)seconds * RATE_OF_WRITER; i++) {
        struct km_finding finding;
        struct km_evidence evidence;
        char name[128];
        make_finding(i, &finding, &evidence, name, sizeof name);
        if (i % 10 == 0) /* ten at a time: a sleep is longer than a finding */
            wait_until(begin + i * (KM_NS_PER_S / RATE_OF_WRITER));
        if (writer.waiting < sizeof writer.queued_ns / sizeof writer.queued_ns[0])
            writer.queued_ns[writer.waiting++] = km_clock_monotonic_ns();
        if (sink.finding(sink.context, &finding, &err) != KM_OK)
            die("finding", &err);
    }
    if (km_recorder_finish(recorder, &err) != KM_OK)
        die("finish", &err);
    double told[4] = {(double)writer.acknowledged, (double)(km_clock_monotonic_ns() - begin) / 1e9,
                      quantile(&writer.latency, 0.5), quantile(&writer.latency, 0.99)};
    if (write(fd, told, sizeof told) != (ssize_t)sizeof told)
        exit(1);
    km_recorder_free(recorder);
    km_desk_close(desk);
    exit(0);
}

static enum km_code ignore_row(void *context, const struct km_incident_row *row, struct km_err *err)
{
    (void)row;
    (void)err;
    ++*(size_t *)context;
    return KM_OK;
}

static int64_t time_list(struct km_desk *desk, const char *search)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_incident_filter filter = {
        .state = -1, .shown = -1, .all = true, .search = search, .limit = LIST_LIMIT};
    size_t count = 0;
    bool more;
    int64_t begin = km_clock_monotonic_ns();
    if (km_incident_list(desk, &filter, &count, ignore_row, &more, &err) != KM_OK)
        die("list", &err);
    return km_clock_monotonic_ns() - begin;
}

static int64_t time_triage(struct km_desk *desk)
{
    struct km_err err = KM_ERR_INIT;
    int64_t begin = km_clock_monotonic_ns();
    if (km_triage_run(desk, km_clock_wall_ns(), NULL, &err) != KM_OK)
        die("triage", &err);
    return km_clock_monotonic_ns() - begin;
}

static void bench_load(const char *path, int seconds)
{
    static struct times list, search;
    int ends[2], running = WRITERS;
    double told[WRITERS][4];
    struct km_desk *desk = open_desk(path);
    km_desk_close(desk);
    if (pipe2(ends, O_CLOEXEC) != 0)
        exit(1);
    for (int i = 0; i < WRITERS; i++) {
        pid_t pid = fork();
        if (pid == 0)
            run_writer(path, seconds, ends[1]);
        if (pid < 0)
            exit(1);
    }
    close(ends[1]);
    desk = open_desk(path);
    for (int64_t next = km_clock_monotonic_ns(); running > 0;) {
        add_time(&list, time_list(desk, NULL));
        add_time(&search, time_list(desk, "nginx"));
        if (km_clock_monotonic_ns() >= next) {
            (void)time_triage(desk);
            next = km_clock_monotonic_ns() + TRIAGE_EVERY_NS;
        }
        wait_until(km_clock_monotonic_ns() + 50 * KM_NS_PER_MS);
        int status = 0;
        while (running > 0 && waitpid(-1, &status, WNOHANG) > 0) {
            if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
                exit(1);
            running--;
        }
    }
    for (int i = 0; i < WRITERS; i++)
        if (read(ends[0], told[i], sizeof told[i]) != (ssize_t)sizeof told[i])
            exit(1);
    struct km_err err = KM_ERR_INIT;
    int64_t kept = 0;
    if (km_query_number(desk, "SELECT count(*) FROM finding", 0, &kept, &err) != KM_OK)
        die("count", &err);
    double acknowledged = told[0][0] + told[1][0];
    printf("desk_load_rate %.0f findings/s - - 1\n", acknowledged / fmax(told[0][1], told[1][1]));
    printf("desk_load_lost %.0f findings - - 1\n", acknowledged - (double)kept);
    printf("desk_load_acknowledged_median %.1f ms - - %.0f\n", fmax(told[0][2], told[1][2]), acknowledged);
    printf("desk_load_acknowledged_p99 %.1f ms - - %.0f\n", fmax(told[0][3], told[1][3]), acknowledged);
    print_times("desk_load_list", &list);
    print_times("desk_load_search", &search);
    km_desk_close(desk);
}

/* ---- many ---- */

static void fill(struct km_desk *desk, const char *lines_path, int64_t count)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_recorder_options options = {.kind = "guard",
                                                .who = "bench",
                                                .host = "bench",
                                                .versions = {.komainu = "bench"},
                                                .batch = 8192,
                                                .batch_ms = 60000};
    struct km_recorder *recorder = km_recorder_new(desk, &options, &err);
    FILE *lines = fopen(lines_path, "we");
    if (!recorder || !lines)
        die("fill", &err);
    struct km_sink sink = km_recorder_sink(recorder);
    int64_t now = km_clock_wall_ns(), begin = km_clock_monotonic_ns();
    for (int64_t i = 0; i < count; i++) {
        struct km_finding finding;
        struct km_evidence evidence;
        char name[128];
        make_finding(i, &finding, &evidence, name, sizeof name);
        finding.time_wall_ns = now - (count - i) * (INT64_C(20) * 86400 * KM_NS_PER_S / count); /* over twenty days */
        if (sink.finding(sink.context, &finding, &err) != KM_OK)
            die("finding", &err);
        fprintf(lines,
                "{\"at\":%" PRId64
                ",\"kind\":\"%s\",\"image\":\"shop:1\",\"path\":\"%s\",\"unit\":\"%s\",\"verdict\":%d,"
                "\"score\":%.2f,\"evidence\":[{\"id\":\"%s\",\"weight\":2.0,\"args\":[[\"what\",\"%s\"]]}]}\n",
                finding.time_wall_ns, finding.kind, name, finding.subject.daemon ? finding.subject.daemon : "",
                (int)finding.verdict, finding.score, evidence.id, name);
    }
    if (km_recorder_finish(recorder, &err) != KM_OK || fclose(lines) != 0)
        die("finish", &err);
    km_recorder_free(recorder);
    double seconds = (double)(km_clock_monotonic_ns() - begin) / 1e9;
    printf("desk_many_findings %" PRId64 " findings - - 1\n", count);
    printf("desk_many_fill %.0f findings/s - - 1\n", (double)count / seconds);
    (void)fflush(stdout);
}

static int64_t time_grep(const char *path, const char *word)
{
    struct km_err err = KM_ERR_INIT;
    const char *const argv[] = {"grep", "-c", "-F", word, path, NULL};
    const char *const environment[] = {"LC_ALL=C", NULL};
    const struct km_spawn_options options = {argv, environment, 600000, NULL};
    int64_t begin = km_clock_monotonic_ns();
    struct km_spawn *child = km_spawn_start(&options, &err);
    char output[64];
    size_t length = 1;
    enum km_code code = child ? KM_OK : err.code;
    while (code == KM_OK && length > 0)
        code = km_spawn_read(child, output, sizeof output, &length, &err);
    if (code != KM_OK || km_spawn_finish(child, &err) != KM_OK)
        die("grep", &err);
    km_spawn_close(child);
    return km_clock_monotonic_ns() - begin;
}

static void bench_many(const char *path, int64_t count)
{
    static const struct {
        const char *name, *search;
    } questions[] = {{"list", NULL}, {"search_rare", "module1234"}, {"search_common", "nginx"}, {"search_all", "so"}};
    char lines[4096], name[64];
    snprintf(lines, sizeof lines, "%s.jsonl", path);
    struct km_desk *desk = open_desk(path);
    fill(desk, lines, count);
    printf("desk_many_triage %.2f s - - 1\n", (double)time_triage(desk) / 1e9);
    struct stat status;
    if (stat(path, &status) == 0)
        printf("desk_many_bytes %.0f B/finding - - 1\n", (double)status.st_size / (double)count);
    for (size_t q = 0; q < sizeof questions / sizeof questions[0]; q++) {
        static struct times times;
        times.count = 0;
        for (int i = 0; i < RUNS; i++)
            add_time(&times, time_list(desk, questions[q].search));
        snprintf(name, sizeof name, "desk_many_%s", questions[q].name);
        print_times(name, &times);
    }
    static struct times grep, ratio, again;
    for (int i = 0; i < RUNS; i++) {
        int64_t of_grep = time_grep(lines, "module1234"), of_desk = time_list(desk, "module1234");
        add_time(&grep, of_grep);
        ratio.ms[ratio.count++] = (double)of_grep / (double)of_desk;
    }
    print_times("desk_many_grep_rare", &grep);
    printf("desk_many_grep_to_search %.1f x %.1f %.1f %zu\n", quantile(&ratio, 0.5), quantile(&ratio, 0.25),
           quantile(&ratio, 0.75), ratio.count);
    for (int i = 0; i < RUNS; i++)
        add_time(&again, time_triage(desk));
    print_times("desk_many_triage_again", &again);
    km_desk_close(desk);
    (void)unlink(lines);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "load") == 0)
        bench_load(argv[2], (int)strtol(argv[3], NULL, 10));
    else if (argc == 4 && strcmp(argv[1], "many") == 0)
        bench_many(argv[2], strtoll(argv[3], NULL, 10));
    else
        return 1;
    return 0;
}
