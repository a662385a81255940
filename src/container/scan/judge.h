/*
 * What the scan makes of what it saw, once the layout is known: package integrity of each image, evidence, scores,
 * findings.
 *
 * Each image is compared with its own package database. An entry that several images hold is one finding, of the image
 * in which its score is highest (of equal ones, the first that shows it); the counts of the other images still tell.
 */
#ifndef KM_CONTAINER_SCAN_JUDGE_H
#define KM_CONTAINER_SCAN_JUDGE_H

#include "base/arena.h"
#include "base/err.h"
#include "container/scan/examine.h"
#include "container/source/layout.h"
#include "finding/decision.h"
#include "finding/sink.h"

/* Steps over entries, database files and records of all images together: about ten seconds. 1000 images of 7,000 files
 * pass, and 50 of 150,000 files with as many owned paths. */
#define KM_JUDGE_MAX_STEPS (UINT64_C(200) << 20)

struct km_case; /* weigh.h */

struct km_judge_options {
    const struct km_hashlist *hashes;     /* as given to km_examine, or NULL */
    const struct km_decisions *decisions; /* what people said, or NULL */
    const struct km_detector *detector;   /* as given to km_examine, or NULL */
    size_t max_findings;                  /* listed, strongest first; the rest is counted */
    struct km_mosaic *mosaic;             /* gets marks and the names of layers, or NULL */
    uint64_t max_steps;                   /* KM_JUDGE_MAX_STEPS; images beyond it are not compared: a gap */
    /* Called for each file that an image shows, in each image; or NULL. */
    void (*weighed)(void *context, const struct km_case *file);
    void *weighed_context;
    bool all; /* list every unowned or changed file, not only executables and changed ones */
};

struct km_judgement {
    enum km_verdict verdict; /* of the findings alone: clean, suspicious or malicious */
    double score;
    uint64_t findings_omitted;
    uint64_t programs; /* that a calibrated detector judged; one in several images is one */
    uint64_t gaps;     /* reported here, beside the source's: package databases that cannot be used, or only in part */
    struct km_integrity integrity; /* of all images together */
    size_t image_count;
    struct km_integrity *images; /* in the layout's order */
    struct km_arena *texts;      /* of the details */
};

/* Judges every file and gives the findings to sink. layout may be unresolved (reading ended early): findings then have
 * no layer and there is no integrity. Consumes the package database. The caller ends *out with km_judgement_done, also
 * on failure. KM_NOMEM, and the sink's codes. */
enum km_code km_judge_run(struct km_examine *examine, const struct km_layout *layout,
                          const struct km_judge_options *options, const struct km_sink *sink, struct km_judgement *out,
                          struct km_err *err) KM_MUST_USE;

void km_judgement_done(struct km_judgement *judgement);

#endif
