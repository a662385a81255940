/*
 * Detection on our own recordings of nginx, PostgreSQL and Redis (bench/data/daemons/README.md).
 *
 * usage: bench_daemon_own FOLDER [MINUTES [-v]]
 *
 * Learns the first MINUTES (40) of ordinary load and scores the rest with the default budget; then each misuse, with
 * those profiles. Prints `name value unit low high n`; -v adds each alarm, the label before it
 * and its evidence, as comments. A misuse is found when an episode that overlaps it (and ten seconds after) is an
 * alarm, or when its program is another one and no package says why. byscore counts those whose score alone was enough.
 *
 * own.pace.D.V: the ordinary load after learning once more with those profiles, as it was and with its time running
 * FASTER times as quickly; told: the pace was told (watch.h), which it must be of the second alone. Where the learned
 * load has bursts that are far above its average, the average twenty times over is no strange pace: PostgreSQL's.
 *
 * Then all of it once more through the guard (daemon_alerts.h), rules and incidents included: what a person would see.
 * own.alerts.perday are incidents strong enough to be shown, a daemon and day, as if there were no budget;
 * own.shown.perday what the default budget leaves of them, own.digest.perday all the rest. A misuse is alerted when
 * within it an alert is shown, or one that was shown grows, under the default budget.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "daemon/profile/explain.h"
#include "daemon/profile/profile_file.h"
#include "daemon/profile/watch.h"
#include "daemon/trace/calls.h"
#include "daemon/trace/trace_file.h"
#include "daemon_alerts.h"
#include "daemon_data.h"
#include "finding/incident.h"
#include "stats/interval.h"

#define MINUTE_NS     (UINT64_C(60) * 1000000000)
#define LEARN_MINUTES 40
#define AFTER_NS      (UINT64_C(10) * 1000000000)
#define MAX_LABELS    512
#define LABEL_BYTES   64
#define MAX_PROFILES  64
#define MAX_MISUSES   32
#define MAX_GROUPS    1024
#define FASTER        20
#define GROUP_NS      (UINT64_C(600) * 1000000000) /* as the guard groups: one role, one main evidence, ten minutes */
#define PATH_BYTES    512
#define NAME_BYTES    128

static const char *const daemons[] = {"nginx", "postgresql", "redis"};
#define DAEMONS (sizeof daemons / sizeof daemons[0])

static uint64_t learn_ns = LEARN_MINUTES * MINUTE_NS;

static const char *const view_names[KM_VIEWS] = {"full", "deployed"};

struct label {
    uint64_t time_ns;
    char text[LABEL_BYTES];
};

struct labels {
    struct label items[MAX_LABELS];
    size_t count;
};

struct learned {
    struct km_buf profiles[MAX_PROFILES];
    size_t count;
};

struct run {
    struct labels labels;
    const char *name;
    bool verbose, ordinary;
    struct km_watch *watch;
    struct learned *learned; /* ordinary: filled when learning ends; misuse: read */
    uint64_t misuse_ns, over_ns, now_ns;
    uint64_t first_ns, last_ns, calls; /* after learning */
    uint64_t alarms, found;            /* found: alarms that overlap the misuse */
    uint64_t incidents;
    struct group {
        uint32_t key;
        uint64_t last_ns;
    } groups[MAX_GROUPS];
    size_t group_count;
    uint64_t by_score; /* of found: above the threshold, whatever the act */
    unsigned faster;   /* its time runs so many times as quickly after learning; 0: not */
    uint64_t paced;    /* how often a pace was told after learning */
    double times;      /* the largest */
    double nearest;    /* the largest score less its threshold that overlaps it */
};

static void labels_load(struct labels *labels, const char *folder, const char *name)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s.labels", folder, name);
    FILE *in = fopen(path, "re");
    if (!in)
        bench_die("cannot read %s", path);
    char line[256];
    while (labels->count < MAX_LABELS && fgets(line, sizeof line, in)) {
        char *end;
        struct label *l = &labels->items[labels->count];
        l->time_ns = strtoull(line, &end, 10);
        if (*end != '\t')
            bench_die("%s: a line without a tab", path);
        (void)snprintf(l->text, sizeof l->text, "%.*s", (int)strcspn(end + 1, "\n"), end + 1);
        labels->count++;
    }
    (void)fclose(in);
}

static const struct label *label_before(const struct labels *labels, uint64_t time_ns)
{
    const struct label *found = NULL;
    for (size_t i = 0; i < labels->count && labels->items[i].time_ns <= time_ns; i++)
        found = &labels->items[i];
    return found;
}

static uint64_t label_time(const struct labels *labels, const char *text)
{
    for (size_t i = 0; i < labels->count; i++)
        if (strcmp(labels->items[i].text, text) == 0)
            return labels->items[i].time_ns;
    return 0;
}

static void tell(const struct run *run, const struct km_watch_result *r)
{
    const struct label *label = label_before(&run->labels, r->episode->begin_ns);
    struct km_explanation why;
    printf("# %s %s%s %s: score %.1f threshold %.1f confidence %.2f, %u calls;", run->name, r->identity->role,
           r->release == KM_RELEASE_UNEXPLAINED ? " (another program)" : "", r->episode->complete ? "full" : "partial",
           r->assessment->score, r->threshold, r->confidence, r->assessment->measure.calls);
    if (label)
        printf(" %.1f s after '%s';", (double)(r->episode->begin_ns - label->time_ns) / 1e9, label->text);
    if (!r->profile) {
        printf(" no profile\n");
        return;
    }
    for (int c = 0; c < KM_CHANNELS; c++)
        if (r->assessment->term[c] >= 0.5)
            printf(" %s %.1f", km_channel_to_string((enum km_channel)c), r->assessment->term[c]);
    if (r->assessment->entities_new > 0)
        printf(" entities %.1f", r->assessment->entity_term);
    km_explain_episode(r->profile, r->episode, r->assessment, &why);
    for (size_t i = 0; i < why.entity_count; i++)
        printf(" [%s]", why.entities[i]);
    for (size_t i = 0; i < why.call_count && i < 3; i++) {
        char name[KM_CALL_NAME_BYTES];
        km_call_format(why.calls[i].space, (unsigned)why.calls[i].window & (KM_CALL_NUMBERS - 1), name);
        printf(" %s(%.1f)", name, why.calls[i].bits);
    }
    printf("\n");
}

static void keep_profiles(struct run *run)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_profile *profile;
    for (size_t i = 0; (profile = km_watch_profile(run->watch, i)) != NULL && run->learned->count < MAX_PROFILES; i++) {
        struct km_buf *buf = &run->learned->profiles[run->learned->count++];
        km_buf_init(buf, KM_PROFILE_MAX_FILE_BYTES);
        if (km_profile_save(profile, "learned", buf, &err) != KM_OK)
            bench_die("%s", err.text);
    }
}

static uint32_t hash_of(uint32_t h, const char *text)
{
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 16777619U;
    return h;
}

/* Counts an alarm, and its incident when it begins one. */
static void count_alarm(struct run *run, const char *role, const char *evidence, uint64_t begin_ns, uint64_t end_ns)
{
    uint32_t key = hash_of(hash_of(2166136261U, role), evidence);
    size_t i = 0;
    run->alarms++;
    run->found += run->misuse_ns > 0 && end_ns >= run->misuse_ns && begin_ns <= run->over_ns + AFTER_NS;
    while (i < run->group_count && run->groups[i].key != key)
        i++;
    if (i == run->group_count && i < MAX_GROUPS)
        run->groups[run->group_count++] = (struct group){key, 0};
    if (i == MAX_GROUPS || run->groups[i].last_ns == 0 || end_ns > run->groups[i].last_ns + GROUP_NS)
        run->incidents++;
    if (i < MAX_GROUPS)
        run->groups[i].last_ns = end_ns;
}

/* A kind of thread that was never learned, or another program than was learned: what the guard tells, too. */
static enum km_code appeared(void *context, const struct km_watch_role *role, struct km_err *err)
{
    struct run *run = context;
    (void)err;
    bool fresh = !role->learning && !role->profile;
    if (!fresh && (role->learning || role->release != KM_RELEASE_UNEXPLAINED))
        return KM_OK;
    if (run->ordinary && run->learned->count == 0)
        keep_profiles(run);
    if (run->verbose)
        printf("# %s %s: %s, program %s\n", run->name, role->identity->role, fresh ? "a new role" : "another program",
               role->identity->exe);
    count_alarm(run, role->identity->role, fresh ? "new" : "program", run->now_ns, run->now_ns);
    return KM_OK;
}

static enum km_code judged(void *context, const struct km_watch_result *result, struct km_err *err)
{
    struct run *run = context;
    (void)err;
    if (run->ordinary && run->learned->count == 0)
        keep_profiles(run);
    double above = result->assessment->score - result->threshold;
    bool during = run->misuse_ns > 0 && result->episode->end_ns >= run->misuse_ns &&
                  result->episode->begin_ns <= run->over_ns + AFTER_NS;
    if (result->alarm) {
        struct km_explanation why;
        km_explain_episode(result->profile, result->episode, result->assessment, &why);
        count_alarm(run, result->identity->role, why.entity_count > 0 ? why.entities[0] : "order and mix of calls",
                    result->episode->begin_ns, result->episode->end_ns);
    }
    if (run->verbose && (result->alarm || (during && result->profile && above > run->nearest)))
        tell(run, result);
    run->by_score += during && result->alarm && above > 0;
    if (during)
        run->nearest = fmax(run->nearest, above);
    return KM_OK;
}

static enum km_code paced(void *context, const struct km_watch_pace *pace, struct km_err *err)
{
    struct run *run = context;
    (void)err;
    run->paced += run->first_ns > 0;
    run->times = fmax(run->times, pace->per_second / pace->learned);
    return KM_OK;
}

static struct km_profile *find(void *context, const struct km_profile_identity *identity)
{
    const struct run *run = context;
    struct km_err err = KM_ERR_INIT;
    for (size_t i = 0; i < run->learned->count; i++) {
        const struct km_buf *buf = &run->learned->profiles[i];
        struct km_profile *profile = km_profile_load(buf->data, buf->length, NULL, &err);
        if (!profile)
            bench_die("%s", err.text);
        if (strcmp(km_profile_get_identity(profile)->role, identity->role) == 0)
            return profile;
        km_profile_free(profile);
    }
    return NULL;
}

static void run_events(struct run *run, FILE *in)
{
    struct km_err err = KM_ERR_INIT;
    struct km_trace_reader *reader = km_trace_reader_new(fileno(in), &err);
    struct km_event event;
    enum km_code code;
    uint64_t begin_ns = 0;
    if (!reader)
        bench_die("%s: %s", run->name, err.text);
    while ((code = km_trace_reader_next(reader, &event, &err)) == KM_OK) {
        if (begin_ns == 0)
            begin_ns = event.time_ns;
        uint64_t after_ns = event.time_ns - begin_ns;
        if (run->faster > 0 && after_ns >= learn_ns) {
            event.time_ns = begin_ns + learn_ns + (after_ns - learn_ns) / run->faster;
            run->first_ns = begin_ns + learn_ns;
        }
        if (run->faster == 0 && (!run->ordinary || after_ns >= learn_ns)) {
            run->first_ns = run->first_ns ? run->first_ns : event.time_ns;
            run->last_ns = event.time_ns > run->last_ns ? event.time_ns : run->last_ns;
            run->calls += event.kind == KM_EVENT_CALL;
        }
        run->now_ns = event.time_ns;
        if (km_watch_event(run->watch, &event, &err) != KM_OK)
            bench_die("%s: %s", run->name, err.text);
    }
    if (code != KM_NOTFOUND || km_watch_finish(run->watch, &err) != KM_OK)
        bench_die("%s: %s", run->name, err.text);
    km_trace_reader_free(reader);
}

static void run_trace(struct run *run, const char *folder, enum km_view view)
{
    char command[PATH_BYTES];
    struct km_err err = KM_ERR_INIT;
    struct km_episode_rule rule;
    km_episode_rule_default(&rule);
    const struct km_watch_config config = {.context = run,
                                           .find = run->ordinary ? NULL : find,
                                           .judged = judged,
                                           .appeared = appeared,
                                           .paced = paced,
                                           .deployed = view == KM_VIEW_DEPLOYED,
                                           .learn = run->ordinary,
                                           .learn_ns = learn_ns,
                                           .rule = &rule};
    run->watch = km_watch_new(&config, &err);
    if (!run->watch)
        bench_die("%s", err.text);
    if (snprintf(command, sizeof command, "xz -dc '%s/%s.trace.xz'", folder, run->name) >= (int)sizeof command)
        bench_die("the path is too long");
    FILE *in = popen(command, "re"); /* NOLINT(cert-env33-c): a bench on the developer's own data */
    if (!in)
        bench_die("cannot run xz");
    run_events(run, in);
    if (pclose(in) != 0)
        bench_die("%s: xz failed", run->name);
    km_watch_free(run->watch);
    run->watch = NULL;
}

struct totals {
    uint64_t alarms, incidents, calls, misuses, found, by_score;
    unsigned paces_right;
    double hours;
};

static void print_rate(const char *name, const char *view, uint64_t alarms, double per, const char *unit)
{
    struct km_interval interval = km_interval_poisson(alarms, 0.95);
    printf("%s.%s %.4g %s %.4g %.4g %llu\n", name, view, (double)alarms / per, unit, interval.low / per,
           interval.high / per, (unsigned long long)alarms);
}

static void print_falsealarms(const char *which, const char *view, const struct totals *t)
{
    uint64_t alarms = t->alarms;
    double hours = t->hours, calls = (double)t->calls;
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "own%s%s.falsealarm.perhour", *which ? "." : "", which);
    print_rate(name, view, alarms, hours, "alarms/h");
    (void)snprintf(name, sizeof name, "own%s%s.falsealarm.permillion", *which ? "." : "", which);
    print_rate(name, view, alarms, calls / 1e6, "alarms/Mcalls");
    (void)snprintf(name, sizeof name, "own%s%s.falseincident.perhour", *which ? "." : "", which);
    print_rate(name, view, t->incidents, hours, "incidents/h");
}

/* "nginx.shell.trace.xz" of daemon "nginx": its misuses, in the order of their names. */
static int is_trace(const struct dirent *entry)
{
    const char *dot = strchr(entry->d_name, '.');
    const char *end = dot ? strstr(dot + 1, ".trace.xz") : NULL;
    return end && end[strlen(".trace.xz")] == '\0' && end > dot + 1;
}

/* ---- what a person would see ---- */

static void see(struct alerts_run *run, const char *folder, struct alerts_seen *out)
{
    char command[PATH_BYTES];
    if (snprintf(command, sizeof command, "xz -dc '%s/%s.trace.xz'", folder, run->name) >= (int)sizeof command)
        bench_die("the path is too long");
    run->trace = popen(command, "re"); /* NOLINT(cert-env33-c): a bench on the developer's own data */
    if (!run->trace)
        bench_die("cannot run xz");
    alerts_run(run, out);
    if (pclose(run->trace) != 0)
        bench_die("%s: xz failed", run->name);
}

struct person {
    const char *folder;
    struct km_store *store;
    struct km_rules *rules;
    bool verbose;
    uint64_t alerts, digest;
    unsigned misuses, alerted, digested;
    double days, shown; /* of all daemons; shown: a day, summed over the daemons */
};

static void see_misuses(struct person *person, const char *daemon)
{
    struct dirent **entries;
    int count = scandir(person->folder, &entries, is_trace, alphasort);
    if (count < 0)
        bench_die("cannot read %s", person->folder);
    for (int i = 0; i < count; i++) {
        char name[NAME_BYTES];
        struct alerts_seen seen;
        (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(entries[i]->d_name) - strlen(".trace.xz")),
                       entries[i]->d_name);
        free(entries[i]);
        if (strncmp(name, daemon, strlen(daemon)) != 0 || name[strlen(daemon)] != '.')
            continue;
        static struct labels labels;
        labels = (struct labels){0};
        labels_load(&labels, person->folder, name);
        struct alerts_run run = {.name = name,
                                 .store = person->store,
                                 .rules = person->rules,
                                 .from_ns = label_time(&labels, "misuse"),
                                 .until_ns = label_time(&labels, "misuse over") + AFTER_NS,
                                 .verbose = person->verbose};
        see(&run, person->folder, &seen);
        printf("own.misuse.alert.%s.deployed %d alerted - - %u\n", name, seen.during > 0, seen.during);
        person->misuses++;
        person->alerted += seen.during > 0;
        person->digested += seen.during == 0 && seen.undecided > 0;
    }
    free(entries);
}

static void see_daemon(struct person *person, const char *daemon)
{
    struct alerts_seen seen;
    struct alerts_run run = {.name = daemon,
                             .store = person->store,
                             .rules = person->rules,
                             .learn_ns = learn_ns,
                             .unlimited = true,
                             .verbose = person->verbose};
    see(&run, person->folder, &seen);
    double days = seen.hours / 24, a_day = seen.alerts / days;
    char name[NAME_BYTES];
    (void)snprintf(name, sizeof name, "own.%s.alerts.perday", daemon);
    print_rate(name, "deployed", seen.alerts, days, "alerts/day");
    (void)snprintf(name, sizeof name, "own.%s.incidents.perday", daemon);
    print_rate(name, "deployed", seen.alerts + seen.digest, days, "incidents/day");
    person->alerts += seen.alerts;
    person->digest += seen.digest;
    person->days += days;
    person->shown += fmin(a_day, KM_INCIDENTS_DEFAULT_DAEMON);
    see_misuses(person, daemon);
}

static void remove_folder(const char *path)
{
    char command[PATH_BYTES];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) /* NOLINT(cert-env33-c): the folder made below */
        fprintf(stderr, "cannot remove %s\n", path);
}

static void bench_person(const char *folder, bool verbose)
{
    char path[] = "/tmp/komainu-bench-XXXXXX", rules[PATH_BYTES];
    struct km_err err = KM_ERR_INIT;
    struct person person = {.folder = folder, .verbose = verbose};
    if (!mkdtemp(path))
        bench_die("cannot make a folder below /tmp");
    person.store = km_store_open(path, &err);
    person.rules = person.store ? km_rules_new(&err) : NULL;
    (void)snprintf(rules, sizeof rules, "%s/../../../data/rules", folder);
    if (!person.rules || km_rules_load_path(person.rules, rules, NULL, &err) != KM_OK)
        bench_die("%s", err.text);
    for (size_t i = 0; i < DAEMONS; i++)
        see_daemon(&person, daemons[i]);
    print_rate("own.alerts.perday", "deployed", person.alerts, person.days, "alerts/daemon-day");
    print_rate("own.incidents.perday", "deployed", person.alerts + person.digest, person.days, "incidents/daemon-day");
    const size_t daemon_count = DAEMONS;
    double all = (double)(person.alerts + person.digest) / person.days;
    double shown = person.shown / (double)daemon_count;
    printf("own.shown.perday.deployed %.4g alerts/daemon-day - - %zu\n", shown, DAEMONS);
    printf("own.digest.perday.deployed %.4g incidents/daemon-day - - %zu\n", all - shown, DAEMONS);
    struct km_interval w = km_interval_wilson(person.alerted, person.misuses, 0.95);
    printf("own.misuse.alerted.deployed %u of-%u %.3f %.3f %u\n", person.alerted, person.misuses, w.low, w.high,
           person.misuses);
    printf("own.misuse.digestonly.deployed %u of-%u - - %u\n", person.digested, person.misuses, person.misuses);
    km_rules_free(person.rules);
    km_store_close(person.store);
    remove_folder(path);
}

/* ---- the ordinary load at another pace ---- */

static void bench_pace(const char *folder, const char *daemon, enum km_view view, struct learned *learned,
                       unsigned *out_right)
{
    static const unsigned times[] = {1, FASTER};
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        static struct run run;
        run = (struct run){.name = daemon, .learned = learned, .faster = times[i], .nearest = -INFINITY};
        run_trace(&run, folder, view);
        printf("own.pace.%s.times%u.%s %d told - - %llu\n", daemon, times[i], view_names[view], run.paced > 0,
               (unsigned long long)run.paced);
        if (run.paced > 0)
            printf("own.pace.%s.most.%s %.1f times - - 1\n", daemon, view_names[view], run.times);
        *out_right += (run.paced > 0) == (times[i] > 1);
    }
}

/* ---- alarms ---- */

static void bench_misuses(const char *folder, const char *daemon, enum km_view view, struct learned *learned,
                          bool verbose, struct totals *totals)
{
    struct dirent **entries;
    int count = scandir(folder, &entries, is_trace, alphasort);
    if (count < 0)
        bench_die("cannot read %s", folder);
    for (int i = 0; i < count; i++) {
        char name[NAME_BYTES];
        (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(entries[i]->d_name) - strlen(".trace.xz")),
                       entries[i]->d_name);
        free(entries[i]);
        if (strncmp(name, daemon, strlen(daemon)) != 0 || name[strlen(daemon)] != '.')
            continue;
        static struct run run;
        run = (struct run){.name = name, .verbose = verbose, .learned = learned, .nearest = -INFINITY};
        labels_load(&run.labels, folder, name);
        run.misuse_ns = label_time(&run.labels, "misuse");
        run.over_ns = label_time(&run.labels, "misuse over");
        run_trace(&run, folder, view);
        printf("own.misuse.%s.%s %d found - - %llu\n", name, view_names[view], run.found > 0,
               (unsigned long long)run.found);
        totals->misuses++;
        totals->found += run.found > 0;
        totals->by_score += run.by_score > 0;
    }
    free(entries);
}

static void bench_one(const char *folder, const char *daemon, enum km_view view, bool verbose, struct totals *totals)
{
    static struct run run;
    struct learned learned = {.count = 0};
    run = (struct run){.name = daemon, .verbose = verbose, .ordinary = true, .learned = &learned};
    labels_load(&run.labels, folder, daemon);
    run_trace(&run, folder, view);
    const struct totals one = {.alarms = run.alarms,
                               .incidents = run.incidents,
                               .calls = run.calls,
                               .hours = (double)(run.last_ns - run.first_ns) / 3600e9};
    print_falsealarms(daemon, view_names[view], &one);
    totals->alarms += one.alarms;
    totals->incidents += one.incidents;
    totals->calls += one.calls;
    totals->hours += one.hours;
    bench_misuses(folder, daemon, view, &learned, verbose, totals);
    bench_pace(folder, daemon, view, &learned, &totals->paces_right);
    for (size_t i = 0; i < learned.count; i++)
        km_buf_done(&learned.profiles[i]);
}

int main(int argc, char **argv)
{
    if (argc < 2 || argc > 4) {
        fprintf(stderr, "usage: bench_daemon_own FOLDER [MINUTES [-v]]\n");
        return 1;
    }
    if (argc > 2)
        learn_ns = strtoull(argv[2], NULL, 10) * MINUTE_NS;
    for (int v = 0; v < KM_VIEWS; v++) {
        struct totals totals = {0};
        for (size_t i = 0; i < DAEMONS; i++)
            bench_one(argv[1], daemons[i], (enum km_view)v, argc == 4, &totals);
        print_falsealarms("", view_names[v], &totals);
        struct km_interval w = km_interval_wilson((double)totals.found, (double)totals.misuses, 0.95);
        printf("own.misuse.found.%s %llu of-%llu %.3f %.3f %llu\n", view_names[v], (unsigned long long)totals.found,
               (unsigned long long)totals.misuses, w.low, w.high, (unsigned long long)totals.misuses);
        printf("own.pace.right.%s %u of-%zu - - %zu\n", view_names[v], totals.paces_right, 2 * DAEMONS, 2 * DAEMONS);
        w = km_interval_wilson((double)totals.by_score, (double)totals.misuses, 0.95);
        printf("own.misuse.byscore.%s %llu of-%llu %.3f %.3f %llu\n", view_names[v],
               (unsigned long long)totals.by_score, (unsigned long long)totals.misuses, w.low, w.high,
               (unsigned long long)totals.misuses);
    }
    bench_person(argv[1], argc == 4);
    return 0;
}
