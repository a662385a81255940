#include "nn/rowdrop.h"

#include <stdlib.h>
#include <string.h>

#include "nn/seeded.h"
#include "nn/stem.h"

/* Apart from the streams of dropout, which have the steps' numbers, too. */
#define STREAM UINT64_C(0x726F7773)

struct km_rowdrop {
    struct km_rowdrop_options options;
    size_t rows;
    bool hides;
    float *saved;   /* the table, while some of it is hidden */
    float *factors; /* [rows] 0 of what is hidden */
};

struct km_rowdrop *km_rowdrop_new(const struct km_rowdrop_options *options, size_t rows, struct km_err *err)
{
    if (!(options->share >= 0 && options->share < 1)) {
        (void)km_fail(err, KM_LIMIT, "%g is no share of rows to hide", (double)options->share);
        return NULL;
    }
    KM_CLEANUP(km_rowdrop_cleanup) struct km_rowdrop *drop = km_calloc(1, sizeof *drop, SIZE_MAX, err);
    if (!drop)
        return NULL;
    drop->options = *options;
    drop->rows = rows;
    drop->saved = km_calloc(rows, KM_STEM_CHANNELS * sizeof *drop->saved, SIZE_MAX, err);
    drop->factors = drop->saved ? km_calloc(rows, sizeof *drop->factors, SIZE_MAX, err) : NULL;
    return drop->factors ? km_steal(drop) : NULL;
}

void km_rowdrop_free(struct km_rowdrop *drop)
{
    if (!drop)
        return;
    free(drop->saved);
    free(drop->factors);
    free(drop);
}

void km_rowdrop_hide(struct km_rowdrop *drop, uint64_t seed, uint64_t step, float *table)
{
    drop->hides = drop->options.share > 0 && step < drop->options.steps;
    if (!drop->hides)
        return;
    memcpy(drop->saved, table, drop->rows * KM_STEM_CHANNELS * sizeof *table);
    struct km_seeded random = km_seeded_of(seed ^ STREAM, step);
    const double share = (double)drop->options.share;
    const float factor = (float)(1 / (1 - share));
    for (size_t row = 0; row < drop->rows; row++) {
        drop->factors[row] = km_seeded_unit(&random) < share ? 0 : factor;
        for (size_t i = 0; i < KM_STEM_CHANNELS; i++)
            table[row * KM_STEM_CHANNELS + i] *= drop->factors[row];
    }
}

void km_rowdrop_restore(const struct km_rowdrop *drop, float *table)
{
    if (drop->hides)
        memcpy(table, drop->saved, drop->rows * KM_STEM_CHANNELS * sizeof *table);
}

void km_rowdrop_correct(const struct km_rowdrop *drop, size_t first, size_t count, float *gradients)
{
    for (size_t i = 0; drop->hides && i < count; i++)
        gradients[i] *= drop->factors[(first + i) / KM_STEM_CHANNELS];
}
