#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cmd.h"
#include "cli/profile_source.h"
#include "daemon/profile/explain.h"
#include "daemon/profile/watch.h"
#include "daemon/trace/calls.h"
#include "daemon/trace/import.h"
#include "daemon/trace/trace_file.h"

#define READ_BYTES     65536
#define MAX_LINE_BYTES ((size_t)1 << 20)

static const struct km_option rows[] = {
    {.name = "profile",
     .letter = 'p',
     .type = KM_OPTION_TEXT,
     .argument = "PATH",
     .only_flag = true,
     .help = "score by this profile store or profile file; without it by the usual store"},
    {.name = "deployed",
     .type = KM_OPTION_FLAG,
     .only_flag = true,
     .help = "score what the probe's three feeds would have let through"},
    {.name = "learn",
     .type = KM_OPTION_TEXT,
     .argument = "FOLDER",
     .only_flag = true,
     .help = "learn the trace and write the profiles to this store"},
    {.name = "for",
     .type = KM_OPTION_INTEGER,
     .argument = "SECONDS",
     .fallback = "0",
     .least = 0,
     .most = 31536000,
     .only_flag = true,
     .help = "with --learn: learn exactly so long, score the rest; 0: learn all"},
    {.name = "import",
     .type = KM_OPTION_CHOICE,
     .choices = "no|tsv|strace",
     .fallback = "no",
     .only_flag = true,
     .help = "the files are no komainu traces: name, label and call numbers by tabs, or logs of strace -f -ttt"},
    {.name = "unit",
     .type = KM_OPTION_TEXT,
     .argument = "NAME",
     .fallback = "imported",
     .only_flag = true,
     .help = "with --import: whose trace it is"},
    {.name = "record",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "write the events to a new trace file, too"},
    {.name = "budget",
     .type = KM_OPTION_REAL,
     .argument = "ALARMS",
     .fallback = "3",
     .least = 0.001,
     .most = 1000000,
     .help = "alarms a day and role"},
    {.name = "rate",
     .type = KM_OPTION_REAL,
     .argument = "SHARE",
     .fallback = "0",
     .least = 0,
     .most = 0.5,
     .help = "the share of episodes that may be alarms, instead of a budget; 0: the budget"},
    {.name = "quarantine", .type = KM_OPTION_FLAG, .only_flag = true, .help = "put alarms into the store's quarantine"},
    {.name = "alarms", .type = KM_OPTION_FLAG, .only_flag = true, .help = "print alarms only"},
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "text|json",
     .fallback = "text",
     .help = "what to print on standard output; json: one object a line"},
    {0},
};

struct replay {
    struct km_profile_source *source;
    struct km_watch *watch;
    struct km_trace_writer *writer; /* NULL: nothing is recorded */
    bool json, alarms_only, quarantine, learning;
    uint64_t alarms;
};

static enum km_code print_json(const struct km_watch_result *r, struct km_err *err)
{
    struct km_json *line KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    const struct km_assessment *a = r->assessment;
    km_json_set_integer(line, "episode", (int64_t)r->number);
    km_json_set_string(line, "unit", r->identity->unit);
    km_json_set_string(line, "role", r->identity->role);
    km_json_set_integer(line, "tid", r->episode->tid);
    km_json_set_integer(line, "begin_ns", (int64_t)r->episode->begin_ns);
    km_json_set_string(line, "view", r->episode->complete ? "full" : "deployed");
    km_json_set_integer(line, "calls", r->profile ? a->measure.calls : (int64_t)r->episode->count);
    if (r->profile) {
        km_json_set_real(line, "score", a->score);
        km_json_set_real(line, "p", a->p);
        km_json_set_real(line, "threshold", r->threshold);
        km_json_set_bool(line, "alarm", r->alarm);
        km_json_set_real(line, "confidence", r->confidence);
    }
    if (r->alarm) {
        struct km_explanation why;
        km_explain_episode(r->profile, r->episode, a, &why);
        km_json_set(line, "why", km_explanation_to_json(&why, a));
    }
    struct km_buf text;
    km_buf_init(&text, MAX_LINE_BYTES);
    enum km_code code = km_json_format(line, 0, &text, err);
    if (code == KM_OK)
        puts(km_buf_text(&text));
    km_buf_done(&text);
    return code;
}

static void print_why(const struct km_watch_result *r)
{
    struct km_explanation why;
    km_explain_episode(r->profile, r->episode, r->assessment, &why);
    printf("    because");
    for (int c = 0; c < KM_CHANNELS; c++)
        if (r->assessment->term[c] >= 0.5)
            printf(" %s %.1f", km_channel_to_string((enum km_channel)c), r->assessment->term[c]);
    if (r->assessment->entities_new > 0)
        printf(" entities %.1f", r->assessment->entity_term);
    printf("\n");
    for (size_t i = 0; i < why.entity_count; i++)
        printf("    never seen: %s\n", why.entities[i]);
    for (size_t i = 0; i < why.call_count && i < 3; i++) {
        const struct km_explain_call *c = &why.calls[i];
        char name[KM_CALL_NAME_BYTES];
        km_call_format(c->space, (unsigned)c->window & (KM_CALL_NUMBERS - 1), name);
        printf("    %s (%.1f bits)", name, c->bits);
        for (size_t n = 0; n < c->next_count; n++) {
            km_call_format(c->space, c->next[n].number, name);
            printf("%s %s (%.2f)", n == 0 ? ", expected instead:" : ",", name, c->next[n].p);
        }
        printf("\n");
    }
}

static void print_text(const struct km_watch_result *r)
{
    if (!r->profile) {
        printf("%llu %s %s tid %u: no profile\n", (unsigned long long)r->number, r->identity->unit, r->identity->role,
               r->episode->tid);
        return;
    }
    printf("%llu %s %s tid %u: %u calls, score %.3f, threshold %.3f%s", (unsigned long long)r->number,
           r->identity->unit, r->identity->role, r->episode->tid, r->assessment->measure.calls, r->assessment->score,
           r->threshold, r->alarm ? ", ALARM" : "");
    if (r->alarm)
        printf(", confidence %.2f", r->confidence);
    printf("\n");
    if (r->alarm)
        print_why(r);
}

static enum km_code judged(void *context, const struct km_watch_result *result, struct km_err *err)
{
    struct replay *replay = context;
    replay->alarms += result->alarm;
    enum km_code code = KM_OK;
    if (result->alarm && replay->quarantine)
        code = km_profile_source_quarantine(replay->source, result->profile, result->episode, result->assessment, err);
    if (code != KM_OK || (replay->alarms_only && !result->alarm))
        return code;
    if (replay->json)
        return print_json(result, err);
    print_text(result);
    return KM_OK;
}

static struct km_profile *find(void *context, const struct km_profile_identity *identity)
{
    struct replay *replay = context;
    return replay->learning ? NULL : km_profile_source_find(replay->source, identity);
}

static enum km_code take_event(void *context, const struct km_event *event, struct km_err *err)
{
    struct replay *replay = context;
    enum km_code code = replay->writer ? km_trace_writer_event(replay->writer, event, err) : KM_OK;
    return code == KM_OK ? km_watch_event(replay->watch, event, err) : code;
}

static enum km_code read_trace(struct replay *replay, int fd, struct km_err *err)
{
    struct km_trace_reader *reader KM_CLEANUP(km_trace_reader_cleanup) = km_trace_reader_new(fd, err);
    if (!reader)
        return err->code;
    struct km_event event;
    enum km_code code;
    while ((code = km_trace_reader_next(reader, &event, err)) == KM_OK) {
        code = take_event(replay, &event, err);
        if (code != KM_OK)
            return code;
    }
    if (code != KM_NOTFOUND)
        return code;
    struct km_trace_info info;
    km_trace_reader_get_info(reader, &info);
    if (info.cut_bytes > 0)
        fprintf(stderr, "komainu: replay: the recorder was cut off; %llu bytes of an unfinished block are left out\n",
                (unsigned long long)info.cut_bytes);
    return KM_OK;
}

static enum km_code read_import(struct replay *replay, int fd, const struct km_options *options, struct km_err *err)
{
    bool tsv = strcmp(km_options_text(options, "import"), "tsv") == 0;
    struct km_event_sink sink = {replay, take_event};
    struct km_import *import KM_CLEANUP(km_import_cleanup) =
        km_import_new(tsv ? KM_IMPORT_TSV : KM_IMPORT_STRACE, km_options_text(options, "unit"), &sink, err);
    if (!import)
        return err->code;
    char *bytes KM_CLEANUP(km_cleanup_free) = km_calloc(READ_BYTES, 1, SIZE_MAX, err);
    enum km_code code = bytes ? KM_OK : err->code;
    while (code == KM_OK) {
        ssize_t n = read(fd, bytes, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot read");
        if (n == 0)
            break;
        code = km_import_text(import, bytes, (size_t)n, err);
    }
    if (code == KM_OK)
        code = km_import_finish(import, err);
    struct km_import_stats stats;
    km_import_get_stats(import, &stats);
    if (stats.skipped > 0 || stats.unknown > 0)
        fprintf(stderr, "komainu: replay: %llu of %llu lines are no calls, %llu calls have unknown names\n",
                (unsigned long long)stats.skipped, (unsigned long long)stats.lines, (unsigned long long)stats.unknown);
    return code;
}

/* A new file of our own: never one that is there. */
static enum km_code open_record(const char *path, int *out_fd, struct replay *replay, struct km_err *err)
{
    *out_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (*out_fd < 0)
        return km_fail_errno(err, errno, "cannot make %s", path);
    replay->writer = km_trace_writer_new(*out_fd, km_clock_wall_ns(), km_clock_monotonic_ns(), err);
    return replay->writer ? KM_OK : err->code;
}

static enum km_code save_learned(const struct replay *replay, const char *folder, struct km_err *err)
{
    struct km_store *store KM_CLEANUP(km_store_cleanup) = km_store_open(folder, err);
    if (!store)
        return err->code;
    enum km_code code = KM_OK;
    struct km_profile *profile;
    for (size_t i = 0; code == KM_OK && (profile = km_watch_profile(replay->watch, i)); i++) {
        struct km_maturity maturity;
        km_profile_get_maturity(profile, &maturity);
        const struct km_profile_identity *id = km_profile_get_identity(profile);
        code = km_store_save(store, profile, "learned", err);
        fprintf(stderr, "komainu: replay: learned %s %s: %llu episodes, novelty %.1f %%, %s, confidence %.2f\n",
                id->unit, id->role, (unsigned long long)maturity.episodes, 100 * maturity.novelty,
                maturity.mature ? "mature" : "not mature", maturity.confidence);
    }
    return code;
}

static enum km_code replay_fd(struct replay *replay, int fd, const struct km_options *options, struct km_err *err)
{
    const char *learn = km_options_text(options, "learn"), *record = km_options_text(options, "record");
    struct km_episode_rule rule;
    km_episode_rule_default(&rule);
    bool imported = strcmp(km_options_text(options, "import"), "no") != 0;
    bool tsv = strcmp(km_options_text(options, "import"), "tsv") == 0;
    struct km_watch_config config = {.context = replay,
                                     .find = find,
                                     .judged = judged,
                                     .budget_per_day = km_options_real(options, "budget"),
                                     .rate = km_options_real(options, "rate"),
                                     .deployed = km_options_flag(options, "deployed"),
                                     .learn = learn != NULL,
                                     .learn_ns = (uint64_t)km_options_integer(options, "for") * KM_NS_PER_S,
                                     .rule = tsv ? NULL : &rule};
    struct km_watch *watch KM_CLEANUP(km_watch_cleanup) = km_watch_new(&config, err);
    int record_fd KM_CLEANUP(km_cleanup_close) = -1;
    if (!watch)
        return err->code;
    replay->watch = watch;
    enum km_code code = record ? open_record(record, &record_fd, replay, err) : KM_OK;
    if (code == KM_OK)
        code = imported ? read_import(replay, fd, options, err) : read_trace(replay, fd, err);
    if (code == KM_OK)
        code = km_watch_finish(watch, err);
    if (code == KM_OK && replay->writer)
        code = km_trace_writer_flush(replay->writer, err);
    km_trace_writer_free(km_steal(replay->writer));
    if (code == KM_OK && learn)
        code = save_learned(replay, learn, err);
    struct km_watch_stats stats;
    km_watch_get_stats(watch, &stats);
    fprintf(stderr, "komainu: replay: %llu events, %llu episodes, %llu learned, %llu alarms, %llu lost, %llu refused\n",
            (unsigned long long)stats.events, (unsigned long long)stats.episodes, (unsigned long long)stats.learned,
            (unsigned long long)stats.alarms, (unsigned long long)stats.lost, (unsigned long long)stats.refused);
    return code;
}

static enum km_code replay_path(struct replay *replay, const char *path, const struct km_options *options,
                                struct km_err *err)
{
    if (strcmp(path, "-") == 0)
        return replay_fd(replay, STDIN_FILENO, options, err);
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot open");
    return replay_fd(replay, fd, options, err);
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    const char *learn = km_options_text(options, "learn");
    if (operand_count == 0 || (operand_count > 1 && (learn || km_options_text(options, "record")))) {
        fprintf(stderr, "komainu: replay: name a trace%s\n",
                operand_count > 1 ? ", one with --learn and --record" : "");
        return KM_EXIT_ERROR;
    }
    struct km_err err = KM_ERR_INIT;
    struct km_profile_source *source KM_CLEANUP(km_profile_source_cleanup) = NULL;
    if (!learn) {
        source = km_profile_source_open(km_options_text(options, "profile"), &err);
        if (!source) {
            fprintf(stderr, "komainu: replay: %s\n", err.text);
            return KM_EXIT_ERROR;
        }
    }
    struct replay replay = {.source = source,
                            .json = strcmp(km_options_text(options, "format"), "json") == 0,
                            .alarms_only = km_options_flag(options, "alarms"),
                            .quarantine = source && km_options_flag(options, "quarantine"),
                            .learning = learn != NULL};
    int status = KM_EXIT_OK;
    for (int i = 0; i < operand_count; i++)
        if (replay_path(&replay, operands[i], options, &err) != KM_OK) {
            km_err_wrap(&err, "%s", operands[i]);
            fprintf(stderr, "komainu: replay: %s\n", err.text);
            status = KM_EXIT_ERROR;
        }
    return status == KM_EXIT_OK && replay.alarms > 0 ? KM_EXIT_FINDINGS : status;
}

const struct km_cmd km_cmd_replay = {"replay", "TRACE...", "score or learn recorded behaviour of daemons", rows, run};
