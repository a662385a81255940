/*
 * Programs that do nothing, on the tracepoints that the probe needs: what the kernel itself takes for being looked at,
 * below which no guard on these tracepoints can get.
 */
#ifndef KM_BENCH_BARE_PROBE_H
#define KM_BENCH_BARE_PROBE_H

#include <stdbool.h>

struct bare_probe {
    int fds[4];
    int count;
};

/* Attaches one to every call's entry and one to the exits of openat, as the filter does. Returns false when the kernel
 * refuses, errno set. */
bool bare_probe_attach(struct bare_probe *bare);
void bare_probe_detach(struct bare_probe *bare);

#endif
