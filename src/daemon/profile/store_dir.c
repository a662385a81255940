#include "daemon/profile/store_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "daemon/profile/profile_file.h"
#include "daemon/profile/quarantine.h"

#define FOLDER_MODE  0750
#define FILE_MODE    0640
#define MAX_VERSIONS 100000
#define MAX_NAME     ((size_t)3 * KM_EVENT_MAX_NAME_BYTES)
#define PATH_BYTES   4096
#define MAX_ROLES    65536
#define NS_PER_DAY   (86400 * KM_NS_PER_S)
#define LEARNED_NOTE "learned"

struct km_store {
    int fd;
    char quarantined[KM_STORE_ID_BYTES]; /* last */
};

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

/* "unit/role/rest" below the store. */
static enum km_code path_in(const char *unit, const char *role, const char *rest, char *out, struct km_err *err)
{
    char unit_folder[MAX_NAME], role_folder[MAX_NAME];
    folder_name(unit, unit_folder);
    folder_name(role, role_folder);
    if (snprintf(out, PATH_BYTES, "%s/%s%s%s", unit_folder, role_folder, *rest ? "/" : "", rest) >= PATH_BYTES)
        return km_fail(err, KM_LIMIT, "the name of a profile is too long");
    return KM_OK;
}

static enum km_code make_folder(struct km_store *store, const char *path, struct km_err *err)
{
    if (mkdirat(store->fd, path, FOLDER_MODE) != 0 && errno != EEXIST)
        return km_fail_errno(err, errno, "cannot make %s in the profile store", path);
    return KM_OK;
}

static enum km_code make_role_folders(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    char path[PATH_BYTES];
    enum km_code code = path_in(unit, role, "", path, err);
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
        code = path_in(unit, role, below[i], path, err);
        if (code == KM_OK)
            code = make_folder(store, path, err);
    }
    return code;
}

static enum km_code write_file(struct km_store *store, const char *path, const void *bytes, size_t length,
                               struct km_err *err)
{
    char temporary[PATH_BYTES + 8];
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

/* A whole file; the caller frees *out. */
static enum km_code read_file(struct km_store *store, const char *path, size_t limit, char **out, size_t *out_length,
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

/* The names in a folder that `take` wants, sorted. A missing folder is empty. The caller frees *out and its items. */
static enum km_code list_folder(struct km_store *store, const char *path, bool (*take)(const char *name), char ***out,
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
    return code;
}

static int compare_names(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static void free_names(char **names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(names[i]);
    free(names);
}

static bool take_any(const char *name)
{
    (void)name;
    return true;
}

static bool is_version(const char *name)
{
    return strlen(name) == 11 && name[0] == 'v' && strspn(name + 1, "0123456789") == 6 && strcmp(name + 7, ".kmp") == 0;
}

static bool is_json(const char *name)
{
    size_t length = strlen(name);
    return length == 21 && strspn(name, "0123456789abcdef") == 16 && strcmp(name + 16, ".json") == 0;
}

/* Version numbers of a role, ascending; the caller frees *out. */
static enum km_code list_versions(struct km_store *store, const char *unit, const char *role, unsigned **out,
                                  size_t *out_count, struct km_err *err)
{
    char path[PATH_BYTES], **names = NULL;
    size_t count = 0;
    *out = NULL;
    *out_count = 0;
    enum km_code code = path_in(unit, role, "", path, err);
    if (code == KM_OK)
        code = list_folder(store, path, is_version, &names, &count, err);
    if (code == KM_OK) {
        if (count > 0)
            qsort(names, count, sizeof *names, compare_names);
        *out = km_calloc(count + 1, sizeof **out, SIZE_MAX, err);
        code = *out ? KM_OK : err->code;
    }
    for (size_t i = 0; *out && names && i < count; i++)
        (*out)[(*out_count)++] = (unsigned)strtoul(names[i] + 1, NULL, 10);
    free_names(names, count);
    return code;
}

static struct km_profile *load_version(struct km_store *store, const char *unit, const char *role, unsigned version,
                                       char *note, struct km_err *err)
{
    char rest[32], path[PATH_BYTES];
    (void)snprintf(rest, sizeof rest, "v%06u.kmp", version);
    char *bytes KM_CLEANUP(km_cleanup_free) = NULL;
    size_t length = 0;
    if (path_in(unit, role, rest, path, err) != KM_OK ||
        read_file(store, path, KM_PROFILE_MAX_FILE_BYTES, &bytes, &length, err) != KM_OK)
        return NULL;
    struct km_profile *profile = km_profile_load(bytes, length, note, err);
    if (!profile)
        km_err_wrap(err, "%s", path);
    return profile;
}

struct km_profile *km_store_load(struct km_store *store, const char *unit, const char *role, unsigned version,
                                 struct km_store_loaded *out, struct km_err *err)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    memset(out, 0, sizeof *out);
    if (list_versions(store, unit, role, &versions, &count, err) != KM_OK)
        return NULL;
    for (size_t i = count; i > 0; i--) {
        if (version != 0 && versions[i - 1] != version)
            continue;
        struct km_profile *profile = load_version(store, unit, role, versions[i - 1], out->note, err);
        if (profile) {
            out->version = versions[i - 1];
            return profile;
        }
        if (out->damage.code == KM_OK)
            out->damage = *err;
        if (err->code == KM_NOMEM)
            return NULL;
    }
    if (out->damage.code != KM_OK)
        *err = out->damage;
    else
        km_fail(err, KM_NOTFOUND, "no profile of %s, %s in the store", unit, role);
    return NULL;
}

static void remove_file(struct km_store *store, const char *unit, const char *role, const char *rest)
{
    char path[PATH_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    if (path_in(unit, role, rest, path, &ignored) == KM_OK)
        (void)unlinkat(store->fd, path, 0);
}

/* Old versions go, but those that were learned from scratch stay. */
static void prune(struct km_store *store, const char *unit, const char *role)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    struct km_err ignored = KM_ERR_INIT;
    if (list_versions(store, unit, role, &versions, &count, &ignored) != KM_OK)
        return;
    for (size_t i = 0; i + KM_STORE_VERSIONS < count; i++) {
        char note[KM_EVENT_MAX_NAME_BYTES] = "", rest[32];
        struct km_profile *profile KM_CLEANUP(km_profile_cleanup) =
            load_version(store, unit, role, versions[i], note, &ignored);
        if (profile && strcmp(note, LEARNED_NOTE) == 0)
            continue;
        (void)snprintf(rest, sizeof rest, "v%06u.kmp", versions[i]);
        remove_file(store, unit, role, rest);
    }
}

enum km_code km_store_save(struct km_store *store, const struct km_profile *profile, const char *note,
                           struct km_err *err)
{
    const struct km_profile_identity *id = km_profile_get_identity(profile);
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    enum km_code code = make_role_folders(store, id->unit, id->role, err);
    if (code == KM_OK)
        code = list_versions(store, id->unit, id->role, &versions, &count, err);
    if (code != KM_OK)
        return code;
    unsigned next = count > 0 ? versions[count - 1] + 1 : 1;
    if (next > MAX_VERSIONS)
        return km_fail(err, KM_LIMIT, "more than %d versions of a profile", MAX_VERSIONS);
    char rest[32], path[PATH_BYTES];
    (void)snprintf(rest, sizeof rest, "v%06u.kmp", next);
    struct km_buf bytes;
    km_buf_init(&bytes, KM_PROFILE_MAX_FILE_BYTES);
    code = km_profile_save(profile, note, &bytes, err);
    if (code == KM_OK)
        code = path_in(id->unit, id->role, rest, path, err);
    if (code == KM_OK)
        code = write_file(store, path, bytes.data, bytes.length, err);
    km_buf_done(&bytes);
    if (code == KM_OK)
        prune(store, id->unit, id->role);
    return code;
}

static struct km_json *read_json(struct km_store *store, const char *path, struct km_err *err)
{
    char *text KM_CLEANUP(km_cleanup_free) = NULL;
    size_t length = 0;
    if (read_file(store, path, KM_QUARANTINE_MAX_BYTES, &text, &length, err) != KM_OK)
        return NULL;
    return km_json_parse(text, length, KM_QUARANTINE_MAX_BYTES, err);
}

static enum km_code write_json(struct km_store *store, const char *path, const struct km_json *value,
                               struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_QUARANTINE_MAX_BYTES);
    enum km_code code = km_json_format(value, 1, &text, err);
    if (code == KM_OK)
        code = write_file(store, path, text.data, text.length, err);
    km_buf_done(&text);
    return code;
}

static enum km_code entry_path(const char *unit, const char *role, const char *folder, const char *id, char *out,
                               struct km_err *err)
{
    char rest[64];
    (void)snprintf(rest, sizeof rest, "%s/%.16s.json", folder, id);
    if (strlen(id) != 16 || strspn(id, "0123456789abcdef") != 16)
        return km_fail(err, KM_NOTFOUND, "'%s' is not the id of an alarm", id);
    return path_in(unit, role, rest, out, err);
}

/* An alarm that waits already is counted. */
static enum km_code keep_waiting(struct km_store *store, const struct km_profile_identity *who, struct km_json *entry,
                                 const char *id, struct km_err *err)
{
    char path[PATH_BYTES], folder[PATH_BYTES];
    enum km_code code = make_role_folders(store, who->unit, who->role, err);
    if (code == KM_OK)
        code = entry_path(who->unit, who->role, "quarantine", id, path, err);
    if (code == KM_OK)
        code = path_in(who->unit, who->role, "quarantine", folder, err);
    if (code != KM_OK)
        return code;
    struct km_err missing = KM_ERR_INIT;
    struct km_json *before KM_CLEANUP(km_json_cleanup) = read_json(store, path, &missing);
    if (before) {
        km_json_set_integer(entry, "count", km_json_integer(before, "count", 0) + 1);
        km_json_set_integer(entry, "first_ns", km_json_integer(before, "first_ns", 0));
    } else {
        char **names;
        size_t count;
        code = list_folder(store, folder, is_json, &names, &count, err);
        free_names(names, count);
        if (code != KM_OK)
            return code;
        if (count >= KM_STORE_MAX_QUARANTINE)
            return km_fail(err, KM_LIMIT, "more than %d alarms of %s wait for a decision", KM_STORE_MAX_QUARANTINE,
                           who->unit);
    }
    code = write_json(store, path, entry, err);
    if (code == KM_OK)
        (void)snprintf(store->quarantined, sizeof store->quarantined, "%s", id);
    return code;
}

enum km_code km_store_quarantine(struct km_store *store, const struct km_profile *profile,
                                 const struct km_episode *episode, const struct km_assessment *assessment,
                                 int64_t wall_ns, struct km_err *err)
{
    char id[KM_STORE_ID_BYTES];
    store->quarantined[0] = '\0';
    struct km_json *entry KM_CLEANUP(km_json_cleanup) =
        km_quarantine_describe(profile, episode, assessment, wall_ns, id, err);
    return entry ? keep_waiting(store, km_profile_get_identity(profile), entry, id, err) : err->code;
}

enum km_code km_store_quarantine_act(struct km_store *store, const struct km_profile *profile,
                                     const struct km_event_landmark *act, int64_t wall_ns, struct km_err *err)
{
    char id[KM_STORE_ID_BYTES];
    store->quarantined[0] = '\0';
    struct km_json *entry KM_CLEANUP(km_json_cleanup) = km_quarantine_describe_act(act, wall_ns, id);
    return keep_waiting(store, km_profile_get_identity(profile), entry, id, err);
}

const char *km_store_quarantined(const struct km_store *store)
{
    return store->quarantined;
}

/* All entries of a folder of a role; unreadable ones are left out. */
static struct km_json *read_entries(struct km_store *store, const char *unit, const char *role, const char *folder,
                                    struct km_err *err)
{
    char path[PATH_BYTES], **names = NULL;
    size_t count = 0;
    enum km_code code = path_in(unit, role, folder, path, err);
    if (code == KM_OK)
        code = list_folder(store, path, is_json, &names, &count, err);
    struct km_json *list = code == KM_OK ? km_json_new_array() : NULL;
    if (count > 0)
        qsort(names, count, sizeof *names, compare_names);
    for (size_t i = 0; list && i < count; i++) {
        struct km_err ignored = KM_ERR_INIT;
        names[i][16] = '\0';
        struct km_json *entry = NULL;
        if (entry_path(unit, role, folder, names[i], path, &ignored) == KM_OK)
            entry = read_json(store, path, &ignored);
        if (!entry)
            continue;
        km_json_set_string(entry, "id", names[i]);
        km_json_append(list, entry);
    }
    free_names(names, count);
    return list;
}

struct km_json *km_store_waiting(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    return read_entries(store, unit, role, "quarantine", err);
}

enum km_code km_store_accept(struct km_store *store, const char *unit, const char *role,
                             const struct km_store_acceptance *given, struct km_err *err)
{
    const char *id = given->id;
    char from[PATH_BYTES], to[PATH_BYTES], note[64];
    enum km_code code = entry_path(unit, role, "quarantine", id, from, err);
    if (code == KM_OK)
        code = entry_path(unit, role, "accepted", id, to, err);
    if (code != KM_OK)
        return code;
    struct km_json *entry KM_CLEANUP(km_json_cleanup) = read_json(store, from, err);
    if (!entry)
        return err->code == KM_NOTFOUND ? km_fail(err, KM_NOTFOUND, "no alarm %s of %s, %s waits", id, unit, role)
                                        : err->code;
    struct km_store_loaded loaded;
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) = km_store_load(store, unit, role, 0, &loaded, err);
    if (!profile)
        return err->code;
    code = km_quarantine_learn(profile, entry, err);
    if (code != KM_OK)
        return code;
    km_json_set_integer(entry, "until_ns", given->until_ns);
    km_json_set_integer(entry, "decision", given->decision);
    code = write_json(store, to, entry, err);
    (void)snprintf(note, sizeof note, "accepted %s", id);
    if (code == KM_OK)
        code = km_store_save(store, profile, note, err);
    if (code == KM_OK)
        (void)unlinkat(store->fd, from, 0);
    return code;
}

enum km_code km_store_rollback(struct km_store *store, const char *unit, const char *role, unsigned *out_version,
                               struct km_err *err)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    enum km_code code = list_versions(store, unit, role, &versions, &count, err);
    if (code != KM_OK)
        return code;
    if (count < 2)
        return km_fail(err, KM_NOTFOUND, "there is no earlier version of %s, %s", unit, role);
    char note[KM_EVENT_MAX_NAME_BYTES] = "", rest[32], from[PATH_BYTES], to[PATH_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    km_profile_free(load_version(store, unit, role, versions[count - 1], note, &ignored));
    const char *id = strncmp(note, "accepted ", 9) == 0 ? note + 9 : NULL;
    if (id && entry_path(unit, role, "accepted", id, from, &ignored) == KM_OK &&
        entry_path(unit, role, "quarantine", id, to, &ignored) == KM_OK)
        (void)renameat(store->fd, from, store->fd, to);
    (void)snprintf(rest, sizeof rest, "v%06u.kmp", versions[count - 1]);
    remove_file(store, unit, role, rest);
    *out_version = versions[count - 2];
    return KM_OK;
}

/* The newest version that was learned from scratch, or NULL with *err set. */
static struct km_profile *load_learned(struct km_store *store, const char *unit, const char *role, struct km_err *err)
{
    unsigned *versions KM_CLEANUP(km_cleanup_free) = NULL;
    size_t count;
    if (list_versions(store, unit, role, &versions, &count, err) != KM_OK)
        return NULL;
    for (size_t i = count; i > 0; i--) {
        char note[KM_EVENT_MAX_NAME_BYTES] = "";
        struct km_profile *profile = load_version(store, unit, role, versions[i - 1], note, err);
        if (profile && strcmp(note, LEARNED_NOTE) == 0)
            return profile;
        km_profile_free(profile);
    }
    km_fail(err, KM_NOTFOUND, "no version of %s, %s was learned from scratch", unit, role);
    return NULL;
}

static void forget_old(struct km_store *store, const char *unit, const char *role, int64_t wall_ns)
{
    struct km_err ignored = KM_ERR_INIT;
    struct km_json *waiting KM_CLEANUP(km_json_cleanup) = km_store_waiting(store, unit, role, &ignored);
    for (size_t i = 0; i < km_json_size(waiting); i++) {
        const struct km_json *entry = km_json_at(waiting, i);
        char rest[64];
        if (wall_ns - km_json_integer(entry, "last_ns", wall_ns) < KM_STORE_QUARANTINE_DAYS * NS_PER_DAY)
            continue;
        (void)snprintf(rest, sizeof rest, "quarantine/%s.json", km_json_string(entry, "id", ""));
        remove_file(store, unit, role, rest);
    }
}

static bool is_over(const struct km_json *entry, int64_t wall_ns)
{
    int64_t until = km_json_integer(entry, "until_ns", 0);
    return until != 0 && until <= wall_ns;
}

struct relearning {
    const char *unit, *role, *note;
    const struct km_json *accepted;
    int64_t wall_ns;  /* 0: nothing is over */
    int64_t decision; /* what this one accepted is left out; 0: nothing */
};

static bool is_left_out(const struct relearning *what, const struct km_json *entry)
{
    return (what->wall_ns != 0 && is_over(entry, what->wall_ns)) ||
           (what->decision != 0 && km_json_integer(entry, "decision", 0) == what->decision);
}

/* The last learned version with all decisions that still hold becomes the next one. */
static enum km_code relearn(struct km_store *store, const struct relearning *what, struct km_err *err)
{
    struct km_profile *profile KM_CLEANUP(km_profile_cleanup) = load_learned(store, what->unit, what->role, err);
    if (!profile)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < km_json_size(what->accepted) && code == KM_OK; i++)
        if (!is_left_out(what, km_json_at(what->accepted, i)))
            code = km_quarantine_learn(profile, km_json_at(what->accepted, i), err);
    return code == KM_OK ? km_store_save(store, profile, what->note, err) : code;
}

enum km_code km_store_withdraw(struct km_store *store, const char *unit, const char *role, int64_t decision,
                               struct km_err *err)
{
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) = read_entries(store, unit, role, "accepted", err);
    if (!accepted)
        return err->code;
    char note[64];
    (void)snprintf(note, sizeof note, "withdrew decision %lld", (long long)decision);
    const struct relearning what = {unit, role, note, accepted, 0, decision};
    bool any = false;
    for (size_t i = 0; i < km_json_size(accepted); i++)
        any |= is_left_out(&what, km_json_at(accepted, i));
    if (!any)
        return km_fail(err, KM_NOTFOUND, "decision %lld taught nothing to %s, %s", (long long)decision, unit, role);
    enum km_code code = relearn(store, &what, err);
    for (size_t i = 0; i < km_json_size(accepted) && code == KM_OK; i++) {
        char from[PATH_BYTES], to[PATH_BYTES];
        const char *id = km_json_string(km_json_at(accepted, i), "id", "");
        if (is_left_out(&what, km_json_at(accepted, i)) && entry_path(unit, role, "accepted", id, from, err) == KM_OK &&
            entry_path(unit, role, "quarantine", id, to, err) == KM_OK)
            (void)renameat(store->fd, from, store->fd, to);
    }
    return code;
}

enum km_code km_store_expire(struct km_store *store, const char *unit, const char *role, int64_t wall_ns,
                             unsigned *out_ended, struct km_err *err)
{
    *out_ended = 0;
    forget_old(store, unit, role, wall_ns);
    struct km_json *accepted KM_CLEANUP(km_json_cleanup) = read_entries(store, unit, role, "accepted", err);
    if (!accepted)
        return err->code;
    unsigned ended = 0;
    for (size_t i = 0; i < km_json_size(accepted); i++)
        ended += is_over(km_json_at(accepted, i), wall_ns);
    if (ended == 0)
        return KM_OK;
    char note[64];
    (void)snprintf(note, sizeof note, "expired %u", ended);
    enum km_code code = relearn(store, &(struct relearning){unit, role, note, accepted, wall_ns, 0}, err);
    for (size_t i = 0; i < km_json_size(accepted) && code == KM_OK; i++) {
        char rest[64];
        if (!is_over(km_json_at(accepted, i), wall_ns))
            continue;
        (void)snprintf(rest, sizeof rest, "accepted/%s.json", km_json_string(km_json_at(accepted, i), "id", ""));
        remove_file(store, unit, role, rest);
    }
    *out_ended = code == KM_OK ? ended : 0;
    return code;
}

/* The roles of one unit's folder. */
static enum km_code list_unit(struct km_store *store, const char *unit_folder, void *context,
                              enum km_code (*visit)(void *context, const struct km_store_entry *entry,
                                                    struct km_err *err),
                              struct km_err *err)
{
    char **roles;
    size_t count;
    enum km_code code = list_folder(store, unit_folder, take_any, &roles, &count, err);
    if (count > 0)
        qsort(roles, count, sizeof *roles, compare_names);
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
    free_names(roles, count);
    return code;
}

enum km_code km_store_list(struct km_store *store, void *context,
                           enum km_code (*visit)(void *context, const struct km_store_entry *entry, struct km_err *err),
                           struct km_err *err)
{
    char **units;
    size_t count;
    enum km_code code = list_folder(store, ".", take_any, &units, &count, err);
    if (count > 0)
        qsort(units, count, sizeof *units, compare_names);
    for (size_t i = 0; i < count && code == KM_OK; i++)
        code = list_unit(store, units[i], context, visit, err);
    free_names(units, count);
    return code;
}
