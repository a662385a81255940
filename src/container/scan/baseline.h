/*
 * What this site has said is its own: the SHA-256 of every file, and the diff id of every layer, of the images that
 * `komainu baseline add` took in. "Known" means: these very bytes were in an image that a person added. It never means
 * harmless, and a baseline that cannot be read makes nothing known: the caller says so instead.
 *
 * A baseline is a folder (docs/formats/baseline.md): a small document that names the current files with their SHA-256,
 * and those files, which never change once they are named. Writing makes new files and then renames the document over
 * the old one, so that a reader sees the state before or after, whatever is killed when; readers take no lock and may
 * be as many as they like, on a read-only file system, too. baseline_edit.h writes.
 *
 * Trust: whoever can write to the folder decides what is known. A folder or file that belongs to neither this user nor
 * root, or that others may write to, is refused. What was verified at the opening stays open as that inode.
 *
 * Memory: the file of hashes is mapped, about 80 bytes a file and image; the list of images is read into memory.
 * Threads: an open baseline is only read; every function below but open and close may be called from many threads.
 */
#ifndef KM_CONTAINER_SCAN_BASELINE_H
#define KM_CONTAINER_SCAN_BASELINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"

#define KM_BASELINE_VERSION    1                   /* of the format */
#define KM_BASELINE_MAX_BYTES  ((uint64_t)1 << 30) /* of the file of hashes: about ten million files */
#define KM_BASELINE_MAX_IMAGES ((size_t)10000)
#define KM_BASELINE_MAX_NAME   ((size_t)1024) /* bytes of an image's name, of who, and of a reason */

struct km_baseline;

/* Opens the baseline in the folder `dir_fd` (borrowed for the call) and verifies it: costs one hash over its files.
 *   KM_NOTFOUND    there is none: nothing was ever added
 *   KM_UNSUPPORTED another version of the format, or of LMDB's
 *   KM_FORMAT      damaged: a file is missing, short, or not what its SHA-256 promises
 *   KM_DENIED      it is not readable, or others may write to it
 *   KM_LIMIT       larger than the limits above;  KM_IO, KM_NOMEM */
enum km_code km_baseline_open(int dir_fd, struct km_baseline **out, struct km_err *err) KM_MUST_USE;
void km_baseline_close(struct km_baseline *baseline);
KM_DEFINE_CLEANUP(struct km_baseline, km_baseline_cleanup, km_baseline_close);

/* Whether an image of the baseline holds a file with this content. False also when memory runs out. A baseline of NULL
 * knows nothing. */
bool km_baseline_has_file(const struct km_baseline *baseline, const uint8_t sha256[KM_SHA256_BYTES]);

/* Whether an image has a layer whose uncompressed stream has this SHA-256 (the diff id without "sha256:"). Ask with the
 * hash of the stream as it was read, not with what a manifest says. */
bool km_baseline_has_layer(const struct km_baseline *baseline, const uint8_t diff_id[KM_SHA256_BYTES]);

/* An image as it was added. Strings are escaped for a terminal already, never NULL, and borrowed from the baseline. */
struct km_baseline_image {
    uint32_t number;    /* of the image, never used twice */
    const char *name;   /* unique in the baseline */
    const char *target; /* what was scanned: "docker-archive:app.tar" */
    const char *digest; /* "sha256:…" of the first image's manifest or config, or "" */
    const char *who;    /* the user that added it */
    const char *reason; /* why it was added in spite of findings, or "" */
    int64_t added_ns;   /* wall clock */
    uint64_t files;     /* different contents */
    uint64_t layers;
    uint64_t gaps; /* of the scan: what could not be examined was not taken in */
};

size_t km_baseline_image_count(const struct km_baseline *baseline);
/* In the order of adding; i < count. */
const struct km_baseline_image *km_baseline_image(const struct km_baseline *baseline, size_t i);

/* Which images hold a file of this content, for an explanation: up to `max` of them, in the order of adding. Returns
 * how many there are in all. */
size_t km_baseline_find_images(const struct km_baseline *baseline, const uint8_t sha256[KM_SHA256_BYTES],
                               const struct km_baseline_image **out_images, size_t max);

/* 64 hexadecimal digits that change with every change of the baseline: a version stamp, and a part of cache keys. */
const char *km_baseline_digest(const struct km_baseline *baseline);
/* Different contents, and layers, of all images together. */
uint64_t km_baseline_file_count(const struct km_baseline *baseline);
uint64_t km_baseline_layer_count(const struct km_baseline *baseline);

/* What was stored with image i (< count) beside its hashes (baseline_edit.h), as an open descriptor at its beginning,
 * verified like the hashes; the caller closes it. "tokens" is the benign side of the token index. KM_NOTFOUND when the
 * image has no such part; KM_FORMAT, KM_DENIED, KM_IO, KM_NOMEM. */
enum km_code km_baseline_open_part(const struct km_baseline *baseline, size_t i, const char *part, int *out_fd,
                                   struct km_err *err) KM_MUST_USE;

/* ---- Where it is ---- */

/* The user's folder for the baseline, which need not exist: `store` when it is not NULL; else /var/lib/komainu/baseline
 * for root, $XDG_STATE_HOME/komainu/baseline, or $HOME/.local/state/komainu/baseline. KM_NOTFOUND without a home;
 * KM_LIMIT for a path that is too long. */
#define KM_BASELINE_PATH_BYTES 4096
enum km_code km_baseline_path(const char *store, char out[KM_BASELINE_PATH_BYTES], struct km_err *err) KM_MUST_USE;

/* Opens the folder `path` and the baseline in it: both in one, with codes as above. */
enum km_code km_baseline_open_path(const char *path, struct km_baseline **out, struct km_err *err) KM_MUST_USE;

#endif
