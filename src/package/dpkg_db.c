#include "package/dpkg.h"

#include "base/digest.h"

#include <stdio.h>
#include <string.h>

static const char *const merged_folders[] = {NULL, "bin", "sbin", "lib", "lib32", "lib64", "libx32", "libo32"};

#define MERGED_COUNT (sizeof merged_folders / sizeof merged_folders[0])

static bool ends_with(const char *text, size_t length, const char *suffix)
{
    size_t n = strlen(suffix);
    return length > n && memcmp(text + length - n, suffix, n) == 0;
}

/* The kind of a path, and which part of it names the package. */
static enum km_package_file_kind classify(const char *path, const char **out_stem, size_t *out_length)
{
    while (*path == '/')
        path++;
    *out_stem = "";
    *out_length = 0;
    if (strncmp(path, KM_DPKG_FOLDER, strlen(KM_DPKG_FOLDER)) != 0)
        return KM_PACKAGE_FILE_NONE;
    path += strlen(KM_DPKG_FOLDER);
    if (strcmp(path, "status") == 0)
        return KM_PACKAGE_FILE_STATUS;
    if (strcmp(path, "diversions") == 0)
        return KM_PACKAGE_FILE_DIVERSIONS;
    static const struct {
        const char *folder, *suffix;
        enum km_package_file_kind kind;
    } table[] = {
        {"info/", ".list", KM_PACKAGE_FILE_LIST},
        {"info/", ".md5sums", KM_PACKAGE_FILE_SUMS},
        {"info/", ".conffiles", KM_PACKAGE_FILE_CONFFILES},
        {"status.d/", ".md5sums", KM_PACKAGE_FILE_PART_SUMS},
        {"status.d/", "", KM_PACKAGE_FILE_PART},
        {"alternatives/", "", KM_PACKAGE_FILE_ALTERNATIVE},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        size_t folder = strlen(table[i].folder);
        if (strncmp(path, table[i].folder, folder) != 0)
            continue;
        const char *name = path + folder;
        size_t length = strlen(name);
        if (strchr(name, '/') || !ends_with(name, length, table[i].suffix))
            continue;
        *out_stem = name;
        *out_length = length - strlen(table[i].suffix);
        return table[i].kind;
    }
    return KM_PACKAGE_FILE_NONE;
}

enum km_package_file_kind km_package_wants(const char *path)
{
    const char *stem;
    size_t length;
    return classify(path, &stem, &length);
}

/* The number of a directory that a merged /usr links, or 0. */
static unsigned number_of_top(const char *name, size_t length)
{
    for (unsigned i = 1; i < MERGED_COUNT; i++)
        if (strlen(merged_folders[i]) == length && memcmp(name, merged_folders[i], length) == 0)
            return i;
    return 0;
}

uint64_t km_dpkg_key(const struct km_package_db *db, const char *path, size_t length)
{
    if (length > 0 && path[0] == '/') {
        path++;
        length--;
    }
    bool usr = length > 4 && memcmp(path, "usr/", 4) == 0;
    const char *rest = usr ? path + 4 : path;
    size_t rest_length = usr ? length - 4 : length;
    const char *slash = memchr(rest, '/', rest_length);
    unsigned top = slash ? number_of_top(rest, (size_t)(slash - rest)) : 0;
    uint64_t hash = km_keyhash_bytes(&db->hash_key, rest, rest_length) & KM_DPKG_KEY_HASH_MASK;
    return hash | (uint64_t)top << 1 | (usr ? KM_DPKG_KEY_USR : 0);
}

enum km_code km_dpkg_grow(struct km_package_db *db, void **array, size_t *capacity, size_t needed, size_t size,
                          struct km_err *err)
{
    size_t before = *capacity;
    size_t room = (db->max_bytes - db->used_bytes) / size;
    if (needed > before && needed - before > room)
        return km_fail(err, KM_LIMIT, "package database: more than %zu bytes of records", db->max_bytes);
    enum km_code code = km_grow(array, capacity, needed, size, before + room, err);
    db->used_bytes += (*capacity - before) * size;
    return code;
}

void km_dpkg_release(struct km_package_db *db, void *array, size_t capacity, size_t size)
{
    free(array);
    db->used_bytes -= capacity * size;
}

enum km_code km_dpkg_add_name(struct km_package_db *db, const char *text, size_t length, uint32_t *out_offset,
                              struct km_err *err)
{
    if (length > UINT32_MAX / 2 || db->name_bytes > UINT32_MAX / 2)
        return km_fail(err, KM_LIMIT, "package database: too many names");
    void *names = db->names;
    enum km_code code = km_dpkg_grow(db, &names, &db->name_capacity, db->name_bytes + length + 1, 1, err);
    db->names = names;
    if (code != KM_OK)
        return code;
    memcpy(db->names + db->name_bytes, text, length);
    db->names[db->name_bytes + length] = '\0';
    *out_offset = (uint32_t)db->name_bytes;
    db->name_bytes += length + 1;
    return KM_OK;
}

enum km_code km_dpkg_add_key(struct km_package_file *file, uint64_t key, struct km_err *err)
{
    void *keys = file->keys;
    enum km_code code = km_dpkg_grow(file->db, &keys, &file->key_capacity, file->key_count + 1, sizeof key, err);
    file->keys = keys;
    if (code == KM_OK)
        file->keys[file->key_count++] = key;
    return code;
}

enum km_code km_dpkg_add_sum(struct km_package_file *file, const struct km_dpkg_sum *sum, struct km_err *err)
{
    void *sums = file->sums;
    enum km_code code = km_dpkg_grow(file->db, &sums, &file->sum_capacity, file->sum_count + 1, sizeof *sum, err);
    file->sums = sums;
    if (code == KM_OK)
        file->sums[file->sum_count++] = *sum;
    return code;
}

bool km_dpkg_read_md5(const char *text, size_t length, uint8_t out[16])
{
    struct km_err ignored = KM_ERR_INIT;
    return length == 32 && km_hex_parse(text, 16, out, &ignored) == KM_OK;
}

void km_dpkg_forget(struct km_package_file *file)
{
    struct km_package_db *db = file->db;
    km_dpkg_release(db, km_steal(file->keys), file->key_capacity, sizeof *file->keys);
    km_dpkg_release(db, km_steal(file->sums), file->sum_capacity, sizeof *file->sums);
    km_dpkg_release(db, km_steal(file->packages), file->package_capacity, sizeof *file->packages);
    km_dpkg_release(db, km_steal(file->diversions), file->diversion_capacity, sizeof *file->diversions);
    file->key_count = file->key_capacity = file->sum_count = file->sum_capacity = 0;
    file->package_count = file->package_capacity = file->diversion_count = file->diversion_capacity = 0;
}

enum km_code km_dpkg_damage(struct km_package_file *file, const char *what)
{
    if (!file->damage) {
        file->damage = what;
        km_dpkg_forget(file);
    }
    return KM_OK;
}

struct km_package_db *km_package_db_new(size_t max_bytes, struct km_err *err)
{
    KM_CLEANUP(km_package_db_cleanup) struct km_package_db *db = km_calloc(1, sizeof *db, SIZE_MAX, err);
    if (!db)
        return NULL;
    db->max_bytes = max_bytes;
    uint32_t empty;
    if (km_dpkg_add_name(db, "", 0, &empty, err) != KM_OK)
        return NULL;
    km_keyhash_init(&db->hash_key);
    return km_steal(db);
}

void km_package_db_free(struct km_package_db *db)
{
    if (!db)
        return;
    KM_ASSERT(!db->viewed);
    for (struct km_package_file *file = db->first; file;) {
        struct km_package_file *next = file->next;
        km_dpkg_forget(file);
        km_buf_done(&file->pending);
        free(file);
        file = next;
    }
    free(db->names);
    free(db);
}

struct km_package_file *km_package_db_begin(struct km_package_db *db, const char *path, struct km_err *err)
{
    const char *stem;
    size_t stem_length;
    enum km_package_file_kind kind = classify(path, &stem, &stem_length);
    KM_ASSERT(kind != KM_PACKAGE_FILE_NONE);
    uint32_t path_offset = 0, stem_offset = 0;
    if (km_dpkg_add_name(db, path, strlen(path), &path_offset, err) != KM_OK ||
        km_dpkg_add_name(db, stem, stem_length, &stem_offset, err) != KM_OK)
        return NULL;
    struct km_package_file *file = km_calloc(1, sizeof *file, db->max_bytes - db->used_bytes, err);
    if (!file)
        return NULL;
    db->used_bytes += sizeof *file;
    file->db = db;
    file->kind = kind;
    file->path = path_offset;
    file->stem = stem_offset;
    file->line = 1;
    km_buf_init(&file->pending, KM_DPKG_MAX_LINE_BYTES);
    if (db->last)
        db->last->next = file;
    else
        db->first = file;
    db->last = file;
    return file;
}

static bool has_stanzas(const struct km_package_file *file)
{
    return file->kind == KM_PACKAGE_FILE_STATUS || file->kind == KM_PACKAGE_FILE_PART;
}

/* Only NOMEM is the caller's; the memory limit is damage of the file that met it. */
static enum km_code settle(struct km_package_file *file, enum km_code code)
{
    if (code != KM_LIMIT)
        return code;
    return km_dpkg_damage(file, "more records than the memory limit allows");
}

static enum km_code take_line(struct km_package_file *file, const char *line, size_t length, bool cut,
                              struct km_err *err)
{
    enum km_code code = has_stanzas(file) ? km_dpkg_status_line(file, line, length, cut, err)
                                          : km_dpkg_list_line(file, line, length, cut, err);
    code = settle(file, code);
    if (!file->damage)
        file->line++;
    return code;
}

/* Keeps the beginning of a line up to the limit. */
static enum km_code hold(struct km_package_file *file, const char *bytes, size_t length, struct km_err *err)
{
    size_t room = KM_DPKG_MAX_LINE_BYTES - file->pending.length;
    if (length > room) {
        file->pending_cut = true;
        length = room;
    }
    return km_buf_append(&file->pending, bytes, length, err);
}

static enum km_code take_pending(struct km_package_file *file, struct km_err *err)
{
    enum km_code code = take_line(file, km_buf_text(&file->pending), file->pending.length, file->pending_cut, err);
    km_buf_clear(&file->pending);
    file->pending_cut = false;
    return code;
}

enum km_code km_package_file_feed(struct km_package_file *file, const void *bytes, size_t length, struct km_err *err)
{
    KM_ASSERT(!file->ended);
    const char *at = bytes;
    while (length > 0 && !file->damage) {
        const char *newline = memchr(at, '\n', length);
        size_t piece = newline ? (size_t)(newline - at) : length;
        enum km_code code;
        if (newline && file->pending.length == 0) {
            bool cut = piece > KM_DPKG_MAX_LINE_BYTES;
            code = take_line(file, at, cut ? KM_DPKG_MAX_LINE_BYTES : piece, cut, err);
        } else {
            code = hold(file, at, piece, err);
            if (code == KM_OK && newline)
                code = take_pending(file, err);
        }
        if (code != KM_OK)
            return code;
        size_t eaten = newline ? piece + 1 : piece;
        at += eaten;
        length -= eaten;
    }
    return KM_OK;
}

enum km_code km_package_file_end(struct km_package_file *file, bool complete, struct km_err *err)
{
    KM_ASSERT(!file->ended);
    enum km_code code = KM_OK;
    if (!complete)
        code = km_dpkg_damage(file, "not read to its end");
    if (!file->damage && file->pending.length > 0)
        code = take_pending(file, err);
    if (code == KM_OK && !file->damage && has_stanzas(file))
        code = settle(file, km_dpkg_status_end(file, err));
    if (code == KM_OK && !file->damage)
        km_dpkg_list_end(file);
    km_buf_done(&file->pending);
    file->ended = code == KM_OK;
    return code;
}

void km_package_db_select(struct km_package_db *db, struct km_package_file *file)
{
    KM_ASSERT(file->db == db);
    file->selected = true;
}

void km_package_db_deselect_all(struct km_package_db *db)
{
    for (struct km_package_file *file = db->first; file; file = file->next)
        file->selected = false;
    db->aliases = 0;
}

void km_package_db_add_alias(struct km_package_db *db, const char *path, const char *target)
{
    while (*path == '/')
        path++;
    while (*target == '/')
        target++;
    if (strncmp(target, "usr/", 4) != 0)
        return;
    target += 4;
    size_t length = strlen(target);
    while (length > 0 && target[length - 1] == '/')
        length--;
    if (strlen(path) == length && memcmp(path, target, length) == 0)
        db->aliases |= 1U << number_of_top(path, length) & ~1U;
}

void km_package_db_spoil(struct km_package_db *db, const char *reason)
{
    if (db->spoiled[0] == '\0')
        (void)snprintf(db->spoiled, sizeof db->spoiled, "%s", reason);
}
