/* Any bytes as a dpkg status file: no crash, and the same answers however the bytes are cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "package/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES ((size_t)8 << 20)

static struct km_package_file *feed(struct km_package_db *db, const char *path, const uint8_t *data, size_t size,
                                    size_t chunk, struct km_err *err)
{
    struct km_package_file *file = km_package_db_begin(db, path, err);
    KM_ASSERT(file);
    for (size_t at = 0; at < size; at += chunk)
        KM_ASSERT(km_package_file_feed(file, data + at, size - at < chunk ? size - at : chunk, err) == KM_OK);
    KM_ASSERT(km_package_file_end(file, true, err) == KM_OK);
    km_package_db_select(db, file);
    return file;
}

static struct km_package_view *view_of(const uint8_t *data, size_t size, size_t chunk)
{
    static const char list[] = "/usr/bin/a\n/etc/a\n", diversions[] = "/usr/bin/a\n/usr/bin/b\n:\n";
    struct km_err err = KM_ERR_INIT;
    struct km_package_db *db = km_package_db_new(MAX_BYTES, &err);
    KM_ASSERT(db);
    feed(db, "var/lib/dpkg/status", data, size, chunk, &err);
    feed(db, "var/lib/dpkg/status.d/a", data, size, chunk, &err);
    feed(db, "var/lib/dpkg/info/a.list", (const uint8_t *)list, sizeof list - 1, chunk, &err);
    feed(db, "var/lib/dpkg/diversions", (const uint8_t *)diversions, sizeof diversions - 1, chunk, &err);
    struct km_package_view *kept = km_package_db_view(db, &err);
    KM_ASSERT(kept);
    struct km_package_summary before, after;
    km_package_view_summarize(kept, &before);
    km_package_view_free(kept);
    struct km_package_view *view = km_package_db_finish(db, &err);
    km_package_db_free(db);
    KM_ASSERT(view);
    km_package_view_summarize(view, &after); /* only the memory limit may make the first one unusable */
    KM_ASSERT(before.usability == KM_PACKAGE_UNUSABLE || before.usability == after.usability);
    KM_ASSERT(before.usability != KM_PACKAGE_USABLE || before.files == after.files);
    return view;
}

static void compare_packages(const struct km_package_info *a, const struct km_package_info *b)
{
    KM_ASSERT(strcmp(a->name, b->name) == 0 && strcmp(a->version, b->version) == 0);
    KM_ASSERT(strcmp(a->architecture, b->architecture) == 0 && strcmp(a->source, b->source) == 0);
    KM_ASSERT(a->install == b->install && a->essential == b->essential);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_package_view *whole = view_of(data, size, size ? size : 1);
    struct km_package_view *cut = view_of(data, size, size > 4096 ? 1021 : 1);
    struct km_package_summary a, b;
    km_package_view_summarize(whole, &a);
    km_package_view_summarize(cut, &b);
    KM_ASSERT(a.usability == b.usability && strcmp(a.reason, b.reason) == 0 && a.files == b.files);
    KM_ASSERT(km_package_view_count(whole) == km_package_view_count(cut));
    for (size_t i = 0; i < km_package_view_count(whole); i++)
        compare_packages(km_package_view_at(whole, i), km_package_view_at(cut, i));
    static const char *const paths[] = {"usr/bin/a", "usr/bin/b", "etc/a", "etc/b", ""};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct km_package_match m, n;
        km_package_find(whole, paths[i], NULL, &m);
        km_package_find(cut, paths[i], NULL, &n);
        KM_ASSERT(m.state == n.state && m.conffile == n.conffile && m.obsolete == n.obsolete);
    }
    km_package_view_free(whole);
    km_package_view_free(cut);
    return 0;
}
