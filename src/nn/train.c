#include "nn/train.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "nn/crew.h"
#include "nn/seeded.h"

struct shard {
    struct km_network *network;
    double loss;
};

struct km_trainer {
    struct km_graph graph;
    struct km_trainer_options options;
    struct km_crew *crew;
    struct shard shards[KM_TRAINER_MAX_SHARDS];
    float *first, *second;   /* moments, in the networks' order */
    float *mean;             /* of the values, in the networks' order; NULL: none is kept */
    struct km_rowdrop *rows; /* of the stem's table; NULL: no row is ever hidden */
    size_t table;            /* the slot of that table */
    uint64_t steps;
    /* of the step that runs */
    const struct km_trainer_batch *batch;
    double scale;
};

static uint32_t shard_samples(const struct km_trainer *trainer)
{
    return trainer->options.batch / trainer->options.shards;
}

static enum km_code make_shard(struct km_trainer *trainer, uint32_t s, struct km_err *err)
{
    struct km_network_options options = {
        .backend = trainer->options.backend,
        .batch = shard_samples(trainer),
        .training = true,
        .share = s == 0 ? NULL : trainer->shards[0].network,
    };
    trainer->shards[s].network = km_network_new(&trainer->graph, &options, err);
    if (!trainer->shards[s].network)
        return err->code;
    KM_ASSERT(s == 0 || km_network_shares(trainer->shards[s].network));
    return KM_OK;
}

/* The first network, whose weights all others share, is made before them. */
static enum km_code make_first(void *context, uint32_t member, struct km_err *err)
{
    return member == 0 ? make_shard(context, 0, err) : KM_OK;
}

static enum km_code make_others(void *context, uint32_t member, struct km_err *err)
{
    struct km_trainer *trainer = context;
    for (uint32_t s = member; s < trainer->options.shards; s += trainer->options.threads)
        if (s > 0 && make_shard(trainer, s, err) != KM_OK)
            return err->code;
    return KM_OK;
}

static enum km_code free_others(void *context, uint32_t member, struct km_err *err)
{
    (void)err;
    struct km_trainer *trainer = context;
    for (uint32_t s = member; s < trainer->options.shards; s += trainer->options.threads)
        if (s > 0) {
            km_network_free(trainer->shards[s].network);
            trainer->shards[s].network = NULL;
        }
    return KM_OK;
}

static enum km_code free_first(void *context, uint32_t member, struct km_err *err)
{
    (void)err;
    struct km_trainer *trainer = context;
    if (member == 0)
        km_network_free(trainer->shards[0].network);
    return KM_OK;
}

static enum km_code check_options(const struct km_trainer_options *options, struct km_err *err)
{
    if (options->shards == 0 || options->shards > KM_TRAINER_MAX_SHARDS || options->batch == 0 ||
        options->batch % options->shards != 0)
        return km_fail(err, KM_LIMIT, "a batch of %u cannot be cut into %u shards", options->batch, options->shards);
    if (options->threads == 0 || options->threads > options->shards)
        return km_fail(err, KM_LIMIT, "%u threads are not in 1..%u, the shards", options->threads, options->shards);
    if (!(options->average >= 0 && options->average < 1))
        return km_fail(err, KM_LIMIT, "a mean that keeps %g a step is none", (double)options->average);
    return KM_OK;
}

static enum km_code make_rows(struct km_trainer *trainer, struct km_err *err)
{
    const struct km_node *stem = &trainer->graph.nodes[0];
    if (trainer->options.rows.share == 0)
        return KM_OK;
    if (stem->kind != KM_NODE_STEM || stem->stem != KM_STEM_HASH)
        return km_fail(err, KM_UNSUPPORTED, "only a hash stem has rows to hide");
    const struct km_slot *slots;
    size_t count = km_network_slots(trainer->shards[0].network, &slots);
    while (trainer->table < count && (slots[trainer->table].node != 0 || slots[trainer->table].role != KM_ROLE_WEIGHT))
        trainer->table++;
    KM_ASSERT(trainer->table < count && slots[trainer->table].floats == (size_t)KM_STEM_HASH_ROWS * KM_STEM_CHANNELS);
    trainer->rows = km_rowdrop_new(&trainer->options.rows, KM_STEM_HASH_ROWS, err);
    return trainer->rows ? KM_OK : err->code;
}

struct km_trainer *km_trainer_new(const struct km_graph *graph, const struct km_weights *weights,
                                  const struct km_trainer_options *options, struct km_err *err)
{
    if (check_options(options, err) != KM_OK || km_graph_check(graph, err) != KM_OK)
        return NULL;
    KM_CLEANUP(km_trainer_cleanup) struct km_trainer *trainer = km_calloc(1, sizeof *trainer, SIZE_MAX, err);
    if (!trainer)
        return NULL;
    trainer->graph = *graph;
    trainer->options = *options;
    trainer->crew = km_crew_new(options->threads, err);
    if (!trainer->crew || km_crew_run(trainer->crew, make_first, trainer, err) != KM_OK ||
        km_crew_run(trainer->crew, make_others, trainer, err) != KM_OK)
        return NULL;
    size_t floats = km_network_floats(trainer->shards[0].network);
    trainer->first = km_calloc(floats, sizeof *trainer->first, SIZE_MAX, err);
    trainer->second = trainer->first ? km_calloc(floats, sizeof *trainer->second, SIZE_MAX, err) : NULL;
    if (trainer->second && options->average > 0)
        trainer->mean = km_calloc(floats, sizeof *trainer->mean, SIZE_MAX, err);
    if (!trainer->second || (options->average > 0 && !trainer->mean) || make_rows(trainer, err) != KM_OK ||
        km_trainer_set(trainer, KM_TRAINER_VALUES, weights, err) != KM_OK)
        return NULL;
    return km_steal(trainer);
}

void km_trainer_free(struct km_trainer *trainer)
{
    if (!trainer)
        return;
    struct km_err err;
    if (trainer->crew) { /* networks end in the threads that made them, the one that lends its weights last */
        KM_ASSERT(km_crew_run(trainer->crew, free_others, trainer, &err) == KM_OK);
        KM_ASSERT(km_crew_run(trainer->crew, free_first, trainer, &err) == KM_OK);
    }
    km_crew_free(trainer->crew);
    free(trainer->first);
    free(trainer->second);
    free(trainer->mean);
    km_rowdrop_free(trainer->rows);
    free(trainer);
}

/* relu swallows what is not a number, so a finite loss does not prove finite gradients and statistics. */
static bool all_finite(const float *values, size_t count)
{
    uint32_t some = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        some |= (bits & 0x7F800000U) == 0x7F800000U;
    }
    return some == 0;
}

static enum km_code run_shard(struct km_trainer *trainer, uint32_t s, struct km_err *err)
{
    const struct km_trainer_batch *batch = trainer->batch;
    struct km_network *network = trainer->shards[s].network;
    size_t samples = shard_samples(trainer), first = s * samples, outputs = km_network_outputs(network);
    if (batch->squares) {
        km_network_squares(network, batch->squares + first, (uint32_t)samples);
    } else {
        size_t floats = km_shape_floats(trainer->graph.nodes[0].shape);
        memcpy(km_network_image(network), batch->images + first * floats, samples * floats * sizeof(float));
    }
    struct km_seeded noise = km_seeded_of(trainer->options.seed, trainer->steps * KM_TRAINER_MAX_SHARDS + s);
    km_network_noise(network, km_seeded_next(&noise));
    enum km_code code = km_network_forward(network, err);
    if (code != KM_OK)
        return code;
    struct km_loss_batch part = {
        .logits = km_network_output(network),
        .count = samples,
        .outputs = outputs,
        .targets = batch->targets ? batch->targets + first * outputs : NULL,
        .labels = batch->labels ? batch->labels + first : NULL,
        .weights = batch->weights ? batch->weights + first : NULL,
        .scale = trainer->scale,
    };
    trainer->shards[s].loss = km_loss(&trainer->options.loss, &part, km_network_output_diff(network));
    code = km_network_backward(network, err);
    if (code == KM_OK &&
        (!isfinite(trainer->shards[s].loss) || !all_finite(km_network_gradients(network), km_network_floats(network))))
        return km_fail(err, KM_CONFLICT, "the loss or a gradient of step %llu is not finite",
                       (unsigned long long)trainer->steps + 1);
    return code;
}

static enum km_code run_shards(void *context, uint32_t member, struct km_err *err)
{
    struct km_trainer *trainer = context;
    for (uint32_t s = member; s < trainer->options.shards; s += trainer->options.threads)
        if (run_shard(trainer, s, err) != KM_OK)
            return err->code;
    return KM_OK;
}

/* Part `member` of `count` elements. */
static void share_of(const struct km_trainer *trainer, size_t count, uint32_t member, size_t *begin, size_t *end)
{
    *begin = count * member / trainer->options.threads;
    *end = count * (member + 1) / trainer->options.threads;
}

/* Gradients of [begin, end) of a slot, summed in the shards' order into the first one's. */
static float *sum_gradients(struct km_trainer *trainer, size_t begin, size_t end)
{
    float *restrict sum = km_network_gradients(trainer->shards[0].network);
    for (uint32_t s = 1; s < trainer->options.shards; s++) {
        const float *restrict more = km_network_gradients(trainer->shards[s].network);
        for (size_t i = begin; i < end; i++)
            sum[i] += more[i];
    }
    return sum;
}

static void update_statistic(struct km_trainer *trainer, const struct km_slot *slot, size_t begin, size_t end)
{
    float *values = km_network_values(trainer->shards[0].network), momentum = trainer->options.norm_momentum;
    const float *sum = sum_gradients(trainer, begin, end);
    double factor = 1 / (double)trainer->options.shards, samples = (double)slot->samples;
    if (slot->role == KM_ROLE_VARIANCE && slot->samples > 1)
        factor *= samples / (samples - 1); /* running variances are unbiased, as in torch */
    for (size_t i = begin; i < end; i++)
        values[i] += momentum * ((float)((double)sum[i] * factor) - values[i]);
}

/* All steps weigh the same until they are as many as the mean remembers. */
static void update_mean(struct km_trainer *trainer, size_t begin, size_t end)
{
    if (!trainer->mean)
        return;
    const float *restrict values = km_network_values(trainer->shards[0].network);
    float *restrict mean = trainer->mean;
    float share = 1 - trainer->options.average, young = (float)(1 / ((double)trainer->steps + 1));
    share = young > share ? young : share;
    for (size_t i = begin; i < end; i++)
        mean[i] += share * (values[i] - mean[i]);
}

static enum km_code update(void *context, uint32_t member, struct km_err *err)
{
    (void)err;
    struct km_trainer *trainer = context;
    struct km_network *network = trainer->shards[0].network;
    double rate = km_schedule_rate(&trainer->options.schedule, trainer->steps + 1);
    const struct km_slot *slots;
    size_t count = km_network_slots(network, &slots);
    for (size_t i = 0; i < count; i++) {
        size_t begin, end;
        share_of(trainer, slots[i].floats, member, &begin, &end);
        begin += slots[i].offset;
        end += slots[i].offset;
        if (slots[i].role == KM_ROLE_MEAN || slots[i].role == KM_ROLE_VARIANCE) {
            update_statistic(trainer, &slots[i], begin, end);
            update_mean(trainer, begin, end);
            continue;
        }
        float *gradients = sum_gradients(trainer, begin, end) + begin;
        if (trainer->rows && i == trainer->table)
            km_rowdrop_correct(trainer->rows, begin - slots[i].offset, end - begin, gradients);
        struct km_optimiser_range range = {
            .values = km_network_values(network) + begin,
            .gradients = gradients,
            .first = trainer->first + begin,
            .second = trainer->second + begin,
            .count = end - begin,
            .decays = slots[i].decays,
        };
        km_optimiser_apply(&trainer->options.optimiser, &range, rate, trainer->steps + 1);
        update_mean(trainer, begin, end);
    }
    return KM_OK;
}

static enum km_code check_batch(const struct km_trainer *trainer, const struct km_trainer_batch *batch,
                                struct km_err *err)
{
    bool softmax = trainer->options.loss.kind == KM_LOSS_SOFTMAX;
    bool stem = trainer->graph.nodes[0].kind == KM_NODE_STEM;
    KM_ASSERT((softmax ? (const void *)batch->labels : batch->targets) != NULL);
    KM_ASSERT((stem ? (const void *)batch->squares : batch->images) != NULL);
    uint32_t outputs = km_network_outputs(trainer->shards[0].network);
    for (uint32_t i = 0; softmax && i < trainer->options.batch; i++)
        if (batch->labels[i] >= outputs)
            return km_fail(err, KM_LIMIT, "sample %u of a batch has class %u of %u", i, batch->labels[i], outputs);
    return KM_OK;
}

static float *table_of(const struct km_trainer *trainer)
{
    const struct km_slot *slots;
    (void)km_network_slots(trainer->shards[0].network, &slots);
    return km_network_values(trainer->shards[0].network) + slots[trainer->table].offset;
}

/* Forward and backward of all shards, with the rows of this step hidden. */
static enum km_code run_batch(struct km_trainer *trainer, struct km_err *err)
{
    if (trainer->rows)
        km_rowdrop_hide(trainer->rows, trainer->options.seed, trainer->steps, table_of(trainer));
    enum km_code code = km_crew_run(trainer->crew, run_shards, trainer, err);
    if (trainer->rows)
        km_rowdrop_restore(trainer->rows, table_of(trainer));
    return code;
}

enum km_code km_trainer_step(struct km_trainer *trainer, const struct km_trainer_batch *batch, double *out_loss,
                             struct km_err *err)
{
    enum km_code code = check_batch(trainer, batch, err);
    if (code != KM_OK)
        return code;
    double weight = 0, loss = 0;
    for (uint32_t i = 0; i < trainer->options.batch; i++)
        weight += batch->weights ? (double)batch->weights[i] : 1;
    trainer->scale = weight > 0 ? 1 / weight : 0;
    trainer->batch = batch;
    code = run_batch(trainer, err);
    trainer->batch = NULL;
    if (code != KM_OK)
        return code;
    for (uint32_t s = 0; s < trainer->options.shards; s++)
        loss += trainer->shards[s].loss;
    code = km_crew_run(trainer->crew, update, trainer, err);
    if (code != KM_OK)
        return code;
    trainer->steps++;
    *out_loss = loss;
    return KM_OK;
}

uint64_t km_trainer_steps(const struct km_trainer *trainer)
{
    return trainer->steps;
}

/* Copying is done by the thread that owns the first network. */
struct transfer {
    struct km_trainer *trainer;
    enum km_trainer_part part;
    struct km_weights *out;
    const struct km_weights *in;
};

static bool is_there(enum km_role role, enum km_trainer_part part)
{
    return part == KM_TRAINER_MEAN || role == KM_ROLE_WEIGHT || role == KM_ROLE_BIAS;
}

bool km_trainer_has(const struct km_trainer *trainer, enum km_trainer_part part)
{
    return part != KM_TRAINER_MEAN || trainer->mean;
}

static float *block_of(const struct km_trainer *trainer, enum km_trainer_part part)
{
    return part == KM_TRAINER_FIRST ? trainer->first : part == KM_TRAINER_SECOND ? trainer->second : trainer->mean;
}

static enum km_code transfer_block(const struct transfer *transfer, struct km_err *err)
{
    struct km_trainer *trainer = transfer->trainer;
    struct km_network *network = trainer->shards[0].network;
    float *block = block_of(trainer, transfer->part);
    const struct km_slot *slots;
    size_t count = km_network_slots(network, &slots);
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < count; i++) {
        const struct km_weights *set = transfer->out ? transfer->out : transfer->in;
        const struct km_tensor *tensor = km_weights_find(set, slots[i].node, slots[i].role);
        if (!tensor)
            return km_fail(err, KM_CONFLICT, "these weights belong to another network");
        if (!is_there(slots[i].role, transfer->part)) {
            if (transfer->out)
                memset(tensor->values, 0, tensor->floats * sizeof(float));
            continue;
        }
        float *own = block + slots[i].offset;
        code = transfer->out ? km_network_export(network, i, own, tensor->values, err)
                             : km_network_import(network, i, tensor->values, own, err);
    }
    return code;
}

static enum km_code transfer_in_thread(void *context, uint32_t member, struct km_err *err)
{
    const struct transfer *transfer = context;
    struct km_network *network = transfer->trainer->shards[0].network;
    if (member != 0)
        return KM_OK;
    if (transfer->part != KM_TRAINER_VALUES)
        return transfer_block(transfer, err);
    return transfer->out ? km_network_get(network, transfer->out, err) : km_network_set(network, transfer->in, err);
}

enum km_code km_trainer_get(struct km_trainer *trainer, enum km_trainer_part part, struct km_weights *out,
                            struct km_err *err)
{
    KM_ASSERT(km_trainer_has(trainer, part));
    struct transfer transfer = {trainer, part, out, NULL};
    return km_crew_run(trainer->crew, transfer_in_thread, &transfer, err);
}

enum km_code km_trainer_set(struct km_trainer *trainer, enum km_trainer_part part, const struct km_weights *weights,
                            struct km_err *err)
{
    KM_ASSERT(km_trainer_has(trainer, part));
    struct transfer transfer = {trainer, part, NULL, weights};
    return km_crew_run(trainer->crew, transfer_in_thread, &transfer, err);
}

void km_trainer_set_steps(struct km_trainer *trainer, uint64_t steps)
{
    trainer->steps = steps;
}

const struct km_trainer_options *km_trainer_options(const struct km_trainer *trainer)
{
    return &trainer->options;
}

const struct km_graph *km_trainer_graph(const struct km_trainer *trainer)
{
    return &trainer->graph;
}
