#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "desk/report/report_internal.h"
#include "finding/decision.h"
#include "finding/evidence.h"

#define MAX_MESSAGE_BYTES ((size_t)64 << 10)
#define MAX_RULES         256
#define URI_BASE          "ROOTFS"

/* The rules of a run: ids of dominant evidence, in the order in which they are met. */
struct rules {
    const char *ids[MAX_RULES];
    size_t count;
};

static size_t rule_index(struct rules *rules, const char *id)
{
    size_t i = 0;
    while (i < rules->count && strcmp(rules->ids[i], id) != 0)
        i++;
    if (i == rules->count && rules->count < MAX_RULES)
        rules->ids[rules->count++] = id;
    return i;
}

static const char *rule_of(const struct km_finding *finding)
{
    const struct km_evidence *dominant = km_report_dominant(finding);
    return dominant ? dominant->id : finding->kind;
}

/* RFC 3986: everything but unreserved characters and the slash is encoded; a leading slash goes, the base has it. */
static enum km_code append_uri(const char *path, struct km_buf *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    while (*path == '/')
        path++;
    for (const unsigned char *c = (const unsigned char *)path; *c && code == KM_OK; c++) {
        bool plain = (*c >= '0' && *c <= '9') || ((*c | 0x20) >= 'a' && (*c | 0x20) <= 'z') || strchr("-._~/", *c);
        code = plain ? km_buf_append(out, c, 1, err) : km_buf_append_format(out, err, "%%%02X", *c);
    }
    return code;
}

static struct km_json *new_message(const char *text)
{
    struct km_json *message = km_json_new_object();
    km_json_set_escaped(message, "text", text);
    return message;
}

static struct km_json *new_physical(const struct km_finding *finding, const struct km_range *range, const char *uri)
{
    struct km_json *physical = km_json_new_object(), *artifact = km_json_new_object();
    km_json_set_string(artifact, "uri", uri);
    km_json_set_string(artifact, "uriBaseId", URI_BASE);
    km_json_set(physical, "artifactLocation", artifact);
    struct km_range whole = {0, finding->subject.size_bytes};
    const struct km_range *r = range ? range : &whole;
    if (r->end > r->begin && r->end <= INT64_MAX) {
        struct km_json *region = km_json_new_object();
        km_json_set_integer(region, "byteOffset", (int64_t)r->begin);
        km_json_set_integer(region, "byteLength", (int64_t)(r->end - r->begin));
        km_json_set(physical, "region", region);
    }
    return physical;
}

/* The layer and the image, from the inside out. */
static struct km_json *new_logical(const struct km_subject *subject)
{
    struct km_json *list = km_json_new_array();
    const char *names[] = {subject->layer, subject->image};
    static const char *const kinds[] = {"layer", "image"};
    for (size_t i = 0; i < 2; i++) {
        if (!names[i])
            continue;
        struct km_json *place = km_json_new_object();
        km_json_set_escaped(place, "name", names[i]);
        km_json_set_string(place, "kind", kinds[i]);
        km_json_append(list, place);
    }
    return list;
}

static struct km_json *new_locations(const struct km_finding *finding, const char *uri)
{
    struct km_json *list = km_json_new_array();
    size_t count = finding->range_count > 0 ? finding->range_count : 1;
    for (size_t i = 0; i < count; i++) {
        struct km_json *location = km_json_new_object();
        if (*uri)
            km_json_set(location, "physicalLocation",
                        new_physical(finding, finding->range_count > 0 ? &finding->ranges[i] : NULL, uri));
        km_json_set(location, "logicalLocations", new_logical(&finding->subject));
        km_json_append(list, location);
    }
    return list;
}

static struct km_json *new_suppressions(const struct km_decision *decision)
{
    struct km_json *suppression = km_json_new_object(), *list = km_json_new_array();
    km_json_set_string(suppression, "kind", "external");
    km_json_set_string(suppression, "status", "accepted");
    km_json_set_escaped(suppression, "justification", decision->note);
    km_json_append(list, suppression);
    return list;
}

static struct km_json *new_properties(const struct km_finding *finding)
{
    struct km_json *properties = km_json_new_object(), *evidence = km_json_new_array();
    km_json_set_string(properties, "verdict", km_verdict_to_string(finding->verdict));
    km_json_set_real(properties, "confidence", finding->confidence);
    km_json_set_string(properties, "sha256", finding->subject.sha256);
    km_json_set_escaped(properties, "layerHistory", finding->subject.layer_history);
    km_json_set_escaped(properties, "package", finding->package);
    for (size_t i = 0; i < finding->evidence_count; i++) {
        struct km_json *piece = km_json_new_object();
        km_json_set_string(piece, "id", finding->evidence[i].id);
        km_json_set_real(piece, "weight", finding->evidence[i].weight);
        km_json_append(evidence, piece);
    }
    km_json_set(properties, "evidence", evidence);
    return properties;
}

static const char *level_of(enum km_verdict verdict)
{
    return verdict == KM_VERDICT_MALICIOUS ? "error" : verdict == KM_VERDICT_SUSPICIOUS ? "warning" : "note";
}

static enum km_code append_result(const struct km_finding *finding, struct rules *rules, struct km_json *results,
                                  struct km_err *err)
{
    struct km_buf message, uri;
    km_buf_init(&message, MAX_MESSAGE_BYTES);
    km_buf_init(&uri, MAX_MESSAGE_BYTES);
    char fingerprint[KM_SHA256_HEX_BYTES];
    enum km_code code = km_report_append_message(finding, &message, err);
    if (code == KM_OK)
        code = append_uri(km_report_subject_name(finding), &uri, err);
    if (code == KM_OK)
        code = km_report_fingerprint(finding, fingerprint, err);
    if (code == KM_OK) {
        struct km_json *result = km_json_new_object(), *prints = km_json_new_object();
        size_t index = rule_index(rules, rule_of(finding));
        km_json_set_string(result, "ruleId", rule_of(finding));
        if (index < MAX_RULES)
            km_json_set_integer(result, "ruleIndex", (int64_t)index);
        km_json_set_string(result, "level", level_of(finding->verdict));
        km_json_set_real(result, "rank", finding->score * 100);
        km_json_set(result, "message", new_message(km_buf_text(&message)));
        km_json_set(result, "locations", new_locations(finding, km_buf_text(&uri)));
        km_json_set_string(prints, "komainuFinding/v1", fingerprint);
        km_json_set(result, "partialFingerprints", prints);
        if (finding->decision && km_decision_is_benign(finding->decision->kind))
            km_json_set(result, "suppressions", new_suppressions(finding->decision));
        km_json_set(result, "properties", new_properties(finding));
        km_json_append(results, result);
    }
    km_buf_done(&message);
    km_buf_done(&uri);
    return code;
}

static struct km_json *new_notification(const char *level, const char *text)
{
    struct km_json *notification = km_json_new_object();
    km_json_set_string(notification, "level", level);
    km_json_set(notification, "message", new_message(text));
    return notification;
}

/* What was not examined is said where the format has a place for it: the tool's own notifications. */
static struct km_json *new_invocations(const struct km_result *result, int64_t now_wall_ns)
{
    struct km_json *list = km_json_new_array(), *invocation = km_json_new_object(), *notes = km_json_new_array();
    char now[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(now_wall_ns, now);
    km_json_set_bool(invocation, "executionSuccessful", !result->outcome.error && result->ended);
    km_json_set_string(invocation, "endTimeUtc", now);
    if (result->outcome.error)
        km_json_append(notes, new_notification("error", result->outcome.error->text));
    for (size_t i = 0; i < result->gap_count; i++) {
        const struct km_gap *gap = &result->gaps[i];
        struct km_buf text;
        km_buf_init(&text, MAX_MESSAGE_BYTES);
        struct km_err err = KM_ERR_INIT;
        if (km_buf_append_format(&text, &err, "%s: not examined: %s%s%s", *gap->where ? gap->where : "the source",
                                 km_gap_reason_to_string(gap->reason), gap->detail ? ": " : "",
                                 gap->detail ? gap->detail : "") == KM_OK)
            km_json_append(notes, new_notification("warning", km_buf_text(&text)));
        else
            km_json_append(notes, new_notification("warning", km_gap_reason_to_string(gap->reason)));
        km_buf_done(&text);
    }
    km_json_set(invocation, "toolExecutionNotifications", notes);
    km_json_append(list, invocation);
    return list;
}

static struct km_json *new_tool(const struct km_result *result, const struct rules *rules)
{
    struct km_json *tool = km_json_new_object(), *driver = km_json_new_object(), *list = km_json_new_array();
    km_json_set_string(driver, "name", "komainu");
    km_json_set_string(driver, "version", result->outcome.versions.komainu ? result->outcome.versions.komainu : "0");
    for (size_t i = 0; i < rules->count; i++) {
        struct km_json *rule = km_json_new_object();
        km_json_set_string(rule, "id", rules->ids[i]);
        const char *advice = km_evidence_advice(rules->ids[i]);
        if (advice)
            km_json_set(rule, "help", new_message(advice));
        km_json_append(list, rule);
    }
    km_json_set(driver, "rules", list);
    km_json_set(tool, "driver", driver);
    return tool;
}

static enum km_code append_run(const struct km_result *result, int64_t now_wall_ns, struct km_json *runs,
                               struct km_err *err)
{
    struct rules rules = {.count = 0};
    struct km_json *run = km_json_new_object(), *results = km_json_new_array();
    enum km_code code = KM_OK;
    for (size_t i = 0; i < result->finding_count && code == KM_OK; i++)
        code = append_result(&result->findings[i], &rules, results, err);
    struct km_json *bases = km_json_new_object(), *base = km_json_new_object(), *details = km_json_new_object();
    km_json_set(base, "description", new_message("the container's root directory"));
    km_json_set(bases, URI_BASE, base);
    km_json_set_escaped(details, "id", result->target.name);
    km_json_set(run, "tool", new_tool(result, &rules));
    km_json_set(run, "automationDetails", details);
    km_json_set(run, "originalUriBaseIds", bases);
    km_json_set(run, "invocations", new_invocations(result, now_wall_ns));
    km_json_set(run, "results", results);
    km_json_append(runs, run);
    return code;
}

static enum km_code write_sarif(const struct km_results *results, int64_t now_wall_ns, struct km_buf *out,
                                struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    struct km_json *runs = km_json_new_array();
    km_json_set_string(document, "$schema", "https://json.schemastore.org/sarif-2.1.0.json");
    km_json_set_string(document, "version", "2.1.0");
    km_json_set(document, "runs", runs);
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_results_count(results) && code == KM_OK; i++)
        code = append_run(km_results_get(results, i), now_wall_ns, runs, err);
    if (code == KM_OK)
        code = km_json_format(document, 2, out, err);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}

const struct km_report_format km_report_sarif = {"sarif", write_sarif};
