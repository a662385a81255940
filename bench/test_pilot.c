/*
 * The pilot in small (bench_pilot.c): two days of PostgreSQL and Redis as recorded, then a misuse of each. Decisions
 * reach the guard and its profiles, what was decided about is not shown again, and the misuses still are.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cm.h"
#include "pilot_clock.h"
#include "pilot_desk.h"
#include "pilot_guard.h"

#define MINUTE_NS  (INT64_C(60) * 1000000000)
#define LEARN_NS   (UINT64_C(2) * 60 * 1000000000)
#define POSTGRESQL 1
#define REDIS      2
#define MAX_SLOTS  8

struct fixture {
    char folder[256];
    struct pilot_lives lives;
};

static int set_up(void **state)
{
    static struct fixture fixture;
    char path[512];
    const char *temporary = getenv("TMPDIR");
    (void)snprintf(fixture.folder, sizeof fixture.folder, "%.200s/komainu-pilot-XXXXXX",
                   temporary ? temporary : "/tmp");
    if (!mkdtemp(fixture.folder))
        return -1;
    (void)snprintf(path, sizeof path, "%s/bench/data/daemons", getenv("KOMAINU_SOURCE"));
    pilot_lives_cut(&fixture.lives, path, fixture.folder);
    *state = &fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[512];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", fixture->folder);
    return system(command); /* NOLINT(cert-env33-c): the folder made above */
}

/* The daemon's n-th life without misuse. */
static const struct pilot_life *life_of(const struct fixture *fixture, unsigned daemon, unsigned n)
{
    for (size_t i = 0; i < fixture->lives.count; i++) {
        const struct pilot_life *life = &fixture->lives.items[i];
        if (life->daemon == daemon && life->over_ns == 0 && n-- == 0)
            return life;
    }
    fail_msg("there is no such life");
    return NULL;
}

static const struct pilot_life *find_misuse(const struct fixture *fixture, const char *name)
{
    for (size_t i = 0; i < fixture->lives.count; i++)
        if (strcmp(fixture->lives.items[i].name, name) == 0)
            return &fixture->lives.items[i];
    fail_msg("there is no recording of %s", name);
    return NULL;
}

struct small {
    const struct fixture *fixture;
    struct pilot_guard *guard;
    struct pilot_desk desk;
};

/* A day in which these lives follow each other. */
static struct pilot_evening live(struct small *small, unsigned day, const struct pilot_life *const *lives, size_t count)
{
    struct pilot_slot slots[MAX_SLOTS];
    struct pilot_evening evening;
    int64_t day_ns = PILOT_BEGIN_NS + day * PILOT_DAY_NS, at_ns = day_ns + 60 * MINUTE_NS;
    for (size_t i = 0; i < count; i++) {
        if (!lives[i]) {
            fail_msg("life %zu is not among the recorded", i);
            continue;
        }
        slots[i] = (struct pilot_slot){lives[i], at_ns};
        if (lives[i]->over_ns > 0) {
            struct pilot_staged staged = {.kind = PILOT_DAEMON,
                                          .from_ns = at_ns + (int64_t)lives[i]->misuse_ns,
                                          .until_ns = at_ns + (int64_t)lives[i]->over_ns,
                                          .what = lives[i]->name};
            (void)snprintf(staged.subject, sizeof staged.subject, "%s.service", pilot_daemon_name(lives[i]->daemon));
            pilot_desk_stage(&small->desk, &staged);
        }
        at_ns += (int64_t)lives[i]->length_ns + 15 * MINUTE_NS;
    }
    pilot_guard_play(small->guard, slots, count);
    pilot_clock_set(day_ns + 1260 * MINUTE_NS);
    pilot_guard_rest(small->guard);
    pilot_desk_evening(&small->desk, day_ns, &evening);
    pilot_guard_rest(small->guard);
    return evening;
}

static int64_t count(struct small *small, const char *sql)
{
    return pilot_desk_ask(&small->desk, sql, "guard", 0, NULL);
}

struct result {
    struct pilot_evening first, again, misuses;
    int64_t decisions, waiting, learned;
    int64_t answered; /* alerts like one that was decided to be benign before */
    int64_t repeated; /* alerts like one that was shown before */
};

static void run_small(const struct fixture *fixture, unsigned first_day, bool decides, const char *name,
                      struct result *out)
{
    static struct small small;
    char folder[300], profiles[512], desk[512], rules[512];
    (void)snprintf(folder, sizeof folder, "%s/%s", fixture->folder, name);
    assert_int_equal(mkdir(folder, 0700), 0);
    (void)snprintf(profiles, sizeof profiles, "%s/profiles", folder);
    (void)snprintf(desk, sizeof desk, "%s/desk.db", folder);
    (void)snprintf(rules, sizeof rules, "%s/data/rules", getenv("KOMAINU_SOURCE"));
    small = (struct small){.fixture = fixture, .desk = {.decides = decides, .reviews = 100}};
    pilot_clock_set(PILOT_BEGIN_NS + first_day * PILOT_DAY_NS);
    pilot_desk_open(&small.desk, desk, 7);
    small.guard = pilot_guard_open(
        &(struct pilot_guard_options){.profiles = profiles, .desk = desk, .rules = rules, .learn_ns = LEARN_NS});
    const struct pilot_life *const learned[] = {life_of(fixture, POSTGRESQL, 0), life_of(fixture, REDIS, 0)};
    const struct pilot_life *const day[] = {life_of(fixture, POSTGRESQL, 2), life_of(fixture, REDIS, 3)};
    const struct pilot_life *const misuses[] = {find_misuse(fixture, "postgresql.outbound"),
                                                find_misuse(fixture, "redis.outbound")};
    (void)live(&small, first_day, learned, 2);
    out->first = live(&small, first_day + 1, day, 2);
    out->again = live(&small, first_day + 2, day, 2);
    out->misuses = live(&small, first_day + 3, misuses, 2);
    out->decisions = count(&small, "SELECT count(*) FROM decision WHERE guardian=?1");
    out->waiting = count(&small, "SELECT count(*) FROM decision WHERE guardian=?1 AND applied_ns IS NULL"
                                 " AND applied_error IS NULL");
    out->learned = count(&small, "SELECT count(*) FROM audit WHERE who=?1 AND action='profile.accept'");
    out->answered = count(&small, "SELECT count(*) FROM incident i JOIN finding f ON f.id=i.finding_id JOIN decision d"
                                  " ON d.unit=i.subject AND d.role IS i.role AND d.strange=f.strange WHERE"
                                  " d.guardian=?1 AND d.kind=1 AND i.first_ns>d.at_ns AND i.shown=1");
    out->repeated = count(&small, "SELECT count(*) FROM incident a JOIN incident b ON a.key=b.key AND a.id<b.id WHERE"
                                  " ?1 IS NOT NULL AND a.shown=1 AND b.shown=1");
    pilot_guard_close(small.guard);
    pilot_desk_close(&small.desk);
}

static void print(const struct result *result)
{
    print_message("first %u, again %u, detected %u of %u; decisions %d, learned %d, answered %d, repeated %d\n",
                  result->first.false_alerts[PILOT_DAEMON], result->again.false_alerts[PILOT_DAEMON],
                  result->misuses.detected[PILOT_DAEMON], result->misuses.staged[PILOT_DAEMON], (int)result->decisions,
                  (int)result->learned, (int)result->answered, (int)result->repeated);
}

static void decisions_reach_the_guard(void **state)
{
    struct result result;
    run_small(*state, 0, true, "decides", &result);
    print(&result);
    assert_true(result.first.false_alerts[PILOT_DAEMON] > 0);
    assert_true(result.decisions > 0);
    assert_int_equal(result.waiting, 0);
    assert_true(result.learned > 0);
    assert_int_equal(result.answered, 0);
    assert_int_equal(result.misuses.staged[PILOT_DAEMON], 2);
    assert_int_equal(result.misuses.detected[PILOT_DAEMON], 2);
}

static void without_decisions_they_come_again(void **state)
{
    struct result result;
    run_small(*state, 10, false, "closes", &result);
    print(&result);
    assert_true(result.first.false_alerts[PILOT_DAEMON] > 0);
    assert_true(result.repeated > 0);
    assert_int_equal(result.misuses.detected[PILOT_DAEMON], 2);
    assert_int_equal(result.decisions, 0);
    assert_int_equal(result.learned, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decisions_reach_the_guard),
        cmocka_unit_test(without_decisions_they_come_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
