/*
 * How a guardian hands its results on: it is given a km_sink and calls it in this order, from one thread:
 *
 *     target_begin, then any number of finding and gap in any order, then target_end; again for the next target.
 *
 * An error that ends a target early goes into target_end, which always comes: a failed target is a result, too.
 * Every callback may fail; the guardian then stops and returns that code.
 */
#ifndef KM_FINDING_SINK_H
#define KM_FINDING_SINK_H

#include "base/err.h"
#include "finding/finding.h"

struct km_outcome {
    const char *scheme;      /* as resolved: "docker-archive", "dir", … or NULL */
    enum km_verdict verdict; /* of the whole target */
    double score;            /* of its strongest finding; 0 without findings */
    struct km_coverage coverage;
    const struct km_integrity *integrity; /* of all images; NULL: the target was not read far enough to say */
    size_t image_count;
    const struct km_image_info *images;
    uint64_t findings_omitted;                /* of low score, beyond the number asked for; counted in integrity */
    const struct km_expectation *expectation; /* NULL: no calibrated detector took part */
    struct km_versions versions;
    double seconds;             /* wall time spent */
    const struct km_err *error; /* NULL, or why the target could not be read to its end */
};

struct km_sink {
    void *context;
    enum km_code (*target_begin)(void *context, const struct km_target *target, struct km_err *err);
    enum km_code (*finding)(void *context, const struct km_finding *finding, struct km_err *err);
    enum km_code (*gap)(void *context, const struct km_gap *gap, struct km_err *err);
    enum km_code (*target_end)(void *context, const struct km_outcome *outcome, struct km_err *err);
};

#endif
