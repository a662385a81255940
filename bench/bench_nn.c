/*
 * Measures src/nn; bench/bench_nn drives it, beside PyTorch. One task a call:
 *   bench_nn fashion FOLDER              trains on Fashion-MNIST (raw idx files), prints accuracy and time
 *   bench_nn infer NET THREADS SECONDS   prints patches a second: 256x256, one network a thread
 *   bench_nn train NET THREADS SECONDS   prints patches a second: steps of 16 patches in 2 shards
 *   bench_nn outputs NET WEIGHTS INPUT   prints the logits of two patches (resnet18: floats, light: bytes)
 * NET: resnet18, light-colour, light-hash. Threads are measured by wall clock, a single one by its processor time.
 */
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "nn/architecture.h"
#include "nn/fold.h"
#include "nn/network.h"
#include "nn/seeded.h"
#include "nn/train.h"
#include "nn/weightsfile.h"
#include "nn/wholefile.h"

#define SIDE         256u
#define INFER_BATCH  8u
#define TRAIN_BATCH  16u
#define OUTPUT_BATCH 2u
#define MAX_THREADS  8

static _Noreturn void stop(const char *what, const struct km_err *err)
{
    fprintf(stderr, "bench_nn: %s%s%s\n", what, err ? ": " : "", err ? err->text : "");
    exit(1);
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void *room(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory)
        stop("out of memory", NULL);
    return memory;
}

static uint8_t *read_file(const char *path, size_t *out_length)
{
    struct km_err err = KM_ERR_INIT;
    uint8_t *bytes = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || km_wholefile_read(fd, (size_t)1 << 30, &bytes, out_length, &err) != KM_OK)
        stop(path, &err);
    close(fd);
    return bytes;
}

static void hilbert(uint32_t side, uint32_t *places)
{
    for (uint32_t i = 0; i < side * side; i++) {
        uint32_t x = 0, y = 0, t = i;
        for (uint32_t s = 1; s < side; s *= 2) {
            uint32_t right = 1 & (t / 2), up = 1 & (t ^ right), held = x;
            if (!up) {
                x = right ? s - 1 - y : y;
                y = right ? s - 1 - held : held;
            }
            x += s * right;
            y += s * up;
            t /= 4;
        }
        places[i] = y * side + x;
    }
}

/* A network to measure, with its inputs. */
struct subject {
    struct km_stem_order *order; /* NULL: resnet18 */
    struct km_graph graph;
    struct km_weights *weights;
    float *images;
    uint8_t *bytes;
    struct km_square squares[TRAIN_BATCH];
};

static const float *colours(void)
{
    static float table[257 * 3];
    for (size_t i = 0; i < KM_STEM_SYMBOLS; i++) {
        table[3 * i] = (float)(i % 5) / 4.0F;
        table[3 * i + 1] = (float)i / 256.0F;
        table[3 * i + 2] = i < KM_STEM_PADDING ? 1.0F : 0.0F;
    }
    return table;
}

static void subject_init(struct subject *s, const char *name)
{
    struct km_err err = KM_ERR_INIT;
    memset(s, 0, sizeof *s);
    struct km_architecture_options options = {.kind = KM_ARCHITECTURE_RESNET18, .outputs = 1, .side = SIDE};
    if (strncmp(name, "light-", 6) == 0) {
        uint32_t *places = room((size_t)SIDE * SIDE, sizeof *places);
        hilbert(SIDE, places);
        s->order = km_stem_order_new(SIDE, places, &err);
        free(places);
        options.kind = KM_ARCHITECTURE_LIGHT;
        options.order = s->order;
        options.colours = colours();
        if (!s->order || km_stem_kind_from_string(name + 6, &options.stem, &err) != KM_OK)
            stop(name, &err);
    } else if (strcmp(name, "resnet18") != 0) {
        stop("no such network", NULL);
    }
    if (km_architecture_build(&options, &s->graph, &err) != KM_OK || !(s->weights = km_weights_new(&s->graph, &err)))
        stop(name, &err);
    km_weights_randomise(s->weights, &s->graph, 1);
    struct km_seeded random = km_seeded_of(2, 0);
    size_t floats = (size_t)TRAIN_BATCH * 3 * SIDE * SIDE, bytes = (size_t)TRAIN_BATCH * SIDE * SIDE;
    s->images = room(s->order ? 1 : floats, sizeof *s->images);
    s->bytes = room(bytes, 1);
    for (size_t i = 0; !s->order && i < floats; i++)
        s->images[i] = (float)km_seeded_unit(&random);
    size_t length;
    uint8_t *program = read_file("/proc/self/exe", &length); /* a file as files are: random bytes have no repeats */
    for (size_t i = 0; i < bytes; i++)
        s->bytes[i] = program[i % length];
    free(program);
    for (size_t i = 0; i < TRAIN_BATCH; i++)
        s->squares[i] = (struct km_square){s->bytes + i * SIDE * SIDE, (size_t)SIDE * SIDE};
}

static void subject_done(struct subject *s)
{
    km_weights_free(s->weights);
    km_stem_order_free(s->order);
    free(s->images);
    free(s->bytes);
}

static void set_input(const struct subject *s, struct km_network *network)
{
    uint32_t batch = km_network_batch(network);
    if (s->order)
        km_network_squares(network, s->squares, batch);
    else
        memcpy(km_network_image(network), s->images, (size_t)batch * 3 * SIDE * SIDE * sizeof *s->images);
}

/* One stream: its own network on its own thread, as a scan's worker. */
struct stream {
    const struct subject *subject;
    const struct km_graph *graph;
    const struct km_weights *weights;
    pthread_barrier_t *start;
    double seconds, rate;
    bool alone;
};

static void *run_stream(void *argument)
{
    struct stream *stream = argument;
    struct km_err err = KM_ERR_INIT;
    struct km_network_options options = {.batch = INFER_BATCH};
    struct km_network *network = km_network_new(stream->graph, &options, &err);
    if (!network || km_network_set(network, stream->weights, &err) != KM_OK)
        stop("network", &err);
    set_input(stream->subject, network);
    if (km_network_forward(network, &err) != KM_OK)
        stop("forward", &err);
    clockid_t clock = stream->alone ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC;
    pthread_barrier_wait(stream->start);
    double begin = seconds_of(clock), now = begin;
    unsigned passes = 0;
    while (now - begin < stream->seconds) {
        set_input(stream->subject, network);
        if (km_network_forward(network, &err) != KM_OK)
            stop("forward", &err);
        passes++;
        now = seconds_of(clock);
    }
    stream->rate = passes * (double)INFER_BATCH / (now - begin);
    km_network_free(network);
    return NULL;
}

static void infer(const struct subject *s, int threads, double seconds)
{
    struct km_err err = KM_ERR_INIT;
    struct km_graph *graph = room(1, sizeof *graph);
    struct km_weights *weights = NULL;
    if (km_fold(&s->graph, s->weights, graph, &weights, &err) != KM_OK)
        stop("fold", &err);
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, (unsigned)threads);
    struct stream streams[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    double rate = 0;
    for (int i = 0; i < threads; i++) {
        streams[i] = (struct stream){s, graph, weights, &start, seconds, 0, threads == 1};
        if (pthread_create(&ids[i], NULL, run_stream, &streams[i]) != 0)
            stop("cannot start a thread", NULL);
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        rate += streams[i].rate;
    }
    printf("%.4f\n", rate);
    km_weights_free(weights);
    free(graph);
}

static void train(const struct subject *s, int threads, double seconds)
{
    struct km_err err = KM_ERR_INIT;
    struct km_trainer_options options = {
        .batch = TRAIN_BATCH,
        .shards = 2,
        .threads = (uint32_t)threads,
        .loss = {.kind = KM_LOSS_BCE},
        .optimiser = {.kind = KM_OPTIMISER_SGD, .momentum = 0.9F},
        .schedule = {.peak = 1e-4, .floor = 1e-4},
        .norm_momentum = 0.1F,
    };
    struct km_trainer *trainer = km_trainer_new(&s->graph, s->weights, &options, &err);
    if (!trainer)
        stop("trainer", &err);
    float targets[TRAIN_BATCH];
    for (size_t i = 0; i < TRAIN_BATCH; i++)
        targets[i] = (float)(i % 2);
    struct km_trainer_batch batch = {
        .images = s->order ? NULL : s->images, .squares = s->order ? s->squares : NULL, .targets = targets};
    double loss, begin = 0, now = 0;
    unsigned steps = 0;
    clockid_t clock = threads == 1 ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC;
    for (bool warm = false; !warm || now - begin < seconds; warm = true) {
        if (km_trainer_step(trainer, &batch, &loss, &err) != KM_OK)
            stop("step", &err);
        now = seconds_of(clock);
        if (!warm)
            begin = now;
        else
            steps++;
    }
    printf("%.4f\n", steps * (double)TRAIN_BATCH / (now - begin));
    km_trainer_free(trainer);
}

static void outputs(struct subject *s, const char *weights_path, const char *input_path)
{
    struct km_err err = KM_ERR_INIT;
    size_t length, patch = (size_t)SIDE * SIDE;
    uint8_t *bytes = read_file(weights_path, &length);
    struct km_safetensors *file = km_safetensors_parse(bytes, length, &err);
    struct km_weights_report report = {0};
    if (!file || km_weights_load(s->weights, file, &report, &err) != KM_OK || report.unknown > 0)
        stop(weights_path, &err);
    km_safetensors_free(file);
    free(bytes);
    bytes = read_file(input_path, &length);
    size_t wanted = OUTPUT_BATCH * patch * (s->order ? 1 : 3 * sizeof(float));
    if (length != wanted)
        stop("an input of another size", NULL);
    memcpy(s->order ? (void *)s->bytes : s->images, bytes, wanted);
    free(bytes);
    struct km_graph *graph = room(1, sizeof *graph);
    struct km_weights *weights = NULL;
    if (km_fold(&s->graph, s->weights, graph, &weights, &err) != KM_OK)
        stop("fold", &err);
    struct km_network_options options = {.batch = OUTPUT_BATCH};
    struct km_network *network = km_network_new(graph, &options, &err);
    if (!network || km_network_set(network, weights, &err) != KM_OK)
        stop("network", &err);
    set_input(s, network);
    if (km_network_forward(network, &err) != KM_OK)
        stop("forward", &err);
    for (uint32_t i = 0; i < OUTPUT_BATCH; i++)
        printf("%.9g\n", (double)km_network_output(network)[i]);
    km_network_free(network);
    km_weights_free(weights);
    free(graph);
}

/* ---- Fashion-MNIST ---- */

#define FASHION_SIDE   28u
#define FASHION_PIXELS ((size_t)FASHION_SIDE * FASHION_SIDE)
#define FASHION_BATCH  ((uint32_t)128)
#define FASHION_EPOCHS 5u

struct fashion {
    uint8_t *image_file, *label_file;
    const uint8_t *images, *labels;
    uint32_t count;
};

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static struct fashion read_fashion(const char *folder, const char *set)
{
    struct fashion f;
    char path[512];
    size_t images, labels;
    (void)snprintf(path, sizeof path, "%s/%s-images-idx3-ubyte", folder, set);
    f.image_file = read_file(path, &images);
    (void)snprintf(path, sizeof path, "%s/%s-labels-idx1-ubyte", folder, set);
    f.label_file = read_file(path, &labels);
    f.count = images >= 16 ? big_endian(f.image_file + 4) : 0;
    if (f.count == 0 || f.count > 100000 || images != 16 + f.count * FASHION_PIXELS || labels != 8 + f.count)
        stop("not Fashion-MNIST", NULL);
    f.images = f.image_file + 16;
    f.labels = f.label_file + 8;
    return f;
}

static void fashion_graph(struct km_graph *g)
{
    static const struct km_window same = {3, 1, 1}, half = {3, 2, 1}, whole = {7, 1, 0};
    km_graph_init(g);
    int last = km_graph_image(g, (struct km_shape){1, FASHION_SIDE, FASHION_SIDE});
    last = km_graph_norm(g, km_graph_conv(g, last, "conv1", 32, half, false), "norm1", true);
    last = km_graph_norm(g, km_graph_conv(g, last, "conv2", 64, same, false), "norm2", true);
    last = km_graph_norm(g, km_graph_conv(g, last, "conv3", 96, half, false), "norm3", true);
    int second = km_graph_norm(g, km_graph_conv(g, last, "conv4", 96, same, false), "norm4", false);
    last = km_graph_add(g, second, last, true);
    last = km_graph_norm(g, km_graph_conv(g, last, "conv5", 128, whole, false), "norm5", true); /* one cell */
    last = km_graph_dropout(g, km_graph_mean(g, last), 0.2F);
    km_graph_linear(g, last, "fc", 10);
}

/* One picture as floats around 0, perhaps mirrored. */
static void fill_image(const uint8_t *pixels, bool mirrored, float *out)
{
    for (size_t i = 0; i < FASHION_PIXELS; i++) {
        size_t column = i % FASHION_SIDE;
        size_t from = mirrored ? i - column + FASHION_SIDE - 1 - column : i;
        out[i] = (float)pixels[from] / 255.0F * 2 - 0.6F;
    }
}

static void fashion_train(const struct fashion *data, struct km_trainer *trainer, double *out_loss)
{
    struct km_err err = KM_ERR_INIT;
    uint32_t *order = room(data->count, sizeof *order), labels[FASHION_BATCH];
    float *images = room(FASHION_BATCH * FASHION_PIXELS, sizeof *images);
    for (uint32_t epoch = 0; epoch < FASHION_EPOCHS; epoch++) {
        km_seeded_shuffle(order, data->count, 1, epoch);
        struct km_seeded random = km_seeded_of(3, epoch);
        for (uint32_t first = 0; first + FASHION_BATCH <= data->count; first += FASHION_BATCH) {
            for (uint32_t i = 0; i < FASHION_BATCH; i++) {
                uint32_t sample = order[first + i];
                labels[i] = data->labels[sample];
                fill_image(data->images + sample * FASHION_PIXELS, km_seeded_below(&random, 2) == 1,
                           images + i * FASHION_PIXELS);
            }
            struct km_trainer_batch batch = {.images = images, .labels = labels};
            if (km_trainer_step(trainer, &batch, out_loss, &err) != KM_OK)
                stop("step", &err);
        }
    }
    free(order);
    free(images);
}

static uint32_t fashion_right(const struct fashion *data, const struct km_graph *graph,
                              const struct km_weights *weights)
{
    struct km_err err = KM_ERR_INIT;
    struct km_network_options options = {.batch = 100};
    struct km_network *network = km_network_new(graph, &options, &err);
    if (!network || km_network_set(network, weights, &err) != KM_OK)
        stop("network", &err);
    uint32_t right = 0;
    for (uint32_t first = 0; first + 100 <= data->count; first += 100) {
        for (uint32_t i = 0; i < 100; i++)
            fill_image(data->images + (first + i) * FASHION_PIXELS, false,
                       km_network_image(network) + i * FASHION_PIXELS);
        if (km_network_forward(network, &err) != KM_OK)
            stop("forward", &err);
        for (uint32_t i = 0; i < 100; i++) {
            const float *logits = km_network_output(network) + (size_t)i * 10;
            uint32_t best = 0;
            for (uint32_t o = 1; o < 10; o++)
                best = logits[o] > logits[best] ? o : best;
            right += best == data->labels[first + i];
        }
    }
    km_network_free(network);
    return right;
}

/* Wilson's 95 % interval of a share. */
static void print_share(const char *name, uint32_t right, uint32_t count)
{
    double n = count, p = right / n, z = 1.96, z2 = z * z / n;
    double middle = (p + z2 / 2) / (1 + z2), half = z * sqrt(p * (1 - p) / n + z2 / (4 * n)) / (1 + z2);
    printf("%s %.4f share %.4f %.4f %u\n", name, p, middle - half, middle + half, count);
}

static void fashion(const char *folder)
{
    struct km_err err = KM_ERR_INIT;
    struct fashion data = read_fashion(folder, "train"), test = read_fashion(folder, "t10k");
    struct km_graph *graph = room(2, sizeof *graph), *folded = graph + 1;
    fashion_graph(graph);
    struct km_weights *weights = km_weights_new(graph, &err), *folded_weights = NULL;
    if (!weights)
        stop("weights", &err);
    km_weights_randomise(weights, graph, 1);
    uint64_t steps = (uint64_t)(data.count / FASHION_BATCH) * FASHION_EPOCHS;
    struct km_trainer_options options = {
        .batch = FASHION_BATCH,
        .shards = 2,
        .threads = 2,
        .loss = {.kind = KM_LOSS_SOFTMAX, .smoothing = 0.02F},
        .optimiser = KM_OPTIMISER_ADAM_INIT,
        .schedule = {.peak = 0.003, .floor = 0, .warmup = steps / 10, .total = steps},
        .norm_momentum = 0.1F,
        .seed = 1,
    };
    options.optimiser.weight_decay = 0.02F;
    struct km_trainer *trainer = km_trainer_new(graph, weights, &options, &err);
    if (!trainer)
        stop("trainer", &err);
    double begin = seconds_of(CLOCK_MONOTONIC), loss = 0;
    fashion_train(&data, trainer, &loss);
    double seconds = seconds_of(CLOCK_MONOTONIC) - begin;
    if (km_trainer_get(trainer, KM_TRAINER_VALUES, weights, &err) != KM_OK ||
        km_fold(graph, weights, folded, &folded_weights, &err) != KM_OK)
        stop("weights", &err);
    print_share("fashion.accuracy", fashion_right(&test, folded, folded_weights), test.count);
    printf("fashion.training %.1f s - - 1\n", seconds);
    printf("fashion.last_loss %.4f nats - - 1\n", loss);
    km_trainer_free(trainer);
    km_weights_free(weights);
    km_weights_free(folded_weights);
    free(graph);
    free(data.image_file);
    free(data.label_file);
    free(test.image_file);
    free(test.label_file);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "fashion") == 0) {
        fashion(argv[2]);
        return 0;
    }
    if (argc != 5) {
        fputs("usage: bench_nn fashion FOLDER | infer|train NET THREADS SECONDS | outputs NET WEIGHTS INPUT\n", stderr);
        return 1;
    }
    struct subject *subject = room(1, sizeof *subject);
    subject_init(subject, argv[2]);
    long threads = strtol(argv[3], NULL, 10);
    double seconds = strtod(argv[4], NULL);
    if (strcmp(argv[1], "outputs") == 0)
        outputs(subject, argv[3], argv[4]);
    else if (threads < 1 || threads > MAX_THREADS || !(seconds > 0))
        stop("THREADS is 1..8, SECONDS above 0", NULL);
    else if (strcmp(argv[1], "train") == 0)
        train(subject, (int)threads, seconds);
    else
        infer(subject, (int)threads, seconds);
    subject_done(subject);
    free(subject);
    return 0;
}
