#include "container/scan/baseline_edit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/text.h"
#include "container/scan/baseline_state.h"

#define LOCK_FILE    "lock"
#define WORK_FILE    "work.mdb"
#define PART_PREFIX  "part"
#define NUMBER_BYTES 4
#define COPY_BYTES   ((size_t)64 << 10)
#define MAP_ROOM     ((uint64_t)64 << 20) /* a change needs pages beside those that it replaces, until it is compacted */

struct edit {
    int dir_fd, lock_fd;
    struct km_baseline_state state;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi files, layers;
    uint64_t max_bytes;
    bool begun, saved;
};

static void clear_away(const struct edit *edit);

/* Of a change that failed, nothing is left but the old state. */
static void forget_change(struct edit *edit)
{
    struct km_err ignored = KM_ERR_INIT;
    km_baseline_state_done(&edit->state);
    enum km_code code = km_baseline_state_load(edit->dir_fd, &edit->state, &ignored);
    if (code == KM_OK || code == KM_NOTFOUND)
        clear_away(edit);
}

static void edit_done(struct edit *edit)
{
    if (edit->txn)
        mdb_txn_abort(edit->txn);
    if (edit->env) {
        mdb_env_close(edit->env);
        (void)unlinkat(edit->dir_fd, WORK_FILE, 0);
    }
    if (edit->begun && !edit->saved)
        forget_change(edit);
    km_baseline_state_done(&edit->state);
    km_cleanup_close(&edit->lock_fd);
}

static enum km_code fail_lmdb(const struct edit *edit, struct km_err *err, int result)
{
    char limit[32];
    km_text_format_bytes(edit->max_bytes, limit, sizeof limit);
    if (result == MDB_MAP_FULL)
        return km_fail(err, KM_LIMIT, "the baseline is full (%s): remove images first", limit);
    if (result == ENOMEM)
        return km_fail(err, KM_NOMEM, "out of memory (baseline)");
    return result > 0 ? km_fail_errno(err, result, "cannot write the baseline")
                      : km_fail(err, KM_FORMAT, "cannot write the baseline: %s", mdb_strerror(result));
}

static enum km_code lock(struct edit *edit, struct km_err *err)
{
    edit->lock_fd = openat(edit->dir_fd, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (edit->lock_fd < 0)
        return km_fail_errno(err, errno, "cannot lock the baseline");
    if (flock(edit->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return KM_OK;
    return errno == EWOULDBLOCK ? km_fail(err, KM_CONFLICT, "another komainu is changing the baseline")
                                : km_fail_errno(err, errno, "cannot lock the baseline");
}

static bool is_current(const struct edit *edit, const char *file)
{
    for (size_t i = 0; i < edit->state.part_count; i++)
        if (strcmp(edit->state.parts[i].file, file) == 0)
            return true;
    return false;
}

/* Files of states that are over, and of writers that were killed. Only the lock's holder comes here. */
static void clear_away(const struct edit *edit)
{
    int fd = openat(edit->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *folder = fd < 0 ? NULL : fdopendir(fd);
    if (!folder) {
        km_cleanup_close(&fd);
        return;
    }
    const struct dirent *entry;
    while ((entry = readdir(folder))) {
        bool ours = strncmp(entry->d_name, KM_BASELINE_HASHES "-", sizeof KM_BASELINE_HASHES) == 0 ||
                    strncmp(entry->d_name, PART_PREFIX "-", sizeof PART_PREFIX) == 0 ||
                    strcmp(entry->d_name, WORK_FILE) == 0 || strcmp(entry->d_name, "current.new") == 0;
        if (ours && !is_current(edit, entry->d_name))
            (void)unlinkat(edit->dir_fd, entry->d_name, 0);
    }
    closedir(folder);
}

static enum km_code copy_bytes(int from, int to, struct km_err *err)
{
    void *buffer KM_CLEANUP(km_cleanup_free) = malloc(COPY_BYTES);
    if (!buffer)
        return km_fail(err, KM_NOMEM, "out of memory (baseline)");
    for (;;) {
        ssize_t got = read(from, buffer, COPY_BYTES);
        if (got == 0)
            return KM_OK;
        if (got < 0 || write(to, buffer, (size_t)got) != got)
            return km_fail_errno(err, errno ? errno : EIO, "cannot write the baseline");
    }
}

/* The work file: a copy of the hashes in force. */
static enum km_code copy_hashes(const struct edit *edit, int work_fd, struct km_err *err)
{
    const struct km_baseline_part *part = km_baseline_state_part(&edit->state, KM_BASELINE_HASHES);
    int from KM_CLEANUP(km_cleanup_close) = -1;
    if (!part)
        return KM_OK;
    enum km_code code = km_baseline_state_open_part(edit->dir_fd, part, &from, err);
    return code == KM_OK ? copy_bytes(from, work_fd, err) : code;
}

static enum km_code open_work(struct edit *edit, struct km_err *err)
{
    char path[64];
    const struct km_baseline_part *part = km_baseline_state_part(&edit->state, KM_BASELINE_HASHES);
    int fd KM_CLEANUP(km_cleanup_close) =
        openat(edit->dir_fd, WORK_FILE, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot write the baseline");
    enum km_code code = copy_hashes(edit, fd, err);
    if (code != KM_OK)
        return code;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    uint64_t present = part ? part->bytes : 0;
    int result = mdb_env_create(&edit->env);
    if (result == 0)
        result = mdb_env_set_maxdbs(edit->env, 2);
    if (result == 0)
        result = mdb_env_set_mapsize(edit->env, (size_t)(present + edit->max_bytes + MAP_ROOM));
    if (result == 0)
        result = mdb_env_open(edit->env, path, MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOSYNC, 0600);
    if (result == 0)
        result = mdb_txn_begin(edit->env, NULL, 0, &edit->txn);
    if (result == 0)
        result =
            mdb_dbi_open(edit->txn, KM_BASELINE_HASHES_FILES, MDB_DUPSORT | MDB_DUPFIXED | MDB_CREATE, &edit->files);
    if (result == 0)
        result =
            mdb_dbi_open(edit->txn, KM_BASELINE_HASHES_LAYERS, MDB_DUPSORT | MDB_DUPFIXED | MDB_CREATE, &edit->layers);
    return result == 0 ? KM_OK : fail_lmdb(edit, err, result);
}

static enum km_code edit_begin(struct edit *edit, int dir_fd, bool may_create, struct km_err *err)
{
    *edit = (struct edit){.dir_fd = dir_fd, .lock_fd = -1, .max_bytes = KM_BASELINE_MAX_BYTES};
    enum km_code code = lock(edit, err);
    if (code == KM_OK)
        code = km_baseline_state_load(dir_fd, &edit->state, err);
    if (code == KM_NOTFOUND && may_create) {
        km_baseline_state_done(&edit->state);
        code = km_baseline_state_init(&edit->state, err);
    }
    if (code == KM_OK)
        clear_away(edit);
    edit->begun = code == KM_OK;
    return code;
}

/* ---- Writing what came out ---- */

static enum km_code count_keys(struct edit *edit, MDB_dbi table, uint64_t *out, struct km_err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    uint64_t count = 0;
    int result = mdb_cursor_open(edit->txn, table, &cursor);
    if (result != 0)
        return fail_lmdb(edit, err, result);
    for (result = mdb_cursor_get(cursor, &key, &value, MDB_FIRST); result == 0;
         result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT_NODUP))
        count++;
    mdb_cursor_close(cursor);
    if (result != MDB_NOTFOUND)
        return fail_lmdb(edit, err, result);
    *out = count;
    return KM_OK;
}

/* A new file under a name that nobody has. */
static enum km_code new_file(const struct edit *edit, const char *prefix, struct km_baseline_part *out, int *out_fd,
                             struct km_err *err)
{
    uint8_t random[8];
    char hex[2 * sizeof random + 1];
    if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
        return km_fail_errno(err, errno, "no random numbers");
    km_hex_format(random, sizeof random, hex);
    (void)snprintf(out->file, sizeof out->file, "%s-%s.mdb", prefix, hex);
    *out_fd = openat(edit->dir_fd, out->file, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    return *out_fd >= 0 ? KM_OK : km_fail_errno(err, errno, "cannot write the baseline");
}

/* Safe on the disk, and part of the state that is being made. */
static enum km_code keep_file(struct edit *edit, const char *name, int fd, struct km_baseline_part *part,
                              struct km_err *err)
{
    struct km_baseline_part *kept = NULL;
    enum km_code code = fsync(fd) == 0 ? KM_OK : km_fail_errno(err, errno, "cannot write the baseline");
    if (code == KM_OK)
        code = km_baseline_hash_file(fd, part->sha256, &part->bytes, err);
    if (code == KM_OK)
        code = km_baseline_state_touch_part(&edit->state, name, &kept, err);
    if (code != KM_OK)
        return code;
    part->name = kept->name;
    *kept = *part;
    return KM_OK;
}

/* A compact copy of the work file becomes the state's file of hashes. */
static enum km_code write_hashes(struct edit *edit, struct km_err *err)
{
    struct km_baseline_part part = {0};
    int fd KM_CLEANUP(km_cleanup_close) = -1;
    enum km_code code = new_file(edit, KM_BASELINE_HASHES, &part, &fd, err);
    int result = code == KM_OK ? mdb_env_copyfd2(edit->env, fd, MDB_CP_COMPACT) : 0;
    if (result != 0)
        code = fail_lmdb(edit, err, result);
    if (code == KM_OK)
        code = keep_file(edit, KM_BASELINE_HASHES, fd, &part, err);
    return code == KM_OK && part.bytes > edit->max_bytes ? fail_lmdb(edit, err, MDB_MAP_FULL) : code;
}

static enum km_code write_part(struct edit *edit, const struct km_baseline_addition *addition, struct km_err *err)
{
    struct km_baseline_part part = {0};
    char name[KM_BASELINE_PART_BYTES];
    int fd KM_CLEANUP(km_cleanup_close) = -1;
    if (!addition->part)
        return KM_OK;
    KM_ASSERT(km_baseline_part_name(addition->part, edit->state.next_number, name));
    if (lseek(addition->part_fd, 0, SEEK_SET) < 0)
        return km_fail_errno(err, errno, "cannot read what is to be stored with the image");
    enum km_code code = new_file(edit, PART_PREFIX, &part, &fd, err);
    if (code == KM_OK)
        code = copy_bytes(addition->part_fd, fd, err);
    return code == KM_OK ? keep_file(edit, name, fd, &part, err) : code;
}

static enum km_code edit_commit(struct edit *edit, struct km_err *err)
{
    enum km_code code = count_keys(edit, edit->files, &edit->state.files, err);
    if (code == KM_OK)
        code = count_keys(edit, edit->layers, &edit->state.layers, err);
    if (code != KM_OK)
        return code;
    MDB_txn *txn = km_steal(edit->txn);
    int result = mdb_txn_commit(txn); /* frees it whatever happens */
    if (result != 0)
        return fail_lmdb(edit, err, result);
    code = write_hashes(edit, err);
    if (code == KM_OK)
        code = km_baseline_state_save(edit->dir_fd, &edit->state, err);
    if (code == KM_OK) {
        edit->saved = true;
        clear_away(edit);
    }
    return code;
}

/* ---- Adding ---- */

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, KM_SHA256_BYTES);
}

static void number_bytes(uint32_t number, uint8_t out[NUMBER_BYTES])
{
    for (size_t i = 0; i < NUMBER_BYTES; i++)
        out[i] = (uint8_t)(number >> (8 * (NUMBER_BYTES - 1 - i)));
}

/* Sorted, so that pages are filled one after the other. *out_count: different ones. */
static enum km_code put_all(struct edit *edit, MDB_dbi table, uint8_t (*hashes)[KM_SHA256_BYTES], size_t count,
                            uint64_t *out_count, struct km_err *err)
{
    uint8_t number[NUMBER_BYTES];
    uint64_t different = 0;
    number_bytes(edit->state.next_number, number);
    if (count > 0)
        qsort(hashes, count, sizeof *hashes, compare_hashes);
    for (size_t i = 0; i < count; i++) {
        MDB_val key = {KM_SHA256_BYTES, hashes[i]}, value = {NUMBER_BYTES, number};
        if (i > 0 && memcmp(hashes[i], hashes[i - 1], KM_SHA256_BYTES) == 0)
            continue;
        int result = mdb_put(edit->txn, table, &key, &value, 0);
        if (result != 0)
            return fail_lmdb(edit, err, result);
        different++;
    }
    *out_count = different;
    return KM_OK;
}

static const struct km_baseline_image *find_image(const struct km_baseline_state *state, const char *name)
{
    for (size_t i = 0; i < state->image_count; i++)
        if (strcmp(state->images[i].name, name) == 0)
            return &state->images[i];
    return NULL;
}

enum km_code km_baseline_add(int dir_fd, struct km_baseline_addition *addition, struct km_err *err)
{
    struct edit edit KM_CLEANUP(edit_done) = {.lock_fd = -1};
    struct km_baseline_image image = addition->image;
    char name[KM_BASELINE_MAX_NAME];
    km_text_escape(image.name, strlen(image.name), name, sizeof name);
    enum km_code code = edit_begin(&edit, dir_fd, true, err);
    if (code == KM_OK && find_image(&edit.state, name))
        code = km_fail(err, KM_CONFLICT, "the baseline has an image '%s' already: remove it first, or give a --name",
                       image.name);
    if (code != KM_OK)
        return code;
    if (addition->max_bytes < edit.max_bytes)
        edit.max_bytes = addition->max_bytes;
    code = open_work(&edit, err);
    if (code == KM_OK)
        code = put_all(&edit, edit.files, addition->files, addition->file_count, &image.files, err);
    if (code == KM_OK)
        code = put_all(&edit, edit.layers, addition->layers, addition->layer_count, &image.layers, err);
    if (code == KM_OK)
        code = write_part(&edit, addition, err);
    if (code == KM_OK)
        code = km_baseline_state_add_image(&edit.state, &image, err);
    return code == KM_OK ? edit_commit(&edit, err) : code;
}

/* ---- Removing ---- */

struct hash_list {
    uint8_t (*hashes)[KM_SHA256_BYTES];
    size_t count, capacity;
};

static void hash_list_done(struct hash_list *list)
{
    free(list->hashes);
}

/* The keys of a table that an image has. */
static enum km_code list_keys(struct edit *edit, MDB_dbi table, uint8_t number[NUMBER_BYTES], struct hash_list *out,
                              struct km_err *err)
{
    MDB_cursor *cursor = NULL;
    MDB_val key, value;
    enum km_code code = KM_OK;
    int result = mdb_cursor_open(edit->txn, table, &cursor);
    if (result != 0)
        return fail_lmdb(edit, err, result);
    result = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    for (; result == 0 && code == KM_OK; result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        if (value.mv_size != NUMBER_BYTES || memcmp(value.mv_data, number, NUMBER_BYTES) != 0 ||
            key.mv_size != KM_SHA256_BYTES)
            continue;
        void *hashes = out->hashes;
        code = km_grow(&hashes, &out->capacity, out->count + 1, KM_SHA256_BYTES, SIZE_MAX / KM_SHA256_BYTES, err);
        out->hashes = hashes;
        if (code == KM_OK)
            memcpy(out->hashes[out->count++], key.mv_data, KM_SHA256_BYTES);
    }
    mdb_cursor_close(cursor);
    return code != KM_OK || result == MDB_NOTFOUND ? code : fail_lmdb(edit, err, result);
}

/* In two passes: a cursor of LMDB 0.9.24 that deletes as it goes leaves entries out. */
static enum km_code drop_all(struct edit *edit, MDB_dbi table, uint32_t image, struct km_err *err)
{
    struct hash_list list KM_CLEANUP(hash_list_done) = {0};
    uint8_t number[NUMBER_BYTES];
    number_bytes(image, number);
    enum km_code code = list_keys(edit, table, number, &list, err);
    for (size_t i = 0; code == KM_OK && i < list.count; i++) {
        MDB_val key = {KM_SHA256_BYTES, list.hashes[i]}, value = {NUMBER_BYTES, number};
        int result = mdb_del(edit->txn, table, &key, &value);
        code = result == 0 ? KM_OK : fail_lmdb(edit, err, result);
    }
    return code;
}

enum km_code km_baseline_remove(int dir_fd, const char *name, struct km_err *err)
{
    struct edit edit KM_CLEANUP(edit_done) = {.lock_fd = -1};
    enum km_code code = edit_begin(&edit, dir_fd, false, err);
    if (code != KM_OK)
        return code;
    const struct km_baseline_image *image = find_image(&edit.state, name);
    if (!image)
        return km_fail(err, KM_NOTFOUND, "the baseline has no image '%s'", name);
    size_t at = (size_t)(image - edit.state.images);
    uint32_t number = image->number;
    code = open_work(&edit, err);
    if (code == KM_OK)
        code = drop_all(&edit, edit.files, number, err);
    if (code == KM_OK)
        code = drop_all(&edit, edit.layers, number, err);
    if (code != KM_OK)
        return code;
    km_baseline_state_drop_parts(&edit.state, number);
    memmove(edit.state.images + at, edit.state.images + at + 1, (edit.state.image_count - at - 1) * sizeof *image);
    edit.state.image_count--;
    return edit_commit(&edit, err);
}
