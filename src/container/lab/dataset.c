#include "container/lab/dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "container/lab/tabline.h"

#define SUMMARY_BYTES ((size_t)8 << 20)
#define VERIFY_STEP   64
enum {
    ROLE,
    SPLIT,
    KIND,
    FAMILY,
    SUITE,
    ARCHITECTURE,
    PACKAGE,
    VERSION,
    LANGUAGE,
    OFFSET,
    LENGTH,
    DIGEST,
    PATH,
    FIELDS
};

struct km_dataset {
    struct km_buf table; /* the samples' words point into it */
    struct km_sample *samples;
    size_t count, families;
    const uint8_t *blob;
    size_t blob_bytes;
    struct km_json *summary;
    char digest[KM_SHA256_HEX_BYTES];
};

/* ---- Opening ---- */

static enum km_code map_blob(struct km_dataset *dataset, const char *path, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot read %s", path);
    struct stat info;
    if (fstat(fd, &info) != 0)
        return km_fail_errno(err, errno, "cannot read %s", path);
    if (!S_ISREG(info.st_mode) || info.st_size <= 0)
        return km_fail(err, KM_FORMAT, "%s holds no samples", path);
    void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED) /* NOLINT(performance-no-int-to-ptr): the system's own constant */
        return km_fail_errno(err, errno, "cannot map %s", path);
    dataset->blob = bytes;
    dataset->blob_bytes = (size_t)info.st_size;
    return KM_OK;
}

static enum km_code read_sample(struct km_dataset *dataset, char *line, struct km_sample *out, struct km_err *err)
{
    char *fields[FIELDS];
    uint64_t length = 0;
    enum km_code code = km_tabline_cut(line, fields, FIELDS, err);
    if (code == KM_OK)
        code = km_recipe_role_from_string(fields[ROLE], &out->role, err);
    if (code == KM_OK)
        code = km_recipe_split_from_string(fields[SPLIT], &out->split, err);
    if (code == KM_OK)
        code = km_sample_kind_from_string(fields[KIND], &out->kind, err);
    if (code == KM_OK)
        code = km_tabline_number(fields[OFFSET], dataset->blob_bytes, &out->offset, err);
    if (code == KM_OK)
        code = km_tabline_number(fields[LENGTH], KM_SAMPLE_MAX_BYTES, &length, err);
    if (code == KM_OK && (length == 0 || length > dataset->blob_bytes - out->offset))
        code = km_fail(err, KM_FORMAT, "bytes that %s does not have", KM_DATASET_BLOB);
    if (code == KM_OK && strlen(fields[DIGEST]) != KM_SHA256_HEX_BYTES - 1)
        code = km_fail(err, KM_FORMAT, "'%s' is no SHA-256", fields[DIGEST]);
    if (code == KM_OK)
        code = km_hex_parse(fields[DIGEST], KM_SHA256_BYTES, out->sha256, err);
    if (code != KM_OK)
        return code;
    out->family = fields[FAMILY];
    out->suite = fields[SUITE];
    out->architecture = fields[ARCHITECTURE];
    out->package = fields[PACKAGE];
    out->version = fields[VERSION];
    out->language = fields[LANGUAGE];
    out->path = fields[PATH];
    out->length = (size_t)length;
    out->bytes = dataset->blob + out->offset;
    return KM_OK;
}

static enum km_code read_table(struct km_dataset *dataset, struct km_err *err)
{
    char *text = dataset->table.data;
    size_t left = dataset->table.length, capacity = 0, number = 1, first = 0;
    if (left == 0 || memchr(text, '\0', left))
        return km_fail(err, KM_FORMAT, "no table of samples");
    const char *head = km_tabline_next(&text, &left);
    if (!head || strcmp(head, KM_DATASET_TABLE_HEAD) != 0)
        return km_fail(err, KM_UNSUPPORTED, "line 1: not '%s'", KM_DATASET_TABLE_HEAD);
    for (char *line; (line = km_tabline_next(&text, &left));) {
        number++;
        enum km_code code = km_grow((void **)&dataset->samples, &capacity, dataset->count + 1, sizeof *dataset->samples,
                                    KM_DATASET_MAX_SAMPLES, err);
        if (code == KM_OK) {
            dataset->samples[dataset->count] = (struct km_sample){0};
            code = read_sample(dataset, line, &dataset->samples[dataset->count], err);
        }
        if (code != KM_OK)
            return km_err_wrap(err, "line %zu", number);
        struct km_sample *sample = &dataset->samples[dataset->count++];
        if (strcmp(sample->package, dataset->samples[first].package) != 0)
            first = dataset->count - 1;
        const struct km_sample *home = &dataset->samples[first];
        sample->home = strcmp(sample->suite, home->suite) == 0 && strcmp(sample->architecture, home->architecture) == 0;
    }
    return dataset->count > 0 ? KM_OK : km_fail(err, KM_FORMAT, "no samples");
}

static int by_family(const void *a, const void *b)
{
    const struct km_sample *const *x = a, *const *y = b;
    int order = (int)((*x)->role == KM_RECIPE_POSITIVE) - (int)((*y)->role == KM_RECIPE_POSITIVE);
    return order ? order : strcmp((*x)->family, (*y)->family);
}

static enum km_code number_families(struct km_dataset *dataset, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free)
    struct km_sample **order = km_calloc(dataset->count, sizeof(void *), KM_DATASET_MAX_SAMPLES * sizeof(void *), err);
    if (!order)
        return err->code;
    for (size_t i = 0; i < dataset->count; i++)
        order[i] = &dataset->samples[i];
    qsort((void *)order, dataset->count, sizeof(void *), by_family);
    for (size_t i = 0; i < dataset->count; i++) {
        if (i > 0 && by_family(&order[i - 1], &order[i]) != 0)
            dataset->families++;
        order[i]->family_id = (uint32_t)dataset->families;
    }
    dataset->families++;
    return KM_OK;
}

static enum km_code read_summary(struct km_dataset *dataset, const char *path, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, SUMMARY_BYTES);
    enum km_code code = km_buf_append_file(&text, path, err);
    if (code == KM_OK) {
        dataset->summary = km_json_parse(km_buf_text(&text), text.length, SUMMARY_BYTES, err);
        code = dataset->summary ? KM_OK : km_err_wrap(err, "%s", path);
    }
    km_buf_done(&text);
    if (code != KM_OK)
        return code;
    const char *digest = km_json_string(dataset->summary, "digest", "");
    if (km_json_integer(dataset->summary, "komainu_dataset", 0) != 1 || strlen(digest) != KM_SHA256_HEX_BYTES - 1)
        return km_fail(err, KM_FORMAT, "%s: no data set of version 1", path);
    memcpy(dataset->digest, digest, KM_SHA256_HEX_BYTES);
    return KM_OK;
}

static enum km_code open_parts(struct km_dataset *dataset, const char *path, struct km_err *err)
{
    char name[4096];
    if (snprintf(name, sizeof name, "%s/%s", path, KM_DATASET_SUMMARY) >= (int)sizeof name)
        return km_fail(err, KM_LIMIT, "the path is too long");
    enum km_code code = read_summary(dataset, name, err);
    (void)snprintf(name, sizeof name, "%s/%s", path, KM_DATASET_BLOB);
    if (code == KM_OK)
        code = map_blob(dataset, name, err);
    (void)snprintf(name, sizeof name, "%s/%s", path, KM_DATASET_TABLE);
    if (code == KM_OK)
        code = km_buf_append_file(&dataset->table, name, err);
    if (code == KM_OK) {
        code = read_table(dataset, err);
        if (code != KM_OK)
            (void)km_err_wrap(err, "%s", name);
    }
    return code == KM_OK ? number_families(dataset, err) : code;
}

enum km_code km_dataset_open(const char *path, struct km_dataset **out, struct km_err *err)
{
    KM_CLEANUP(km_dataset_cleanup) struct km_dataset *dataset = km_calloc(1, sizeof *dataset, sizeof *dataset, err);
    if (!dataset)
        return err->code;
    km_buf_init(&dataset->table, KM_DATASET_MAX_TABLE_BYTES);
    enum km_code code = open_parts(dataset, path, err);
    if (code == KM_OK)
        *out = km_steal(dataset);
    return code;
}

void km_dataset_close(struct km_dataset *dataset)
{
    if (!dataset)
        return;
    if (dataset->blob)
        (void)munmap((void *)(uintptr_t)dataset->blob, dataset->blob_bytes);
    km_buf_done(&dataset->table);
    free(dataset->samples);
    km_json_free(dataset->summary);
    free(dataset);
}

size_t km_dataset_count(const struct km_dataset *dataset)
{
    return dataset->count;
}

const struct km_sample *km_dataset_get(const struct km_dataset *dataset, size_t i)
{
    KM_ASSERT(i < dataset->count);
    return &dataset->samples[i];
}

size_t km_dataset_families(const struct km_dataset *dataset)
{
    return dataset->families;
}

const char *km_dataset_digest(const struct km_dataset *dataset)
{
    return dataset->digest;
}

const struct km_json *km_dataset_summary(const struct km_dataset *dataset)
{
    return dataset->summary;
}

enum km_code km_dataset_verify(const struct km_dataset *dataset,
                               void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                               struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < dataset->count && code == KM_OK; i++) {
        const struct km_sample *sample = &dataset->samples[i];
        uint8_t found[KM_SHA256_BYTES];
        km_digest_reset(digest);
        km_digest_update(digest, sample->bytes, sample->length);
        km_digest_finish(digest, found);
        if (memcmp(found, sample->sha256, sizeof found) != 0)
            code = km_fail(err, KM_CONFLICT, "sample %zu (%s %s) is not what the table says", i, sample->package,
                           sample->path);
        else if (progress && i % VERIFY_STEP == 0)
            progress(context, i, dataset->count);
    }
    km_digest_free(digest);
    return code;
}

/* ---- Twins ---- */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    x = (x ^ x >> 27) * UINT64_C(0x94D049BB133111EB);
    return x ^ x >> 31;
}

static uint64_t toss(const struct km_sample *sample, uint64_t seed)
{
    uint64_t word;
    memcpy(&word, sample->sha256, sizeof word);
    return mix(word ^ mix(seed));
}

static bool may_be_twins(const struct km_sample *positive, const struct km_sample *benign)
{
    return benign->role != KM_RECIPE_POSITIVE && benign->kind == positive->kind &&
           benign->length * 100 >= positive->length * 80 && benign->length * 100 <= positive->length * 125 &&
           benign->home == positive->home && (positive->home || strcmp(benign->suite, positive->suite) == 0) &&
           (!km_sample_kind_is_elf(positive->kind) || (strcmp(benign->language, positive->language) == 0 &&
                                                       strcmp(benign->architecture, positive->architecture) == 0));
}

static bool is_nearer(const struct km_sample *positive, const struct km_sample *a, const struct km_sample *b,
                      uint64_t seed)
{
    size_t from_a = a->length > positive->length ? a->length - positive->length : positive->length - a->length;
    size_t from_b = b->length > positive->length ? b->length - positive->length : positive->length - b->length;
    return from_a != from_b ? from_a < from_b : toss(a, seed) < toss(b, seed);
}

/* among NULL: a twin is of the same split. */
static enum km_code find_twins(const struct km_dataset *dataset, const bool *among, uint64_t seed, uint32_t *out,
                               struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free)
    uint32_t *best = km_calloc(dataset->count, sizeof *best, KM_DATASET_MAX_SAMPLES * sizeof *best, err);
    if (!best)
        return err->code;
    for (size_t i = 0; i < dataset->count; i++) {
        const struct km_sample *positive = &dataset->samples[i];
        best[i] = KM_DATASET_NO_TWIN;
        bool seeks = positive->role == KM_RECIPE_POSITIVE && (!among || among[i]);
        for (size_t j = 0; seeks && j < dataset->count; j++)
            if ((among ? among[j] : dataset->samples[j].split == positive->split) &&
                may_be_twins(positive, &dataset->samples[j]) &&
                (best[i] == KM_DATASET_NO_TWIN ||
                 is_nearer(positive, &dataset->samples[j], &dataset->samples[best[i]], seed)))
                best[i] = (uint32_t)j;
    }
    memcpy(out, best, dataset->count * sizeof *best);
    return KM_OK;
}

enum km_code km_dataset_find_twins(const struct km_dataset *dataset, uint64_t seed, uint32_t *out, struct km_err *err)
{
    return find_twins(dataset, NULL, seed, out, err);
}

enum km_code km_dataset_find_twins_among(const struct km_dataset *dataset, const bool *among, uint64_t seed,
                                         uint32_t *out, struct km_err *err)
{
    return find_twins(dataset, among, seed, out, err);
}
