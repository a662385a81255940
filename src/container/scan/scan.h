/*
 * A first complete scan: reads a source to its end, judges what it saw, hands the result to a sink.
 */
#ifndef KM_CONTAINER_SCAN_SCAN_H
#define KM_CONTAINER_SCAN_SCAN_H

#include <stdbool.h>

#include "base/cancel.h"
#include "base/err.h"
#include "container/imaging/mosaic.h"
#include "container/scan/detector.h"
#include "container/scan/hashlist.h"
#include "container/scan/pipeline.h"
#include "container/scan/policy.h"
#include "container/scan/segcache.h"
#include "container/source/source.h"
#include "finding/decision.h"
#include "finding/sink.h"

struct km_case; /* weigh.h */

struct km_scan_options {
    const struct km_hashlist *hashes;     /* sealed, or NULL */
    const struct km_decisions *decisions; /* or NULL */
    struct km_mosaic *mosaic;             /* fed, named and marked; NULL: no picture */
    const struct km_baseline *baseline;   /* or NULL */
    const struct km_policy *policy;       /* or NULL */
    const struct km_detector *detector;   /* NULL: no learned model takes part */
    struct km_segcache *cache;            /* or NULL */
    unsigned jobs;                        /* workers, when there is a detector */
    /* Called for each file that an image shows (weigh.h); may be NULL. For calibration. */
    void (*weighed)(void *context, const struct km_case *file);
    void *weighed_context;
    /* Called with what was scored, before the result is given; may be NULL. */
    void (*scored)(void *context, const struct km_pipeline *pipeline, const struct km_layout *layout);
    void *scored_context;
    size_t max_findings;
    bool all;                                                                   /* list unowned data files, too */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total); /* or NULL */
    void *progress_context;
    struct km_versions versions;
};

/* Scans an open source: target_begin … target_end on the sink. What ends the reading early (a damaged manifest, a lost
 * connection) is the outcome's error and no failure of this function; cancellation becomes a gap, and what was seen
 * until then is judged. Returns KM_NOMEM and what the sink returns. */
enum km_code km_scan_run(struct km_source *source, const struct km_target *target,
                         const struct km_scan_options *options, const struct km_sink *sink,
                         const struct km_cancel *cancel, struct km_err *err) KM_MUST_USE;

/* Gives the sink a target that could not be opened at all. */
enum km_code km_scan_give_failure(const struct km_target *target, const struct km_versions *versions,
                                  const struct km_err *cause, const struct km_sink *sink,
                                  struct km_err *err) KM_MUST_USE;

#endif
