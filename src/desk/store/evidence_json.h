/*
 * The parts of a finding that are kept as JSON: evidence, ranges, the rest of the subject. Reading takes what a store
 * holds, which another program may have written: sizes and counts are limited, what does not fit is KM_FORMAT.
 *
 * Evidence: [{"id": "package.changed", "weight": 2.5, "reference": "…", "args": [["package", "bash 5.2"], …]}, …].
 * Text that is not UTF-8 comes back escaped (base/json.h).
 */
#ifndef KM_DESK_STORE_EVIDENCE_JSON_H
#define KM_DESK_STORE_EVIDENCE_JSON_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "desk/store/collect.h"
#include "finding/finding.h"

#define KM_EVIDENCE_JSON_MAX_BYTES ((size_t)256 << 10)
#define KM_EVIDENCE_JSON_MAX_COUNT 256
#define KM_RANGES_JSON_MAX_COUNT   4096

/* Append to out. Arguments go through `collect` first. KM_NOMEM, KM_LIMIT. */
enum km_code km_evidence_json_format(const struct km_evidence *evidence, size_t count, const struct km_collect *collect,
                                     struct km_buf *out, struct km_err *err) KM_MUST_USE;
enum km_code km_ranges_json_format(const struct km_range *ranges, size_t count, struct km_buf *out,
                                   struct km_err *err) KM_MUST_USE;

/* Lists in the arena. "" is an empty list. KM_FORMAT, KM_LIMIT, KM_NOMEM. */
enum km_code km_evidence_json_parse(const char *text, struct km_arena *arena, const struct km_evidence **out,
                                    size_t *out_count, struct km_err *err) KM_MUST_USE;
enum km_code km_ranges_json_parse(const char *text, struct km_arena *arena, const struct km_range **out,
                                  size_t *out_count, struct km_err *err) KM_MUST_USE;

#endif
