/*
 * Five questions about trust, asked of the people who work with komainu in a stage of a pilot; answered from 1
 * (disagree) to 5 (agree). Answers are kept without a name: trust is not measured by asking who has it.
 */
#ifndef KM_DESK_TRIAGE_SURVEY_H
#define KM_DESK_TRIAGE_SURVEY_H

#include "base/err.h"
#include "desk/store/store.h"
#include "desk/triage/stage_criteria.h"

#define KM_SURVEY_QUESTIONS 5

/* i from 0. Static storage. The topic is the question's name in a table. */
const char *km_survey_question(int i);
const char *km_survey_topic(int i);

/* "4,5,3,4,2". KM_FORMAT. */
enum km_code km_survey_parse(const char *text, int *out_answers, struct km_err *err) KM_MUST_USE;

/* Keeps answers, with an audit entry that names nobody and no answer. scope 0: none in particular. KM_FORMAT: an answer
 * is out of range. */
enum km_code km_survey_add(struct km_desk *desk, int64_t scope, enum km_stage stage, const int *answers, int64_t now_ns,
                           struct km_err *err) KM_MUST_USE;

#endif
