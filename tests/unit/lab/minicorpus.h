/* A small data set in a temporary folder: texts in place of packages. */
#ifndef KM_TESTS_MINICORPUS_H
#define KM_TESTS_MINICORPUS_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "container/lab/dataset.h"

struct minicorpus {
    char folder[64];
    FILE *blob, *table;
    uint64_t bytes;
};

static inline FILE *minicorpus_create(const struct minicorpus *corpus, const char *name)
{
    char path[128];
    (void)snprintf(path, sizeof path, "%s/%s", corpus->folder, name);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    return file;
}

static inline void minicorpus_begin(struct minicorpus *corpus)
{
    (void)snprintf(corpus->folder, sizeof corpus->folder, "/tmp/km-corpus-XXXXXX");
    assert_non_null(mkdtemp(corpus->folder));
    corpus->blob = minicorpus_create(corpus, KM_DATASET_BLOB);
    corpus->table = minicorpus_create(corpus, KM_DATASET_TABLE);
    corpus->bytes = 0;
    (void)fprintf(corpus->table, "%s\n", KM_DATASET_TABLE_HEAD);
    FILE *summary = minicorpus_create(corpus, KM_DATASET_SUMMARY);
    (void)fprintf(summary, "{\"komainu_dataset\": 1, \"digest\": \"%064d\"}\n", 7);
    assert_int_equal(fclose(summary), 0);
}

/* first: "role\tsplit\tkind\tfamily\tsuite\tarchitecture\tpackage\tversion\tlanguage" */
static inline void minicorpus_add(struct minicorpus *corpus, const char *first, const void *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, &err);
    assert_non_null(digest);
    uint8_t sha256[KM_SHA256_BYTES];
    char hex[KM_SHA256_HEX_BYTES];
    km_digest_reset(digest);
    km_digest_update(digest, bytes, length);
    km_digest_finish(digest, sha256);
    km_digest_free(digest);
    km_hex_format(sha256, sizeof sha256, hex);
    assert_int_equal(fwrite(bytes, 1, length, corpus->blob), length);
    (void)fprintf(corpus->table, "%s\t%llu\t%zu\t%s\tusr/bin/x\n", first, (unsigned long long)corpus->bytes, length,
                  hex);
    corpus->bytes += length;
}

static inline void minicorpus_close(struct minicorpus *corpus)
{
    assert_int_equal(fclose(corpus->blob), 0);
    assert_int_equal(fclose(corpus->table), 0);
}

static inline void minicorpus_remove(const struct minicorpus *corpus)
{
    static const char *const names[] = {KM_DATASET_BLOB, KM_DATASET_TABLE, KM_DATASET_SUMMARY};
    char path[128];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", corpus->folder, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(corpus->folder);
}

#endif
