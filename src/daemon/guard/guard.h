/*
 * The loop's inside: events of guarded daemons go in, alerts come out. Learns each daemon for a given time, then
 * compares; groups findings into incidents and keeps to a budget; tells the kernel what is known. Knows no probe: the
 * events may come from one, from a recorded trace, or from a test (km_guard_event is a km_event_sink's function).
 *
 * Time is the events' (monotonic) and their wall clock by km_guard_set_clock. A RATE event of role 0 without counts is
 * a tick: without ticks, what a quiet thread has told of an unfinished episode waits for its end. A RATE event of
 * another role without counts says that the kernel now knows that role's profile.
 *
 * A daemon with a mature stored profile is compared at once; one without is learned when learn_ns says so, and else
 * only the rules apply. Rules judge all landmarks, also while learning; a match of an act that the profile learned is
 * counted and not told, unless the rule is critical. Nothing is learned after that: what is new goes to the store's
 * quarantine.
 *
 * Bounds: KM_GUARD_MAX_DAEMONS; KM_PROCTABLE_MAX processes are described, the longest untouched is forgotten. Not
 * thread-safe.
 */
#ifndef KM_GUARD_GUARD_H
#define KM_GUARD_GUARD_H

#include "base/err.h"
#include "base/mem.h"
#include "daemon/profile/store_dir.h"
#include "daemon/rules/rules.h"
#include "daemon/trace/event.h"
#include "finding/alert.h"
#include "finding/decision.h"

#define KM_GUARD_MAX_DAEMONS 63

/* What the guard asks of the probe. Each may be NULL. */
struct km_guard_kernel {
    void *context;
    enum km_code (*add_known)(void *context, const uint64_t *keys, size_t count, struct km_err *err);
    /* Exactly these are known from now on, or the first so many of them as find room. */
    enum km_code (*replace_known)(void *context, const uint64_t *keys, size_t count, struct km_err *err);
    uint64_t (*landmark_key)(void *context, unsigned role, const struct km_event_landmark *landmark);
    enum km_code (*set_rule)(void *context, unsigned role, const struct km_episode_rule *rule, struct km_err *err);
    enum km_code (*learned)(void *context, const char *daemon, struct km_err *err); /* filter from now on */
    uint64_t (*now)(void *context);                                                 /* by the events' clock */
    /* The guard's own events, for a recording. */
    enum km_code (*record)(void *context, const struct km_event *event, struct km_err *err);
};

struct km_guard_config {
    struct km_guard_kernel kernel;
    struct km_alert_sink alerts;
    struct km_alert_sink kept_back; /* incidents for the digest, as each begins or grows; alert NULL: nobody listens */
    void *say_context;
    void (*say)(void *context, const char *line); /* one line for people, escaped; NULL: nobody listens */
    struct km_store *store;                       /* borrowed; NULL: profiles are neither read nor written */
    struct km_rules *rules;                       /* borrowed; NULL: none */
    struct km_decisions decisions;                /* find NULL: none */
    uint64_t learn_ns;                            /* 0: nothing is learned */
    bool relearn;                                 /* also where a mature profile exists */
    double budget_per_role;                       /* for thresholds, as in watch.h; 0: the default */
    struct km_incident_config incidents;
    const char *proc_root; /* where processes are looked up; NULL: nowhere */
    const char *host;      /* NULL: unnamed */
    struct km_versions versions;
};

struct km_guard;

/* The config is copied, its pointers borrowed. NULL: KM_NOMEM. */
struct km_guard *km_guard_new(const struct km_guard_config *config, struct km_err *err) KM_MUST_USE;
void km_guard_free(struct km_guard *guard);
KM_DEFINE_CLEANUP(struct km_guard, km_guard_cleanup, km_guard_free);

/* Prepares a daemon under the name that its ROLE events carry. *out_learns: whether it will be learned. Daemons that
 * appear without this are prepared the same way. KM_LIMIT, KM_NOMEM, KM_IO of the store. */
enum km_code km_guard_add(struct km_guard *guard, const char *name, bool *out_learns, struct km_err *err) KM_MUST_USE;

/* The wall clock at a moment of the events' clock. */
void km_guard_set_clock(struct km_guard *guard, int64_t wall_ns, uint64_t monotonic_ns);

/* Takes an event; the context is the guard. KM_NOMEM, or what the alert sinks return. */
enum km_code km_guard_event(void *context, const struct km_event *event, struct km_err *err) KM_MUST_USE;

/* Takes the profile of a daemon's role from the store again, where it was changed; the kernel is told. What was told of
 * the role begins new incidents when it comes again. Without effect on daemons that are unknown or learned now. */
enum km_code km_guard_renew(struct km_guard *guard, const char *daemon, const char *role,
                            struct km_err *err) KM_MUST_USE;

/* Ends open episodes. Learning that is not over is dropped, and said. */
enum km_code km_guard_finish(struct km_guard *guard, struct km_err *err) KM_MUST_USE;

struct km_guard_status {
    const char *name;
    bool learning, profiled, mature;
    double confidence;    /* of its best profile */
    double learned_share; /* of the time to learn, while learning */
    uint64_t events, episodes, tapped, alarms, alerts, suppressed, lost;
    uint64_t held; /* of the alarms: in the digest at once, since a process was starting or ending unlearned */
    uint64_t rules_fired, rules_learned; /* of these: on learned acts, which is not told */
};

/* i below KM_GUARD_MAX_DAEMONS; false beyond the last. The name is borrowed. */
bool km_guard_get_status(const struct km_guard *guard, size_t i, struct km_guard_status *out);

struct km_incidents *km_guard_incidents(struct km_guard *guard);

#endif
