#include "base/yaml.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>
#include <yaml.h>

/* A collection that is being read. */
struct frame {
    json_t *value;
    json_t *merges; /* mappings to merge in at the end, or NULL */
    char *key;      /* of a mapping: the key whose value comes next */
    bool key_is_merge;
    size_t values_before; /* to know its size when it is anchored */
    unsigned height;      /* levels, its own included */
    size_t anchor;        /* index + 1; 0 = none */
};

struct anchor {
    json_t *value; /* NULL while its collection is open */
    size_t values; /* as if written out */
    unsigned height;
};

struct km_yaml {
    yaml_parser_t parser;
    bool over;
    size_t values; /* so far, aliases written out */
    struct frame frames[KM_JSON_MAX_DEPTH];
    size_t depth;
    json_t *root;
    json_t *anchor_names; /* name -> index */
    struct anchor *anchors;
    size_t anchor_count, anchor_capacity;
};

struct node {
    json_t *value; /* owned */
    unsigned height;
};

static enum km_code fail_at(yaml_mark_t mark, enum km_code code, const char *problem, struct km_err *err)
{
    return km_fail(err, code, "line %zu: %s", mark.line + 1, problem);
}

static enum km_code fail_memory(struct km_err *err)
{
    return km_fail(err, KM_NOMEM, "out of memory (YAML document)");
}

struct km_yaml *km_yaml_open(const char *text, size_t length, size_t max_bytes, struct km_err *err)
{
    if (length > max_bytes) {
        km_fail(err, KM_LIMIT, "a YAML document of %zu bytes is above the limit of %zu", length, max_bytes);
        return NULL;
    }
    struct km_yaml *yaml = km_calloc(1, sizeof *yaml, SIZE_MAX, err);
    if (!yaml)
        return NULL;
    if (!yaml_parser_initialize(&yaml->parser)) {
        free(yaml);
        fail_memory(err);
        return NULL;
    }
    yaml_parser_set_encoding(&yaml->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml->parser, (const unsigned char *)text, length);
    return yaml;
}

static void forget_document(struct km_yaml *yaml)
{
    while (yaml->depth > 0) {
        struct frame *frame = &yaml->frames[--yaml->depth];
        json_decref(frame->value);
        json_decref(frame->merges);
        free(frame->key);
    }
    for (size_t i = 0; i < yaml->anchor_count; i++)
        json_decref(yaml->anchors[i].value);
    yaml->anchor_count = 0;
    json_decref(yaml->anchor_names);
    yaml->anchor_names = NULL;
    json_decref(yaml->root);
    yaml->root = NULL;
}

void km_yaml_close(struct km_yaml *yaml)
{
    if (!yaml)
        return;
    forget_document(yaml);
    free(yaml->anchors);
    yaml_parser_delete(&yaml->parser);
    free(yaml);
}

/* ---- Scalars ---- */

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++)
        if (strcmp(text, *words) == 0)
            return true;
    return false;
}

static bool is_null(const char *text)
{
    static const char *const words[] = {"", "~", "null", "Null", "NULL", NULL};
    return is_one_of(text, words);
}

static bool is_bool(const char *text, bool *out_truth)
{
    static const char *const yes[] = {"true", "True", "TRUE", NULL};
    static const char *const no[] = {"false", "False", "FALSE", NULL};
    *out_truth = is_one_of(text, yes);
    return *out_truth || is_one_of(text, no);
}

/* [-+]?[0-9]+, 0o[0-7]+ or 0x[0-9a-fA-F]+ that fits 64 bits. */
static bool is_integer(const char *text, int64_t *out_number)
{
    int base = 10;
    const char *digits = text + (*text == '-' || *text == '+');
    if (text[0] == '0' && (text[1] == 'o' || text[1] == 'x')) {
        base = text[1] == 'o' ? 8 : 16;
        digits = text + 2;
    }
    const char *allowed = base == 16 ? "0123456789abcdefABCDEF" : base == 8 ? "01234567" : "0123456789";
    if (!*digits || digits[strspn(digits, allowed)])
        return false;
    errno = 0;
    *out_number = strtoll(base == 10 ? text : digits, NULL, base);
    return errno == 0;
}

/* [-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?  strtod alone would take more: hexadecimal, "infinity". */
static bool is_real(const char *text, double *out_number)
{
    const char *at = text + (*text == '-' || *text == '+');
    size_t whole = strspn(at, "0123456789"), fraction = 0;
    at += whole;
    if (*at == '.') {
        fraction = strspn(++at, "0123456789");
        at += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+';
        size_t exponent = strspn(at, "0123456789");
        if (exponent == 0)
            return false;
        at += exponent;
    }
    *out_number = strtod(text, NULL);
    return *at == '\0';
}

static bool is_not_finite(const char *text)
{
    static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
    return is_one_of(text + (*text == '-' || *text == '+'), words);
}

/* The value of a plain scalar; NULL when memory is over or the number is not finite. */
static json_t *type_plain(const char *text)
{
    bool truth = false;
    int64_t integer = 0;
    double real = 0;
    if (is_null(text))
        return json_null();
    if (is_bool(text, &truth))
        return json_boolean(truth);
    if (is_integer(text, &integer))
        return json_integer((json_int_t)integer);
    if (is_real(text, &real))
        return json_real(real); /* NULL for what overflows */
    return is_not_finite(text) ? NULL : json_string(text);
}

enum wanted { WANT_ANY, WANT_STRING, WANT_PLAIN, WANT_NULL, WANT_BOOL, WANT_INTEGER, WANT_REAL };

static enum wanted wanted_type(const char *tag)
{
    static const struct {
        const char *tag;
        enum wanted wanted;
    } tags[] = {{YAML_STR_TAG, WANT_STRING}, {"!", WANT_STRING},           {YAML_NULL_TAG, WANT_NULL},
                {YAML_BOOL_TAG, WANT_BOOL},  {YAML_INT_TAG, WANT_INTEGER}, {YAML_FLOAT_TAG, WANT_REAL}};
    for (size_t i = 0; tag && i < sizeof tags / sizeof tags[0]; i++)
        if (strcmp(tag, tags[i].tag) == 0)
            return tags[i].wanted;
    return WANT_ANY;
}

static bool has_type(const json_t *value, enum wanted wanted)
{
    switch (wanted) {
    case WANT_NULL:
        return json_is_null(value);
    case WANT_BOOL:
        return json_is_boolean(value);
    case WANT_INTEGER:
        return json_is_integer(value);
    case WANT_REAL:
        return json_is_number(value);
    case WANT_ANY:
    case WANT_STRING:
    case WANT_PLAIN:
        break;
    }
    return true;
}

static enum km_code read_scalar(const yaml_event_t *event, json_t **out_value, struct km_err *err)
{
    const char *text = (const char *)event->data.scalar.value;
    if (strlen(text) != event->data.scalar.length)
        return fail_at(event->start_mark, KM_FORMAT, "a NUL character", err);
    enum wanted wanted = wanted_type((const char *)event->data.scalar.tag);
    if (wanted == WANT_ANY)
        wanted = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE ? WANT_PLAIN : WANT_STRING;
    json_t *value = wanted == WANT_STRING ? json_string(text) : type_plain(text);
    if (!value)
        return fail_at(event->start_mark, KM_FORMAT, "a value that is no finite number and no text", err);
    if (!has_type(value, wanted)) {
        json_decref(value);
        return fail_at(event->start_mark, KM_FORMAT, "a value that is not what its tag says", err);
    }
    *out_value = value;
    return KM_OK;
}

/* ---- Anchors ---- */

/* Enters an anchor whose value is not known yet. An earlier one of the same name is no longer reachable. */
static enum km_code open_anchor(struct km_yaml *yaml, const yaml_char_t *name, size_t *out_anchor, struct km_err *err)
{
    *out_anchor = 0;
    if (!name)
        return KM_OK;
    if (!yaml->anchor_names)
        yaml->anchor_names = json_object();
    void *anchors = yaml->anchors;
    enum km_code code = km_grow(&anchors, &yaml->anchor_capacity, yaml->anchor_count + 1, sizeof *yaml->anchors,
                                KM_YAML_MAX_VALUES, err);
    yaml->anchors = anchors;
    if (code != KM_OK)
        return code;
    if (json_object_set_new(yaml->anchor_names, (const char *)name, json_integer((json_int_t)yaml->anchor_count)) != 0)
        return fail_memory(err);
    yaml->anchors[yaml->anchor_count++] = (struct anchor){0};
    *out_anchor = yaml->anchor_count;
    return KM_OK;
}

static void fill_anchor(struct km_yaml *yaml, size_t anchor, json_t *value, size_t values, unsigned height)
{
    if (anchor)
        yaml->anchors[anchor - 1] = (struct anchor){json_incref(value), values, height};
}

static enum km_code count_values(struct km_yaml *yaml, yaml_mark_t mark, size_t more, struct km_err *err)
{
    if (more > KM_YAML_MAX_VALUES - yaml->values)
        return km_fail(err, KM_LIMIT, "line %zu: more than %d values", mark.line + 1, KM_YAML_MAX_VALUES);
    yaml->values += more;
    return KM_OK;
}

static enum km_code check_depth(const struct km_yaml *yaml, yaml_mark_t mark, unsigned height, struct km_err *err)
{
    if (yaml->depth + height > KM_JSON_MAX_DEPTH)
        return km_fail(err, KM_LIMIT, "line %zu: nested deeper than %d levels", mark.line + 1, KM_JSON_MAX_DEPTH);
    return KM_OK;
}

static enum km_code read_alias(struct km_yaml *yaml, const yaml_event_t *event, struct node *out_node,
                               struct km_err *err)
{
    const char *name = (const char *)event->data.alias.anchor;
    const json_t *index = json_object_get(yaml->anchor_names, name);
    if (!index)
        return fail_at(event->start_mark, KM_FORMAT, "an alias to an anchor that is not there", err);
    const struct anchor *anchor = &yaml->anchors[json_integer_value(index)];
    if (!anchor->value)
        return fail_at(event->start_mark, KM_FORMAT, "an alias within its own anchor", err);
    enum km_code code = count_values(yaml, event->start_mark, anchor->values, err);
    if (code == KM_OK)
        code = check_depth(yaml, event->start_mark, anchor->height, err);
    if (code != KM_OK)
        return code;
    *out_node = (struct node){json_incref(anchor->value), anchor->height};
    return KM_OK;
}

/* ---- Collections ---- */

static enum km_code add_merge(struct frame *frame, yaml_mark_t mark, json_t *value, struct km_err *err)
{
    if (!frame->merges)
        frame->merges = json_array();
    bool fits = json_is_object(value) && json_array_append(frame->merges, value) == 0;
    if (json_is_array(value)) {
        fits = true;
        for (size_t i = 0; fits && i < json_array_size(value); i++)
            fits = json_is_object(json_array_get(value, i)) &&
                   json_array_append(frame->merges, json_array_get(value, i)) == 0;
    }
    json_decref(value);
    return fits ? KM_OK : fail_at(mark, KM_FORMAT, "a merge key (<<) whose value is no mapping", err);
}

/* The value belongs to the frame from here on, whatever happens. */
static enum km_code put(struct km_yaml *yaml, yaml_mark_t mark, struct node node, struct km_err *err)
{
    if (yaml->depth == 0) {
        yaml->root = node.value;
        return KM_OK;
    }
    struct frame *frame = &yaml->frames[yaml->depth - 1];
    if (frame->height < node.height + 1)
        frame->height = node.height + 1;
    if (json_is_array(frame->value))
        return json_array_append_new(frame->value, node.value) == 0 ? KM_OK : fail_memory(err);
    char *key = km_steal(frame->key);
    if (!key) {
        json_decref(node.value);
        return fail_at(mark, KM_FORMAT, "a key that is no scalar", err);
    }
    enum km_code code = KM_OK;
    if (frame->key_is_merge)
        code = add_merge(frame, mark, node.value, err);
    else if (json_object_set_new(frame->value, key, node.value) != 0)
        code = fail_memory(err);
    free(key);
    return code;
}

static bool expects_key(const struct km_yaml *yaml)
{
    return yaml->depth > 0 && json_is_object(yaml->frames[yaml->depth - 1].value) && !yaml->frames[yaml->depth - 1].key;
}

static enum km_code take_key(struct km_yaml *yaml, const yaml_event_t *event, struct km_err *err)
{
    struct frame *frame = &yaml->frames[yaml->depth - 1];
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (strlen(text) != length)
        return fail_at(event->start_mark, KM_FORMAT, "a NUL character", err);
    frame->key_is_merge = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && strcmp(text, "<<") == 0;
    if (!frame->key_is_merge && json_object_get(frame->value, text))
        return km_fail(err, KM_FORMAT, "line %zu: the key '%s' is there twice", event->start_mark.line + 1, text);
    if (event->data.scalar.anchor) {
        size_t anchor = 0;
        enum km_code code = open_anchor(yaml, event->data.scalar.anchor, &anchor, err);
        json_t *value = code == KM_OK ? json_string(text) : NULL;
        if (!value)
            return code == KM_OK ? fail_memory(err) : code;
        fill_anchor(yaml, anchor, value, 1, 0);
        json_decref(value);
    }
    frame->key = km_strndup(text, length, err);
    return frame->key ? KM_OK : err->code;
}

static enum km_code begin_collection(struct km_yaml *yaml, const yaml_event_t *event, json_t *value,
                                     const yaml_char_t *anchor_name, struct km_err *err)
{
    size_t anchor = 0, before = yaml->values;
    enum km_code code = value ? KM_OK : fail_memory(err);
    if (code == KM_OK && expects_key(yaml))
        code = fail_at(event->start_mark, KM_FORMAT, "a key that is no scalar", err);
    if (code == KM_OK)
        code = count_values(yaml, event->start_mark, 1, err);
    if (code == KM_OK)
        code = check_depth(yaml, event->start_mark, 1, err);
    if (code == KM_OK)
        code = open_anchor(yaml, anchor_name, &anchor, err);
    if (code != KM_OK) {
        json_decref(value);
        return code;
    }
    yaml->frames[yaml->depth++] =
        (struct frame){.value = value, .values_before = before, .height = 1, .anchor = anchor};
    return KM_OK;
}

static enum km_code apply_merges(struct frame *frame, struct km_err *err)
{
    for (size_t i = 0; i < json_array_size(frame->merges); i++) {
        const char *key;
        json_t *value;
        json_object_foreach(json_array_get(frame->merges, i), key,
                            value) if (!json_object_get(frame->value, key) &&
                                       json_object_set(frame->value, key, value) != 0) return fail_memory(err);
    }
    return KM_OK;
}

static enum km_code end_collection(struct km_yaml *yaml, const yaml_event_t *event, struct km_err *err)
{
    struct frame *frame = &yaml->frames[yaml->depth - 1];
    enum km_code code = apply_merges(frame, err);
    if (code != KM_OK)
        return code;
    fill_anchor(yaml, frame->anchor, frame->value, yaml->values - frame->values_before, frame->height);
    struct node node = {frame->value, frame->height};
    json_decref(frame->merges);
    yaml->depth--;
    return put(yaml, event->start_mark, node, err);
}

static enum km_code take_scalar(struct km_yaml *yaml, const yaml_event_t *event, struct km_err *err)
{
    if (expects_key(yaml))
        return take_key(yaml, event, err);
    struct node node = {0};
    size_t anchor = 0;
    enum km_code code = count_values(yaml, event->start_mark, 1, err);
    if (code == KM_OK)
        code = open_anchor(yaml, event->data.scalar.anchor, &anchor, err);
    if (code == KM_OK)
        code = read_scalar(event, &node.value, err);
    if (code != KM_OK)
        return code;
    fill_anchor(yaml, anchor, node.value, 1, 0);
    return put(yaml, event->start_mark, node, err);
}

static enum km_code take_alias(struct km_yaml *yaml, const yaml_event_t *event, struct km_err *err)
{
    if (expects_key(yaml))
        return fail_at(event->start_mark, KM_FORMAT, "an alias as a key", err);
    struct node node = {0};
    enum km_code code = read_alias(yaml, event, &node, err);
    return code == KM_OK ? put(yaml, event->start_mark, node, err) : code;
}

/* ---- The stream ---- */

static enum km_code take_event(struct km_yaml *yaml, const yaml_event_t *event, struct km_err *err)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return take_alias(yaml, event, err);
    case YAML_SCALAR_EVENT:
        return take_scalar(yaml, event, err);
    case YAML_SEQUENCE_START_EVENT:
        return begin_collection(yaml, event, json_array(), event->data.sequence_start.anchor, err);
    case YAML_MAPPING_START_EVENT:
        return begin_collection(yaml, event, json_object(), event->data.mapping_start.anchor, err);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        return end_collection(yaml, event, err);
    case YAML_STREAM_END_EVENT:
        yaml->over = true;
        break;
    case YAML_NO_EVENT:
    case YAML_STREAM_START_EVENT:
    case YAML_DOCUMENT_START_EVENT:
    case YAML_DOCUMENT_END_EVENT:
        break;
    }
    return KM_OK;
}

static enum km_code fail_parser(const struct km_yaml *yaml, struct km_err *err)
{
    if (yaml->parser.error == YAML_MEMORY_ERROR)
        return fail_memory(err);
    size_t line = yaml->parser.error == YAML_READER_ERROR ? yaml->parser.mark.line : yaml->parser.problem_mark.line;
    return km_fail(err, KM_FORMAT, "line %zu: %s", line + 1, yaml->parser.problem ? yaml->parser.problem : "not YAML");
}

enum km_code km_yaml_next(struct km_yaml *yaml, struct km_json **out_value, struct km_err *err)
{
    enum km_code code = KM_OK;
    bool document_over = false;
    while (code == KM_OK && !yaml->over && !document_over) {
        yaml_event_t event;
        if (!yaml_parser_parse(&yaml->parser, &event)) {
            code = fail_parser(yaml, err);
            break;
        }
        code = take_event(yaml, &event, err);
        document_over = event.type == YAML_DOCUMENT_END_EVENT;
        yaml_event_delete(&event);
    }
    json_t *value = code == KM_OK ? km_steal(yaml->root) : NULL;
    forget_document(yaml);
    if (code != KM_OK)
        yaml->over = true;
    else
        *out_value = (struct km_json *)value;
    return code;
}

struct km_json *km_yaml_parse(const char *text, size_t length, size_t max_bytes, struct km_err *err)
{
    struct km_yaml *yaml KM_CLEANUP(km_yaml_cleanup) = km_yaml_open(text, length, max_bytes, err);
    struct km_json *value KM_CLEANUP(km_json_cleanup) = NULL;
    struct km_json *second KM_CLEANUP(km_json_cleanup) = NULL;
    if (!yaml || km_yaml_next(yaml, &value, err) != KM_OK)
        return NULL;
    if (!value)
        return km_json_new_null();
    size_t line = yaml->parser.mark.line + 1;
    if (km_yaml_next(yaml, &second, err) != KM_OK)
        return NULL;
    if (second) {
        km_fail(err, KM_FORMAT, "line %zu: a second document", line);
        return NULL;
    }
    return km_steal(value);
}
