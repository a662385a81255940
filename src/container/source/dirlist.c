#include "container/source/dirlist.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void close_dir(DIR **dir)
{
    if (*dir)
        (void)closedir(*dir);
}

static enum km_code add_name(struct km_dirlist *list, const char *name, struct km_err *err)
{
    void *array = list->names;
    enum km_code code =
        km_grow(&array, &list->capacity, list->count + 1, sizeof *list->names, KM_DIRLIST_MAX_NAMES, err);
    if (code != KM_OK)
        return code;
    list->names = array;
    char *copy = km_arena_strndup(list->arena, name, strlen(name), err);
    if (!copy)
        return err->code;
    list->names[list->count++] = copy;
    return KM_OK;
}

enum km_code km_dirlist_load(int dir_fd, struct km_dirlist *list, struct km_err *err)
{
    int own_fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    KM_CLEANUP(close_dir) DIR *dir = own_fd < 0 ? NULL : fdopendir(own_fd);
    if (!dir) {
        int cause = errno;
        if (own_fd >= 0)
            (void)close(own_fd);
        return km_fail_errno(err, cause, "cannot list a directory");
    }
    list->arena = km_arena_new(KM_DIRLIST_MAX_BYTES, err);
    if (!list->arena)
        return err->code;
    for (;;) {
        errno = 0;
        const struct dirent *item = readdir(dir);
        if (!item)
            break;
        if (strcmp(item->d_name, ".") == 0 || strcmp(item->d_name, "..") == 0)
            continue;
        enum km_code code = add_name(list, item->d_name, err);
        if (code != KM_OK)
            return code;
    }
    if (errno != 0)
        return km_fail_errno(err, errno, "cannot list a directory");
    if (list->count > 0)
        qsort(list->names, list->count, sizeof *list->names, by_bytes);
    return KM_OK;
}

void km_dirlist_done(struct km_dirlist *list)
{
    km_arena_free(list->arena);
    free(list->names);
    *list = (struct km_dirlist){0};
}

enum km_code km_dirlist_open_file(int dir_fd, const char *name, int *out_fd, struct stat *out_stat, struct km_err *err)
{
    struct stat info;
    if (fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) != 0)
        return km_fail_errno(err, errno, "cannot look at it");
    if (!S_ISREG(info.st_mode))
        return km_fail(err, KM_UNSUPPORTED, "it is not a regular file");
    /* O_NONBLOCK: should it become a FIFO in this moment, nobody waits; the check is made again on what was opened. */
    KM_CLEANUP(km_cleanup_close)
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0)
        return km_fail_errno(err, errno, "cannot open it");
    if (!S_ISREG(info.st_mode))
        return km_fail(err, KM_UNSUPPORTED, "it is not a regular file");
    if (out_stat)
        *out_stat = info;
    *out_fd = km_steal_fd(&fd);
    return KM_OK;
}

enum km_code km_dirlist_open_directory(int dir_fd, const char *name, int *out_fd, struct km_err *err)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return km_fail_errno(err, errno, "cannot open it");
    *out_fd = fd;
    return KM_OK;
}

bool km_dirlist_has(int dir_fd, const char *name)
{
    struct stat info;
    return fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0;
}
