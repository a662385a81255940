#include "container/scan/hashlist.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/mem.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20) /* of the names */

struct row {
    uint8_t sha256[KM_SHA256_BYTES];
    const char *label;
    const char *name;
};

struct km_hashlist {
    struct km_arena *arena;
    struct row *rows;
    size_t count, capacity;
};

struct km_hashlist *km_hashlist_new(struct km_err *err)
{
    struct km_hashlist *list = km_calloc(1, sizeof *list, sizeof *list, err);
    if (!list)
        return NULL;
    list->arena = km_arena_new(MAX_TEXT_BYTES, err);
    if (!list->arena) {
        free(list);
        return NULL;
    }
    return list;
}

void km_hashlist_free(struct km_hashlist *list)
{
    if (!list)
        return;
    free(list->rows);
    km_arena_free(list->arena);
    free(list);
}

static enum km_code add_line(struct km_hashlist *list, const char *label, const char *line, size_t length,
                             struct km_err *err)
{
    while (length > 0 && strchr(" \t\r", line[length - 1]) && line[length - 1])
        length--;
    if (length == 0 || *line == '#')
        return KM_OK;
    if (length > KM_HASHLIST_MAX_LINE_BYTES)
        return km_fail(err, KM_LIMIT, "a line longer than %d bytes", KM_HASHLIST_MAX_LINE_BYTES);
    struct row row = {.label = label};
    if (length < (size_t)2 * KM_SHA256_BYTES || km_hex_parse(line, KM_SHA256_BYTES, row.sha256, err) != KM_OK)
        return km_fail(err, KM_FORMAT, "no SHA-256 (64 hexadecimal digits) at the start of the line");
    const char *rest = line + (size_t)2 * KM_SHA256_BYTES;
    size_t rest_length = length - (size_t)2 * KM_SHA256_BYTES;
    if (rest_length > 0 && *rest != ' ' && *rest != '\t')
        return km_fail(err, KM_FORMAT, "more than 64 hexadecimal digits");
    while (rest_length > 0 && (*rest == ' ' || *rest == '\t' || *rest == '*')) { /* "*": sha256sum's binary mark */
        rest++;
        rest_length--;
    }
    row.name = km_arena_strndup(list->arena, rest, rest_length, err);
    if (!row.name)
        return err->code;
    void *rows = list->rows;
    enum km_code code =
        km_grow(&rows, &list->capacity, list->count + 1, sizeof *list->rows, KM_HASHLIST_MAX_HASHES, err);
    list->rows = rows;
    if (code == KM_OK)
        list->rows[list->count++] = row;
    return code;
}

/* A list that is being read. */
struct reading {
    struct km_hashlist *list;
    const char *label;
    size_t line; /* the next one's number */
};

/* Complete lines of text, and with `last` also what is behind the final newline; *out_used: how far it got. */
static enum km_code add_lines(struct reading *reading, const char *text, size_t length, bool last, size_t *out_used,
                              struct km_err *err)
{
    size_t at = 0;
    for (; at < length; reading->line++) {
        const char *end = memchr(text + at, '\n', length - at);
        if (!end && !last && length - at <= KM_HASHLIST_MAX_LINE_BYTES)
            break;
        size_t line_length = end ? (size_t)(end - (text + at)) : length - at;
        if (add_line(reading->list, reading->label, text + at, line_length, err) != KM_OK)
            return km_err_wrap(err, "%s:%zu", reading->label, reading->line);
        at += line_length + 1;
    }
    *out_used = at < length ? at : length;
    return KM_OK;
}

enum km_code km_hashlist_add_text(struct km_hashlist *list, const char *label, const char *text, size_t length,
                                  struct km_err *err)
{
    struct reading reading = {list, km_arena_strndup(list->arena, label, strlen(label), err), 1};
    size_t used = 0;
    return reading.label ? add_lines(&reading, text, length, true, &used, err) : err->code;
}

/* A long list is not held as text, too. */
static enum km_code add_descriptor(struct reading *reading, int fd, const char *path, struct km_err *err)
{
    char block[(size_t)16 << 10];
    size_t have = 0;
    for (;;) {
        ssize_t got = read(fd, block + have, sizeof block - have);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read %s", path);
        have += (size_t)got;
        size_t used = 0;
        enum km_code code = add_lines(reading, block, have, got == 0, &used, err);
        if (code != KM_OK || got == 0)
            return code;
        have -= used;
        memmove(block, block + used, have);
    }
}

enum km_code km_hashlist_add_file(struct km_hashlist *list, const char *path, struct km_err *err)
{
    /* O_NONBLOCK: a FIFO must be refused, not waited for. */
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0)
        return km_fail_errno(err, errno, "cannot open %s", path);
    if (!S_ISREG(status.st_mode))
        return km_fail(err, KM_FORMAT, "%s is not a regular file", path);
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    struct reading reading = {list, km_arena_strndup(list->arena, name, strlen(name), err), 1};
    return reading.label ? add_descriptor(&reading, fd, path, err) : err->code;
}

static int compare_rows(const void *a, const void *b)
{
    return memcmp(((const struct row *)a)->sha256, ((const struct row *)b)->sha256, KM_SHA256_BYTES);
}

void km_hashlist_seal(struct km_hashlist *list)
{
    if (list->count > 0)
        qsort(list->rows, list->count, sizeof *list->rows, compare_rows);
}

int km_hashlist_find(const struct km_hashlist *list, const uint8_t sha256[KM_SHA256_BYTES], struct km_hash_match *out)
{
    struct row key = {.label = NULL};
    memcpy(key.sha256, sha256, KM_SHA256_BYTES);
    const struct row *row =
        list->count ? bsearch(&key, list->rows, list->count, sizeof *list->rows, compare_rows) : NULL;
    if (!row)
        return 0;
    *out = (struct km_hash_match){row->label, row->name};
    return 1;
}

size_t km_hashlist_count(const struct km_hashlist *list)
{
    return list->count;
}
