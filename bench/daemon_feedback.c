/*
 * A stream of normal traces with attacks among them; the operator has a budget of alarms and answers each. Scores above
 * an adaptive threshold (the quantile of recent scores that leaves the budget) are alarms; a false one is learned in
 * the policy with feedback. Attacks of the stream are a quarter of all; detection is measured on the rest.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "daemon_sim.h"
#include "stats/tail.h"

#define ORDERS       10
#define BUDGET       0.05
#define WINDOW       400
#define SETTLED      500 /* episodes after which the rate of false alarms counts */
#define DAYS         30
#define FIRST_DAYS   10 /* compared with as many last ones */
#define STREAM_SHARE 4  /* one attack in four is in the stream */

struct simulation {
    const struct samples *test;
    enum km_view view;
    bool feedback;
    struct km_profile *profile;
    struct km_deployer *deployer;
    struct km_spot *spot;
    /* the episode at hand */
    double score;
    bool learn;
};

static enum km_code take_episode(void *context, const struct km_episode *episode, struct km_err *err)
{
    struct simulation *sim = context;
    struct km_assessment assessment;
    km_profile_score(sim->profile, episode, &assessment);
    sim->score = assessment.score;
    if (sim->learn && sim->feedback && assessment.score > km_spot_threshold(sim->spot, BUDGET))
        return km_profile_learn(sim->profile, episode, err);
    return KM_OK;
}

/* Scores a trace; a false alarm is learned when `learn` is set. */
static double show(struct simulation *sim, const struct sample *sample, bool learn)
{
    struct km_err err = KM_ERR_INIT;
    sim->learn = learn;
    enum km_code code = sim->view == KM_VIEW_FULL ? take_episode(sim, &sample->episode, &err)
                                                  : km_deployer_run(sim->deployer, &sample->episode, &err);
    if (code != KM_OK)
        bench_die("%s", err.text);
    return sim->score;
}

static double detection(struct simulation *sim, const size_t *held, size_t held_count)
{
    double threshold = km_spot_threshold(sim->spot, BUDGET);
    size_t found = 0;
    for (size_t i = 0; i < held_count; i++)
        found += show(sim, &sim->test->items[held[i]], false) > threshold;
    return (double)found / (double)held_count;
}

struct outcome {
    double far, far_first, far_last, dr_first, dr_last;
};

static void shuffle(size_t *items, size_t count, uint64_t *state)
{
    for (size_t i = count; i > 1; i--) {
        size_t j = draw_next(state) % i, t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}

/* Runs the stream over thirty equal days. */
static struct outcome run_stream(struct simulation *sim, const size_t *stream, size_t stream_count, const size_t *held,
                                 size_t held_count)
{
    struct outcome out = {0};
    size_t normals = 0, settled = 0, alarms = 0, day_normals = 0, day_alarms = 0;
    for (size_t i = 0, day = 0; i < stream_count; i++) {
        const struct sample *s = &sim->test->items[stream[i]];
        double threshold = km_spot_threshold(sim->spot, BUDGET);
        double score = show(sim, s, !s->attack);
        bool alarm = score > threshold;
        if (!(alarm && s->attack))
            km_spot_add(sim->spot, score); /* a missed attack counts as normal: nobody knows better */
        normals += !s->attack;
        settled += !s->attack && normals > SETTLED;
        alarms += alarm && !s->attack && normals > SETTLED;
        day_normals += !s->attack;
        day_alarms += alarm && !s->attack;
        if ((i + 1) * DAYS / stream_count == day)
            continue;
        day++;
        double far = (double)day_alarms / (double)(day_normals ? day_normals : 1);
        if (day > DAYS - FIRST_DAYS) {
            out.far_last += far / FIRST_DAYS;
            out.dr_last += detection(sim, held, held_count) / FIRST_DAYS;
        } else if (day <= FIRST_DAYS) {
            out.far_first += far / FIRST_DAYS;
            out.dr_first += detection(sim, held, held_count) / FIRST_DAYS;
        }
        day_normals = day_alarms = 0;
    }
    out.far = (double)alarms / (double)(settled ? settled : 1);
    return out;
}

static struct outcome run_order(const struct samples *train, const struct samples *test, enum km_view view,
                                bool feedback, uint64_t seed)
{
    struct km_err err = KM_ERR_INIT;
    struct simulation sim = {.test = test, .view = view, .feedback = feedback, .profile = bench_learn(train, NULL)};
    struct km_episode_sink sink = {&sim, take_episode};
    sim.deployer = km_deployer_new(sim.profile, &sink, false, &err);
    sim.spot = km_spot_new(WINDOW, 1, &err);
    size_t *stream = calloc(test->count, sizeof *stream), *held = calloc(test->count, sizeof *held);
    if (!sim.deployer || !sim.spot || !stream || !held)
        bench_die("out of memory");
    size_t score_count;
    const double *scores = km_profile_get_scores(sim.profile, view, &score_count);
    for (size_t i = 0; i < score_count; i++)
        km_spot_add(sim.spot, scores[i]);
    size_t stream_count = 0, held_count = 0;
    for (size_t i = 0; i < test->count; i++) {
        if (test->items[i].attack && draw_next(&seed) % STREAM_SHARE != 0)
            held[held_count++] = i;
        else
            stream[stream_count++] = i;
    }
    shuffle(stream, stream_count, &seed);
    struct outcome out = run_stream(&sim, stream, stream_count, held, held_count);
    free(stream);
    free(held);
    km_spot_free(sim.spot);
    km_deployer_free(sim.deployer);
    km_profile_free(sim.profile);
    return out;
}

/* Mean over the orders, with the normal interval of a mean. */
static void print_mean(const char *name, const char *view, const double *values, const char *unit)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < ORDERS; i++)
        sum += values[i];
    double mean = sum / ORDERS;
    for (int i = 0; i < ORDERS; i++)
        squares += (values[i] - mean) * (values[i] - mean);
    double half = 2.262 * sqrt(squares / (ORDERS - 1) / ORDERS); /* Student's t, nine degrees of freedom */
    bench_print(name, view, &(struct bench_figure){mean, unit, mean - half, mean + half, ORDERS});
}

void bench_feedback(const struct samples *train, const struct samples *test, enum km_view view)
{
    static const struct {
        const char *name, *unit;
    } rows[] = {
        {"feedback.dr5_without", "rate"},
        {"feedback.dr5_with", "rate"},
        {"feedback.dr5_gain", "rate"},
        {"feedback.far_of_budget", "ratio"},
        {"feedback.far_of_budget_days1_10", "ratio"},
        {"feedback.far_of_budget_days21_30", "ratio"},
        {"feedback.dr5_days1_10", "rate"},
        {"feedback.dr5_days21_30", "rate"},
    };
    double values[sizeof rows / sizeof rows[0]][ORDERS];
    for (int i = 0; i < ORDERS; i++) {
        struct outcome without = run_order(train, test, view, false, (uint64_t)i + 1);
        struct outcome with = run_order(train, test, view, true, (uint64_t)i + 1);
        values[0][i] = without.dr_last;
        values[1][i] = with.dr_last;
        values[2][i] = with.dr_last - without.dr_last;
        values[3][i] = with.far / BUDGET;
        values[4][i] = with.far_first / BUDGET;
        values[5][i] = with.far_last / BUDGET;
        values[6][i] = with.dr_first;
        values[7][i] = with.dr_last;
    }
    for (size_t k = 0; k < sizeof rows / sizeof rows[0]; k++)
        print_mean(rows[k].name, view == KM_VIEW_FULL ? "full" : "deployed", values[k], rows[k].unit);
}
