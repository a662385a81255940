/*
 * A network ready to run: a graph planned for one batch size on one backend. Hides operators, memory orders and the
 * memory plan. All memory is taken by km_network_new: one workspace, one block of weights, one of gradients, each
 * aligned to 64 bytes; setting inputs, forward and backward allocate nothing (oneDNN's own small argument lists aside).
 *
 * Inference (training = false): norms use their running statistics (fold them first, fold.h, for speed), sums and their
 * relu join the convolution before them, buffers are reused as soon as their last reader is done.
 * Training: every activation is kept until the backward pass.
 *
 * Thread rule: a network is made, used and freed by one thread; it computes on that thread alone. Parallelism is one
 * network a worker; weights may be shared between them (options.share), the graph's stem order is.
 */
#ifndef KM_NN_NETWORK_H
#define KM_NN_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "nn/graph.h"
#include "nn/stem.h"
#include "nn/weights.h"

#define KM_NETWORK_MAX_BATCH 1024u

struct km_backend;
struct km_network;

struct km_network_options {
    const struct km_backend *backend; /* NULL: oneDNN */
    uint32_t batch;                   /* 1..KM_NETWORK_MAX_BATCH */
    bool training;
    /* Inference, oneDNN: 3x3 convolutions by Winograd's method where the processor has it. Faster where planes are
     * small and channels many; the last digits differ (1e-4 of a logit at most, in tests). Its weights cannot be got
     * back where it is used: KM_UNSUPPORTED. */
    bool winograd;
    /* A network of the same graph whose weights this one reads, if their orders are equal (else it has its own, to be
     * set): it outlives this one, and its weights do not change while this one runs. NULL: own weights. */
    const struct km_network *share;
};

/* NULL with *err set: the graph's mistake, KM_FORMAT (a stem graph whose mean does not see 1 KiB cells), KM_LIMIT
 * (batch, workspace above 4 GiB), KM_NOMEM, KM_UNSUPPORTED and KM_IO of the backend. */
struct km_network *km_network_new(const struct km_graph *graph, const struct km_network_options *options,
                                  struct km_err *err) KM_MUST_USE;
void km_network_free(struct km_network *network);
KM_DEFINE_CLEANUP(struct km_network, km_network_cleanup, km_network_free);

/* Copies the values in, or (get, get_gradients) out. The set belongs to the same graph; another is KM_CONFLICT. A
 * network that shares refuses km_network_set with KM_CONFLICT. */
enum km_code km_network_set(struct km_network *network, const struct km_weights *weights,
                            struct km_err *err) KM_MUST_USE;
enum km_code km_network_get(struct km_network *network, struct km_weights *weights, struct km_err *err) KM_MUST_USE;
enum km_code km_network_get_gradients(struct km_network *network, struct km_weights *gradients,
                                      struct km_err *err) KM_MUST_USE;
bool km_network_shares(const struct km_network *network);

/* Inputs. An image graph: floats [N, C, H, W] to fill, and (any graph with a MEAN) the valid cells [N, H', W'] of the
 * mean's input, all 1 at first; NULL when there is none. A stem graph: `count` squares of the batch (the rest is
 * empty); their bytes are borrowed until the next call; valid cells follow from their lengths. */
float *km_network_image(struct km_network *network);
float *km_network_valid(struct km_network *network);
void km_network_squares(struct km_network *network, const struct km_square *squares, uint32_t count);

/* The seed of dropout for the next passes. */
void km_network_noise(struct km_network *network, uint64_t seed);

/* KM_IO of the backend; the output is then undefined. */
enum km_code km_network_forward(struct km_network *network, struct km_err *err) KM_MUST_USE;

/* [N, outputs], borrowed, until the next forward pass. */
const float *km_network_output(const struct km_network *network);
uint32_t km_network_outputs(const struct km_network *network);
uint32_t km_network_batch(const struct km_network *network);

/* What each cell of the mean's input says, as if it stood alone: the linear layer applied to it; the output is the mean
 * of the valid ones. out: [N, outputs, H', W']; cells of padding are 0. Only for graphs that end in MEAN, perhaps
 * DROPOUT, LINEAR (KM_UNSUPPORTED otherwise); after a forward pass. */
enum km_code km_network_cells(const struct km_network *network, float *out, struct km_err *err) KM_MUST_USE;
struct km_shape km_network_cell_shape(const struct km_network *network); /* [outputs, H', W'] */

/* Training: d loss / d output, [N, outputs], filled by the caller before km_network_backward. */
float *km_network_output_diff(struct km_network *network);
enum km_code km_network_backward(struct km_network *network, struct km_err *err) KM_MUST_USE;

/* Weights and gradients as the optimiser sees them: flat blocks in the backend's order, the same for every network of
 * one graph, batch size and backend. A slot of role MEAN or VARIANCE is a running statistic: its gradients hold the
 * statistic of the last batch, over `samples` values. */
struct km_slot {
    int node;
    enum km_role role;
    size_t offset, floats;
    uint64_t samples;
    bool decays; /* weight decay applies: matrices and tables, not biases, scales and shifts */
};
size_t km_network_slots(const struct km_network *network, const struct km_slot **out_slots);
float *km_network_values(struct km_network *network);
float *km_network_gradients(struct km_network *network);
size_t km_network_floats(const struct km_network *network);
/* One slot's block, in this network's order, from or to a plain tensor: for what is kept beside the weights. */
enum km_code km_network_import(struct km_network *network, size_t slot, const float *plain, float *own,
                               struct km_err *err) KM_MUST_USE;
enum km_code km_network_export(struct km_network *network, size_t slot, const float *own, float *plain,
                               struct km_err *err) KM_MUST_USE;

/* Bytes taken by activations, scratch and gradients of activations. */
size_t km_network_workspace_bytes(const struct km_network *network);

#endif
