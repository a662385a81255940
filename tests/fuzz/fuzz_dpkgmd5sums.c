/* Any bytes as each line-based file of a dpkg database (the first byte chooses): no crash, the same answers however the
 * bytes are cut, and "intact" only when the input holds the checksum. */
#include <stdlib.h>
#include <string.h>

#include "package/package.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES ((size_t)8 << 20)

static const char *const paths[] = {
    "var/lib/dpkg/info/p.md5sums", "var/lib/dpkg/info/p.list",    "var/lib/dpkg/info/p.conffiles",
    "var/lib/dpkg/diversions",     "var/lib/dpkg/alternatives/p", "var/lib/dpkg/status.d/p.md5sums",
};
#define PATH_COUNT (sizeof paths / sizeof paths[0])

static void feed(struct km_package_db *db, const char *path, const uint8_t *data, size_t size, size_t chunk)
{
    struct km_err err = KM_ERR_INIT;
    struct km_package_file *file = km_package_db_begin(db, path, &err);
    KM_ASSERT(file);
    for (size_t at = 0; at < size; at += chunk)
        KM_ASSERT(km_package_file_feed(file, data + at, size - at < chunk ? size - at : chunk, &err) == KM_OK);
    KM_ASSERT(km_package_file_end(file, true, &err) == KM_OK);
    km_package_db_select(db, file);
}

static struct km_package_view *view_of(const char *path, const uint8_t *data, size_t size, size_t chunk)
{
    static const char stanza[] = "Package: p\nStatus: install ok installed\n", list[] = "/usr/bin/q\n";
    struct km_err err = KM_ERR_INIT;
    struct km_package_db *db = km_package_db_new(MAX_BYTES, &err);
    KM_ASSERT(db);
    feed(db, "var/lib/dpkg/status", (const uint8_t *)stanza, sizeof stanza - 1, 64);
    feed(db, "var/lib/dpkg/status.d/p", (const uint8_t *)stanza, sizeof stanza - 1, 64);
    feed(db, "var/lib/dpkg/info/p:.list", (const uint8_t *)list, sizeof list - 1, 64);
    feed(db, path, data, size, chunk);
    km_package_db_add_alias(db, "bin", "usr/bin");
    struct km_package_view *view = km_package_db_finish(db, &err);
    km_package_db_free(db);
    KM_ASSERT(view);
    return view;
}

/* Asks both views about every line as if it were a path, with and without a checksum in front. zeros: the input holds
 * the checksum that is asked about. */
static void compare_line(const struct km_package_view *a, const struct km_package_view *b, const char *line, bool zeros)
{
    static const uint8_t md5[16] = {0};
    for (size_t skip = 0; skip <= 34; skip += 34) {
        if (strlen(line) < skip)
            return;
        struct km_package_match m, n;
        km_package_find(a, line + skip, md5, &m);
        km_package_find(b, line + skip, md5, &n);
        KM_ASSERT(m.state == n.state && m.conffile == n.conffile && m.diverted == n.diverted);
        KM_ASSERT(m.state != KM_PACKAGE_INTACT || zeros);
        KM_ASSERT(km_package_is_alternative(a, line + skip) == km_package_is_alternative(b, line + skip));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    const char *path = paths[data[0] % PATH_COUNT];
    data++;
    size--;
    struct km_package_view *whole = view_of(path, data, size, size ? size : 1);
    struct km_package_view *cut = view_of(path, data, size, size > 4096 ? 1021 : 1);
    struct km_package_summary a, b;
    km_package_view_summarize(whole, &a);
    km_package_view_summarize(cut, &b);
    KM_ASSERT(a.usability == b.usability && strcmp(a.reason, b.reason) == 0 && a.files == b.files);
    KM_ASSERT(a.damaged_details == b.damaged_details);
    char *text = malloc(size + 1);
    KM_ASSERT(text);
    memcpy(text, data, size);
    text[size] = '\0';
    bool zeros = memmem(data, size, "00000000000000000000000000000000", 32) != NULL;
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        compare_line(whole, cut, line, zeros);
    free(text);
    km_package_view_free(whole);
    km_package_view_free(cut);
    return 0;
}
