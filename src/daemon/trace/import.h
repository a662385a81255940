/*
 * Traces of other tools as events.
 *
 * tsv: one trace a line, `name TAB label TAB call numbers separated by spaces`, as the research data sets come. Each
 * line is a thread of its own in one role; the numbers are in a foreign number space and there are no times.
 *
 * strace: the log of `strace -f -ttt` (-o FILE or standard error), any -e filter. Roles are made from the program and
 * the forks below the first process. Lines that are no calls are counted.
 *
 * Limits: a line of 16 MiB; 65,536 threads; 4 KiB of arguments of a call that was interrupted.
 */
#ifndef KM_TRACE_IMPORT_H
#define KM_TRACE_IMPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "daemon/trace/event.h"

#define KM_IMPORT_MAX_LINE_BYTES ((size_t)16 << 20)

enum km_import_kind {
    KM_IMPORT_TSV = 1,
    KM_IMPORT_STRACE = 2,
};

struct km_import_stats {
    uint64_t lines;
    uint64_t calls;
    uint64_t skipped; /* lines that are no calls, signals or exits */
    uint64_t unknown; /* calls whose name this build does not know */
};

struct km_import;

/* `unit` names the daemon in the ROLE events; copied. The sink is copied. NULL: KM_NOMEM. */
struct km_import *km_import_new(enum km_import_kind kind, const char *unit, const struct km_event_sink *sink,
                                struct km_err *err) KM_MUST_USE;
void km_import_free(struct km_import *import);
KM_DEFINE_CLEANUP(struct km_import, km_import_cleanup, km_import_free);

/* Takes text in pieces of any size. KM_FORMAT names the line; KM_LIMIT, KM_NOMEM, or the sink's failure. */
enum km_code km_import_text(struct km_import *import, const char *text, size_t length, struct km_err *err) KM_MUST_USE;

/* The end of the text: a last line without newline is taken, open threads end. */
enum km_code km_import_finish(struct km_import *import, struct km_err *err) KM_MUST_USE;

void km_import_get_stats(const struct km_import *import, struct km_import_stats *out);

#endif
