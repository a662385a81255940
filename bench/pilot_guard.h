/*
 * `komainu guard` for weeks of simulated time: the guard with its rules, profile store and desk, fed with lives of the
 * recorded daemons through the played kernel. All but the probe is the product's code.
 */
#ifndef KM_BENCH_PILOT_GUARD_H
#define KM_BENCH_PILOT_GUARD_H

#include <stdbool.h>

#include "pilot_lives.h"

struct pilot_guard;

struct pilot_guard_options {
    const char *profiles; /* folder of the profile store */
    const char *desk;     /* the desk's store */
    const char *rules;    /* folder */
    uint64_t learn_ns;
    bool verbose; /* what it says goes to standard error */
};

/* Ends the program on failure, as do all of these. */
struct pilot_guard *pilot_guard_open(const struct pilot_guard_options *options);
void pilot_guard_close(struct pilot_guard *guard);

/* A life, and when it begins (wall clock). */
struct pilot_slot {
    const struct pilot_life *life;
    int64_t at_ns;
};

/* Plays lives, sorted by their beginning; several may overlap. Sets the clock. */
void pilot_guard_play(struct pilot_guard *guard, const struct pilot_slot *slots, size_t count);

/* Writes what waits to the desk, and applies what was decided there, as the guard's loop does; some seconds pass. */
void pilot_guard_rest(struct pilot_guard *guard);

#endif
