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
#define NUMBER_BYTES    24
#define NAME_COLUMNS    7
#define VERDICT_COLUMNS 10
#define STATE_COLUMNS   9

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

/* Text from the store as an argument of a sentence; `cell` has CELL_BYTES. */
static const char *escape(const char *text, char *cell)
{
    (void)km_text_escape(text ? text : "", text ? strlen(text) : 0, cell, CELL_BYTES);
    return cell;
}

static const char *format_number(int64_t number, char *out)
{
    (void)snprintf(out, NUMBER_BYTES, "%" PRId64, number);
    return out;
}

static const char *format_time(int64_t at_ns, char *out)
{
    km_clock_format_utc(at_ns, out);
    return out;
}

/* A cell of a table; `columns` wide on a terminal. */
static void print_padded(const char *text, size_t columns)
{
    size_t width = km_text_columns(text);
    printf("%s%*s", text, width < columns ? (int)(columns - width) : 0, "");
}

/* "shop:1 (worker)" */
static void print_subject(const struct km_incident_row *row)
{
    print_escaped(row->subject);
    if (!row->role)
        return;
    fputs(" (", stdout);
    print_escaped(row->role);
    fputs(")", stdout);
}

/* ---- the list ---- */

static enum km_code print_row(void *context, const struct km_incident_row *row, struct km_err *err)
{
    (void)err;
    size_t *count = context;
    char last[TIME_WORD_BYTES], number[NUMBER_BYTES];
    if ((*count)++ == 0) {
        static const size_t widths[] = {10, 10, VERDICT_COLUMNS + 2, STATE_COLUMNS + 2, 22, 7, 0};
        const char *const heads[] = {km_words("incident"), km_words("priority"),  km_words("verdict"),
                                     km_words("state"),    km_words("last seen"), km_words("count"),
                                     km_words("what")};
        for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++)
            print_padded(heads[i], widths[i]);
        fputc('\n', stdout);
    }
    printf("#%-8" PRId64 " %7.2f  ", row->id, row->priority);
    print_padded(km_words(km_verdict_to_string(row->verdict)), VERDICT_COLUMNS + 2);
    print_padded(km_words(km_triage_state_to_string(row->state)), STATE_COLUMNS + 2);
    printf("%-20s  %5" PRId64 "  ", format_time(row->last_ns, last), row->count);
    print_subject(row);
    fputs(": ", stdout);
    print_escaped(row->dominant);
    if (row->shown != KM_TRIAGE_ALERT && row->shown != KM_TRIAGE_WAITS)
        printf(" [%s]", km_words(km_triage_shown_to_string(row->shown)));
    if (row->returned_ns > 0)
        km_words_print(stdout, " [back from suppression {id}]", "id", format_number(row->suppression_id, number), NULL);
    if (row->decision >= 0)
        printf(" [%s]", km_words(km_decision_kind_to_string((enum km_decision_kind)row->decision)));
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

static void print_hint(const char *english, int64_t number)
{
    char text[NUMBER_BYTES], line[CELL_BYTES];
    km_words_format(line, sizeof line, english, "n", format_number(number, text), NULL);
    puts(line);
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
        puts(km_words(digest ? "nothing was over budget" : "no incidents"));
    if (more)
        print_hint("more: --after {n}", last.id);
    /* What is not shown is said, so that silence is never taken for rest. */
    if (usual && left_out.digested > 0)
        print_hint("{n} over budget: komainu alerts digest", left_out.digested);
    if (usual && left_out.suppressed > 0)
        print_hint("{n} suppressed: komainu alerts suppress", left_out.suppressed);
    if (usual && left_out.returned > 0)
        print_hint("{n} back from suppressions, to be reviewed: komainu alerts list --returned", left_out.returned);
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

static void print_named(const char *english, const char *text)
{
    if (!text)
        return;
    fputs("    ", stdout);
    print_padded(km_words(english), NAME_COLUMNS);
    fputc(' ', stdout);
    print_escaped(text);
    fputc('\n', stdout);
}

static enum km_code print_finding(void *context, const struct km_stored_finding *stored, struct km_err *err)
{
    (void)context;
    const struct km_finding *finding = &stored->finding;
    const struct km_subject *subject = &finding->subject;
    char at[TIME_WORD_BYTES], score[NUMBER_BYTES], confidence[NUMBER_BYTES];
    (void)snprintf(score, sizeof score, "%.2f", finding->score);
    (void)snprintf(confidence, sizeof confidence, "%.2f", finding->confidence);
    km_words_print(stdout, "  {time}  {verdict}, score {score}, confidence {confidence}\n", "time",
                   format_time(stored->at_ns, at), "verdict", km_words(km_verdict_to_string(finding->verdict)), "score",
                   score, "confidence", confidence, NULL);
    print_named("image", subject->image);
    print_named("path", subject->path);
    print_named("layer", subject->layer);
    print_named("step", subject->layer_history);
    print_named("sha256", subject->sha256);
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
    char who[CELL_BYTES], note[CELL_BYTES], at[TIME_WORD_BYTES];
    printf("  %s  ", format_time(decision->at_ns, at));
    km_words_print(stdout, "{kind} by {who}: {note}", "kind", km_words(decision->kind), "who",
                   escape(decision->who, who), "note", escape(decision->note, note), NULL);
    if (decision->until_ns > 0)
        km_words_print(stdout, "; until {time}", "time", format_time(decision->until_ns, at), NULL);
    if (decision->undone_ns > 0)
        km_words_print(stdout, "; undone by {who}: {note}", "who", escape(decision->undone_by, who), "note",
                       escape(decision->undone_note, note), NULL);
    else if (decision->problem)
        km_words_print(stdout, "; could not be applied: {why}", "why", escape(decision->problem, note), NULL);
    else if (decision->applied_ns > 0)
        km_words_print(stdout, "; applied {time}", "time", format_time(decision->applied_ns, at), NULL);
    else
        fputs(km_words("; not yet applied by the guardian"), stdout);
    fputc('\n', stdout);
    return KM_OK;
}

static void print_runbook(const struct km_incident_row *row)
{
    const struct km_runbook *runbook = km_runbook_find(row->kind, row->dominant);
    printf("\n%s%s\n  %s\n", km_words("what to do: "), km_words(runbook->title), km_words("look at"));
    for (size_t i = 0; runbook->look[i]; i++)
        printf("    - %s\n", km_words(runbook->look[i]));
    printf("  %s\n", km_words("recover"));
    for (size_t i = 0; runbook->recover[i]; i++)
        printf("    - %s\n", km_words(runbook->recover[i]));
    printf("  %s\n    - %s\n", km_words("tell"), km_words(runbook->tell));
}

static void print_priority(const struct km_incident_row *row)
{
    const double values[] = {row->priority, row->score, row->importance, row->reach, row->patch_window};
    char texts[sizeof values / sizeof values[0]][NUMBER_BYTES];
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        (void)snprintf(texts[i], sizeof texts[i], i == 2 || i == 4 ? "%.4g" : "%.2f", values[i]);
    km_words_print(stdout,
                   "  priority {priority} = score {score} x importance {importance} x reach {reach} x patch window "
                   "{window} (not measured yet)\n",
                   "priority", texts[0], "score", texts[1], "importance", texts[2], "reach", texts[3], "window",
                   texts[4], NULL);
}

static void print_head(const struct km_incident_row *row)
{
    char text[CELL_BYTES], number[NUMBER_BYTES], first[TIME_WORD_BYTES], last[TIME_WORD_BYTES];
    km_words_print(stdout, "incident {id}: ", "id", format_number(row->id, number), NULL);
    print_subject(row);
    fputc('\n', stdout);
    km_words_print(stdout, "  on {host}, {verdict}, {state}, {shown}", "host", escape(row->host, text), "verdict",
                   km_words(km_verdict_to_string(row->verdict)), "state",
                   km_words(km_triage_state_to_string(row->state)), "shown",
                   km_words(km_triage_shown_to_string(row->shown)), NULL);
    if (row->assignee)
        km_words_print(stdout, ", assigned to {name}", "name", escape(row->assignee, text), NULL);
    if (row->service)
        km_words_print(stdout, ", affects {name}", "name", escape(row->service, text), NULL);
    fputc('\n', stdout);
    km_words_print(stdout,
                   row->count == 1 ? "  1 finding, first {first}, last {last}"
                                   : "  {n} findings, first {first}, last {last}",
                   "n", format_number(row->count, number), "first", format_time(row->first_ns, first), "last",
                   format_time(row->last_ns, last), NULL);
    if (row->images > 0)
        km_words_print(stdout, row->images == 1 ? ", in 1 image" : ", in {n} images", "n",
                       format_number(row->images, number), NULL);
    (void)snprintf(number, sizeof number, "%.4g", row->minutes);
    if (row->minutes > 0)
        km_words_print(stdout, ", {n} minutes spent", "n", number, NULL);
    fputc('\n', stdout);
    print_priority(row);
}

static enum km_code print_incident(void *context, const struct km_incident_row *row, struct km_err *err)
{
    struct km_desk *desk = context;
    print_head(row);
    printf("\n%s\n", km_words("evidence, strongest findings first"));
    const struct km_stored_question question = {.incident = row->id, .limit = KM_ALERTS_FINDINGS_SHOWN};
    enum km_code code = km_stored_visit(desk, &question, NULL, print_finding, err);
    if (code == KM_OK && row->count > KM_ALERTS_FINDINGS_SHOWN)
        print_hint("  and {n} more", row->count - KM_ALERTS_FINDINGS_SHOWN);
    if (code == KM_OK && (row->decision >= 0 || row->decided_ns > 0))
        printf("\n%s\n", km_words("decisions"));
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
    char text[CELL_BYTES], number[NUMBER_BYTES], digest[NUMBER_BYTES], at[TIME_WORD_BYTES];
    (*count)++;
    km_words_print(stdout, "suppression {id}:", "id", format_number(row->id, number), NULL);
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].text) {
            printf(" %s=", parts[i].name);
            print_escaped(parts[i].text);
        }
    fputc('\n', stdout);
    km_words_print(stdout, "  because: {reason}\n", "reason", escape(suppression->reason, text), NULL);
    km_words_print(stdout, row->ended_ns > 0 ? "  owner: {owner}, ended {time}\n" : "  owner: {owner}, ends {time}\n",
                   "owner", escape(suppression->owner, text), "time",
                   format_time(row->ended_ns > 0 ? row->ended_ns : suppression->expires_ns, at), NULL);
    km_words_print(stdout, "  findings hidden since it began: {n}", "n", format_number(row->hidden, number), NULL);
    if (row->last_hidden_ns > 0)
        km_words_print(stdout, ", last {time}", "time", format_time(row->last_hidden_ns, at), NULL);
    km_words_print(stdout, "; incidents hidden now: {n}", "n", format_number(row->incidents, number), NULL);
    if (row->waiting > 0)
        km_words_print(stdout, "; came back and wait for a decision: {n} (in the digest: {digest})", "n",
                       format_number(row->waiting, number), "digest", format_number(row->waiting_digest, digest), NULL);
    fputc('\n', stdout);
    return KM_OK;
}

enum km_code km_alerts_print_suppressions(struct km_desk *desk, bool all, struct km_err *err)
{
    size_t count = 0;
    enum km_code code = km_suppress_visit(desk, all, &count, print_suppression, err);
    if (code == KM_OK && count == 0)
        puts(km_words("no suppressions"));
    return code;
}
