#include "container/lab/netview.h"

#include <math.h>

#include "container/scan/detector.h"
#include "nn/fold.h"
#include "nn/network.h"

static const uint32_t sides[KM_FILEVIEW_SIZES] = {256, 128, 64, 32};

struct km_netview {
    struct km_stem_order *orders[KM_FILEVIEW_SIZES];
};

struct km_netscorer {
    struct km_network *networks[KM_FILEVIEW_SIZES];
};

static int size_of_side(uint32_t side)
{
    int size = 0;
    while (size < KM_FILEVIEW_SIZES - 1 && sides[size] != side)
        size++;
    KM_ASSERT(sides[size] == side);
    return size;
}

static struct km_stem_order *new_order(uint32_t side, struct km_err *err)
{
    KM_CLEANUP(km_curve_cleanup) struct km_curve *curve = km_curve_new(KM_CURVE_HILBERT, side, err);
    size_t count = (size_t)side * side;
    KM_CLEANUP(km_cleanup_free)
    uint32_t *places = curve ? km_calloc(count, sizeof *places, count * sizeof *places, err) : NULL;
    if (!places)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        uint32_t column, row;
        km_curve_get_pixel(curve, i, &column, &row);
        places[i] = row * side + column;
    }
    return km_stem_order_new(side, places, err);
}

struct km_netview *km_netview_new(struct km_err *err)
{
    KM_CLEANUP(km_netview_cleanup) struct km_netview *view = km_calloc(1, sizeof *view, sizeof *view, err);
    if (!view)
        return NULL;
    for (int i = 0; i < KM_FILEVIEW_SIZES; i++) {
        view->orders[i] = new_order(sides[i], err);
        if (!view->orders[i])
            return NULL;
    }
    return km_steal(view);
}

void km_netview_free(struct km_netview *view)
{
    if (!view)
        return;
    for (int i = 0; i < KM_FILEVIEW_SIZES; i++)
        km_stem_order_free(view->orders[i]);
    free(view);
}

const struct km_stem_order *km_netview_order(const struct km_netview *view, uint32_t side)
{
    return view->orders[size_of_side(side)];
}

enum km_code km_netview_graph(const struct km_netview *view, uint32_t side, struct km_graph *out, struct km_err *err)
{
    const struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_LIGHT, .outputs = 1, .stem = KM_STEM_HASH, .order = km_netview_order(view, side)};
    return km_architecture_build(&options, out, err);
}

static enum km_code new_network(const struct km_netview *view, uint32_t side, const struct km_weights *weights,
                                struct km_network **out, struct km_err *err)
{
    struct km_graph *graphs = km_calloc(2, sizeof *graphs, 2 * sizeof *graphs, err);
    if (!graphs)
        return err->code;
    struct km_weights *folded = NULL;
    enum km_code code = km_netview_graph(view, side, &graphs[0], err);
    if (code == KM_OK)
        code = km_fold(&graphs[0], weights, &graphs[1], &folded, err);
    struct km_network *network = NULL;
    if (code == KM_OK) {
        const struct km_network_options options = {.batch = 1};
        network = km_network_new(&graphs[1], &options, err);
        code = network ? km_network_set(network, folded, err) : err->code;
    }
    if (code == KM_OK)
        *out = network;
    else
        km_network_free(network);
    km_weights_free(folded);
    free(graphs);
    return code;
}

struct km_netscorer *km_netscorer_new(const struct km_netview *view, const struct km_weights *weights,
                                      struct km_err *err)
{
    KM_CLEANUP(km_netscorer_cleanup) struct km_netscorer *scorer = km_calloc(1, sizeof *scorer, sizeof *scorer, err);
    if (!scorer)
        return NULL;
    for (int i = 0; i < KM_FILEVIEW_SIZES; i++)
        if (new_network(view, sides[i], weights, &scorer->networks[i], err) != KM_OK)
            return NULL;
    return km_steal(scorer);
}

void km_netscorer_free(struct km_netscorer *scorer)
{
    if (!scorer)
        return;
    for (int i = 0; i < KM_FILEVIEW_SIZES; i++)
        km_network_free(scorer->networks[i]);
    free(scorer);
}

enum km_code km_netscorer_run(struct km_netscorer *scorer, const uint8_t *bytes, size_t length, double *out,
                              struct km_err *err)
{
    const double softness = (double)KM_NETWORK_SOFTNESS;
    struct km_fileview_square square;
    double weight = 0, highest = -INFINITY, sum = 0; /* of share * e^((logit - highest) / softness) */
    for (uint64_t at = 0; km_fileview_cut(length, at, &square); at += square.valid) {
        struct km_network *network = scorer->networks[size_of_side(square.side)];
        const struct km_square content = {.bytes = bytes + square.offset, .length = square.valid};
        km_network_squares(network, &content, 1);
        enum km_code code = km_network_forward(network, err);
        if (code != KM_OK)
            return code;
        double logit = (double)km_network_output(network)[0], share = (double)square.valid;
        if (logit > highest) {
            sum *= isinf(highest) ? 0 : exp((highest - logit) / softness);
            highest = logit;
        }
        sum += share * exp((logit - highest) / softness);
        weight += share;
    }
    *out = highest + softness * log(sum / weight);
    return KM_OK;
}
