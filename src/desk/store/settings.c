#include "desk/store/settings.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk/store/audit_chain.h"

#define LEVELS   "none|hashed|whole"
#define MAX_DAYS 3660

static const struct km_setting settings[] = {
    {"collect.paths", "whole", LEVELS, 0, 0, "paths of files and programs"},
    {"collect.arguments", "whole", LEVELS, 0, 0, "arguments of programs and build steps"},
    {"collect.addresses", "whole", LEVELS, 0, 0, "network addresses"},
    {"collect.contents", "none", LEVELS, 0, 0, "excerpts of files"},
    {"retention.noted", "30", NULL, 1, MAX_DAYS, "days that findings without an incident are kept"},
    {"retention.incidents", "365", NULL, 1, MAX_DAYS, "days that closed incidents and their findings are kept"},
    {"retention.health", "90", NULL, 1, MAX_DAYS, "days that health, losses and watched times are kept"},
    {"retention.runs", "730", NULL, 1, MAX_DAYS, "days that runs with their targets, gaps and users are kept"},
    {"budget.daemon", "3", NULL, 0, 1000, "alerts a day for each daemon or image"},
    {"budget.host", "10", NULL, 0, 10000, "alerts a day for each host"},
    {"budget.uncertain", "10", NULL, 0, 50, "percent of the host's budget for findings just under the threshold"},
    {"budget.sample", "10", NULL, 0, 50, "percent of the host's budget for a random sample"},
};
#define COUNT (sizeof settings / sizeof settings[0])

const struct km_setting *km_settings_get(size_t i)
{
    return i < COUNT ? &settings[i] : NULL;
}

static const struct km_setting *find(const char *name)
{
    for (size_t i = 0; i < COUNT; i++)
        if (strcmp(settings[i].name, name) == 0)
            return &settings[i];
    return NULL;
}

static int is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *word = choices; *word;) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && strncmp(word, text, length) == 0)
            return 1;
        word += word_length + (word[word_length] == '|');
    }
    return 0;
}

static enum km_code parse_number(const struct km_setting *setting, const char *text, int64_t *out, struct km_err *err)
{
    char *end = NULL;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || number < setting->least || number > setting->most)
        return km_fail(err, KM_FORMAT, "%s is a number from %lld to %lld, not '%s'", setting->name,
                       (long long)setting->least, (long long)setting->most, text);
    *out = number;
    return KM_OK;
}

static enum km_code change(struct km_desk *desk, const struct km_setting *setting, const char *value, const char *who,
                           struct km_err *err)
{
    char before[KM_DESK_SETTING_BYTES], object[128];
    if (km_desk_get_setting(desk, setting->name, setting->usual, before, err) != KM_OK ||
        km_desk_set_setting(desk, setting->name, value, err) != KM_OK)
        return err->code;
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(detail, "from", before);
    km_json_set_string(detail, "to", value);
    snprintf(object, sizeof object, "setting %s", setting->name);
    return km_audit_add(desk, who, "setting.set", object, detail, err);
}

enum km_code km_settings_change(struct km_desk *desk, const char *name, const char *value, const char *who,
                                struct km_err *err)
{
    const struct km_setting *setting = find(name);
    int64_t number = 0;
    if (!setting)
        return km_fail(err, KM_NOTFOUND, "there is no setting '%s'", name);
    if (setting->choices && !is_choice(setting->choices, value))
        return km_fail(err, KM_FORMAT, "%s is one of %s, not '%s'", name, setting->choices, value);
    if (!setting->choices && parse_number(setting, value, &number, err) != KM_OK)
        return err->code;
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = change(desk, setting, value, who, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

enum km_code km_settings_number(struct km_desk *desk, const char *name, int64_t *out, struct km_err *err)
{
    const struct km_setting *setting = find(name);
    char text[KM_DESK_SETTING_BYTES];
    KM_ASSERT(setting && !setting->choices);
    if (km_desk_get_setting(desk, name, setting->usual, text, err) != KM_OK)
        return err->code;
    return parse_number(setting, text, out, err) == KM_OK ? KM_OK : km_err_wrap(err, "the store's setting");
}
