/* The day's alert budget: what is shown, what goes to the digest, what is asked although nothing alarmed. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/digest.h"
#include "desk/store/settings.h"
#include "desk/triage/stage.h"
#include "desk/triage/stage_sql.h"
#include "desk/triage/triage_internal.h"
#include "finding/decision.h"

struct budget {
    int64_t subject, host;      /* alerts a day */
    int64_t uncertain, samples; /* questions a day, out of the host's */
};

static enum km_code read_budget(struct km_desk *desk, struct budget *out, struct km_err *err)
{
    int64_t uncertain = 0, samples = 0;
    if (km_settings_number(desk, "budget.daemon", &out->subject, err) != KM_OK ||
        km_settings_number(desk, "budget.host", &out->host, err) != KM_OK ||
        km_settings_number(desk, "budget.uncertain", &uncertain, err) != KM_OK ||
        km_settings_number(desk, "budget.sample", &samples, err) != KM_OK)
        return err->code;
    out->uncertain = (out->host * uncertain + 50) / 100;
    out->samples = (out->host * samples + 50) / 100;
    return KM_OK;
}

/* How many alerts of a day a host, or one subject on it, has, and the strongest of them. Those in the shadow take
 * nothing away from real ones. The day of what came back from a suppression is the one on which it did. */
struct spent {
    int64_t alerts, returned;
    double strongest;
};

/* An incident that waits to be ranked; strings are borrowed from the query. */
struct candidate {
    int64_t id, day_ns;
    bool returned; /* from a suppression */
    const char *host, *subject;
    double priority, score;
};

struct day {
    const char *host;
    int64_t from_ns;
    bool shadow;
};

static enum km_code read_spent(struct km_desk *desk, const struct day *day, const char *subject, struct spent *out,
                               struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk,
                      "SELECT count(*), max(priority), total(back) FROM (SELECT shown, kind, image, subject, priority,"
                      " 0 AS back FROM incident WHERE host=?1 AND first_ns>=?3 AND first_ns<?3+?4 AND returned_ns IS"
                      " NULL UNION ALL SELECT shown, kind, image, subject, priority, 1 FROM incident WHERE host=?1 AND"
                      " returned_ns>=?3 AND returned_ns<?3+?4) WHERE (shown=1 OR ?5 AND shown=6) AND (?2 IS NULL OR"
                      " iif(kind='file', image, subject)=?2)",
                      err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, day->host);
    km_query_bind_text(query, 2, subject);
    km_query_bind_integer(query, 3, day->from_ns);
    km_query_bind_integer(query, 4, KM_TRIAGE_DAY_NS);
    km_query_bind_integer(query, 5, day->shadow);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = (struct spent){.alerts = km_query_integer(query, 0),
                          .returned = km_query_integer(query, 2),
                          .strongest = km_query_real(query, 1)};
    return KM_OK;
}

/* Within the budget; or stronger than all that was shown, once above it: noise must not use up the place of an attack.
 */
static bool may_show(const struct spent *spent, int64_t budget, const struct candidate *candidate)
{
    double priority = candidate->priority;
    if (candidate->returned)
        return spent->alerts < budget && spent->returned < (budget + 1) / 2;
    return spent->alerts < budget || (spent->alerts == budget && budget > 0 && priority > spent->strongest);
}

static enum km_code settle(struct km_desk *desk, int64_t incident, enum km_triage_shown shown, int64_t now_ns,
                           struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "UPDATE incident SET shown=?2, shown_ns=?3 WHERE id=?1", err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, incident);
    km_query_bind_integer(query, 2, (int64_t)shown);
    km_query_bind_integer(query, 3, now_ns);
    return km_query_run(query, err);
}

static int64_t day_of(int64_t at_ns)
{
    return at_ns - at_ns % KM_TRIAGE_DAY_NS;
}

/* Where an incident of this score goes, if the budget has room. */
static enum km_triage_shown place_of(const struct km_stage_answer *stage, double score)
{
    switch (stage->stage) {
    case KM_STAGE_RECORD:
        return KM_TRIAGE_RECORDED;
    case KM_STAGE_SHADOW:
        return KM_TRIAGE_SHADOW;
    case KM_STAGE_TOP:
        return score >= stage->top_band ? KM_TRIAGE_ALERT : KM_TRIAGE_DIGEST;
    case KM_STAGE_ALL:
        return score < KM_TRIAGE_WEAK_SCORE ? KM_TRIAGE_DIGEST : KM_TRIAGE_ALERT;
    }
    return KM_TRIAGE_ALERT;
}

static enum km_code rank(struct km_desk *desk, const struct budget *budget, const struct candidate *candidate,
                         enum km_triage_shown *out, struct km_err *err)
{
    struct km_stage_answer stage = {0};
    if (km_stage_of_incident(desk, candidate->id, &stage, err) != KM_OK)
        return err->code;
    enum km_triage_shown place = place_of(&stage, candidate->score);
    *out = place;
    if (place != KM_TRIAGE_ALERT && place != KM_TRIAGE_SHADOW)
        return KM_OK;
    struct spent of_subject = {0}, of_host = {0};
    const struct day day = {candidate->host, candidate->day_ns, place == KM_TRIAGE_SHADOW};
    if (read_spent(desk, &day, candidate->subject, &of_subject, err) != KM_OK ||
        read_spent(desk, &day, NULL, &of_host, err) != KM_OK)
        return err->code;
    int64_t left = budget->host - budget->uncertain - budget->samples;
    if (!may_show(&of_subject, budget->subject, candidate) || !may_show(&of_host, left, candidate))
        *out = KM_TRIAGE_DIGEST;
    return KM_OK;
}

/* The strongest incident that waits; *out_some false: there is none. */
static enum km_code rank_next(struct km_desk *desk, const struct budget *budget, int64_t now_ns,
                              struct km_triage_report *report, bool *out_some, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "SELECT id, host, iif(kind='file', image, subject), coalesce(returned_ns, first_ns), priority,"
        " score, returned_ns IS NOT NULL FROM incident WHERE shown=0 AND state<4 ORDER BY priority DESC, id LIMIT 1",
        err);
    if (!query || km_query_step(query, out_some, err) != KM_OK)
        return err->code;
    if (!*out_some)
        return KM_OK;
    const struct candidate candidate = {
        .id = km_query_integer(query, 0),
        .day_ns = day_of(km_query_integer(query, 3)),
        .host = km_query_text(query, 1),
        .subject = km_query_text(query, 2),
        .priority = km_query_real(query, 4),
        .score = km_query_real(query, 5),
        .returned = km_query_integer(query, 6) != 0,
    };
    enum km_triage_shown shown = KM_TRIAGE_DIGEST;
    if (rank(desk, budget, &candidate, &shown, err) != KM_OK)
        return err->code;
    report->alerts += shown == KM_TRIAGE_ALERT;
    report->digested += shown == KM_TRIAGE_DIGEST;
    return settle(desk, candidate.id, shown, now_ns, err);
}

/* ---- what nobody alarmed about ---- */

static enum km_code count_asked(struct km_desk *desk, const char *host, enum km_triage_shown shown, int64_t day_ns,
                                int64_t *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk, "SELECT count(*) FROM incident WHERE host=?1 AND origin=?2 AND opened_ns>=?3 AND opened_ns<?3+?4", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, host);
    km_query_bind_integer(query, 2,
                          shown == KM_TRIAGE_UNCERTAIN ? KM_TRIAGE_ORIGIN_UNCERTAIN : KM_TRIAGE_ORIGIN_SAMPLE);
    km_query_bind_integer(query, 3, day_ns);
    km_query_bind_integer(query, 4, KM_TRIAGE_DAY_NS);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = km_query_integer(query, 0);
    return KM_OK;
}

/* The finding of today just under the threshold; 0: none. Content or a role that was answered is not asked again. */
static enum km_code pick_uncertain(struct km_desk *desk, const char *host, int64_t day_ns, int64_t *out,
                                   struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "SELECT f.id FROM finding f JOIN run r ON r.id=f.run_id WHERE f.verdict<2 AND f.score>=0.3 AND f.incident_id"
        " IS NULL AND f.decision_kind IS NULL AND r.host=?1 AND f.at_ns>=?2 AND NOT EXISTS (SELECT 1 FROM incident i"
        " WHERE i.content=f.sha256) AND " KM_SQL_STAGE_OF_FINDING ">0 ORDER BY f.score DESC, f.id LIMIT 1",
        err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, host);
    km_query_bind_integer(query, 2, day_ns);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out = row ? km_query_integer(query, 0) : 0;
    return KM_OK;
}

/* A number that everybody draws alike from salt, day and turn, and nobody foresees without the store. */
static enum km_code draw(struct km_desk *desk, int64_t day_ns, int64_t turn, uint64_t *out, struct km_err *err)
{
    char salt[KM_DESK_SETTING_BYTES], text[KM_DESK_SETTING_BYTES + 64];
    if (km_desk_get_setting(desk, "collect.salt", "", salt, err) != KM_OK)
        return err->code;
    int length = snprintf(text, sizeof text, "sample %s %" PRId64 " %" PRId64, salt, day_ns, turn);
    uint8_t sum[KM_SHA256_BYTES];
    if (km_digest_sha256(text, (size_t)length, sum, err) != KM_OK)
        return err->code;
    uint64_t number = 0;
    for (int i = 0; i < 8; i++)
        number = number << 8 | sum[i];
    *out = number;
    return KM_OK;
}

static enum km_code range_of_day(struct km_desk *desk, int64_t day_ns, int64_t *out_least, int64_t *out_most,
                                 struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open(desk, "SELECT min(id), max(id) FROM finding WHERE at_ns>=?1 AND at_ns<?1+?2", err);
    bool row = false;
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, day_ns);
    km_query_bind_integer(query, 2, KM_TRIAGE_DAY_NS);
    if (km_query_step(query, &row, err) != KM_OK)
        return err->code;
    *out_least = km_query_integer(query, 0);
    *out_most = km_query_integer(query, 1);
    return KM_OK;
}

/* A random finding of yesterday, whose findings are complete, that nobody alarmed about; 0: none. */
static enum km_code pick_sample(struct km_desk *desk, const char *host, int64_t day_ns, int64_t turn, int64_t *out,
                                struct km_err *err)
{
    int64_t least = 0, most = 0, yesterday = day_ns - KM_TRIAGE_DAY_NS;
    uint64_t drawn = 0;
    *out = 0;
    if (range_of_day(desk, yesterday, &least, &most, err) != KM_OK || draw(desk, day_ns, turn, &drawn, err) != KM_OK)
        return err->code;
    if (most == 0)
        return KM_OK;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
        desk,
        "SELECT f.id FROM finding f JOIN run r ON r.id=f.run_id WHERE f.id>=?1 AND f.id<=?2 AND f.verdict<2 AND"
        " f.incident_id IS NULL AND f.decision_kind IS NULL AND f.at_ns>=?3 AND r.host=?4 AND " KM_SQL_STAGE_OF_FINDING
        ">0 ORDER BY f.id LIMIT 1",
        err);
    bool row = false;
    if (!query)
        return err->code;
    /* From the drawn one to the end, and from the beginning when nothing there is fit. */
    const int64_t starts[] = {least + (int64_t)(drawn % (uint64_t)(most - least + 1)), least};
    for (size_t i = 0; i < 2 && !row; i++) {
        km_query_reset(query);
        km_query_bind_integer(query, 1, starts[i]);
        km_query_bind_integer(query, 2, most);
        km_query_bind_integer(query, 3, yesterday);
        km_query_bind_text(query, 4, host);
        if (km_query_step(query, &row, err) != KM_OK)
            return err->code;
    }
    *out = row ? km_query_integer(query, 0) : 0;
    return KM_OK;
}

static enum km_code ask(struct km_desk *desk, const char *host, const struct budget *budget, int64_t now_ns,
                        struct km_err *err)
{
    int64_t asked = 0, finding = 0, day_ns = day_of(now_ns);
    enum km_code code = count_asked(desk, host, KM_TRIAGE_UNCERTAIN, day_ns, &asked, err);
    for (bool some = true; code == KM_OK && some && asked < budget->uncertain; asked++) {
        code = pick_uncertain(desk, host, day_ns, &finding, err);
        some = finding != 0;
        if (code == KM_OK && some)
            code =
                km_triage_begin_incident(desk, finding, KM_TRIAGE_UNCERTAIN, KM_TRIAGE_ORIGIN_UNCERTAIN, now_ns, err);
    }
    if (code == KM_OK)
        code = count_asked(desk, host, KM_TRIAGE_SAMPLE, day_ns, &asked, err);
    for (bool some = true; code == KM_OK && some && asked < budget->samples; asked++) {
        code = pick_sample(desk, host, day_ns, asked, &finding, err);
        some = finding != 0;
        if (code == KM_OK && some)
            code = km_triage_begin_incident(desk, finding, KM_TRIAGE_SAMPLE, KM_TRIAGE_ORIGIN_SAMPLE, now_ns, err);
    }
    return code;
}

/* The host by its place in the order of names, so that no query stays open while others change tables. */
static enum km_code ask_each_host(struct km_desk *desk, const struct budget *budget, int64_t now_ns, struct km_err *err)
{
    enum km_code code = KM_OK;
    bool row = true;
    for (int64_t i = 0; code == KM_OK && row; i++) {
        struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(
            desk,
            "SELECT DISTINCT host FROM run WHERE began_ns>=?1 OR ended_ns IS NULL OR ended_ns>=?1 ORDER BY host"
            " LIMIT 1 OFFSET ?2",
            err);
        if (!query)
            return err->code;
        km_query_bind_integer(query, 1, day_of(now_ns) - KM_TRIAGE_DAY_NS);
        km_query_bind_integer(query, 2, i);
        code = km_query_step(query, &row, err);
        if (code == KM_OK && row)
            code = ask(desk, km_query_text(query, 0), budget, now_ns, err);
    }
    return code;
}

enum km_code km_triage_spend_budget(struct km_desk *desk, int64_t now_ns, struct km_triage_report *report,
                                    struct km_err *err)
{
    struct budget budget;
    enum km_code code = read_budget(desk, &budget, err);
    for (bool some = true; code == KM_OK && some;)
        code = rank_next(desk, &budget, now_ns, report, &some, err);
    return code == KM_OK ? ask_each_host(desk, &budget, now_ns, err) : code;
}
