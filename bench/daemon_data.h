/* The system call data sets as episodes, and what the daemon benches share. */
#ifndef KM_BENCH_DAEMON_DATA_H
#define KM_BENCH_DAEMON_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/trace/episode.h"

struct sample {
    char *name;
    bool attack;
    struct km_episode episode; /* complete; attrs all 0 */
};

struct samples {
    struct sample *items;
    size_t count, capacity;
};

/* Appends the traces of $KOMAINU_BENCH_DATA/syscalls/<file> (a .tsv.xz). Ends the program when that fails. */
void samples_load(struct samples *samples, const char *folder, const char *file);
void samples_free(struct samples *samples);

/* A fixed pseudo-random sequence. */
uint64_t draw_next(uint64_t *state);

/* Ends the program with a message. */
_Noreturn void bench_die(const char *fmt, ...) KM_PRINTF(1, 2);

#endif
