#include "container/scan/baseline.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/folder.h"
#include "container/scan/baseline_state.h"

#define OPEN_ATTEMPTS 8 /* a writer may take the old files away between reading the document and opening them */

struct km_baseline {
    struct km_baseline_state state;
    int dir_fd;
    int hashes_fd; /* LMDB reopens it by number, so that what is mapped is what was verified */
    MDB_env *env;
    MDB_dbi files, layers;
};

static enum km_code fail_lmdb(struct km_err *err, int result)
{
    if (result == MDB_VERSION_MISMATCH || result == MDB_INVALID)
        return km_fail(err, KM_UNSUPPORTED, "the baseline was written by another version of LMDB: %s",
                       mdb_strerror(result));
    if (result == ENOMEM)
        return km_fail(err, KM_NOMEM, "out of memory (baseline)");
    return result > 0 ? km_fail_errno(err, result, "cannot open the baseline")
                      : km_fail(err, KM_FORMAT, "the baseline is damaged: %s", mdb_strerror(result));
}

static int open_tables(struct km_baseline *baseline)
{
    MDB_txn *txn = NULL;
    int result = mdb_txn_begin(baseline->env, NULL, MDB_RDONLY, &txn);
    if (result != 0)
        return result;
    result = mdb_dbi_open(txn, KM_BASELINE_HASHES_FILES, MDB_DUPSORT, &baseline->files);
    if (result == 0)
        result = mdb_dbi_open(txn, KM_BASELINE_HASHES_LAYERS, MDB_DUPSORT, &baseline->layers);
    if (result == 0)
        return mdb_txn_commit(txn); /* keeps the tables open */
    mdb_txn_abort(txn);
    return result;
}

static enum km_code open_hashes(struct km_baseline *baseline, struct km_err *err)
{
    const struct km_baseline_part *part = km_baseline_state_part(&baseline->state, KM_BASELINE_HASHES);
    char path[64];
    if (part->bytes > KM_BASELINE_MAX_BYTES)
        return km_fail(err, KM_LIMIT, "the baseline is larger than %llu bytes",
                       (unsigned long long)KM_BASELINE_MAX_BYTES);
    enum km_code code = km_baseline_state_open_part(baseline->dir_fd, part, &baseline->hashes_fd, err);
    if (code != KM_OK)
        return code;
    snprintf(path, sizeof path, "/proc/self/fd/%d", baseline->hashes_fd);
    int result = mdb_env_create(&baseline->env);
    if (result == 0)
        result = mdb_env_set_maxdbs(baseline->env, 2);
    if (result == 0)
        result = mdb_env_set_mapsize(baseline->env, (size_t)part->bytes);
    if (result == 0)
        result = mdb_env_open(baseline->env, path, MDB_RDONLY | MDB_NOSUBDIR | MDB_NOLOCK | MDB_NOTLS, 0);
    if (result == 0)
        result = open_tables(baseline);
    return result == 0 ? KM_OK : fail_lmdb(err, result);
}

static enum km_code open_once(int dir_fd, struct km_baseline **out, struct km_err *err)
{
    struct km_baseline *baseline KM_CLEANUP(km_baseline_cleanup) = km_calloc(1, sizeof *baseline, SIZE_MAX, err);
    if (!baseline)
        return err->code;
    baseline->hashes_fd = -1;
    baseline->dir_fd = fcntl(dir_fd, F_DUPFD_CLOEXEC, 0);
    enum km_code code = baseline->dir_fd < 0 ? km_fail_errno(err, errno, "the baseline's folder") : KM_OK;
    if (code == KM_OK)
        code = km_baseline_state_load(dir_fd, &baseline->state, err);
    if (code != KM_OK)
        return code;
    code = open_hashes(baseline, err);
    if (code == KM_OK)
        *out = km_steal(baseline);
    return code;
}

static bool changed_since(int dir_fd, const char *digest)
{
    struct km_err ignored = KM_ERR_INIT;
    struct km_baseline_state state = {0};
    bool changed = km_baseline_state_load(dir_fd, &state, &ignored) == KM_OK && strcmp(state.digest, digest) != 0;
    km_baseline_state_done(&state);
    return changed;
}

enum km_code km_baseline_open(int dir_fd, struct km_baseline **out, struct km_err *err)
{
    enum km_code code = KM_FORMAT;
    bool again = true;
    for (int i = 0; i < OPEN_ATTEMPTS && again; i++) {
        struct km_baseline_state before = {0};
        code = km_baseline_state_load(dir_fd, &before, err);
        if (code == KM_OK)
            code = open_once(dir_fd, out, err);
        again = code == KM_FORMAT && changed_since(dir_fd, before.digest);
        km_baseline_state_done(&before);
    }
    return code;
}

void km_baseline_close(struct km_baseline *baseline)
{
    if (!baseline)
        return;
    if (baseline->env)
        mdb_env_close(baseline->env);
    km_cleanup_close(&baseline->hashes_fd);
    km_cleanup_close(&baseline->dir_fd);
    km_baseline_state_done(&baseline->state);
    free(baseline);
}

/* ---- Looking up ---- */

static bool has_key(const struct km_baseline *baseline, MDB_dbi table, const uint8_t sha256[KM_SHA256_BYTES])
{
    MDB_txn *txn = NULL;
    MDB_val key = {KM_SHA256_BYTES, (void *)(uintptr_t)sha256}, value; /* LMDB's prototype lacks the const */
    if (mdb_txn_begin(baseline->env, NULL, MDB_RDONLY, &txn) != 0)
        return false;
    bool found = mdb_get(txn, table, &key, &value) == 0;
    mdb_txn_abort(txn);
    return found;
}

bool km_baseline_has_file(const struct km_baseline *baseline, const uint8_t sha256[KM_SHA256_BYTES])
{
    return baseline && has_key(baseline, baseline->files, sha256);
}

bool km_baseline_has_layer(const struct km_baseline *baseline, const uint8_t diff_id[KM_SHA256_BYTES])
{
    return baseline && has_key(baseline, baseline->layers, diff_id);
}

static const struct km_baseline_image *image_by_number(const struct km_baseline *baseline, uint32_t number)
{
    size_t low = 0, high = baseline->state.image_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (baseline->state.images[middle].number < number)
            low = middle + 1;
        else
            high = middle;
    }
    const struct km_baseline_image *image = baseline->state.images + low;
    return low < baseline->state.image_count && image->number == number ? image : NULL;
}

size_t km_baseline_find_images(const struct km_baseline *baseline, const uint8_t sha256[KM_SHA256_BYTES],
                               const struct km_baseline_image **out_images, size_t max)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor = NULL;
    MDB_val key = {KM_SHA256_BYTES, (void *)(uintptr_t)sha256}, value;
    size_t count = 0;
    if (!baseline || mdb_txn_begin(baseline->env, NULL, MDB_RDONLY, &txn) != 0)
        return 0;
    int result = mdb_cursor_open(txn, baseline->files, &cursor);
    if (result == 0)
        result = mdb_cursor_get(cursor, &key, &value, MDB_SET);
    for (; result == 0; result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT_DUP)) {
        const uint8_t *number = value.mv_data;
        const struct km_baseline_image *image =
            value.mv_size != 4 ? NULL
                               : image_by_number(baseline, (uint32_t)number[0] << 24 | (uint32_t)number[1] << 16 |
                                                               (uint32_t)number[2] << 8 | number[3]);
        if (image && count < max)
            out_images[count] = image;
        count += image != NULL;
    }
    if (cursor)
        mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return count;
}

size_t km_baseline_image_count(const struct km_baseline *baseline)
{
    return baseline->state.image_count;
}

const struct km_baseline_image *km_baseline_image(const struct km_baseline *baseline, size_t i)
{
    return &baseline->state.images[i];
}

const char *km_baseline_digest(const struct km_baseline *baseline)
{
    return baseline->state.digest;
}

uint64_t km_baseline_file_count(const struct km_baseline *baseline)
{
    return baseline->state.files;
}

uint64_t km_baseline_layer_count(const struct km_baseline *baseline)
{
    return baseline->state.layers;
}

enum km_code km_baseline_open_part(const struct km_baseline *baseline, size_t i, const char *part, int *out_fd,
                                   struct km_err *err)
{
    char name[KM_BASELINE_PART_BYTES];
    const struct km_baseline_part *found = NULL;
    if (km_baseline_part_name(part, baseline->state.images[i].number, name))
        found = km_baseline_state_part(&baseline->state, name);
    if (!found)
        return km_fail(err, KM_NOTFOUND, "the image has no part '%s' in the baseline", part);
    return km_baseline_state_open_part(baseline->dir_fd, found, out_fd, err);
}

/* ---- Where it is ---- */

enum km_code km_baseline_path(const char *store, char out[KM_BASELINE_PATH_BYTES], struct km_err *err)
{
    if (!store)
        return km_folder_state("baseline", out, KM_BASELINE_PATH_BYTES, err) == KM_OK
                   ? KM_OK
                   : km_err_wrap(err, "no place for the baseline; name one with --store");
    if (strlen(store) >= KM_BASELINE_PATH_BYTES)
        return km_fail(err, KM_LIMIT, "the path is too long");
    memcpy(out, store, strlen(store) + 1);
    return KM_OK;
}

enum km_code km_baseline_open_path(const char *path, struct km_baseline **out, struct km_err *err)
{
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT)
        return km_fail(err, KM_NOTFOUND, "there is no baseline in %s: 'komainu baseline add' makes one", path);
    if (fd < 0)
        return km_fail_errno(err, errno, "%s", path);
    return km_baseline_open(fd, out, err);
}
