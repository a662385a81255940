/* Small networks for tests: made, filled with seeded numbers, and run on a backend. */
#ifndef KM_TESTS_NN_NETS_H
#define KM_TESTS_NN_NETS_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../cm.h"
#include "nn/network.h"
#include "nn/onednn.h"
#include "nn/reference.h"
#include "nn/seeded.h"
#include "nn/train.h"

/* Where threads meet: libgomp under ThreadSanitizer reports what is not ours. */
#if defined(__SANITIZE_THREAD__)
#define NETS_THREADED_BACKEND (&km_reference_backend)
#else
#define NETS_THREADED_BACKEND (&km_onednn_backend)
#endif

/* A Hilbert curve's place of each byte, for squares of a power of two; free() it. */
static inline uint32_t *nets_hilbert(uint32_t side)
{
    uint32_t *places = malloc((size_t)side * side * sizeof *places);
    assert_non_null(places);
    for (uint32_t i = 0; i < side * side; i++) {
        uint32_t x = 0, y = 0, t = i;
        for (uint32_t s = 1; s < side; s *= 2) {
            uint32_t right = 1 & (t / 2), up = 1 & (t ^ right);
            if (!up) {
                if (right) {
                    x = s - 1 - x;
                    y = s - 1 - y;
                }
                uint32_t held = x;
                x = y;
                y = held;
            }
            x += s * right;
            y += s * up;
            t /= 4;
        }
        places[i] = y * side + x;
    }
    return places;
}

static inline struct km_stem_order *nets_order(uint32_t side)
{
    struct km_err err = KM_ERR_INIT;
    uint32_t *places = nets_hilbert(side);
    struct km_stem_order *order = km_stem_order_new(side, places, &err);
    free(places);
    if (!order)
        fail_msg("%s", err.text);
    return order;
}

/* Colours that differ from symbol to symbol; padding is black in the third plane. */
static inline const float *nets_colours(void)
{
    static float colours[257 * 3];
    for (uint32_t i = 0; i < 257; i++) {
        colours[(size_t)3 * i] = (float)(i % 5) / 4.0F;
        colours[(size_t)3 * i + 1] = (float)i / 256.0F;
        colours[(size_t)3 * i + 2] = i < 256 ? 1.0F : 0.0F;
    }
    return colours;
}

static inline void nets_fill(float *values, size_t count, uint64_t seed)
{
    struct km_seeded random = km_seeded_of(seed, 77);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)(2 * km_seeded_unit(&random) - 1);
}

/* Random weights, and norms away from their start, with positive variances. */
static inline struct km_weights *nets_weights(const struct km_graph *graph, uint64_t seed)
{
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = km_weights_new(graph, &err);
    if (!weights)
        fail_msg("%s", err.text);
    km_weights_randomise(weights, graph, seed);
    for (size_t i = 0; i < km_weights_count(weights); i++) {
        struct km_tensor *t = km_weights_at(weights, i);
        bool norm = graph->nodes[t->node].kind == KM_NODE_NORM;
        struct km_seeded random = km_seeded_of(seed, 1000 + i);
        for (size_t j = 0; j < t->floats && (norm || t->role == KM_ROLE_BIAS); j++) {
            double u = km_seeded_unit(&random);
            bool positive = t->role == KM_ROLE_VARIANCE || t->role == KM_ROLE_WEIGHT;
            t->values[j] = (float)(positive ? 0.5 + u : u - 0.5);
        }
    }
    return weights;
}

static inline struct km_network *nets_network(const struct km_graph *graph, const struct km_weights *weights,
                                              struct km_network_options options)
{
    struct km_err err = KM_ERR_INIT;
    struct km_network *network = km_network_new(graph, &options, &err);
    if (!network)
        fail_msg("%s", err.text);
    if (weights)
        assert_ok(km_network_set(network, weights, &err), err);
    return network;
}

static inline struct km_trainer *nets_trainer(const struct km_graph *graph, const struct km_weights *weights,
                                              const struct km_trainer_options *options)
{
    struct km_err err = KM_ERR_INIT;
    struct km_trainer *trainer = km_trainer_new(graph, weights, options, &err);
    if (!trainer)
        fail_msg("%s", err.text);
    return trainer;
}

/* A copy, the caller's. */
static inline struct km_weights *nets_part(const struct km_graph *graph, struct km_trainer *trainer,
                                           enum km_trainer_part part)
{
    struct km_err err = KM_ERR_INIT;
    struct km_weights *out = km_weights_new(graph, &err);
    assert_non_null(out);
    assert_ok(km_trainer_get(trainer, part, out, &err), err);
    return out;
}

static inline bool nets_same_part(const struct km_graph *graph, struct km_trainer *a, struct km_trainer *b,
                                  enum km_trainer_part part)
{
    struct km_weights *x = nets_part(graph, a, part), *y = nets_part(graph, b, part);
    bool same = true;
    for (size_t i = 0; i < km_weights_count(x); i++)
        same &= memcmp(km_weights_get(x, i)->values, km_weights_get(y, i)->values,
                       km_weights_get(x, i)->floats * sizeof(float)) == 0;
    km_weights_free(x);
    km_weights_free(y);
    return same;
}

/* All that a trainer remembers. */
static inline bool nets_same_memory(const struct km_graph *graph, struct km_trainer *a, struct km_trainer *b)
{
    return nets_same_part(graph, a, b, KM_TRAINER_VALUES) && nets_same_part(graph, a, b, KM_TRAINER_FIRST) &&
           nets_same_part(graph, a, b, KM_TRAINER_SECOND) &&
           (!km_trainer_has(a, KM_TRAINER_MEAN) || nets_same_part(graph, a, b, KM_TRAINER_MEAN));
}

/* max |a - b| / (1 + max |a|) */
static inline double nets_distance(const float *a, const float *b, size_t count)
{
    double off = 0, size = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(fabs((double)a[i] - (double)b[i]) <= 1e30))
            return INFINITY;
        off = fmax(off, fabs((double)a[i] - (double)b[i]));
        size = fmax(size, fabs((double)a[i]));
    }
    return off / (1 + size);
}

#endif
