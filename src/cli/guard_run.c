#include "cli/guard_run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cancel.h"
#include "base/clock.h"
#include "cli/cmd.h"
#include "cli/desk_use.h"
#include "cli/guard_desk.h"
#include "cli/guard_memory.h"
#include "cli/guard_output.h"
#include "cli/profile_source.h"
#include "cli/rules_source.h"
#include "daemon/guard/live.h"
#include "daemon/guard/privilege.h"

#define POLL_MS     100
#define STATUS_NS   (500 * KM_NS_PER_MS)
#define PATH_BYTES  4096
#define LINE_BYTES  1024
#define SNAPSHOT_NS (5 * KM_NS_PER_S)
#define HOST_BYTES  256
#define MAX_TARGETS KM_GUARD_MAX_DAEMONS

static struct km_cancel cancel = KM_CANCEL_INIT; /* the signal handler has no other way */

static void on_signal(int number)
{
    (void)number;
    km_cancel_request(&cancel);
}

struct run {
    const struct km_options *options;
    const struct km_guard_times *times;
    struct km_guard_output *output;
    struct km_store *store;
    struct km_decision_list *decisions;
    struct km_rules *rules;
    char rules_digest[KM_RULES_DIGEST_BYTES];
    size_t rules_refused;
    struct km_guard_desk *desk; /* or NULL */
    struct km_live *live;
    struct km_live_target targets[MAX_TARGETS];
    size_t target_count;
    int record_fd;
    bool guarded_written;
    int64_t status_ns;
    struct km_guard_memory *memory;
    int64_t saved_ns;
    uint64_t status_events;
    char host[HOST_BYTES];
};

static void run_done(struct run *run)
{
    km_guard_desk_close(run->desk, run->live);
    km_guard_memory_close(run->memory);
    km_live_close(run->live);
    km_store_close(run->store);
    km_decision_list_free(run->decisions);
    km_rules_free(run->rules);
    km_guard_output_free(run->output);
    if (run->record_fd >= 0)
        (void)close(run->record_fd);
    if (run->guarded_written)
        (void)unlink(km_options_text(run->options, "guarded"));
}

static enum km_code collect_targets(struct run *run, struct km_err *err)
{
    static const struct {
        const char *option;
        enum km_probe_scope scope;
    } kinds[] = {{"unit", KM_PROBE_SCOPE_UNIT},
                 {"command", KM_PROBE_SCOPE_COMMAND},
                 {"pid", KM_PROBE_SCOPE_PID},
                 {"cgroup", KM_PROBE_SCOPE_CGROUP}};
    for (size_t k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
        const char *const *texts;
        size_t count = km_options_texts(run->options, kinds[k].option, &texts);
        for (size_t i = 0; i < count; i++) {
            if (run->target_count == MAX_TARGETS)
                return km_fail(err, KM_LIMIT, "at most %d daemons can be guarded", MAX_TARGETS);
            run->targets[run->target_count++] = (struct km_live_target){kinds[k].scope, texts[i]};
        }
    }
    return KM_OK;
}

static enum km_code open_store(struct run *run, struct km_err *err)
{
    char usual[PATH_BYTES];
    const char *path = km_options_text(run->options, "store");
    if (!path) {
        enum km_code code = km_profile_source_usual(usual, err);
        if (code != KM_OK)
            return code;
        path = usual;
    }
    run->store = km_store_open(path, err);
    if (!run->store)
        return err->code;
    run->memory = km_guard_memory_open(path, run->output, km_guard_output_say, err);
    return run->memory ? KM_OK : err->code;
}

static enum km_code read_decisions(struct run *run, struct km_err *err)
{
    const char *path = km_options_text(run->options, "decisions");
    if (!path)
        return KM_OK;
    struct km_buf text;
    km_buf_init(&text, KM_DECISION_LIST_MAX_BYTES);
    enum km_code code = km_buf_append_file(&text, path, err);
    if (code == KM_OK) {
        run->decisions = km_decision_list_parse(km_buf_text(&text), text.length, err);
        code = run->decisions ? KM_OK : km_err_wrap(err, "%s", path);
    }
    km_buf_done(&text);
    if (code != KM_OK)
        return code;
    size_t expired = km_decision_list_expired(run->decisions, km_clock_wall_ns());
    char line[LINE_BYTES];
    (void)snprintf(line, sizeof line, "%zu decisions expired; what they said counts no more", expired);
    if (expired > 0)
        km_guard_output_say(run->output, line);
    return KM_OK;
}

static enum km_code open_desk(struct run *run, struct km_err *err)
{
    const char *named = km_options_text(run->options, "desk");
    enum km_desk_link_use use = km_desk_link_use(run->options, "use-desk", "desk");
    if (use == KM_DESK_LINK_NONE)
        return KM_OK;
    const struct km_guard_desk_config config = {
        .named = named,
        .store = run->store,
        .versions = {.komainu = KM_VERSION, .rules = run->rules ? run->rules_digest : NULL},
        .rules = run->rules,
        .say_context = run->output,
        .say = km_guard_output_say};
    struct km_err why = KM_ERR_INIT;
    run->desk = km_guard_desk_open(&config, &why);
    if (run->desk || use == KM_DESK_LINK_USUAL) {
        if (!run->desk)
            fprintf(stderr, "komainu: guard: nothing is recorded at the desk: %s\n", why.text);
        return KM_OK;
    }
    *err = why;
    return err->code;
}

static void count_refused(void *context, const struct km_rule_report *report)
{
    struct run *run = context;
    run->rules_refused += report->outcome == KM_RULE_REFUSED;
}

static enum km_code load_rules(struct run *run, struct km_err *err)
{
    const char *const *paths;
    size_t count = km_options_texts(run->options, "rules", &paths);
    const struct km_rules_listener listener = {run, count_refused};
    if (!km_options_flag(run->options, "use-rules"))
        return KM_OK;
    run->rules = km_rules_source_load(paths, count, &listener, err);
    if (!run->rules)
        return err->code;
    char line[LINE_BYTES];
    size_t rules = km_rules_count(run->rules);
    if (rules == 0)
        (void)snprintf(line, sizeof line, "no rules are installed; --rules PATH names some%s",
                       run->rules_refused ? ", and some are refused: 'komainu rules check' says why" : "");
    else
        (void)snprintf(line, sizeof line, "%zu rules%s", rules,
                       run->rules_refused ? ", some are refused: 'komainu rules check' says why" : "");
    km_guard_output_say(run->output, line);
    return km_rules_digest(run->rules, run->rules_digest, err);
}

static enum km_code open_outputs(struct run *run, struct km_err *err)
{
    run->output = km_guard_output_new(km_options_text(run->options, "format"), err);
    if (!run->output)
        return err->code;
    const char *const *specs;
    size_t count = km_options_texts(run->options, "output", &specs);
    enum km_code code = KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++)
        code = km_guard_output_add(run->output, specs[i], err);
    const char *record = km_options_text(run->options, "record");
    if (code == KM_OK && record) {
        run->record_fd = open(record, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
        if (run->record_fd < 0)
            return km_fail_errno(err, errno, "cannot make %s", record);
    }
    return code;
}

/* For `komainu daemons`. A folder that cannot be written is no reason not to guard. */
static void write_guarded(struct run *run)
{
    const char *path = km_options_text(run->options, "guarded");
    char folder[PATH_BYTES], line[LINE_BYTES];
    (void)snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = '\0';
        (void)mkdir(folder, 0755);
    }
    FILE *file = fopen(path, "we");
    for (size_t i = 0; file && i < run->target_count; i++) {
        char name[KM_EVENT_MAX_NAME_BYTES];
        km_live_name(&run->targets[i], "/proc", name);
        fprintf(file, "%s\n", name);
    }
    run->guarded_written = file != NULL;
    if (file && fclose(file) == 0)
        return;
    (void)snprintf(line, sizeof line, "%s cannot be written (%s): 'komainu daemons' will not show what is guarded",
                   path, strerror(errno));
    km_guard_output_say(run->output, line);
}

static enum km_code open_live(struct run *run, struct km_err *err)
{
    if (gethostname(run->host, sizeof run->host - 1) != 0)
        (void)snprintf(run->host, sizeof run->host, "localhost");
    struct km_live_config config = {
        .guard = {.alerts = {run->output, km_guard_output_alert},
                  .say_context = run->output,
                  .say = km_guard_output_say,
                  .store = run->store,
                  .learn_ns = run->times->learn_ns,
                  .relearn = km_options_flag(run->options, "relearn"),
                  .incidents = {.per_daemon = (unsigned)km_options_integer(run->options, "budget"),
                                .per_host = (unsigned)km_options_integer(run->options, "host-budget")},
                  .host = run->host,
                  .rules = run->rules,
                  .versions = {.komainu = KM_VERSION, .rules = run->rules ? run->rules_digest : NULL}},
        .probe = {.hide_arguments = km_options_flag(run->options, "hide-arguments")},
        .targets = run->targets,
        .target_count = run->target_count,
        .record_fd = run->record_fd};
    if (run->decisions)
        config.guard.decisions = km_decision_list_decisions(run->decisions);
    if (run->desk) {
        const struct km_decisions listed = config.guard.decisions;
        const struct km_alert_sink shown = config.guard.alerts;
        config.guard.decisions = km_guard_desk_decisions(run->desk, &listed);
        config.guard.alerts = km_guard_desk_alerts(run->desk, &shown);
        config.guard.kept_back = km_guard_desk_kept_back(run->desk);
    }
    run->live = km_live_open(&config, err);
    if (run->live)
        km_guard_memory_load(run->memory, km_guard_incidents(km_live_guard(run->live)));
    return run->live ? KM_OK : err->code;
}

static void show_status(struct run *run, int64_t now_ns)
{
    struct km_live_status live;
    struct km_guard_status one;
    char line[LINE_BYTES];
    unsigned learning = 0, mature = 0;
    double share = 1;
    if (!km_guard_output_has_status(run->output) || now_ns - run->status_ns < STATUS_NS)
        return;
    km_live_get_status(run->live, &live);
    const struct km_guard *guard = km_live_guard(run->live);
    for (size_t i = 0; km_guard_get_status(guard, i, &one); i++) {
        learning += one.learning;
        mature += !one.learning && one.mature;
        if (one.learning && one.learned_share < share)
            share = one.learned_share;
    }
    double seconds = (double)(now_ns - run->status_ns) / (double)KM_NS_PER_S;
    double rate = run->status_ns ? (double)(live.events - run->status_events) / seconds : 0;
    int n = snprintf(line, sizeof line, "%u of %u daemons, %u threads, %.0f events/s", live.running, live.daemons,
                     live.threads, rate);
    if (learning > 0)
        n += snprintf(line + n, sizeof line - (size_t)n, ", %u learning (%.0f %%)", learning, 100 * share);
    if (mature > 0 || learning == 0)
        n += snprintf(line + n, sizeof line - (size_t)n, ", %u mature", mature);
    (void)snprintf(line + n, sizeof line - (size_t)n, ", %llu lost, %u alerts today", (unsigned long long)live.lost,
                   km_incidents_shown_today(km_guard_incidents(km_live_guard(run->live))));
    run->status_ns = now_ns;
    run->status_events = live.events;
    km_guard_output_status(run->output, line);
}

/* What the run was: one line a daemon, and what the budget kept back. */
static void summarize(struct run *run)
{
    struct km_guard *guard = km_live_guard(run->live);
    struct km_live_status live;
    struct km_guard_status one;
    char line[LINE_BYTES];
    km_guard_output_status(run->output, "");
    km_live_get_status(run->live, &live);
    for (size_t i = 0; km_guard_get_status(guard, i, &one); i++) {
        (void)snprintf(
            line, sizeof line, "%s: %llu events, %llu episodes, %llu findings, %llu alerts, %llu suppressed, %llu lost",
            one.name, (unsigned long long)one.events, (unsigned long long)one.episodes, (unsigned long long)one.alarms,
            (unsigned long long)one.alerts, (unsigned long long)one.suppressed, (unsigned long long)one.lost);
        km_guard_output_say(run->output, line);
    }
    const struct km_incidents *incidents = km_guard_incidents(guard);
    struct km_err err = KM_ERR_INIT;
    size_t count = 0;
    const struct km_incident **digest =
        km_incidents_digest(incidents, km_incidents_day(km_clock_wall_ns()), &count, &err);
    for (size_t i = 0; digest && i < count; i++) {
        (void)snprintf(line, sizeof line, "digest: %s (%s): %s, %llu times, strength %.1f", digest[i]->daemon,
                       digest[i]->role, digest[i]->key, (unsigned long long)digest[i]->count, digest[i]->strongest);
        km_guard_output_say(run->output, line);
    }
    free((void *)digest);
}

static enum km_code loop(struct run *run, struct km_err *err)
{
    int64_t end_ns = run->times->for_ns ? km_clock_monotonic_ns() + (int64_t)run->times->for_ns : INT64_MAX;
    enum km_code code = KM_OK;
    struct km_err ignored = KM_ERR_INIT;
    while (code == KM_OK && km_cancel_check(&cancel, &ignored) == KM_OK && km_clock_monotonic_ns() < end_ns) {
        code = km_live_poll(run->live, POLL_MS, err);
        if (code == KM_OK && run->desk)
            code = km_guard_desk_tick(run->desk, run->live, err);
        show_status(run, km_clock_monotonic_ns());
        if (km_clock_monotonic_ns() - run->saved_ns >= SNAPSHOT_NS) {
            km_guard_memory_save(run->memory, km_guard_incidents(km_live_guard(run->live)));
            run->saved_ns = km_clock_monotonic_ns();
        }
    }
    if (code == KM_OK)
        code = km_live_finish(run->live, err);
    km_guard_memory_save(run->memory, km_guard_incidents(km_live_guard(run->live)));
    summarize(run);
    return code;
}

int km_guard_run(const struct km_options *options, const struct km_guard_times *times)
{
    struct km_err err = KM_ERR_INIT;
    struct run run KM_CLEANUP(run_done) = {.options = options, .times = times, .record_fd = -1};
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGINT, &action, NULL);
    (void)sigaction(SIGTERM, &action, NULL);
    enum km_code code = collect_targets(&run, &err);
    if (code == KM_OK)
        code = open_outputs(&run, &err);
    if (code == KM_OK)
        code = open_store(&run, &err);
    if (code == KM_OK)
        code = read_decisions(&run, &err);
    if (code == KM_OK)
        code = load_rules(&run, &err);
    if (code == KM_OK)
        code = open_desk(&run, &err);
    if (code == KM_OK)
        code = open_live(&run, &err);
    if (code == KM_OK) {
        write_guarded(&run);
        code = km_privilege_drop(&err);
        if (code == KM_OK)
            code = loop(&run, &err);
    }
    if (code == KM_OK)
        return KM_EXIT_OK;
    if (run.output)
        km_guard_output_say(run.output, err.text);
    else
        fprintf(stderr, "komainu: guard: %s\n", err.text);
    return KM_EXIT_ERROR;
}
