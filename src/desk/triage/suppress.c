#include "desk/triage/suppress.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

#include "desk/triage/triage_internal.h"

#define MAX_TEXT_BYTES 4096

#define COLUMNS                                                                                                        \
    "SELECT s.id, s.host, s.unit, s.role, s.image, s.path, s.sha256, s.evidence, s.reason, s.owner, s.expires_ns,"     \
    " s.created_ns, coalesce(s.ended_ns, 0), s.hidden, coalesce(s.last_hidden_ns, 0) "

static void read_suppression(struct km_query *query, struct km_suppression *out)
{
    *out = (struct km_suppression){
        .host = km_query_text_or_null(query, 1),
        .daemon = km_query_text_or_null(query, 2),
        .role = km_query_text_or_null(query, 3),
        .image = km_query_text_or_null(query, 4),
        .path = km_query_text_or_null(query, 5),
        .sha256 = km_query_text_or_null(query, 6),
        .evidence = km_query_text_or_null(query, 7),
        .reason = km_query_text(query, 8),
        .owner = km_query_text(query, 9),
        .expires_ns = km_query_integer(query, 10),
    };
}

static bool fits(const char *pattern, const char *text)
{
    return !pattern || (text && fnmatch(pattern, text, 0) == 0);
}

static bool covers(const struct km_suppression *suppression, const struct km_triage_subject *subject)
{
    bool image = !suppression->image || fits(suppression->image, subject->image) ||
                 (*subject->lineage && fits(suppression->image, subject->lineage));
    return image && fits(suppression->host, subject->host) && fits(suppression->daemon, subject->daemon) &&
           fits(suppression->role, subject->role) && fits(suppression->path, subject->path) &&
           fits(suppression->evidence, subject->dominant) &&
           (!suppression->sha256 || (subject->sha256 && strcmp(suppression->sha256, subject->sha256) == 0));
}

enum km_code km_triage_find_suppression(struct km_desk *desk, const struct km_triage_subject *subject, int64_t now_ns,
                                        int64_t *out_id, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, COLUMNS "FROM suppression s WHERE s.ended_ns IS NULL AND s.expires_ns>?1 ORDER BY s.id", err);
    bool row = false;
    enum km_code code = query ? KM_OK : err->code;
    *out_id = 0;
    if (query)
        km_query_bind_integer(query, 1, now_ns);
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        struct km_suppression suppression;
        read_suppression(query, &suppression);
        if (covers(&suppression, subject)) {
            *out_id = km_query_integer(query, 0);
            return KM_OK;
        }
    }
    return code;
}

enum km_code km_triage_count_hidden(struct km_desk *desk, int64_t suppression, int64_t now_ns, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE suppression SET hidden=hidden+1, last_hidden_ns=?2 WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, suppression);
    km_query_bind_integer(query, 2, now_ns);
    return km_query_run(query, err);
}

/* What a suppression hid waits to be ranked again. */
static enum km_code bring_back(struct km_desk *desk, int64_t suppression, int64_t now_ns, int64_t *out_count,
                               struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "UPDATE incident SET shown=0, shown_ns=NULL, returned_ns=?2 WHERE suppression_id=?1 AND shown=5"
                      " AND state<4",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, suppression);
    km_query_bind_integer(query, 2, now_ns);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    *out_count += km_query_changes(desk);
    return KM_OK;
}

static enum km_code end(struct km_desk *desk, int64_t id, const char *who, int64_t ended_ns, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE suppression SET ended_ns=?2, ended_by=?3 WHERE id=?1 AND ended_ns IS NULL", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    km_query_bind_integer(query, 2, ended_ns);
    km_query_bind_text(query, 3, who);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    if (km_query_changes(desk) == 0)
        return km_fail(err, KM_NOTFOUND, "there is no suppression %" PRId64 " in force", id);
    return km_triage_audit(desk, who, "suppression.end", id, NULL, err);
}

enum km_code km_triage_expire_suppressions(struct km_desk *desk, int64_t now_ns, int64_t *out_returned,
                                           struct km_err *err)
{
    enum km_code code = KM_OK;
    for (bool row = true; code == KM_OK && row;) {
        struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
            desk, "SELECT id, expires_ns FROM suppression WHERE ended_ns IS NULL AND expires_ns<=?1 LIMIT 1", err);
        if (!query)
            return err->code;
        km_query_bind_integer(query, 1, now_ns);
        code = km_query_step(query, &row, err);
        if (code == KM_OK && row)
            code = end(desk, km_query_integer(query, 0), "komainu", km_query_integer(query, 1), err);
        if (code == KM_OK && row)
            code = bring_back(desk, km_query_integer(query, 0), now_ns, out_returned, err);
    }
    return code;
}

static enum km_code check(const struct km_suppression *suppression, int64_t now_ns, struct km_err *err)
{
    const char *texts[] = {suppression->host,     suppression->daemon, suppression->role,
                           suppression->image,    suppression->path,   suppression->sha256,
                           suppression->evidence, suppression->reason, suppression->owner};
    if (!suppression->reason || *suppression->reason == '\0' || !suppression->owner || *suppression->owner == '\0')
        return km_fail(err, KM_FORMAT, "a suppression needs a reason and an owner");
    if (!suppression->daemon && !suppression->image && !suppression->path && !suppression->sha256 &&
        !suppression->evidence)
        return km_fail(err, KM_FORMAT, "a suppression needs a scope: daemon, image, path, content or evidence");
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i] && strlen(texts[i]) > MAX_TEXT_BYTES)
            return km_fail(err, KM_LIMIT, "a part of a suppression is at most %d bytes long", MAX_TEXT_BYTES);
    if (suppression->expires_ns <= now_ns)
        return km_fail(err, KM_FORMAT, "a suppression needs an end in the future");
    if (suppression->expires_ns - now_ns > KM_SUPPRESS_MAX_DAYS * KM_TRIAGE_DAY_NS)
        return km_fail(err, KM_FORMAT, "a suppression ends within %d days", KM_SUPPRESS_MAX_DAYS);
    return KM_OK;
}

static enum km_code insert(struct km_desk *desk, const struct km_suppression *suppression, int64_t now_ns,
                           struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO suppression(host, unit, role, image, path, sha256, evidence, reason, owner,"
                      " created_ns, expires_ns) VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, suppression->host);
    km_query_bind_text(query, 2, suppression->daemon);
    km_query_bind_text(query, 3, suppression->role);
    km_query_bind_text(query, 4, suppression->image);
    km_query_bind_text(query, 5, suppression->path);
    km_query_bind_text(query, 6, suppression->sha256);
    km_query_bind_text(query, 7, suppression->evidence);
    km_query_bind_text(query, 8, suppression->reason);
    km_query_bind_text(query, 9, suppression->owner);
    km_query_bind_integer(query, 10, now_ns);
    km_query_bind_integer(query, 11, suppression->expires_ns);
    return km_query_run(query, err);
}

static enum km_code hide(struct km_desk *desk, int64_t incident, int64_t suppression, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE incident SET shown=5, suppression_id=?2, returned_ns=NULL WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    km_query_bind_integer(query, 2, suppression);
    return km_query_run(query, err);
}

/* Incidents that are there already. By id, each by a query of its own: the rows change meanwhile. */
static enum km_code hide_present(struct km_desk *desk, const struct km_suppression *suppression, int64_t id,
                                 struct km_err *err)
{
    enum km_code code = KM_OK;
    int64_t after = 0;
    for (bool row = true; code == KM_OK && row;) {
        struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
            desk,
            "SELECT i.id, i.kind, i.host, coalesce(f.image, i.image), f.path, i.content, i.subject, i.role, i.dominant,"
            " i.image FROM incident i LEFT JOIN finding f ON f.id=i.finding_id WHERE i.state<4 AND i.id>?1 ORDER BY "
            "i.id"
            " LIMIT 1",
            err);
        if (!query)
            return err->code;
        km_query_bind_integer(query, 1, after);
        code = km_query_step(query, &row, err);
        if (code != KM_OK || !row)
            return code;
        after = km_query_integer(query, 0);
        struct km_triage_subject subject = {
            .kind = km_query_text(query, 1),
            .host = km_query_text(query, 2),
            .image = km_query_text_or_null(query, 3),
            .path = km_query_text_or_null(query, 4),
            .sha256 = km_query_text_or_null(query, 5),
            .daemon = strcmp(km_query_text(query, 1), "file") == 0 ? NULL : km_query_text(query, 6),
            .role = km_query_text_or_null(query, 7),
            .dominant = km_query_text(query, 8),
        };
        km_triage_format_lineage(km_query_text(query, 9), subject.lineage, sizeof subject.lineage);
        if (covers(suppression, &subject))
            code = hide(desk, after, id, err);
    }
    return code;
}

static enum km_code add(struct km_desk *desk, const struct km_suppression *suppression, const char *who, int64_t now_ns,
                        int64_t *out_id, struct km_err *err)
{
    if (insert(desk, suppression, now_ns, err) != KM_OK)
        return err->code;
    int64_t id = km_query_last_id(desk);
    const struct {
        const char *name, *text;
    } parts[] = {{"host", suppression->host},         {"daemon", suppression->daemon}, {"role", suppression->role},
                 {"image", suppression->image},       {"path", suppression->path},     {"sha256", suppression->sha256},
                 {"evidence", suppression->evidence}, {"reason", suppression->reason}, {"owner", suppression->owner}};
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].text)
            km_json_set_string(detail, parts[i].name, parts[i].text);
    km_json_set_integer(detail, "expires_ns", suppression->expires_ns);
    enum km_code code = km_triage_audit(desk, who, "suppression.add", id, detail, err);
    if (code == KM_OK)
        code = hide_present(desk, suppression, id, err);
    if (code == KM_OK)
        *out_id = id;
    return code;
}

enum km_code km_suppress_add(struct km_desk *desk, const struct km_suppression *suppression, const char *who,
                             int64_t now_ns, int64_t *out_id, struct km_err *err)
{
    int64_t id = 0;
    enum km_code code = check(suppression, now_ns, err);
    if (code == KM_OK)
        code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = add(desk, suppression, who, now_ns, &id, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code == KM_OK)
        *out_id = id;
    return code;
}

static enum km_code count_returned(struct km_desk *desk, int64_t id, struct km_suppression_end *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "SELECT total(shown=1), total(shown=2) FROM incident WHERE suppression_id=?1 AND returned_ns IS NOT NULL",
        err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    out->shown = km_query_integer(query, 0);
    out->digested = km_query_integer(query, 1);
    return KM_OK;
}

enum km_code km_suppress_end(struct km_desk *desk, int64_t id, const char *who, int64_t now_ns,
                             struct km_suppression_end *out, struct km_err *err)
{
    struct km_suppression_end ended = {0};
    struct km_triage_report report = {0};
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = end(desk, id, who, now_ns, err);
    if (code == KM_OK)
        code = bring_back(desk, id, now_ns, &ended.returned, err);
    if (code == KM_OK)
        code = km_triage_spend_budget(desk, now_ns, &report, err);
    if (code == KM_OK)
        code = count_returned(desk, id, &ended, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code == KM_OK && out)
        *out = ended;
    return code;
}

enum km_code km_suppress_visit(struct km_desk *desk, bool all, void *context,
                               enum km_code (*visit)(void *context, const struct km_suppression_row *row,
                                                     struct km_err *err),
                               struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(
        desk,
        COLUMNS
        ", (SELECT count(*) FROM incident i WHERE i.suppression_id=s.id AND i.shown=5),"
        " (SELECT count(*) FROM incident i WHERE i.suppression_id=s.id AND i.returned_ns IS NOT NULL AND"
        " i.state<4 AND i.decision_kind IS NULL), (SELECT count(*) FROM incident i WHERE i.suppression_id=s.id AND"
        " i.returned_ns IS NOT NULL AND i.state<4 AND i.decision_kind IS NULL AND i.shown=2) FROM suppression s WHERE "
        "?1 OR s.ended_ns IS NULL ORDER BY s.id",
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, all);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        struct km_suppression_row out = {
            .id = km_query_integer(query, 0),
            .created_ns = km_query_integer(query, 11),
            .ended_ns = km_query_integer(query, 12),
            .hidden = km_query_integer(query, 13),
            .last_hidden_ns = km_query_integer(query, 14),
            .incidents = km_query_integer(query, 15),
            .waiting = km_query_integer(query, 16),
            .waiting_digest = km_query_integer(query, 17),
        };
        read_suppression(query, &out.suppression);
        code = visit(context, &out, err);
    }
    return code;
}
