#include "container/imaging/pathset.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"

#define MAX_PATHS  ((size_t)16 << 20)
#define READ_BYTES 65536U

struct path {
    const char *text;
    size_t length;
    bool met;
};

struct km_pathset {
    struct km_buf text;
    struct path *paths;
    size_t count;
    size_t capacity;
};

static int compare(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t shorter = a_length < b_length ? a_length : b_length;
    int order = memcmp(a, b, shorter);
    if (order != 0)
        return order;
    return (a_length > b_length) - (a_length < b_length);
}

static int compare_paths(const void *a, const void *b)
{
    const struct path *left = a, *right = b;
    return compare(left->text, left->length, right->text, right->length);
}

static enum km_code read_all(int fd, struct km_buf *text, struct km_err *err)
{
    char bytes[READ_BYTES];
    for (;;) {
        ssize_t got = read(fd, bytes, sizeof bytes);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return km_fail_errno(err, errno, "cannot read the list of paths");
        if (got == 0)
            return KM_OK;
        enum km_code code = km_buf_append(text, bytes, (size_t)got, err);
        if (code != KM_OK)
            return km_err_wrap(err, "the list of paths");
    }
}

static enum km_code split(struct km_pathset *set, char separator, struct km_err *err)
{
    char *at = set->text.data;
    const char *end = at + set->text.length;
    while (at < end) {
        char *stop = memchr(at, separator, (size_t)(end - at));
        size_t length = stop ? (size_t)(stop - at) : (size_t)(end - at);
        char *next = at + length + (stop ? 1 : 0);
        at[length] = '\0'; /* the buffer has a NUL behind its end */
        while (length > 0 && *at == '/') {
            at++;
            length--;
        }
        if (length > 0) {
            void *paths = set->paths;
            enum km_code code = km_grow(&paths, &set->capacity, set->count + 1, sizeof *set->paths, MAX_PATHS, err);
            set->paths = paths;
            if (code != KM_OK)
                return km_err_wrap(err, "the list of paths");
            set->paths[set->count++] = (struct path){.text = at, .length = length};
        }
        at = next;
    }
    return KM_OK;
}

static void drop_doubles(struct km_pathset *set)
{
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++)
        if (kept == 0 || compare_paths(&set->paths[kept - 1], &set->paths[i]) != 0)
            set->paths[kept++] = set->paths[i];
    set->count = kept;
}

struct km_pathset *km_pathset_load(int fd, char separator, struct km_err *err)
{
    KM_CLEANUP(km_pathset_cleanup) struct km_pathset *set = km_calloc(1, sizeof *set, sizeof *set, err);
    if (!set)
        return NULL;
    km_buf_init(&set->text, KM_PATHSET_MAX_BYTES);
    if (read_all(fd, &set->text, err) != KM_OK || split(set, separator, err) != KM_OK)
        return NULL;
    if (set->count > 0)
        qsort(set->paths, set->count, sizeof *set->paths, compare_paths);
    drop_doubles(set);
    return km_steal(set);
}

void km_pathset_free(struct km_pathset *set)
{
    if (!set)
        return;
    km_buf_done(&set->text);
    free(set->paths);
    free(set);
}

bool km_pathset_match(struct km_pathset *set, const char *name, size_t length)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct path *path = &set->paths[middle];
        int order = compare(path->text, path->length, name, length);
        if (order == 0) {
            path->met = true;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return false;
}

size_t km_pathset_get_count(const struct km_pathset *set)
{
    return set->count;
}

const char *km_pathset_get_path(const struct km_pathset *set, size_t i, bool *out_met)
{
    *out_met = set->paths[i].met;
    return set->paths[i].text;
}
