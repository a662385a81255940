/*
 * What was scored, by entry: a few numbers of every file, all numbers of those of highest rank. Which ones are kept
 * does not depend on the order in which they came. Locked by its owner.
 */
#ifndef KM_CONTAINER_SCAN_SCORETABLE_H
#define KM_CONTAINER_SCAN_SCORETABLE_H

#include "container/scan/pipeline.h"

struct km_scoretable;

/* NULL with *err set: KM_NOMEM. */
struct km_scoretable *km_scoretable_new(size_t max_details, struct km_err *err) KM_MUST_USE;
void km_scoretable_free(struct km_scoretable *table);

/* Each id once. details may be NULL. KM_NOMEM, KM_LIMIT (id >= 2^26). */
enum km_code km_scoretable_put(struct km_scoretable *table, uint32_t id, const struct km_score *score,
                               const struct km_file_scores *details, double rank, struct km_err *err) KM_MUST_USE;

/* Once, after the last put: cuts the details to the highest ranks. */
void km_scoretable_seal(struct km_scoretable *table);
struct km_score km_scoretable_get(const struct km_scoretable *table, uint32_t id);
const struct km_file_scores *km_scoretable_find(const struct km_scoretable *table, uint32_t id);

#endif
