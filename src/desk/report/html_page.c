#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "desk/report/html.h"
#include "desk/report/html_writer.h"
#include "desk/store/query.h"
#include "desk/store/stored_finding.h"
#include "desk/triage/incident_list.h"
#include "desk/triage/runbook.h"
#include "finding/decision.h"
#include "finding/evidence.h"

#define MAX_SENTENCE_BYTES ((size_t)64 << 10)
#define CELL_BYTES         64

static void row_time(struct km_html *html, const char *label, int64_t at_ns)
{
    char at[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(at_ns, at);
    km_html_row(html, km_words(label), at_ns > 0 ? at : "-");
}

static void row_bytes(struct km_html *html, const char *label, int64_t bytes)
{
    char text[CELL_BYTES];
    km_text_format_bytes(bytes > 0 ? (uint64_t)bytes : 0, text, sizeof text);
    km_html_row(html, km_words(label), text);
}

/* ---- findings ---- */

static void write_evidence(struct km_html *html, const struct km_evidence *evidence)
{
    struct km_buf sentence;
    km_buf_init(&sentence, MAX_SENTENCE_BYTES);
    if (html->code == KM_OK)
        html->code = km_evidence_format(evidence, &sentence, html->err);
    km_html_raw(html, "<li>");
    /* The sentence's arguments are escaped already; again would show each backslash twice, and harm nothing. */
    km_html_text(html, km_buf_text(&sentence));
    const char *advice = km_evidence_advice(evidence->id);
    if (advice) {
        km_html_raw(html, "<br/><span class=\"note\">");
        km_html_text(html, advice);
        km_html_raw(html, "</span>");
    }
    km_html_raw(html, "</li>\n");
    km_buf_done(&sentence);
}

static enum km_code write_finding(void *context, const struct km_stored_finding *stored, struct km_err *err)
{
    (void)err;
    struct km_html *html = context;
    const struct km_finding *finding = &stored->finding;
    const struct km_subject *subject = &finding->subject;
    km_html_rows_begin(html);
    row_time(html, "seen", stored->at_ns);
    if (subject->image)
        km_html_row(html, km_words("image"), subject->image);
    if (subject->path)
        km_html_row(html, km_words("path"), subject->path);
    if (subject->sha256)
        km_html_row(html, "SHA-256", subject->sha256);
    if (subject->layer)
        km_html_row(html, km_words("layer"), subject->layer);
    if (subject->daemon)
        km_html_row(html, km_words("daemon"), subject->daemon);
    if (subject->role)
        km_html_row(html, km_words("role"), subject->role);
    if (subject->command)
        km_html_row(html, km_words("command"), subject->command);
    if (finding->package)
        km_html_row(html, km_words("package"), finding->package);
    km_html_row(html, km_words("verdict"), km_words(km_verdict_to_string(finding->verdict)));
    km_html_row_format(html, km_words("score (0 to 1), and how far to trust it"), "%.2f, %.2f", finding->score,
                       finding->confidence);
    km_html_rows_end(html);
    km_html_raw(html, "<ul>\n");
    for (size_t i = 0; i < finding->evidence_count; i++)
        write_evidence(html, &finding->evidence[i]);
    if (finding->evidence_count == 0)
        km_html_element(html, "li", km_words("no evidence is kept"));
    km_html_raw(html, "</ul>\n");
    return html->code;
}

/* ---- one incident ---- */

static void write_decision(struct km_html *html, struct km_query *query)
{
    char at[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(km_query_integer(query, 0), at);
    km_html_raw(html, "<li>");
    km_html_text(html, at);
    km_html_raw(html, " ");
    km_html_text(html, km_words(km_decision_kind_to_string((enum km_decision_kind)km_query_integer(query, 1))));
    km_html_raw(html, ", ");
    km_html_text(html, km_query_text(query, 2));
    km_html_raw(html, ": ");
    km_html_text(html, km_query_text(query, 3));
    if (!km_query_is_null(query, 4)) {
        km_html_raw(html, " (");
        km_html_text(html, km_words("taken back"));
        km_html_raw(html, ")");
    }
    km_html_raw(html, "</li>\n");
}

static void write_decisions(struct km_html *html, struct km_desk *desk, int64_t incident)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = NULL;
    if (html->code != KM_OK)
        return;
    query = km_query_open(desk,
                          "SELECT at_ns, kind, who, note, undone_ns FROM decision WHERE incident_id=?1 AND"
                          " kind BETWEEN 0 AND 4 ORDER BY id",
                          html->err);
    if (!query) {
        html->code = html->err->code;
        return;
    }
    km_query_bind_integer(query, 1, incident);
    bool row = false, any = false;
    km_html_element(html, "h2", km_words("Decisions"));
    km_html_raw(html, "<ul>\n");
    while (html->code == KM_OK && (html->code = km_query_step(query, &row, html->err)) == KM_OK && row) {
        write_decision(html, query);
        any = true;
    }
    if (!any)
        km_html_element(html, "li", km_words("not decided"));
    km_html_raw(html, "</ul>\n");
}

static void write_list(struct km_html *html, const char *title, const char *const *lines)
{
    km_html_element(html, "h3", km_words(title));
    km_html_raw(html, "<ul>\n");
    for (size_t i = 0; lines[i]; i++)
        km_html_element(html, "li", km_words(lines[i]));
    km_html_raw(html, "</ul>\n");
}

static void write_runbook(struct km_html *html, const struct km_incident_row *row)
{
    const struct km_runbook *runbook = km_runbook_find(row->kind, row->dominant);
    const char *const tell[] = {runbook->tell, NULL};
    km_html_element(html, "h2", km_words("What to do"));
    km_html_element(html, "p", km_words(runbook->title));
    write_list(html, "Look at", runbook->look);
    write_list(html, "Recover", runbook->recover);
    write_list(html, "Tell", tell);
}

struct page {
    struct km_html html;
    struct km_desk *desk;
    int64_t now_wall_ns;
};

static void write_head(struct km_html *html, const struct km_incident_row *row)
{
    km_html_rows_begin(html);
    km_html_row(html, km_words("what it is about"), row->subject);
    if (row->role)
        km_html_row(html, km_words("role"), row->role);
    km_html_row(html, km_words("machine"), row->host);
    km_html_row(html, km_words("verdict"), km_words(km_verdict_to_string(row->verdict)));
    km_html_row(html, km_words("state"), km_words(km_triage_state_to_string(row->state)));
    km_html_row(html, km_words("shown as"), km_words(km_triage_shown_to_string(row->shown)));
    km_html_row(html, km_words("assigned to"), row->assignee);
    km_html_row(html, km_words("service affected"), row->service);
    km_html_row_format(html, km_words("findings"), "%" PRId64, row->count);
    row_time(html, "first seen", row->first_ns);
    row_time(html, "last seen", row->last_ns);
    if (row->minutes > 0)
        km_html_row_format(html, km_words("minutes that people entered"), "%.6g", row->minutes);
    km_html_rows_end(html);
}

static enum km_code write_incident(void *context, const struct km_incident_row *row, struct km_err *err)
{
    struct page *page = context;
    struct km_html *html = &page->html;
    char title[CELL_BYTES + 64];
    (void)snprintf(title, sizeof title, "%s %" PRId64, km_words("Incident"), row->id);
    km_html_begin(html, title, km_words_language());
    write_head(html, row);
    km_html_element(html, "h2", km_words("Evidence, strongest findings first"));
    const struct km_stored_question question = {.incident = row->id, .limit = KM_REPORT_MAX_FINDINGS};
    if (html->code == KM_OK)
        html->code = km_stored_visit(page->desk, &question, html, write_finding, err);
    if (row->count > KM_REPORT_MAX_FINDINGS) {
        km_html_format(html, "<p class=\"note\">%d / %" PRId64 " ", KM_REPORT_MAX_FINDINGS, row->count);
        km_html_text(html, km_words("findings are on this page"));
        km_html_raw(html, "</p>\n");
    }
    write_decisions(html, page->desk, row->id);
    write_runbook(html, row);
    km_html_rows_begin(html);
    row_time(html, "report made", page->now_wall_ns);
    km_html_rows_end(html);
    km_html_end(html);
    return html->code;
}

enum km_code km_report_html_incident(struct km_desk *desk, int64_t id, int64_t now_wall_ns, struct km_buf *out,
                                     struct km_err *err)
{
    struct page page = {.html = {.out = out, .err = err, .code = KM_OK}, .desk = desk, .now_wall_ns = now_wall_ns};
    return km_incident_visit(desk, id, &page, write_incident, err);
}

/* ---- one container ---- */

/* Runs a statement about a target and hands its rows over. */
static void each_row(struct page *page, const char *static_sql, int64_t target,
                     void (*write)(struct km_html *html, struct km_query *query))
{
    struct km_html *html = &page->html;
    if (html->code != KM_OK)
        return;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(page->desk, static_sql, html->err);
    if (!query) {
        html->code = html->err->code;
        return;
    }
    km_query_bind_integer(query, 1, target);
    bool row = false, any = false;
    km_html_raw(html, "<ul>\n");
    while (html->code == KM_OK && (html->code = km_query_step(query, &row, html->err)) == KM_OK && row) {
        write(html, query);
        any = true;
    }
    if (!any)
        km_html_element(html, "li", km_words("nothing on record"));
    km_html_raw(html, "</ul>\n");
}

static void write_gap(struct km_html *html, struct km_query *query)
{
    km_html_raw(html, "<li>");
    km_html_text(html, km_words(km_gap_reason_to_string((enum km_gap_reason)km_query_integer(query, 0))));
    km_html_raw(html, ": ");
    km_html_text(html, km_query_text(query, 1));
    if (!km_query_is_null(query, 2)) {
        km_html_raw(html, " — ");
        km_html_text(html, km_query_text(query, 2));
    }
    km_html_raw(html, "</li>\n");
}

static void write_incident_line(struct km_html *html, struct km_query *query)
{
    km_html_format(html, "<li>%s %" PRId64 ": ", km_words("Incident"), km_query_integer(query, 0));
    km_html_text(html, km_query_text(query, 1));
    km_html_raw(html, ", ");
    km_html_text(html, km_words(km_verdict_to_string((enum km_verdict)km_query_integer(query, 2))));
    km_html_raw(html, ", ");
    km_html_text(html, km_words(km_triage_state_to_string((enum km_triage_state)km_query_integer(query, 3))));
    km_html_raw(html, "</li>\n");
}

static void write_target(struct km_html *html, struct km_query *query)
{
    km_html_rows_begin(html);
    km_html_row(html, km_words("container or image"), km_query_text(query, 1));
    km_html_row(html, km_words("machine"), km_query_text(query, 10));
    row_time(html, "scanned", km_query_integer(query, 2));
    if (!km_query_is_null(query, 3))
        km_html_row(html, km_words("verdict"),
                    km_words(km_verdict_to_string((enum km_verdict)km_query_integer(query, 3))));
    if (!km_query_is_null(query, 9))
        km_html_row(html, km_words("the scan failed"), km_query_text(query, 9));
    row_bytes(html, "bytes met", km_query_integer(query, 4));
    row_bytes(html, "bytes examined", km_query_integer(query, 5));
    km_html_row_format(html, km_words("files examined to the end"), "%" PRId64 " / %" PRId64,
                       km_query_integer(query, 7), km_query_integer(query, 6));
    km_html_row_format(html, km_words("gaps: places in containers that were not examined"), "%" PRId64,
                       km_query_integer(query, 8));
    km_html_rows_end(html);
}

/* verdict, state and reason are another program's to damage: only values with a name are read. */
static const char target_sql[] =
    "SELECT t.id, t.name, t.began_ns, CASE WHEN t.verdict BETWEEN 0 AND 3 THEN t.verdict END, t.bytes_total,"
    " t.bytes_examined, t.files_total, t.files_examined, t.gaps, t.error, r.host FROM target t JOIN run r"
    " ON r.id=t.run_id WHERE t.name=?1 ORDER BY t.id DESC LIMIT 1";
static const char incident_sql[] =
    "SELECT DISTINCT i.id, i.subject, i.verdict, i.state FROM incident i JOIN finding f ON f.incident_id=i.id"
    " WHERE f.target_id=?1 AND i.verdict BETWEEN 0 AND 3 AND i.state BETWEEN 0 AND 4 ORDER BY i.priority DESC, i.id"
    " LIMIT 200";
static const char gap_sql[] = "SELECT reason, place, detail FROM gap WHERE target_id=?1 ORDER BY id LIMIT 200";

enum km_code km_report_html_container(struct km_desk *desk, const char *name, int64_t now_wall_ns, struct km_buf *out,
                                      struct km_err *err)
{
    struct page page = {.html = {.out = out, .err = err, .code = KM_OK}, .desk = desk, .now_wall_ns = now_wall_ns};
    struct km_html *html = &page.html;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, target_sql, err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, name);
    bool row = false;
    enum km_code code = km_query_step(query, &row, err);
    if (code != KM_OK)
        return code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "no scan of '%s' is in the store", name);
    int64_t target = km_query_integer(query, 0);
    km_html_begin(html, km_words("Report of one container"), km_words_language());
    write_target(html, query);
    km_html_element(html, "h2", km_words("Incidents"));
    each_row(&page, incident_sql, target, write_incident_line);
    km_html_element(html, "h2", km_words("What was not examined"));
    each_row(&page, gap_sql, target, write_gap);
    km_html_rows_begin(html);
    row_time(html, "report made", now_wall_ns);
    km_html_rows_end(html);
    km_html_end(html);
    return html->code;
}
