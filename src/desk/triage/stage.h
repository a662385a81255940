/*
 * How far a pilot has come, per scope: a group of daemons or a set of images, by patterns of their names. A scope is
 * recorded only, then shown in the shadow (listed and marked, nobody is alerted), then its top band alerts, then all of
 * it does. komainu checks the criteria for leaving a stage (stage_criteria.h), a person confirms; going back needs
 * neither. Each change is an entry of the audit log.
 *
 * Patterns are SQLite's GLOB: "*" also matches "/", an image is matched with its tag and without. Of several patterns
 * that match, the one with the most literal characters decides; of equally long ones the more cautious stage. What no
 * scope names is in stage "all": a desk without scopes shows everything.
 */
#ifndef KM_DESK_TRIAGE_STAGE_H
#define KM_DESK_TRIAGE_STAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "desk/store/store.h"
#include "desk/triage/stage_criteria.h"

#define KM_STAGE_MAX_PATTERNS      64 /* of one kind in a scope */
#define KM_STAGE_MAX_PATTERN_BYTES 256
#define KM_STAGE_MAX_NAME_BYTES    64

/* What to do with a finding. */
struct km_stage_answer {
    enum km_stage stage;
    double top_band; /* in stage "top": alert from this score on */
    int64_t scope;   /* 0: none matches */
};

/* daemon or image is set, the other NULL. A daemon wins when both are. */
enum km_code km_stage_of(struct km_desk *desk, const char *daemon, const char *image, struct km_stage_answer *out,
                         struct km_err *err) KM_MUST_USE;
/* The same for an incident of the store, with all images that have it. */
enum km_code km_stage_of_incident(struct km_desk *desk, int64_t incident, struct km_stage_answer *out,
                                  struct km_err *err) KM_MUST_USE;

/* Makes a scope or changes one. Lists that are empty leave what is there; a new scope needs a pattern. */
struct km_stage_change {
    const char *scope; /* name: letters, digits, ".", "_", "-" */
    int stage;         /* enum km_stage, -1: as it is (a new scope: record) */
    size_t daemon_count, image_count, criterion_count;
    const char *const *daemons;  /* patterns */
    const char *const *images;   /* patterns */
    const char *const *criteria; /* "precision=0.5", "top_band=0.8", "days=10"; "precision=off" asks no more */
    const char *who, *note;      /* required */
};
/* KM_FORMAT, KM_LIMIT. */
enum km_code km_stage_set(struct km_desk *desk, const struct km_stage_change *change, int64_t now_ns,
                          struct km_err *err) KM_MUST_USE;

/* A step that a person makes. */
struct km_stage_step {
    const char *scope, *who, *note;     /* note: required to advance */
    int64_t staged_found, staged_total; /* staged attacks found, of how many; total 0: none were staged */
};

/* Checks the criteria of the scope's stage as of now_ns. KM_NOTFOUND; KM_CONFLICT: it is in the last stage; KM_FORMAT:
 * staged numbers. */
enum km_code km_stage_check(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                            struct km_stage_check *out, struct km_err *err) KM_MUST_USE;
/* The next stage, when every criterion is met or idle; what was checked is kept. KM_CONFLICT: not met, or no next. */
enum km_code km_stage_advance(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                              struct km_err *err) KM_MUST_USE;
/* The stage before; without a check. KM_CONFLICT: it is in the first. */
enum km_code km_stage_back(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                           struct km_err *err) KM_MUST_USE;

/* A stage of a scope; borrowed. */
struct km_stage_row {
    int64_t scope_id, from_ns, to_ns; /* to_ns 0: it is in it */
    const char *scope, *who, *note, *criteria, *checked;
    enum km_stage stage;
};
/* Visits the stages that scopes are in, or with `scope` all that it was in, oldest first. KM_NOTFOUND: no such scope.
 */
enum km_code km_stage_visit(struct km_desk *desk, const char *scope, void *context,
                            enum km_code (*visit)(void *context, const struct km_stage_row *row, struct km_err *err),
                            struct km_err *err) KM_MUST_USE;
/* Visits a scope's patterns; kind is "daemon" or "image". */
enum km_code km_stage_visit_patterns(struct km_desk *desk, int64_t scope, void *context,
                                     enum km_code (*visit)(void *context, const char *kind, const char *pattern,
                                                           struct km_err *err),
                                     struct km_err *err) KM_MUST_USE;
/* Id of a scope by name. KM_NOTFOUND. */
enum km_code km_stage_find_scope(struct km_desk *desk, const char *name, int64_t *out_id,
                                 struct km_err *err) KM_MUST_USE;

#endif
