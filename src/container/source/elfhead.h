/*
 * An ELF file's header and program headers, as far as packers and payloads need them: hostile numbers, unchecked but
 * for where they stand. Nothing here allocates or fails otherwise than by false.
 */
#ifndef KM_CONTAINER_SOURCE_ELFHEAD_H
#define KM_CONTAINER_SOURCE_ELFHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KM_ELFHEAD_LOAD    1 /* type of a program header: a segment to map */
#define KM_ELFHEAD_EXECUTE 1 /* flag of one */

struct km_elfhead {
    bool is_64, big_endian;
    size_t header_bytes, least_program_bytes; /* by the class, not as the file says */
    uint64_t program_at, section_at;
    uint16_t program_bytes, program_count, section_bytes, section_count;
};

struct km_elfhead_program {
    uint32_t type, flags;
    uint64_t begin, bytes, end; /* in the file; the end saturates */
};

/* False: not ELF, or `length` is less than the header. */
bool km_elfhead_read(const uint8_t *head, size_t length, struct km_elfhead *out);

/* Program header i of a file whose first `length` bytes are at head. False: there is none, it is not whole in these
 * bytes, or the file says they are smaller than they are. */
bool km_elfhead_program(const struct km_elfhead *elf, const uint8_t *head, size_t length, size_t i,
                        struct km_elfhead_program *out);

/* Where the section headers end, saturating; 0: the file names none. */
uint64_t km_elfhead_sections_end(const struct km_elfhead *elf);

/* An unsigned number of up to 8 bytes. */
uint64_t km_elfhead_number(const uint8_t *bytes, size_t length, bool big_endian);

/* a + b, or UINT64_MAX. */
uint64_t km_elfhead_sum(uint64_t a, uint64_t b);

#endif
