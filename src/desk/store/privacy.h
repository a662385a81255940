/*
 * What the store holds about people, for how long, and how it goes away.
 *
 * Retention is enforced when a command opens the store, at most once a day (km_privacy_enforce); settings retention.*
 * say how long. Erasing takes a text (a user, an address, a path, an argument) out of every table that may hold it, and
 * out of the details of the audit log, whose chain still verifies; the operators' names in the log itself stay, for
 * they are what it is kept for. Erasing (and `privacy expire`) ends with the file
 * rewritten, so that nothing stays in free pages or in the journal; the daily enforcement relies on secure_delete.
 */
#ifndef KM_DESK_STORE_PRIVACY_H
#define KM_DESK_STORE_PRIVACY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"

#define KM_PRIVACY_MIN_TEXT_BYTES 3 /* a shorter text would take half the store with it */
#define KM_PRIVACY_MAX_TEXT_BYTES 1024

/* One kind of data. */
struct km_privacy_kind {
    const char *name;       /* "findings", "users of komainu", "audit details" */
    const char *about;      /* what in it can be personal */
    const char *retention;  /* name of the setting, or NULL: kept until erased */
    int64_t rows, matching; /* in all; with the text, 0 without one */
    int64_t oldest_ns;      /* 0: unknown or none */
};

/* Visits every kind; `text` NULL: nothing is looked for. KM_FORMAT: the text is too short or too long. */
enum km_code km_privacy_visit(struct km_desk *desk, const char *text, void *context,
                              enum km_code (*visit)(void *context, const struct km_privacy_kind *kind,
                                                    struct km_err *err),
                              struct km_err *err) KM_MUST_USE;

/* Takes the text out; *out_rows: rows deleted or blanked. KM_FORMAT as above. */
enum km_code km_privacy_erase(struct km_desk *desk, const char *text, const char *who, int64_t *out_rows,
                              struct km_err *err) KM_MUST_USE;

/* Deletes what is older than its retention; *out_rows: how much. Does nothing within a day after the last time unless
 * `now_always`. Audited when anything was deleted. */
enum km_code km_privacy_enforce(struct km_desk *desk, int64_t now_ns, bool now_always, int64_t *out_rows,
                                struct km_err *err) KM_MUST_USE;

#endif
