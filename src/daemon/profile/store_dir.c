#include "daemon/profile/store_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/profile/quarantine.h"

#define FOLDER_MODE 0750
#define FILE_MODE   0640
#define MAX_NAME    ((size_t)3 * KM_EVENT_MAX_NAME_BYTES)
#define MAX_ROLES   65536

/* A unit's or role's name as the name of a folder: what is not plain becomes %XX, so that no name leaves the store. */
static void folder_name(const char *name, char *out)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@:+-.";
    size_t n = 0;
    if (!*name)
        out[n++] = '%';
    for (const char *c = name; *c && n + 4 < MAX_NAME; c++) {
        if (strchr(plain, *c) && !(*c == '.' && c == name))
            out[n++] = *c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned)(uint8_t)*c);
    }
    out[n] = '\0';
}

static void name_of_folder(const char *folder, char *out, size_t room)
{
    size_t n = 0;
    for (const char *c = folder; *c && n + 1 < room; c++) {
        unsigned byte;
        if (*c == '%' && c[1] && c[2] && sscanf(c + 1, "%2x", &byte) == 1) { /* NOLINT(cert-err34-c): two digits */
            out[n++] = (char)byte;
            c += 2;
        } else if (*c != '%') {
            out[n++] = *c;
        }
    }
    out[n] = '\0';
}

enum km_code km_store_path(const char *unit, const char *role, const char *rest, char *out, struct km_err *err)
{
    char unit_folder[MAX_NAME], role_folder[MAX_NAME];
    folder_name(unit, unit_folder);
    folder_name(role, role_folder);
    if (snprintf(out, KM_STORE_PATH_BYTES, "%s/%s%s%s", unit_folder, role_folder, *rest ? "/" : "", rest) >=
        KM_STORE_PATH_BYTES)
        return km_fail(err, KM_LIMIT, "the name of a profile is too long");
    return KM_OK;
}

static enum km_code make_folder(struct km_store *store, const char *path, struct km_err *err)
{
    if (mkdirat(store->fd, path, FOLDER_MODE) != 0 && errno != EEXIST)
        return km_fail_errno(err, errno, "cannot make %s in the profile store", path);
    return KM_OK;
}

enum km_code km_store_make_role(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    char path[KM_STORE_PATH_BYTES];
    enum km_code code = km_store_path(unit, role, "", path, err);
    if (code != KM_OK)
        return code;
    char *slash = strchr(path, '/');
    *slash = '\0';
    code = make_folder(store, path, err);
    *slash = '/';
    if (code == KM_OK)
        code = make_folder(store, path, err);
    static const char *const below[] = {"quarantine", "accepted"};
    for (size_t i = 0; i < 2 && code == KM_OK; i++) {
        code = km_store_path(unit, role, below[i], path, err);
        if (code == KM_OK)
            code = make_folder(store, path, err);
    }
    return code;
}

enum km_code km_store_write_file(struct km_store *store, const char *path, const void *bytes, size_t length,
                                 struct km_err *err)
{
    char temporary[KM_STORE_PATH_BYTES + 8];
    (void)snprintf(temporary, sizeof temporary, "%s.new", path);
    int fd KM_CLEANUP(km_cleanup_close) =
        openat(store->fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot write %s", path);
    for (size_t done = 0; done < length;) {
        ssize_t n = write(fd, (const char *)bytes + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return km_fail_errno(err, errno, "cannot write %s", path);
        done += (size_t)n;
    }
    if (fsync(fd) != 0 || renameat(store->fd, temporary, store->fd, path) != 0)
        return km_fail_errno(err, errno, "cannot write %s", path);
    (void)fsync(store->fd);
    return KM_OK;
}

enum km_code km_store_read_file(struct km_store *store, const char *path, size_t limit, char **out, size_t *out_length,
                                struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = openat(store->fd, path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    struct stat st;
    if (fd < 0 || fstat(fd, &st) != 0)
        return km_fail_errno(err, errno, "cannot read %s", path);
    if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > limit)
        return km_fail(err, KM_LIMIT, "%s is no file of at most %zu bytes", path, limit);
    size_t length = (size_t)st.st_size, done = 0;
    char *bytes = km_calloc(length + 1, 1, SIZE_MAX, err);
    if (!bytes)
        return err->code;
    while (done < length) {
        ssize_t n = read(fd, bytes + done, length - done);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        done += (size_t)n;
    }
    *out = bytes;
    *out_length = done;
    return KM_OK;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

enum km_code km_store_list_folder(struct km_store *store, const char *path, bool (*take)(const char *name), char ***out,
                                  size_t *out_count, struct km_err *err)
{
    *out = NULL;
    *out_count = 0;
    int fd = openat(store->fd, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return KM_OK;
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir)
        return km_fail_errno(err, errno, "cannot list %s", path);
    enum km_code code = KM_OK;
    size_t capacity = 0;
    for (const struct dirent *item; code == KM_OK && (item = readdir(dir));) {
        if (item->d_name[0] == '.' || !take(item->d_name))
            continue;
        code = km_grow((void **)out, &capacity, *out_count + 1, sizeof(char *), MAX_ROLES, err);
        char *name = code == KM_OK ? km_strndup(item->d_name, strlen(item->d_name), err) : NULL;
        if (name)
            (*out)[(*out_count)++] = name;
        else
            code = err->code;
    }
    (void)closedir(dir);
    if (*out_count > 0)
        qsort(*out, *out_count, sizeof **out, compare_names);
    return code;
}

void km_store_free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

struct km_json *km_store_read_json(struct km_store *store, const char *path, struct km_err *err)
{
    char *text KM_CLEANUP(km_cleanup_free) = NULL;
    size_t length = 0;
    if (km_store_read_file(store, path, KM_QUARANTINE_MAX_BYTES, &text, &length, err) != KM_OK)
        return NULL;
    return km_json_parse(text, length, KM_QUARANTINE_MAX_BYTES, err);
}

enum km_code km_store_write_json(struct km_store *store, const char *path, const struct km_json *value,
                                 struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_QUARANTINE_MAX_BYTES);
    enum km_code code = km_json_format(value, 1, &text, err);
    if (code == KM_OK)
        code = km_store_write_file(store, path, text.data, text.length, err);
    km_buf_done(&text);
    return code;
}

void km_store_remove(struct km_store *store, const char *unit, const char *role, const char *rest)
{
    char path[KM_STORE_PATH_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    if (km_store_path(unit, role, rest, path, &ignored) == KM_OK)
        (void)unlinkat(store->fd, path, 0);
}

struct km_store *km_store_open(const char *path, struct km_err *err)
{
    if (mkdir(path, FOLDER_MODE) != 0 && errno != EEXIST) {
        km_fail_errno(err, errno, "cannot make the profile store %s", path);
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        km_fail_errno(err, errno, "cannot open the profile store %s", path);
        return NULL;
    }
    struct km_store *store = km_calloc(1, sizeof *store, SIZE_MAX, err);
    if (!store) {
        (void)close(fd);
        return NULL;
    }
    store->fd = fd;
    return store;
}

void km_store_close(struct km_store *store)
{
    if (!store)
        return;
    (void)close(store->fd);
    free(store);
}

static bool take_any(const char *name)
{
    (void)name;
    return true;
}

/* The roles of one unit's folder. */
static enum km_code list_unit(struct km_store *store, const char *unit_folder, void *context,
                              enum km_code (*visit)(void *context, const struct km_store_entry *entry,
                                                    struct km_err *err),
                              struct km_err *err)
{
    char **roles;
    size_t count;
    enum km_code code = km_store_list_folder(store, unit_folder, take_any, &roles, &count, err);
    for (size_t i = 0; i < count && code == KM_OK; i++) {
        struct km_store_entry entry = {0};
        name_of_folder(unit_folder, entry.unit, sizeof entry.unit);
        name_of_folder(roles[i], entry.role, sizeof entry.role);
        struct km_store_loaded loaded;
        struct km_err unreadable = KM_ERR_INIT;
        km_profile_free(km_store_load(store, entry.unit, entry.role, 0, &loaded, &unreadable));
        entry.version = loaded.version;
        struct km_json *waiting KM_CLEANUP(km_json_cleanup) =
            km_store_waiting(store, entry.unit, entry.role, &unreadable);
        entry.quarantined = (unsigned)km_json_size(waiting);
        code = visit(context, &entry, err);
    }
    km_store_free_names(roles, count);
    return code;
}

enum km_code km_store_list(struct km_store *store, void *context,
                           enum km_code (*visit)(void *context, const struct km_store_entry *entry, struct km_err *err),
                           struct km_err *err)
{
    char **units;
    size_t count;
    enum km_code code = km_store_list_folder(store, ".", take_any, &units, &count, err);
    for (size_t i = 0; i < count && code == KM_OK; i++)
        code = list_unit(store, units[i], context, visit, err);
    km_store_free_names(units, count);
    return code;
}
