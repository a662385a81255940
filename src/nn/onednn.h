/*
 * The fast backend: oneDNN primitives for convolution, batch norm, pooling and linear layers (onednn.c), and loops of
 * our own for sums, activations, dropout, masked means and stems (handmade.c). Memory orders are oneDNN's choice.
 */
#ifndef KM_NN_ONEDNN_H
#define KM_NN_ONEDNN_H

struct km_backend;

extern const struct km_backend km_onednn_backend;

#endif
