/*
 * The document of a baseline's folder, "current": which files make up its state, with their SHA-256, and the list of
 * images (docs/formats/baseline.md). Reading verifies; writing is one rename. Nothing here knows what is in the files.
 */
#ifndef KM_CONTAINER_SCAN_BASELINE_STATE_H
#define KM_CONTAINER_SCAN_BASELINE_STATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/digest.h"
#include "base/err.h"
#include "container/scan/baseline.h"

#define KM_BASELINE_MAX_PARTS     (2 * KM_BASELINE_MAX_IMAGES + 1)
#define KM_BASELINE_PART_BYTES    48 /* of a part's name, with its NUL */
#define KM_BASELINE_FILE_BYTES    64 /* of a file's name, with its NUL */
#define KM_BASELINE_HASHES        "hashes"
#define KM_BASELINE_HASHES_FILES  "files" /* the two tables in it: SHA-256 → number of an image, several times */
#define KM_BASELINE_HASHES_LAYERS "layers"

/* One file of the folder. */
struct km_baseline_part {
    const char *name; /* KM_BASELINE_HASHES, or "NAME.NUMBER": what was stored with an image */
    char file[KM_BASELINE_FILE_BYTES];
    uint64_t bytes;
    uint8_t sha256[KM_SHA256_BYTES];
};

struct km_baseline_state {
    struct km_arena *texts; /* of the images and parts */
    struct km_baseline_part *parts;
    size_t part_count, part_capacity;
    struct km_baseline_image *images;
    size_t image_count, image_capacity;
    uint32_t next_number;
    uint64_t files, layers;
    char digest[KM_SHA256_HEX_BYTES];
};

/* Reads and checks the document. The caller ends *out with km_baseline_state_done, also on failure. The codes of
 * km_baseline_open. */
enum km_code km_baseline_state_load(int dir_fd, struct km_baseline_state *out, struct km_err *err) KM_MUST_USE;
/* An empty state. KM_NOMEM. */
enum km_code km_baseline_state_init(struct km_baseline_state *out, struct km_err *err) KM_MUST_USE;
void km_baseline_state_done(struct km_baseline_state *state);

/* Makes the state the folder's: writes the document beside the old one, waits for the disk, renames. KM_IO, KM_DENIED,
 * KM_LIMIT; the old state then stays. */
enum km_code km_baseline_state_save(int dir_fd, const struct km_baseline_state *state, struct km_err *err) KM_MUST_USE;

/* Copies an image's strings and adds it; the number is given by the state. KM_LIMIT, KM_NOMEM. */
enum km_code km_baseline_state_add_image(struct km_baseline_state *state, const struct km_baseline_image *image,
                                         struct km_err *err) KM_MUST_USE;

const struct km_baseline_part *km_baseline_state_part(const struct km_baseline_state *state, const char *name);
/* The part of that name, new and empty when there was none. KM_LIMIT, KM_NOMEM. */
enum km_code km_baseline_state_touch_part(struct km_baseline_state *state, const char *name,
                                          struct km_baseline_part **out, struct km_err *err) KM_MUST_USE;

/* Forgets the parts of an image. */
void km_baseline_state_drop_parts(struct km_baseline_state *state, uint32_t number);
/* "NAME.NUMBER"; false when the name is too long or holds more than small letters. */
bool km_baseline_part_name(const char *part, uint32_t number, char out[KM_BASELINE_PART_BYTES]);

/* Opens a part's file and compares it with what the document says; *out_fd is at its beginning. KM_FORMAT, KM_DENIED,
 * KM_IO, KM_NOMEM. */
enum km_code km_baseline_state_open_part(int dir_fd, const struct km_baseline_part *part, int *out_fd,
                                         struct km_err *err) KM_MUST_USE;

/* SHA-256 and length of what a descriptor holds from its beginning; it is left there again. KM_IO, KM_NOMEM. */
enum km_code km_baseline_hash_file(int fd, uint8_t sha256[KM_SHA256_BYTES], uint64_t *out_bytes,
                                   struct km_err *err) KM_MUST_USE;

#endif
