/*
 * Which package owns a file, and is it as the package shipped it? Answers come from the dpkg database inside an image
 * or of this host; rpm and apk databases would be read behind the same interface.
 *
 * An image arrives in one pass: database files come in any order, from several layers, before or after the files that
 * they describe. So a km_package_db collects compact records of every database file as it streams by; at the end the
 * caller says which of them the final image still shows, and km_package_db_finish makes a view that can be asked:
 *
 *     km_package_db_new; for each entry: km_package_wants → km_package_db_begin, km_package_file_feed…, _end;
 *     at the end: km_package_db_select for the visible ones, km_package_db_add_alias for the links of a merged /usr,
 *     km_package_db_finish → km_package_find for each file, km_package_view_free.
 *
 * A source of several images has several databases. Then, for one image after the other:
 *
 *     km_package_db_deselect_all, km_package_db_select, km_package_db_add_alias, km_package_db_view →
 *     km_package_find for each file of the image, km_package_view_free.
 *
 * What it does not say: the database is a part of the image and whoever made the image could write it. "Intact" means
 * "as this database says", "unowned" means a place to look; neither is a verdict.
 *
 * Hostile input: a file that breaks its format, is longer than the limits, or was not read to its end is *damaged*. A
 * damaged file that says what is owned (status, list, diversions; checksums where they are the list) makes the whole
 * view KM_PACKAGE_UNUSABLE when it is selected. A damaged detail (.md5sums or .conffiles beside a list, alternatives)
 * is left out and counted: its package's files are unchecked. Neither makes a file "intact" or "unowned". Paths are
 * kept as 60-bit SipHash-2-4 values under a random key, so that an enemy cannot build a path that collides with an
 * owned one; one file meets one of n records by accident with n / 2^60.
 *
 * Limits: the memory given to km_package_db_new, for everything together (name texts, records, view; a growing array
 * exists twice for a moment); a line 8 KiB (longer ones only in fields that are not read); 64 owners a path.
 * Threads: a db and its files belong to one thread. A finished view is read-only and may be shared.
 */
#ifndef KM_PACKAGE_PACKAGE_H
#define KM_PACKAGE_PACKAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

#define KM_PACKAGE_DEFAULT_MAX_BYTES ((size_t)64 << 20)
#define KM_PACKAGE_MAX_OWNERS        64

enum km_package_file_kind {
    KM_PACKAGE_FILE_NONE = 0,        /* no database file, or one that says nothing about ownership */
    KM_PACKAGE_FILE_STATUS = 1,      /* var/lib/dpkg/status */
    KM_PACKAGE_FILE_PART = 2,        /* var/lib/dpkg/status.d/NAME: one stanza a file ("distroless" images) */
    KM_PACKAGE_FILE_PART_SUMS = 3,   /* var/lib/dpkg/status.d/NAME.md5sums: there it is the list of files, too */
    KM_PACKAGE_FILE_LIST = 4,        /* var/lib/dpkg/info/NAME[:ARCH].list */
    KM_PACKAGE_FILE_SUMS = 5,        /* var/lib/dpkg/info/NAME[:ARCH].md5sums */
    KM_PACKAGE_FILE_CONFFILES = 6,   /* var/lib/dpkg/info/NAME[:ARCH].conffiles */
    KM_PACKAGE_FILE_DIVERSIONS = 7,  /* var/lib/dpkg/diversions */
    KM_PACKAGE_FILE_ALTERNATIVE = 8, /* var/lib/dpkg/alternatives/NAME */
};

struct km_package_db;   /* collects */
struct km_package_file; /* one database file; belongs to its db */
struct km_package_view; /* answers */

/* Which database file `path` is. A leading "/" is ignored. */
enum km_package_file_kind km_package_wants(const char *path);

/* An empty collection that uses at most max_bytes. NULL with *err set: KM_NOMEM; KM_LIMIT below a few bytes. */
struct km_package_db *km_package_db_new(size_t max_bytes, struct km_err *err) KM_MUST_USE;
void km_package_db_free(struct km_package_db *db);
KM_DEFINE_CLEANUP(struct km_package_db, km_package_db_cleanup, km_package_db_free);

/* Starts a database file; `path` must be one that km_package_wants (KM_ASSERT). Several may be open at once. The
 * handle lives until km_package_db_free. NULL with *err set: KM_NOMEM, KM_LIMIT (the memory limit: the caller reports
 * a gap and calls km_package_db_spoil, since this file might be the visible one). */
struct km_package_file *km_package_db_begin(struct km_package_db *db, const char *path, struct km_err *err) KM_MUST_USE;

/* The next bytes, cut anywhere. Damage is remembered, not returned; KM_NOMEM only. */
enum km_code km_package_file_feed(struct km_package_file *file, const void *bytes, size_t length,
                                  struct km_err *err) KM_MUST_USE;

/* The file is over. complete: all of its bytes were fed. A file that is never ended counts as incomplete. KM_NOMEM. */
enum km_code km_package_file_end(struct km_package_file *file, bool complete, struct km_err *err) KM_MUST_USE;

/* The final image shows this file. The caller selects at most one file a path. */
void km_package_db_select(struct km_package_db *db, struct km_package_file *file);

/* The final image has a symbolic link at `path` to `target`. Links of a merged /usr (bin, sbin, lib, lib32, lib64,
 * libx32, libo32 → usr/…) make both names of a file one; others are ignored. */
void km_package_db_add_alias(struct km_package_db *db, const char *path, const char *target);

/* Something visible is missing from the collection: the view will be KM_PACKAGE_UNUSABLE with this reason. The first
 * reason stays. */
void km_package_db_spoil(struct km_package_db *db, const char *reason);

/* Takes selection and aliases back, for the next image. What spoiled the db stays: any image may show it. */
void km_package_db_deselect_all(struct km_package_db *db);

/* The view of the selected files; the db keeps its records. The view borrows from the db and counts in its memory
 * limit: there is one at a time, and it is freed before the db is asked for another one, given more bytes, or freed.
 * Records and view exist together here, so a database that is too large for this may fit km_package_db_finish. NULL
 * with *err: KM_NOMEM. */
struct km_package_view *km_package_db_view(struct km_package_db *db, struct km_err *err) KM_MUST_USE;

/* The view of the selected files, which owns what it needs and may outlive the db. The db can only be freed afterwards,
 * also on failure. NULL with *err: KM_NOMEM. */
struct km_package_view *km_package_db_finish(struct km_package_db *db, struct km_err *err) KM_MUST_USE;
void km_package_view_free(struct km_package_view *view);
KM_DEFINE_CLEANUP(struct km_package_view, km_package_view_cleanup, km_package_view_free);

/* The view of the system below root_fd (a directory; "/" for this host), aliases included. Symbolic links are followed
 * inside that root only. A system without dpkg gives a view that is KM_PACKAGE_ABSENT. NULL with *err: KM_NOMEM, KM_IO,
 * KM_UNSUPPORTED (kernel without openat2). */
struct km_package_view *km_package_load_host(int root_fd, size_t max_bytes, struct km_err *err) KM_MUST_USE;

enum km_package_usability {
    KM_PACKAGE_ABSENT = 0,   /* no database, or one that names no installed package or lists no files: neutral */
    KM_PACKAGE_UNUSABLE = 1, /* damaged or above a limit: neutral, and a gap in the coverage */
    KM_PACKAGE_USABLE = 2,
};

struct km_package_summary {
    enum km_package_usability usability;
    const char *reason;   /* one escaped line for people when not usable, else ""; borrowed from the view */
    size_t packages;      /* that own files: installed, in whatever state */
    size_t packages_bare; /* of these: without a list of files, so that theirs look unowned */
    size_t lists_missing; /* of these: dpkg says "installed" in `status`, which it never does without writing a list */
    size_t files;         /* distinct (path, package) pairs, directories included */
    size_t unmatched;     /* lists and checksums of packages that the status does not name as installed: ignored */
    size_t damaged_details; /* .md5sums, .conffiles and alternatives that were left out */
    size_t owners_dropped;  /* (path, package) pairs beyond KM_PACKAGE_MAX_OWNERS a path; directories, normally */
    size_t records;         /* that were joined: the work which this view was */
};

void km_package_view_summarize(const struct km_package_view *view, struct km_package_summary *out);

enum km_package_install {
    KM_PACKAGE_REMOVED = 0,   /* known by name only */
    KM_PACKAGE_CONFIG = 1,    /* removed; its conffiles are left and owned */
    KM_PACKAGE_PARTIAL = 2,   /* half-installed, unpacked, half-configured */
    KM_PACKAGE_INSTALLED = 3, /* installed, or waiting for triggers */
};

struct km_package_info {
    const char *name;
    const char *version;      /* "" when the stanza has none */
    const char *architecture; /* "" likewise */
    const char *source;       /* the source package's name, without a version; the package's own name when not given */
    enum km_package_install install;
    bool essential;
};

/* Packages of the selected status files in their order. Borrowed from the view. i < count. */
size_t km_package_view_count(const struct km_package_view *view);
const struct km_package_info *km_package_view_at(const struct km_package_view *view, size_t i);

enum km_package_state {
    KM_PACKAGE_NO_DATABASE = 0, /* the view is not usable: nothing is known about any file */
    KM_PACKAGE_UNOWNED = 1,     /* no installed package lists it */
    KM_PACKAGE_UNCHECKED = 2,   /* owned; there is no checksum to compare, or md5 was NULL */
    KM_PACKAGE_INTACT = 3,      /* owned, with the checksum of the package */
    KM_PACKAGE_CHANGED = 4,     /* owned, with another checksum */
    KM_PACKAGE_CONFFILE = 5,    /* a configuration file, not as shipped (or not compared): change is its purpose */
    KM_PACKAGE_DIVERTED = 6,    /* a diversion moved the owner's file away from here; what lies here is unowned */
};

/* "unowned", "changed", … Static storage. */
const char *km_package_state_to_string(enum km_package_state state);

struct km_package_match {
    enum km_package_state state;
    const struct km_package_info *package; /* the owner that decided the state, or NULL. Borrowed from the view. */
    bool conffile;
    bool obsolete; /* a conffile that the installed version no longer ships */
    bool diverted; /* the package ships it under another name (or, with KM_PACKAGE_DIVERTED, moved it from here) */
};

/* What the view knows about the file at `path` (a leading "/" is ignored; no ".", "..", "//"), whose MD5 digest is
 * md5[16], or NULL when there is none: a link or directory, or a file that was not read to its end. Of several owners
 * the strongest statement counts: intact, changed, conffile, unchecked. What dpkg keeps about a package that has a list
 * (info/NAME.postinst, .md5sums, …) is owned by it, without a checksum. */
void km_package_find(const struct km_package_view *view, const char *path, const uint8_t *md5,
                     struct km_package_match *out);

/* update-alternatives made a symbolic link at `path`. False for every path when the view is not usable. Only a link is
 * explained by it: a regular file there is not. */
bool km_package_is_alternative(const struct km_package_view *view, const char *path);

#endif
