/* What keeps a desk honest: decisions taken back, suppressions looked at again, models and rules of age, trust. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"
#include "desk/triage/kpi_internal.h"
#include "desk/triage/stage_criteria.h"
#include "desk/triage/stage_sql.h"
#include "desk/triage/survey.h"

static enum km_code add_decisions(struct km_kpi_work *work, struct km_err *err)
{
    double counts[2];
    if (km_kpi_read_row(work,
                        "SELECT count(*), total(undone_ns IS NOT NULL AND undone_ns<?2) FROM decision WHERE at_ns>=?1"
                        " AND at_ns<?2 AND (" KM_SQL_DAEMON_IN_SCOPE("unit") " OR " KM_SQL_IMAGE_IN_SCOPE("image") ")",
                        counts, 2, err) != KM_OK)
        return err->code;
    km_kpi_set(km_kpi_add(work, "decisions", "decisions", "count"), counts[0], NAN, "");
    km_kpi_set_share(km_kpi_add(work, "decisions_reversed", "decisions taken back", "share"), counts[1], counts[0],
                     "decisions");
    return KM_OK;
}

/* Those of the whole store: what a suppression covers cannot be told from its patterns. */
static enum km_code add_suppressions(struct km_kpi_work *work, struct km_err *err)
{
    double counts[2], back[2];
    enum km_code code =
        km_kpi_read_row(work,
                        "SELECT total(created_ns>=?1 AND created_ns<?2), total(ended_ns>=?1 AND ended_ns<?2) FROM"
                        " suppression WHERE ?3 IS NOT NULL",
                        counts, 2, err);
    if (code == KM_OK)
        code = km_kpi_read_row(
            work,
            "SELECT count(*), total(waiting=0) FROM (SELECT (SELECT count(*) FROM incident i WHERE "
            "i.suppression_id=s.id"
            " AND i.returned_ns IS NOT NULL) AS returned, (SELECT count(*) FROM incident i WHERE i.suppression_id=s.id"
            " AND i.returned_ns IS NOT NULL AND i.state<4 AND i.decision_kind IS NULL) AS waiting FROM suppression s"
            " WHERE s.ended_ns>=?1 AND s.ended_ns<?2 AND ?3 IS NOT NULL) WHERE returned>0",
            back, 2, err);
    if (code != KM_OK)
        return code;
    km_kpi_set(km_kpi_add(work, "suppressions_created", "suppressions created", "count"), counts[0], NAN, "");
    km_kpi_set(km_kpi_add(work, "suppressions_ended", "suppressions that ended", "count"), counts[1], NAN, "");
    km_kpi_set(km_kpi_add(work, "suppressions_returned", "of them had hidden something", "count"), back[0], NAN, "");
    km_kpi_set_share(km_kpi_add(work, "suppressions_reviewed", "what they hid was looked at again", "share"), back[1],
                     back[0], "ended suppressions");
    return KM_OK;
}

static double limit_of(const struct km_kpi_request *request, const char *kind)
{
    if (strcmp(kind, "rules") == 0 || strncmp(kind, "hash", 4) == 0)
        return request->rules_age_days > 0 ? request->rules_age_days : KM_KPI_USUAL_RULES_AGE;
    return request->model_age_days > 0 ? request->model_age_days : KM_KPI_USUAL_MODEL_AGE;
}

static void add_age(struct km_kpi_work *work, struct km_query *query)
{
    char id[96], about[128];
    const char *kind = km_query_text(query, 0), *name = km_query_text(query, 1);
    double made_ns = km_query_is_null(query, 3) ? NAN : km_query_real(query, 3), limit = limit_of(work->request, kind);
    double days = ((double)work->report->until_ns - made_ns) / KM_KPI_DAY_NS;
    snprintf(id, sizeof id, "age.%.40s.%.50s", kind, name);
    snprintf(about, sizeof about, "%.30s %.50s %.40s", kind, name, km_query_text(query, 2));
    struct km_kpi *row = km_kpi_add(work, id, "age", "days");
    km_kpi_set_about(row, about);
    work->report->clock_faults += days < 0;
    km_kpi_set(row, days >= 0 ? days : NAN, NAN, "");
    if (!row->known)
        row->note = days < 0 ? "made in the future" : "when it was made is not known";
    row->warned = row->known && days > limit;
    if (row->warned) {
        row->note = "older than {n} days";
        row->note_number = limit;
    }
}

/* In force when the period ends; the oldest first, so that a cut list holds what is worst. */
static enum km_code add_ages(struct km_kpi_work *work, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_kpi_open(work,
                    "SELECT kind, name, coalesce(version, ''), made_ns FROM component WHERE from_ns<?2 AND (to_ns IS"
                    " NULL OR to_ns>=?2) AND ?3 IS NOT NULL ORDER BY coalesce(made_ns, 0), kind, name LIMIT 41",
                    err);
    bool row = false;
    int listed = 0;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row && listed++ < 40)
        add_age(work, query);
    work->report->cut = work->report->cut || row;
    if (code == KM_OK && listed == 0)
        (void)km_kpi_add(work, "age", "age of models and rules", "days");
    return code;
}

/* Each question's mean for each stage that answered. */
static enum km_code add_survey(struct km_kpi_work *work, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_kpi_open(work,
                    "SELECT stage, count(*), avg(answer_1), avg(answer_2), avg(answer_3), avg(answer_4), avg(answer_5)"
                    " FROM survey WHERE at_ns>=?1 AND at_ns<?2 AND (?3=0 OR scope_id=?3) AND stage BETWEEN 0 AND 3"
                    " GROUP BY stage ORDER BY stage",
                    err);
    bool row = false, any = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        const char *stage = km_stage_to_string((enum km_stage)km_query_integer(query, 0));
        for (int i = 0; i < KM_SURVEY_QUESTIONS; i++) {
            char id[96], about[128];
            snprintf(id, sizeof id, "trust.%s.%d", stage, i + 1);
            snprintf(about, sizeof about, "%s: %s", stage, km_survey_topic(i));
            struct km_kpi *kpi = km_kpi_add(work, id, "operators' trust", "1..5");
            km_kpi_set_about(kpi, about);
            km_kpi_set(kpi, km_query_real(query, 2 + i), km_query_real(query, 1), "answers");
        }
        any = true;
    }
    if (code == KM_OK && !any)
        (void)km_kpi_add(work, "trust", "operators' trust", "1..5");
    return code;
}

enum km_code km_kpi_measure_upkeep(struct km_kpi_work *work, struct km_err *err)
{
    enum km_code code = add_decisions(work, err);
    if (code == KM_OK)
        code = add_suppressions(work, err);
    if (code == KM_OK)
        code = add_ages(work, err);
    return code == KM_OK ? add_survey(work, err) : code;
}
