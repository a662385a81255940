/*
 * How to tell an ELF that UPX packed, from its first bytes. UPX leaves behind the program headers of its loader
 *     l_info  checksum, "UPX!", size of the loader, version, format     12 bytes
 *     p_info  program id, size of the original file, block size         12 bytes
 *     b_info  size unpacked, size packed, method, filter, parameter     12 bytes, then so many packed bytes; repeated
 * in the file's byte order. All but "UPX!" is needed by the loader itself, so whoever overwrites the name alone is
 * recognised by the rest.
 */
#ifndef KM_CONTAINER_SOURCE_UPXHEAD_H
#define KM_CONTAINER_SOURCE_UPXHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough of a file's head for km_upxhead_find. */
#define KM_UPXHEAD_BYTES ((size_t)2048)

enum km_upx_method {
    KM_UPX_STORED = 0,
    KM_UPX_NRV2B = 2, /* the values that mean words of 32 bits, low end first: what ELF programs use */
    KM_UPX_NRV2D = 5,
    KM_UPX_NRV2E = 8,
    KM_UPX_LZMA = 14,
};

struct km_upx_block {
    uint32_t unpacked_bytes, packed_bytes;
    uint8_t method; /* enum km_upx_method, or something else */
    uint8_t filter; /* 0: none */
    uint8_t parameter;
};
#define KM_UPX_BLOCK_BYTES 12

struct km_upx_head {
    bool has_magic; /* "UPX!" is where it belongs */
    bool big_endian, is_64;
    uint16_t machine;        /* e_machine */
    uint32_t original_bytes; /* of the whole file before packing */
    uint32_t block_bytes;    /* no block unpacks to more */
    size_t blocks_at;        /* offset of the first b_info */
};

/* True when head[0..length) begins such an ELF; *out is then set. Without "UPX!", sizes and method must fit. */
bool km_upxhead_find(const uint8_t *head, size_t length, struct km_upx_head *out);

/* True when a file that ends with last[0..length) has UPX's name and own header at its end, as all that it packs. */
#define KM_UPXHEAD_LAST_BYTES ((size_t)36)
bool km_upxhead_ends(const uint8_t *last, size_t length);

/* One b_info: 12 bytes. */
struct km_upx_block km_upxhead_read_block(const uint8_t bytes[KM_UPX_BLOCK_BYTES], bool big_endian);

#endif
