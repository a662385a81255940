#include "container/lab/lookalike.h"

#include <math.h>
#include <stdio.h>

#include "container/scan/detector.h"

#define STEPS ((size_t)KM_ADDITIVE_MAX_STEPS)
#define FIRST (-0.9) /* below it all is as at -1 */
#define STEP  0.06

#define SITE_STEPS  ((size_t)32)
#define SITE_FIRST  (-0.69) /* so excused that more would change nothing */
#define SITE_STEP   0.03
#define SITE_ZERO   ((size_t)24) /* the step that begins at 0 */
#define SITE_KNOWN  0.3
#define SITE_COARSE 0.1

_Static_assert(SITE_STEPS <= KM_ADDITIVE_MAX_STEPS, "a term holds them");

static double worth(double likeness)
{
    if (likeness > KM_LOOKALIKE_LEAST)
        return KM_LOOKALIKE_WEIGHT * (likeness - KM_LOOKALIKE_LEAST);
    return likeness < -KM_LOOKALIKE_BENIGN ? KM_LOOKALIKE_WEIGHT * (likeness + KM_LOOKALIKE_BENIGN) : 0;
}

static void set_steps(struct km_additive_term *term, double unit)
{
    term->step_count = STEPS;
    term->steps[0] = (struct km_additive_step){-1, unit * worth(-1)};
    for (size_t i = 1; i < STEPS; i++) {
        double from = FIRST + STEP * (double)(i - 1);
        term->steps[i] = (struct km_additive_step){from, unit * worth(from)};
    }
}

/* Below 0 each step is worth what its middle is. */
static void set_site_steps(struct km_additive_term *term, double unit)
{
    term->step_count = SITE_STEPS;
    term->steps[0] = (struct km_additive_step){-1, unit * KM_LOOKALIKE_SITE * SITE_FIRST};
    for (size_t i = 1; i < SITE_ZERO; i++) {
        double from = SITE_FIRST + SITE_STEP * (double)(i - 1);
        term->steps[i] = (struct km_additive_step){from, unit * KM_LOOKALIKE_SITE * (from + SITE_STEP / 2)};
    }
    term->steps[SITE_ZERO] = (struct km_additive_step){0, 0};
    for (size_t i = SITE_ZERO + 1; i < SITE_STEPS; i++) {
        double from = SITE_KNOWN + SITE_COARSE * (double)(i - SITE_ZERO - 1);
        term->steps[i] = (struct km_additive_step){from, unit * worth(from)};
    }
}

static enum km_code set_lookalike(struct km_additive *fusion, double unit, bool site, struct km_err *err)
{
    struct km_additive_term term = {
        .weight = unit * (site ? KM_LOOKALIKE_SITE : KM_LOOKALIKE_WEIGHT), .low = -INFINITY, .high = INFINITY};
    (void)snprintf(term.name, sizeof term.name, "%s", km_feature_name(KM_FEATURE_TOKENS_LOOKALIKE));
    if (site)
        set_site_steps(&term, unit);
    else
        set_steps(&term, unit);
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
    term.weight = 0;
    term.missing = 0;
    return km_additive_set_term(fusion, &term, err);
}
