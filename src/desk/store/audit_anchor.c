/* The anchor file: "NUMBER HASH\n" of the newest audit entry, NUMBER in twenty digits, so that one write of one length
 * replaces it in place and nobody needs the right to make files beside the store. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/digest.h"
#include "desk/store/audit_internal.h"
#include "desk/store/store_internal.h"

#define NUMBER_DIGITS 20
#define ANCHOR_BYTES  (NUMBER_DIGITS + 1 + (KM_SHA256_HEX_BYTES - 1) + 1)
#define SUFFIX        ".anchor"

enum km_code km_audit_parse_head(const char *text, int64_t *out_id, char *out_hash, struct km_err *err)
{
    char *end = NULL;
    uint8_t bytes[KM_SHA256_BYTES];
    errno = 0;
    long long id = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != ' ' || id < 1 || text[0] < '0' || text[0] > '9')
        return km_fail(err, KM_FORMAT, "a head is 'NUMBER HASH'");
    const char *hash = end + 1;
    size_t length = strcspn(hash, "\n");
    if (length != KM_SHA256_HEX_BYTES - 1 || km_hex_parse(hash, KM_SHA256_BYTES, bytes, err) != KM_OK ||
        (hash[length] == '\n' && hash[length + 1] != '\0'))
        return km_fail(err, KM_FORMAT, "a head is 'NUMBER HASH' with 64 hexadecimal digits");
    *out_id = id;
    km_hex_format(bytes, sizeof bytes, out_hash);
    return KM_OK;
}

static char *anchor_path(const struct km_desk *desk, struct km_err *err)
{
    size_t length = strlen(desk->path);
    char *path = km_calloc(length + sizeof SUFFIX, 1, SIZE_MAX, err);
    if (path) {
        memcpy(path, desk->path, length);
        memcpy(path + length, SUFFIX, sizeof SUFFIX);
    }
    return path;
}

/* A file that is made takes the store's mode, for the same people write it. */
static int open_anchor(const struct km_desk *desk, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
    struct stat status;
    if (stat(desk->path, &status) == 0)
        (void)fchmod(fd, status.st_mode & 0666); /* without it the group cannot move the anchor, and verify says so */
    return fd;
}

static enum km_code read_anchor(int fd, int64_t *out_id, char *out_hash, struct km_err *err)
{
    char text[ANCHOR_BYTES + 2] = "";
    ssize_t length = pread(fd, text, sizeof text - 1, 0);
    if (length < 0)
        return km_fail_errno(err, errno, "cannot read the anchor");
    return km_audit_parse_head(text, out_id, out_hash, err);
}

void km_audit_write_anchor(const struct km_desk *desk, int64_t id, const char *hash)
{
    struct km_err err = KM_ERR_INIT;
    if (desk->in_memory)
        return;
    char *path KM_CLEANUP(km_cleanup_free) = anchor_path(desk, &err);
    int fd KM_CLEANUP(km_cleanup_close) = path ? open_anchor(desk, path) : -1;
    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        return;
    int64_t present = 0;
    char present_hash[KM_SHA256_HEX_BYTES];
    /* Another program that committed later may have been faster; and an anchor never goes back: a shorter log is what
     * it is to show. */
    if (read_anchor(fd, &present, present_hash, &err) == KM_OK && present >= id)
        return;
    char text[ANCHOR_BYTES + 1];
    snprintf(text, sizeof text, "%0*lld %s\n", NUMBER_DIGITS, (long long)id, hash);
    if (pwrite(fd, text, ANCHOR_BYTES, 0) == (ssize_t)ANCHOR_BYTES)
        (void)fdatasync(fd);
}

enum km_code km_audit_read_anchor(const struct km_desk *desk, int64_t *out_id, char *out_hash, struct km_err *err)
{
    if (desk->in_memory)
        return km_fail(err, KM_NOTFOUND, "a store in memory has no anchor");
    char *path KM_CLEANUP(km_cleanup_free) = anchor_path(desk, err);
    if (!path)
        return err->code;
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    return read_anchor(fd, out_id, out_hash, err) == KM_OK ? KM_OK : km_err_wrap(err, "%s", path);
}
