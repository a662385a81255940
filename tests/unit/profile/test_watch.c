#define KM_TEST_NAME "watch"
#include "../cm.h"

#include <math.h>
#include <stdlib.h>

#include "daemon/profile/watch.h"
#include "made_episodes.h"

#define LONG_CALLS 118

struct seen {
    size_t judged, alarms;
    double last_score, last_confidence, last_rate, last_threshold;
    enum km_release release;
    struct km_profile *give; /* handed out once */
    size_t settling, settled, paced;
    double times;
    unsigned halves[2];
};

static enum km_code judged(void *context, const struct km_watch_result *r, struct km_err *err)
{
    (void)err;
    struct seen *seen = context;
    seen->judged++;
    seen->alarms += r->alarm;
    seen->last_score = r->assessment->score;
    seen->last_confidence = r->confidence;
    seen->last_rate = r->rate;
    seen->last_threshold = r->threshold;
    seen->release = r->release;
    seen->settling += r->settling;
    assert_false(r->settling && (r->alarm || r->excused || r->settles == 0));
    return KM_OK;
}

static enum km_code on_settled(void *context, const struct km_watch_settled *settled, struct km_err *err)
{
    (void)err;
    struct seen *seen = context;
    seen->settled++;
    seen->halves[0] = settled->first_half;
    seen->halves[1] = settled->second_half;
    return KM_OK;
}

static struct km_profile *find(void *context, const struct km_profile_identity *identity)
{
    (void)identity;
    struct seen *seen = context;
    return km_steal(seen->give);
}

static void give(struct km_watch *watch, const struct km_event *event)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_watch_event(watch, event, &err), err);
}

static void announce(struct km_watch *watch, uint8_t build, const char *package)
{
    struct km_event event = {.kind = KM_EVENT_ROLE, .role = 1};
    event.role_info = (struct km_event_role){.unit = {"made.service", 12},
                                             .name = {"made", 4},
                                             .package = {package, strlen(package)},
                                             .build_id_length = 20};
    memset(event.role_info.build_id, build, 20);
    give(watch, &event);
}

/* What stayed in the kernel in the second before. */
static void count(struct km_watch *watch, uint64_t episodes, uint64_t second)
{
    struct km_event event = {.kind = KM_EVENT_RATE, .role = 1, .time_ns = second * UINT64_C(1000000000)};
    event.rate = (struct km_event_rate){.interval_ns = 1000000000, .calls = 30 * episodes, .episodes = episodes};
    give(watch, &event);
}

/* One thread's life, a second after the one before. */
static void live(struct km_watch *watch, const struct made *m, uint32_t tid)
{
    struct km_event event = {.role = 1, .tid = tid, .tgid = tid, .feed = KM_FEED_LEARN, .kind = KM_EVENT_CALL};
    for (size_t i = 0; i < m->episode.count; i++) {
        event.time_ns = (uint64_t)tid * 1000000000 + i * 1000;
        event.call = (struct km_event_call){.number = (uint16_t)km_call_number(m->packed[i])};
        give(watch, &event);
    }
    event.kind = KM_EVENT_END;
    event.state = (struct km_thread_state){0};
    give(watch, &event);
}

static struct km_watch *new_watch(struct seen *seen, struct km_watch_config config)
{
    struct km_err err = KM_ERR_INIT;
    config.context = seen;
    config.judged = judged;
    config.find = find;
    struct km_watch *watch = km_watch_new(&config, &err);
    assert_non_null(watch);
    return watch;
}

static void learning_lasts_exactly_so_long(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct km_watch *watch =
        new_watch(&seen, (struct km_watch_config){.learn = true, .learn_ns = UINT64_C(300000000000), .rate = 0.01});
    announce(watch, 1, "made 1.0");
    struct made m;
    for (uint32_t tid = 1; tid <= 400; tid++) {
        made_normal(&m, tid);
        live(watch, &m, tid);
    }
    struct km_watch_stats stats;
    km_watch_get_stats(watch, &stats);
    assert_int_equal(stats.learned, 299); /* the clock starts with the ROLE event, at 0 */
    assert_int_equal(seen.judged, 101);
    made_strange(&m);
    size_t before = seen.alarms;
    live(watch, &m, 500);
    assert_int_equal(seen.alarms, before + 1);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_watch_finish(watch, &err), err);
    assert_non_null(km_watch_profile(watch, 0));
    assert_null(km_watch_profile(watch, 1));
    km_watch_free(watch);
}

static struct km_profile *learned(void)
{
    static struct km_profile_identity identity = {.unit = "made.service", .role = "made", .package = "made 1.0"};
    struct km_episode_rule rule;
    struct km_err err = KM_ERR_INIT;
    memset(identity.build_id, 0, sizeof identity.build_id);
    for (int i = 0; i < 20; i++)
        memcpy(identity.build_id + 2 * i, "01", 2);
    km_episode_rule_life(&rule);
    struct km_profile *profile = km_profile_new(&identity, &rule, &err);
    assert_non_null(profile);
    struct made m;
    for (unsigned i = 0; i < 400; i++) {
        made_normal(&m, i);
        assert_ok(km_profile_learn(profile, &m.episode, &err), err);
    }
    assert_ok(km_profile_calibrate(profile, &err), err);
    return profile;
}

static void both_views_alarm_and_repeat_exactly(void **state)
{
    (void)state;
    double scores[2][2];
    for (int deployed = 0; deployed < 2; deployed++)
        for (int run = 0; run < 2; run++) {
            struct seen seen = {.give = learned()};
            struct km_watch *watch =
                new_watch(&seen, (struct km_watch_config){.deployed = deployed != 0, .rate = 0.01});
            announce(watch, 1, "made 1.0");
            struct made m;
            for (uint32_t tid = 1; tid <= 50; tid++) {
                made_normal(&m, tid);
                live(watch, &m, tid);
            }
            made_strange(&m);
            size_t before = seen.alarms;
            live(watch, &m, 60);
            assert_int_equal(seen.alarms, before + 1);
            assert_true(before <= 3);
            scores[deployed][run] = seen.last_score;
            assert_int_equal(seen.release, KM_RELEASE_SAME);
            km_watch_free(watch);
        }
    assert_true(scores[0][0] == scores[0][1]);
    assert_true(scores[1][0] == scores[1][1]);
}

static void releases_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        uint8_t build;
        const char *package;
        enum km_release release;
    } rows[] = {{1, "made 1.0", KM_RELEASE_SAME},
                {2, "made 1.1", KM_RELEASE_UPGRADE},
                {2, "made 1.0", KM_RELEASE_UNEXPLAINED},
                {2, "", KM_RELEASE_UNEXPLAINED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct seen seen = {.give = learned()};
        struct km_watch *watch = new_watch(&seen, (struct km_watch_config){.rate = 0.01});
        announce(watch, rows[i].build, rows[i].package);
        struct made m;
        made_normal(&m, 1);
        live(watch, &m, 1);
        assert_int_equal(seen.release, rows[i].release);
        km_watch_free(watch);
    }
}

/* Of a process that was over before it could be looked at nobody knows the program; the role's next one tells it. */
static void a_program_that_shows_late_is_learned(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct km_watch *watch =
        new_watch(&seen, (struct km_watch_config){.learn = true, .learn_ns = UINT64_C(300000000000), .rate = 0.01});
    struct km_event nameless = {.kind = KM_EVENT_ROLE, .role = 1};
    nameless.role_info = (struct km_event_role){.unit = {"made.service", 12}, .name = {"made", 4}};
    give(watch, &nameless);
    struct made m;
    for (uint32_t tid = 1; tid <= 400; tid++) {
        if (tid == 100)
            announce(watch, 1, "made 1.0");
        if (tid == 200)
            give(watch, &nameless);
        made_normal(&m, tid);
        live(watch, &m, tid);
    }
    const struct km_profile_identity *identity = km_profile_get_identity(km_watch_profile(watch, 0));
    assert_string_equal(identity->package, "made 1.0");
    assert_string_equal(identity->role, "made");
    assert_int_equal(seen.release, KM_RELEASE_SAME);
    announce(watch, 2, "made 1.0");
    live(watch, &m, 401);
    assert_int_equal(seen.release, KM_RELEASE_UNEXPLAINED);
    assert_string_equal(identity->package, "made 1.0"); /* learning is over */
    km_watch_free(watch);
}

/* Known orders of calls alone, and more work in one episode than ever. */
static void made_long(struct made *m)
{
    size_t n = 0;
    m->packed[n++] = km_call_pack(0, 232);
    m->packed[n++] = km_call_pack(0, 0);
    for (unsigned i = 0; i < LONG_CALLS; i++)
        m->packed[n++] = km_call_pack(0, i % 3 == 0 ? 257 : i % 3 == 1 ? 5 : 3);
    m->packed[n++] = km_call_pack(0, 1);
    m->packed[n++] = km_call_pack(0, 1);
    made_finish(m, n);
}

/* Between the two thresholds: held while the window is open, told when it comes again after it. */
static void what_an_upgrade_brings_settles_and_is_judged_again(void **state)
{
    (void)state;
    for (int upgraded = 0; upgraded < 2; upgraded++) {
        struct seen seen = {.give = learned()};
        struct km_watch *watch = new_watch(&seen, (struct km_watch_config){.rate = 0.012, .settled = on_settled});
        announce(watch, upgraded ? 2 : 1, upgraded ? "made 1.1" : "made 1.0");
        struct made m, odd;
        uint32_t tid = 1;
        made_long(&odd);
        for (; tid <= KM_WATCH_RELEASE_EPISODES; tid++) {
            bool is_odd = tid == 480 || tid == 520;
            size_t alarms = seen.alarms, settling = seen.settling;
            assert_int_equal(seen.settled, 0);
            made_normal(&m, tid);
            live(watch, is_odd ? &odd : &m, tid);
            if (!is_odd)
                continue;
            assert_int_equal(seen.alarms - alarms, !upgraded);
            assert_int_equal(seen.settling - settling, upgraded);
            assert_true(!upgraded || (seen.last_threshold < seen.last_score && seen.last_confidence < 0.02));
        }
        assert_int_equal(seen.settled, upgraded);
        assert_true(!upgraded || (seen.halves[0] >= 1 && seen.halves[1] >= 1));
        assert_true(!upgraded || seen.halves[0] + seen.halves[1] == seen.alarms + seen.settling);
        size_t alarms = seen.alarms;
        live(watch, &odd, tid);
        assert_int_equal(seen.alarms - alarms, 1);
        assert_int_equal(seen.settled, upgraded);
        km_watch_free(watch);
    }
}

static void losses_lower_the_confidence(void **state)
{
    (void)state;
    struct seen seen = {.give = learned()};
    struct km_watch *watch = new_watch(&seen, (struct km_watch_config){.rate = 0.01});
    announce(watch, 1, "made 1.0");
    struct made m;
    made_normal(&m, 1);
    live(watch, &m, 1);
    double before = seen.last_confidence;
    struct km_event loss = {.kind = KM_EVENT_LOSS, .role = 1, .loss = {.events = 100}};
    give(watch, &loss);
    live(watch, &m, 2);
    assert_true(before > 0.5 && seen.last_confidence < before / 2);
    km_watch_free(watch);
}

/* The rate that a known episode is judged by, a day after so many seconds with so many episodes each. */
static double rate_after(uint64_t seconds, uint64_t episodes, double *out_threshold)
{
    struct seen seen = {.give = learned()};
    struct km_watch *watch = new_watch(&seen, (struct km_watch_config){0});
    struct made m;
    announce(watch, 1, "made 1.0");
    made_normal(&m, 1);
    live(watch, &m, 1);
    for (uint64_t s = 2; s < seconds + 2; s++)
        count(watch, episodes, s);
    live(watch, &m, 86400);
    km_watch_free(watch);
    *out_threshold = seen.last_threshold;
    return seen.last_rate;
}

static void what_the_kernel_counts_enters_the_threshold(void **state)
{
    (void)state;
    double quiet, busy, uncounted;
    double rate = rate_after(0, 0, &uncounted);
    assert_true(rate > 0);
    /* Three alarms a day, half of them of known windows: of ten million episodes one in seven million. */
    double of_many = rate_after(10000, 1000, &busy);
    assert_true(fabs(of_many * 1e7 - 1.5) < 0.01);
    assert_true(busy > uncounted);
    /* Few episodes in a day may be alarms more easily than many. */
    double of_few = rate_after(10000, 1, &quiet);
    assert_true(of_few > 900 * of_many && quiet < busy);
}

static void a_few_strange_calls_alone_carry_little_confidence(void **state)
{
    (void)state;
    struct seen seen = {.give = learned()};
    struct km_watch *watch = new_watch(&seen, (struct km_watch_config){.rate = 0.01});
    announce(watch, 1, "made 1.0");
    struct made m;
    made_strange(&m);
    live(watch, &m, 1);
    assert_int_equal(seen.alarms, 1);
    double confident = seen.last_confidence;
    assert_true(confident > 0.5);
    made_normal(&m, 1);
    m.packed[m.episode.count - 1] = km_call_pack(0, 105);
    live(watch, &m, 20); /* nineteen seconds later */
    assert_int_equal(seen.alarms, 2);
    assert_true(fabs(seen.last_confidence - confident / 100) < 1e-9);
    for (uint32_t tid = 21; tid < 33; tid++) /* each brings one unknown window at least */
        live(watch, &m, tid);
    assert_true(fabs(seen.last_confidence - confident) < 1e-9);
    struct km_event act = {.kind = KM_EVENT_LANDMARK, .role = 1, .tid = 60, .tgid = 60, .feed = KM_FEED_LEARN};
    act.time_ns = UINT64_C(60000000000);
    act.landmark = (struct km_event_landmark){.kind = KM_LANDMARK_OPEN, .path = {"/srv/new/file", 13}};
    give(watch, &act);
    live(watch, &m, 60);
    assert_int_equal(seen.alarms, 15);
    assert_true(fabs(seen.last_confidence - confident) < 1e-9);
    km_watch_free(watch);
}

/* A role with some learned episodes, in which its threads read `path` when it is not NULL. */
static void learn_role(struct km_watch *watch, uint16_t index, const char *name, const char *path)
{
    struct km_event event = {.kind = KM_EVENT_ROLE, .role = index};
    event.role_info = (struct km_event_role){.unit = {"made.service", 12},
                                             .name = {name, strlen(name)},
                                             .build_id_length = 20,
                                             .exe = {"/usr/sbin/made", 14}};
    give(watch, &event);
    struct made m;
    for (uint32_t i = 1; i <= 200; i++) {
        made_normal(&m, i);
        if (path && i == 7) {
            struct km_event act = {.kind = KM_EVENT_LANDMARK, .role = index, .tid = i, .tgid = i};
            act.time_ns = (uint64_t)i * 1000000000;
            act.landmark = (struct km_event_landmark){.kind = KM_LANDMARK_OPEN,
                                                      .outcome = KM_OUTCOME_OK,
                                                      .zone = KM_ZONE_CONFIG,
                                                      .path = {path, strlen(path)}};
            give(watch, &act);
        }
        struct km_event call = {.role = index, .tid = i, .tgid = i, .feed = KM_FEED_LEARN, .kind = KM_EVENT_CALL};
        for (size_t c = 0; c < m.episode.count; c++) {
            call.time_ns = (uint64_t)i * 1000000000 + c * 1000;
            call.call = (struct km_event_call){.number = (uint16_t)km_call_number(m.packed[c])};
            give(watch, &call);
        }
        call.kind = KM_EVENT_END;
        call.state = (struct km_thread_state){0};
        give(watch, &call);
    }
}

static size_t alarms_of_read(struct seen *seen, struct km_watch *watch, uint16_t role, const char *path, unsigned flags,
                             uint32_t tid)
{
    size_t before = seen->alarms;
    struct made m;
    struct km_event act = {.kind = KM_EVENT_LANDMARK, .role = role, .tid = tid, .tgid = tid};
    act.time_ns = (uint64_t)tid * 1000000000 - 1;
    act.landmark = (struct km_event_landmark){.kind = KM_LANDMARK_OPEN,
                                              .outcome = KM_OUTCOME_OK,
                                              .zone = KM_ZONE_CONFIG,
                                              .flags = (uint16_t)flags,
                                              .path = {path, strlen(path)}};
    give(watch, &act);
    made_normal(&m, tid);
    struct km_event call = {.role = role, .tid = tid, .tgid = tid, .feed = KM_FEED_LEARN, .kind = KM_EVENT_CALL};
    for (size_t c = 0; c < m.episode.count; c++) {
        call.time_ns = (uint64_t)tid * 1000000000 + c * 1000;
        call.call = (struct km_event_call){.number = (uint16_t)km_call_number(m.packed[c])};
        give(watch, &call);
    }
    call.kind = KM_EVENT_END;
    call.state = (struct km_thread_state){0};
    give(watch, &call);
    return seen->alarms - before;
}

/* nginx's master reads its configuration again at the first reload after learning: its own file, that the process it is
 * forked from was seen to read. Anybody else's configuration, a write, or the same by an unrelated thread is an alarm.
 */
static void what_the_parent_reads_is_no_grave_act(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct km_watch *watch =
        new_watch(&seen, (struct km_watch_config){.learn = true, .learn_ns = UINT64_C(300000000000), .rate = 1e-9});
    learn_role(watch, 1, "made", "/etc/made/made.conf");
    learn_role(watch, 2, "made+", NULL);
    learn_role(watch, 3, "other", NULL);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_watch_time(watch, UINT64_C(400000000000), &err), err);
    assert_false(km_watch_is_learning(watch));
    assert_int_equal(alarms_of_read(&seen, watch, 2, "/etc/made/made.conf", 0, 1000), 0);
    assert_int_equal(alarms_of_read(&seen, watch, 3, "/etc/made/made.conf", 0, 1010), 1);
    assert_int_equal(alarms_of_read(&seen, watch, 2, "/etc/redis/redis.conf", 0, 1020), 1);
    assert_int_equal(alarms_of_read(&seen, watch, 2, "/etc/made/made.conf", 1, 1030), 1);
    km_watch_free(watch);
}

static void tapped_episodes_are_counted(void **state)
{
    (void)state;
    struct seen seen = {.give = learned()};
    struct km_watch_config config = {.deployed = true, .tap_share = 65535, .rate = 0.01};
    struct km_watch *watch = new_watch(&seen, config);
    struct km_err err = KM_ERR_INIT;
    struct km_watch_stats stats;
    announce(watch, 1, "made 1.0");
    struct made m;
    for (uint32_t tid = 1; tid <= 50; tid++) {
        made_normal(&m, tid);
        live(watch, &m, tid);
    }
    assert_ok(km_watch_finish(watch, &err), err);
    km_watch_get_stats(watch, &stats);
    assert_true(stats.tapped >= 45);
    assert_true(stats.tapped <= stats.episodes);
    km_watch_free(watch);
}

static enum km_code on_paced(void *context, const struct km_watch_pace *pace, struct km_err *err)
{
    (void)err;
    struct seen *seen = context;
    seen->paced++;
    seen->times = pace->per_second / pace->learned;
    assert_true(pace->confidence > 0.5);
    return KM_OK;
}

static void rate_for(struct km_watch *watch, uint64_t from_s, uint64_t seconds, uint64_t episodes)
{
    for (uint64_t s = from_s; s < from_s + seconds; s++)
        count(watch, episodes, s);
}

/* By the kernel's counters, and by the episodes where there are none. */
static void twenty_times_the_learned_pace_is_told(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct km_err err = KM_ERR_INIT;
    struct km_watch *watch = new_watch(
        &seen,
        (struct km_watch_config){.learn = true, .learn_ns = UINT64_C(300000000000), .rate = 0.01, .paced = on_paced});
    struct made m;
    announce(watch, 1, "made 1.0");
    for (uint32_t tid = 1; tid <= 300; tid++) {
        made_normal(&m, tid);
        live(watch, &m, tid);
        count(watch, 10, tid); /* 300 calls */
    }
    assert_ok(km_watch_time(watch, UINT64_C(301000000000), &err), err);
    assert_false(km_watch_is_learning(watch));
    double learned_pace = km_profile_get_pace(km_watch_profile(watch, 0));
    assert_true(learned_pace > 290 && learned_pace < 335);
    rate_for(watch, 310, 60, 10);
    rate_for(watch, 370, 5, 50); /* not for ten seconds */
    rate_for(watch, 375, 60, 40);
    assert_int_equal(seen.paced, 0);
    rate_for(watch, 440, 25, 200);
    assert_int_equal(seen.paced, 1);
    assert_true(seen.times > 17 && seen.times < 23);
    rate_for(watch, 465, 500, 200); /* once in ten minutes */
    assert_int_equal(seen.paced, 1);
    rate_for(watch, 965, 150, 200);
    assert_int_equal(seen.paced, 2);
    km_watch_free(watch);
}

static void a_role_without_profile_is_judged_as_such(void **state)
{
    (void)state;
    struct seen seen = {0};
    struct km_watch *watch = new_watch(&seen, (struct km_watch_config){.rate = 0.01});
    announce(watch, 1, "");
    struct made m;
    made_strange(&m);
    live(watch, &m, 1);
    assert_int_equal(seen.judged, 1);
    assert_int_equal(seen.alarms, 0);
    km_watch_free(watch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(learning_lasts_exactly_so_long),
        cmocka_unit_test(both_views_alarm_and_repeat_exactly),
        cmocka_unit_test(releases_are_told_apart),
        cmocka_unit_test(a_program_that_shows_late_is_learned),
        cmocka_unit_test(what_an_upgrade_brings_settles_and_is_judged_again),
        cmocka_unit_test(losses_lower_the_confidence),
        cmocka_unit_test(what_the_kernel_counts_enters_the_threshold),
        cmocka_unit_test(a_few_strange_calls_alone_carry_little_confidence),
        cmocka_unit_test(what_the_parent_reads_is_no_grave_act),
        cmocka_unit_test(tapped_episodes_are_counted),
        cmocka_unit_test(twenty_times_the_learned_pace_is_told),
        cmocka_unit_test(a_role_without_profile_is_judged_as_such),
    };
    return KM_RUN_TESTS(tests);
}
