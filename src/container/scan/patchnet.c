#include "container/scan/patchnet.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "nn/cardfile.h"
#include "nn/crew.h"
#include "nn/fold.h"
#include "nn/modelfile.h"
#include "nn/network.h"

#define PLANE     ((size_t)KM_PATCHNET_SIDE * KM_PATCHNET_SIDE)
#define ROW       ((size_t)3 * KM_PATCHNET_SIDE)
#define MAX_LOGIT 1e5F

struct km_patchnet {
    struct km_card card;
    struct km_graph graph;
    struct km_weights *folded; /* until all networks have them */
    const struct km_backend *backend;
    struct km_crew *crew;
    uint32_t members;
    struct km_network *networks[KM_PATCHNET_MAX_JOBS]; /* each made, used and freed by its member's thread */
    double threshold;
    struct km_patchnet_score black; /* what lies behind the end of the container is black */
    char version[KM_CARD_TEXT_BYTES + 32];
    char unknown[KM_SAFETENSORS_NAME_BYTES];
};

/* ---- Networks, made by the threads that use them ---- */

static enum km_code make_network(struct km_patchnet *net, uint32_t member, struct km_err *err)
{
    const struct km_network_options options = {
        .backend = net->backend, .batch = 1, .share = member > 0 ? net->networks[0] : NULL};
    struct km_network *network = km_network_new(&net->graph, &options, err);
    if (!network)
        return err->code;
    net->networks[member] = network;
    return km_network_shares(network) ? KM_OK : km_network_set(network, net->folded, err);
}

static enum km_code make_first(void *context, uint32_t member, struct km_err *err)
{
    return member == 0 ? make_network(context, member, err) : KM_OK;
}

static enum km_code make_others(void *context, uint32_t member, struct km_err *err)
{
    return member > 0 ? make_network(context, member, err) : KM_OK;
}

static void free_network(struct km_patchnet *net, uint32_t member)
{
    km_network_free(net->networks[member]);
    net->networks[member] = NULL;
}

static enum km_code free_others(void *context, uint32_t member, struct km_err *err)
{
    (void)err;
    if (member > 0)
        free_network(context, member);
    return KM_OK;
}

static enum km_code free_first(void *context, uint32_t member, struct km_err *err)
{
    (void)err;
    if (member == 0)
        free_network(context, member);
    return KM_OK;
}

void km_patchnet_free(struct km_patchnet *net)
{
    if (!net)
        return;
    if (net->crew) {
        struct km_err err = KM_ERR_INIT; /* these tasks cannot fail */
        KM_ASSERT(km_crew_run(net->crew, free_others, net, &err) == KM_OK);
        KM_ASSERT(km_crew_run(net->crew, free_first, net, &err) == KM_OK);
    }
    km_crew_free(net->crew);
    km_weights_free(net->folded);
    free(net);
}

/* ---- Scores ---- */

struct work {
    struct km_patchnet *net;
    const uint8_t *rgb;
    size_t stride; /* bytes of a row of the band */
    size_t count;
    const uint32_t *patches; /* which of the band */
    struct km_patchnet_score *out;
};

/* The reference reads its pictures as OpenCV does: planes of blue (structure), green (magnitude) and red (class), as
 * they are, 0 to 255. */
static void fill_planes(const uint8_t *rgb, size_t stride, float *planes)
{
    for (size_t row = 0; row < KM_PATCHNET_SIDE; row++)
        for (size_t col = 0; col < KM_PATCHNET_SIDE; col++) {
            const uint8_t *pixel = rgb + row * stride + col * 3;
            float *at = planes + row * KM_PATCHNET_SIDE + col;
            at[0] = pixel[2];
            at[PLANE] = pixel[1];
            at[2 * PLANE] = pixel[0];
        }
}

static double logistic(double logit)
{
    return 1 / (1 + exp(-logit));
}

static enum km_code score_patch(struct km_network *network, const uint8_t *rgb, size_t stride,
                                struct km_patchnet_score *out, struct km_err *err)
{
    fill_planes(rgb, stride, km_network_image(network));
    enum km_code code = km_network_forward(network, err);
    if (code != KM_OK)
        return code;
    const float *answer = km_network_output(network);
    uint32_t outputs = km_network_outputs(network);
    for (uint32_t i = 0; i < outputs; i++)
        if (!(fabsf(answer[i]) <= MAX_LOGIT)) /* weights may be finite and their sums not */
            return km_fail(err, KM_FORMAT, "the network answers with no usable number");
    double logit = (double)answer[outputs - 1];
    double malevolent = logistic(logit);
    *out = (struct km_patchnet_score){
        .logit = logit,
        .malevolent = malevolent,
        .benign = outputs == 2 ? logistic((double)answer[0]) : 1 - malevolent,
    };
    return KM_OK;
}

static enum km_code score_share(void *context, uint32_t member, struct km_err *err)
{
    const struct work *work = context;
    enum km_code code = KM_OK;
    for (size_t i = member; code == KM_OK && i < work->count; i += work->net->members) {
        uint32_t patch = work->patches[i];
        code = score_patch(work->net->networks[member], work->rgb + patch * ROW, work->stride, &work->out[patch], err);
    }
    return code;
}

static bool is_black(const uint8_t *rgb, size_t stride)
{
    for (size_t row = 0; row < KM_PATCHNET_SIDE; row++) {
        const uint8_t *at = rgb + row * stride;
        if (at[0] != 0 || memcmp(at, at + 1, ROW - 1) != 0)
            return false;
    }
    return true;
}

enum km_code km_patchnet_score(struct km_patchnet *net, const uint8_t *rgb, size_t count, struct km_patchnet_score *out,
                               struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint32_t *patches = km_calloc(count, sizeof *patches, SIZE_MAX, err);
    if (!patches)
        return err->code;
    struct work work = {.net = net, .rgb = rgb, .stride = count * ROW, .patches = patches, .out = out};
    for (uint32_t i = 0; i < count; i++)
        if (is_black(rgb + i * ROW, work.stride))
            out[i] = net->black;
        else
            patches[work.count++] = i;
    return work.count > 0 ? km_crew_run(net->crew, score_share, &work, err) : KM_OK;
}

/* ---- Loading ---- */

static enum km_code check_card(const struct km_card *card, double *out_threshold, struct km_err *err)
{
    if (card->architecture != KM_ARCHITECTURE_RESNET18 || card->view != KM_CARD_VIEW_TAR || card->outputs > 2)
        return km_fail(err, KM_UNSUPPORTED,
                       "the network '%s' is not a resnet18 of the tar view with one or two outputs", card->name);
    double threshold = KM_PATCHNET_THRESHOLD;
    if (km_card_threshold_find(card, "patch", &threshold) && !(threshold > 0 && threshold < 1))
        return km_fail(err, KM_FORMAT, "model card: the threshold 'patch' is no probability between 0 and 1");
    *out_threshold = threshold;
    return KM_OK;
}

static enum km_code take_model(struct km_patchnet *net, const struct km_model *model, struct km_err *err)
{
    net->card = model->card;
    (void)snprintf(net->unknown, sizeof net->unknown, "%s", model->report.first_unknown);
    char digest[KM_SHA256_HEX_BYTES];
    km_hex_format(model->card.sha256, KM_SHA256_BYTES, digest);
    (void)snprintf(net->version, sizeof net->version, "%s sha256:%.16s", model->card.name, digest);
    return km_fold(&model->graph, model->weights, &net->graph, &net->folded, err);
}

static enum km_code score_black(void *context, uint32_t member, struct km_err *err)
{
    static const uint8_t rows[ROW];
    struct km_patchnet *net = context;
    return member == 0 ? score_patch(net->networks[0], rows, 0, &net->black, err) : KM_OK;
}

static enum km_code make_crew(struct km_patchnet *net, struct km_err *err)
{
    net->crew = km_crew_new(net->members, err);
    if (!net->crew)
        return err->code;
    enum km_code code = km_crew_run(net->crew, make_first, net, err);
    if (code == KM_OK)
        code = km_crew_run(net->crew, make_others, net, err);
    km_weights_free(km_steal(net->folded));
    return code == KM_OK ? km_crew_run(net->crew, score_black, net, err) : code;
}

enum km_code km_patchnet_load(int card_fd, int weights_fd, const struct km_patchnet_options *options,
                              struct km_patchnet **out, struct km_err *err)
{
    KM_CLEANUP(km_patchnet_cleanup) struct km_patchnet *net = km_calloc(1, sizeof *net, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free) struct km_model *model = net ? km_calloc(1, sizeof *model, SIZE_MAX, err) : NULL;
    if (!model)
        return err->code;
    net->backend = options->backend;
    net->members = options->jobs < 1 ? 1 : options->jobs > KM_PATCHNET_MAX_JOBS ? KM_PATCHNET_MAX_JOBS : options->jobs;
    const struct km_model_view view = {.side = KM_PATCHNET_SIDE};
    enum km_code code = km_cardfile_load_card(card_fd, &model->card, err);
    if (code == KM_OK)
        code = check_card(&model->card, &net->threshold, err);
    if (code == KM_OK)
        code = km_model_load(card_fd, weights_fd, &view, model, err);
    if (code != KM_OK)
        return code;
    code = take_model(net, model, err);
    km_model_done(model);
    if (code == KM_OK)
        code = make_crew(net, err);
    if (code == KM_OK)
        *out = km_steal(net);
    return code;
}

const struct km_card *km_patchnet_card(const struct km_patchnet *net)
{
    return &net->card;
}

const char *km_patchnet_version(const struct km_patchnet *net)
{
    return net->version;
}

double km_patchnet_threshold(const struct km_patchnet *net)
{
    return net->threshold;
}

const char *km_patchnet_unknown(const struct km_patchnet *net)
{
    return net->unknown;
}
