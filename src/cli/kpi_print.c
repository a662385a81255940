#include "cli/kpi_view.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "base/words.h"
#include "cli/document.h"
#include "desk/triage/kpi_text.h"

#define TITLE_COLUMNS  48
#define VALUE_COLUMNS  9
#define BOUNDS_COLUMNS 21

/* ---- text ---- */

static void print_cell(const char *text, int width, bool right)
{
    int columns = (int)km_text_columns(text), padding = width > columns ? width - columns : 0;
    printf("%*s%s%*s", right ? padding : 0, "", text, right ? 0 : padding, "");
}

static void print_cells(const char *title, const char *value, const char *bounds, const char *from)
{
    print_cell(title, TITLE_COLUMNS, false);
    print_cell(value, VALUE_COLUMNS, true);
    printf("  ");
    print_cell(bounds, BOUNDS_COLUMNS, false);
    printf("%s", from);
}

static void print_row(const struct km_kpi *row)
{
    char title[KM_KPI_TITLE_BYTES], note[KM_KPI_NOTE_BYTES], value[KM_KPI_VALUE_BYTES], low[KM_KPI_VALUE_BYTES],
        high[KM_KPI_VALUE_BYTES], bounds[80] = "", from[KM_KPI_NOTE_BYTES];
    km_kpi_format_title(row, title);
    km_kpi_format_note(row, note);
    km_kpi_format_from(row, from);
    if (row->known)
        km_kpi_format_value(row->unit, row->value, value);
    if (row->known && row->bounded) {
        km_kpi_format_value(row->unit, row->low, low);
        km_kpi_format_value(row->unit, row->high, high);
        snprintf(bounds, sizeof bounds, "%s .. %s", low, high);
    }
    print_cells(title, row->known ? value : km_words("no data"), bounds, from);
    if (*note)
        printf("%s(%s%s)", *from ? " " : "", row->warned ? km_words("warning: ") : "", note);
    printf("\n");
}

static void print_text(const struct km_kpi_report *report, const char *scope)
{
    char since[KM_CLOCK_UTC_BYTES], until[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(report->since_ns, since);
    km_clock_format_utc(report->until_ns, until);
    printf("%s .. %s%s%s\n\n", since, until, scope ? ", scope " : "", scope ? scope : "");
    print_cells(km_words("FIGURE"), km_words("VALUE"), km_words("95 % INTERVAL"), km_words("FROM"));
    printf("\n");
    for (size_t i = 0; i < report->count; i++)
        print_row(&report->rows[i]);
    if (report->clock_faults > 0)
        printf("\n%s: %" PRId64 "\n", km_words("times that ran backwards (a clock was set) and are left out"),
               report->clock_faults);
    if (report->cut)
        printf("\n%s\n", km_words("there are more figures than are listed"));
}

/* ---- JSON ---- */

static struct km_json *begin_document(const char *schema, const struct km_kpi_report *report, const char *scope)
{
    char time[KM_CLOCK_UTC_BYTES];
    struct km_json *root = km_json_new_object();
    km_json_set_string(root, "schema", schema);
    km_clock_format_utc(report->since_ns, time);
    km_json_set_string(root, "since", time);
    km_clock_format_utc(report->until_ns, time);
    km_json_set_string(root, "until", time);
    km_json_set_string(root, "scope", scope);
    return root;
}

static enum km_code print_json(const struct km_kpi_report *report, const char *scope, struct km_err *err)
{
    struct km_json *root KM_CLEANUP(km_json_cleanup) = begin_document("komainu.kpi/1", report, scope);
    struct km_json *figures = km_json_new_array();
    for (size_t i = 0; i < report->count; i++)
        km_json_append(figures, km_kpi_describe(&report->rows[i]));
    km_json_set_integer(root, "clock_faults", report->clock_faults);
    km_json_set_bool(root, "cut", report->cut);
    km_json_set(root, "figures", figures);
    return km_document_print(root, err);
}

/* ---- CSV (RFC 4180): what is not known is an empty field ---- */

static void print_field(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        if (*text == '"')
            putchar('"');
        putchar(*text);
    }
    putchar('"');
}

static void print_number(bool known, double value)
{
    if (known)
        printf(",%.10g", value);
    else
        printf(",");
}

static void print_csv(const struct km_kpi_report *report)
{
    printf("id,title,unit,value,low,high,n,n_of,warning,note\r\n");
    for (size_t i = 0; i < report->count; i++) {
        const struct km_kpi *row = &report->rows[i];
        struct km_json *words KM_CLEANUP(km_json_cleanup) = km_kpi_describe(row);
        print_field(row->id);
        putchar(',');
        print_field(km_json_string(words, "title", ""));
        printf(",%s", row->unit);
        print_number(row->known, row->value);
        print_number(row->known && row->bounded, row->low);
        print_number(row->known && row->bounded, row->high);
        print_number(row->known && *row->n_of, (double)row->n);
        printf(",%s,%d,", row->n_of, row->warned);
        print_field(km_json_string(words, "note", ""));
        printf("\r\n");
    }
}

enum km_code km_kpi_print(const struct km_kpi_report *report, const char *scope, enum km_kpi_format format,
                          struct km_err *err)
{
    switch (format) {
    case KM_KPI_JSON:
        return print_json(report, scope, err);
    case KM_KPI_CSV:
        print_csv(report);
        return KM_OK;
    case KM_KPI_TEXT:
        break;
    }
    print_text(report, scope);
    return KM_OK;
}

/* ---- what a year costs ---- */

static const char *source_of(const struct km_economy *economy, int i)
{
    static const char *const names[] = {"missing", "entered", "entered earlier", "measured"};
    return names[economy->sources[i]];
}

static void print_result(const char *what, const struct km_economy_result *result)
{
    printf("%-32s %14.2f %14.2f %14.2f %14.2f\n", what, result->work, result->cost, result->saved, result->net);
}

static void print_cost_text(const struct km_economy *economy, const struct km_economy_table *table,
                            const char *currency, double spread)
{
    char what[64], ends[3][32];
    printf("%-18s %14s %14s %14s  %-12s %s\n", "ASSUMPTION", "LOW", "MIDDLE", "HIGH", "UNIT", "SOURCE");
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        const struct km_range3 *range = &economy->inputs[i];
        const double values[] = {range->low, range->mid, range->high};
        for (int k = 0; k < 3; k++)
            snprintf(ends[k], sizeof ends[k], values[k] >= 1000 ? "%.0f" : "%.4g", values[k]);
        printf("%-18s %14s %14s %14s  %-12s %s", km_economy_name(i), ends[0], ends[1], ends[2], km_economy_unit(i),
               source_of(economy, i));
        if (economy->spread[i])
            printf(", ends %.0f %% away", spread);
        printf("\n");
    }
    printf(
        "\nwork = alerts a day x 365 x minutes / 60 x wage; cost = work + hardware; saved = base rate x incident cost "
        "x effect\n\n%-32s %14s %14s %14s %14s\n",
        "A YEAR", "WORK", "COST", "SAVED", "NET");
    print_result("all at their worst", &table->worst);
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        snprintf(what, sizeof what, "%s low", km_economy_name(i));
        print_result(what, &table->at_low[i]);
        snprintf(what, sizeof what, "%s high", km_economy_name(i));
        print_result(what, &table->at_high[i]);
    }
    print_result("all in the middle", &table->mid);
    print_result("all at their best", &table->best);
    printf("\nmoney is in %s; it pays from this many incidents a year on: best %.4g, middle %.4g, worst %.4g\n",
           *currency ? currency : "the unit that was entered", table->break_even.low, table->break_even.mid,
           table->break_even.high);
}

static struct km_json *describe_result(const char *what, const struct km_economy_result *result)
{
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "case", what);
    km_json_set_real(object, "work", result->work);
    km_json_set_real(object, "cost", result->cost);
    km_json_set_real(object, "saved", result->saved);
    km_json_set_real(object, "net", result->net);
    return object;
}

static struct km_json *describe_range(const struct km_range3 *range)
{
    struct km_json *object = km_json_new_object();
    km_json_set_real(object, "low", range->low);
    km_json_set_real(object, "middle", range->mid);
    km_json_set_real(object, "high", range->high);
    return object;
}

static struct km_json *describe_assumptions(const struct km_economy *economy)
{
    struct km_json *list = km_json_new_array();
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        struct km_json *object = describe_range(&economy->inputs[i]);
        km_json_set_string(object, "name", km_economy_name(i));
        km_json_set_string(object, "unit", km_economy_unit(i));
        km_json_set_string(object, "source", source_of(economy, i));
        km_json_set_bool(object, "ends_from_spread", economy->spread[i]);
        km_json_append(list, object);
    }
    return list;
}

static enum km_code print_cost_json(const struct km_economy *economy, const struct km_economy_table *table,
                                    const struct km_kpi_report *report, const char *currency, double spread,
                                    struct km_err *err)
{
    struct km_json *root KM_CLEANUP(km_json_cleanup) = begin_document("komainu.kpi.cost/1", report, NULL);
    struct km_json *cases = km_json_new_array();
    char what[64];
    km_json_append(cases, describe_result("worst", &table->worst));
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        snprintf(what, sizeof what, "%s low", km_economy_name(i));
        km_json_append(cases, describe_result(what, &table->at_low[i]));
        snprintf(what, sizeof what, "%s high", km_economy_name(i));
        km_json_append(cases, describe_result(what, &table->at_high[i]));
    }
    km_json_append(cases, describe_result("middle", &table->mid));
    km_json_append(cases, describe_result("best", &table->best));
    km_json_set_string(root, "currency", *currency ? currency : NULL);
    km_json_set_real(root, "spread_percent", spread);
    km_json_set(root, "assumptions", describe_assumptions(economy));
    km_json_set(root, "cases", cases);
    km_json_set(root, "break_even_incidents_a_year", describe_range(&table->break_even));
    return km_document_print(root, err);
}

static void print_cost_csv_row(const char *what, const struct km_economy_result *result)
{
    printf("result,%s,,,,,%.10g,%.10g,%.10g,%.10g\r\n", what, result->work, result->cost, result->saved, result->net);
}

static void print_cost_csv(const struct km_economy *economy, const struct km_economy_table *table)
{
    char what[64];
    printf("kind,name,unit,low,middle,high,work,cost,saved,net\r\n");
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++)
        printf("assumption,%s,%s,%.10g,%.10g,%.10g,,,,\r\n", km_economy_name(i), km_economy_unit(i),
               economy->inputs[i].low, economy->inputs[i].mid, economy->inputs[i].high);
    print_cost_csv_row("worst", &table->worst);
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        snprintf(what, sizeof what, "%s low", km_economy_name(i));
        print_cost_csv_row(what, &table->at_low[i]);
        snprintf(what, sizeof what, "%s high", km_economy_name(i));
        print_cost_csv_row(what, &table->at_high[i]);
    }
    print_cost_csv_row("middle", &table->mid);
    print_cost_csv_row("best", &table->best);
}

enum km_code km_kpi_print_cost(const struct km_economy *economy, const struct km_kpi_report *report,
                               const char *currency, double spread, enum km_kpi_format format, struct km_err *err)
{
    struct km_economy_table table;
    km_economy_compute(economy, &table);
    switch (format) {
    case KM_KPI_JSON:
        return print_cost_json(economy, &table, report, currency, spread, err);
    case KM_KPI_CSV:
        print_cost_csv(economy, &table);
        return KM_OK;
    case KM_KPI_TEXT:
        break;
    }
    print_cost_text(economy, &table, currency, spread);
    return KM_OK;
}
