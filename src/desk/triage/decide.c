#include "desk/triage/decide.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "desk/store/audit_chain.h"
#include "desk/triage/triage_internal.h"
#include "finding/strange.h"

#define MAX_NOTE_BYTES 4096
#define MAX_MINUTES    100000

/* ---- what holds for a subject ---- */

/* A decision from before schema 5: it says by name what it covers. */
#define BY_NAME "named"

/* A benign decision covers nothing but what it was made about. Suspicious and attack cover what holds all of that, too:
 * whoever adds something to it does not get away. */
static bool is_covered(const struct km_triage_subject *subject, enum km_decision_kind kind, const char *strange,
                       const char *dominant)
{
    if (strcmp(strange, BY_NAME) == 0)
        return strcmp(dominant, subject->dominant) == 0;
    return km_strange_covers(strange, subject->strange) ||
           (!km_decision_is_benign(kind) && km_strange_covers(subject->strange, strange));
}

static enum km_code find_of_daemon(struct km_desk *desk, const struct km_triage_subject *subject, int64_t now_ns,
                                   struct km_triage_decision *out, struct km_err *err)
{
    static const char of_role[] =
        "SELECT id, kind, strange, coalesce(dominant, '') FROM decision WHERE unit=?1 AND role IS ?2 AND host=?3 AND"
        " kind<>0 AND undone_ns IS NULL AND (until_ns IS NULL OR until_ns>?4) AND strange IS NOT NULL ORDER BY id DESC";
    struct km_triage_decision found = {0};
    struct km_query *query KM_CLEANUP(km_query_cleanup) = subject->strange ? km_query_open(desk, of_role, err) : NULL;
    bool row = false;
    enum km_code code = query || !subject->strange ? KM_OK : err->code;
    if (query) {
        km_query_bind_text(query, 1, subject->daemon);
        km_query_bind_text(query, 2, subject->role);
        km_query_bind_text(query, 3, subject->host);
        km_query_bind_integer(query, 4, now_ns);
    }
    while (query && found.id == 0 && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        int kind = (int)km_query_integer(query, 1);
        if (is_covered(subject, (enum km_decision_kind)kind, km_query_text(query, 2), km_query_text(query, 3)))
            found = (struct km_triage_decision){km_query_integer(query, 0), kind};
    }
    if (code == KM_OK)
        *out = found;
    return code;
}

static enum km_code find_of_file(struct km_desk *desk, const struct km_triage_subject *subject, int64_t now_ns,
                                 struct km_triage_decision *out, struct km_err *err)
{
    static const char of_file[] =
        "SELECT id, kind FROM (SELECT id, kind FROM decision WHERE sha256=?1 AND kind IN (0, 1, 3, 4) AND undone_ns IS"
        " NULL AND (until_ns IS NULL OR until_ns>?4)"
        " UNION SELECT id, kind FROM decision WHERE path=?2 AND image=?3 AND (kind=2 OR kind IN (3, 4) AND sha256 IS"
        " NULL) AND unit IS NULL AND undone_ns IS NULL AND (until_ns IS NULL OR until_ns>?4)) ORDER BY id DESC LIMIT 1";
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, of_file, err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, subject->sha256);
    km_query_bind_text(query, 2, subject->path);
    km_query_bind_text(query, 3, subject->lineage);
    km_query_bind_integer(query, 4, now_ns);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = (struct km_triage_decision){0};
    if (row)
        *out = (struct km_triage_decision){km_query_integer(query, 0), (int)km_query_integer(query, 1)};
    return KM_OK;
}

enum km_code km_triage_find_decision(struct km_desk *desk, const struct km_triage_subject *subject, int64_t now_ns,
                                     struct km_triage_decision *out, struct km_err *err)
{
    return subject->daemon ? find_of_daemon(desk, subject, now_ns, out, err)
                           : find_of_file(desk, subject, now_ns, out, err);
}

/* ---- making one ---- */

static enum km_code check_given(const struct km_verdict_given *given, int64_t now_ns, struct km_err *err)
{
    if ((unsigned)given->kind > KM_DECISION_ATTACK)
        return km_fail(err, KM_FORMAT, "no such decision");
    if (!given->who || *given->who == '\0' || !given->note || *given->note == '\0')
        return km_fail(err, KM_FORMAT, "a decision needs a note: without a reason nobody can review it");
    if (strlen(given->note) > MAX_NOTE_BYTES)
        return km_fail(err, KM_LIMIT, "a note is at most %d bytes long", MAX_NOTE_BYTES);
    if (given->kind == KM_DECISION_BENIGN_UNTIL && given->until_ns == 0)
        return km_fail(err, KM_FORMAT, "benign-until needs an end: --until 2026-12-31 or --until 14d");
    if (given->until_ns != 0 && given->until_ns <= now_ns)
        return km_fail(err, KM_FORMAT, "the date has passed");
    if (!(given->minutes >= 0 && given->minutes <= MAX_MINUTES))
        return km_fail(err, KM_FORMAT, "minutes are between 0 and %d", MAX_MINUTES);
    return KM_OK;
}

/* The incident with its strongest finding. */
#define INCIDENT_COLUMNS                                                                                               \
    "SELECT i.kind, i.host, i.subject, i.role, i.image, i.content, i.dominant, i.state, i.closed_ns, i.decision_kind," \
    " f.path, json_extract(f.subject_more, '$.alarm'), i.minutes, f.strange FROM incident i LEFT JOIN finding f ON"    \
    " f.id=i.finding_id WHERE i.id=?1"

/* What undo puts back. */
static struct km_json *describe_before(struct km_query *incident)
{
    struct km_json *before = km_json_new_object();
    km_json_set_integer(before, "state", km_query_integer(incident, 7));
    if (!km_query_is_null(incident, 8))
        km_json_set_integer(before, "closed_ns", km_query_integer(incident, 8));
    if (!km_query_is_null(incident, 9))
        km_json_set_integer(before, "decision_kind", km_query_integer(incident, 9));
    return before;
}

static enum km_code insert_decision(struct km_desk *desk, struct km_query *incident,
                                    const struct km_verdict_given *given, int64_t now_ns, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "INSERT INTO decision(incident_id, kind, who, note, at_ns, until_ns, guardian, host, unit, role, image, path,"
        " sha256, dominant, alarm, before, strange) VALUES(?1, ?2, ?3, ?4, ?5, nullif(?6, 0), ?7, ?8, ?9, ?10, ?11,"
        " ?12, ?13, ?14, ?15, ?16, ?17)",
        err);
    if (!query)
        return err->code;
    bool file = strcmp(km_query_text(incident, 0), "file") == 0;
    struct km_json *before KM_CLEANUP(km_json_cleanup) = describe_before(incident);
    struct km_buf text;
    km_buf_init(&text, 4096);
    enum km_code code = km_json_format(before, 0, &text, err);
    km_query_bind_integer(query, 1, given->incident);
    km_query_bind_integer(query, 2, (int64_t)given->kind);
    km_query_bind_text(query, 3, given->who);
    km_query_bind_text(query, 4, given->note);
    km_query_bind_integer(query, 5, now_ns);
    km_query_bind_integer(query, 6, given->until_ns);
    km_query_bind_text(query, 7, file ? "scan" : "guard");
    km_query_bind_text(query, 8, km_query_text(incident, 1));
    km_query_bind_text(query, 9, file ? NULL : km_query_text(incident, 2));
    km_query_bind_text(query, 10, km_query_text_or_null(incident, 3));
    km_query_bind_text(query, 11, km_query_text_or_null(incident, 4));
    km_query_bind_text(query, 12, file ? km_query_text_or_null(incident, 10) : NULL);
    km_query_bind_text(query, 13, km_query_text_or_null(incident, 5));
    km_query_bind_text(query, 14, km_query_text(incident, 6));
    km_query_bind_text(query, 15, km_query_text_or_null(incident, 11));
    km_query_bind_text(query, 16, km_buf_text(&text));
    km_query_bind_text(query, 17, km_query_text_or_null(incident, 13));
    if (code == KM_OK)
        code = km_query_run(query, err);
    km_buf_done(&text);
    return code;
}

static enum km_code move_incident(struct km_desk *desk, const struct km_verdict_given *given, int64_t now_ns,
                                  struct km_err *err)
{
    bool benign = km_decision_is_benign(given->kind);
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "UPDATE incident SET state=iif(?2, 4, max(state, 2)), closed_ns=iif(?2, ?4, closed_ns),"
                      " decision_kind=?3, decided_ns=?4, first_decided_ns=coalesce(first_decided_ns, ?4),"
                      " minutes=minutes+?5 WHERE id=?1",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, given->incident);
    km_query_bind_integer(query, 2, benign);
    km_query_bind_integer(query, 3, (int64_t)given->kind);
    km_query_bind_integer(query, 4, now_ns);
    km_query_bind_real(query, 5, given->minutes);
    return km_query_run(query, err);
}

static enum km_code audit_decision(struct km_desk *desk, const struct km_verdict_given *given, int64_t id,
                                   struct km_err *err)
{
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(detail, "kind", km_decision_kind_to_string(given->kind));
    km_json_set_string(detail, "note", given->note);
    km_json_set_integer(detail, "incident", given->incident);
    if (given->until_ns != 0)
        km_json_set_integer(detail, "until_ns", given->until_ns);
    return km_triage_audit(desk, given->who, "decision.add", id, detail, err);
}

static enum km_code add(struct km_desk *desk, const struct km_verdict_given *given, int64_t now_ns, int64_t *out_id,
                        struct km_err *err)
{
    struct km_query *incident KM_CLEANUP(km_query_cleanup) = km_query_open(desk, INCIDENT_COLUMNS, err);
    bool row = false;
    if (!incident)
        return err->code;
    km_query_bind_integer(incident, 1, given->incident);
    if (km_query_step(incident, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "there is no incident %" PRId64, given->incident);
    if (km_query_integer(incident, 7) == KM_TRIAGE_CLOSED)
        return km_fail(err, KM_CONFLICT, "incident %" PRId64 " is closed; undo its decision first", given->incident);
    bool content = given->kind == KM_DECISION_BENIGN_ONCE || given->kind == KM_DECISION_BENIGN_LEARN;
    if (content && strcmp(km_query_text(incident, 0), "file") == 0 && km_query_is_null(incident, 5))
        return km_fail(err, KM_CONFLICT, "the content is not known, so %s has nothing to hold on to; use benign-until",
                       km_decision_kind_to_string(given->kind));
    if (insert_decision(desk, incident, given, now_ns, err) != KM_OK)
        return err->code;
    int64_t id = km_query_last_id(desk);
    if (move_incident(desk, given, now_ns, err) != KM_OK || audit_decision(desk, given, id, err) != KM_OK)
        return err->code;
    *out_id = id;
    return KM_OK;
}

enum km_code km_decide_add(struct km_desk *desk, const struct km_verdict_given *given, int64_t now_ns, int64_t *out_id,
                           struct km_err *err)
{
    int64_t id = 0;
    enum km_code code = check_given(given, now_ns, err);
    if (code == KM_OK)
        code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = add(desk, given, now_ns, &id, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code == KM_OK)
        *out_id = id;
    return code;
}

/* ---- taking one back ---- */

static enum km_code put_back(struct km_desk *desk, int64_t incident, const char *before_text, struct km_err *err)
{
    struct km_json *before KM_CLEANUP(km_json_cleanup) = km_json_parse(before_text, strlen(before_text), 4096, err);
    if (!before)
        return km_err_wrap(err, "the decision's record of what was before");
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "UPDATE incident SET state=?2, closed_ns=?3, decision_kind=?4, decided_ns=NULL WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    km_query_bind_integer(query, 2, km_json_integer(before, "state", KM_TRIAGE_OPEN));
    if (km_json_find(before, "closed_ns"))
        km_query_bind_integer(query, 3, km_json_integer(before, "closed_ns", 0));
    if (km_json_find(before, "decision_kind"))
        km_query_bind_integer(query, 4, km_json_integer(before, "decision_kind", 0));
    return km_query_run(query, err);
}

static enum km_code mark_undone(struct km_desk *desk, int64_t id, const struct km_undo_given *given, int64_t now_ns,
                                struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE decision SET undone_ns=?2, undone_by=?3, undone_note=?4 WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    km_query_bind_integer(query, 2, now_ns);
    km_query_bind_text(query, 3, given->who);
    km_query_bind_text(query, 4, given->note);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(detail, "note", given->note);
    return km_triage_audit(desk, given->who, "decision.undo", id, detail, err);
}

static enum km_code undo(struct km_desk *desk, const struct km_undo_given *given, int64_t now_ns, int64_t *out_id,
                         struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "SELECT id, before FROM decision WHERE incident_id=?1 AND undone_ns IS NULL ORDER BY id DESC LIMIT 1",
        err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, given->incident);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "incident %" PRId64 " has no decision to undo", given->incident);
    int64_t id = km_query_integer(query, 0);
    if (put_back(desk, given->incident, km_query_text(query, 1), err) != KM_OK ||
        mark_undone(desk, id, given, now_ns, err) != KM_OK)
        return err->code;
    *out_id = id;
    return KM_OK;
}

enum km_code km_decide_undo(struct km_desk *desk, const struct km_undo_given *given, int64_t now_ns, int64_t *out_id,
                            struct km_err *err)
{
    int64_t id = 0;
    if (!given->who || *given->who == '\0' || !given->note || *given->note == '\0')
        return km_fail(err, KM_FORMAT, "taking a decision back needs a note");
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = undo(desk, given, now_ns, &id, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code == KM_OK)
        *out_id = id;
    return code;
}

/* ---- for guardians ---- */

enum km_code km_decide_visit_pending(struct km_desk *desk, const char *guardian, const char *host, void *context,
                                     enum km_code (*visit)(void *context, const struct km_pending *pending,
                                                           struct km_err *err),
                                     struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(
        desk,
        "SELECT d.id, d.undone_ns IS NOT NULL, d.kind, d.who, d.note, d.at_ns, coalesce(d.until_ns, ?3), d.unit, "
        "d.role,"
        " d.dominant, i.first_ns, i.last_ns, d.image, coalesce(d.path, f.path), d.sha256, d.alarm FROM decision d LEFT "
        "JOIN incident i"
        " ON i.id=d.incident_id LEFT JOIN finding f ON f.id=i.finding_id WHERE d.guardian=?1 AND d.host=?2 AND "
        "iif(d.undone_ns IS NULL, d.applied_ns IS NULL AND"
        " d.applied_error IS NULL, d.applied_ns IS NOT NULL AND d.undo_applied_ns IS NULL) ORDER BY d.id",
        err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, guardian);
    km_query_bind_text(query, 2, host);
    km_query_bind_integer(query, 3, INT64_MAX);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        const struct km_pending pending = {
            .decision = km_query_integer(query, 0),
            .undo = km_query_integer(query, 1) != 0,
            .kind = (enum km_decision_kind)km_query_integer(query, 2),
            .who = km_query_text(query, 3),
            .note = km_query_text(query, 4),
            .at_ns = km_query_integer(query, 5),
            .until_ns = km_query_integer(query, 6),
            .daemon = km_query_text_or_null(query, 7),
            .role = km_query_text_or_null(query, 8),
            .dominant = km_query_text_or_null(query, 9),
            .first_ns = km_query_integer(query, 10),
            .last_ns = km_query_integer(query, 11),
            .image = km_query_text_or_null(query, 12),
            .path = km_query_text_or_null(query, 13),
            .sha256 = km_query_text_or_null(query, 14),
            .alarm = km_query_text_or_null(query, 15),
        };
        code = visit(context, &pending, err);
    }
    return code;
}

static enum km_code mark_applied(struct km_desk *desk, const struct km_acknowledgement *given, int64_t now_ns,
                                 struct km_err *err)
{
    static const char applied[] = "UPDATE decision SET applied_ns=iif(?3 IS NULL, ?2, NULL), applied_error=?3,"
                                  " applied_by=?4 WHERE id=?1 AND applied_ns IS NULL";
    static const char undone[] = "UPDATE decision SET undo_applied_ns=?2, applied_error=?3, applied_by=?4 WHERE id=?1"
                                 " AND undone_ns IS NOT NULL AND undo_applied_ns IS NULL";
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, given->undo ? undone : applied, err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, given->decision);
    km_query_bind_integer(query, 2, now_ns);
    km_query_bind_text(query, 3, given->problem);
    km_query_bind_text(query, 4, given->by);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    if (km_query_changes(desk) == 0)
        return km_fail(err, KM_NOTFOUND, "decision %" PRId64 " does not wait to be applied", given->decision);
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_bool(detail, "undo", given->undo);
    km_json_set_string(detail, "problem", given->problem);
    return km_triage_audit(desk, given->by, "decision.applied", given->decision, detail, err);
}

enum km_code km_decide_acknowledge(struct km_desk *desk, const struct km_acknowledgement *given, int64_t now_ns,
                                   struct km_err *err)
{
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = mark_applied(desk, given, now_ns, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

/* The newest word about a content counts; what is only tolerated for a while teaches nothing. */
#define IS_LABEL                                                                                                       \
    "d.sha256 IS NOT NULL AND d.undone_ns IS NULL AND d.kind IN (1, 3, 4) AND NOT EXISTS (SELECT 1 FROM decision n"    \
    " WHERE n.sha256=d.sha256 AND n.undone_ns IS NULL AND n.id>d.id)"

enum km_code km_decide_visit_labels(struct km_desk *desk, void *context,
                                    enum km_code (*visit)(void *context, const struct km_label_given *label,
                                                          struct km_err *err),
                                    struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open_once(desk,
                           "SELECT d.id, d.at_ns, d.kind, d.sha256, d.path, d.image, d.who FROM decision d"
                           " WHERE " IS_LABEL " ORDER BY d.sha256",
                           err);
    if (!query)
        return err->code;
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        const struct km_label_given label = {
            .decision = km_query_integer(query, 0),
            .at_ns = km_query_integer(query, 1),
            .kind = (enum km_decision_kind)km_query_integer(query, 2),
            .sha256 = km_query_text(query, 3),
            .path = km_query_text_or_null(query, 4),
            .image = km_query_text_or_null(query, 5),
            .who = km_query_text(query, 6),
        };
        code = visit(context, &label, err);
    }
    return code;
}

static enum km_code take_labels(struct km_desk *desk, const struct km_labels_taken *taken, int64_t now_ns, int64_t *out,
                                struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "UPDATE decision AS d SET applied_ns=?2, applied_by='labels', applied_error=NULL WHERE d.id<=?1 AND"
        " d.applied_ns IS NULL AND " IS_LABEL,
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, taken->newest);
    km_query_bind_integer(query, 2, now_ns);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    *out = km_query_changes(desk);
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(detail, "sha256", taken->file_sha256);
    km_json_set_integer(detail, "newest", taken->newest);
    km_json_set_integer(detail, "applied", *out);
    return km_audit_add(desk, taken->who, "labels.write", "labels", detail, err);
}

enum km_code km_decide_take_labels(struct km_desk *desk, const struct km_labels_taken *taken, int64_t now_ns,
                                   int64_t *out, struct km_err *err)
{
    int64_t applied = 0;
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = take_labels(desk, taken, now_ns, &applied, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code == KM_OK)
        *out = applied;
    return code;
}
