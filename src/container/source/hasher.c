#include "container/source/hasher.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

/* Below this, waking the thread costs more than the block. */
#define LARGE_BYTES ((size_t)32 << 10)

struct km_hasher {
    struct km_digest *digest; /* the thread's while anything waits */
    bool has_thread, tried;
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    uint64_t given, hashed; /* blocks; number n is waiting[n % KM_HASHER_MAX_WAITING] */
    struct {
        const uint8_t *bytes;
        size_t length;
    } waiting[KM_HASHER_MAX_WAITING];
    bool stop;
};

static void *work(void *argument)
{
    struct km_hasher *hasher = argument;
    pthread_mutex_lock(&hasher->lock);
    while (!hasher->stop) {
        if (hasher->hashed == hasher->given) {
            pthread_cond_wait(&hasher->changed, &hasher->lock);
            continue;
        }
        const uint8_t *bytes = hasher->waiting[hasher->hashed % KM_HASHER_MAX_WAITING].bytes;
        size_t length = hasher->waiting[hasher->hashed % KM_HASHER_MAX_WAITING].length;
        pthread_mutex_unlock(&hasher->lock);
        km_digest_update(hasher->digest, bytes, length);
        pthread_mutex_lock(&hasher->lock);
        hasher->hashed++;
        pthread_cond_signal(&hasher->changed);
    }
    pthread_mutex_unlock(&hasher->lock);
    return NULL;
}

struct km_hasher *km_hasher_new(struct km_err *err)
{
    struct km_hasher *hasher = calloc(1, sizeof *hasher);
    if (!hasher) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *hasher);
        return NULL;
    }
    hasher->digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!hasher->digest) {
        free(hasher);
        return NULL;
    }
    pthread_mutex_init(&hasher->lock, NULL);
    pthread_cond_init(&hasher->changed, NULL);
    return hasher;
}

void km_hasher_wait(struct km_hasher *hasher, unsigned most)
{
    if (!hasher->has_thread)
        return;
    pthread_mutex_lock(&hasher->lock);
    while (hasher->given - hasher->hashed > most)
        pthread_cond_wait(&hasher->changed, &hasher->lock);
    pthread_mutex_unlock(&hasher->lock);
}

void km_hasher_free(struct km_hasher *hasher)
{
    if (!hasher)
        return;
    km_hasher_wait(hasher, 0);
    if (hasher->has_thread) {
        pthread_mutex_lock(&hasher->lock);
        hasher->stop = true;
        pthread_cond_signal(&hasher->changed);
        pthread_mutex_unlock(&hasher->lock);
        (void)pthread_join(hasher->thread, NULL);
    }
    pthread_cond_destroy(&hasher->changed);
    pthread_mutex_destroy(&hasher->lock);
    km_digest_free(hasher->digest);
    free(hasher);
}

void km_hasher_update(struct km_hasher *hasher, const uint8_t *bytes, size_t length)
{
    if (length >= LARGE_BYTES && !hasher->tried) {
        hasher->tried = true;
        hasher->has_thread = pthread_create(&hasher->thread, NULL, work, hasher) == 0;
    }
    if (length < LARGE_BYTES || !hasher->has_thread) {
        km_hasher_wait(hasher, 0);
        km_digest_update(hasher->digest, bytes, length);
        return;
    }
    km_hasher_wait(hasher, KM_HASHER_MAX_WAITING - 1);
    pthread_mutex_lock(&hasher->lock);
    hasher->waiting[hasher->given % KM_HASHER_MAX_WAITING].bytes = bytes;
    hasher->waiting[hasher->given % KM_HASHER_MAX_WAITING].length = length;
    hasher->given++;
    pthread_cond_signal(&hasher->changed);
    pthread_mutex_unlock(&hasher->lock);
}

void km_hasher_finish(struct km_hasher *hasher, uint8_t out[KM_SHA256_BYTES])
{
    km_hasher_wait(hasher, 0);
    km_digest_finish(hasher->digest, out);
}
