#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/text.h"
#include "daemon/rules/rule_internal.h"

#define MAX_ID_BYTES 64
#define MAX_LIST     256 /* tags, references, false positives */

struct compiler {
    const struct km_rule_document *document;
    struct km_arena *arena;
    struct km_rule_compiled *out;
    struct km_rule_regex *regexes;
    unsigned line;
    size_t patterns; /* so far, of the whole rule */
    struct km_err *err;
};

/* The line on which `key` stands as a key of the detection, as near as can be told without the parser's marks. */
static unsigned find_line(const struct km_rule_document *document, const char *key)
{
    size_t length = strlen(key);
    unsigned line = document->line;
    const char *at = document->text, *end = document->text + document->length;
    bool within = strcmp(key, "detection") == 0;
    while (at < end) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        const char *word = at;
        while (word < end && strchr(" \t-'\"", *word) && *word != '\0')
            word++;
        size_t left = (size_t)(end - word);
        within |= left > 9 && memcmp(at, "detection", 9) == 0;
        if (within && left > length && memcmp(word, key, length) == 0 && strchr(":'\" ", word[length]))
            return line;
        if (!next)
            break;
        at = next + 1;
        line++;
    }
    return document->line;
}

static enum km_code fail_at(struct compiler *c, const char *key, enum km_code code)
{
    c->line = find_line(c->document, key);
    return code;
}

/* ---- what the rule says of itself ---- */

static const char *copy_text(struct compiler *c, const char *text)
{
    char raw[KM_RULE_MAX_TEXT_BYTES], escaped[KM_RULE_MAX_TEXT_BYTES];
    size_t length = 0;
    for (; *text && length < sizeof raw; text++) /* folded: a paragraph is one line */
        if (!isspace((unsigned char)*text) || (length > 0 && raw[length - 1] != ' '))
            raw[length++] = (char)(isspace((unsigned char)*text) ? ' ' : *text);
    while (length > 0 && raw[length - 1] == ' ')
        length--;
    length = km_text_escape(raw, length, escaped, sizeof escaped);
    return km_arena_strndup(c->arena, escaped, length, c->err);
}

static enum km_code take_text(struct compiler *c, const char *key, const char **out)
{
    const struct km_json *value = km_json_member(c->document->root, key);
    const char *text = km_json_text(value);
    if (value && !text && km_json_type(value) != KM_JSON_NULL)
        return km_fail(c->err, KM_FORMAT, "'%s' is no text", key);
    const char *copy = copy_text(c, text ? text : "");
    if (!copy)
        return c->err->code;
    *out = copy;
    return KM_OK;
}

/* A list of texts; one text alone is a list of one. */
static enum km_code take_list(struct compiler *c, const char *key, const char *const **out, size_t *out_count)
{
    const struct km_json *value = km_json_member(c->document->root, key);
    bool single = km_json_type(value) == KM_JSON_STRING;
    size_t count = single ? 1 : km_json_type(value) == KM_JSON_ARRAY ? km_json_size(value) : 0;
    if (count > MAX_LIST)
        return km_fail(c->err, KM_LIMIT, "'%s' has more than %d entries", key, MAX_LIST);
    const char **list = km_arena_alloc(c->arena, (count + 1) * sizeof *list, c->err);
    if (!list)
        return c->err->code;
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const char *text = km_json_text(single ? value : km_json_at(value, i));
        if (!text)
            continue;
        list[used] = copy_text(c, text);
        if (!list[used++])
            return c->err->code;
    }
    *out = list;
    *out_count = used;
    return KM_OK;
}

static enum km_code take_level(struct compiler *c)
{
    const struct km_json *value = km_json_member(c->document->root, "level");
    const char *text = value ? km_json_text(value) : "medium";
    for (int level = KM_RULE_INFORMATIONAL; text && level <= KM_RULE_CRITICAL; level++)
        if (strcmp(text, km_rule_level_to_string((enum km_rule_level)level)) == 0) {
            c->out->about.level = (enum km_rule_level)level;
            return KM_OK;
        }
    return km_fail(c->err, KM_FORMAT, "level '%s' is none of Sigma's", text ? text : "");
}

static enum km_code check_id(struct compiler *c, const char *text)
{
    size_t length = strlen(text);
    if (length == 0 || length > MAX_ID_BYTES)
        return km_fail(c->err, KM_FORMAT, "the id has not 1 to %d bytes", MAX_ID_BYTES);
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("-_.", text[i]))
            return km_fail(c->err, KM_FORMAT, "the id has other characters than letters, digits, '-', '_' and '.'");
    return KM_OK;
}

/* The rule's id, or one made from its content: findings and suppressions name rules by it. */
static enum km_code take_id(struct compiler *c)
{
    const struct km_json *value = km_json_member(c->document->root, "id");
    const char *text = km_json_text(value);
    char made[MAX_ID_BYTES + 1] = "content-";
    if (value && !text)
        return km_fail(c->err, KM_FORMAT, "the id is no text");
    enum km_code code = text ? check_id(c, text) : KM_OK;
    if (code != KM_OK)
        return code;
    if (!text) {
        km_hex_format(c->out->digest, 8, made + strlen(made));
        text = made;
    }
    char *id = km_arena_strndup(c->arena, text, strlen(text), c->err);
    for (size_t i = 0; id && id[i]; i++)
        id[i] = (char)tolower((unsigned char)id[i]);
    c->out->about.id = id;
    return id ? KM_OK : c->err->code;
}

static enum km_code digest_document(struct compiler *c)
{
    struct km_buf text;
    km_buf_init(&text, 8 * KM_RULES_MAX_FILE_BYTES); /* aliases are written out */
    enum km_code code = km_json_format(c->document->root, 0, &text, c->err);
    if (code == KM_OK)
        code = km_digest_sha256(km_buf_text(&text), text.length, c->out->digest, c->err);
    km_buf_done(&text);
    return code;
}

static enum km_code take_about(struct compiler *c)
{
    struct km_rule *about = &c->out->about;
    enum km_code code = take_text(c, "title", &about->title);
    if (code == KM_OK && !*about->title)
        code = km_fail(c->err, KM_FORMAT, "the rule has no title");
    if (code == KM_OK)
        code = take_text(c, "description", &about->description);
    if (code == KM_OK)
        code = take_text(c, "status", &about->status);
    if (code == KM_OK)
        code = take_text(c, "author", &about->author);
    if (code == KM_OK)
        code = take_list(c, "tags", &about->tags, &about->tag_count);
    if (code == KM_OK)
        code = take_list(c, "falsepositives", &about->falsepositives, &about->falsepositive_count);
    if (code == KM_OK)
        code = take_list(c, "references", &about->references, &about->reference_count);
    if (code == KM_OK)
        code = take_level(c);
    if (code == KM_OK)
        code = digest_document(c);
    return code == KM_OK ? take_id(c) : code;
}

/* ---- log source ---- */

static enum km_code take_source(struct compiler *c)
{
    const struct km_json *source = km_json_member(c->document->root, "logsource");
    const char *values[3] = {NULL, NULL, NULL};
    static const char *const keys[3] = {"product", "category", "service"};
    const char *key;
    const struct km_json *value;
    if (km_json_type(source) != KM_JSON_OBJECT)
        return km_fail(c->err, KM_FORMAT, "the rule has no logsource");
    for (void *cursor = NULL; (value = km_json_next(source, &cursor, &key));) {
        size_t i = 0;
        while (i < 3 && strcmp(keys[i], key) != 0)
            i++;
        if (i == 3 && strcmp(key, "definition") != 0)
            return km_fail(c->err, KM_UNSUPPORTED, "the logsource has '%s', which is not known", key);
        if (i < 3 && !km_json_text(value))
            return km_fail(c->err, KM_FORMAT, "the logsource's %s is no text", key);
        if (i < 3)
            values[i] = km_json_text(value);
    }
    enum km_code code = km_rule_source_find(values[0], values[1], values[2], &c->out->source, c->err);
    if (code == KM_OK)
        c->out->about.logsource = km_rule_source_to_string(c->out->source);
    return code;
}

/* ---- selections ---- */

static enum km_code check_value(struct compiler *c, const struct km_rule_item *item, const char *name,
                                const struct km_json *value)
{
    const char *text = km_json_text(value);
    if (!text || strpbrk(text, "*?\\") || km_rule_field_can_be(c->out->source, item->field, text))
        return KM_OK;
    return km_fail(c->err, KM_UNSUPPORTED, "'%s' is never '%s' in %s", name, text, c->out->about.logsource);
}

/* One value or a list of them. */
static enum km_code compile_patterns(struct compiler *c, struct km_rule_item *item, const char *name,
                                     const struct km_rule_modifiers *modifiers, const struct km_json *value)
{
    bool list = km_json_type(value) == KM_JSON_ARRAY;
    size_t count = list ? km_json_size(value) : 1;
    if (count == 0)
        return km_fail(c->err, KM_FORMAT, "'%s' has an empty list", name);
    if (modifiers->all && !list)
        return km_fail(c->err, KM_FORMAT, "'%s': 'all' stands before a list only", name);
    c->patterns += count;
    if (c->patterns > KM_RULES_MAX_VALUES)
        return km_fail(c->err, KM_LIMIT, "the rule has more than %d values", KM_RULES_MAX_VALUES);
    struct km_rule_pattern *patterns = km_arena_alloc(c->arena, count * sizeof *patterns, c->err);
    if (!patterns)
        return c->err->code;
    for (size_t i = 0; i < count; i++) {
        const struct km_json *one = list ? km_json_at(value, i) : value;
        enum km_code code = km_rule_pattern_compile(one, modifiers, c->arena, &c->regexes, &patterns[i], c->err);
        if (code == KM_OK && modifiers->op == KM_RULE_EQUALS && item->field != KM_RULE_FIELD_NONE)
            code = check_value(c, item, name, one);
        if (code != KM_OK)
            return *name ? km_err_wrap(c->err, "%s", name) : code;
    }
    item->patterns = patterns;
    item->count = count;
    item->all = modifiers->all;
    return KM_OK;
}

static enum km_code compile_item(struct compiler *c, struct km_rule_item *item, const char *key,
                                 const struct km_json *value)
{
    char name[KM_EVENT_MAX_NAME_BYTES];
    struct km_rule_modifiers modifiers;
    size_t length = strcspn(key, "|");
    if (length >= sizeof name)
        return km_fail(c->err, KM_LIMIT, "a field's name of more than %zu bytes", sizeof name - 1);
    memcpy(name, key, length);
    name[length] = '\0';
    enum km_code code = km_rule_modifiers_parse(key + length + (key[length] == '|'), &modifiers, c->err);
    if (code != KM_OK)
        return km_err_wrap(c->err, "%s", name);
    if (length == 0) { /* "|all": keywords */
        if (modifiers.op != KM_RULE_EQUALS && modifiers.op != KM_RULE_CONTAINS && modifiers.op != KM_RULE_RE)
            return km_fail(c->err, KM_FORMAT, "keywords take 'all', 'contains', 're' and 'cased' only");
        if (modifiers.op == KM_RULE_EQUALS)
            modifiers.op = KM_RULE_CONTAINS;
        return compile_patterns(c, item, "", &modifiers, value);
    }
    code = km_rule_field_find(c->out->source, name, &item->field, c->err);
    if (code != KM_OK)
        return code;
    c->out->fields |= KM_RULE_FIELD_BIT(item->field);
    return compile_patterns(c, item, name, &modifiers, value);
}

/* In the audit log a record has the fields of its type: a map that asks for both at once never matches. */
static enum km_code check_audit_map(struct compiler *c, const struct km_rule_map *map)
{
    unsigned types = KM_RULE_AUDIT_SYSCALL | KM_RULE_AUDIT_EXECVE | KM_RULE_AUDIT_PATH;
    for (size_t i = 0; i < map->count; i++) {
        const struct km_rule_item *item = &map->items[i];
        if (item->field != KM_RULE_AUDIT_TYPE || item->count != 1)
            continue;
        static const char *const names[] = {"SYSCALL", "EXECVE", "PATH"};
        for (unsigned t = 0; t < 3; t++)
            if (strcasecmp(item->patterns[0].text, names[t]) == 0)
                types = 1u << t;
    }
    for (size_t i = 0; i < map->count; i++) {
        enum km_rule_field field = map->items[i].field;
        if (field != KM_RULE_FIELD_NONE && !(km_rule_field_audit(field) & types))
            return km_fail(c->err, KM_UNSUPPORTED, "'%s' is not observed in records of this type",
                           km_rule_field_name(KM_RULE_AUDITD, field));
        if (field != KM_RULE_FIELD_NONE)
            types &= km_rule_field_audit(field);
    }
    return KM_OK;
}

static enum km_code compile_map(struct compiler *c, struct km_rule_map *map, const struct km_json *value)
{
    size_t count = km_json_size(value);
    const char *key;
    const struct km_json *one;
    if (count == 0)
        return km_fail(c->err, KM_FORMAT, "an empty map");
    if (count > KM_RULES_MAX_VALUES)
        return km_fail(c->err, KM_LIMIT, "the rule has more than %d values", KM_RULES_MAX_VALUES);
    map->items = km_arena_alloc(c->arena, count * sizeof *map->items, c->err);
    if (!map->items)
        return c->err->code;
    for (void *cursor = NULL; (one = km_json_next(value, &cursor, &key));) {
        enum km_code code = compile_item(c, &map->items[map->count++], key, one);
        if (code != KM_OK)
            return fail_at(c, key, code);
    }
    return c->out->source == KM_RULE_AUDITD ? check_audit_map(c, map) : KM_OK;
}

/* A list of texts, or one: any of them, anywhere. */
static enum km_code compile_keywords(struct compiler *c, struct km_rule_selection *selection,
                                     const struct km_json *value)
{
    struct km_rule_modifiers modifiers = {.op = KM_RULE_CONTAINS};
    selection->maps = km_arena_alloc(c->arena, sizeof *selection->maps, c->err);
    struct km_rule_item *item = km_arena_alloc(c->arena, sizeof *item, c->err);
    if (!selection->maps || !item)
        return c->err->code;
    selection->maps[0] = (struct km_rule_map){item, 1};
    selection->count = 1;
    return compile_patterns(c, item, "", &modifiers, value);
}

static enum km_code compile_selection(struct compiler *c, struct km_rule_selection *selection,
                                      const struct km_json *value)
{
    bool list = km_json_type(value) == KM_JSON_ARRAY;
    size_t count = list ? km_json_size(value) : 1, maps = 0;
    for (size_t i = 0; i < count; i++)
        maps += km_json_type(list ? km_json_at(value, i) : value) == KM_JSON_OBJECT;
    if (count == 0)
        return km_fail(c->err, KM_FORMAT, "an empty list");
    if (maps == 0)
        return compile_keywords(c, selection, value);
    if (maps != count)
        return km_fail(c->err, KM_UNSUPPORTED, "a list of both maps and keywords");
    if (count > KM_RULES_MAX_VALUES)
        return km_fail(c->err, KM_LIMIT, "the rule has more than %d values", KM_RULES_MAX_VALUES);
    selection->maps = km_arena_alloc(c->arena, count * sizeof *selection->maps, c->err);
    if (!selection->maps)
        return c->err->code;
    for (size_t i = 0; i < count; i++) {
        enum km_code code = compile_map(c, &selection->maps[selection->count++], list ? km_json_at(value, i) : value);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static enum km_code compile_selections(struct compiler *c, const struct km_json *detection)
{
    size_t count = km_json_size(detection);
    const char *key;
    const struct km_json *value;
    if (count > KM_RULE_MAX_SELECTIONS)
        return km_fail(c->err, KM_LIMIT, "the rule has more than %d selections", KM_RULE_MAX_SELECTIONS);
    c->out->selections = km_arena_alloc(c->arena, (count + 1) * sizeof *c->out->selections, c->err);
    if (!c->out->selections)
        return c->err->code;
    for (void *cursor = NULL; (value = km_json_next(detection, &cursor, &key));) {
        if (strcmp(key, "condition") == 0)
            continue;
        if (strcmp(key, "timeframe") == 0)
            return fail_at(c, key, km_fail(c->err, KM_UNSUPPORTED, "the rule counts events in a time frame"));
        struct km_rule_selection *selection = &c->out->selections[c->out->selection_count++];
        selection->name = km_arena_strndup(c->arena, key, strlen(key), c->err);
        enum km_code code = selection->name ? compile_selection(c, selection, value) : c->err->code;
        if (code != KM_OK) {
            if (c->line == 0)
                c->line = find_line(c->document, key);
            return km_err_wrap(c->err, "%s", key);
        }
    }
    return KM_OK;
}

static enum km_code compile_condition(struct compiler *c, const struct km_json *detection)
{
    const struct km_json *value = km_json_member(detection, "condition");
    bool list = km_json_type(value) == KM_JSON_ARRAY;
    size_t count = list ? km_json_size(value) : 1;
    struct km_rule_program program = {.selections = c->out->selections, .selection_count = c->out->selection_count};
    if (!value || count == 0)
        return fail_at(c, "detection", km_fail(c->err, KM_FORMAT, "the detection has no condition"));
    program.steps = km_calloc(KM_RULE_MAX_STEPS, sizeof *program.steps, SIZE_MAX, c->err);
    if (!program.steps)
        return c->err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++) {
        const char *text = km_json_text(list ? km_json_at(value, i) : value);
        code = text ? km_rule_condition_compile(&program, text, c->err)
                    : km_fail(c->err, KM_FORMAT, "the condition is no text");
    }
    struct km_rule_step *steps = code == KM_OK ? km_arena_alloc(c->arena, program.count * sizeof *steps, c->err) : NULL;
    if (steps) {
        memcpy(steps, program.steps, program.count * sizeof *steps);
        c->out->steps = steps;
        c->out->step_count = program.count;
    } else {
        code = fail_at(c, "condition", c->err->code);
    }
    free(program.steps);
    return code;
}

static enum km_code check_kind(struct compiler *c)
{
    static const struct {
        const char *key, *what;
    } kinds[] = {{"correlation", "a correlation of other rules"},
                 {"filter", "a filter for other rules"},
                 {"action", "a part of a rule collection ('action')"}};
    if (km_json_type(c->document->root) != KM_JSON_OBJECT)
        return km_fail(c->err, KM_FORMAT, "the document is no map");
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (km_json_member(c->document->root, kinds[i].key))
            return km_fail(c->err, KM_UNSUPPORTED, "the document is %s", kinds[i].what);
    if (strcmp(km_json_string(c->document->root, "status", ""), "unsupported") == 0)
        return km_fail(c->err, KM_UNSUPPORTED, "its own status is 'unsupported'");
    return KM_OK;
}

enum km_code km_rule_compile(const struct km_rule_document *document, struct km_arena *arena,
                             struct km_rule_compiled *out, unsigned *out_line, struct km_err *err)
{
    struct km_rule_compiled rule = {.about = {.title = "", .line = document->line}};
    struct compiler c = {.document = document, .arena = arena, .out = &rule, .err = err};
    const struct km_json *detection = NULL;
    enum km_code code = check_kind(&c);
    if (code == KM_OK)
        code = take_about(&c);
    if (code == KM_OK)
        code = take_source(&c);
    if (code == KM_OK) {
        detection = km_json_member(document->root, "detection");
        if (km_json_type(detection) != KM_JSON_OBJECT)
            code = km_fail(err, KM_FORMAT, "the rule has no detection");
    }
    if (code == KM_OK)
        code = compile_selections(&c, detection);
    if (code == KM_OK)
        code = compile_condition(&c, detection);
    if (code != KM_OK) {
        km_rule_regex_free_all(c.regexes);
        *out_line = c.line ? c.line : document->line;
        return code;
    }
    rule.regexes = c.regexes;
    *out = rule;
    return KM_OK;
}
