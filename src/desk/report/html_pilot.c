#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "desk/report/html.h"
#include "desk/report/html_writer.h"
#include "desk/triage/triage.h"
#include "finding/decision.h"

#define CELL_BYTES 64

static void row_count(struct km_html *html, const char *label, int64_t count)
{
    km_html_row_format(html, km_words(label), "%" PRId64, count);
}

static void row_bytes(struct km_html *html, const char *label, int64_t bytes)
{
    char text[CELL_BYTES];
    km_text_format_bytes(bytes > 0 ? (uint64_t)bytes : 0, text, sizeof text);
    km_html_row(html, km_words(label), text);
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

static void write_summary(struct km_html *html, const struct km_pilot *pilot, int64_t now_wall_ns)
{
    char since[KM_CLOCK_UTC_BYTES], until[KM_CLOCK_UTC_BYTES], now[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(pilot->since_ns, since);
    km_clock_format_utc(pilot->until_ns, until);
    km_clock_format_utc(now_wall_ns, now);
    km_html_rows_begin(html);
    km_html_row(html, km_words("period begins"), since);
    km_html_row(html, km_words("period ends"), until);
    km_html_row(html, km_words("report made"), now);
    row_count(html, "alerts shown to people", pilot->alerts);
    row_count(html, "of them judged suspicious or an attack", pilot->alerts_real);
    row_count(html, "of them judged harmless", pilot->alerts_benign);
    row_count(html, "of them not yet judged", pilot->alerts - pilot->alerts_real - pilot->alerts_benign);
    km_html_rows_end(html);
}

static void write_watched(struct km_html *html, const struct km_pilot *pilot)
{
    section(html, "What was watched");
    km_html_rows_begin(html);
    row_count(html, "scans of containers and images", pilot->targets);
    row_count(html, "different containers and images", pilot->images);
    row_bytes(html, "bytes met", pilot->bytes_total);
    row_share(html, "bytes examined", pilot->bytes_examined, pilot->bytes_total);
    row_share(html, "files examined to the end", pilot->files_examined, pilot->files_total);
    row_count(html, "daemons watched", pilot->daemons);
    km_html_row_format(html, km_words("daemon-hours watched"), "%.1f", pilot->daemon_hours);
    km_html_row_format(html, km_words("of them with a profile that had learned enough"), "%.1f", pilot->mature_hours);
    row_count(html, "pieces of behaviour judged (episodes)", pilot->episodes);
    km_html_rows_end(html);
    if (pilot->bytes_total <= 0)
        return;
    int64_t rest = pilot->bytes_total - pilot->bytes_examined - pilot->bytes_opaque;
    const double values[] = {(double)pilot->bytes_examined / 1e6, (double)pilot->bytes_opaque / 1e6,
                             (double)(rest > 0 ? rest : 0) / 1e6};
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
            const struct km_pilot_day *day = &pilot->days[i];
            char at[KM_CLOCK_UTC_BYTES];
            km_clock_format_utc((pilot->first_day + (int64_t)i) * KM_TRIAGE_DAY_NS, at);
            (void)snprintf(texts[i], LABEL_BYTES, "%.10s", at);
            labels[i] = texts[i];
            values[i * SERIES] = (double)day->benign;
            values[i * SERIES + 1] = (double)day->real;
            values[i * SERIES + 2] = (double)(day->shown - day->benign - day->real);
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
    row_count(html, "shown as alerts", pilot->alerts);
    for (int state = 0; state < KM_PILOT_STATES; state++)
        row_count(html, km_triage_state_to_string((enum km_triage_state)state), pilot->states[state]);
    row_share(html, "judged alerts that were suspicious or an attack", pilot->alerts_real,
              pilot->alerts_real + pilot->alerts_benign);
    km_html_rows_end(html);
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
    km_html_rows_begin(html);
    row_count(html, "gaps: places in containers that were not examined", pilot->gaps);
    row_share(html, "scans with a gap", pilot->targets_with_gaps, pilot->targets);
    row_share(html, "scans that failed", pilot->target_errors, pilot->targets);
    row_count(html, "findings beyond a scan's limit, counted only", pilot->findings_omitted);
    row_count(html, "incidents over the alert budget, in the digest", pilot->digest);
    row_count(html, "raised in a stage that shows nothing (record only, shadow)", pilot->other);
    row_count(html, "uncertain ones shown to people", pilot->uncertain);
    row_count(html, "drawn at random and shown to people", pilot->sample);
    row_share(html, "of those two and judged: not harmless", pilot->checked_below_real, pilot->checked_below);
    row_count(html, "incidents hidden by suppressions", pilot->suppressed);
    row_count(html, "suppressions in force in the period", pilot->suppressions);
    row_count(html, "findings that those suppressions hid since they were made", pilot->hidden_findings);
    for (size_t i = 0; i < pilot->loss_count; i++) {
        char text[CELL_BYTES];
        const struct km_pilot_loss *loss = &pilot->losses[i];
        if (loss->seen >= 0)
            (void)snprintf(text, sizeof text, "%" PRId64 " / %" PRId64, loss->lost, loss->seen);
        else
            (void)snprintf(text, sizeof text, "%" PRId64, loss->lost);
        km_html_raw(html, "<tr><th>");
        km_html_text(html, km_words("lost by a guardian"));
        km_html_raw(html, ": ");
        km_html_text(html, loss->what);
        km_html_raw(html, "</th><td>");
        km_html_text(html, text);
        km_html_raw(html, "</td></tr>\n");
    }
    if (pilot->loss_count == 0)
        km_html_row(html, km_words("lost by a guardian"), km_words("nothing on record"));
    km_html_rows_end(html);
}

static void write_cost(struct km_html *html, const struct km_pilot *pilot)
{
    char cell[CELL_BYTES];
    section(html, "What it cost");
    km_html_rows_begin(html);
    if (pilot->minutes_known > 0)
        km_html_row_format(html, km_words("minutes that people entered"), "%.6g", pilot->minutes);
    else
        km_html_row(html, km_words("minutes that people entered"), km_words("not known: nobody entered any"));
    row_share(html, "incidents with entered minutes", pilot->minutes_known, pilot->incidents);
    if (pilot->median_decision_minutes >= 0)
        km_html_row_format(html, km_words("minutes from alert to decision (median)"), "%.4g",
                           pilot->median_decision_minutes);
    else
        km_html_row(html, km_words("minutes from alert to decision (median)"),
                    km_words("not known: nothing was decided"));
    row_count(html, "runs of guardians", pilot->runs);
    km_text_format_seconds((double)pilot->cpu_ms / 1000, cell, sizeof cell);
    km_html_row(html, km_words("processor time of finished runs"), cell);
    row_bytes(html, "largest memory of a run", pilot->memory_peak_bytes);
    km_html_rows_end(html);
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
    write_limits(&html);
    km_html_end(&html);
    return html.code;
}
