#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/kpi_view.h"
#include "cli/option_rows.h"
#include "desk/triage/stage.h"
#include "desk/triage/survey.h"
#include "desk/triage/triage.h"
#include "desk/triage/when.h"

#define MONEY_OPTION(option, what)                                                                                     \
    {                                                                                                                  \
        .name = (option), .type = KM_OPTION_TEXT, .argument = "RANGE", .only_flag = true, .help = (what)               \
    }

static const struct km_option rows[] = {
    KM_ROW_DESK_STORE,
    KM_ROW_FORMAT("text|json|csv"),
    {.name = "since",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .fallback = "30d",
     .only_flag = true,
     .help = "the period begins at WHEN (2026-11-22, 7d, 36h)"},
    {.name = "until",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .only_flag = true,
     .help = "the period ends before WHEN; unset: now"},
    {.name = "scope",
     .type = KM_OPTION_TEXT,
     .argument = "NAME",
     .only_flag = true,
     .help = "only what this scope of 'komainu stage' covers"},
    {.name = "model-age",
     .type = KM_OPTION_REAL,
     .argument = "DAYS",
     .fallback = "180",
     .least = 1,
     .most = 3660,
     .help = "warn about models that are older"},
    {.name = "rules-age",
     .type = KM_OPTION_REAL,
     .argument = "DAYS",
     .fallback = "30",
     .least = 1,
     .most = 3660,
     .help = "warn about rules and hash lists that are older"},
    {.name = "stage",
     .type = KM_OPTION_CHOICE,
     .choices = "record|shadow|top|all",
     .only_flag = true,
     .help = "survey: the stage that is asked about"},
    {.name = "answers",
     .type = KM_OPTION_TEXT,
     .argument = "A,B,C,D,E",
     .only_flag = true,
     .help = "survey: answers from 1 (no) to 5 (yes); unset: they are asked on a terminal"},
    MONEY_OPTION("wage", "cost: of an hour of work; a RANGE is NUMBER or LOW:MIDDLE:HIGH"),
    MONEY_OPTION("hardware", "cost: of machines and upkeep, a year"),
    MONEY_OPTION("incident-cost", "cost: of one incident"),
    MONEY_OPTION("base-rate", "cost: incidents a year without komainu"),
    MONEY_OPTION("effect", "cost: share of an incident's cost that an alert saves, 0 to 1"),
    MONEY_OPTION("alerts-per-day", "cost: alerts that people look at; unset: measured"),
    MONEY_OPTION("minutes-per-alert", "cost: minutes of work on one; unset: measured"),
    {.name = "spread",
     .type = KM_OPTION_REAL,
     .argument = "PERCENT",
     .fallback = "50",
     .least = 0,
     .most = 100,
     .help = "cost: how far low and high are from a single NUMBER"},
    {.name = "currency",
     .type = KM_OPTION_TEXT,
     .argument = "WORD",
     .fallback = "",
     .help = "cost: what money is counted in"},
    {.name = "lang",
     .type = KM_OPTION_CHOICE,
     .choices = "en|ja",
     .help = "language of the text; unset: by LC_ALL, LC_MESSAGES and LANG"},
    {0},
};

struct request {
    struct km_desk *desk;
    const struct km_options *options;
    enum km_kpi_format format;
    int64_t now_ns;
    struct km_kpi_request period;
    char who[KM_DESK_LINK_NAME_BYTES];
};

static struct km_kpi_report *measure(const struct request *request, struct km_err *err)
{
    return km_kpi_measure(request->desk, &request->period, err);
}

static enum km_code act_show(const struct request *request, struct km_err *err)
{
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(request, err);
    if (!report)
        return err->code;
    return km_kpi_print(report, km_options_text(request->options, "scope"), request->format, err);
}

/* ---- survey ---- */

/* An answer of one line on the terminal, without its end. KM_IO at the end of input. */
static enum km_code ask(const char *question, char *out, size_t out_bytes, struct km_err *err)
{
    fprintf(stderr, "%s ", question);
    if (!fgets(out, (int)out_bytes, stdin))
        return km_fail(err, KM_IO, "no answer was given");
    out[strcspn(out, "\n")] = '\0';
    return KM_OK;
}

static enum km_code ask_survey(int *out_answers, struct km_err *err)
{
    if (!isatty(STDIN_FILENO))
        return km_fail(err, KM_FORMAT, "there is no terminal to ask on; give --answers A,B,C,D,E");
    fprintf(stderr, "From 1 (I do not agree) to 5 (I agree). No name is kept.\n");
    for (int i = 0; i < KM_SURVEY_QUESTIONS; i++) {
        char line[32] = "";
        while (line[0] < '1' || line[0] > '5' || line[1] != '\0')
            if (ask(km_survey_question(i), line, sizeof line, err) != KM_OK)
                return err->code;
        out_answers[i] = line[0] - '0';
    }
    return KM_OK;
}

static enum km_code act_survey(const struct request *request, struct km_err *err)
{
    const char *name = km_options_text(request->options, "stage"),
               *given = km_options_text(request->options, "answers");
    enum km_stage stage;
    int answers[KM_SURVEY_QUESTIONS];
    if (!name)
        return km_fail(err, KM_FORMAT, "survey: which --stage is asked about?");
    if (km_stage_from_string(name, &stage, err) != KM_OK)
        return err->code;
    enum km_code code = given ? km_survey_parse(given, answers, err) : ask_survey(answers, err);
    if (code == KM_OK)
        code = km_survey_add(request->desk, request->period.scope, stage, answers, request->now_ns, err);
    if (code == KM_OK)
        printf("answers are kept; 'komainu kpi' shows the means\n");
    return code;
}

/* ---- cost ---- */

static enum km_code enter_given(const struct request *request, struct km_economy *economy, double spread,
                                struct km_err *err)
{
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        const char *text = km_options_text(request->options, km_economy_name(i));
        if (text && km_economy_enter(economy, i, text, spread, err) != KM_OK)
            return err->code;
    }
    return KM_OK;
}

/* Asks on a terminal, else names all that is missing. */
static enum km_code enter_missing(struct km_economy *economy, double spread, struct km_err *err)
{
    int missing = 0;
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        char line[128];
        if (economy->sources[i] != KM_ECONOMY_MISSING)
            continue;
        if (!isatty(STDIN_FILENO)) {
            fprintf(stderr, "komainu: kpi: --%s is needed: %s\n", km_economy_name(i), km_economy_question(i));
            missing++;
        } else if (ask(km_economy_question(i), line, sizeof line, err) != KM_OK ||
                   km_economy_enter(economy, i, line, spread, err) != KM_OK) {
            return err->code;
        }
    }
    return missing == 0 ? KM_OK
                        : km_fail(err, KM_FORMAT, "%d number%s missing, and nothing is invented", missing,
                                  missing == 1 ? " is" : "s are");
}

static enum km_code act_cost(const struct request *request, struct km_err *err)
{
    struct km_economy economy = {0};
    double spread = km_options_real(request->options, "spread");
    char currency[64];
    const char *word = km_options_text(request->options, "currency");
    (void)km_text_escape(word, strlen(word), currency, sizeof currency);
    struct km_kpi_report *report KM_CLEANUP(km_kpi_cleanup) = measure(request, err);
    if (!report || enter_given(request, &economy, spread / 100, err) != KM_OK ||
        km_economy_load(request->desk, &economy, err) != KM_OK)
        return err->code;
    km_economy_measure(&economy, report, spread / 100);
    if (enter_missing(&economy, spread / 100, err) != KM_OK ||
        km_economy_save(request->desk, &economy, request->who, request->now_ns, err) != KM_OK)
        return err->code;
    return km_kpi_print_cost(&economy, report, currency, spread, request->format, err);
}

/* ---- the command ---- */

static enum km_code read_period(const struct km_options *options, struct request *out, struct km_err *err)
{
    const char *until = km_options_text(options, "until"), *scope = km_options_text(options, "scope");
    struct km_kpi_request *period = &out->period;
    period->now_ns = period->until_ns = out->now_ns;
    period->model_age_days = km_options_real(options, "model-age");
    period->rules_age_days = km_options_real(options, "rules-age");
    if (km_when_parse(km_options_text(options, "since"), KM_WHEN_PAST, out->now_ns, &period->since_ns, err) != KM_OK ||
        (until && km_when_parse(until, KM_WHEN_PAST, out->now_ns, &period->until_ns, err) != KM_OK) ||
        (scope && km_stage_find_scope(out->desk, scope, &period->scope, err) != KM_OK))
        return err->code;
    return KM_OK;
}

static enum km_kpi_format format_of(const char *name)
{
    return strcmp(name, "json") == 0 ? KM_KPI_JSON : strcmp(name, "csv") == 0 ? KM_KPI_CSV : KM_KPI_TEXT;
}

static const struct {
    const char *name;
    enum km_code (*act)(const struct request *request, struct km_err *err);
} actions[] = {{"show", act_show}, {"survey", act_survey}, {"cost", act_cost}};

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count > 1 || a == count) {
        fprintf(stderr, "komainu: kpi: [show] | survey | cost\n");
        return KM_EXIT_ERROR;
    }
    struct request request = {
        .options = options, .format = format_of(km_options_text(options, "format")), .now_ns = km_clock_wall_ns()};
    enum km_desk_place place;
    km_desk_link_who(request.who);
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) = NULL;
    if (km_words_choose(km_options_text(options, "lang"), &err) == KM_OK)
        desk = km_desk_link_store("kpi", km_options_text(options, "store"), &place, &err);
    request.desk = desk;
    if (!desk || km_triage_run(desk, request.now_ns, NULL, &err) != KM_OK ||
        read_period(options, &request, &err) != KM_OK || actions[a].act(&request, &err) != KM_OK) {
        fprintf(stderr, "komainu: kpi: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_kpi = {"kpi", "[show|survey|cost]", "figures of a pilot, what it costs and saves", rows,
                                  run};
