/*
 * The inside of a network, shared by network.c (building and running) and netplan.c (deciding who joins whom and where
 * buffers lie). Private to these two.
 */
#ifndef KM_NN_NETPLAN_H
#define KM_NN_NETPLAN_H

#include "nn/network.h"
#include "nn/op.h"

#define KM_NETPLAN_NOWHERE SIZE_MAX /* an offset of what is not there */

/* What the network keeps for each node of the graph. */
struct km_stage {
    struct km_op *op; /* NULL: the image input, or a sum that joined the convolution before it */
    int made_by;      /* the node whose operator writes this node's output: itself, or the joined convolution */
    int owner;        /* the node whose buffer that is */
    int joins;        /* CONV: the residual that is added, or -1 */
    bool joined_relu; /* CONV: the sum's relu */
    size_t dst, diff; /* offsets in the workspace */
    size_t saved;
    int slots[KM_ROLE_COUNT]; /* or -1 */
};

struct km_network {
    struct km_graph graph;
    const struct km_backend *backend;
    void *context;
    uint32_t batch;
    bool training, winograd, shares;
    struct km_stage stages[KM_GRAPH_MAX_NODES];
    struct km_slot slots[KM_GRAPH_MAX_NODES * KM_ROLE_COUNT];
    size_t slot_count, floats;
    int mean, head; /* nodes: the last MEAN and the LINEAR that ends the graph behind it; or -1 */
    struct km_square *squares;
    uint64_t noise;
    size_t workspace_bytes, valid, scratch; /* offsets from here on */
    size_t extra, extra_residual;           /* a second difference of an input or a residual, before it is added */
    char *workspace;
    float *values, *gradients, *head_plain; /* values and head_plain are another network's when shares */
};

/* The last node that reads `node`; itself when none does. */
int km_netplan_last_reader(const struct km_graph *graph, int node);

/* A convolution that Winograd's method is for. */
bool km_netplan_takes_winograd(const struct km_node *node);

/* Inference: sums join the convolutions before them. Sets joins, joined_relu and made_by of the stages. */
void km_netplan_join(struct km_network *network);

/* After all operators are made: sets every offset and workspace_bytes. KM_NOMEM. */
enum km_code km_netplan_place(struct km_network *network, struct km_err *err) KM_MUST_USE;

#endif
