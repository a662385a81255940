/*
 * Results in the formats of other tools. One document for all targets of a run.
 *
 *   sarif  SARIF 2.1.0: a run per target; fingerprints do not change while content and evidence stay the same
 *   stix   STIX 2.1 bundle: files with hashes, byte ranges and layers, observed; an indicator and a sighting for what
 * is suspicious or worse. The same file is the same object in every run; what was seen of it is a new one junit  a test
 * suite per target: coverage and each finding at or above suspicious are tests ecs    Elastic Common Schema 8.11: a
 * line of JSON per finding, and one per target
 *
 * Text that an enemy chose is escaped (km_text_escape). Time is the caller's, so that a document can be made again.
 */
#ifndef KM_REPORT_REPORT_H
#define KM_REPORT_REPORT_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "finding/result.h"

struct km_report_format {
    const char *name;
    /* Appends the document. KM_NOMEM, KM_LIMIT of the buffer. */
    enum km_code (*write)(const struct km_results *results, int64_t now_wall_ns, struct km_buf *out,
                          struct km_err *err);
};

/* "sarif", "stix", "junit", "ecs"; NULL: no such format. `length` bytes of name count. Static storage. */
const struct km_report_format *km_report_find_format(const char *name, size_t length);

#endif
