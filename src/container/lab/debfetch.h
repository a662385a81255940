/*
 * One package file of a recipe in the cache: fetched if it is not there, and never used before its size and digest are
 * what the recipe says.
 */
#ifndef KM_CONTAINER_LAB_DEBFETCH_H
#define KM_CONTAINER_LAB_DEBFETCH_H

#include <stddef.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/lab/recipe.h"

#define KM_DEBFETCH_PATH_BYTES 4096

struct km_debfetch {
    const char *mirror, *cache;
    const struct km_cancel *cancel;
};

/* Writes the path of the package in the cache. KM_NOTFOUND: the mirror no longer has it; KM_CONFLICT: it is another
 * file than the recipe's; KM_IO, KM_DENIED, KM_LIMIT, KM_NOMEM, KM_CANCELLED. */
enum km_code km_debfetch_get(const struct km_debfetch *fetch, const struct km_recipe *recipe,
                             char out_path[KM_DEBFETCH_PATH_BYTES], struct km_err *err) KM_MUST_USE;

#endif
