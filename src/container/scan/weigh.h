/*
 * Evidence about one file, what it weighs, and what that amounts to.
 *
 * The score of a file is logistic(prior + sum of the weights of its evidence), in natural log-odds. The weights of this
 * version are set by hand (weigh.c), so that no combination of provenance alone calls a file malicious and a single
 * oddity stays below the threshold; the learned detectors bring weights of their own.
 */
#ifndef KM_CONTAINER_SCAN_WEIGH_H
#define KM_CONTAINER_SCAN_WEIGH_H

#include "container/scan/contents.h"
#include "container/scan/hashlist.h"
#include "container/scan/records.h"
#include "container/source/layout.h"
#include "finding/finding.h"
#include "package/package.h"

#define KM_JUDGE_PRIOR                (-4.6) /* a file without evidence: 1 in 100 */
#define KM_JUDGE_SUSPICIOUS_THRESHOLD 0.5

#define KM_CASE_MAX_EVIDENCE      10
#define KM_CASE_HIDDEN_NAME_BYTES 256

/* Where the evidence comes from; borrowed. */
struct km_case_sources {
    const struct km_contents *contents;
    const struct km_records *records;
    const struct km_hashlist *hashes;       /* or NULL */
    const struct km_package_view *packages; /* of the image that the place is in, or NULL: nothing to compare with */
};

/* Everything that evidence of one file points to; lives on the stack while a finding is made, and is not copied. */
struct km_case {
    uint32_t id;
    struct km_place place;
    const struct km_record *record; /* of the content: a hard link's is its target's; NULL: no file */
    struct km_package_match match;
    struct km_evidence evidence[KM_CASE_MAX_EVIDENCE];
    size_t evidence_count;
    double log_odds;
    char actual_md5[2 * KM_MD5_BYTES + 1];
    char prefix[32], hidden[KM_CASE_HIDDEN_NAME_BYTES], mode[8];
    char package[512];
};

/* Fills *file with entry `id` as an image has it at `place`; false when there is nothing to report about it. */
bool km_case_open(struct km_case *file, const struct km_case_sources *sources, uint32_t id,
                  const struct km_place *place);

/* One piece more, of the given log-odds. The evidence without arguments, in the case. */
struct km_evidence *km_case_add_evidence(struct km_case *file, const char *id, double weight);

/* 0 … 1. */
double km_case_score(const struct km_case *file);
enum km_verdict km_case_verdict(const struct km_case *file, double score);

/* In a layer of an image, and hidden by no other. */
bool km_place_is_shown(const struct km_place *place);

bool km_record_is_executable(const struct km_record *record);

#endif
