/*
 * Whether a file looks packed, told from its bytes as they stream by: a fact about the format, no judgement. With
 * "foreign" it becomes evidence; alone it is common enough in honest files.
 *
 * What counts (rates on benign files are in the README): "UPX!" in an ELF's loader; code of an ELF whose byte entropy
 * is above 7.2 bits; a script of which more than a tenth is bytes from 0x80 on that are no UTF-8 text, or that is
 * followed by compressed data.
 *
 * Embedded in the caller's storage: km_packing_init, km_packing_feed in order, km_packing_end; no allocation, 7 KiB.
 * Whole files only: a file of which bytes are missing has no packing.
 */
#ifndef KM_CONTAINER_SCAN_PACKING_H
#define KM_CONTAINER_SCAN_PACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values are stored. */
enum km_packing {
    KM_PACKING_NONE = 0,
    KM_PACKING_UPX = 1,     /* an ELF that UPX packed, also when its magic was overwritten */
    KM_PACKING_ENTROPY = 2, /* an ELF whose executable segments are nearly random */
    KM_PACKING_SCRIPT = 3,  /* a script that carries binary data: gzexe, self-extractors */
    KM_PACKING_APPENDED =
        4, /* an ELF with more than a tenth of nearly random bytes behind its end: AppImage and others */
};

#define KM_PACKING_HEAD_BYTES     2048 /* the ELF header, program headers and UPX's own are looked for in here */
#define KM_PACKING_MAX_SEGMENTS   8
#define KM_PACKING_MIN_CODE_BYTES 4096 /* of code; entropy of less says nothing */

struct km_packing_tally {
    uint64_t counts[256]; /* of each byte value */
    uint64_t total;
};

struct km_packing_state {
    uint64_t size;
    uint64_t high;                                 /* bytes from 0x80 on that are not part of UTF-8 */
    uint64_t offset;                               /* of the next byte */
    struct km_packing_tally code, tail;            /* of executable segments, and of what is behind the end */
    uint64_t segments[KM_PACKING_MAX_SEGMENTS][2]; /* file ranges of executable segments */
    unsigned segment_count;
    uint64_t elf_end;              /* end of what the ELF's headers describe */
    unsigned utf8_left, utf8_held; /* of a character: bytes to come, and bytes seen */
    bool is_elf, is_script, is_upx, known;
    uint8_t last[36]; /* the newest bytes: at the end, UPX signs */
    uint32_t last_bytes;
    uint32_t head_bytes;
    uint8_t head[KM_PACKING_HEAD_BYTES];
};

/* `size` is the file's, or UINT64_MAX when it is not known. */
void km_packing_init(struct km_packing_state *state, uint64_t size);

/* The next bytes. bytes NULL: a hole (zeros) of `length`. Costs nothing but the look at a head for files that are
 * neither ELF nor script. */
void km_packing_feed(struct km_packing_state *state, const void *bytes, uint64_t length);

/* After the last byte. */
enum km_packing km_packing_end(struct km_packing_state *state);

/* "none", "upx", "entropy", "script", "appended". Static storage. */
const char *km_packing_to_string(enum km_packing packing);

#endif
