#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/words.h"
#include "cli/alerts_view.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/labels.h"
#include "cli/option_rows.h"
#include "desk/store/settings.h"
#include "desk/triage/decide.h"
#include "desk/triage/suppress.h"
#include "desk/triage/triage.h"
#include "desk/triage/when.h"

#define MAX_LISTED 10000

static const struct km_option rows[] = {
    KM_ROW_DESK_STORE,
    KM_ROW_FORMAT("text|json"),
    {.name = "all", .type = KM_OPTION_FLAG, .only_flag = true, .help = "closed, digested and suppressed ones, too"},
    {.name = "state",
     .type = KM_OPTION_CHOICE,
     .choices = "open|assigned|confirmed|recovered|closed",
     .only_flag = true,
     .help = "list: incidents in this state"},
    {.name = "since",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .only_flag = true,
     .help = "list, digest: seen at or after WHEN (2026-11-22, 7d, 36h)"},
    {.name = "before",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .only_flag = true,
     .help = "list, digest: first seen before WHEN"},
    {.name = "subject",
     .type = KM_OPTION_TEXT,
     .argument = "TEXT",
     .only_flag = true,
     .help = "list: path, image or daemon contains TEXT"},
    {.name = "assignee",
     .type = KM_OPTION_TEXT,
     .argument = "NAME",
     .only_flag = true,
     .help = "list: assigned to NAME"},
    {.name = "search",
     .type = KM_OPTION_TEXT,
     .argument = "WORDS",
     .only_flag = true,
     .help = "list: findings with these words, \"phrases\", -without, path:word"},
    {.name = "suppression",
     .type = KM_OPTION_INTEGER,
     .argument = "ID",
     .fallback = "0",
     .only_flag = true,
     .least = 0,
     .most = 1e15,
     .help = "list: what this suppression hides or hid"},
    {.name = "returned",
     .type = KM_OPTION_FLAG,
     .only_flag = true,
     .help = "list: what came back from suppressions and waits for a decision"},
    {.name = "limit",
     .type = KM_OPTION_INTEGER,
     .argument = "N",
     .fallback = "50",
     .least = 1,
     .most = MAX_LISTED,
     .help = "list, digest: at most so many"},
    {.name = "after",
     .type = KM_OPTION_TEXT,
     .argument = "ID",
     .only_flag = true,
     .help = "list, digest: the page behind incident ID"},
    {.name = "note",
     .letter = 'n',
     .type = KM_OPTION_TEXT,
     .argument = "TEXT",
     .only_flag = true,
     .help = "why: required to decide and undo"},
    {.name = "until",
     .type = KM_OPTION_TEXT,
     .argument = "WHEN",
     .only_flag = true,
     .help = "decide, suppress: holds until the end of this day, or for so long"},
    {.name = "minutes",
     .type = KM_OPTION_REAL,
     .argument = "N",
     .fallback = "0",
     .least = 0,
     .most = 100000,
     .only_flag = true,
     .help = "minutes spent on it since the last time"},
    {.name = "service",
     .type = KM_OPTION_TEXT,
     .argument = "NAME",
     .only_flag = true,
     .help = "assign: the service that is affected"},
    {.name = "importance",
     .type = KM_OPTION_REAL,
     .argument = "X",
     .least = 0.1,
     .most = 10,
     .only_flag = true,
     .help = "assign: how much it matters, as a factor of the priority"},
    {.name = "daemon",
     .type = KM_OPTION_TEXT,
     .argument = "GLOB",
     .only_flag = true,
     .help = "suppress: which daemons"},
    {.name = "role", .type = KM_OPTION_TEXT, .argument = "GLOB", .only_flag = true, .help = "suppress: which roles"},
    {.name = "image", .type = KM_OPTION_TEXT, .argument = "GLOB", .only_flag = true, .help = "suppress: which images"},
    {.name = "path", .type = KM_OPTION_TEXT, .argument = "GLOB", .only_flag = true, .help = "suppress: which files"},
    {.name = "content",
     .type = KM_OPTION_TEXT,
     .argument = "HEX",
     .only_flag = true,
     .help = "suppress: which content"},
    {.name = "evidence",
     .type = KM_OPTION_TEXT,
     .argument = "GLOB",
     .only_flag = true,
     .help = "suppress: which dominant evidence"},
    {.name = "host", .type = KM_OPTION_TEXT, .argument = "GLOB", .only_flag = true, .help = "suppress: which hosts"},
    {.name = "reason",
     .type = KM_OPTION_TEXT,
     .argument = "TEXT",
     .only_flag = true,
     .help = "suppress: why (required)"},
    {.name = "owner",
     .type = KM_OPTION_TEXT,
     .argument = "NAME",
     .only_flag = true,
     .help = "suppress: who answers for it; unset: you"},
    {.name = "lang",
     .type = KM_OPTION_CHOICE,
     .choices = "en|ja",
     .help = "language of the text; unset: by LC_ALL, LC_MESSAGES and LANG"},
    {0},
};

struct request {
    const struct km_options *options;
    struct km_desk *desk;
    enum km_desk_place place;
    bool json;
    int64_t now_ns;
    char who[KM_DESK_LINK_NAME_BYTES];
    int count; /* operands behind the action */
    char **operands;
};

static enum km_code read_when(const struct request *request, const char *option, enum km_when_side side,
                              int64_t *out_ns, struct km_err *err)
{
    const char *text = km_options_text(request->options, option);
    if (!text)
        return KM_OK;
    return km_when_parse(text, side, request->now_ns, out_ns, err) == KM_OK ? KM_OK : km_err_wrap(err, "--%s", option);
}

static enum km_code read_filter(const struct request *request, struct km_incident_filter *out, struct km_err *err)
{
    const char *state = km_options_text(request->options, "state"), *after = km_options_text(request->options, "after");
    *out = (struct km_incident_filter){
        .all = km_options_flag(request->options, "all"),
        .state = -1,
        .shown = -1,
        .subject = km_options_text(request->options, "subject"),
        .assignee = km_options_text(request->options, "assignee"),
        .search = km_options_text(request->options, "search"),
        .limit = (size_t)km_options_integer(request->options, "limit"),
        .suppression = km_options_integer(request->options, "suppression"),
        .returned = km_options_flag(request->options, "returned"),
    };
    enum km_triage_state parsed;
    if (state) {
        if (km_triage_state_from_string(state, &parsed, err) != KM_OK)
            return err->code;
        out->state = (int)parsed;
    }
    if (after && km_alerts_parse_id(after, &out->before_id, err) != KM_OK)
        return err->code;
    if (read_when(request, "since", KM_WHEN_PAST, &out->since_ns, err) != KM_OK)
        return err->code;
    return read_when(request, "before", KM_WHEN_PAST, &out->until_ns, err);
}

static enum km_code show_list(const struct request *request, bool digest, struct km_err *err)
{
    struct km_incident_filter filter;
    if (read_filter(request, &filter, err) != KM_OK)
        return err->code;
    if (digest)
        filter.shown = KM_TRIAGE_DIGEST;
    return request->json ? km_alerts_json_list(request->desk, request->place, &filter, err)
                         : km_alerts_print_list(request->desk, &filter, digest, err);
}

static enum km_code act_list(const struct request *request, struct km_err *err)
{
    return show_list(request, false, err);
}

static enum km_code act_digest(const struct request *request, struct km_err *err)
{
    return show_list(request, true, err);
}

static enum km_code act_show(const struct request *request, struct km_err *err)
{
    int64_t id = 0;
    if (km_alerts_parse_id(request->operands[0], &id, err) != KM_OK)
        return err->code;
    return request->json ? km_alerts_json_incident(request->desk, request->place, id, err)
                         : km_alerts_print_incident(request->desk, id, err);
}

/* After a change, JSON shows the incident as it is now; text says what was done. */
static enum km_code answer(const struct request *request, int64_t id, const char *done, struct km_err *err)
{
    if (request->json)
        return km_alerts_json_incident(request->desk, request->place, id, err);
    char number[32];
    snprintf(number, sizeof number, "%" PRId64, id);
    km_words_print(stdout, "incident {id}: {done}\n", "id", number, "done", km_words(done), NULL);
    return KM_OK;
}

static void read_change(const struct request *request, struct km_incident_change *out)
{
    *out = (struct km_incident_change){
        .who = request->who,
        .note = km_options_text(request->options, "note"),
        .service = km_options_text(request->options, "service"),
        .state = -1,
        .minutes = km_options_real(request->options, "minutes"),
        .importance =
            km_options_is_given(request->options, "importance") ? km_options_real(request->options, "importance") : -1,
    };
}

static enum km_code act_assign(const struct request *request, struct km_err *err)
{
    int64_t id = 0;
    struct km_incident_change change;
    if (km_alerts_parse_id(request->operands[0], &id, err) != KM_OK)
        return err->code;
    read_change(request, &change);
    change.assignee = request->count > 1 ? request->operands[1] : request->who;
    if (km_incident_apply(request->desk, id, &change, request->now_ns, err) != KM_OK)
        return err->code;
    return answer(request, id, *change.assignee ? "assigned" : km_words("assigned to nobody"), err);
}

static enum km_code act_state(const struct request *request, struct km_err *err)
{
    int64_t id = 0;
    struct km_incident_change change;
    enum km_triage_state state;
    if (km_alerts_parse_id(request->operands[0], &id, err) != KM_OK ||
        km_triage_state_from_string(request->operands[1], &state, err) != KM_OK)
        return err->code;
    read_change(request, &change);
    change.state = (int)state;
    if (km_incident_apply(request->desk, id, &change, request->now_ns, err) != KM_OK)
        return err->code;
    return answer(request, id, km_triage_state_to_string(state), err);
}

static enum km_code parse_kind(const char *text, enum km_decision_kind *out, struct km_err *err)
{
    for (int i = KM_DECISION_BENIGN_ONCE; i <= KM_DECISION_ATTACK; i++)
        if (strcmp(text, km_decision_kind_to_string((enum km_decision_kind)i)) == 0) {
            *out = (enum km_decision_kind)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is none of benign-once, benign-learn, benign-until, suspicious, attack", text);
}

static enum km_code act_decide(const struct request *request, struct km_err *err)
{
    int64_t decision = 0;
    struct km_verdict_given given = {.who = request->who,
                                     .note = km_options_text(request->options, "note"),
                                     .minutes = km_options_real(request->options, "minutes")};
    if (km_alerts_parse_id(request->operands[0], &given.incident, err) != KM_OK ||
        parse_kind(request->operands[1], &given.kind, err) != KM_OK ||
        read_when(request, "until", KM_WHEN_FUTURE, &given.until_ns, err) != KM_OK)
        return err->code;
    if (!given.note)
        return km_fail(err, KM_FORMAT, "a decision needs --note: without a reason nobody can review it");
    if (km_decide_add(request->desk, &given, request->now_ns, &decision, err) != KM_OK)
        return err->code;
    return answer(request, given.incident, km_decision_kind_to_string(given.kind), err);
}

static enum km_code act_undo(const struct request *request, struct km_err *err)
{
    int64_t decision = 0;
    struct km_undo_given given = {.who = request->who, .note = km_options_text(request->options, "note")};
    if (km_alerts_parse_id(request->operands[0], &given.incident, err) != KM_OK)
        return err->code;
    if (!given.note)
        return km_fail(err, KM_FORMAT, "taking a decision back needs --note");
    if (km_decide_undo(request->desk, &given, request->now_ns, &decision, err) != KM_OK)
        return err->code;
    return answer(request, given.incident, km_words("the decision is taken back"), err);
}

static enum km_code show_suppressions(const struct request *request, struct km_err *err)
{
    bool all = km_options_flag(request->options, "all");
    return request->json ? km_alerts_json_suppressions(request->desk, request->place, all, err)
                         : km_alerts_print_suppressions(request->desk, all, err);
}

static enum km_code add_suppression(const struct request *request, struct km_err *err)
{
    const struct km_options *options = request->options;
    const char *owner = km_options_text(options, "owner");
    int64_t id = 0;
    struct km_suppression suppression = {
        .host = km_options_text(options, "host"),
        .daemon = km_options_text(options, "daemon"),
        .role = km_options_text(options, "role"),
        .image = km_options_text(options, "image"),
        .path = km_options_text(options, "path"),
        .sha256 = km_options_text(options, "content"),
        .evidence = km_options_text(options, "evidence"),
        .reason = km_options_text(options, "reason"),
        .owner = owner ? owner : request->who,
    };
    if (read_when(request, "until", KM_WHEN_FUTURE, &suppression.expires_ns, err) != KM_OK)
        return err->code;
    if (!suppression.reason || suppression.expires_ns == 0)
        return km_fail(err, KM_FORMAT, "a suppression needs --reason and --until");
    if (km_suppress_add(request->desk, &suppression, request->who, request->now_ns, &id, err) != KM_OK)
        return err->code;
    if (request->json)
        return show_suppressions(request, err);
    printf("suppression %" PRId64 " is in force\n", id);
    return KM_OK;
}

static enum km_code act_suppress(const struct request *request, struct km_err *err)
{
    int64_t id = 0;
    if (request->count == 0)
        return show_suppressions(request, err);
    if (strcmp(request->operands[0], "add") == 0 && request->count == 1)
        return add_suppression(request, err);
    if (strcmp(request->operands[0], "end") != 0 || request->count != 2)
        return km_fail(err, KM_FORMAT, "suppress | suppress add | suppress end NUMBER");
    struct km_suppression_end ended;
    if (km_alerts_parse_id(request->operands[1], &id, err) != KM_OK ||
        km_suppress_end(request->desk, id, request->who, request->now_ns, &ended, err) != KM_OK)
        return err->code;
    if (request->json)
        return show_suppressions(request, err);
    printf("suppression %" PRId64 " ended; back for review: %" PRId64 " (shown %" PRId64 ", in the digest %" PRId64
           ")\n",
           id, ended.returned, ended.shown, ended.digested);
    if (ended.returned > 0)
        printf("'komainu alerts list --suppression %" PRId64 "' lists them\n", id);
    return KM_OK;
}

static enum km_code act_labels(const struct request *request, struct km_err *err)
{
    struct km_labels_written written = {0};
    if (km_labels_write(request->desk, request->operands[0], request->who, request->now_ns, &written, err) != KM_OK)
        return err->code;
    fprintf(
        stderr,
        "komainu: alerts: labels of %zu contents: benign %zu, suspicious %zu, attack %zu; decisions applied by this:"
        " %" PRId64 "\n",
        written.benign + written.suspicious + written.attack, written.benign, written.suspicious, written.attack,
        written.acknowledged);
    return KM_OK;
}

/* Budgets; without operands, what they are. */
static enum km_code act_budget(const struct request *request, struct km_err *err)
{
    const struct km_setting *setting;
    if (request->count == 1 || (request->count == 2 && strncmp(request->operands[0], "budget.", 7) != 0))
        return km_fail(err, KM_FORMAT, "budget | budget NAME NUMBER; 'budget' lists the names");
    if (request->count == 2 &&
        km_settings_change(request->desk, request->operands[0], request->operands[1], request->who, err) != KM_OK)
        return err->code;
    for (size_t i = 0; (setting = km_settings_get(i)) != NULL; i++) {
        char value[KM_DESK_SETTING_BYTES];
        if (strncmp(setting->name, "budget.", 7) != 0)
            continue;
        if (km_desk_get_setting(request->desk, setting->name, setting->usual, value, err) != KM_OK)
            return err->code;
        printf("%-17s %4s  %s\n", setting->name, value, setting->help);
    }
    return KM_OK;
}

static const struct {
    const char *name;
    int least, most; /* operands behind it */
    enum km_code (*act)(const struct request *request, struct km_err *err);
    bool reads; /* changes nothing: a store that cannot be written is no reason not to show it */
} actions[] = {
    {"list", 0, 0, act_list, true},          {"show", 1, 1, act_show, true},      {"assign", 1, 2, act_assign, false},
    {"state", 2, 2, act_state, false},       {"decide", 2, 2, act_decide, false}, {"undo", 1, 1, act_undo, false},
    {"suppress", 0, 2, act_suppress, false}, {"digest", 0, 0, act_digest, true},  {"labels", 1, 1, act_labels, false},
    {"budget", 0, 2, act_budget, false},
};

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (a < count && operand_count > 0 && strcmp(actions[a].name, "decide") == 0 && operand_count != 3) {
        fprintf(stderr,
                "komainu: alerts: decide ID benign-once | benign-learn | benign-until | suspicious | attack, with "
                "--note TEXT\n");
        return KM_EXIT_ERROR;
    }
    if (operand_count == 0 || a == count || operand_count - 1 < actions[a].least ||
        operand_count - 1 > actions[a].most) {
        fprintf(stderr, "komainu: alerts: list | show ID | assign ID [NAME] | state ID STATE | decide ID DECISION | "
                        "undo ID | suppress [add | end NUMBER] | digest | labels FILE | budget [NAME NUMBER]\n");
        return KM_EXIT_ERROR;
    }
    struct request request = {.options = options,
                              .json = strcmp(km_options_text(options, "format"), "json") == 0,
                              .now_ns = km_clock_wall_ns(),
                              .count = operand_count - 1,
                              .operands = operands + 1};
    km_desk_link_who(request.who);
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) =
        km_words_choose(request.json ? "en" : km_options_text(options, "lang"), &err) == KM_OK
            ? km_desk_link_store("alerts", km_options_text(options, "store"), &request.place, &err)
            : NULL;
    request.desk = desk;
    enum km_code code = desk ? km_triage_run(desk, request.now_ns, NULL, &err) : err.code;
    if (desk && code != KM_OK && actions[a].reads) {
        fprintf(stderr, "komainu: alerts: new findings could not be taken up: %s\n", err.text);
        code = KM_OK;
    }
    if (code != KM_OK || actions[a].act(&request, &err) != KM_OK) {
        fprintf(stderr, "komainu: alerts: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_alerts = {"alerts", "ACTION [ID ...]", "list incidents, decide about them, suppress", rows,
                                     run};
