/* Database files as literals, fed in any cut, for the tests of src/package. */
#ifndef KM_TESTS_PACKAGE_IMAGE_H
#define KM_TESTS_PACKAGE_IMAGE_H

#include <stdio.h>
#include <string.h>

#include "package/package.h"

#define STATUS     "var/lib/dpkg/status"
#define DIVERSIONS "var/lib/dpkg/diversions"
#define INFO(name) "var/lib/dpkg/info/" name
#define PART(name) "var/lib/dpkg/status.d/" name

#define MD5_A "0cc175b9c0f1b6a831c399e269772661" /* of "a" */
#define MD5_B "92eb5ffee6ae2fec3ad71c777531578f" /* of "b" */

#define STANZA(name, status) "Package: " name "\nStatus: " status "\nArchitecture: amd64\nVersion: 1.0-1\n"
#define INSTALLED            "install ok installed"
#define NO_MORE                                                                                                        \
    {                                                                                                                  \
        NULL, NULL, 0                                                                                                  \
    }

struct text {
    const char *path, *content;
    size_t length; /* 0: strlen(content) */
};

static const uint8_t md5_a[16] = {0x0c, 0xc1, 0x75, 0xb9, 0xc0, 0xf1, 0xb6, 0xa8,
                                  0x31, 0xc3, 0x99, 0xe2, 0x69, 0x77, 0x26, 0x61};

/* chunk 0: all at once. NULL with *err on failure. */
static inline struct km_package_file *feed_text(struct km_package_db *db, const struct text *text, size_t chunk,
                                                struct km_err *err)
{
    struct km_package_file *file = km_package_db_begin(db, text->path, err);
    if (!file)
        return NULL;
    size_t length = text->length ? text->length : strlen(text->content);
    for (size_t at = 0; at < length;) {
        size_t n = chunk && chunk < length - at ? chunk : length - at;
        if (km_package_file_feed(file, text->content + at, n, err) != KM_OK)
            return NULL;
        at += n;
    }
    return km_package_file_end(file, true, err) == KM_OK ? file : NULL;
}

/* All texts up to one without a path, selected. merged: with the links of a merged /usr. NULL with *err. */
static inline struct km_package_view *view_of(const struct text *texts, size_t chunk, bool merged, struct km_err *err)
{
    KM_CLEANUP(km_package_db_cleanup)
    struct km_package_db *db = km_package_db_new(KM_PACKAGE_DEFAULT_MAX_BYTES, err);
    if (!db)
        return NULL;
    for (; texts->path; texts++) {
        struct km_package_file *file = feed_text(db, texts, chunk, err);
        if (!file)
            return NULL;
        km_package_db_select(db, file);
    }
    if (merged) {
        km_package_db_add_alias(db, "bin", "usr/bin");
        km_package_db_add_alias(db, "/lib64", "/usr/lib64/");
    }
    return km_package_db_finish(db, err);
}

static inline enum km_package_state state_of(const struct km_package_view *view, const char *path, const uint8_t *md5)
{
    struct km_package_match match;
    km_package_find(view, path, md5, &match);
    return match.state;
}

static inline enum km_package_usability usability_of(const struct km_package_view *view)
{
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    return summary.usability;
}

#endif
