/* What the formats share. */
#ifndef KM_REPORT_REPORT_INTERNAL_H
#define KM_REPORT_REPORT_INTERNAL_H

#include "base/digest.h"
#include "desk/report/report.h"

extern const struct km_report_format km_report_sarif;
extern const struct km_report_format km_report_stix;
extern const struct km_report_format km_report_junit;
extern const struct km_report_format km_report_ecs;

/* The evidence that weighs most, whose id names the rule; NULL without evidence. */
const struct km_evidence *km_report_dominant(const struct km_finding *finding);

/* "PATH: sentence; sentence. What to do." on one line. KM_NOMEM, KM_LIMIT. */
enum km_code km_report_append_message(const struct km_finding *finding, struct km_buf *out,
                                      struct km_err *err) KM_MUST_USE;

/* What the finding is about: its path, or "" when it has none. Raw bytes. */
const char *km_report_subject_name(const struct km_finding *finding);

/* SHA-256 in hexadecimal over kind, path, content and dominant evidence: the same finding has the same one in every
 * image and every run. KM_NOMEM. */
enum km_code km_report_fingerprint(const struct km_finding *finding, char out[KM_SHA256_HEX_BYTES],
                                   struct km_err *err) KM_MUST_USE;

#endif
