#include "container/source/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Blocks of a file that are read before a thread is worth it. */
#define BLOCKS_ALONE 4

/* Blocks of a fetcher: the one that is lent, those that last behind it, and those that are read ahead. */
#define LASTING 15U
#define AHEAD   8U
#define RING    (LASTING + 1 + AHEAD)

/* Reads ahead of the block that is lent. Regular files only: their reads end without being asked to. */
struct fetcher {
    pthread_t thread;
    pthread_mutex_t lock; /* of all below */
    pthread_cond_t changed;
    bool ended, stop;        /* ended: the last block that was fetched has no bytes */
    uint64_t fetched, taken; /* blocks; number n is in slot n % RING */
    ssize_t got[RING];
    int failure; /* errno of got < 0 */
    int fd;
    uint8_t bytes[RING][KM_STREAM_BLOCK_BYTES];
};

struct fd_stream {
    struct km_stream base;
    int fd;
    bool is_file;
    unsigned blocks;         /* that were read without a fetcher */
    struct fetcher *fetcher; /* or NULL */
    uint8_t bytes[KM_STREAM_BLOCK_BYTES];
};

struct callback_stream {
    struct km_stream base;
    struct km_stream_callback callback;
    uint8_t bytes[KM_STREAM_BLOCK_BYTES];
};

#define WAIT_STEP_MS 200

struct memory_stream {
    struct km_stream base;
    const uint8_t *bytes;
    size_t length;
};

static void *new_stream(size_t size, struct km_err *err)
{
    void *stream = malloc(size); /* no calloc: the block need not be touched before it is filled */
    if (!stream) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", size);
        return NULL;
    }
    memset(stream, 0, sizeof(struct km_stream));
    return stream;
}

/* ---- A descriptor ---- */

static ssize_t read_block(int fd, uint8_t *bytes)
{
    ssize_t got;
    do
        got = read(fd, bytes, KM_STREAM_BLOCK_BYTES);
    while (got < 0 && errno == EINTR);
    return got;
}

static void *fetch(void *argument)
{
    struct fetcher *fetcher = argument;
    pthread_mutex_lock(&fetcher->lock);
    while (!fetcher->stop) {
        if (fetcher->ended || fetcher->fetched - fetcher->taken == AHEAD) {
            pthread_cond_wait(&fetcher->changed, &fetcher->lock);
            continue;
        }
        size_t slot = fetcher->fetched % RING;
        pthread_mutex_unlock(&fetcher->lock);
        ssize_t got = read_block(fetcher->fd, fetcher->bytes[slot]);
        int failure = got < 0 ? errno : 0;
        pthread_mutex_lock(&fetcher->lock);
        fetcher->got[slot] = got;
        fetcher->failure = failure;
        fetcher->ended = got <= 0;
        fetcher->fetched++;
        pthread_cond_signal(&fetcher->changed);
    }
    pthread_mutex_unlock(&fetcher->lock);
    return NULL;
}

/* NULL where there is none to be had: the caller then reads by itself. */
static struct fetcher *fetcher_new(int fd)
{
    struct fetcher *fetcher = malloc(sizeof *fetcher);
    if (!fetcher)
        return NULL;
    memset(fetcher, 0, offsetof(struct fetcher, bytes));
    fetcher->fd = fd;
    pthread_mutex_init(&fetcher->lock, NULL);
    pthread_cond_init(&fetcher->changed, NULL);
    if (pthread_create(&fetcher->thread, NULL, fetch, fetcher) == 0)
        return fetcher;
    pthread_cond_destroy(&fetcher->changed);
    pthread_mutex_destroy(&fetcher->lock);
    free(fetcher);
    return NULL;
}

static void fetcher_free(struct fetcher *fetcher)
{
    if (!fetcher)
        return;
    pthread_mutex_lock(&fetcher->lock);
    fetcher->stop = true;
    pthread_cond_signal(&fetcher->changed);
    pthread_mutex_unlock(&fetcher->lock);
    (void)pthread_join(fetcher->thread, NULL);
    pthread_cond_destroy(&fetcher->changed);
    pthread_mutex_destroy(&fetcher->lock);
    free(fetcher);
}

/* Behind the end, or a failure, the same again. */
static enum km_code take_fetched(struct fetcher *fetcher, const uint8_t **out_bytes, size_t *out_length,
                                 struct km_err *err)
{
    pthread_mutex_lock(&fetcher->lock);
    while (fetcher->fetched == fetcher->taken)
        pthread_cond_wait(&fetcher->changed, &fetcher->lock);
    size_t slot = fetcher->taken % RING;
    ssize_t got = fetcher->got[slot];
    int failure = fetcher->failure;
    if (got > 0) {
        *out_bytes = fetcher->bytes[slot];
        fetcher->taken++;
        pthread_cond_signal(&fetcher->changed);
    }
    pthread_mutex_unlock(&fetcher->lock);
    if (got < 0)
        return km_fail_errno(err, failure, "cannot read");
    *out_length = (size_t)got;
    return KM_OK;
}

static enum km_code pull_file(struct fd_stream *stream, const uint8_t **out_bytes, size_t *out_length,
                              struct km_err *err)
{
    if (stream->blocks == BLOCKS_ALONE)
        stream->fetcher = fetcher_new(stream->fd);
    stream->base.lasting = stream->fetcher ? LASTING : 0;
    stream->blocks += stream->blocks <= BLOCKS_ALONE;
    if (stream->fetcher)
        return take_fetched(stream->fetcher, out_bytes, out_length, err);
    ssize_t got = read_block(stream->fd, stream->bytes);
    if (got < 0)
        return km_fail_errno(err, errno, "cannot read");
    *out_bytes = stream->bytes;
    *out_length = (size_t)got;
    return KM_OK;
}

/* A pipe may never answer: wait for it in steps, and ask the token between them. */
static enum km_code pull_pipe(struct fd_stream *stream, const uint8_t **out_bytes, size_t *out_length,
                              struct km_err *err)
{
    ssize_t got = -1;
    do {
        struct pollfd waiting = {.fd = stream->fd, .events = POLLIN};
        enum km_code code = km_cancel_check(stream->base.cancel, err);
        if (code != KM_OK)
            return code;
        int ready = poll(&waiting, 1, WAIT_STEP_MS);
        if (ready > 0)
            got = read(stream->fd, stream->bytes, sizeof stream->bytes);
        else
            errno = ready == 0 ? EINTR : errno;
    } while (got < 0 && (errno == EINTR || errno == EAGAIN));
    if (got < 0)
        return km_fail_errno(err, errno, "cannot read");
    *out_bytes = stream->bytes;
    *out_length = (size_t)got;
    return KM_OK;
}

static enum km_code pull_fd(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length, struct km_err *err)
{
    struct fd_stream *stream = (struct fd_stream *)base;
    if (!stream->is_file)
        return pull_pipe(stream, out_bytes, out_length, err);
    enum km_code code = km_cancel_check(base->cancel, err);
    return code == KM_OK ? pull_file(stream, out_bytes, out_length, err) : code;
}

static void close_fd(struct km_stream *base)
{
    struct fd_stream *stream = (struct fd_stream *)base;
    fetcher_free(stream->fetcher);
    (void)close(stream->fd);
    free(stream);
}

struct km_stream *km_stream_new_fd(int fd, struct km_err *err)
{
    struct fd_stream *stream = new_stream(sizeof *stream, err);
    if (!stream)
        return NULL;
    stream->base.pull = pull_fd;
    stream->base.close = close_fd;
    stream->fd = fd;
    struct stat status;
    stream->is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    stream->blocks = 0;
    stream->fetcher = NULL;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL); /* pipes refuse it, and need it not */
    return &stream->base;
}

static enum km_code pull_callback(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                  struct km_err *err)
{
    struct callback_stream *stream = (struct callback_stream *)base;
    size_t got = 0;
    enum km_code code = stream->callback.read(stream->callback.context, stream->bytes, sizeof stream->bytes, &got, err);
    if (code != KM_OK)
        return code;
    KM_ASSERT(got <= sizeof stream->bytes);
    *out_bytes = stream->bytes;
    *out_length = got;
    return KM_OK;
}

static void close_callback(struct km_stream *base)
{
    struct callback_stream *stream = (struct callback_stream *)base;
    if (stream->callback.done)
        stream->callback.done(stream->callback.context);
    free(stream);
}

struct km_stream *km_stream_new_callback(const struct km_stream_callback *callback, struct km_err *err)
{
    struct callback_stream *stream = new_stream(sizeof *stream, err);
    if (!stream)
        return NULL;
    stream->base.pull = pull_callback;
    stream->base.close = close_callback;
    stream->callback = *callback;
    return &stream->base;
}

static enum km_code pull_memory(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                struct km_err *err)
{
    (void)err;
    struct memory_stream *stream = (struct memory_stream *)base;
    *out_bytes = stream->bytes;
    *out_length = stream->length;
    stream->length = 0;
    return KM_OK;
}

static void close_memory(struct km_stream *base)
{
    free(base);
}

struct km_stream *km_stream_new_memory(const void *bytes, size_t length, struct km_err *err)
{
    struct memory_stream *stream = new_stream(sizeof *stream, err);
    if (!stream)
        return NULL;
    stream->base.pull = pull_memory;
    stream->base.close = close_memory;
    stream->bytes = bytes;
    stream->length = length;
    return &stream->base;
}

void km_stream_close(struct km_stream *stream)
{
    if (stream && stream->close)
        stream->close(stream);
}

/* Makes `left` positive unless the stream is over. */
static enum km_code fill(struct km_stream *stream, struct km_err *err)
{
    if (stream->left > 0 || stream->ended)
        return KM_OK;
    size_t length = 0;
    enum km_code code = stream->pull(stream, &stream->block, &length, err);
    if (code != KM_OK)
        return code;
    stream->left = length;
    stream->ended = length == 0;
    return KM_OK;
}

enum km_code km_stream_peek(struct km_stream *stream, size_t want, const uint8_t **out_bytes, size_t *out_length,
                            struct km_err *err)
{
    KM_ASSERT(want <= KM_STREAM_PEEK_MAX);
    size_t joined = stream->join_length - stream->join_at;
    if (joined == 0) {
        enum km_code code = fill(stream, err);
        if (code != KM_OK)
            return code;
        if (stream->left >= want || stream->ended) {
            *out_bytes = stream->block;
            *out_length = stream->left;
            return KM_OK;
        }
    }
    if (joined > 0 && stream->join_at > 0)
        memmove(stream->join, stream->join + stream->join_at, joined);
    stream->join_at = 0;
    stream->join_length = joined;
    while (stream->join_length < want) {
        enum km_code code = fill(stream, err);
        if (code != KM_OK)
            return code;
        if (stream->left == 0)
            break;
        size_t take = want - stream->join_length;
        take = take < stream->left ? take : stream->left;
        memcpy(stream->join + stream->join_length, stream->block, take);
        stream->join_length += take;
        stream->block += take;
        stream->left -= take;
    }
    *out_bytes = stream->join;
    *out_length = stream->join_length;
    return KM_OK;
}

void km_stream_consume(struct km_stream *stream, size_t length)
{
    size_t joined = stream->join_length - stream->join_at;
    if (length == 0) /* also at the end, where there is no block */
        return;
    if (joined > 0) {
        KM_ASSERT(length <= joined);
        stream->join_at += length;
    } else {
        KM_ASSERT(length <= stream->left);
        stream->block += length;
        stream->left -= length;
    }
    stream->position += length;
}

enum km_code km_stream_next(struct km_stream *stream, uint64_t max, const uint8_t **out_bytes, size_t *out_length,
                            struct km_err *err)
{
    size_t have = 0;
    enum km_code code = km_stream_peek(stream, 0, out_bytes, &have, err);
    if (code != KM_OK)
        return code;
    *out_length = max < have ? (size_t)max : have;
    km_stream_consume(stream, *out_length);
    return KM_OK;
}

enum km_code km_stream_read(struct km_stream *stream, void *buffer, size_t length, size_t *out_length,
                            struct km_err *err)
{
    size_t done = 0;
    while (done < length) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        enum km_code code = km_stream_next(stream, length - done, &bytes, &got, err);
        if (code != KM_OK)
            return code;
        if (got == 0)
            break;
        memcpy((uint8_t *)buffer + done, bytes, got);
        done += got;
    }
    *out_length = done;
    return KM_OK;
}

enum km_code km_stream_skip(struct km_stream *stream, uint64_t length, uint64_t *out_length, struct km_err *err)
{
    uint64_t done = 0;
    while (done < length) {
        const uint8_t *bytes = NULL;
        size_t got = 0;
        enum km_code code = km_stream_next(stream, length - done, &bytes, &got, err);
        if (code != KM_OK)
            return code;
        if (got == 0)
            break;
        done += got;
    }
    *out_length = done;
    return KM_OK;
}
