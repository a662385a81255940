/*
 * `komainu scan` and `komainu baseline` on the images of pilot_images.py, in this process and at the pilot's time: the
 * commands themselves, with the desk's store, its decisions and the site's baseline.
 */
#ifndef KM_BENCH_PILOT_SCAN_H
#define KM_BENCH_PILOT_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#define PILOT_MAX_NAMES   64
#define PILOT_IMAGE_BYTES 128
#define PILOT_VERSIONS    3

struct pilot_names {
    char items[PILOT_MAX_NAMES][PILOT_IMAGE_BYTES];
    size_t count;
};

struct pilot_scan {
    const char *images, *model, *cache;
    const char *desk, *baseline; /* of this pilot */
    struct pilot_names apps, tools;
    bool has_baseline;
    struct pilot_names added; /* image folders in the baseline */
};

/* Reads apps.tsv and tools.tsv of the folder of images. Ends the program on failure, as do the others. */
void pilot_scan_open(struct pilot_scan *scan);

struct pilot_image {
    unsigned app, version; /* 1 … PILOT_VERSIONS */
    int tool;              /* added to it; -1: none */
};

/* The folder's name: "web-relay-2", "web-relay-2+sbd". out: PILOT_IMAGE_BYTES. */
void pilot_scan_folder(const struct pilot_scan *scan, const struct pilot_image *image, char *out);
/* What findings call it: "web/relay:2". */
void pilot_scan_name(const struct pilot_scan *scan, const struct pilot_image *image, char *out);

void pilot_scan_image(struct pilot_scan *scan, const struct pilot_image *image);
/* Takes the image into the site's baseline, findings or not: somebody has looked at them. Once. */
void pilot_scan_accept(struct pilot_scan *scan, const struct pilot_image *image);

#endif
