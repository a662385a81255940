/*
 * A keyed hash (SipHash-2-4) for tables whose keys an enemy chooses: without the key, which is drawn per process,
 * nobody can prepare names that all fall into one slot. Not a message digest and never stored.
 */
#ifndef KM_BASE_KEYHASH_H
#define KM_BASE_KEYHASH_H

#include <stddef.h>
#include <stdint.h>

struct km_keyhash {
    uint64_t k0, k1;
};

/* A key from the random bytes that the kernel gives every process at its start. Cannot fail, needs no system call. */
void km_keyhash_init(struct km_keyhash *key);

uint64_t km_keyhash_bytes(const struct km_keyhash *key, const void *bytes, size_t length);

#endif
