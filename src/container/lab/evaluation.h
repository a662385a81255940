/*
 * How good a model is, by a data set's test split: the figures that a card and the bench quote. Each family weighs the
 * same; rates of false alarms are per file; intervals by drawing families. README.md says what each figure is.
 */
#ifndef KM_CONTAINER_LAB_EVALUATION_H
#define KM_CONTAINER_LAB_EVALUATION_H

#include <stdbool.h>
#include <stddef.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/lab/dataset.h"
#include "container/lab/figures.h"
#include "container/lab/filescore.h"

#define KM_EVALUATION_MAX_FIGURES 192

struct km_evaluation_options {
    bool brief;      /* unseen and known families alone, for km_evaluation_add_seeds */
    bool site;       /* train tokens and index again with the site's benign files: takes a minute */
    const char *upx; /* the program, to measure what it packs; NULL: that is left out */
    unsigned threads;
    const struct km_cancel *cancel;
    void (*progress)(void *context, const char *what, uint64_t done, uint64_t total); /* or NULL */
    void *context;
};

struct km_evaluation {
    struct km_figure figures[KM_EVALUATION_MAX_FIGURES];
    size_t count;
};

/* Figures for which the data set has no samples of both classes (no other builds, say) are left out. KM_NOTFOUND: there
 * is no test split at all, or the model has no fusion; KM_NOMEM, KM_IO, KM_CANCELLED. */
enum km_code km_evaluation_run(const struct km_dataset *dataset, const struct km_modelparts *parts,
                               const struct km_evaluation_options *options, struct km_evaluation *out,
                               struct km_err *err) KM_MUST_USE;

/* Adds how far figures moved over trainings with other seeds, as "detect.seeds.…": the median of all, the model's own
 * included, between the lowest and the highest; `positives` is how many there are. Figures that one of them lacks are
 * left out. KM_NOMEM. */
enum km_code km_evaluation_add_seeds(struct km_evaluation *evaluation, const struct km_evaluation *others, size_t count,
                                     struct km_err *err) KM_MUST_USE;

#endif
