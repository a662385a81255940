/* What scoring, learning and replaying cost. One core; medians of five runs. */
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/trace/trace_file.h"
#include "daemon_sim.h"

#define RUNS 5

static int compare_doubles(const void *a, const void *b)
{
    double x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return (x > y) - (x < y);
}

static void print_median(const char *name, const char *suffix, double *runs, const char *unit)
{
    qsort(runs, RUNS, sizeof *runs, compare_doubles);
    bench_print(name, suffix, &(struct bench_figure){runs[RUNS / 2], unit, runs[0], runs[RUNS - 1], RUNS});
}

static size_t calls_of(const struct samples *samples)
{
    size_t calls = 0;
    for (size_t i = 0; i < samples->count; i++)
        calls += samples->items[i].episode.count;
    return calls;
}

static void cost_of_learning(const struct samples *train)
{
    double learn[RUNS];
    for (int run = 0; run < RUNS; run++) {
        struct km_err err = KM_ERR_INIT;
        static struct km_profile_identity identity;
        struct km_episode_rule rule;
        km_episode_rule_life(&rule);
        struct km_profile *profile = km_profile_new(&identity, &rule, &err);
        int64_t begin = km_clock_monotonic_ns();
        for (size_t i = 0; i < train->count; i++)
            if (!profile || km_profile_learn(profile, &train->items[i].episode, &err) != KM_OK)
                bench_die("%s", err.text);
        learn[run] = (double)(km_clock_monotonic_ns() - begin) / (double)calls_of(train);
        km_profile_free(profile);
    }
    print_median("cost.learn", "", learn, "ns/call");
}

static void cost_of_scoring(const struct km_profile *profile, const struct samples *test)
{
    double score[RUNS];
    for (int run = 0; run < RUNS; run++) {
        int64_t begin = km_clock_monotonic_ns();
        for (size_t i = 0; i < test->count; i++) {
            struct km_assessment assessment;
            km_profile_score(profile, &test->items[i].episode, &assessment);
        }
        score[run] = (double)(km_clock_monotonic_ns() - begin) / (double)calls_of(test);
    }
    print_median("cost.score", "", score, "ns/call");
}

/* Writes all traces as one recording, threads one after another. */
static int record(const struct samples *samples)
{
    char path[] = "/tmp/komainu-bench-XXXXXX";
    int fd = mkostemp(path, O_CLOEXEC);
    if (fd < 0)
        bench_die("cannot make a temporary file");
    (void)unlink(path);
    struct km_err err = KM_ERR_INIT;
    struct km_trace_writer *writer = km_trace_writer_new(fd, 0, 0, &err);
    enum km_code code = writer ? KM_OK : err.code;
    struct km_event event = {.role = 1, .feed = KM_FEED_LEARN};
    for (size_t i = 0; i < samples->count && code == KM_OK; i++) {
        const struct km_episode *episode = &samples->items[i].episode;
        event.tid = event.tgid = (uint32_t)i + 1;
        event.kind = KM_EVENT_CALL;
        for (size_t c = 0; c < episode->count && code == KM_OK; c++) {
            event.time_ns += 2000;
            event.call = (struct km_event_call){.number = (uint16_t)km_call_number(episode->packed[c]),
                                                .space = (uint8_t)km_call_space_of(episode->packed[c])};
            code = km_trace_writer_event(writer, &event, &err);
        }
        event.kind = KM_EVENT_END;
        event.state = (struct km_thread_state){0};
        if (code == KM_OK)
            code = km_trace_writer_event(writer, &event, &err);
    }
    if (code == KM_OK)
        code = km_trace_writer_flush(writer, &err);
    if (code != KM_OK)
        bench_die("%s", err.text);
    km_trace_writer_free(writer);
    return fd;
}

static enum km_code score_episode(void *context, const struct km_episode *episode, struct km_err *err)
{
    (void)err;
    struct km_assessment assessment;
    km_profile_score(context, episode, &assessment);
    return KM_OK;
}

static void cost_of_replay(struct km_profile *profile, const struct samples *test)
{
    int fd = record(test);
    double rate[RUNS];
    off_t bytes = lseek(fd, 0, SEEK_END);
    for (int run = 0; run < RUNS; run++) {
        struct km_err err = KM_ERR_INIT;
        int64_t begin = km_clock_monotonic_ns();
        (void)lseek(fd, 0, SEEK_SET);
        struct km_trace_reader *reader = km_trace_reader_new(fd, &err);
        struct km_episode_sink sink = {profile, score_episode};
        struct km_assembler *assembler = km_assembler_new(&sink, &err);
        if (!reader || !assembler)
            bench_die("%s", err.text);
        struct km_event event;
        enum km_code code;
        while ((code = km_trace_reader_next(reader, &event, &err)) == KM_OK)
            if (km_assembler_event(assembler, &event, &err) != KM_OK)
                bench_die("%s", err.text);
        if (code != KM_NOTFOUND)
            bench_die("%s", err.text);
        rate[run] = (double)calls_of(test) / ((double)(km_clock_monotonic_ns() - begin) / 1e9) / 1e6;
        km_trace_reader_free(reader);
        km_assembler_free(assembler);
    }
    print_median("cost.replay", "", rate, "Mcalls/s");
    bench_print("cost.trace", "",
                &(struct bench_figure){(double)bytes / (double)calls_of(test), "bytes/call", NAN, NAN, 0});
    (void)close(fd);
}

void bench_cost(const struct samples *train, const struct samples *test)
{
    cost_of_learning(train);
    struct km_profile *profile = bench_learn(train, NULL);
    cost_of_scoring(profile, test);
    cost_of_replay(profile, test);
    bench_print("cost.memory", "",
                &(struct bench_figure){(double)km_profile_memory(profile) / 1048576, "MiB", NAN, NAN, 0});
    km_profile_free(profile);
}
