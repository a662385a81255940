/*
 * Where `komainu guard` writes: alerts to standard output and to files, notices to standard error; both to the journal
 * where standard error is its stream (guard_journal.h). A file that cannot be written (a full disk) is said once,
 * alerts go on elsewhere, and its recovery is said; what it misses meanwhile is counted.
 */
#ifndef KM_CLI_GUARD_OUTPUT_H
#define KM_CLI_GUARD_OUTPUT_H

#include <stdbool.h>

#include "finding/alert.h"

#define KM_GUARD_OUTPUTS 16

struct km_guard_output;

/* format: "text", "jsonl" or "none", on standard output. NULL: KM_NOMEM. */
struct km_guard_output *km_guard_output_new(const char *format, struct km_err *err) KM_MUST_USE;
void km_guard_output_free(struct km_guard_output *output);
KM_DEFINE_CLEANUP(struct km_guard_output, km_guard_output_cleanup, km_guard_output_free);

/* "jsonl=FILE" or "text=FILE"; the file is appended to. KM_FORMAT, KM_LIMIT, KM_IO, KM_DENIED. */
enum km_code km_guard_output_add(struct km_guard_output *output, const char *spec, struct km_err *err) KM_MUST_USE;

/* A km_alert_sink's function; the context is the output. Never fails for a file's sake. */
enum km_code km_guard_output_alert(void *context, const struct km_alert *alert, struct km_err *err);

/* A notice: one line. The context is the output. */
void km_guard_output_say(void *context, const char *line);

/* The live status line, on a terminal only; drawn again when it changes. */
void km_guard_output_status(struct km_guard_output *output, const char *line);
bool km_guard_output_has_status(const struct km_guard_output *output);

#endif
