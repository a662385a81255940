/*
 * Results as JSON, described by data/schema/scan-1.json. A change that could break a reader changes "schema".
 */
#ifndef KM_FINDING_JSON_OUTPUT_H
#define KM_FINDING_JSON_OUTPUT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "finding/result.h"

#define KM_SCAN_SCHEMA      "komainu.scan/1"      /* one target */
#define KM_SCAN_LIST_SCHEMA "komainu.scan-list/1" /* several: {"schema", "verdict", "results": [one target…]} */

/* Appends the document: one target's own object when there is exactly one and as_list is false, else a list.
 * Hostile strings come out as valid UTF-8 with escapes. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_json_output_format(const struct km_results *results, bool as_list, struct km_buf *out,
                                   struct km_err *err) KM_MUST_USE;

/* Parts that other documents share. The objects are the caller's. */

/* object[key] = text, escaped: paths and names are bytes that an enemy chose, and two readers must agree on them. NULL
 * sets null. */
void km_json_output_set_text(struct km_json *object, const char *key, const char *text);
struct km_json *km_json_output_evidence(const struct km_evidence *evidence);
struct km_json *km_json_output_decision(const struct km_decision *decision); /* NULL: null */

#endif
