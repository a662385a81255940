/*
 * A data set on disk: the samples that `komainu dataset build` took from packages, and what is known of each. A folder
 * with three files: samples.bin (contents, one behind the other), samples.tsv (one line a sample) and dataset.json
 * (recipe and data set digests, counts, failures). docs/formats/corpus.md has the formats.
 *
 * Contents are mapped, not read: training streams them. A data set is read-only and may be shared by threads.
 */
#ifndef KM_CONTAINER_LAB_DATASET_H
#define KM_CONTAINER_LAB_DATASET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "container/lab/recipe.h"
#include "container/lab/samplekind.h"

#define KM_DATASET_MAX_SAMPLES     200000
#define KM_DATASET_MAX_TABLE_BYTES ((size_t)128 << 20)
#define KM_DATASET_BLOB            "samples.bin"
#define KM_DATASET_TABLE           "samples.tsv"
#define KM_DATASET_SUMMARY         "dataset.json"
#define KM_DATASET_TABLE_HEAD      "# komainu-samples 1"
#define KM_DATASET_NO_TWIN         UINT32_MAX

struct km_sample {
    enum km_recipe_role role;
    enum km_recipe_split split;
    enum km_sample_kind kind;
    const char *family, *suite, *architecture, *package, *version, *language;
    bool home;            /* of the build in which its package stands first in the table: what is trained on */
    const char *path;     /* in the package; for people and twins of builds, never a feature */
    uint32_t family_id;   /* equal for equal families within positives, and within all others; unlike between them */
    uint64_t offset;      /* in samples.bin */
    size_t length;        /* bytes; at least 1 */
    const uint8_t *bytes; /* mapped */
    uint8_t sha256[KM_SHA256_BYTES];
};

struct km_dataset;

/* KM_NOTFOUND, KM_IO, KM_DENIED; KM_FORMAT (a line that says what the blob does not hold), KM_LIMIT, KM_UNSUPPORTED
 * (version), KM_NOMEM. */
enum km_code km_dataset_open(const char *path, struct km_dataset **out, struct km_err *err) KM_MUST_USE;
void km_dataset_close(struct km_dataset *dataset);
KM_DEFINE_CLEANUP(struct km_dataset, km_dataset_cleanup, km_dataset_close);

size_t km_dataset_count(const struct km_dataset *dataset);
const struct km_sample *km_dataset_get(const struct km_dataset *dataset, size_t i);
size_t km_dataset_families(const struct km_dataset *dataset); /* family_id is below it */
/* The digest over recipes, failures and samples, in hexadecimal; the summary as it was written. */
const char *km_dataset_digest(const struct km_dataset *dataset);
const struct km_json *km_dataset_summary(const struct km_dataset *dataset);

/* Hashes every sample again. KM_CONFLICT names the first that is not what the table says. progress may be NULL. */
enum km_code km_dataset_verify(const struct km_dataset *dataset,
                               void (*progress)(void *context, uint64_t done, uint64_t total), void *context,
                               struct km_err *err) KM_MUST_USE;

/* A positive's benign twin: the benign or hard sample of the same split, kind, language and architecture whose size is
 * nearest, within 0.80 to 1.25 of its own; among equals the seed decides. Both are home builds, or of one suite. A
 * benign file may be the twin of several. out: [count], KM_DATASET_NO_TWIN where there is none, and for what is no
 * positive. KM_NOMEM. */
enum km_code km_dataset_find_twins(const struct km_dataset *dataset, uint64_t seed, uint32_t *out,
                                   struct km_err *err) KM_MUST_USE;
/* The same among the samples that `among` ([count]) marks, of whatever split: what is not marked neither has a twin nor
 * is one. */
enum km_code km_dataset_find_twins_among(const struct km_dataset *dataset, const bool *among, uint64_t seed,
                                         uint32_t *out, struct km_err *err) KM_MUST_USE;

#endif
