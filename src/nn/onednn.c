#include "nn/onednn.h"

#include <stdlib.h>
#include <string.h>

#include "nn/dnpass.h"
#include "nn/handmade.h"
#include "nn/op.h"

struct km_dn_md *km_activation_md(uint32_t batch, struct km_shape shape, bool flat, enum km_dn_order order,
                                  struct km_err *err)
{
    const uint64_t dims[] = {batch, shape.channels, shape.height, shape.width};
    return km_dn_md_new(flat ? 2 : 4, dims, order, err);
}

/* One operator that is a primitive: convolution, linear, batch norm or pooling. */
struct primitive_op {
    struct km_op base; /* first: the two are one address */
    struct km_dn *dn;
    struct km_dn_md *src, *dst, *weights, *plain_weights; /* outside orders; weights only for convolution and linear */
    struct km_pass forward, back_data, back_weights;
    /* A norm computes diff_src even where nobody wants it: it then goes to the end of scratch. */
    size_t discard_offset_bytes;
    void *discard;
};

static struct primitive_op *primitive_of(struct km_op *op)
{
    return (struct primitive_op *)(void *)op;
}

static void primitive_free(struct km_op *op)
{
    struct primitive_op *p = primitive_of(op);
    km_pass_done(&p->forward);
    km_pass_done(&p->back_data);
    km_pass_done(&p->back_weights);
    km_dn_md_free(p->src);
    km_dn_md_free(p->dst);
    km_dn_md_free(p->weights);
    km_dn_md_free(p->plain_weights);
    free(p);
}

static enum km_code primitive_bind(struct km_op *op, struct km_err *err)
{
    struct primitive_op *p = primitive_of(op);
    p->discard = (char *)op->args.scratch + p->discard_offset_bytes;
    enum km_code code = km_pass_bind(&p->forward, op->args.scratch, err);
    if (code == KM_OK)
        code = km_pass_bind(&p->back_data, op->args.scratch, err);
    if (code == KM_OK)
        code = km_pass_bind(&p->back_weights, op->args.scratch, err);
    return code;
}

static enum km_code primitive_forward(struct km_op *op, struct km_err *err)
{
    if (op->desc.residual && op->args.residual != op->args.dst)
        memcpy(op->args.dst, op->args.residual, op->dst_bytes);
    return km_pass_run(&primitive_of(op)->forward, err);
}

static enum km_code primitive_backward(struct km_op *op, struct km_err *err)
{
    enum km_code code = km_pass_run(&primitive_of(op)->back_weights, err);
    return code == KM_OK ? km_pass_run(&primitive_of(op)->back_data, err) : code;
}

static const struct km_op_class primitive_class = {primitive_bind, primitive_forward, primitive_backward,
                                                   primitive_free};

/* Orders in which oneDNN may choose. */
struct free_orders {
    struct km_dn_md *src, *weights, *bias, *dst;
};

static void free_orders_done(struct free_orders *orders)
{
    km_dn_md_free(orders->src);
    km_dn_md_free(orders->weights);
    km_dn_md_free(orders->bias);
    km_dn_md_free(orders->dst);
}

static enum km_code free_orders_make(struct free_orders *orders, const struct km_op_desc *desc, struct km_err *err)
{
    bool linear = desc->node.kind == KM_NODE_LINEAR;
    enum km_dn_order activations = linear ? KM_DN_PLAIN : KM_DN_ANY;
    struct km_tensor weight;
    KM_ASSERT(km_weights_shape(&desc->node, desc->in.channels, KM_ROLE_WEIGHT, &weight));
    const uint64_t channels = desc->node.shape.channels;
    orders->src = km_activation_md(desc->batch, desc->in, linear, activations, err);
    orders->dst = orders->src ? km_activation_md(desc->batch, desc->node.shape, linear, activations, err) : NULL;
    orders->weights = orders->dst ? km_dn_md_new(weight.rank, weight.dims, KM_DN_ANY, err) : NULL;
    if (orders->weights && desc->node.bias)
        orders->bias = km_dn_md_new(1, &channels, KM_DN_PLAIN, err);
    return orders->weights && (orders->bias || !desc->node.bias) ? KM_OK : err->code;
}

static struct km_dn_prim *matrix_prim(struct primitive_op *p, enum km_dn_kind kind, const struct km_dn_orders *orders,
                                      struct km_err *err)
{
    const struct km_op_desc *d = &p->base.desc;
    bool back = kind == KM_DN_BACK_DATA || kind == KM_DN_BACK_WEIGHTS;
    struct km_dn_step step = {.kind = kind, .forward = back ? p->forward.prim : NULL};
    if (d->node.kind == KM_NODE_LINEAR)
        return km_dn_linear_new(p->dn, step, orders, err);
    struct km_dn_window window = {d->node.kernel, d->node.stride, d->node.padding};
    struct km_dn_fused fused = {d->residual && !back, d->node.relu && !back};
    if (d->winograd) {
        struct km_err none = KM_ERR_INIT;
        struct km_dn_step fast = {.kind = kind, .winograd = true};
        struct km_dn_prim *prim = km_dn_conv_new(p->dn, fast, orders, window, fused, &none);
        if (prim)
            return prim;
        if (none.code != KM_UNSUPPORTED) {
            *err = none;
            return NULL;
        }
    }
    return km_dn_conv_new(p->dn, step, orders, window, fused, err);
}

static enum km_code matrix_forward_pass(struct primitive_op *p, const struct free_orders *any,
                                        const struct km_dn_md *residual, struct km_err *err)
{
    struct km_op *op = &p->base;
    /* A sum in place needs the residual's own order. */
    struct km_dn_orders orders = {any->src, any->weights, any->bias, residual ? residual : any->dst};
    enum km_dn_kind kind = op->desc.training ? KM_DN_TRAIN : KM_DN_INFER;
    km_pass_begin(&p->forward, p->dn, matrix_prim(p, kind, &orders, err), err);
    if (p->forward.code != KM_OK)
        return p->forward.code;
    p->dst = km_dn_prim_md(p->forward.prim, KM_DN_DST, err);
    p->weights = p->dst ? km_dn_prim_md(p->forward.prim, KM_DN_WEIGHTS, err) : NULL;
    if (!p->weights)
        return err->code;
    km_pass_in(&p->forward, KM_DN_SRC, p->src, &op->args.src, err);
    km_pass_in(&p->forward, KM_DN_WEIGHTS, NULL, &op->args.values[KM_ROLE_WEIGHT], err);
    if (any->bias)
        km_pass_in(&p->forward, KM_DN_BIAS, NULL, &op->args.values[KM_ROLE_BIAS], err);
    km_pass_out(&p->forward, KM_DN_DST, NULL, &op->args.dst, err);
    return p->forward.code;
}

static enum km_code matrix_backward_passes(struct primitive_op *p, const struct free_orders *any, struct km_err *err)
{
    struct km_op *op = &p->base;
    struct km_dn_orders orders = {any->src, any->weights, any->bias, any->dst};
    struct km_pass *pass = &p->back_weights;
    km_pass_begin(pass, p->dn, matrix_prim(p, KM_DN_BACK_WEIGHTS, &orders, err), err);
    km_pass_in(pass, KM_DN_SRC, p->src, &op->args.src, err);
    km_pass_in(pass, KM_DN_DIFF_DST, p->dst, &op->args.diff_dst, err);
    km_pass_out(pass, KM_DN_DIFF_WEIGHTS, p->weights, &op->args.gradients[KM_ROLE_WEIGHT], err);
    if (any->bias)
        km_pass_out(pass, KM_DN_DIFF_BIAS, NULL, &op->args.gradients[KM_ROLE_BIAS], err);
    if (pass->code != KM_OK || !op->desc.inner_diff)
        return pass->code;
    pass = &p->back_data;
    km_pass_begin(pass, p->dn, matrix_prim(p, KM_DN_BACK_DATA, &orders, err), err);
    km_pass_in(pass, KM_DN_WEIGHTS, p->weights, &op->args.values[KM_ROLE_WEIGHT], err);
    km_pass_in(pass, KM_DN_DIFF_DST, p->dst, &op->args.diff_dst, err);
    km_pass_out(pass, KM_DN_DIFF_SRC, p->src, &op->args.diff_src, err);
    return pass->code;
}

static enum km_code matrix_make(struct primitive_op *p, const struct km_dn_md *residual, struct km_err *err)
{
    struct km_op *op = &p->base;
    struct km_tensor weight;
    KM_ASSERT(km_weights_shape(&op->desc.node, op->desc.in.channels, KM_ROLE_WEIGHT, &weight));
    p->plain_weights = km_dn_md_new(weight.rank, weight.dims, KM_DN_PLAIN, err);
    if (!p->plain_weights)
        return err->code;
    KM_CLEANUP(free_orders_done) struct free_orders any = {0};
    enum km_code code = free_orders_make(&any, &op->desc, err);
    if (code == KM_OK)
        code = matrix_forward_pass(p, &any, residual, err);
    if (code == KM_OK && op->desc.training)
        code = matrix_backward_passes(p, &any, err);
    if (code != KM_OK)
        return code;
    op->value_bytes[KM_ROLE_WEIGHT] = km_dn_md_bytes(p->weights);
    op->value_bytes[KM_ROLE_BIAS] = any.bias ? km_dn_md_bytes(any.bias) : 0;
    return KM_OK;
}

static enum km_code norm_make(struct primitive_op *p, struct km_err *err)
{
    struct km_op *op = &p->base;
    const struct km_op_desc *d = &op->desc;
    struct km_dn_step step = {.kind = d->training ? KM_DN_TRAIN : KM_DN_INFER};
    struct km_pass *pass = &p->forward;
    km_pass_begin(pass, p->dn, km_dn_norm_new(p->dn, step, p->src, d->node.epsilon, d->node.relu, err), err);
    if (pass->code != KM_OK)
        return pass->code;
    p->dst = km_dn_prim_md(pass->prim, KM_DN_DST, err);
    if (!p->dst)
        return err->code;
    km_pass_in(pass, KM_DN_SRC, NULL, &op->args.src, err);
    km_pass_in(pass, KM_DN_SCALE, NULL, &op->args.values[KM_ROLE_WEIGHT], err);
    km_pass_in(pass, KM_DN_SHIFT, NULL, &op->args.values[KM_ROLE_BIAS], err);
    const void *mean = d->training ? (const void *)&op->args.gradients[KM_ROLE_MEAN] : &op->args.values[KM_ROLE_MEAN];
    const void *variance =
        d->training ? (const void *)&op->args.gradients[KM_ROLE_VARIANCE] : &op->args.values[KM_ROLE_VARIANCE];
    km_pass_out(pass, KM_DN_MEAN, NULL, mean, err);
    km_pass_out(pass, KM_DN_VARIANCE, NULL, variance, err);
    km_pass_out(pass, KM_DN_DST, NULL, &op->args.dst, err);
    for (int role = 0; role < KM_ROLE_COUNT; role++)
        op->value_bytes[role] = d->in.channels * sizeof(float);
    if (!d->training)
        return pass->code;
    op->saved_bytes = km_dn_prim_bytes(pass->prim, KM_DN_WORKSPACE);
    if (op->saved_bytes)
        km_pass_out(pass, KM_DN_WORKSPACE, NULL, &op->args.saved, err);
    pass = &p->back_data;
    km_pass_begin(pass, p->dn,
                  km_dn_norm_new(p->dn, (struct km_dn_step){.kind = KM_DN_BACK_DATA, .forward = p->forward.prim},
                                 p->src, d->node.epsilon, d->node.relu, err),
                  err);
    km_pass_in(pass, KM_DN_SRC, NULL, &op->args.src, err);
    km_pass_in(pass, KM_DN_MEAN, NULL, mean, err);
    km_pass_in(pass, KM_DN_VARIANCE, NULL, variance, err);
    km_pass_in(pass, KM_DN_DIFF_DST, p->dst, &op->args.diff_dst, err);
    km_pass_in(pass, KM_DN_SCALE, NULL, &op->args.values[KM_ROLE_WEIGHT], err);
    km_pass_in(pass, KM_DN_SHIFT, NULL, &op->args.values[KM_ROLE_BIAS], err); /* 2.6 refuses to run without it */
    if (op->saved_bytes)
        km_pass_in(pass, KM_DN_WORKSPACE, NULL, &op->args.saved, err);
    km_pass_out(pass, KM_DN_DIFF_SRC, p->src, d->inner_diff ? (const void *)&op->args.diff_src : &p->discard, err);
    km_pass_out(pass, KM_DN_DIFF_SCALE, NULL, &op->args.gradients[KM_ROLE_WEIGHT], err);
    km_pass_out(pass, KM_DN_DIFF_SHIFT, NULL, &op->args.gradients[KM_ROLE_BIAS], err);
    p->discard_offset_bytes = pass->scratch_bytes;
    if (!d->inner_diff)
        pass->scratch_bytes += km_op_align(km_dn_md_bytes(p->src));
    return pass->code;
}

static enum km_code pool_make(struct primitive_op *p, struct km_err *err)
{
    struct km_op *op = &p->base;
    const struct km_op_desc *d = &op->desc;
    bool average = d->node.kind == KM_NODE_AVGPOOL;
    struct km_dn_window window = {d->node.kernel, d->node.stride, d->node.padding};
    KM_CLEANUP(km_dn_md_cleanup)
    struct km_dn_md *any = km_activation_md(d->batch, d->node.shape, false, KM_DN_ANY, err);
    if (!any)
        return err->code;
    struct km_dn_orders orders = {.src = p->src, .dst = any};
    struct km_dn_step step = {.kind = d->training ? KM_DN_TRAIN : KM_DN_INFER};
    struct km_pass *pass = &p->forward;
    km_pass_begin(pass, p->dn, km_dn_pool_new(p->dn, step, average, &orders, window, err), err);
    if (pass->code != KM_OK)
        return pass->code;
    p->dst = km_dn_prim_md(pass->prim, KM_DN_DST, err);
    if (!p->dst)
        return err->code;
    km_pass_in(pass, KM_DN_SRC, NULL, &op->args.src, err);
    km_pass_out(pass, KM_DN_DST, NULL, &op->args.dst, err);
    op->saved_bytes = d->training ? km_dn_prim_bytes(pass->prim, KM_DN_WORKSPACE) : 0;
    if (op->saved_bytes)
        km_pass_out(pass, KM_DN_WORKSPACE, NULL, &op->args.saved, err);
    if (!d->training || !d->inner_diff)
        return pass->code;
    orders.dst = p->dst;
    pass = &p->back_data;
    km_pass_begin(pass, p->dn,
                  km_dn_pool_new(p->dn, (struct km_dn_step){.kind = KM_DN_BACK_DATA, .forward = p->forward.prim},
                                 average, &orders, window, err),
                  err);
    km_pass_in(pass, KM_DN_DIFF_DST, NULL, &op->args.diff_dst, err);
    if (op->saved_bytes)
        km_pass_in(pass, KM_DN_WORKSPACE, NULL, &op->args.saved, err);
    km_pass_out(pass, KM_DN_DIFF_SRC, NULL, &op->args.diff_src, err);
    return pass->code;
}

static size_t largest(size_t a, size_t b)
{
    return a > b ? a : b;
}

static struct km_op *primitive_new(struct km_dn *dn, const struct km_op_desc *desc, const struct km_layout *src,
                                   const struct km_layout *residual, struct km_err *err)
{
    struct primitive_op *p = km_calloc(1, sizeof *p, SIZE_MAX, err);
    if (!p)
        return NULL;
    p->base.class = &primitive_class;
    p->base.desc = *desc;
    p->dn = dn;
    bool flat = desc->node.kind == KM_NODE_LINEAR;
    enum km_code code = KM_OK;
    p->src =
        src ? km_dn_md_clone(km_layout_md(src), err) : km_activation_md(desc->batch, desc->in, flat, KM_DN_PLAIN, err);
    if (!p->src)
        code = err->code;
    else if (desc->node.kind == KM_NODE_NORM)
        code = norm_make(p, err);
    else if (desc->node.kind == KM_NODE_MAXPOOL || desc->node.kind == KM_NODE_AVGPOOL)
        code = pool_make(p, err);
    else
        code = matrix_make(p, desc->residual ? km_layout_md(residual) : NULL, err);
    if (code != KM_OK) {
        primitive_free(&p->base);
        return NULL;
    }
    p->base.dst_layout = km_md_layout(p->dst);
    p->base.dst_bytes = km_dn_md_bytes(p->dst);
    p->base.scratch_bytes =
        largest(p->forward.scratch_bytes, largest(p->back_data.scratch_bytes, p->back_weights.scratch_bytes));
    return &p->base;
}

static struct km_op *onednn_op_new(void *context, const struct km_op_desc *desc, const struct km_layout *src,
                                   const struct km_layout *residual, struct km_err *err)
{
    switch (desc->node.kind) {
    case KM_NODE_CONV:
    case KM_NODE_NORM:
    case KM_NODE_MAXPOOL:
    case KM_NODE_AVGPOOL:
    case KM_NODE_LINEAR:
        return primitive_new(context, desc, src, residual, err);
    case KM_NODE_RELU:
    case KM_NODE_ADD:
    case KM_NODE_MEAN:
    case KM_NODE_DROPOUT:
    case KM_NODE_STEM:
    case KM_NODE_IMAGE:
        break;
    }
    return km_handmade_new(context, desc, src, residual, err);
}

static bool is_matrix(const struct km_op *op, enum km_role role)
{
    return role == KM_ROLE_WEIGHT && (op->desc.node.kind == KM_NODE_CONV || op->desc.node.kind == KM_NODE_LINEAR);
}

static enum km_code reorder_once(struct primitive_op *p, bool import, const float *from, float *to, struct km_err *err)
{
    KM_CLEANUP(km_dn_prim_cleanup)
    struct km_dn_prim *reorder =
        km_dn_reorder_new(p->dn, import ? p->plain_weights : p->weights, import ? p->weights : p->plain_weights, err);
    if (!reorder)
        return err->code;
    enum km_code code = km_dn_prim_bind(reorder, KM_DN_SRC, from, err);
    if (code == KM_OK)
        code = km_dn_prim_bind(reorder, KM_DN_DST, to, err);
    return code == KM_OK ? km_dn_prim_run(reorder, err) : code;
}

static enum km_code onednn_import(struct km_op *op, enum km_role role, const float *plain, float *own,
                                  struct km_err *err)
{
    if (is_matrix(op, role))
        return reorder_once(primitive_of(op), true, plain, own, err);
    memcpy(own, plain, op->value_bytes[role]);
    return KM_OK;
}

static enum km_code onednn_export(struct km_op *op, enum km_role role, const float *own, float *plain,
                                  struct km_err *err)
{
    if (is_matrix(op, role))
        return reorder_once(primitive_of(op), false, own, plain, err);
    memcpy(plain, own, op->value_bytes[role]);
    return KM_OK;
}

static bool onednn_same_weights(const struct km_op *a, const struct km_op *b)
{
    if (!is_matrix(a, KM_ROLE_WEIGHT) || !is_matrix(b, KM_ROLE_WEIGHT))
        return a->value_bytes[KM_ROLE_WEIGHT] == b->value_bytes[KM_ROLE_WEIGHT];
    return km_dn_md_equal(((const struct primitive_op *)(const void *)a)->weights,
                          ((const struct primitive_op *)(const void *)b)->weights);
}

static enum km_code onednn_open(void **out_context, struct km_err *err)
{
    struct km_dn *dn = km_dn_open(err);
    if (!dn)
        return err->code;
    *out_context = dn;
    return KM_OK;
}

static void onednn_close(void *context)
{
    km_dn_close(context);
}

const struct km_backend km_onednn_backend = {
    .name = "onednn",
    .open = onednn_open,
    .close = onednn_close,
    .op_new = onednn_op_new,
    .import = onednn_import,
    .export = onednn_export,
    .same_weights = onednn_same_weights,
    .plain_input = km_handmade_plain_input,
};
