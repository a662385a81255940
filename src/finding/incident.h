/*
 * Findings become incidents, so that a person sees one thing once; and an alert budget decides which incidents are
 * shown at once and which wait in a ranked digest.
 *
 * Grouping: findings of the same daemon, role and dominant evidence belong to one incident as long as they are no
 * further apart than the gap. Budget: so many incidents a daemon and a host are shown on a day (UTC); the others are in
 * the digest, strongest first. An incident that is stronger than all that its daemon showed on that day is shown above
 * the budget, once a daemon and day; and incidents in which foreign code runs have a budget of the same size to
 * themselves when the other one is used up: noise must not use up the place of an attack.
 *
 * Pure: no clock, no files; the same calls give the same answers. Time is given by the caller and may jump either way:
 * a jump wider than the gap begins new incidents; a step back over midnight begins no new day.
 *
 * Bounds: KM_INCIDENTS_MAX incidents and KM_INCIDENTS_MAX_DAEMONS daemons. When they are full, what is over and was
 * shown is forgotten first, then the weakest; of those only the number is kept (km_incidents_forgotten). A snapshot
 * (JSON) restores everything. Not thread-safe.
 */
#ifndef KM_FINDING_INCIDENT_H
#define KM_FINDING_INCIDENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"

#define KM_INCIDENTS_MAX            4096
#define KM_INCIDENTS_MAX_DAEMONS    1024 /* with a budget of their own; further ones share one */
#define KM_INCIDENTS_NAME_BYTES     256  /* longer texts are cut; their hash still tells them apart */
#define KM_INCIDENTS_DEFAULT_DAEMON 3
#define KM_INCIDENTS_DEFAULT_HOST   10
#define KM_INCIDENTS_DEFAULT_GAP_NS (INT64_C(600) * 1000000000)

struct km_incident_config {
    int64_t gap_ns;      /* 0: KM_INCIDENTS_DEFAULT_GAP_NS */
    unsigned per_daemon; /* incidents shown a day; 0: the default */
    unsigned per_host;
    double least_strength; /* weaker incidents are never shown at once, only in the digest */
};

struct km_incident {
    uint64_t id;   /* stable over a snapshot; made from the grouping and the first moment */
    uint64_t hash; /* of daemon, role and key; 0: closed */
    char daemon[KM_INCIDENTS_NAME_BYTES];
    char role[KM_INCIDENTS_NAME_BYTES];
    char key[KM_INCIDENTS_NAME_BYTES]; /* the dominant evidence */
    int64_t first_ns, last_ns;         /* wall clock */
    uint64_t count;                    /* findings */
    double strongest;
    bool shown; /* within the budget; otherwise it is in the digest of its day */
    int64_t day;
};

struct km_incident_report {
    const char *daemon, *role, *key; /* raw bytes */
    int64_t time_ns;                 /* wall clock */
    double strength;                 /* grows with how much it matters */
    bool program;                    /* foreign code runs */
};

struct km_incident_answer {
    const struct km_incident *incident; /* borrowed until the next call */
    bool is_new;                        /* this finding began it */
    bool show;                          /* tell it now: new, or strong enough now, and within the budget */
    bool grew;                          /* it is at least twice as strong as all that the incident had before */
};

struct km_incidents;

/* NULL: KM_NOMEM. */
struct km_incidents *km_incidents_new(const struct km_incident_config *config, struct km_err *err) KM_MUST_USE;
void km_incidents_free(struct km_incidents *incidents);
KM_DEFINE_CLEANUP(struct km_incidents, km_incidents_cleanup, km_incidents_free);

/* Counts a finding. KM_NOMEM. */
enum km_code km_incidents_add(struct km_incidents *incidents, const struct km_incident_report *report,
                              struct km_incident_answer *out, struct km_err *err) KM_MUST_USE;

/* Ends the incidents of a daemon's role: what comes next begins new ones. */
void km_incidents_close(struct km_incidents *incidents, const char *daemon, const char *role);

/* Incidents of a day (UTC, days since 1970) that the budget did not show, strongest first, then oldest. The caller
 * frees the array; its elements are borrowed until the next km_incidents_add. NULL: KM_NOMEM. */
const struct km_incident **km_incidents_digest(const struct km_incidents *incidents, int64_t day, size_t *out_count,
                                               struct km_err *err) KM_MUST_USE;

/* All that are kept, in the order in which they began. i < count. */
size_t km_incidents_count(const struct km_incidents *incidents);
const struct km_incident *km_incidents_get(const struct km_incidents *incidents, size_t i);

/* Incidents shown on the current day, the one of the latest finding. */
unsigned km_incidents_shown_today(const struct km_incidents *incidents);
/* Incidents that had to be forgotten without having been shown. */
uint64_t km_incidents_forgotten(const struct km_incidents *incidents);

int64_t km_incidents_day(int64_t wall_ns);

/* Everything as a JSON object, which the caller frees. */
struct km_json *km_incidents_save(const struct km_incidents *incidents);
/* Makes incidents what a snapshot says; the configuration stays. KM_FORMAT (incidents untouched), KM_NOMEM. */
enum km_code km_incidents_restore(struct km_incidents *incidents, const struct km_json *snapshot,
                                  struct km_err *err) KM_MUST_USE;

#endif
