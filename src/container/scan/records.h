/*
 * What the scan keeps about each regular file until the end, when the layout is known: one compact record per entry
 * id, in chunks, so that growing never copies; and the SHA-256 of the few files that may become findings.
 */
#ifndef KM_CONTAINER_SCAN_RECORDS_H
#define KM_CONTAINER_SCAN_RECORDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"

struct km_package_file;

struct km_record {
    uint64_t size; /* bytes delivered */
    uint32_t uid;
    uint16_t mode;  /* permission bits with setuid, setgid, sticky */
    uint8_t format; /* enum km_file_format */
    bool complete;  /* delivered to its last byte */
    bool is_eicar;
    bool is_listed;         /* its SHA-256 is on a hash list */
    bool is_known;          /* the site's baseline has its SHA-256 */
    bool has_odd_name;      /* km_entry's */
    bool is_skipped;        /* the policy says: not to be judged */
    uint8_t packing;        /* enum km_packing; of complete files */
    uint32_t sha256;        /* index + 1 into the kept hashes; 0: not kept */
    uint32_t picture_entry; /* number in the mosaic; meaningful when there is one, at depth 0 */
    uint32_t package_file;  /* index + 1 into the database files; 0: none */
    uint8_t md5[KM_MD5_BYTES];
};

struct km_records;

struct km_records *km_records_new(struct km_err *err) KM_MUST_USE;
void km_records_free(struct km_records *records);

/* The record of entry `id`, zeroed when it is new; NULL with *err set: KM_NOMEM, KM_LIMIT (id >= 2^26). The pointer
 * stays valid until km_records_free. */
struct km_record *km_records_touch(struct km_records *records, uint32_t id, struct km_err *err) KM_MUST_USE;

/* The record of entry `id`, or NULL when it was never touched with its neighbours (then it is no regular file). */
const struct km_record *km_records_find(const struct km_records *records, uint32_t id);

/* Keeps a hash and sets record->sha256. KM_NOMEM, KM_LIMIT (2^22 hashes). */
enum km_code km_records_keep_sha256(struct km_records *records, struct km_record *record,
                                    const uint8_t sha256[KM_SHA256_BYTES], struct km_err *err) KM_MUST_USE;
const uint8_t *km_records_sha256(const struct km_records *records, const struct km_record *record);

#endif
