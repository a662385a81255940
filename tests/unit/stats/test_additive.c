#define KM_TEST_NAME "additive"
#include "../cm.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "stats/additive.h"
#include "stats/random.h"

#define N 400

#define assert_near(a, b, within) assert_true(fabs((a) - (b)) <= (within))

static struct km_additive_term linear_term(const char *name, double weight)
{
    struct km_additive_term term = {.weight = weight, .low = -INFINITY, .high = INFINITY};
    (void)snprintf(term.name, sizeof term.name, "%s", name);
    return term;
}

static void terms_add_up_and_explain(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_additive *model = km_additive_new(&err);
    struct km_additive_term steps = {
        .name = "b", .step_count = 2, .steps = {{0, -1}, {2, 5}}, .low = -INFINITY, .high = INFINITY, .missing = 0.25};
    struct km_additive_term linear = linear_term("a", 2);
    linear.low = -1;
    linear.high = 3;
    km_additive_set_bias(model, -4);
    assert_ok(km_additive_set_term(model, &linear, &err), err);
    assert_ok(km_additive_set_term(model, &steps, &err), err);
    static const struct {
        double a, b, term_a, term_b;
    } rows[] = {{1, 0, 2, -1}, {9, 1.99, 6, -1}, {-9, 2, -2, 5}, {0, -7, 0, -1}, {NAN, NAN, 0, 0.25}, {0, 1e9, 0, 5}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double got[2], values[] = {rows[i].a, rows[i].b};
        double score = km_additive_score(model, values, got);
        assert_near(got[0], rows[i].term_a, 1e-12);
        assert_near(got[1], rows[i].term_b, 1e-12);
        assert_near(score, -4 + rows[i].term_a + rows[i].term_b, 1e-12);
    }
    linear.weight = 7; /* the same name: replaced */
    assert_ok(km_additive_set_term(model, &linear, &err), err);
    assert_int_equal(km_additive_term_count(model), 2);
    assert_int_equal(km_additive_find(model, "b"), 1);
    assert_int_equal(km_additive_find(model, "c"), -1);
    km_additive_free(model);
}

static void bad_terms_are_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_additive *model = km_additive_new(&err);
    struct km_additive_term rows[5];
    for (size_t i = 0; i < 5; i++)
        rows[i] = linear_term("t", 1);
    rows[0].name[0] = '\0';
    rows[1].weight = NAN;
    rows[2].low = 1, rows[2].high = 0;
    rows[3].step_count = 2, rows[3].steps[0].from = 1, rows[3].steps[1].from = 1;
    rows[4].name[0] = '\n';
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(km_additive_set_term(model, &rows[i], &err), KM_FORMAT);
    assert_int_equal(km_additive_term_count(model), 0);
    char name[8];
    for (int i = 0; i < KM_ADDITIVE_MAX_TERMS; i++) {
        (void)snprintf(name, sizeof name, "t%d", i);
        struct km_additive_term term = linear_term(name, i);
        assert_ok(km_additive_set_term(model, &term, &err), err);
    }
    struct km_additive_term more = linear_term("more", 1);
    assert_int_equal(km_additive_set_term(model, &more, &err), KM_LIMIT);
    km_additive_free(model);
}

/* Samples of known log-odds 1 + 2a - b, drawn; c is noise, d is constant, e falls. */
struct drawn {
    double values[N][5];
    struct km_additive_sample samples[N];
};

static void draw(struct drawn *d)
{
    struct km_random random;
    km_random_init(&random, 7);
    for (size_t i = 0; i < N; i++) {
        double *v = d->values[i];
        for (size_t k = 0; k < 5; k++)
            v[k] = km_random_real(&random) * 4 - 2;
        v[3] = 5;
        double p = 1 / (1 + exp(-(1 + 2 * v[0] - v[1])));
        bool positive = km_random_real(&random) < p;
        v[4] = (positive ? -1 : 1) + v[4] / 4;
        d->samples[i] = (struct km_additive_sample){v, i % 3 == 0 ? 2 : 1, positive};
    }
}

/* At the maximum the penalised likelihood is flat: an independent statement of what a fit is. */
static void fit_is_the_maximum(void **state)
{
    (void)state;
    static struct drawn d;
    static const char *const names[] = {"a", "b", "c"};
    struct km_err err = KM_ERR_INIT;
    draw(&d);
    const struct km_additive_fit fit = {names, 3, d.samples, N, 1e-6, NULL};
    struct km_additive *model = km_additive_fit(&fit, &err);
    assert_non_null(model);
    double gradient[4] = {0};
    for (size_t i = 0; i < N; i++) {
        double p = 1 / (1 + exp(-km_additive_score(model, d.values[i], NULL)));
        double residual = d.samples[i].weight * ((d.samples[i].positive ? 1 : 0) - p);
        for (size_t k = 0; k < 3; k++)
            gradient[k] += residual * d.values[i][k];
        gradient[3] += residual;
    }
    for (size_t k = 0; k < 4; k++)
        assert_near(gradient[k], 0, 1e-3);
    assert_near(km_additive_term(model, 0)->weight, 2, 0.5);
    assert_near(km_additive_term(model, 1)->weight, -1, 0.4);
    assert_near(km_additive_term(model, 2)->weight, 0, 0.3);
    km_additive_free(model);
}

static void fit_penalty_shrinks_and_rising_holds(void **state)
{
    (void)state;
    static struct drawn d;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    static const bool rising[] = {true, false, false, true, true};
    struct km_err err = KM_ERR_INIT;
    draw(&d);
    d.values[3][0] = NAN;
    struct km_additive_fit fit = {names, 5, d.samples, N, 1e-3, rising};
    struct km_additive *loose = km_additive_fit(&fit, &err);
    fit.penalty = 1000;
    struct km_additive *tight = km_additive_fit(&fit, &err);
    assert_non_null(loose);
    assert_non_null(tight);
    assert_true(fabs(km_additive_term(tight, 0)->weight) < fabs(km_additive_term(loose, 0)->weight) / 2);
    assert_true(km_additive_term(loose, 0)->weight > 1);
    assert_near(km_additive_term(loose, 3)->weight, 0, 0);
    assert_near(km_additive_term(loose, 4)->weight, 0, 0);
    km_additive_free(loose);
    km_additive_free(tight);
}

static void fit_refuses_what_says_nothing(void **state)
{
    (void)state;
    static struct drawn d;
    static const char *const names[] = {"a"};
    static const char *const bad[] = {""};
    struct km_err err = KM_ERR_INIT;
    draw(&d);
    struct km_additive_fit fit = {names, 1, d.samples, 0, 1, NULL};
    assert_null(km_additive_fit(&fit, &err));
    assert_int_equal(err.code, KM_FORMAT);
    fit.sample_count = N;
    fit.names = bad;
    assert_null(km_additive_fit(&fit, &err));
    fit.names = names;
    d.values[9][0] = INFINITY;
    assert_null(km_additive_fit(&fit, &err));
    assert_int_equal(err.code, KM_FORMAT);
}

static void calibration_allows_no_more_than_wanted(void **state)
{
    (void)state;
    static const struct {
        double scores[6];
        size_t count;
        double wanted;
        uint64_t above;
        double low, high; /* the threshold lies between */
    } rows[] = {
        {{1, 2, 3, 4, 5}, 5, 0.2, 1, 4, 5},
        {{5, 4, 3, 2, 1}, 5, 0.4, 2, 3, 4},
        {{1, 2, 3, 4, 5}, 5, 0.1, 0, 5, 5.1},
        {{1, 2, 5, 5, 5}, 5, 0.4, 0, 5, 5.1},
        {{1, 2, 2, 5}, 4, 0.5, 1, 2, 5},
        {{1, 1, 1}, 3, 1, 3, 1, 1},
        {{0}, 0, 0.1, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double scores[6];
        struct km_calibration c = {0};
        memcpy(scores, rows[i].scores, sizeof scores);
        km_calibration_choose(scores, rows[i].count, rows[i].wanted, &c);
        assert_int_equal(c.above, rows[i].above);
        assert_int_equal(c.negatives, rows[i].count);
        assert_true(c.threshold >= rows[i].low && c.threshold <= rows[i].high);
        uint64_t alarms = 0;
        for (size_t k = 0; k < rows[i].count; k++)
            alarms += scores[k] >= c.threshold;
        assert_int_equal(alarms, c.above);
    }
}

static void rate_has_its_interval(void **state)
{
    (void)state;
    struct km_estimate none = km_calibration_rate(&(struct km_calibration){.negatives = 0});
    assert_true(isnan(none.value) && none.interval.high >= 1);
    struct km_estimate zero = km_calibration_rate(&(struct km_calibration){.negatives = 3000});
    assert_near(zero.value, 0, 0);
    assert_near(zero.interval.high, 3.0 / 3000, 1e-5);
    struct km_estimate some = km_calibration_rate(&(struct km_calibration){.negatives = 1000, .above = 1});
    assert_near(some.interval.low, 2.532e-5, 1e-7); /* R: binom.test(1, 1000)$conf.int */
    assert_near(some.interval.high, 5.5589e-3, 1e-6);
    assert_true(km_calibration_is_enough(&(struct km_calibration){.negatives = 3000, .wanted = 0.001}));
    assert_false(km_calibration_is_enough(&(struct km_calibration){.negatives = 2900, .wanted = 0.001}));
    assert_false(km_calibration_is_enough(&(struct km_calibration){.wanted = 1}));
}

static void file_keeps_the_model(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_additive *model = km_additive_new(&err);
    struct km_additive_term a = linear_term("tokens.score", 0.1 + 0.2), b = {.name = "s", .step_count = 2};
    a.low = -3;
    b.low = -INFINITY, b.high = INFINITY, b.missing = -0.5;
    b.steps[0] = (struct km_additive_step){-1, 0.3};
    b.steps[1] = (struct km_additive_step){1e-3, 7};
    assert_ok(km_additive_set_term(model, &a, &err), err);
    assert_ok(km_additive_set_term(model, &b, &err), err);
    km_additive_set_bias(model, -4.6);
    const struct km_calibration calibration = {1.25, 900, 3, 0.01, "test split"};
    km_additive_set_calibration(model, &calibration);
    struct km_buf text;
    km_buf_init(&text, KM_ADDITIVE_MAX_BYTES);
    assert_ok(km_additive_format(model, &text, &err), err);
    struct km_additive *back = km_additive_parse(km_buf_text(&text), text.length, &err);
    assert_non_null(back);
    double values[] = {-2.5, 5};
    assert_true(km_additive_score(model, values, NULL) == km_additive_score(back, values, NULL));
    assert_int_equal(km_additive_calibration(back)->negatives, 900);
    assert_string_equal(km_additive_calibration(back)->set, "test split");
    assert_true(km_additive_term(back, 0)->low == -3 && isinf(km_additive_term(back, 0)->high));
    km_additive_free(model);
    km_additive_free(back);
    km_buf_done(&text);
}

static void bad_files_are_refused(void **state)
{
    (void)state;
#define HEAD "{\"komainu_additive\":1,\"bias\":0,\"terms\":["
    static const struct {
        const char *text;
        enum km_code code;
    } rows[] = {
        {"", KM_FORMAT},
        {"[]", KM_FORMAT},
        {"{\"komainu_additive\":2,\"bias\":0,\"terms\":[]}", KM_UNSUPPORTED},
        {"{\"komainu_additive\":1,\"bias\":\"0\",\"terms\":[]}", KM_FORMAT},
        {"{\"komainu_additive\":1,\"bias\":0}", KM_FORMAT},
        {HEAD "],\"more\":1}", KM_FORMAT},
        {HEAD "{\"name\":\"a\"}]}", KM_FORMAT},
        {HEAD "{\"name\":\"a\",\"weight\":1},{\"name\":\"a\",\"weight\":1}]}", KM_FORMAT},
        {HEAD "{\"name\":\"a\",\"weight\":1,\"low\":2,\"high\":1}]}", KM_FORMAT},
        {HEAD "{\"name\":\"a\\n\",\"weight\":1}]}", KM_FORMAT},
        {HEAD "{\"name\":\"a\",\"steps\":[]}]}", KM_FORMAT},
        {HEAD "{\"name\":\"a\",\"steps\":[{\"from\":1,\"weight\":1},{\"from\":1,\"weight\":2}]}]}", KM_FORMAT},
        {HEAD "],\"calibration\":{\"threshold\":0,\"negatives\":1,\"above\":2,\"wanted\":0.1,\"set\":\"x\"}}",
         KM_FORMAT},
        {HEAD "],\"calibration\":{\"threshold\":0,\"negatives\":-1,\"above\":0,\"wanted\":0.1,\"set\":\"x\"}}",
         KM_FORMAT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        assert_null(km_additive_parse(rows[i].text, strlen(rows[i].text), &err));
        assert_int_equal(err.code, rows[i].code);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terms_add_up_and_explain),
        cmocka_unit_test(bad_terms_are_refused),
        cmocka_unit_test(fit_is_the_maximum),
        cmocka_unit_test(fit_penalty_shrinks_and_rising_holds),
        cmocka_unit_test(fit_refuses_what_says_nothing),
        cmocka_unit_test(calibration_allows_no_more_than_wanted),
        cmocka_unit_test(rate_has_its_interval),
        cmocka_unit_test(file_keeps_the_model),
        cmocka_unit_test(bad_files_are_refused),
    };
    return KM_RUN_TESTS(tests);
}
