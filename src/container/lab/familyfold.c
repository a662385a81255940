#include "container/lab/familyfold.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

struct family {
    uint32_t id, key;
    const char *name;
};

/* FNV-1a: a family's place among the others says nothing about what it is. */
static uint32_t key_of(const char *name)
{
    uint32_t key = 2166136261U;
    for (const char *at = name; *at; at++)
        key = (key ^ (uint8_t)*at) * 16777619U;
    return key;
}

static int compare(const void *a, const void *b)
{
    const struct family *left = a, *right = b;
    if (left->key != right->key)
        return left->key < right->key ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* The families of a class that have no fold yet get one each in turn. */
static enum km_code assign_class(const struct km_dataset *dataset, const bool *among, bool positive, unsigned folds,
                                 uint8_t *fold_of_family, struct km_err *err)
{
    size_t all = km_dataset_families(dataset), count = 0;
    KM_CLEANUP(km_cleanup_free) struct family *families = km_calloc(all, sizeof *families, SIZE_MAX, err);
    if (!families)
        return err->code;
    for (size_t i = 0; i < km_dataset_count(dataset); i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        if (!among[i] || (sample->role == KM_RECIPE_POSITIVE) != positive ||
            fold_of_family[sample->family_id] != KM_FAMILYFOLD_NONE)
            continue;
        fold_of_family[sample->family_id] = 0;
        families[count++] = (struct family){sample->family_id, key_of(sample->family), sample->family};
    }
    if (count < 2) /* without a fold there must be some left */
        return km_fail(err, KM_NOTFOUND, "%zu %s families to learn from: one cannot be held out", count,
                       positive ? "positive" : "benign");
    qsort(families, count, sizeof *families, compare);
    for (size_t i = 0; i < count; i++)
        fold_of_family[families[i].id] = (uint8_t)(i % folds);
    return KM_OK;
}

enum km_code km_familyfold_assign(const struct km_dataset *dataset, const bool *among, unsigned folds, uint8_t *out,
                                  struct km_err *err)
{
    KM_ASSERT(folds >= 2 && folds <= 16);
    size_t all = km_dataset_families(dataset);
    KM_CLEANUP(km_cleanup_free) uint8_t *fold_of_family = km_calloc(all, 1, SIZE_MAX, err);
    if (!fold_of_family)
        return err->code;
    memset(fold_of_family, KM_FAMILYFOLD_NONE, all);
    enum km_code code = assign_class(dataset, among, true, folds, fold_of_family, err);
    if (code == KM_OK)
        code = assign_class(dataset, among, false, folds, fold_of_family, err);
    for (size_t i = 0; i < km_dataset_count(dataset) && code == KM_OK; i++)
        out[i] = among[i] ? fold_of_family[km_dataset_get(dataset, i)->family_id] : KM_FAMILYFOLD_NONE;
    return code;
}
