/*
 * The scan's ears while a source is read: hashes every file, looks at its head, feeds the package database,
 * passes gaps on. What it learns is read at the end by judge.h.
 */
#ifndef KM_CONTAINER_SCAN_EXAMINE_H
#define KM_CONTAINER_SCAN_EXAMINE_H

#include "base/err.h"
#include "container/imaging/mosaic.h"
#include "container/scan/baseline.h"
#include "container/scan/hashlist.h"
#include "container/scan/links.h"
#include "container/scan/pipeline.h"
#include "container/scan/policy.h"
#include "container/scan/records.h"
#include "container/source/source.h"
#include "finding/sink.h"
#include "package/package.h"

struct km_examine_options {
    const struct km_hashlist *hashes;   /* sealed, or NULL */
    const struct km_sink *sink;         /* for gaps */
    struct km_mosaic *mosaic;           /* fed with every file of a layer, or NULL */
    const struct km_baseline *baseline; /* or NULL */
    const struct km_policy *policy;     /* or NULL */
    const struct km_detector *detector; /* or NULL: nothing is scored */
    struct km_segcache *cache;          /* of the detector's scores, or NULL */
    unsigned jobs;                      /* workers, when there is a detector: 1..KM_PIPELINE_MAX_JOBS */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total); /* or NULL */
    void *progress_context;
};

struct km_examine;

/* NULL with *err set: KM_NOMEM, KM_IO, KM_UNSUPPORTED (no MD5 in the cryptographic library). options is borrowed. */
struct km_examine *km_examine_new(const struct km_examine_options *options, struct km_err *err) KM_MUST_USE;
void km_examine_free(struct km_examine *examine);

/* After the source was read, also when that failed: waits for the workers. KM_NOMEM, KM_IO of the detector; what was
 * scored stays valid. */
enum km_code km_examine_finish(struct km_examine *examine, struct km_err *err) KM_MUST_USE;

/* For km_source_run; borrowed from examine. */
const struct km_entry_sink *km_examine_sink(const struct km_examine *examine);

const struct km_records *km_examine_records(const struct km_examine *examine);
/* How many gaps it gave to the sink beside those of the source: files that could not be compared with the hashes. */
uint64_t km_examine_gaps(const struct km_examine *examine);
/* Bytes of files of layers that the policy kept from being examined, and how many such files. */
struct km_examine_left_out {
    uint64_t bytes, files;
};
struct km_examine_left_out km_examine_left_out(const struct km_examine *examine);
/* The scores, or NULL without a detector; after km_examine_finish. */
const struct km_pipeline *km_examine_pipeline(const struct km_examine *examine);
struct km_package_db *km_examine_packages(struct km_examine *examine);
/* The database file with a record's package_file number, or NULL for 0. */
struct km_package_file *km_examine_package_file(const struct km_examine *examine, uint32_t number);

size_t km_examine_package_file_count(const struct km_examine *examine);

const struct km_links *km_examine_links(const struct km_examine *examine);

#endif
