/*
 * "Do not show me this": a scope, a reason, an owner and an end. A suppression hides incidents from the list, never
 * findings from the store, counts what it hid, and what it hid comes back for review when it ends: ranked by the budget
 * of the day on which it ends (triage.h), so that the end is no flood; what does not fit is in the digest, marked.
 */
#ifndef KM_DESK_TRIAGE_SUPPRESS_H
#define KM_DESK_TRIAGE_SUPPRESS_H

#include "desk/store/store.h"

#define KM_SUPPRESS_MAX_DAYS 366

/* Every member that is not NULL must match; fnmatch(3) patterns ("*" also for "/") except sha256. One of subject's
 * members or evidence is required: a suppression of everything is refused. */
struct km_suppression {
    const char *host, *daemon, *role, *image, *path, *sha256, *evidence;
    const char *reason, *owner; /* required */
    int64_t expires_ns;         /* required: in the future, within KM_SUPPRESS_MAX_DAYS */
};

/* Audited; incidents that it covers are hidden at once. KM_FORMAT: a required member is missing or wrong. */
enum km_code km_suppress_add(struct km_desk *desk, const struct km_suppression *suppression, const char *who,
                             int64_t now_ns, int64_t *out_id, struct km_err *err) KM_MUST_USE;

/* What came back, and where it is now. The rest is where the stage of its scope puts it. */
struct km_suppression_end {
    int64_t returned, shown, digested;
};

/* Ends one early; what it hid comes back. out may be NULL. KM_NOTFOUND: there is none, or it has ended. */
enum km_code km_suppress_end(struct km_desk *desk, int64_t id, const char *who, int64_t now_ns,
                             struct km_suppression_end *out, struct km_err *err) KM_MUST_USE;

struct km_suppression_row {
    int64_t id;
    struct km_suppression suppression; /* borrowed */
    int64_t created_ns, ended_ns;      /* ended_ns 0: in force */
    int64_t hidden, last_hidden_ns;    /* findings */
    int64_t incidents;                 /* hidden now */
    int64_t waiting;                   /* came back and were not decided about */
    int64_t waiting_digest;            /* of them in the digest */
};

/* Visits those in force, and with `all` the ended ones, too. */
enum km_code km_suppress_visit(struct km_desk *desk, bool all, void *context,
                               enum km_code (*visit)(void *context, const struct km_suppression_row *row,
                                                     struct km_err *err),
                               struct km_err *err) KM_MUST_USE;

#endif
