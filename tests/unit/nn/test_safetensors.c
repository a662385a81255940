#define KM_TEST_NAME "safetensors"
#include "nets.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "nn/safetensors.h"
#include "nn/weightsfile.h"
#include "nn/wholefile.h"

struct bytes {
    uint8_t data[4096];
    size_t length;
};

/* A file with this header and `values` bytes of 0x3f behind it. */
static struct bytes file_of(const char *header, size_t values)
{
    struct bytes file;
    uint64_t length = strlen(header);
    memcpy(file.data, &length, 8);
    memcpy(file.data + 8, header, length);
    memset(file.data + 8 + length, 0x3f, values);
    file.length = 8 + length + values;
    return file;
}

static void good_files_are_read(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct bytes b = file_of("{\"__metadata__\":{\"made\":\"by hand\"},"
                             "\"b\":{\"dtype\":\"BF16\",\"shape\":[3],\"data_offsets\":[8,14]},"
                             "\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                             "\"empty\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[8,8]},"
                             "\"count\":{\"dtype\":\"I64\",\"shape\":[],\"data_offsets\":[14,22]}}  ",
                             22);
    struct km_safetensors *file = km_safetensors_parse(b.data, b.length, &err);
    if (!file)
        fail_msg("%s", err.text);
    assert_int_equal(km_safetensors_count(file), 4);
    assert_string_equal(km_safetensors_get(file, 0)->name, "a");
    assert_string_equal(km_safetensors_metadata(file, "made"), "by hand");
    assert_null(km_safetensors_metadata(file, "other"));
    const struct km_safetensor *a = km_safetensors_find(file, "a");
    assert_non_null(a);
    assert_int_equal(a->rank, 2);
    assert_int_equal(a->dims[0], 2);
    float values[3];
    assert_ok(km_safetensors_read(a, values, &err), err);
    assert_true(values[1] > 0.74F && values[1] < 0.75F); /* 0x3f3f3f3f */
    assert_ok(km_safetensors_read(km_safetensors_find(file, "b"), values, &err), err);
    assert_true(values[2] > 0.74F && values[2] < 0.75F);
    assert_ok(km_safetensors_read(km_safetensors_find(file, "empty"), values, &err), err);
    assert_int_equal(km_safetensors_read(km_safetensors_find(file, "count"), values, &err), KM_UNSUPPORTED);
    assert_null(km_safetensors_find(file, "c"));
    km_safetensors_free(file);
}

static void lies_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t values;
        enum km_code code;
        const char *says;
    } table[] = {
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, KM_FORMAT, "dtype and shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 4, KM_FORMAT, "ends at 8 of 4"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 5, KM_FORMAT, "1 bytes at the end"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, KM_FORMAT, "hole"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         8, KM_FORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, KM_FORMAT, "overlaps"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, KM_FORMAT, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]}}", 4, KM_FORMAT, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", 4, KM_FORMAT, "offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", 4, KM_FORMAT, "no size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, KM_FORMAT, "no size"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, KM_FORMAT,
         "larger"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0, KM_FORMAT, "bytes"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, KM_UNSUPPORTED, "'F33'"},
        {"{\"a\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, KM_UNSUPPORTED, "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", 4, KM_FORMAT, "no shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, KM_LIMIT, "dimensions"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, KM_FORMAT, "not {dtype"},
        {"{\"a\":[]}", 0, KM_FORMAT, "not {dtype"},
        {"{\"\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, KM_LIMIT, "name"},
        {"{\"a\\n\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, KM_FORMAT, "control"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
         "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
         4, KM_FORMAT, "duplicate"},
        {"{\"__metadata__\":{\"a\":1}}", 0, KM_FORMAT, "strings"},
        {"{\"__metadata__\":[]}", 0, KM_FORMAT, "object"},
        {"[]", 0, KM_FORMAT, "'{'"},
        {" {}", 0, KM_FORMAT, "'{'"},
        {"{", 0, KM_FORMAT, "line 1"},
        {"", 0, KM_FORMAT, ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct km_err err = KM_ERR_INIT;
        struct bytes b = file_of(table[i].header, table[i].values);
        if (km_safetensors_parse(b.data, b.length, &err))
            fail_msg("accepted: %s", table[i].header);
        if (err.code != table[i].code || !strstr(err.text, table[i].says))
            fail_msg("%s: %s: %s", table[i].header, km_code_to_string(err.code), err.text);
        assert_null(strchr(err.text, '\n'));
    }
}

static void lengths_are_checked_before_use(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct bytes b = file_of("{}", 0);
    struct km_safetensors *file = km_safetensors_parse(b.data, b.length, &err);
    assert_non_null(file);
    assert_int_equal(km_safetensors_count(file), 0);
    km_safetensors_free(file);
    for (size_t length = 0; length < 10; length++)
        assert_null(km_safetensors_parse(b.data, length, &err));
    memset(b.data, 0xff, 8);
    assert_null(km_safetensors_parse(b.data, b.length, &err));
    assert_int_equal(err.code, KM_FORMAT);
    size_t large = KM_SAFETENSORS_MAX_HEADER_BYTES + 1;
    uint8_t *spaces = malloc(large + 8);
    assert_non_null(spaces);
    memset(spaces, ' ', large + 8);
    memcpy(spaces, &large, 8);
    spaces[8] = '{';
    spaces[9] = '}';
    assert_null(km_safetensors_parse(spaces, large + 8, &err));
    assert_int_equal(err.code, KM_LIMIT);
    free(spaces);
}

static void halves_are_converted(void **state)
{
    (void)state;
    static const struct {
        uint16_t bits;
        float value;
    } table[] = {{0x0000, 0.0F},     {0x3c00, 1.0F},     {0xc000, -2.0F},         {0x7bff, 65504.0F},
                 {0x0400, 0x1p-14F}, {0x0001, 0x1p-24F}, {0x83ff, -0x1.ff8p-15F}, {0x3555, 0x1.554p-2F}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_safetensor tensor = {
            .name = "h", .dtype = "F16", .elements = 1, .data = (const uint8_t *)&table[i].bits, .bytes = 2};
        float value;
        assert_ok(km_safetensors_read(&tensor, &value, &err), err);
        assert_true(value == table[i].value);
    }
}

static void halves_are_written_rounded(void **state)
{
    (void)state;
    static const struct {
        float value, rounded;
    } table[] = {{0, 0},
                 {-2, -2},
                 {65504, 65504},
                 {1 + 0x1p-11F, 1}, /* ties to even */
                 {1 + 0x1.8p-10F, 1 + 0x1p-9F},
                 {1 + 0x1.01p-11F, 1 + 0x1p-10F},
                 {0x1.ffep0F, 2},          /* into the next exponent */
                 {0x1.fffp-15F, 0x1p-14F}, /* out of the subnormals */
                 {-0x1p-24F, -0x1p-24F},
                 {0x1p-26F, 0}};
    enum { COUNT = sizeof table / sizeof *table };
    struct km_err err = KM_ERR_INIT;
    float values[COUNT], back[COUNT], single[1] = {0.1F};
    uint64_t dims = COUNT, one = 1;
    for (size_t i = 0; i < COUNT; i++) {
        values[i] = table[i].value;
        assert_true(km_safetensors_round_half(values[i]) == table[i].rounded);
    }
    struct km_safetensors_item items[] = {{.name = "h", .rank = 1, .dims = &dims, .values = values, .half = true},
                                          {.name = "s", .rank = 1, .dims = &one, .values = single}};
    int fd = memfd_create("halves", MFD_CLOEXEC);
    assert_ok(km_safetensors_write(fd, items, 2, NULL, &err), err);
    uint8_t *bytes = NULL;
    size_t length = 0;
    assert_ok(km_wholefile_read(fd, 1 << 20, &bytes, &length, &err), err);
    close(fd);
    struct km_safetensors *file = km_safetensors_parse(bytes, length, &err);
    assert_non_null(file);
    const struct km_safetensor *tensor = km_safetensors_find(file, "h");
    assert_string_equal(tensor->dtype, "F16");
    assert_ok(km_safetensors_read(tensor, back, &err), err);
    for (size_t i = 0; i < COUNT; i++)
        assert_true(back[i] == table[i].rounded);
    assert_ok(km_safetensors_read(km_safetensors_find(file, "s"), back, &err), err);
    assert_true(back[0] == 0.1F);
    km_safetensors_free(file);
    free(bytes);
}

static void what_is_not_finite_is_refused(void **state)
{
    (void)state;
    static const uint32_t singles[] = {0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001};
    static const uint16_t halves[] = {0x7c00, 0xfc00, 0x7e00};
    struct km_err err = KM_ERR_INIT;
    float value;
    for (size_t i = 0; i < 4; i++) {
        struct km_safetensor tensor = {
            .name = "s", .dtype = "F32", .elements = 1, .data = (const uint8_t *)&singles[i], .bytes = 4};
        assert_int_equal(km_safetensors_read(&tensor, &value, &err), KM_FORMAT);
    }
    for (size_t i = 0; i < 3; i++) {
        struct km_safetensor tensor = {
            .name = "s", .dtype = "F16", .elements = 1, .data = (const uint8_t *)&halves[i], .bytes = 2};
        assert_int_equal(km_safetensors_read(&tensor, &value, &err), KM_FORMAT);
    }
}

static void small_graph(struct km_graph *graph)
{
    km_graph_init(graph);
    int image = km_graph_image(graph, (struct km_shape){2, 8, 8});
    int conv = km_graph_conv(graph, image, "conv", 4, (struct km_window){3, 1, 1}, false);
    km_graph_linear(graph, km_graph_mean(graph, km_graph_norm(graph, conv, "norm", true)), "fc", 3);
}

/* Weights written and parsed again; the bytes are the caller's to change. */
static uint8_t *written(const struct km_weights *weights, size_t *out_length)
{
    struct km_err err = KM_ERR_INIT;
    int fd = memfd_create("weights", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(km_weights_save(weights, fd, &err), err);
    uint8_t *bytes = NULL;
    assert_ok(km_wholefile_read(fd, 1 << 20, &bytes, out_length, &err), err);
    assert_int_equal(km_wholefile_read(fd, *out_length - 1, &bytes, out_length, &err), KM_LIMIT);
    close(fd);
    return bytes;
}

static enum km_code load(struct km_weights *weights, const uint8_t *bytes, size_t length,
                         struct km_weights_report *report, struct km_err *err)
{
    struct km_safetensors *file = km_safetensors_parse(bytes, length, err);
    if (!file)
        return err->code;
    enum km_code code = km_weights_load(weights, file, report, err);
    km_safetensors_free(file);
    return code;
}

static void replace(uint8_t *bytes, size_t length, const char *from, const char *to)
{
    uint8_t *at = memmem(bytes, length, from, strlen(from));
    assert_non_null(at);
    assert_int_equal(strlen(from), strlen(to));
    for (size_t i = 0; to[i]; i++)
        at[i] = (uint8_t)to[i];
}

static void weights_survive_a_file(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_graph graph;
    small_graph(&graph);
    struct km_weights *weights = nets_weights(&graph, 5), *back = nets_weights(&graph, 6);
    size_t length = 0;
    uint8_t *bytes = written(weights, &length);
    struct km_weights_report report = {7, "x"};
    assert_ok(load(back, bytes, length, &report, &err), err);
    assert_int_equal(report.unknown, 0);
    assert_string_equal(report.first_unknown, "");
    for (size_t i = 0; i < km_weights_count(weights); i++)
        assert_memory_equal(km_weights_get(weights, i)->values, km_weights_get(back, i)->values,
                            km_weights_get(weights, i)->floats * sizeof(float));
    free(bytes);
    km_weights_free(weights);
    km_weights_free(back);
}

static void bad_weights_change_nothing(void **state)
{
    (void)state;
    struct km_graph graph;
    small_graph(&graph);
    static const struct {
        const char *from, *to;
        enum km_code code;
        const char *says;
    } table[] = {
        {"norm.running_mean", "norm.running_mess", KM_NOTFOUND, "'norm.running_mean' is missing"},
        {"\"shape\":[3,4]", "\"shape\":[4,3]", KM_CONFLICT, "'fc.weight' is [4x3], the network wants [3x4]"},
        {"\"F32\",\"shape\":[3]", "\"U32\",\"shape\":[3]", KM_UNSUPPORTED, "U32"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_weights *weights = nets_weights(&graph, 5), *kept = nets_weights(&graph, 6);
        size_t length;
        uint8_t *bytes = written(weights, &length);
        replace(bytes, length, table[i].from, table[i].to);
        struct km_weights_report report = {0};
        enum km_code code = load(kept, bytes, length, &report, &err);
        if (code != table[i].code || !strstr(err.text, table[i].says))
            fail_msg("%s: %s: %s", table[i].to, km_code_to_string(code), err.text);
        struct km_weights *same = nets_weights(&graph, 6);
        for (size_t j = 0; j < km_weights_count(kept); j++)
            assert_memory_equal(km_weights_get(kept, j)->values, km_weights_get(same, j)->values,
                                km_weights_get(kept, j)->floats * sizeof(float));
        free(bytes);
        km_weights_free(same);
        km_weights_free(weights);
        km_weights_free(kept);
    }
}

static void values_that_cannot_be_are_refused(void **state)
{
    (void)state;
    struct km_graph graph;
    small_graph(&graph);
    static const struct {
        enum km_role role;
        float value;
        const char *says;
    } table[] = {
        {KM_ROLE_BIAS, NAN, "not a finite number"},
        {KM_ROLE_WEIGHT, INFINITY, "not a finite number"},
        {KM_ROLE_VARIANCE, -0.5F, "a variance below 0"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_weights *weights = nets_weights(&graph, 5), *kept = nets_weights(&graph, 6);
        for (size_t j = 0; j < km_weights_count(weights); j++)
            if (km_weights_get(weights, j)->role == table[i].role)
                km_weights_at(weights, j)->values[1] = table[i].value;
        size_t length;
        uint8_t *bytes = written(weights, &length);
        struct km_weights_report report = {0};
        assert_int_equal(load(kept, bytes, length, &report, &err), KM_FORMAT);
        assert_non_null(strstr(err.text, table[i].says));
        free(bytes);
        km_weights_free(weights);
        km_weights_free(kept);
    }
}

static void unknown_tensors_are_reported(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_graph graph;
    small_graph(&graph);
    struct km_weights *weights = nets_weights(&graph, 5);
    struct km_safetensors_item items[16];
    size_t count = km_weights_count(weights);
    assert_in_range(count, 1, 12);
    for (size_t i = 0; i < count; i++) {
        const struct km_tensor *t = km_weights_get(weights, i);
        items[i] = (struct km_safetensors_item){.name = t->name, .rank = t->rank, .dims = t->dims, .values = t->values};
    }
    static const float one[] = {1};
    items[count++] = (struct km_safetensors_item){.name = "norm.num_batches_tracked", .values = one};
    items[count++] = (struct km_safetensors_item){.name = "extra.weight", .values = one};
    items[count++] = (struct km_safetensors_item){.name = "more.weight", .values = one};
    int fd = memfd_create("weights", MFD_CLOEXEC);
    assert_ok(km_safetensors_write(fd, items, count, NULL, &err), err);
    uint8_t *bytes = NULL;
    size_t length = 0;
    assert_ok(km_wholefile_read(fd, 1 << 20, &bytes, &length, &err), err);
    close(fd);
    struct km_weights_report report = {0};
    assert_ok(load(weights, bytes, length, &report, &err), err);
    assert_int_equal(report.unknown, 2);
    assert_string_equal(report.first_unknown, "extra.weight");
    free(bytes);
    km_weights_free(weights);
}

static void only_regular_files_are_read_whole(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    int ends[2] = {-1, -1};
    uint8_t *bytes = NULL;
    size_t length = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(km_wholefile_read(ends[0], 100, &bytes, &length, &err), KM_UNSUPPORTED);
    assert_null(bytes);
    close(ends[0]);
    close(ends[1]);
    assert_int_equal(km_wholefile_read(-1, 100, &bytes, &length, &err), KM_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_are_read),
        cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(lengths_are_checked_before_use),
        cmocka_unit_test(halves_are_converted),
        cmocka_unit_test(halves_are_written_rounded),
        cmocka_unit_test(what_is_not_finite_is_refused),
        cmocka_unit_test(weights_survive_a_file),
        cmocka_unit_test(bad_weights_change_nothing),
        cmocka_unit_test(values_that_cannot_be_are_refused),
        cmocka_unit_test(unknown_tensors_are_reported),
        cmocka_unit_test(only_regular_files_are_read_whole),
    };
    return KM_RUN_TESTS(tests);
}
