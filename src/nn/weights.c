#include "nn/weights.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/seeded.h"
#include "nn/stem.h"

#define ALIGNED_FLOATS 16u /* 64 bytes */

struct km_weights {
    size_t count, floats;
    float *block;
    struct km_tensor tensors[];
};

static uint32_t channels_in(const struct km_graph *graph, int node)
{
    int input = graph->nodes[node].input;
    return input < 0 ? 0 : graph->nodes[input].shape.channels;
}

static bool shaped(struct km_tensor *out, uint32_t rank, const uint64_t *dims)
{
    out->rank = rank;
    out->floats = 1;
    for (uint32_t i = 0; i < KM_WEIGHTS_MAX_RANK; i++) {
        out->dims[i] = i < rank ? dims[i] : 1;
        out->floats *= out->dims[i];
    }
    return true;
}

static bool stem_shape(const struct km_node *node, struct km_tensor *out)
{
    switch (node->stem) {
    case KM_STEM_COLOUR:
        return shaped(out, 4, (uint64_t[]){KM_STEM_CHANNELS, 3, KM_STEM_CELL_SIDE, KM_STEM_CELL_SIDE});
    case KM_STEM_BYTE:
        return shaped(out, 2, (uint64_t[]){KM_STEM_BYTE_ROWS, KM_STEM_CHANNELS});
    case KM_STEM_HASH:
        return shaped(out, 2, (uint64_t[]){KM_STEM_HASH_ROWS, KM_STEM_CHANNELS});
    }
    return false;
}

bool km_weights_shape(const struct km_node *node, uint32_t inputs, enum km_role role, struct km_tensor *out)
{
    uint64_t channels = node->shape.channels, side = node->kernel;
    bool norm = node->kind == KM_NODE_NORM;
    switch (role) {
    case KM_ROLE_WEIGHT:
        if (node->kind == KM_NODE_CONV)
            return shaped(out, 4, (uint64_t[]){channels, inputs, side, side});
        if (node->kind == KM_NODE_LINEAR)
            return shaped(out, 2, (uint64_t[]){channels, inputs});
        if (node->kind == KM_NODE_STEM)
            return stem_shape(node, out);
        return norm && shaped(out, 1, &channels);
    case KM_ROLE_BIAS:
        return (norm || node->bias) && shaped(out, 1, &channels);
    case KM_ROLE_MEAN:
    case KM_ROLE_VARIANCE:
        return norm && shaped(out, 1, &channels);
    }
    return false;
}

static const char *suffix_of(enum km_role role)
{
    switch (role) {
    case KM_ROLE_WEIGHT:
        return "weight";
    case KM_ROLE_BIAS:
        return "bias";
    case KM_ROLE_MEAN:
        return "running_mean";
    case KM_ROLE_VARIANCE:
        return "running_var";
    }
    return "";
}

static size_t aligned(size_t floats)
{
    return (floats + ALIGNED_FLOATS - 1) / ALIGNED_FLOATS * ALIGNED_FLOATS;
}

struct km_weights *km_weights_new(const struct km_graph *graph, struct km_err *err)
{
    if (km_graph_check(graph, err) != KM_OK)
        return NULL;
    struct km_weights *weights =
        calloc(1, sizeof *weights + (size_t)KM_GRAPH_MAX_NODES * KM_ROLE_COUNT * sizeof(struct km_tensor));
    if (!weights) {
        km_fail(err, KM_NOMEM, "out of memory (weights)");
        return NULL;
    }
    for (int node = 0; node < graph->count; node++)
        for (int role = 0; role < KM_ROLE_COUNT; role++) {
            struct km_tensor *t = &weights->tensors[weights->count];
            if (!km_weights_shape(&graph->nodes[node], channels_in(graph, node), (enum km_role)role, t))
                continue;
            t->node = node;
            t->role = (enum km_role)role;
            (void)snprintf(t->name, sizeof t->name, "%s.%s", graph->nodes[node].name, suffix_of(t->role));
            weights->floats += aligned(t->floats); /* at most 512 tensors of 2^12 * 2^12 * 2^20 floats: fits 64 bits */
            weights->count++;
        }
    if (weights->floats > KM_WEIGHTS_MAX_BYTES / sizeof(float)) {
        km_fail(err, KM_LIMIT, "the weights of this network take more than %zu bytes", KM_WEIGHTS_MAX_BYTES);
        free(weights);
        return NULL;
    }
    weights->block = aligned_alloc(64, (weights->floats ? weights->floats : ALIGNED_FLOATS) * sizeof(float));
    if (!weights->block) {
        km_fail(err, KM_NOMEM, "out of memory (weights)");
        free(weights);
        return NULL;
    }
    memset(weights->block, 0, weights->floats * sizeof(float));
    float *next = weights->block;
    for (size_t i = 0; i < weights->count; i++) {
        struct km_tensor *t = &weights->tensors[i];
        t->values = next;
        next += aligned(t->floats);
        bool scale = t->role == KM_ROLE_WEIGHT && graph->nodes[t->node].kind == KM_NODE_NORM;
        for (size_t j = 0; (scale || t->role == KM_ROLE_VARIANCE) && j < t->floats; j++)
            t->values[j] = 1;
    }
    return weights;
}

void km_weights_free(struct km_weights *weights)
{
    if (!weights)
        return;
    free(weights->block);
    free(weights);
}

static void fill(struct km_tensor *t, const struct km_node *node, struct km_seeded *random)
{
    bool uniform = node->kind == KM_NODE_LINEAR;
    double inputs = t->rank > 1 ? (double)t->floats / (double)t->dims[0] : 1,
           places = (double)(t->dims[2] * t->dims[3]);
    double spread = uniform ? 1 / sqrt(inputs) : sqrt(2 / ((double)t->dims[0] * places));
    if (node->kind == KM_NODE_STEM && node->stem != KM_STEM_COLOUR)
        spread = 0.1;
    for (size_t i = 0; i < t->floats; i++)
        t->values[i] = (float)(spread * (uniform ? 2 * km_seeded_unit(random) - 1 : km_seeded_normal(random)));
}

void km_weights_randomise(struct km_weights *weights, const struct km_graph *graph, uint64_t seed)
{
    for (size_t i = 0; i < weights->count; i++) {
        struct km_tensor *t = &weights->tensors[i];
        struct km_seeded random = km_seeded_of(seed, i);
        if (t->role == KM_ROLE_WEIGHT && graph->nodes[t->node].kind != KM_NODE_NORM)
            fill(t, &graph->nodes[t->node], &random);
    }
}

size_t km_weights_count(const struct km_weights *weights)
{
    return weights->count;
}

struct km_tensor *km_weights_at(struct km_weights *weights, size_t i)
{
    KM_ASSERT(i < weights->count);
    return &weights->tensors[i];
}

const struct km_tensor *km_weights_get(const struct km_weights *weights, size_t i)
{
    KM_ASSERT(i < weights->count);
    return &weights->tensors[i];
}

const struct km_tensor *km_weights_find(const struct km_weights *weights, int node, enum km_role role)
{
    for (size_t i = 0; i < weights->count; i++)
        if (weights->tensors[i].node == node && weights->tensors[i].role == role)
            return &weights->tensors[i];
    return NULL;
}

size_t km_weights_floats(const struct km_weights *weights)
{
    size_t floats = 0;
    for (size_t i = 0; i < weights->count; i++)
        floats += weights->tensors[i].floats;
    return floats;
}
