#include "nn/architecture.h"

#include <stdio.h>
#include <string.h>

#define LIGHT_DROPOUT 0.3F

static const struct km_window three = {3, 1, 1}, three_halved = {3, 2, 1}, one_halved = {1, 2, 0};

static int conv_norm(struct km_graph *graph, int input, const char *conv, const char *norm, uint32_t channels,
                     struct km_window window)
{
    return km_graph_norm(graph, km_graph_conv(graph, input, conv, channels, window, false), norm, true);
}

/* torchvision's BasicBlock. The shortcut comes first, so that in inference the last convolution can add it. */
static int basic_block(struct km_graph *graph, int input, const char *name, uint32_t channels, bool halves)
{
    char text[5][KM_GRAPH_NAME_BYTES];
    static const char *const parts[] = {"downsample.0", "downsample.1", "conv1", "bn1", "conv2"};
    for (int i = 0; i < 5; i++)
        (void)snprintf(text[i], sizeof text[i], "%.40s.%s", name, parts[i]);
    int shortcut = input;
    if (halves)
        shortcut =
            km_graph_norm(graph, km_graph_conv(graph, input, text[0], channels, one_halved, false), text[1], false);
    int inner = conv_norm(graph, input, text[2], text[3], channels, halves ? three_halved : three);
    int second = km_graph_conv(graph, inner, text[4], channels, three, false);
    (void)snprintf(text[0], sizeof text[0], "%.40s.bn2", name);
    return km_graph_add(graph, km_graph_norm(graph, second, text[0], false), shortcut, true);
}

static void resnet18(struct km_graph *graph, const struct km_architecture_options *options)
{
    int last = km_graph_image(graph, (struct km_shape){3, options->side, options->side});
    last = conv_norm(graph, last, "conv1", "bn1", 64, (struct km_window){7, 2, 3});
    last = km_graph_maxpool(graph, last, three_halved);
    for (uint32_t layer = 0; layer < 4; layer++)
        for (uint32_t block = 0; block < 2; block++) {
            char name[KM_GRAPH_NAME_BYTES];
            (void)snprintf(name, sizeof name, "layer%u.%u", layer + 1, block);
            last = basic_block(graph, last, name, 64U << layer, layer > 0 && block == 0);
        }
    last = km_graph_mean(graph, last);
    if (options->hidden > 0)
        last = km_graph_relu(graph, km_graph_linear(graph, last, "fc.0", options->hidden));
    km_graph_linear(graph, last, options->hidden > 0 ? "fc.2" : "fc", options->outputs);
}

static void light(struct km_graph *graph, const struct km_architecture_options *options)
{
    int last = km_graph_stem(graph, "stem", options->stem, options->order, options->colours);
    last = km_graph_norm(graph, last, "stem_norm", true);
    static const char *const names[][2] = {{"conv1", "norm1"}, {"conv2", "norm2"}, {"conv3", "norm3"}};
    for (uint32_t i = 0; i < 3; i++)
        last = conv_norm(graph, last, names[i][0], names[i][1], 32U << i, three_halved);
    int second = km_graph_norm(graph, km_graph_conv(graph, last, "conv4", 128, three, false), "norm4", false);
    last = km_graph_add(graph, second, last, true);
    last = km_graph_dropout(graph, km_graph_mean(graph, last), LIGHT_DROPOUT);
    km_graph_linear(graph, last, "fc", options->outputs);
}

enum km_code km_architecture_build(const struct km_architecture_options *options, struct km_graph *out_graph,
                                   struct km_err *err)
{
    km_graph_init(out_graph);
    switch (options->kind) {
    case KM_ARCHITECTURE_RESNET18:
        if (options->side % 32 != 0)
            return km_fail(err, KM_FORMAT, "resnet18: a side of %u is not a multiple of 32", options->side);
        resnet18(out_graph, options);
        break;
    case KM_ARCHITECTURE_LIGHT:
        light(out_graph, options);
        break;
    case KM_ARCHITECTURE_TOKENS:
        return km_fail(err, KM_UNSUPPORTED, "a token model is no network");
    }
    return km_graph_check(out_graph, err);
}

static const char *const architectures[] = {"resnet18", "light", "tokens"}, *const stems[] = {"colour", "byte", "hash"};

const char *km_architecture_to_string(enum km_architecture kind)
{
    return architectures[kind];
}

const char *km_stem_kind_to_string(enum km_stem_kind kind)
{
    return stems[kind];
}

enum km_code km_architecture_from_string(const char *text, enum km_architecture *out, struct km_err *err)
{
    for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
        if (strcmp(text, architectures[i]) == 0) {
            *out = (enum km_architecture)i;
            return KM_OK;
        }
    return km_fail(err, KM_UNSUPPORTED, "no such architecture: '%.64s'", text);
}

enum km_code km_stem_kind_from_string(const char *text, enum km_stem_kind *out, struct km_err *err)
{
    for (size_t i = 0; i < sizeof stems / sizeof *stems; i++)
        if (strcmp(text, stems[i]) == 0) {
            *out = (enum km_stem_kind)i;
            return KM_OK;
        }
    return km_fail(err, KM_UNSUPPORTED, "no such stem: '%.64s'", text);
}
