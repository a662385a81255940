/*
 * `komainu guard` and the desk: findings, watched time, losses and health go to the store, and what people decided
 * there is applied to the running guard and its profiles.
 *
 *     benign-learn       the alarms in quarantine that the decision is about are learned by the profile, which the
 * guard uses from then on; undo takes exactly these out again benign-once, benign-until, suspicious, attack nothing is
 * learned; the decision itself answers the guard's question
 */
#ifndef KM_CLI_GUARD_DESK_H
#define KM_CLI_GUARD_DESK_H

#include "base/err.h"
#include "base/mem.h"
#include "daemon/guard/live.h"
#include "daemon/rules/rules.h"
#include "finding/alert.h"
#include "finding/decision.h"

struct km_guard_desk;

struct km_guard_desk_config {
    const char *named;      /* the store, or NULL: the usual one */
    struct km_store *store; /* of the profiles, borrowed */
    struct km_versions versions;
    const struct km_rules *rules; /* in use, or NULL; versions.rules is their digest */
    void *say_context;
    void (*say)(void *context, const char *line);
};

/* Opens the store; to be called before rights are given up. NULL: codes of the store. */
struct km_guard_desk *km_guard_desk_open(const struct km_guard_desk_config *config, struct km_err *err) KM_MUST_USE;

/* Between the guard and `first`; both outlive the guard. */
struct km_alert_sink km_guard_desk_alerts(struct km_guard_desk *desk, const struct km_alert_sink *first);
/* What the guard's budget keeps back, to the store alone: for the desk's ranked digest. */
struct km_alert_sink km_guard_desk_kept_back(struct km_guard_desk *desk);
struct km_decisions km_guard_desk_decisions(struct km_guard_desk *desk, const struct km_decisions *first);

/* In the loop: writes what waits, applies decisions, reports now and then. Trouble with the store is said once and
 * ends nothing; KM_NOMEM only. */
enum km_code km_guard_desk_tick(struct km_guard_desk *desk, struct km_live *live, struct km_err *err) KM_MUST_USE;

/* The last report, and the end of the run. live may be NULL. NULL desk is allowed. */
void km_guard_desk_close(struct km_guard_desk *desk, struct km_live *live);

#endif
