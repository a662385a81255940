#include "nn/network.h"

#include <stdlib.h>
#include <string.h>

#include "nn/netplan.h"
#include "nn/onednn.h"

#define MAX_WORKSPACE_BYTES ((size_t)4 << 30)

static float *at_offset(const struct km_network *network, size_t offset)
{
    return offset == KM_NETPLAN_NOWHERE ? NULL : (float *)(void *)(network->workspace + offset);
}

static struct km_node *node_of(struct km_network *network, int node)
{
    return &network->graph.nodes[node];
}

static const struct km_layout *layout_of(const struct km_network *network, int node)
{
    if (node < 0)
        return NULL;
    const struct km_op *op = network->stages[network->stages[node].made_by].op;
    return op ? op->dst_layout : NULL;
}

static enum km_code make_op(struct km_network *network, int i, struct km_err *err)
{
    const struct km_node *node = node_of(network, i);
    struct km_stage *stage = &network->stages[i];
    if (node->kind == KM_NODE_IMAGE || stage->made_by != i)
        return KM_OK;
    bool stem = node->kind == KM_NODE_STEM;
    bool feeds_on_input = !stem && node->input == 0 && node_of(network, 0)->kind == KM_NODE_IMAGE;
    struct km_op_desc desc = {
        .node = *node,
        .batch = network->batch,
        .in = stem ? (struct km_shape){1, 1, 1} : node_of(network, node->input)->shape,
        .training = network->training,
        .winograd = network->winograd && km_netplan_takes_winograd(node),
        .inner_diff = network->training && !stem && !feeds_on_input,
    };
    int residual = node->kind == KM_NODE_ADD ? node->residual : stage->joins;
    if (stage->joins >= 0) {
        desc.residual = true;
        desc.node.relu = stage->joined_relu;
    }
    stage->op = network->backend->op_new(network->context, &desc, layout_of(network, node->input),
                                         layout_of(network, residual), err);
    return stage->op ? KM_OK : km_err_wrap(err, "node %d '%s'", i, node->name);
}

static void make_slots(struct km_network *network, int i)
{
    struct km_stage *stage = &network->stages[i];
    const struct km_node *node = node_of(network, i);
    for (int role = 0; role < KM_ROLE_COUNT; role++) {
        size_t bytes = stage->op ? stage->op->value_bytes[role] : 0;
        stage->slots[role] = -1;
        if (bytes == 0)
            continue;
        bool matrix = node->kind != KM_NODE_NORM && role == KM_ROLE_WEIGHT;
        stage->slots[role] = (int)network->slot_count;
        network->slots[network->slot_count++] = (struct km_slot){
            .node = i,
            .role = (enum km_role)role,
            .offset = network->floats,
            .floats = bytes / sizeof(float),
            .samples = (uint64_t)network->batch * node->shape.height * node->shape.width,
            .decays = matrix,
        };
        network->floats += km_op_align(bytes) / sizeof(float);
    }
}

static enum km_code take_block(float **out, size_t bytes, struct km_err *err)
{
    bytes = bytes ? km_op_align(bytes) : KM_OP_ALIGN_BYTES;
    float *block = aligned_alloc(KM_OP_ALIGN_BYTES, bytes);
    if (!block)
        return km_fail(err, KM_NOMEM, "out of memory (network, %zu bytes)", bytes);
    memset(block, 0, bytes);
    *out = block;
    return KM_OK;
}

static bool can_share(const struct km_network *network, const struct km_network *other)
{
    if (!other || other->backend != network->backend || other->slot_count != network->slot_count ||
        other->floats != network->floats)
        return false;
    for (size_t i = 0; i < network->slot_count; i++) {
        const struct km_slot *a = &network->slots[i], *b = &other->slots[i];
        if (a->node != b->node || a->role != b->role || a->offset != b->offset || a->floats != b->floats ||
            !network->backend->same_weights(network->stages[a->node].op, other->stages[b->node].op))
            return false;
    }
    return true;
}

static size_t head_floats(const struct km_network *network)
{
    if (network->head < 0)
        return 0;
    const struct km_node *head = &network->graph.nodes[network->head];
    return (size_t)head->shape.channels * network->graph.nodes[head->input].shape.channels;
}

static enum km_code take_memory(struct km_network *network, const struct km_network *share, struct km_err *err)
{
    enum km_code code = km_netplan_place(network, err);
    if (code != KM_OK)
        return code;
    if (network->workspace_bytes > MAX_WORKSPACE_BYTES)
        return km_fail(err, KM_LIMIT, "a network that works in %zu bytes is above the limit", network->workspace_bytes);
    float *workspace = NULL;
    code = take_block(&workspace, network->workspace_bytes, err);
    network->workspace = (char *)workspace;
    if (code == KM_OK && can_share(network, share)) {
        network->shares = true;
        network->values = share->values;
        network->head_plain = share->head_plain;
    } else if (code == KM_OK) {
        code = take_block(&network->values, network->floats * sizeof(float), err);
        if (code == KM_OK)
            code = take_block(&network->head_plain, head_floats(network) * sizeof(float), err);
    }
    if (code == KM_OK && network->training)
        code = take_block(&network->gradients, network->floats * sizeof(float), err);
    if (code == KM_OK && network->graph.nodes[0].kind == KM_NODE_STEM) {
        network->squares = km_calloc(network->batch, sizeof *network->squares, SIZE_MAX, err);
        code = network->squares ? KM_OK : err->code;
    }
    return code;
}

/* A difference goes straight to its node when this reader is the last one, and is added from `extra` otherwise. */
static float *diff_target(const struct km_network *network, int node, int reader, size_t extra)
{
    if (node < 0 || !network->training || !network->stages[node].op)
        return NULL;
    bool first = km_netplan_last_reader(&network->graph, node) == reader;
    return at_offset(network, first ? network->stages[node].diff : extra);
}

static enum km_code bind_op(struct km_network *network, int i, struct km_err *err)
{
    struct km_stage *stage = &network->stages[i];
    struct km_op *op = stage->op;
    const struct km_node *node = node_of(network, i);
    int residual = node->kind == KM_NODE_ADD ? node->residual : stage->joins;
    struct km_op_args *args = &op->args;
    args->src = node->input >= 0 ? at_offset(network, network->stages[node->input].dst) : NULL;
    args->residual = residual >= 0 ? at_offset(network, network->stages[residual].dst) : NULL;
    args->dst = at_offset(network, stage->dst);
    args->diff_dst = at_offset(network, stage->diff);
    args->diff_src = diff_target(network, node->input, i, network->extra);
    args->diff_residual = NULL;
    if (node->kind == KM_NODE_ADD)
        args->diff_residual = diff_target(network, residual, i, network->extra_residual);
    args->saved = at_offset(network, stage->saved);
    args->scratch = at_offset(network, network->scratch);
    args->valid = i == network->mean ? at_offset(network, network->valid) : NULL;
    args->squares = network->squares;
    args->noise = &network->noise;
    for (int role = 0; role < KM_ROLE_COUNT; role++)
        if (stage->slots[role] >= 0) {
            size_t offset = network->slots[stage->slots[role]].offset;
            args->values[role] = network->values + offset;
            args->gradients[role] = network->gradients ? network->gradients + offset : NULL;
        }
    enum km_code code = op->class->bind(op, err);
    return code == KM_OK ? KM_OK : km_err_wrap(err, "node %d '%s'", i, node->name);
}

static void find_ends(struct km_network *network)
{
    network->mean = network->head = -1;
    for (int i = 0; i < network->graph.count; i++)
        if (node_of(network, i)->kind == KM_NODE_MEAN)
            network->mean = i;
    int last = km_graph_output(&network->graph);
    if (node_of(network, last)->kind != KM_NODE_LINEAR)
        return;
    int before = node_of(network, last)->input;
    if (node_of(network, before)->kind == KM_NODE_DROPOUT)
        before = node_of(network, before)->input;
    if (before == network->mean)
        network->head = last;
}

static enum km_code check_cells(struct km_network *network, struct km_err *err)
{
    const struct km_node *input = node_of(network, 0);
    if (input->kind != KM_NODE_STEM)
        return KM_OK;
    struct km_shape seen = node_of(network, node_of(network, network->mean)->input)->shape;
    uint32_t side = km_stem_order_side(input->order) / 32;
    if (seen.height != side || seen.width != side)
        return km_fail(err, KM_FORMAT, "network description: the mean of a byte network sees %ux%u cells, not %ux%u",
                       seen.height, seen.width, side, side);
    return KM_OK;
}

static enum km_code build(struct km_network *network, const struct km_network *share, struct km_err *err)
{
    int count = network->graph.count;
    for (int i = 0; i < count; i++) {
        network->stages[i].made_by = i;
        network->stages[i].joins = -1;
    }
    find_ends(network);
    enum km_code code = check_cells(network, err);
    if (!network->training)
        km_netplan_join(network);
    if (code == KM_OK)
        code = network->backend->open(&network->context, err);
    for (int i = 0; code == KM_OK && i < count; i++)
        code = make_op(network, i, err);
    if (code != KM_OK)
        return code;
    for (int i = 0; i < count; i++)
        make_slots(network, i);
    code = take_memory(network, share, err);
    for (int i = 0; code == KM_OK && i < count; i++)
        if (network->stages[i].op)
            code = bind_op(network, i, err);
    if (code == KM_OK && km_network_valid(network)) {
        struct km_shape in = node_of(network, node_of(network, network->mean)->input)->shape;
        for (size_t i = 0; i < (size_t)network->batch * in.height * in.width; i++)
            km_network_valid(network)[i] = 1;
    }
    return code;
}

struct km_network *km_network_new(const struct km_graph *graph, const struct km_network_options *options,
                                  struct km_err *err)
{
    if (km_graph_check(graph, err) != KM_OK)
        return NULL;
    if (options->batch == 0 || options->batch > KM_NETWORK_MAX_BATCH) {
        km_fail(err, KM_LIMIT, "a batch of %u is not in 1..%u", options->batch, KM_NETWORK_MAX_BATCH);
        return NULL;
    }
    KM_CLEANUP(km_network_cleanup) struct km_network *network = km_calloc(1, sizeof *network, SIZE_MAX, err);
    if (!network)
        return NULL;
    network->graph = *graph;
    network->backend = options->backend ? options->backend : &km_onednn_backend;
    network->batch = options->batch;
    network->training = options->training;
    network->winograd = options->winograd && !options->training;
    if (build(network, options->share, err) != KM_OK)
        return NULL;
    return km_steal(network);
}

void km_network_free(struct km_network *network)
{
    if (!network)
        return;
    for (int i = network->graph.count - 1; i >= 0; i--)
        if (network->stages[i].op)
            network->stages[i].op->class->free(network->stages[i].op);
    if (network->context)
        network->backend->close(network->context);
    free(network->workspace);
    free(network->gradients);
    free(network->squares);
    if (!network->shares) {
        free(network->values);
        free(network->head_plain);
    }
    free(network);
}

enum km_code km_network_import(struct km_network *network, size_t slot, const float *plain, float *own,
                               struct km_err *err)
{
    const struct km_slot *s = &network->slots[slot];
    return network->backend->import(network->stages[s->node].op, s->role, plain, own, err);
}

enum km_code km_network_export(struct km_network *network, size_t slot, const float *own, float *plain,
                               struct km_err *err)
{
    const struct km_slot *s = &network->slots[slot];
    return network->backend->export(network->stages[s->node].op, s->role, own, plain, err);
}

/* The tensor of slot i, checked against this network's graph. */
static const struct km_tensor *tensor_of(const struct km_network *network, const struct km_weights *weights, size_t i,
                                         struct km_err *err)
{
    const struct km_slot *slot = &network->slots[i];
    const struct km_node *node = &network->graph.nodes[slot->node];
    const struct km_tensor *tensor = km_weights_find(weights, slot->node, slot->role);
    struct km_tensor own;
    uint32_t inputs = node->input < 0 ? 0 : network->graph.nodes[node->input].shape.channels;
    if (tensor && km_weights_shape(node, inputs, slot->role, &own) &&
        memcmp(own.dims, tensor->dims, sizeof own.dims) == 0)
        return tensor;
    km_fail(err, KM_CONFLICT, "these weights belong to another network (node %d '%s')", slot->node, node->name);
    return NULL;
}

enum km_code km_network_set(struct km_network *network, const struct km_weights *weights, struct km_err *err)
{
    if (network->shares)
        return km_fail(err, KM_CONFLICT, "a network that shares its weights cannot be given others");
    for (size_t i = 0; i < network->slot_count; i++)
        if (!tensor_of(network, weights, i, err))
            return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < network->slot_count; i++) {
        const struct km_tensor *tensor = tensor_of(network, weights, i, err);
        code = km_network_import(network, i, tensor->values, network->values + network->slots[i].offset, err);
        if (tensor->node == network->head && tensor->role == KM_ROLE_WEIGHT)
            memcpy(network->head_plain, tensor->values, tensor->floats * sizeof(float));
    }
    return code;
}

static enum km_code copy_out(struct km_network *network, const float *block, struct km_weights *weights,
                             struct km_err *err)
{
    for (size_t i = 0; i < network->slot_count; i++)
        if (!tensor_of(network, weights, i, err))
            return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < network->slot_count; i++) {
        const struct km_tensor *tensor = tensor_of(network, weights, i, err);
        code = km_network_export(network, i, block + network->slots[i].offset, tensor->values, err);
    }
    return code;
}

enum km_code km_network_get(struct km_network *network, struct km_weights *weights, struct km_err *err)
{
    return copy_out(network, network->values, weights, err);
}

enum km_code km_network_get_gradients(struct km_network *network, struct km_weights *gradients, struct km_err *err)
{
    KM_ASSERT(network->gradients != NULL);
    return copy_out(network, network->gradients, gradients, err);
}

bool km_network_shares(const struct km_network *network)
{
    return network->shares;
}

float *km_network_image(struct km_network *network)
{
    return node_of(network, 0)->kind == KM_NODE_IMAGE ? at_offset(network, network->stages[0].dst) : NULL;
}

float *km_network_valid(struct km_network *network)
{
    return at_offset(network, network->valid);
}

void km_network_squares(struct km_network *network, const struct km_square *squares, uint32_t count)
{
    KM_ASSERT(network->squares != NULL && count <= network->batch);
    const struct km_stem_order *order = node_of(network, 0)->order;
    size_t side = km_stem_order_side(order), cells = side * side / KM_STEM_GRANULE;
    for (uint32_t n = 0; n < network->batch; n++) {
        network->squares[n] = n < count ? squares[n] : (struct km_square){NULL, 0};
        KM_ASSERT(network->squares[n].length <= side * side);
        km_stem_valid_cells(order, network->squares[n].length, km_network_valid(network) + n * cells);
    }
}

void km_network_noise(struct km_network *network, uint64_t seed)
{
    network->noise = seed;
}

enum km_code km_network_forward(struct km_network *network, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (int i = 0; code == KM_OK && i < network->graph.count; i++) {
        struct km_op *op = network->stages[i].op;
        if (op)
            code = op->class->forward(op, err);
    }
    return code;
}

static float *output_of(const struct km_network *network)
{
    return at_offset(network, network->stages[km_graph_output(&network->graph)].dst);
}

const float *km_network_output(const struct km_network *network)
{
    return output_of(network);
}

uint32_t km_network_outputs(const struct km_network *network)
{
    return network->graph.nodes[km_graph_output(&network->graph)].shape.channels;
}

uint32_t km_network_batch(const struct km_network *network)
{
    return network->batch;
}

struct km_shape km_network_cell_shape(const struct km_network *network)
{
    if (network->mean < 0)
        return (struct km_shape){0, 0, 0};
    struct km_shape in = network->graph.nodes[network->graph.nodes[network->mean].input].shape;
    return (struct km_shape){km_network_outputs(network), in.height, in.width};
}

enum km_code km_network_cells(const struct km_network *network, float *out, struct km_err *err)
{
    if (network->head < 0)
        return km_fail(err, KM_UNSUPPORTED, "this network does not end in a mean and a linear layer");
    struct km_shape shape = km_network_cell_shape(network);
    size_t plane = (size_t)shape.height * shape.width;
    uint32_t inputs = network->graph.nodes[network->graph.nodes[network->head].input].shape.channels;
    const float *features = network->backend->plain_input(network->stages[network->mean].op);
    const float *valid = at_offset(network, network->valid);
    const float *bias = network->stages[network->head].op->args.values[KM_ROLE_BIAS];
    for (uint32_t n = 0; n < network->batch; n++)
        for (uint32_t o = 0; o < shape.channels; o++) {
            float *to = out + ((size_t)n * shape.channels + o) * plane;
            for (size_t i = 0; i < plane; i++)
                to[i] = bias[o];
            for (uint32_t c = 0; c < inputs; c++)
                for (size_t i = 0; i < plane; i++)
                    to[i] +=
                        network->head_plain[(size_t)o * inputs + c] * features[((size_t)n * inputs + c) * plane + i];
            for (size_t i = 0; i < plane; i++)
                to[i] = valid[n * plane + i] > 0 ? to[i] : 0;
        }
    return KM_OK;
}

float *km_network_output_diff(struct km_network *network)
{
    KM_ASSERT(network->training);
    return at_offset(network, network->stages[km_graph_output(&network->graph)].diff);
}

/* The difference of `node` came second: it waits at `offset` and joins what is there. */
static void add_extra(struct km_network *network, int node, int reader, size_t offset)
{
    if (node < 0 || !network->stages[node].op || km_netplan_last_reader(&network->graph, node) == reader)
        return;
    float *restrict sum = at_offset(network, network->stages[node].diff);
    const float *restrict extra = at_offset(network, offset);
    for (size_t i = 0, n = network->stages[node].op->dst_bytes / sizeof(float); i < n; i++)
        sum[i] += extra[i];
}

enum km_code km_network_backward(struct km_network *network, struct km_err *err)
{
    KM_ASSERT(network->training);
    enum km_code code = KM_OK;
    for (int i = network->graph.count - 1; code == KM_OK && i >= 0; i--) {
        struct km_op *op = network->stages[i].op;
        if (!op)
            continue;
        code = op->class->backward(op, err);
        if (code != KM_OK)
            break;
        add_extra(network, node_of(network, i)->input, i, network->extra);
        add_extra(network, node_of(network, i)->residual, i, network->extra_residual);
    }
    return code;
}

size_t km_network_slots(const struct km_network *network, const struct km_slot **out_slots)
{
    *out_slots = network->slots;
    return network->slot_count;
}

float *km_network_values(struct km_network *network)
{
    return network->values;
}

float *km_network_gradients(struct km_network *network)
{
    return network->gradients;
}

size_t km_network_floats(const struct km_network *network)
{
    return network->floats;
}

size_t km_network_workspace_bytes(const struct km_network *network)
{
    return network->workspace_bytes;
}
