/*
 * For tests of the probe in the running kernel, which need root (or CAP_BPF, CAP_PERFMON) and BTF and skip with their
 * reason otherwise.
 *
 * A subject is a child that waits on a pipe, does one thing when told, and answers: nothing here waits for time to
 * pass.
 */
#ifndef KM_TESTS_PROBE_STAGE_H
#define KM_TESTS_PROBE_STAGE_H

#include "../unit/cm.h"

#include <stdbool.h>
#include <sys/types.h>

#include "daemon/probe/probe.h"

typedef void action(void);

struct subject {
    pid_t pid;
    int tell;
    int hear;
};

void subject_start(struct subject *out);
void subject_do(const struct subject *subject, action *todo);
void subject_stop(struct subject *subject);
void do_nothing(void);

/* What was heard so far. */
struct heard {
    size_t count;
    size_t by_kind[16];
    size_t landmarks[KM_LANDMARK_KINDS];
    struct km_event_landmark last[KM_LANDMARK_KINDS]; /* texts copied below */
    uint16_t last_role[KM_LANDMARK_KINDS];
    char path[KM_LANDMARK_KINDS][KM_PROBE_PATH_BYTES];
    char path2[KM_LANDMARK_KINDS][KM_PROBE_PATH_BYTES];
    size_t calls[KM_PROBE_SPACES][KM_CALL_NUMBERS];
    size_t outcomes[KM_CALL_NUMBERS][4];
    size_t spaces[4];
    uint8_t last_arg[KM_CALL_NUMBERS];
    uint64_t losses;
    uint64_t windows[64];
    size_t window_count;
    bool introduced[KM_PROBE_MAX_ROLES];
    char role_name[KM_PROBE_MAX_ROLES][32];
    size_t roles;
    size_t unordered; /* events that named a role before its introduction */
    size_t streams_started;
    uint64_t earliest_ns, latest_ns; /* of all but ROLE, RATE and LOSS */
};

extern struct heard heard;
extern struct km_err err;
extern const struct km_event_sink sink; /* adds to it */

/* Forgets all but which roles were introduced. */
void forget(void);
void poll_once(struct km_probe *probe);
/* Skips when the machine has not what it takes; fails when it has and the probe does not open. */
struct km_probe *open_or_skip(const struct km_probe_options *options);
unsigned guard_pid(struct km_probe *probe, pid_t pid, enum km_probe_mode mode);
struct km_probe_counters counters_of(struct km_probe *probe, unsigned daemon);
/* The last landmark of this kind has this path, unless NULL, and outcome. */
void check_landmark(enum km_landmark_kind kind, const char *path, uint8_t outcome);

#endif
