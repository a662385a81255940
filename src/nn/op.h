/*
 * The operator interface, private to nn: what a backend offers and network.c runs. Two backends implement it: onednn.h
 * (with layers.h for what oneDNN has no primitive for) and reference.h (plain loops, for tests and sanitizers).
 *
 * Life of an operator: the backend's op_new (decides layouts, states the memory it wants) -> the network plans all
 * buffers -> bind (pointers, once) -> forward and backward, any number of times, allocating nothing -> free.
 * Gradients are written, not added: diff_src, diff_residual and every gradient but those listed at km_op_args.
 * Thread rule: an operator is created, bound, run and freed by one thread at a time.
 */
#ifndef KM_NN_OP_H
#define KM_NN_OP_H

#include "base/err.h"
#include "nn/graph.h"
#include "nn/stem.h"
#include "nn/weights.h"

#define KM_OP_ALIGN_BYTES 64u

struct km_layout; /* a backend's own memory order of a batch of activations; NULL: plain [N, C, H, W] */

struct km_op_desc {
    struct km_node node; /* a copy; relu and residual as fused by the network */
    uint32_t batch;
    struct km_shape in;
    bool residual;   /* CONV: dst += residual before relu; the residual is in dst's layout and may be dst itself */
    bool winograd;   /* CONV: by Winograd's method, if there is one */
    bool training;   /* a backward pass follows each forward pass; NORM uses the batch's own statistics */
    bool inner_diff; /* diff_src is wanted */
};

struct km_op_args {
    const float *src, *residual;
    float *dst;
    const float *values[KM_ROLE_COUNT]; /* by enum km_role, in the operator's layouts; NULL when it has none */
    float *gradients[KM_ROLE_COUNT];    /* training: NORM's MEAN and VARIANCE receive the batch's statistics */
    const float *diff_dst;
    float *diff_src, *diff_residual;
    void *saved, *scratch;           /* saved lives from forward to backward (MEAN: to the next forward) */
    const float *valid;              /* MEAN: [N, H * W], 1 or 0; NULL: all valid */
    const struct km_square *squares; /* STEM: [N] */
    const uint64_t *noise;           /* DROPOUT: the seed of this pass */
};

struct km_op;

struct km_op_class {
    enum km_code (*bind)(struct km_op *op, struct km_err *err); /* after op->args is filled */
    enum km_code (*forward)(struct km_op *op, struct km_err *err);
    enum km_code (*backward)(struct km_op *op, struct km_err *err);
    void (*free)(struct km_op *op);
};

struct km_op {
    const struct km_op_class *class;
    struct km_op_desc desc;
    struct km_op_args args;
    const struct km_layout *dst_layout; /* borrowed from the operator or from an earlier one */
    size_t dst_bytes, saved_bytes, scratch_bytes;
    size_t value_bytes[KM_ROLE_COUNT]; /* 0: the operator has no such tensor */
};

struct km_backend {
    const char *name;
    enum km_code (*open)(void **out_context, struct km_err *err);
    void (*close)(void *context);
    /* src, residual: layouts of the inputs, which outlive the operator; NULL = plain. */
    struct km_op *(*op_new)(void *context, const struct km_op_desc *desc, const struct km_layout *src,
                            const struct km_layout *residual, struct km_err *err);
    /* Between a plain tensor (weights.h) and the operator's own order of it. */
    enum km_code (*import)(struct km_op *op, enum km_role role, const float *plain, float *own, struct km_err *err);
    enum km_code (*export)(struct km_op *op, enum km_role role, const float *own, float *plain, struct km_err *err);
    /* True when both hold the weight in the same order. */
    bool (*same_weights)(const struct km_op *a, const struct km_op *b);
    /* A MEAN's input of the last forward pass, plain [N, C, H, W]; borrowed until the next one. */
    const float *(*plain_input)(const struct km_op *mean);
};

static inline size_t km_op_plain_bytes(uint32_t batch, struct km_shape shape)
{
    return (size_t)batch * km_shape_floats(shape) * sizeof(float);
}

static inline size_t km_op_align(size_t bytes)
{
    return (bytes + KM_OP_ALIGN_BYTES - 1) / KM_OP_ALIGN_BYTES * KM_OP_ALIGN_BYTES;
}

#endif
