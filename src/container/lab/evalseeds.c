#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/lab/evaluation.h"

#define PREFIX "detect."

/* What a reader of the card would ask about. */
static const char *const told[] = {"unseen.twin.auc", "unseen.pool.auc", "unseen.tpr10",        "unseen.tpr1",
                                   "unseen.tpr01",    "unseen.net.auc",  "known.release.tpr01", "known.arch.tpr01"};

static const struct km_figure *find(const struct km_evaluation *evaluation, const char *name)
{
    for (size_t i = 0; i < evaluation->count; i++)
        if (strcmp(evaluation->figures[i].name, name) == 0)
            return &evaluation->figures[i];
    return NULL;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* False when one lacks it. */
static bool collect(const struct km_evaluation *own, const struct km_evaluation *others, size_t count, const char *name,
                    double *values)
{
    for (size_t i = 0; i <= count; i++) {
        const struct km_figure *figure = find(i == 0 ? own : &others[i - 1], name);
        if (!figure)
            return false;
        values[i] = figure->value;
    }
    qsort(values, count + 1, sizeof *values, compare);
    return true;
}

enum km_code km_evaluation_add_seeds(struct km_evaluation *evaluation, const struct km_evaluation *others, size_t count,
                                     struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) double *values = km_calloc(count + 1, sizeof *values, SIZE_MAX, err);
    if (!values)
        return err->code;
    for (size_t i = 0; i < sizeof told / sizeof told[0]; i++) {
        char name[KM_FIGURE_NAME_BYTES];
        (void)snprintf(name, sizeof name, PREFIX "%s", told[i]);
        if (!collect(evaluation, others, count, name, values))
            continue;
        KM_ASSERT(evaluation->count < KM_EVALUATION_MAX_FIGURES);
        struct km_figure *figure = &evaluation->figures[evaluation->count++];
        *figure = (struct km_figure){.value = (values[count / 2] + values[(count + 1) / 2]) / 2,
                                     .low = values[0],
                                     .high = values[count],
                                     .positives = count + 1,
                                     .reached = NAN};
        (void)snprintf(figure->name, sizeof figure->name, PREFIX "seeds.%s", told[i]);
    }
    return KM_OK;
}
