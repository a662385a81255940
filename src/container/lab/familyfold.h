/*
 * Folds for cross-validation: whole families, positive and benign ones each spread evenly, so that a model which
 * learned from all folds but one can be asked about families that it has not seen.
 */
#ifndef KM_CONTAINER_LAB_FAMILYFOLD_H
#define KM_CONTAINER_LAB_FAMILYFOLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "container/lab/dataset.h"

#define KM_FAMILYFOLD_NONE UINT8_MAX

/* out: [count], the fold (below `folds`, 2..16) of each sample that `among` marks, KM_FAMILYFOLD_NONE of the others. It
 * depends on the families alone, by name, not on how many files they have. Of a class with fewer families than folds
 * some folds have none. KM_NOTFOUND: a class has fewer than two; KM_NOMEM. */
enum km_code km_familyfold_assign(const struct km_dataset *dataset, const bool *among, unsigned folds, uint8_t *out,
                                  struct km_err *err) KM_MUST_USE;

#endif
