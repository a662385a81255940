/*
 * The seam to oneDNN: the only file pair that sees dnnl.h, and that knows 2.6 (Debian 12) from 3.x (Debian 13).
 * Memory orders are chosen by oneDNN and differ between its versions and machines: a caller never names one it has not
 * asked for, it compares and reorders.
 *
 * struct km_dn: engine and stream, one a thread; opening it sets the thread's OpenMP team to one, for parallelism is
 * one network a worker. struct km_dn_md: a memory order, owned by who made it. struct km_dn_prim: a primitive with its
 * bound buffers; made, bound, run and freed by the thread of its km_dn. Running it allocates nothing of ours.
 * Errors: KM_NOMEM, KM_UNSUPPORTED (no implementation), KM_IO with oneDNN's status number otherwise.
 */
#ifndef KM_NN_DN_H
#define KM_NN_DN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"

struct km_dn;
struct km_dn_md;
struct km_dn_prim;

struct km_dn *km_dn_open(struct km_err *err) KM_MUST_USE;
void km_dn_close(struct km_dn *dn);

enum km_dn_order {
    KM_DN_ANY = 0,       /* oneDNN chooses: only as an argument of the primitives below */
    KM_DN_PLAIN = 1,     /* row-major: x, nc, oihw, nchw */
    KM_DN_CHANNELS = 2,  /* channels last: nhwc */
    KM_DN_BLOCKED8 = 3,  /* nChw8c */
    KM_DN_BLOCKED16 = 4, /* nChw16c */
};

/* rank 1, 2 or 4 of float32; the last three orders need rank 4. NULL with *err set. */
struct km_dn_md *km_dn_md_new(uint32_t rank, const uint64_t *dims, enum km_dn_order order,
                              struct km_err *err) KM_MUST_USE;
struct km_dn_md *km_dn_md_clone(const struct km_dn_md *md, struct km_err *err) KM_MUST_USE;
void km_dn_md_free(struct km_dn_md *md);
KM_DEFINE_CLEANUP(struct km_dn_md, km_dn_md_cleanup, km_dn_md_free);
bool km_dn_md_equal(const struct km_dn_md *a, const struct km_dn_md *b);
size_t km_dn_md_bytes(const struct km_dn_md *md);

enum km_dn_arg {
    KM_DN_SRC = 0,
    KM_DN_DST = 1,
    KM_DN_WEIGHTS = 2,
    KM_DN_BIAS = 3,
    KM_DN_MEAN = 4,
    KM_DN_VARIANCE = 5,
    KM_DN_SCALE = 6,
    KM_DN_SHIFT = 7,
    KM_DN_DIFF_SRC = 8,
    KM_DN_DIFF_DST = 9,
    KM_DN_DIFF_WEIGHTS = 10,
    KM_DN_DIFF_BIAS = 11,
    KM_DN_DIFF_SCALE = 12,
    KM_DN_DIFF_SHIFT = 13,
    KM_DN_WORKSPACE = 14,
    KM_DN_SCRATCHPAD = 15,
};

enum km_dn_kind {
    KM_DN_INFER = 0,
    KM_DN_TRAIN = 1,
    KM_DN_BACK_DATA = 2,
    KM_DN_BACK_WEIGHTS = 3,
};

/* Which pass of an operator; the backward ones take the forward primitive as `forward`. */
struct km_dn_step {
    enum km_dn_kind kind;
    const struct km_dn_prim *forward;
    bool winograd; /* a convolution's way; KM_UNSUPPORTED where there is none */
};

struct km_dn_window {
    uint32_t kernel, stride, padding;
};

/* Memory orders of an operator, forward names; in a backward pass each stands for its difference where that is what the
 * pass has. bias is NULL when there is none. */
struct km_dn_orders {
    const struct km_dn_md *src, *weights, *bias, *dst;
};

struct km_dn_fused {
    bool sum;  /* dst += what dst held */
    bool relu; /* after the sum */
};

struct km_dn_prim *km_dn_conv_new(struct km_dn *dn, struct km_dn_step step, const struct km_dn_orders *orders,
                                  struct km_dn_window window, struct km_dn_fused fused, struct km_err *err) KM_MUST_USE;
struct km_dn_prim *km_dn_linear_new(struct km_dn *dn, struct km_dn_step step, const struct km_dn_orders *orders,
                                    struct km_err *err) KM_MUST_USE;
/* src is used for src, dst and their differences. INFER uses the given mean and variance. BACK_DATA does both passes.
 */
struct km_dn_prim *km_dn_norm_new(struct km_dn *dn, struct km_dn_step step, const struct km_dn_md *src, float epsilon,
                                  bool relu, struct km_err *err) KM_MUST_USE;
/* src and dst of orders. */
struct km_dn_prim *km_dn_pool_new(struct km_dn *dn, struct km_dn_step step, bool average,
                                  const struct km_dn_orders *orders, struct km_dn_window window,
                                  struct km_err *err) KM_MUST_USE;
struct km_dn_prim *km_dn_reorder_new(struct km_dn *dn, const struct km_dn_md *from, const struct km_dn_md *to,
                                     struct km_err *err) KM_MUST_USE;
void km_dn_prim_free(struct km_dn_prim *prim);
KM_DEFINE_CLEANUP(struct km_dn_prim, km_dn_prim_cleanup, km_dn_prim_free);

/* The order of an argument; the caller owns it. NULL with *err set. */
struct km_dn_md *km_dn_prim_md(const struct km_dn_prim *prim, enum km_dn_arg arg, struct km_err *err) KM_MUST_USE;
/* Bytes of an argument; 0 when the primitive has no such argument. */
size_t km_dn_prim_bytes(const struct km_dn_prim *prim, enum km_dn_arg arg);

/* Binds a buffer (64-byte aligned, in the argument's order) for all runs to come; does nothing when the primitive has
 * no such argument. */
enum km_code km_dn_prim_bind(struct km_dn_prim *prim, enum km_dn_arg arg, const void *buffer,
                             struct km_err *err) KM_MUST_USE;
enum km_code km_dn_prim_run(struct km_dn_prim *prim, struct km_err *err) KM_MUST_USE;

#endif
