#include "container/scan/policy.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"

struct rule {
    enum km_policy_mode mode;
    char *glob;
};

struct km_policy {
    struct rule *rules;
    size_t count, capacity;
};

static const char *const modes[] = {"whole", "fragments", "metadata", "skip"};

const char *km_policy_mode_to_string(enum km_policy_mode mode)
{
    return modes[mode];
}

/* Where to go on when a star has to take one character more. */
struct star {
    const char *glob, *path;
    bool deep; /* "**" */
};

static bool fits_one(const char *glob, const char *path)
{
    return *path != '\0' && (*glob == '?' ? *path != '/' : *glob == *path);
}

/* Backs up to the last star alone; a single one that meets a "/" gives way to the deep one before it. Time: the product
 * of both lengths for each deep star. */
static bool retry(struct star *star, struct star *deep, const char **glob, const char **path)
{
    if (star->glob && *star->path != '\0' && (star->deep || *star->path != '/')) {
        *glob = star->glob;
        *path = ++star->path;
        return true;
    }
    if (deep->glob && *deep->path != '\0') {
        *glob = deep->glob;
        *path = ++deep->path;
        *star = *deep;
        return true;
    }
    return false;
}

static bool fits(const char *glob, const char *path)
{
    struct star star = {0}, deep = {0};
    for (;;) {
        if (*glob == '*') {
            bool is_deep = glob[1] == '*';
            while (*glob == '*')
                glob++;
            star = (struct star){glob, path, is_deep};
            if (is_deep)
                deep = star;
        } else if (*glob == '\0' && *path == '\0') {
            return true;
        } else if (*glob != '\0' && fits_one(glob, path)) {
            glob++;
            path++;
        } else if (!retry(&star, &deep, &glob, &path)) {
            return false;
        }
    }
}

enum km_policy_mode km_policy_find(const struct km_policy *policy, const char *path)
{
    for (size_t i = 0; policy && i < policy->count; i++)
        if (fits(policy->rules[i].glob, path))
            return policy->rules[i].mode;
    return KM_POLICY_WHOLE;
}

static enum km_code add_rule(struct km_policy *policy, const char *line, size_t length, struct km_err *err)
{
    static const char blank[] = " \t\r";
    while (length > 0 && strchr(blank, line[length - 1]))
        length--;
    while (length > 0 && strchr(blank, *line))
        line++, length--;
    if (length == 0 || *line == '#')
        return KM_OK;
    size_t word = 0, mode = 0;
    while (word < length && !strchr(blank, line[word]))
        word++;
    while (mode < sizeof modes / sizeof modes[0] &&
           (strlen(modes[mode]) != word || strncmp(modes[mode], line, word) != 0))
        mode++;
    if (mode == sizeof modes / sizeof modes[0])
        return km_fail(err, KM_FORMAT, "'%.*s' is no mode: whole, fragments, metadata or skip",
                       word < 40 ? (int)word : 40, line);
    const char *glob = line + word;
    size_t left = length - word;
    while (left > 0 && (strchr(blank, *glob) || *glob == '/'))
        glob++, left--;
    if (left == 0)
        return km_fail(err, KM_FORMAT, "a glob is wanted behind '%s'", modes[mode]);
    if (left > KM_POLICY_MAX_GLOB_BYTES || memchr(glob, '\0', left))
        return km_fail(err, KM_FORMAT, "a glob that is too long, or with a NUL in it");
    void *rules = policy->rules;
    enum km_code code =
        km_grow(&rules, &policy->capacity, policy->count + 1, sizeof *policy->rules, KM_POLICY_MAX_RULES, err);
    policy->rules = rules;
    if (code != KM_OK)
        return code;
    char *copy = km_strndup(glob, left, err);
    if (!copy)
        return err->code;
    policy->rules[policy->count++] = (struct rule){(enum km_policy_mode)mode, copy};
    return KM_OK;
}

struct km_policy *km_policy_parse(const char *label, const char *text, size_t length, struct km_err *err)
{
    struct km_policy *policy = km_calloc(1, sizeof *policy, SIZE_MAX, err);
    size_t number = 1;
    for (size_t at = 0; policy && at < length; number++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line = end ? (size_t)(end - text) - at : length - at;
        if (add_rule(policy, text + at, line, err) != KM_OK) {
            (void)km_err_wrap(err, "%s:%zu", label, number);
            km_policy_free(policy);
            return NULL;
        }
        at += line + 1;
    }
    return policy;
}

struct km_policy *km_policy_load(const char *path, struct km_err *err)
{
    struct km_policy *policy = NULL;
    struct km_buf text;
    const char *slash = strrchr(path, '/');
    km_buf_init(&text, KM_POLICY_MAX_BYTES);
    if (km_buf_append_file(&text, path, err) == KM_OK)
        policy = km_policy_parse(slash ? slash + 1 : path, km_buf_text(&text), text.length, err);
    km_buf_done(&text);
    return policy;
}

void km_policy_free(struct km_policy *policy)
{
    if (!policy)
        return;
    for (size_t i = 0; i < policy->count; i++)
        free(policy->rules[i].glob);
    free(policy->rules);
    free(policy);
}
