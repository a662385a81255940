/*
 * Between the log and its anchor.
 */
#ifndef KM_DESK_STORE_AUDIT_INTERNAL_H
#define KM_DESK_STORE_AUDIT_INTERNAL_H

#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"

/* "NUMBER HASH", a newline behind it allowed; out_hash holds KM_SHA256_HEX_BYTES, lower case. KM_FORMAT. */
enum km_code km_audit_parse_head(const char *text, int64_t *out_id, char *out_hash, struct km_err *err) KM_MUST_USE;

/* KM_NOTFOUND: there is no anchor. KM_FORMAT: it holds something else. KM_IO, KM_DENIED. */
enum km_code km_audit_read_anchor(const struct km_desk *desk, int64_t *out_id, char *out_hash,
                                  struct km_err *err) KM_MUST_USE;

#endif
