#include "nn/fold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "nn/stem.h"

/* new_of[old]: the node of the folded graph that gives old's output. norm_of[old]: the norm folded into it, or -1. */
struct folding {
    const struct km_graph *graph;
    const struct km_weights *weights;
    int new_of[KM_GRAPH_MAX_NODES], norm_of[KM_GRAPH_MAX_NODES], old_of[KM_GRAPH_MAX_NODES];
};

static bool folds_into_input(const struct km_graph *graph, int node)
{
    const struct km_node *norm = &graph->nodes[node];
    if (norm->kind != KM_NODE_NORM || km_graph_readers(graph, norm->input) != 1)
        return false;
    const struct km_node *layer = &graph->nodes[norm->input];
    return (layer->kind == KM_NODE_CONV || layer->kind == KM_NODE_STEM) && !layer->relu;
}

static void fold_graph(struct folding *f, struct km_graph *out)
{
    km_graph_init(out);
    for (int i = 0; i < f->graph->count; i++) {
        const struct km_node *node = &f->graph->nodes[i];
        f->norm_of[i] = -1;
        if (folds_into_input(f->graph, i)) {
            struct km_node *layer = &out->nodes[f->new_of[node->input]];
            layer->bias = true;
            layer->relu = node->relu;
            f->norm_of[node->input] = i;
            f->new_of[i] = f->new_of[node->input];
            continue;
        }
        if (node->kind == KM_NODE_DROPOUT) {
            f->new_of[i] = f->new_of[node->input];
            continue;
        }
        struct km_node *to = &out->nodes[out->count];
        *to = *node;
        if (node->input >= 0)
            to->input = f->new_of[node->input];
        if (node->residual >= 0)
            to->residual = f->new_of[node->residual];
        if (node->kind == KM_NODE_STEM && node->stem == KM_STEM_COLOUR) {
            to->stem = KM_STEM_BYTE;
            to->colours = NULL;
        }
        f->old_of[out->count] = i;
        f->new_of[i] = out->count++;
    }
}

static const float *values_of(const struct km_weights *weights, int node, enum km_role role)
{
    const struct km_tensor *tensor = km_weights_find(weights, node, role);
    return tensor ? tensor->values : NULL;
}

/* Channel c is multiplied by scale[c] and then moved by shift[c]. */
struct affine {
    float scale[KM_GRAPH_MAX_CHANNELS], shift[KM_GRAPH_MAX_CHANNELS];
};

static void affine_of(const struct folding *f, int norm, uint32_t channels, struct affine *out)
{
    const float *gamma = values_of(f->weights, norm, KM_ROLE_WEIGHT), *beta = values_of(f->weights, norm, KM_ROLE_BIAS);
    const float *mean = values_of(f->weights, norm, KM_ROLE_MEAN);
    const float *variance = values_of(f->weights, norm, KM_ROLE_VARIANCE);
    double epsilon = (double)f->graph->nodes[norm].epsilon;
    for (uint32_t c = 0; c < channels; c++) {
        double scale = (double)gamma[c] / sqrt((double)variance[c] + epsilon);
        out->scale[c] = (float)scale;
        out->shift[c] = (float)((double)beta[c] - (double)mean[c] * scale);
    }
}

static void fold_weight(const struct folding *f, struct km_tensor *to, int old, const struct affine *affine)
{
    const struct km_node *node = &f->graph->nodes[old];
    const float *from = values_of(f->weights, old, KM_ROLE_WEIGHT);
    bool stem = node->kind == KM_NODE_STEM;
    if (stem && node->stem == KM_STEM_COLOUR)
        km_stem_colours_fold(from, node->colours, to->values);
    else
        memcpy(to->values, from, to->floats * sizeof(float));
    if (!affine)
        return;
    size_t each = to->floats / node->shape.channels; /* convolutions keep a channel together, tables a row of all */
    for (size_t i = 0; i < to->floats; i++)
        to->values[i] *= affine->scale[stem ? i % KM_STEM_CHANNELS : i / each];
}

static void fold_tensor(const struct folding *f, struct km_tensor *to, struct affine *room)
{
    int old = f->old_of[to->node], norm = f->norm_of[old];
    struct affine *affine = norm >= 0 ? room : NULL;
    if (affine)
        affine_of(f, norm, f->graph->nodes[old].shape.channels, affine);
    if (to->role == KM_ROLE_WEIGHT) {
        fold_weight(f, to, old, affine);
        return;
    }
    const float *from = values_of(f->weights, old, to->role);
    for (size_t i = 0; i < to->floats; i++) {
        float value = from ? from[i] : 0;
        to->values[i] = affine ? value * affine->scale[i] + affine->shift[i] : value;
    }
}

/* Every tensor of the graph is in the set, in its shape. */
static enum km_code check_set(const struct km_graph *graph, const struct km_weights *weights, struct km_err *err)
{
    for (int i = 0; i < graph->count; i++)
        for (int role = 0; role < KM_ROLE_COUNT; role++) {
            struct km_tensor own;
            const struct km_node *node = &graph->nodes[i];
            uint32_t inputs = node->input < 0 ? 0 : graph->nodes[node->input].shape.channels;
            if (!km_weights_shape(node, inputs, (enum km_role)role, &own))
                continue;
            const struct km_tensor *tensor = km_weights_find(weights, i, (enum km_role)role);
            if (!tensor || memcmp(tensor->dims, own.dims, sizeof own.dims) != 0)
                return km_fail(err, KM_CONFLICT, "these weights belong to another network (node %d '%s')", i,
                               node->name);
        }
    return KM_OK;
}

enum km_code km_fold(const struct km_graph *graph, const struct km_weights *weights, struct km_graph *out_graph,
                     struct km_weights **out_weights, struct km_err *err)
{
    enum km_code code = km_graph_check(graph, err);
    if (code == KM_OK)
        code = check_set(graph, weights, err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_cleanup_free) struct folding *f = km_calloc(1, sizeof *f, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free) struct km_graph *folded = f ? km_calloc(1, sizeof *folded, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free) struct affine *room = folded ? km_calloc(1, sizeof *room, SIZE_MAX, err) : NULL;
    if (!room)
        return err->code;
    f->graph = graph;
    f->weights = weights;
    fold_graph(f, folded);
    struct km_weights *set = out_weights ? km_weights_new(folded, err) : NULL;
    if (out_weights && !set)
        return err->code;
    for (size_t i = 0; set && i < km_weights_count(set); i++)
        fold_tensor(f, km_weights_at(set, i), room);
    *out_graph = *folded;
    if (out_weights)
        *out_weights = set;
    return KM_OK;
}
