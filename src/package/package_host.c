#include "package/package.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define READ_BYTES ((size_t)64 << 10)

struct loader {
    int root_fd;
    struct km_package_db *db;
    char *bytes; /* READ_BYTES */
};

/* -1 with errno. A link that leads out of the root leads nowhere; a FIFO does not block. */
static int open_inside(int root_fd, const char *path, uint64_t flags)
{
    struct open_how how = {.flags = flags | O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
    return (int)syscall(SYS_openat2, root_fd, path, &how, sizeof how);
}

static bool is_regular(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

/* Sets *out_complete when the file came to its end. */
static enum km_code feed_file(struct loader *loader, int fd, struct km_package_file *file, bool *out_complete,
                              struct km_err *err)
{
    while (true) {
        ssize_t n = read(fd, loader->bytes, READ_BYTES);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            *out_complete = n == 0;
            return KM_OK;
        }
        enum km_code code = km_package_file_feed(file, loader->bytes, (size_t)n, err);
        if (code != KM_OK)
            return code;
    }
}

/* A file that is not there is none; one that cannot be read is damage. */
static enum km_code load_file(struct loader *loader, const char *path, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open_inside(loader->root_fd, path, 0);
    if (fd < 0 && errno == ENOENT)
        return KM_OK;
    struct km_package_file *file = km_package_db_begin(loader->db, path, err);
    if (!file && err->code == KM_LIMIT) {
        km_package_db_spoil(loader->db, err->text);
        return KM_OK;
    }
    if (!file)
        return err->code;
    bool complete = false;
    enum km_code code = fd >= 0 && is_regular(fd) ? feed_file(loader, fd, file, &complete, err) : KM_OK;
    if (code == KM_OK)
        code = km_package_file_end(file, complete, err);
    km_package_db_select(loader->db, file);
    return code;
}

static void close_folder(DIR **folder)
{
    if (*folder)
        (void)closedir(*folder);
}

static enum km_code load_folder(struct loader *loader, const char *path, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open_inside(loader->root_fd, path, O_DIRECTORY);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return KM_OK;
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    KM_CLEANUP(close_folder) DIR *folder = fdopendir(fd);
    if (!folder)
        return km_fail_errno(err, errno, "cannot read %s", path);
    (void)km_steal_fd(&fd);
    while (true) {
        errno = 0;
        const struct dirent *item = readdir(folder);
        if (!item && errno != 0)
            return km_fail_errno(err, errno, "cannot read %s", path);
        if (!item)
            return KM_OK;
        char name[PATH_MAX];
        if (item->d_name[0] == '.' || snprintf(name, sizeof name, "%s/%s", path, item->d_name) >= (int)sizeof name)
            continue;
        enum km_code code = km_package_wants(name) != KM_PACKAGE_FILE_NONE ? load_file(loader, name, err) : KM_OK;
        if (code != KM_OK)
            return code;
    }
}

static void load_aliases(const struct loader *loader)
{
    static const char *const links[] = {"bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"};
    for (size_t i = 0; i < sizeof links / sizeof links[0]; i++) {
        char target[64];
        ssize_t n = readlinkat(loader->root_fd, links[i], target, sizeof target - 1);
        if (n <= 0 || n >= (ssize_t)sizeof target - 1)
            continue;
        target[n] = '\0';
        km_package_db_add_alias(loader->db, links[i], target);
    }
}

struct km_package_view *km_package_load_host(int root_fd, size_t max_bytes, struct km_err *err)
{
    static const char *const files[] = {"var/lib/dpkg/status", "var/lib/dpkg/diversions"};
    static const char *const folders[] = {"var/lib/dpkg/info", "var/lib/dpkg/status.d", "var/lib/dpkg/alternatives"};
    KM_CLEANUP(km_cleanup_close) int probe = open_inside(root_fd, ".", O_DIRECTORY);
    if (probe < 0) {
        if (errno == ENOSYS)
            km_fail(err, KM_UNSUPPORTED, "this kernel has no openat2");
        else
            km_fail_errno(err, errno, "cannot open the root of the system");
        return NULL;
    }
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_package_db_new(max_bytes, err);
    if (!db)
        return NULL;
    KM_CLEANUP(km_cleanup_free) char *bytes = km_calloc(1, READ_BYTES, READ_BYTES, err);
    if (!bytes)
        return NULL;
    struct loader loader = {root_fd, db, bytes};
    load_aliases(&loader);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (load_file(&loader, files[i], err) != KM_OK)
            return NULL;
    for (size_t i = 0; i < sizeof folders / sizeof folders[0]; i++)
        if (load_folder(&loader, folders[i], err) != KM_OK)
            return NULL;
    return km_package_db_finish(db, err);
}
