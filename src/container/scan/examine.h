/*
 * The scan's ears while a source is read: hashes every file, looks at its head, feeds the package database,
 * passes gaps on. What it learns is read at the end by judge.h.
 */
#ifndef KM_CONTAINER_SCAN_EXAMINE_H
#define KM_CONTAINER_SCAN_EXAMINE_H

#include "base/err.h"
#include "container/imaging/mosaic.h"
#include "container/scan/hashlist.h"
#include "container/scan/records.h"
#include "container/source/source.h"
#include "finding/sink.h"
#include "package/package.h"

struct km_examine_options {
    const struct km_hashlist *hashes; /* sealed, or NULL */
    const struct km_sink *sink;       /* for gaps */
    struct km_mosaic *mosaic;         /* fed with every file of a layer, or NULL */
    void (*progress)(void *context, uint64_t bytes_read, uint64_t bytes_total); /* or NULL */
    void *progress_context;
};

struct km_examine;

/* NULL with *err set: KM_NOMEM, KM_IO, KM_UNSUPPORTED (no MD5 in the cryptographic library). options is borrowed. */
struct km_examine *km_examine_new(const struct km_examine_options *options, struct km_err *err) KM_MUST_USE;
void km_examine_free(struct km_examine *examine);

/* For km_source_run; borrowed from examine. */
const struct km_entry_sink *km_examine_sink(const struct km_examine *examine);

const struct km_records *km_examine_records(const struct km_examine *examine);
/* How many gaps it gave to the sink beside those of the source: files that could not be compared with the hashes. */
uint64_t km_examine_gaps(const struct km_examine *examine);
struct km_package_db *km_examine_packages(struct km_examine *examine);
/* The database file with a record's package_file number, or NULL for 0. */
struct km_package_file *km_examine_package_file(const struct km_examine *examine, uint32_t number);

size_t km_examine_package_file_count(const struct km_examine *examine);

/* Hard links of layers, and symbolic links at the top of a file system. */
struct km_examine_link {
    uint32_t id;
    uint32_t blob;
    enum km_entry_type type;
    const char *target; /* as stored */
};
size_t km_examine_links(const struct km_examine *examine, const struct km_examine_link **out_links);

#endif
