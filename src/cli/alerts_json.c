#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/alerts_view.h"
#include "cli/document.h"
#include "desk/store/stored_finding.h"
#include "desk/triage/runbook.h"
#include "desk/triage/suppress.h"
#include "finding/decision.h"
#include "finding/evidence.h"

#define SENTENCE_BYTES 8192

static void set_time(struct km_json *object, const char *key, int64_t at_ns)
{
    char text[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(at_ns, text);
    km_json_set_string(object, key, at_ns > 0 ? text : NULL);
}

static struct km_json *new_document(const char *schema, const struct km_desk *desk, enum km_desk_place place)
{
    struct km_json *document = km_json_new_object(), *store = km_json_new_object();
    km_json_set_string(document, "schema", schema);
    km_json_set_escaped(store, "path", km_desk_path(desk));
    km_json_set_string(store, "place", km_desk_place_to_string(place));
    km_json_set(document, "store", store);
    return document;
}

static struct km_json *new_incident(const struct km_incident_row *row)
{
    struct km_json *object = km_json_new_object();
    km_json_set_integer(object, "id", row->id);
    km_json_set_string(object, "kind", row->kind);
    km_json_set_escaped(object, "host", row->host);
    km_json_set_escaped(object, "subject", row->subject);
    km_json_set_escaped(object, "role", row->role);
    km_json_set_escaped(object, "dominant", row->dominant);
    km_json_set_string(object, "verdict", km_verdict_to_string(row->verdict));
    km_json_set_string(object, "state", km_triage_state_to_string(row->state));
    km_json_set_string(object, "shown", km_triage_shown_to_string(row->shown));
    set_time(object, "first", row->first_ns);
    set_time(object, "last", row->last_ns);
    km_json_set_integer(object, "count", row->count);
    km_json_set_integer(object, "images", row->images);
    km_json_set_real(object, "score", row->score);
    km_json_set_real(object, "confidence", row->confidence);
    struct km_json *priority = km_json_new_object();
    km_json_set_real(priority, "value", row->priority);
    km_json_set_real(priority, "importance", row->importance);
    km_json_set_real(priority, "reach", row->reach);
    km_json_set_real(priority, "patch_window", row->patch_window);
    km_json_set_bool(priority, "patch_window_measured", false);
    km_json_set(object, "priority", priority);
    km_json_set_escaped(object, "assignee", row->assignee);
    km_json_set_escaped(object, "service", row->service);
    km_json_set_real(object, "minutes", row->minutes);
    km_json_set_string(object, "decision",
                       row->decision < 0 ? NULL : km_decision_kind_to_string((enum km_decision_kind)row->decision));
    set_time(object, "decided", row->decided_ns);
    set_time(object, "closed", row->closed_ns);
    if (row->suppression_id > 0)
        km_json_set_integer(object, "suppression", row->suppression_id);
    else
        km_json_set_string(object, "suppression", NULL);
    set_time(object, "returned", row->returned_ns);
    return object;
}

static enum km_code append_incident(void *context, const struct km_incident_row *row, struct km_err *err)
{
    (void)err;
    km_json_append(context, new_incident(row));
    return KM_OK;
}

enum km_code km_alerts_json_list(struct km_desk *desk, enum km_desk_place place,
                                 const struct km_incident_filter *filter, struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = new_document("komainu.alerts/1", desk, place);
    struct km_json *list = km_json_new_array();
    km_json_set(document, "incidents", list);
    bool more = false;
    enum km_code code = km_incident_list(desk, filter, list, append_incident, &more, err);
    km_json_set_bool(document, "more", more);
    return code == KM_OK ? km_document_print(document, err) : code;
}

/* ---- one incident ---- */

static enum km_code append_evidence(struct km_json *list, const struct km_evidence *evidence, struct km_err *err)
{
    struct km_buf sentence;
    struct km_json *object = km_json_new_object(), *args = km_json_new_object();
    km_json_append(list, object);
    km_json_set(object, "args", args);
    km_json_set_escaped(object, "id", evidence->id);
    km_json_set_real(object, "weight", evidence->weight);
    for (size_t i = 0; i < evidence->arg_count; i++) {
        const struct km_arg *arg = &evidence->args[i];
        if (arg->type == KM_ARG_TEXT)
            km_json_set_escaped(args, arg->name, arg->text);
        else if (arg->type == KM_ARG_INTEGER)
            km_json_set_integer(args, arg->name, arg->integer);
        else
            km_json_set_real(args, arg->name, arg->real);
    }
    km_json_set_escaped(object, "reference", evidence->reference);
    km_buf_init(&sentence, SENTENCE_BYTES);
    enum km_code code = km_evidence_format(evidence, &sentence, err);
    km_json_set_string(object, "sentence", km_buf_text(&sentence));
    km_buf_done(&sentence);
    return code;
}

static enum km_code append_finding(void *context, const struct km_stored_finding *stored, struct km_err *err)
{
    const struct km_finding *finding = &stored->finding;
    const struct km_subject *subject = &finding->subject;
    const struct {
        const char *name, *text;
    } texts[] = {
        {"target", stored->target},
        {"image", subject->image},
        {"path", subject->path},
        {"layer", subject->layer},
        {"layer_history", subject->layer_history},
        {"sha256", subject->sha256},
        {"package", finding->package},
        {"daemon", subject->daemon},
        {"role", subject->role},
        {"executable", subject->executable},
        {"command", subject->command},
    };
    struct km_json *object = km_json_new_object(), *evidence = km_json_new_array();
    km_json_append(context, object);
    km_json_set_integer(object, "id", stored->id);
    set_time(object, "at", stored->at_ns);
    km_json_set_string(object, "verdict", km_verdict_to_string(finding->verdict));
    km_json_set_real(object, "score", finding->score);
    km_json_set_real(object, "confidence", finding->confidence);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        km_json_set_escaped(object, texts[i].name, texts[i].text);
    km_json_set(object, "evidence", evidence);
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < finding->evidence_count; i++)
        code = append_evidence(evidence, &finding->evidence[i], err);
    return code;
}

static enum km_code append_decision(void *context, const struct km_alerts_decision *decision, struct km_err *err)
{
    (void)err;
    struct km_json *object = km_json_new_object();
    km_json_append(context, object);
    km_json_set_integer(object, "id", decision->id);
    km_json_set_string(object, "kind", decision->kind);
    km_json_set_escaped(object, "who", decision->who);
    km_json_set_escaped(object, "note", decision->note);
    set_time(object, "at", decision->at_ns);
    set_time(object, "until", decision->until_ns);
    set_time(object, "applied", decision->applied_ns);
    km_json_set_escaped(object, "problem", decision->problem);
    set_time(object, "undone", decision->undone_ns);
    km_json_set_escaped(object, "undone_by", decision->undone_by);
    km_json_set_escaped(object, "undone_note", decision->undone_note);
    return KM_OK;
}

static struct km_json *new_lines(const char *const *lines)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; lines[i]; i++)
        km_json_append(list, km_json_new_string(lines[i]));
    return list;
}

static struct km_json *new_runbook(const struct km_incident_row *row)
{
    const struct km_runbook *runbook = km_runbook_find(row->kind, row->dominant);
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "title", runbook->title);
    km_json_set(object, "look", new_lines(runbook->look));
    km_json_set(object, "recover", new_lines(runbook->recover));
    km_json_set_string(object, "tell", runbook->tell);
    return object;
}

struct details {
    struct km_desk *desk;
    struct km_json *document;
};

static enum km_code add_details(void *context, const struct km_incident_row *row, struct km_err *err)
{
    const struct details *details = context;
    struct km_json *findings = km_json_new_array(), *decisions = km_json_new_array();
    const struct km_stored_question question = {.incident = row->id, .limit = KM_ALERTS_FINDINGS_SHOWN};
    km_json_set(details->document, "incident", new_incident(row));
    km_json_set(details->document, "findings", findings);
    km_json_set(details->document, "decisions", decisions);
    km_json_set(details->document, "runbook", new_runbook(row));
    enum km_code code = km_stored_visit(details->desk, &question, findings, append_finding, err);
    return code == KM_OK ? km_alerts_visit_decisions(details->desk, row->id, decisions, append_decision, err) : code;
}

enum km_code km_alerts_json_incident(struct km_desk *desk, enum km_desk_place place, int64_t id, struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = new_document("komainu.incident/1", desk, place);
    struct details details = {desk, document};
    enum km_code code = km_incident_visit(desk, id, &details, add_details, err);
    return code == KM_OK ? km_document_print(document, err) : code;
}

static enum km_code append_suppression(void *context, const struct km_suppression_row *row, struct km_err *err)
{
    (void)err;
    const struct km_suppression *suppression = &row->suppression;
    const struct {
        const char *name, *text;
    } texts[] = {{"host", suppression->host},         {"daemon", suppression->daemon}, {"role", suppression->role},
                 {"image", suppression->image},       {"path", suppression->path},     {"sha256", suppression->sha256},
                 {"evidence", suppression->evidence}, {"reason", suppression->reason}, {"owner", suppression->owner}};
    struct km_json *object = km_json_new_object();
    km_json_append(context, object);
    km_json_set_integer(object, "id", row->id);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        km_json_set_escaped(object, texts[i].name, texts[i].text);
    set_time(object, "created", row->created_ns);
    set_time(object, "expires", suppression->expires_ns);
    set_time(object, "ended", row->ended_ns);
    km_json_set_integer(object, "hidden_findings", row->hidden);
    set_time(object, "last_hidden", row->last_hidden_ns);
    km_json_set_integer(object, "hidden_incidents", row->incidents);
    km_json_set_integer(object, "waiting", row->waiting);
    km_json_set_integer(object, "waiting_digest", row->waiting_digest);
    return KM_OK;
}

enum km_code km_alerts_json_suppressions(struct km_desk *desk, enum km_desk_place place, bool all, struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = new_document("komainu.suppressions/1", desk, place);
    struct km_json *list = km_json_new_array();
    km_json_set(document, "suppressions", list);
    enum km_code code = km_suppress_visit(desk, all, list, append_suppression, err);
    return code == KM_OK ? km_document_print(document, err) : code;
}
