#include "container/lab/debfetch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/digest.h"
#include "base/http.h"
#include "base/newfile.h"

#define BLOCK_BYTES ((size_t)64 << 10)

KM_DEFINE_CLEANUP(struct km_digest, digest_cleanup, km_digest_free);

/* Whether the file is the recipe's; *out_there false when there is none. */
static enum km_code check_cached(const char *path, const struct km_recipe *recipe, bool *out_there, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
        *out_there = false;
        return KM_OK;
    }
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot read %s", path);
    KM_CLEANUP(digest_cleanup) struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    KM_CLEANUP(km_cleanup_free) uint8_t *block = digest ? km_calloc(1, BLOCK_BYTES, BLOCK_BYTES, err) : NULL;
    if (!block)
        return err->code;
    km_digest_reset(digest);
    for (ssize_t got; (got = read(fd, block, BLOCK_BYTES)) != 0;) {
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read %s", path);
        km_digest_update(digest, block, (size_t)got);
    }
    uint8_t found[KM_SHA256_BYTES];
    km_digest_finish(digest, found);
    if (memcmp(found, recipe->sha256, sizeof found) != 0)
        return km_fail(err, KM_CONFLICT, "%s is not the package of its name", path);
    *out_there = true;
    return KM_OK;
}

static enum km_code copy_body(struct km_http *http, struct km_newfile *file, const struct km_recipe *recipe,
                              struct km_err *err)
{
    KM_CLEANUP(digest_cleanup) struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    KM_CLEANUP(km_cleanup_free) uint8_t *block = digest ? km_calloc(1, BLOCK_BYTES, BLOCK_BYTES, err) : NULL;
    if (!block)
        return err->code;
    km_digest_reset(digest);
    uint64_t total = 0;
    for (;;) {
        size_t got = 0;
        enum km_code code = km_http_read(http, block, BLOCK_BYTES, &got, err);
        if (code != KM_OK)
            return code;
        if (got == 0)
            break;
        total += got;
        if (total > recipe->bytes)
            return km_fail(err, KM_CONFLICT, "longer than the recipe says");
        km_digest_update(digest, block, got);
        code = km_newfile_write(file, block, got, err);
        if (code != KM_OK)
            return code;
    }
    uint8_t found[KM_SHA256_BYTES];
    km_digest_finish(digest, found);
    if (total != recipe->bytes || memcmp(found, recipe->sha256, sizeof found) != 0)
        return km_fail(err, KM_CONFLICT, "not the package that the recipe names");
    return KM_OK;
}

enum km_code km_debfetch_get(const struct km_debfetch *fetch, const struct km_recipe *recipe,
                             char out_path[KM_DEBFETCH_PATH_BYTES], struct km_err *err)
{
    char name[KM_SHA256_HEX_BYTES], path[KM_DEBFETCH_PATH_BYTES], url[KM_DEBFETCH_PATH_BYTES];
    km_hex_format(recipe->sha256, KM_SHA256_BYTES, name);
    if (snprintf(path, sizeof path, "%s/%s.deb", fetch->cache, name) >= (int)sizeof path ||
        snprintf(url, sizeof url, "%s/%s", fetch->mirror, recipe->path) >= (int)sizeof url)
        return km_fail(err, KM_LIMIT, "the name of the cache or the mirror is too long");
    bool there = false;
    enum km_code code = check_cached(path, recipe, &there, err);
    if (code == KM_OK && !there) {
        const struct km_http_request request = {.url = url, .cancel = fetch->cancel};
        KM_CLEANUP(km_http_cleanup) struct km_http *http = km_http_open(&request, err);
        KM_CLEANUP(km_newfile_cleanup) struct km_newfile *file = http ? km_newfile_open(path, err) : NULL;
        if (!file)
            return km_err_wrap(err, "%s", recipe->path);
        code = copy_body(http, file, recipe, err);
        if (code == KM_OK)
            code = km_newfile_commit(file, err);
    }
    if (code != KM_OK)
        return km_err_wrap(err, "%s", recipe->path);
    memcpy(out_path, path, sizeof path);
    return KM_OK;
}
