#define KM_TEST_NAME "modelfile"
#include "nets.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "nn/modelfile.h"
#include "nn/wholefile.h"

static const char good[] =
    "{\"komainu_card\":1,\"name\":\"small\",\"architecture\":\"light\",\"stem\":\"byte\",\"view\":\"file\",\"outputs\":"
    "1,"
    "\"created\":\"2026-11-21\",\"data\":[{\"name\":\"Debian "
    "\xc3\xa9\",\"from\":\"2023-06-10\",\"to\":\"2026-11-01\"}],"
    "\"seeds\":[0,7],\"metrics\":[{\"name\":\"auc\",\"value\":0.81,\"low\":0.7,\"high\":0.9,\"n\":150}],"
    "\"thresholds\":[{\"name\":\"malicious\",\"value\":2.5}],\"weights\":{\"sha256\":"
    "\"00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\",\"bytes\":4711}}";

static void assert_comes_back(const struct km_card *card)
{
    static struct km_card again;
    struct km_err err = KM_ERR_INIT;
    struct km_buf text;
    km_buf_init(&text, KM_CARD_MAX_BYTES);
    assert_ok(km_card_format(card, &text, &err), err);
    assert_ok(km_card_parse(text.data, text.length, &again, &err), err);
    assert_memory_equal(card, &again, sizeof again);
    km_buf_done(&text);
}

static void a_card_is_read_and_written_back(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static struct km_card card;
    assert_ok(km_card_parse(good, strlen(good), &card, &err), err);
    assert_string_equal(card.name, "small");
    assert_int_equal(card.architecture, KM_ARCHITECTURE_LIGHT);
    assert_int_equal(card.stem, KM_STEM_BYTE);
    assert_int_equal(card.view, KM_CARD_VIEW_FILE);
    assert_int_equal(card.data_count, 1);
    assert_string_equal(card.data[0].to, "2026-11-01");
    assert_int_equal(card.seeds[1], 7);
    assert_int_equal(card.metrics[0].n, 150);
    assert_int_equal(card.sha256[31], 0xff);
    assert_int_equal(card.weights_bytes, 4711);
    double threshold = 0;
    assert_true(km_card_threshold_find(&card, "malicious", &threshold));
    assert_true(threshold == 2.5);
    assert_false(km_card_threshold_find(&card, "other", &threshold));
    assert_comes_back(&card);
}

static void bad_cards_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to;
        enum km_code code;
        const char *says;
    } table[] = {
        {"\"komainu_card\":1", "\"komainu_card\":2", KM_UNSUPPORTED, "komainu_card"},
        {"\"komainu_card\":1", "\"komainu_card\":\"1\"", KM_FORMAT, "komainu_card"},
        {"\"name\":\"small\"", "\"name\":7", KM_FORMAT, "name"},
        {"\"name\":\"small\"", "\"name\":\"\"", KM_FORMAT, "name"},
        {"\"name\":\"small\"", "\"name\":\"a\\u001b[31m\"", KM_FORMAT, "control"},
        {"\"name\":\"small\",", "", KM_FORMAT, "'name' is missing"},
        {"\"name\":\"small\",", "\"name\":\"small\",\"extra\":1,", KM_FORMAT, "unknown"},
        {"\"light\"", "\"resnet99\"", KM_UNSUPPORTED, "resnet99"},
        {"\"light\"", "\"resnet18\"", KM_FORMAT, "stem"},
        {"\"stem\":\"byte\",", "", KM_FORMAT, "stem"},
        {"\"byte\"", "\"bite\"", KM_UNSUPPORTED, "bite"},
        {"\"view\":\"file\"", "\"view\":\"fill\"", KM_UNSUPPORTED, "view"},
        {"\"outputs\":1", "\"outputs\":0", KM_FORMAT, "outputs"},
        {"\"outputs\":1", "\"outputs\":-1", KM_FORMAT, "outputs"},
        {"\"outputs\":1", "\"outputs\":5000", KM_FORMAT, "outputs"},
        {"\"2026-11-21\"", "\"2026-13-21\"", KM_FORMAT, "date"},
        {"\"2026-11-21\"", "\"yesterday\"", KM_FORMAT, "date"},
        {"\"2023-06-10\"", "\"2027-06-10\"", KM_FORMAT, "ends before"},
        {"\"seeds\":[0,7]", "\"seeds\":[0,-7]", KM_FORMAT, "seeds"},
        {"\"seeds\":[0,7]", "\"seeds\":{}", KM_FORMAT, "seeds"},
        {"\"low\":0.7", "\"low\":0.82", KM_FORMAT, "interval"},
        {"\"low\":0.7", "\"low\":\"0.7\"", KM_FORMAT, "low"},
        {"\"n\":150", "\"n\":1.5", KM_FORMAT, "n"},
        {"\"value\":2.5", "\"value\":null", KM_FORMAT, "value"},
        {"\"sha256\":\"00", "\"sha256\":\"0g", KM_FORMAT, "sha256"},
        {"\"sha256\":\"00", "\"sha256\":\"000", KM_FORMAT, "sha256"},
        {"\"bytes\":4711", "\"bytes\":-1", KM_FORMAT, "bytes"},
        {"\"outputs\":1", "\"outputs\":1,\"hidden\":256", KM_FORMAT, "resnet18"},
        {"\"outputs\":1", "\"outputs\":1,\"picture\":{\"size\":1024,\"step\":30}", KM_FORMAT, "tar view"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct km_err err = KM_ERR_INIT;
        static struct km_card card;
        char text[2048];
        const char *at = strstr(good, table[i].from);
        assert_non_null(at);
        (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, table[i].to, at + strlen(table[i].from));
        memset(&card, 0x5a, sizeof card);
        enum km_code code = km_card_parse(text, strlen(text), &card, &err);
        if (code != table[i].code || !strstr(err.text, table[i].says))
            fail_msg("%s: %s: %s", table[i].to, km_code_to_string(code), err.text);
        assert_int_equal(((const uint8_t *)&card)[0], 0x5a); /* untouched */
    }
}

static const char head[] = "\"komainu_card\":1,\"name\":\"p\",\"architecture\":\"resnet18\",\"view\":\"tar\"";

static enum km_code parse_picture_card(const char *members, struct km_card *card, struct km_err *err)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "{%s%s%s", head, members, strstr(good, ",\"created\""));
    return km_card_parse(text, strlen(text), card, err);
}

static void a_card_of_pictures_is_read_and_written_back(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static struct km_card card;
    assert_ok(parse_picture_card(",\"outputs\":2", &card, &err), err);
    assert_int_equal(card.hidden, 0);
    assert_int_equal(card.picture.size, 1024); /* what the reference's service draws */
    assert_int_equal(card.picture.step, 30);
    assert_ok(parse_picture_card(",\"outputs\":2,\"hidden\":256,\"picture\":{\"size\":512,\"step\":0}", &card, &err),
              err);
    assert_int_equal(card.hidden, 256);
    assert_int_equal(card.picture.size, 512);
    assert_int_equal(card.picture.step, 0);
    assert_comes_back(&card);
}

static void bad_cards_of_pictures_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *members, *says;
    } table[] = {
        {",\"outputs\":2,\"hidden\":0", "hidden"},
        {",\"outputs\":2,\"hidden\":5000", "hidden"},
        {",\"outputs\":2,\"hidden\":\"256\"", "hidden"},
        {",\"outputs\":2,\"picture\":1024", "picture"},
        {",\"outputs\":2,\"picture\":{\"size\":1024}", "'step' is missing"},
        {",\"outputs\":2,\"picture\":{\"size\":1024,\"step\":30,\"curve\":1}", "unknown"},
        {",\"outputs\":2,\"picture\":{\"size\":128,\"step\":30}", "size"},
        {",\"outputs\":2,\"picture\":{\"size\":768,\"step\":30}", "size"},
        {",\"outputs\":2,\"picture\":{\"size\":8192,\"step\":30}", "size"},
        {",\"outputs\":2,\"picture\":{\"size\":1024,\"step\":-1}", "step"},
        {",\"outputs\":2,\"picture\":{\"size\":1024,\"step\":65537}", "step"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct km_err err = KM_ERR_INIT;
        static struct km_card card;
        if (parse_picture_card(table[i].members, &card, &err) != KM_FORMAT || !strstr(err.text, table[i].says))
            fail_msg("%s: %s", table[i].members, err.text);
    }
}

static void long_lists_and_texts_have_limits(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    static struct km_card card;
    char text[4096];
    const char *at = strstr(good, "[0,7]");
    int used = snprintf(text, sizeof text, "%.*s[1", (int)(at - good), good);
    for (int i = 0; i < KM_CARD_MAX_LIST; i++)
        used += snprintf(text + used, sizeof text - (size_t)used, ",1");
    (void)snprintf(text + used, sizeof text - (size_t)used, "]%s", at + 5);
    assert_int_equal(km_card_parse(text, strlen(text), &card, &err), KM_LIMIT);
    char name[200];
    memset(name, 'a', sizeof name);
    name[sizeof name - 1] = '\0';
    at = strstr(good, "small");
    (void)snprintf(text, sizeof text, "%.*s%s%s", (int)(at - good), good, name, at + 5);
    assert_int_equal(km_card_parse(text, strlen(text), &card, &err), KM_LIMIT);
    assert_int_equal(km_card_parse("[]", 2, &card, &err), KM_FORMAT);
    assert_int_equal(km_card_parse("", 0, &card, &err), KM_FORMAT);
}

struct folder {
    char path[64];
    int fd;
    struct km_stem_order *order;
    struct km_graph graph;
    struct km_weights *weights;
    struct km_card card;
};

static int set_up(void **state)
{
    struct km_err err = KM_ERR_INIT;
    static struct folder f;
    (void)snprintf(f.path, sizeof f.path, "/tmp/km-test-XXXXXX");
    if (!mkdtemp(f.path))
        return -1;
    f.fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f.order = nets_order(32);
    struct km_architecture_options options = {
        .kind = KM_ARCHITECTURE_LIGHT, .outputs = 1, .stem = KM_STEM_BYTE, .order = f.order};
    assert_ok(km_architecture_build(&options, &f.graph, &err), err);
    f.weights = nets_weights(&f.graph, 3);
    assert_ok(km_card_parse(good, strlen(good), &f.card, &err), err);
    assert_ok(km_model_save(f.fd, "small", &f.card, f.weights, &err), err);
    *state = &f;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *f = *state;
    unlinkat(f->fd, "small.json", 0);
    unlinkat(f->fd, "small.safetensors", 0);
    close(f->fd);
    km_weights_free(f->weights);
    km_stem_order_free(f->order);
    return rmdir(f->path); /* fails when a temporary file was left */
}

static enum km_code load(const struct folder *f, struct km_model *model, struct km_err *err)
{
    int card = openat(f->fd, "small.json", O_RDONLY | O_CLOEXEC);
    int weights = openat(f->fd, "small.safetensors", O_RDONLY | O_CLOEXEC);
    struct km_model_view view = {.order = f->order};
    enum km_code code = km_model_load(card, weights, &view, model, err);
    close(card);
    close(weights);
    return code;
}

static void a_model_survives_its_files(void **state)
{
    struct folder *f = *state;
    struct km_err err = KM_ERR_INIT;
    static struct km_model model;
    assert_ok(load(f, &model, &err), err);
    assert_string_equal(model.card.name, "small");
    assert_int_equal(model.report.unknown, 0);
    assert_int_equal(model.graph.count, f->graph.count);
    for (size_t i = 0; i < km_weights_count(f->weights); i++)
        assert_memory_equal(km_weights_get(f->weights, i)->values, km_weights_get(model.weights, i)->values,
                            km_weights_get(f->weights, i)->floats * sizeof(float));
    km_model_done(&model);
    km_model_done(&model); /* harmless */
}

static void other_weights_than_the_cards_are_refused(void **state)
{
    struct folder *f = *state;
    struct km_err err = KM_ERR_INIT;
    static struct km_model model;
    int fd = openat(f->fd, "small.safetensors", O_RDWR | O_CLOEXEC);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, 5000), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, 5000), 1);
    assert_int_equal(load(f, &model, &err), KM_CONFLICT);
    assert_non_null(strstr(err.text, "SHA-256"));
    off_t length = lseek(fd, 0, SEEK_END);
    assert_int_equal(ftruncate(fd, length - 1), 0);
    assert_int_equal(load(f, &model, &err), KM_CONFLICT);
    assert_non_null(strstr(err.text, "bytes"));
    assert_null(model.weights);
    close(fd);
}

/* The digest is right, the network is another. */
static void weights_of_another_network_are_named(void **state)
{
    struct folder *f = *state;
    struct km_err err = KM_ERR_INIT;
    static struct km_model model;
    f->card.stem = KM_STEM_HASH;
    assert_ok(km_model_save(f->fd, "small", &f->card, f->weights, &err), err);
    assert_int_equal(load(f, &model, &err), KM_CONFLICT);
    assert_non_null(strstr(err.text, "'stem.weight' is [4112x16], the network wants [65536x16]"));
}

static void names_stay_in_the_folder(void **state)
{
    struct folder *f = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_replacement file;
    assert_int_equal(km_model_save(f->fd, "../x", &f->card, f->weights, &err), KM_FORMAT);
    assert_int_equal(km_replacement_begin(&file, f->fd, "", &err), KM_FORMAT);
    km_replacement_abort(&file);
    char name[300];
    memset(name, 'a', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    assert_int_equal(km_replacement_begin(&file, f->fd, name, &err), KM_LIMIT);
    assert_int_equal(km_model_save(f->fd, name, &f->card, f->weights, &err), KM_LIMIT);
}

static void an_aborted_replacement_leaves_the_old_file(void **state)
{
    struct folder *f = *state;
    struct km_err err = KM_ERR_INIT;
    static struct km_model model;
    struct km_replacement file;
    assert_ok(km_replacement_begin(&file, f->fd, "small.json", &err), err);
    assert_ok(km_wholefile_write(file.fd, "half", 4, &err), err);
    km_replacement_abort(&file);
    assert_ok(load(f, &model, &err), err);
    km_model_done(&model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_card_is_read_and_written_back),
        cmocka_unit_test(bad_cards_are_refused),
        cmocka_unit_test(a_card_of_pictures_is_read_and_written_back),
        cmocka_unit_test(bad_cards_of_pictures_are_refused),
        cmocka_unit_test(long_lists_and_texts_have_limits),
        cmocka_unit_test_setup_teardown(a_model_survives_its_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_weights_than_the_cards_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(weights_of_another_network_are_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(names_stay_in_the_folder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_aborted_replacement_leaves_the_old_file, set_up, tear_down),
    };
    return KM_RUN_TESTS(tests);
}
