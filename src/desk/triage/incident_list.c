#include "desk/triage/incident_list.h"

#include <inttypes.h>
#include <string.h>

#include "desk/triage/search.h"
#include "desk/triage/triage_internal.h"

#define MAX_NAME_BYTES   256
#define MAX_NOTE_BYTES   4096
#define MAX_MINUTES      100000
#define SEARCHED_RESULTS "20000" /* newest findings that a search looks at for their incidents */

#define COLUMNS                                                                                                        \
    "SELECT i.id, i.first_ns, i.last_ns, i.count, (SELECT count(*) FROM incident_image m WHERE m.incident_id=i.id),"   \
    " i.opened_ns, coalesce(i.decided_ns, 0), coalesce(i.closed_ns, 0), coalesce(i.finding_id, 0),"                    \
    " coalesce(i.suppression_id, 0), coalesce(i.returned_ns, 0), i.kind, i.host, i.subject, i.role, i.dominant,"       \
    " i.assignee, i.service, i.verdict, i.state, i.shown, coalesce(i.decision_kind, -1), i.score, i.confidence,"       \
    " i.minutes, i.importance, i.reach, i.patch_window, i.priority FROM incident i "

static void read_row(struct km_query *query, struct km_incident_row *out)
{
    *out = (struct km_incident_row){
        .id = km_query_integer(query, 0),
        .first_ns = km_query_integer(query, 1),
        .last_ns = km_query_integer(query, 2),
        .count = km_query_integer(query, 3),
        .images = km_query_integer(query, 4),
        .opened_ns = km_query_integer(query, 5),
        .decided_ns = km_query_integer(query, 6),
        .closed_ns = km_query_integer(query, 7),
        .finding_id = km_query_integer(query, 8),
        .suppression_id = km_query_integer(query, 9),
        .returned_ns = km_query_integer(query, 10),
        .kind = km_query_text(query, 11),
        .host = km_query_text(query, 12),
        .subject = km_query_text(query, 13),
        .role = km_query_text_or_null(query, 14),
        .dominant = km_query_text(query, 15),
        .assignee = km_query_text_or_null(query, 16),
        .service = km_query_text_or_null(query, 17),
        .verdict = (enum km_verdict)km_query_integer(query, 18),
        .state = (enum km_triage_state)km_query_integer(query, 19),
        .shown = (enum km_triage_shown)km_query_integer(query, 20),
        .decision = (int)km_query_integer(query, 21),
        .score = km_query_real(query, 22),
        .confidence = km_query_real(query, 23),
        .minutes = km_query_real(query, 24),
        .importance = km_query_real(query, 25),
        .reach = km_query_real(query, 26),
        .patch_window = km_query_real(query, 27),
        .priority = km_query_real(query, 28),
    };
}

/* Conditions with the parameters that they use; the text is ours, the values are bound. */
static enum km_code format_list(const struct km_incident_filter *filter, struct km_buf *out, struct km_err *err)
{
    const struct {
        bool wanted;
        const char *sql;
    } parts[] = {
        {true, COLUMNS "WHERE 1"},
        {filter->state >= 0, " AND i.state=?1"},
        {filter->state < 0 && !filter->all, " AND i.state<4"},
        {filter->shown >= 0, " AND i.shown=?2"},
        {filter->shown < 0 && !filter->all && filter->suppression == 0 && !filter->returned,
         " AND i.shown IN (1, 3, 4, 6)"},
        {filter->suppression > 0, " AND i.suppression_id=?10"},
        {filter->returned, " AND i.returned_ns IS NOT NULL AND i.decision_kind IS NULL"},
        {filter->since_ns > 0, " AND i.last_ns>=?3"},
        {filter->until_ns > 0, " AND i.first_ns<?4"},
        {filter->subject != NULL, " AND (instr(i.subject, ?5)>0 OR instr(coalesce(i.image, ''), ?5)>0)"},
        {filter->assignee != NULL, " AND i.assignee=?6"},
        /* Alarms are told apart within the index: of a million findings few have an incident. Those that were asked
         * about without one are looked up singly. */
        {filter->search != NULL,
         " AND (i.id IN (SELECT f.incident_id FROM finding f WHERE f.incident_id IS NOT NULL AND f.id IN (SELECT rowid"
         " FROM finding_words WHERE finding_words MATCH ?7||' AND verdict : (2 OR 3)' ORDER BY rowid DESC "
         "LIMIT " SEARCHED_RESULTS
         ")) OR i.origin<>0 AND EXISTS (SELECT 1 FROM finding_words WHERE finding_words MATCH ?7 AND"
         " rowid=i.finding_id))"},
        {filter->before_id > 0, " AND (i.priority, -i.id)<(SELECT priority, -id FROM incident WHERE id=?8)"},
        {true, " ORDER BY i.priority DESC, i.id LIMIT ?9"},
    };
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < sizeof parts / sizeof parts[0]; i++)
        if (parts[i].wanted)
            code = km_buf_append_text(out, parts[i].sql, err);
    return code;
}

static void bind_list(struct km_query *query, const struct km_incident_filter *filter, const char *search)
{
    if (filter->state >= 0)
        km_query_bind_integer(query, 1, filter->state);
    if (filter->shown >= 0)
        km_query_bind_integer(query, 2, filter->shown);
    if (filter->since_ns > 0)
        km_query_bind_integer(query, 3, filter->since_ns);
    if (filter->until_ns > 0)
        km_query_bind_integer(query, 4, filter->until_ns);
    if (filter->subject)
        km_query_bind_text(query, 5, filter->subject);
    if (filter->assignee)
        km_query_bind_text(query, 6, filter->assignee);
    if (filter->search)
        km_query_bind_text(query, 7, search);
    if (filter->before_id > 0)
        km_query_bind_integer(query, 8, filter->before_id);
    km_query_bind_integer(query, 9, (int64_t)filter->limit + 1);
    if (filter->suppression > 0)
        km_query_bind_integer(query, 10, filter->suppression);
}

static enum km_code open_list(struct km_desk *desk, const struct km_incident_filter *filter, struct km_query **out,
                              struct km_err *err)
{
    struct km_buf sql, search;
    km_buf_init(&sql, 16384);
    km_buf_init(&search, (size_t)16 * KM_SEARCH_MAX_BYTES);
    enum km_code code = filter->search ? km_search_format(filter->search, &search, err) : KM_OK;
    if (code == KM_OK)
        code = format_list(filter, &sql, err);
    struct km_query *query = code == KM_OK ? km_query_open_once(desk, km_buf_text(&sql), err) : NULL;
    if (query) {
        bind_list(query, filter, km_buf_text(&search));
        *out = query;
    }
    km_buf_done(&sql);
    km_buf_done(&search);
    return query ? KM_OK : err->code;
}

enum km_code km_incident_list(struct km_desk *desk, const struct km_incident_filter *filter, void *context,
                              enum km_code (*visit)(void *context, const struct km_incident_row *row,
                                                    struct km_err *err),
                              bool *out_more, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = NULL;
    enum km_code code = open_list(desk, filter, &query, err);
    bool row = false;
    size_t count = 0;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row && count++ < filter->limit) {
        struct km_incident_row incident;
        read_row(query, &incident);
        code = visit(context, &incident, err);
    }
    if (code == KM_OK)
        *out_more = row;
    return code;
}

enum km_code km_incident_visit(struct km_desk *desk, int64_t id, void *context,
                               enum km_code (*visit)(void *context, const struct km_incident_row *row,
                                                     struct km_err *err),
                               struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(desk, COLUMNS "WHERE i.id=?1", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "there is no incident %" PRId64, id);
    struct km_incident_row incident;
    read_row(query, &incident);
    return visit(context, &incident, err);
}

/* ---- changing one ---- */

static enum km_code check_change(const struct km_incident_change *change, struct km_err *err)
{
    const char *names[] = {change->assignee, change->service};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i] && strlen(names[i]) > MAX_NAME_BYTES)
            return km_fail(err, KM_LIMIT, "a name is at most %d bytes long", MAX_NAME_BYTES);
    if (change->note && strlen(change->note) > MAX_NOTE_BYTES)
        return km_fail(err, KM_LIMIT, "a note is at most %d bytes long", MAX_NOTE_BYTES);
    if (!change->who || *change->who == '\0')
        return km_fail(err, KM_FORMAT, "a change needs somebody who makes it");
    if (change->state > KM_TRIAGE_CLOSED)
        return km_fail(err, KM_FORMAT, "no such state");
    if (!(change->minutes <= MAX_MINUTES))
        return km_fail(err, KM_FORMAT, "minutes are between 0 and %d", MAX_MINUTES);
    if (change->importance >= 0 && !(change->importance >= 0.1 && change->importance <= 10))
        return km_fail(err, KM_FORMAT, "importance is between 0.1 and 10");
    return KM_OK;
}

static enum km_code check_state(struct km_desk *desk, int64_t id, const struct km_incident_change *change,
                                struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "SELECT state FROM incident WHERE id=?1", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "there is no incident %" PRId64, id);
    if (km_query_integer(query, 0) == KM_TRIAGE_CLOSED && change->state >= 0 && change->state != KM_TRIAGE_CLOSED)
        return km_fail(err, KM_CONFLICT, "incident %" PRId64 " is closed; only undoing its decision opens it again",
                       id);
    return KM_OK;
}

/* Importance is the subject's: later incidents of it begin with it. */
static enum km_code keep_importance(struct km_desk *desk, int64_t id, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO setting SELECT 'importance.'||subject, importance FROM incident WHERE id=?1"
                      " ON CONFLICT(name) DO UPDATE SET value=excluded.value",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    return km_query_run(query, err);
}

static enum km_code update(struct km_desk *desk, int64_t id, const struct km_incident_change *change, int64_t now_ns,
                           struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "UPDATE incident SET assignee=iif(?2 IS NULL, assignee, nullif(?2, '')), service=coalesce(?3, service),"
        " state=iif(?4>=0, ?4, CASE WHEN ?2<>'' AND state=0 THEN 1 WHEN ?2='' AND state=1 THEN 0 ELSE state END),"
        " closed_ns=iif(?4=4, coalesce(closed_ns, ?7), closed_ns), minutes=minutes+max(?5, 0),"
        " importance=iif(?6>=0, ?6, importance) WHERE id=?1",
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    km_query_bind_text(query, 2, change->assignee);
    km_query_bind_text(query, 3, change->service);
    km_query_bind_integer(query, 4, change->state);
    km_query_bind_real(query, 5, change->minutes);
    km_query_bind_real(query, 6, change->importance);
    km_query_bind_integer(query, 7, now_ns);
    enum km_code code = km_query_run(query, err);
    if (code == KM_OK && change->importance >= 0)
        code = keep_importance(desk, id, err);
    return code == KM_OK ? km_triage_rank(desk, id, err) : code;
}

static enum km_code audit_change(struct km_desk *desk, int64_t id, const struct km_incident_change *change,
                                 struct km_err *err)
{
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    if (change->assignee)
        km_json_set_string(detail, "assignee", change->assignee);
    if (change->service)
        km_json_set_string(detail, "service", change->service);
    if (change->state >= 0)
        km_json_set_string(detail, "state", km_triage_state_to_string((enum km_triage_state)change->state));
    if (change->minutes > 0)
        km_json_set_real(detail, "minutes", change->minutes);
    if (change->importance >= 0)
        km_json_set_real(detail, "importance", change->importance);
    if (change->note)
        km_json_set_string(detail, "note", change->note);
    return km_triage_audit(desk, change->who, "incident.change", id, detail, err);
}

enum km_code km_incident_apply(struct km_desk *desk, int64_t id, const struct km_incident_change *change,
                               int64_t now_ns, struct km_err *err)
{
    enum km_code code = check_change(change, err);
    if (code == KM_OK)
        code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = check_state(desk, id, change, err);
    if (code == KM_OK)
        code = update(desk, id, change, now_ns, err);
    if (code == KM_OK)
        code = audit_change(desk, id, change, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}
