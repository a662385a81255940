#include <math.h>
#include <stdio.h>
#include <string.h>

#include "daemon/guard/guard_internal.h"

#define SUBJECT_BYTES 1024
#define HELD_SHARE    0.5

/* "DAEMON/ROLE/EVIDENCE": what a decision's path is compared with. */
static void name_subject(struct km_draft *draft, const char *daemon)
{
    char path[SUBJECT_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s/%s", daemon, draft->role, draft->key);
    draft->finding.subject.path = km_draft_copy(draft, path, strlen(path));
}

void km_guarded_name_alarm(struct km_guarded *daemon)
{
    struct km_draft *draft = &daemon->guard->draft;
    const char *id = daemon->guard->config.store ? km_store_quarantined(daemon->guard->config.store) : "";
    if (id[0])
        draft->finding.subject.alarm = km_draft_copy(draft, id, strlen(id));
}

void km_guarded_keep_act(struct km_guarded *daemon, const struct km_profile *origin, const struct km_event *event)
{
    struct km_guard *guard = daemon->guard;
    struct km_err failed = KM_ERR_INIT;
    if (!guard->config.store)
        return;
    if (km_store_quarantine_act(guard->config.store, origin, &event->landmark,
                                (int64_t)event->time_ns + guard->wall_offset_ns, &failed) == KM_OK)
        km_guarded_name_alarm(daemon);
    else if (!daemon->quarantine_said)
        km_guard_say(guard, "%s: what is new cannot be kept for 'komainu profile accept': %s", daemon->name,
                     failed.text);
    daemon->quarantine_said |= failed.code != KM_OK;
}

enum km_code km_guard_raise(struct km_guard *guard, struct km_guarded *daemon, uint64_t time_ns, struct km_err *err)
{
    struct km_draft *draft = &guard->draft;
    struct km_finding *finding = &draft->finding;
    km_draft_end(draft);
    finding->time_wall_ns = (int64_t)time_ns + guard->wall_offset_ns;
    name_subject(draft, daemon->name);
    daemon->alarms++;
    if (guard->config.decisions.find)
        finding->decision =
            guard->config.decisions.find(guard->config.decisions.context, finding, finding->time_wall_ns);
    if (finding->decision && km_decision_is_benign(finding->decision->kind)) {
        daemon->suppressed++;
        return KM_OK;
    }
    if (finding->decision && finding->decision->kind == KM_DECISION_ATTACK)
        finding->verdict = KM_VERDICT_MALICIOUS;
    struct km_incident_report report = {.daemon = daemon->name,
                                        .role = draft->role,
                                        .key = draft->key,
                                        .time_ns = finding->time_wall_ns,
                                        .strength = draft->surprise * finding->confidence,
                                        .program = draft->program && !draft->held};
    if (draft->held)
        report.strength = fmin(report.strength, HELD_SHARE * guard->least_strength);
    daemon->held += draft->held;
    struct km_incident_answer answer = {0};
    enum km_code code = km_incidents_add(guard->incidents, &report, &answer, err);
    if (code != KM_OK)
        return code;
    bool kept_back = !answer.incident->shown;
    bool update = !answer.is_new && !answer.show && answer.grew;
    const struct km_alert_sink *sink = kept_back ? &guard->config.kept_back : &guard->config.alerts;
    if (!sink->alert || (!answer.show && !update && !(kept_back && answer.is_new)))
        return KM_OK;
    daemon->alerts += answer.show;
    struct km_alert alert = {.finding = finding,
                             .incident = answer.incident,
                             .update = update,
                             .kept_back = kept_back,
                             .weak = kept_back && report.strength < guard->least_strength,
                             .surprise = draft->surprise,
                             .host = guard->config.host,
                             .versions = guard->config.versions};
    return sink->alert(sink->context, &alert, err);
}
