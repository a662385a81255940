/*
 * JSON values (jansson behind it; YAML documents become the same values, see yaml.h).
 *
 * Reading: input is hostile. km_json_parse refuses what is larger, deeper (KM_JSON_MAX_DEPTH) or has more values
 * (KM_JSON_MAX_VALUES; an empty array costs 50 times its text) than stated, and repeated keys. Getters take a dotted
 * path ("config.digest"; array elements by number: "layers.0.mediaType"), never fail, and return a fallback when the
 * value is missing or has another type: a caller that must know asks km_json_find. Writing: constructors and setters
 * cannot fail. Our own documents are small and bounded by their makers, so memory that runs out while one is built ends
 * the program (KM_ASSERT) instead of being checked at every member.
 *
 * Ownership: km_json_free releases a root and everything below it. Pointers from getters are borrowed from the root.
 * km_json_set and km_json_append take over the child.
 */
#ifndef KM_BASE_JSON_H
#define KM_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

#define KM_JSON_MAX_DEPTH  64
#define KM_JSON_MAX_VALUES 500000

enum km_json_type {
    KM_JSON_NULL = 0,
    KM_JSON_BOOL = 1,
    KM_JSON_INTEGER = 2,
    KM_JSON_REAL = 3,
    KM_JSON_STRING = 4,
    KM_JSON_ARRAY = 5,
    KM_JSON_OBJECT = 6,
};

struct km_json; /* one value, reference-counted by its parent */

/* Parses one document of at most max_bytes. NULL with *err set: KM_LIMIT, KM_FORMAT (text names line and column),
 * KM_NOMEM. Bytes after the document are KM_FORMAT. */
struct km_json *km_json_parse(const char *text, size_t length, size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_json_free(struct km_json *value);
KM_DEFINE_CLEANUP(struct km_json, km_json_cleanup, km_json_free);

enum km_json_type km_json_type(const struct km_json *value);

/* The value at `path`, or NULL. A key that itself holds a dot is reached with km_json_member. */
const struct km_json *km_json_find(const struct km_json *value, const char *path);
const struct km_json *km_json_member(const struct km_json *object, const char *key);

/* Elements of an array or members of an object; 0 for other types and NULL. */
size_t km_json_size(const struct km_json *value);
/* Element i of an array, member value i of an object in document order, or NULL. */
const struct km_json *km_json_at(const struct km_json *value, size_t i);
/* The key of member i of an object, or NULL. */
const char *km_json_key_at(const struct km_json *object, size_t i);

/* Walks the members of an object in document order, each step in constant time (at and key_at search from the start):
 *     for (void *cursor = NULL; (value = km_json_next(object, &cursor, &key));)
 * NULL after the last member, and at once for other types. The object must not change meanwhile. */
const struct km_json *km_json_next(const struct km_json *object, void **cursor, const char **out_key);

const char *km_json_string(const struct km_json *value, const char *path, const char *fallback);
int64_t km_json_integer(const struct km_json *value, const char *path, int64_t fallback);
double km_json_real(const struct km_json *value, const char *path, double fallback); /* integers too */
bool km_json_bool(const struct km_json *value, const char *path, bool fallback);

/* The text of a string value itself, or NULL for other types. */
const char *km_json_text(const struct km_json *value);

/* New values, never NULL. A string that is not UTF-8 is stored escaped (km_text_escape). A real that is not finite
 * becomes null. */
struct km_json *km_json_new_object(void);
struct km_json *km_json_new_array(void);
struct km_json *km_json_new_string(const char *text);
struct km_json *km_json_new_integer(int64_t number);
struct km_json *km_json_new_real(double number);
struct km_json *km_json_new_bool(bool truth);
struct km_json *km_json_new_null(void);

/* object[key] = child (replacing an earlier one); array += child. The parent owns the child. */
void km_json_set(struct km_json *object, const char *key, struct km_json *child);
void km_json_append(struct km_json *array, struct km_json *child);
void km_json_set_string(struct km_json *object, const char *key, const char *text); /* NULL text sets null */
/* Text whose bytes an enemy chose: always escaped (km_text_escape), so that two readers agree. NULL sets null. */
void km_json_set_escaped(struct km_json *object, const char *key, const char *text);
void km_json_set_count(struct km_json *object, const char *key, uint64_t count); /* UINT64_MAX, unknown: null */
void km_json_set_integer(struct km_json *object, const char *key, int64_t number);
void km_json_set_real(struct km_json *object, const char *key, double number);
void km_json_set_bool(struct km_json *object, const char *key, bool truth);

/* Appends the document to *out, indented by `indent` spaces (0: one line), members in the order they were set.
 * KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_json_format(const struct km_json *value, unsigned indent, struct km_buf *out,
                            struct km_err *err) KM_MUST_USE;

#endif
