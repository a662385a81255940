#define KM_TEST_NAME "tokenmodel"
#include "../cm.h"

#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "container/tokens/tokenjudge.h"
#include "container/tokens/tokentrain.h"
#include "madesets.h"

#define SAMPLES 200

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

struct data {
    struct made_set sets[SAMPLES];
    struct km_token_sample samples[SAMPLES];
};

static struct data *data_new(uint64_t seed)
{
    struct data *data = calloc(1, sizeof *data);
    assert_non_null(data);
    for (size_t i = 0; i < SAMPLES; i++) {
        bool positive = i % 4 == 0;
        made_set_fill(&data->sets[i], &seed, positive ? 1000 : 90000, 12, 60);
        data->samples[i] = (struct km_token_sample){.set = data->sets[i].set, .weight = 1, .positive = positive};
    }
    return data;
}

static struct km_token_model *train(const struct data *data)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_model *model = NULL;
    struct km_token_train_report report;
    assert_ok(km_token_train(data->samples, SAMPLES, NULL, &model, &report, &err), err);
    assert_true(report.converged);
    assert_true(report.loss < 0.5 && report.iterations > 0);
    return model;
}

static void training_tells_classes_apart(void **state)
{
    (void)state;
    struct data *data = data_new(1), *unseen = data_new(2);
    struct km_token_model *model = train(data);
    for (size_t i = 0; i < SAMPLES; i++) {
        double logit = km_token_model_logit(model, &unseen->sets[i].set);
        assert_true(unseen->samples[i].positive ? logit > 0 : logit < 0);
    }
    km_token_model_free(model);
    free(data);
    free(unseen);
}

static void training_has_no_chance_in_it(void **state)
{
    (void)state;
    struct data *data = data_new(1);
    struct km_token_model *one = train(data), *two = train(data);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_memory_equal(&(double){km_token_model_logit(one, &data->sets[i].set)},
                            &(double){km_token_model_logit(two, &data->sets[i].set)}, sizeof(double));
    km_token_model_free(one);
    km_token_model_free(two);
    free(data);
}

static void weights_of_samples_count(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct data *data = data_new(1);
    struct km_token_model *model = train(data), *other = NULL;
    /* A sample of weight 0 is as if it were not there, but for the rarity of its tokens: its class cannot matter. */
    data->samples[4].weight = data->samples[5].weight = 0;
    struct km_token_model *without = train(data);
    data->samples[4].positive = false;
    data->samples[5].positive = true;
    assert_ok(km_token_train(data->samples, SAMPLES, NULL, &other, NULL, &err), err);
    assert_near(km_token_model_logit(other, &data->sets[0].set), km_token_model_logit(without, &data->sets[0].set),
                1e-12);
    assert_true(km_token_model_logit(model, &data->sets[4].set) > km_token_model_logit(without, &data->sets[4].set));
    km_token_model_free(model);
    km_token_model_free(without);
    km_token_model_free(other);
    free(data);
}

static void samples_that_are_none_are_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_model *model = NULL;
    struct data *data = data_new(1);
    assert_int_equal(km_token_train(data->samples, 0, NULL, &model, NULL, &err), KM_FORMAT);
    assert_int_equal(km_token_train(data->samples, 1, NULL, &model, NULL, &err), KM_FORMAT); /* one class */
    assert_int_equal(km_token_train(data->samples, KM_TOKEN_MAX_SAMPLES + 1, NULL, &model, NULL, &err), KM_LIMIT);
    static const double weights[] = {NAN, INFINITY, -1};
    for (size_t i = 0; i < 3; i++) {
        data->samples[7].weight = weights[i];
        assert_int_equal(km_token_train(data->samples, SAMPLES, NULL, &model, NULL, &err), KM_FORMAT);
    }
    data->samples[7].weight = 1;
    data->sets[9].ids[3] = KM_TOKEN_IDS;
    assert_int_equal(km_token_train(data->samples, SAMPLES, NULL, &model, NULL, &err), KM_FORMAT);
    data->sets[9].ids[3] = data->sets[9].ids[2];
    assert_int_equal(km_token_train(data->samples, SAMPLES, NULL, &model, NULL, &err), KM_FORMAT);
    assert_null(model);
    free(data);
}

/* A window that is its whole file changes nothing, and neither does one that is not there. */
static void windows_share_the_weight_of_their_files(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct data *data = data_new(1);
    struct km_token_set windows[SAMPLES] = {{NULL, 0}};
    const struct km_token_train_options options = {.windows = windows};
    struct km_token_model *plain = train(data), *other = NULL;
    assert_ok(km_token_train(data->samples, SAMPLES, &options, &other, NULL, &err), err);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_near(km_token_model_logit(other, &data->sets[i].set), km_token_model_logit(plain, &data->sets[i].set),
                    0);
    km_token_model_free(other);
    for (size_t i = 0; i < SAMPLES; i++)
        windows[i] = data->sets[i].set;
    assert_ok(km_token_train(data->samples, SAMPLES, &options, &other, NULL, &err), err);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_near(km_token_model_logit(other, &data->sets[i].set), km_token_model_logit(plain, &data->sets[i].set),
                    0.05);
    km_token_model_free(other);
    km_token_model_free(plain);
    free(data);
}

/* Words that positives and benign files have alike, of which benign windows are made: a window of them is benign. */
static void windows_teach_what_files_do_not_show(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct data *data = data_new(1);
    static const uint32_t shared[] = {11, 22, 33};
    const struct km_token_set window = {shared, 3};
    static uint32_t ids[SAMPLES][256];
    struct km_token_set windows[SAMPLES] = {{NULL, 0}};
    for (size_t i = 0; i < SAMPLES; i++) {
        size_t count = 0;
        for (size_t k = 0; k < 3; k++)
            ids[i][count++] = shared[k];
        for (size_t k = 0; k < data->sets[i].set.count && count < 256; k++)
            if (data->sets[i].ids[k] > shared[2])
                ids[i][count++] = data->sets[i].ids[k];
        data->samples[i].set = (struct km_token_set){ids[i], count};
        if (!data->samples[i].positive)
            windows[i] = window;
    }
    const struct km_token_train_options options = {.windows = windows};
    struct km_token_model *plain = train(data), *taught = NULL;
    assert_ok(km_token_train(data->samples, SAMPLES, &options, &taught, NULL, &err), err);
    assert_true(km_token_model_logit(taught, &window) < km_token_model_logit(plain, &window) - 1);
    for (uint32_t id = 0; id < 1000; id++)
        assert_near((double)km_token_model_idf(taught)[id], (double)km_token_model_idf(plain)[id], 0);
    uint32_t damaged[] = {22, 11};
    struct km_token_model *none = NULL;
    windows[5] = (struct km_token_set){damaged, 2};
    assert_int_equal(km_token_train(data->samples, SAMPLES, &options, &none, NULL, &err), KM_FORMAT);
    damaged[1] = KM_TOKEN_IDS;
    assert_int_equal(km_token_train(data->samples, SAMPLES, &options, &none, NULL, &err), KM_FORMAT);
    assert_null(none);
    km_token_model_free(plain);
    km_token_model_free(taught);
    free(data);
}

static void explanation_sums_to_the_logit(void **state)
{
    (void)state;
    struct data *data = data_new(1);
    struct km_token_model *model = train(data);
    const struct km_token_set *set = &data->sets[0].set;
    double sum = km_token_model_bias(model), positive = 0;
    for (size_t i = 0; i < set->count; i++) {
        double term = km_token_model_term(model, set, i);
        sum += term;
        positive += term > 0;
    }
    struct km_token_term terms[256];
    size_t count = 99;
    double logit = km_token_model_explain(model, set, terms, 256, &count);
    assert_near(logit, sum, 1e-9);
    assert_near(logit, km_token_model_logit(model, set), 0);
    assert_int_equal(count, (size_t)positive);
    for (size_t i = 1; i < count; i++)
        assert_true(terms[i].weight <= terms[i - 1].weight && terms[i].weight > 0);
    struct km_token_term few[3];
    (void)km_token_model_explain(model, set, few, 3, &count);
    assert_int_equal(count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_near(few[i].weight, terms[i].weight, 0);
    (void)km_token_model_explain(model, set, NULL, 0, &count);
    assert_int_equal(count, 0);
    struct km_token_set nothing = {NULL, 0};
    assert_near(km_token_model_logit(model, &nothing), km_token_model_bias(model), 0);
    km_token_model_free(model);
    free(data);
}

static void words_that_nobody_knows_dilute_nothing(void **state)
{
    (void)state;
    struct data *data = data_new(1);
    struct km_token_model *model = train(data);
    struct made_set set = {.ids = {1000, 1097}, .set = {set.ids, 2}};
    double logit = km_token_model_logit(model, &set.set);
    uint64_t seed = 77;
    for (size_t tries = 0; tries < 100; tries++) {
        /* An id that no sample had. */
        uint32_t id = 200000 + (uint32_t)made_next(&seed) % 60000;
        bool known = false;
        for (size_t i = 0; i < SAMPLES && !known; i++)
            for (size_t k = 0; k < data->sets[i].set.count && !known; k++)
                known = data->sets[i].set.ids[k] == id;
        if (known)
            continue;
        uint32_t ids[3] = {1000, 1097, id};
        struct km_token_set more = {ids, 3};
        assert_near(km_token_model_logit(model, &more), logit, 0);
    }
    km_token_model_free(model);
    free(data);
}

/* ---- Files ---- */

static char folder_name[] = "/tmp/km-tokenmodel-XXXXXX";
static int folder = -1;

static struct km_card *card_new(void)
{
    struct km_card *card = calloc(1, sizeof *card);
    assert_non_null(card);
    strcpy(card->name, "words");
    strcpy(card->created, "2026-11-22");
    card->seeds[card->seed_count++] = 0;
    return card;
}

static enum km_code load(struct km_token_model **out, struct km_err *err)
{
    int card = openat(folder, "m.json", O_RDONLY | O_CLOEXEC),
        weights = openat(folder, "m.safetensors", O_RDONLY | O_CLOEXEC);
    assert_true(card >= 0 && weights >= 0);
    enum km_code code = km_token_model_load(card, weights, out, NULL, err);
    close(card);
    close(weights);
    return code;
}

static void saved_models_are_the_same(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct data *data = data_new(1);
    struct km_token_model *model = train(data), *back = NULL;
    struct km_card *card = card_new();
    struct km_token_observation seen[SAMPLES];
    for (size_t i = 0; i < SAMPLES; i++) {
        double logit = km_token_model_logit(model, &data->sets[i].set);
        seen[i] = (struct km_token_observation){logit, logit - 1, 1, data->samples[i].positive};
    }
    assert_ok(km_token_model_calibrate(model, seen, SAMPLES, &err), err);
    assert_ok(km_token_model_save(folder, "m", card, model, &err), err);
    assert_ok(load(&back, &err), err);
    for (size_t i = 0; i < SAMPLES; i++)
        assert_near(km_token_model_logit(back, &data->sets[i].set), km_token_model_logit(model, &data->sets[i].set), 0);
    for (double logit = -9; logit < 9; logit += 0.7) {
        assert_near(km_token_model_file_score(back, logit), km_token_model_file_score(model, logit), 0);
        assert_near(km_token_model_window_score(back, logit), km_token_model_window_score(model, logit), 0);
    }
    assert_memory_equal(km_token_model_idf(back), km_token_model_idf(model), KM_TOKEN_IDS * sizeof(float));
    assert_memory_equal(km_token_model_wanted(back), km_token_model_wanted(model), KM_TOKEN_IDS / 8);
    struct stat about;
    assert_int_equal(fstatat(folder, "m.safetensors", &about, 0), 0);
    assert_true(about.st_size < (off_t)(1 << 20) + 4096);
    km_token_model_free(model);
    km_token_model_free(back);
    free(card);
    free(data);
}

static size_t slurp(const char *name, uint8_t *out, size_t room)
{
    int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
    ssize_t got = read(fd, out, room);
    assert_true(got > 0 && (size_t)got < room);
    close(fd);
    return (size_t)got;
}

static void spit(const char *name, const void *bytes, size_t length)
{
    int fd = openat(folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, bytes, length), (ssize_t)length);
    close(fd);
}

/* Writes weights, and a card that names exactly them. */
static void spit_pair(const uint8_t *weights, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    struct km_card *card = card_new();
    card->architecture = KM_ARCHITECTURE_TOKENS;
    card->outputs = 1;
    card->weights_bytes = (int64_t)length;
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    assert_non_null(digest);
    km_digest_update(digest, weights, length);
    km_digest_finish(digest, card->sha256);
    km_digest_free(digest);
    struct km_buf text;
    km_buf_init(&text, KM_CARD_MAX_BYTES);
    assert_ok(km_card_format(card, &text, &err), err);
    spit("m.json", text.data, text.length);
    spit("m.safetensors", weights, length);
    km_buf_done(&text);
    free(card);
}

static void damaged_models_are_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct data *data = data_new(1);
    struct km_token_model *model = train(data), *back = NULL;
    struct km_card *card = card_new();
    assert_ok(km_token_model_save(folder, "m", card, model, &err), err);
    size_t room = (size_t)2 << 20;
    uint8_t *bytes = malloc(room), *copy = malloc(room);
    assert_true(bytes && copy);
    size_t length = slurp("m.safetensors", bytes, room);
    uint64_t header;
    memcpy(&header, bytes, 8);

    memcpy(copy, bytes, length);
    copy[length - 1] ^= 1; /* not what the card names */
    spit("m.safetensors", copy, length);
    assert_int_equal(load(&back, &err), KM_CONFLICT);
    spit("m.safetensors", bytes, length - 1);
    assert_int_equal(load(&back, &err), KM_CONFLICT);

    spit_pair(bytes, length); /* the card of this test is good */
    assert_ok(load(&back, &err), err);
    km_token_model_free(back);
    back = NULL;

    memcpy(copy + 8 + header + 100, "\x00\x7e", 2); /* a half that is no number, in weight or idf */
    copy[length - 1] ^= 1;
    spit_pair(copy, length);
    assert_int_equal(load(&back, &err), KM_FORMAT);

    static const struct {
        const char *from, *to;
        enum km_code code;
    } edits[] = {
        {"\"idf\"", "\"odf\"", KM_FORMAT},
        {"[262144]", "[131072]", KM_FORMAT},
        {"komainu_token_scheme\": \"2\"", "komainu_token_scheme\": \"1\"", KM_UNSUPPORTED},
        {"komainu_token_scheme\":\"2\"", "komainu_token_scheme\":\"1\"", KM_UNSUPPORTED},
    };
    size_t done = 0;
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        memcpy(copy, bytes, length);
        uint8_t *at = memmem(copy, 8 + header, edits[i].from, strlen(edits[i].from));
        if (!at)
            continue;
        memcpy(at, edits[i].to, strlen(edits[i].to));
        spit_pair(copy, length);
        assert_int_equal(load(&back, &err), edits[i].code);
        done++;
    }
    assert_int_equal(done, 3);
    for (size_t cut = 0; cut < length; cut += cut < header + 20 ? 1 : 4097) {
        spit_pair(bytes, cut ? cut : 1);
        assert_true(load(&back, &err) != KM_OK);
    }
    assert_null(back);
    assert_int_equal(km_token_model_save(folder, "a/b", card, model, &err), KM_FORMAT);
    km_token_model_free(model);
    free(card);
    free(bytes);
    free(copy);
    free(data);
}

static void calibration_makes_log_odds(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct data *data = data_new(1);
    struct km_token_model *model = train(data);
    /* Files whose true log-odds are 2 x - 1, x the higher of their logits, now the file's and now the window's. */
    enum { COUNT = 20000 };
    struct km_token_observation *seen = calloc(COUNT, sizeof *seen);
    assert_non_null(seen);
    uint64_t seed = 5;
    for (size_t i = 0; i < COUNT; i++) {
        double x = (double)(made_next(&seed) % 10000) / 2500 - 1.5;
        bool positive = (double)(made_next(&seed) % 1000000) / 1e6 < 1 / (1 + exp(1 - 2 * x));
        seen[i] = (struct km_token_observation){i % 2 ? x : x - 1, i % 2 ? x - 2 : x, 1, positive};
    }
    /* Both classes weigh the same, whatever their numbers: that shifts the log-odds by the prior's. */
    double prior[2] = {0, 0};
    for (size_t i = 0; i < COUNT; i++)
        prior[seen[i].positive]++;
    double shift = log(prior[0] / prior[1]);
    assert_ok(km_token_model_calibrate(model, seen, COUNT, &err), err);
    for (double x = -1; x < 2; x += 0.5) {
        assert_near(km_token_model_file_score(model, x), 2 * x - 1 + shift, 0.25);
        assert_near(km_token_model_window_score(model, x), 2 * x - 1 + shift, 0.25);
    }
    assert_int_equal(km_token_model_calibrate(model, seen, 30, &err), KM_FORMAT);
    seen[3].window_logit = NAN;
    assert_int_equal(km_token_model_calibrate(model, seen, COUNT, &err), KM_FORMAT);
    seen[3].window_logit = seen[3].file_logit;
    for (size_t i = 0; i < COUNT; i++)
        seen[i].positive = !seen[i].positive;
    double before = km_token_model_file_score(model, 1);
    assert_int_equal(km_token_model_calibrate(model, seen, COUNT, &err), KM_FORMAT);
    assert_near(km_token_model_file_score(model, 1), before, 0);
    free(seen);
    km_token_model_free(model);
    free(data);
}

/* ---- The judge ---- */

/* A model that was trained on words: "attack" files against "plain" ones. */
static struct km_token_model *train_on_words(void)
{
    struct km_err err = KM_ERR_INIT;
    static uint32_t ids[40][64];
    struct km_token_sample samples[40];
    struct km_token_extractor *extractor = km_token_extractor_new(&err);
    assert_non_null(extractor);
    for (size_t i = 0; i < 40; i++) {
        char text[200];
        (void)snprintf(text, sizeof text, "%s common words number%zu here\n",
                       i % 2 ? "sniffer wordlist bruteforce" : "window button colour", i % 10);
        struct km_token_file file;
        km_token_extractor_begin(extractor, NULL);
        assert_ok(km_token_extractor_feed(extractor, text, strlen(text), &err), err);
        assert_ok(km_token_extractor_end(extractor, &file, &err), err);
        memcpy(ids[i], file.set.ids, file.set.count * sizeof(uint32_t));
        samples[i] = (struct km_token_sample){{ids[i], file.set.count}, 1, i % 2};
    }
    struct km_token_model *model = NULL;
    assert_ok(km_token_train(samples, 40, NULL, &model, NULL, &err), err);
    km_token_extractor_free(extractor);
    return model;
}

static void judges_say_where_and_why(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_token_model *model = train_on_words();
    struct km_token_judge *judge = km_token_judge_new(model, &err);
    assert_non_null(judge);
    struct km_token_verdict verdict;

    km_token_judge_begin(judge);
    km_token_judge_end(judge, &verdict);
    assert_true(isinf(verdict.score) && verdict.score < 0);
    assert_true(isnan(verdict.file_logit));
    assert_int_equal(verdict.word_count, 0);

    km_token_judge_begin(judge);
    km_token_judge_feed(judge, "a Wordlist here", 15);
    km_token_judge_end(judge, &verdict);
    assert_true(verdict.score > 0);
    assert_string_equal(verdict.words[0].text, "Wordlist");
    assert_true(verdict.words[0].weight > 0);
    double alone = verdict.score;

    /* Two windows of plain words before it and after it: the file says nothing any more, the window does. */
    char *plain = malloc(2 * KM_TOKEN_WINDOW_BYTES);
    assert_non_null(plain);
    for (size_t i = 0; i < 2 * KM_TOKEN_WINDOW_BYTES; i += 16)
        memcpy(plain + i, "window button c\n", 16);
    km_token_judge_begin(judge);
    km_token_judge_feed(judge, plain, 2 * KM_TOKEN_WINDOW_BYTES);
    km_token_judge_feed(judge, "a Wordlist here", 15);
    km_token_judge_feed(judge, NULL, KM_TOKEN_WINDOW_BYTES - 15);
    km_token_judge_feed(judge, plain, 2 * KM_TOKEN_WINDOW_BYTES);
    km_token_judge_end(judge, &verdict);
    assert_true(verdict.window_decided);
    assert_int_equal(verdict.window_offset, 2 * KM_TOKEN_WINDOW_BYTES);
    assert_int_equal(verdict.window_bytes, KM_TOKEN_WINDOW_BYTES);
    assert_near(verdict.score, alone, 1e-9);
    assert_true(verdict.file_score < 0);
    assert_string_equal(verdict.words[0].text, "Wordlist");
    char text[KM_TOKEN_TEXT_BYTES];
    assert_true(km_token_judge_text(judge, km_token_id(km_token_hash(KM_TOKEN_WORD, "button", 6)), text));
    assert_string_equal(text, "button");
    assert_false(km_token_judge_text(judge, km_token_id(km_token_hash(KM_TOKEN_WORD, "absent", 6)), text));
    free(plain);
    km_token_judge_free(judge);
    km_token_model_free(model);
}

static int make_folder(void **state)
{
    (void)state;
    folder = mkdtemp(folder_name) ? open(folder_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    return folder < 0;
}

static int remove_folder(void **state)
{
    (void)state;
    (void)unlinkat(folder, "m.json", 0);
    (void)unlinkat(folder, "m.safetensors", 0);
    close(folder);
    return rmdir(folder_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_tells_classes_apart),
        cmocka_unit_test(training_has_no_chance_in_it),
        cmocka_unit_test(weights_of_samples_count),
        cmocka_unit_test(samples_that_are_none_are_refused),
        cmocka_unit_test(windows_share_the_weight_of_their_files),
        cmocka_unit_test(windows_teach_what_files_do_not_show),
        cmocka_unit_test(explanation_sums_to_the_logit),
        cmocka_unit_test(words_that_nobody_knows_dilute_nothing),
        cmocka_unit_test(saved_models_are_the_same),
        cmocka_unit_test(damaged_models_are_refused),
        cmocka_unit_test(calibration_makes_log_odds),
        cmocka_unit_test(judges_say_where_and_why),
    };
    return cmocka_run_group_tests_name(KM_TEST_NAME, tests, make_folder, remove_folder);
}
