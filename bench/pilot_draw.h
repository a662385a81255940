/* The curves of the pilots as a picture (SVG). */
#ifndef KM_BENCH_PILOT_DRAW_H
#define KM_BENCH_PILOT_DRAW_H

#include "stats/interval.h"

#define PILOT_MAX_WEEKS 10

struct pilot_curve {
    unsigned count; /* weeks */
    struct km_estimate alarms[PILOT_MAX_WEEKS], detection[PILOT_MAX_WEEKS];
};

/* For each kind a row: false alerts left, detection right; curves[2 * kind] is of the person who decides, the next one
 * of the other. 0 or -1. */
int pilot_draw(const char *path, const struct pilot_curve *curves, unsigned kinds, const char *const *names);

#endif
