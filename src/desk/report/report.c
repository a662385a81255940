#include "desk/report/report.h"

#include <string.h>

#include "base/text.h"
#include "desk/report/report_internal.h"
#include "finding/evidence.h"

#define LONGEST_NAME_BYTES 4096

static const struct km_report_format *const formats[] = {&km_report_sarif, &km_report_stix, &km_report_junit,
                                                         &km_report_ecs};

const struct km_report_format *km_report_find_format(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strlen(formats[i]->name) == length && strncmp(formats[i]->name, name, length) == 0)
            return formats[i];
    return NULL;
}

const struct km_evidence *km_report_dominant(const struct km_finding *finding)
{
    const struct km_evidence *best = NULL;
    for (size_t i = 0; i < finding->evidence_count; i++)
        if (!best || finding->evidence[i].weight > best->weight)
            best = &finding->evidence[i];
    return best;
}

const char *km_report_subject_name(const struct km_finding *finding)
{
    return finding->subject.path ? finding->subject.path : "";
}

enum km_code km_report_append_message(const struct km_finding *finding, struct km_buf *out, struct km_err *err)
{
    char name[LONGEST_NAME_BYTES];
    const char *raw = km_report_subject_name(finding);
    km_text_escape(raw, strlen(raw), name, sizeof name);
    enum km_code code = km_buf_append_text(out, name, err);
    for (size_t i = 0; code == KM_OK && i < finding->evidence_count; i++) {
        code = km_buf_append_text(out, i == 0 ? ": " : "; ", err);
        if (code == KM_OK)
            code = km_evidence_format(&finding->evidence[i], out, err);
    }
    const struct km_evidence *dominant = km_report_dominant(finding);
    const char *advice = dominant ? km_evidence_advice(dominant->id) : NULL;
    if (code == KM_OK)
        code = km_buf_append_format(out, err, ".%s%s", advice ? " " : "", advice ? advice : "");
    return code;
}

enum km_code km_report_fingerprint(const struct km_finding *finding, char out[KM_SHA256_HEX_BYTES], struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    const struct km_evidence *dominant = km_report_dominant(finding);
    const char *parts[] = {finding->kind, km_report_subject_name(finding),
                           finding->subject.sha256 ? finding->subject.sha256 : "", dominant ? dominant->id : ""};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        km_digest_update(digest, parts[i], strlen(parts[i]) + 1);
    uint8_t bytes[KM_SHA256_BYTES];
    km_digest_finish(digest, bytes);
    km_digest_free(digest);
    km_hex_format(bytes, sizeof bytes, out);
    return KM_OK;
}
