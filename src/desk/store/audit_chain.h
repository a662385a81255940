/*
 * The audit log: entries that are only ever added, each chained to the one before it by SHA-256.
 *
 * hash(n) = SHA-256 over a tag, hash(n-1), n, the time, and the lengths and bytes of who, action, object and the digest
 * of the detail; the exact bytes are in docs/formats/store.md. Triggers forbid UPDATE and DELETE; whoever can write the
 * file can remove the triggers, so it is the chain that shows a change. The detail lies in a table of its own with a
 * random salt, and only its digest is chained: personal data can be erased from it, and the chain still verifies, as
 * long as an entry of the log says so.
 *
 * The end. A chain does not show that its newest entries are missing. Beside the store lies an anchor
 * ("<store>.anchor"): number and hash of the newest entry, written after each commit. A log that is shorter than its
 * anchor was cut. Whoever can write both can cut both: keep a copy of the anchor elsewhere (`komainu audit head`
 * prints it) and give it to verify. An anchor that lags behind (a crash between commit and anchor) is no fault.
 */
#ifndef KM_DESK_STORE_AUDIT_CHAIN_H
#define KM_DESK_STORE_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/json.h"
#include "desk/store/store.h"

#define KM_AUDIT_MAX_DETAIL_BYTES ((size_t)64 << 10)

struct km_audit_entry {
    int64_t id;
    int64_t at_ns;
    const char *who;    /* the operator; not erasable, for it is what the log is for */
    const char *action; /* "decision.add", "decision.undo", "suppression.add", "setting.set", "model.promote", … */
    const char *object; /* "incident 12", "setting budget.daemon": no personal data */
    const char *detail; /* JSON; NULL: none, or erased */
    bool erased;        /* the detail was, and an entry says so */
    char hash[KM_SHA256_HEX_BYTES];
};

/* Adds an entry in the caller's transaction (KM_ASSERT that there is one), so that what is done and its entry are kept
 * together or not at all. detail is formatted on one line; NULL: none. It stays the caller's. The anchor follows with
 * the commit. KM_LIMIT: the detail is longer than KM_AUDIT_MAX_DETAIL_BYTES. */
enum km_code km_audit_add(struct km_desk *desk, const char *who, const char *action, const char *object,
                          const struct km_json *detail, struct km_err *err) KM_MUST_USE;

struct km_audit_report {
    int64_t entries;
    int64_t erased;                     /* details erased on record */
    char head[KM_SHA256_HEX_BYTES];     /* hash of the newest entry; "" without entries */
    int64_t anchor;                     /* number in the anchor file; 0: it names none */
    bool anchor_missing;                /* there is no anchor file, and there are entries: a fault */
    int64_t faults;                     /* 0: the log is whole */
    int64_t first_fault;                /* number of the entry, 0: none */
    char first_text[KM_ERR_TEXT_BYTES]; /* what is wrong there */
};

/* Walks the whole log. A broken log is no error: KM_OK with faults > 0. head_copy: "NUMBER HASH" as printed by
 * `komainu audit head` earlier and kept elsewhere, or NULL; KM_FORMAT when it is not that. `visit` is called for each
 * fault; NULL: none. */
enum km_code km_audit_verify(struct km_desk *desk, const char *head_copy, void *context,
                             void (*visit)(void *context, int64_t id, const char *text), struct km_audit_report *out,
                             struct km_err *err) KM_MUST_USE;

/* Visits entries after_id+1… in order, at most `limit`. Strings are borrowed for the call. */
enum km_code km_audit_list(struct km_desk *desk, int64_t after_id, size_t limit, void *context,
                           enum km_code (*visit)(void *context, const struct km_audit_entry *entry, struct km_err *err),
                           struct km_err *err) KM_MUST_USE;

/* Erases the details of entries that contain `text`, and adds the entry that says which, in the caller's transaction.
 */
enum km_code km_audit_erase_details(struct km_desk *desk, const char *text, const char *who, int64_t *out_erased,
                                    struct km_err *err) KM_MUST_USE;

#endif
