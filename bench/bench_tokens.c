/*
 * Token extraction, scores and look-ups over the files of folders: bench_tokens FOLDER...
 *
 * Reads every regular file of at most 64 MiB into memory, then times each step over all of them. Prints one line:
 * bytes, files, then seconds of extraction, of extraction with scores of all windows, then microseconds of a look-up
 * (median, 99 of 100, worst), entries of the index, its bytes, milliseconds of reading it. The model is trained on the
 * files with classes that mean nothing: what it says does not matter here, what it costs does.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "container/tokens/tokenindex.h"
#include "container/tokens/tokenjudge.h"
#include "container/tokens/tokentrain.h"

#define MAX_FILES   20000
#define MAX_BYTES   ((off_t)64 << 20)
#define MAX_ENTRIES 4000

struct file {
    uint8_t *bytes;
    size_t length;
    uint32_t *ids;
    size_t count;
};

static struct file files[MAX_FILES];
static size_t file_count;

static void check(enum km_code code, const struct km_err *err)
{
    if (code == KM_OK)
        return;
    (void)fprintf(stderr, "bench_tokens: %s\n", err->text);
    exit(1);
}

static double now(void)
{
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int read_file(const char *path, const struct stat *about, int kind, struct FTW *place)
{
    (void)place;
    if (kind != FTW_F || !S_ISREG(about->st_mode) || about->st_size > MAX_BYTES || file_count == MAX_FILES)
        return 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct file *file = &files[file_count];
    file->bytes = malloc((size_t)about->st_size + 1);
    ssize_t got = fd >= 0 && file->bytes ? read(fd, file->bytes, (size_t)about->st_size) : -1;
    if (fd >= 0)
        close(fd);
    if (got <= 0) {
        free(file->bytes);
        return 0;
    }
    file->length = (size_t)got;
    file_count++;
    return 0;
}

static double extract_all(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = km_token_extractor_new(&err);
    if (!extractor)
        check(err.code, &err);
    double begin = now();
    for (size_t i = 0; i < file_count; i++) {
        struct km_token_file file;
        km_token_extractor_begin(extractor, NULL);
        check(km_token_extractor_feed(extractor, files[i].bytes, files[i].length, &err), &err);
        check(km_token_extractor_end(extractor, &file, &err), &err);
        free(files[i].ids);
        files[i].count = file.set.count;
        files[i].ids = malloc((file.set.count + 1) * sizeof(uint32_t));
        if (!files[i].ids)
            exit(1);
        if (file.set.count > 0)
            memcpy(files[i].ids, file.set.ids, file.set.count * sizeof(uint32_t));
    }
    double seconds = now() - begin;
    km_token_extractor_free(extractor);
    return seconds;
}

static struct km_token_model *train(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_model *model = NULL;
    size_t count = file_count < MAX_ENTRIES ? file_count : MAX_ENTRIES;
    struct km_token_sample *samples = calloc(count + 1, sizeof *samples);
    if (!samples)
        exit(1);
    for (size_t i = 0; i < count; i++)
        samples[i] = (struct km_token_sample){{files[i].ids, files[i].count}, 1, i % 5 == 0};
    struct km_token_train_options options = {.max_iterations = 5};
    check(km_token_train(samples, count, &options, &model, NULL, &err), &err);
    free(samples);
    return model;
}

static double judge_all(const struct km_token_model *model)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_judge *judge = km_token_judge_new(model, &err);
    if (!judge)
        check(err.code, &err);
    double begin = now();
    for (size_t i = 0; i < file_count; i++) {
        struct km_token_verdict verdict;
        km_token_judge_begin(judge);
        km_token_judge_feed(judge, files[i].bytes, files[i].length);
        km_token_judge_end(judge, &verdict);
    }
    double seconds = now() - begin;
    km_token_judge_free(judge);
    return seconds;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static struct km_token_index *build_index(off_t *out_bytes, double *out_seconds, const float *idf)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_index *index = km_token_index_new(&err), *back = NULL;
    if (!index)
        check(err.code, &err);
    for (size_t i = 0; i < file_count && i < MAX_ENTRIES; i++) {
        struct km_token_set set = {files[i].ids, files[i].count};
        char family[32];
        (void)snprintf(family, sizeof family, "family %zu", i / 5);
        enum km_token_index_side side = i % 6 == 0 ? KM_TOKEN_INDEX_POSITIVE : KM_TOKEN_INDEX_BENIGN;
        check(km_token_index_add(index, side, family, "1.0 usr/bin/name", &set, &err), &err);
    }
    int fd = memfd_create("index", MFD_CLOEXEC);
    check(km_token_index_save(index, fd, &err), &err);
    *out_bytes = lseek(fd, 0, SEEK_END);
    double begin = now();
    check(km_token_index_load(fd, &back, &err), &err);
    check(km_token_index_prepare(back, idf, &err), &err);
    *out_seconds = now() - begin;
    close(fd);
    km_token_index_free(index);
    return back;
}

static void query_all(const struct km_token_index *index, double *out_us)
{
    struct km_err err = KM_ERR_INIT;
    struct km_token_query *query = NULL;
    check(km_token_query_new(&index, 1, &query, &err), &err);
    for (size_t i = 0; i < file_count; i++) {
        struct km_token_set set = {files[i].ids, files[i].count};
        struct km_token_match match;
        double begin = now();
        km_token_query_run(query, &set, &match);
        out_us[i] = (now() - begin) * 1e6;
    }
    km_token_query_free(query);
    qsort(out_us, file_count, sizeof *out_us, compare);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (nftw(argv[i], read_file, 32, FTW_PHYS) != 0)
            return 1;
    if (file_count < 100) {
        (void)fprintf(stderr, "bench_tokens: %zu files are too few\n", file_count);
        return 1;
    }
    size_t bytes = 0;
    for (size_t i = 0; i < file_count; i++)
        bytes += files[i].length;
    static double us[MAX_FILES];
    double extraction = extract_all(), loading;
    struct km_token_model *model = train();
    double judging = judge_all(model);
    off_t index_bytes;
    struct km_token_index *index = build_index(&index_bytes, &loading, km_token_model_idf(model));
    query_all(index, us);
    size_t entries =
        km_token_index_count(index, KM_TOKEN_INDEX_POSITIVE) + km_token_index_count(index, KM_TOKEN_INDEX_BENIGN);
    (void)printf("%zu %zu %.6f %.6f %.2f %.2f %.2f %zu %lld %.3f\n", bytes, file_count, extraction, judging,
                 us[file_count / 2], us[file_count * 99 / 100], us[file_count - 1], entries, (long long)index_bytes,
                 loading * 1e3);
    km_token_index_free(index);
    km_token_model_free(model);
    for (size_t i = 0; i < file_count; i++) {
        free(files[i].bytes);
        free(files[i].ids);
    }
    return 0;
}
