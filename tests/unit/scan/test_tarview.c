#define KM_TEST_NAME "tarview"
#include "../nn/nets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "container/imaging/render.h"
#include "container/scan/tarview.h"
#include "finding/result.h"
#include "nn/architecture.h"
#include "nn/modelfile.h"

#define SIDE  ((size_t)256)
#define PATCH ((size_t)65536)

static const char card_text[] =
    "{\"komainu_card\":1,\"name\":\"paper\",\"architecture\":\"resnet18\",\"view\":\"tar\",\"picture\":{\"size\":512,"
    "\"step\":1},\"outputs\":2,\"hidden\":256,\"created\":\"2026-11-22\",\"data\":[],\"seeds\":[],\"metrics\":[],"
    "\"thresholds\":[],\"weights\":{\"sha256\":"
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"bytes\":0}}";

struct fixture {
    char path[64];
    int folder;
    struct km_card card;
    struct km_graph graph;
    struct km_weights *weights;
    uint8_t *archive;
    size_t archive_bytes;
};

/* ---- An archive: text, noise and zeros ---- */

static void put_member(struct fixture *f, const char *name, size_t bytes, int kind)
{
    uint8_t *header = f->archive + f->archive_bytes, *data = header + 512;
    (void)snprintf((char *)header, 100, "%s", name);
    (void)snprintf((char *)header + 100, 8, "0000644");
    (void)snprintf((char *)header + 124, 12, "%011zo", bytes);
    memset(header + 148, ' ', 8);
    header[156] = '0';
    memcpy(header + 257, "ustar", 6);
    memcpy(header + 263, "00", 2);
    unsigned sum = 0;
    for (size_t i = 0; i < 512; i++)
        sum += header[i];
    (void)snprintf((char *)header + 148, 8, "%06o", sum);
    struct km_seeded random = km_seeded_of(9, (uint64_t)kind);
    for (size_t i = 0; i < bytes; i++)
        data[i] = kind == 0 ? (uint8_t)("abc def\n"[i % 8]) : kind == 1 ? (uint8_t)km_seeded_next(&random) : 0;
    f->archive_bytes += 512 + (bytes + 511) / 512 * 512;
}

static int set_up(void **state)
{
    struct km_err err = KM_ERR_INIT;
    static struct fixture f;
    f = (struct fixture){0};
    /* A model is 45 MB and flushed whenever it is written: in memory, where there is a place for that. */
    (void)snprintf(f.path, sizeof f.path, "/dev/shm/km-test-XXXXXX");
    if (!mkdtemp(f.path)) {
        (void)snprintf(f.path, sizeof f.path, "/tmp/km-test-XXXXXX");
        if (!mkdtemp(f.path))
            return -1;
    }
    f.folder = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(km_card_parse(card_text, strlen(card_text), &f.card, &err), err);
    const struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_RESNET18, .outputs = 2, .side = SIDE, .hidden = 256};
    assert_ok(km_architecture_build(&options, &f.graph, &err), err);
    f.weights = nets_weights(&f.graph, 5);
    for (size_t i = 0; i < km_weights_count(f.weights); i++) {
        struct km_tensor *t = km_weights_at(f.weights, i);
        float by = strcmp(t->name, "conv1.weight") == 0  ? 1 / 128.0F
                   : strcmp(t->name, "fc.2.weight") == 0 ? 0.2F
                                                         : 1.0F; /* scores that are neither 0 nor 1 */
        for (size_t j = 0; j < t->floats; j++)
            t->values[j] *= by;
    }
    f.archive = calloc(4, PATCH);
    assert_non_null(f.archive);
    put_member(&f, "etc/motd", 70000, 0);
    put_member(&f, "usr/bin/noise", 90001, 1);
    put_member(&f, "var/zeros", 40000, 2); /* the fourth patch is partly black */
    f.archive_bytes += 1024;
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"paper.json", "paper.safetensors", "a.tar"};
    for (size_t i = 0; i < 3; i++)
        unlinkat(f->folder, names[i], 0);
    close(f->folder);
    km_weights_free(f->weights);
    free(f->archive);
    return rmdir(f->path);
}

/* ---- The path that is tested ---- */

static enum km_code load(const struct fixture *f, unsigned jobs, struct km_patchnet **out, struct km_err *err)
{
    int card = openat(f->folder, "paper.json", O_RDONLY | O_CLOEXEC);
    int weights = openat(f->folder, "paper.safetensors", O_RDONLY | O_CLOEXEC);
    const struct km_patchnet_options options = {.backend = NETS_THREADED_BACKEND, .jobs = jobs};
    enum km_code code = km_patchnet_load(card, weights, &options, out, err);
    close(card);
    close(weights);
    return code;
}

static struct km_patchnet *network_of(const struct fixture *f, const struct km_card *card, unsigned jobs)
{
    struct km_err err = KM_ERR_INIT;
    struct km_patchnet *network = NULL;
    assert_ok(km_model_save(f->folder, "paper", card, f->weights, &err), err);
    assert_ok(load(f, jobs, &network, &err), err);
    return network;
}

static void open_archive(const struct fixture *f, size_t bytes, struct km_input *input)
{
    struct km_err err = KM_ERR_INIT;
    int fd = openat(f->folder, "a.tar", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, f->archive, bytes), bytes);
    assert_ok(km_input_open(input, fd, NULL, &err), err);
}

static struct km_results *scan(const struct fixture *f, struct km_patchnet *network, size_t bytes,
                               const struct km_cancel *cancel)
{
    struct km_err err = KM_ERR_INIT;
    struct km_input input;
    open_archive(f, bytes, &input);
    struct km_results *results = km_results_new((size_t)1 << 20, &err);
    assert_non_null(results);
    const struct km_sink sink = km_results_sink(results);
    const struct km_target target = {.name = "a.tar"};
    const struct km_tarview_options options = {.network = network, .versions = {.komainu = "test"}};
    assert_ok(km_tarview_run(&input, &target, &options, &sink, cancel, &err), err);
    assert_int_equal(km_results_count(results), 1);
    km_input_close(&input);
    return results;
}

/* ---- The independent path: the whole picture, cut in rows, the plain backend, the norms not folded ---- */

struct whole {
    uint8_t *rgb;
    size_t width, height, held;
};

static enum km_code whole_begin(void *context, uint32_t width, uint32_t height, struct km_err *err)
{
    struct whole *whole = context;
    (void)err;
    *whole = (struct whole){malloc((size_t)3 * width * height), width, height, 0};
    assert_non_null(whole->rgb);
    return KM_OK;
}

static enum km_code whole_rows(void *context, const uint8_t *rgb, uint32_t count, struct km_err *err)
{
    struct whole *whole = context;
    (void)err;
    memcpy(whole->rgb + whole->held * whole->width * 3, rgb, count * whole->width * 3);
    whole->held += count;
    return KM_OK;
}

static struct whole draw(const struct fixture *f, size_t bytes)
{
    struct km_err err = KM_ERR_INIT;
    struct km_input input;
    open_archive(f, bytes, &input);
    struct km_geometry geometry;
    assert_ok(km_geometry_init(&geometry, KM_GEOMETRY_UNROLLED_N, 512, 0, bytes, &err), err);
    const struct km_render_options options = {
        .geometry = &geometry,
        .curve = KM_CURVE_HILBERT,
        .maps = {KM_COLOUR_CLASS, KM_COLOUR_MAGNITUDE, KM_COLOUR_STRUCTURE},
        .map_count = 3,
    };
    struct whole whole;
    const struct km_row_sink sink = {&whole, whole_begin, whole_rows};
    assert_ok(km_render_run(&input, &options, &sink, NULL, &err), err);
    assert_int_equal(whole.held, whole.height);
    km_input_close(&input);
    return whole;
}

/* Logits of both outputs of the patch at (row, col) of the grid. */
static void plain_logits(struct km_network *network, const struct whole *whole, size_t row, size_t col, double out[2])
{
    struct km_err err = KM_ERR_INIT;
    float *image = km_network_image(network);
    for (size_t c = 0; c < 3; c++) /* BGR */
        for (size_t y = 0; y < SIDE; y++)
            for (size_t x = 0; x < SIDE; x++)
                image[c * SIDE * SIDE + y * SIDE + x] =
                    whole->rgb[((row * SIDE + y) * whole->width + col * SIDE + x) * 3 + 2 - c];
    assert_ok(km_network_forward(network, &err), err);
    out[0] = (double)km_network_output(network)[0];
    out[1] = (double)km_network_output(network)[1];
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

static double real_of(const struct km_evidence *evidence, const char *name)
{
    for (size_t i = 0; i < evidence->arg_count; i++)
        if (strcmp(evidence->args[i].name, name) == 0)
            return evidence->args[i].type == KM_ARG_REAL ? evidence->args[i].real : (double)evidence->args[i].integer;
    fail_msg("no argument %s", name);
    return NAN;
}

/* A quad's patches in rows are TL, TR, BL, BR; the curve goes TL, TR, BR, BL: see the published picture format. */
static const size_t along_curve[4] = {0, 1, 3, 2};

/* Two billion products a patch. */
static void skip_under_thread_sanitizer(void)
{
#if defined(__SANITIZE_THREAD__)
    print_message("skipped: the plain backend takes minutes for a patch under ThreadSanitizer\n");
    skip();
#endif
}

static void the_verdict_is_the_plain_backends(void **state)
{
    const struct fixture *f = *state;
    skip_under_thread_sanitizer();
    struct km_err err = KM_ERR_INIT;
    struct whole whole = draw(f, f->archive_bytes);
    assert_int_equal(whole.height, 512);
    struct km_network *plain =
        nets_network(&f->graph, f->weights, (struct km_network_options){.backend = &km_reference_backend, .batch = 1});
    double malevolent[4], benign = 0, low = 1, high = 0, high_logit = 0;
    for (size_t i = 0; i < 4; i++) {
        double logits[2];
        plain_logits(plain, &whole, i / 2, i % 2, logits);
        malevolent[i] = logistic(logits[1]);
        benign += logistic(logits[0]) / 4;
        low = fmin(low, malevolent[i]);
        if (malevolent[i] > high) {
            high = malevolent[i];
            high_logit = logits[1];
        }
    }
    km_network_free(plain);
    free(whole.rgb);
    assert_true(high - low > 1e-3 && low > 1e-6 && high < 1 - 1e-6); /* else nothing is compared */
    struct km_card card = f->card;
    card.threshold_count = 1;
    card.thresholds[0] = (struct km_card_threshold){"patch", (low + high) / 2};
    struct km_patchnet *network = network_of(f, &card, 1);
    for (unsigned jobs = 1; jobs <= 3; jobs += 2) {
        if (jobs > 1)
            assert_ok(load(f, jobs, &network, &err), err);
        struct km_results *results = scan(f, network, f->archive_bytes, NULL);
        const struct km_result *result = km_results_get(results, 0);
        assert_null(result->outcome.error);
        assert_int_equal(result->outcome.verdict, KM_VERDICT_SUSPICIOUS);
        assert_int_equal(result->finding_count, 1);
        const struct km_finding *finding = &result->findings[0];
        const struct km_evidence *evidence = &finding->evidence[0];
        assert_string_equal(evidence->id, "picture.score");
        assert_true(fabs(finding->score - high) < 1e-4);
        assert_true(fabs(evidence->weight - high_logit) < 1e-3);
        assert_true(fabs(real_of(evidence, "benign") - benign) < 1e-4);
        assert_int_equal(real_of(evidence, "patches"), 4);
        size_t above = 0;
        for (size_t j = 0; j < 4; j++) {
            if (malevolent[along_curve[j]] <= card.thresholds[0].value)
                continue;
            assert_true(above < finding->range_count);
            size_t end = (j + 1) * PATCH < f->archive_bytes ? (j + 1) * PATCH : f->archive_bytes;
            assert_int_equal(finding->ranges[above].begin, j * PATCH);
            assert_int_equal(finding->ranges[above].end, end);
            above++;
        }
        assert_int_equal(real_of(evidence, "above"), above);
        assert_int_equal(finding->range_count, above);
        assert_int_equal(result->outcome.coverage.bytes_examined, f->archive_bytes);
        assert_int_equal(result->outcome.coverage.gaps, 0);
        km_results_free(results);
        km_patchnet_free(network);
    }
}

static void what_a_step_leaves_out_is_not_examined(void **state)
{
    const struct fixture *f = *state;
    skip_under_thread_sanitizer();
    static const struct {
        struct km_card_picture picture;
        uint64_t divisor, patches;
    } table[] = {{{512, 3}, 3, 4}, {{256, 30}, 30, 1}, {{256, 0}, 1, 4}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct km_card card = f->card;
        card.picture = table[i].picture;
        card.threshold_count = 1;
        card.thresholds[0] = (struct km_card_threshold){"patch", 0.999999};
        struct km_patchnet *network = network_of(f, &card, 2);
        struct km_results *results = scan(f, network, f->archive_bytes, NULL);
        const struct km_result *result = km_results_get(results, 0);
        const struct km_coverage *coverage = &result->outcome.coverage;
        uint64_t shown = (f->archive_bytes + table[i].divisor - 1) / table[i].divisor;
        bool whole = shown == f->archive_bytes;
        assert_int_equal(coverage->bytes_total, f->archive_bytes);
        assert_int_equal(coverage->bytes_examined, shown);
        assert_int_equal(coverage->files_examined, whole);
        assert_int_equal(real_of(&result->findings[0].evidence[0], "patches"), table[i].patches);
        assert_int_equal(result->outcome.verdict, whole ? KM_VERDICT_CLEAN : KM_VERDICT_INCOMPLETE);
        assert_int_equal(result->gap_count, whole ? 0 : 1);
        if (!whole) {
            assert_int_equal(result->gaps[0].reason, KM_GAP_POLICY);
            assert_int_equal(result->gaps[0].bytes, f->archive_bytes - shown);
            assert_non_null(strstr(result->gaps[0].detail, "one byte in"));
        }
        km_results_free(results);
        km_patchnet_free(network);
    }
}

static void bad_inputs_are_never_clean(void **state)
{
    struct fixture *f = *state;
    skip_under_thread_sanitizer();
    struct km_card card = f->card;
    card.threshold_count = 1;
    card.thresholds[0] = (struct km_card_threshold){"patch", 0.999999};
    struct km_patchnet *network = network_of(f, &card, 1);
    struct km_results *results = scan(f, network, 100000, NULL);
    const struct km_result *result = km_results_get(results, 0);
    assert_int_equal(result->outcome.verdict, KM_VERDICT_INCOMPLETE);
    assert_int_equal(result->gap_count, 1);
    assert_int_equal(result->gaps[0].reason, KM_GAP_TRUNCATED);
    km_results_free(results);

    struct km_cancel cancel = KM_CANCEL_INIT;
    km_cancel_request(&cancel);
    results = scan(f, network, f->archive_bytes, &cancel);
    result = km_results_get(results, 0);
    assert_null(result->outcome.error);
    assert_int_equal(result->finding_count, 0);
    assert_int_equal(result->outcome.verdict, KM_VERDICT_INCOMPLETE);
    assert_int_equal(result->outcome.coverage.bytes_examined, 0);
    assert_int_equal(result->gaps[0].reason, KM_GAP_CANCELLED);
    assert_int_equal(result->gaps[0].bytes, f->archive_bytes);
    km_results_free(results);

    static const size_t lengths[] = {0, 100, 70000};
    f->archive[0] ^= 1; /* the checksum is wrong */
    for (size_t i = 0; i < 3; i++) {
        results = scan(f, network, lengths[i], NULL);
        result = km_results_get(results, 0);
        assert_non_null(result->outcome.error);
        assert_int_equal(result->outcome.error->code, KM_FORMAT);
        assert_non_null(strstr(result->outcome.error->text, "not a tar archive"));
        assert_int_equal(result->outcome.verdict, KM_VERDICT_INCOMPLETE);
        km_results_free(results);
    }
    f->archive[0] ^= 1;
    km_patchnet_free(network);
}

static struct km_tensor *tensor(const struct fixture *f, const char *name)
{
    for (size_t i = 0; i < km_weights_count(f->weights); i++)
        if (strcmp(km_weights_at(f->weights, i)->name, name) == 0)
            return km_weights_at(f->weights, i);
    fail_msg("no tensor %s", name);
    return NULL;
}

static void refused(const struct fixture *f, enum km_code code, const char *says)
{
    struct km_err err = KM_ERR_INIT;
    struct km_patchnet *network = NULL;
    enum km_code got = load(f, 1, &network, &err);
    if (got != code || !strstr(err.text, says) || network)
        fail_msg("%s wanted: %s: %s", says, km_code_to_string(got), err.text);
}

static void bad_models_are_refused(void **state)
{
    struct fixture *f = *state;
    skip_under_thread_sanitizer();
    struct km_err err = KM_ERR_INIT;
    struct km_card card = f->card;
    card.hidden = 128; /* the tensors have 256 */
    assert_ok(km_model_save(f->folder, "paper", &card, f->weights, &err), err);
    refused(f, KM_CONFLICT, "fc.0.weight");
    card.hidden = 0;
    assert_ok(km_model_save(f->folder, "paper", &card, f->weights, &err), err);
    refused(f, KM_NOTFOUND, "fc.weight");
    card = f->card;
    card.outputs = 3;
    assert_ok(km_model_save(f->folder, "paper", &card, f->weights, &err), err);
    refused(f, KM_UNSUPPORTED, "one or two outputs");
    card = f->card;
    card.view = KM_CARD_VIEW_FILE;
    assert_ok(km_model_save(f->folder, "paper", &card, f->weights, &err), err);
    refused(f, KM_UNSUPPORTED, "tar view");
    card = f->card;
    card.threshold_count = 1;
    card.thresholds[0] = (struct km_card_threshold){"patch", 1.5};
    assert_ok(km_model_save(f->folder, "paper", &card, f->weights, &err), err);
    refused(f, KM_FORMAT, "'patch'");

    float *value = tensor(f, "layer3.0.conv2.weight")->values, kept = *value;
    *value = NAN;
    assert_ok(km_model_save(f->folder, "paper", &f->card, f->weights, &err), err);
    refused(f, KM_FORMAT, "layer3.0.conv2.weight");
    *value = kept;
    value = tensor(f, "fc.2.bias")->values;
    kept = *value;
    *value = 3e38F; /* finite, and no logit */
    assert_ok(km_model_save(f->folder, "paper", &f->card, f->weights, &err), err);
    refused(f, KM_FORMAT, "no usable number");
    *value = kept;

    int fd = openat(f->folder, "paper.safetensors", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "\x7f", 1, 900000), 1);
    close(fd);
    refused(f, KM_CONFLICT, "SHA-256");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_verdict_is_the_plain_backends, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_a_step_leaves_out_is_not_examined, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_inputs_are_never_clean, set_up, tear_down),
        cmocka_unit_test_setup_teardown(bad_models_are_refused, set_up, tear_down),
    };
    return KM_RUN_TESTS(tests);
}
