/*
 * The dynamic symbols of an ELF file of which only the beginning is at hand. Hostile input: every offset is checked,
 * at most KM_ELF_MAX_SYMBOLS symbols and KM_ELF_MAX_LOADS segments are looked at, names are at most
 * KM_ELF_NAME_BYTES long. Own reader: the libraries want whole files.
 */
#ifndef KM_CONTAINER_TOKENS_ELFSYMBOLS_H
#define KM_CONTAINER_TOKENS_ELFSYMBOLS_H

#include "container/tokens/tokens.h"

#define KM_ELF_MAX_SYMBOLS   65536u
#define KM_ELF_MAX_LOADS     16u
#define KM_ELF_NAME_BYTES    256u
#define KM_ELF_DYNAMIC_BYTES 16384u /* of the dynamic segment */
#define KM_ELF_HEADERS_BYTES 4096u  /* the file header and program headers lie in so many bytes */

struct km_elf {
    bool wide, big; /* 64 bit; big endian */
    uint64_t dynamic_offset;
    uint32_t dynamic_bytes; /* 1 .. KM_ELF_DYNAMIC_BYTES */
    uint32_t load_count;
    struct km_elf_load {
        uint64_t address, offset, bytes;
    } loads[KM_ELF_MAX_LOADS];
};

/* Reads the headers. False: no ELF file, no dynamic segment, or headers that lie outside what is here. */
bool km_elf_read_headers(const uint8_t *head, size_t length, struct km_elf *out);

struct km_elf_names {
    void *context;
    /* The name is head[offset .. offset + length). */
    void (*name)(void *context, enum km_token_kind kind, size_t offset, size_t length);
};

/* Tells imports, exports and needed libraries. head: the file's first `length` bytes; dynamic: the dynamic segment as
 * far as it was there. */
enum km_token_symbols km_elf_read_symbols(const struct km_elf *elf, const uint8_t *head, size_t length,
                                          const uint8_t *dynamic, size_t dynamic_length,
                                          const struct km_elf_names *names);

#endif
