/*
 * A keyed 64-bit hash for tables whose keys an enemy may choose: SipHash-2-4 (J.-P. Aumasson, D. J. Bernstein,
 * "SipHash: a fast short-input PRF", INDOCRYPT 2012). Without the key, collisions cannot be built. Our own 40 lines,
 * since libcrypto's costs a context object a call.
 */
#ifndef KM_PACKAGE_SIPHASH_H
#define KM_PACKAGE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define KM_SIPHASH_KEY_BYTES 16

uint64_t km_siphash(const uint8_t key[KM_SIPHASH_KEY_BYTES], const void *bytes, size_t length);

#endif
