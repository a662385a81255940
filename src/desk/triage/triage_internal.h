/*
 * What the files of this folder share: the subject of a finding as the store has it, and who speaks about it.
 */
#ifndef KM_DESK_TRIAGE_INTERNAL_H
#define KM_DESK_TRIAGE_INTERNAL_H

#include "base/json.h"
#include "desk/store/query.h"
#include "desk/triage/triage.h"

#define KM_TRIAGE_LINEAGE_BYTES 512

/* Borrowed; NULL where it does not apply. image is as found, lineage without its tag ("" without an image). */
struct km_triage_subject {
    const char *kind, *host, *image, *path, *sha256, *daemon, *role, *dominant;
    const char *strange; /* as the store keeps it */
    char lineage[KM_TRIAGE_LINEAGE_BYTES];
};

struct km_triage_decision {
    int64_t id; /* 0: none */
    int kind;   /* enum km_decision_kind */
};

/* The newest decision that holds for the subject. */
enum km_code km_triage_find_decision(struct km_desk *desk, const struct km_triage_subject *subject, int64_t now_ns,
                                     struct km_triage_decision *out, struct km_err *err) KM_MUST_USE;

/* The oldest suppression in force that covers the subject; *out_id 0: none. */
enum km_code km_triage_find_suppression(struct km_desk *desk, const struct km_triage_subject *subject, int64_t now_ns,
                                        int64_t *out_id, struct km_err *err) KM_MUST_USE;

/* Counts a finding that a suppression hid. */
enum km_code km_triage_count_hidden(struct km_desk *desk, int64_t suppression, int64_t now_ns,
                                    struct km_err *err) KM_MUST_USE;

/* Ends suppressions whose time is over; what they hid waits to be ranked. In the caller's transaction. */
enum km_code km_triage_expire_suppressions(struct km_desk *desk, int64_t now_ns, int64_t *out_returned,
                                           struct km_err *err) KM_MUST_USE;

/* Gives the day's budget to incidents that wait, and draws the uncertain and the random ones. In the caller's
 * transaction. */
enum km_code km_triage_spend_budget(struct km_desk *desk, int64_t now_ns, struct km_triage_report *report,
                                    struct km_err *err) KM_MUST_USE;

/* Begins an incident with a finding of the store, whether or not it is suspicious. */
enum km_code km_triage_begin_incident(struct km_desk *desk, int64_t finding, enum km_triage_shown shown,
                                      enum km_triage_origin origin, int64_t now_ns, struct km_err *err) KM_MUST_USE;

/* Writes priority anew from its factors. */
enum km_code km_triage_rank(struct km_desk *desk, int64_t incident, struct km_err *err) KM_MUST_USE;

/* Audits an action on the row `object`: of "decision.undo" the object is "decision ID". detail may be NULL. */
enum km_code km_triage_audit(struct km_desk *desk, const char *who, const char *action, int64_t object,
                             const struct km_json *detail, struct km_err *err) KM_MUST_USE;

#endif
