/*
 * Message digests of byte streams (OpenSSL's libcrypto): SHA-256 for identity, MD5 only because dpkg's checksums are
 * MD5, SHA-1 only because UUIDs of version 5 are made with it. A km_digest is created once and reused: reset, update,
 * finish. Not thread-safe; one per worker.
 */
#ifndef KM_BASE_DIGEST_H
#define KM_BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_SHA256_BYTES     32
#define KM_MD5_BYTES        16
#define KM_SHA1_BYTES       20
#define KM_DIGEST_MAX_BYTES 32
#define KM_SHA256_HEX_BYTES 65 /* with the NUL */

enum km_digest_kind {
    KM_DIGEST_SHA256 = 0,
    KM_DIGEST_MD5 = 1,
    KM_DIGEST_SHA1 = 2,
};

struct km_digest;

/* A digest ready for updates. NULL with *err set: KM_NOMEM, KM_UNSUPPORTED (a FIPS build without MD5). */
struct km_digest *km_digest_new(enum km_digest_kind kind, struct km_err *err) KM_MUST_USE;
void km_digest_free(struct km_digest *digest);

void km_digest_reset(struct km_digest *digest);
void km_digest_update(struct km_digest *digest, const void *bytes, size_t length);

/* Writes 32 (SHA-256), 20 (SHA-1) or 16 (MD5) bytes to out; km_digest_reset before the next update. */
void km_digest_finish(struct km_digest *digest, uint8_t *out);

/* Of bytes that are all there. The codes of km_digest_new. */
enum km_code km_digest_sha256(const void *bytes, size_t length, uint8_t out[KM_SHA256_BYTES],
                              struct km_err *err) KM_MUST_USE;

/* Lower-case hexadecimal of bytes[0..length); out holds 2 * length + 1. */
void km_hex_format(const uint8_t *bytes, size_t length, char *out);

/* Reads exactly 2 * length hexadecimal digits of either case. KM_FORMAT otherwise; text need not end there. */
enum km_code km_hex_parse(const char *text, size_t length, uint8_t *out, struct km_err *err) KM_MUST_USE;

#endif
