#define KM_TEST_NAME "rowdrop"
#include "nets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/checkpoint.h"
#include "nn/rowdrop.h"
#include "nn/train.h"

#define ROWS  ((size_t)1000)
#define TABLE (ROWS * KM_STEM_CHANNELS)

static struct km_rowdrop *drop_of(float share, uint64_t steps)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_rowdrop_options options = {.share = share, .steps = steps};
    struct km_rowdrop *drop = km_rowdrop_new(&options, ROWS, &err);
    if (!drop)
        fail_msg("%s", err.text);
    return drop;
}

/* Fails unless each row is wholly 0, or wholly four times what it was: a share of 0.75. */
static uint32_t count_hidden(const float *table, const float *was)
{
    uint32_t hidden = 0;
    for (size_t row = 0; row < ROWS; row++) {
        bool zero = table[row * KM_STEM_CHANNELS] == 0;
        hidden += zero;
        for (size_t i = row * KM_STEM_CHANNELS; i < (row + 1) * KM_STEM_CHANNELS; i++)
            assert_true(table[i] == (zero ? 0 : 4 * was[i]));
    }
    return hidden;
}

static void a_share_of_the_rows_is_hidden_and_comes_back(void **state)
{
    (void)state;
    static float table[TABLE], was[TABLE], first[TABLE];
    nets_fill(was, TABLE, 1);
    memcpy(table, was, sizeof table);
    struct km_rowdrop *drop = drop_of(0.75F, 3);
    for (uint64_t step = 0; step < 3; step++) {
        km_rowdrop_hide(drop, 8, step, table);
        uint32_t hidden = count_hidden(table, was);
        assert_in_range(hidden, 690, 810); /* 750, give or take four deviations */
        if (step == 0)
            memcpy(first, table, sizeof table);
        else
            assert_memory_not_equal(table, first, sizeof table);
        km_rowdrop_restore(drop, table);
        assert_memory_equal(table, was, sizeof table);
    }
    struct km_rowdrop *again = drop_of(0.75F, 3);
    km_rowdrop_hide(again, 8, 0, table);
    assert_memory_equal(table, first, sizeof table);
    km_rowdrop_restore(again, table);
    km_rowdrop_hide(again, 9, 0, table);
    assert_memory_not_equal(table, first, sizeof table);
    km_rowdrop_free(again);
    km_rowdrop_free(drop);
}

static void after_the_last_step_nothing_is_hidden(void **state)
{
    (void)state;
    static float table[TABLE], was[TABLE];
    nets_fill(was, TABLE, 1);
    memcpy(table, was, sizeof table);
    struct km_rowdrop *drop = drop_of(0.75F, 3), *never = drop_of(0, 3);
    km_rowdrop_hide(drop, 8, 2, table);
    km_rowdrop_restore(drop, table);
    km_rowdrop_hide(drop, 8, 3, table);
    assert_memory_equal(table, was, sizeof table);
    km_rowdrop_correct(drop, 0, TABLE, table);
    assert_memory_equal(table, was, sizeof table);
    table[7] = 5; /* what a step that hides nothing leaves stays */
    km_rowdrop_restore(drop, table);
    assert_true(table[7] == 5);
    table[7] = was[7];
    km_rowdrop_hide(never, 8, 0, table);
    assert_memory_equal(table, was, sizeof table);
    km_rowdrop_free(never);
    km_rowdrop_free(drop);
}

static void gradients_are_corrected_row_by_row(void **state)
{
    (void)state;
    static float table[TABLE], was[TABLE], whole[TABLE], parts[TABLE];
    nets_fill(was, TABLE, 1);
    memcpy(table, was, sizeof table);
    nets_fill(whole, TABLE, 2);
    memcpy(parts, whole, sizeof parts);
    struct km_rowdrop *drop = drop_of(0.75F, 3);
    km_rowdrop_hide(drop, 8, 1, table);
    for (size_t i = 0; i < TABLE; i++)
        parts[i] *= table[i] == 0 ? 0 : 4;
    km_rowdrop_restore(drop, was);
    km_rowdrop_correct(drop, 0, 13, whole); /* ranges need not end with a row */
    km_rowdrop_correct(drop, 13, TABLE - 13, whole + 13);
    assert_memory_equal(whole, parts, sizeof whole);
    km_rowdrop_free(drop);
}

static void what_is_no_share_is_refused(void **state)
{
    (void)state;
    static const float shares[] = {-0.1F, 1, 1.5F, NAN};
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        struct km_err err = KM_ERR_INIT;
        const struct km_rowdrop_options options = {.share = shares[i], .steps = 1};
        assert_null(km_rowdrop_new(&options, ROWS, &err));
        assert_int_equal(err.code, KM_LIMIT);
    }
}

/* Training with hidden rows: a stem and what follows it without a bend, so that slopes are exact enough to be measured;
 * dropout's own numbers must not be those of the rows. */
#define FILES 4

struct task {
    struct km_stem_order *order;
    struct km_graph graph;
    struct km_weights *weights;
    struct km_trainer_options options;
    uint8_t bytes[FILES][1024];
    struct km_square squares[FILES];
    float targets[FILES];
};

static int set_up(void **state)
{
    static struct task task;
    struct task *t = &task;
    struct km_err err = KM_ERR_INIT;
    t->order = nets_order(32);
    km_graph_init(&t->graph);
    int last = km_graph_stem(&t->graph, "stem", KM_STEM_HASH, t->order, NULL);
    static const char *const names[] = {"one", "two", "three"};
    for (int i = 0; i < 3; i++)
        last = km_graph_conv(&t->graph, last, names[i], 8, (struct km_window){3, 2, 1}, true);
    last = km_graph_dropout(&t->graph, km_graph_mean(&t->graph, last), 0.2F);
    km_graph_linear(&t->graph, last, "fc", 1);
    t->weights = km_weights_new(&t->graph, &err);
    if (!t->weights)
        return -1;
    km_weights_randomise(t->weights, &t->graph, 1);
    t->options = (struct km_trainer_options){
        .backend = NETS_THREADED_BACKEND,
        .batch = FILES,
        .shards = 2,
        .threads = 2,
        .loss = {.kind = KM_LOSS_BCE},
        .optimiser = KM_OPTIMISER_ADAM_INIT,
        .schedule = {.peak = 0.01, .floor = 0.01, .warmup = 1, .total = 9},
        .norm_momentum = 0.1F,
        .rows = {.share = 0.5F, .steps = 2},
        .seed = 4,
    };
    struct km_seeded random = km_seeded_of(9, 0);
    for (size_t n = 0; n < FILES; n++) {
        for (size_t i = 0; i < 1024; i++)
            t->bytes[n][i] = (uint8_t)('a' + km_seeded_below(&random, 3));
        t->squares[n] = (struct km_square){t->bytes[n], 1024 - 100 * n};
        t->targets[n] = (float)(n % 2);
    }
    *state = t;
    return 0;
}

static int tear_down(void **state)
{
    struct task *t = *state;
    km_weights_free(t->weights);
    km_stem_order_free(t->order);
    return 0;
}

static double take_steps(struct task *t, struct km_trainer *trainer, unsigned count)
{
    struct km_err err = KM_ERR_INIT;
    double loss = 0;
    const struct km_trainer_batch batch = {.squares = t->squares, .targets = t->targets};
    for (unsigned i = 0; i < count; i++)
        assert_ok(km_trainer_step(trainer, &batch, &loss, &err), err);
    return loss;
}

static float *table_of(struct km_weights *weights)
{
    struct km_tensor *table = km_weights_at(weights, 0);
    assert_string_equal(table->name, "stem.weight");
    return table->values;
}

/* The loss of the first step with one float of the table moved. */
static double loss_with(struct task *t, size_t at, float moved)
{
    float *table = table_of(t->weights), held = table[at];
    table[at] = held + moved;
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options);
    table[at] = held;
    double loss = take_steps(t, trainer, 1);
    km_trainer_free(trainer);
    return loss;
}

/* One step of SGD moves each float by the rate times its slope. */
static void slopes_are_those_of_the_loss(struct task *t, uint32_t cells)
{
    t->options.optimiser = (struct km_optimiser){.kind = KM_OPTIMISER_SGD};
    t->options.schedule = (struct km_schedule){.peak = 0.5, .floor = 0.5, .warmup = 1, .total = 2};
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, trainer, 1);
    struct km_weights *after = nets_part(&t->graph, trainer, KM_TRAINER_VALUES);
    const float *table = table_of(after), *was = table_of(t->weights);
    unsigned hidden = 0, learned = 0;
    const uint8_t *bytes = t->bytes[0];
    for (uint32_t i = 0; i < cells; i++) {
        uint32_t rows[KM_STEM_CELL_BYTES], place;
        km_stem_rows(KM_STEM_HASH, t->order, &(struct km_square){bytes, 1024}, i, rows, &place);
        size_t at = (size_t)rows[0] * KM_STEM_CHANNELS + i;
        double slope = ((double)was[at] - (double)table[at]) / 0.5;
        double measured = (loss_with(t, at, 0x1p-6F) - loss_with(t, at, -0x1p-6F)) / 0x1p-5;
        assert_true(fabs(slope - measured) < 1e-3 * (fabs(measured) + 0.01));
        hidden += table[at] == was[at] && measured == 0;
        learned += fabs(measured) > 1e-4;
    }
    assert_true(hidden >= 1 && learned >= 1);
    km_weights_free(after);
    km_trainer_free(trainer);
}

static void hidden_rows_learn_nothing_and_others_their_slope(void **state)
{
    struct task *t = *state;
    if (t->options.backend != &km_reference_backend)
        slopes_are_those_of_the_loss(t, 12);
    t->options.backend = &km_reference_backend; /* the slow one */
    slopes_are_those_of_the_loss(t, 4);
}

static void weights_do_not_depend_on_threads_but_on_the_share(void **state)
{
    struct task *t = *state;
    struct km_trainer *two = nets_trainer(&t->graph, t->weights, &t->options);
    t->options.threads = 1;
    struct km_trainer *one = nets_trainer(&t->graph, t->weights, &t->options);
    t->options.rows.share = 0;
    struct km_trainer *without = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, two, 3);
    take_steps(t, one, 3);
    take_steps(t, without, 3);
    assert_true(nets_same_memory(&t->graph, two, one));
    assert_false(nets_same_memory(&t->graph, two, without));
    km_trainer_free(two);
    km_trainer_free(one);
    km_trainer_free(without);
}

static enum km_code load(int folder, struct km_trainer *trainer, struct km_err *err)
{
    int fd = openat(folder, "point", O_RDONLY | O_CLOEXEC);
    enum km_code code = km_checkpoint_load(trainer, fd, err);
    close(fd);
    return code;
}

/* Stopped where rows are hidden, and gone on beyond where they are. */
static void a_resumed_training_hides_the_same_rows(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    char path[] = "/tmp/km-test-XXXXXX";
    assert_non_null(mkdtemp(path));
    int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct km_trainer *through = nets_trainer(&t->graph, t->weights, &t->options),
                      *first = nets_trainer(&t->graph, t->weights, &t->options),
                      *second = nets_trainer(&t->graph, t->weights, &t->options);
    take_steps(t, through, 3);
    take_steps(t, first, 1);
    assert_ok(km_checkpoint_save(first, folder, "point", &err), err);
    assert_ok(load(folder, second, &err), err);
    take_steps(t, second, 2);
    assert_true(nets_same_memory(&t->graph, through, second));
    static const struct km_rowdrop_options others[] = {{0.25F, 2}, {0.5F, 3}};
    for (size_t i = 0; i < 2; i++) {
        t->options.rows = others[i];
        struct km_trainer *other = nets_trainer(&t->graph, t->weights, &t->options);
        assert_int_equal(load(folder, other, &err), KM_CONFLICT);
        km_trainer_free(other);
    }
    km_trainer_free(through);
    km_trainer_free(first);
    km_trainer_free(second);
    assert_int_equal(unlinkat(folder, "point", 0), 0);
    close(folder);
    assert_int_equal(rmdir(path), 0);
}

static void a_failed_step_leaves_the_table_whole(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_trainer *trainer = nets_trainer(&t->graph, t->weights, &t->options),
                      *untouched = nets_trainer(&t->graph, t->weights, &t->options);
    const struct km_trainer_batch batch = {.squares = t->squares, .targets = t->targets};
    double loss = -1;
    t->targets[1] = NAN;
    assert_int_equal(km_trainer_step(trainer, &batch, &loss, &err), KM_CONFLICT);
    assert_true(nets_same_memory(&t->graph, trainer, untouched));
    km_trainer_free(trainer);
    km_trainer_free(untouched);
}

static void only_a_hash_stem_has_rows_to_hide(void **state)
{
    struct task *t = *state;
    struct km_err err = KM_ERR_INIT;
    t->options.rows.share = 1;
    assert_null(km_trainer_new(&t->graph, t->weights, &t->options, &err));
    assert_int_equal(err.code, KM_LIMIT);
    t->options.rows.share = 0.5F;
    static struct km_graph picture;
    km_graph_init(&picture);
    int last = km_graph_image(&picture, (struct km_shape){1, 8, 8});
    km_graph_linear(&picture, km_graph_mean(&picture, last), "fc", 1);
    struct km_weights *weights = km_weights_new(&picture, &err);
    assert_non_null(weights);
    assert_null(km_trainer_new(&picture, weights, &t->options, &err));
    assert_int_equal(err.code, KM_UNSUPPORTED);
    km_weights_free(weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_share_of_the_rows_is_hidden_and_comes_back),
        cmocka_unit_test(after_the_last_step_nothing_is_hidden),
        cmocka_unit_test(gradients_are_corrected_row_by_row),
        cmocka_unit_test(what_is_no_share_is_refused),
        cmocka_unit_test_setup_teardown(hidden_rows_learn_nothing_and_others_their_slope, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_do_not_depend_on_threads_but_on_the_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_resumed_training_hides_the_same_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_failed_step_leaves_the_table_whole, set_up, tear_down),
        cmocka_unit_test_setup_teardown(only_a_hash_stem_has_rows_to_hide, set_up, tear_down),
    };
    return KM_RUN_TESTS(tests);
}
