/*
 * A network described as data: a list of nodes, each fed by an earlier one. The graph knows shapes and the names of the
 * weights; it holds no weights and no buffers. network.h plans and runs it, weights.h holds its tensors.
 *
 * Build: km_graph_init, then one call a node; each returns the node's number, or -1 after the first mistake, and -1 as
 * an input is passed on, so that a builder checks once, with km_graph_check. Lives in the caller's storage; plain data,
 * copied by assignment. Shapes are [channels, height, width]; a batch comes in front of them when the graph is planned.
 * Building is our own code at work, never input: architectures are functions (architecture.h), files only name them.
 */
#ifndef KM_NN_GRAPH_H
#define KM_NN_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define KM_GRAPH_MAX_NODES    128
#define KM_GRAPH_NAME_BYTES   64
#define KM_GRAPH_MAX_CHANNELS 4096u
#define KM_GRAPH_MAX_SIDE     1024u

struct km_stem_order;

struct km_shape {
    uint32_t channels, height, width;
};

enum km_node_kind {
    KM_NODE_IMAGE = 0, /* input: float planes */
    KM_NODE_STEM = 1,  /* input: the bytes of a square; table rows summed over each cell of 16 bytes (stem.h) */
    KM_NODE_CONV = 2,  /* square kernel; weight [out, in, k, k] */
    KM_NODE_NORM = 3,  /* batch norm over each channel */
    KM_NODE_RELU = 4,
    KM_NODE_MAXPOOL = 5, /* padding never wins */
    KM_NODE_AVGPOOL = 6, /* padding counts as zeros, as in torch */
    KM_NODE_ADD = 7,     /* input + residual */
    KM_NODE_MEAN = 8,    /* mean over the valid cells of each channel; flat output */
    KM_NODE_DROPOUT = 9, /* training only */
    KM_NODE_LINEAR = 10, /* flat input; weight [out, in] */
};

enum km_stem_kind {
    KM_STEM_COLOUR = 0, /* weight [16, 3, 4, 4] over fixed colours: a 4x4 stride-4 convolution, run as a table */
    KM_STEM_BYTE = 1,   /* weight [16 * 257, 16]: one row for each place in the cell and symbol */
    KM_STEM_HASH = 2,   /* weight [65536, 16]: one row for each hash of four consecutive symbols */
};

struct km_node {
    enum km_node_kind kind;
    char name[KM_GRAPH_NAME_BYTES]; /* prefix of its tensors' names; "" when it has none */
    int input, residual;            /* node numbers; -1 = none */
    struct km_shape shape;          /* of the output */
    uint32_t kernel, stride, padding;
    bool bias, relu; /* relu: applied to the output (CONV after folding, NORM, ADD, STEM after folding) */
    float epsilon;   /* NORM */
    float rate;      /* DROPOUT: the share that is zeroed */
    enum km_stem_kind stem;
    const struct km_stem_order *order; /* STEM: borrowed, outlives the graph */
    const float *colours;              /* STEM_COLOUR: [257][3], borrowed */
};

struct km_graph {
    struct km_node nodes[KM_GRAPH_MAX_NODES];
    int count;
    struct km_err mistake; /* the first one; code KM_OK when there is none */
};

void km_graph_init(struct km_graph *graph);

int km_graph_image(struct km_graph *graph, struct km_shape shape);
/* colours is needed by KM_STEM_COLOUR alone and ignored otherwise. Output: [16, side / 4, side / 4]. */
int km_graph_stem(struct km_graph *graph, const char *name, enum km_stem_kind kind, const struct km_stem_order *order,
                  const float *colours);

struct km_window {
    uint32_t kernel, stride, padding;
};
int km_graph_conv(struct km_graph *graph, int input, const char *name, uint32_t channels, struct km_window window,
                  bool bias);
int km_graph_norm(struct km_graph *graph, int input, const char *name, bool relu);
int km_graph_relu(struct km_graph *graph, int input);
int km_graph_maxpool(struct km_graph *graph, int input, struct km_window window);
int km_graph_avgpool(struct km_graph *graph, int input, struct km_window window);
int km_graph_add(struct km_graph *graph, int input, int residual, bool relu);
int km_graph_mean(struct km_graph *graph, int input);
int km_graph_dropout(struct km_graph *graph, int input, float rate);
int km_graph_linear(struct km_graph *graph, int input, const char *name, uint32_t channels);

/* KM_OK, or the first mistake: KM_LIMIT (nodes, channels, side, a name too long), KM_FORMAT (no such input, shapes that
 * do not fit, a graph whose last node is not flat). */
enum km_code km_graph_check(const struct km_graph *graph, struct km_err *err) KM_MUST_USE;

/* The number of the one node whose output nothing reads: the network's output. */
static inline int km_graph_output(const struct km_graph *graph)
{
    return graph->count - 1;
}

/* How many nodes read the output of `node`. */
int km_graph_readers(const struct km_graph *graph, int node);

static inline size_t km_shape_floats(struct km_shape shape)
{
    return (size_t)shape.channels * shape.height * shape.width;
}

#endif
