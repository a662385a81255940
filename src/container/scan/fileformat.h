/*
 * What a file is, by its first bytes.
 */
#ifndef KM_CONTAINER_SCAN_FILEFORMAT_H
#define KM_CONTAINER_SCAN_FILEFORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Enough of a file's head for every function here. */
#define KM_FILEFORMAT_HEAD_BYTES 160

enum km_file_format {
    KM_FORMAT_DATA = 0,
    KM_FORMAT_ELF_PROGRAM = 1, /* ET_EXEC, or ET_DYN (position-independent programs and shared objects alike) */
    KM_FORMAT_ELF_OBJECT = 2,  /* relocatable: kernel modules, *.o */
    KM_FORMAT_SCRIPT = 3,      /* starts with "#!" */
    KM_FORMAT_PE = 4,          /* Windows program */
};

/* head holds min(size of the file, KM_FILEFORMAT_HEAD_BYTES) bytes. */
enum km_file_format km_fileformat_detect(const uint8_t *head, size_t length);

/* "ELF", "ELF object", "script", "PE", or NULL for data. Static storage. */
const char *km_fileformat_name(enum km_file_format format);

/* Programs, libraries and scripts; these by the suffix of their name, too. */
bool km_fileformat_is_program(enum km_file_format format, const char *path);

/* Whether the name is that of code that needs no "#!": ".py", ".pm", ".js", … */
bool km_fileformat_has_code_suffix(const char *path);

/* Whether a file of `size` bytes is the EICAR test file: its 68 characters, then at most 60 of space, tab, line feed,
 * carriage return and control-Z (www.eicar.org, "Anti-malware testfile", 2006). */
bool km_fileformat_is_eicar(const uint8_t *head, size_t length, uint64_t size);

#endif
