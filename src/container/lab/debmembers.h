/*
 * The samples of one package: its members are streamed from dpkg-deb, and of those that are samples the few are kept
 * whose names hash lowest, so that another build of the same package gives the same choice.
 */
#ifndef KM_CONTAINER_LAB_DEBMEMBERS_H
#define KM_CONTAINER_LAB_DEBMEMBERS_H

#include <stddef.h>
#include <stdint.h>

#include "base/cancel.h"
#include "base/digest.h"
#include "base/err.h"
#include "container/lab/samplekind.h"

#define KM_DEBMEMBERS_MAX        32u
#define KM_DEBMEMBERS_PATH_BYTES 512

struct km_debmember {
    uint64_t key; /* hash of package and path without its digits */
    enum km_sample_kind kind;
    char path[KM_DEBMEMBERS_PATH_BYTES]; /* no control characters */
    uint8_t sha256[KM_SHA256_BYTES];
    uint8_t *bytes; /* owned */
    size_t length;
};

struct km_debmembers {
    struct km_debmember members[KM_DEBMEMBERS_MAX]; /* by ascending key */
    size_t count;
};

/* path: of the package file. At most `most` (1..KM_DEBMEMBERS_MAX) samples. KM_FORMAT: dpkg-deb or its archive is
 * damaged; KM_NOTFOUND: there is no dpkg-deb; KM_IO, KM_NOMEM, KM_CANCELLED. */
enum km_code km_debmembers_read(const char *path, const char *package, size_t most, const struct km_cancel *cancel,
                                struct km_debmembers *out, struct km_err *err) KM_MUST_USE;
void km_debmembers_done(struct km_debmembers *members);

#endif
