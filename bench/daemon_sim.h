/* The simulation of reviewed alerts, the costs, and how figures are printed. */
#ifndef KM_BENCH_DAEMON_SIM_H
#define KM_BENCH_DAEMON_SIM_H

#include "daemon/profile/profile.h"
#include "daemon_data.h"

struct bench_figure {
    double value;
    const char *unit;
    double low, high; /* NaN: none */
    size_t n;         /* 0: none */
};
void bench_print(const char *name, const char *suffix, const struct bench_figure *figure);

/* A calibrated profile of the samples that `take` accepts (NULL: all). Ends the program on failure. */
struct km_profile *bench_learn(const struct samples *train, bool (*take)(const struct sample *sample));

/* What a person's answers are worth: the same budget with and without them, and thirty days of it. */
void bench_feedback(const struct samples *train, const struct samples *test, enum km_view view);

/* Time per call to score and to learn, replay from a file, memory. */
void bench_cost(const struct samples *train, const struct samples *test);

#endif
