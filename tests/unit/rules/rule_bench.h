/* What the tests of rules share: rules from texts, events from words. */
#ifndef KM_TESTS_RULES_RULE_BENCH_H
#define KM_TESTS_RULES_RULE_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/rules/rules.h"

#define BYTES(text) ((struct km_bytes){(text), sizeof(text) - 1})

struct told { /* what a listener or a matcher was told */
    unsigned loaded, refused, hidden, matches;
    unsigned line;
    enum km_code code;
    char reason[KM_ERR_TEXT_BYTES];
    char id[80], title[128];
    char hits[2048]; /* "Field pattern=value;" … */
    unsigned unknown_fields;
};

static inline void note_report(void *context, const struct km_rule_report *report)
{
    struct told *told = context;
    told->loaded += report->outcome == KM_RULE_LOADED;
    told->refused += report->outcome == KM_RULE_REFUSED;
    told->hidden += report->outcome == KM_RULE_HIDDEN;
    told->line = report->line;
    if (report->reason) {
        told->code = report->reason->code;
        (void)snprintf(told->reason, sizeof told->reason, "%s", report->reason->text);
    }
}

static inline enum km_code note_match(void *context, const struct km_rule_match *match, struct km_err *err)
{
    struct told *told = context;
    (void)err;
    told->matches++;
    (void)snprintf(told->id, sizeof told->id, "%s", match->rule->id);
    (void)snprintf(told->title, sizeof told->title, "%s", match->rule->title);
    told->unknown_fields = match->unknown_fields;
    told->hits[0] = '\0';
    for (size_t i = 0, used = 0; i < match->hit_count && used < sizeof told->hits; i++)
        used += (size_t)snprintf(told->hits + used, sizeof told->hits - used, "%s %s=%.*s;", match->hits[i].field,
                                 match->hits[i].pattern, (int)match->hits[i].value.length, match->hits[i].value.data);
    return KM_OK;
}

/* Loads a text as a file. */
static inline struct told load_text(struct km_rules *rules, const char *text, size_t length)
{
    struct told told = {0};
    struct km_err err = KM_ERR_INIT;
    struct km_rules_listener listener = {&told, note_report};
    FILE *file = tmpfile();
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, length, file), length);
    rewind(file);
    assert_ok(km_rules_load_file(rules, fileno(file), "test.yml", &listener, &err), err);
    (void)fclose(file);
    return told;
}

static inline struct told match(struct km_rules *rules, const struct km_rule_process *process,
                                const struct km_event *event)
{
    struct told told = {0};
    struct km_err err = KM_ERR_INIT;
    struct km_rules_matcher matcher = {&told, note_match};
    assert_ok(km_rules_match(rules, process, event, &matcher, &err), err);
    return told;
}

#endif
