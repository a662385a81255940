/*
 * The few PAX records that move or rename a member, collected from an extended header as Python's tarfile does: a
 * repeated keyword takes the new value and keeps its place in the order. Values stay in the archive; the table holds
 * where. Plain data: copying a table copies its state.
 */
#ifndef KM_CONTAINER_IMAGING_PAXRECORD_H
#define KM_CONTAINER_IMAGING_PAXRECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum km_paxrecord_key {
    KM_PAXRECORD_PATH = 0,
    KM_PAXRECORD_SIZE = 1,
    KM_PAXRECORD_SPARSE_NAME = 2,
    KM_PAXRECORD_SPARSE_SIZE = 3,
    KM_PAXRECORD_SPARSE_REALSIZE = 4,
    KM_PAXRECORD_SPARSE_MAP = 5,
    KM_PAXRECORD_SPARSE_MAJOR = 6,
    KM_PAXRECORD_SPARSE_MINOR = 7,
};
#define KM_PAXRECORD_KEYS 8

struct km_paxrecord {
    unsigned order;  /* 1, 2, … by first appearance; 0: absent */
    uint64_t offset; /* of the value in the archive */
    uint64_t length;
    int64_t number; /* the value, if it is one; 0 when it is not */
};

struct km_paxrecord_table {
    struct km_paxrecord records[KM_PAXRECORD_KEYS];
    unsigned count;
};

/* The key of a keyword; false when it is none of ours. */
bool km_paxrecord_find_key(const char *keyword, size_t length, enum km_paxrecord_key *out_key);

/* Takes a record in. `value` may be a beginning of the value; numbers need all of it. */
void km_paxrecord_set(struct km_paxrecord_table *table, enum km_paxrecord_key key, uint64_t offset, uint64_t length,
                      const char *value, size_t available);

/* The record that decides, or NULL: of the two names, of the three sizes, the later in order. */
const struct km_paxrecord *km_paxrecord_find_name(const struct km_paxrecord_table *table, bool *out_strip_slashes);
const struct km_paxrecord *km_paxrecord_find_size(const struct km_paxrecord_table *table);

/* Whether a sparse map precedes the data (GNU sparse format 1.0). */
bool km_paxrecord_has_sparse_map_in_data(const struct km_paxrecord_table *table);

#endif
