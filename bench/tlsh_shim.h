/*
 * TLSH (a C++ library) for the C of the bench: distances between files by their locality-sensitive hashes.
 */
#ifndef KM_BENCH_TLSH_SHIM_H
#define KM_BENCH_TLSH_SHIM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* NULL for files that are too short or too plain for a hash. */
void *km_tlsh_new(const unsigned char *bytes, size_t length);
void km_tlsh_free(void *hash);
/* 0: alike; larger: less so. */
int km_tlsh_distance(const void *a, const void *b);

#ifdef __cplusplus
}
#endif

#endif
