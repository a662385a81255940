/*
 * What people say about incidents, and how guardians learn it.
 *
 * A decision is never changed: it is made, perhaps undone, and both are in the audit log. It waits until the guardian
 * it concerns has applied it (applied_ns): "guard" takes benign-learn into the daemon's profile, "scan" finds decisions
 * by content or path, and benign-learn of a file joins the labelled set. suspicious and attack never enter a baseline:
 * they are not in what km_decide_visit_labels gives as benign, and a guard is told to keep such an alarm out.
 *
 * What a decision covers:
 *   benign-once    of a file: this content; of a daemon: this incident alone
 *   benign-learn   of a file: this content; of a daemon: what was strange, in its role; its profile learns it
 *   benign-until   of a file: image without tag, and path; of a daemon: what was strange, in its role; until the date
 *   suspicious,
 *   attack         of a file: this content (path when there is none); of a daemon: what was strange, in its role
 * What was strange: the keys of the incident's strongest finding (finding/strange.h). Benign ones cover these and any
 * part of them; suspicious and attack also whatever holds them all.
 */
#ifndef KM_DESK_TRIAGE_DECIDE_H
#define KM_DESK_TRIAGE_DECIDE_H

#include <stddef.h>

#include "desk/store/collect.h"
#include "desk/store/store.h"
#include "finding/decision.h"

struct km_verdict_given {
    int64_t incident;
    enum km_decision_kind kind;
    const char *who, *note; /* both required, not empty */
    int64_t until_ns;       /* required for benign-until, in the future; 0: no end */
    double minutes;         /* spent on it, added to the incident */
};

/* Records it; benign ones close the incident, suspicious and attack confirm it. KM_NOTFOUND, KM_FORMAT (a member is
 * missing or wrong), KM_CONFLICT (benign-once and benign-learn of a file whose content is not known). */
enum km_code km_decide_add(struct km_desk *desk, const struct km_verdict_given *given, int64_t now_ns, int64_t *out_id,
                           struct km_err *err) KM_MUST_USE;

/* Takes the newest decision of an incident that still holds back; the incident is as it was before it. KM_NOTFOUND:
 * there is none. */
struct km_undo_given {
    int64_t incident;
    const char *who, *note; /* both required, not empty */
};
enum km_code km_decide_undo(struct km_desk *desk, const struct km_undo_given *given, int64_t now_ns, int64_t *out_id,
                            struct km_err *err) KM_MUST_USE;

/* ---- For guardians ---- */

/* A decision, or the undoing of one that was applied, which a guardian has not acknowledged. Borrowed. */
struct km_pending {
    int64_t decision;
    bool undo;
    enum km_decision_kind kind;
    const char *who, *note;
    int64_t at_ns, until_ns;                   /* until_ns INT64_MAX: no end */
    const char *daemon, *role, *dominant;      /* of a daemon, else NULL */
    int64_t first_ns, last_ns;                 /* of the incident: when the alarms came that it is about */
    const char *image, *path, *sha256, *alarm; /* or NULL; alarm: id in the profile store's quarantine; path of a
                                                  daemon: "DAEMON/ROLE/EVIDENCE" */
};

/* Visits what waits for `guardian` ("guard", "scan") on `host`, oldest first. The store must not be changed by visit.
 */
enum km_code km_decide_visit_pending(struct km_desk *desk, const char *guardian, const char *host, void *context,
                                     enum km_code (*visit)(void *context, const struct km_pending *pending,
                                                           struct km_err *err),
                                     struct km_err *err) KM_MUST_USE;

struct km_acknowledgement {
    int64_t decision;
    bool undo;
    const char *by;      /* the guardian */
    const char *problem; /* why it could not be applied; NULL: it was */
};

/* The guardian has applied it, or could not: then it is shown with the problem and no longer pending. Audited.
 * KM_NOTFOUND: it does not wait. */
enum km_code km_decide_acknowledge(struct km_desk *desk, const struct km_acknowledgement *given, int64_t now_ns,
                                   struct km_err *err) KM_MUST_USE;

/* Decisions from the store as a guardian asks for them. The answers use up a decision's pending state: what `find`
 * answered with is acknowledged by km_decide_close. One thread; the desk outlives it. */
struct km_decide_source;
struct km_decide_source *km_decide_open(struct km_desk *desk, const char *guardian, const char *host,
                                        struct km_err *err) KM_MUST_USE;
struct km_decisions km_decide_decisions(struct km_decide_source *source);
/* Acknowledges what was applied and frees. NULL is allowed. */
enum km_code km_decide_close(struct km_decide_source *source, struct km_err *err) KM_MUST_USE;

/* The labelled set: content of files that people spoke about, each once with the newest word that holds: benign-learn,
 * suspicious or attack. What was said for once or for a while teaches nothing. Strings are borrowed. */
struct km_label_given {
    int64_t decision, at_ns;
    enum km_decision_kind kind;
    const char *sha256, *path, *image, *who; /* path, image: or NULL */
};
enum km_code km_decide_visit_labels(struct km_desk *desk, void *context,
                                    enum km_code (*visit)(void *context, const struct km_label_given *label,
                                                          struct km_err *err),
                                    struct km_err *err) KM_MUST_USE;

/* The labels up to decision `newest` are in a file with this SHA-256 that the commands read which learn: decisions
 * among them that waited are applied (by "labels"). Audited. *out: how many had waited. */
struct km_labels_taken {
    int64_t newest;
    const char *who, *file_sha256;
};
enum km_code km_decide_take_labels(struct km_desk *desk, const struct km_labels_taken *taken, int64_t now_ns,
                                   int64_t *out, struct km_err *err) KM_MUST_USE;

#endif
