/*
 * How a fusion weighs the likeness to known files. It is set by rule, not fitted: the valid split has no known family,
 * so a fit would learn there that likeness says nothing. README.md says how the numbers were chosen.
 */
#ifndef KM_CONTAINER_LAB_LOOKALIKE_H
#define KM_CONTAINER_LAB_LOOKALIKE_H

#include <stdbool.h>

#include "base/err.h"
#include "stats/additive.h"

#define KM_LOOKALIKE_WEIGHT 16.0 /* for each of "tokens.score" */
#define KM_LOOKALIKE_LEAST  0.2  /* differences of cosines up to it are chance: they say nothing */
#define KM_LOOKALIKE_BENIGN 0.5  /* the same towards benign files: a tool may share half of a honest file's words */
#define KM_LOOKALIKE_SITE   24.0 /* for each of "tokens.score", below 0, with a site's files */

/* Sets the term "tokens.lookalike": 31 steps of 0.06 outside of what is chance. site: the index has the site's own
 * files. Then whatever is nearer to the site's than to known ones is excused by how much, in steps of 0.03; what is
 * nearer to known ones by less than 0.3 is not accused, for programs of one language and run-time are alike; and the
 * network, which does not know the site, says nothing. A fusion without "tokens.score" stays as it is. KM_LIMIT,
 * KM_NOMEM. */
enum km_code km_lookalike_set(struct km_additive *fusion, bool site, struct km_err *err) KM_MUST_USE;

#endif
