#include "pilot_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon_data.h"
#include "pilot_clock.h"
#include "pilot_guard.h"
#include "pilot_scan.h"

#define MINUTE_NS    (INT64_C(60) * 1000000000)
#define MORNING_NS   (30 * MINUTE_NS) /* images are scanned, then daemons run */
#define LIFE_GAP_NS  (MINUTE_NS / 2)  /* between a daemon's end and its next start */
#define EVENING_NS   (1260 * MINUTE_NS)
#define LATE_NS      (40 * MINUTE_NS) /* of the recordings: what they do afterwards is new */
#define MAX_SLOTS    1024
#define VERSION_DAYS 10 /* on average an application keeps its version so long, or to the end */

struct site {
    const struct pilot_plan *plan;
    struct km_random random; /* draws the same days for both arms */
    struct pilot_guard *guard;
    struct pilot_scan scan;
    struct pilot_desk desk;
    struct pilot_slot slots[MAX_SLOTS];
    size_t slot_count;
    unsigned versions[PILOT_MAX_NAMES];
    struct pilot_image scanned[PILOT_MAX_NAMES]; /* today */
    size_t scanned_count;
};

static unsigned draw_poisson(struct km_random *random, double mean)
{
    unsigned count = 0;
    double product = km_random_real(random);
    while (product > exp(-mean)) {
        product *= km_random_real(random);
        count++;
    }
    return count;
}

/* ---- daemons ---- */

static int by_time(const void *a, const void *b)
{
    const struct pilot_slot *x = a, *y = b;
    return (x->at_ns > y->at_ns) - (x->at_ns < y->at_ns);
}

static void add_slot(struct site *site, const struct pilot_life *life, int64_t *at_ns)
{
    if (site->slot_count == MAX_SLOTS)
        bench_die("too many lives a day");
    site->slots[site->slot_count++] = (struct pilot_slot){life, *at_ns};
    if (life->over_ns > 0) {
        struct pilot_staged staged = {.kind = PILOT_DAEMON,
                                      .from_ns = *at_ns + (int64_t)life->misuse_ns,
                                      .until_ns = *at_ns + (int64_t)life->over_ns,
                                      .what = life->name};
        (void)snprintf(staged.subject, sizeof staged.subject, "%s.service", pilot_daemon_name(life->daemon));
        pilot_desk_stage(&site->desk, &staged);
    }
    *at_ns += (int64_t)life->length_ns + LIFE_GAP_NS;
}

/* A life of the daemon that was recorded in [from, until), or one with a misuse. */
static const struct pilot_life *draw_life(struct site *site, unsigned daemon, bool misuse, int64_t from_ns,
                                          int64_t until_ns)
{
    const struct pilot_life *fitting[PILOT_MAX_LIVES];
    size_t count = 0;
    for (size_t i = 0; i < site->plan->lives->count; i++) {
        const struct pilot_life *life = &site->plan->lives->items[i];
        int64_t offset_ns = (int64_t)life->offset_ns;
        if (life->daemon == daemon && (life->over_ns > 0) == misuse &&
            (misuse || (offset_ns >= from_ns && offset_ns < until_ns)))
            fitting[count++] = life;
    }
    if (count == 0)
        bench_die("nothing is recorded of %s that fits", pilot_daemon_name(daemon));
    return fitting[km_random_below(&site->random, count)];
}

/* What there is to learn, in its order. */
static void plan_learning(struct site *site, int64_t begin_ns)
{
    for (unsigned daemon = 0; daemon < PILOT_DAEMONS; daemon++) {
        int64_t at_ns = begin_ns;
        for (size_t i = 0; i < site->plan->lives->count; i++) {
            const struct pilot_life *life = &site->plan->lives->items[i];
            if (life->daemon == daemon && life->over_ns == 0 &&
                (int64_t)life->offset_ns < site->plan->learn_minutes * MINUTE_NS)
                add_slot(site, life, &at_ns);
        }
    }
}

static void plan_daemon(struct site *site, unsigned daemon, unsigned misuses, bool late, int64_t at_ns)
{
    int64_t end_ns = at_ns + (int64_t)site->plan->hours * 60 * MINUTE_NS;
    int64_t until_ns = late ? INT64_MAX : LATE_NS;
    while (at_ns < end_ns) {
        add_slot(site, draw_life(site, daemon, false, site->plan->learn_minutes * MINUTE_NS, until_ns), &at_ns);
        if (misuses > 0 && (at_ns >= end_ns || km_random_below(&site->random, 2) == 0)) {
            add_slot(site, draw_life(site, daemon, true, 0, 0), &at_ns);
            misuses--;
        }
    }
}

static void live_daemons(struct site *site, unsigned day, int64_t begin_ns)
{
    site->slot_count = 0;
    if (day == 0) {
        plan_learning(site, begin_ns);
    } else {
        unsigned misuses[PILOT_DAEMONS] = {0};
        for (unsigned n = draw_poisson(&site->random, site->plan->misuses[PILOT_DAEMON]); n > 0; n--)
            misuses[km_random_below(&site->random, PILOT_DAEMONS)]++;
        for (unsigned daemon = 0; daemon < PILOT_DAEMONS; daemon++)
            plan_daemon(site, daemon, misuses[daemon], day >= site->plan->late_day, begin_ns);
    }
    qsort(site->slots, site->slot_count, sizeof site->slots[0], by_time);
    pilot_guard_play(site->guard, site->slots, site->slot_count);
}

/* ---- images ---- */

static void scan_image(struct site *site, const struct pilot_image *image)
{
    if (site->scanned_count == PILOT_MAX_NAMES)
        bench_die("too many images a day");
    site->scanned[site->scanned_count++] = *image;
    pilot_clock_set(pilot_clock_now() + MINUTE_NS);
    if (image->tool >= 0) {
        struct pilot_staged staged = {.kind = PILOT_IMAGE,
                                      .from_ns = pilot_clock_now(),
                                      .until_ns = pilot_clock_now() + MINUTE_NS / 2,
                                      .what = site->scan.tools.items[image->tool]};
        pilot_scan_name(&site->scan, image, staged.subject);
        pilot_desk_stage(&site->desk, &staged);
    }
    pilot_scan_image(&site->scan, image);
}

/* What is new today, then some of what is there, then what somebody has tampered with. */
static void scan_images(struct site *site)
{
    size_t apps = site->scan.apps.count;
    site->scanned_count = 0;
    for (unsigned app = 0; app < apps; app++)
        if (site->versions[app] < PILOT_VERSIONS && km_random_below(&site->random, VERSION_DAYS) == 0) {
            site->versions[app]++;
            scan_image(site, &(struct pilot_image){app, site->versions[app], -1});
        }
    for (unsigned i = 0; i < site->plan->scans; i++) {
        unsigned app = (unsigned)km_random_below(&site->random, apps);
        scan_image(site, &(struct pilot_image){app, site->versions[app], -1});
    }
    for (unsigned n = draw_poisson(&site->random, site->plan->misuses[PILOT_IMAGE]); n > 0; n--) {
        unsigned app = (unsigned)km_random_below(&site->random, apps);
        int tool = (int)km_random_below(&site->random, site->scan.tools.count);
        scan_image(site, &(struct pilot_image){app, site->versions[app], tool});
    }
}

/* Images whose every finding was answered become part of what the site knows. */
static void accept_images(struct site *site, int64_t day_ns)
{
    for (size_t i = 0; i < site->scanned_count; i++) {
        char name[PILOT_IMAGE_BYTES];
        pilot_scan_name(&site->scan, &site->scanned[i], name);
        if (pilot_desk_is_settled(&site->desk, name, day_ns))
            pilot_scan_accept(&site->scan, &site->scanned[i]);
    }
}

/* ---- days ---- */

static void live_day(struct site *site, unsigned day, struct pilot_evening *out)
{
    int64_t day_ns = PILOT_BEGIN_NS + day * PILOT_DAY_NS;
    pilot_clock_set(day_ns + MORNING_NS);
    if (site->plan->images && day > 0)
        scan_images(site);
    live_daemons(site, day, pilot_clock_now() + MORNING_NS);
    pilot_clock_set(day_ns + EVENING_NS);
    pilot_guard_rest(site->guard);
    pilot_desk_evening(&site->desk, day_ns, out);
    pilot_guard_rest(site->guard);
    if (site->plan->images && site->desk.decides)
        accept_images(site, day_ns);
}

static void count_decisions(struct site *site, struct pilot_outcome *out)
{
    static const char all[] = "SELECT count(*) FROM decision WHERE ?1 IS NOT NULL";
    static const char unapplied[] = "SELECT count(*) FROM decision WHERE guardian=?1 AND applied_ns IS NULL"
                                    " AND applied_error IS NULL";
    static const char learned[] = "SELECT count(*) FROM decision WHERE guardian=?1 AND kind=1 AND applied_ns IS NOT"
                                  " NULL";
    static const char unlearned[] = "SELECT count(*) FROM decision WHERE guardian=?1 AND kind=1 AND applied_error IS"
                                    " NOT NULL";
    out->decisions = (unsigned)pilot_desk_ask(&site->desk, all, "", 0, NULL);
    out->unapplied = (unsigned)pilot_desk_ask(&site->desk, unapplied, "guard", 0, NULL);
    out->learned = (unsigned)pilot_desk_ask(&site->desk, learned, "guard", 0, NULL);
    out->unlearned = (unsigned)pilot_desk_ask(&site->desk, unlearned, "guard", 0, NULL);
    out->accepted = (unsigned)site->scan.added.count;
}

void pilot_run(const struct pilot_plan *plan, uint64_t seed, bool decides, const char *folder,
               struct pilot_outcome *out)
{
    char profiles[PILOT_PATH_BYTES], desk[PILOT_PATH_BYTES], baseline[PILOT_PATH_BYTES];
    struct site *site = calloc(1, sizeof *site);
    if (!site)
        bench_die("out of memory");
    (void)snprintf(profiles, sizeof profiles, "%s/profiles", folder);
    (void)snprintf(desk, sizeof desk, "%s/desk.db", folder);
    (void)snprintf(baseline, sizeof baseline, "%s/baseline", folder);
    *out = (struct pilot_outcome){0};
    site->plan = plan;
    km_random_init(&site->random, seed);
    site->desk = (struct pilot_desk){
        .decides = decides, .verbose = plan->verbose, .wrong = plan->wrong, .reviews = plan->reviews};
    pilot_desk_open(&site->desk, desk, seed);
    const struct pilot_guard_options guard = {.profiles = profiles,
                                              .desk = desk,
                                              .rules = plan->rules,
                                              .learn_ns = plan->learn_minutes * (uint64_t)MINUTE_NS,
                                              .verbose = plan->verbose};
    site->guard = pilot_guard_open(&guard);
    site->scan = (struct pilot_scan){
        .images = plan->images, .model = plan->model, .cache = plan->cache, .desk = desk, .baseline = baseline};
    if (plan->images)
        pilot_scan_open(&site->scan);
    for (size_t i = 0; i < PILOT_MAX_NAMES; i++)
        site->versions[i] = 1;
    struct pilot_evening learning;
    live_day(site, 0, &learning);
    for (unsigned day = 1; day <= plan->days; day++)
        live_day(site, day, &out->days[day - 1]);
    count_decisions(site, out);
    pilot_guard_close(site->guard);
    pilot_desk_close(&site->desk);
    free(site);
}
