/*
 * Figures of a score over labelled files: AUC and sensitivity at a rate of false alarms, each family weighing the same,
 * with intervals by drawing whole families.
 */
#ifndef KM_CONTAINER_LAB_FIGURES_H
#define KM_CONTAINER_LAB_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_FIGURE_NAME_BYTES 64
#define KM_FIGURE_REPLICATES 500u
#define KM_FIGURE_CONFIDENCE 0.95

/* Files to rank. NaN scores count as -INFINITY: nothing to say is no alarm. */
struct km_figure_files {
    double *scores;
    bool *positives;
    uint32_t *families; /* drawn as a whole for the interval */
    double *weights;
    size_t count, capacity;
};
void km_figure_files_done(struct km_figure_files *files);
/* KM_NOMEM. */
enum km_code km_figure_files_add(struct km_figure_files *files, double score, bool positive, uint32_t family,
                                 struct km_err *err) KM_MUST_USE;
/* Positives weigh 1 / (files of their family). Others weigh alike: false alarms are counted per file; even_benign: they
 * weigh by family, too, as an AUC wants. */
enum km_code km_figure_files_weigh(struct km_figure_files *files, bool even_benign, struct km_err *err) KM_MUST_USE;

struct km_figure {
    char name[KM_FIGURE_NAME_BYTES];
    double value, low, high;
    size_t positives, negatives;
    double reached; /* the rate of false alarms that the figure is at; NaN for an AUC */
};

/* KM_NOTFOUND without both classes; KM_NOMEM. */
enum km_code km_figure_auc(const char *name, const struct km_figure_files *files, struct km_figure *out,
                           struct km_err *err) KM_MUST_USE;
/* Sensitivity at the strictest threshold that keeps the share of negatives above it at or below `rate`. */
enum km_code km_figure_tpr(const char *name, const struct km_figure_files *files, double rate, struct km_figure *out,
                           struct km_err *err) KM_MUST_USE;

/* The share of the files whose score is 1 (others are 0), each by its weight; positives counts them all. KM_NOTFOUND
 * without files; KM_NOMEM. */
enum km_code km_figure_share(const char *name, const struct km_figure_files *files, struct km_figure *out,
                             struct km_err *err) KM_MUST_USE;

#endif
