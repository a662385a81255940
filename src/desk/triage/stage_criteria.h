/*
 * When a stage may be left: figures of kpi.h, measured since the stage began, against limits. The usual limits are
 * proposals for a pilot (7 days of record, 14 of shadow, 30 of top); a scope can have others.
 */
#ifndef KM_DESK_TRIAGE_STAGE_CRITERIA_H
#define KM_DESK_TRIAGE_STAGE_CRITERIA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "desk/triage/kpi.h"

/* Values are stored. */
enum km_stage {
    KM_STAGE_RECORD = 0, /* findings are kept, nothing is shown */
    KM_STAGE_SHADOW = 1, /* listed and marked; nobody is alerted */
    KM_STAGE_TOP = 2,    /* the top band alerts, the rest goes to the digest */
    KM_STAGE_ALL = 3,
};
#define KM_STAGE_COUNT          4
#define KM_STAGE_USUAL_TOP_BAND 0.9

/* "record", "shadow", "top", "all". Static storage. from_string: KM_FORMAT. */
const char *km_stage_to_string(enum km_stage stage);
enum km_code km_stage_from_string(const char *text, enum km_stage *out, struct km_err *err) KM_MUST_USE;

enum km_criterion_result {
    KM_CRITERION_MET = 0,
    KM_CRITERION_FAILED = 1,
    KM_CRITERION_NO_DATA = 2, /* is not met */
    KM_CRITERION_IDLE = 3, /* there was nothing to judge: no alert, no decision, no suppression; does not hold back */
};
/* "met", "not met", "no data", "nothing to judge". */
const char *km_criterion_result_to_string(enum km_criterion_result result);

struct km_criterion {
    const char *id; /* of a figure of kpi.h; or "days" in the stage, "staged" share found */
    const char *unit;
    bool at_least;                    /* else at most */
    bool of_daemons, of_images;       /* asked of a scope with such patterns */
    const char *idle;                 /* a figure whose 0 means that there was nothing to judge, or NULL */
    double usual[KM_STAGE_COUNT - 1]; /* NaN: not asked */
};

struct km_criterion_check {
    const struct km_criterion *criterion;
    double wanted, value; /* value: NaN without data */
    int64_t n;
    enum km_criterion_result result;
};

#define KM_STAGE_MAX_CRITERIA 24
struct km_stage_check {
    enum km_stage stage;
    int64_t since_ns, until_ns;
    bool met; /* all are met or idle */
    size_t count;
    struct km_criterion_check checks[KM_STAGE_MAX_CRITERIA];
};

/* What is judged. figures: since the stage began, or NULL when that has no past (a clock was set back): no data. */
struct km_stage_facts {
    enum km_stage stage;
    int64_t since_ns, now_ns;
    bool of_daemons, of_images;
    int64_t staged_found, staged_total;
    const struct km_json *limits; /* the scope's own ({"precision": 0.5, "latency_p50": null}), or NULL */
    const struct km_kpi_report *figures;
};
/* Pure. */
void km_criterion_judge(const struct km_stage_facts *facts, struct km_stage_check *out);

/* "precision=0.5" or "precision=off" into `limits`. KM_FORMAT: unknown or out of range. */
enum km_code km_criterion_parse(const char *text, struct km_json *limits, struct km_err *err) KM_MUST_USE;

/* The scope's top band. */
double km_criterion_top_band(const struct km_json *limits);

#endif
