/*
 * The paper's path: a tar archive as one byte string, drawn as the reference draws it (render.h), cut into patches of
 * 256 x 256 pixels, each scored by the user's network (patchnet.h), and put together by the reference's rule: the
 * container is malevolent when any patch is above the threshold.
 *
 * Band by band of 256 rows as the picture is drawn: memory depends on the picture's width and the network alone.
 * What the picture does not show was not examined: bytes_total is the archive, bytes_examined the bytes with a pixel.
 */
#ifndef KM_CONTAINER_SCAN_TARVIEW_H
#define KM_CONTAINER_SCAN_TARVIEW_H

#include "base/cancel.h"
#include "base/err.h"
#include "container/imaging/input.h"
#include "container/scan/patchnet.h"
#include "finding/decision.h"
#include "finding/sink.h"

/* Ranges of the strongest malevolent patches that a finding lists. */
#define KM_TARVIEW_RANGES 16

struct km_tarview_options {
    struct km_patchnet *network;
    const struct km_decisions *decisions;                                       /* or NULL */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total); /* or NULL */
    void *progress_context;
    struct km_versions versions;
};

/* Scans an archive: target_begin, one finding (the archive, with KM_EVIDENCE_PICTURE), gaps, target_end. Something that
 * is no tar archive, an input that fails and a network without a usable answer are the outcome's error, and no failure
 * of this function; cancellation is a gap. Returns KM_NOMEM and what the sink returns. */
enum km_code km_tarview_run(struct km_input *input, const struct km_target *target,
                            const struct km_tarview_options *options, const struct km_sink *sink,
                            const struct km_cancel *cancel, struct km_err *err) KM_MUST_USE;

#endif
