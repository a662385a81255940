/*
 * One thing that waits to be written: a copy of what a guardian handed over, and the statement that writes it. Writing
 * the same row again changes nothing, so that a commit whose outcome is not known can be repeated.
 */
#ifndef KM_DESK_STORE_RECORD_ROW_H
#define KM_DESK_STORE_RECORD_ROW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/collect.h"
#include "desk/store/store.h"
#include "finding/sink.h"

enum km_record_kind {
    KM_RECORD_BEGIN = 0,
    KM_RECORD_FINDING = 1,
    KM_RECORD_GAP = 2,
    KM_RECORD_END = 3,
};

struct km_record;

/* Where a row belongs. seq ascends within its run; target is the number of the target within the run, from 1. */
struct km_record_place {
    int64_t seq, target, at_ns;
};

/* NULL with *err set: KM_NOMEM, KM_LIMIT. cpu_ms: spent on the target. */
struct km_record *km_record_new_begin(const struct km_record_place *place, const struct km_target *target,
                                      const struct km_collect *collect, struct km_err *err) KM_MUST_USE;
struct km_record *km_record_new_finding(const struct km_record_place *place, const struct km_finding *finding,
                                        const struct km_collect *collect, struct km_err *err) KM_MUST_USE;
struct km_record *km_record_new_gap(const struct km_record_place *place, const struct km_gap *gap,
                                    const struct km_collect *collect, struct km_err *err) KM_MUST_USE;
struct km_record *km_record_new_end(const struct km_record_place *place, const struct km_outcome *outcome,
                                    int64_t cpu_ms, struct km_err *err) KM_MUST_USE;
void km_record_free(struct km_record *record);

enum km_record_kind km_record_get_kind(const struct km_record *record);

/* Rows form a queue. */
struct km_record *km_record_get_next(const struct km_record *record);
void km_record_set_next(struct km_record *record, struct km_record *next);

/* Writes the row within a transaction; *out_id is its id for a finding, else 0. */
enum km_code km_record_write(const struct km_record *record, struct km_desk *desk, int64_t run, int64_t *out_id,
                             struct km_err *err) KM_MUST_USE;

/* What a finding is grouped and decided by besides its subject: the id of its strongest evidence; for a daemon, of the
 * strongest that has weight and a text argument, if there is one, and that argument. Cut at KM_RECORD_DOMINANT_BYTES;
 * "none" without evidence. */
#define KM_RECORD_DOMINANT_BYTES 200
void km_record_format_dominant(const struct km_finding *finding, const struct km_collect *collect, char *out);

#endif
