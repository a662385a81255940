/*
 * What the scan makes of what it saw, once the layout is known: package integrity, evidence, scores, findings.
 *
 * The score of a file is logistic(prior + sum of the weights of its evidence), in natural log-odds. The weights of this
 * version are set by hand (judge.c), so that no combination of provenance alone calls a file malicious and a single
 * oddity stays below the threshold; the learned detectors bring weights of their own.
 */
#ifndef KM_CONTAINER_SCAN_JUDGE_H
#define KM_CONTAINER_SCAN_JUDGE_H

#include "base/err.h"
#include "container/scan/examine.h"
#include "container/source/layout.h"
#include "finding/decision.h"
#include "finding/sink.h"

#define KM_JUDGE_PRIOR                (-4.6) /* a file without evidence: 1 in 100 */
#define KM_JUDGE_SUSPICIOUS_THRESHOLD 0.5

struct km_judge_options {
    const struct km_hashlist *hashes;     /* as given to km_examine, or NULL */
    const struct km_decisions *decisions; /* what people said, or NULL */
    size_t max_findings;                  /* listed, strongest first; the rest is counted */
    struct km_mosaic *mosaic;             /* gets marks and the names of layers, or NULL */
    bool all; /* list every unowned or changed file, not only executables and changed ones */
};

struct km_judgement {
    enum km_verdict verdict; /* of the findings alone: clean, suspicious or malicious */
    double score;
    uint64_t findings_omitted;
    uint64_t gaps; /* reported here, beside the source's: a package database that cannot be used */
    struct km_integrity integrity;
    char detail[KM_ERR_TEXT_BYTES]; /* holds integrity.detail */
};

/* Judges every file and gives the findings to sink. layout may be unresolved (reading ended early): findings then have
 * no layer and integrity.database is "none". Consumes the package database. KM_NOMEM, and the sink's codes. */
enum km_code km_judge_run(struct km_examine *examine, const struct km_layout *layout,
                          const struct km_judge_options *options, const struct km_sink *sink, struct km_judgement *out,
                          struct km_err *err) KM_MUST_USE;

#endif
