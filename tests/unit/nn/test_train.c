#define KM_TEST_NAME "train"
#include "nets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/architecture.h"
#include "nn/checkpoint.h"
#include "nn/fold.h"
#include "nn/train.h"

#include "counting.h"

static void losses_have_known_values(void **state)
{
    (void)state;
    const float logits[] = {0, 2, -3, 100, -100, 0.5F};
    const float targets[] = {1, 0, 1, 1, 0, 0.5F};
    struct km_loss_batch batch = {.logits = logits, .count = 3, .outputs = 2, .targets = targets, .scale = 1};
    struct km_loss loss = {.kind = KM_LOSS_BCE};
    /* log 2 + log(1 + e^2), 3 + log(1 + e^-3) + 0, 0 + log(1 + e^.5) - .25; each pair halved */
    double expected = (0.6931471805599453 + 2.1269280110429727 + 3.0485873515737421 + 0.7240769841801067) / 2;
    assert_true(fabs(km_loss(&loss, &batch, NULL) - expected) < 1e-9);

    const uint32_t labels[] = {1, 0};
    const float three[] = {1, 2, 3, 1000, 0, 0};
    struct km_loss_batch classes = {.logits = three, .count = 2, .outputs = 3, .labels = labels, .scale = 0.5};
    loss.kind = KM_LOSS_SOFTMAX;
    assert_true(fabs(km_loss(&loss, &classes, NULL) - 0.5 * 1.4076059644443806) < 1e-9);
    assert_true(km_sigmoid(1000) == 1.0 && km_sigmoid(-1000) == 0.0 && km_sigmoid(0) == 0.5);
}

static void loss_differences_are_slopes(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        struct km_loss loss = {.kind = (enum km_loss_kind)kind, .smoothing = 0.1F};
        float logits[12], targets[12], diff[12];
        const float weights[] = {1, 0.5F, 2};
        const uint32_t labels[] = {3, 0, 2};
        nets_fill(logits, 12, 1);
        nets_fill(targets, 12, 2);
        for (int i = 0; i < 12; i++)
            targets[i] = fabsf(targets[i]);
        struct km_loss_batch batch = {logits, 3, 4, targets, labels, weights, 0.25};
        (void)km_loss(&loss, &batch, diff);
        for (int i = 0; i < 12; i++) {
            float held = logits[i];
            logits[i] = held + 0x1p-8F;
            double up = km_loss(&loss, &batch, NULL);
            logits[i] = held - 0x1p-8F;
            double down = km_loss(&loss, &batch, NULL);
            logits[i] = held;
            assert_true(fabs((up - down) / 0x1p-7 - (double)diff[i]) < 1e-5);
        }
    }
}

static void schedules_rise_and_fall(void **state)
{
    (void)state;
    struct km_schedule s = {.peak = 1, .floor = 0.1, .warmup = 4, .total = 12};
    static const struct {
        uint64_t step;
        double rate;
    } table[] = {{1, 0.25}, {4, 1}, {8, 0.55}, {12, 0.1}, {100, 0.1}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_true(fabs(km_schedule_rate(&s, table[i].step) - table[i].rate) < 1e-12);
    struct km_schedule flat = {.peak = 0.5, .floor = 0.5, .warmup = 0, .total = 0};
    assert_true(km_schedule_rate(&flat, 1) == 0.5);
}

/* Three updates by hand, from the definitions. */
static void optimisers_follow_their_definitions(void **state)
{
    (void)state;
    const float gradients[] = {0.5F, -1, 0.25F};
    float value = 2, first = 0, second = 0;
    double v = 2, m = 0, u = 0;
    struct km_optimiser sgd = {.kind = KM_OPTIMISER_SGD, .momentum = 0.9F, .weight_decay = 0.01F};
    for (uint64_t t = 1; t <= 3; t++) {
        struct km_optimiser_range range = {&value, &gradients[t - 1], &first, &second, 1, true};
        km_optimiser_apply(&sgd, &range, 0.1, t);
        m = 0.9 * m + (double)gradients[t - 1] + 0.01 * v;
        v -= 0.1 * m;
    }
    assert_true(fabs(v - (double)value) < 1e-6);
    struct km_optimiser adam = KM_OPTIMISER_ADAM_INIT;
    adam.weight_decay = 0.01F;
    value = 2, first = 0, second = 0, v = 2, m = 0;
    for (uint64_t t = 1; t <= 3; t++) {
        double g = (double)gradients[t - 1];
        struct km_optimiser_range range = {&value, &gradients[t - 1], &first, &second, 1, true};
        km_optimiser_apply(&adam, &range, 0.1, t);
        m = 0.9 * m + 0.1 * g;
        u = 0.999 * u + 0.001 * g * g;
        v -= 0.1 * 0.01 * v + 0.1 * (m / (1 - pow(0.9, (double)t))) / (sqrt(u / (1 - pow(0.999, (double)t))) + 1e-8);
    }
    assert_true(fabs(v - (double)value) < 1e-5);
    struct km_optimiser_range still = {&value, &(float){0}, &(float){0}, &(float){0}, 1, false};
    float before = value;
    km_optimiser_apply(&adam, &still, 0.1, 1);
    assert_true(value == before); /* no decay where none is asked for */
}

/* A small picture network with norm and dropout, and samples whose class shows in a corner. */
#define BATCH 8

struct task {
    struct km_graph graph;
    struct km_weights *weights;
    struct km_trainer_options options;
    float images[BATCH * 64];
    uint32_t labels[BATCH];
};

static int set_up(void **state)
{
    static struct task task;
    struct task *t = &task;
    km_graph_init(&t->graph);
    int last = km_graph_image(&t->graph, (struct km_shape){1, 8, 8});
    last = km_graph_conv(&t->graph, last, "conv", 8, (struct km_window){3, 2, 1}, false);
    last = km_graph_norm(&t->graph, last, "norm", true);
    last = km_graph_dropout(&t->graph, km_graph_mean(&t->graph, last), 0.2F);
    km_graph_linear(&t->graph, last, "fc", 2);
    struct km_err err = KM_ERR_INIT;
    t->weights = km_weights_new(&t->graph, &err);
    if (!t->weights)
        return -1;
    km_weights_randomise(t->weights, &t->graph, 1);
    t->options = (struct km_trainer_options){
        .backend = NETS_THREADED_BACKEND,
        .batch = BATCH,
        .shards = 2,
        .threads = 2,
        .loss = {.kind = KM_LOSS_SOFTMAX},
        .optimiser = KM_OPTIMISER_ADAM_INIT,
        .schedule = {.peak = 0.02, .floor = 0, .warmup = 5, .total = 60},
        .norm_momentum = 0.1F,
        .seed = 4,
    };
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    km_weights_free(((struct task *)*state)->weights);
    return 0;
}

/* The batch of a step: class 1 has waves, class 0 noise of the same strength. */
static void make_batch(struct task *t, uint64_t step)
{
    struct km_seeded random = km_seeded_of(123, step);
    for (uint32_t n = 0; n < BATCH; n++) {
        t->labels[n] = km_seeded_below(&random, 2);
        for (uint32_t i = 0; i < 64; i++) {
            float noise = (float)(2 * km_seeded_unit(&random) - 1);
            t->images[n * 64 + i] = t->labels[n] ? (i % 2 ? 0.6F : -0.6F) + 0.1F * noise : noise;
        }
    }
}

static double take_steps(struct task *t, struct km_trainer *trainer, unsigned count)
{
    struct km_err err = KM_ERR_INIT;
    double loss = 0;
    for (unsigned i = 0; i < count; i++) {
        make_batch(t, km_trainer_steps(trainer));
        struct km_trainer_batch batch = {.images = t->images, .labels = t->labels};
        assert_ok(km_trainer_step(trainer, &batch, &loss, &err), err);
    }
    return loss;
}

static void training_lowers_the_loss(void **state)
{
    struct task *t = *state;
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options);
    double first = take_steps(t, trainer, 1), last = take_steps(t, trainer, 59);
    assert_true(first > 0.3);
    assert_true(last < 0.2);
    assert_int_equal(km_trainer_steps(trainer), 60);
    km_trainer_free(trainer);
}

static void weights_depend_on_the_seed_and_not_on_threads(void **state)
{
    struct task *t = *state;
    struct km_trainer *two = nets_trainer(&t->graph, t->weights, &t->options),
                      *again = nets_trainer(&t->graph, t->weights, &t->options);
    t->options.threads = 1;
    struct km_trainer *one = nets_trainer(&t->graph, t->weights, &t->options);
    t->options.seed = 5;
    struct km_trainer *other = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, two, 7);
    take_steps(t, again, 7);
    take_steps(t, one, 7);
    take_steps(t, other, 7);
    assert_true(nets_same_memory(&t->graph, two, again));
    assert_true(nets_same_memory(&t->graph, two, one));
    assert_false(nets_same_part(&t->graph, two, other, KM_TRAINER_VALUES));
    km_trainer_free(two);
    km_trainer_free(again);
    km_trainer_free(one);
    km_trainer_free(other);
}

/* Without norm and dropout, cutting a batch into shards changes nothing but rounding. */
static void shards_are_one_batch(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    km_graph_init(&t->graph);
    int last = km_graph_image(&t->graph, (struct km_shape){1, 8, 8});
    last = km_graph_relu(&t->graph, km_graph_conv(&t->graph, last, "conv", 8, (struct km_window){3, 2, 1}, true));
    km_graph_linear(&t->graph, km_graph_mean(&t->graph, last), "fc", 2);
    km_weights_free(t->weights);
    t->weights = km_weights_new(&t->graph, &err);
    assert_non_null(t->weights);
    km_weights_randomise(t->weights, &t->graph, 1);
    struct km_trainer *two = nets_trainer(&t->graph, t->weights, &t->options);
    t->options.shards = t->options.threads = 1;
    struct km_trainer *one = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, two, 3);
    take_steps(t, one, 3);
    struct km_weights *x = km_weights_new(&t->graph, &err), *y = km_weights_new(&t->graph, &err);
    assert_true(x && y);
    assert_ok(km_trainer_get(one, KM_TRAINER_VALUES, x, &err), err);
    assert_ok(km_trainer_get(two, KM_TRAINER_VALUES, y, &err), err);
    for (size_t i = 0; i < km_weights_count(x); i++)
        assert_true(nets_distance(km_weights_get(x, i)->values, km_weights_get(y, i)->values,
                                  km_weights_get(x, i)->floats) < 1e-5);
    km_weights_free(x);
    km_weights_free(y);
    km_trainer_free(two);
    km_trainer_free(one);
}

static void running_statistics_follow_the_shards(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    km_graph_init(&t->graph);
    int last = km_graph_norm(&t->graph, km_graph_image(&t->graph, (struct km_shape){1, 8, 8}), "norm", false);
    km_graph_linear(&t->graph, km_graph_mean(&t->graph, last), "fc", 2);
    km_weights_free(t->weights);
    t->weights = km_weights_new(&t->graph, &err);
    assert_non_null(t->weights);
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, trainer, 1);
    double mean = 0, variance = 0;
    for (size_t s = 0; s < 2; s++) {
        double shard_mean = 0;
        for (size_t i = 0; i < 256; i++)
            shard_mean += (double)t->images[s * 256 + i] / 256;
        for (size_t i = 0; i < 256; i++)
            variance += pow((double)t->images[s * 256 + i] - shard_mean, 2) / 255 / 2;
        mean += shard_mean / 2;
    }
    assert_ok(km_trainer_get(trainer, KM_TRAINER_VALUES, t->weights, &err), err);
    assert_true(fabs(0.1 * mean - (double)km_weights_find(t->weights, 1, KM_ROLE_MEAN)->values[0]) < 1e-6);
    assert_true(fabs(0.9 + 0.1 * variance - (double)km_weights_find(t->weights, 1, KM_ROLE_VARIANCE)->values[0]) <
                1e-6);
    km_trainer_free(trainer);
}

struct folder {
    char path[32];
    int fd;
};

static struct folder folder_new(void)
{
    struct folder f = {"/tmp/km-test-XXXXXX", -1};
    assert_non_null(mkdtemp(f.path));
    f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f.fd >= 0);
    return f;
}

static void folder_done(const struct folder *f)
{
    (void)unlinkat(f->fd, "point", 0);
    close(f->fd);
    assert_int_equal(rmdir(f->path), 0);
}

static enum km_code load(const struct folder *f, struct km_trainer *trainer, struct km_err *err)
{
    int fd = openat(f->fd, "point", O_RDONLY | O_CLOEXEC);
    enum km_code code = km_checkpoint_load(trainer, fd, err);
    close(fd);
    return code;
}

static void a_resumed_training_reaches_the_same_weights(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    struct folder f = folder_new();
    struct km_trainer *through = nets_trainer(&t->graph, t->weights, &t->options),
                      *first = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, through, 9);
    take_steps(t, first, 4);
    assert_ok(km_checkpoint_save(first, f.fd, "point", &err), err);
    km_trainer_free(first);
    km_weights_randomise(t->weights, &t->graph, 99); /* where it starts does not matter */
    struct km_trainer *second = nets_trainer(&t->graph, t->weights, &t->options);
    assert_ok(load(&f, second, &err), err);
    assert_int_equal(km_trainer_steps(second), 4);
    take_steps(t, second, 5);
    assert_true(nets_same_memory(&t->graph, through, second));
    km_trainer_free(second);
    km_trainer_free(through);
    folder_done(&f);
}

static double element(struct task *t, struct km_trainer *trainer, enum km_trainer_part part, bool statistic)
{
    struct km_err err = KM_ERR_INIT;
    struct km_weights *weights = km_weights_new(&t->graph, &err);
    assert_ok(km_trainer_get(trainer, part, weights, &err), err);
    double value =
        (double)km_weights_find(weights, 1 + statistic, statistic ? KM_ROLE_VARIANCE : KM_ROLE_WEIGHT)->values[1];
    km_weights_free(weights);
    return value;
}

static void the_mean_is_that_of_the_steps(void **state)
{
    struct task *t = *state;
    t->options.average = 0.75F; /* remembers four */
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options);
    double expected[2] = {0, 0};
    for (int step = 1; step <= 7; step++) {
        take_steps(t, trainer, 1);
        for (int i = 0; i < 2; i++) {
            expected[i] += (element(t, trainer, KM_TRAINER_VALUES, i == 1) - expected[i]) / (step < 4 ? step : 4);
            assert_true(fabs(element(t, trainer, KM_TRAINER_MEAN, i == 1) - expected[i]) < 1e-6);
        }
    }
    t->options.average = 0;
    struct km_trainer *without = nets_trainer(&t->graph, t->weights, &t->options);
    assert_true(take_steps(t, without, 7) > 0 && nets_same_part(&t->graph, trainer, without, KM_TRAINER_VALUES));
    km_trainer_free(without);
    km_trainer_free(trainer);
}

static void a_resumed_training_reaches_the_same_mean(void **state)
{
    struct task *t = *state;
    t->options.average = 0.75F;
    a_resumed_training_reaches_the_same_weights(state);
    struct km_err err = KM_ERR_INIT;
    struct folder f = folder_new();
    struct km_trainer *with = nets_trainer(&t->graph, t->weights, &t->options);
    assert_ok(km_checkpoint_save(with, f.fd, "point", &err), err);
    t->options.average = 0;
    struct km_trainer *without = nets_trainer(&t->graph, t->weights, &t->options);
    assert_int_equal(load(&f, without, &err), KM_CONFLICT);
    t->options.average = 1;
    assert_null(km_trainer_new(&t->graph, t->weights, &t->options, &err));
    km_trainer_free(without);
    km_trainer_free(with);
    folder_done(&f);
}

static void other_settings_and_damaged_files_are_refused(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    struct folder f = folder_new();
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options),
                      *twin = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, trainer, 2);
    take_steps(t, twin, 2);
    assert_ok(km_checkpoint_save(trainer, f.fd, "point", &err), err);
    t->options.schedule.peak = 0.03;
    struct km_trainer *other = nets_trainer(&t->graph, t->weights, &t->options);
    assert_int_equal(load(&f, other, &err), KM_CONFLICT);
    assert_non_null(strstr(err.text, "other settings"));
    km_trainer_free(other);

    static const char *const wrong[][2] = {{"komainu_checkpoint\":\"2", "komainu_checkpoint\":\"1"},
                                           {"\"steps\":\"2\"", "\"steps\":\"x\""},
                                           {"\"first.fc.bias\"", "\"first.fc.bits\""}};
    for (size_t i = 0; i < 3; i++) {
        char text[8192];
        int fd = openat(f.fd, "point", O_RDWR | O_CLOEXEC);
        ssize_t length = pread(fd, text, sizeof text, 0);
        assert_true(length > 0);
        char *at = memmem(text, (size_t)length, wrong[i][0], strlen(wrong[i][0]));
        assert_non_null(at);
        assert_int_equal(pwrite(fd, wrong[i][1], strlen(wrong[i][1]), at - text), strlen(wrong[i][1]));
        enum km_code code = load(&f, trainer, &err);
        assert_true(code == KM_FORMAT || code == KM_NOTFOUND);
        assert_true(nets_same_memory(&t->graph, trainer, twin));
        assert_int_equal(pwrite(fd, wrong[i][0], strlen(wrong[i][0]), at - text), strlen(wrong[i][0]));
        close(fd);
    }
    assert_ok(load(&f, trainer, &err), err);
    km_trainer_free(trainer);
    km_trainer_free(twin);
    folder_done(&f);
}

static void what_cannot_be_learned_is_refused(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options),
                      *twin = nets_trainer(&t->graph, t->weights, &t->options);
    double loss = -1;
    make_batch(t, 0);
    struct km_trainer_batch batch = {.images = t->images, .labels = t->labels};
    t->labels[3] = 2;
    assert_int_equal(km_trainer_step(trainer, &batch, &loss, &err), KM_LIMIT);
    t->labels[3] = 1;
    for (int i = 0; i < BATCH * 64; i++)
        t->images[i] = 1e38F;
    t->images[70] = NAN;
    assert_int_equal(km_trainer_step(trainer, &batch, &loss, &err), KM_CONFLICT);
    assert_true(loss == -1);
    assert_int_equal(km_trainer_steps(trainer), 0);
    assert_true(nets_same_memory(&t->graph, trainer, twin));
    km_trainer_free(trainer);
    km_trainer_free(twin);
    t->options.batch = 7;
    assert_null(km_trainer_new(&t->graph, t->weights, &t->options, &err));
    assert_int_equal(err.code, KM_LIMIT);
    t->options.batch = 8;
    t->options.threads = 3;
    assert_null(km_trainer_new(&t->graph, t->weights, &t->options, &err));
    assert_int_equal(err.code, KM_LIMIT);
}

static void a_training_step_allocates_nothing(void **state)
{
    struct task *t = *state;
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, trainer, 1);
    unsigned before = atomic_load(&allocations);
    take_steps(t, trainer, 3);
    assert_int_equal(atomic_load(&allocations), before);
    km_trainer_free(trainer);
}

/* Files of one class hold a word somewhere; letters are alike otherwise. Sizes differ, so padding takes part. */
#define FILES 16

struct files {
    uint8_t bytes[FILES][1024];
    struct km_square squares[FILES];
    float targets[FILES];
};

static void make_files(struct files *files, uint64_t step)
{
    static const uint8_t word[] = {'f', 'a', 'b', 'a', 'c', 'e', 'a', 'e'};
    struct km_seeded random = km_seeded_of(9, step);
    for (size_t n = 0; n < FILES; n++) {
        uint8_t *bytes = files->bytes[n];
        files->squares[n] = (struct km_square){bytes, 300 + km_seeded_below(&random, 725)};
        files->targets[n] = (float)(n % 2);
        for (size_t i = 0; i < files->squares[n].length; i++)
            bytes[i] = (uint8_t)('a' + km_seeded_below(&random, 6));
        for (size_t k = 0; n % 2 && k < 8; k++)
            memcpy(bytes + km_seeded_below(&random, 290), word, sizeof word);
    }
}

static void folded_network_tells_files_apart(const struct km_graph *graph, const struct km_weights *weights,
                                             const struct files *files)
{
    struct km_err err = KM_ERR_INIT;
    static struct km_graph folded;
    struct km_weights *folded_weights = NULL;
    assert_ok(km_fold(graph, weights, &folded, &folded_weights, &err), err);
    struct km_network *network = nets_network(&folded, folded_weights, (struct km_network_options){.batch = FILES});
    km_network_squares(network, files->squares, FILES);
    assert_ok(km_network_forward(network, &err), err);
    for (size_t n = 0; n < FILES; n++)
        assert_true((km_network_output(network)[n] > 0) == (n % 2 == 1));
    km_network_free(network);
    km_weights_free(folded_weights);
}

static void the_hash_stem_learns_a_word(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_stem_order *order = nets_order(32);
    struct km_architecture_options kind = {
        .kind = KM_ARCHITECTURE_LIGHT, .outputs = 1, .stem = KM_STEM_HASH, .order = order};
    static struct km_graph graph;
    static struct files files;
    assert_ok(km_architecture_build(&kind, &graph, &err), err);
    struct km_weights *weights = km_weights_new(&graph, &err);
    assert_non_null(weights);
    km_weights_randomise(weights, &graph, 2);
    struct km_trainer_options options = {
        .backend = NETS_THREADED_BACKEND,
        .batch = FILES,
        .shards = 2,
        .threads = 2,
        .loss = {.kind = KM_LOSS_BCE, .smoothing = 0.02F},
        .optimiser = KM_OPTIMISER_ADAM_INIT,
        .schedule = {.peak = 0.004, .floor = 0, .warmup = 5, .total = 100},
        .norm_momentum = 0.1F,
    };
    options.optimiser.weight_decay = 0.02F;
    const bool fast = options.backend == &km_onednn_backend; /* the slow one only shows that threads behave */
    struct km_trainer *trainer = km_trainer_new(&graph, weights, &options, &err);
    assert_non_null(trainer);
    double loss = 0;
    for (unsigned step = 0; step < (fast ? 100 : 2); step++) {
        make_files(&files, step);
        struct km_trainer_batch batch = {.squares = files.squares, .targets = files.targets};
        assert_ok(km_trainer_step(trainer, &batch, &loss, &err), err);
    }
    if (fast) {
        assert_true(loss < 0.2);
        assert_ok(km_trainer_get(trainer, KM_TRAINER_VALUES, weights, &err), err);
        folded_network_tells_files_apart(&graph, weights, &files);
    }
    km_trainer_free(trainer);
    km_weights_free(weights);
    km_stem_order_free(order);
}

static void shuffles_are_permutations_of_their_seed(void **state)
{
    (void)state;
    uint32_t a[100], b[100], seen[100] = {0};
    km_seeded_shuffle(a, 100, 1, 0);
    km_seeded_shuffle(b, 100, 1, 0);
    assert_memory_equal(a, b, sizeof a);
    km_seeded_shuffle(b, 100, 1, 1);
    assert_memory_not_equal(a, b, sizeof a);
    for (size_t i = 0; i < 100; i++)
        seen[a[i]]++;
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(seen[i], 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(losses_have_known_values),
        cmocka_unit_test(loss_differences_are_slopes),
        cmocka_unit_test(schedules_rise_and_fall),
        cmocka_unit_test(optimisers_follow_their_definitions),
        cmocka_unit_test(shuffles_are_permutations_of_their_seed),
        cmocka_unit_test_setup_teardown(training_lowers_the_loss, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_depend_on_the_seed_and_not_on_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(shards_are_one_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(running_statistics_follow_the_shards, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_resumed_training_reaches_the_same_weights, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_mean_is_that_of_the_steps, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_resumed_training_reaches_the_same_mean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_settings_and_damaged_files_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_learned_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_training_step_allocates_nothing, set_up, tear_down),
        cmocka_unit_test(the_hash_stem_learns_a_word),
    };
    return KM_RUN_TESTS(tests);
}
