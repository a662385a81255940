#include "container/scan/segcache.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/folder.h"
#include "base/mem.h"
#include "container/scan/segstore.h"
#include "container/source/source.h"

/* Records gathered before they are written together: a transaction ends with a sync. */
#define MAX_GATHERED_BYTES ((size_t)2 << 20)
#define MAX_GATHERED       2048
#define INSIDE_BYTES       (sizeof(uint64_t) + KM_SHA256_BYTES) /* the size, little endian, and the hash */

struct gathered {
    struct km_segcache_key key;
    size_t begin, length; /* in the buffer */
};

struct km_segcache {
    struct km_segstore *store;
    pthread_mutex_t lock; /* of all below; the store has its own rules */
    struct km_buf records;
    struct gathered *list;
    size_t count;
    char trouble[KM_ERR_TEXT_BYTES];
    atomic_bool broken; /* of no use any more */
};

/* Called with the lock. */
static void note_trouble(struct km_segcache *cache, const struct km_err *err)
{
    if (cache->trouble[0] == '\0')
        (void)snprintf(cache->trouble, sizeof cache->trouble, "the cache is left out from here on: %.400s", err->text);
    atomic_store(&cache->broken, true);
}

enum km_code km_segcache_path(char out[KM_SEGCACHE_PATH_BYTES], struct km_err *err)
{
    return km_folder_own(KM_FOLDER_CACHE, "segments", out, KM_SEGCACHE_PATH_BYTES, err);
}

/* ---- Opening ---- */

static enum km_code open_folder(const char *path, int *out_fd, struct km_err *err)
{
    struct stat status;
    enum km_code code = km_folder_make_parents(path, err);
    if (code == KM_OK && mkdir(path, 0700) != 0 && errno != EEXIST)
        code = km_fail_errno(err, errno, "cannot make %s", path);
    if (code != KM_OK)
        return km_err_wrap(err, "the cache");
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "%s", path);
    if (status.st_uid != geteuid() || (status.st_mode & 077) != 0)
        return km_fail(err, KM_DENIED, "%s is not closed to others (it must be yours alone, mode 0700)", path);
    *out_fd = km_steal_fd(&fd);
    return KM_OK;
}

enum km_code km_segcache_open(const char *path, size_t max_bytes, struct km_segcache **out, char *out_note,
                              struct km_err *err)
{
    char note[KM_ERR_TEXT_BYTES] = "";
    KM_CLEANUP(km_cleanup_close) int folder = -1;
    if (max_bytes < KM_SEGCACHE_MIN_BYTES)
        return km_fail(err, KM_LIMIT, "a cache of less than %zu bytes is none", KM_SEGCACHE_MIN_BYTES);
    enum km_code code = open_folder(path, &folder, err);
    if (code != KM_OK)
        return code;
    struct km_segcache *cache = km_calloc(1, sizeof *cache, SIZE_MAX, err);
    if (!cache)
        return err->code;
    pthread_mutex_init(&cache->lock, NULL);
    km_buf_init(&cache->records, MAX_GATHERED_BYTES + KM_SEGMENT_MAX_RECORD);
    cache->list = km_calloc(MAX_GATHERED, sizeof *cache->list, SIZE_MAX, err);
    code = cache->list ? km_segstore_open(folder, max_bytes, &cache->store, note, err) : err->code;
    if (code != KM_OK) {
        km_segcache_close(cache);
        return code;
    }
    if (out_note)
        memcpy(out_note, note, sizeof note);
    *out = cache;
    return KM_OK;
}

void km_segcache_close(struct km_segcache *cache)
{
    if (!cache)
        return;
    if (cache->store)
        km_segcache_flush(cache);
    km_segstore_close(cache->store);
    km_buf_done(&cache->records);
    free(cache->list);
    pthread_mutex_destroy(&cache->lock);
    free(cache);
}

/* ---- Use ---- */

/* The caller frees the record. */
static bool find(struct km_segcache *cache, const struct km_segcache_key *key, struct km_segstore_record *out)
{
    struct km_err err = KM_ERR_INIT;
    if (!cache || atomic_load(&cache->broken))
        return false;
    enum km_code code = km_segstore_find(cache->store, key, sizeof *key, out, &err);
    if (code != KM_OK && code != KM_NOTFOUND) {
        pthread_mutex_lock(&cache->lock);
        note_trouble(cache, &err);
        pthread_mutex_unlock(&cache->lock);
    }
    return code == KM_OK;
}

bool km_segcache_get(struct km_segcache *cache, const struct km_segcache_key *key, struct km_segment *segment)
{
    struct km_err err = KM_ERR_INIT;
    struct km_segstore_record record;
    if (!find(cache, key, &record))
        return false;
    enum km_code code = km_segment_parse(segment, record.bytes, record.length, &err);
    free(record.bytes);
    if (code == KM_OK && record.is_old)
        km_segcache_put(cache, key, segment);
    return code == KM_OK;
}

/* Records of one length that any models share. `rules`: of which version. */
static struct km_segcache_key plain_key(const uint8_t sha256[KM_SHA256_BYTES], enum km_segcache_kind kind,
                                        uint8_t rules)
{
    struct km_segcache_key key = {.kind = (uint8_t)kind, .models = {rules}};
    memcpy(key.content, sha256, sizeof key.content);
    return key;
}

static void put_plain(struct km_segcache *cache, const struct km_segcache_key *key, const uint8_t *bytes,
                      size_t length);

static bool get_plain(struct km_segcache *cache, const struct km_segcache_key *key, uint8_t *bytes, size_t length)
{
    struct km_segstore_record record;
    if (!find(cache, key, &record))
        return false;
    bool fits = record.length == length;
    if (fits)
        memcpy(bytes, record.bytes, length);
    free(record.bytes);
    if (fits && record.is_old)
        put_plain(cache, key, bytes, length);
    return fits;
}

bool km_segcache_get_md5(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES], uint8_t md5[KM_MD5_BYTES])
{
    const struct km_segcache_key key = plain_key(sha256, KM_SEGCACHE_MD5, 0);
    return get_plain(cache, &key, md5, KM_MD5_BYTES);
}

bool km_segcache_get_inside(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES],
                            struct km_segcache_inside *out)
{
    const struct km_segcache_key key = plain_key(sha256, KM_SEGCACHE_INSIDE, KM_SEGCACHE_INSIDE_RULES);
    uint8_t record[INSIDE_BYTES];
    if (!get_plain(cache, &key, record, sizeof record))
        return false;
    out->size = 0;
    for (size_t i = 0; i < sizeof out->size; i++)
        out->size |= (uint64_t)record[i] << (8 * i);
    memcpy(out->sha256, record + sizeof out->size, sizeof out->sha256);
    return out->size <= KM_SOURCE_MAX_RECALLED;
}

/* Called with the lock. */
static void flush(struct km_segcache *cache)
{
    struct km_err err = KM_ERR_INIT;
    enum km_code code = KM_OK;
    if (cache->count > 0 && !atomic_load(&cache->broken))
        code = km_segstore_begin(cache->store, &err);
    for (size_t i = 0; code == KM_OK && !atomic_load(&cache->broken) && i < cache->count; i++) {
        const struct gathered *one = &cache->list[i];
        code = km_segstore_add(cache->store, &one->key, sizeof one->key,
                               (const uint8_t *)km_buf_text(&cache->records) + one->begin, one->length, &err);
    }
    if (code == KM_OK && cache->count > 0 && !atomic_load(&cache->broken))
        code = km_segstore_commit(cache->store, &err);
    if (code != KM_OK)
        note_trouble(cache, &err);
    cache->count = 0;
    km_buf_clear(&cache->records);
}

/* What was appended to the records since `begin` is this key's, unless that failed. Called with the lock. */
static void gather(struct km_segcache *cache, const struct km_segcache_key *key, size_t begin, enum km_code code,
                   const struct km_err *err)
{
    if (code == KM_OK)
        cache->list[cache->count++] = (struct gathered){*key, begin, cache->records.length - begin};
    else
        note_trouble(cache, err);
    if (cache->count == MAX_GATHERED || cache->records.length >= MAX_GATHERED_BYTES)
        flush(cache);
}

void km_segcache_put(struct km_segcache *cache, const struct km_segcache_key *key, const struct km_segment *segment)
{
    if (!cache || atomic_load(&cache->broken))
        return;
    struct km_err err = KM_ERR_INIT;
    pthread_mutex_lock(&cache->lock);
    size_t begin = cache->records.length;
    gather(cache, key, begin, km_segment_format(segment, &cache->records, &err), &err);
    pthread_mutex_unlock(&cache->lock);
}

static void put_plain(struct km_segcache *cache, const struct km_segcache_key *key, const uint8_t *bytes, size_t length)
{
    if (!cache || atomic_load(&cache->broken))
        return;
    struct km_err err = KM_ERR_INIT;
    pthread_mutex_lock(&cache->lock);
    size_t begin = cache->records.length;
    gather(cache, key, begin, km_buf_append(&cache->records, bytes, length, &err), &err);
    pthread_mutex_unlock(&cache->lock);
}

void km_segcache_put_md5(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES],
                         const uint8_t md5[KM_MD5_BYTES])
{
    const struct km_segcache_key key = plain_key(sha256, KM_SEGCACHE_MD5, 0);
    put_plain(cache, &key, md5, KM_MD5_BYTES);
}

void km_segcache_put_inside(struct km_segcache *cache, const uint8_t sha256[KM_SHA256_BYTES],
                            const struct km_segcache_inside *inside)
{
    const struct km_segcache_key key = plain_key(sha256, KM_SEGCACHE_INSIDE, KM_SEGCACHE_INSIDE_RULES);
    uint8_t record[INSIDE_BYTES];
    for (size_t i = 0; i < sizeof inside->size; i++)
        record[i] = (uint8_t)(inside->size >> (8 * i));
    memcpy(record + sizeof inside->size, inside->sha256, sizeof inside->sha256);
    put_plain(cache, &key, record, sizeof record);
}

void km_segcache_flush(struct km_segcache *cache)
{
    if (!cache)
        return;
    pthread_mutex_lock(&cache->lock);
    flush(cache);
    pthread_mutex_unlock(&cache->lock);
}

const char *km_segcache_trouble(const struct km_segcache *cache)
{
    return cache && cache->trouble[0] != '\0' ? cache->trouble : NULL;
}
