#include "container/imaging/paxrecord.h"

#include <string.h>

#include "container/imaging/tarheader.h"

static const char *const keywords[KM_PAXRECORD_KEYS] = {
    [KM_PAXRECORD_PATH] = "path",
    [KM_PAXRECORD_SIZE] = "size",
    [KM_PAXRECORD_SPARSE_NAME] = "GNU.sparse.name",
    [KM_PAXRECORD_SPARSE_SIZE] = "GNU.sparse.size",
    [KM_PAXRECORD_SPARSE_REALSIZE] = "GNU.sparse.realsize",
    [KM_PAXRECORD_SPARSE_MAP] = "GNU.sparse.map",
    [KM_PAXRECORD_SPARSE_MAJOR] = "GNU.sparse.major",
    [KM_PAXRECORD_SPARSE_MINOR] = "GNU.sparse.minor",
};

bool km_paxrecord_find_key(const char *keyword, size_t length, enum km_paxrecord_key *out_key)
{
    for (size_t key = 0; key < KM_PAXRECORD_KEYS; key++) {
        if (strlen(keywords[key]) == length && memcmp(keywords[key], keyword, length) == 0) {
            *out_key = (enum km_paxrecord_key)key;
            return true;
        }
    }
    return false;
}

void km_paxrecord_set(struct km_paxrecord_table *table, enum km_paxrecord_key key, uint64_t offset, uint64_t length,
                      const char *value, size_t available)
{
    struct km_paxrecord *record = &table->records[key];
    if (record->order == 0)
        record->order = ++table->count;
    record->offset = offset;
    record->length = length;
    if (available < length || !km_tarheader_parse_integer(value, (size_t)length, 10, &record->number))
        record->number = 0;
}

static const struct km_paxrecord *later(const struct km_paxrecord *a, const struct km_paxrecord *b)
{
    return b->order > a->order ? b : a;
}

const struct km_paxrecord *km_paxrecord_find_name(const struct km_paxrecord_table *table, bool *out_strip_slashes)
{
    const struct km_paxrecord *path = &table->records[KM_PAXRECORD_PATH];
    const struct km_paxrecord *name = later(path, &table->records[KM_PAXRECORD_SPARSE_NAME]);
    if (name->order == 0)
        return NULL;
    *out_strip_slashes = name == path;
    return name;
}

const struct km_paxrecord *km_paxrecord_find_size(const struct km_paxrecord_table *table)
{
    const struct km_paxrecord *size =
        later(&table->records[KM_PAXRECORD_SIZE],
              later(&table->records[KM_PAXRECORD_SPARSE_SIZE], &table->records[KM_PAXRECORD_SPARSE_REALSIZE]));
    return size->order != 0 ? size : NULL;
}

bool km_paxrecord_has_sparse_map_in_data(const struct km_paxrecord_table *table)
{
    const struct km_paxrecord *records = table->records;
    const struct km_paxrecord *major = &records[KM_PAXRECORD_SPARSE_MAJOR];
    const struct km_paxrecord *minor = &records[KM_PAXRECORD_SPARSE_MINOR];
    return records[KM_PAXRECORD_SPARSE_MAP].order == 0 && records[KM_PAXRECORD_SPARSE_SIZE].order == 0 &&
           major->order != 0 && major->length == 1 && major->number == 1 && minor->order != 0 && minor->length == 1 &&
           minor->number == 0;
}
