#include "desk/store/stored_finding.h"

#include <string.h>

#include "base/json.h"
#include "desk/store/evidence_json.h"
#include "desk/store/query.h"

#define ARENA_BYTES ((size_t)8 << 20)

#define COLUMNS                                                                                                        \
    "SELECT f.id, f.run_id, f.at_ns, coalesce(f.incident_id, 0), r.host, t.name, f.kind, f.image, f.path, f.layer,"    \
    " coalesce(f.layer_index, -1), f.sha256, coalesce(f.size_bytes, -1), f.unit, f.role, f.subject_more, f.verdict,"   \
    " f.score, f.confidence, f.package, f.ranges, f.evidence FROM finding f JOIN run r ON r.id=f.run_id"               \
    " LEFT JOIN target t ON t.id=f.target_id "

/* `more` outlives the visit: its texts are borrowed. */
static void read_more(const struct km_json *more, struct km_subject *subject)
{
    subject->layer_history = km_json_string(more, "history", NULL);
    subject->deleted_by = km_json_string(more, "deleted_by", NULL);
    subject->replaced_by = km_json_string(more, "replaced_by", NULL);
    subject->executable = km_json_string(more, "executable", NULL);
    subject->command = km_json_string(more, "command", NULL);
    subject->pid = (uint32_t)km_json_integer(more, "pid", 0);
    subject->tid = (uint32_t)km_json_integer(more, "tid", 0);
    subject->uid = km_json_integer(more, "uid", -1);
}

static void read_row(struct km_query *query, struct km_stored_finding *out)
{
    int64_t size = km_query_integer(query, 12);
    *out = (struct km_stored_finding){
        .id = km_query_integer(query, 0),
        .run = km_query_integer(query, 1),
        .at_ns = km_query_integer(query, 2),
        .incident = km_query_integer(query, 3),
        .host = km_query_text(query, 4),
        .target = km_query_text_or_null(query, 5),
        .finding =
            {
                .kind = km_query_text(query, 6),
                .subject =
                    {
                        .image = km_query_text_or_null(query, 7),
                        .path = km_query_text_or_null(query, 8),
                        .layer = km_query_text_or_null(query, 9),
                        .layer_index = km_query_integer(query, 10),
                        .sha256 = km_query_text_or_null(query, 11),
                        .size_bytes = size < 0 ? UINT64_MAX : (uint64_t)size,
                        .daemon = km_query_text_or_null(query, 13),
                        .role = km_query_text_or_null(query, 14),
                        .uid = -1,
                    },
                .verdict = (enum km_verdict)km_query_integer(query, 16),
                .score = km_query_real(query, 17),
                .confidence = km_query_real(query, 18),
                .package = km_query_text_or_null(query, 19),
                .time_wall_ns = km_query_integer(query, 2),
            },
    };
}

/* What is damaged is left out; memory that runs out is an error. */
static enum km_code tolerate(enum km_code code, const struct km_err *cause, struct km_err *err)
{
    if (code != KM_NOMEM)
        return KM_OK;
    *err = *cause;
    return code;
}

static enum km_code visit_row(struct km_query *query, void *context,
                              enum km_code (*visit)(void *context, const struct km_stored_finding *stored,
                                                    struct km_err *err),
                              struct km_err *err)
{
    struct km_stored_finding stored;
    struct km_err cause = KM_ERR_INIT;
    read_row(query, &stored);
    struct km_finding *finding = &stored.finding;
    const char *text = km_query_text(query, 15);
    struct km_json *more KM_CLEANUP(km_json_cleanup) =
        *text ? km_json_parse(text, strlen(text), KM_EVIDENCE_JSON_MAX_BYTES, &cause) : NULL;
    if (more)
        read_more(more, &finding->subject);
    struct km_arena *arena = km_arena_new(ARENA_BYTES, err);
    if (!arena)
        return err->code;
    enum km_code code =
        km_evidence_json_parse(km_query_text(query, 21), arena, &finding->evidence, &finding->evidence_count, &cause);
    code = tolerate(code, &cause, err);
    if (code == KM_OK)
        code = tolerate(
            km_ranges_json_parse(km_query_text(query, 20), arena, &finding->ranges, &finding->range_count, &cause),
            &cause, err);
    if (code == KM_OK)
        code = visit(context, &stored, err);
    km_arena_free(arena);
    return code;
}

enum km_code km_stored_visit(struct km_desk *desk, const struct km_stored_question *question, void *context,
                             enum km_code (*visit)(void *context, const struct km_stored_finding *stored,
                                                   struct km_err *err),
                             struct km_err *err)
{
    const char *sql = question->id > 0         ? COLUMNS "WHERE f.id=?1 AND f.id>?2 LIMIT ?3"
                      : question->incident > 0 ? COLUMNS "WHERE f.incident_id=?1 AND f.id>?2"
                                                         " ORDER BY f.score DESC, f.id LIMIT ?3"
                                               : COLUMNS "WHERE f.id>?2 ORDER BY f.id LIMIT ?3";
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(desk, sql, err);
    if (!query)
        return err->code;
    if (question->id > 0 || question->incident > 0)
        km_query_bind_integer(query, 1, question->id > 0 ? question->id : question->incident);
    km_query_bind_integer(query, 2, question->after_id);
    km_query_bind_integer(query, 3, (int64_t)question->limit);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row)
        code = visit_row(query, context, visit, err);
    return code;
}
