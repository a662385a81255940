#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "cli/alerts_view.h"
#include "desk/store/query.h"
#include "desk/store/stored_finding.h"
#include "desk/triage/runbook.h"
#include "desk/triage/suppress.h"
#include "finding/decision.h"
#include "finding/evidence.h"

#define CELL_BYTES      512
#define SENTENCE_BYTES  8192
#define TIME_WORD_BYTES KM_CLOCK_UTC_BYTES

enum km_code km_alerts_parse_id(const char *text, int64_t *out, struct km_err *err)
{
    char *end = NULL;
    errno = 0;
    if (*text == '#')
        text++;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < 1)
        return km_fail(err, KM_FORMAT, "'%s' is no number of an incident", text);
    *out = number;
    return KM_OK;
}

enum km_code km_alerts_visit_decisions(struct km_desk *desk, int64_t incident, void *context,
                                       enum km_code (*visit)(void *context, const struct km_alerts_decision *decision,
                                                             struct km_err *err),
                                       struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open_once(desk,
                           "SELECT id, at_ns, coalesce(until_ns, 0), coalesce(applied_ns, 0), coalesce(undone_ns, 0),"
                           " kind, who, note, applied_error, undone_by, undone_note FROM decision WHERE incident_id=?1"
                           " ORDER BY id",
                           err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        const struct km_alerts_decision decision = {
            .id = km_query_integer(query, 0),
            .at_ns = km_query_integer(query, 1),
            .until_ns = km_query_integer(query, 2),
            .applied_ns = km_query_integer(query, 3),
            .undone_ns = km_query_integer(query, 4),
            .kind = km_decision_kind_to_string((enum km_decision_kind)km_query_integer(query, 5)),
            .who = km_query_text(query, 6),
            .note = km_query_text(query, 7),
            .problem = km_query_text_or_null(query, 8),
            .undone_by = km_query_text_or_null(query, 9),
            .undone_note = km_query_text_or_null(query, 10),
        };
        code = visit(context, &decision, err);
    }
    return code;
}

static void print_escaped(const char *text)
{
    char cell[CELL_BYTES];
    (void)km_text_escape(text, strlen(text), cell, sizeof cell);
    fputs(cell, stdout);
}

static void print_time(const char *label, int64_t at_ns)
{
    char text[TIME_WORD_BYTES];
    km_clock_format_utc(at_ns, text);
    printf("%s%s", label, text);
}

/* ---- the list ---- */

static enum km_code print_row(void *context, const struct km_incident_row *row, struct km_err *err)
{
    (void)err;
    size_t *count = context;
    if ((*count)++ == 0)
        puts("incident  priority  verdict     state      last seen             count  what");
    char last[TIME_WORD_BYTES];
    km_clock_format_utc(row->last_ns, last);
    printf("#%-8" PRId64 " %7.2f  %-10s  %-9s  %-20s  %5" PRId64 "  ", row->id, row->priority,
           km_verdict_to_string(row->verdict), km_triage_state_to_string(row->state), last, row->count);
    print_escaped(row->subject);
    if (row->role) {
        fputs(" (", stdout);
        print_escaped(row->role);
        fputs(")", stdout);
    }
    fputs(": ", stdout);
    print_escaped(row->dominant);
    if (row->shown != KM_TRIAGE_ALERT && row->shown != KM_TRIAGE_WAITS)
        printf(" [%s]", km_triage_shown_to_string(row->shown));
    if (row->returned_ns > 0)
        printf(" [back from suppression %" PRId64 "]", row->suppression_id);
    if (row->decision >= 0)
        printf(" [%s]", km_decision_kind_to_string((enum km_decision_kind)row->decision));
    if (row->assignee) {
        fputs(" @", stdout);
        print_escaped(row->assignee);
    }
    fputc('\n', stdout);
    return KM_OK;
}

/* What the usual list leaves out. */
struct left_out {
    int64_t digested, suppressed, returned;
};

static enum km_code count_left_out(struct km_desk *desk, struct left_out *out, struct km_err *err)
{
    enum km_code code =
        km_query_number(desk, "SELECT count(*) FROM incident WHERE shown=2 AND state<4", 0, &out->digested, err);
    if (code == KM_OK)
        code =
            km_query_number(desk, "SELECT count(*) FROM incident WHERE shown=5 AND state<4", 0, &out->suppressed, err);
    return code == KM_OK ? km_query_number(desk,
                                           "SELECT count(*) FROM incident WHERE returned_ns IS NOT NULL AND state<4 AND"
                                           " decision_kind IS NULL",
                                           0, &out->returned, err)
                         : code;
}

struct last_row {
    size_t count;
    int64_t id;
};

static enum km_code print_and_keep(void *context, const struct km_incident_row *row, struct km_err *err)
{
    struct last_row *last = context;
    last->id = row->id;
    return print_row(&last->count, row, err);
}

enum km_code km_alerts_print_list(struct km_desk *desk, const struct km_incident_filter *filter, bool digest,
                                  struct km_err *err)
{
    struct last_row last = {0};
    bool more = false;
    struct left_out left_out = {0};
    bool usual = !digest && !filter->all && filter->suppression == 0 && !filter->returned;
    enum km_code code = km_incident_list(desk, filter, &last, print_and_keep, &more, err);
    if (code == KM_OK)
        code = count_left_out(desk, &left_out, err);
    if (code != KM_OK)
        return code;
    if (last.count == 0)
        puts(digest ? "nothing was over budget" : "no incidents");
    if (more)
        printf("more: --after %" PRId64 "\n", last.id);
    /* What is not shown is said, so that silence is never taken for rest. */
    if (usual && left_out.digested > 0)
        printf("%" PRId64 " over budget: komainu alerts digest\n", left_out.digested);
    if (usual && left_out.suppressed > 0)
        printf("%" PRId64 " suppressed: komainu alerts suppress\n", left_out.suppressed);
    if (usual && left_out.returned > 0)
        printf("%" PRId64 " back from suppressions, to be reviewed: komainu alerts list --returned\n",
               left_out.returned);
    return KM_OK;
}

/* ---- one incident ---- */

static enum km_code print_sentence(const struct km_evidence *evidence, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, SENTENCE_BYTES);
    enum km_code code = km_evidence_format(evidence, &text, err);
    if (code == KM_OK)
        printf("      %+5.1f  %s\n", evidence->weight, km_buf_text(&text));
    km_buf_done(&text);
    return code;
}

static void print_named(const char *name, const char *text)
{
    if (!text)
        return;
    printf("    %s ", name);
    print_escaped(text);
    fputc('\n', stdout);
}

static enum km_code print_finding(void *context, const struct km_stored_finding *stored, struct km_err *err)
{
    (void)context;
    const struct km_finding *finding = &stored->finding;
    const struct km_subject *subject = &finding->subject;
    print_time("  ", stored->at_ns);
    printf("  %s, score %.2f, confidence %.2f\n", km_verdict_to_string(finding->verdict), finding->score,
           finding->confidence);
    print_named("image  ", subject->image);
    print_named("path   ", subject->path);
    print_named("layer  ", subject->layer);
    print_named("step   ", subject->layer_history);
    print_named("sha256 ", subject->sha256);
    print_named("package", finding->package);
    print_named("program", subject->executable);
    print_named("command", subject->command);
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < finding->evidence_count; i++)
        code = print_sentence(&finding->evidence[i], err);
    return code;
}

static enum km_code print_decision(void *context, const struct km_alerts_decision *decision, struct km_err *err)
{
    (void)context;
    (void)err;
    print_time("  ", decision->at_ns);
    printf("  %s by ", decision->kind);
    print_escaped(decision->who);
    fputs(": ", stdout);
    print_escaped(decision->note);
    if (decision->until_ns > 0)
        print_time("; until ", decision->until_ns);
    if (decision->undone_ns > 0) {
        fputs("; undone by ", stdout);
        print_escaped(decision->undone_by ? decision->undone_by : "");
        fputs(": ", stdout);
        print_escaped(decision->undone_note ? decision->undone_note : "");
    } else if (decision->problem) {
        fputs("; could not be applied: ", stdout);
        print_escaped(decision->problem);
    } else if (decision->applied_ns > 0) {
        print_time("; applied ", decision->applied_ns);
    } else {
        fputs("; not yet applied by the guardian", stdout);
    }
    fputc('\n', stdout);
    return KM_OK;
}

static void print_runbook(const struct km_incident_row *row)
{
    const struct km_runbook *runbook = km_runbook_find(row->kind, row->dominant);
    printf("\nwhat to do: %s\n", km_words(runbook->title));
    puts("  look at");
    for (size_t i = 0; runbook->look[i]; i++)
        printf("    - %s\n", km_words(runbook->look[i]));
    puts("  recover");
    for (size_t i = 0; runbook->recover[i]; i++)
        printf("    - %s\n", km_words(runbook->recover[i]));
    printf("  tell\n    - %s\n", km_words(runbook->tell));
}

static void print_head(const struct km_incident_row *row)
{
    printf("incident %" PRId64 ": ", row->id);
    print_escaped(row->subject);
    if (row->role) {
        fputs(" (", stdout);
        print_escaped(row->role);
        fputs(")", stdout);
    }
    fputs("\n  on ", stdout);
    print_escaped(row->host);
    printf(", %s, %s, %s", km_verdict_to_string(row->verdict), km_triage_state_to_string(row->state),
           km_triage_shown_to_string(row->shown));
    if (row->assignee) {
        fputs(", assigned to ", stdout);
        print_escaped(row->assignee);
    }
    if (row->service) {
        fputs(", affects ", stdout);
        print_escaped(row->service);
    }
    printf("\n  %" PRId64 " finding%s", row->count, row->count == 1 ? "" : "s");
    print_time(", first ", row->first_ns);
    print_time(", last ", row->last_ns);
    if (row->images > 0)
        printf(", in %" PRId64 " image%s", row->images, row->images == 1 ? "" : "s");
    if (row->minutes > 0)
        printf(", %.4g minutes spent", row->minutes);
    printf("\n  priority %.2f = score %.2f x importance %.4g x reach %.2f x patch window %.4g (not measured yet)\n",
           row->priority, row->score, row->importance, row->reach, row->patch_window);
}

static enum km_code print_incident(void *context, const struct km_incident_row *row, struct km_err *err)
{
    struct km_desk *desk = context;
    print_head(row);
    puts("\nevidence, strongest findings first");
    const struct km_stored_question question = {.incident = row->id, .limit = KM_ALERTS_FINDINGS_SHOWN};
    enum km_code code = km_stored_visit(desk, &question, NULL, print_finding, err);
    if (code == KM_OK && row->count > KM_ALERTS_FINDINGS_SHOWN)
        printf("  and %" PRId64 " more\n", row->count - KM_ALERTS_FINDINGS_SHOWN);
    if (code == KM_OK && (row->decision >= 0 || row->decided_ns > 0))
        puts("\ndecisions");
    if (code == KM_OK)
        code = km_alerts_visit_decisions(desk, row->id, NULL, print_decision, err);
    if (code == KM_OK)
        print_runbook(row);
    return code;
}

enum km_code km_alerts_print_incident(struct km_desk *desk, int64_t id, struct km_err *err)
{
    return km_incident_visit(desk, id, desk, print_incident, err);
}

/* ---- suppressions ---- */

static enum km_code print_suppression(void *context, const struct km_suppression_row *row, struct km_err *err)
{
    (void)err;
    size_t *count = context;
    const struct km_suppression *suppression = &row->suppression;
    const struct {
        const char *name, *text;
    } parts[] = {{"host", suppression->host},        {"daemon", suppression->daemon}, {"role", suppression->role},
                 {"image", suppression->image},      {"path", suppression->path},     {"sha256", suppression->sha256},
                 {"evidence", suppression->evidence}};
    (*count)++;
    printf("suppression %" PRId64 ":", row->id);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].text) {
            printf(" %s=", parts[i].name);
            print_escaped(parts[i].text);
        }
    fputs("\n  because: ", stdout);
    print_escaped(suppression->reason);
    fputs("\n  owner: ", stdout);
    print_escaped(suppression->owner);
    print_time(row->ended_ns > 0 ? ", ended " : ", ends ", row->ended_ns > 0 ? row->ended_ns : suppression->expires_ns);
    printf("\n  hid %" PRId64 " finding%s", row->hidden, row->hidden == 1 ? "" : "s");
    if (row->last_hidden_ns > 0)
        print_time(", last ", row->last_hidden_ns);
    printf("; hides %" PRId64 " incident%s now", row->incidents, row->incidents == 1 ? "" : "s");
    if (row->waiting > 0)
        printf("; came back and wait for a decision: %" PRId64 " (in the digest: %" PRId64 ")", row->waiting,
               row->waiting_digest);
    fputc('\n', stdout);
    return KM_OK;
}

enum km_code km_alerts_print_suppressions(struct km_desk *desk, bool all, struct km_err *err)
{
    size_t count = 0;
    enum km_code code = km_suppress_visit(desk, all, &count, print_suppression, err);
    if (code == KM_OK && count == 0)
        puts("no suppressions");
    return code;
}
