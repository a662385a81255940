#include "container/source/dirwalk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/buf.h"
#include "container/source/dirlist.h"
#include "container/source/tarhead.h"

#define MAX_LINK_BYTES ((size_t)8192)

struct level {
    int fd;
    dev_t device;
    struct km_dirlist names;
    size_t at;          /* the next name */
    size_t path_length; /* of this directory's path in walk->path */
};

/* A file with several links, by its first name's place in walk->link_names. */
struct link {
    dev_t device;
    ino_t inode;
    const char *path;
};

struct dirwalk {
    struct km_members base;
    struct km_meter *meter;
    struct level levels[KM_DIRWALK_MAX_DEPTH + 2];
    size_t depth;       /* open levels */
    struct km_buf path; /* of the current member */
    char target[MAX_LINK_BYTES];
    struct link *links; /* open hashing, a power of two, at most half full */
    size_t link_count, link_capacity;
    struct km_arena *link_names;
    /* The file that is being read. */
    int fd;
    uint64_t size, cursor;
    uint64_t hole_end, data_end; /* what SEEK_HOLE said about the cursor's place */
    bool broken, told;
    uint8_t bytes[KM_STREAM_BLOCK_BYTES];
};

static bool made_up(int fd)
{
    static const long kinds[] = {PROC_SUPER_MAGIC,
                                 SYSFS_MAGIC,
                                 CGROUP_SUPER_MAGIC,
                                 CGROUP2_SUPER_MAGIC,
                                 DEBUGFS_MAGIC,
                                 TRACEFS_MAGIC,
                                 SECURITYFS_MAGIC,
                                 BPF_FS_MAGIC,
                                 PSTOREFS_MAGIC,
                                 EFIVARFS_MAGIC,
                                 DEVPTS_SUPER_MAGIC,
                                 BINFMTFS_MAGIC,
                                 SELINUX_MAGIC,
                                 SMACK_MAGIC,
                                 AUTOFS_SUPER_MAGIC,
                                 NSFS_MAGIC,
                                 HUGETLBFS_MAGIC,
                                 0x19800202 /* mqueue */,
                                 0x62656570 /* configfs */,
                                 0x65735543 /* fusectl */};
    struct statfs info;
    if (fstatfs(fd, &info) != 0)
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if ((long)info.f_type == kinds[i])
            return true;
    return false;
}

static enum km_code tell(struct dirwalk *walk, enum km_gap_reason reason, uint64_t bytes, const char *detail,
                         struct km_err *err)
{
    const struct km_fault fault = {
        .reason = reason, .offset = UINT64_MAX, .bytes = bytes, .where = km_buf_text(&walk->path), .detail = detail};
    return km_members_fault(&walk->base, &fault, err);
}

/* Opens the directory fd (taken over) as the next level. */
static enum km_code push_level(struct dirwalk *walk, int fd, dev_t device, struct km_err *err)
{
    struct level *level = &walk->levels[walk->depth];
    *level = (struct level){.fd = fd, .device = device, .path_length = walk->path.length};
    walk->depth++;
    enum km_code code = km_dirlist_load(fd, &level->names, err);
    if (code == KM_OK || code == KM_NOMEM)
        return code;
    const struct km_err cause = *err;
    return tell(walk, code == KM_LIMIT ? KM_GAP_LIMIT : KM_GAP_UNREADABLE, UINT64_MAX, cause.text, err);
}

static void pop_level(struct dirwalk *walk)
{
    struct level *level = &walk->levels[--walk->depth];
    (void)close(level->fd);
    km_dirlist_done(&level->names);
}

/* The directory that walk->path names was just shown: its members come next, unless it may not be entered. */
static enum km_code enter(struct dirwalk *walk, struct level *parent, const char *name, dev_t device,
                          struct km_err *err)
{
    struct km_err cause = KM_ERR_INIT;
    int fd = -1;
    if (walk->depth > KM_DIRWALK_MAX_DEPTH)
        return tell(walk, KM_GAP_LIMIT, UINT64_MAX, "directories are nested too deeply", err);
    if (km_dirlist_open_directory(parent->fd, name, &fd, &cause) != KM_OK)
        return tell(walk, KM_GAP_UNREADABLE, UINT64_MAX, cause.text, err);
    if (device != parent->device && made_up(fd)) {
        (void)close(fd);
        return tell(walk, KM_GAP_POLICY, UINT64_MAX, "a file system that the kernel makes up", err);
    }
    return push_level(walk, fd, device, err);
}

/* ---- Hard links ---- */

static struct link *find_link(struct link *links, size_t capacity, dev_t device, ino_t inode)
{
    size_t i = (size_t)((inode * UINT64_C(0x9e3779b97f4a7c15)) ^ device) & (capacity - 1);
    while (links[i].path && (links[i].device != device || links[i].inode != inode))
        i = (i + 1) & (capacity - 1);
    return &links[i];
}

static enum km_code grow_links(struct dirwalk *walk, struct km_err *err)
{
    size_t capacity = walk->link_capacity ? walk->link_capacity * 2 : 256;
    struct link *links = calloc(capacity, sizeof *links);
    if (!links)
        return km_fail(err, KM_NOMEM, "out of memory (%zu links)", capacity);
    for (size_t i = 0; i < walk->link_capacity; i++)
        if (walk->links[i].path)
            *find_link(links, capacity, walk->links[i].device, walk->links[i].inode) = walk->links[i];
    free(walk->links);
    walk->links = links;
    walk->link_capacity = capacity;
    return KM_OK;
}

/* *out_first: the name under which this file was shown before, or NULL, and then this name is kept. */
static enum km_code look_up_link(struct dirwalk *walk, const struct stat *info, const char **out_first,
                                 struct km_err *err)
{
    *out_first = NULL;
    if (walk->link_count >= walk->link_capacity / 2) {
        enum km_code code = grow_links(walk, err);
        if (code != KM_OK)
            return code;
    }
    struct link *link = find_link(walk->links, walk->link_capacity, info->st_dev, info->st_ino);
    *out_first = link->path;
    if (link->path || walk->link_count >= KM_DIRWALK_MAX_LINKS)
        return KM_OK;
    const char *path = km_arena_strndup(walk->link_names, km_buf_text(&walk->path), walk->path.length, err);
    if (!path)
        return err->code == KM_LIMIT ? KM_OK : err->code; /* it will be read again under its other names */
    *link = (struct link){info->st_dev, info->st_ino, path};
    walk->link_count++;
    return KM_OK;
}

/* ---- Members ---- */

static enum km_entry_type type_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return KM_ENTRY_DIRECTORY;
    case S_IFLNK:
        return KM_ENTRY_SYMLINK;
    case S_IFCHR:
        return KM_ENTRY_CHARACTER;
    case S_IFBLK:
        return KM_ENTRY_BLOCK;
    case S_IFIFO:
        return KM_ENTRY_FIFO;
    case S_IFSOCK:
        return KM_ENTRY_SOCKET;
    default:
        return KM_ENTRY_FILE;
    }
}

static void close_file(struct dirwalk *walk)
{
    if (walk->fd >= 0)
        (void)close(walk->fd);
    walk->fd = -1;
}

static enum km_code open_file(struct dirwalk *walk, struct level *level, const char *name, struct km_member *out,
                              struct km_err *err)
{
    struct stat info;
    struct km_err cause = KM_ERR_INIT;
    walk->size = walk->cursor = walk->hole_end = walk->data_end = 0;
    walk->broken = walk->told = false;
    if (km_dirlist_open_file(level->fd, name, &walk->fd, &info, &cause) == KM_OK) {
        out->size = walk->size = (uint64_t)info.st_size;
        return KM_OK;
    }
    walk->size = out->size;
    walk->broken = walk->told = true; /* nothing of it will come */
    return tell(walk, KM_GAP_UNREADABLE, out->size, cause.text, err);
}

static enum km_code show(struct dirwalk *walk, struct level *level, const char *name, const struct stat *info,
                         struct km_member *out, struct km_err *err)
{
    *out = (struct km_member){.type = type_of(info->st_mode),
                              .path = km_buf_text(&walk->path),
                              .mode = info->st_mode & 07777,
                              .uid = info->st_uid,
                              .gid = info->st_gid,
                              .mtime_s = info->st_mtim.tv_sec};
    if (out->type == KM_ENTRY_SYMLINK) {
        ssize_t length = readlinkat(level->fd, name, walk->target, sizeof walk->target - 1);
        walk->target[length > 0 ? length : 0] = '\0';
        out->link = walk->target;
    }
    if (out->type == KM_ENTRY_DIRECTORY)
        return enter(walk, level, name, info->st_dev, err);
    if (out->type != KM_ENTRY_FILE)
        return KM_OK;
    if (info->st_nlink > 1) {
        enum km_code code = look_up_link(walk, info, &out->link, err);
        if (code != KM_OK)
            return code;
        if (out->link) {
            out->type = KM_ENTRY_HARDLINK;
            return KM_OK;
        }
    }
    out->size = (uint64_t)info->st_size;
    return open_file(walk, level, name, out, err);
}

static enum km_code next_member(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err)
{
    struct dirwalk *walk = (struct dirwalk *)members;
    *out_found = false;
    close_file(walk);
    while (walk->depth > 0) {
        struct level *level = &walk->levels[walk->depth - 1];
        if (level->at == level->names.count) {
            pop_level(walk);
            continue;
        }
        const char *name = level->names.names[level->at++];
        struct stat info;
        walk->path.length = level->path_length;
        enum km_code code = level->path_length > 0 ? km_buf_append(&walk->path, "/", 1, err) : KM_OK;
        if (code == KM_OK)
            code = km_buf_append_text(&walk->path, name, err);
        if (code == KM_OK)
            code = km_meter_add(walk->meter, 0, err);
        if (code == KM_OK && fstatat(level->fd, name, &info, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
            code = tell(walk, KM_GAP_UNREADABLE, UINT64_MAX, "it vanished or cannot be looked at", err);
            if (code == KM_OK)
                continue;
        }
        if (code != KM_OK)
            return code;
        *out_found = true;
        return show(walk, level, name, &info, out, err);
    }
    return KM_OK;
}

/* Finds out whether the cursor stands in a hole or in data, and how far that goes. */
static void look_for_hole(struct dirwalk *walk)
{
    off_t data = lseek(walk->fd, (off_t)walk->cursor, SEEK_DATA);
    if (data < 0) { /* ENXIO: a hole up to the end. Else the file system knows of no holes. */
        walk->hole_end = errno == ENXIO ? walk->size : walk->cursor;
        walk->data_end = walk->size;
        return;
    }
    off_t hole = lseek(walk->fd, data, SEEK_HOLE);
    walk->hole_end = (uint64_t)data < walk->size ? (uint64_t)data : walk->size;
    walk->data_end = hole > data ? (uint64_t)hole : walk->size;
}

static enum km_code read_member(struct km_members *members, struct km_piece *out, struct km_err *err)
{
    struct dirwalk *walk = (struct dirwalk *)members;
    *out = (struct km_piece){.offset = walk->cursor, .broken = walk->broken, .told = walk->told};
    if (walk->broken || walk->fd < 0)
        return KM_OK;
    if (walk->cursor < walk->size && walk->cursor >= walk->data_end)
        look_for_hole(walk);
    if (walk->cursor < walk->hole_end) {
        out->length = walk->hole_end - walk->cursor;
        walk->cursor = walk->hole_end;
        return KM_OK;
    }
    ssize_t got = 0;
    do
        got = pread(walk->fd, walk->bytes, sizeof walk->bytes, (off_t)walk->cursor);
    while (got < 0 && errno == EINTR);
    if (got < 0) {
        walk->broken = walk->told = out->broken = out->told = true;
        return tell(walk, KM_GAP_UNREADABLE, walk->size > walk->cursor ? walk->size - walk->cursor : 0,
                    "it cannot be read to its end", err);
    }
    if (got == 0) {
        walk->broken = out->broken = walk->cursor < walk->size; /* it shrank */
        return KM_OK;
    }
    out->bytes = walk->bytes;
    out->length = (uint64_t)got;
    walk->cursor += (uint64_t)got;
    return km_meter_add(walk->meter, (uint64_t)got, err);
}

static void close_walk(struct km_members *members)
{
    struct dirwalk *walk = (struct dirwalk *)members;
    close_file(walk);
    while (walk->depth > 0)
        pop_level(walk);
    free(walk->links);
    km_arena_free(walk->link_names);
    km_buf_done(&walk->path);
    free(walk);
}

struct km_members *km_dirwalk_new(int dir_fd, struct km_meter *meter, struct km_err *err)
{
    struct stat info;
    struct dirwalk *walk = calloc(1, sizeof *walk);
    if (!walk) {
        (void)close(dir_fd);
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *walk);
        return NULL;
    }
    walk->base.next = next_member;
    walk->base.read = read_member;
    walk->base.close = close_walk;
    walk->meter = meter;
    walk->fd = -1;
    km_buf_init(&walk->path, KM_TAR_MAX_NAME + 16);
    walk->link_names = km_arena_new((size_t)32 << 20, err);
    enum km_code code = KM_OK;
    if (!walk->link_names)
        code = err->code;
    else if (fstat(dir_fd, &info) != 0)
        code = km_fail_errno(err, errno, "cannot look at the directory");
    else if (made_up(dir_fd))
        code = km_fail(err, KM_UNSUPPORTED, "a file system that the kernel makes up (proc, sysfs, …) is not read");
    if (code == KM_OK) {
        walk->levels[0] = (struct level){.fd = dir_fd, .device = info.st_dev};
        walk->depth = 1;
        code = km_dirlist_load(dir_fd, &walk->levels[0].names, err);
    } else {
        (void)close(dir_fd);
    }
    if (code == KM_OK)
        return &walk->base;
    close_walk(&walk->base);
    return NULL;
}
