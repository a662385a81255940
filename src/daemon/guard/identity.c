#include "daemon/guard/identity.h"

#include <fcntl.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/digest.h"
#include "package/package.h"

#define PATH_BYTES     4352
#define REST_NS        (5 * KM_NS_PER_S)
#define PROGRAMS       32
#define MAX_PROGRAM    ((size_t)256 << 20) /* a larger one is known by its build id alone */
#define READ_BYTES     65536
#define DELETED_SUFFIX " (deleted)"

/* One that was read. */
struct program {
    bool used, has_md5;
    struct stat st;
    uint8_t sha256[KM_SHA256_BYTES], md5[KM_MD5_BYTES];
};

struct km_identity {
    struct program programs[PROGRAMS];
    size_t next_program;
    const char *proc_root;
    struct km_package_view *view;
    dev_t device; /* of the root that the view belongs to */
    ino_t inode;
    int64_t asked_ns;
    char package[KM_EVENT_MAX_NAME_BYTES];
};

struct km_identity *km_identity_new(const char *proc_root, struct km_err *err)
{
    struct km_identity *identity = km_calloc(1, sizeof *identity, SIZE_MAX, err);
    if (identity)
        identity->proc_root = proc_root;
    return identity;
}

void km_identity_free(struct km_identity *identity)
{
    if (!identity)
        return;
    km_package_view_free(identity->view);
    free(identity);
}

static void forget(struct km_identity *identity)
{
    if (!identity->view)
        return;
    km_package_view_free(km_steal(identity->view));
#ifdef __GLIBC__
    (void)malloc_trim(0); /* a database of a moment must not stay resident for months */
#endif
    identity->device = 0;
    identity->inode = 0;
}

void km_identity_rest(struct km_identity *identity)
{
    if (identity->view && km_clock_monotonic_ns() - identity->asked_ns >= REST_NS)
        forget(identity);
}

/* The database of the root that the process sees; a container has one of its own. */
static const struct km_package_view *view_of(struct km_identity *identity, uint32_t tgid)
{
    char path[PATH_BYTES];
    struct stat st;
    struct km_err err = KM_ERR_INIT;
    (void)snprintf(path, sizeof path, "%s/%u/root", identity->proc_root, tgid);
    int root KM_CLEANUP(km_cleanup_close) = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || fstat(root, &st) != 0)
        return NULL;
    identity->asked_ns = km_clock_monotonic_ns();
    if (identity->view && identity->device == st.st_dev && identity->inode == st.st_ino)
        return identity->view;
    forget(identity);
    identity->view = km_package_load_host(root, KM_PACKAGE_DEFAULT_MAX_BYTES, &err);
    identity->device = st.st_dev;
    identity->inode = st.st_ino;
    return identity->view;
}

static bool is_same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

/* Both digests of an open file; false when it cannot be read to its end. */
static bool read_sums(int fd, struct program *out)
{
    struct km_err err = KM_ERR_INIT;
    uint8_t *bytes KM_CLEANUP(km_cleanup_free) = km_calloc(READ_BYTES, 1, SIZE_MAX, &err);
    struct km_digest *sha256 = km_digest_new(KM_DIGEST_SHA256, &err), *md5 = km_digest_new(KM_DIGEST_MD5, &err);
    uint64_t total = 0;
    ssize_t n = -1;
    while (sha256 && bytes && total <= MAX_PROGRAM && (n = read(fd, bytes, READ_BYTES)) > 0) {
        km_digest_update(sha256, bytes, (size_t)n);
        if (md5)
            km_digest_update(md5, bytes, (size_t)n);
        total += (uint64_t)n;
    }
    out->has_md5 = md5 != NULL; /* a FIPS build has none */
    if (n == 0)
        km_digest_finish(sha256, out->sha256);
    if (n == 0 && md5)
        km_digest_finish(md5, out->md5);
    km_digest_free(sha256);
    km_digest_free(md5);
    return n == 0;
}

/* The content of the program that runs; what was read before is not read again. NULL: it cannot be read. */
static const struct program *program_of(struct km_identity *identity, uint32_t tgid, bool *out_large)
{
    char path[PATH_BYTES];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s/%u/exe", identity->proc_root, tgid);
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return NULL;
    *out_large = (uint64_t)st.st_size > MAX_PROGRAM;
    for (size_t i = 0; i < PROGRAMS; i++)
        if (identity->programs[i].used && is_same_file(&identity->programs[i].st, &st))
            return &identity->programs[i];
    struct program *program = &identity->programs[identity->next_program++ % PROGRAMS];
    program->used = false;
    program->st = st;
    program->used = !*out_large && read_sums(fd, program);
    return program->used ? program : NULL;
}

/* Content says who a program is: whoever changes one keeps its build id. What cannot be read is nobody. */
static void name_program(const struct program *program, bool large, struct km_event_role *role)
{
    if (program)
        memcpy(role->build_id, program->sha256, KM_EVENT_BUILD_ID_BYTES);
    if (program || !large)
        role->build_id_length = program ? KM_EVENT_BUILD_ID_BYTES : 0;
}

void km_identity_complete(struct km_identity *identity, uint32_t tgid, struct km_event_role *role)
{
    char path[KM_EVENT_MAX_PATH_BYTES];
    struct km_package_match match;
    identity->package[0] = '\0';
    if (role->exe.length == 0 || role->exe.length >= sizeof path || tgid == 0)
        return;
    bool large = false;
    const struct program *program = program_of(identity, tgid, &large);
    name_program(program, large, role);
    memcpy(path, role->exe.data, role->exe.length);
    path[role->exe.length] = '\0';
    size_t suffix = strlen(DELETED_SUFFIX);
    if (role->exe.length > suffix && strcmp(path + role->exe.length - suffix, DELETED_SUFFIX) == 0)
        return; /* what lies there now, if anything, is not what runs */
    const struct km_package_view *view = view_of(identity, tgid);
    if (!view)
        return;
    km_package_find(view, path, program && program->has_md5 ? program->md5 : NULL, &match);
    bool owned = match.package && match.state != KM_PACKAGE_DIVERTED && match.state != KM_PACKAGE_UNOWNED &&
                 match.state != KM_PACKAGE_CHANGED; /* no package explains that */
    if (owned)
        (void)snprintf(identity->package, sizeof identity->package, "%s %s", match.package->name,
                       match.package->version);
    role->package = (struct km_bytes){identity->package, strlen(identity->package)};
}
