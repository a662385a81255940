#include "container/imaging/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* From this gap on, one byte per read is cheaper than all between two of them. */
#define FAR_BYTES      8192U
#define FAR_FILL_BYTES 64U
#define COPY_BYTES     ((size_t)256 << 10)

static enum km_code open_temporary(int *out_fd, struct km_err *err)
{
    const char *folder = getenv("TMPDIR");
    if (!folder || folder[0] == '\0')
        folder = "/tmp";
    int fd = open(folder, O_RDWR | O_CLOEXEC | O_TMPFILE, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        char path[4096];
        if (snprintf(path, sizeof path, "%s/komainu-XXXXXX", folder) >= (int)sizeof path)
            return km_fail(err, KM_LIMIT, "TMPDIR is too long");
        fd = mkostemp(path, O_CLOEXEC);
        if (fd >= 0)
            (void)unlink(path);
    }
    if (fd < 0)
        return km_fail_errno(err, errno, "the input's length must be known first, and it cannot be stored in %s",
                             folder);
    *out_fd = fd;
    return KM_OK;
}

static enum km_code write_all(int fd, const uint8_t *bytes, size_t length, struct km_err *err)
{
    while (length > 0) {
        ssize_t written = write(fd, bytes, length);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return km_fail_errno(err, errno, "cannot store the input in a temporary file");
        bytes += written;
        length -= (size_t)written;
    }
    return KM_OK;
}

static enum km_code copy_all(int from, int to, const struct km_cancel *cancel, uint64_t *out_bytes, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = km_calloc(COPY_BYTES, 1, COPY_BYTES, err);
    if (!bytes)
        return err->code;
    uint64_t total = 0;
    for (;;) {
        enum km_code code = km_cancel_check(cancel, err);
        if (code != KM_OK)
            return code;
        ssize_t got = read(from, bytes, COPY_BYTES);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read the input");
        if (got == 0)
            break;
        code = write_all(to, bytes, (size_t)got, err);
        if (code != KM_OK)
            return code;
        total += (uint64_t)got;
    }
    *out_bytes = total;
    return KM_OK;
}

enum km_code km_input_open(struct km_input *out_input, int fd, const struct km_cancel *cancel, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int owned = fd;
    struct stat status;
    if (fstat(owned, &status) != 0)
        return km_fail_errno(err, errno, "cannot read the input");
    if (S_ISDIR(status.st_mode))
        return km_fail(err, KM_UNSUPPORTED, "a directory has no bytes of its own to show");
    uint64_t bytes = (uint64_t)status.st_size;
    if (S_ISBLK(status.st_mode)) {
        off_t end = lseek(owned, 0, SEEK_END);
        if (end < 0)
            return km_fail_errno(err, errno, "cannot tell the device's size");
        bytes = (uint64_t)end;
    } else if (!S_ISREG(status.st_mode)) {
        KM_CLEANUP(km_cleanup_close) int copy = -1;
        enum km_code code = open_temporary(&copy, err);
        if (code == KM_OK)
            code = copy_all(owned, copy, cancel, &bytes, err);
        if (code != KM_OK)
            return code;
        (void)close(owned);
        owned = km_steal_fd(&copy);
    }
    *out_input = (struct km_input){.fd = km_steal_fd(&owned), .bytes = bytes};
    return KM_OK;
}

void km_input_close(struct km_input *input)
{
    if (input->fd >= 0)
        (void)close(input->fd);
    input->fd = -1;
}

enum km_code km_input_read(void *context, uint64_t offset, void *out, size_t length, struct km_err *err)
{
    const struct km_input *input = context;
    uint8_t *bytes = out;
    while (length > 0) {
        ssize_t got = pread(input->fd, bytes, length, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read the input at offset %llu", (unsigned long long)offset);
        if (got == 0)
            return km_fail(err, KM_IO, "the input ends at offset %llu: it became shorter while it was read",
                           (unsigned long long)offset);
        bytes += got;
        offset += (uint64_t)got;
        length -= (size_t)got;
    }
    return KM_OK;
}

enum km_code km_input_window_init(struct km_input_window *window, struct km_input *input, uint64_t distance,
                                  struct km_err *err)
{
    uint8_t *bytes = km_calloc(KM_INPUT_WINDOW_BYTES, 1, KM_INPUT_WINDOW_BYTES, err);
    if (!bytes)
        return err->code;
    *window = (struct km_input_window){
        .input = input,
        .fill_bytes = distance >= FAR_BYTES ? FAR_FILL_BYTES : KM_INPUT_WINDOW_BYTES,
        .bytes = bytes,
    };
    return KM_OK;
}

void km_input_window_done(struct km_input_window *window)
{
    free(window->bytes);
    *window = (struct km_input_window){0};
}

enum km_code km_input_window_move(struct km_input_window *window, uint64_t offset, struct km_err *err)
{
    uint64_t left = window->input->bytes - offset;
    size_t length = left < window->fill_bytes ? (size_t)left : window->fill_bytes;
    window->length = 0;
    enum km_code code = km_input_read(window->input, offset, window->bytes, length, err);
    if (code != KM_OK)
        return code;
    window->begin = offset;
    window->length = length;
    return KM_OK;
}
