/*
 * What a run of bytes is, told by its first bytes and nothing else. Names are never asked: an enemy chooses them.
 */
#ifndef KM_CONTAINER_SOURCE_SNIFF_H
#define KM_CONTAINER_SOURCE_SNIFF_H

#include <stddef.h>
#include <stdint.h>

enum km_content {
    KM_CONTENT_PLAIN = 0, /* nothing that this module opens */
    KM_CONTENT_TAR = 1,
    KM_CONTENT_GZIP = 2,
    KM_CONTENT_ZSTD = 3,
    KM_CONTENT_XZ = 4,
    KM_CONTENT_BZIP2 = 5,
    KM_CONTENT_ZIP = 6,
    KM_CONTENT_AR = 7, /* .deb and static libraries */
    KM_CONTENT_CPIO = 8,
    KM_CONTENT_ENCRYPTED = 9,    /* says of itself that it is encrypted: LUKS, age, OpenPGP, openssl enc */
    KM_CONTENT_UNSUPPORTED = 10, /* an archive or compressed file that is not opened: 7z, rar, cab, rpm, lz4, … */
};

/* How many bytes km_sniff wants to see; with fewer, it says what it can. */
#define KM_SNIFF_BYTES ((size_t)512)

enum km_content km_sniff(const uint8_t *bytes, size_t length);

/* "gzip", "zip", …; for encrypted and unsupported content the name of the format that `bytes` begin with. Static. */
const char *km_sniff_name(const uint8_t *bytes, size_t length);

#endif
