/*
 * Changing a baseline. One writer at a time, kept out by a lock that ends with its process. Each change makes new files
 * beside the old ones, waits for the disk, and becomes true by one rename; a writer that is killed leaves the old state
 * and files that the next one clears away. Readers are not disturbed.
 */
#ifndef KM_CONTAINER_SCAN_BASELINE_EDIT_H
#define KM_CONTAINER_SCAN_BASELINE_EDIT_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "container/scan/baseline.h"

struct km_baseline_addition {
    struct km_baseline_image image;    /* without number, files and layers; strings are raw, escaped when kept */
    uint8_t (*files)[KM_SHA256_BYTES]; /* of the contents; sorted here, doubles are taken once */
    size_t file_count;
    uint8_t (*layers)[KM_SHA256_BYTES]; /* the same for diff ids */
    size_t layer_count;
    const char *part;   /* name of what is stored with the image, small letters, or NULL; … */
    int part_fd;        /* … its content, from the beginning to the end */
    uint64_t max_bytes; /* of the file of hashes afterwards; at most KM_BASELINE_MAX_BYTES */
};

/* Adds one image to the baseline in the folder `dir_fd`, which becomes one if it is none. KM_CONFLICT for a name that
 * is there already, and while another writer works; KM_LIMIT "the baseline is full"; KM_IO (a full disk), KM_NOMEM; and
 * the codes of km_baseline_open but KM_NOTFOUND: what is damaged is not written to. The old state stays then. */
enum km_code km_baseline_add(int dir_fd, struct km_baseline_addition *addition, struct km_err *err) KM_MUST_USE;

/* Removes an image by its name (as km_baseline_image shows it) with every hash that no other image has. KM_NOTFOUND
 * for an unknown name; else as above. */
enum km_code km_baseline_remove(int dir_fd, const char *name, struct km_err *err) KM_MUST_USE;

#endif
