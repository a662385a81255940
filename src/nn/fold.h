/*
 * Folds what inference need not compute: a norm joins the convolution or stem before it (its running
 * statistics become part of weights and a bias), a colour stem becomes its byte table, dropout goes. The folded network
 * gives the same output, within rounding.
 */
#ifndef KM_NN_FOLD_H
#define KM_NN_FOLD_H

#include "base/err.h"
#include "nn/graph.h"
#include "nn/weights.h"

/* *out_graph and *out_weights (the caller frees them; NULL: not wanted) are the folded network. A norm whose input has
 * other readers, or is no such layer, stays. KM_CONFLICT when the weights are not the graph's; KM_NOMEM. */
enum km_code km_fold(const struct km_graph *graph, const struct km_weights *weights, struct km_graph *out_graph,
                     struct km_weights **out_weights, struct km_err *err) KM_MUST_USE;

#endif
