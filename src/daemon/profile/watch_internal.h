/*
 * What the parts of a watch share: roles and thresholds (watch.c), processes that start (watch_starts.c).
 */
#ifndef KM_DAEMON_PROFILE_WATCH_INTERNAL_H
#define KM_DAEMON_PROFILE_WATCH_INTERNAL_H

#include "daemon/profile/watch.h"

#define KM_WATCH_STARTS 256 /* remembered */

struct km_watched {
    uint16_t index;
    struct km_profile_identity identity;
    struct km_profile *profile;
    struct km_spot *spot[KM_STRATA];
    double learned[KM_STRATA]; /* episodes of the profile that are of it */
    double learned_ns;         /* the time they took */
    uint64_t judged[KM_STRATA];
    uint64_t episodes, first_ns, release_left, events, lost;
    uint64_t counted, counted_ns; /* episodes that ended as the kernel counts them, and since when; 0: it does not */
    uint64_t strange_ns, strange_misses; /* unknown windows of alarms that follow each other closely, and the last */
    uint64_t known_ns;                   /* from then on the kernel keeps the known windows */
    uint64_t pace_ns, pace_calls,
        paced_ns;         /* a stretch of time, its calls, and when its like was told last; 0: never */
    bool paced_by_kernel; /* the kernel counts the role's calls: those of its episodes are among them */
    unsigned settling[2]; /* strange episodes of the release window's halves */
    enum km_release release;
    bool learning;
};

/* A process that starts, or a child of one. */
struct km_watch_start {
    uint32_t tgid;
    uint64_t until_ns;
    bool forked; /* it has not loaded a program of its own */
    bool excused;
};

struct km_watch {
    struct km_watch_config config;
    struct km_watch_start starts[KM_WATCH_STARTS];
    size_t next_start;
    struct km_assembler *assembler;
    struct km_deploy *deploy;
    struct km_watched *roles[KM_WINDOW_MAX_ROLES]; /* by index */
    struct km_profile *profiles[KM_WINDOW_MAX_ROLES];
    size_t profile_count;
    uint64_t first_ns;
    bool started, learning;
    struct km_watch_stats stats;
};

static inline struct km_watched *km_watch_role_of(const struct km_watch *watch, uint16_t index)
{
    return watch->roles[index & (KM_WINDOW_MAX_ROLES - 1)];
}

/* Calls of a role that were made since the last time: counted by the kernel, or those of an episode. */
enum km_code km_watch_note_calls(struct km_watch *watch, struct km_watched *role, uint64_t now_ns, uint64_t calls,
                                 struct km_err *err) KM_MUST_USE;

/* Takes note of processes that start, and of what a start's acts say. Other events pass. */
void km_watch_note_start(struct km_watch *watch, const struct km_event *event);

#endif
