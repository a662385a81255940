#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/option_rows.h"
#include "desk/triage/kpi_text.h"
#include "desk/triage/stage.h"
#include "desk/triage/triage.h"

static const struct km_option rows[] = {
    KM_ROW_DESK_STORE,
    {.name = "daemon",
     .type = KM_OPTION_TEXTS,
     .argument = "GLOB",
     .only_flag = true,
     .help = "set: daemons of the scope (may be repeated; replaces the list)"},
    {.name = "image",
     .type = KM_OPTION_TEXTS,
     .argument = "GLOB",
     .only_flag = true,
     .help = "set: images of the scope, with or without tag (may be repeated)"},
    {.name = "criterion",
     .type = KM_OPTION_TEXTS,
     .argument = "NAME=NUMBER",
     .only_flag = true,
     .help = "set: a limit of the present stage, NAME=off, or top_band=SCORE (may be repeated)"},
    {.name = "stage",
     .type = KM_OPTION_CHOICE,
     .choices = "record|shadow|top|all",
     .only_flag = true,
     .help = "set: the stage, without a check"},
    {.name = "who", .type = KM_OPTION_TEXT, .argument = "NAME", .only_flag = true, .help = "who says so; unset: you"},
    {.name = "note",
     .letter = 'n',
     .type = KM_OPTION_TEXT,
     .argument = "TEXT",
     .only_flag = true,
     .help = "why: required to set and to advance"},
    {.name = "staged",
     .type = KM_OPTION_TEXT,
     .argument = "FOUND/TOTAL",
     .only_flag = true,
     .help = "show, advance: staged attacks that were found, of how many"},
    {.name = "confirm",
     .type = KM_OPTION_FLAG,
     .only_flag = true,
     .help = "advance: do it, if the criteria are met; else they are shown"},
    {0},
};

struct request {
    struct km_desk *desk;
    const struct km_options *options;
    int64_t now_ns;
    struct km_stage_step step;
    char who[KM_DESK_LINK_NAME_BYTES];
};

static void print_escaped(const char *text)
{
    char out[1024];
    (void)km_text_escape(text, strlen(text), out, sizeof out);
    fputs(out, stdout);
}

static enum km_code print_pattern(void *context, const char *kind, const char *pattern, struct km_err *err)
{
    (void)context;
    (void)err;
    printf("  %s ", kind);
    print_escaped(pattern);
    printf("\n");
    return KM_OK;
}

static enum km_code print_row(void *context, const struct km_stage_row *row, struct km_err *err)
{
    (void)err;
    size_t *count = context;
    char from[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(row->from_ns, from);
    printf("%-20s %-7s since %s, by ", row->scope, km_stage_to_string(row->stage), from);
    print_escaped(row->who);
    if (*row->note) {
        printf(": ");
        print_escaped(row->note);
    }
    printf("\n");
    (*count)++;
    return KM_OK;
}

static enum km_code act_list(const struct request *request, struct km_err *err)
{
    size_t count = 0;
    enum km_code code = km_stage_visit(request->desk, NULL, &count, print_row, err);
    if (code == KM_OK && count == 0)
        printf("no scopes: everything is in stage all; 'komainu stage set' begins one\n");
    return code;
}

static void print_check(const struct km_stage_check *check)
{
    printf("to leave stage %s:\n", km_stage_to_string(check->stage));
    for (size_t i = 0; i < check->count; i++) {
        const struct km_criterion_check *one = &check->checks[i];
        char value[KM_KPI_VALUE_BYTES] = "-", wanted[KM_KPI_VALUE_BYTES];
        km_kpi_format_value(one->criterion->unit, one->wanted, wanted);
        if (!isnan(one->value))
            km_kpi_format_value(one->criterion->unit, one->value, value);
        printf("  %-22s %10s  at %-5s %10s  %s\n", one->criterion->id, value,
               one->criterion->at_least ? "least" : "most", wanted, km_criterion_result_to_string(one->result));
    }
    printf("%s\n", check->met ? "the criteria are met" : "the criteria are not met");
}

static enum km_code act_show(const struct request *request, struct km_err *err)
{
    struct km_stage_check check;
    size_t count = 0;
    int64_t scope = 0;
    if (km_stage_visit(request->desk, request->step.scope, &count, print_row, err) != KM_OK ||
        km_stage_find_scope(request->desk, request->step.scope, &scope, err) != KM_OK ||
        km_stage_visit_patterns(request->desk, scope, NULL, print_pattern, err) != KM_OK)
        return err->code;
    enum km_code code = km_stage_check(request->desk, &request->step, request->now_ns, &check, err);
    if (code == KM_OK)
        print_check(&check);
    return code == KM_CONFLICT ? KM_OK : code; /* the last stage has nothing to be left for */
}

static enum km_code act_set(const struct request *request, struct km_err *err)
{
    const struct km_options *options = request->options;
    const char *name = km_options_text(options, "stage");
    enum km_stage stage = KM_STAGE_RECORD;
    if (name && km_stage_from_string(name, &stage, err) != KM_OK)
        return err->code;
    struct km_stage_change change = {.scope = request->step.scope,
                                     .stage = name ? (int)stage : -1,
                                     .who = request->step.who,
                                     .note = request->step.note};
    change.daemon_count = km_options_texts(options, "daemon", &change.daemons);
    change.image_count = km_options_texts(options, "image", &change.images);
    change.criterion_count = km_options_texts(options, "criterion", &change.criteria);
    if (km_stage_set(request->desk, &change, request->now_ns, err) != KM_OK)
        return err->code;
    return act_show(request, err);
}

static enum km_code act_advance(const struct request *request, struct km_err *err)
{
    struct km_stage_check check;
    if (km_stage_check(request->desk, &request->step, request->now_ns, &check, err) != KM_OK)
        return err->code;
    print_check(&check);
    if (!check.met)
        return km_fail(err, KM_CONFLICT, "scope '%s' stays in stage %s", request->step.scope,
                       km_stage_to_string(check.stage));
    if (!km_options_flag(request->options, "confirm")) {
        printf("nothing was changed: a person confirms with --confirm and a --note\n");
        return KM_OK;
    }
    if (km_stage_advance(request->desk, &request->step, request->now_ns, err) != KM_OK)
        return err->code;
    printf("%s is in stage %s\n", request->step.scope, km_stage_to_string(check.stage + 1));
    return KM_OK;
}

static enum km_code act_back(const struct request *request, struct km_err *err)
{
    size_t count = 0;
    if (km_stage_back(request->desk, &request->step, request->now_ns, err) != KM_OK)
        return err->code;
    return km_stage_visit(request->desk, request->step.scope, &count, print_row, err);
}

static enum km_code read_staged(const char *text, struct km_stage_step *step, struct km_err *err)
{
    char *end = NULL;
    if (!text)
        return KM_OK;
    size_t first = strspn(text, "0123456789"), second = text[first] == '/' ? strspn(text + first + 1, "0123456789") : 0;
    if (first == 0 || first > 6 || second == 0 || second > 6 || text[first + 1 + second] != '\0')
        return km_fail(err, KM_FORMAT, "--staged is FOUND/TOTAL, as in 9/10, not '%s'", text);
    step->staged_found = strtoll(text, &end, 10);
    step->staged_total = strtoll(end + 1, NULL, 10);
    return KM_OK;
}

static const struct {
    const char *name;
    int operands; /* behind it */
    enum km_code (*act)(const struct request *request, struct km_err *err);
} actions[] = {{"list", 0, act_list},
               {"show", 1, act_show},
               {"set", 1, act_set},
               {"advance", 1, act_advance},
               {"back", 1, act_back}};

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count == 0 || a == count || operand_count - 1 != actions[a].operands) {
        fprintf(stderr, "komainu: stage: list | show SCOPE | set SCOPE | advance SCOPE | back SCOPE\n");
        return KM_EXIT_ERROR;
    }
    struct request request = {.options = options, .now_ns = km_clock_wall_ns()};
    const char *who = km_options_text(options, "who");
    enum km_desk_place place;
    km_desk_link_who(request.who);
    request.step = (struct km_stage_step){.scope = operand_count > 1 ? operands[1] : NULL,
                                          .who = who ? who : request.who,
                                          .note = km_options_text(options, "note")};
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) =
        km_desk_link_store("stage", km_options_text(options, "store"), &place, &err);
    request.desk = desk;
    if (!desk || read_staged(km_options_text(options, "staged"), &request.step, &err) != KM_OK ||
        km_triage_run(desk, request.now_ns, NULL, &err) != KM_OK || actions[a].act(&request, &err) != KM_OK) {
        fprintf(stderr, "komainu: stage: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_stage = {"stage", "ACTION [SCOPE]", "how far a pilot is: record, shadow, top band, all",
                                    rows, run};
