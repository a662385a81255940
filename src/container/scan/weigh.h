/*
 * Evidence about one file, what it weighs, and what that amounts to.
 *
 * The score of a file is logistic(prior + sum of the weights of its evidence), in natural log-odds. Without a detector
 * the weights are set by hand (weigh.c), so that no combination of provenance alone calls a file malicious and a single
 * oddity stays below the threshold. The fusion of a detector brings the weights of its terms, a bias and a threshold in
 * place of those of the same name; scores are then moved so that its threshold is the score 0.5, and the calibration
 * says how many benign files are expected above it; origin alone passes no threshold (origin.h). Models speak about
 * programs only (km_record_is_program): data was not in their training.
 */
#ifndef KM_CONTAINER_SCAN_WEIGH_H
#define KM_CONTAINER_SCAN_WEIGH_H

#include "container/scan/contents.h"
#include "container/scan/detector.h"
#include "container/scan/hashlist.h"
#include "container/scan/pipeline.h"
#include "container/scan/records.h"
#include "container/source/layout.h"
#include "finding/finding.h"
#include "package/package.h"

#define KM_JUDGE_PRIOR                (-4.6) /* a file without evidence: 1 in 100 */
#define KM_JUDGE_SUSPICIOUS_THRESHOLD 0.5

/* By hand, where a fusion has no term of that name: of an executable that no package owns, of a packaged file that is
 * not as packaged, and of what can be run and has either. */
#define KM_WEIGH_UNOWNED    1.6
#define KM_WEIGH_CHANGED    2.2
#define KM_WEIGH_EXECUTABLE 0.4

#define KM_JUDGE_LEAST_SHOWN 0.25 /* a file with nothing but what models say is shown from this score on */

#define KM_CASE_MAX_EVIDENCE      20
#define KM_CASE_HIDDEN_NAME_BYTES 256

/* Where the evidence comes from; borrowed. */
struct km_case_sources {
    const struct km_contents *contents;
    const struct km_records *records;
    const struct km_hashlist *hashes;       /* or NULL */
    const struct km_package_view *packages; /* of the image that the place is in, or NULL: nothing to compare with */
    const struct km_detector *detector;     /* or NULL */
    const struct km_pipeline *pipeline;     /* or NULL */
    const struct km_background *background; /* of the image, or NULL */
};

/* Token scores of the programs of an image: what a file stands out from. */
struct km_background {
    double mean, deviation;
    uint64_t count;
};
#define KM_BACKGROUND_LEAST 20 /* fewer programs are no background */

/* Everything that evidence of one file points to; lives on the stack while a finding is made, and is not copied. */
struct km_case {
    uint32_t id;
    struct km_place place;
    const struct km_record *record; /* of the content: a hard link's is its target's; NULL: no file */
    const uint8_t *sha256;          /* of the content, or NULL: not kept */
    struct km_package_match match;
    struct km_evidence evidence[KM_CASE_MAX_EVIDENCE];
    size_t evidence_count;
    double log_odds;
    double origin; /* of log_odds: what can never make an alarm of this file, whatever the threshold (origin.h) */
    const struct km_file_scores *details; /* what the models said in full, or NULL */
    double features[KM_FEATURE_COUNT];    /* NaN: unknown */
    bool is_weighed[KM_FEATURE_COUNT];    /* there is evidence for it */
    const struct km_additive *fusion;     /* or NULL */
    char actual_md5[2 * KM_MD5_BYTES + 1];
    char prefix[32], hidden[KM_CASE_HIDDEN_NAME_BYTES], mode[8];
    char package[512];
    char words[KM_DETECTOR_REASONS * (KM_DETECTOR_REASON_BYTES + 2)];
};

/* Fills *file with entry `id` as an image has it at `place`; false when there is nothing to report about it. */
bool km_case_open(struct km_case *file, const struct km_case_sources *sources, uint32_t id,
                  const struct km_place *place);

/* One piece more, of the given log-odds, which are not a feature's. The evidence without arguments, in the case. */
struct km_evidence *km_case_add_evidence(struct km_case *file, const char *id, double weight);

/* 0 … 1. */
double km_case_score(const struct km_case *file);
enum km_verdict km_case_verdict(const struct km_case *file, double score);

/* In a layer of an image, and hidden by no other. */
bool km_place_is_shown(const struct km_place *place);

bool km_record_is_executable(const struct km_record *record);
/* What detectors were made for: programs, libraries and scripts, these by their name, too. */
bool km_record_is_program(const struct km_record *record, const char *path);

#endif
