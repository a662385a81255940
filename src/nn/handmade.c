#include "nn/handmade.h"

#include <stdlib.h>
#include <string.h>

#include "nn/dnpass.h"
#include "nn/seeded.h"

struct handmade_op {
    struct km_op base; /* first: the two are one address */
    struct km_dn *dn;
    struct km_dn_md *src, *dst, *plain; /* ADD: plain is the order of a residual that differs, or NULL */
    struct km_dn_prim *src_reorder,
        *diff_reorder; /* MEAN: src to plain and back; ADD: the residual and its difference */
    struct km_stem_layout stem;
    const float *plain_src; /* MEAN */
};

static struct handmade_op *handmade_of(struct km_op *op)
{
    return (struct handmade_op *)(void *)op;
}

static void handmade_free(struct km_op *op)
{
    struct handmade_op *h = handmade_of(op);
    km_dn_prim_free(h->src_reorder);
    km_dn_prim_free(h->diff_reorder);
    km_dn_md_free(h->src);
    km_dn_md_free(h->dst);
    km_dn_md_free(h->plain);
    free(h);
}

static enum km_code bind_nothing(struct km_op *op, struct km_err *err)
{
    (void)op, (void)err;
    return KM_OK;
}

/* from -> to, as a primitive with both buffers bound. */
static struct km_dn_prim *bound_reorder(struct km_dn *dn, const struct km_dn_md *from, const float *from_buffer,
                                        const struct km_dn_md *to, const float *to_buffer, struct km_err *err)
{
    KM_CLEANUP(km_dn_prim_cleanup) struct km_dn_prim *reorder = km_dn_reorder_new(dn, from, to, err);
    if (!reorder || km_dn_prim_bind(reorder, KM_DN_SRC, from_buffer, err) != KM_OK ||
        km_dn_prim_bind(reorder, KM_DN_DST, to_buffer, err) != KM_OK)
        return NULL;
    return km_steal(reorder);
}

static size_t elements(const struct km_op *op)
{
    return op->dst_bytes / sizeof(float); /* padding of blocked orders is 0 and stays 0 */
}

static enum km_code relu_forward(struct km_op *op, struct km_err *err)
{
    (void)err;
    const float *restrict src = op->args.src;
    float *restrict dst = op->args.dst;
    for (size_t i = 0, n = elements(op); i < n; i++)
        dst[i] = src[i] > 0 ? src[i] : 0;
    return KM_OK;
}

static enum km_code relu_backward(struct km_op *op, struct km_err *err)
{
    (void)err;
    const float *restrict dst = op->args.dst, *restrict diff = op->args.diff_dst;
    float *restrict out = op->args.diff_src;
    for (size_t i = 0, n = out ? elements(op) : 0; i < n; i++)
        out[i] = dst[i] > 0 ? diff[i] : 0;
    return KM_OK;
}

static enum km_code add_bind(struct km_op *op, struct km_err *err)
{
    struct handmade_op *h = handmade_of(op);
    if (!h->plain) /* one order for both */
        return KM_OK;
    h->src_reorder = bound_reorder(h->dn, h->plain, op->args.residual, h->dst, op->args.scratch, err);
    if (!h->src_reorder)
        return err->code;
    if (op->args.diff_residual) {
        h->diff_reorder = bound_reorder(h->dn, h->dst, op->args.scratch, h->plain, op->args.diff_residual, err);
        if (!h->diff_reorder)
            return err->code;
    }
    return KM_OK;
}

static enum km_code add_forward(struct km_op *op, struct km_err *err)
{
    struct handmade_op *h = handmade_of(op);
    if (h->src_reorder && km_dn_prim_run(h->src_reorder, err) != KM_OK)
        return err->code;
    const float *restrict a = op->args.src, *restrict b = h->src_reorder ? op->args.scratch : op->args.residual;
    float *restrict dst = op->args.dst;
    size_t n = elements(op);
    if (op->desc.node.relu)
        for (size_t i = 0; i < n; i++)
            dst[i] = a[i] + b[i] > 0 ? a[i] + b[i] : 0;
    else
        for (size_t i = 0; i < n; i++)
            dst[i] = a[i] + b[i];
    return KM_OK;
}

static enum km_code add_backward(struct km_op *op, struct km_err *err)
{
    struct handmade_op *h = handmade_of(op);
    const float *restrict dst = op->args.dst, *restrict diff = op->args.diff_dst;
    float *outs[] = {op->args.diff_src, h->diff_reorder ? op->args.scratch : op->args.diff_residual};
    for (int k = 0; k < 2; k++) {
        float *restrict out = outs[k];
        if (!out)
            continue;
        if (op->desc.node.relu)
            for (size_t i = 0, n = elements(op); i < n; i++)
                out[i] = dst[i] > 0 ? diff[i] : 0;
        else
            memcpy(out, diff, op->dst_bytes);
    }
    return h->diff_reorder ? km_dn_prim_run(h->diff_reorder, err) : KM_OK;
}

/* Stateless: the backward pass draws the same numbers again. */
static void dropped(const struct km_op *op, const float *from, float *to)
{
    float factor = 1 / (1 - op->desc.node.rate);
    for (size_t i = 0, n = elements(op); i < n; i++) {
        struct km_seeded random = km_seeded_of(*op->args.noise, i);
        to[i] = km_seeded_unit(&random) < (double)op->desc.node.rate ? 0 : from[i] * factor;
    }
}

static enum km_code dropout_forward(struct km_op *op, struct km_err *err)
{
    (void)err;
    if (op->desc.training)
        dropped(op, op->args.src, op->args.dst);
    else
        memcpy(op->args.dst, op->args.src, op->dst_bytes);
    return KM_OK;
}

static enum km_code dropout_backward(struct km_op *op, struct km_err *err)
{
    (void)err;
    if (op->args.diff_src)
        dropped(op, op->args.diff_dst, op->args.diff_src);
    return KM_OK;
}

static enum km_code mean_bind(struct km_op *op, struct km_err *err)
{
    struct handmade_op *h = handmade_of(op);
    h->plain_src = op->args.src;
    if (km_dn_md_equal(h->src, h->plain))
        return KM_OK;
    h->plain_src = op->args.saved;
    h->src_reorder = bound_reorder(h->dn, h->src, op->args.src, h->plain, op->args.saved, err);
    if (!h->src_reorder)
        return err->code;
    if (op->args.diff_src) {
        h->diff_reorder = bound_reorder(h->dn, h->plain, op->args.scratch, h->src, op->args.diff_src, err);
        if (!h->diff_reorder)
            return err->code;
    }
    return KM_OK;
}

static float valid_cells(const struct km_op *op, uint32_t n, size_t plane)
{
    if (!op->args.valid)
        return (float)plane;
    float count = 0;
    for (size_t i = 0; i < plane; i++)
        count += op->args.valid[n * plane + i];
    return count;
}

static enum km_code mean_forward(struct km_op *op, struct km_err *err)
{
    struct handmade_op *h = handmade_of(op);
    if (h->src_reorder && km_dn_prim_run(h->src_reorder, err) != KM_OK)
        return err->code;
    size_t plane = (size_t)op->desc.in.height * op->desc.in.width;
    for (uint32_t n = 0; n < op->desc.batch; n++) {
        const float *valid = op->args.valid ? op->args.valid + n * plane : NULL;
        float count = valid_cells(op, n, plane);
        for (uint32_t c = 0; c < op->desc.in.channels; c++) {
            size_t row = (size_t)n * op->desc.in.channels + c;
            const float *src = h->plain_src + row * plane;
            float sum = 0;
            for (size_t i = 0; i < plane; i++)
                sum += valid ? src[i] * valid[i] : src[i];
            op->args.dst[row] = count > 0 ? sum / count : 0;
        }
    }
    return KM_OK;
}

static enum km_code mean_backward(struct km_op *op, struct km_err *err)
{
    struct handmade_op *h = handmade_of(op);
    if (!op->args.diff_src)
        return KM_OK;
    float *out = h->diff_reorder ? op->args.scratch : op->args.diff_src;
    size_t plane = (size_t)op->desc.in.height * op->desc.in.width;
    for (uint32_t n = 0; n < op->desc.batch; n++) {
        const float *valid = op->args.valid ? op->args.valid + n * plane : NULL;
        float count = valid_cells(op, n, plane);
        for (uint32_t c = 0; c < op->desc.in.channels; c++) {
            size_t row = (size_t)n * op->desc.in.channels + c;
            float share = count > 0 ? op->args.diff_dst[row] / count : 0;
            for (size_t i = 0; i < plane; i++)
                out[row * plane + i] = valid ? share * valid[i] : share;
        }
    }
    return h->diff_reorder ? km_dn_prim_run(h->diff_reorder, err) : KM_OK;
}

static struct km_stem_sums sums_of(const struct km_op *op, const float *table)
{
    const struct km_node *node = &op->desc.node;
    return (struct km_stem_sums){
        .kind = node->stem,
        .order = node->order,
        .layout = handmade_of((struct km_op *)(uintptr_t)op)->stem,
        .table = table,
        .bias = node->bias ? op->args.values[KM_ROLE_BIAS] : NULL,
        .relu = node->relu,
    };
}

static enum km_code stem_forward(struct km_op *op, struct km_err *err)
{
    (void)err;
    const float *table = op->args.values[KM_ROLE_WEIGHT];
    if (op->desc.node.stem == KM_STEM_COLOUR) { /* in training the weights change with every step */
        km_stem_colours_fold(table, op->desc.node.colours, op->args.scratch);
        table = op->args.scratch;
    }
    struct km_stem_sums sums = sums_of(op, table);
    size_t floats = km_shape_floats(op->desc.node.shape);
    for (uint32_t n = 0; n < op->desc.batch; n++)
        km_stem_forward(&sums, &op->args.squares[n], op->args.dst + n * floats);
    return KM_OK;
}

static enum km_code stem_backward(struct km_op *op, struct km_err *err)
{
    (void)err;
    bool colours = op->desc.node.stem == KM_STEM_COLOUR;
    float *gradient = op->args.gradients[KM_ROLE_WEIGHT], *table = colours ? op->args.scratch : gradient;
    memset(table, 0, colours ? op->scratch_bytes : op->value_bytes[KM_ROLE_WEIGHT]);
    struct km_stem_sums sums = sums_of(op, NULL);
    size_t floats = km_shape_floats(op->desc.node.shape);
    for (uint32_t n = 0; n < op->desc.batch; n++)
        km_stem_backward(&sums, &op->args.squares[n], op->args.diff_dst + n * floats, table);
    if (colours)
        km_stem_colours_unfold(table, op->desc.node.colours, gradient);
    return KM_OK;
}

static const struct km_op_class relu_class = {bind_nothing, relu_forward, relu_backward, handmade_free};
static const struct km_op_class add_class = {add_bind, add_forward, add_backward, handmade_free};
static const struct km_op_class dropout_class = {bind_nothing, dropout_forward, dropout_backward, handmade_free};
static const struct km_op_class mean_class = {mean_bind, mean_forward, mean_backward, handmade_free};
static const struct km_op_class stem_class = {bind_nothing, stem_forward, stem_backward, handmade_free};

/* The order that a convolution of the light trunk likes to read on this machine, if the stem can write it. */
static enum km_code stem_order_find(struct handmade_op *h, struct km_err *err)
{
    const struct km_op_desc *d = &h->base.desc;
    uint32_t side = d->node.shape.height;
    struct km_shape after = {32, (side + 1) / 2, (side + 1) / 2};
    const uint64_t weight_dims[] = {32, KM_STEM_CHANNELS, 3, 3};
    KM_CLEANUP(km_dn_md_cleanup)
    struct km_dn_md *src = km_activation_md(d->batch, d->node.shape, false, KM_DN_ANY, err);
    KM_CLEANUP(km_dn_md_cleanup)
    struct km_dn_md *dst = src ? km_activation_md(d->batch, after, false, KM_DN_ANY, err) : NULL;
    KM_CLEANUP(km_dn_md_cleanup) struct km_dn_md *weights = dst ? km_dn_md_new(4, weight_dims, KM_DN_ANY, err) : NULL;
    if (!weights)
        return err->code;
    struct km_dn_orders orders = {src, weights, NULL, dst};
    struct km_dn_step step = {.kind = d->training ? KM_DN_TRAIN : KM_DN_INFER};
    KM_CLEANUP(km_dn_prim_cleanup)
    struct km_dn_prim *probe =
        km_dn_conv_new(h->dn, step, &orders, (struct km_dn_window){3, 2, 1}, (struct km_dn_fused){false, false}, err);
    KM_CLEANUP(km_dn_md_cleanup) struct km_dn_md *liked = probe ? km_dn_prim_md(probe, KM_DN_SRC, err) : NULL;
    if (!liked)
        return err->code;
    KM_CLEANUP(km_dn_md_cleanup)
    struct km_dn_md *blocked8 = km_activation_md(d->batch, d->node.shape, false, KM_DN_BLOCKED8, err);
    if (!blocked8)
        return err->code;
    bool eights = km_dn_md_equal(liked, blocked8);
    KM_CLEANUP(km_dn_md_cleanup)
    struct km_dn_md *blocked16 = km_activation_md(d->batch, d->node.shape, false, KM_DN_BLOCKED16, err);
    if (!blocked16)
        return err->code;
    enum km_dn_order order = eights                             ? KM_DN_BLOCKED8
                             : km_dn_md_equal(liked, blocked16) ? KM_DN_BLOCKED16
                                                                : KM_DN_CHANNELS;
    size_t plane = (size_t)side * side;
    /* with 16 channels, blocks of 16 and channels last are one order in memory */
    h->stem = eights ? (struct km_stem_layout){8, plane * 8} : (struct km_stem_layout){KM_STEM_CHANNELS, 8};
    h->dst = km_activation_md(d->batch, d->node.shape, false, order, err);
    return h->dst ? KM_OK : err->code;
}

static enum km_code stem_make(struct handmade_op *h, struct km_err *err)
{
    struct km_op *op = &h->base;
    struct km_tensor weight;
    KM_ASSERT(km_weights_shape(&op->desc.node, 0, KM_ROLE_WEIGHT, &weight));
    op->class = &stem_class;
    op->value_bytes[KM_ROLE_WEIGHT] = weight.floats * sizeof(float);
    op->value_bytes[KM_ROLE_BIAS] = op->desc.node.bias ? KM_STEM_CHANNELS * sizeof(float) : 0;
    if (op->desc.node.stem == KM_STEM_COLOUR)
        op->scratch_bytes = (size_t)KM_STEM_BYTE_ROWS * KM_STEM_CHANNELS * sizeof(float);
    return stem_order_find(h, err);
}

static enum km_code mean_make(struct handmade_op *h, const struct km_layout *src, struct km_err *err)
{
    struct km_op *op = &h->base;
    const struct km_op_desc *d = &op->desc;
    op->class = &mean_class;
    h->plain = km_activation_md(d->batch, d->in, false, KM_DN_PLAIN, err);
    if (!h->plain)
        return err->code;
    h->src = km_dn_md_clone(src ? km_layout_md(src) : h->plain, err);
    h->dst = h->src ? km_activation_md(d->batch, d->node.shape, true, KM_DN_PLAIN, err) : NULL;
    if (!h->dst)
        return err->code;
    bool same = km_dn_md_equal(h->src, h->plain);
    op->saved_bytes = same ? 0 : km_dn_md_bytes(h->plain);
    op->scratch_bytes = same || !d->training ? 0 : km_dn_md_bytes(h->plain);
    return KM_OK;
}

static enum km_code elementwise_make(struct handmade_op *h, const struct km_layout *src,
                                     const struct km_layout *residual, struct km_err *err)
{
    struct km_op *op = &h->base;
    const struct km_op_desc *d = &op->desc;
    op->class = d->node.kind == KM_NODE_ADD ? &add_class : d->node.kind == KM_NODE_RELU ? &relu_class : &dropout_class;
    h->dst = src ? km_dn_md_clone(km_layout_md(src), err) : km_activation_md(d->batch, d->in, false, KM_DN_PLAIN, err);
    if (!h->dst || d->node.kind != KM_NODE_ADD)
        return h->dst ? KM_OK : err->code;
    KM_CLEANUP(km_dn_md_cleanup)
    struct km_dn_md *other = residual ? km_dn_md_clone(km_layout_md(residual), err)
                                      : km_activation_md(d->batch, d->in, false, KM_DN_PLAIN, err);
    if (!other)
        return err->code;
    if (!km_dn_md_equal(other, h->dst)) {
        op->scratch_bytes = km_dn_md_bytes(h->dst);
        h->plain = km_steal(other); /* the residual's own order, whichever it is */
    }
    return KM_OK;
}

struct km_op *km_handmade_new(struct km_dn *dn, const struct km_op_desc *desc, const struct km_layout *src,
                              const struct km_layout *residual, struct km_err *err)
{
    struct handmade_op *h = km_calloc(1, sizeof *h, SIZE_MAX, err);
    if (!h)
        return NULL;
    h->dn = dn;
    h->base.desc = *desc;
    enum km_code code;
    if (desc->node.kind == KM_NODE_STEM)
        code = stem_make(h, err);
    else if (desc->node.kind == KM_NODE_MEAN)
        code = mean_make(h, src, err);
    else
        code = elementwise_make(h, src, residual, err);
    if (code != KM_OK) {
        handmade_free(&h->base);
        return NULL;
    }
    h->base.dst_layout = km_md_layout(h->dst);
    h->base.dst_bytes = km_dn_md_bytes(h->dst);
    return &h->base;
}

const float *km_handmade_plain_input(const struct km_op *mean)
{
    return ((const struct handmade_op *)(const void *)mean)->plain_src;
}
