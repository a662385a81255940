#include "nn/graph.h"

#include <stdio.h>
#include <string.h>

#include "nn/stem.h"

void km_graph_init(struct km_graph *graph)
{
    memset(graph, 0, sizeof *graph);
}

static int mistake(struct km_graph *graph, enum km_code code, const char *what)
{
    if (graph->mistake.code == KM_OK)
        km_fail(&graph->mistake, code, "network description, node %d: %s", graph->count, what);
    return -1;
}

static bool is_node(const struct km_graph *graph, int node)
{
    return node >= 0 && node < graph->count;
}

/* Appends a node, which starts as a copy of `like` with its input and name set. */
static int append(struct km_graph *graph, struct km_node like, const char *name)
{
    if (graph->mistake.code != KM_OK)
        return -1;
    if (graph->count == KM_GRAPH_MAX_NODES)
        return mistake(graph, KM_LIMIT, "too many nodes");
    if (strlen(name) >= KM_GRAPH_NAME_BYTES)
        return mistake(graph, KM_LIMIT, "a name is too long");
    bool is_input = like.kind == KM_NODE_IMAGE || like.kind == KM_NODE_STEM;
    if (is_input != (graph->count == 0))
        return mistake(graph, KM_FORMAT, "the first node, and no other, is the input");
    const struct km_shape *shape = &like.shape;
    if (shape->channels == 0 || shape->height == 0 || shape->width == 0)
        return mistake(graph, KM_FORMAT, "an output without elements");
    if (shape->channels > KM_GRAPH_MAX_CHANNELS || shape->height > KM_GRAPH_MAX_SIDE ||
        shape->width > KM_GRAPH_MAX_SIDE)
        return mistake(graph, KM_LIMIT, "an output too large");
    (void)snprintf(like.name, sizeof like.name, "%s", name);
    graph->nodes[graph->count] = like;
    return graph->count++;
}

static struct km_node node_of(enum km_node_kind kind, int input)
{
    struct km_node node = {.kind = kind, .input = input, .residual = -1};
    return node;
}

int km_graph_image(struct km_graph *graph, struct km_shape shape)
{
    struct km_node node = node_of(KM_NODE_IMAGE, -1);
    node.shape = shape;
    return append(graph, node, "");
}

int km_graph_stem(struct km_graph *graph, const char *name, enum km_stem_kind kind, const struct km_stem_order *order,
                  const float *colours)
{
    struct km_node node = node_of(KM_NODE_STEM, -1);
    if (!order || (kind == KM_STEM_COLOUR && !colours))
        return mistake(graph, KM_FORMAT, "a stem without an order, or colours");
    uint32_t cells = km_stem_order_side(order) / KM_STEM_CELL_SIDE;
    node.shape = (struct km_shape){KM_STEM_CHANNELS, cells, cells};
    node.stem = kind;
    node.order = order;
    node.colours = kind == KM_STEM_COLOUR ? colours : NULL;
    return append(graph, node, name);
}

static uint32_t windowed(uint32_t side, struct km_window window)
{
    if (window.kernel == 0 || window.stride == 0 || window.padding >= window.kernel ||
        window.kernel > KM_GRAPH_MAX_SIDE || side + 2 * window.padding < window.kernel)
        return 0;
    return (side + 2 * window.padding - window.kernel) / window.stride + 1;
}

static int append_windowed(struct km_graph *graph, struct km_node node, const char *name, struct km_window window)
{
    if (!is_node(graph, node.input))
        return mistake(graph, KM_FORMAT, "no such input");
    const struct km_shape *in = &graph->nodes[node.input].shape;
    node.kernel = window.kernel;
    node.stride = window.stride;
    node.padding = window.padding;
    if (node.kind != KM_NODE_CONV)
        node.shape.channels = in->channels;
    node.shape.height = windowed(in->height, window);
    node.shape.width = windowed(in->width, window);
    return append(graph, node, name);
}

int km_graph_conv(struct km_graph *graph, int input, const char *name, uint32_t channels, struct km_window window,
                  bool bias)
{
    struct km_node node = node_of(KM_NODE_CONV, input);
    node.shape.channels = channels;
    node.bias = bias;
    return append_windowed(graph, node, name, window);
}

int km_graph_maxpool(struct km_graph *graph, int input, struct km_window window)
{
    return append_windowed(graph, node_of(KM_NODE_MAXPOOL, input), "", window);
}

int km_graph_avgpool(struct km_graph *graph, int input, struct km_window window)
{
    return append_windowed(graph, node_of(KM_NODE_AVGPOOL, input), "", window);
}

/* A node whose output has the shape of its input. */
static int append_alike(struct km_graph *graph, struct km_node node, const char *name)
{
    if (!is_node(graph, node.input))
        return mistake(graph, KM_FORMAT, "no such input");
    node.shape = graph->nodes[node.input].shape;
    return append(graph, node, name);
}

int km_graph_norm(struct km_graph *graph, int input, const char *name, bool relu)
{
    struct km_node node = node_of(KM_NODE_NORM, input);
    node.epsilon = 1e-5F;
    node.relu = relu;
    return append_alike(graph, node, name);
}

int km_graph_relu(struct km_graph *graph, int input)
{
    return append_alike(graph, node_of(KM_NODE_RELU, input), "");
}

int km_graph_add(struct km_graph *graph, int input, int residual, bool relu)
{
    struct km_node node = node_of(KM_NODE_ADD, input);
    if (!is_node(graph, input) || !is_node(graph, residual) || input == residual)
        return mistake(graph, KM_FORMAT, "a sum needs two inputs");
    const struct km_shape *a = &graph->nodes[input].shape, *b = &graph->nodes[residual].shape;
    if (a->channels != b->channels || a->height != b->height || a->width != b->width)
        return mistake(graph, KM_FORMAT, "a sum of different shapes");
    node.residual = residual;
    node.relu = relu;
    return append_alike(graph, node, "");
}

int km_graph_mean(struct km_graph *graph, int input)
{
    struct km_node node = node_of(KM_NODE_MEAN, input);
    if (!is_node(graph, input))
        return mistake(graph, KM_FORMAT, "no such input");
    node.shape = (struct km_shape){graph->nodes[input].shape.channels, 1, 1};
    return append(graph, node, "");
}

/* Flat outputs are plain rows in every backend: [batch, channels]. */
static bool is_flat(const struct km_graph *graph, int node)
{
    while (graph->nodes[node].kind == KM_NODE_RELU)
        node = graph->nodes[node].input;
    enum km_node_kind kind = graph->nodes[node].kind;
    return kind == KM_NODE_MEAN || kind == KM_NODE_DROPOUT || kind == KM_NODE_LINEAR;
}

int km_graph_dropout(struct km_graph *graph, int input, float rate)
{
    struct km_node node = node_of(KM_NODE_DROPOUT, input);
    if (!is_node(graph, input) || !is_flat(graph, input) || !(rate >= 0 && rate < 1))
        return mistake(graph, KM_FORMAT, "dropout wants a flat input and a rate in [0, 1)");
    node.rate = rate;
    return append_alike(graph, node, "");
}

int km_graph_linear(struct km_graph *graph, int input, const char *name, uint32_t channels)
{
    struct km_node node = node_of(KM_NODE_LINEAR, input);
    if (!is_node(graph, input) || !is_flat(graph, input))
        return mistake(graph, KM_FORMAT, "a linear layer wants a flat input");
    node.shape = (struct km_shape){channels, 1, 1};
    node.bias = true;
    return append(graph, node, name);
}

int km_graph_readers(const struct km_graph *graph, int node)
{
    int readers = 0;
    for (int i = node + 1; i < graph->count; i++)
        readers += (graph->nodes[i].input == node) + (graph->nodes[i].residual == node);
    return readers;
}

enum km_code km_graph_check(const struct km_graph *graph, struct km_err *err)
{
    if (graph->mistake.code != KM_OK) {
        *err = graph->mistake;
        return err->code;
    }
    if (graph->count < 2 || !is_flat(graph, graph->count - 1))
        return km_fail(err, KM_FORMAT, "network description: the last node is not a flat output");
    for (int i = 0; i < graph->count - 1; i++)
        if (km_graph_readers(graph, i) == 0)
            return km_fail(err, KM_FORMAT, "network description: nothing reads node %d", i);
    return KM_OK;
}
