#define KM_TEST_NAME "profile"
#include "../cm.h"

#include <math.h>

#include "daemon/profile/explain.h"
#include "made_episodes.h"

static struct km_profile *learned(unsigned episodes)
{
    static struct km_profile_identity identity = {.unit = "made.service", .role = "made"};
    struct km_episode_rule rule;
    struct km_err err = KM_ERR_INIT;
    km_episode_rule_life(&rule);
    struct km_profile *profile = km_profile_new(&identity, &rule, &err);
    assert_non_null(profile);
    struct made m;
    for (unsigned i = 0; i < episodes; i++) {
        made_normal(&m, i * 7919 / 13);
        assert_ok(km_profile_learn(profile, &m.episode, &err), err);
    }
    assert_ok(km_profile_calibrate(profile, &err), err);
    return profile;
}

static void the_strange_stands_out_and_the_terms_add_up(void **state)
{
    (void)state;
    struct km_profile *profile = learned(400);
    struct made normal, strange;
    struct km_assessment a, b;
    made_normal(&normal, 3);
    made_strange(&strange);
    km_profile_score(profile, &normal.episode, &a);
    km_profile_score(profile, &strange.episode, &b);
    assert_true(b.score > a.score + 10);
    assert_true(b.p < 1e-3 && a.p > 0.01);
    double sum = b.entity_term;
    for (int c = 0; c < KM_CHANNELS; c++)
        sum += b.term[c];
    assert_true(fabs(sum - b.score) < 1e-9);
    km_profile_free(profile);
}

static void maturity_grows_as_novelty_dries_up(void **state)
{
    (void)state;
    struct km_maturity early, late;
    struct km_profile *profile = learned(3);
    km_profile_get_maturity(profile, &early);
    km_profile_free(profile);
    profile = learned(600);
    km_profile_get_maturity(profile, &late);
    assert_false(early.mature);
    assert_true(late.mature);
    assert_true(late.confidence > 0.8 && early.confidence < 0.1);
    assert_int_equal(late.episodes, 600);
    km_profile_free(profile);
}

/* Learns `count` episodes of calls that come in a new order each time. */
static void learn_ever_new(struct km_profile *profile, unsigned count)
{
    struct km_err err = KM_ERR_INIT;
    uint64_t draw = 1;
    for (unsigned i = 0; i < count; i++) {
        struct made m;
        for (size_t j = 0; j < MADE_MAX; j++) {
            draw = draw * 6364136223846793005ULL + 1442695040888963407ULL;
            m.packed[j] = km_call_pack(0, (unsigned)(draw >> 33) % 300);
        }
        made_finish(&m, MADE_MAX);
        assert_ok(km_profile_learn(profile, &m.episode, &err), err);
    }
}

/* A busy role makes as many in a second: what learning ends with must not decide what months of alarms are worth. */
static void a_noisy_end_of_learning_decides_little(void **state)
{
    (void)state;
    struct km_profile *profiles[2];
    struct km_maturity maturity[2];
    struct km_err err = KM_ERR_INIT;
    for (int noisy = 0; noisy < 2; noisy++) {
        struct km_episode_rule rule;
        km_episode_rule_life(&rule);
        profiles[noisy] = km_profile_new(&(struct km_profile_identity){.unit = "made", .role = "made"}, &rule, &err);
        assert_non_null(profiles[noisy]);
    }
    for (unsigned i = 0; i < 1300; i++) {
        struct made m;
        made_normal(&m, i * 7919 / 13);
        assert_ok(km_profile_learn(profiles[0], &m.episode, &err), err);
    }
    learn_ever_new(profiles[0], 20);
    learn_ever_new(profiles[1], 1320);
    for (int i = 0; i < 2; i++) {
        km_profile_get_maturity(profiles[i], &maturity[i]);
        km_profile_free(profiles[i]);
    }
    assert_true(maturity[0].novelty > 0.01 && maturity[0].novelty < 0.05);
    assert_true(maturity[0].confidence > 0.7);
    assert_true(maturity[1].novelty > 0.9 && maturity[1].confidence == 0);
}

static void scoring_and_calibrating_change_nothing(void **state)
{
    (void)state;
    struct km_profile *profile = learned(300);
    struct made strange;
    struct km_assessment a, b;
    struct km_err err = KM_ERR_INIT;
    made_strange(&strange);
    km_profile_score(profile, &strange.episode, &a);
    assert_ok(km_profile_calibrate(profile, &err), err);
    km_profile_score(profile, &strange.episode, &b);
    assert_memory_equal(a.term, b.term, sizeof a.term);
    assert_true(a.score == b.score);
    km_profile_free(profile);
}

static void an_accepted_alarm_is_known_and_lends_no_call_set(void **state)
{
    (void)state;
    struct km_profile *profile = learned(300);
    struct made strange;
    struct km_assessment before, after;
    struct km_err err = KM_ERR_INIT;
    made_strange(&strange);
    km_profile_score(profile, &strange.episode, &before);
    size_t sets = km_profile_get_sets(profile)->count;
    struct km_maturity learned_only, reviewed;
    km_profile_get_maturity(profile, &learned_only);
    assert_ok(km_profile_learn(profile, &strange.episode, &err), err);
    km_profile_get_maturity(profile, &reviewed);
    assert_true(reviewed.novelty == learned_only.novelty);
    km_profile_score(profile, &strange.episode, &after);
    assert_true(after.score < before.score);
    assert_int_equal(after.measure.misses, 0);
    assert_int_equal(km_profile_get_sets(profile)->count, sets);
    km_profile_free(profile);
}

static void new_entities_add_to_the_score_once_each(void **state)
{
    (void)state;
    struct km_profile *profile = learned(100);
    struct made m;
    struct km_assessment without, with;
    made_normal(&m, 3);
    km_profile_score(profile, &m.episode, &without);
    struct km_event_landmark marks[3] = {{.kind = KM_LANDMARK_EXEC, .path = {"/bin/sh", 7}},
                                         {.kind = KM_LANDMARK_EXEC, .path = {"/bin/sh", 7}},
                                         {.kind = KM_LANDMARK_MODULE, .path = {"x", 1}}};
    m.episode.landmarks = marks;
    m.episode.landmark_count = 3;
    km_profile_score(profile, &m.episode, &with);
    assert_int_equal(with.entities_new, 2);
    assert_true(with.score > without.score + 5);
    struct km_err err = KM_ERR_INIT;
    assert_false(km_profile_knows_landmark(profile, &marks[0]));
    assert_ok(km_profile_learn(profile, &m.episode, &err), err);
    assert_true(km_profile_knows_landmark(profile, &marks[0]));
    marks[0].zone = KM_ZONE_SENSITIVE; /* told always */
    assert_false(km_profile_knows_landmark(profile, &marks[0]));
    km_profile_free(profile);
}

static void landmarks_alone_are_scored(void **state)
{
    (void)state;
    struct km_profile *profile = learned(100);
    struct km_event_landmark mark = {.kind = KM_LANDMARK_EXEC, .path = {"/bin/sh", 7}};
    struct km_episode episode = {.landmarks = &mark, .landmark_count = 1};
    struct km_assessment a;
    km_profile_score(profile, &episode, &a);
    assert_true(a.score == a.entity_term && a.score > 0);
    km_profile_free(profile);
}

static void an_empty_profile_scores_without_calibration(void **state)
{
    (void)state;
    struct km_profile *profile = learned(0);
    struct made m;
    struct km_assessment a;
    made_normal(&m, 1);
    km_profile_score(profile, &m.episode, &a);
    assert_true(a.score == 0 && a.p == 1);
    km_profile_free(profile);
}

struct caught {
    const struct km_profile *profile;
    struct km_assessment assessment;
    struct km_explanation why;
    bool partial;
};

static enum km_code catch_one(void *context, const struct km_episode *episode, struct km_err *err)
{
    (void)err;
    struct caught *c = context;
    c->partial = !episode->complete;
    km_profile_score(c->profile, episode, &c->assessment);
    km_explain_episode(c->profile, episode, &c->assessment, &c->why);
    return KM_OK;
}

static void the_deployed_view_sees_the_strange_too(void **state)
{
    (void)state;
    struct km_profile *profile = learned(400);
    struct caught caught = {.profile = profile};
    struct km_episode_sink sink = {&caught, catch_one};
    struct km_err err = KM_ERR_INIT;
    struct km_deployer *deployer = km_deployer_new(profile, &sink, false, &err);
    assert_non_null(deployer);
    struct made normal, strange;
    made_normal(&normal, 3);
    made_strange(&strange);
    assert_ok(km_deployer_run(deployer, &normal.episode, &err), err);
    double quiet = caught.assessment.score;
    assert_true(caught.partial);
    assert_int_equal(caught.assessment.measure.misses, 0);
    assert_ok(km_deployer_run(deployer, &strange.episode, &err), err);
    assert_true(caught.assessment.score > quiet + 10);
    assert_true(caught.assessment.measure.misses > 20);
    assert_int_equal(caught.assessment.measure.calls, 40);
    assert_int_equal(caught.why.call_count, KM_EXPLAIN_CALLS);
    assert_true(caught.why.calls[0].bits >= caught.why.calls[1].bits && caught.why.calls[0].next_count > 0);
    assert_true(caught.why.has_nearest && caught.why.extra_count > 0 && caught.why.missing_count > 0);
    km_deployer_free(deployer);
    km_profile_free(profile);
}

/* A normal episode with a pair of calls that no other one has. */
static void made_rare(struct made *m, unsigned which)
{
    made_normal(m, 2 + which % 5);
    size_t n = m->episode.count;
    m->packed[n] = km_call_pack(0, 260 + which / 60 % 60);
    m->packed[n + 1] = km_call_pack(0, 320 + which % 60);
    made_finish(m, n + 2);
}

/* Learns so many episodes, of which each `every`-th is rare, a tenth of a second apart. */
static struct km_profile *learned_with_rare(unsigned episodes, unsigned every)
{
    static const struct km_profile_identity identity = {.unit = "made.service", .role = "made"};
    struct km_episode_rule rule;
    struct km_err err = KM_ERR_INIT;
    km_episode_rule_life(&rule);
    struct km_profile *profile = km_profile_new(&identity, &rule, &err);
    assert_non_null(profile);
    struct made m;
    for (unsigned i = 0; i < episodes; i++) {
        if (i % every == every - 1)
            made_rare(&m, i / every);
        else
            made_normal(&m, i);
        m.episode.begin_ns = 1000000000 + UINT64_C(100000000) * i;
        m.episode.end_ns = m.episode.begin_ns + UINT64_C(300000000); /* threads side by side */
        assert_ok(km_profile_learn(profile, &m.episode, &err), err);
    }
    assert_ok(km_profile_calibrate(profile, &err), err);
    return profile;
}

static void rare_normals_are_all_remembered(void **state)
{
    (void)state;
    static const struct {
        enum km_stratum stratum;
        double episodes;
    } rows[] = {{KM_STRATUM_KNOWN, 5940}, {KM_STRATUM_NOVEL, 60}, {KM_STRATUM_TOLD, 60}};
    size_t full, told, count;
    double episodes;
    struct km_profile *profile = learned_with_rare(6000, 100);
    (void)km_profile_get_scores(profile, KM_VIEW_FULL, &full);
    const double *scores = km_profile_get_scores(profile, KM_VIEW_DEPLOYED, &told);
    assert_int_equal(full, KM_PROFILE_KEPT_EPISODES);
    assert_int_equal(told, 60); /* the fair sample alone held ten */
    for (size_t i = 0; i < told; i++)
        assert_true(scores[i] > 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        scores = km_profile_get_history(profile, rows[i].stratum, &count, &episodes);
        if (fabs(episodes - rows[i].episodes) > 1e-9)
            fail_msg("row %zu: %g episodes", i, episodes);
        assert_true(rows[i].stratum == KM_STRATUM_KNOWN ? count < full && count > full - 60 : count == 60);
        for (size_t j = 0; j < count && rows[i].stratum != KM_STRATUM_KNOWN; j++)
            assert_true(scores[j] > 0);
    }
    km_profile_free(profile);
}

static void more_rare_normals_than_are_kept_are_estimated(void **state)
{
    (void)state;
    size_t told;
    struct km_profile *profile = learned_with_rare(6000, 2);
    (void)km_profile_get_scores(profile, KM_VIEW_DEPLOYED, &told);
    assert_true(told > KM_PROFILE_NOVEL_EPISODES && told <= KM_PROFILE_NOVEL_EPISODES + KM_PROFILE_KEPT_EPISODES);
    for (int s = KM_STRATUM_NOVEL; s <= KM_STRATUM_TOLD; s++) {
        size_t count;
        double all;
        (void)km_profile_get_history(profile, (enum km_stratum)s, &count, &all);
        assert_int_equal(count, told);
        assert_true(all > 2850 && all < 3150);
    }
    assert_true(km_profile_memory(profile) < (size_t)6 << 20);
    km_profile_free(profile);
}

static void time_is_counted_once_for_all_threads(void **state)
{
    (void)state;
    struct km_profile *profile = learned_with_rare(200, 50);
    assert_int_equal(km_profile_learned_ns(profile), 199 * UINT64_C(100000000) + UINT64_C(300000000));
    km_profile_free(profile);
    profile = learned(60); /* no times */
    assert_int_equal(km_profile_learned_ns(profile), 0);
    km_profile_free(profile);
}

static void memory_is_bounded(void **state)
{
    (void)state;
    struct km_profile *profile = learned(3000);
    assert_true(km_profile_memory(profile) < (size_t)6 << 20);
    km_profile_free(profile);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_strange_stands_out_and_the_terms_add_up),
        cmocka_unit_test(maturity_grows_as_novelty_dries_up),
        cmocka_unit_test(a_noisy_end_of_learning_decides_little),
        cmocka_unit_test(scoring_and_calibrating_change_nothing),
        cmocka_unit_test(an_accepted_alarm_is_known_and_lends_no_call_set),
        cmocka_unit_test(new_entities_add_to_the_score_once_each),
        cmocka_unit_test(landmarks_alone_are_scored),
        cmocka_unit_test(an_empty_profile_scores_without_calibration),
        cmocka_unit_test(the_deployed_view_sees_the_strange_too),
        cmocka_unit_test(rare_normals_are_all_remembered),
        cmocka_unit_test(more_rare_normals_than_are_kept_are_estimated),
        cmocka_unit_test(time_is_counted_once_for_all_threads),
        cmocka_unit_test(memory_is_bounded),
    };
    return KM_RUN_TESTS(tests);
}
