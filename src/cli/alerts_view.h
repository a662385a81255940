/*
 * What `komainu alerts` shows: the same things as text for people and as JSON (data/schema/alerts-1.json).
 */
#ifndef KM_CLI_ALERTS_VIEW_H
#define KM_CLI_ALERTS_VIEW_H

#include <stdbool.h>

#include "base/err.h"
#include "desk/store/store.h"
#include "desk/triage/incident_list.h"

#define KM_ALERTS_FINDINGS_SHOWN 5

/* "12": an id of the store. KM_FORMAT. */
enum km_code km_alerts_parse_id(const char *text, int64_t *out, struct km_err *err) KM_MUST_USE;

/* Each prints to standard output. `digest`: the list is a day's digest. */
enum km_code km_alerts_print_list(struct km_desk *desk, const struct km_incident_filter *filter, bool digest,
                                  struct km_err *err) KM_MUST_USE;
enum km_code km_alerts_print_incident(struct km_desk *desk, int64_t id, struct km_err *err) KM_MUST_USE;
enum km_code km_alerts_print_suppressions(struct km_desk *desk, bool all, struct km_err *err) KM_MUST_USE;

enum km_code km_alerts_json_list(struct km_desk *desk, enum km_desk_place place,
                                 const struct km_incident_filter *filter, struct km_err *err) KM_MUST_USE;
enum km_code km_alerts_json_incident(struct km_desk *desk, enum km_desk_place place, int64_t id,
                                     struct km_err *err) KM_MUST_USE;
enum km_code km_alerts_json_suppressions(struct km_desk *desk, enum km_desk_place place, bool all,
                                         struct km_err *err) KM_MUST_USE;

/* A decision in the store, as both forms show it. Borrowed. */
struct km_alerts_decision {
    int64_t id, at_ns, until_ns, applied_ns, undone_ns;                /* 0: none */
    const char *kind, *who, *note, *problem, *undone_by, *undone_note; /* problem …: or NULL */
};
enum km_code km_alerts_visit_decisions(struct km_desk *desk, int64_t incident, void *context,
                                       enum km_code (*visit)(void *context, const struct km_alerts_decision *decision,
                                                             struct km_err *err),
                                       struct km_err *err) KM_MUST_USE;

#endif
