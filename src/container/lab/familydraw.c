#include "container/lab/familydraw.h"

struct km_familydraw {
    uint32_t *samples; /* by family */
    uint32_t *starts;  /* families + 1: where each family's samples begin */
    uint32_t families;
};

static bool is_of_class(const struct km_sample *sample, bool positive)
{
    return (sample->role == KM_RECIPE_POSITIVE) == positive;
}

struct km_familydraw *km_familydraw_new(const struct km_dataset *dataset, const bool *among, bool positive,
                                        struct km_err *err)
{
    size_t count = km_dataset_count(dataset), all = km_dataset_families(dataset);
    KM_CLEANUP(km_familydraw_cleanup) struct km_familydraw *draw = km_calloc(1, sizeof *draw, sizeof *draw, err);
    KM_CLEANUP(km_cleanup_free) uint32_t *sizes = draw ? km_calloc(all, sizeof *sizes, all * sizeof *sizes, err) : NULL;
    if (!sizes)
        return NULL;
    draw->samples = km_calloc(count, sizeof *draw->samples, count * sizeof *draw->samples, err);
    draw->starts = km_calloc(all + 1, sizeof *draw->starts, (all + 1) * sizeof *draw->starts, err);
    if (!draw->samples || !draw->starts)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        if (among[i] && is_of_class(sample, positive))
            sizes[sample->family_id]++;
    }
    uint32_t at = 0;
    for (size_t family = 0; family < all; family++) {
        uint32_t size = sizes[family];
        if (size > 0)
            draw->starts[draw->families++] = at;
        sizes[family] = at; /* from here on: where its next sample goes */
        at += size;
    }
    draw->starts[draw->families] = at;
    for (size_t i = 0; i < count; i++) {
        const struct km_sample *sample = km_dataset_get(dataset, i);
        if (among[i] && is_of_class(sample, positive))
            draw->samples[sizes[sample->family_id]++] = (uint32_t)i;
    }
    if (draw->families == 0) {
        (void)km_fail(err, KM_NOTFOUND, "no %s samples to learn from or to draw", positive ? "positive" : "benign");
        return NULL;
    }
    return km_steal(draw);
}

void km_familydraw_free(struct km_familydraw *draw)
{
    if (!draw)
        return;
    free(draw->samples);
    free(draw->starts);
    free(draw);
}

uint32_t km_familydraw_next(const struct km_familydraw *draw, struct km_seeded *random)
{
    uint32_t family = km_seeded_below(random, draw->families);
    uint32_t begin = draw->starts[family], size = draw->starts[family + 1] - begin;
    return draw->samples[begin + km_seeded_below(random, size)];
}
