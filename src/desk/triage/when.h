/*
 * Times as people write them: "2026-11-22", "2026-11-22T10:30:00Z", "36h", "7d", "2w" (so long ago, or from now on).
 */
#ifndef KM_DESK_TRIAGE_WHEN_H
#define KM_DESK_TRIAGE_WHEN_H

#include <stdint.h>

#include "base/err.h"

enum km_when_side {
    KM_WHEN_PAST = 0,   /* "7d" is seven days before now; a date is the beginning of its day (UTC) */
    KM_WHEN_FUTURE = 1, /* "7d" is seven days after now; a date is the end of its day */
};

/* KM_FORMAT: none of the forms, or no such day. KM_LIMIT: before 1970 or after 2255. */
enum km_code km_when_parse(const char *text, enum km_when_side side, int64_t now_ns, int64_t *out_ns,
                           struct km_err *err) KM_MUST_USE;

#endif
