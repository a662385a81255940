/*
 * The recordings of bench/data/daemons as lives of the daemons: from a start to the moment when nothing of it runs any
 * more. Lives may follow each other in any order without a thread that begins in the middle. Each is a trace file of
 * its own; a role has the same index in all of them.
 */
#ifndef KM_BENCH_PILOT_LIVES_H
#define KM_BENCH_PILOT_LIVES_H

#include <stddef.h>
#include <stdint.h>

#define PILOT_MAX_LIVES  256
#define PILOT_DAEMONS    3
#define PILOT_NAME_BYTES 64
#define PILOT_PATH_BYTES 512

struct pilot_life {
    char name[PILOT_NAME_BYTES]; /* "nginx", "nginx.shell" */
    char path[PILOT_PATH_BYTES];
    unsigned daemon;              /* of PILOT_DAEMONS */
    uint64_t begin_ns, length_ns; /* by the recording's clock */
    uint64_t offset_ns;           /* since the recording began */
    uint64_t misuse_ns, over_ns;  /* since the life began; 0: no misuse is staged in it */
};

struct pilot_lives {
    struct pilot_life items[PILOT_MAX_LIVES];
    size_t count;
};

/* "nginx" … Static storage. */
const char *pilot_daemon_name(unsigned daemon);

/* Cuts the recordings in `from` into trace files in the folder `to`. Ends the program on failure. */
void pilot_lives_cut(struct pilot_lives *lives, const char *from, const char *to);

#endif
