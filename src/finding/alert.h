/*
 * An alert: a finding about a daemon that the budget lets through, as the first sign of its incident. The same form
 * carries what the budget keeps back for the digest.
 */
#ifndef KM_FINDING_ALERT_H
#define KM_FINDING_ALERT_H

#include "base/err.h"
#include "finding/finding.h"
#include "finding/incident.h"

struct km_alert {
    const struct km_finding *finding; /* kind "daemon" */
    const struct km_incident *incident;
    bool update;     /* the incident was told before and became much stronger */
    bool kept_back;  /* not to be shown: it waits in the digest */
    bool weak;       /* it waits there at any budget, as too little speaks for it */
    double surprise; /* sum of the evidence's weights, in nats: what ranks incidents, times the confidence */
    const char *host;
    struct km_versions versions;
};

/* Whoever wants alerts; everything is borrowed for the time of the call. */
struct km_alert_sink {
    void *context;
    enum km_code (*alert)(void *context, const struct km_alert *alert, struct km_err *err);
};

#endif
