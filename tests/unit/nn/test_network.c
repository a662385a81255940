#define KM_TEST_NAME "network"
#include "nets.h"

#include <string.h>

#include "nn/architecture.h"
#include "nn/fold.h"

#include "counting.h"

#define TOLERANCE 5e-5

struct fixture {
    struct km_stem_order *order;
    struct km_graph graph;
    uint8_t bytes[2][4096];
    struct km_square squares[2];
};

static void light(struct fixture *f, enum km_stem_kind stem)
{
    struct km_err err = KM_ERR_INIT;
    f->order = nets_order(64);
    struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_LIGHT, .outputs = 2, .stem = stem, .order = f->order, .colours = nets_colours()};
    assert_ok(km_architecture_build(&options, &f->graph, &err), err);
    for (size_t i = 0; i < 4096; i++) {
        f->bytes[0][i] = (uint8_t)(i * i / 3 + i);
        f->bytes[1][i] = (uint8_t)(i * 7 ^ i >> 3);
    }
    f->squares[0] = (struct km_square){f->bytes[0], 4096};
    f->squares[1] = (struct km_square){f->bytes[1], 2500};
}

static void resnet(struct fixture *f)
{
    struct km_err err = KM_ERR_INIT;
    f->order = NULL;
    struct km_architecture_options options = {.kind = KM_ARCHITECTURE_RESNET18, .outputs = 2, .side = 32};
    assert_ok(km_architecture_build(&options, &f->graph, &err), err);
}

static void set_inputs(const struct fixture *f, struct km_network *network)
{
    uint32_t batch = km_network_batch(network);
    if (f->order)
        km_network_squares(network, f->squares, batch < 2 ? batch : 2);
    else
        nets_fill(km_network_image(network), (size_t)batch * 3 * 32 * 32, 4);
    km_network_noise(network, 1);
}

/* Two outputs for each of two squares. */
static void infer(const struct fixture *f, const struct km_graph *graph, const struct km_weights *weights,
                  const struct km_backend *backend, float out[4])
{
    struct km_err err = KM_ERR_INIT;
    struct km_network *network =
        nets_network(graph, weights, (struct km_network_options){.backend = backend, .batch = 2});
    set_inputs(f, network);
    for (int again = 0; again < 2; again++)
        assert_ok(km_network_forward(network, &err), err);
    memcpy(out, km_network_output(network), 4 * sizeof *out);
    km_network_free(network);
}

static void folded_and_plain_infer_alike(const struct fixture *f)
{
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = nets_weights(&f->graph, 21), *folded = NULL;
    struct km_graph graph;
    assert_ok(km_fold(&f->graph, weights, &graph, &folded, &err), err);
    for (int i = 0; i < graph.count; i++) {
        assert_int_not_equal(graph.nodes[i].kind, KM_NODE_NORM);
        assert_int_not_equal(graph.nodes[i].kind, KM_NODE_DROPOUT);
    }
    float plain[4], fast[4], plain_folded[4], fast_folded[4];
    infer(f, &f->graph, weights, &km_reference_backend, plain);
    infer(f, &f->graph, weights, &km_onednn_backend, fast);
    infer(f, &graph, folded, &km_reference_backend, plain_folded);
    infer(f, &graph, folded, &km_onednn_backend, fast_folded);
    assert_true(fabs((double)plain[0] - (double)plain[2]) > 1e-3); /* the inputs matter */
    assert_true(nets_distance(plain, fast, 4) < TOLERANCE);
    assert_true(nets_distance(plain, plain_folded, 4) < TOLERANCE);
    assert_true(nets_distance(plain, fast_folded, 4) < TOLERANCE);
    km_weights_free(folded);
    km_weights_free(weights);
}

static void step(const struct fixture *f, const struct km_weights *weights, const struct km_backend *backend,
                 struct km_weights *gradients)
{
    struct km_err err = KM_ERR_INIT;
    struct km_network *network =
        nets_network(&f->graph, weights, (struct km_network_options){.backend = backend, .batch = 2, .training = true});
    set_inputs(f, network);
    assert_ok(km_network_forward(network, &err), err);
    nets_fill(km_network_output_diff(network), 4, 8);
    assert_ok(km_network_backward(network, &err), err);
    assert_ok(km_network_get_gradients(network, gradients, &err), err);
    km_network_free(network);
}

static void plain_and_fast_learn_alike(const struct fixture *f, double tolerance)
{
    struct km_weights *weights = nets_weights(&f->graph, 22);
    struct km_weights *plain = nets_weights(&f->graph, 0), *fast = nets_weights(&f->graph, 0);
    step(f, weights, &km_reference_backend, plain);
    step(f, weights, &km_onednn_backend, fast);
    for (size_t i = 0; i < km_weights_count(weights); i++) {
        const struct km_tensor *a = km_weights_get(plain, i), *b = km_weights_get(fast, i);
        double off = nets_distance(a->values, b->values, a->floats);
        if (off > tolerance)
            fail_msg("gradients of %s differ by %g", a->name, off);
    }
    km_weights_free(plain);
    km_weights_free(fast);
    km_weights_free(weights);
}

static void light_networks_agree(void **state)
{
    (void)state;
    static const enum km_stem_kind stems[] = {KM_STEM_COLOUR, KM_STEM_BYTE, KM_STEM_HASH};
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++) {
        struct fixture f;
        light(&f, stems[i]);
        folded_and_plain_infer_alike(&f);
        plain_and_fast_learn_alike(&f, 1e-3); /* a relu near 0 may fall on either side */
        km_stem_order_free(f.order);
    }
}

static void resnet18_agrees(void **state)
{
    (void)state;
    struct fixture f;
    resnet(&f);
    folded_and_plain_infer_alike(&f);
}

/* The head of the reference: Linear(512, 256), ReLU, Linear(256, 2). */
static void a_head_with_hidden_units_agrees(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct fixture f = {0};
    struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_RESNET18, .outputs = 2, .side = 32, .hidden = 256};
    assert_ok(km_architecture_build(&options, &f.graph, &err), err);
    struct km_weights *weights = km_weights_new(&f.graph, &err);
    assert_non_null(weights);
    assert_int_equal(km_weights_count(weights), 104);
    static const struct {
        const char *name;
        uint64_t dims[2];
    } head[] = {{"fc.0.weight", {256, 512}}, {"fc.0.bias", {256}}, {"fc.2.weight", {2, 256}}, {"fc.2.bias", {2}}};
    for (size_t i = 0; i < 4; i++) {
        const struct km_tensor *t = km_weights_get(weights, 100 + i);
        assert_string_equal(t->name, head[i].name);
        for (uint32_t d = 0; d < t->rank; d++)
            assert_int_equal(t->dims[d], head[i].dims[d]);
    }
    km_weights_free(weights);
    folded_and_plain_infer_alike(&f);
}

/* Alone, for in 1x1 cells of two samples the norms of resnet18 amplify rounding without bound. */
static void a_head_with_hidden_units_learns_alike(void **state)
{
    (void)state;
    struct fixture f = {0};
    struct km_err err = KM_ERR_INIT;
    km_graph_init(&f.graph);
    int last = km_graph_image(&f.graph, (struct km_shape){3, 32, 32});
    last = km_graph_mean(&f.graph, km_graph_conv(&f.graph, last, "conv1", 16, (struct km_window){3, 2, 1}, false));
    last = km_graph_relu(&f.graph, km_graph_linear(&f.graph, last, "fc.0", 8));
    km_graph_linear(&f.graph, last, "fc.2", 2);
    assert_ok(km_graph_check(&f.graph, &err), err);
    plain_and_fast_learn_alike(&f, TOLERANCE);
}

/* torchvision's names and shapes, as published with its weights. */
static void resnet18_has_torchvisions_names(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_graph graph;
    struct km_architecture_options options = {.kind = KM_ARCHITECTURE_RESNET18, .outputs = 1000, .side = 224};
    assert_ok(km_architecture_build(&options, &graph, &err), err);
    struct km_weights *weights = km_weights_new(&graph, &err);
    assert_non_null(weights);
    assert_int_equal(km_weights_count(weights), 102);              /* 122 less 20 num_batches_tracked */
    assert_int_equal(km_weights_floats(weights), 11689512 + 9600); /* parameters and running statistics */
    static const struct {
        const char *name;
        uint64_t dims[4];
    } some[] = {
        {"conv1.weight", {64, 3, 7, 7}},
        {"bn1.running_var", {64, 1, 1, 1}},
        {"layer1.0.conv1.weight", {64, 64, 3, 3}},
        {"layer2.0.downsample.0.weight", {128, 64, 1, 1}},
        {"layer2.0.downsample.1.running_mean", {128, 1, 1, 1}},
        {"layer4.1.bn2.bias", {512, 1, 1, 1}},
        {"layer4.1.conv2.weight", {512, 512, 3, 3}},
        {"fc.weight", {1000, 512, 1, 1}},
        {"fc.bias", {1000, 1, 1, 1}},
    };
    for (size_t i = 0; i < sizeof some / sizeof *some; i++) {
        bool found = false;
        for (size_t j = 0; j < km_weights_count(weights); j++) {
            const struct km_tensor *t = km_weights_get(weights, j);
            if (strcmp(t->name, some[i].name) == 0) {
                found = true;
                assert_memory_equal(t->dims, some[i].dims, sizeof t->dims);
            }
        }
        if (!found)
            fail_msg("no tensor %s", some[i].name);
    }
    km_weights_free(weights);
}

static void the_output_is_the_mean_of_valid_cells(void **state)
{
    (void)state;
    struct fixture f;
    light(&f, KM_STEM_HASH);
    struct km_err err = KM_ERR_INIT;
    static const struct km_backend *const backends[] = {&km_reference_backend, &km_onednn_backend};
    struct km_weights *weights = nets_weights(&f.graph, 23);
    for (size_t b = 0; b < 2; b++) {
        struct km_network *network =
            nets_network(&f.graph, weights, (struct km_network_options){.backend = backends[b], .batch = 2});
        set_inputs(&f, network);
        assert_ok(km_network_forward(network, &err), err);
        float cells[2 * 2 * 4];
        struct km_shape shape = km_network_cell_shape(network);
        assert_int_equal(shape.channels * shape.height * shape.width, 8);
        assert_ok(km_network_cells(network, cells, &err), err);
        for (size_t n = 0; n < 2; n++)
            for (size_t o = 0; o < 2; o++) {
                double sum = 0, valid = 0;
                for (size_t i = 0; i < 4; i++) {
                    sum += (double)cells[(n * 2 + o) * 4 + i];
                    valid += (double)km_network_valid(network)[n * 4 + i];
                }
                assert_int_equal((int)valid, n == 0 ? 4 : 3);
                assert_true(fabs(sum / valid - (double)km_network_output(network)[n * 2 + o]) < 1e-4);
            }
        km_network_free(network);
    }
    km_weights_free(weights);
    km_stem_order_free(f.order);
}

static void a_square_scores_alike_alone_and_in_company(void **state)
{
    (void)state;
    struct fixture f;
    light(&f, KM_STEM_HASH);
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = nets_weights(&f.graph, 24);
    float together[4];
    infer(&f, &f.graph, weights, NULL, together);
    for (size_t n = 0; n < 2; n++) {
        struct km_network *network = nets_network(&f.graph, weights, (struct km_network_options){.batch = 1});
        km_network_squares(network, &f.squares[n], 1);
        assert_ok(km_network_forward(network, &err), err);
        assert_memory_equal(km_network_output(network), together + 2 * n, 2 * sizeof(float));
        km_network_free(network);
    }
    km_weights_free(weights);
    km_stem_order_free(f.order);
}

static void bytes_behind_the_content_do_not_matter(void **state)
{
    (void)state;
    struct fixture f;
    light(&f, KM_STEM_COLOUR);
    struct km_weights *weights = nets_weights(&f.graph, 25);
    float before[4], after[4];
    infer(&f, &f.graph, weights, NULL, before);
    memset(f.bytes[1] + 2500, 'z', 4096 - 2500);
    infer(&f, &f.graph, weights, NULL, after);
    assert_memory_equal(before, after, sizeof before);
    f.squares[1].length = 2501;
    infer(&f, &f.graph, weights, NULL, after);
    assert_memory_not_equal(before + 2, after + 2, 2 * sizeof *before);
    km_weights_free(weights);
    km_stem_order_free(f.order);
}

static void an_empty_square_gives_the_bias(void **state)
{
    (void)state;
    struct fixture f;
    light(&f, KM_STEM_HASH);
    struct km_weights *weights = nets_weights(&f.graph, 26);
    f.squares[0].length = 0;
    float out[4];
    infer(&f, &f.graph, weights, NULL, out);
    const struct km_tensor *bias = km_weights_find(weights, f.graph.count - 1, KM_ROLE_BIAS);
    assert_memory_equal(out, bias->values, 2 * sizeof *out);
    km_weights_free(weights);
    km_stem_order_free(f.order);
}

static void weights_are_shared_and_read_back(void **state)
{
    (void)state;
    struct fixture f;
    light(&f, KM_STEM_BYTE);
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = nets_weights(&f.graph, 27), *back = nets_weights(&f.graph, 0);
    struct km_network *first = nets_network(&f.graph, weights, (struct km_network_options){.batch = 2});
    struct km_network *second = nets_network(&f.graph, NULL, (struct km_network_options){.batch = 2, .share = first});
    assert_true(km_network_shares(second));
    assert_int_equal(km_network_set(second, weights, &err), KM_CONFLICT);
    set_inputs(&f, first);
    set_inputs(&f, second);
    assert_ok(km_network_forward(first, &err), err);
    assert_ok(km_network_forward(second, &err), err);
    assert_memory_equal(km_network_output(first), km_network_output(second), 4 * sizeof(float));
    float a[16], b[16];
    assert_ok(km_network_cells(first, a, &err), err);
    assert_ok(km_network_cells(second, b, &err), err);
    assert_memory_equal(a, b, sizeof a);
    assert_ok(km_network_get(second, back, &err), err);
    for (size_t i = 0; i < km_weights_count(weights); i++)
        assert_memory_equal(km_weights_get(weights, i)->values, km_weights_get(back, i)->values,
                            km_weights_get(weights, i)->floats * sizeof(float));
    km_network_free(second);
    km_network_free(first);
    km_weights_free(weights);
    km_weights_free(back);
    km_stem_order_free(f.order);
}

/* Where the processor has no such method the two are the same network. */
static void winograds_method_changes_last_digits_alone(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    struct km_err err = KM_ERR_INIT;
    struct km_stem_order *order = nets_order(256);
    struct km_graph graph, folded_graph;
    const struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_LIGHT, .outputs = 1, .stem = KM_STEM_HASH, .order = order};
    assert_ok(km_architecture_build(&options, &graph, &err), err);
    struct km_weights *weights = nets_weights(&graph, 31), *folded = NULL;
    assert_ok(km_fold(&graph, weights, &folded_graph, &folded, &err), err);
    struct km_network *direct = nets_network(&folded_graph, folded, (struct km_network_options){.batch = 1});
    struct km_network *fast =
        nets_network(&folded_graph, folded, (struct km_network_options){.batch = 1, .winograd = true});
    double before = NAN;
    for (size_t length = 500; length <= sizeof bytes; length = length * 5 + 36) {
        for (size_t i = 0; i < length; i++)
            bytes[i] = (uint8_t)(i * i / 7 ^ i * length);
        const struct km_square square = {bytes, length};
        km_network_squares(direct, &square, 1);
        km_network_squares(fast, &square, 1);
        assert_ok(km_network_forward(direct, &err), err);
        assert_ok(km_network_forward(fast, &err), err);
        double wanted = (double)km_network_output(direct)[0], got = (double)km_network_output(fast)[0];
        assert_true(fabs(got - wanted) < 1e-4 * (1 + fabs(wanted)));
        assert_true(fabs(wanted - before) > 1e-3 || isnan(before)); /* the inputs matter */
        before = wanted;
    }
    /* With it in use the weights are in an order that has no way back; without it they are what was set. */
    struct km_weights *back = nets_weights(&folded_graph, 0);
    enum km_code code = km_network_get(fast, back, &err);
    print_message("Winograd's method is %s here\n", code == KM_OK ? "not" : "in use");
    assert_true(code == KM_OK || code == KM_UNSUPPORTED);
#if defined(__x86_64__)
    assert_true(code == KM_OK || __builtin_cpu_supports("avx512f"));
#endif
    km_weights_free(back);
    km_network_free(fast);
    km_network_free(direct);
    km_weights_free(folded);
    km_weights_free(weights);
    km_stem_order_free(order);
}

static void other_weights_are_a_conflict(void **state)
{
    (void)state;
    struct fixture f, g;
    light(&f, KM_STEM_BYTE);
    light(&g, KM_STEM_HASH);
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = nets_weights(&g.graph, 1), *folded = NULL;
    struct km_network *network = nets_network(&f.graph, NULL, (struct km_network_options){.batch = 1});
    struct km_graph graph;
    assert_int_equal(km_network_set(network, weights, &err), KM_CONFLICT);
    assert_int_equal(km_fold(&f.graph, weights, &graph, &folded, &err), KM_CONFLICT);
    assert_null(folded);
    km_network_free(network);
    km_weights_free(weights);
    km_stem_order_free(f.order);
    km_stem_order_free(g.order);
}

static void a_step_allocates_nothing(void **state)
{
    (void)state;
    struct fixture f;
    light(&f, KM_STEM_HASH);
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = nets_weights(&f.graph, 28);
    for (int training = 0; training < 2; training++) {
        unsigned before = allocations;
        struct km_network *network =
            nets_network(&f.graph, weights, (struct km_network_options){.batch = 2, .training = training});
        assert_true(allocations > before); /* the counter counts */
        before = allocations;
        for (int i = 0; i < 3; i++) {
            float cells[16];
            set_inputs(&f, network);
            assert_ok(km_network_forward(network, &err), err);
            assert_ok(km_network_cells(network, cells, &err), err);
            if (training)
                assert_ok(km_network_backward(network, &err), err);
        }
        assert_int_equal(allocations, before);
        km_network_free(network);
    }
    km_weights_free(weights);
    km_stem_order_free(f.order);
}

static void inference_reuses_its_buffers(void **state)
{
    (void)state;
    struct fixture f;
    resnet(&f);
    size_t bytes[2];
    for (int training = 0; training < 2; training++) {
        struct km_network *network =
            nets_network(&f.graph, NULL, (struct km_network_options){.batch = 1, .training = training});
        bytes[training] = km_network_workspace_bytes(network);
        km_network_free(network);
    }
    assert_true(bytes[0] * 3 < bytes[1]);
}

static void mistakes_in_a_graph_are_named(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_graph g;
    km_graph_init(&g);
    int image = km_graph_image(&g, (struct km_shape){3, 8, 8});
    assert_int_equal(km_graph_linear(&g, image, "fc", 2), -1); /* not flat */
    assert_int_equal(km_graph_mean(&g, image), -1);            /* nothing after a mistake */
    assert_int_equal(km_graph_check(&g, &err), KM_FORMAT);
    assert_non_null(strstr(err.text, "node 1"));

    km_graph_init(&g);
    image = km_graph_image(&g, (struct km_shape){3, 8, 8});
    assert_int_equal(km_graph_conv(&g, image, "c", 4, (struct km_window){9, 1, 0}, false), -1); /* too wide */
    km_graph_init(&g);
    image = km_graph_image(&g, (struct km_shape){3, 8, 8});
    int halved = km_graph_maxpool(&g, image, (struct km_window){2, 2, 0});
    assert_int_equal(km_graph_add(&g, image, halved, false), -1); /* shapes */
    km_graph_init(&g);
    image = km_graph_image(&g, (struct km_shape){3, 8, 8});
    (void)km_graph_relu(&g, image);
    (void)km_graph_mean(&g, image); /* the relu is read by nobody */
    assert_int_equal(km_graph_check(&g, &err), KM_FORMAT);
    km_graph_init(&g);
    assert_int_equal(km_graph_image(&g, (struct km_shape){3, 4096, 8}), -1);
    assert_int_equal(km_graph_check(&g, &err), KM_LIMIT);
    assert_null(km_weights_new(&g, &err));
    km_graph_init(&g);
    int last = km_graph_image(&g, (struct km_shape){1, 8, 8});
    for (int i = 0; i < KM_GRAPH_MAX_NODES; i++)
        last = km_graph_relu(&g, last);
    assert_int_equal(last, -1);
    assert_int_equal(km_graph_check(&g, &err), KM_LIMIT);
}

static void batches_have_a_limit(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct fixture f;
    resnet(&f);
    assert_null(km_network_new(&f.graph, &(struct km_network_options){.batch = 0}, &err));
    assert_int_equal(err.code, KM_LIMIT);
    assert_null(km_network_new(&f.graph, &(struct km_network_options){.batch = 5000}, &err));
    assert_int_equal(err.code, KM_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(light_networks_agree),
        cmocka_unit_test(resnet18_agrees),
        cmocka_unit_test(a_head_with_hidden_units_agrees),
        cmocka_unit_test(a_head_with_hidden_units_learns_alike),
        cmocka_unit_test(resnet18_has_torchvisions_names),
        cmocka_unit_test(the_output_is_the_mean_of_valid_cells),
        cmocka_unit_test(a_square_scores_alike_alone_and_in_company),
        cmocka_unit_test(bytes_behind_the_content_do_not_matter),
        cmocka_unit_test(an_empty_square_gives_the_bias),
        cmocka_unit_test(weights_are_shared_and_read_back),
        cmocka_unit_test(winograds_method_changes_last_digits_alone),
        cmocka_unit_test(other_weights_are_a_conflict),
        cmocka_unit_test(a_step_allocates_nothing),
        cmocka_unit_test(inference_reuses_its_buffers),
        cmocka_unit_test(mistakes_in_a_graph_are_named),
        cmocka_unit_test(batches_have_a_limit),
    };
    return KM_RUN_TESTS(tests);
}
