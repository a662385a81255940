#include "nn/dn.h"

#include <dnnl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* libgomp's; declared here because clang's include folders have no omp.h. */
extern void omp_set_num_threads(int threads);

#define MAX_ARGS 12

struct km_dn {
    dnnl_engine_t engine;
    dnnl_stream_t stream;
};

/* 3.x: a handle to destroy. 2.x: a plain struct. */
#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t md_value;
typedef const_dnnl_memory_desc_t md_ref;
#define REF(md) ((md)->value)
#else
typedef dnnl_memory_desc_t md_value;
typedef const dnnl_memory_desc_t *md_ref;
#define REF(md) (&(md)->value)
#endif

struct km_dn_md {
    md_value value;
};

struct km_dn_prim {
    struct km_dn *dn;
    dnnl_primitive_desc_t desc;
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[MAX_ARGS];
    int arg_count;
    bool takes_no_shift; /* though its descriptor has an order for one */
};

static enum km_code failed(struct km_err *err, dnnl_status_t status, const char *what)
{
    if (status == dnnl_out_of_memory)
        return km_fail(err, KM_NOMEM, "out of memory (oneDNN, %s)", what);
    if (status == dnnl_unimplemented)
        return km_fail(err, KM_UNSUPPORTED, "oneDNN has no implementation (%s)", what);
    return km_fail(err, KM_IO, "oneDNN: status %d (%s)", (int)status, what);
}

struct km_dn *km_dn_open(struct km_err *err)
{
    struct km_dn *dn = km_calloc(1, sizeof *dn, SIZE_MAX, err);
    if (!dn)
        return NULL;
    omp_set_num_threads(1); /* of this thread alone */
    dnnl_status_t status = dnnl_engine_create(&dn->engine, dnnl_cpu, 0);
    if (status == dnnl_success)
        status = dnnl_stream_create(&dn->stream, dn->engine, dnnl_stream_default_flags);
    if (status != dnnl_success) {
        failed(err, status, "engine");
        km_dn_close(dn);
        return NULL;
    }
    return dn;
}

void km_dn_close(struct km_dn *dn)
{
    if (!dn)
        return;
    if (dn->stream)
        dnnl_stream_destroy(dn->stream);
    if (dn->engine)
        dnnl_engine_destroy(dn->engine);
    free(dn);
}

static dnnl_format_tag_t tag_of(uint32_t rank, enum km_dn_order order)
{
    switch (order) {
    case KM_DN_ANY:
        return dnnl_format_tag_any;
    case KM_DN_PLAIN:
        return rank == 1 ? dnnl_a : rank == 2 ? dnnl_ab : dnnl_abcd;
    case KM_DN_CHANNELS:
        return dnnl_nhwc;
    case KM_DN_BLOCKED8:
        return dnnl_nChw8c;
    case KM_DN_BLOCKED16:
        return dnnl_nChw16c;
    }
    return dnnl_format_tag_undef;
}

struct km_dn_md *km_dn_md_new(uint32_t rank, const uint64_t *dims, enum km_dn_order order, struct km_err *err)
{
    KM_ASSERT(rank == 1 || rank == 2 || rank == 4);
    struct km_dn_md *md = km_calloc(1, sizeof *md, SIZE_MAX, err);
    if (!md)
        return NULL;
    dnnl_dims_t sizes = {0};
    for (uint32_t i = 0; i < rank; i++)
        sizes[i] = (dnnl_dim_t)dims[i];
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status =
        dnnl_memory_desc_create_with_tag(&md->value, (int)rank, sizes, dnnl_f32, tag_of(rank, order));
#else
    dnnl_status_t status = dnnl_memory_desc_init_by_tag(&md->value, (int)rank, sizes, dnnl_f32, tag_of(rank, order));
#endif
    if (status != dnnl_success) {
        failed(err, status, "memory order");
        free(md);
        return NULL;
    }
    return md;
}

void km_dn_md_free(struct km_dn_md *md)
{
    if (!md)
        return;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_memory_desc_destroy(md->value);
#endif
    free(md);
}

bool km_dn_md_equal(const struct km_dn_md *a, const struct km_dn_md *b)
{
    return dnnl_memory_desc_equal(REF(a), REF(b)) != 0;
}

size_t km_dn_md_bytes(const struct km_dn_md *md)
{
    return dnnl_memory_desc_get_size(REF(md));
}

static int arg_number(enum km_dn_arg arg)
{
    static const int numbers[] = {
        [KM_DN_SRC] = DNNL_ARG_SRC,
        [KM_DN_DST] = DNNL_ARG_DST,
        [KM_DN_WEIGHTS] = DNNL_ARG_WEIGHTS,
        [KM_DN_BIAS] = DNNL_ARG_BIAS,
        [KM_DN_MEAN] = DNNL_ARG_MEAN,
        [KM_DN_VARIANCE] = DNNL_ARG_VARIANCE,
        [KM_DN_SCALE] = DNNL_ARG_SCALE,
        [KM_DN_SHIFT] = DNNL_ARG_SHIFT,
        [KM_DN_DIFF_SRC] = DNNL_ARG_DIFF_SRC,
        [KM_DN_DIFF_DST] = DNNL_ARG_DIFF_DST,
        [KM_DN_DIFF_WEIGHTS] = DNNL_ARG_DIFF_WEIGHTS,
        [KM_DN_DIFF_BIAS] = DNNL_ARG_DIFF_BIAS,
        [KM_DN_DIFF_SCALE] = DNNL_ARG_DIFF_SCALE,
        [KM_DN_DIFF_SHIFT] = DNNL_ARG_DIFF_SHIFT,
        [KM_DN_WORKSPACE] = DNNL_ARG_WORKSPACE,
        [KM_DN_SCRATCHPAD] = DNNL_ARG_SCRATCHPAD,
    };
    return numbers[arg];
}

/* The order of an argument, inside the primitive's descriptor; NULL or of size 0 when it has no such argument. */
static md_ref md_of(const struct km_dn_prim *prim, enum km_dn_arg arg)
{
    return dnnl_primitive_desc_query_md(prim->desc, dnnl_query_exec_arg_md, arg_number(arg));
}

static struct km_dn_md *copy_of(md_ref found, struct km_err *err)
{
    struct km_dn_md *md = km_calloc(1, sizeof *md, SIZE_MAX, err);
    if (!md)
        return NULL;
#if DNNL_VERSION_MAJOR >= 3
    dnnl_status_t status = dnnl_memory_desc_clone(&md->value, found);
    if (status != dnnl_success) {
        failed(err, status, "memory order");
        free(md);
        return NULL;
    }
#else
    md->value = *found;
#endif
    return md;
}

struct km_dn_md *km_dn_md_clone(const struct km_dn_md *md, struct km_err *err)
{
    return copy_of(REF(md), err);
}

struct km_dn_md *km_dn_prim_md(const struct km_dn_prim *prim, enum km_dn_arg arg, struct km_err *err)
{
    md_ref found = md_of(prim, arg);
    KM_ASSERT(found != NULL);
    return copy_of(found, err);
}

size_t km_dn_prim_bytes(const struct km_dn_prim *prim, enum km_dn_arg arg)
{
    md_ref found = md_of(prim, arg);
    return found ? dnnl_memory_desc_get_size(found) : 0;
}

/* What a constructor below fills in for its operator. */
struct recipe {
    dnnl_primitive_desc_t desc;
    dnnl_primitive_attr_t attr;
    dnnl_status_t status;
};

/* Scratchpads are the caller's, so that running allocates nothing. */
static struct recipe recipe_of(struct km_dn_fused fused)
{
    struct recipe r = {NULL, NULL, dnnl_success};
    r.status = dnnl_primitive_attr_create(&r.attr);
    if (r.status == dnnl_success)
        r.status = dnnl_primitive_attr_set_scratchpad_mode(r.attr, dnnl_scratchpad_mode_user);
    if (r.status != dnnl_success || (!fused.sum && !fused.relu))
        return r;
    dnnl_post_ops_t ops;
    r.status = dnnl_post_ops_create(&ops);
    if (r.status != dnnl_success)
        return r;
#if DNNL_VERSION_MAJOR >= 3
    if (fused.sum)
        r.status = dnnl_post_ops_append_sum(ops, 1.0F, 0, dnnl_data_type_undef);
    if (fused.relu && r.status == dnnl_success)
        r.status = dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0.0F, 0.0F);
#else
    if (fused.sum)
        r.status = dnnl_post_ops_append_sum(ops, 1.0F);
    if (fused.relu && r.status == dnnl_success)
        r.status = dnnl_post_ops_append_eltwise(ops, 1.0F, dnnl_eltwise_relu, 0.0F, 0.0F);
#endif
    if (r.status == dnnl_success)
        r.status = dnnl_primitive_attr_set_post_ops(r.attr, ops);
    dnnl_post_ops_destroy(ops);
    return r;
}

static struct km_dn_prim *finish(struct km_dn *dn, struct recipe *r, const char *what, struct km_err *err)
{
    struct km_dn_prim *prim = km_calloc(1, sizeof *prim, SIZE_MAX, err);
    if (prim) {
        prim->dn = dn;
        prim->desc = r->status == dnnl_success ? r->desc : NULL;
        if (r->status == dnnl_success)
            r->status = dnnl_primitive_create(&prim->primitive, prim->desc);
        if (r->status != dnnl_success) {
            failed(err, r->status, what);
            km_dn_prim_free(prim);
            prim = NULL;
        }
    } else if (r->desc) {
        dnnl_primitive_desc_destroy(r->desc);
    }
    if (r->attr)
        dnnl_primitive_attr_destroy(r->attr);
    return prim;
}

static dnnl_prop_kind_t forward_kind(struct km_dn_step step)
{
    return step.kind == KM_DN_INFER ? dnnl_forward_inference : dnnl_forward_training;
}

#if DNNL_VERSION_MAJOR < 3
static void describe(struct recipe *r, struct km_dn *dn, const_dnnl_op_desc_t desc, const struct km_dn_prim *hint)
{
    if (r->status == dnnl_success)
        r->status = dnnl_primitive_desc_create(&r->desc, desc, r->attr, dn->engine, hint ? hint->desc : NULL);
}
#endif

static md_ref optional(const struct km_dn_md *md)
{
    return md ? REF(md) : NULL;
}

struct km_dn_prim *km_dn_conv_new(struct km_dn *dn, struct km_dn_step step, const struct km_dn_orders *orders,
                                  struct km_dn_window window, struct km_dn_fused fused, struct km_err *err)
{
    struct recipe r = recipe_of(fused);
    const dnnl_dims_t strides = {window.stride, window.stride}, padding = {window.padding, window.padding};
    const dnnl_dims_t dilation = {0, 0};
    const dnnl_alg_kind_t method = step.winograd ? dnnl_convolution_winograd : dnnl_convolution_direct;
    md_ref src = REF(orders->src), weights = REF(orders->weights), dst = REF(orders->dst);
    md_ref bias = optional(orders->bias);
#if DNNL_VERSION_MAJOR >= 3
    if (r.status != dnnl_success)
        return finish(dn, &r, "convolution", err);
    if (step.kind == KM_DN_BACK_DATA)
        r.status = dnnl_convolution_backward_data_primitive_desc_create(&r.desc, dn->engine, method, src, weights, dst,
                                                                        strides, dilation, padding, padding,
                                                                        step.forward->desc, r.attr);
    else if (step.kind == KM_DN_BACK_WEIGHTS)
        r.status = dnnl_convolution_backward_weights_primitive_desc_create(&r.desc, dn->engine, method, src, weights,
                                                                           bias, dst, strides, dilation, padding,
                                                                           padding, step.forward->desc, r.attr);
    else
        r.status = dnnl_convolution_forward_primitive_desc_create(&r.desc, dn->engine, forward_kind(step), method, src,
                                                                  weights, bias, dst, strides, dilation, padding,
                                                                  padding, r.attr);
#else
    dnnl_convolution_desc_t desc;
    dnnl_status_t status;
    if (step.kind == KM_DN_BACK_DATA)
        status = dnnl_dilated_convolution_backward_data_desc_init(&desc, method, src, weights, dst, strides, dilation,
                                                                  padding, padding);
    else if (step.kind == KM_DN_BACK_WEIGHTS)
        status = dnnl_dilated_convolution_backward_weights_desc_init(&desc, method, src, weights, bias, dst, strides,
                                                                     dilation, padding, padding);
    else
        status = dnnl_dilated_convolution_forward_desc_init(&desc, forward_kind(step), method, src, weights, bias, dst,
                                                            strides, dilation, padding, padding);
    r.status = r.status == dnnl_success ? status : r.status;
    describe(&r, dn, &desc, step.forward);
#endif
    return finish(dn, &r, "convolution", err);
}

struct km_dn_prim *km_dn_linear_new(struct km_dn *dn, struct km_dn_step step, const struct km_dn_orders *orders,
                                    struct km_err *err)
{
    struct recipe r = recipe_of((struct km_dn_fused){false, false});
    md_ref src = REF(orders->src), weights = REF(orders->weights), dst = REF(orders->dst);
    md_ref bias = optional(orders->bias);
#if DNNL_VERSION_MAJOR >= 3
    if (r.status != dnnl_success)
        return finish(dn, &r, "inner product", err);
    if (step.kind == KM_DN_BACK_DATA)
        r.status = dnnl_inner_product_backward_data_primitive_desc_create(&r.desc, dn->engine, src, weights, dst,
                                                                          step.forward->desc, r.attr);
    else if (step.kind == KM_DN_BACK_WEIGHTS)
        r.status = dnnl_inner_product_backward_weights_primitive_desc_create(&r.desc, dn->engine, src, weights, bias,
                                                                             dst, step.forward->desc, r.attr);
    else
        r.status = dnnl_inner_product_forward_primitive_desc_create(&r.desc, dn->engine, forward_kind(step), src,
                                                                    weights, bias, dst, r.attr);
#else
    dnnl_inner_product_desc_t desc;
    dnnl_status_t status;
    if (step.kind == KM_DN_BACK_DATA)
        status = dnnl_inner_product_backward_data_desc_init(&desc, src, weights, dst);
    else if (step.kind == KM_DN_BACK_WEIGHTS)
        status = dnnl_inner_product_backward_weights_desc_init(&desc, src, weights, bias, dst);
    else
        status = dnnl_inner_product_forward_desc_init(&desc, forward_kind(step), src, weights, bias, dst);
    r.status = r.status == dnnl_success ? status : r.status;
    describe(&r, dn, &desc, step.forward);
#endif
    return finish(dn, &r, "inner product", err);
}

struct km_dn_prim *km_dn_norm_new(struct km_dn *dn, struct km_dn_step step, const struct km_dn_md *src, float epsilon,
                                  bool relu, struct km_err *err)
{
    struct recipe r = recipe_of((struct km_dn_fused){false, false});
    unsigned flags = (unsigned)dnnl_use_scale | (unsigned)dnnl_use_shift;
    flags |= relu ? (unsigned)dnnl_fuse_norm_relu : 0;
    flags |= step.kind == KM_DN_INFER ? (unsigned)dnnl_use_global_stats : 0;
    md_ref data = REF(src);
#if DNNL_VERSION_MAJOR >= 3
    if (r.status != dnnl_success)
        return finish(dn, &r, "batch norm", err);
    if (step.kind == KM_DN_BACK_DATA)
        r.status = dnnl_batch_normalization_backward_primitive_desc_create(
            &r.desc, dn->engine, dnnl_backward, data, data, data, epsilon, flags, step.forward->desc, r.attr);
    else
        r.status = dnnl_batch_normalization_forward_primitive_desc_create(&r.desc, dn->engine, forward_kind(step), data,
                                                                          data, epsilon, flags, r.attr);
#else
    dnnl_batch_normalization_desc_t desc;
    dnnl_status_t status =
        step.kind == KM_DN_BACK_DATA
            ? dnnl_batch_normalization_backward_desc_init(&desc, dnnl_backward, data, data, epsilon, flags)
            : dnnl_batch_normalization_forward_desc_init(&desc, forward_kind(step), data, epsilon, flags);
    r.status = r.status == dnnl_success ? status : r.status;
    describe(&r, dn, &desc, step.forward);
#endif
    struct km_dn_prim *prim = finish(dn, &r, "batch norm", err);
    if (prim) /* backward: 2.6 refuses to run without the shift, 3.x with it */
        prim->takes_no_shift = step.kind == KM_DN_BACK_DATA && DNNL_VERSION_MAJOR >= 3;
    return prim;
}

struct km_dn_prim *km_dn_pool_new(struct km_dn *dn, struct km_dn_step step, bool average,
                                  const struct km_dn_orders *orders, struct km_dn_window window, struct km_err *err)
{
    struct recipe r = recipe_of((struct km_dn_fused){false, false});
    const dnnl_dims_t kernel = {window.kernel, window.kernel}, strides = {window.stride, window.stride};
    const dnnl_dims_t padding = {window.padding, window.padding}, dilation = {0, 0};
    const dnnl_alg_kind_t kind = average ? dnnl_pooling_avg_include_padding : dnnl_pooling_max;
    md_ref src = REF(orders->src), dst = REF(orders->dst);
#if DNNL_VERSION_MAJOR >= 3
    if (r.status != dnnl_success)
        return finish(dn, &r, "pooling", err);
    if (step.kind == KM_DN_BACK_DATA)
        r.status = dnnl_pooling_backward_primitive_desc_create(&r.desc, dn->engine, kind, src, dst, strides, kernel,
                                                               dilation, padding, padding, step.forward->desc, r.attr);
    else
        r.status = dnnl_pooling_forward_primitive_desc_create(&r.desc, dn->engine, forward_kind(step), kind, src, dst,
                                                              strides, kernel, dilation, padding, padding, r.attr);
#else
    dnnl_pooling_v2_desc_t desc;
    dnnl_status_t status =
        step.kind == KM_DN_BACK_DATA
            ? dnnl_pooling_v2_backward_desc_init(&desc, kind, src, dst, strides, kernel, dilation, padding, padding)
            : dnnl_pooling_v2_forward_desc_init(&desc, forward_kind(step), kind, src, dst, strides, kernel, dilation,
                                                padding, padding);
    r.status = r.status == dnnl_success ? status : r.status;
    describe(&r, dn, &desc, step.forward);
#endif
    return finish(dn, &r, "pooling", err);
}

struct km_dn_prim *km_dn_reorder_new(struct km_dn *dn, const struct km_dn_md *from, const struct km_dn_md *to,
                                     struct km_err *err)
{
    struct recipe r = {NULL, NULL, dnnl_success}; /* a scratchpad, if any, is allocated here and not by runs */
    r.status = dnnl_reorder_primitive_desc_create(&r.desc, REF(from), dn->engine, REF(to), dn->engine, NULL);
    return finish(dn, &r, "reorder", err);
}

void km_dn_prim_free(struct km_dn_prim *prim)
{
    if (!prim)
        return;
    for (int i = 0; i < prim->arg_count; i++)
        dnnl_memory_destroy(prim->args[i].memory);
    if (prim->primitive)
        dnnl_primitive_destroy(prim->primitive);
    if (prim->desc)
        dnnl_primitive_desc_destroy(prim->desc);
    free(prim);
}

enum km_code km_dn_prim_bind(struct km_dn_prim *prim, enum km_dn_arg arg, const void *buffer, struct km_err *err)
{
    KM_ASSERT(prim->arg_count < MAX_ARGS);
    if (km_dn_prim_bytes(prim, arg) == 0 || (arg == KM_DN_SHIFT && prim->takes_no_shift))
        return KM_OK;
    dnnl_exec_arg_t *bound = &prim->args[prim->arg_count];
    bound->arg = arg_number(arg);
    /* inputs are only read: the cast is the C API's, which has one memory type for both */
    dnnl_status_t status =
        dnnl_memory_create(&bound->memory, md_of(prim, arg), prim->dn->engine, (void *)(uintptr_t)buffer);
    if (status != dnnl_success)
        return failed(err, status, "memory");
    prim->arg_count++;
    return KM_OK;
}

enum km_code km_dn_prim_run(struct km_dn_prim *prim, struct km_err *err)
{
    dnnl_status_t status = dnnl_primitive_execute(prim->primitive, prim->dn->stream, prim->arg_count, prim->args);
    if (status == dnnl_success)
        status = dnnl_stream_wait(prim->dn->stream);
    return status == dnnl_success ? KM_OK : failed(err, status, "run");
}

_Static_assert(DNNL_VERSION_MAJOR == 2 || DNNL_VERSION_MAJOR == 3, "a version of oneDNN that this seam does not know");
