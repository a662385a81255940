#include "base/json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

/* A struct km_json is never defined: its pointers are jansson's, under a name that keeps jansson.h in this folder. */
static json_t *jansson_of(const struct km_json *value)
{
    return (json_t *)(uintptr_t)value;
}

static struct km_json *value_of(json_t *value)
{
    return (struct km_json *)value;
}

static json_t *built(json_t *value)
{
    KM_ASSERT(value != NULL); /* out of memory */
    return value;
}

struct shape {
    size_t depth, deepest;
    size_t values; /* at least as many as the document has, keys not counted */
    bool in_string, escaped;
};

/* jansson's own depth limit (2,048) is deeper than we accept: recursion over values must stay shallow. Values are
 * counted by what separates them, before memory is spent on any. */
static struct shape shape_of(const char *text, size_t length)
{
    struct shape n = {.values = 1};
    for (size_t i = 0; i < length; i++) {
        char c = text[i];
        if (n.in_string) {
            if (n.escaped)
                n.escaped = false;
            else if (c == '\\')
                n.escaped = true;
            else if (c == '"')
                n.in_string = false;
        } else if (c == '"') {
            n.in_string = true;
        } else if (c == '[' || c == '{') {
            n.depth++;
            n.values++;
            n.deepest = n.depth > n.deepest ? n.depth : n.deepest;
        } else if ((c == ']' || c == '}') && n.depth > 0) {
            n.depth--;
        } else if (c == ',') {
            n.values++;
        }
    }
    return n;
}

struct km_json *km_json_parse(const char *text, size_t length, size_t max_bytes, struct km_err *err)
{
    if (length > max_bytes) {
        km_fail(err, KM_LIMIT, "a JSON document of %zu bytes is above the limit of %zu", length, max_bytes);
        return NULL;
    }
    struct shape shape = shape_of(text, length);
    if (shape.deepest > KM_JSON_MAX_DEPTH) {
        km_fail(err, KM_LIMIT, "JSON nested deeper than %d levels", KM_JSON_MAX_DEPTH);
        return NULL;
    }
    if (shape.values > KM_JSON_MAX_VALUES) {
        km_fail(err, KM_LIMIT, "JSON with more than %d values", KM_JSON_MAX_VALUES);
        return NULL;
    }
    json_error_t error;
    json_t *root = json_loadb(text, length, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &error);
    if (!root) {
        bool no_memory = json_error_code(&error) == json_error_out_of_memory;
        km_fail(err, no_memory ? KM_NOMEM : KM_FORMAT, "not valid JSON: line %d, column %d: %s", error.line,
                error.column, error.text);
        return NULL;
    }
    return value_of(root);
}

void km_json_free(struct km_json *value)
{
    json_decref(jansson_of(value));
}

enum km_json_type km_json_type(const struct km_json *value)
{
    const json_t *v = jansson_of(value);
    if (!v)
        return KM_JSON_NULL;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
        return KM_JSON_OBJECT;
    case JSON_ARRAY:
        return KM_JSON_ARRAY;
    case JSON_STRING:
        return KM_JSON_STRING;
    case JSON_INTEGER:
        return KM_JSON_INTEGER;
    case JSON_REAL:
        return KM_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return KM_JSON_BOOL;
    case JSON_NULL:
        return KM_JSON_NULL;
    }
    return KM_JSON_NULL;
}

/* One step of a path: a member of an object, or an element of an array when the step is a number. */
static const json_t *step(const json_t *value, const char *name, size_t length)
{
    if (json_is_object(value))
        return json_object_getn(value, name, length);
    if (!json_is_array(value) || length == 0 || length > 9)
        return NULL;
    size_t index = 0;
    for (size_t i = 0; i < length; i++) {
        if (name[i] < '0' || name[i] > '9')
            return NULL;
        index = index * 10 + (size_t)(name[i] - '0');
    }
    return json_array_get(value, index);
}

const struct km_json *km_json_find(const struct km_json *value, const char *path)
{
    const json_t *v = jansson_of(value);
    while (v && *path) {
        size_t length = strcspn(path, ".");
        v = step(v, path, length);
        path += length;
        if (*path == '.')
            path++;
    }
    return value_of((json_t *)(uintptr_t)v);
}

const struct km_json *km_json_member(const struct km_json *object, const char *key)
{
    return value_of(json_object_get(jansson_of(object), key));
}

size_t km_json_size(const struct km_json *value)
{
    const json_t *v = jansson_of(value);
    return json_is_array(v) ? json_array_size(v) : json_object_size(v);
}

static void *iterator_at(json_t *object, size_t i)
{
    void *iterator = json_object_iter(object);
    while (iterator && i-- > 0)
        iterator = json_object_iter_next(object, iterator);
    return iterator;
}

const struct km_json *km_json_at(const struct km_json *value, size_t i)
{
    json_t *v = jansson_of(value);
    if (json_is_array(v))
        return value_of(json_array_get(v, i));
    return value_of(json_object_iter_value(iterator_at(v, i)));
}

const char *km_json_key_at(const struct km_json *object, size_t i)
{
    void *iterator = iterator_at(jansson_of(object), i);
    return iterator ? json_object_iter_key(iterator) : NULL;
}

const struct km_json *km_json_next(const struct km_json *object, void **cursor, const char **out_key)
{
    json_t *v = jansson_of(object);
    *cursor = *cursor ? json_object_iter_next(v, *cursor) : json_object_iter(v);
    if (!*cursor)
        return NULL;
    *out_key = json_object_iter_key(*cursor);
    return value_of(json_object_iter_value(*cursor));
}

const char *km_json_text(const struct km_json *value)
{
    return json_string_value(jansson_of(value));
}

const char *km_json_string(const struct km_json *value, const char *path, const char *fallback)
{
    const char *text = km_json_text(km_json_find(value, path));
    return text ? text : fallback;
}

int64_t km_json_integer(const struct km_json *value, const char *path, int64_t fallback)
{
    const json_t *v = jansson_of(km_json_find(value, path));
    return json_is_integer(v) ? (int64_t)json_integer_value(v) : fallback;
}

double km_json_real(const struct km_json *value, const char *path, double fallback)
{
    const json_t *v = jansson_of(km_json_find(value, path));
    return json_is_number(v) ? json_number_value(v) : fallback;
}

bool km_json_bool(const struct km_json *value, const char *path, bool fallback)
{
    const json_t *v = jansson_of(km_json_find(value, path));
    return json_is_boolean(v) ? json_is_true(v) : fallback;
}

struct km_json *km_json_new_object(void)
{
    return value_of(built(json_object()));
}

struct km_json *km_json_new_array(void)
{
    return value_of(built(json_array()));
}

struct km_json *km_json_new_string(const char *text)
{
    json_t *value = json_string(text); /* NULL for invalid UTF-8, too */
    if (value)
        return value_of(value);
    size_t length = strlen(text);
    char *escaped = malloc(KM_TEXT_ESCAPED_MAX(length));
    KM_ASSERT(escaped != NULL);
    km_text_escape(text, length, escaped, KM_TEXT_ESCAPED_MAX(length));
    value = json_string(escaped);
    free(escaped);
    return value_of(built(value));
}

struct km_json *km_json_new_integer(int64_t number)
{
    return value_of(built(json_integer((json_int_t)number)));
}

struct km_json *km_json_new_real(double number)
{
    return value_of(built(isfinite(number) ? json_real(number) : json_null()));
}

struct km_json *km_json_new_bool(bool truth)
{
    return value_of(json_boolean(truth));
}

struct km_json *km_json_new_null(void)
{
    return value_of(json_null());
}

void km_json_set(struct km_json *object, const char *key, struct km_json *child)
{
    KM_ASSERT(json_object_set_new(jansson_of(object), key, jansson_of(child)) == 0);
}

void km_json_append(struct km_json *array, struct km_json *child)
{
    KM_ASSERT(json_array_append_new(jansson_of(array), jansson_of(child)) == 0);
}

void km_json_set_string(struct km_json *object, const char *key, const char *text)
{
    km_json_set(object, key, text ? km_json_new_string(text) : km_json_new_null());
}

void km_json_set_escaped(struct km_json *object, const char *key, const char *text)
{
    if (!text) {
        km_json_set(object, key, km_json_new_null());
        return;
    }
    char small[1024];
    size_t length = strlen(text), room = KM_TEXT_ESCAPED_MAX(length);
    char *escaped = room <= sizeof small ? small : malloc(room);
    KM_ASSERT(escaped != NULL);
    km_text_escape(text, length, escaped, room);
    km_json_set_string(object, key, escaped);
    if (escaped != small)
        free(escaped);
}

void km_json_set_count(struct km_json *object, const char *key, uint64_t count)
{
    if (count == UINT64_MAX)
        km_json_set(object, key, km_json_new_null());
    else
        km_json_set_integer(object, key, count > INT64_MAX ? INT64_MAX : (int64_t)count);
}

void km_json_set_integer(struct km_json *object, const char *key, int64_t number)
{
    km_json_set(object, key, km_json_new_integer(number));
}

void km_json_set_real(struct km_json *object, const char *key, double number)
{
    km_json_set(object, key, km_json_new_real(number));
}

void km_json_set_bool(struct km_json *object, const char *key, bool truth)
{
    km_json_set(object, key, km_json_new_bool(truth));
}

struct output {
    struct km_buf *buf;
    struct km_err *err;
    enum km_code code;
};

static int append_piece(const char *bytes, size_t length, void *context)
{
    struct output *output = context;
    output->code = km_buf_append(output->buf, bytes, length, output->err);
    return output->code == KM_OK ? 0 : -1;
}

enum km_code km_json_format(const struct km_json *value, unsigned indent, struct km_buf *out, struct km_err *err)
{
    struct output output = {out, err, KM_OK};
    size_t flags = JSON_ENCODE_ANY | JSON_REAL_PRECISION(12) | (indent ? JSON_INDENT(indent) : JSON_COMPACT);
    if (json_dump_callback(jansson_of(value), append_piece, &output, flags) == 0)
        return KM_OK;
    return output.code != KM_OK ? output.code : km_fail(err, KM_NOMEM, "out of memory (JSON document)");
}
