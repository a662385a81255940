#include "desk/triage/stage.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "desk/store/query.h"
#include "desk/triage/stage_sql.h"
#include "desk/triage/triage_internal.h"

#define MAX_NOTE_BYTES     4096
#define MAX_CRITERIA_BYTES 16384

/* ---- what to do with a finding ---- */

#define ANSWER "SELECT s.scope_id, s.stage, coalesce(s.criteria, '{}') "

static struct km_json *parse_limits(const char *text, struct km_err *err)
{
    struct km_json *limits KM_CLEANUP(km_json_cleanup) = km_json_parse(text, strlen(text), MAX_CRITERIA_BYTES, err);
    if (limits && km_json_type(limits) == KM_JSON_OBJECT)
        return km_steal(limits);
    if (limits)
        (void)km_fail(err, KM_FORMAT, "they are no object");
    (void)km_err_wrap(err, "the criteria of a stage");
    return NULL;
}

static enum km_code read_answer(struct km_query *query, struct km_stage_answer *out, struct km_err *err)
{
    struct km_stage_answer answer = {.stage = KM_STAGE_ALL, .top_band = KM_STAGE_USUAL_TOP_BAND};
    bool row = false;
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (row) {
        struct km_json *limits KM_CLEANUP(km_json_cleanup) = parse_limits(km_query_text(query, 2), err);
        if (!limits)
            return err->code;
        int64_t stage = km_query_integer(query, 1);
        if (stage < KM_STAGE_RECORD || stage > KM_STAGE_ALL)
            return km_fail(err, KM_FORMAT, "a scope is in stage %" PRId64 ", which does not exist", stage);
        answer =
            (struct km_stage_answer){(enum km_stage)stage, km_criterion_top_band(limits), km_query_integer(query, 0)};
    }
    *out = answer;
    return KM_OK;
}

enum km_code km_stage_of(struct km_desk *desk, const char *daemon, const char *image, struct km_stage_answer *out,
                         struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        daemon ? km_query_open(desk, ANSWER KM_SQL_STAGE_ROWS("m.kind='daemon' AND ?1 GLOB m.pattern"), err)
               : km_query_open(desk, ANSWER KM_SQL_STAGE_ROWS("m.kind='image' AND " KM_SQL_IMAGE_FITS("?1")), err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, daemon ? daemon : image);
    return read_answer(query, out, err);
}

enum km_code km_stage_of_incident(struct km_desk *desk, int64_t incident, struct km_stage_answer *out,
                                  struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        ANSWER "FROM incident i JOIN scope_member m JOIN stage s ON s.scope_id=m.scope_id AND s.to_ns IS NULL"
               " WHERE i.id=?1 AND " KM_SQL_INCIDENT_FITS " ORDER BY " KM_SQL_MOST_LITERAL " LIMIT 1",
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    return read_answer(query, out, err);
}

enum km_code km_stage_find_scope(struct km_desk *desk, const char *name, int64_t *out_id, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "SELECT id FROM scope WHERE name=?1", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, name);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row)
        return km_fail(err, KM_NOTFOUND, "there is no scope '%s'; 'komainu stage list' names them", name);
    *out_id = km_query_integer(query, 0);
    return KM_OK;
}

/* ---- the stage that a scope is in ---- */

struct present {
    int64_t scope, row, from_ns;
    enum km_stage stage;
    char criteria[MAX_CRITERIA_BYTES];
};

static enum km_code read_present(struct km_desk *desk, const char *name, struct present *out, struct km_err *err)
{
    int64_t scope = 0;
    if (km_stage_find_scope(desk, name, &scope, err) != KM_OK)
        return err->code;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "SELECT id, stage, from_ns, coalesce(criteria, '{}') FROM stage WHERE scope_id=?1 AND to_ns IS NULL",
        err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, scope);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    if (!row || (uint64_t)km_query_integer(query, 1) > KM_STAGE_ALL)
        return km_fail(err, KM_FORMAT, "scope '%s' is in no stage", name);
    *out = (struct present){.scope = scope,
                            .row = km_query_integer(query, 0),
                            .stage = (enum km_stage)km_query_integer(query, 1),
                            .from_ns = km_query_integer(query, 2)};
    snprintf(out->criteria, sizeof out->criteria, "%s", km_query_text(query, 3));
    return KM_OK;
}

struct beginning {
    int64_t scope, now_ns;
    enum km_stage stage;
    const char *who, *note, *criteria, *checked; /* checked: or NULL */
};

static enum km_code begin_stage(struct km_desk *desk, const struct beginning *beginning, struct km_err *err)
{
    struct km_query *end KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE stage SET to_ns=?2 WHERE scope_id=?1 AND to_ns IS NULL", err);
    if (!end)
        return err->code;
    km_query_bind_integer(end, 1, beginning->scope);
    km_query_bind_integer(end, 2, beginning->now_ns);
    if (km_query_run(end, err) != KM_OK)
        return err->code;
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "INSERT INTO stage(scope_id, stage, from_ns, who, note, criteria, checked)"
                      " VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                      err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, beginning->scope);
    km_query_bind_integer(query, 2, (int64_t)beginning->stage);
    km_query_bind_integer(query, 3, beginning->now_ns);
    km_query_bind_text(query, 4, beginning->who);
    km_query_bind_text(query, 5, beginning->note);
    km_query_bind_text(query, 6, beginning->criteria);
    km_query_bind_text(query, 7, beginning->checked);
    return km_query_run(query, err);
}

static enum km_code check_words(const char *who, const char *note, bool note_too, struct km_err *err)
{
    if (!who || *who == '\0')
        return km_fail(err, KM_FORMAT, "a change of stage needs somebody who makes it");
    if (note_too && (!note || *note == '\0'))
        return km_fail(err, KM_FORMAT, "a change of stage needs a note: without a reason nobody can review it");
    if (note && strlen(note) > MAX_NOTE_BYTES)
        return km_fail(err, KM_LIMIT, "a note is at most %d bytes long", MAX_NOTE_BYTES);
    return KM_OK;
}

/* ---- making and changing a scope ---- */

static enum km_code check_change(const struct km_stage_change *change, struct km_err *err)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t length = strlen(change->scope);
    if (length == 0 || length > KM_STAGE_MAX_NAME_BYTES || strspn(change->scope, letters) != length)
        return km_fail(err, KM_FORMAT, "a scope's name has 1 to %d letters, digits, '.', '_', '-'",
                       KM_STAGE_MAX_NAME_BYTES);
    if (change->daemon_count > KM_STAGE_MAX_PATTERNS || change->image_count > KM_STAGE_MAX_PATTERNS)
        return km_fail(err, KM_LIMIT, "a scope has at most %d patterns of a kind", KM_STAGE_MAX_PATTERNS);
    for (size_t i = 0; i < change->daemon_count + change->image_count; i++) {
        const char *pattern = i < change->daemon_count ? change->daemons[i] : change->images[i - change->daemon_count];
        if (*pattern == '\0' || strlen(pattern) > KM_STAGE_MAX_PATTERN_BYTES)
            return km_fail(err, KM_FORMAT, "a pattern has 1 to %d bytes", KM_STAGE_MAX_PATTERN_BYTES);
    }
    if (change->stage > KM_STAGE_ALL)
        return km_fail(err, KM_FORMAT, "no such stage");
    return check_words(change->who, change->note, true, err);
}

static enum km_code find_or_add_scope(struct km_desk *desk, const struct km_stage_change *change, int64_t now_ns,
                                      int64_t *out_id, bool *out_new, struct km_err *err)
{
    struct km_err missing = KM_ERR_INIT;
    enum km_code code = km_stage_find_scope(desk, change->scope, out_id, &missing);
    *out_new = code == KM_NOTFOUND;
    if (code == KM_OK)
        return KM_OK;
    if (code != KM_NOTFOUND) {
        *err = missing;
        return code;
    }
    if (change->daemon_count + change->image_count == 0)
        return km_fail(err, KM_FORMAT, "there is no scope '%s' yet: a new one needs a pattern of daemons or images",
                       change->scope);
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "INSERT INTO scope(name, created_ns) VALUES(?1, ?2)", err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, change->scope);
    km_query_bind_integer(query, 2, now_ns);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    *out_id = km_query_last_id(desk);
    return KM_OK;
}

static enum km_code replace_patterns(struct km_desk *desk, int64_t scope, const char *kind, size_t count,
                                     const char *const *patterns, struct km_err *err)
{
    if (count == 0)
        return KM_OK;
    struct km_query *clear KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "DELETE FROM scope_member WHERE scope_id=?1 AND kind=?2", err);
    if (!clear)
        return err->code;
    km_query_bind_integer(clear, 1, scope);
    km_query_bind_text(clear, 2, kind);
    enum km_code code = km_query_run(clear, err);
    for (size_t i = 0; code == KM_OK && i < count; i++) {
        struct km_query *add KM_CLEANUP(km_query_cleanup) =
            km_query_open(desk, "INSERT INTO scope_member VALUES(?1, ?2, ?3) ON CONFLICT DO NOTHING", err);
        if (!add)
            return err->code;
        km_query_bind_integer(add, 1, scope);
        km_query_bind_text(add, 2, kind);
        km_query_bind_text(add, 3, patterns[i]);
        code = km_query_run(add, err);
    }
    return code;
}

static enum km_code update_criteria(struct km_desk *desk, int64_t scope, const char *criteria, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE stage SET criteria=?2 WHERE scope_id=?1 AND to_ns IS NULL", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, scope);
    km_query_bind_text(query, 2, criteria);
    return km_query_run(query, err);
}

static struct km_json *list_of(size_t count, const char *const *texts)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < count; i++)
        km_json_append(list, km_json_new_string(texts[i]));
    return list;
}

static enum km_code audit_set(struct km_desk *desk, const struct km_stage_change *change, int64_t scope,
                              const struct present *before, enum km_stage stage, struct km_err *err)
{
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(detail, "scope", change->scope);
    km_json_set_string(detail, "from", before ? km_stage_to_string(before->stage) : NULL);
    km_json_set_string(detail, "to", km_stage_to_string(stage));
    km_json_set_bool(detail, "checked", false);
    km_json_set(detail, "daemons", list_of(change->daemon_count, change->daemons));
    km_json_set(detail, "images", list_of(change->image_count, change->images));
    km_json_set(detail, "criteria", list_of(change->criterion_count, change->criteria));
    km_json_set_string(detail, "note", change->note);
    return km_triage_audit(desk, change->who, "stage.set", scope, detail, err);
}

/* The present limits with the given ones in their place, as text. */
static enum km_code merge_limits(const struct km_stage_change *change, const struct present *before, struct km_buf *out,
                                 struct km_err *err)
{
    struct km_json *limits KM_CLEANUP(km_json_cleanup) = parse_limits(before ? before->criteria : "{}", err);
    if (!limits)
        return err->code;
    for (size_t i = 0; i < change->criterion_count; i++)
        if (km_criterion_parse(change->criteria[i], limits, err) != KM_OK)
            return err->code;
    return km_json_format(limits, 0, out, err);
}

static enum km_code write_change(struct km_desk *desk, const struct km_stage_change *change, int64_t now_ns,
                                 struct km_buf *limits, struct km_err *err)
{
    struct present before = {0};
    int64_t scope = 0;
    bool new = false;
    if (find_or_add_scope(desk, change, now_ns, &scope, &new, err) != KM_OK ||
        (!new &&read_present(desk, change->scope, &before, err) != KM_OK) ||
        merge_limits(change, new ? NULL : &before, limits, err) != KM_OK ||
        replace_patterns(desk, scope, "daemon", change->daemon_count, change->daemons, err) != KM_OK ||
        replace_patterns(desk, scope, "image", change->image_count, change->images, err) != KM_OK)
        return err->code;
    enum km_stage stage = change->stage >= 0 ? (enum km_stage)change->stage : new ? KM_STAGE_RECORD : before.stage;
    const struct beginning beginning = {.scope = scope,
                                        .now_ns = now_ns,
                                        .stage = stage,
                                        .who = change->who,
                                        .note = change->note,
                                        .criteria = km_buf_text(limits)};
    enum km_code code = new || stage != before.stage ? begin_stage(desk, &beginning, err)
                                                     : update_criteria(desk, scope, beginning.criteria, err);
    return code == KM_OK ? audit_set(desk, change, scope, new ? NULL : &before, stage, err) : code;
}

enum km_code km_stage_set(struct km_desk *desk, const struct km_stage_change *change, int64_t now_ns,
                          struct km_err *err)
{
    struct km_buf limits;
    km_buf_init(&limits, MAX_CRITERIA_BYTES - 1);
    enum km_code code = check_change(change, err);
    if (code == KM_OK)
        code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = write_change(desk, change, now_ns, &limits, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    km_buf_done(&limits);
    return code;
}

/* ---- forward and back ---- */

static enum km_code measure_since(struct km_desk *desk, const struct present *present, int64_t now_ns,
                                  struct km_kpi_report **out, struct km_err *err)
{
    const struct km_kpi_request request = {
        .since_ns = present->from_ns, .until_ns = now_ns, .now_ns = now_ns, .scope = present->scope};
    *out = NULL;
    if (present->from_ns >= now_ns)
        return KM_OK;
    *out = km_kpi_measure(desk, &request, err);
    return *out ? KM_OK : err->code;
}

static enum km_code has_patterns(struct km_desk *desk, int64_t scope, struct km_stage_facts *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "SELECT total(kind='daemon')>0, total(kind='image')>0 FROM scope_member WHERE scope_id=?1", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, scope);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    out->of_daemons = km_query_integer(query, 0) != 0;
    out->of_images = km_query_integer(query, 1) != 0;
    return KM_OK;
}

static enum km_code check(struct km_desk *desk, const struct km_stage_step *step, const struct present *present,
                          int64_t now_ns, struct km_stage_check *out, struct km_err *err)
{
    if (step->staged_total < 0 || step->staged_found < 0 || step->staged_found > step->staged_total)
        return km_fail(err, KM_FORMAT, "of N staged attacks between 0 and N were found");
    if (present->stage == KM_STAGE_ALL)
        return km_fail(err, KM_CONFLICT, "scope '%s' is in the last stage", step->scope);
    struct km_stage_facts facts = {.stage = present->stage,
                                   .since_ns = present->from_ns,
                                   .now_ns = now_ns,
                                   .staged_found = step->staged_found,
                                   .staged_total = step->staged_total};
    struct km_json *limits KM_CLEANUP(km_json_cleanup) = parse_limits(present->criteria, err);
    struct km_kpi_report *figures KM_CLEANUP(km_kpi_cleanup) = NULL;
    if (!limits || has_patterns(desk, present->scope, &facts, err) != KM_OK ||
        measure_since(desk, present, now_ns, &figures, err) != KM_OK)
        return err->code;
    facts.limits = limits;
    facts.figures = figures;
    km_criterion_judge(&facts, out);
    return KM_OK;
}

enum km_code km_stage_check(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                            struct km_stage_check *out, struct km_err *err)
{
    struct present present = {0};
    enum km_code code = read_present(desk, step->scope, &present, err);
    return code == KM_OK ? check(desk, step, &present, now_ns, out, err) : code;
}

static struct km_json *describe_check(const struct km_stage_check *checked)
{
    struct km_json *list = km_json_new_array();
    for (size_t i = 0; i < checked->count; i++) {
        const struct km_criterion_check *one = &checked->checks[i];
        struct km_json *object = km_json_new_object();
        km_json_set_string(object, "criterion", one->criterion->id);
        km_json_set_real(object, one->criterion->at_least ? "at_least" : "at_most", one->wanted);
        km_json_set_real(object, "value", one->value);
        km_json_set_integer(object, "n", one->n);
        km_json_set_string(object, "result", km_criterion_result_to_string(one->result));
        km_json_append(list, object);
    }
    return list;
}

static enum km_code write_step(struct km_desk *desk, struct beginning *beginning, const struct km_json *limits,
                               const struct km_json *checked, struct km_err *err)
{
    struct km_buf criteria, text;
    km_buf_init(&criteria, MAX_CRITERIA_BYTES - 1);
    km_buf_init(&text, MAX_CRITERIA_BYTES);
    enum km_code code = km_json_format(limits, 0, &criteria, err);
    if (code == KM_OK && checked)
        code = km_json_format(checked, 0, &text, err);
    beginning->criteria = km_buf_text(&criteria);
    beginning->checked = checked ? km_buf_text(&text) : NULL;
    if (code == KM_OK)
        code = begin_stage(desk, beginning, err);
    km_buf_done(&criteria);
    km_buf_done(&text);
    return code;
}

/* To the next stage with what was checked, or back without (NULL). */
static enum km_code move(struct km_desk *desk, const struct km_stage_step *step, const struct present *present,
                         const struct km_stage_check *checked, int64_t now_ns, struct km_err *err)
{
    struct beginning beginning = {.scope = present->scope,
                                  .now_ns = now_ns,
                                  .stage = checked ? present->stage + 1 : present->stage - 1,
                                  .who = step->who,
                                  .note = step->note ? step->note : ""};
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *limits KM_CLEANUP(km_json_cleanup) = parse_limits(present->criteria, err);
    struct km_json *next KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    if (!limits)
        return err->code;
    /* A stage's limits are its own; the top band is the scope's. */
    if (km_json_find(limits, "top_band"))
        km_json_set_real(next, "top_band", km_criterion_top_band(limits));
    km_json_set_string(detail, "scope", step->scope);
    km_json_set_string(detail, "from", km_stage_to_string(present->stage));
    km_json_set_string(detail, "to", km_stage_to_string(beginning.stage));
    km_json_set_bool(detail, "checked", checked != NULL);
    km_json_set_string(detail, "note", step->note);
    if (checked)
        km_json_set(detail, "criteria", describe_check(checked));
    if (write_step(desk, &beginning, next, km_json_find(detail, "criteria"), err) != KM_OK)
        return err->code;
    return km_triage_audit(desk, step->who, checked ? "stage.advance" : "stage.back", present->scope, detail, err);
}

static enum km_code advance(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns, struct km_err *err)
{
    struct present present = {0};
    struct km_stage_check checked = {0};
    if (read_present(desk, step->scope, &present, err) != KM_OK ||
        check(desk, step, &present, now_ns, &checked, err) != KM_OK)
        return err->code;
    if (!checked.met)
        return km_fail(err, KM_CONFLICT, "scope '%s' stays in stage %s: its criteria are not met", step->scope,
                       km_stage_to_string(present.stage));
    return move(desk, step, &present, &checked, now_ns, err);
}

static enum km_code back(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns, struct km_err *err)
{
    struct present present = {0};
    if (read_present(desk, step->scope, &present, err) != KM_OK)
        return err->code;
    if (present.stage == KM_STAGE_RECORD)
        return km_fail(err, KM_CONFLICT, "scope '%s' is in the first stage", step->scope);
    return move(desk, step, &present, NULL, now_ns, err);
}

static enum km_code run_step(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                             enum km_code (*act)(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                                                 struct km_err *err),
                             struct km_err *err)
{
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = act(desk, step, now_ns, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

enum km_code km_stage_advance(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns,
                              struct km_err *err)
{
    enum km_code code = check_words(step->who, step->note, true, err);
    return code == KM_OK ? run_step(desk, step, now_ns, advance, err) : code;
}

enum km_code km_stage_back(struct km_desk *desk, const struct km_stage_step *step, int64_t now_ns, struct km_err *err)
{
    enum km_code code = check_words(step->who, step->note, false, err);
    return code == KM_OK ? run_step(desk, step, now_ns, back, err) : code;
}

/* ---- lists ---- */

enum km_code km_stage_visit(struct km_desk *desk, const char *scope, void *context,
                            enum km_code (*visit)(void *context, const struct km_stage_row *row, struct km_err *err),
                            struct km_err *err)
{
    int64_t id = 0;
    if (scope && km_stage_find_scope(desk, scope, &id, err) != KM_OK)
        return err->code;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(
        desk,
        "SELECT c.id, s.from_ns, coalesce(s.to_ns, 0), c.name, s.who, s.note, coalesce(s.criteria, '{}'),"
        " coalesce(s.checked, '[]'), s.stage FROM scope c JOIN stage s ON s.scope_id=c.id WHERE"
        " iif(?1=0, s.to_ns IS NULL, c.id=?1) ORDER BY c.name, s.id",
        err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, id);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        const struct km_stage_row out = {
            .scope_id = km_query_integer(query, 0),
            .from_ns = km_query_integer(query, 1),
            .to_ns = km_query_integer(query, 2),
            .scope = km_query_text(query, 3),
            .who = km_query_text(query, 4),
            .note = km_query_text(query, 5),
            .criteria = km_query_text(query, 6),
            .checked = km_query_text(query, 7),
            .stage = (enum km_stage)km_query_integer(query, 8),
        };
        code = visit(context, &out, err);
    }
    return code;
}

enum km_code km_stage_visit_patterns(struct km_desk *desk, int64_t scope, void *context,
                                     enum km_code (*visit)(void *context, const char *kind, const char *pattern,
                                                           struct km_err *err),
                                     struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(
        desk, "SELECT kind, pattern FROM scope_member WHERE scope_id=?1 ORDER BY kind, pattern", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, scope);
    bool row = false;
    enum km_code code = KM_OK;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row)
        code = visit(context, km_query_text(query, 0), km_query_text(query, 1), err);
    return code;
}
