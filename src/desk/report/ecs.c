#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "desk/report/report_internal.h"

#define ECS_VERSION       "8.11.0"
#define MAX_MESSAGE_BYTES ((size_t)64 << 10)

static struct km_json *new_document(const struct km_result *result, int64_t now_wall_ns, const char *kind,
                                    const char *action)
{
    struct km_json *document = km_json_new_object(), *ecs = km_json_new_object(), *event = km_json_new_object();
    struct km_json *category = km_json_new_array(), *type = km_json_new_array(), *observer = km_json_new_object();
    char now[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(now_wall_ns, now);
    km_json_set_string(document, "@timestamp", now);
    km_json_set_string(ecs, "version", ECS_VERSION);
    km_json_set(document, "ecs", ecs);
    km_json_set_string(event, "kind", kind);
    km_json_append(category, km_json_new_string(strcmp(kind, "alert") == 0 ? "malware" : "host"));
    km_json_set(event, "category", category);
    km_json_append(type, km_json_new_string("info"));
    km_json_set(event, "type", type);
    km_json_set_string(event, "action", action);
    km_json_set_string(event, "module", "komainu");
    km_json_set_string(event, "dataset", "komainu.scan");
    km_json_set_string(event, "provider", "komainu");
    km_json_set(document, "event", event);
    km_json_set_string(observer, "product", "komainu");
    km_json_set_string(observer, "version", result->outcome.versions.komainu);
    km_json_set(document, "observer", observer);
    return document;
}

static void set_file(struct km_json *document, const struct km_subject *subject)
{
    struct km_json *file = km_json_new_object(), *hash = km_json_new_object();
    km_json_set_escaped(file, "path", subject->path);
    km_json_set_count(file, "size", subject->size_bytes);
    km_json_set_string(hash, "sha256", subject->sha256);
    if (subject->sha256)
        km_json_set(file, "hash", hash);
    else
        km_json_free(hash);
    km_json_set(document, "file", file);
    if (subject->image) {
        struct km_json *container = km_json_new_object(), *image = km_json_new_object();
        km_json_set_escaped(image, "name", subject->image);
        km_json_set(container, "image", image);
        km_json_set(document, "container", container);
    }
}

/* What the schema has no field for stands under the product's own name, as the schema asks. */
static struct km_json *new_own(const struct km_result *result, const struct km_finding *finding)
{
    struct km_json *own = km_json_new_object();
    km_json_set_escaped(own, "target", result->target.name);
    km_json_set_string(own, "verdict", km_verdict_to_string(finding ? finding->verdict : result->outcome.verdict));
    if (!finding) {
        km_json_set_count(own, "bytes_total", result->outcome.coverage.bytes_total);
        km_json_set_count(own, "bytes_examined", result->outcome.coverage.bytes_examined);
        km_json_set_count(own, "gaps", result->outcome.coverage.gaps);
        return own;
    }
    struct km_json *evidence = km_json_new_array();
    for (size_t i = 0; i < finding->evidence_count; i++)
        km_json_append(evidence, km_json_new_string(finding->evidence[i].id));
    km_json_set(own, "evidence", evidence);
    km_json_set_real(own, "confidence", finding->confidence);
    km_json_set_escaped(own, "layer", finding->subject.layer);
    km_json_set_escaped(own, "layer_history", finding->subject.layer_history);
    km_json_set_escaped(own, "package", finding->package);
    return own;
}

static enum km_code append_line(struct km_json *document, struct km_buf *out, struct km_err *err)
{
    enum km_code code = km_json_format(document, 0, out, err);
    km_json_free(document);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}

static enum km_code append_finding(const struct km_result *result, const struct km_finding *finding,
                                   int64_t now_wall_ns, struct km_buf *out, struct km_err *err)
{
    struct km_buf message;
    km_buf_init(&message, MAX_MESSAGE_BYTES);
    enum km_code code = km_report_append_message(finding, &message, err);
    if (code == KM_OK) {
        bool alert = finding->verdict >= KM_VERDICT_SUSPICIOUS;
        struct km_json *document = new_document(result, now_wall_ns, alert ? "alert" : "event", "finding");
        struct km_json *rule = km_json_new_object();
        const struct km_evidence *dominant = km_report_dominant(finding);
        km_json_set_string(document, "message", km_buf_text(&message));
        km_json_set_string(rule, "id", dominant ? dominant->id : finding->kind);
        km_json_set(document, "rule", rule);
        struct km_json *risk = km_json_new_object();
        km_json_set_real(risk, "calculated_score_norm", finding->score * 100);
        km_json_set(document, "risk", risk);
        set_file(document, &finding->subject);
        km_json_set(document, "komainu", new_own(result, finding));
        code = append_line(document, out, err);
    }
    km_buf_done(&message);
    return code;
}

static enum km_code append_target(const struct km_result *result, int64_t now_wall_ns, struct km_buf *out,
                                  struct km_err *err)
{
    struct km_json *document = new_document(result, now_wall_ns, "event", "scan");
    struct km_json *error = km_json_new_object();
    if (result->outcome.error) {
        km_json_set_string(error, "message", result->outcome.error->text);
        km_json_set(document, "error", error);
    } else {
        km_json_free(error);
    }
    km_json_set(document, "komainu", new_own(result, NULL));
    return append_line(document, out, err);
}

static enum km_code write_ecs(const struct km_results *results, int64_t now_wall_ns, struct km_buf *out,
                              struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_results_count(results) && code == KM_OK; i++) {
        const struct km_result *result = km_results_get(results, i);
        for (size_t k = 0; k < result->finding_count && code == KM_OK; k++)
            code = append_finding(result, &result->findings[k], now_wall_ns, out, err);
        if (code == KM_OK)
            code = append_target(result, now_wall_ns, out, err);
    }
    return code;
}

const struct km_report_format km_report_ecs = {"ecs", write_ecs};
