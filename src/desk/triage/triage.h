/*
 * From findings to what a person sees: grouping into incidents, suppressions, the alert budget, the digest.
 *
 * km_triage_run is idempotent and cheap when nothing is new; commands call it before they show anything, guardians'
 * runs after they recorded. Everything of one call happens in one transaction or not at all.
 *
 * Grouping. A suspicious or malicious finding that no decision answers belongs to the incident that is not closed and
 * has the same host and
 *   of a file: the same content (SHA-256), or the same image without its tag, path and dominant evidence;
 *   of a daemon: the same daemon, role and dominant evidence, no further away in time than KM_TRIAGE_GAP_NS;
 * else it begins one. (finding/incident.h groups the same way within a guard, before anything is stored; it cannot know
 * what people closed.)
 *
 * Budget. Of the incidents of a day (UTC) so many are shown as alerts, strongest priority first: budget.daemon for each
 * daemon or image, budget.host for each host. The others are the day's digest. A share of the host's budget is spent on
 * what nobody alarmed about: findings just under the threshold (budget.uncertain, in percent), and a random sample of
 * what the guard's tap delivered or a scan noted (budget.sample, in percent), from which the missed rate is estimated.
 * The draw is made by the store's salt and the day: it is the same for everybody. What comes back from a suppression
 * that ended is ranked with the day on which it comes back, and has at most half of the day's budget (at least one):
 * news must not wait behind a review.
 *
 * Priority = score x importance x reach x patch window. importance is a person's (1 unless set); reach of a file is
 * 1 + log2 of the images that have it, of a daemon 1 until the inventory gives it; the patch window is 1 until its
 * measurement exists.
 */
#ifndef KM_DESK_TRIAGE_TRIAGE_H
#define KM_DESK_TRIAGE_TRIAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"
#include "finding/finding.h"

#define KM_TRIAGE_GAP_NS          (INT64_C(600) * 1000000000)
#define KM_TRIAGE_DAY_NS          (INT64_C(86400) * 1000000000)
#define KM_TRIAGE_BUDGET_DAEMON   3
#define KM_TRIAGE_BUDGET_HOST     10
#define KM_TRIAGE_UNCERTAIN_SHARE 10 /* percent of the host's budget */
#define KM_TRIAGE_SAMPLE_SHARE    10
#define KM_TRIAGE_WEAK_SCORE      0.1 /* below it an incident is never an alert, whatever the budget */
#define KM_TRIAGE_UNCERTAIN_SCORE 0.3 /* findings from here up to the threshold are the uncertain band */

/* Values are stored. */
enum km_triage_state {
    KM_TRIAGE_OPEN = 0,
    KM_TRIAGE_ASSIGNED = 1,
    KM_TRIAGE_CONFIRMED = 2, /* somebody looked, and it is what it seems */
    KM_TRIAGE_RECOVERED = 3, /* the machine is as it should be again */
    KM_TRIAGE_CLOSED = 4,
};

/* Why an incident is or is not in front of a person. Values are stored. */
enum km_triage_shown {
    KM_TRIAGE_WAITS = 0, /* not yet ranked; only within km_triage_run */
    KM_TRIAGE_ALERT = 1,
    KM_TRIAGE_DIGEST = 2,     /* over budget */
    KM_TRIAGE_UNCERTAIN = 3,  /* below the threshold; asked because the answer teaches most */
    KM_TRIAGE_SAMPLE = 4,     /* drawn at random; asked to estimate what is missed */
    KM_TRIAGE_SUPPRESSED = 5, /* a suppression hides it */
    KM_TRIAGE_SHADOW = 6,     /* would be an alert; its scope is in the shadow stage: listed and marked */
    KM_TRIAGE_RECORDED = 7,   /* its scope is in the record stage (stage.h) */
};

/* Where a finding comes from (column origin). Values are stored. */
enum km_triage_origin {
    KM_TRIAGE_ORIGIN_ALARM = 0,
    KM_TRIAGE_ORIGIN_UNCERTAIN = 1,
    KM_TRIAGE_ORIGIN_SAMPLE = 2,
};

struct km_triage_report {
    int64_t findings;   /* taken up by this call */
    int64_t begun;      /* incidents */
    int64_t alerts;     /* of them shown */
    int64_t digested;   /* of them over budget */
    int64_t suppressed; /* findings hidden */
    int64_t returned;   /* incidents back because their suppression ended */
};

/* now_ns: wall clock. out may be NULL. */
enum km_code km_triage_run(struct km_desk *desk, int64_t now_ns, struct km_triage_report *out,
                           struct km_err *err) KM_MUST_USE;

/* "open", "assigned", … and "alert", "digest", … Static storage. from_string: KM_FORMAT. */
const char *km_triage_state_to_string(enum km_triage_state state);
const char *km_triage_shown_to_string(enum km_triage_shown shown);
enum km_code km_triage_state_from_string(const char *text, enum km_triage_state *out, struct km_err *err) KM_MUST_USE;

/* The name of an image without its tag or digest ("registry:5000/shop:1.2" is "registry:5000/shop"): versions of one
 * image are one subject. out_bytes >= 1; cut when too small. */
void km_triage_format_lineage(const char *image, char *out, size_t out_bytes);

#endif
