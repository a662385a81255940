/*
 * Why an episode is strange, in data: the calls that surprised most with what was expected instead, entities never
 * seen, and the nearest normal call set with the difference.
 */
#ifndef KM_PROFILE_EXPLAIN_H
#define KM_PROFILE_EXPLAIN_H

#include "base/json.h"
#include "daemon/profile/profile.h"

#define KM_EXPLAIN_CALLS    5
#define KM_EXPLAIN_NEXT     3
#define KM_EXPLAIN_ENTITIES 8
#define KM_EXPLAIN_SET      16

struct km_explain_call {
    size_t position; /* in the episode; of a partial one: in what was told of it */
    unsigned long long window;
    uint8_t space;
    double bits;
    size_t next_count;
    struct km_ngram_next next[KM_EXPLAIN_NEXT]; /* expected instead */
};

struct km_explanation {
    size_t call_count;
    struct km_explain_call calls[KM_EXPLAIN_CALLS]; /* most surprising first, each window once */
    size_t entity_count;
    char entities[KM_EXPLAIN_ENTITIES][KM_ENTITY_TEXT_BYTES];
    bool has_nearest;
    uint32_t nearest_episodes; /* that had the nearest set */
    size_t extra_count, missing_count;
    uint16_t extra[KM_EXPLAIN_SET]; /* calls it has and the nearest has not */
    uint16_t missing[KM_EXPLAIN_SET];
    uint8_t space;
};

void km_explain_episode(const struct km_profile *profile, const struct km_episode *episode,
                        const struct km_assessment *assessment, struct km_explanation *out);

/* The explanation and the score's terms as a JSON object, which the caller owns. */
struct km_json *km_explanation_to_json(const struct km_explanation *explanation,
                                       const struct km_assessment *assessment);

#endif
