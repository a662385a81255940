/*
 * The tensors of a graph: names, shapes and plain float32 values (row-major: conv [O,I,k,k], linear [O,I], vectors
 * [C]), in one block aligned to 64 bytes. Names are torchvision's: "<node>.weight", ".bias", ".running_mean",
 * ".running_var". A filled set is immutable and shared by threads; filling it is one thread's business.
 */
#ifndef KM_NN_WEIGHTS_H
#define KM_NN_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "nn/graph.h"

#define KM_WEIGHTS_NAME_BYTES (KM_GRAPH_NAME_BYTES + 16)
#define KM_WEIGHTS_MAX_RANK   4
#define KM_WEIGHTS_MAX_BYTES  ((size_t)1 << 30)

enum km_role {
    KM_ROLE_WEIGHT = 0,
    KM_ROLE_BIAS = 1,     /* NORM: the shift */
    KM_ROLE_MEAN = 2,     /* NORM: running mean; a statistic, not trained by gradients */
    KM_ROLE_VARIANCE = 3, /* NORM: running variance */
};
#define KM_ROLE_COUNT 4

struct km_tensor {
    char name[KM_WEIGHTS_NAME_BYTES];
    int node;
    enum km_role role;
    uint32_t rank;
    uint64_t dims[KM_WEIGHTS_MAX_RANK];
    size_t floats;
    float *values;
};

struct km_weights;

/* The tensors of `graph`, in node order, zeroed; norm scales and running variances are 1.
 * NULL with *err set: the graph's mistake, KM_LIMIT beyond KM_WEIGHTS_MAX_BYTES, KM_NOMEM. */
struct km_weights *km_weights_new(const struct km_graph *graph, struct km_err *err) KM_MUST_USE;
void km_weights_free(struct km_weights *weights);
KM_DEFINE_CLEANUP(struct km_weights, km_weights_cleanup, km_weights_free);

/* Random start: He's normal (fan out) for convolutions, uniform +-1/sqrt(fan in) for linear layers, normal 0.1 for stem
 * tables. The same seed gives the same values on every machine and with every compiler. */
void km_weights_randomise(struct km_weights *weights, const struct km_graph *graph, uint64_t seed);

size_t km_weights_count(const struct km_weights *weights);
struct km_tensor *km_weights_at(struct km_weights *weights, size_t i);
const struct km_tensor *km_weights_get(const struct km_weights *weights, size_t i);
/* The tensor of a node in a role, or NULL. */
const struct km_tensor *km_weights_find(const struct km_weights *weights, int node, enum km_role role);
/* All values together. */
size_t km_weights_floats(const struct km_weights *weights);

/* The shape of the tensor that a node, fed by `inputs` channels, has in `role`: rank, dims and floats of *out. False
 * when it has none. */
bool km_weights_shape(const struct km_node *node, uint32_t inputs, enum km_role role, struct km_tensor *out);

#endif
