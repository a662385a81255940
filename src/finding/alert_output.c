#include "finding/alert_output.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/text.h"
#include "base/words.h"
#include "finding/evidence.h"
#include "finding/json_output.h"

#define NAME_BYTES    1024
#define SHOWN_DETAILS 12 /* pieces of evidence in the text */

static const char *advice_of(const struct km_finding *finding)
{
    const struct km_evidence *best = km_evidence_first(finding);
    return best ? km_evidence_advice(best->id) : NULL;
}

static enum km_code append_escaped(struct km_buf *out, const char *text, struct km_err *err)
{
    char escaped[NAME_BYTES];
    km_text_escape(text, strlen(text), escaped, sizeof escaped);
    return km_buf_append_text(out, escaped, err);
}

/* "nginx.service (nginx+): it started the program …" */
static enum km_code append_sentence(const struct km_alert *alert, struct km_buf *out, struct km_err *err)
{
    const struct km_subject *subject = &alert->finding->subject;
    const struct km_evidence *best = km_evidence_first(alert->finding);
    enum km_code code = append_escaped(out, subject->daemon ? subject->daemon : "?", err);
    if (code == KM_OK && subject->role && *subject->role) {
        code = km_buf_append_text(out, " (", err);
        if (code == KM_OK)
            code = append_escaped(out, subject->role, err);
        if (code == KM_OK)
            code = km_buf_append_text(out, ")", err);
    }
    if (code == KM_OK)
        code = km_buf_append_text(out, ": ", err);
    return code == KM_OK && best ? km_evidence_format(best, out, err) : code;
}

static void set_time(struct km_json *object, const char *key, int64_t wall_ns)
{
    char text[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(wall_ns, text);
    km_json_set_string(object, key, text);
}

static void set_number(struct km_json *object, const char *key, uint32_t number)
{
    km_json_set(object, key, number ? km_json_new_integer(number) : km_json_new_null());
}

static struct km_json *new_subject(const struct km_subject *subject)
{
    struct km_json *object = km_json_new_object();
    km_json_set_escaped(object, "daemon", subject->daemon);
    km_json_set_escaped(object, "role", subject->role);
    km_json_set_escaped(object, "executable", subject->executable);
    km_json_set_escaped(object, "command", subject->command);
    set_number(object, "pid", subject->pid);
    set_number(object, "tid", subject->tid);
    km_json_set(object, "uid", subject->uid >= 0 ? km_json_new_integer(subject->uid) : km_json_new_null());
    return object;
}

static struct km_json *new_incident(const struct km_alert *alert)
{
    struct km_json *object = km_json_new_object();
    char id[17];
    (void)snprintf(id, sizeof id, "%016" PRIx64, alert->incident->id);
    km_json_set_string(object, "id", id);
    km_json_set_string(object, "key", alert->incident->key);
    set_time(object, "first", alert->incident->first_ns);
    set_time(object, "last", alert->incident->last_ns);
    km_json_set_integer(object, "count", (int64_t)alert->incident->count);
    km_json_set_bool(object, "update", alert->update);
    return object;
}

static double rounded(double v)
{
    return round(v * 1000) / 1000;
}

enum km_code km_alert_format_json(const struct km_alert *alert, struct km_buf *out, struct km_err *err)
{
    const struct km_finding *finding = alert->finding;
    struct km_json *root KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_buf sentence;
    bool before = km_words_pause(true); /* for programs */
    km_buf_init(&sentence, (size_t)16 << 10);
    enum km_code code = append_sentence(alert, &sentence, err);
    km_json_set_string(root, "schema", KM_ALERT_SCHEMA);
    set_time(root, "time", finding->time_wall_ns);
    km_json_set_integer(root, "time_ns", finding->time_wall_ns);
    km_json_set_string(root, "host", alert->host);
    km_json_set_string(root, "kind", finding->kind);
    km_json_set_string(root, "sentence", km_buf_text(&sentence));
    km_json_set_string(root, "advice", advice_of(finding));
    (void)km_words_pause(before);
    km_buf_done(&sentence);
    km_json_set(root, "subject", new_subject(&finding->subject));
    km_json_set_escaped(root, "package", finding->package);
    km_json_set_string(root, "verdict", km_verdict_to_string(finding->verdict));
    km_json_set_real(root, "score", finding->score);
    km_json_set_real(root, "confidence", rounded(finding->confidence));
    km_json_set_real(root, "surprise", rounded(alert->surprise));
    km_json_set(root, "incident", new_incident(alert));
    km_json_set(root, "decision", km_json_output_decision(finding->decision));
    struct km_json *evidence = km_json_new_array();
    for (size_t i = 0; i < finding->evidence_count; i++)
        km_json_append(evidence, km_json_output_evidence(&finding->evidence[i]));
    km_json_set(root, "evidence", evidence);
    struct km_json *versions = km_json_new_object();
    km_json_set_string(versions, "komainu", alert->versions.komainu);
    km_json_set_string(versions, "rules", alert->versions.rules);
    km_json_set_string(versions, "model", alert->versions.model);
    km_json_set(root, "versions", versions);
    if (code == KM_OK)
        code = km_json_format(root, 0, out, err);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}

enum km_code km_alert_format_line(const struct km_alert *alert, struct km_buf *out, struct km_err *err)
{
    enum km_code code = append_sentence(alert, out, err);
    if (code == KM_OK)
        code = km_buf_append_format(out, err, " [confidence %.0f %%, process %u, incident %016" PRIx64 "]",
                                    100 * alert->finding->confidence, alert->finding->subject.pid, alert->incident->id);
    return code;
}

static enum km_code append_head(const struct km_alert *alert, bool colour, struct km_buf *out, struct km_err *err)
{
    const struct km_finding *finding = alert->finding;
    bool severe = finding->verdict == KM_VERDICT_MALICIOUS;
    char time[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(finding->time_wall_ns, time);
    enum km_code code =
        km_buf_append_format(out, err, "%s %s%s%s ", time,
                             !colour  ? ""
                             : severe ? "\033[1;31m"
                                      : "\033[33m",
                             km_words(alert->update ? "ALERT, stronger now:" : "ALERT"), colour ? "\033[0m" : "");
    if (code == KM_OK)
        code = append_sentence(alert, out, err);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}

static enum km_code append_place(const struct km_alert *alert, struct km_buf *out, struct km_err *err)
{
    const struct km_subject *subject = &alert->finding->subject;
    enum km_code code = km_buf_append_format(out, err, "      process %u", subject->pid);
    if (code == KM_OK && subject->executable && *subject->executable) {
        code = km_buf_append_text(out, " (", err);
        if (code == KM_OK)
            code = append_escaped(out, subject->executable, err);
        if (code == KM_OK)
            code = km_buf_append_text(out, ")", err);
    }
    return code == KM_OK ? km_buf_append_format(out, err, ", thread %u; surprise %.1f, confidence %.0f %%\n",
                                                subject->tid, alert->surprise, 100 * alert->finding->confidence)
                         : code;
}

enum km_code km_alert_format_text(const struct km_alert *alert, bool colour, struct km_buf *out, struct km_err *err)
{
    const struct km_finding *finding = alert->finding;
    const struct km_evidence *best = km_evidence_first(finding);
    enum km_code code = append_head(alert, colour, out, err);
    size_t shown = 0;
    for (size_t i = 0; i < finding->evidence_count && code == KM_OK && shown < SHOWN_DETAILS; i++) {
        const struct km_evidence *evidence = &finding->evidence[i];
        if (evidence == best)
            continue;
        shown++;
        code = km_buf_append_text(out, "      - ", err);
        if (code == KM_OK)
            code = km_evidence_format(evidence, out, err);
        if (code == KM_OK)
            code = evidence->weight > 0 ? km_buf_append_format(out, err, " (+%.1f)\n", evidence->weight)
                                        : km_buf_append_text(out, "\n", err);
    }
    if (code == KM_OK)
        code = append_place(alert, out, err);
    const char *advice = advice_of(finding);
    if (code == KM_OK && advice)
        code = km_buf_append_format(out, err, "      %s%s\n", km_words("what to do: "), advice);
    return code;
}
