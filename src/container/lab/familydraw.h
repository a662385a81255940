/*
 * Drawing samples so that each family weighs the same, whatever the number of its files.
 */
#ifndef KM_CONTAINER_LAB_FAMILYDRAW_H
#define KM_CONTAINER_LAB_FAMILYDRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "container/lab/dataset.h"
#include "nn/seeded.h"

struct km_familydraw;

/* The samples of one class that `among` ([count]) marks; it is not kept. NULL with *err set: KM_NOTFOUND when there are
 * none, KM_NOMEM. */
struct km_familydraw *km_familydraw_new(const struct km_dataset *dataset, const bool *among, bool positive,
                                        struct km_err *err) KM_MUST_USE;
void km_familydraw_free(struct km_familydraw *draw);
KM_DEFINE_CLEANUP(struct km_familydraw, km_familydraw_cleanup, km_familydraw_free);

/* A family, then one of its samples. */
uint32_t km_familydraw_next(const struct km_familydraw *draw, struct km_seeded *random);

#endif
