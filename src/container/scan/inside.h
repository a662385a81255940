/*
 * What a compressed file of a layer holds, remembered under the SHA-256 of the file: with it, a file that was read
 * before stays closed. Remembered is one file of data that no model is asked about, whole, with nothing told about it
 * and nothing opened within; everything else is read again. What lists and the baseline say is asked anew each time.
 *
 * One for each open file, zeroed when it begins. One thread.
 */
#ifndef KM_CONTAINER_SCAN_INSIDE_H
#define KM_CONTAINER_SCAN_INSIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "container/scan/segcache.h"

struct km_inside {
    bool is_asked; /* the cache was asked */
    bool is_known; /* and knew */
    bool has_content, is_spoiled;
    unsigned members; /* begun within the file, of all depths */
    uint8_t sha256[KM_SHA256_BYTES];
    struct km_segcache_inside content;
};

/* All bytes of the file are here. True: `content` says what it holds. */
bool km_inside_ask(struct km_inside *inside, struct km_segcache *cache, const void *bytes, size_t length);

/* Something within the file is over, complete, and is data of `size` bytes. */
void km_inside_note(struct km_inside *inside, uint64_t size, const uint8_t sha256[KM_SHA256_BYTES]);

/* The file is over, and complete. */
void km_inside_keep(const struct km_inside *inside, struct km_segcache *cache);

#endif
