/*
 * Row dropout: for one step a share of a hash stem's rows is hidden, so that no class can rest on single strings of the
 * files that teach it. Hidden rows are 0 and learn nothing; the others are larger by 1 / (1 - share), and so are their
 * gradients, as in dropout. What learned is an ordinary table: inference knows nothing of it.
 *
 * Sums of fewer, larger rows vary more, and the statistics of the norm behind the stem with them: the last steps of a
 * training hide nothing, so that statistics and rows fit each other.
 *
 * Which rows are hidden depends on seed and step alone: not on threads, nor on where a training was stopped. All shards
 * of a step hide the same ones. Owned by one trainer; a step allocates nothing.
 */
#ifndef KM_NN_ROWDROP_H
#define KM_NN_ROWDROP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct km_rowdrop_options {
    float share;    /* of the rows that each step hides; 0: none are, ever; below 1 */
    uint64_t steps; /* rows are hidden in the first so many steps */
};

struct km_rowdrop;

/* For a table of `rows` rows of KM_STEM_CHANNELS floats. NULL with *err set: KM_LIMIT (a share that is none), KM_NOMEM.
 */
struct km_rowdrop *km_rowdrop_new(const struct km_rowdrop_options *options, size_t rows,
                                  struct km_err *err) KM_MUST_USE;
void km_rowdrop_free(struct km_rowdrop *drop);
KM_DEFINE_CLEANUP(struct km_rowdrop, km_rowdrop_cleanup, km_rowdrop_free);

/* Hides the rows of step `step` (from 0) in `table`, or none when it is past the last that does. */
void km_rowdrop_hide(struct km_rowdrop *drop, uint64_t seed, uint64_t step, float *table);
/* The table as it was before, to the bit. After each km_rowdrop_hide, once. */
void km_rowdrop_restore(const struct km_rowdrop *drop, float *table);
/* `count` gradients, from float `first` of the table on, of the table as it was run: to those of the table as it is. Of
 * the last step hidden, also after km_rowdrop_restore; several threads may correct ranges apart from each other. */
void km_rowdrop_correct(const struct km_rowdrop *drop, size_t first, size_t count, float *gradients);

#endif
