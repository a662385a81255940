#include "container/scan/weigh.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "container/scan/fileformat.h"
#include "container/scan/packing.h"
#include "container/scan/place.h"
#include "container/scan/weighmodels.h"
#include "finding/evidence.h"

/* Log-odds by hand, with those of weigh.h. Alone, none of the first block lifts a file from 0.01 over the threshold of
 * 0.5; an executable that nobody owns in a place of packages is at 0.25, a changed packaged program at 0.38, and
 * set-user-ID lifts either over the threshold. */
#define WEIGHT_SYSTEM_PLACE    1.5
#define WEIGHT_TEMPORARY_PLACE 1.2
#define WEIGHT_HIDDEN_NAME     0.8
#define WEIGHT_SETUID          1.5
#define WEIGHT_ODD_NAME        1.5
#define WEIGHT_TEST_FILE       12.0
#define WEIGHT_HASH_LISTED     12.0
#define WEIGHT_PACKED_FOREIGN  1.2
#define WEIGHT_BASELINE_KNOWN  (-2.0) /* somebody said that these bytes belong here; not that they are harmless */

bool km_place_is_shown(const struct km_place *place)
{
    return place->image && !place->deleted_by && !place->replaced_by && place->parent == KM_ENTRY_NONE;
}

struct km_evidence *km_case_add_evidence(struct km_case *file, const char *id, double weight)
{
    KM_ASSERT(file->evidence_count < KM_CASE_MAX_EVIDENCE);
    struct km_evidence *evidence = &file->evidence[file->evidence_count++];
    *evidence = (struct km_evidence){.id = id, .weight = weight};
    file->log_odds += weight;
    return evidence;
}

/* The fusion's weight, or the one by hand. */
static struct km_evidence *add_feature(struct km_case *file, enum km_feature feature, double by_hand)
{
    const char *id = km_feature_name(feature);
    int term = file->fusion ? km_additive_find(file->fusion, id) : -1;
    file->features[feature] = 1;
    file->is_weighed[feature] = true;
    return km_case_add_evidence(
        file, id, term >= 0 ? km_additive_contribution(km_additive_term(file->fusion, (size_t)term), 1) : by_hand);
}

static void weigh_identity(const struct km_case_sources *sources, struct km_case *file)
{
    KM_ASSERT(file->record);
    if (file->record->is_eicar)
        km_evidence_add_text(km_case_add_evidence(file, KM_EVIDENCE_TEST_FILE, WEIGHT_TEST_FILE), "name",
                             "the EICAR anti-malware test file");
    struct km_hash_match match;
    if (file->record->is_listed &&
        km_hashlist_find(sources->hashes, km_records_sha256(sources->records, file->record), &match)) {
        struct km_evidence *evidence = km_case_add_evidence(file, KM_EVIDENCE_HASH_LISTED, WEIGHT_HASH_LISTED);
        km_evidence_add_text(evidence, "list", match.label);
        km_evidence_add_text(evidence, "name", match.name);
    }
}

/* A hard link's own name was not kept. */
static void weigh_name(struct km_case *file)
{
    KM_ASSERT(file->record);
    if (file->record->has_odd_name && file->place.type == KM_ENTRY_FILE)
        (void)km_case_add_evidence(file, KM_EVIDENCE_ODD_NAME, WEIGHT_ODD_NAME);
}

static void weigh_package(struct km_case *file)
{
    if (file->match.state == KM_PACKAGE_UNOWNED || file->match.state == KM_PACKAGE_DIVERTED) {
        /* What is made at installation is unowned by nature (byte code of Python). A calibrated model judges it alone.
         */
        bool weighs = !file->fusion || km_record_is_executable(file->record);
        km_evidence_add_text(add_feature(file, KM_FEATURE_PACKAGE_UNOWNED, weighs ? KM_WEIGH_UNOWNED : 0), "database",
                             "dpkg");
    } else if (file->match.state == KM_PACKAGE_CHANGED) {
        struct km_evidence *evidence = add_feature(file, KM_FEATURE_PACKAGE_CHANGED, KM_WEIGH_CHANGED);
        km_hex_format(file->record->md5, KM_MD5_BYTES, file->actual_md5);
        km_evidence_add_text(evidence, "package", file->package);
        km_evidence_add_text(evidence, "actual", file->actual_md5);
    }
}

bool km_record_is_executable(const struct km_record *record)
{
    return record->format == KM_FORMAT_ELF_PROGRAM || record->format == KM_FORMAT_PE ||
           (record->format == KM_FORMAT_SCRIPT && (record->mode & 0111) != 0);
}

static void weigh_place(struct km_case *file)
{
    size_t length;
    enum km_place_class class = km_place_classify(file->place.path, &length);
    snprintf(file->prefix, sizeof file->prefix, "/%.*s", (int)length, file->place.path);
    if (class == KM_PLACE_SYSTEM)
        km_evidence_add_text(add_feature(file, KM_FEATURE_PLACE_SYSTEM, WEIGHT_SYSTEM_PLACE), "place", file->prefix);
    if (class == KM_PLACE_TEMPORARY)
        km_evidence_add_text(add_feature(file, KM_FEATURE_PLACE_TEMPORARY, WEIGHT_TEMPORARY_PLACE), "place",
                             file->prefix);
    const char *hidden = km_place_find_hidden(file->place.path, &length);
    if (hidden) {
        snprintf(file->hidden, sizeof file->hidden, "%.*s", length < 200 ? (int)length : 200, hidden);
        km_evidence_add_text(add_feature(file, KM_FEATURE_PLACE_HIDDEN, WEIGHT_HIDDEN_NAME), "name", file->hidden);
    }
}

/* Place and rights say something only about a program whose origin is in doubt. */
static void weigh_program(struct km_case *file)
{
    if (file->evidence_count == 0 || !km_record_is_executable(file->record))
        return;
    km_evidence_add_text(add_feature(file, KM_FEATURE_EXECUTABLE, KM_WEIGH_EXECUTABLE), "format",
                         km_fileformat_name((enum km_file_format)file->record->format));
    if ((file->record->mode & 06000) != 0) {
        struct km_evidence *evidence = add_feature(file, KM_FEATURE_SETUID, WEIGHT_SETUID);
        snprintf(file->mode, sizeof file->mode, "%04o", file->record->mode);
        km_evidence_add_text(evidence, "mode", file->mode);
        km_evidence_add_integer(evidence, "uid", file->record->uid);
    }
    weigh_place(file);
}

static bool is_foreign(const struct km_case *file)
{
    return !file->record->is_known &&
           (file->match.state == KM_PACKAGE_UNOWNED || file->match.state == KM_PACKAGE_DIVERTED ||
            file->match.state == KM_PACKAGE_CHANGED);
}

/* What nobody can look into, and nobody vouches for. */
static void weigh_origin(struct km_case *file)
{
    enum km_packing packing = (enum km_packing)file->record->packing;
    if (packing != KM_PACKING_NONE && is_foreign(file))
        km_evidence_add_text(add_feature(file, KM_FEATURE_PACKED_FOREIGN, WEIGHT_PACKED_FOREIGN), "packing",
                             km_packing_to_string(packing));
    if (file->record->is_known && file->evidence_count > 0)
        (void)add_feature(file, KM_FEATURE_BASELINE_KNOWN, WEIGHT_BASELINE_KNOWN);
}

bool km_record_is_program(const struct km_record *record, const char *path)
{
    return km_fileformat_is_program((enum km_file_format)record->format, path);
}

bool km_case_open(struct km_case *file, const struct km_case_sources *sources, uint32_t id,
                  const struct km_place *place)
{
    *file = (struct km_case){.id = id, .place = *place, .log_odds = KM_JUDGE_PRIOR};
    file->record = km_contents_find(sources->contents, id, place->type);
    if (!file->record || file->record->is_skipped)
        return false;
    file->sha256 = km_records_sha256(sources->records, file->record);
    if (sources->packages && km_place_is_shown(place)) {
        km_package_find(sources->packages, place->path, file->record->complete ? file->record->md5 : NULL,
                        &file->match);
        if (file->match.package)
            snprintf(file->package, sizeof file->package, "%s %s", file->match.package->name,
                     file->match.package->version);
    }
    km_weighmodels_begin(file, sources);
    /* A hard link's content is reported once, under its target's name. */
    if (place->type == KM_ENTRY_FILE)
        weigh_identity(sources, file);
    weigh_name(file);
    weigh_package(file);
    weigh_program(file);
    weigh_origin(file);
    bool has_evidence = file->evidence_count > 0;
    km_weighmodels_add(file);
    return has_evidence || (file->fusion && km_case_score(file) >= KM_JUDGE_LEAST_SHOWN);
}

double km_case_score(const struct km_case *file)
{
    return 1 / (1 + exp(-file->log_odds));
}

enum km_verdict km_case_verdict(const struct km_case *file, double score)
{
    KM_ASSERT(file->record);
    if (file->record->is_eicar || file->record->is_listed)
        return KM_VERDICT_MALICIOUS;
    return score >= KM_JUDGE_SUSPICIOUS_THRESHOLD ? KM_VERDICT_SUSPICIOUS : KM_VERDICT_CLEAN;
}
