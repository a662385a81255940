/*
 * Incidents as people ask for them: lists with filters and pages, one with all that belongs to it, and what changes one
 * besides a decision. Every change is audited in its own transaction.
 */
#ifndef KM_DESK_TRIAGE_INCIDENT_LIST_H
#define KM_DESK_TRIAGE_INCIDENT_LIST_H

#include <stddef.h>

#include "desk/store/query.h"
#include "desk/triage/triage.h"

struct km_incident_filter {
    bool all;             /* closed ones and those not shown, too */
    int state;            /* enum km_triage_state, -1: any that is not closed */
    int shown;            /* enum km_triage_shown, -1: alerts, also in the shadow, uncertain, sample, returned */
    int64_t since_ns;     /* last seen at or after; 0: no bound */
    int64_t until_ns;     /* first seen before; 0: no bound */
    const char *subject;  /* part of the subject or daemon, or NULL */
    const char *assignee; /* or NULL */
    const char *search;   /* expression of search.h, or NULL */
    int64_t suppression;  /* hidden by this one, or back from it, shown or not; 0: any */
    bool returned;        /* back from a suppression and not decided about, shown or not */
    int64_t before_id;    /* page: only incidents with a smaller rank than this one; 0: the first page */
    size_t limit;
};

/* A row; strings are borrowed for the time of the visit. */
struct km_incident_row {
    int64_t id, first_ns, last_ns, count, images, opened_ns, decided_ns, closed_ns, finding_id, suppression_id;
    int64_t returned_ns;                                                      /* 0: it is not back from a suppression */
    const char *kind, *host, *subject, *role, *dominant, *assignee, *service; /* role, assignee, service: or NULL */
    enum km_verdict verdict;
    enum km_triage_state state;
    enum km_triage_shown shown;
    int decision; /* enum km_decision_kind of the newest that holds, or -1 */
    double score, confidence, minutes;
    double importance, reach, patch_window, priority;
};

/* Visits by priority, strongest first, then newest; at most `limit`. *out_more: there are more behind them. KM_FORMAT:
 * the search expression. */
enum km_code km_incident_list(struct km_desk *desk, const struct km_incident_filter *filter, void *context,
                              enum km_code (*visit)(void *context, const struct km_incident_row *row,
                                                    struct km_err *err),
                              bool *out_more, struct km_err *err) KM_MUST_USE;

/* One. KM_NOTFOUND. */
enum km_code km_incident_visit(struct km_desk *desk, int64_t id, void *context,
                               enum km_code (*visit)(void *context, const struct km_incident_row *row,
                                                     struct km_err *err),
                               struct km_err *err) KM_MUST_USE;

/* What a person does to an incident besides deciding. NULL or negative members are left as they are. */
struct km_incident_change {
    const char *who;      /* required */
    const char *note;     /* or NULL */
    const char *assignee; /* an open incident becomes assigned; "" takes the assignee away */
    const char *service;  /* the service affected */
    int state;            /* enum km_triage_state, or -1 */
    double minutes;       /* spent, added */
    double importance;    /* 0.1 .. 10, or negative; later incidents of the subject begin with it */
};

/* KM_NOTFOUND, KM_FORMAT (a value out of range), KM_CONFLICT (a closed incident is only opened again by undo). */
enum km_code km_incident_apply(struct km_desk *desk, int64_t id, const struct km_incident_change *change,
                               int64_t now_ns, struct km_err *err) KM_MUST_USE;

#endif
