#include "container/lab/nettrain.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "container/lab/augment.h"
#include "container/lab/familydraw.h"
#include "nn/checkpoint.h"
#include "nn/train.h"

#define POSITIVES  (KM_NETTRAIN_BATCH / 2)
#define TWINS      (KM_NETTRAIN_BATCH / 4)
#define NAME_BYTES 64

struct training {
    const struct km_dataset *dataset;
    uint32_t *twins;
    const struct km_nettrain_options *options;
    struct km_familydraw *positives, *benign;
    uint8_t *bytes; /* KM_NETTRAIN_BATCH pieces */
    struct km_square squares[KM_NETTRAIN_BATCH];
    float targets[KM_NETTRAIN_BATCH];
};

static struct km_trainer_options trainer_options(const struct km_nettrain_options *options, uint64_t steps)
{
    struct km_trainer_options trainer = {
        .batch = KM_NETTRAIN_BATCH,
        .shards = KM_NETTRAIN_SHARDS,
        .threads = options->threads,
        .loss = {.kind = KM_LOSS_BCE, .smoothing = 0.02F},
        .optimiser = KM_OPTIMISER_ADAM_INIT,
        .schedule = {.peak = 0.002, .floor = 0, .warmup = steps / 10, .total = steps},
        .norm_momentum = 0.1F,
        .average = KM_NETTRAIN_MEAN,
        .rows = {.share = KM_NETTRAIN_HIDDEN, .steps = steps - steps / 4},
        .seed = options->seed,
    };
    trainer.optimiser.weight_decay = 0.02F;
    return trainer;
}

/* A batch depends on the seed and its number alone, so that a run which goes on sees what it would have seen. */
static void fill_batch(struct training *training, uint64_t step)
{
    static const struct km_augment full = KM_AUGMENT_FULL;
    struct km_seeded random = km_seeded_of(training->options->seed, step + 1);
    size_t most = (size_t)training->options->side * training->options->side;
    uint32_t chosen[KM_NETTRAIN_BATCH];
    for (uint32_t i = 0; i < KM_NETTRAIN_BATCH; i++) {
        if (i < POSITIVES) {
            chosen[i] = km_familydraw_next(training->positives, &random);
        } else {
            uint32_t twin = i < POSITIVES + TWINS ? training->twins[chosen[i - POSITIVES]] : KM_DATASET_NO_TWIN;
            chosen[i] = twin != KM_DATASET_NO_TWIN ? twin : km_familydraw_next(training->benign, &random);
        }
    }
    for (uint32_t i = 0; i < KM_NETTRAIN_BATCH; i++) {
        /* Positives and negatives alternate: each shard's statistics see both. */
        uint32_t from = i % 2 == 0 ? i / 2 : POSITIVES + i / 2;
        const struct km_sample *sample = km_dataset_get(training->dataset, chosen[from]);
        uint8_t *piece = training->bytes + i * most;
        training->squares[i].length = km_augment_cut(&full, sample->bytes, sample->length, most, &random, piece);
        training->squares[i].bytes = piece;
        training->targets[i] = sample->role == KM_RECIPE_POSITIVE ? 1.0F : 0.0F;
    }
}

static void name_checkpoint(const struct km_nettrain_options *options, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "network-%u-%u-%llu.checkpoint", options->part, options->side,
                   (unsigned long long)options->seed);
}

static enum km_code go_on(struct km_trainer *trainer, const struct km_nettrain_options *options, struct km_err *err)
{
    if (options->checkpoints < 0)
        return KM_OK;
    char name[NAME_BYTES];
    name_checkpoint(options, name);
    KM_CLEANUP(km_cleanup_close) int fd = openat(options->checkpoints, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? KM_OK : km_fail_errno(err, errno, "cannot read %s", name);
    enum km_code code = km_checkpoint_load(trainer, fd, err);
    return code == KM_OK ? code : km_err_wrap(err, "%s", name);
}

static enum km_code keep(struct km_trainer *trainer, const struct km_nettrain_options *options, struct km_err *err)
{
    if (options->checkpoints < 0)
        return KM_OK;
    char name[NAME_BYTES];
    name_checkpoint(options, name);
    return km_checkpoint_save(trainer, options->checkpoints, name, err);
}

static enum km_code run_steps(struct training *training, struct km_trainer *trainer, uint64_t steps, struct km_err *err)
{
    const struct km_nettrain_options *options = training->options;
    const struct km_trainer_batch batch = {.squares = training->squares, .targets = training->targets};
    double smooth = -1;
    for (uint64_t step = km_trainer_steps(trainer); step < steps; step++) {
        enum km_code code = km_cancel_check(options->cancel, err);
        if (code != KM_OK) {
            struct km_err second = KM_ERR_INIT;
            return keep(trainer, options, &second) == KM_OK ? code : km_err_wrap(err, "%s", second.text);
        }
        double loss = 0;
        fill_batch(training, step);
        code = km_trainer_step(trainer, &batch, &loss, err);
        if (code == KM_OK && ((step + 1) % KM_NETTRAIN_KEEP == 0 || step + 1 == steps))
            code = keep(trainer, options, err);
        if (code != KM_OK)
            return code;
        smooth = smooth < 0 ? loss : 0.98 * smooth + 0.02 * loss;
        if (options->progress)
            options->progress(options->context, step + 1, steps, smooth);
    }
    return KM_OK;
}

static enum km_code train(struct training *training, const struct km_graph *graph, struct km_weights **out,
                          struct km_err *err)
{
    const struct km_nettrain_options *options = training->options;
    uint64_t steps = options->samples < KM_NETTRAIN_BATCH ? 1 : options->samples / KM_NETTRAIN_BATCH;
    KM_CLEANUP(km_weights_cleanup) struct km_weights *weights = km_weights_new(graph, err);
    if (!weights)
        return err->code;
    km_weights_randomise(weights, graph, options->seed);
    const struct km_trainer_options settings = trainer_options(options, steps);
    KM_CLEANUP(km_trainer_cleanup) struct km_trainer *trainer = km_trainer_new(graph, weights, &settings, err);
    if (!trainer)
        return err->code;
    enum km_code code = go_on(trainer, options, err);
    if (code == KM_OK)
        code = run_steps(training, trainer, steps, err);
    if (code == KM_OK)
        code = km_trainer_get(trainer, KM_TRAINER_MEAN, weights, err);
    if (code == KM_OK)
        *out = km_steal(weights);
    return code;
}

enum km_code km_nettrain_run(const struct km_dataset *dataset, const struct km_netview *view,
                             const struct km_nettrain_options *options, struct km_weights **out, struct km_err *err)
{
    struct training training = {.dataset = dataset, .options = options};
    KM_CLEANUP(km_familydraw_cleanup)
    struct km_familydraw *positives = km_familydraw_new(dataset, options->among, true, err);
    KM_CLEANUP(km_familydraw_cleanup)
    struct km_familydraw *benign = positives ? km_familydraw_new(dataset, options->among, false, err) : NULL;
    size_t count = km_dataset_count(dataset);
    KM_CLEANUP(km_cleanup_free) uint32_t *twins = benign ? km_calloc(count, sizeof *twins, SIZE_MAX, err) : NULL;
    size_t most = (size_t)options->side * options->side;
    KM_CLEANUP(km_cleanup_free)
    uint8_t *bytes = twins ? km_calloc(KM_NETTRAIN_BATCH, most, KM_NETTRAIN_BATCH * most, err) : NULL;
    KM_CLEANUP(km_cleanup_free) struct km_graph *graph = bytes ? km_calloc(1, sizeof *graph, sizeof *graph, err) : NULL;
    if (!graph)
        return err->code;
    training.positives = positives;
    training.benign = benign;
    training.bytes = bytes;
    training.twins = twins;
    enum km_code code = km_dataset_find_twins_among(dataset, options->among, options->seed, twins, err);
    if (code == KM_OK)
        code = km_netview_graph(view, options->side, graph, err);
    return code == KM_OK ? train(&training, graph, out, err) : code;
}

enum km_code km_nettrain_forget(const struct km_nettrain_options *options, struct km_err *err)
{
    char name[NAME_BYTES];
    name_checkpoint(options, name);
    return options->checkpoints < 0 || unlinkat(options->checkpoints, name, 0) == 0 || errno == ENOENT
               ? KM_OK
               : km_fail_errno(err, errno, "cannot remove %s", name);
}
