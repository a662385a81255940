/*
 * Inside of src/daemon/guard: the daemons and what they share. guard.c feeds events to them, daemonwatch.c is one
 * daemon's learning and comparing, raise.c makes alerts.
 */
#ifndef KM_GUARD_INTERNAL_H
#define KM_GUARD_INTERNAL_H

#include "daemon/guard/draft.h"
#include "daemon/guard/guard.h"
#include "daemon/guard/proctable.h"
#include "daemon/guard/users.h"
#include "daemon/profile/seen.h"
#include "daemon/profile/watch.h"

#define KM_GUARD_PENDING 32
#define KM_GUARD_LEAST_STRENGTH                                                                                        \
    1.0 /* nats: what a profile that knows next to nothing finds strange is for the digest */

/* A kind of thread that was never learned, and whose process may be about to start a program: the better news. */
struct km_pending_role {
    uint32_t tgid; /* 0: free */
    uint16_t role;
    uint64_t time_ns;
};

struct km_guarded {
    struct km_guard *guard;
    char name[KM_EVENT_MAX_NAME_BYTES]; /* escaped: as profiles are stored */
    struct km_watch *watch;
    bool learning, profiled, mature, stored, stored_mature;
    bool unprofiled_said, limit_said, quarantine_said;
    uint64_t first_ns;         /* its first event; 0 = none yet */
    uint64_t learned_episodes; /* of all its profiles */
    unsigned learned_roles;
    double confidence;   /* of its best profile */
    uint64_t excused_ns; /* said last */
    struct km_pending_role pending[KM_GUARD_PENDING];
    uint64_t events, alarms, alerts, suppressed, held, lost, rules_fired, rules_learned;
};

struct km_guard {
    struct km_guard_config config;
    struct km_guarded daemons[KM_GUARD_MAX_DAEMONS];
    size_t count;
    struct km_guarded *by_role[KM_WINDOW_MAX_ROLES];
    bool mark[KM_WINDOW_MAX_ROLES]; /* the kernel was told this role's keys: an event has to say so */
    struct km_proctable *processes;
    struct km_users *users;
    struct km_incidents *incidents;
    double least_strength;       /* of what is shown at once */
    struct km_seen told_keys;    /* landmarks that the kernel keeps to itself */
    struct km_episode_rule rule; /* of roles without a profile */
    struct km_draft draft;
    int64_t wall_offset_ns; /* wall clock less the events' */
    uint64_t first_ns;      /* of the first event */
    uint64_t now_ns;        /* of the newest event */
    uint32_t role_tgid;     /* of the ROLE event that is handled */
    bool role_again;        /* and it was introduced before */
};

KM_PRINTF(2, 3) void km_guard_say(struct km_guard *guard, const char *format, ...);

/* daemonwatch.c */
enum km_code km_guarded_open(struct km_guarded *daemon, struct km_err *err) KM_MUST_USE;
enum km_code km_guarded_event(struct km_guarded *daemon, const struct km_event *event, struct km_err *err) KM_MUST_USE;
enum km_code km_guarded_finish(struct km_guarded *daemon, struct km_err *err) KM_MUST_USE;

/* Everything that the profiles know, to the kernel; what it knew besides is forgotten. */
enum km_code km_guard_tell_all(struct km_guard *guard, struct km_err *err) KM_MUST_USE;

/* lineage.c: what threads do that no profile knows, told with the act that they come from. */
enum km_code km_guarded_lineage(struct km_guarded *daemon, const struct km_event *event,
                                struct km_err *err) KM_MUST_USE;
enum km_code km_guarded_new_role(struct km_guarded *daemon, uint16_t role, uint32_t tgid,
                                 struct km_err *err) KM_MUST_USE;
/* The nearest role of a process and its ancestors that has a profile: false, and *out untouched, when there is none. */
bool km_guarded_origin(struct km_guarded *daemon, uint32_t tgid, struct km_watch_role *out);

/* rulewatch.c: what the rules say of a landmark. */
enum km_code km_guarded_rules(struct km_guarded *daemon, const struct km_event *event, struct km_err *err) KM_MUST_USE;

/* raise.c: an act of a thread without profile waits for a decision in the quarantine of the role that it comes from;
 * the draft names it. */
void km_guarded_keep_act(struct km_guarded *daemon, const struct km_profile *origin, const struct km_event *event);
/* The alarm that was put into quarantine last belongs to the draft. */
void km_guarded_name_alarm(struct km_guarded *daemon);

/* raise.c: the guard's draft becomes an alert, an entry of the digest, or nothing (a benign decision). */
enum km_code km_guard_raise(struct km_guard *guard, struct km_guarded *daemon, uint64_t time_ns,
                            struct km_err *err) KM_MUST_USE;

#endif
