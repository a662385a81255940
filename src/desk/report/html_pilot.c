#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/words.h"
#include "desk/report/html.h"
#include "desk/report/html_writer.h"
#include "desk/triage/kpi_text.h"
#include "desk/triage/triage.h"
#include "finding/decision.h"

#define CELL_BYTES 64

static void row_count(struct km_html *html, const char *label, int64_t count)
{
    km_html_row_format(html, km_words(label), "%" PRId64, count);
}

/* "12 / 40 (30 %)": a share is never shown without what it is a share of. */
static void row_share(struct km_html *html, const char *label, int64_t part, int64_t whole)
{
    if (whole > 0)
        km_html_row_format(html, km_words(label), "%" PRId64 " / %" PRId64 " (%.1f %%)", part, whole,
                           100.0 * (double)part / (double)whole);
    else
        km_html_row(html, km_words(label), km_words("not known: there were none"));
}

static void section(struct km_html *html, const char *title)
{
    km_html_element(html, "h2", km_words(title));
}

/* ---- key figures ---- */

enum part {
    PART_SUMMARY = 0,
    PART_WATCHED,
    PART_FOUND,
    PART_MISSED,
    PART_COST,
    PART_UPKEEP, /* all that is not named below */
};

/* Where a figure goes, by the beginning of its id; the first that fits. */
static const struct {
    const char *id;
    enum part part;
} places[] = {
    {"alerts", PART_SUMMARY},    {"precision", PART_SUMMARY},  {"false_", PART_SUMMARY},
    {"minutes_", PART_SUMMARY},  {"images_new", PART_WATCHED}, {"bytes", PART_WATCHED},
    {"daemon_", PART_WATCHED},   {"latency_", PART_FOUND},     {"band_bad", PART_MISSED},
    {"sample_bad", PART_MISSED}, {"loss", PART_MISSED},        {"incidents_hidden", PART_MISSED},
    {"cpu_", PART_COST},         {"memory_", PART_COST},
};

static enum part part_of(const struct km_kpi *row)
{
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (strncmp(row->id, places[i].id, strlen(places[i].id)) == 0)
            return places[i].part;
    return PART_UPKEEP;
}

static void write_cell(struct km_html *html, const char *text)
{
    km_html_raw(html, "<td>");
    km_html_text(html, text);
    km_html_raw(html, "</td>");
}

static void write_figure(struct km_html *html, const struct km_kpi *row)
{
    char title[KM_KPI_TITLE_BYTES], note[KM_KPI_NOTE_BYTES], value[KM_KPI_VALUE_BYTES], low[KM_KPI_VALUE_BYTES],
        high[KM_KPI_VALUE_BYTES], bounds[CELL_BYTES + 16] = "", from[KM_KPI_NOTE_BYTES];
    km_kpi_format_title(row, title);
    km_kpi_format_note(row, note);
    km_kpi_format_from(row, from);
    km_kpi_format_value(row->unit, row->value, value);
    if (row->known && row->bounded) {
        km_kpi_format_value(row->unit, row->low, low);
        km_kpi_format_value(row->unit, row->high, high);
        (void)snprintf(bounds, sizeof bounds, "%s .. %s", low, high);
    }
    km_html_raw(html, "<tr><th>");
    km_html_text(html, title);
    km_html_raw(html, "</th>");
    write_cell(html, row->known ? value : km_words("no data"));
    write_cell(html, bounds);
    write_cell(html, from);
    km_html_raw(html, "<td>");
    if (row->warned)
        km_html_text(html, km_words("warning: "));
    km_html_text(html, note);
    km_html_raw(html, "</td></tr>\n");
}

static void write_figures(struct km_html *html, const struct km_pilot *pilot, enum part part)
{
    const char *const heads[] = {km_words("FIGURE"), km_words("VALUE"), km_words("95 % INTERVAL"), km_words("FROM"),
                                 km_words("REMARK")};
    km_html_raw(html, "<table>\n<tr>");
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        km_html_raw(html, "<th>");
        km_html_text(html, heads[i]);
        km_html_raw(html, "</th>");
    }
    km_html_raw(html, "</tr>\n");
    for (size_t i = 0; i < pilot->figures->count; i++)
        if (part_of(&pilot->figures->rows[i]) == part)
            write_figure(html, &pilot->figures->rows[i]);
    km_html_raw(html, "</table>\n");
}

/* ---- sections ---- */

static void write_summary(struct km_html *html, const struct km_pilot *pilot, int64_t now_wall_ns)
{
    char since[KM_CLOCK_UTC_BYTES], until[KM_CLOCK_UTC_BYTES], now[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(pilot->figures->since_ns, since);
    km_clock_format_utc(pilot->figures->until_ns, until);
    km_clock_format_utc(now_wall_ns, now);
    km_html_rows_begin(html);
    km_html_row(html, km_words("period begins"), since);
    km_html_row(html, km_words("period ends"), until);
    km_html_row(html, km_words("report made"), now);
    km_html_rows_end(html);
    section(html, "Key figures");
    write_figures(html, pilot, PART_SUMMARY);
    if (pilot->figures->clock_faults == 0)
        return;
    km_html_rows_begin(html);
    row_count(html, "times that ran backwards (a clock was set) and are left out", pilot->figures->clock_faults);
    km_html_rows_end(html);
}

static double figure(const struct km_pilot *pilot, const char *id)
{
    const struct km_kpi *row = km_kpi_find(pilot->figures, id);
    return row && row->known ? row->value : 0;
}

static void write_watched(struct km_html *html, const struct km_pilot *pilot)
{
    section(html, "What was watched");
    write_figures(html, pilot, PART_WATCHED);
    km_html_rows_begin(html);
    row_count(html, "scans of containers and images", pilot->targets);
    row_count(html, "different containers and images", pilot->images);
    row_share(html, "files examined to the end", pilot->files_examined, pilot->files_total);
    row_count(html, "daemons watched", pilot->daemons);
    row_count(html, "pieces of behaviour judged (episodes)", pilot->episodes);
    km_html_rows_end(html);
    double bytes = figure(pilot, "bytes") / 1e6, examined = figure(pilot, "bytes_examined"),
           opaque = figure(pilot, "bytes_opaque"), rest = 1 - examined - opaque;
    if (bytes <= 0)
        return;
    const double values[] = {bytes * examined, bytes * opaque, rest > 0 ? bytes * rest : 0};
    const char *const labels[] = {km_words("examined"), km_words("opaque (encrypted or unknown format)"),
                                  km_words("not examined")};
    km_html_bars(html, &(struct km_html_bars){.title = km_words("Coverage of bytes"),
                                              .unit = km_words("million bytes"),
                                              .count = 3,
                                              .series = 1,
                                              .names = {km_words("million bytes")},
                                              .labels = labels,
                                              .values = values});
}

static void draw_days(struct km_html *html, const struct km_pilot *pilot)
{
    enum { SERIES = 3, LABEL_BYTES = 12 };
    double *values = calloc(pilot->day_count * SERIES, sizeof *values);
    char(*texts)[LABEL_BYTES] = calloc(pilot->day_count, sizeof *texts);
    const char **labels = calloc(pilot->day_count, sizeof *labels);
    if (!values || !texts || !labels) {
        html->code = html->code == KM_OK ? km_fail(html->err, KM_NOMEM, "no memory for a chart") : html->code;
    } else {
        for (size_t i = 0; i < pilot->day_count; i++) {
            const struct km_kpi_day *day = &pilot->days[i];
            char at[KM_CLOCK_UTC_BYTES];
            km_clock_format_utc(day->day * KM_TRIAGE_DAY_NS, at);
            (void)snprintf(texts[i], LABEL_BYTES, "%.10s", at);
            labels[i] = texts[i];
            values[i * SERIES] = (double)day->wrong;
            values[i * SERIES + 1] = (double)day->right;
            values[i * SERIES + 2] = (double)(day->alerts - day->wrong - day->right);
        }
        km_html_bars(html, &(struct km_html_bars){.title = km_words("Alerts per day"),
                                                  .unit = km_words("alerts"),
                                                  .count = pilot->day_count,
                                                  .series = SERIES,
                                                  .names = {km_words("judged harmless"),
                                                            km_words("suspicious or attack"), km_words("not judged")},
                                                  .labels = labels,
                                                  .values = values});
    }
    free(labels);
    free(texts);
    free(values);
}

static void write_found(struct km_html *html, const struct km_pilot *pilot)
{
    section(html, "What was found");
    km_html_rows_begin(html);
    row_count(html, "findings", pilot->findings);
    row_count(html, "incidents (findings that belong together)", pilot->incidents);
    for (int state = 0; state < KM_PILOT_STATES; state++)
        row_count(html, km_triage_state_to_string((enum km_triage_state)state), pilot->states[state]);
    km_html_rows_end(html);
    write_figures(html, pilot, PART_FOUND);
    draw_days(html, pilot);
    double values[KM_PILOT_DECISIONS + 1];
    const char *labels[KM_PILOT_DECISIONS + 1];
    for (int kind = 0; kind < KM_PILOT_DECISIONS; kind++) {
        values[kind] = (double)pilot->decisions[kind];
        labels[kind] = km_words(km_decision_kind_to_string((enum km_decision_kind)kind));
    }
    values[KM_PILOT_DECISIONS] = (double)pilot->undecided;
    labels[KM_PILOT_DECISIONS] = km_words("not decided");
    km_html_bars(html, &(struct km_html_bars){.title = km_words("Decisions about incidents"),
                                              .unit = km_words("incidents"),
                                              .count = KM_PILOT_DECISIONS + 1,
                                              .series = 1,
                                              .names = {km_words("incidents")},
                                              .labels = labels,
                                              .values = values});
}

static void write_missed(struct km_html *html, const struct km_pilot *pilot)
{
    section(html, "What was missed, as far as known");
    write_figures(html, pilot, PART_MISSED);
    km_html_rows_begin(html);
    row_count(html, "gaps: places in containers that were not examined", pilot->gaps);
    row_share(html, "scans with a gap", pilot->targets_with_gaps, pilot->targets);
    row_share(html, "scans that failed", pilot->target_errors, pilot->targets);
    row_count(html, "findings beyond a scan's limit, counted only", pilot->findings_omitted);
    row_count(html, "incidents over the alert budget, in the digest", pilot->digest);
    row_count(html, "incidents in the stage that only records", pilot->recorded);
    row_count(html, "uncertain ones shown to people", pilot->uncertain);
    row_count(html, "drawn at random and shown to people", pilot->sample);
    row_count(html, "suppressions in force in the period", pilot->suppressions);
    row_count(html, "findings that those suppressions hid since they were made", pilot->hidden_findings);
    km_html_rows_end(html);
}

static void write_cost(struct km_html *html, const struct km_pilot *pilot)
{
    section(html, "What it cost");
    write_figures(html, pilot, PART_COST);
    km_html_rows_begin(html);
    if (pilot->minutes_known > 0)
        km_html_row_format(html, km_words("minutes that people entered"), "%.6g", pilot->minutes);
    else
        km_html_row(html, km_words("minutes that people entered"), km_words("not known: nobody entered any"));
    row_share(html, "incidents with entered minutes", pilot->minutes_known, pilot->incidents);
    row_count(html, "runs of guardians", pilot->runs);
    km_html_rows_end(html);
}

static void write_upkeep(struct km_html *html, const struct km_pilot *pilot)
{
    section(html, "How it is looked after");
    write_figures(html, pilot, PART_UPKEEP);
}

static void write_limits(struct km_html *html)
{
    static const char *const limits[] = {
        "komainu reports; it blocks nothing. What is done about an alert is a person's work.",
        "\"Harmless\" and \"attack\" are what people said. Nobody checked every one of them a second time.",
        ("An attack that raised no finding is in no figure here. The random sample gives the only hint of how many "
         "there "
         "may be, and a small sample gives a weak one."),
        "Bytes that were not examined, and events that were lost, are not known to be clean.",
        ("While a daemon's profile is young, its alerts say little. Hours with a profile that had learned enough are "
         "counted apart."),
        "Minutes of work are only those that people entered; processor time is only that of runs that have ended.",
        ("An interval of 95 % says how far chance alone can move a figure made from so few cases. It says nothing "
         "about "
         "other mistakes."),
    };
    section(html, "Limits");
    km_html_raw(html, "<ul>\n");
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++)
        km_html_element(html, "li", km_words(limits[i]));
    km_html_raw(html, "</ul>\n");
}

enum km_code km_report_html_pilot(const struct km_pilot *pilot, int64_t now_wall_ns, struct km_buf *out,
                                  struct km_err *err)
{
    struct km_html html = {.out = out, .err = err, .code = KM_OK};
    km_html_begin(&html, km_words("Report of the pilot of komainu"), km_words_language());
    write_summary(&html, pilot, now_wall_ns);
    write_watched(&html, pilot);
    write_found(&html, pilot);
    write_missed(&html, pilot);
    write_cost(&html, pilot);
    write_upkeep(&html, pilot);
    write_limits(&html);
    km_html_end(&html);
    return html.code;
}
