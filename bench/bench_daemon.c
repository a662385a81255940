/*
 * Detection quality and cost of the daemon guard on the published system call data sets.
 *
 * usage: bench_daemon   (KOMAINU_BENCH_DATA names the folder of the data; without it: exit 77 with the reason)
 *
 * Prints `name value unit low high n`. Every detection figure comes twice: .full, every call seen, and .deployed, what
 * the filter, tap and escalation let through. Protocol: learn on the training set alone; thresholds leave at most x %
 * of the normal test traces above them, ties are no alarms. Weights were chosen on the development half (attack runs
 * 1-3, even normal traces); adfa.test.* is the other half.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/profile/profile.h"
#include "daemon_data.h"
#include "daemon_sim.h"
#include "stats/bootstrap.h"
#include "stats/roc.h"

#define EXECVE_I386 11

static const char *const view_names[KM_VIEWS] = {"full", "deployed"};

void bench_print(const char *name, const char *suffix, const struct bench_figure *f)
{
    printf("%s%s%s %.6g %s ", name, *suffix ? "." : "", suffix, f->value, f->unit);
    if (isnan(f->low))
        printf("- - ");
    else
        printf("%.6g %.6g ", f->low, f->high);
    if (f->n > 0)
        printf("%zu\n", f->n);
    else
        printf("-\n");
}

/* Scores of a subset. */
struct ranked {
    double *scores;
    bool *positives;
    uint32_t *groups; /* attack runs; normal traces are groups of their own */
    size_t count;
};

static struct ranked ranked_new(size_t room)
{
    struct ranked r = {calloc(room, sizeof(double)), calloc(room, sizeof(bool)), calloc(room, sizeof(uint32_t)), 0};
    if (!r.scores || !r.positives || !r.groups)
        bench_die("out of memory");
    return r;
}

static void ranked_done(struct ranked *r)
{
    free(r->scores);
    free(r->positives);
    free(r->groups);
}

static void ranked_add(struct ranked *r, double score, bool positive, uint32_t group)
{
    r->scores[r->count] = score;
    r->positives[r->count] = positive;
    r->groups[r->count++] = group;
}

static double auc_of_samples(void *context, const uint32_t *samples, size_t count)
{
    const struct ranked *r = context;
    struct ranked drawn = ranked_new(count);
    for (size_t i = 0; i < count; i++)
        ranked_add(&drawn, r->scores[samples[i]], r->positives[samples[i]], 0);
    struct km_roc_data data = {drawn.scores, drawn.positives, NULL, count};
    struct km_estimate auc;
    struct km_err err = KM_ERR_INIT;
    double value = km_roc_auc(&data, 0.95, &auc, &err) == KM_OK ? auc.value : NAN;
    ranked_done(&drawn);
    return value;
}

static void report(const char *name, const char *view, const struct ranked *r, bool cluster)
{
    struct km_roc_data data = {r->scores, r->positives, NULL, r->count};
    struct km_estimate auc;
    struct km_err err = KM_ERR_INIT;
    if (km_roc_auc(&data, 0.95, &auc, &err) != KM_OK)
        bench_die("%s: %s", name, err.text);
    char full[128];
    (void)snprintf(full, sizeof full, "%s.auc", name);
    bench_print(full, view, &(struct bench_figure){auc.value, "auc", auc.interval.low, auc.interval.high, r->count});
    if (cluster) { /* runs of one attack are not independent: whole runs are drawn */
        struct km_bootstrap_plan plan = {r->groups, r->count, 200, 0.95, 1};
        struct km_bootstrap_statistic statistic = {auc_of_samples, (void *)(uintptr_t)r};
        struct km_bootstrap_result result;
        if (km_bootstrap_run(&plan, &statistic, &result, &err) != KM_OK)
            bench_die("%s: %s", name, err.text);
        (void)snprintf(full, sizeof full, "%s.auc_by_run", name);
        bench_print(
            full, view,
            &(struct bench_figure){result.value, "auc", result.percentile.low, result.percentile.high, r->count});
    }
    static const int percents[] = {1, 5, 10};
    for (size_t i = 0; i < sizeof percents / sizeof percents[0]; i++) {
        struct km_roc_point point;
        if (km_roc_at_false_positive_rate(&data, percents[i] / 100.0, 0.95, &point, &err) != KM_OK)
            bench_die("%s: %s", name, err.text);
        (void)snprintf(full, sizeof full, "%s.dr%d", name, percents[i]);
        bench_print(full, view,
                    &(struct bench_figure){point.true_positive_rate.value, "rate",
                                           point.true_positive_rate.interval.low,
                                           point.true_positive_rate.interval.high, r->count});
    }
}

struct scored {
    double single, fused;
};

struct catcher {
    const struct km_profile *profile;
    struct km_assessment assessment;
};

static enum km_code catch_episode(void *context, const struct km_episode *episode, struct km_err *err)
{
    (void)err;
    struct catcher *catcher = context;
    km_profile_score(catcher->profile, episode, &catcher->assessment);
    return KM_OK;
}

/* Single: bits a call. Fused: the score. A trace of several pieces is as strange as its strangest piece. */
static struct scored *score_all(const struct km_profile *profile, const struct samples *samples, enum km_view view,
                                bool told_once)
{
    struct km_err err = KM_ERR_INIT;
    struct catcher catcher = {.profile = profile};
    struct km_episode_sink sink = {&catcher, catch_episode};
    struct km_deployer *deployer = km_deployer_new(profile, &sink, told_once, &err);
    struct scored *out = calloc(samples->count + 1, sizeof *out);
    if (!deployer || !out)
        bench_die("out of memory");
    for (size_t i = 0; i < samples->count; i++) {
        if (view == KM_VIEW_FULL)
            km_profile_score(profile, &samples->items[i].episode, &catcher.assessment);
        else if (km_deployer_run(deployer, &samples->items[i].episode, &err) != KM_OK)
            bench_die("%s", err.text);
        out[i] = (struct scored){catcher.assessment.measure.value[KM_CHANNEL_MEAN], catcher.assessment.score};
    }
    km_deployer_free(deployer);
    return out;
}

struct km_profile *bench_learn(const struct samples *train, bool (*take)(const struct sample *sample))
{
    struct km_err err = KM_ERR_INIT;
    static struct km_profile_identity identity;
    struct km_episode_rule rule;
    km_episode_rule_life(&rule);
    struct km_profile *profile = km_profile_new(&identity, &rule, &err);
    if (!profile)
        bench_die("%s", err.text);
    for (size_t i = 0; i < train->count; i++)
        if ((!take || take(&train->items[i])) && km_profile_learn(profile, &train->items[i].episode, &err) != KM_OK)
            bench_die("%s", err.text);
    if (km_profile_calibrate(profile, &err) != KM_OK)
        bench_die("%s", err.text);
    return profile;
}

static bool has_startup(const struct sample *sample)
{
    return km_call_set_has(sample->episode.totals.set, EXECVE_I386);
}

/* "Hydra_FTP_7/file": 7. Normal traces: "UVD-0012": 12. */
static unsigned number_in_name(const struct sample *sample)
{
    const char *at = sample->attack ? strchr(sample->name, '/') : NULL;
    if (at) {
        while (at > sample->name && at[-1] >= '0' && at[-1] <= '9')
            at--;
        return (unsigned)strtoul(at, NULL, 10);
    }
    at = strrchr(sample->name, '-');
    return at ? (unsigned)strtoul(at + 1, NULL, 10) : 0;
}

static bool in_test_half(const struct sample *sample)
{
    return sample->attack ? number_in_name(sample) > 3 : number_in_name(sample) % 2 == 1;
}

static uint32_t group_of(const struct sample *sample, size_t index)
{
    if (!sample->attack)
        return (uint32_t)index;
    uint32_t h = 2166136261U; /* FNV-1a of the run's name */
    for (const char *c = sample->name; *c && *c != '/'; c++)
        h = (h ^ (uint8_t)*c) * 16777619U;
    return h | 0x80000000U;
}

static void adfa_subset(const char *name, const struct samples *test, const struct scored *scored, const char *view,
                        int which)
{
    struct ranked single = ranked_new(test->count), fused = ranked_new(test->count);
    for (size_t i = 0; i < test->count; i++) {
        const struct sample *s = &test->items[i];
        if ((which == 1 && has_startup(s)) || (which == 2 && !in_test_half(s)))
            continue;
        ranked_add(&single, scored[i].single, s->attack, group_of(s, i));
        ranked_add(&fused, scored[i].fused, s->attack, group_of(s, i));
    }
    char full[64];
    (void)snprintf(full, sizeof full, "%s.single", name);
    report(full, view, &single, false);
    (void)snprintf(full, sizeof full, "%s%s", name, which == 1 ? "" : ".fused");
    report(full, view, &fused, which == 0);
    ranked_done(&single);
    ranked_done(&fused);
}

/* The rate of false alarms that a threshold from the training set alone really has. */
static void calibrated_rate(const struct km_profile *profile, const struct samples *test, const struct scored *scored,
                            enum km_view view)
{
    size_t count, normals = 0, alarms = 0;
    const double *scores = km_profile_get_scores(profile, view, &count);
    struct km_tail tail;
    struct km_err err = KM_ERR_INIT;
    if (km_tail_init(&tail, scores, count, &err) != KM_OK)
        bench_die("%s", err.text);
    double threshold = km_tail_quantile(&tail, 0.05);
    km_tail_done(&tail);
    for (size_t i = 0; i < test->count; i++)
        if (!test->items[i].attack) {
            normals++;
            alarms += scored[i].fused > threshold;
        }
    struct km_interval w = km_interval_wilson((double)alarms, (double)normals, 0.95);
    bench_print("adfa.fused.far_at_5_from_training", view_names[view],
                &(struct bench_figure){(double)alarms / (double)normals, "rate", w.low, w.high, normals});
}

static void bench_adfa(const char *folder)
{
    struct samples train = {0}, test = {0};
    samples_load(&train, folder, "adfa-ld/train.tsv.xz");
    samples_load(&test, folder, "adfa-ld/validation.tsv.xz");
    samples_load(&test, folder, "adfa-ld/attack.tsv.xz");
    struct km_profile *profile = bench_learn(&train, NULL);
    for (int v = 0; v < KM_VIEWS; v++) {
        struct scored *scored = score_all(profile, &test, (enum km_view)v, false);
        adfa_subset("adfa", &test, scored, view_names[v], 0);
        adfa_subset("adfa.nostartup", &test, scored, view_names[v], 1);
        adfa_subset("adfa.test", &test, scored, view_names[v], 2);
        calibrated_rate(profile, &test, scored, (enum km_view)v);
        free(scored);
    }
    struct scored *scored = score_all(profile, &test, KM_VIEW_DEPLOYED, true);
    adfa_subset("adfa.toldonce", &test, scored, "deployed", 0);
    free(scored);
    for (int v = 0; v < KM_VIEWS; v++)
        bench_feedback(&train, &test, (enum km_view)v);
    bench_cost(&train, &test);
    km_profile_free(profile);
    samples_free(&train);
    samples_free(&test);
}

static bool is_february(const struct sample *sample)
{
    return !sample->attack && strstr(sample->name, "Feb") != NULL;
}

static bool is_october(const struct sample *sample)
{
    return !sample->attack && strncmp(sample->name, "lpr-normal-10", 13) == 0;
}

static void bench_lpr(const char *folder, const char *name, const char *file,
                      bool (*is_train)(const struct sample *sample))
{
    struct samples all = {0};
    samples_load(&all, folder, file);
    struct km_profile *profile = bench_learn(&all, is_train);
    for (int v = 0; v < KM_VIEWS; v++) {
        struct scored *scored = score_all(profile, &all, (enum km_view)v, false);
        struct ranked r = ranked_new(all.count);
        for (size_t i = 0; i < all.count; i++) {
            if (is_train(&all.items[i]))
                continue;
            bool piece = i > 0 && strcmp(all.items[i].name, all.items[i - 1].name) == 0 && r.count > 0;
            if (piece)
                r.scores[r.count - 1] = fmax(r.scores[r.count - 1], scored[i].fused);
            else
                ranked_add(&r, scored[i].fused, all.items[i].attack, 0);
        }
        report(name, view_names[v], &r, false);
        ranked_done(&r);
        free(scored);
    }
    km_profile_free(profile);
    samples_free(&all);
}

int main(void)
{
    const char *folder = getenv("KOMAINU_BENCH_DATA");
    if (!folder || !*folder) {
        printf("# skipped: KOMAINU_BENCH_DATA is not set; it names the folder of the system call data sets\n");
        return 77;
    }
    bench_adfa(folder);
    bench_lpr(folder, "mitlpr", "unm/mit-lpr.tsv.xz", is_february);
    bench_lpr(folder, "unmlpr", "unm/unm-lpr.tsv.xz", is_october);
    return 0;
}
