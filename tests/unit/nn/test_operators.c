#define KM_TEST_NAME "operators"
/* Every operator: oneDNN against the plain loops, and the plain loops' gradients against finite differences. */
#include "nets.h"

#define BATCH   ((size_t)3)
#define OUTPUTS (BATCH * 4)
/* float32 sums in another order; the largest seen here was 2e-6 */
#define TOLERANCE 2e-5

struct trial {
    const char *name;
    void (*build)(struct km_graph *graph, int input); /* from [8, 9, 9] to anything */
};

static void plain_conv(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_conv(g, in, "op", 16, (struct km_window){3, 1, 1}, true));
}

static void strided_conv(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_conv(g, in, "op", 24, (struct km_window){3, 2, 1}, false));
}

static void uneven_conv(struct km_graph *g, int in) /* the window does not fit a whole number of times */
{
    km_graph_mean(g, km_graph_conv(g, in, "op", 5, (struct km_window){4, 3, 1}, true));
}

static void pointwise_conv(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_conv(g, in, "op", 32, (struct km_window){1, 2, 0}, false));
}

static void wide_conv(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_conv(g, in, "op", 16, (struct km_window){7, 2, 3}, false));
}

static void norm(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_norm(g, in, "op", false));
}

static void norm_relu(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_norm(g, in, "op", true));
}

static void relu(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_relu(g, in));
}

static void maxpool(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_maxpool(g, in, (struct km_window){3, 2, 1}));
}

static void avgpool(struct km_graph *g, int in)
{
    km_graph_mean(g, km_graph_avgpool(g, in, (struct km_window){3, 2, 1}));
}

static void add(struct km_graph *g, int in)
{
    int other = km_graph_conv(g, in, "op", 8, (struct km_window){3, 1, 1}, false);
    km_graph_mean(g, km_graph_add(g, other, in, false));
}

static void add_relu_twice(struct km_graph *g, int in) /* three readers of one output, both sides read again */
{
    int a = km_graph_conv(g, in, "a", 8, (struct km_window){3, 1, 1}, true);
    int b = km_graph_conv(g, a, "b", 8, (struct km_window){3, 1, 1}, true);
    int first = km_graph_add(g, a, in, true), second = km_graph_add(g, b, a, true);
    km_graph_mean(g, km_graph_add(g, first, second, true));
}

static void dropout(struct km_graph *g, int in)
{
    km_graph_dropout(g, km_graph_mean(g, in), 0.4F);
}

static void linear(struct km_graph *g, int in)
{
    km_graph_relu(g, km_graph_linear(g, km_graph_mean(g, in), "op", 21));
}

static const struct trial trials[] = {
    {"conv 3x3", plain_conv},
    {"conv stride 2", strided_conv},
    {"conv uneven", uneven_conv},
    {"conv 1x1", pointwise_conv},
    {"conv 7x7", wide_conv},
    {"norm", norm},
    {"norm relu", norm_relu},
    {"relu", relu},
    {"maxpool", maxpool},
    {"avgpool", avgpool},
    {"add", add},
    {"adds", add_relu_twice},
    {"dropout", dropout},
    {"linear", linear},
};

/* A convolution in front, so that the operator's own diff_src shows in that one's gradients; a linear layer behind. */
static void build(const struct trial *trial, struct km_graph *graph)
{
    struct km_err err = KM_ERR_INIT;
    km_graph_init(graph);
    int image = km_graph_image(graph, (struct km_shape){3, 9, 9});
    int front = km_graph_conv(graph, image, "front", 8, (struct km_window){3, 1, 1}, true);
    trial->build(graph, front);
    km_graph_linear(graph, graph->count - 1, "fc", 4);
    assert_ok(km_graph_check(graph, &err), err);
}

struct pass {
    float output[OUTPUTS];
    struct km_weights *gradients;
};

static void set_inputs(struct km_network *network)
{
    nets_fill(km_network_image(network), BATCH * 3 * 9 * 9, 5);
    float *valid = km_network_valid(network);
    struct km_shape cells = km_network_cell_shape(network);
    for (size_t i = 0; i < BATCH * cells.height * cells.width; i++)
        valid[i] = i % 3 == 1 ? 0.0F : 1.0F;
    km_network_noise(network, 99);
}

static struct pass run(const struct km_graph *graph, const struct km_weights *weights, const struct km_backend *backend)
{
    struct km_err err = KM_ERR_INIT;
    struct pass pass;
    struct km_network *network =
        nets_network(graph, weights, (struct km_network_options){.backend = backend, .batch = BATCH, .training = true});
    set_inputs(network);
    for (int again = 0; again < 2; again++) { /* nothing is left over from a first pass */
        assert_ok(km_network_forward(network, &err), err);
        nets_fill(km_network_output_diff(network), OUTPUTS, 6);
        assert_ok(km_network_backward(network, &err), err);
    }
    for (size_t i = 0; i < OUTPUTS; i++)
        pass.output[i] = km_network_output(network)[i];
    pass.gradients = nets_weights(graph, 0);
    assert_ok(km_network_get_gradients(network, pass.gradients, &err), err);
    km_network_free(network);
    return pass;
}

static void fast_and_plain_agree(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof trials / sizeof *trials; t++) {
        struct km_graph graph;
        build(&trials[t], &graph);
        struct km_weights *weights = nets_weights(&graph, 11);
        struct pass plain = run(&graph, weights, &km_reference_backend);
        struct pass fast = run(&graph, weights, &km_onednn_backend);
        double off = nets_distance(plain.output, fast.output, OUTPUTS);
        if (off > TOLERANCE)
            fail_msg("%s: outputs differ by %g", trials[t].name, off);
        for (size_t i = 0; i < km_weights_count(weights); i++) {
            const struct km_tensor *a = km_weights_get(plain.gradients, i), *b = km_weights_get(fast.gradients, i);
            off = nets_distance(a->values, b->values, a->floats);
            if (off > TOLERANCE)
                fail_msg("%s: gradients of %s differ by %g", trials[t].name, a->name, off);
        }
        km_weights_free(plain.gradients);
        km_weights_free(fast.gradients);
        km_weights_free(weights);
    }
}

static double loss_of(struct km_network *network, const struct km_weights *weights, const float *diff)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_network_set(network, weights, &err), err);
    assert_ok(km_network_forward(network, &err), err);
    double loss = 0;
    for (size_t i = 0; i < OUTPUTS; i++)
        loss += (double)diff[i] * (double)km_network_output(network)[i];
    return loss;
}

/* The slope seen from both sides; they differ at a kink of relu or max, where there is no gradient to compare. */
static bool slope(struct km_network *network, struct km_weights *weights, float *value, const float *diff, double *out)
{
    const float held = *value, h = 2e-3F;
    double middle = loss_of(network, weights, diff);
    *value = held + h;
    double right = (loss_of(network, weights, diff) - middle) / (double)(*value - held);
    *value = held - h;
    double left = (middle - loss_of(network, weights, diff)) / (double)(held - *value);
    *value = held;
    *out = (left + right) / 2;
    return fabs(left - right) < 0.02 * (0.5 + fabs(left) + fabs(right));
}

static void plain_gradients_are_slopes(void **state)
{
    (void)state;
    for (size_t t = 0; t < sizeof trials / sizeof *trials; t++) {
        struct km_graph graph;
        build(&trials[t], &graph);
        struct km_weights *weights = nets_weights(&graph, 12);
        struct pass pass = run(&graph, weights, &km_reference_backend);
        struct km_network *network = nets_network(
            &graph, weights,
            (struct km_network_options){.backend = &km_reference_backend, .batch = BATCH, .training = true});
        set_inputs(network);
        float diff[OUTPUTS];
        nets_fill(diff, OUTPUTS, 6);
        unsigned smooth = 0, sampled = 0;
        for (size_t i = 0; i < km_weights_count(weights); i++) {
            struct km_tensor *tensor = km_weights_at(weights, i);
            if (tensor->role == KM_ROLE_MEAN || tensor->role == KM_ROLE_VARIANCE)
                continue;
            for (size_t j = 0; j < tensor->floats; j += 1 + tensor->floats / 7) {
                double numeric, exact = (double)km_weights_get(pass.gradients, i)->values[j];
                sampled++;
                if (!slope(network, weights, &tensor->values[j], diff, &numeric))
                    continue;
                smooth++;
                if (fabs(numeric - exact) > 0.02 * (0.5 + fabs(exact)))
                    fail_msg("%s: %s[%zu]: gradient %g, slope %g", trials[t].name, tensor->name, j, exact, numeric);
            }
        }
        if (smooth < sampled * 3 / 4)
            fail_msg("%s: only %u of %u places are smooth", trials[t].name, smooth, sampled);
        km_network_free(network);
        km_weights_free(pass.gradients);
        km_weights_free(weights);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fast_and_plain_agree),
        cmocka_unit_test(plain_gradients_are_slopes),
    };
    return KM_RUN_TESTS(tests);
}
