/*
 * usage: bench_detect_core DATASET
 *
 * What simpler methods reach on the samples that `komainu evaluate` judges: gradient-boosted trees (XGBoost) on byte
 * histograms, and on ELF headers with hashed words and symbols; TLSH distances and ssdeep matches to known files; and
 * provenance, which
 * says the same of every foreign file. Trained on the train split at home, each family weighing the same.
 * Prints `name value unit low high n` lines.
 */
#include <fuzzy.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xgboost/c_api.h>

#include "base/mem.h"
#include "container/lab/dataset.h"
#include "container/lab/figures.h"
#include "container/tokens/tokens.h"
#include "tlsh_shim.h"

#define HISTOGRAM_COLUMNS 258u
#define HEADER_COLUMNS    12u
#define WORD_COLUMNS      1024u
#define ELF_COLUMNS       (HEADER_COLUMNS + WORD_COLUMNS)
#define ROUNDS            300
#define FAR               1e6

static _Noreturn void stop(const char *what, const char *why)
{
    (void)fprintf(stderr, "bench_detect_core: %s: %s\n", what, why);
    exit(1);
}

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        stop("memory", "there is none");
    return memory;
}

static bool is_test(const struct km_sample *sample)
{
    return sample->home && sample->split == KM_RECIPE_TEST;
}

static bool is_known(const struct km_sample *sample)
{
    return !sample->home && sample->role == KM_RECIPE_POSITIVE && sample->split == KM_RECIPE_TRAIN;
}

static bool is_train(const struct km_sample *sample)
{
    return sample->home && sample->split == KM_RECIPE_TRAIN;
}

static bool is_judged(const struct km_sample *sample)
{
    return sample->split == KM_RECIPE_TEST || is_known(sample);
}

/* ---- Features ---- */

static void fill_histogram(const struct km_sample *sample, float *row)
{
    size_t counts[256] = {0};
    for (size_t i = 0; i < sample->length; i++)
        counts[sample->bytes[i]]++;
    double entropy = 0;
    for (int i = 0; i < 256; i++) {
        double share = (double)counts[i] / (double)sample->length;
        row[i] = (float)share;
        entropy -= share > 0 ? share * log2(share) : 0;
    }
    row[256] = (float)entropy;
    row[257] = (float)log((double)sample->length);
}

static float number_at(const uint8_t *bytes, size_t width)
{
    double value = 0;
    for (size_t i = width; i-- > 0;)
        value = value * 256 + bytes[i];
    return (float)value;
}

static void fill_header(const struct km_sample *sample, float *row)
{
    const uint8_t *b = sample->bytes;
    for (unsigned i = 0; i < HEADER_COLUMNS; i++)
        row[i] = NAN;
    row[0] = (float)log((double)sample->length);
    row[1] = (float)sample->kind;
    if (!km_sample_kind_is_elf(sample->kind))
        return;
    bool wide = b[4] == 2;
    row[2] = b[4];
    row[3] = number_at(b + 16, 2);                          /* type */
    row[4] = number_at(b + 18, 2);                          /* machine */
    row[5] = number_at(b + 24, wide ? 8 : 4);               /* entry */
    row[6] = number_at(b + (wide ? 32 : 28), 4);            /* program headers: where, … */
    row[7] = number_at(b + (wide ? 56 : 44), 2);            /* … how many */
    row[8] = number_at(b + (wide ? 40 : 32), wide ? 8 : 4); /* section headers */
    row[9] = number_at(b + (wide ? 60 : 48), 2);
    row[10] = number_at(b + (wide ? 62 : 50), 2);
    row[11] = number_at(b + (wide ? 48 : 36), 4); /* flags */
}

static void fill_elf(const struct km_sample *sample, struct km_token_extractor *extractor, float *row)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_file file;
    fill_header(sample, row);
    km_token_extractor_begin(extractor, NULL);
    if (km_token_extractor_feed(extractor, sample->bytes, sample->length, &err) != KM_OK ||
        km_token_extractor_end(extractor, &file, &err) != KM_OK)
        stop("tokens", err.text);
    for (size_t i = 0; i < file.set.count; i++)
        row[HEADER_COLUMNS + file.set.ids[i] % WORD_COLUMNS] += 1;
}

/* ---- Trees ---- */

static void check(int status)
{
    if (status != 0)
        stop("XGBoost", XGBGetLastError());
}

struct table {
    const struct km_dataset *dataset;
    float *rows;
    size_t columns;
};

static double *family_weights(const struct km_dataset *dataset)
{
    size_t count = km_dataset_count(dataset);
    size_t *sizes = room(km_dataset_families(dataset), sizeof *sizes);
    double *weights = room(count, sizeof *weights), sums[2] = {0, 0};
    for (size_t i = 0; i < count; i++)
        sizes[km_dataset_get(dataset, i)->family_id] += is_train(km_dataset_get(dataset, i));
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        weights[i] = is_train(sample) ? 1 / (double)sizes[sample->family_id] : 0;
        sums[sample->role == KM_RECIPE_POSITIVE] += weights[i];
    }
    for (size_t i = 0; i < count; i++)
        weights[i] *= 1000 / sums[km_dataset_get(dataset, i)->role == KM_RECIPE_POSITIVE];
    free(sizes);
    return weights;
}

static BoosterHandle train_trees(const struct table *table)
{
    size_t count = km_dataset_count(table->dataset), found = 0;
    double *family = family_weights(table->dataset);
    float *rows = room(count * table->columns, sizeof *rows), *labels = room(count, sizeof *labels);
    float *weights = room(count, sizeof *weights);
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(table->dataset, i);
        if (!is_train(sample))
            continue;
        memcpy(rows + found * table->columns, table->rows + i * table->columns, table->columns * sizeof *rows);
        labels[found] = sample->role == KM_RECIPE_POSITIVE ? 1 : 0;
        weights[found++] = (float)family[i];
    }
    DMatrixHandle matrix;
    BoosterHandle trees;
    check(XGDMatrixCreateFromMat(rows, found, table->columns, NAN, &matrix));
    check(XGDMatrixSetFloatInfo(matrix, "label", labels, found));
    check(XGDMatrixSetFloatInfo(matrix, "weight", weights, found));
    check(XGBoosterCreate(&matrix, 1, &trees));
    static const char *const settings[][2] = {
        {"objective", "binary:logistic"}, {"eta", "0.1"},          {"max_depth", "6"}, {"subsample", "0.8"},
        {"colsample_bytree", "0.5"},      {"tree_method", "hist"}, {"nthread", "2"},   {"seed", "1"}};
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        check(XGBoosterSetParam(trees, settings[i][0], settings[i][1]));
    for (int round = 0; round < ROUNDS; round++)
        check(XGBoosterUpdateOneIter(trees, round, matrix));
    check(XGDMatrixFree(matrix));
    free(rows);
    free(labels);
    free(weights);
    free(family);
    return trees;
}

static double *score_trees(const struct table *table)
{
    size_t count = km_dataset_count(table->dataset);
    double *scores = room(count, sizeof *scores);
    BoosterHandle trees = train_trees(table);
    DMatrixHandle matrix;
    bst_ulong length = 0;
    const float *margins = NULL;
    check(XGDMatrixCreateFromMat(table->rows, count, table->columns, NAN, &matrix));
    check(XGBoosterPredict(trees, matrix, 1, 0, 0, &length, &margins));
    if (length != count)
        stop("XGBoost", "another number of scores");
    for (size_t i = 0; i < count; i++)
        scores[i] = (double)margins[i];
    check(XGDMatrixFree(matrix));
    check(XGBoosterFree(trees));
    return scores;
}

/* ---- TLSH ---- */

/* The distance to the nearest known positive, turned round. */
static double *score_tlsh(const struct km_dataset *dataset)
{
    size_t count = km_dataset_count(dataset);
    void **hashes = room(count, sizeof(void *));
    double *scores = room(count, sizeof *scores);
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        if (is_judged(sample) || (is_train(sample) && sample->role == KM_RECIPE_POSITIVE))
            hashes[i] = km_tlsh_new(sample->bytes, sample->length);
    }
    for (size_t i = 0; i < count; i++) {
        double nearest = FAR;
        for (size_t j = 0; hashes[i] && is_judged(km_dataset_get(dataset, i)) && j < count; j++)
            if (hashes[j] && is_train(km_dataset_get(dataset, j)))
                nearest = fmin(nearest, km_tlsh_distance(hashes[i], hashes[j]));
        scores[i] = -nearest;
    }
    for (size_t i = 0; i < count; i++)
        km_tlsh_free(hashes[i]);
    free(hashes);
    return scores;
}

/* ---- ssdeep ---- */

/* The best match with a known positive, 0 to 100. */
static double *score_ssdeep(const struct km_dataset *dataset)
{
    size_t count = km_dataset_count(dataset);
    char(*hashes)[FUZZY_MAX_RESULT] = room(count, sizeof *hashes);
    double *scores = room(count, sizeof *scores);
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        bool wanted = is_judged(sample) || (is_train(sample) && sample->role == KM_RECIPE_POSITIVE);
        if (wanted && fuzzy_hash_buf(sample->bytes, (uint32_t)sample->length, hashes[i]) != 0)
            stop("ssdeep", sample->path);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; is_judged(km_dataset_get(dataset, i)) && j < count; j++)
            if (is_train(km_dataset_get(dataset, j)) && hashes[j][0] != '\0')
                scores[i] = fmax(scores[i], fuzzy_compare(hashes[i], hashes[j]));
    free(hashes);
    return scores;
}

/* ---- Figures ---- */

static void print_figure(const struct km_figure *figure)
{
    printf("%s %.4f share %.4f %.4f %zu\n", figure->name, figure->value, figure->low, figure->high,
           figure->positives + figure->negatives);
}

static void report(const char *stem, struct km_figure_files *files, bool auc_only, const char *auc_name)
{
    static const struct {
        const char *suffix;
        double rate;
    } rates[] = {{"tpr10", 0.1}, {"tpr1", 0.01}, {"tpr01", 0.001}};
    struct km_err err = KM_ERR_INIT;
    struct km_figure figure;
    char name[KM_FIGURE_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%s.%s", stem, auc_name);
    if (km_figure_files_weigh(files, true, &err) != KM_OK || km_figure_auc(name, files, &figure, &err) != KM_OK)
        stop(name, err.text);
    print_figure(&figure);
    if (km_figure_files_weigh(files, false, &err) != KM_OK)
        stop(name, err.text);
    for (size_t i = 0; !auc_only && i < sizeof rates / sizeof rates[0]; i++) {
        (void)snprintf(name, sizeof name, "%s.%s", stem, rates[i].suffix);
        if (km_figure_tpr(name, files, rates[i].rate, &figure, &err) != KM_OK)
            stop(name, err.text);
        print_figure(&figure);
    }
    km_figure_files_done(files);
}

static void add(struct km_figure_files *files, double score, bool positive, uint32_t family)
{
    struct km_err err = KM_ERR_INIT;
    if (km_figure_files_add(files, score, positive, family, &err) != KM_OK)
        stop("figures", err.text);
}

static void judge(const struct km_dataset *dataset, const double *scores, const char *method)
{
    struct km_err err = KM_ERR_INIT;
    size_t count = km_dataset_count(dataset);
    uint32_t *twins = room(count, sizeof *twins);
    if (km_dataset_find_twins(dataset, 1, twins, &err) != KM_OK)
        stop("twins", err.text);
    struct km_figure_files pairs = {0}, pool = {0}, known = {0};
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        bool positive = sample->role == KM_RECIPE_POSITIVE;
        if (is_test(sample))
            add(&pool, scores[i], positive, sample->family_id);
        if (is_test(sample) && twins[i] != KM_DATASET_NO_TWIN) {
            add(&pairs, scores[i], true, sample->family_id);
            add(&pairs, scores[twins[i]], false, sample->family_id);
        }
        if (strcmp(sample->architecture, "amd64") == 0 &&
            (is_known(sample) || (sample->split == KM_RECIPE_TEST && !positive)))
            add(&known, scores[i], positive, sample->family_id);
    }
    char stem[KM_FIGURE_NAME_BYTES];
    (void)snprintf(stem, sizeof stem, "baseline.%s.unseen", method);
    report(stem, &pairs, true, "twin.auc");
    report(stem, &pool, false, "pool.auc");
    (void)snprintf(stem, sizeof stem, "baseline.%s.known.release", method);
    report(stem, &known, false, "auc");
    free(twins);
}

static void run_trees(const struct km_dataset *dataset)
{
    struct km_err err = KM_ERR_INIT;
    size_t count = km_dataset_count(dataset);
    struct table histogram = {dataset, room(count * HISTOGRAM_COLUMNS, sizeof(float)), HISTOGRAM_COLUMNS};
    struct table elf = {dataset, room(count * ELF_COLUMNS, sizeof(float)), ELF_COLUMNS};
    struct km_token_extractor *extractor = km_token_extractor_new(&err);
    if (!extractor)
        stop("tokens", err.text);
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        if (!is_train(sample) && !is_judged(sample))
            continue;
        fill_histogram(sample, histogram.rows + i * HISTOGRAM_COLUMNS);
        fill_elf(sample, extractor, elf.rows + i * ELF_COLUMNS);
    }
    km_token_extractor_free(extractor);
    double *scores = score_trees(&histogram);
    judge(dataset, scores, "histogram");
    free(scores);
    free(histogram.rows);
    scores = score_trees(&elf);
    judge(dataset, scores, "elf");
    free(scores);
    free(elf.rows);
}

int main(int argc, char **argv)
{
    struct km_err err = KM_ERR_INIT;
    struct km_dataset *dataset = NULL;
    if (argc != 2)
        stop("usage", "bench_detect_core DATASET");
    if (km_dataset_open(argv[1], &dataset, &err) != KM_OK)
        stop(argv[1], err.text);
    run_trees(dataset);
    double *scores = score_tlsh(dataset);
    judge(dataset, scores, "tlsh");
    free(scores);
    scores = score_ssdeep(dataset);
    judge(dataset, scores, "ssdeep");
    /* Every injected file is foreign, positive or not: provenance cannot rank them. */
    for (size_t i = 0; i < km_dataset_count(dataset); i++)
        scores[i] = 1;
    judge(dataset, scores, "provenance");
    free(scores);
    km_dataset_close(dataset);
    return 0;
}
