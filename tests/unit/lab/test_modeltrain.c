#define KM_TEST_NAME "modeltrain"
#include "unit/cm.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#include "container/lab/evaluation.h"
#include "container/lab/lookalike.h"
#include "container/lab/modelfolder.h"
#include "container/lab/modeltrain.h"
#include "unit/lab/minicorpus.h"

#define FAMILIES 30 /* of each class in each split */

static const char *const letters = "abcdefghijklmnopqrstuvwxyz";

/* Positives speak of one thing, the others of another, each family in words of its own, too. */
static void add_script(struct minicorpus *corpus, bool positive, const char *split, const char *suite, int family)
{
    char text[4096], first[256];
    int length = snprintf(text, sizeof text, "#!/bin/sh\n");
    for (int line = 0; line < 40; line++)
        length += snprintf(text + length, sizeof text - (size_t)length, "echo %s_%c%c%c own%c%c%c %s\n",
                           positive ? "wordlist" : "invoice", letters[line % 26], letters[(line * 7) % 26], 'x',
                           letters[family % 26], letters[(family * 3 + split[0]) % 26], letters[(line + family) % 26],
                           positive ? "essid bruteforce payload" : "customer printer calendar");
    (void)snprintf(first, sizeof first, "%s\t%s\tshell\t%s%s%d\t%s\tamd64\t%s%s%d\t1\tscript",
                   positive ? "positive" : "benign", split, positive ? "p" : "b", split, family, suite,
                   positive ? "p" : "b", split, family);
    minicorpus_add(corpus, first, text, (size_t)length);
}

static struct km_dataset *make_dataset(struct minicorpus *corpus)
{
    static const char *const splits[] = {"train", "valid", "test"};
    minicorpus_begin(corpus);
    for (int s = 0; s < 3; s++)
        for (int family = 0; family < FAMILIES; family++) {
            add_script(corpus, true, splits[s], "bookworm", family);
            if (s == 0)
                add_script(corpus, true, splits[s], "trixie", family);
            add_script(corpus, false, splits[s], "bookworm", family);
            if (s == 2)
                add_script(corpus, false, splits[s], "trixie", family);
        }
    minicorpus_close(corpus);
    struct km_err err = KM_ERR_INIT;
    struct km_dataset *dataset = NULL;
    assert_ok(km_dataset_open(corpus->folder, &dataset, &err), err);
    return dataset;
}

static void train(const struct km_dataset *dataset, const char *folder, unsigned threads)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_modeltrain_options options = {.folder = folder,
                                                  .name = "test",
                                                  .tokens = true,
                                                  .network = true,
                                                  .fusion = true,
                                                  .seed = 3,
                                                  .samples = 2 * 48,
                                                  .threads = threads};
    assert_ok(km_modeltrain_run(dataset, &options, &err), err);
}

static struct km_figure find(const struct km_evaluation *evaluation, const char *name)
{
    for (size_t i = 0; i < evaluation->count; i++)
        if (strcmp(evaluation->figures[i].name, name) == 0)
            return evaluation->figures[i];
    print_message("no figure %s\n", name);
    return (struct km_figure){.value = -1};
}

static void remove_model(const char *folder)
{
    static const char *const names[] = {"card.json",  "tokens.json", "tokens.safetensors", "network.json",
                                        "index.kmti", "bundle.json", "fusion.json",        "network.safetensors"};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

static const char *part_digest(const struct km_modelfolder *model, const char *name)
{
    return km_json_string(km_json_member(km_json_find(km_modelfolder_card(model), "parts"), name), "sha256", "none");
}

/* The threshold stands on the benign files of train and valid, the network's term is bounded, the card says how well.
 */
static void assert_fitted_to_held_out_families(const struct km_modelfolder *model)
{
    const struct km_json *held = km_json_find(km_modelfolder_card(model), "held_out");
    assert_int_equal(km_json_integer(held, "folds", 0), 3);
    static const char *const aucs[] = {"auc", "tokens_auc", "network_auc"};
    for (size_t i = 0; i < 3; i++) { /* this network has learned two batches */
        double auc = km_json_real(held, aucs[i], NAN);
        assert_true(auc <= 1 && auc > (i < 2 ? 0.99 : 0.3));
    }
    const struct km_additive *fusion = km_modelfolder_parts(model)->fusion;
    int network = km_additive_find(fusion, "network.score");
    assert_true(network >= 0 && isfinite(km_additive_term(fusion, (size_t)network)->high));
    assert_int_equal(km_additive_calibration(fusion)->negatives, 2 * FAMILIES); /* of train and valid */
}

static void a_model_is_trained_judged_and_the_same_again(void **state)
{
    (void)state;
    struct minicorpus corpus;
    struct km_dataset *dataset = make_dataset(&corpus);
    char one[128], two[128];
    (void)snprintf(one, sizeof one, "%s/one", corpus.folder);
    (void)snprintf(two, sizeof two, "%s/two", corpus.folder);
    train(dataset, one, 1);
    train(dataset, two, 2);
    struct km_err err = KM_ERR_INIT;
    struct km_modelfolder *first = NULL, *second = NULL;
    assert_ok(km_modelfolder_open(one, &first, &err), err);
    assert_ok(km_modelfolder_open(two, &second, &err), err);
    static const char *const parts[] = {"tokens.safetensors", "network.safetensors", "index.kmti", "fusion.json"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        assert_string_not_equal(part_digest(first, parts[i]), "none");
        assert_string_equal(part_digest(first, parts[i]), part_digest(second, parts[i]));
    }
    assert_non_null(strstr(km_json_string(km_modelfolder_card(first), "cannot", ""), "no malware detector"));
    assert_fitted_to_held_out_families(first);

    const struct km_evaluation_options options = {.site = true, .threads = 2};
    struct km_evaluation *evaluation = calloc(1, sizeof *evaluation);
    assert_non_null(evaluation);
    assert_ok(km_evaluation_run(dataset, km_modelfolder_parts(first), &options, evaluation, &err), err);
    static const char *const perfect[] = {"detect.unseen.twin.auc",
                                          "detect.unseen.tpr01",
                                          "detect.known.release.tpr01",
                                          "detect.hit3",
                                          "detect.site.tpr01",
                                          "detect.packed.script.opened",
                                          "detect.packed.script.twin.auc",
                                          "detect.site.context.auc"};
    for (size_t i = 0; i < sizeof perfect / sizeof perfect[0]; i++)
        assert_true(find(evaluation, perfect[i]).value > 0.999);
    assert_int_equal(find(evaluation, "detect.known.release.auc").positives, FAMILIES);
    assert_int_equal(find(evaluation, "detect.site.context.foreign").positives, FAMILIES); /* those of valid */
    struct km_evaluation_options brief = options;
    brief.brief = true;
    struct km_evaluation *others = calloc(2, sizeof *others);
    assert_non_null(others);
    assert_ok(km_evaluation_run(dataset, km_modelfolder_parts(second), &brief, &others[0], &err), err);
    assert_true(find(&others[0], "detect.hit3").value < 0);
    assert_true(find(&others[0], "detect.unseen.tpr1").value > 0.999);
    others[1] = others[0];
    for (size_t i = 0; i < others[1].count; i++) /* no figure of this corpus moves by itself */
        others[1].figures[i].value = 0.25;
    assert_ok(km_evaluation_add_seeds(evaluation, others, 2, &err), err);
    struct km_figure moved = find(evaluation, "detect.seeds.unseen.tpr1");
    assert_true(moved.low < 0.26 && moved.high > 0.999 && moved.value > 0.999 && moved.positives == 3);
    assert_true(find(evaluation, "detect.seeds.known.arch.tpr01").value < 0); /* nobody has it */
    free(others);
    free(evaluation);
    km_modelfolder_close(first);
    km_modelfolder_close(second);
    remove_model(one);
    remove_model(two);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

static void a_part_that_is_not_the_cards_is_refused(void **state)
{
    (void)state;
    struct minicorpus corpus;
    struct km_dataset *dataset = make_dataset(&corpus);
    char folder[128], path[160];
    (void)snprintf(folder, sizeof folder, "%s/model", corpus.folder);
    train(dataset, folder, 2);
    (void)snprintf(path, sizeof path, "%s/fusion.json", folder);
    int fd = open(path, O_WRONLY | O_APPEND | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, " ", 1), 1);
    close(fd);
    struct km_err err = KM_ERR_INIT;
    struct km_modelfolder *model = NULL;
    assert_int_equal(km_modelfolder_open(folder, &model, &err), KM_CONFLICT);
    assert_null(model);
    assert_non_null(strstr(err.text, "fusion.json"));
    assert_int_equal(km_modelfolder_open(corpus.folder, &model, &err), KM_NOTFOUND);
    remove_model(folder);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

static void a_training_that_was_stopped_goes_on(void **state)
{
    (void)state;
    struct minicorpus corpus;
    struct km_dataset *dataset = make_dataset(&corpus);
    char folder[128], whole[128];
    (void)snprintf(folder, sizeof folder, "%s/model", corpus.folder);
    (void)snprintf(whole, sizeof whole, "%s/whole", corpus.folder);
    struct km_cancel cancel = KM_CANCEL_INIT;
    km_cancel_request(&cancel);
    struct km_modeltrain_options options = {
        .folder = folder, .name = "test", .network = true, .seed = 3, .samples = 96, .threads = 2, .cancel = &cancel};
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_modeltrain_run(dataset, &options, &err), KM_CANCELLED);
    options.cancel = NULL;
    assert_ok(km_modeltrain_run(dataset, &options, &err), err);
    options.folder = whole;
    assert_ok(km_modeltrain_run(dataset, &options, &err), err);
    struct km_modelfolder *a = NULL, *b = NULL;
    assert_ok(km_modelfolder_open(folder, &a, &err), err);
    assert_ok(km_modelfolder_open(whole, &b, &err), err);
    assert_string_equal(part_digest(a, "network.safetensors"), part_digest(b, "network.safetensors"));
    km_modelfolder_close(a);
    km_modelfolder_close(b);
    remove_model(folder);
    remove_model(whole);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

static void the_sites_files_are_its_benign_side(void **state)
{
    (void)state;
    struct minicorpus corpus;
    struct km_dataset *dataset = make_dataset(&corpus);
    char folder[128], image[128], path[160];
    (void)snprintf(folder, sizeof folder, "%s/model", corpus.folder);
    (void)snprintf(image, sizeof image, "%s/image", corpus.folder);
    (void)snprintf(path, sizeof path, "%s/image/own.sh", corpus.folder);
    assert_int_equal(mkdir(image, 0700), 0);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (int i = 0; i < 60; i++)
        (void)fprintf(file, "warehouse shelf_%c%c label forklift\n", letters[i % 26], letters[i % 7]);
    assert_int_equal(fclose(file), 0);
    struct km_sitefiles site = {0};
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_sitefiles_read(&site, image, NULL, &err), err);
    assert_int_equal(site.count, 1);
    assert_string_equal(site.files[0].label, "own.sh");
    assert_int_equal(km_sitefiles_read(&site, "/nonexistent", NULL, &err), KM_NOTFOUND);
    const struct km_modeltrain_options options = {
        .folder = folder, .name = "test", .tokens = true, .fusion = true, .site = &site, .threads = 1};
    assert_ok(km_modeltrain_run(dataset, &options, &err), err);
    struct km_modelfolder *model = NULL;
    assert_ok(km_modelfolder_open(folder, &model, &err), err);
    assert_int_equal(km_json_integer(km_modelfolder_card(model), "data.site_files", 0), 1);
    const struct km_additive *fusion = km_modelfolder_parts(model)->fusion;
    int words = km_additive_find(fusion, "tokens.score"), near = km_additive_find(fusion, "tokens.lookalike");
    assert_true(words >= 0 && near >= 0);
    double excused = km_additive_contribution(km_additive_term(fusion, (size_t)near), -0.5);
    assert_true(fabs(excused / km_additive_term(fusion, (size_t)words)->weight + 0.5 * KM_LOOKALIKE_SITE) < 0.5);
    km_modelfolder_close(model);
    km_sitefiles_done(&site);
    (void)unlink(path);
    (void)rmdir(image);
    remove_model(folder);
    km_dataset_close(dataset);
    minicorpus_remove(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_is_trained_judged_and_the_same_again),
        cmocka_unit_test(a_part_that_is_not_the_cards_is_refused),
        cmocka_unit_test(a_training_that_was_stopped_goes_on),
        cmocka_unit_test(the_sites_files_are_its_benign_side),
    };
    return KM_RUN_TESTS(tests);
}
