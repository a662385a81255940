#include "nn/netplan.h"

#include "nn/memplan.h"

static const struct km_node *node_of(const struct km_network *network, int node)
{
    return &network->graph.nodes[node];
}

int km_netplan_last_reader(const struct km_graph *graph, int node)
{
    int last = node;
    for (int i = node + 1; i < graph->count; i++)
        if (graph->nodes[i].input == node || graph->nodes[i].residual == node)
            last = i;
    return last;
}

/* Its products are fewer by half or more; what it does before and after them has to be little beside them. */
bool km_netplan_takes_winograd(const struct km_node *node)
{
    return node->kind == KM_NODE_CONV && node->kernel == 3 && node->stride == 1 && node->shape.channels >= 64 &&
           node->shape.height >= 8;
}

/* Inference: a sum whose one side is a convolution that nothing else reads, and whose other side exists before that
 * convolution runs, becomes the convolution's last act. */
void km_netplan_join(struct km_network *network)
{
    const struct km_graph *graph = &network->graph;
    for (int i = 0; i < graph->count; i++) {
        const struct km_node *sum = &graph->nodes[i];
        if (sum->kind != KM_NODE_ADD)
            continue;
        int later = sum->input > sum->residual ? sum->input : sum->residual;
        int earlier = sum->input + sum->residual - later;
        const struct km_node *conv = &graph->nodes[later];
        if (conv->kind != KM_NODE_CONV || conv->relu || km_graph_readers(graph, later) != 1)
            continue;
        if (network->winograd && km_netplan_takes_winograd(conv))
            continue; /* it has orders of its own, which the sum's other side need not have */
        network->stages[later].joins = earlier;
        network->stages[later].joined_relu = sum->relu;
        network->stages[i].made_by = later;
    }
}

/* A residual that nothing reads after the convolution that adds it: both live in the same bytes. */
static bool adds_in_place(const struct km_network *network, int conv)
{
    const struct km_graph *graph = &network->graph;
    int residual = network->stages[conv].joins;
    if (residual < 0 || !network->stages[network->stages[residual].made_by].op)
        return false; /* the image is the caller's */
    for (int i = conv; i < graph->count; i++) {
        bool reads = graph->nodes[i].input == residual || graph->nodes[i].residual == residual;
        if (reads && (i == conv || network->stages[i].made_by != conv))
            return false;
    }
    return true;
}

/* Inference: whose bytes each operator writes; its own, or along a chain of sums in place the first one's. */
static void find_owners(struct km_network *network)
{
    for (int i = 0; i < network->graph.count; i++) {
        struct km_stage *stage = &network->stages[i];
        stage->owner = stage->made_by;
        if (stage->made_by != i)
            stage->owner = network->stages[stage->made_by].owner;
        else if (adds_in_place(network, i))
            stage->owner = network->stages[stage->joins].owner;
    }
}

/* The last step at which the bytes of `owner` are read. */
static int last_use(const struct km_network *network, int owner)
{
    const struct km_graph *graph = &network->graph;
    int last = owner;
    for (int i = owner; i < graph->count; i++) {
        if (network->stages[i].owner != owner)
            continue;
        int reader = km_netplan_last_reader(graph, i);
        last = reader > last ? reader : last;
        for (int j = i + 1; j < graph->count; j++)
            if (graph->nodes[j].kind == KM_NODE_MEAN && graph->nodes[j].input == i)
                return 2 * graph->count; /* km_network_cells reads it later */
    }
    return network->stages[graph->count - 1].owner == owner ? 2 * graph->count : last;
}

static enum km_code place_forward(struct km_network *network, struct km_memplan *plan, struct km_err *err)
{
    int count = network->graph.count, end = 2 * count;
    enum km_code code = KM_OK;
    find_owners(network);
    for (int i = 0; code == KM_OK && i < count; i++) {
        struct km_stage *stage = &network->stages[i];
        stage->dst = stage->diff = stage->saved = KM_NETPLAN_NOWHERE;
        size_t bytes = stage->op ? stage->op->dst_bytes : km_op_plain_bytes(network->batch, node_of(network, i)->shape);
        bool forever = network->training || !stage->op;
        if (stage->owner == i)
            code = km_memplan_add(plan, bytes, forever ? 0 : i, forever ? end : last_use(network, i), &stage->dst, err);
        else
            stage->dst = network->stages[stage->owner].dst;
        if (code == KM_OK && stage->op && stage->op->saved_bytes)
            code = km_memplan_add(plan, stage->op->saved_bytes, 0, end, &stage->saved, err);
    }
    return code;
}

/* The difference of node i lives from the backward step of its last reader to its own. */
static enum km_code place_backward(struct km_network *network, struct km_memplan *plan, struct km_err *err)
{
    int count = network->graph.count;
    enum km_code code = KM_OK;
    for (int i = count - 1; network->training && code == KM_OK && i >= 0; i--) {
        struct km_stage *stage = &network->stages[i];
        if (!stage->op)
            continue;
        int birth = 2 * count - 1 - km_netplan_last_reader(&network->graph, i), death = 2 * count - 1 - i;
        if (i == count - 1)
            birth = 0; /* the caller fills it */
        code = km_memplan_add(plan, stage->op->dst_bytes, birth, death, &stage->diff, err);
    }
    return code;
}

static enum km_code place_shared(struct km_network *network, struct km_memplan *plan, struct km_err *err)
{
    int end = 2 * network->graph.count;
    size_t scratch = 0, extra = 0, cells = 0;
    for (int i = 0; i < network->graph.count; i++) {
        const struct km_op *op = network->stages[i].op;
        if (op && op->scratch_bytes > scratch)
            scratch = op->scratch_bytes;
        if (op && network->training && km_graph_readers(&network->graph, i) > 1 && op->dst_bytes > extra)
            extra = op->dst_bytes;
    }
    if (network->mean >= 0) {
        struct km_shape in = node_of(network, node_of(network, network->mean)->input)->shape;
        cells = km_op_plain_bytes(network->batch, (struct km_shape){1, in.height, in.width});
    }
    network->valid = network->scratch = network->extra = network->extra_residual = KM_NETPLAN_NOWHERE;
    enum km_code code = km_memplan_add(plan, scratch, 0, end, &network->scratch, err);
    if (code == KM_OK && extra)
        code = km_memplan_add(plan, extra, 0, end, &network->extra, err);
    if (code == KM_OK && extra)
        code = km_memplan_add(plan, extra, 0, end, &network->extra_residual, err);
    if (code == KM_OK && cells)
        code = km_memplan_add(plan, cells, 0, end, &network->valid, err);
    return code;
}

enum km_code km_netplan_place(struct km_network *network, struct km_err *err)
{
    struct km_memplan plan = {0};
    enum km_code code = place_forward(network, &plan, err);
    if (code == KM_OK)
        code = place_backward(network, &plan, err);
    if (code == KM_OK)
        code = place_shared(network, &plan, err);
    network->workspace_bytes = plan.total_bytes;
    km_memplan_done(&plan);
    return code;
}
