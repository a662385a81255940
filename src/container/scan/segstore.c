#include "container/scan/segstore.h"

#include <errno.h>
#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "container/scan/segcache.h"

#define DATA_FILE      "data.mdb"
#define LOCK_FILE      "lock.mdb"
#define LOCK_BYTES     8192 /* of the 126 readers that LMDB expects */
#define STAMP_FILE     "stamp"
#define CHECKSUM_BYTES 8
#define CHECK_SECONDS  60
#define KEY_VERSION    "version"
#define KEY_CURRENT    "current"
/* Two generations, a copy of one (keys are random: a transaction may touch every page), and one that was dropped and
 * is not yet free. */
#define TO_ROTATE(size) ((size) / 5)

struct km_segstore {
    int folder;
    MDB_env *env;
    MDB_dbi generations[2], meta;
    MDB_txn *txn; /* of begin … commit */
    unsigned current;
    size_t max_bytes;
};

static enum km_code fail_lmdb(struct km_err *err, int result)
{
    if (result == ENOMEM)
        return km_fail(err, KM_NOMEM, "out of memory (cache)");
    if (result == MDB_MAP_FULL || result == MDB_TXN_FULL || result == ENOSPC)
        return km_fail(err, KM_LIMIT, "the cache is full");
    return km_fail(err, KM_IO, "the cache cannot be used: %s", mdb_strerror(result));
}

/* Over key and record (FNV-1a): tells damage, not malice; who can write here owns the user's files anyway. */
static uint64_t checksum(const void *key, size_t key_bytes, const uint8_t *record, size_t length)
{
    uint64_t sum = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < key_bytes; i++)
        sum = (sum ^ ((const uint8_t *)key)[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ record[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static bool is_intact(const MDB_val *key, const MDB_val *value)
{
    uint64_t sum;
    if (value->mv_size < CHECKSUM_BYTES)
        return false;
    memcpy(&sum, value->mv_data, sizeof sum);
    const uint8_t *record = (const uint8_t *)value->mv_data + CHECKSUM_BYTES;
    return sum == checksum(key->mv_data, key->mv_size, record, value->mv_size - CHECKSUM_BYTES);
}

/* ---- Opening ---- */

static int open_databases(struct km_segstore *store, MDB_txn *txn, unsigned flags)
{
    int result = mdb_dbi_open(txn, "0", flags, &store->generations[0]);
    if (result == 0)
        result = mdb_dbi_open(txn, "1", flags, &store->generations[1]);
    return result == 0 ? mdb_dbi_open(txn, "meta", flags, &store->meta) : result;
}

static int read_meta(const struct km_segstore *store, MDB_txn *txn, const char *name, uint32_t *out)
{
    MDB_val key = {strlen(name), (void *)name}, value;
    int result = mdb_get(txn, store->meta, &key, &value);
    if (result != 0)
        return result;
    if (value.mv_size != sizeof *out)
        return MDB_CORRUPTED;
    memcpy(out, value.mv_data, sizeof *out);
    return 0;
}

static int write_meta(const struct km_segstore *store, MDB_txn *txn, const char *name, uint32_t number)
{
    MDB_val key = {strlen(name), (void *)name}, value = {sizeof number, &number};
    return mdb_put(txn, store->meta, &key, &value, 0);
}

/* LMDB maps its lock file and writes to it: where a full disk has no room for these pages, that ends the process. */
static int make_lock_file(const struct km_segstore *store)
{
    KM_CLEANUP(km_cleanup_close)
    int fd = openat(store->folder, LOCK_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    return fallocate(fd, 0, 0, LOCK_BYTES) == 0 || errno == EOPNOTSUPP ? 0 : errno;
}

static int open_env(struct km_segstore *store, unsigned flags)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/self/fd/%d", store->folder);
    int result = flags & MDB_NOLOCK ? 0 : make_lock_file(store);
    if (result == 0)
        result = mdb_env_create(&store->env);
    if (result == 0)
        result = mdb_env_set_maxdbs(store->env, 4);
    if (result == 0)
        result = mdb_env_set_mapsize(store->env, store->max_bytes);
    return result == 0 ? mdb_env_open(store->env, path, MDB_NOTLS | MDB_NOMETASYNC | flags, 0600) : result;
}

static void close_env(struct km_segstore *store)
{
    if (store->env)
        mdb_env_close(store->env);
    store->env = NULL;
}

/* Reads what there is, to the last byte. Only ever called in a child process. */
static int walk(struct km_segstore *store)
{
    MDB_txn *txn;
    int result = open_env(store, MDB_RDONLY | MDB_NOLOCK);
    if (result == 0)
        result = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (result == 0)
        result = open_databases(store, txn, 0);
    for (size_t g = 0; result == 0 && g < 2; g++) {
        MDB_cursor *cursor;
        MDB_val key, value;
        result = mdb_cursor_open(txn, store->generations[g], &cursor);
        while (result == 0 && (result = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) == 0)
            if (!is_intact(&key, &value))
                return MDB_CORRUPTED;
        result = result == MDB_NOTFOUND ? 0 : result;
    }
    return result;
}

/* LMDB believes its pages; a damaged one can end the process. So it is another process that finds out. */
static bool survives_walk(struct km_segstore *store)
{
    pid_t child = fork();
    if (child < 0)
        return false;
    if (child == 0) {
        static const int fatal[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL, SIGALRM};
        for (size_t i = 0; i < sizeof fatal / sizeof fatal[0]; i++)
            (void)signal(fatal[i], SIG_DFL);
        (void)prctl(PR_SET_DUMPABLE, 0); /* no core file of what is expected to fail */
        int null = open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null >= 0)
            (void)(dup2(null, STDOUT_FILENO) + dup2(null, STDERR_FILENO));
        (void)alarm(CHECK_SECONDS);
        _exit(walk(store) == 0 ? 0 : 1);
    }
    int status;
    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* What the data file is, for telling whether others were at it. */
static bool describe_data(const struct km_segstore *store, char *out, size_t out_bytes)
{
    struct stat status;
    if (fstatat(store->folder, DATA_FILE, &status, AT_SYMLINK_NOFOLLOW) != 0)
        return false;
    (void)snprintf(out, out_bytes, "%ju %jd %jd.%09ld", (uintmax_t)status.st_ino, (intmax_t)status.st_size,
                   (intmax_t)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
    return true;
}

static bool is_stamped(const struct km_segstore *store)
{
    char wanted[128], stamp[128];
    KM_CLEANUP(km_cleanup_close) int fd = openat(store->folder, STAMP_FILE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd >= 0 ? read(fd, stamp, sizeof stamp - 1) : -1;
    if (n < 0 || !describe_data(store, wanted, sizeof wanted))
        return false;
    stamp[n] = '\0';
    return strcmp(stamp, wanted) == 0;
}

static void write_stamp(const struct km_segstore *store)
{
    char stamp[128];
    if (!describe_data(store, stamp, sizeof stamp))
        return;
    KM_CLEANUP(km_cleanup_close)
    int fd = openat(store->folder, STAMP_FILE, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0 || write(fd, stamp, strlen(stamp)) != (ssize_t)strlen(stamp))
        (void)unlinkat(store->folder, STAMP_FILE, 0); /* then it is walked the next time */
}

static void remove_files(const struct km_segstore *store)
{
    (void)unlinkat(store->folder, DATA_FILE, 0);
    (void)unlinkat(store->folder, LOCK_FILE, 0);
    (void)unlinkat(store->folder, STAMP_FILE, 0);
}

/* Opens the databases, makes them when there are none. */
static int begin_use(struct km_segstore *store)
{
    MDB_txn *txn;
    uint32_t version = 0, current = 0;
    int dead;
    int result = open_env(store, 0);
    if (result != 0 || (result = mdb_txn_begin(store->env, NULL, 0, &txn)) != 0)
        return result;
    (void)mdb_reader_check(store->env, &dead); /* slots of killed processes */
    result = open_databases(store, txn, MDB_CREATE);
    if (result == 0)
        result = read_meta(store, txn, KEY_VERSION, &version);
    if (result == MDB_NOTFOUND) {
        result = write_meta(store, txn, KEY_VERSION, KM_SEGCACHE_VERSION);
        version = KM_SEGCACHE_VERSION;
        if (result == 0)
            result = write_meta(store, txn, KEY_CURRENT, 0);
    } else if (result == 0) {
        result = read_meta(store, txn, KEY_CURRENT, &current);
    }
    if (result == 0 && (version != KM_SEGCACHE_VERSION || current > 1))
        result = MDB_VERSION_MISMATCH;
    if (result != 0) {
        mdb_txn_abort(txn);
        return result;
    }
    return mdb_txn_commit(txn);
}

static bool means_damage(int result)
{
    return result == MDB_INVALID || result == MDB_CORRUPTED || result == MDB_VERSION_MISMATCH ||
           result == MDB_PAGE_NOTFOUND || result == MDB_PANIC || result == MDB_INCOMPATIBLE || result == MDB_BAD_DBI;
}

static enum km_code open_store(struct km_segstore *store, char out_note[KM_ERR_TEXT_BYTES], struct km_err *err)
{
    char present[128];
    bool damaged = describe_data(store, present, sizeof present) && !is_stamped(store) && !survives_walk(store);
    (void)unlinkat(store->folder, STAMP_FILE, 0);
    int result = damaged ? MDB_CORRUPTED : begin_use(store);
    if (means_damage(result)) {
        close_env(store);
        remove_files(store);
        result = begin_use(store);
        (void)snprintf(out_note, KM_ERR_TEXT_BYTES,
                       "the cache was damaged or of another version; it begins anew, empty");
    }
    return result == 0 ? KM_OK : fail_lmdb(err, result);
}

enum km_code km_segstore_open(int folder, size_t max_bytes, struct km_segstore **out, char out_note[KM_ERR_TEXT_BYTES],
                              struct km_err *err)
{
    struct km_segstore *store = km_calloc(1, sizeof *store, SIZE_MAX, err);
    if (!store)
        return err->code;
    store->max_bytes = max_bytes / 65536 * 65536;
    store->folder = fcntl(folder, F_DUPFD_CLOEXEC, 0);
    enum km_code code = store->folder >= 0 ? open_store(store, out_note, err) : km_fail_errno(err, errno, "cache");
    if (code != KM_OK) {
        close_env(store);
        if (store->folder >= 0)
            (void)close(store->folder);
        free(store);
        return code;
    }
    *out = store;
    return KM_OK;
}

void km_segstore_close(struct km_segstore *store)
{
    if (!store)
        return;
    if (store->txn)
        mdb_txn_abort(store->txn);
    close_env(store);
    write_stamp(store);
    (void)close(store->folder);
    free(store);
}

/* ---- Records ---- */

static enum km_code copy_record(const MDB_val *key, const MDB_val *value, struct km_segstore_record *out,
                                struct km_err *err)
{
    if (!is_intact(key, value))
        return km_fail(err, KM_NOTFOUND, "a damaged record");
    size_t length = value->mv_size - CHECKSUM_BYTES;
    uint8_t *bytes = malloc(length + 1);
    if (!bytes)
        return km_fail(err, KM_NOMEM, "out of memory (cache)");
    memcpy(bytes, (const uint8_t *)value->mv_data + CHECKSUM_BYTES, length);
    out->bytes = bytes;
    out->length = length;
    return KM_OK;
}

enum km_code km_segstore_find(struct km_segstore *store, const void *key, size_t key_bytes,
                              struct km_segstore_record *out, struct km_err *err)
{
    MDB_txn *txn;
    MDB_val wanted = {key_bytes, (void *)(uintptr_t)key}, value;
    uint32_t current = 0;
    int result = mdb_txn_begin(store->env, NULL, MDB_RDONLY, &txn);
    if (result != 0)
        return fail_lmdb(err, result);
    enum km_code code = KM_NOTFOUND;
    result = read_meta(store, txn, KEY_CURRENT, &current);
    out->is_old = false;
    if (result == 0)
        result = mdb_get(txn, store->generations[current & 1], &wanted, &value);
    if (result == MDB_NOTFOUND) {
        out->is_old = true;
        result = mdb_get(txn, store->generations[~current & 1], &wanted, &value);
    }
    if (result == 0)
        code = copy_record(&wanted, &value, out, err);
    mdb_txn_abort(txn);
    return result == 0              ? code
           : result == MDB_NOTFOUND ? km_fail(err, KM_NOTFOUND, "no record")
                                    : fail_lmdb(err, result);
}

/* The older generation goes; what is written next is the new one. */
static int rotate(struct km_segstore *store, bool both)
{
    unsigned next = ~store->current & 1;
    int result = mdb_drop(store->txn, store->generations[next], 0);
    if (result == 0 && both)
        result = mdb_drop(store->txn, store->generations[store->current], 0);
    if (result == 0)
        result = write_meta(store, store->txn, KEY_CURRENT, next);
    if (result == 0)
        store->current = next;
    return result;
}

static int begin(struct km_segstore *store, bool is_full)
{
    MDB_stat stat;
    uint32_t current = 0;
    int result = mdb_txn_begin(store->env, NULL, 0, &store->txn);
    if (result != 0)
        return result;
    result = read_meta(store, store->txn, KEY_CURRENT, &current);
    store->current = current & 1;
    if (result == 0)
        result = mdb_stat(store->txn, store->generations[store->current], &stat);
    size_t pages = result == 0 ? stat.ms_branch_pages + stat.ms_leaf_pages + stat.ms_overflow_pages : 0;
    if (result == 0 && (is_full || pages * stat.ms_psize > TO_ROTATE(store->max_bytes)))
        result = rotate(store, is_full);
    if (result != 0)
        mdb_txn_abort(km_steal(store->txn));
    return result;
}

enum km_code km_segstore_begin(struct km_segstore *store, struct km_err *err)
{
    int result = begin(store, false);
    return result == 0 ? KM_OK : fail_lmdb(err, result);
}

/* Full in spite of the two generations (another process writes, too, or records are large): both are dropped, and this
 * transaction's records are lost. */
static enum km_code empty_store(struct km_segstore *store, struct km_err *err)
{
    mdb_txn_abort(km_steal(store->txn));
    int result = begin(store, true);
    if (result == 0)
        result = mdb_txn_commit(km_steal(store->txn));
    if (result == 0)
        result = begin(store, false);
    return result == 0 ? KM_OK : fail_lmdb(err, result);
}

enum km_code km_segstore_add(struct km_segstore *store, const void *key, size_t key_bytes, const uint8_t *record,
                             size_t length, struct km_err *err)
{
    MDB_val name = {key_bytes, (void *)(uintptr_t)key}, value = {CHECKSUM_BYTES + length, NULL};
    if (length > store->max_bytes / 8)
        return KM_OK; /* not worth what it would displace */
    int result = mdb_put(store->txn, store->generations[store->current], &name, &value, MDB_RESERVE);
    if (result == MDB_MAP_FULL)
        return empty_store(store, err);
    if (result != 0) {
        mdb_txn_abort(km_steal(store->txn));
        return fail_lmdb(err, result);
    }
    uint64_t sum = checksum(key, key_bytes, record, length);
    memcpy(value.mv_data, &sum, sizeof sum);
    memcpy((uint8_t *)value.mv_data + CHECKSUM_BYTES, record, length);
    return KM_OK;
}

enum km_code km_segstore_commit(struct km_segstore *store, struct km_err *err)
{
    int result = mdb_txn_commit(km_steal(store->txn));
    if (result == MDB_MAP_FULL) {
        result = begin(store, true);
        if (result == 0)
            result = mdb_txn_commit(km_steal(store->txn));
    }
    return result == 0 ? KM_OK : fail_lmdb(err, result);
}
