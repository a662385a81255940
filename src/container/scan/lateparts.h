/*
 * The parts of a detector that take long to load, the network and the indexes: descriptors until the first score that
 * no cache has. A scan that finds all its scores never loads them.
 *
 * Threads: parts are kept by one thread; then any may load and read.
 */
#ifndef KM_CONTAINER_SCAN_LATEPARTS_H
#define KM_CONTAINER_SCAN_LATEPARTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "container/scan/squares.h"
#include "container/tokens/tokenindex.h"

#define KM_LATEPARTS_MAX_INDEXES 2 /* the bundle's, and the site's */

struct km_lateparts;

struct km_lateparts *km_lateparts_new(struct km_err *err) KM_MUST_USE;
void km_lateparts_free(struct km_lateparts *parts);

/* Descriptors are taken over where that succeeds. Before the first load. */
void km_lateparts_keep_network(struct km_lateparts *parts, int card_fd, int weights_fd);
/* Of several, one index is made. What no longer fits is left out: a site's baseline may grow larger than an index, and
 * a scan must not end there. KM_NOMEM. */
enum km_code km_lateparts_keep_index(struct km_lateparts *parts, const int *fds, size_t count,
                                     struct km_err *err) KM_MUST_USE;

bool km_lateparts_has_network(const struct km_lateparts *parts);
size_t km_lateparts_index_count(const struct km_lateparts *parts);

/* Loads all that is kept, once; later calls say what the first said. idf: of the token model, KM_TOKEN_IDS values; not
 * read where no index is kept. The codes of km_squares_model_load and km_token_index_load; the text names the part. */
enum km_code km_lateparts_load(struct km_lateparts *parts, const float *idf, struct km_err *err) KM_MUST_USE;

/* After a load that was KM_OK, borrowed. The network may be NULL; indexes are km_lateparts_index_count, prepared. */
const struct km_squares_model *km_lateparts_network(const struct km_lateparts *parts);
const struct km_token_index *const *km_lateparts_indexes(const struct km_lateparts *parts);

#endif
