#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "cli/cmd.h"
#include "cli/desk_link.h"
#include "cli/document.h"
#include "cli/option_rows.h"
#include "desk/store/privacy.h"
#include "desk/store/settings.h"

static const struct km_option rows[] = {
    KM_ROW_DESK_STORE,
    KM_ROW_FORMAT("text|json"),
    {.name = "yes", .type = KM_OPTION_FLAG, .only_flag = true, .help = "erase: really do it; without, only count"},
    {0},
};

struct request {
    struct km_desk *desk;
    bool json, yes;
    char who[KM_DESK_LINK_NAME_BYTES];
    int count; /* operands behind the action */
    char **operands;
};

static bool is_about_privacy(const char *name)
{
    return strncmp(name, "collect.", 8) == 0 || strncmp(name, "retention.", 10) == 0;
}

/* ---- show ---- */

struct table {
    const char *text; /* looked for, or NULL */
    size_t rows;
};

static enum km_code print_kind(void *context, const struct km_privacy_kind *kind, struct km_err *err)
{
    (void)err;
    struct table *table = context;
    if (table->rows++ == 0)
        printf("%-18s %8s  %-20s  %-20s  %s\n", "held", "rows", "oldest", "kept", "may be personal");
    char oldest[KM_CLOCK_UTC_BYTES] = "-";
    if (kind->rows > 0 && kind->oldest_ns > 0)
        km_clock_format_utc(kind->oldest_ns, oldest);
    printf("%-18s %8" PRId64 "  %-20s  %-20s  %s", kind->name, kind->rows, oldest,
           kind->retention ? kind->retention : "until erased", kind->about);
    if (table->text)
        printf(": %" PRId64 " with it", kind->matching);
    fputc('\n', stdout);
    return KM_OK;
}

static enum km_code append_kind(void *context, const struct km_privacy_kind *kind, struct km_err *err)
{
    (void)err;
    struct km_json *object = km_json_new_object();
    char oldest[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(kind->oldest_ns, oldest);
    km_json_append(context, object);
    km_json_set_string(object, "name", kind->name);
    km_json_set_string(object, "about", kind->about);
    km_json_set_string(object, "retention", kind->retention);
    km_json_set_integer(object, "rows", kind->rows);
    km_json_set_integer(object, "matching", kind->matching);
    km_json_set_string(object, "oldest", kind->rows > 0 && kind->oldest_ns > 0 ? oldest : NULL);
    return KM_OK;
}

static enum km_code visit_settings(const struct request *request, struct km_json *list, struct km_err *err)
{
    const struct km_setting *setting;
    for (size_t i = 0; (setting = km_settings_get(i)) != NULL; i++) {
        char value[KM_DESK_SETTING_BYTES];
        if (!is_about_privacy(setting->name))
            continue;
        if (km_desk_get_setting(request->desk, setting->name, setting->usual, value, err) != KM_OK)
            return err->code;
        if (!list) {
            printf("  %-20s %-7s %s\n", setting->name, value, setting->help);
            continue;
        }
        struct km_json *object = km_json_new_object();
        km_json_set_string(object, "name", setting->name);
        km_json_set_string(object, "value", value);
        km_json_set_string(object, "help", setting->help);
        km_json_append(list, object);
    }
    return KM_OK;
}

static enum km_code show_json(const struct request *request, const char *text, struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *kinds = km_json_new_array(), *settings = km_json_new_array();
    km_json_set_string(document, "schema", "komainu.privacy/1");
    km_json_set(document, "held", kinds);
    km_json_set(document, "settings", settings);
    enum km_code code = km_privacy_visit(request->desk, text, kinds, append_kind, err);
    if (code == KM_OK)
        code = visit_settings(request, settings, err);
    return code == KM_OK ? km_document_print(document, err) : code;
}

static enum km_code show(const struct request *request, const char *text, struct km_err *err)
{
    if (request->json)
        return show_json(request, text, err);
    struct table table = {text, 0};
    enum km_code code = km_privacy_visit(request->desk, text, &table, print_kind, err);
    if (code == KM_OK && !text)
        puts("\nsettings ('komainu privacy set NAME VALUE'; retention in days)");
    return code == KM_OK && !text ? visit_settings(request, NULL, err) : code;
}

static enum km_code act_show(const struct request *request, struct km_err *err)
{
    return show(request, request->count > 0 ? request->operands[0] : NULL, err);
}

/* ---- change ---- */

static enum km_code act_erase(const struct request *request, struct km_err *err)
{
    int64_t count = 0;
    if (!request->yes) {
        enum km_code code = show(request, request->operands[0], err);
        if (code == KM_OK && !request->json)
            puts("\nnothing was erased; --yes does it, and it cannot be undone");
        return code;
    }
    enum km_code code = km_privacy_erase(request->desk, request->operands[0], request->who, &count, err);
    if (code == KM_OK)
        printf(request->json ? "{\"schema\": \"komainu.privacy-erased/1\", \"rows\": %" PRId64 "}\n"
                             : "erased from %" PRId64 " rows; the audit log says so\n",
               count);
    return code;
}

static enum km_code act_expire(const struct request *request, struct km_err *err)
{
    int64_t count = 0;
    enum km_code code = km_privacy_enforce(request->desk, km_clock_wall_ns(), true, &count, err);
    if (code == KM_OK)
        printf(request->json ? "{\"schema\": \"komainu.privacy-expired/1\", \"rows\": %" PRId64 "}\n"
                             : "%" PRId64 " rows were older than their retention and are gone\n",
               count);
    return code;
}

static enum km_code act_set(const struct request *request, struct km_err *err)
{
    const char *name = request->operands[0];
    if (!is_about_privacy(name))
        return km_fail(err, KM_NOTFOUND, "'%s' is no setting of privacy; 'komainu privacy show' lists them", name);
    enum km_code code = km_settings_change(request->desk, name, request->operands[1], request->who, err);
    if (code == KM_OK && !request->json)
        printf("%s is now %s; it holds for what is recorded from now on\n", name, request->operands[1]);
    return code;
}

static const struct {
    const char *name;
    int least, most; /* operands behind it */
    enum km_code (*act)(const struct request *request, struct km_err *err);
} actions[] = {
    {"show", 0, 1, act_show}, {"erase", 1, 1, act_erase}, {"expire", 0, 0, act_expire}, {"set", 2, 2, act_set}};

static int run(const struct km_options *options, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    enum km_desk_place place;
    size_t a = 0, count = sizeof actions / sizeof actions[0];
    while (operand_count > 0 && a < count && strcmp(actions[a].name, operands[0]) != 0)
        a++;
    if (operand_count == 0 || a == count || operand_count - 1 < actions[a].least ||
        operand_count - 1 > actions[a].most) {
        fprintf(stderr, "komainu: privacy: show [TEXT] | erase TEXT | expire | set NAME VALUE\n");
        return KM_EXIT_ERROR;
    }
    struct request request = {.json = strcmp(km_options_text(options, "format"), "json") == 0,
                              .yes = km_options_flag(options, "yes"),
                              .count = operand_count - 1,
                              .operands = operands + 1};
    km_desk_link_who(request.who);
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) =
        km_desk_link_store("privacy", km_options_text(options, "store"), &place, &err);
    request.desk = desk;
    if (!desk || actions[a].act(&request, &err) != KM_OK) {
        fprintf(stderr, "komainu: privacy: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_privacy = {"privacy", "ACTION ...", "what is held about whom, for how long; erase it", rows,
                                      run};
