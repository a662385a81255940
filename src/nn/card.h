/*
 * Model cards: what a weight file is, where it comes from and how far to trust it; JSON, version 1. Hostile input: at
 * most KM_CARD_MAX_BYTES, lists of stated lengths, texts of printable UTF-8; a member that is missing, of another type
 * or unknown is an error, so that nothing is overlooked.
 *
 *   {"komainu_card": 1, "name": "…", "architecture": "light", "stem": "hash" (light only), "view": "file", "outputs":
 * 1, "created": "2026-11-21", "data": [{"name": "…", "from": "2023-01-01", "to": "2026-11-01"}], "seeds": [0],
 *    "metrics": [{"name": "…", "value": 0.9, "low": 0.8, "high": 0.95, "n": 100}],
 *    "thresholds": [{"name": "…", "value": 1.5}], "weights": {"sha256": "<64 hex>", "bytes": 4711}}
 *
 * resnet18 may have "hidden": 256; the tar view may have "picture": {"size": 1024, "step": 30}.
 */
#ifndef KM_NN_CARD_H
#define KM_NN_CARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "nn/architecture.h"

#define KM_CARD_MAX_BYTES   ((size_t)64 << 10)
#define KM_CARD_TEXT_BYTES  128
#define KM_CARD_DATE_BYTES  11
#define KM_CARD_MAX_LIST    64
#define KM_CARD_MAX_OUTPUTS 4096
#define KM_CARD_MAX_HIDDEN  4096

/* Pictures of the tar view, when the card does not say: what the reference's service draws. */
#define KM_CARD_PICTURE_SIZE     1024
#define KM_CARD_PICTURE_STEP     30
#define KM_CARD_PICTURE_MIN_SIZE 256
#define KM_CARD_PICTURE_MAX_SIZE 4096
#define KM_CARD_PICTURE_MAX_STEP 65536

enum km_card_view {
    KM_CARD_VIEW_FILE = 0,
    KM_CARD_VIEW_TAR = 1,
};

/* How a picture of the tar view is drawn; 0 and 0 for the file view. */
struct km_card_picture {
    uint32_t size; /* pixels a row; a power of two */
    uint32_t step; /* one byte in so many is shown; 1: each; 0: the whole container in four squares */
};

struct km_card_data {
    char name[KM_CARD_TEXT_BYTES];
    char from[KM_CARD_DATE_BYTES], to[KM_CARD_DATE_BYTES]; /* "YYYY-MM-DD", from <= to */
};

struct km_card_metric {
    char name[KM_CARD_TEXT_BYTES];
    double value, low, high; /* low <= value <= high */
    int64_t n;               /* how many observations; 0..2^53 */
};

struct km_card_threshold {
    char name[KM_CARD_TEXT_BYTES];
    double value;
};

struct km_card {
    char name[KM_CARD_TEXT_BYTES];
    enum km_architecture architecture;
    enum km_stem_kind stem; /* LIGHT only */
    enum km_card_view view;
    struct km_card_picture picture;
    uint32_t outputs;
    uint32_t hidden; /* RESNET18: units before the outputs; 0: none */
    char created[KM_CARD_DATE_BYTES];
    size_t data_count, seed_count, metric_count, threshold_count;
    struct km_card_data data[KM_CARD_MAX_LIST];
    int64_t seeds[KM_CARD_MAX_LIST]; /* 0..2^53 */
    struct km_card_metric metrics[KM_CARD_MAX_LIST];
    struct km_card_threshold thresholds[KM_CARD_MAX_LIST];
    uint8_t sha256[KM_SHA256_BYTES]; /* of the weight file */
    int64_t weights_bytes;
};

/* KM_FORMAT (names the member), KM_LIMIT, KM_UNSUPPORTED (version, architecture, stem, view), KM_NOMEM. */
enum km_code km_card_parse(const char *text, size_t length, struct km_card *out, struct km_err *err) KM_MUST_USE;

/* Appends the document; km_card_parse reads the same card back. KM_NOMEM, KM_LIMIT of the buffer. */
enum km_code km_card_format(const struct km_card *card, struct km_buf *out, struct km_err *err) KM_MUST_USE;

/* The value of a threshold by name. False when there is none. */
bool km_card_threshold_find(const struct km_card *card, const char *name, double *out);

#endif
