/*
 * Inside of src/package: the records that dpkg's files become, and the parsers that make them line by line. Callers use
 * package.h.
 *
 * dpkg_db.c cuts the bytes of a file into lines; dpkg_status.c and dpkg_list.c turn lines into records of their
 * km_package_file; package_view.c joins the records of the selected files.
 */
#ifndef KM_PACKAGE_DPKG_H
#define KM_PACKAGE_DPKG_H

#include "base/buf.h"
#include "base/keyhash.h"
#include "package/package.h"

#define KM_DPKG_MAX_LINE_BYTES ((size_t)8 << 10)
#define KM_DPKG_FOLDER         "var/lib/dpkg/"

/* A path as a number. Bits 4 … 63 are the hash of the path without a leading "usr/"; bit 0 says that it was there. Bits
 * 1 … 3 number the directory that follows if a merged /usr links it (0: none). Where an image has the link, bit 0 is
 * cleared on both sides, so that both names of a file compare equal; that is known only after the paths themselves are
 * forgotten. */
#define KM_DPKG_KEY_USR       UINT64_C(1)
#define KM_DPKG_KEY_TOP(key)  ((unsigned)((key) >> 1 & 7))
#define KM_DPKG_KEY_HASH_MASK (~UINT64_C(15))
#define KM_DPKG_SUM_HAS_MD5   1U
#define KM_DPKG_SUM_CONFFILE  2U
#define KM_DPKG_SUM_OBSOLETE  4U
#define KM_DPKG_SUM_RAW_USR   8U /* view entries: the bit 0 that their key had */
#define KM_DPKG_NONE          UINT32_MAX

struct km_dpkg_sum {
    uint64_t key;
    uint32_t package; /* index into packages of the same file; 0 in the files of one package */
    uint32_t flags;
    uint8_t md5[16];
};

struct km_dpkg_diversion {
    uint64_t from, to;
    uint32_t package; /* name offset; ":" = by the administrator, for every package */
};

struct km_dpkg_package {
    uint32_t name, version, architecture, source; /* name offsets, 0 = not given */
    enum km_package_install install;
    bool essential;
};

/* The fields of the stanza being read. */
struct km_dpkg_stanza {
    struct km_dpkg_package package;
    unsigned seen; /* bit per field of the table in dpkg_status.c */
    bool started;
    bool in_conffiles;
};

struct km_package_file {
    struct km_package_db *db;
    struct km_package_file *next; /* in order of begin */
    enum km_package_file_kind kind;
    uint32_t path; /* name offset, for messages */
    uint32_t stem; /* name offset: "libc6:amd64" of libc6:amd64.list, NAME of status.d/NAME */
    bool selected, ended;
    const char *damage; /* static text, or NULL */
    uint64_t line;      /* of the line being read, from 1; of the damage once there is one */

    struct km_buf pending; /* the beginning of a line whose end has not come */
    bool pending_cut;      /* bytes beyond KM_DPKG_MAX_LINE_BYTES were dropped */
    struct km_dpkg_stanza stanza;
    struct km_dpkg_diversion diversion; /* the triple being read */
    bool alternatives_over;

    uint64_t *keys; /* paths without a checksum: lists, conffiles, alternatives' links */
    size_t key_count, key_capacity;
    struct km_dpkg_sum *sums;
    size_t sum_count, sum_capacity;
    struct km_dpkg_package *packages;
    size_t package_count, package_capacity;
    struct km_dpkg_diversion *diversions;
    size_t diversion_count, diversion_capacity;
};

struct km_package_db {
    struct km_keyhash hash_key;
    size_t max_bytes, used_bytes;
    struct km_package_file *first, *last;
    char *names; /* NUL-terminated texts one after the other; offset 0 is "" */
    size_t name_bytes, name_capacity;
    unsigned aliases; /* bit n: the directory number n of KM_DPKG_KEY_TOP is a link into usr */
    bool viewed;      /* a view borrows from it */
    char spoiled[256];
};

uint64_t km_dpkg_key(const struct km_package_db *db, const char *path, size_t length);

/* km_grow on the memory limit of the db. KM_LIMIT, KM_NOMEM. */
enum km_code km_dpkg_grow(struct km_package_db *db, void **array, size_t *capacity, size_t needed, size_t size,
                          struct km_err *err) KM_MUST_USE;

/* Frees an array that km_dpkg_grow made and gives it back to the memory limit. */
void km_dpkg_release(struct km_package_db *db, void *array, size_t capacity, size_t size);

/* Frees the records of a file and gives them back to the memory limit. */
void km_dpkg_forget(struct km_package_file *file);

/* Stores a text; *out_offset is its place in db->names. KM_LIMIT, KM_NOMEM. */
enum km_code km_dpkg_add_name(struct km_package_db *db, const char *text, size_t length, uint32_t *out_offset,
                              struct km_err *err) KM_MUST_USE;

enum km_code km_dpkg_add_key(struct km_package_file *file, uint64_t key, struct km_err *err) KM_MUST_USE;
enum km_code km_dpkg_add_sum(struct km_package_file *file, const struct km_dpkg_sum *sum,
                             struct km_err *err) KM_MUST_USE;

/* Remembers the first damage of the file; its later lines are not looked at. Returns KM_OK, so that a parser can end
 * with it. */
enum km_code km_dpkg_damage(struct km_package_file *file, const char *what);

/* One line without its newline. cut: it was longer, this is its beginning. Damage is recorded in the file; KM_LIMIT and
 * KM_NOMEM are returned. The list parser takes every kind but the two of stanzas. */
enum km_code km_dpkg_status_line(struct km_package_file *file, const char *line, size_t length, bool cut,
                                 struct km_err *err) KM_MUST_USE;
enum km_code km_dpkg_list_line(struct km_package_file *file, const char *line, size_t length, bool cut,
                               struct km_err *err) KM_MUST_USE;

/* After the last line: closes the stanza; finds a triple that stops in the middle. KM_LIMIT, KM_NOMEM. */
enum km_code km_dpkg_status_end(struct km_package_file *file, struct km_err *err) KM_MUST_USE;
void km_dpkg_list_end(struct km_package_file *file);

/* Reads a checksum of 32 hexadecimal digits. */
bool km_dpkg_read_md5(const char *text, size_t length, uint8_t out[16]);

#endif
