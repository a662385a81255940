#define KM_TEST_NAME "outoffold"
#include "unit/cm.h"

#include <fcntl.h>
#include <math.h>

#include "container/lab/familyfold.h"
#include "container/lab/outoffold.h"
#include "container/lab/tokenfit.h"
#include "unit/lab/minicorpus.h"

#define FAMILIES 12 /* of each class */
#define EACH     3  /* files of a family */
#define FILES    72 /* of both classes */

/* Nothing but a family's own words tells it from others. */
static void add_file(struct minicorpus *corpus, bool positive, int family, int file)
{
    char text[4096], first[128];
    int length = snprintf(text, sizeof text, "#!/bin/sh\n# file %c\n", 'a' + file);
    for (int i = 0; i < 40; i++)
        length += snprintf(text + length, sizeof text - (size_t)length, "print common%c own%c%c%c%c\n", 'a' + i % 26,
                           positive ? 'p' : 'b', 'a' + family, 'a' + i % 26, 'a' + i / 26);
    (void)snprintf(first, sizeof first, "%s\ttrain\tshell\t%c%d\tbookworm\tamd64\t%c%d\t1\tscript",
                   positive ? "positive" : "benign", positive ? 'p' : 'b', family, positive ? 'p' : 'b', family);
    minicorpus_add(corpus, first, text, (size_t)length);
}

struct lab {
    struct minicorpus corpus;
    struct km_dataset *dataset;
    bool among[FILES];
    struct km_sampletokens *words;
    struct km_netview *view;
    struct km_nettrain_options network;
    struct km_outoffold_plan plan;
};

static struct lab *lab_new(void)
{
    struct lab *lab = calloc(1, sizeof *lab);
    assert_non_null(lab);
    minicorpus_begin(&lab->corpus);
    for (int family = 0; family < FAMILIES; family++)
        for (int file = 0; file < EACH; file++) {
            add_file(&lab->corpus, true, family, file);
            add_file(&lab->corpus, false, family, file);
        }
    minicorpus_close(&lab->corpus);
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_dataset_open(lab->corpus.folder, &lab->dataset, &err), err);
    for (int i = 0; i < FILES; i++)
        lab->among[i] = true;
    const struct km_sampletokens_work work = {NULL, NULL, NULL};
    lab->words = km_sampletokens_new(lab->dataset, lab->among, &work, &err);
    lab->view = km_netview_new(&err);
    assert_true(lab->words && lab->view);
    lab->network = (struct km_nettrain_options){
        .seed = 3, .side = 64, .samples = 2 * KM_NETTRAIN_BATCH, .threads = 1, .checkpoints = -1};
    lab->plan = (struct km_outoffold_plan){.among = lab->among, .view = lab->view, .work = {.threads = 1}};
    return lab;
}

static void lab_free(struct lab *lab)
{
    km_sampletokens_free(lab->words);
    km_netview_free(lab->view);
    km_dataset_close(lab->dataset);
    minicorpus_remove(&lab->corpus);
    free(lab);
}

static void families_stay_together_and_are_spread(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    struct km_err err = KM_ERR_INIT;
    uint8_t folds[FILES], again[FILES];
    unsigned found[2][5] = {{0}, {0}};
    lab->among[5] = false;
    assert_ok(km_familyfold_assign(lab->dataset, lab->among, 5, folds, &err), err);
    assert_int_equal(folds[5], KM_FAMILYFOLD_NONE);
    lab->among[5] = true;
    assert_ok(km_familyfold_assign(lab->dataset, lab->among, 5, again, &err), err);
    for (size_t i = 0; i < FILES; i++) {
        assert_true(again[i] < 5 && (i == 5 || again[i] == folds[i])); /* one file less moves none */
        for (size_t j = 0; j < i; j++)
            if (km_dataset_get(lab->dataset, i)->family_id == km_dataset_get(lab->dataset, j)->family_id)
                assert_int_equal(again[i], again[j]);
        found[km_dataset_get(lab->dataset, i)->role == KM_RECIPE_POSITIVE][again[i]]++;
    }
    for (size_t fold = 0; fold < 5; fold++) /* twelve families in five folds: two or three each */
        for (int class = 0; class < 2; class ++)
            assert_true(found[class][fold] == 2 * EACH || found[class][fold] == 3 * EACH);
    assert_ok(km_familyfold_assign(lab->dataset, lab->among, 16, again, &err), err); /* more than families */
    for (size_t i = 0; i < FILES; i++) { /* of one positive family nothing can be held out */
        const struct km_sample *sample = km_dataset_get(lab->dataset, i);
        lab->among[i] = sample->role != KM_RECIPE_POSITIVE || strcmp(sample->family, "p0") == 0;
    }
    assert_int_equal(km_familyfold_assign(lab->dataset, lab->among, 3, again, &err), KM_NOTFOUND);
    assert_non_null(strstr(err.text, "1 positive families"));
    lab_free(lab);
}

static double mean(const struct lab *lab, const struct km_filescore *scores, bool positive)
{
    double sum = 0;
    for (size_t i = 0; i < FILES; i++)
        if ((km_dataset_get(lab->dataset, i)->role == KM_RECIPE_POSITIVE) == positive)
            sum += scores[i].parts[KM_FILESCORE_TOKENS];
    return sum / FILES * 2;
}

/* A model that has seen the families knows them by heart; of others there is nothing to know. */
static void a_score_is_of_a_model_that_has_not_seen_the_family(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    struct km_err err = KM_ERR_INIT;
    static struct km_filescore held[FILES], seen[FILES];
    lab->plan.words = lab->words;
    assert_ok(km_outoffold_score(lab->dataset, &lab->plan, held, &err), err);
    for (size_t i = 0; i < FILES; i++)
        assert_true(isfinite(held[i].parts[KM_FILESCORE_TOKENS]) && isnan(held[i].parts[KM_FILESCORE_NETWORK]));
    const struct km_tokenfit_plan all = {.train = lab->among};
    struct km_token_model *model = NULL;
    assert_ok(km_tokenfit_model(lab->dataset, lab->words, &all, &model, &err), err);
    const struct km_modelparts parts = {.tokens = model};
    assert_ok(km_filescore_samples(&parts, lab->dataset, lab->among, &lab->plan.work, seen, &err), err);
    double learned = mean(lab, seen, true) - mean(lab, seen, false);
    double unseen = mean(lab, held, true) - mean(lab, held, false);
    assert_true(learned > 1);
    assert_true(unseen < 0.2 * learned);
    km_token_model_free(model);
    lab_free(lab);
}

static void a_stopped_run_goes_on_and_leaves_nothing(void **state)
{
    (void)state;
    struct lab *lab = lab_new();
    struct km_err err = KM_ERR_INIT;
    static struct km_filescore whole[FILES], resumed[FILES];
    int folder = open(lab->corpus.folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder >= 0);
    lab->plan.network = &lab->network;
    assert_ok(km_outoffold_score(lab->dataset, &lab->plan, whole, &err), err);
    lab->network.checkpoints = folder;
    struct km_cancel cancel = KM_CANCEL_INIT;
    km_cancel_request(&cancel);
    lab->network.cancel = &cancel;
    assert_int_equal(km_outoffold_score(lab->dataset, &lab->plan, resumed, &err), KM_CANCELLED);
    lab->network.cancel = NULL;
    for (int again = 0; again < 2; again++) { /* the second time all three networks are there */
        memset(resumed, 0, sizeof resumed);
        assert_ok(km_outoffold_score(lab->dataset, &lab->plan, resumed, &err), err);
        for (size_t i = 0; i < FILES; i++) {
            assert_true(isfinite(resumed[i].parts[KM_FILESCORE_NETWORK]) &&
                        isnan(resumed[i].parts[KM_FILESCORE_TOKENS]));
            assert_true(resumed[i].parts[KM_FILESCORE_NETWORK] == whole[i].parts[KM_FILESCORE_NETWORK]);
        }
    }
    assert_int_equal(faccessat(folder, "network-1-64-3.checkpoint", F_OK, 0), 0);
    assert_ok(km_outoffold_forget(&lab->network, &err), err);
    assert_int_equal(faccessat(folder, "network-1-64-3.checkpoint", F_OK, 0), -1);
    close(folder);
    lab_free(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families_stay_together_and_are_spread),
        cmocka_unit_test(a_score_is_of_a_model_that_has_not_seen_the_family),
        cmocka_unit_test(a_stopped_run_goes_on_and_leaves_nothing),
    };
    return KM_RUN_TESTS(tests);
}
