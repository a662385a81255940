#include "container/lab/lookalike.h"

#include <math.h>
#include <stdio.h>

#include "container/scan/detector.h"

#define STEPS ((size_t)KM_ADDITIVE_MAX_STEPS)
#define FIRST (-0.9) /* below it all is as at -1 */
#define STEP  0.06

static double worth(double likeness)
{
    if (likeness > KM_LOOKALIKE_LEAST)
        return KM_LOOKALIKE_WEIGHT * (likeness - KM_LOOKALIKE_LEAST);
    return likeness < -KM_LOOKALIKE_BENIGN ? KM_LOOKALIKE_WEIGHT * (likeness + KM_LOOKALIKE_BENIGN) : 0;
}

static enum km_code set_lookalike(struct km_additive *fusion, double unit, bool site, struct km_err *err)
{
    struct km_additive_term term = {.weight = unit * KM_LOOKALIKE_WEIGHT, .low = -INFINITY, .high = INFINITY};
    (void)snprintf(term.name, sizeof term.name, "%s", km_feature_name(KM_FEATURE_TOKENS_LOOKALIKE));
    if (!site) {
        term.step_count = STEPS;
        term.steps[0] = (struct km_additive_step){-1, unit * worth(-1)};
        for (size_t i = 1; i < STEPS; i++) {
            double from = FIRST + STEP * (double)(i - 1);
            term.steps[i] = (struct km_additive_step){from, unit * worth(from)};
        }
    }
    return km_additive_set_term(fusion, &term, err);
}

enum km_code km_lookalike_set(struct km_additive *fusion, bool site, struct km_err *err)
{
    int tokens = km_additive_find(fusion, km_feature_name(KM_FEATURE_TOKENS_SCORE));
    int network = km_additive_find(fusion, km_feature_name(KM_FEATURE_NETWORK_SCORE));
    if (tokens < 0)
        return KM_OK;
    double unit = km_additive_term(fusion, (size_t)tokens)->weight;
    enum km_code code = set_lookalike(fusion, unit, site, err);
    if (code != KM_OK || network < 0 || !site)
        return code;
    struct km_additive_term term = *km_additive_term(fusion, (size_t)network);
    term.weight = unit * KM_LOOKALIKE_NETWORK;
    term.missing = 0;
    return km_additive_set_term(fusion, &term, err);
}
