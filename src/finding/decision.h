/*
 * What people said about findings, as a guardian is given it: it asks for each finding, and never changes anything.
 * The desk will answer from its store; until then, and for pipelines, a file does (km_decision_list).
 *
 * A decision never hides: the finding is still reported, with who decided what and why. A benign one takes it out of
 * the target's verdict, and only until it expires; suspicious and attack put it in.
 */
#ifndef KM_FINDING_DECISION_H
#define KM_FINDING_DECISION_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "finding/finding.h"

/* Values are stored and sent. */
enum km_decision_kind {
    KM_DECISION_BENIGN_ONCE = 0,  /* this very content */
    KM_DECISION_BENIGN_LEARN = 1, /* and the guardian may learn from it */
    KM_DECISION_BENIGN_UNTIL = 2, /* until a date */
    KM_DECISION_SUSPICIOUS = 3,
    KM_DECISION_ATTACK = 4,
};

struct km_decision {
    enum km_decision_kind kind;
    const char *who;
    const char *note;
    int64_t until_wall_ns; /* INT64_MAX: no end */
    const char *path;      /* raw bytes; "*", "?" and "[" as in fnmatch(3), "*" also matches "/" */
    const char *sha256;    /* hex digest that the content must have, or NULL */
};

/* Whether the decision is one of the benign ones. */
int km_decision_is_benign(enum km_decision_kind kind);

/* "benign-once", … Static storage. */
const char *km_decision_kind_to_string(enum km_decision_kind kind);

/* How a guardian asks. The answer is borrowed until the next call, or NULL. */
struct km_decisions {
    void *context;
    const struct km_decision *(*find)(void *context, const struct km_finding *finding, int64_t now_wall_ns);
};

/* ---- Decisions from a file ---- */

#define KM_DECISION_LIST_MAX_BYTES ((size_t)4 << 20)

struct km_decision_list;

/* Reads YAML: a list of {path, decision, who, note, until, sha256}. path, decision, who and note are required;
 * benign-until needs until (YYYY-MM-DD, its whole day in UTC included), benign-once and benign-learn need sha256.
 * NULL with *err set: KM_FORMAT (names the entry), KM_LIMIT, KM_NOMEM. */
struct km_decision_list *km_decision_list_parse(const char *text, size_t length, struct km_err *err) KM_MUST_USE;
void km_decision_list_free(struct km_decision_list *list);
KM_DEFINE_CLEANUP(struct km_decision_list, km_decision_list_cleanup, km_decision_list_free);

/* Answers with the first entry that fits and has not expired. Borrowed from the list. */
struct km_decisions km_decision_list_decisions(struct km_decision_list *list);

/* Entries that have expired: the user is told, for what they hid comes back. */
size_t km_decision_list_expired(const struct km_decision_list *list, int64_t now_wall_ns);

#endif
