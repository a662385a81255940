/* Operators of the oneDNN backend that are not oneDNN's: see op.h for the contract. Private to the backend. */
#ifndef KM_NN_HANDMADE_H
#define KM_NN_HANDMADE_H

#include "nn/dn.h"
#include "nn/op.h"

/* In the oneDNN backend a layout is a memory descriptor. */
static inline const struct km_dn_md *km_layout_md(const struct km_layout *layout)
{
    return (const struct km_dn_md *)layout;
}

static inline const struct km_layout *km_md_layout(const struct km_dn_md *md)
{
    return (const struct km_layout *)md;
}

/* The order of a batch of activations: [N, C, H, W], or [N, C] when flat. */
struct km_dn_md *km_activation_md(uint32_t batch, struct km_shape shape, bool flat, enum km_dn_order order,
                                  struct km_err *err) KM_MUST_USE;

/* ADD, RELU, DROPOUT, MEAN, STEM. */
struct km_op *km_handmade_new(struct km_dn *dn, const struct km_op_desc *desc, const struct km_layout *src,
                              const struct km_layout *residual, struct km_err *err) KM_MUST_USE;

/* The plain input of a MEAN's last forward pass. */
const float *km_handmade_plain_input(const struct km_op *mean);

#endif
