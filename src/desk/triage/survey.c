#include "desk/triage/survey.h"

#include <stdlib.h>

#include "desk/store/query.h"
#include "desk/triage/triage_internal.h"

static const struct {
    const char *topic, *question;
} questions[KM_SURVEY_QUESTIONS] = {
    {"understood", "I understand why komainu raises an alert."},
    {"worth it", "Its alerts are worth the time that they take."},
    {"relied on", "When it is quiet, I rely on it."},
    {"improves", "What I decide makes it better."},
    {"go on", "I would let it take the next stage."},
};

const char *km_survey_question(int i)
{
    KM_ASSERT(i >= 0 && i < KM_SURVEY_QUESTIONS);
    return questions[i].question;
}

const char *km_survey_topic(int i)
{
    KM_ASSERT(i >= 0 && i < KM_SURVEY_QUESTIONS);
    return questions[i].topic;
}

enum km_code km_survey_parse(const char *text, int *out_answers, struct km_err *err)
{
    int answers[KM_SURVEY_QUESTIONS];
    const char *at = text;
    for (int i = 0; i < KM_SURVEY_QUESTIONS; i++) {
        char behind = i + 1 < KM_SURVEY_QUESTIONS ? ',' : '\0';
        if (at[0] < '1' || at[0] > '5' || at[1] != behind)
            return km_fail(err, KM_FORMAT, "'%s': %d answers from 1 to 5, as in 4,5,3,4,2", text, KM_SURVEY_QUESTIONS);
        answers[i] = at[0] - '0';
        at += 2;
    }
    for (int i = 0; i < KM_SURVEY_QUESTIONS; i++)
        out_answers[i] = answers[i];
    return KM_OK;
}

static enum km_code add(struct km_desk *desk, int64_t scope, enum km_stage stage, const int *answers, int64_t now_ns,
                        struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open_once(desk,
                           "INSERT INTO survey(scope_id, stage, at_ns, answer_1, answer_2, answer_3, answer_4,"
                           " answer_5) VALUES(nullif(?1, 0), ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
                           err);
    if (!query)
        return err->code;
    km_query_bind_integer(query, 1, scope);
    km_query_bind_integer(query, 2, (int64_t)stage);
    km_query_bind_integer(query, 3, now_ns);
    for (int i = 0; i < KM_SURVEY_QUESTIONS; i++)
        km_query_bind_integer(query, 4 + i, answers[i]);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    return km_triage_audit(desk, "survey", "survey.add", km_query_last_id(desk), NULL, err);
}

enum km_code km_survey_add(struct km_desk *desk, int64_t scope, enum km_stage stage, const int *answers, int64_t now_ns,
                           struct km_err *err)
{
    for (int i = 0; i < KM_SURVEY_QUESTIONS; i++)
        if (answers[i] < 1 || answers[i] > 5)
            return km_fail(err, KM_FORMAT, "an answer is a number from 1 to 5");
    enum km_code code = km_desk_begin(desk, err);
    if (code == KM_OK)
        code = add(desk, scope, stage, answers, now_ns, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}
