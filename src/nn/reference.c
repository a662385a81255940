#include "nn/reference.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/op.h"
#include "nn/seeded.h"

/* One place of a batch of planes. */
struct at {
    uint32_t n, c, y, x;
};

static size_t index_of(struct km_shape shape, struct at at)
{
    return (((size_t)at.n * shape.channels + at.c) * shape.height + at.y) * shape.width + at.x;
}

static double dot(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static float activated(double value, bool relu)
{
    return relu && value < 0 ? 0 : (float)value;
}

/* The input place under kernel place (ky, kx) of output place (y, x), or false in the padding. */
static bool under(const struct km_op_desc *desc, struct at out, uint32_t k, struct at *in)
{
    const struct km_node *node = &desc->node;
    uint32_t y = out.y * node->stride + k / node->kernel, x = out.x * node->stride + k % node->kernel;
    if (y < node->padding || x < node->padding || y - node->padding >= desc->in.height ||
        x - node->padding >= desc->in.width)
        return false;
    *in = (struct at){out.n, in->c, y - node->padding, x - node->padding};
    return true;
}

/* Calls `visit` for each output place. */
static void each_place(const struct km_op *op, void (*visit)(const struct km_op *op, struct at out))
{
    struct km_shape shape = op->desc.node.shape;
    for (uint32_t n = 0; n < op->desc.batch; n++)
        for (uint32_t c = 0; c < shape.channels; c++)
            for (uint32_t y = 0; y < shape.height; y++)
                for (uint32_t x = 0; x < shape.width; x++)
                    visit(op, (struct at){n, c, y, x});
}

static void conv_place(const struct km_op *op, struct at out)
{
    const struct km_op_args *a = &op->args;
    const struct km_op_desc *d = &op->desc;
    size_t places = (size_t)d->node.kernel * d->node.kernel;
    const float *weight = a->values[KM_ROLE_WEIGHT] + (size_t)out.c * d->in.channels * places;
    double sum = d->node.bias ? (double)a->values[KM_ROLE_BIAS][out.c] : 0;
    for (struct at in = {0}; in.c < d->in.channels; in.c++)
        for (uint32_t k = 0; k < (uint32_t)places; k++)
            if (under(d, out, k, &in))
                sum += (double)weight[in.c * places + k] * (double)a->src[index_of(d->in, in)];
    size_t i = index_of(d->node.shape, out);
    if (d->residual)
        sum += (double)a->residual[i];
    a->dst[i] = activated(sum, d->node.relu);
}

static void conv_place_back(const struct km_op *op, struct at out)
{
    const struct km_op_args *a = &op->args;
    const struct km_op_desc *d = &op->desc;
    size_t places = (size_t)d->node.kernel * d->node.kernel;
    size_t first = (size_t)out.c * d->in.channels * places;
    float diff = a->diff_dst[index_of(d->node.shape, out)];
    if (d->node.bias)
        a->gradients[KM_ROLE_BIAS][out.c] += diff;
    for (struct at in = {0}; in.c < d->in.channels; in.c++)
        for (uint32_t k = 0; k < (uint32_t)places; k++) {
            if (!under(d, out, k, &in))
                continue;
            size_t w = first + in.c * places + k, i = index_of(d->in, in);
            a->gradients[KM_ROLE_WEIGHT][w] += diff * a->src[i];
            if (d->inner_diff)
                a->diff_src[i] += diff * a->values[KM_ROLE_WEIGHT][w];
        }
}

static void clear_gradients(const struct km_op *op)
{
    for (int role = 0; role < KM_ROLE_COUNT; role++)
        if (role <= KM_ROLE_BIAS && op->args.gradients[role])
            memset(op->args.gradients[role], 0, op->value_bytes[role]);
    if (op->args.diff_src)
        memset(op->args.diff_src, 0, km_op_plain_bytes(op->desc.batch, op->desc.in));
}

static void max_place(const struct km_op *op, struct at out)
{
    const struct km_op_desc *d = &op->desc;
    uint32_t *winner = op->args.saved;
    double best = -INFINITY;
    struct at in = {.c = out.c};
    size_t i = index_of(d->node.shape, out);
    for (uint32_t k = 0; k < d->node.kernel * d->node.kernel; k++)
        if (under(d, out, k, &in) && (double)op->args.src[index_of(d->in, in)] > best) {
            best = (double)op->args.src[index_of(d->in, in)];
            if (winner)
                winner[i] = k;
        }
    op->args.dst[i] = (float)best;
}

static void max_place_back(const struct km_op *op, struct at out)
{
    const uint32_t *winner = op->args.saved;
    struct at in = {.c = out.c};
    size_t i = index_of(op->desc.node.shape, out);
    if (under(&op->desc, out, winner[i], &in))
        op->args.diff_src[index_of(op->desc.in, in)] += op->args.diff_dst[i];
}

static void average_place(const struct km_op *op, struct at out)
{
    const struct km_op_desc *d = &op->desc;
    size_t places = (size_t)d->node.kernel * d->node.kernel;
    struct at in = {.c = out.c};
    double sum = 0;
    for (uint32_t k = 0; k < (uint32_t)places; k++)
        if (under(d, out, k, &in))
            sum += (double)op->args.src[index_of(d->in, in)];
    op->args.dst[index_of(d->node.shape, out)] = (float)(sum / (double)places);
}

static void average_place_back(const struct km_op *op, struct at out)
{
    const struct km_op_desc *d = &op->desc;
    size_t places = (size_t)d->node.kernel * d->node.kernel;
    struct at in = {.c = out.c};
    for (uint32_t k = 0; k < (uint32_t)places; k++)
        if (under(d, out, k, &in))
            op->args.diff_src[index_of(d->in, in)] += op->args.diff_dst[index_of(d->node.shape, out)] / (float)places;
}

/* Mean and variance of channel c: of the batch in training, else the running ones. */
static void norm_statistics(const struct km_op *op, uint32_t c, double *mean, double *variance)
{
    const struct km_op_desc *d = &op->desc;
    size_t plane = (size_t)d->in.height * d->in.width, stride = plane * d->in.channels;
    *mean = d->training ? 0 : (double)op->args.values[KM_ROLE_MEAN][c];
    *variance = d->training ? 0 : (double)op->args.values[KM_ROLE_VARIANCE][c];
    if (!d->training)
        return;
    double count = (double)plane * d->batch;
    for (uint32_t n = 0; n < d->batch; n++)
        for (size_t i = 0; i < plane; i++)
            *mean += (double)op->args.src[n * stride + c * plane + i] / count;
    for (uint32_t n = 0; n < d->batch; n++)
        for (size_t i = 0; i < plane; i++) {
            double off = (double)op->args.src[n * stride + c * plane + i] - *mean;
            *variance += off * off / count;
        }
}

static void norm_forward(const struct km_op *op)
{
    const struct km_op_desc *d = &op->desc;
    size_t plane = (size_t)d->in.height * d->in.width;
    for (uint32_t c = 0; c < d->in.channels; c++) {
        double mean, variance;
        norm_statistics(op, c, &mean, &variance);
        if (d->training) {
            op->args.gradients[KM_ROLE_MEAN][c] = (float)mean;
            op->args.gradients[KM_ROLE_VARIANCE][c] = (float)variance;
        }
        double scale = (double)op->args.values[KM_ROLE_WEIGHT][c] / sqrt(variance + (double)d->node.epsilon);
        for (uint32_t n = 0; n < d->batch; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * d->in.channels + c) * plane + i;
                double value = ((double)op->args.src[at] - mean) * scale + (double)op->args.values[KM_ROLE_BIAS][c];
                op->args.dst[at] = activated(value, d->node.relu);
            }
    }
}

static double norm_diff(const struct km_op *op, size_t at)
{
    return op->desc.node.relu && !(op->args.dst[at] > 0) ? 0 : (double)op->args.diff_dst[at];
}

static void norm_backward(const struct km_op *op)
{
    const struct km_op_desc *d = &op->desc;
    size_t plane = (size_t)d->in.height * d->in.width;
    double count = (double)plane * d->batch;
    for (uint32_t c = 0; c < d->in.channels; c++) {
        double mean, variance, sum = 0, sum_by = 0;
        norm_statistics(op, c, &mean, &variance);
        double inverse = 1 / sqrt(variance + (double)d->node.epsilon);
        for (uint32_t n = 0; n < d->batch; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * d->in.channels + c) * plane + i;
                sum += norm_diff(op, at);
                sum_by += norm_diff(op, at) * ((double)op->args.src[at] - mean) * inverse;
            }
        op->args.gradients[KM_ROLE_WEIGHT][c] = (float)sum_by;
        op->args.gradients[KM_ROLE_BIAS][c] = (float)sum;
        for (uint32_t n = 0; op->args.diff_src && n < d->batch; n++)
            for (size_t i = 0; i < plane; i++) {
                size_t at = ((size_t)n * d->in.channels + c) * plane + i;
                double unit = ((double)op->args.src[at] - mean) * inverse;
                double inner = norm_diff(op, at) - sum / count - unit * sum_by / count;
                op->args.diff_src[at] = (float)((double)op->args.values[KM_ROLE_WEIGHT][c] * inverse * inner);
            }
    }
}

static void mean_forward(const struct km_op *op)
{
    size_t plane = (size_t)op->desc.in.height * op->desc.in.width;
    for (uint32_t n = 0; n < op->desc.batch; n++) {
        double cells = 0;
        for (size_t i = 0; i < plane; i++)
            cells += op->args.valid ? (double)op->args.valid[n * plane + i] : 1;
        for (uint32_t c = 0; c < op->desc.in.channels; c++) {
            size_t row = (size_t)n * op->desc.in.channels + c;
            double sum = 0;
            for (size_t i = 0; i < plane; i++)
                sum += (double)op->args.src[row * plane + i] *
                       (op->args.valid ? (double)op->args.valid[n * plane + i] : 1);
            op->args.dst[row] = cells > 0 ? (float)(sum / cells) : 0;
        }
    }
}

static void mean_backward(const struct km_op *op)
{
    size_t plane = (size_t)op->desc.in.height * op->desc.in.width;
    for (uint32_t n = 0; n < op->desc.batch; n++) {
        double cells = 0;
        for (size_t i = 0; i < plane; i++)
            cells += op->args.valid ? (double)op->args.valid[n * plane + i] : 1;
        for (uint32_t c = 0; c < op->desc.in.channels; c++) {
            size_t row = (size_t)n * op->desc.in.channels + c;
            for (size_t i = 0; i < plane; i++) {
                double valid = op->args.valid ? (double)op->args.valid[n * plane + i] : 1;
                op->args.diff_src[row * plane + i] =
                    cells > 0 ? (float)((double)op->args.diff_dst[row] * valid / cells) : 0;
            }
        }
    }
}

static void linear_forward(const struct km_op *op)
{
    uint32_t inputs = op->desc.in.channels, outputs = op->desc.node.shape.channels;
    for (uint32_t n = 0; n < op->desc.batch; n++)
        for (uint32_t o = 0; o < outputs; o++)
            op->args.dst[(size_t)n * outputs + o] =
                (float)((double)op->args.values[KM_ROLE_BIAS][o] +
                        dot(op->args.src + (size_t)n * inputs, op->args.values[KM_ROLE_WEIGHT] + (size_t)o * inputs,
                            inputs));
}

static void linear_backward(const struct km_op *op)
{
    uint32_t inputs = op->desc.in.channels, outputs = op->desc.node.shape.channels;
    for (uint32_t n = 0; n < op->desc.batch; n++)
        for (uint32_t o = 0; o < outputs; o++) {
            float diff = op->args.diff_dst[(size_t)n * outputs + o];
            op->args.gradients[KM_ROLE_BIAS][o] += diff;
            for (uint32_t i = 0; i < inputs; i++) {
                op->args.gradients[KM_ROLE_WEIGHT][(size_t)o * inputs + i] +=
                    diff * op->args.src[(size_t)n * inputs + i];
                if (op->desc.inner_diff)
                    op->args.diff_src[(size_t)n * inputs + i] +=
                        diff * op->args.values[KM_ROLE_WEIGHT][(size_t)o * inputs + i];
            }
        }
}

static float kept(const struct km_op *op, size_t i)
{
    struct km_seeded random = km_seeded_of(*op->args.noise, i);
    return km_seeded_unit(&random) < (double)op->desc.node.rate ? 0 : 1 / (1 - op->desc.node.rate);
}

static void elements_forward(const struct km_op *op)
{
    size_t count = op->dst_bytes / sizeof(float);
    for (size_t i = 0; i < count; i++) {
        float value = op->args.src[i];
        if (op->desc.node.kind == KM_NODE_ADD)
            value = activated((double)value + (double)op->args.residual[i], op->desc.node.relu);
        else if (op->desc.node.kind == KM_NODE_RELU)
            value = activated((double)value, true);
        else if (op->desc.training)
            value *= kept(op, i);
        op->args.dst[i] = value;
    }
}

static void elements_backward(const struct km_op *op)
{
    size_t count = op->dst_bytes / sizeof(float);
    bool relu = op->desc.node.kind == KM_NODE_RELU || op->desc.node.relu;
    for (size_t i = 0; i < count; i++) {
        float diff = op->args.diff_dst[i];
        if (op->desc.node.kind == KM_NODE_DROPOUT)
            diff *= kept(op, i);
        else if (relu && !(op->args.dst[i] > 0))
            diff = 0;
        if (op->args.diff_src)
            op->args.diff_src[i] = diff;
        if (op->args.diff_residual)
            op->args.diff_residual[i] = diff;
    }
}

/* What row `row` of a stem adds to a channel; COLOUR multiplies out the convolution. */
static double stem_term(const struct km_op *op, uint32_t row, uint32_t channel)
{
    const float *weight = op->args.values[KM_ROLE_WEIGHT];
    if (op->desc.node.stem != KM_STEM_COLOUR)
        return (double)weight[(size_t)row * KM_STEM_CHANNELS + channel];
    double sum = 0;
    for (uint32_t c = 0; c < 3; c++)
        sum += (double)weight[((size_t)channel * 3 + c) * KM_STEM_CELL_BYTES + row / KM_STEM_SYMBOLS] *
               (double)op->desc.node.colours[(size_t)(row % KM_STEM_SYMBOLS) * 3 + c];
    return sum;
}

static void stem_term_back(const struct km_op *op, uint32_t row, uint32_t channel, float diff)
{
    float *gradient = op->args.gradients[KM_ROLE_WEIGHT];
    if (op->desc.node.stem != KM_STEM_COLOUR) {
        gradient[(size_t)row * KM_STEM_CHANNELS + channel] += diff;
        return;
    }
    for (uint32_t c = 0; c < 3; c++)
        gradient[((size_t)channel * 3 + c) * KM_STEM_CELL_BYTES + row / KM_STEM_SYMBOLS] +=
            diff * op->desc.node.colours[(size_t)(row % KM_STEM_SYMBOLS) * 3 + c];
}

/* One channel of one cell, forward or back. */
static void stem_channel(const struct km_op *op, const uint32_t *rows, uint32_t channel, size_t at, bool back)
{
    const struct km_node *node = &op->desc.node;
    double sum = node->bias && !back ? (double)op->args.values[KM_ROLE_BIAS][channel] : 0;
    for (uint32_t i = 0; i < KM_STEM_CELL_BYTES; i++) {
        if (rows[i] == KM_STEM_NO_ROW)
            continue;
        if (back)
            stem_term_back(op, rows[i], channel, op->args.diff_dst[at]);
        else
            sum += stem_term(op, rows[i], channel);
    }
    if (!back)
        op->args.dst[at] = activated(sum, node->relu);
}

static void stem_pass(const struct km_op *op, bool back)
{
    const struct km_node *node = &op->desc.node;
    size_t cells = (size_t)node->shape.height * node->shape.width;
    for (uint32_t n = 0; n < op->desc.batch; n++)
        for (uint32_t cell = 0; cell < cells; cell++) {
            uint32_t rows[KM_STEM_CELL_BYTES], place;
            km_stem_rows(node->stem, node->order, &op->args.squares[n], cell, rows, &place);
            for (uint32_t c = 0; c < KM_STEM_CHANNELS; c++)
                stem_channel(op, rows, c, ((size_t)n * KM_STEM_CHANNELS + c) * cells + place, back);
        }
}

static enum km_code reference_forward(struct km_op *op, struct km_err *err)
{
    (void)err;
    switch (op->desc.node.kind) {
    case KM_NODE_CONV:
        each_place(op, conv_place);
        break;
    case KM_NODE_MAXPOOL:
        each_place(op, max_place);
        break;
    case KM_NODE_AVGPOOL:
        each_place(op, average_place);
        break;
    case KM_NODE_NORM:
        norm_forward(op);
        break;
    case KM_NODE_MEAN:
        mean_forward(op);
        break;
    case KM_NODE_LINEAR:
        linear_forward(op);
        break;
    case KM_NODE_RELU:
    case KM_NODE_ADD:
    case KM_NODE_DROPOUT:
        elements_forward(op);
        break;
    case KM_NODE_STEM:
        stem_pass(op, false);
        break;
    case KM_NODE_IMAGE:
        break;
    }
    return KM_OK;
}

static enum km_code reference_backward(struct km_op *op, struct km_err *err)
{
    (void)err;
    clear_gradients(op);
    switch (op->desc.node.kind) {
    case KM_NODE_CONV:
        each_place(op, conv_place_back);
        break;
    case KM_NODE_MAXPOOL:
        each_place(op, max_place_back);
        break;
    case KM_NODE_AVGPOOL:
        each_place(op, average_place_back);
        break;
    case KM_NODE_NORM:
        norm_backward(op);
        break;
    case KM_NODE_MEAN:
        mean_backward(op);
        break;
    case KM_NODE_LINEAR:
        linear_backward(op);
        break;
    case KM_NODE_RELU:
    case KM_NODE_ADD:
    case KM_NODE_DROPOUT:
        elements_backward(op);
        break;
    case KM_NODE_STEM:
        stem_pass(op, true);
        break;
    case KM_NODE_IMAGE:
        break;
    }
    return KM_OK;
}

static enum km_code reference_bind(struct km_op *op, struct km_err *err)
{
    (void)op;
    (void)err;
    return KM_OK;
}

static void reference_free(struct km_op *op)
{
    free(op);
}

static const struct km_op_class reference_class = {reference_bind, reference_forward, reference_backward,
                                                   reference_free};

static enum km_code reference_open(void **out_context, struct km_err *err)
{
    (void)err;
    *out_context = NULL;
    return KM_OK;
}

static void reference_close(void *context)
{
    (void)context;
}

static struct km_op *reference_op_new(void *context, const struct km_op_desc *desc, const struct km_layout *src,
                                      const struct km_layout *residual, struct km_err *err)
{
    (void)context, (void)src, (void)residual;
    struct km_op *op = km_calloc(1, sizeof *op, SIZE_MAX, err);
    if (!op)
        return NULL;
    op->class = &reference_class;
    op->desc = *desc;
    op->dst_bytes = km_op_plain_bytes(desc->batch, desc->node.shape);
    if (desc->node.kind == KM_NODE_MAXPOOL && desc->training)
        op->saved_bytes = op->dst_bytes; /* a winner, uint32_t, for each float */
    for (int role = 0; role < KM_ROLE_COUNT; role++) {
        struct km_tensor tensor;
        if (km_weights_shape(&desc->node, desc->in.channels, (enum km_role)role, &tensor))
            op->value_bytes[role] = tensor.floats * sizeof(float);
    }
    return op;
}

static enum km_code reference_copy(struct km_op *op, enum km_role role, const float *from, float *to,
                                   struct km_err *err)
{
    (void)err;
    memcpy(to, from, op->value_bytes[role]);
    return KM_OK;
}

static bool reference_same(const struct km_op *a, const struct km_op *b)
{
    return a->value_bytes[KM_ROLE_WEIGHT] == b->value_bytes[KM_ROLE_WEIGHT];
}

static const float *reference_plain_input(const struct km_op *mean)
{
    return mean->args.src;
}

const struct km_backend km_reference_backend = {
    .name = "reference",
    .open = reference_open,
    .close = reference_close,
    .op_new = reference_op_new,
    .import = reference_copy,
    .export = reference_copy,
    .same_weights = reference_same,
    .plain_input = reference_plain_input,
};
