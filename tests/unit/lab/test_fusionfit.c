#define KM_TEST_NAME "fusionfit"
#include "unit/cm.h"

#include <math.h>

#include "container/lab/fusionfit.h"
#include "unit/lab/minicorpus.h"

#define FAMILIES 20 /* of each class; two files each */
#define FILES    (4 * FAMILIES)

struct lab {
    struct minicorpus corpus;
    struct km_dataset *dataset;
    bool among[FILES];
    struct km_filescore scores[FILES];
    struct km_fusionfit_plan plan;
};

/* Words tell the classes apart but for some; the network is right, too, and a little noisier. */
static struct lab *lab_new(void)
{
    struct lab *lab = calloc(1, sizeof *lab);
    assert_non_null(lab);
    minicorpus_begin(&lab->corpus);
    for (int i = 0; i < FILES; i++) {
        char first[128], text[32];
        bool positive = i % 2 == 0;
        (void)snprintf(first, sizeof first, "%s\ttrain\tshell\tf%d\tbookworm\tamd64\tp\t1\tscript",
                       positive ? "positive" : "benign", i % (2 * FAMILIES));
        int length = snprintf(text, sizeof text, "#!/bin/sh\n# %d\n", i);
        minicorpus_add(&lab->corpus, first, text, (size_t)length);
        double side = positive ? 1 : -1;
        lab->among[i] = true;
        for (int part = 0; part < KM_FILESCORE_PARTS; part++)
            lab->scores[i].parts[part] = NAN;
        lab->scores[i].parts[KM_FILESCORE_TOKENS] = side + 1.5 * sin(i);
        lab->scores[i].parts[KM_FILESCORE_NETWORK] = side + 2 * cos(3 * i);
    }
    minicorpus_close(&lab->corpus);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_dataset_open(lab->corpus.folder, &lab->dataset, &err), err);
    lab->plan = (struct km_fusionfit_plan){
        .among = lab->among, .scores = lab->scores, .tokens = true, .network = true, .wanted = 0.1, .set = "a set"};
    return lab;
}

static void lab_free(struct lab *lab)
{
    km_dataset_close(lab->dataset);
    minicorpus_remove(&lab->corpus);
    free(lab);
}

static struct km_additive *fit(const struct lab *lab)
{
    struct km_err err = KM_ERR_INIT;
    struct km_additive *fusion = NULL;
    assert_ok(km_fusionfit_run(lab->dataset, &lab->plan, &fusion, &err), err);
    return fusion;
}

static double fused(const struct km_additive *fusion, double tokens, double network)
{
    struct km_filescore score;
    for (int part = 0; part < KM_FILESCORE_PARTS; part++)
        score.parts[part] = NAN;
    score.parts[KM_FILESCORE_TOKENS] = tokens;
    score.parts[KM_FILESCORE_NETWORK] = network;
    return km_filescore_fuse(fusion, &score);
}

static void the_networks_term_is_bounded(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    struct km_additive *fusion = fit(lab);
    const double low = KM_FUSIONFIT_NETWORK_LOW, high = KM_FUSIONFIT_NETWORK_HIGH;
    assert_true(fused(fusion, 0, high) > fused(fusion, 0, low));
    assert_true(fused(fusion, 0, 1e6) == fused(fusion, 0, high));
    assert_true(fused(fusion, 0, -1e6) == fused(fusion, 0, low));
    assert_true(fused(fusion, 50, 0) > fused(fusion, 40, 0)); /* words are not */

    /* What a network shouts in the fit counts as the bound, too. */
    lab->scores[1].parts[KM_FILESCORE_NETWORK] = high;
    struct km_additive *calm = fit(lab);
    lab->scores[1].parts[KM_FILESCORE_NETWORK] = 1e6;
    struct km_additive *loud = fit(lab);
    assert_true(fused(calm, 1, 1) == fused(loud, 1, 1));
    km_additive_free(calm);
    km_additive_free(loud);
    km_additive_free(fusion);
    lab_free(lab);
}

static void a_network_that_misleads_says_nothing(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    for (int i = 0; i < FILES; i++)
        lab->scores[i].parts[KM_FILESCORE_NETWORK] = i % 2 == 0 ? -1 : 1;
    struct km_additive *fusion = fit(lab);
    assert_true(fused(fusion, 1, 3) == fused(fusion, 1, -3));
    assert_true(fused(fusion, 1, NAN) == fused(fusion, 1, 0));
    assert_true(fused(fusion, 2, 0) > fused(fusion, 1, 0));
    km_additive_free(fusion);
    lab_free(lab);
}

static void the_threshold_is_that_of_the_benign_files(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    struct km_additive *fusion = fit(lab);
    const struct km_calibration *calibration = km_additive_calibration(fusion);
    size_t above = 0;
    for (int i = 1; i < FILES; i += 2)
        above += km_filescore_fuse(fusion, &lab->scores[i]) >= calibration->threshold;
    assert_int_equal(calibration->negatives, FILES / 2);
    assert_int_equal(calibration->above, FILES / 2 / 10);
    assert_int_equal(above, FILES / 2 / 10);
    assert_string_equal(calibration->set, "a set");
    km_additive_free(fusion);
    lab_free(lab);
}

static void a_part_that_is_not_there_has_no_term(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    lab->plan.network = false;
    struct km_additive *words = fit(lab);
    assert_int_equal(km_additive_term_count(words), 1);
    assert_true(km_additive_find(words, "tokens.score") == 0);
    lab->plan.network = true;
    lab->plan.tokens = false;
    struct km_additive *network = fit(lab);
    assert_int_equal(km_additive_term_count(network), 1);
    assert_true(fused(network, 0, 1e6) == fused(network, 0, KM_FUSIONFIT_NETWORK_HIGH));
    for (int i = 0; i < FILES; i += 2)
        lab->among[i] = false; /* no positive is left */
    struct km_err err = KM_ERR_INIT;
    struct km_additive *none = NULL;
    assert_int_equal(km_fusionfit_run(lab->dataset, &lab->plan, &none, &err), KM_FORMAT);
    assert_null(none);
    km_additive_free(words);
    km_additive_free(network);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_networks_term_is_bounded),
        cmocka_unit_test(a_network_that_misleads_says_nothing),
        cmocka_unit_test(the_threshold_is_that_of_the_benign_files),
        cmocka_unit_test(a_part_that_is_not_there_has_no_term),
    };
    return KM_RUN_TESTS(tests);
}
