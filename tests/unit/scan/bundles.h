/* Tiny seeded detector bundles in a folder of their own. */
#ifndef KM_TESTS_SCAN_BUNDLES_H
#define KM_TESTS_SCAN_BUNDLES_H

#include "../cm.h"

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container/imaging/curve.h"
#include "container/scan/detector.h"
#include "container/tokens/tokenindex.h"
#include "container/tokens/tokentrain.h"
#include "nn/modelfile.h"
#include "nn/seeded.h"
#include "nn/stem.h"

struct bundle {
    char path[64];
    int folder;
};

static inline int remove_one(const char *path, const struct stat *status, int kind, struct FTW *at)
{
    (void)status, (void)kind, (void)at;
    return remove(path);
}

static inline void bundle_init(struct bundle *bundle)
{
    (void)snprintf(bundle->path, sizeof bundle->path, "/tmp/komainu-bundle-XXXXXX");
    assert_non_null(mkdtemp(bundle->path));
    bundle->folder = open(bundle->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(bundle->folder >= 0);
}

static inline void bundle_done(struct bundle *bundle)
{
    (void)close(bundle->folder);
    (void)nftw(bundle->path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline void bundle_write(const struct bundle *bundle, const char *name, const char *text)
{
    int fd = openat(bundle->folder, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    assert_int_equal(close(fd), 0);
}

/* "network": a hash stem network of random weights; `spoil` goes into one of them when it is no number. */
static inline void bundle_add_network(const struct bundle *bundle, uint64_t seed, float spoil)
{
    struct km_err err = KM_ERR_INIT;
    static uint32_t places[256 * 256];
    static struct km_graph graph;
    static struct km_card card;
    struct km_curve *curve = km_curve_new(KM_CURVE_HILBERT, 256, &err);
    assert_non_null(curve);
    for (uint32_t i = 0; i < 256 * 256; i++) {
        uint32_t col, row;
        km_curve_get_pixel(curve, i, &col, &row);
        places[i] = row * 256 + col;
    }
    km_curve_free(curve);
    struct km_stem_order *order = km_stem_order_new(256, places, &err);
    assert_non_null(order);
    const struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_LIGHT, .outputs = 1, .stem = KM_STEM_HASH, .order = order};
    assert_ok(km_architecture_build(&options, &graph, &err), err);
    struct km_weights *weights = km_weights_new(&graph, &err);
    assert_non_null(weights);
    km_weights_randomise(weights, &graph, seed);
    if (!isfinite(spoil))
        km_weights_at(weights, 0)->values[0] = spoil;
    memset(&card, 0, sizeof card);
    (void)snprintf(card.name, sizeof card.name, "seeded");
    (void)snprintf(card.created, sizeof card.created, "2026-11-22");
    card.architecture = KM_ARCHITECTURE_LIGHT;
    card.stem = KM_STEM_HASH;
    card.view = KM_CARD_VIEW_FILE;
    card.outputs = 1;
    assert_ok(km_model_save(bundle->folder, "network", &card, weights, &err), err);
    km_weights_free(weights);
    km_stem_order_free(order);
}

static inline void bundle_add_manifest(const struct bundle *bundle, const struct km_detector_parts *parts)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_detector_write_manifest(bundle->folder, "seeded", parts, &err), err);
}

/* "tokens": a linear model over the words of two made-up texts, and "known", an index with one file of either side. */
static inline void bundle_add_tokens(const struct bundle *bundle)
{
    static const char bad[] =
        "brute_force wordlist essid sniffing spoofed bssid aircrack payload shellcode handshake\n";
    static const char good[] = "printf locale usage gettext option filename directory symbolic nothing standard\n";
    struct km_err err = KM_ERR_INIT;
    struct km_token_extractor *extractor = km_token_extractor_new(&err);
    static uint32_t ids[2][64];
    struct km_token_sample samples[2];
    assert_non_null(extractor);
    for (size_t i = 0; i < 2; i++) {
        struct km_token_file file;
        const char *text = i == 0 ? bad : good;
        km_token_extractor_begin(extractor, NULL);
        assert_ok(km_token_extractor_feed(extractor, text, strlen(text), &err), err);
        assert_ok(km_token_extractor_end(extractor, &file, &err), err);
        assert_in_range(file.set.count, KM_TOKEN_INDEX_MIN_TOKENS, 64);
        memcpy(ids[i], file.set.ids, file.set.count * sizeof ids[i][0]);
        samples[i] = (struct km_token_sample){{ids[i], file.set.count}, 1, i == 0};
    }
    struct km_token_model *model = NULL;
    const struct km_token_train_options options = {.strength = 100};
    assert_ok(km_token_train(samples, 2, &options, &model, NULL, &err), err);
    static struct km_card card;
    memset(&card, 0, sizeof card);
    (void)snprintf(card.name, sizeof card.name, "seeded");
    (void)snprintf(card.created, sizeof card.created, "2026-11-22");
    assert_ok(km_token_model_save(bundle->folder, "tokens", &card, model, &err), err);
    struct km_token_index *index = km_token_index_new(&err);
    assert_non_null(index);
    assert_ok(km_token_index_add(index, KM_TOKEN_INDEX_POSITIVE, "tool", "1 usr/bin/tool", &samples[0].set, &err), err);
    assert_ok(km_token_index_add(index, KM_TOKEN_INDEX_BENIGN, "base", "1 usr/bin/base", &samples[1].set, &err), err);
    int fd = openat(bundle->folder, "known", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_ok(km_token_index_save(index, fd, &err), err);
    (void)close(fd);
    km_token_index_free(index);
    km_token_model_free(model);
    km_token_extractor_free(extractor);
}

/* Everything that a bundle can have. */
static inline void bundle_add_all(const struct bundle *bundle, uint64_t seed)
{
    static const struct km_detector_parts parts = {
        .network = "network", .tokens = "tokens", .index = "known", .fusion = "fusion.json"};
    bundle_add_network(bundle, seed, 0);
    bundle_add_tokens(bundle);
    bundle_write(bundle, "fusion.json",
                 "{\"komainu_additive\":1,\"bias\":-3,\"terms\":["
                 "{\"name\":\"tokens.score\",\"weight\":4,\"low\":-4,\"high\":4},"
                 "{\"name\":\"tokens.lookalike\",\"weight\":5},"
                 "{\"name\":\"network.score\",\"weight\":0.1,\"low\":-2,\"high\":2}],"
                 "\"calibration\":{\"threshold\":1,\"negatives\":3000,\"above\":3,\"wanted\":0.001,"
                 "\"set\":\"nothing real\"}}\n");
    bundle_add_manifest(bundle, &parts);
}

static inline struct km_detector *bundle_open(const struct bundle *bundle)
{
    struct km_err err = KM_ERR_INIT;
    struct km_detector *detector = NULL;
    assert_ok(km_detector_open(bundle->folder, &detector, &err), err);
    return detector;
}

/* Bytes that are different for each seed and have words, repetition and noise in them. */
static inline void fill_content(uint8_t *bytes, size_t length, uint64_t seed)
{
    static const char *const words[] = {"open_socket ", "libpcap\n", "brute force ", "copyright ", "printf(\"%d\") "};
    struct km_seeded random = km_seeded_of(seed, 1);
    for (size_t i = 0; i < length;) {
        uint32_t kind = km_seeded_below(&random, 8);
        if (kind < 5) {
            for (const char *at = words[kind]; *at && i < length; at++)
                bytes[i++] = (uint8_t)*at;
        } else {
            for (uint32_t n = km_seeded_below(&random, 30); n > 0 && i < length; n--)
                bytes[i++] = kind == 5 ? 0 : (uint8_t)km_seeded_below(&random, 256);
        }
    }
}

#endif
