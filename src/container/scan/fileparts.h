/*
 * Where one file ends and another begins, in bytes that are scanned as one file: programs with something appended to
 * them, scripts in front of programs, programs one behind the other. An ELF file states its own extent (program
 * headers, section headers, and the tables of both); what lies behind it is no part of it. Elsewhere the head of an ELF
 * file begins a part, and so does an interpreter line behind a line's end.
 *
 * Headers are hostile. An extent may claim what follows, so that parts only ever add to what the file is judged by as a
 * whole. A part is at least KM_FILEPART_LEAST_BYTES long: what is shorter belongs to the one before it.
 */
#ifndef KM_CONTAINER_SCAN_FILEPARTS_H
#define KM_CONTAINER_SCAN_FILEPARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KM_FILEPART_LEAST_BYTES ((size_t)1024)

/* The part that begins at `begin` (0, or the end of the part before it): *out_end. True: it ends there. False: it goes
 * on to the end of the bytes, and behind it if the file does; *out_end is `length`. begin is below length. */
bool km_filepart_find_end(const uint8_t *bytes, size_t length, size_t begin, size_t *out_end);

/* The extent that an ELF file states of itself, if one begins here: with all that its headers name. 0: none does. A
 * section header table that lies behind `length` counts by its place alone. */
uint64_t km_filepart_elf_extent(const uint8_t *bytes, size_t length);

#endif
