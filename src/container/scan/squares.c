#include "container/scan/squares.h"

#include <math.h>
#include <string.h>

#include "container/imaging/curve.h"
#include "container/imaging/fileview.h"
#include "nn/fold.h"
#include "nn/modelfile.h"
#include "nn/network.h"

#define SIZES     KM_FILEVIEW_SIZES
#define MAX_CELLS (KM_FILEVIEW_MAX_BYTES / KM_STEM_GRANULE)
#define MAX_BATCH 16U
#define MAX_LOGIT 1e5F

/* Large squares fill a core's cache alone; small ones cost more to begin than to compute. */
static const struct {
    uint32_t side, batch;
} sizes[SIZES] = {{256, 1}, {128, 2}, {64, 6}, {32, 16}};

struct km_squares_model {
    struct km_stem_order *orders[SIZES];
    struct km_graph graphs[SIZES];
    struct km_network *networks[SIZES];       /* hold the weights that the workers' share */
    uint16_t cell_of_place[SIZES][MAX_CELLS]; /* number in the file's order of the cell at row * width + column */
};

/* A square that waits for its batch to be full. */
struct waiting {
    struct km_segment *segment;
    uint32_t offset; /* in the segment */
    struct km_square square;
};

struct km_squares {
    const struct km_squares_model *model;
    struct km_network *networks[SIZES]; /* each made for the first square of its side */
    struct waiting waiting[SIZES][MAX_BATCH];
    uint32_t count[SIZES];
    float cells[MAX_BATCH * MAX_CELLS];
};

/* ---- The model ---- */

static enum km_code make_order(struct km_squares_model *model, size_t s, struct km_err *err)
{
    uint32_t side = sizes[s].side;
    KM_CLEANUP(km_curve_cleanup) struct km_curve *curve = km_curve_new(KM_CURVE_HILBERT, side, err);
    if (!curve)
        return err->code;
    KM_CLEANUP(km_cleanup_free) uint32_t *places = km_calloc((size_t)side * side, sizeof *places, SIZE_MAX, err);
    if (!places)
        return err->code;
    for (uint32_t i = 0; i < side * side; i++) {
        uint32_t col, row;
        km_curve_get_pixel(curve, i, &col, &row);
        places[i] = row * side + col;
        if (i % KM_STEM_GRANULE == 0)
            model->cell_of_place[s][row / 32 * (side / 32) + col / 32] = (uint16_t)(i / KM_STEM_GRANULE);
    }
    model->orders[s] = km_stem_order_new(side, places, err);
    return model->orders[s] ? KM_OK : err->code;
}

static enum km_code check_card(const struct km_card *card, struct km_err *err)
{
    if (card->architecture != KM_ARCHITECTURE_LIGHT || card->view != KM_CARD_VIEW_FILE || card->outputs != 1 ||
        card->stem == KM_STEM_COLOUR)
        return km_fail(err, KM_UNSUPPORTED,
                       "the network '%s' is not a light one of the file view with a byte or hash stem and one output",
                       card->name);
    return KM_OK;
}

static struct km_network *make_network(const struct km_graph *graph, size_t s, const struct km_network *share,
                                       struct km_err *err)
{
    const struct km_network_options options = {.batch = sizes[s].batch, .winograd = true, .share = share};
    return km_network_new(graph, &options, err);
}

/* The folded network for one side. Its weights are the same for all, but for the order of those that a method of its
 * own wants: such a network has a set of its own, and the next ones share with each other. */
static enum km_code make_size(struct km_squares_model *model, const struct km_model *loaded, size_t s,
                              struct km_err *err)
{
    const struct km_architecture_options options = {
        .kind = loaded->card.architecture, .outputs = 1, .stem = loaded->card.stem, .order = model->orders[s]};
    KM_CLEANUP(km_cleanup_free) struct km_graph *plain = km_calloc(1, sizeof *plain, SIZE_MAX, err);
    if (!plain)
        return err->code;
    enum km_code code = km_architecture_build(&options, plain, err);
    KM_CLEANUP(km_weights_cleanup) struct km_weights *folded = NULL;
    if (code == KM_OK)
        code = km_fold(plain, loaded->weights, &model->graphs[s], NULL, err);
    if (code != KM_OK)
        return code;
    model->networks[s] = make_network(&model->graphs[s], s, s > 0 ? model->networks[s - 1] : NULL, err);
    if (!model->networks[s])
        return err->code;
    if (km_network_shares(model->networks[s]))
        return KM_OK;
    code = km_fold(plain, loaded->weights, &model->graphs[s], &folded, err);
    return code == KM_OK ? km_network_set(model->networks[s], folded, err) : code;
}

/* Weights may be finite and their sums not. */
static enum km_code check_answer(struct km_squares_model *model, struct km_err *err)
{
    for (size_t s = 0; s < SIZES; s++) {
        km_network_squares(model->networks[s], NULL, 0);
        enum km_code code = km_network_forward(model->networks[s], err);
        if (code != KM_OK)
            return code;
        if (!(fabsf(km_network_output(model->networks[s])[0]) <= MAX_LOGIT))
            return km_fail(err, KM_FORMAT, "the network answers an empty square with no usable number");
    }
    return KM_OK;
}

enum km_code km_squares_model_load(int card_fd, int weights_fd, struct km_squares_model **out, struct km_err *err)
{
    struct km_squares_model *model = km_calloc(1, sizeof *model, SIZE_MAX, err);
    if (!model)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t s = 0; code == KM_OK && s < SIZES; s++)
        code = make_order(model, s, err);
    struct km_model *loaded = code == KM_OK ? km_calloc(1, sizeof *loaded, SIZE_MAX, err) : NULL;
    if (loaded) {
        const struct km_model_view view = {.side = sizes[0].side, .order = model->orders[0]};
        code = km_model_load(card_fd, weights_fd, &view, loaded, err);
        if (code == KM_OK) {
            code = check_card(&loaded->card, err);
            for (size_t s = 0; code == KM_OK && s < SIZES; s++)
                code = make_size(model, loaded, s, err);
            km_model_done(loaded);
        }
        free(loaded);
    } else if (code == KM_OK) {
        code = err->code;
    }
    if (code == KM_OK)
        code = check_answer(model, err);
    if (code != KM_OK) {
        km_squares_model_free(model);
        return code;
    }
    *out = model;
    return KM_OK;
}

void km_squares_model_free(struct km_squares_model *model)
{
    if (!model)
        return;
    for (size_t s = SIZES; s-- > 0;)
        km_network_free(model->networks[s]);
    for (size_t s = 0; s < SIZES; s++)
        km_stem_order_free(model->orders[s]);
    free(model);
}

/* ---- A worker ---- */

struct km_squares *km_squares_new(const struct km_squares_model *model, struct km_err *err)
{
    struct km_squares *squares = km_calloc(1, sizeof *squares, SIZE_MAX, err);
    if (squares)
        squares->model = model;
    return squares;
}

void km_squares_free(struct km_squares *squares)
{
    if (!squares)
        return;
    for (size_t s = 0; s < SIZES; s++)
        km_network_free(squares->networks[s]);
    free(squares);
}

/* Strongest first; of equal ones the earlier, so that the order of squares does not matter. */
static void keep_range(struct km_segment_scores *scores, const struct km_score_range *range)
{
    size_t at = scores->range_count;
    while (at > 0 && (scores->ranges[at - 1].logit < range->logit ||
                      (!(scores->ranges[at - 1].logit > range->logit) && scores->ranges[at - 1].begin > range->begin)))
        at--;
    if (at == KM_DETECTOR_RANGES)
        return;
    if (scores->range_count < KM_DETECTOR_RANGES)
        scores->range_count++;
    for (size_t i = scores->range_count - 1; i > at; i--)
        scores->ranges[i] = scores->ranges[i - 1];
    scores->ranges[at] = *range;
}

/* log(exp(a) + exp(b)); -INFINITY is an empty sum, NaN stays. */
static float add_logs(float a, float b)
{
    if (isinf(a) || isnan(b))
        return b;
    if (isinf(b) || isnan(a))
        return a;
    return a > b ? a + log1pf(expf(b - a)) : b + log1pf(expf(a - b));
}

/* One square's answer goes to its segment. Squares of one side come in the file's order, so that their sum has one
 * order, too; those of other sides may come before or after and have a sum of their own. */
static void give_square(const struct km_squares *squares, size_t s, const struct waiting *of, float logit,
                        const float *cells)
{
    struct km_segment_scores *scores = &of->segment->scores;
    float *sum = &of->segment->side_sums[s];
    uint32_t valid = (uint32_t)((of->square.length + KM_STEM_GRANULE - 1) / KM_STEM_GRANULE);
    *sum = add_logs(*sum, fabsf(logit) <= MAX_LOGIT ? logit / KM_NETWORK_SOFTNESS + logf((float)valid) : NAN);
    scores->cells += valid;
    uint32_t places = sizes[s].side * sizes[s].side / KM_STEM_GRANULE;
    for (uint32_t place = 0; place < places; place++) {
        uint32_t cell = squares->model->cell_of_place[s][place];
        if (cell >= valid || !(fabsf(cells[place]) <= MAX_LOGIT))
            continue;
        uint32_t begin = of->offset + cell * KM_STEM_GRANULE, end = begin + KM_STEM_GRANULE;
        uint32_t limit = of->offset + (uint32_t)of->square.length;
        const struct km_score_range range = {begin, end < limit ? end : limit, cells[place]};
        keep_range(scores, &range);
    }
}

/* A scan that finds all scores in its cache needs no network. */
static struct km_network *network_of(struct km_squares *squares, size_t s, struct km_err *err)
{
    if (!squares->networks[s]) {
        squares->networks[s] = make_network(&squares->model->graphs[s], s, squares->model->networks[s], err);
        KM_ASSERT(!squares->networks[s] || km_network_shares(squares->networks[s]));
    }
    return squares->networks[s];
}

static enum km_code run_batch(struct km_squares *squares, size_t s, struct km_err *err)
{
    struct km_square inputs[MAX_BATCH];
    uint32_t count = squares->count[s], places = sizes[s].side * sizes[s].side / KM_STEM_GRANULE;
    squares->count[s] = 0;
    if (count == 0)
        return KM_OK;
    struct km_network *network = network_of(squares, s, err);
    if (!network)
        return err->code;
    for (uint32_t i = 0; i < count; i++)
        inputs[i] = squares->waiting[s][i].square;
    km_network_squares(network, inputs, count);
    enum km_code code = km_network_forward(network, err);
    if (code == KM_OK)
        code = km_network_cells(network, squares->cells, err);
    if (code != KM_OK)
        return code;
    const float *output = km_network_output(network);
    for (uint32_t i = 0; i < count; i++)
        give_square(squares, s, &squares->waiting[s][i], output[i], squares->cells + (size_t)i * places);
    return KM_OK;
}

static size_t size_of(uint32_t side)
{
    size_t s = 0;
    while (sizes[s].side != side)
        s++;
    return s;
}

enum km_code km_squares_score(struct km_squares *squares, struct km_segment *segments, size_t count, struct km_err *err)
{
    enum km_code code = KM_OK;
    memset(squares->count, 0, sizeof squares->count);
    for (size_t i = 0; code == KM_OK && i < count; i++) {
        struct km_segment *segment = &segments[i];
        struct km_fileview_square cut;
        for (size_t s = 0; s < SIZES; s++)
            segment->side_sums[s] = -INFINITY;
        segment->scores.cells = segment->scores.range_count = 0;
        for (uint64_t at = 0; code == KM_OK && km_fileview_cut(segment->length, at, &cut); at += cut.valid) {
            size_t s = size_of(cut.side);
            squares->waiting[s][squares->count[s]++] =
                (struct waiting){segment, (uint32_t)at, {segment->bytes + at, cut.valid}};
            if (squares->count[s] == sizes[s].batch)
                code = run_batch(squares, s, err);
        }
    }
    for (size_t s = 0; code == KM_OK && s < SIZES; s++)
        code = run_batch(squares, s, err);
    for (size_t i = 0; i < count; i++) {
        struct km_segment_scores *scores = &segments[i].scores;
        scores->sum = -INFINITY;
        for (size_t s = 0; s < SIZES; s++)
            scores->sum = add_logs(scores->sum, segments[i].side_sums[s]);
        if (!isfinite(scores->sum)) {
            scores->sum = NAN;
            scores->cells = scores->range_count = 0;
        }
    }
    return code;
}
