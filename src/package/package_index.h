/*
 * Inside of src/package: the finished view. package_build.c makes it from the records of a km_package_db,
 * package_view.c answers from it.
 */
#ifndef KM_PACKAGE_PACKAGE_INDEX_H
#define KM_PACKAGE_PACKAGE_INDEX_H

#include "package/dpkg.h"

struct km_package_entry {
    uint64_t key;  /* normalised: bit 0 cleared below the links of this image */
    uint32_t next; /* another owner of the same path, or KM_DPKG_NONE */
    uint32_t package;
    uint32_t flags;
    uint8_t md5[16];
};

struct km_package_view {
    struct km_package_summary summary;
    char reason[KM_ERR_TEXT_BYTES];
    struct km_package_db key;     /* the hash key and the aliases only */
    struct km_package_db *lender; /* of names and of the memory limit; NULL when the view owns all it has */
    char *names;
    struct km_package_info *packages;
    size_t package_count, package_capacity;
    struct km_package_entry *entries;
    size_t entry_count, entry_capacity;
    uint32_t *slots; /* open addressing: index of the first owner, or KM_DPKG_NONE */
    size_t slot_count, slot_capacity;
    struct km_dpkg_diversion *by_from; /* sorted by the name as written: dpkg compares names, not files */
    struct km_dpkg_diversion *by_to;   /* sorted by the normalised new name, which `to` is here */
    size_t diversion_count, from_capacity, to_capacity;
    uint64_t *links; /* of alternatives; normalised, sorted */
    size_t link_count, link_capacity;
};

/* A key as this image compares it. */
uint64_t km_package_normalise(const struct km_package_view *view, uint64_t key);

/* The key as the database wrote it. */
uint64_t km_package_entry_raw_key(const struct km_package_entry *entry);

/* The slot of a normalised key, or the empty one where it would be. */
uint32_t *km_package_find_slot(const struct km_package_view *view, uint64_t key);

/* For qsort and bsearch of uint64_t. */
int km_package_compare_keys(const void *a, const void *b);

#endif
