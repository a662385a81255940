/*
 * `komainu guard` where this build has a probe.
 */
#ifndef KM_CLI_GUARD_RUN_H
#define KM_CLI_GUARD_RUN_H

#include <stdint.h>

#include "cli/options.h"

struct km_guard_times {
    uint64_t learn_ns; /* 0: not */
    uint64_t for_ns;   /* 0: until a signal */
};

/* Guards until the time is over or a signal ends it. Returns an enum km_exit. */
int km_guard_run(const struct km_options *options, const struct km_guard_times *times);

#endif
