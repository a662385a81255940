/*
 * YAML documents (libyaml behind it) as the values of json.h. Input is hostile, as there.
 *
 * Plain scalars are typed by the YAML 1.2 core schema (null, true, 12, 0x1f, 1.5; "yes" and "on" are strings); quoted
 * and block scalars are strings; the tags !!str, !!int, !!float, !!bool and !!null are obeyed and others ignored. Keys
 * are the text of their scalar and may not repeat. Aliases share the value of their anchor; merge keys ("<<") are
 * applied: a mapping's own keys win, then the earlier merge.
 *
 * Limits: KM_JSON_MAX_DEPTH levels and KM_YAML_MAX_VALUES values in a stream, counted as if every alias were written
 * out. Refused: keys that are no scalars, infinite numbers, NUL characters, an alias within its own anchor.
 *
 * Ownership: as in json.h; values from one stream may share parts, so they must not be changed.
 */
#ifndef KM_BASE_YAML_H
#define KM_BASE_YAML_H

#include <stddef.h>

#include "base/json.h"

#define KM_YAML_MAX_VALUES 100000

struct km_yaml; /* a stream of documents */

/* text is borrowed until km_yaml_close. NULL with *err set: KM_LIMIT above max_bytes, KM_NOMEM. */
struct km_yaml *km_yaml_open(const char *text, size_t length, size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_yaml_close(struct km_yaml *yaml);
KM_DEFINE_CLEANUP(struct km_yaml, km_yaml_cleanup, km_yaml_close);

/* The next document; the caller frees it. *out_value is NULL behind the last one; an empty document is a null value.
 * KM_FORMAT and KM_LIMIT (the text begins with "line N: "), KM_NOMEM; after a failure the stream has ended. */
enum km_code km_yaml_next(struct km_yaml *yaml, struct km_json **out_value, struct km_err *err) KM_MUST_USE;

/* The one document of a text. NULL with *err set: as above, and KM_FORMAT when there is a second one. Empty text is a
 * null value. */
struct km_json *km_yaml_parse(const char *text, size_t length, size_t max_bytes, struct km_err *err) KM_MUST_USE;

#endif
