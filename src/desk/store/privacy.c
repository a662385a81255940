#include "desk/store/privacy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk/store/audit_chain.h"
#include "desk/store/query.h"
#include "desk/store/settings.h"

#define DAY_NS (INT64_C(86400) * 1000000000)
#define ERASED "'(erased)'"

/* In JSON columns a text stands as JSON writes it: ?2 is that form, ?1 the text itself. */
#define FINDING_HAS                                                                                                    \
    "(instr(coalesce(path,''),?1)>0 OR instr(coalesce(image,''),?1)>0 OR instr(coalesce(unit,''),?1)>0 OR"             \
    " instr(coalesce(subject_more,''),?2)>0 OR instr(evidence,?2)>0 OR instr(dominant,?1)>0 OR"                        \
    " instr(coalesce(package,''),?1)>0)"
#define INCIDENT_HAS                                                                                                   \
    "(instr(key,?1)>0 OR instr(subject,?1)>0 OR instr(coalesce(image,''),?1)>0 OR instr(dominant,?1)>0 OR "            \
    "instr(coalesce(assignee,''),?1)>0 OR"                                                                             \
    " instr(coalesce(service,''),?1)>0)"
#define DECISION_HAS                                                                                                   \
    "(instr(who,?1)>0 OR instr(note,?1)>0 OR instr(coalesce(path,''),?1)>0 OR instr(coalesce(dominant,''),?1)>0 OR"    \
    " instr(coalesce(undone_by,''),?1)>0 OR instr(coalesce(undone_note,''),?1)>0)"
#define SUPPRESSION_HAS                                                                                                \
    "(instr(reason,?1)>0 OR instr(owner,?1)>0 OR instr(coalesce(path,''),?1)>0 OR instr(coalesce(evidence,''),?1)>0"   \
    " OR instr(coalesce(ended_by,''),?1)>0)"
#define TARGET_HAS "(instr(name,?1)>0 OR instr(coalesce(error,''),?1)>0)"
#define GAP_HAS    "(instr(place,?1)>0 OR instr(coalesce(detail,''),?1)>0)"
#define SURVEY_HAS "(instr(coalesce(who,''),?1)>0 OR instr(coalesce(note,''),?1)>0)"
#define STAGE_HAS  "(instr(who,?1)>0 OR instr(note,?1)>0)"
#define AUDIT_HAS  "(instr(text,?1)>0 OR instr(text,?2)>0)"

static const struct {
    const char *name, *about, *retention;
    const char *count;    /* rows, oldest */
    const char *matching; /* rows with the text */
} kinds[] = {
    {"findings", "paths, arguments, addresses, users of daemons", "retention.noted",
     "SELECT count(*), min(at_ns) FROM finding", "SELECT count(*) FROM finding WHERE " FINDING_HAS},
    {"incidents", "paths, assignees, services", "retention.incidents", "SELECT count(*), min(first_ns) FROM incident",
     "SELECT count(*) FROM incident WHERE " INCIDENT_HAS},
    {"decisions", "who decided, notes, paths", NULL, "SELECT count(*), min(at_ns) FROM decision",
     "SELECT count(*) FROM decision WHERE " DECISION_HAS},
    {"suppressions", "owners, reasons, paths", NULL, "SELECT count(*), min(created_ns) FROM suppression",
     "SELECT count(*) FROM suppression WHERE " SUPPRESSION_HAS},
    {"runs", "users of komainu", "retention.runs", "SELECT count(*), min(began_ns) FROM run",
     "SELECT count(*) FROM run WHERE instr(who,?1)>0"},
    {"targets", "paths of what was scanned", "retention.runs", "SELECT count(*), min(began_ns) FROM target",
     "SELECT count(*) FROM target WHERE " TARGET_HAS},
    {"gaps", "paths", "retention.runs", "SELECT count(*), 0 FROM gap", "SELECT count(*) FROM gap WHERE " GAP_HAS},
    {"health and losses", "nothing", "retention.health",
     "SELECT (SELECT count(*) FROM health)+(SELECT count(*) FROM loss)+(SELECT count(*) FROM watch),"
     " (SELECT min(at_ns) FROM health)",
     NULL},
    {"stages", "who moved a stage, notes", NULL, "SELECT count(*), min(from_ns) FROM stage",
     "SELECT count(*) FROM stage WHERE " STAGE_HAS},
    {"surveys", "who answered, notes", NULL, "SELECT count(*), min(at_ns) FROM survey",
     "SELECT count(*) FROM survey WHERE " SURVEY_HAS},
    {"audit details", "what was decided and why", NULL,
     "SELECT count(*), (SELECT min(at_ns) FROM audit) FROM audit_detail",
     "SELECT count(*) FROM audit_detail JOIN audit ON id=audit_id WHERE action<>'privacy.erase' AND " AUDIT_HAS},
    {"audit log", "operators, as long as the log is kept", NULL, "SELECT count(*), min(at_ns) FROM audit",
     "SELECT count(*) FROM audit WHERE instr(who,?1)>0"},
};

static enum km_code check_text(const char *text, struct km_err *err)
{
    size_t length = strlen(text);
    if (length < KM_PRIVACY_MIN_TEXT_BYTES || length > KM_PRIVACY_MAX_TEXT_BYTES)
        return km_fail(err, KM_FORMAT, "the text to look for has %d to %d bytes", KM_PRIVACY_MIN_TEXT_BYTES,
                       KM_PRIVACY_MAX_TEXT_BYTES);
    return KM_OK;
}

/* The text as it stands within a JSON string; the caller frees *out. */
static enum km_code json_form(const char *text, char **out, struct km_err *err)
{
    struct km_json *value KM_CLEANUP(km_json_cleanup) = km_json_new_string(text);
    struct km_buf quoted;
    km_buf_init(&quoted, (size_t)8 * KM_PRIVACY_MAX_TEXT_BYTES);
    enum km_code code = km_json_format(value, 0, &quoted, err);
    if (code == KM_OK) {
        *out = km_strndup(quoted.data + 1, quoted.length - 2, err);
        code = *out ? KM_OK : err->code;
    }
    km_buf_done(&quoted);
    return code;
}

/* ?2 may not occur in the statement. */
static void bind_text(struct km_query *query, const char *sql, const char *text, const char *json)
{
    km_query_bind_text(query, 1, text);
    if (strstr(sql, "?2"))
        km_query_bind_text(query, 2, json);
}

static enum km_code count_kind(struct km_desk *desk, size_t k, const char *text, const char *json,
                               struct km_privacy_kind *out, struct km_err *err)
{
    bool row = false;
    struct km_query *count KM_CLEANUP(km_query_cleanup) = km_query_open(desk, kinds[k].count, err);
    if (!count || km_query_step(count, &row, err) != KM_OK)
        return err->code;
    *out = (struct km_privacy_kind){.name = kinds[k].name,
                                    .about = kinds[k].about,
                                    .retention = kinds[k].retention,
                                    .rows = km_query_integer(count, 0),
                                    .oldest_ns = km_query_integer(count, 1)};
    if (!text || !kinds[k].matching)
        return KM_OK;
    struct km_query *matching KM_CLEANUP(km_query_cleanup) = km_query_open(desk, kinds[k].matching, err);
    if (!matching)
        return err->code;
    bind_text(matching, kinds[k].matching, text, json);
    if (km_query_step(matching, &row, err) != KM_OK)
        return err->code;
    out->matching = km_query_integer(matching, 0);
    return KM_OK;
}

enum km_code km_privacy_visit(struct km_desk *desk, const char *text, void *context,
                              enum km_code (*visit)(void *context, const struct km_privacy_kind *kind,
                                                    struct km_err *err),
                              struct km_err *err)
{
    char *json KM_CLEANUP(km_cleanup_free) = NULL;
    if (text && (check_text(text, err) != KM_OK || json_form(text, &json, err) != KM_OK))
        return err->code;
    enum km_code code = KM_OK;
    for (size_t k = 0; code == KM_OK && k < sizeof kinds / sizeof kinds[0]; k++) {
        struct km_privacy_kind kind;
        code = count_kind(desk, k, text, json, &kind, err);
        if (code == KM_OK)
            code = visit(context, &kind, err);
    }
    return code;
}

/* ---- erasing ---- */

/* The search index is told before its rows go. */
#define UNINDEX                                                                                                        \
    "INSERT INTO finding_words(finding_words, rowid, image, path, unit, package, dominant, sha256, verdict)"           \
    " SELECT 'delete', id, image, path, unit, package, dominant, sha256, verdict FROM finding WHERE "

/* In this order: what refers to a row goes before it. The key is only for grouping; blanked, nothing joins it again. */
static const char *const erasures[] = {
    UNINDEX FINDING_HAS,
    "DELETE FROM finding WHERE " FINDING_HAS,
    "UPDATE incident SET key=" ERASED "||id, subject=iif(instr(subject,?1)>0," ERASED ",subject),"
    " dominant=iif(instr(dominant,?1)>0," ERASED ",dominant), image=iif(instr(coalesce(image,''),?1)>0," ERASED
    ",image), assignee=iif(instr(coalesce(assignee,''),?1)>0," ERASED
    ",assignee), service=iif(instr(coalesce(service,''),?1)>0," ERASED ",service) WHERE " INCIDENT_HAS,
    "UPDATE decision SET who=iif(instr(who,?1)>0," ERASED ",who), note=iif(instr(note,?1)>0," ERASED ",note),"
    " path=iif(instr(coalesce(path,''),?1)>0,NULL,path), dominant=iif(instr(coalesce(dominant,''),?1)>0,NULL,dominant),"
    " strange=iif(instr(coalesce(path,''),?1)>0 OR instr(coalesce(dominant,''),?1)>0,NULL,strange),"
    " undone_by=iif(instr(coalesce(undone_by,''),?1)>0," ERASED ",undone_by),"
    " undone_note=iif(instr(coalesce(undone_note,''),?1)>0," ERASED ",undone_note) WHERE " DECISION_HAS,
    "UPDATE suppression SET reason=iif(instr(reason,?1)>0," ERASED ",reason), owner=iif(instr(owner,?1)>0," ERASED
    ",owner), path=iif(instr(coalesce(path,''),?1)>0," ERASED
    ",path), evidence=iif(instr(coalesce(evidence,''),?1)>0," ERASED
    ",evidence), ended_by=iif(instr(coalesce(ended_by,''),?1)>0," ERASED ",ended_by) WHERE " SUPPRESSION_HAS,
    "UPDATE target SET name=iif(instr(name,?1)>0," ERASED ",name), error=iif(instr(coalesce(error,''),?1)>0," ERASED
    ",error) WHERE " TARGET_HAS,
    "DELETE FROM gap WHERE " GAP_HAS,
    "UPDATE run SET who=" ERASED " WHERE instr(who,?1)>0",
    "UPDATE stage SET who=iif(instr(who,?1)>0," ERASED ",who), note=iif(instr(note,?1)>0," ERASED
    ",note) WHERE " STAGE_HAS,
    "UPDATE survey SET who=iif(instr(coalesce(who,''),?1)>0,NULL,who), "
    "note=iif(instr(coalesce(note,''),?1)>0,NULL,note)"
    " WHERE " SURVEY_HAS,
};

static enum km_code run_erasures(struct km_desk *desk, const char *text, const char *json, int64_t *out_rows,
                                 struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < sizeof erasures / sizeof erasures[0]; i++) {
        struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, erasures[i], err);
        if (!query)
            return err->code;
        bind_text(query, erasures[i], text, json);
        code = km_query_run(query, err);
        if (code == KM_OK && i > 0) /* the index is no row of its own */
            *out_rows += km_query_changes(desk);
    }
    return code;
}

static enum km_code erase(struct km_desk *desk, const char *text, const char *json, const char *who, int64_t *out_rows,
                          struct km_err *err)
{
    int64_t rows = 0, details = 0;
    enum km_code code = run_erasures(desk, text, json, &rows, err);
    if (code == KM_OK)
        code = km_audit_erase_details(desk, json, who, &details, err);
    if (code == KM_OK)
        *out_rows = rows + details;
    return code;
}

/* What was deleted leaves the index's segments, the free pages and the journal. */
static enum km_code scrub(struct km_desk *desk, struct km_err *err)
{
    return km_query_execute(desk,
                            "INSERT INTO finding_words(finding_words) VALUES('optimize');"
                            "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)",
                            err);
}

enum km_code km_privacy_erase(struct km_desk *desk, const char *text, const char *who, int64_t *out_rows,
                              struct km_err *err)
{
    char *json KM_CLEANUP(km_cleanup_free) = NULL;
    int64_t rows = 0;
    if (check_text(text, err) != KM_OK || json_form(text, &json, err) != KM_OK)
        return err->code;
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = erase(desk, text, json, who, &rows, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code != KM_OK)
        return code;
    *out_rows = rows;
    return scrub(desk, err);
}

/* ---- retention ---- */

#define OLD_CLOSED "(SELECT id FROM incident WHERE state=4 AND last_ns<?1)"
#define OLD_RUN                                                                                                        \
    "(SELECT id FROM run WHERE coalesce(ended_ns, began_ns)<?1 AND NOT EXISTS (SELECT 1 FROM finding WHERE"            \
    " run_id=run.id))"

static const struct {
    const char *setting, *sql; /* ?1: the bound */
    bool counts;
} expiries[] = {
    {"retention.noted", UNINDEX "incident_id IS NULL AND grouped=1 AND at_ns<?1", false},
    {"retention.noted", "DELETE FROM finding WHERE incident_id IS NULL AND grouped=1 AND at_ns<?1", true},
    {"retention.incidents", UNINDEX "incident_id IN " OLD_CLOSED, false},
    {"retention.incidents", "DELETE FROM finding WHERE incident_id IN " OLD_CLOSED, true},
    {"retention.incidents", "DELETE FROM incident WHERE state=4 AND last_ns<?1", true},
    {"retention.health", "DELETE FROM health WHERE at_ns<?1", true},
    {"retention.health", "DELETE FROM loss WHERE at_ns<?1", true},
    {"retention.health", "DELETE FROM watch WHERE to_ns<?1", true},
    {"retention.runs", "DELETE FROM run WHERE id IN " OLD_RUN, true},
};

static enum km_code expire(struct km_desk *desk, size_t i, int64_t now_ns, int64_t *out_rows, struct km_err *err)
{
    int64_t days = 0;
    if (km_settings_number(desk, expiries[i].setting, &days, err) != KM_OK)
        return err->code;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk, expiries[i].sql, err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, now_ns - days * DAY_NS);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    *out_rows += expiries[i].counts ? km_query_changes(desk) : 0;
    return KM_OK;
}

static enum km_code expire_all(struct km_desk *desk, int64_t now_ns, int64_t *out_rows, struct km_err *err)
{
    char mark[32];
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < sizeof expiries / sizeof expiries[0]; i++)
        code = expire(desk, i, now_ns, out_rows, err);
    snprintf(mark, sizeof mark, "%" PRId64, now_ns);
    if (code == KM_OK)
        code = km_desk_set_setting(desk, "retention.enforced", mark, err);
    if (code != KM_OK || *out_rows == 0)
        return code;
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_integer(detail, "rows", *out_rows);
    return km_audit_add(desk, "komainu", "privacy.retention", "store", detail, err);
}

enum km_code km_privacy_enforce(struct km_desk *desk, int64_t now_ns, bool now_always, int64_t *out_rows,
                                struct km_err *err)
{
    char mark[KM_DESK_SETTING_BYTES];
    int64_t rows = 0;
    enum km_code code = km_desk_get_setting(desk, "retention.enforced", "0", mark, err);
    int64_t last_ns = code == KM_OK ? strtoll(mark, NULL, 10) : 0;
    if (code == KM_OK && !now_always && last_ns <= now_ns && now_ns - last_ns < DAY_NS) {
        *out_rows = 0;
        return KM_OK;
    }
    if (code == KM_OK)
        code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = expire_all(desk, now_ns, &rows, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    if (code != KM_OK)
        return code;
    *out_rows = rows;
    return rows > 0 && now_always ? scrub(desk, err) : KM_OK;
}
