/*
 * One pilot of some weeks: the days of a small site with three daemons and its images, drawn by a seed.
 *
 * Before the first day the guard learns LEARN minutes of each daemon. A day then has HOURS of each daemon, in lives
 * that are drawn with replacement from what was recorded after that; from the day LATE on also of what was recorded
 * after the fortieth minute, which does things that nobody had seen. Each morning some images are scanned; each
 * application goes to its next version twice. Misuses are staged at random: a daemon's as it was recorded, an image's
 * by a layer with a dual-use tool.
 */
#ifndef KM_BENCH_PILOT_RUN_H
#define KM_BENCH_PILOT_RUN_H

#include "pilot_desk.h"
#include "pilot_lives.h"

#define PILOT_MAX_DAYS 70

struct pilot_plan {
    const char *rules, *images, *model, *cache; /* images NULL: none are scanned */
    const struct pilot_lives *lives;
    unsigned days, hours, learn_minutes, late_day;
    double misuses[PILOT_KINDS]; /* a day */
    unsigned scans;              /* a day */
    double wrong;                /* share of the person's answers */
    unsigned reviews;            /* a day */
    bool verbose;
};

struct pilot_outcome {
    struct pilot_evening days[PILOT_MAX_DAYS];
    unsigned decisions, unapplied; /* unapplied: no guardian has taken them up at the end */
    unsigned learned, unlearned;   /* of the guard's benign-learn: the profile learned it, or said why not */
    unsigned accepted;             /* images in the baseline */
};

/* `folder` is empty and gets the stores. decides false: the person only closes what was looked at. */
void pilot_run(const struct pilot_plan *plan, uint64_t seed, bool decides, const char *folder,
               struct pilot_outcome *out);

#endif
