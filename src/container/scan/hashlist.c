#include "container/scan/hashlist.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/mem.h"

#define MAX_TEXT_BYTES ((size_t)256 << 20)

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

enum km_code km_hashlist_add_text(struct km_hashlist *list, const char *label, const char *text, size_t length,
                                  struct km_err *err)
{
    const char *own_label = km_arena_strndup(list->arena, label, strlen(label), err);
    if (!own_label)
        return err->code;
    size_t line = 1;
    for (size_t at = 0; at < length; line++) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line_length = end ? (size_t)(end - (text + at)) : length - at;
        if (add_line(list, own_label, text + at, line_length, err) != KM_OK)
            return km_err_wrap(err, "%s:%zu", label, line);
        at += line_length + 1;
    }
    return KM_OK;
}

enum km_code km_hashlist_add_file(struct km_hashlist *list, const char *path, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, MAX_TEXT_BYTES);
    const char *slash = strrchr(path, '/');
    enum km_code code = km_buf_append_file(&text, path, err);
    if (code == KM_OK)
        code = km_hashlist_add_text(list, slash ? slash + 1 : path, km_buf_text(&text), text.length, err);
    km_buf_done(&text);
    return code;
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
