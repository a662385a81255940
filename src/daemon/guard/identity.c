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
#define MAX_PROGRAM    ((size_t)256 << 20) /* a larger one is not hashed */
#define READ_BYTES     65536
#define DELETED_SUFFIX " (deleted)"

struct km_identity {
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

/* Content stands in for a build id that is not there: scripts' interpreters and stripped programs. */
static void hash_program(const struct km_identity *identity, uint32_t tgid, struct km_event_role *role)
{
    char path[PATH_BYTES];
    struct stat st;
    struct km_err err = KM_ERR_INIT;
    (void)snprintf(path, sizeof path, "%s/%u/exe", identity->proc_root, tgid);
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (uint64_t)st.st_size > MAX_PROGRAM)
        return;
    struct km_digest *sum = km_digest_new(KM_DIGEST_SHA256, &err);
    uint8_t *bytes KM_CLEANUP(km_cleanup_free) = km_calloc(READ_BYTES, 1, SIZE_MAX, &err);
    uint8_t digest[KM_SHA256_BYTES];
    ssize_t n = -1;
    while (sum && bytes && (n = read(fd, bytes, READ_BYTES)) > 0)
        km_digest_update(sum, bytes, (size_t)n);
    if (n == 0)
        km_digest_finish(sum, digest);
    km_digest_free(sum);
    if (n != 0)
        return;
    memcpy(role->build_id, digest, KM_EVENT_BUILD_ID_BYTES);
    role->build_id_length = KM_EVENT_BUILD_ID_BYTES;
}

void km_identity_complete(struct km_identity *identity, uint32_t tgid, struct km_event_role *role)
{
    char path[KM_EVENT_MAX_PATH_BYTES];
    struct km_package_match match;
    identity->package[0] = '\0';
    if (role->exe.length == 0 || role->exe.length >= sizeof path || tgid == 0)
        return;
    if (role->build_id_length == 0)
        hash_program(identity, tgid, role);
    memcpy(path, role->exe.data, role->exe.length);
    path[role->exe.length] = '\0';
    size_t suffix = strlen(DELETED_SUFFIX);
    if (role->exe.length > suffix && strcmp(path + role->exe.length - suffix, DELETED_SUFFIX) == 0)
        return; /* what lies there now, if anything, is not what runs */
    const struct km_package_view *view = view_of(identity, tgid);
    if (!view)
        return;
    km_package_find(view, path, NULL, &match);
    bool owned = match.package && match.state != KM_PACKAGE_DIVERTED && match.state != KM_PACKAGE_UNOWNED;
    if (owned)
        (void)snprintf(identity->package, sizeof identity->package, "%s %s", match.package->name,
                       match.package->version);
    role->package = (struct km_bytes){identity->package, strlen(identity->package)};
}
