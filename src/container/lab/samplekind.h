/*
 * What of a package becomes a sample: programs, shared objects and scripts of 1 KiB and more, but no documentation,
 * manual pages, tests or examples. Paths choose; they are never a feature.
 */
#ifndef KM_CONTAINER_LAB_SAMPLEKIND_H
#define KM_CONTAINER_LAB_SAMPLEKIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_SAMPLE_MIN_BYTES ((uint64_t)1024)
#define KM_SAMPLE_MAX_BYTES ((uint64_t)16 << 20)

enum km_sample_kind {
    KM_SAMPLE_NONE = 0, /* no sample */
    KM_SAMPLE_PROGRAM = 1,
    KM_SAMPLE_LIBRARY = 2,
    KM_SAMPLE_PYTHON = 3,
    KM_SAMPLE_PERL = 4,
    KM_SAMPLE_SHELL = 5,
    KM_SAMPLE_RUBY = 6,
    KM_SAMPLE_PHP = 7,
    KM_SAMPLE_LUA = 8,
    KM_SAMPLE_JAVASCRIPT = 9,
    KM_SAMPLE_TCL = 10,
    KM_SAMPLE_JAVA = 11, /* an archive of classes */
    KM_SAMPLE_SCRIPT = 12,
};
#define KM_SAMPLE_KINDS 13

/* Whether a path of a package may hold a sample. */
bool km_sample_path_is_wanted(const char *path);

/* By content, for scripts without "#!" by the path's end. KM_SAMPLE_NONE when it is nothing of these, or its size is
 * out of bounds. */
enum km_sample_kind km_sample_kind_detect(const char *path, const uint8_t *bytes, size_t length);

/* "program", "library", "python", …; static storage. */
const char *km_sample_kind_to_string(enum km_sample_kind kind);
/* KM_FORMAT for other words. */
enum km_code km_sample_kind_from_string(const char *text, enum km_sample_kind *out, struct km_err *err) KM_MUST_USE;

/* An ELF file, and so of one architecture. */
bool km_sample_kind_is_elf(enum km_sample_kind kind);

#endif
