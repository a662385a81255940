#include "container/scan/records.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define CHUNK_RECORDS 4096U
#define MAX_CHUNKS    (1U << 14)
#define MAX_HASHES    ((size_t)1 << 22)

struct km_records {
    struct km_record **chunks;
    size_t chunk_count, chunk_capacity;
    uint8_t (*hashes)[KM_SHA256_BYTES];
    size_t hash_count, hash_capacity;
};

struct km_records *km_records_new(struct km_err *err)
{
    return km_calloc(1, sizeof(struct km_records), sizeof(struct km_records), err);
}

void km_records_free(struct km_records *records)
{
    if (!records)
        return;
    for (size_t i = 0; i < records->chunk_count; i++)
        free(records->chunks[i]);
    free(records->chunks);
    free(records->hashes);
    free(records);
}

struct km_record *km_records_touch(struct km_records *records, uint32_t id, struct km_err *err)
{
    size_t chunk = id / CHUNK_RECORDS;
    if (chunk >= records->chunk_count) {
        void *chunks = records->chunks;
        enum km_code code = km_grow(&chunks, &records->chunk_capacity, chunk + 1, sizeof(void *), MAX_CHUNKS, err);
        records->chunks = chunks;
        if (code != KM_OK)
            return NULL;
        while (records->chunk_count <= chunk)
            records->chunks[records->chunk_count++] = NULL;
    }
    if (!records->chunks[chunk])
        records->chunks[chunk] = km_calloc(CHUNK_RECORDS, sizeof(struct km_record), SIZE_MAX, err);
    return records->chunks[chunk] ? &records->chunks[chunk][id % CHUNK_RECORDS] : NULL;
}

const struct km_record *km_records_find(const struct km_records *records, uint32_t id)
{
    size_t chunk = id / CHUNK_RECORDS;
    if (chunk >= records->chunk_count || !records->chunks[chunk])
        return NULL;
    return &records->chunks[chunk][id % CHUNK_RECORDS];
}

enum km_code km_records_keep_sha256(struct km_records *records, struct km_record *record,
                                    const uint8_t sha256[KM_SHA256_BYTES], struct km_err *err)
{
    void *hashes = records->hashes;
    enum km_code code =
        km_grow(&hashes, &records->hash_capacity, records->hash_count + 1, sizeof *records->hashes, MAX_HASHES, err);
    records->hashes = hashes;
    if (code != KM_OK)
        return code;
    memcpy(records->hashes[records->hash_count++], sha256, KM_SHA256_BYTES);
    record->sha256 = (uint32_t)records->hash_count;
    return KM_OK;
}

const uint8_t *km_records_sha256(const struct km_records *records, const struct km_record *record)
{
    return record->sha256 ? records->hashes[record->sha256 - 1] : NULL;
}
