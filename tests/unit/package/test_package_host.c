#define KM_TEST_NAME "package_host"
#include "../cm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "image.h"

#define LARGEST_SAMPLE ((size_t)800)
#define LINE_BYTES     4096

/* A root of our own below the build's temporary folder. */
static void put(int root_fd, const char *path, const char *content)
{
    char folder[LINE_BYTES];
    for (const char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        assert_true(mkdirat(root_fd, folder, 0700) == 0 || errno == EEXIST);
    }
    int fd = openat(root_fd, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)), (ssize_t)strlen(content));
    assert_int_equal(close(fd), 0);
}

static int new_root(char *name, size_t name_bytes)
{
    const char *base = getenv("TMPDIR");
    snprintf(name, name_bytes, "%s/komainu-package-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(name));
    int fd = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void remove_root(const char *name)
{
    char command[LINE_BYTES];
    snprintf(command, sizeof command, "rm -rf -- '%s'", name);
    FILE *shell = popen(command, "re");
    assert_non_null(shell);
    assert_int_equal(pclose(shell), 0);
}

static void reads_a_root(void **state)
{
    (void)state;
    char name[256];
    KM_CLEANUP(km_cleanup_close) int root = new_root(name, sizeof name);
    put(root, STATUS, "Package: p\nStatus: install ok installed\n");
    put(root, INFO("p.list"), "/bin/x\n");
    put(root, INFO("p.md5sums"), MD5_A "  bin/x\n");
    put(root, INFO("p.postinst"), "not a database file");
    put(root, "var/lib/dpkg/alternatives/awk", "auto\n/usr/bin/awk\n\n");
    assert_int_equal(symlinkat("usr/bin", root, "bin"), 0);
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup)
    struct km_package_view *view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &err);
    remove_root(name);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_USABLE);
    assert_int_equal(state_of(view, "usr/bin/x", md5_a), KM_PACKAGE_INTACT);
    assert_true(km_package_is_alternative(view, "bin/awk"));
}

static void links_stay_inside_the_root(void **state)
{
    (void)state;
    char name[256];
    KM_CLEANUP(km_cleanup_close) int root = new_root(name, sizeof name);
    put(root, "var/lib/dpkg/info/p.list", "/bin/x\n");
    put(root, "real/status", "Package: p\nStatus: install ok installed\n");
    assert_int_equal(symlinkat("/../../real/status", root, STATUS), 0);             /* absolute: from this root */
    assert_int_equal(symlinkat("/etc/passwd", root, "var/lib/dpkg/diversions"), 0); /* this root has none */
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup)
    struct km_package_view *view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &err);
    remove_root(name);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_USABLE);
    assert_int_equal(state_of(view, "bin/x", NULL), KM_PACKAGE_UNCHECKED);
}

static void a_root_without_dpkg_is_absent(void **state)
{
    (void)state;
    char name[256];
    KM_CLEANUP(km_cleanup_close) int root = new_root(name, sizeof name);
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup)
    struct km_package_view *view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &err);
    remove_root(name);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_ABSENT);
}

static void a_database_file_that_is_no_file_is_damage(void **state)
{
    (void)state;
    char name[256];
    KM_CLEANUP(km_cleanup_close) int root = new_root(name, sizeof name);
    put(root, STATUS, "Package: p\nStatus: install ok installed\n");
    put(root, INFO("p.list"), "/bin/x\n");
    assert_int_equal(mkfifoat(root, INFO("q.list"), 0600), 0);
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup)
    struct km_package_view *view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &err);
    remove_root(name);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_UNUSABLE);
}

static void a_small_limit_is_said(void **state)
{
    (void)state;
    char name[256];
    KM_CLEANUP(km_cleanup_close) int root = new_root(name, sizeof name);
    put(root, STATUS, "Package: p\nStatus: install ok installed\n");
    for (int i = 0; i < 40; i++) {
        char list[64];
        snprintf(list, sizeof list, INFO("p%d.list"), i);
        put(root, list, "/bin/x\n");
    }
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_package_load_host(root, 4096, &err);
    remove_root(name);
    assert_non_null(view);
    assert_int_equal(usability_of(view), KM_PACKAGE_UNUSABLE);
}

static struct km_package_view *view_of_this_host(void)
{
    KM_CLEANUP(km_cleanup_close) int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    struct km_err err = KM_ERR_INIT;
    struct km_package_view *view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &err);
    if (!view)
        fail_msg("%s", err.text);
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    if (summary.usability == KM_PACKAGE_ABSENT || access("/usr/bin/dpkg-query", X_OK) != 0) {
        print_message("# skipped: this host has no dpkg\n");
        km_package_view_free(view);
        skip();
    }
    if (summary.usability != KM_PACKAGE_USABLE)
        fail_msg("%s", summary.reason);
    return view;
}

struct sample {
    char path[LINE_BYTES];
    struct km_package_match match; /* our answer */
    bool named;                    /* dpkg-query names an owner */
    bool agreed;                   /* and ours is among the names */
};

/* Every n-th line of what a command prints, without the characters that dpkg-query takes for patterns. */
static size_t sample_lines(const char *command, size_t every, struct sample *samples, size_t room)
{
    FILE *lines = popen(command, "re");
    assert_non_null(lines);
    size_t count = 0, line = 0;
    for (char text[LINE_BYTES]; fgets(text, sizeof text, lines);) {
        text[strcspn(text, "\n")] = '\0';
        if (line++ % every == 0 && count < room && !strpbrk(text, "*?[]\\'\"") && strcmp(text, "/.") != 0)
            memcpy(samples[count++].path, text, sizeof text);
    }
    pclose(lines);
    return count;
}

/* Is `name` one of "a, b:amd64"? */
static bool is_among(const char *name, const char *names)
{
    while (*names) {
        size_t length = strcspn(names, ",:");
        if (strlen(name) == length && memcmp(name, names, length) == 0)
            return true;
        names += strcspn(names, ",");
        names += strspn(names, ", ");
    }
    return false;
}

/* Compares "a, b:amd64: /path" with our answer for that path. */
static void note_owners(char *line, struct sample *samples, size_t count)
{
    char *path = strstr(line, ": /");
    if (!path || strncmp(line, "diversion by", 12) == 0 || strncmp(line, "local diversion", 15) == 0)
        return;
    *path = '\0';
    path += 2;
    path[strcspn(path, "\n")] = '\0';
    for (size_t i = 0; i < count; i++) {
        const char *own = samples[i].path;
        if (strcmp(own, path) != 0 && (strncmp(own, "/usr/", 5) != 0 || strcmp(own + 4, path) != 0))
            continue;
        samples[i].named = true;
        samples[i].agreed |= samples[i].match.package && is_among(samples[i].match.package->name, line);
    }
}

/* Asks dpkg-query about all samples at once, below /usr by their old names too: it does not know a merged /usr. */
static void ask_dpkg_query(struct sample *samples, size_t count)
{
    char name[256], command[512];
    KM_CLEANUP(km_cleanup_close) int root = new_root(name, sizeof name);
    int fd = openat(root, "paths", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    FILE *paths = fdopen(fd, "w");
    assert_non_null(paths);
    for (size_t i = 0; i < count; i++) {
        fprintf(paths, "%s\n", samples[i].path);
        if (strncmp(samples[i].path, "/usr/", 5) == 0)
            fprintf(paths, "%s\n", samples[i].path + 4);
    }
    assert_int_equal(fclose(paths), 0);
    snprintf(command, sizeof command, "xargs -d '\\n' dpkg-query -S < %s/paths 2>/dev/null", name);
    FILE *query = popen(command, "re");
    assert_non_null(query);
    KM_CLEANUP(km_cleanup_free) char *line = NULL;
    for (size_t capacity = 0; getline(&line, &capacity, query) > 0;)
        note_owners(line, samples, count);
    pclose(query);
    remove_root(name);
}

static void agrees_with_dpkg_query(void **state)
{
    (void)state;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of_this_host();
    KM_CLEANUP(km_cleanup_free) struct sample *samples = calloc(LARGEST_SAMPLE, sizeof *samples);
    assert_non_null(samples);
    size_t count = sample_lines("cat /var/lib/dpkg/info/*.list", 37, samples, LARGEST_SAMPLE / 2);
    assert_in_range(count, 10, LARGEST_SAMPLE);
    count += sample_lines(
        "find /var/lib /etc /usr/local /usr/lib -xdev -path /var/lib/dpkg/info -prune -o -type f -print 2>/dev/null",
        41, samples + count, LARGEST_SAMPLE - count);
    for (size_t i = 0; i < count; i++)
        km_package_find(view, samples[i].path, NULL, &samples[i].match);
    ask_dpkg_query(samples, count);
    size_t owned = 0;
    for (size_t i = 0; i < count; i++) {
        const struct sample *sample = &samples[i];
        if (sample->named != sample->agreed || sample->named != (sample->match.package != NULL))
            fail_msg("%s: dpkg-query names %s owner, we say %s, %s", sample->path, sample->named ? "an" : "no",
                     km_package_state_to_string(sample->match.state),
                     sample->match.package ? sample->match.package->name : "nobody");
        owned += sample->named;
    }
    print_message("# %zu paths compared with dpkg-query -S, %zu of them owned\n", count, owned);
}

static void agrees_with_dpkg_query_on_the_unowned(void **state)
{
    (void)state;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of_this_host();
    static const char *const paths[] = {"/etc/hostname-of-nobody", "/usr/bin/no such program", "/usr/bin/dpk",
                                        "/usr/bin/dpkgg", "/var/lib/dpkg/status"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++)
        assert_int_equal(state_of(view, paths[i], md5_a), KM_PACKAGE_UNOWNED);
}

static void counts_the_packages_that_dpkg_counts(void **state)
{
    (void)state;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of_this_host();
    FILE *query = popen("dpkg-query -W -f '${db:Status-Status} ${Package} ${Version}\\n'", "re");
    assert_non_null(query);
    size_t installed = 0, ours = 0;
    for (char line[LINE_BYTES]; fgets(line, sizeof line, query);)
        installed += strncmp(line, "installed ", 10) == 0 || strncmp(line, "triggers-", 9) == 0;
    pclose(query);
    for (size_t i = 0; i < km_package_view_count(view); i++)
        ours += km_package_view_at(view, i)->install == KM_PACKAGE_INSTALLED;
    assert_int_equal(ours, installed);
}

static bool md5_of_file(struct km_digest *digest, const char *path, uint8_t out[16])
{
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))
        return false;
    km_digest_reset(digest);
    static char bytes[64 << 10];
    for (ssize_t n; (n = read(fd, bytes, sizeof bytes)) > 0;)
        km_digest_update(digest, bytes, (size_t)n);
    km_digest_finish(digest, out);
    return true;
}

/* dpkg --verify lists every file whose checksum differs. All packages would take a minute: take four that every Debian
 * system has, and compare file by file. */
static void agrees_with_dpkg_verify(void **state)
{
    (void)state;
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = view_of_this_host();
    static char report[64 << 10];
    FILE *verify = popen("dpkg --verify dpkg base-files bash coreutils 2>/dev/null", "re");
    assert_non_null(verify);
    size_t length = fread(report, 1, sizeof report - 1, verify);
    report[length] = '\0';
    pclose(verify);
    struct km_err err = KM_ERR_INIT;
    struct km_digest *digest = km_digest_new(KM_DIGEST_MD5, &err);
    assert_non_null(digest);
    FILE *list = popen("dpkg-query -L dpkg base-files bash coreutils", "re");
    assert_non_null(list);
    size_t intact = 0;
    for (char path[LINE_BYTES]; fgets(path, sizeof path, list);) {
        path[strcspn(path, "\n")] = '\0';
        uint8_t md5[16];
        char needle[LINE_BYTES + 2];
        snprintf(needle, sizeof needle, " %s\n", path);
        if (path[0] != '/' || !md5_of_file(digest, path, md5))
            continue;
        enum km_package_state found = state_of(view, path, md5);
        bool reported = strstr(report, needle) != NULL;
        if (reported && found != KM_PACKAGE_CHANGED && found != KM_PACKAGE_CONFFILE)
            fail_msg("dpkg reports %s, we say %s", path, km_package_state_to_string(found));
        if (!reported && (found == KM_PACKAGE_CHANGED || found == KM_PACKAGE_UNOWNED))
            fail_msg("dpkg does not report %s, we say %s", path, km_package_state_to_string(found));
        intact += found == KM_PACKAGE_INTACT;
    }
    pclose(list);
    km_digest_free(digest);
    assert_true(intact > 50);
    print_message("# %zu files intact, as dpkg --verify says\n", intact);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_root),
        cmocka_unit_test(links_stay_inside_the_root),
        cmocka_unit_test(a_root_without_dpkg_is_absent),
        cmocka_unit_test(a_database_file_that_is_no_file_is_damage),
        cmocka_unit_test(a_small_limit_is_said),
        cmocka_unit_test(agrees_with_dpkg_query),
        cmocka_unit_test(agrees_with_dpkg_query_on_the_unowned),
        cmocka_unit_test(counts_the_packages_that_dpkg_counts),
        cmocka_unit_test(agrees_with_dpkg_verify),
    };
    return KM_RUN_TESTS(tests);
}
