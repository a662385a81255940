/*
 * Learning from decisions, shown: pilots of some weeks on recorded daemons and real images, with the product's own
 * guard, scan, desk and baseline on a simulated clock (pilot_run.h), and a person who is wrong at times (pilot_desk.h).
 * Do false alerts fall as people decide, and does detection of staged misuse stay?
 *
 * usage: bench_pilot_program [-d DAYS] [-s SEEDS] [-H HOURS] [-l LEARN-MINUTES] [-i IMAGES -m MODEL] [-v] DAEMONS RULES
 * FILE.svg
 *
 * Prints "name value unit low high n" by week for the person who decides, and (".closed") for one who only closes what
 * was looked at; both see the same days. falsealerts: incidents of no misuse that are shown for the first time, a day,
 * with the 95 % interval of the mean over pilots. detection: share of staged misuse that is shown as an alert by the
 * evening, with Wilson's interval; misuses repeat (16 of daemons, as many of images as there are tools), so it is
 * somewhat narrower than it should be.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon_data.h"
#include "pilot_draw.h"
#include "pilot_run.h"

#define MAX_PILOTS 64
#define ARMS       2
#define WRONG      0.05
#define REVIEWS    15
#define SCANS      3
#define LATE_DAY   15
#define PATH_BYTES 1024

static const char *const kind_names[PILOT_KINDS] = {"daemons", "images"};
static const char *const arm_names[ARMS] = {"", ".closed"};

struct bench {
    struct pilot_plan plan;
    const char *daemons, *svg;
    unsigned seeds;
    char folder[PATH_BYTES];
};

/* ---- the pilots, each in a process of its own ---- */

static void child(const struct bench *bench, unsigned pilot, bool decides, const char *name)
{
    static struct pilot_outcome outcome;
    char folder[PATH_BYTES + 32], path[PATH_BYTES + 64];
    (void)snprintf(folder, sizeof folder, "%s/%s", bench->folder, name);
    (void)snprintf(path, sizeof path, "%s/log", folder);
    /* The commands print their results, and the stores are made anew: nothing of the user's takes part. */
    if (mkdir(folder, 0700) != 0 || !freopen("/dev/null", "we", stdout) ||
        (!bench->plan.verbose && !freopen(path, "we", stderr)) || setenv("HOME", folder, 1) != 0 ||
        setenv("XDG_STATE_HOME", folder, 1) != 0 || setenv("XDG_CONFIG_HOME", folder, 1) != 0)
        bench_die("cannot begin in %s", folder);
    pilot_run(&bench->plan, pilot + 1, decides, folder, &outcome);
    (void)snprintf(path, sizeof path, "%s.outcome", folder);
    FILE *out = fopen(path, "we");
    if (!out || fwrite(&outcome, sizeof outcome, 1, out) != 1 || fclose(out) != 0)
        bench_die("cannot write %s", path);
    _exit(0); /* what the parent has open is the parent's */
}

static void wait_for_one(void)
{
    int status;
    while (wait(&status) < 0)
        if (errno != EINTR)
            bench_die("a pilot got lost");
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        bench_die("a pilot failed; -v -s 1 shows how");
}

static void run_pilots(const struct bench *bench, struct pilot_outcome (*outcomes)[MAX_PILOTS])
{
    long processors = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned running = 0, most = processors > 1 ? (unsigned)processors : 1;
    for (unsigned i = 0; i < ARMS * bench->seeds; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%u-%u", i % ARMS, i / ARMS);
        if (running == most) {
            wait_for_one();
            running--;
        }
        (void)fflush(NULL);
        pid_t pid = fork();
        if (pid < 0)
            bench_die("cannot fork");
        if (pid == 0)
            child(bench, i / ARMS, i % ARMS == 0, name);
        running++;
    }
    for (; running > 0; running--)
        wait_for_one();
    for (unsigned i = 0; i < ARMS * bench->seeds; i++) {
        char path[PATH_BYTES + 32];
        (void)snprintf(path, sizeof path, "%s/%u-%u.outcome", bench->folder, i % ARMS, i / ARMS);
        FILE *in = fopen(path, "re");
        if (!in || fread(&outcomes[i % ARMS][i / ARMS], sizeof outcomes[0][0], 1, in) != 1)
            bench_die("cannot read %s", path);
        (void)fclose(in);
    }
}

/* ---- figures ---- */

static double student(unsigned n)
{
    static const double quantiles[] = {12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23};
    size_t count = sizeof quantiles / sizeof quantiles[0];
    return n < 2 ? NAN : n - 2 < count ? quantiles[n - 2] : 2.0;
}

static struct km_estimate mean_of(const double *values, unsigned count)
{
    double sum = 0, squares = 0;
    for (unsigned i = 0; i < count; i++)
        sum += values[i];
    double mean = sum / count;
    for (unsigned i = 0; i < count; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double half = count > 1 ? student(count) * sqrt(squares / (count - 1) / count) : 0;
    return (struct km_estimate){mean, {fmax(mean - half, 0), mean + half}};
}

struct stretch {
    unsigned from, until; /* days */
};

/* A line of the bench. */
static void print(const char *name, const struct km_estimate *estimate, const char *unit, double n)
{
    printf("pilot.%s %.3f %s %.3f %.3f %.0f\n", name, estimate->value, unit, estimate->interval.low,
           estimate->interval.high, n);
}

static struct km_estimate false_alerts(const struct pilot_outcome *outcomes, unsigned pilots, unsigned kind,
                                       const struct stretch *when)
{
    double values[MAX_PILOTS];
    for (unsigned p = 0; p < pilots; p++) {
        values[p] = 0;
        for (unsigned day = when->from; day < when->until; day++)
            values[p] += (double)outcomes[p].days[day].false_alerts[kind] / (when->until - when->from);
    }
    return mean_of(values, pilots);
}

static struct km_estimate detection(const struct pilot_outcome *outcomes, unsigned pilots, unsigned kind,
                                    const struct stretch *when, double *out_staged)
{
    double staged = 0, detected = 0;
    for (unsigned p = 0; p < pilots; p++)
        for (unsigned day = when->from; day < when->until; day++) {
            staged += outcomes[p].days[day].staged[kind];
            detected += outcomes[p].days[day].detected[kind];
        }
    *out_staged = staged;
    return (struct km_estimate){staged > 0 ? detected / staged : NAN, km_interval_wilson(detected, staged, 0.95)};
}

static void measure(const struct bench *bench, const struct pilot_outcome *outcomes, unsigned arm, unsigned kind,
                    struct pilot_curve *curve)
{
    double staged;
    char name[64];
    unsigned weeks = bench->plan.days / 7;
    curve->count = weeks;
    for (unsigned week = 0; week < weeks; week++) {
        const struct stretch when = {7 * week, 7 * week + 7};
        curve->alarms[week] = false_alerts(outcomes, bench->seeds, kind, &when);
        curve->detection[week] = detection(outcomes, bench->seeds, kind, &when, &staged);
        (void)snprintf(name, sizeof name, "%s.falsealerts%s.week%u", kind_names[kind], arm_names[arm], week + 1);
        print(name, &curve->alarms[week], "1/day", 7 * bench->seeds);
        (void)snprintf(name, sizeof name, "%s.detection%s.week%u", kind_names[kind], arm_names[arm], week + 1);
        print(name, &curve->detection[week], "share", staged);
    }
    const struct stretch all = {0, bench->plan.days};
    struct km_estimate estimate = detection(outcomes, bench->seeds, kind, &all, &staged);
    (void)snprintf(name, sizeof name, "%s.detection%s.all", kind_names[kind], arm_names[arm]);
    print(name, &estimate, "share", staged);
}

static void print_decisions(const struct bench *bench, const struct pilot_outcome *outcomes)
{
    unsigned decisions = 0, mistakes = 0, unapplied = 0, learned = 0, unlearned = 0, accepted = 0, questions = 0;
    unsigned returned = 0;
    for (unsigned p = 0; p < bench->seeds; p++) {
        decisions += outcomes[p].decisions;
        unapplied += outcomes[p].unapplied;
        learned += outcomes[p].learned;
        unlearned += outcomes[p].unlearned;
        accepted += outcomes[p].accepted;
        for (unsigned day = 0; day < bench->plan.days; day++) {
            mistakes += outcomes[p].days[day].mistakes;
            questions += outcomes[p].days[day].questions;
            returned += outcomes[p].days[day].returned;
        }
    }
    double pilots = bench->seeds;
    printf("pilot.decisions %.1f 1/pilot - - %u\n", decisions / pilots, bench->seeds);
    printf("pilot.mistakes %.1f 1/pilot - - %u\n", mistakes / pilots, bench->seeds);
    printf("pilot.questions %.1f 1/pilot - - %u\n", questions / pilots, bench->seeds);
    printf("pilot.falsealerts.returned %.1f 1/pilot - - %u\n", returned / pilots, bench->seeds);
    printf("pilot.decisions.unapplied %.1f 1/pilot - - %u\n", unapplied / pilots, bench->seeds);
    printf("pilot.learned.profile %.1f 1/pilot - - %u\n", learned / pilots, bench->seeds);
    printf("pilot.learned.decisiononly %.1f 1/pilot - - %u\n", unlearned / pilots, bench->seeds);
    printf("pilot.learned.images %.1f 1/pilot - - %u\n", accepted / pilots, bench->seeds);
}

/* ---- */

static int parse(struct bench *bench, int argc, char **argv)
{
    int option;
    while ((option = getopt(argc, argv, "d:s:H:l:i:m:v")) != -1)
        switch (option) {
        case 'd':
            bench->plan.days = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 's':
            bench->seeds = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'H':
            bench->plan.hours = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'l':
            bench->plan.learn_minutes = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'i':
            bench->plan.images = optarg;
            break;
        case 'm':
            bench->plan.model = optarg;
            break;
        case 'v':
            bench->plan.verbose = true;
            break;
        default:
            return -1;
        }
    if (argc - optind != 3 || bench->plan.days > PILOT_MAX_DAYS || bench->seeds < 1 || bench->seeds > MAX_PILOTS ||
        (bench->plan.images != NULL) != (bench->plan.model != NULL))
        return -1;
    bench->daemons = argv[optind];
    bench->plan.rules = argv[optind + 1];
    bench->svg = argv[optind + 2];
    return 0;
}

static void remove_folder(const char *path)
{
    char command[PATH_BYTES + 16];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0) /* NOLINT(cert-env33-c): the folder made below */
        fprintf(stderr, "cannot remove %s\n", path);
}

int main(int argc, char **argv)
{
    static struct pilot_outcome outcomes[ARMS][MAX_PILOTS];
    static struct pilot_lives lives;
    static struct pilot_curve curves[PILOT_KINDS * ARMS];
    char cache[PATH_BYTES + 16], cut[PATH_BYTES + 16];
    const char *temporary = getenv("TMPDIR");
    struct bench bench = {.plan = {.lives = &lives,
                                   .days = 35,
                                   .hours = 2,
                                   .learn_minutes = 2,
                                   .late_day = LATE_DAY,
                                   .misuses = {1, 0.7},
                                   .scans = SCANS,
                                   .wrong = WRONG,
                                   .reviews = REVIEWS},
                          .seeds = 5};
    if (parse(&bench, argc, argv) != 0) {
        fprintf(stderr, "usage: bench_pilot_program [-d DAYS] [-s SEEDS] [-H HOURS] [-l MINUTES] [-i IMAGES -m MODEL] "
                        "[-v] DAEMONS RULES FILE.svg\n");
        return 1;
    }
    (void)snprintf(bench.folder, sizeof bench.folder, "%s/komainu-pilot-XXXXXX", temporary ? temporary : "/tmp");
    if (!mkdtemp(bench.folder))
        bench_die("cannot make a folder in %s", temporary ? temporary : "/tmp");
    (void)snprintf(cache, sizeof cache, "%s/cache", bench.folder);
    (void)snprintf(cut, sizeof cut, "%s/lives", bench.folder);
    if (mkdir(cache, 0700) != 0 || mkdir(cut, 0700) != 0)
        bench_die("cannot make %s", cache);
    bench.plan.cache = cache;
    pilot_lives_cut(&lives, bench.daemons, cut);
    run_pilots(&bench, outcomes);
    unsigned kinds = bench.plan.images ? PILOT_KINDS : 1;
    for (unsigned kind = 0; kind < kinds; kind++)
        for (unsigned arm = 0; arm < ARMS; arm++)
            measure(&bench, outcomes[arm], arm, kind, &curves[(size_t)ARMS * kind + arm]);
    print_decisions(&bench, outcomes[0]);
    if (pilot_draw(bench.svg, curves, kinds, kind_names) != 0)
        bench_die("cannot write %s", bench.svg);
    remove_folder(bench.folder);
    return 0;
}
