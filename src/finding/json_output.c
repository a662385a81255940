#include "finding/json_output.h"

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "finding/decision.h"

struct km_json *km_json_output_evidence(const struct km_evidence *evidence)
{
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "id", evidence->id);
    struct km_json *args = km_json_new_object();
    for (size_t i = 0; i < evidence->arg_count; i++) {
        const struct km_arg *arg = &evidence->args[i];
        if (arg->type == KM_ARG_TEXT)
            km_json_set_escaped(args, arg->name, arg->text);
        else if (arg->type == KM_ARG_INTEGER)
            km_json_set_integer(args, arg->name, arg->integer);
        else
            km_json_set_real(args, arg->name, arg->real);
    }
    km_json_set(object, "args", args);
    km_json_set_real(object, "weight", evidence->weight);
    if (evidence->reference)
        km_json_set_string(object, "reference", evidence->reference);
    return object;
}

static struct km_json *new_subject(const struct km_subject *subject)
{
    struct km_json *object = km_json_new_object();
    km_json_set_escaped(object, "image", subject->image);
    km_json_set_escaped(object, "path", subject->path);
    km_json_set_escaped(object, "layer", subject->layer);
    if (subject->layer_index >= 0)
        km_json_set_integer(object, "layer_index", subject->layer_index);
    else
        km_json_set_string(object, "layer_index", NULL);
    km_json_set_escaped(object, "layer_history", subject->layer_history);
    km_json_set_escaped(object, "deleted_by", subject->deleted_by);
    km_json_set_escaped(object, "replaced_by", subject->replaced_by);
    km_json_set_string(object, "sha256", subject->sha256);
    km_json_set_count(object, "size", subject->size_bytes);
    return object;
}

struct km_json *km_json_output_decision(const struct km_decision *decision)
{
    if (!decision)
        return km_json_new_null();
    struct km_json *object = km_json_new_object();
    char until[KM_CLOCK_UTC_BYTES];
    km_clock_format_utc(decision->until_wall_ns, until);
    km_json_set_string(object, "kind", km_decision_kind_to_string(decision->kind));
    km_json_set_escaped(object, "who", decision->who);
    km_json_set_escaped(object, "note", decision->note);
    km_json_set_string(object, "until", decision->until_wall_ns == INT64_MAX ? NULL : until);
    return object;
}

static struct km_json *new_finding(const struct km_finding *finding)
{
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "kind", finding->kind);
    km_json_set(object, "subject", new_subject(&finding->subject));
    km_json_set_string(object, "verdict", km_verdict_to_string(finding->verdict));
    km_json_set_real(object, "score", finding->score);
    km_json_set_real(object, "confidence", finding->confidence);
    struct km_json *ranges = km_json_new_array();
    for (size_t i = 0; i < finding->range_count; i++) {
        struct km_json *range = km_json_new_array();
        km_json_append(range, km_json_new_integer((int64_t)finding->ranges[i].begin));
        km_json_append(range, km_json_new_integer((int64_t)finding->ranges[i].end));
        km_json_append(ranges, range);
    }
    km_json_set(object, "ranges", ranges);
    km_json_set_escaped(object, "package", finding->package);
    km_json_set(object, "decision", km_json_output_decision(finding->decision));
    struct km_json *evidence = km_json_new_array();
    for (size_t i = 0; i < finding->evidence_count; i++)
        km_json_append(evidence, km_json_output_evidence(&finding->evidence[i]));
    km_json_set(object, "evidence", evidence);
    return object;
}

static struct km_json *new_gap(const struct km_gap *gap)
{
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "reason", km_gap_reason_to_string(gap->reason));
    km_json_set_bool(object, "opaque", km_gap_is_opaque(gap->reason));
    km_json_set_escaped(object, "where", gap->where);
    km_json_set_escaped(object, "layer", gap->layer);
    km_json_set_count(object, "offset", gap->offset);
    km_json_set_count(object, "bytes", gap->bytes);
    km_json_set_escaped(object, "detail", gap->detail);
    return object;
}

static struct km_json *new_coverage(const struct km_result *result)
{
    const struct km_coverage *coverage = &result->outcome.coverage;
    struct km_json *object = km_json_new_object();
    km_json_set_count(object, "bytes_total", coverage->bytes_total);
    km_json_set_count(object, "bytes_examined", coverage->bytes_examined);
    km_json_set_count(object, "bytes_opaque", coverage->bytes_opaque);
    km_json_set_count(object, "files_total", coverage->files_total);
    km_json_set_count(object, "files_examined", coverage->files_examined);
    struct km_json *gaps = km_json_new_array();
    for (size_t i = 0; i < result->gap_count; i++)
        km_json_append(gaps, new_gap(&result->gaps[i]));
    km_json_set(object, "gaps", gaps);
    km_json_set_count(object, "gaps_omitted", result->gaps_omitted);
    return object;
}

static struct km_json *new_integrity(const struct km_integrity *integrity)
{
    if (!integrity)
        return km_json_new_null();
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "database", integrity->database);
    km_json_set_escaped(object, "detail", integrity->detail);
    km_json_set_count(object, "packages", integrity->packages);
    km_json_set_count(object, "files_intact", integrity->files_intact);
    km_json_set_count(object, "files_unchecked", integrity->files_unchecked);
    km_json_set_count(object, "files_configuration", integrity->files_configuration);
    km_json_set_count(object, "files_changed", integrity->files_changed);
    km_json_set_count(object, "files_unowned", integrity->files_unowned);
    km_json_set_count(object, "executables_unowned", integrity->executables_unowned);
    return object;
}

static struct km_json *new_target(const struct km_result *result)
{
    struct km_json *object = km_json_new_object();
    km_json_set_escaped(object, "name", result->target.name);
    km_json_set_string(object, "scheme", result->target.scheme);
    struct km_json *images = km_json_new_array();
    for (size_t i = 0; i < result->outcome.image_count; i++) {
        const struct km_image_info *info = &result->outcome.images[i];
        struct km_json *image = km_json_new_object();
        km_json_set_escaped(image, "name", info->name);
        km_json_set_escaped(image, "digest", info->digest);
        km_json_set_escaped(image, "platform", info->platform);
        km_json_set_count(image, "layers", info->layers);
        km_json_set(image, "packages", new_integrity(info->packages.database ? &info->packages : NULL));
        km_json_append(images, image);
    }
    km_json_set(object, "images", images);
    return object;
}

static struct km_json *new_error(const struct km_err *error)
{
    if (!error)
        return km_json_new_null();
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "code", km_code_to_string(error->code));
    km_json_set_string(object, "text", error->text);
    return object;
}

static struct km_json *new_expectation(const struct km_expectation *expectation)
{
    struct km_json *object = km_json_new_object();
    km_json_set_real(object, "rate", expectation->rate);
    km_json_set_real(object, "low", expectation->low);
    km_json_set_real(object, "high", expectation->high);
    km_json_set_real(object, "wanted", expectation->wanted);
    km_json_set_count(object, "negatives", expectation->negatives);
    km_json_set_count(object, "above", expectation->above);
    km_json_set_count(object, "programs", expectation->programs);
    km_json_set_escaped(object, "set", expectation->set);
    return object;
}

static struct km_json *new_result(const struct km_result *result)
{
    const struct km_outcome *outcome = &result->outcome;
    struct km_json *object = km_json_new_object();
    km_json_set_string(object, "schema", KM_SCAN_SCHEMA);
    km_json_set(object, "target", new_target(result));
    km_json_set_string(object, "verdict", km_verdict_to_string(outcome->verdict));
    km_json_set_real(object, "score", outcome->score);
    km_json_set(object, "error", new_error(outcome->error));
    km_json_set(object, "coverage", new_coverage(result));
    km_json_set(object, "packages", new_integrity(outcome->integrity));
    struct km_json *findings = km_json_new_array();
    for (size_t i = 0; i < result->finding_count; i++)
        km_json_append(findings, new_finding(&result->findings[i]));
    km_json_set(object, "findings", findings);
    km_json_set_count(object, "findings_omitted", outcome->findings_omitted);
    if (outcome->expectation)
        km_json_set(object, "false_alarms", new_expectation(outcome->expectation));
    struct km_json *versions = km_json_new_object();
    km_json_set_string(versions, "komainu", outcome->versions.komainu);
    km_json_set_string(versions, "rules", outcome->versions.rules);
    km_json_set_string(versions, "model", outcome->versions.model);
    km_json_set(object, "versions", versions);
    km_json_set_real(object, "seconds", round(outcome->seconds * 1000) / 1000);
    return object;
}

enum km_code km_json_output_format(const struct km_results *results, bool as_list, struct km_buf *out,
                                   struct km_err *err)
{
    struct km_json *document KM_CLEANUP(km_json_cleanup) = NULL;
    if (!as_list && km_results_count(results) == 1) {
        document = new_result(km_results_get(results, 0));
    } else {
        document = km_json_new_object();
        km_json_set_string(document, "schema", KM_SCAN_LIST_SCHEMA);
        km_json_set_string(document, "verdict", km_verdict_to_string(km_results_verdict(results)));
        struct km_json *list = km_json_new_array();
        for (size_t i = 0; i < km_results_count(results); i++)
            km_json_append(list, new_result(km_results_get(results, i)));
        km_json_set(document, "results", list);
    }
    enum km_code code = km_json_format(document, 2, out, err);
    return code == KM_OK ? km_buf_append_text(out, "\n", err) : code;
}
