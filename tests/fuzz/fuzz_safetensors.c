/* A hostile weight file: parsed, every tensor read, and offered to a small network. */
#include <stdlib.h>

#include "nn/safetensors.h"
#include "nn/weightsfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming) */

static void offer_to_network(const struct km_safetensors *file)
{
    struct km_err err = KM_ERR_INIT;
    struct km_graph graph;
    km_graph_init(&graph);
    int image = km_graph_image(&graph, (struct km_shape){1, 2, 2});
    int norm = km_graph_norm(&graph, image, "norm", false);
    km_graph_linear(&graph, km_graph_mean(&graph, norm), "fc", 2);
    struct km_weights *weights = km_weights_new(&graph, &err);
    struct km_weights_report report;
    if (weights)
        (void)!km_weights_load(weights, file, &report, &err);
    km_weights_free(weights);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_safetensors *file = km_safetensors_parse(data, size, &err);
    if (!file) {
        KM_ASSERT(err.code != KM_OK);
        return 0;
    }
    for (size_t i = 0; i < km_safetensors_count(file); i++) {
        const struct km_safetensor *tensor = km_safetensors_get(file, i);
        KM_ASSERT(tensor->elements <= size); /* a file cannot hold more */
        float *values = malloc(tensor->elements ? tensor->elements * sizeof *values : 1);
        if (values)
            (void)!km_safetensors_read(tensor, values, &err);
        free(values);
    }
    offer_to_network(file);
    km_safetensors_free(file);
    return 0;
}
