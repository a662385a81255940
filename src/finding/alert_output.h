/*
 * Alerts as JSON (data/schema/alert-1.json, one object a line) and as text for people.
 */
#ifndef KM_FINDING_ALERT_OUTPUT_H
#define KM_FINDING_ALERT_OUTPUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "finding/alert.h"

#define KM_ALERT_SCHEMA "komainu.alert/1"

/* Appends one line with its newline. Hostile texts are escaped. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_alert_format_json(const struct km_alert *alert, struct km_buf *out, struct km_err *err) KM_MUST_USE;

/* Appends several lines: what happened, why it is strange, what to do. */
enum km_code km_alert_format_text(const struct km_alert *alert, bool colour, struct km_buf *out,
                                  struct km_err *err) KM_MUST_USE;

/* Appends one line without newline: for a system log. */
enum km_code km_alert_format_line(const struct km_alert *alert, struct km_buf *out, struct km_err *err) KM_MUST_USE;

#endif
