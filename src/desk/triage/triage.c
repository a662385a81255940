#include "desk/triage/triage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "desk/store/audit_chain.h"
#include "desk/triage/triage_internal.h"
#include "finding/decision.h"

#define FINDINGS_PER_TRANSACTION 4096

static const char *const state_names[] = {
    [KM_TRIAGE_OPEN] = "open",           [KM_TRIAGE_ASSIGNED] = "assigned", [KM_TRIAGE_CONFIRMED] = "confirmed",
    [KM_TRIAGE_RECOVERED] = "recovered", [KM_TRIAGE_CLOSED] = "closed",
};
#define STATE_COUNT (sizeof state_names / sizeof state_names[0])

const char *km_triage_state_to_string(enum km_triage_state state)
{
    return (size_t)state < STATE_COUNT ? state_names[state] : "unknown";
}

const char *km_triage_shown_to_string(enum km_triage_shown shown)
{
    switch (shown) {
    case KM_TRIAGE_WAITS:
        return "waits";
    case KM_TRIAGE_ALERT:
        return "alert";
    case KM_TRIAGE_DIGEST:
        return "digest";
    case KM_TRIAGE_UNCERTAIN:
        return "uncertain";
    case KM_TRIAGE_SAMPLE:
        return "sample";
    case KM_TRIAGE_SUPPRESSED:
        return "suppressed";
    case KM_TRIAGE_SHADOW:
        return "shadow";
    case KM_TRIAGE_RECORDED:
        return "recorded";
    }
    return "unknown";
}

enum km_code km_triage_state_from_string(const char *text, enum km_triage_state *out, struct km_err *err)
{
    for (size_t i = 0; i < STATE_COUNT; i++)
        if (strcmp(state_names[i], text) == 0) {
            *out = (enum km_triage_state)i;
            return KM_OK;
        }
    return km_fail(err, KM_FORMAT, "'%s' is none of open, assigned, confirmed, recovered, closed", text);
}

/* A colon behind the last slash begins the tag; one before it belongs to the registry's port. */
void km_triage_format_lineage(const char *image, char *out, size_t out_bytes)
{
    size_t length = strcspn(image, "@");
    size_t slash = 0;
    for (size_t i = 0; i < length; i++)
        if (image[i] == '/')
            slash = i;
    for (size_t i = slash; i < length; i++)
        if (image[i] == ':')
            length = i;
    snprintf(out, out_bytes, "%.*s", (int)length, image);
}

enum km_code km_triage_audit(struct km_desk *desk, const char *who, const char *action, int64_t object,
                             const struct km_json *detail, struct km_err *err)
{
    char text[64];
    snprintf(text, sizeof text, "%.*s %" PRId64, (int)strcspn(action, "."), action, object);
    return km_audit_add(desk, who, action, text, detail, err);
}

/* ---- one finding ---- */

/* A row of FINDING_COLUMNS; strings are borrowed from the query. */
struct found {
    int64_t id, at_ns, verdict, origin;
    double score, confidence;
    struct km_triage_subject subject;
};

#define FINDING_COLUMNS                                                                                                \
    "SELECT f.id, f.at_ns, f.verdict, f.origin, f.score, f.confidence, f.kind, r.host, f.image, f.path, f.sha256,"     \
    " f.unit, f.role, f.dominant, f.strange FROM finding f JOIN run r ON r.id=f.run_id "

static void read_found(struct km_query *query, struct found *out)
{
    *out = (struct found){
        .id = km_query_integer(query, 0),
        .at_ns = km_query_integer(query, 1),
        .verdict = km_query_integer(query, 2),
        .origin = km_query_integer(query, 3),
        .score = km_query_real(query, 4),
        .confidence = km_query_real(query, 5),
        .subject =
            {
                .kind = km_query_text(query, 6),
                .host = km_query_text(query, 7),
                .image = km_query_text_or_null(query, 8),
                .path = km_query_text_or_null(query, 9),
                .sha256 = km_query_text_or_null(query, 10),
                .daemon = km_query_text_or_null(query, 11),
                .role = km_query_text_or_null(query, 12),
                .dominant = km_query_text(query, 13),
                .strange = km_query_text_or_null(query, 14),
            },
    };
    km_triage_format_lineage(out->subject.image ? out->subject.image : "", out->subject.lineage,
                             sizeof out->subject.lineage);
}

/* What makes two findings one thing, besides time and content. The parts cannot hold the separator's byte. */
static enum km_code format_key(const struct km_triage_subject *subject, struct km_buf *out, struct km_err *err)
{
    const char *parts[] = {subject->kind, subject->host, subject->daemon ? subject->daemon : subject->lineage,
                           subject->daemon ? subject->role : subject->path, subject->dominant};
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < sizeof parts / sizeof parts[0]; i++)
        code = km_buf_append_format(out, err, "%s%s", i ? "\x1f" : "", parts[i] ? parts[i] : "");
    return code;
}

static enum km_code find_incident(struct km_desk *desk, const struct found *found, const char *key, int64_t *out,
                                  struct km_err *err)
{
    bool daemon = found->subject.daemon != NULL;
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        daemon ? km_query_open(desk,
                               "SELECT id FROM incident WHERE key=?1 AND state<4 AND last_ns>=?2-?3 AND first_ns<=?2+?3"
                               " ORDER BY last_ns DESC LIMIT 1",
                               err)
               : km_query_open(desk,
                               "SELECT id FROM (SELECT id, 0 AS rank FROM incident WHERE content=?2 AND state<4 AND"
                               " host=?3 UNION ALL SELECT id, 1 FROM incident WHERE key=?1 AND state<4)"
                               " ORDER BY rank, id DESC LIMIT 1",
                               err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, key);
    if (daemon) {
        km_query_bind_integer(query, 2, found->at_ns);
        km_query_bind_integer(query, 3, KM_TRIAGE_GAP_NS);
    } else {
        km_query_bind_text(query, 2, found->subject.sha256);
        km_query_bind_text(query, 3, found->subject.host);
    }
    bool row = false;
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = row ? km_query_integer(query, 0) : 0;
    return KM_OK;
}

static enum km_code insert_incident(struct km_desk *desk, const struct found *found, const char *key, int64_t now_ns,
                                    int64_t *out, struct km_err *err)
{
    const struct km_triage_subject *subject = &found->subject;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "INSERT INTO incident(key, kind, host, subject, role, image, content, dominant, first_ns, last_ns, count,"
        " verdict, score, confidence, finding_id, origin, importance, opened_ns)"
        " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?9, 0, ?10, ?11, ?12, ?13, ?14,"
        " coalesce((SELECT CAST(value AS REAL) FROM setting WHERE name='importance.'||?4), 1), ?15)",
        err);
    if (!query)
        return err->code;
    const char *name = subject->daemon ? subject->daemon : subject->path ? subject->path : subject->lineage;
    km_query_bind_text(query, 1, key);
    km_query_bind_text(query, 2, subject->kind);
    km_query_bind_text(query, 3, subject->host);
    km_query_bind_text(query, 4, name);
    km_query_bind_text(query, 5, subject->role);
    km_query_bind_text(query, 6, subject->daemon ? NULL : subject->lineage);
    km_query_bind_text(query, 7, subject->daemon ? NULL : subject->sha256);
    km_query_bind_text(query, 8, subject->dominant);
    km_query_bind_integer(query, 9, found->at_ns);
    km_query_bind_integer(query, 10, found->verdict);
    km_query_bind_real(query, 11, found->score);
    km_query_bind_real(query, 12, found->confidence);
    km_query_bind_integer(query, 13, found->id);
    km_query_bind_integer(query, 14, found->origin);
    km_query_bind_integer(query, 15, now_ns);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    *out = km_query_last_id(desk);
    return KM_OK;
}

static enum km_code note_image(struct km_desk *desk, int64_t incident, const char *image, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "INSERT INTO incident_image VALUES(?1, ?2) ON CONFLICT DO NOTHING", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    km_query_bind_text(query, 2, image);
    return km_query_run(query, err);
}

enum km_code km_triage_rank(struct km_desk *desk, int64_t incident, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "UPDATE incident SET reach=r, priority=score*importance*r*patch_window FROM (SELECT CASE"
                      " WHEN kind='file' THEN 1+log2(max(1, (SELECT count(*) FROM incident_image WHERE"
                      " incident_id=incident.id))) ELSE reach END AS r FROM incident WHERE id=?1) WHERE id=?1",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    return km_query_run(query, err);
}

static enum km_code attach(struct km_desk *desk, const struct found *found, int64_t incident, struct km_err *err)
{
    struct km_query *grow KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "UPDATE incident SET count=count+1, first_ns=min(first_ns, ?2), last_ns=max(last_ns, ?2),"
                      " verdict=max(verdict, ?3), finding_id=iif(?4>score OR count=0, ?6, finding_id),"
                      " confidence=iif(?4>score, ?5, confidence), shown=iif(shown=2 AND score<?7 AND ?4>=?7, 0, shown),"
                      " score=max(score, ?4) WHERE id=?1",
                      err);
    struct km_query *mark KM_CLEANUP(km_query_cleanup) =
        grow ? km_query_open(desk, "UPDATE finding SET incident_id=?2, grouped=1 WHERE id=?1", err) : NULL;
    if (!mark)
        return err->code;
    km_query_bind_integer(grow, 1, incident);
    km_query_bind_integer(grow, 2, found->at_ns);
    km_query_bind_integer(grow, 3, found->verdict);
    km_query_bind_real(grow, 4, found->score);
    km_query_bind_real(grow, 5, found->confidence);
    km_query_bind_integer(grow, 6, found->id);
    km_query_bind_real(grow, 7, KM_TRIAGE_WEAK_SCORE); /* a weak one that became strong is ranked again */
    km_query_bind_integer(mark, 1, found->id);
    km_query_bind_integer(mark, 2, incident);
    enum km_code code = km_query_run(grow, err);
    if (code == KM_OK)
        code = km_query_run(mark, err);
    if (code == KM_OK && found->subject.image)
        code = note_image(desk, incident, found->subject.image, err);
    return code == KM_OK ? km_triage_rank(desk, incident, err) : code;
}

static enum km_code begin_or_find(struct km_desk *desk, const struct found *found, int64_t now_ns, int64_t *out,
                                  bool *out_begun, struct km_err *err)
{
    struct km_buf key;
    km_buf_init(&key, (size_t)1 << 20);
    enum km_code code = format_key(&found->subject, &key, err);
    if (code == KM_OK)
        code = find_incident(desk, found, km_buf_text(&key), out, err);
    *out_begun = code == KM_OK && *out == 0;
    if (*out_begun)
        code = insert_incident(desk, found, km_buf_text(&key), now_ns, out, err);
    km_buf_done(&key);
    return code;
}

static enum km_code set_shown(struct km_desk *desk, int64_t incident, enum km_triage_shown shown, int64_t suppression,
                              struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE incident SET shown=?2, suppression_id=nullif(?3, 0) WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    km_query_bind_integer(query, 2, (int64_t)shown);
    km_query_bind_integer(query, 3, suppression);
    return km_query_run(query, err);
}

enum km_code km_triage_begin_incident(struct km_desk *desk, int64_t finding, enum km_triage_shown shown,
                                      enum km_triage_origin origin, int64_t now_ns, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, FINDING_COLUMNS "WHERE f.id=?1", err);
    bool row = false, begun = false;
    int64_t incident = 0;
    struct found found;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, finding);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "there is no finding %" PRId64, finding);
    read_found(query, &found);
    found.origin = (int64_t)origin;
    enum km_code code = begin_or_find(desk, &found, now_ns, &incident, &begun, err);
    if (code == KM_OK)
        code = attach(desk, &found, incident, err);
    return code == KM_OK && begun ? set_shown(desk, incident, shown, 0, err) : code;
}

static enum km_code pass_over(struct km_desk *desk, const struct found *found, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE finding SET grouped=1 WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, found->id);
    return km_query_run(query, err);
}

/* A benign decision answers a finding; suspicious and attack do not make it go away. */
static enum km_code take_up(struct km_desk *desk, const struct found *found, int64_t now_ns,
                            struct km_triage_report *report, struct km_err *err)
{
    struct km_triage_decision decision = {0};
    int64_t suppression = 0, incident = 0;
    bool begun = false;
    enum km_code code = km_triage_find_decision(desk, &found->subject, now_ns, &decision, err);
    if (code == KM_OK && decision.id != 0 && km_decision_is_benign((enum km_decision_kind)decision.kind))
        return pass_over(desk, found, err);
    if (code == KM_OK)
        code = km_triage_find_suppression(desk, &found->subject, now_ns, &suppression, err);
    if (code == KM_OK)
        code = begin_or_find(desk, found, now_ns, &incident, &begun, err);
    if (code == KM_OK)
        code = attach(desk, found, incident, err);
    if (code == KM_OK && suppression != 0)
        code = km_triage_count_hidden(desk, suppression, now_ns, err);
    if (code == KM_OK && suppression != 0 && begun)
        code = set_shown(desk, incident, KM_TRIAGE_SUPPRESSED, suppression, err);
    report->begun += begun;
    report->suppressed += suppression != 0;
    return code;
}

/* One at a time: the row leaves the index of waiting findings, which must not be walked meanwhile. */
static enum km_code take_up_next(struct km_desk *desk, int64_t now_ns, struct km_triage_report *report, bool *out_some,
                                 struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, FINDING_COLUMNS "WHERE f.grouped=0 ORDER BY f.id LIMIT 1", err);
    struct found found;
    if (!query || km_query_step(query, out_some, err) != KM_OK)
        return err->code;
    if (!*out_some)
        return KM_OK;
    read_found(query, &found);
    report->findings++;
    return take_up(desk, &found, now_ns, report, err);
}

static enum km_code take_up_some(struct km_desk *desk, int64_t now_ns, struct km_triage_report *report, bool *out_more,
                                 struct km_err *err)
{
    enum km_code code = km_desk_begin(desk, err);
    *out_more = true;
    for (int i = 0; code == KM_OK && *out_more && i < FINDINGS_PER_TRANSACTION; i++)
        code = take_up_next(desk, now_ns, report, out_more, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

static enum km_code finish(struct km_desk *desk, int64_t now_ns, struct km_triage_report *report, struct km_err *err)
{
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = km_triage_expire_suppressions(desk, now_ns, &report->returned, err);
    if (code == KM_OK)
        code = km_triage_spend_budget(desk, now_ns, report, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

enum km_code km_triage_run(struct km_desk *desk, int64_t now_ns, struct km_triage_report *out, struct km_err *err)
{
    struct km_triage_report report = {0};
    bool more = true;
    enum km_code code = KM_OK;
    while (code == KM_OK && more)
        code = take_up_some(desk, now_ns, &report, &more, err);
    if (code == KM_OK)
        code = finish(desk, now_ns, &report, err);
    if (code == KM_OK && out)
        *out = report;
    return code;
}
