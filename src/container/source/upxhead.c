#include "container/source/upxhead.h"

#include <string.h>

#include "container/source/elfhead.h"

#define ELF_HEADER_32   52
#define ELF_HEADER_64   64
#define MAX_SEGMENTS    8 /* its loaders have two to four */
#define L_INFO_BYTES    12
#define P_INFO_BYTES    12
#define MIN_BLOCK_BYTES 512u
#define MAX_FILTER      0xd0u /* above it no filter has a number */

static uint32_t get32(const uint8_t *bytes, bool big_endian)
{
    return (uint32_t)km_elfhead_number(bytes, 4, big_endian);
}

struct km_upx_block km_upxhead_read_block(const uint8_t bytes[KM_UPX_BLOCK_BYTES], bool big_endian)
{
    return (struct km_upx_block){.unpacked_bytes = get32(bytes, big_endian),
                                 .packed_bytes = get32(bytes + 4, big_endian),
                                 .method = bytes[8],
                                 .filter = bytes[9],
                                 .parameter = bytes[10]};
}

static bool known_method(uint8_t method)
{
    return method == KM_UPX_NRV2B || method == KM_UPX_NRV2D || method == KM_UPX_NRV2E || method == KM_UPX_LZMA;
}

/* The first block holds the original's ELF header and program headers. */
static bool plausible(const struct km_upx_head *head, const struct km_upx_block *first)
{
    size_t least = head->is_64 ? ELF_HEADER_64 : ELF_HEADER_32;
    return first->unpacked_bytes >= least && first->unpacked_bytes <= head->block_bytes &&
           first->unpacked_bytes <= head->original_bytes && first->packed_bytes > 0 &&
           first->packed_bytes <= first->unpacked_bytes && known_method(first->method) && first->filter <= MAX_FILTER &&
           head->block_bytes >= MIN_BLOCK_BYTES;
}

bool km_upxhead_find(const uint8_t *head, size_t length, struct km_upx_head *out)
{
    struct km_elfhead elf;
    if (length < ELF_HEADER_64 || !km_elfhead_read(head, length, &elf) || head[4] < 1 || head[4] > 2 || head[5] < 1 ||
        head[5] > 2)
        return false;
    struct km_upx_head found = {.is_64 = elf.is_64, .big_endian = elf.big_endian};
    found.machine = (uint16_t)km_elfhead_number(head + 18, 2, found.big_endian);
    size_t segments = elf.program_count;
    if (segments < 1 || segments > MAX_SEGMENTS)
        return false;
    size_t at = elf.header_bytes + segments * elf.least_program_bytes;
    if (length < at + L_INFO_BYTES + P_INFO_BYTES + KM_UPX_BLOCK_BYTES)
        return false;
    found.has_magic = memcmp(head + at + 4, "UPX!", 4) == 0;
    at += L_INFO_BYTES;
    found.original_bytes = get32(head + at + 4, found.big_endian);
    found.block_bytes = get32(head + at + 8, found.big_endian);
    found.blocks_at = at + P_INFO_BYTES;
    struct km_upx_block first = km_upxhead_read_block(head + found.blocks_at, found.big_endian);
    if (!found.has_magic && !plausible(&found, &first))
        return false;
    *out = found;
    return true;
}

/* "UPX!", version, format (from 128 on: high byte first), method, level, …, four bytes of offset. */
bool km_upxhead_ends(const uint8_t *last, size_t length)
{
    if (length < KM_UPXHEAD_LAST_BYTES)
        return false;
    const uint8_t *trailer = last + length - KM_UPXHEAD_LAST_BYTES;
    return memcmp(trailer, "UPX!", 4) == 0 && trailer[4] >= 10 && trailer[4] < 64 && known_method(trailer[6]);
}
