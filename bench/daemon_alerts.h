/*
 * A recording through the whole guard, as a person would see it: the filter's feeds with the key set that the guard
 * itself tells the kernel, rules, decisions of episodes, incidents, budget. Only the probe is played.
 */
#ifndef KM_BENCH_DAEMON_ALERTS_H
#define KM_BENCH_DAEMON_ALERTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "daemon/profile/store_dir.h"
#include "daemon/rules/rules.h"

struct alerts_run {
    const char *name;
    FILE *trace;            /* a trace file's content */
    struct km_store *store; /* written when learn_ns is not 0, else read */
    struct km_rules *rules;
    uint64_t learn_ns;          /* from the first event */
    uint64_t from_ns, until_ns; /* the misuse; 0: none */
    bool unlimited;             /* no budget: what would be shown is counted, not cut */
    bool verbose;
};

struct alerts_seen {
    unsigned alerts;    /* incidents shown */
    unsigned digest;    /* incidents that were not */
    unsigned findings;  /* in all of them */
    unsigned during;    /* alerts, or growing ones, within the misuse */
    unsigned undecided; /* digest entries that touch it */
    double hours;       /* judged */
};

/* Ends the program when the trace cannot be read. */
void alerts_run(const struct alerts_run *run, struct alerts_seen *out);

#endif
