#define KM_TEST_NAME "detector"
#include "bundles.h"

#include "container/scan/segment.h"

#define MAX_BYTES (3 * KM_SEGMENT_BYTES + 77777)

static uint8_t content[MAX_BYTES];

static const struct km_detector_parts network_only = {.network = "network"};

static void assert_same_scores(const struct km_segment_scores *a, const struct km_segment_scores *b)
{
    assert_memory_equal(&a->sum, &b->sum, sizeof a->sum);
    assert_int_equal(a->cells, b->cells);
    assert_int_equal(a->range_count, b->range_count);
    for (size_t i = 0; i < a->range_count; i++) {
        assert_int_equal(a->ranges[i].begin, b->ranges[i].begin);
        assert_int_equal(a->ranges[i].end, b->ranges[i].end);
        assert_memory_equal(&a->ranges[i].logit, &b->ranges[i].logit, sizeof(float));
    }
}

/* What shares a batch with it, and where in the batch it is, changes no bit of a segment's scores. */
static void a_segment_is_scored_alone(void **state)
{
    (void)state;
    static const size_t lengths[] = {1, 900, 1024, 1025, 4096, 7777, 16384, 30000, 65536, 65537, 200000, 1048576};
    enum { N = sizeof lengths / sizeof lengths[0] };
    static struct km_segment together[N], alone[N];
    struct bundle bundle;
    struct km_err err = KM_ERR_INIT;
    bundle_init(&bundle);
    bundle_add_network(&bundle, 1, 0);
    bundle_add_manifest(&bundle, &network_only);
    struct km_detector *detector = bundle_open(&bundle);
    struct km_detector_worker *worker = km_detector_worker_new(detector, &err);
    assert_non_null(worker);
    fill_content(content, sizeof content, 3);
    for (size_t i = 0; i < N; i++)
        together[i] = alone[i] =
            (struct km_segment){.bytes = content + i * 100, .length = lengths[i], .is_whole = true};
    assert_ok(km_detector_score_segments(worker, together, N, &err), err);
    for (size_t i = N; i-- > 0;) {
        assert_ok(km_detector_score_segments(worker, &alone[i], 1, &err), err);
        assert_same_scores(&alone[i].scores, &together[i].scores);
        assert_int_equal(alone[i].scores.cells, (lengths[i] + 1023) / 1024);
        assert_true(isfinite(alone[i].scores.sum));
        assert_true(alone[i].scores.range_count >= 1);
        for (size_t k = 0; k < alone[i].scores.range_count; k++) {
            const struct km_score_range *range = &alone[i].scores.ranges[k];
            assert_true(range->begin < range->end && range->end <= lengths[i] && range->begin % 1024 == 0);
            assert_true(k == 0 || range[-1].logit >= range->logit);
        }
    }
    km_detector_worker_free(worker);
    km_detector_free(detector);
    bundle_done(&bundle);
}

/* Written out: a square of 64 KiB and one of 16, which weigh by their cells; both orders. */
static void a_files_score_lies_between_the_mean_and_the_strongest(void **state)
{
    (void)state;
    enum { LARGE = 65536, SMALL = 16384 };
    struct bundle bundle;
    struct km_err err = KM_ERR_INIT;
    struct km_file_scores large, small, both;
    bundle_init(&bundle);
    bundle_add_network(&bundle, 2, 0);
    bundle_add_manifest(&bundle, &network_only);
    struct km_detector *detector = bundle_open(&bundle);
    struct km_detector_worker *worker = km_detector_worker_new(detector, &err);
    fill_content(content, LARGE, 4);
    memset(content + LARGE, 'x', SMALL);
    assert_ok(km_detector_score_file(worker, content, LARGE, &large, &err), err);
    assert_ok(km_detector_score_file(worker, content + LARGE, SMALL, &small, &err), err);
    assert_ok(km_detector_score_file(worker, content, LARGE + SMALL, &both, &err), err);
    double a = (double)large.network, b = (double)small.network, t = (double)KM_NETWORK_SOFTNESS;
    assert_true(fabs(a - b) > 1e-3);
    double expected = t * log((64 * exp(a / t) + 16 * exp(b / t)) / 80);
    assert_true(fabs((double)both.network - expected) < 1e-4);
    assert_true(expected > 0.8 * a + 0.2 * b && expected < fmax(a, b));
    km_detector_worker_free(worker);
    km_detector_free(detector);
    bundle_done(&bundle);
}

static void a_file_is_its_segments(void **state)
{
    (void)state;
    struct bundle bundle;
    struct km_err err = KM_ERR_INIT;
    struct km_file_scores whole, first, again;
    bundle_init(&bundle);
    bundle_add_network(&bundle, 2, 0);
    bundle_add_manifest(&bundle, &network_only);
    struct km_detector *detector = bundle_open(&bundle);
    struct km_detector_worker *worker = km_detector_worker_new(detector, &err);
    fill_content(content, sizeof content, 4);
    assert_ok(km_detector_score_file(worker, content, sizeof content, &whole, &err), err);
    assert_ok(km_detector_score_file(worker, content, KM_SEGMENT_BYTES, &first, &err), err);
    assert_ok(km_detector_score_file(worker, content, sizeof content, &again, &err), err);
    assert_int_equal(whole.bytes, sizeof content);
    assert_true(isfinite(whole.network) && isnan(whole.tokens) && isnan(whole.known));
    assert_memory_equal(&whole.network, &again.network, sizeof whole.network);
    assert_true(whole.range_count == KM_DETECTOR_RANGES);
    assert_true(whole.ranges[0].logit >= first.ranges[0].logit);
    assert_true(whole.network <= whole.ranges[0].logit + 20);
    double features[KM_FEATURE_COUNT];
    km_detector_features(&whole, features);
    assert_true(fabs(features[KM_FEATURE_NETWORK_SCORE] - (double)whole.network) < 1e-9);
    assert_true(isnan(features[KM_FEATURE_TOKENS_SCORE]) && isnan(features[KM_FEATURE_PACKAGE_UNOWNED]));
    struct km_file_scores empty;
    assert_ok(km_detector_score_file(worker, content, 0, &empty, &err), err);
    assert_true(empty.bytes == 0 && isnan(empty.network) && isnan(empty.known));
    km_detector_worker_free(worker);
    km_detector_free(detector);
    bundle_done(&bundle);
}

/* Through the cache's record, too. */
static void a_united_file_scores_as_its_segments_did(void **state)
{
    (void)state;
    struct bundle bundle;
    struct km_err err = KM_ERR_INIT;
    struct km_file_scores whole, united;
    bundle_init(&bundle);
    bundle_add_all(&bundle, 7);
    struct km_detector *detector = bundle_open(&bundle);
    struct km_detector_worker *worker = km_detector_worker_new(detector, &err);
    struct km_detector_fold *fold = km_detector_fold_new(&err);
    assert_non_null(worker);
    assert_non_null(fold);
    fill_content(content, sizeof content, 4);
    assert_ok(km_detector_score_file(worker, content, sizeof content, &whole, &err), err);
    for (size_t at = 0; at < sizeof content; at += KM_SEGMENT_BYTES) {
        size_t left = sizeof content - at;
        struct km_segment segment = {.bytes = content + at,
                                     .length = left < KM_SEGMENT_BYTES ? left : KM_SEGMENT_BYTES};
        assert_ok(km_detector_score_segments(worker, &segment, 1, &err), err);
        assert_ok(km_detector_fold_add(fold, at, &segment, &err), err);
        km_segment_done(&segment);
    }
    struct km_segment one, read = {.length = sizeof content, .is_whole = true};
    struct km_buf record;
    assert_ok(km_detector_fold_unite(fold, worker, &one, &err), err);
    km_buf_init(&record, KM_SEGMENT_MAX_RECORD);
    assert_ok(km_segment_format(&one, &record, &err), err);
    assert_ok(km_segment_parse(&read, (const uint8_t *)record.data, record.length, &err), err);
    assert_ok(km_detector_fold_finish(fold, worker, &united, &err), err); /* of the segments, after uniting */
    assert_memory_equal(&united.tokens, &whole.tokens, sizeof whole.tokens);
    assert_ok(km_detector_fold_add(fold, 0, &read, &err), err);
    assert_ok(km_detector_fold_finish(fold, worker, &united, &err), err);
    assert_true(isfinite(whole.tokens) && isfinite(whole.network) && isfinite(whole.known));
    assert_int_equal(united.bytes, whole.bytes);
    assert_memory_equal(&united.tokens, &whole.tokens, sizeof whole.tokens);
    assert_memory_equal(&united.window, &whole.window, sizeof whole.window);
    assert_memory_equal(&united.network, &whole.network, sizeof whole.network);
    assert_memory_equal(&united.known, &whole.known, sizeof whole.known);
    assert_memory_equal(&united.benign, &whole.benign, sizeof whole.benign);
    assert_string_equal(united.lookalike, whole.lookalike);
    assert_int_equal(united.window_begin, whole.window_begin);
    assert_int_equal(united.range_count, whole.range_count);
    for (size_t i = 0; i < whole.range_count; i++) {
        assert_int_equal(united.ranges[i].begin, whole.ranges[i].begin);
        assert_int_equal(united.ranges[i].end, whole.ranges[i].end);
    }
    assert_int_equal(united.reason_count, whole.reason_count);
    for (size_t i = 0; i < whole.reason_count; i++)
        assert_string_equal(united.reasons[i].text, whole.reasons[i].text);
    km_buf_done(&record);
    km_detector_fold_free(fold);
    km_detector_worker_free(worker);
    km_detector_free(detector);
    bundle_done(&bundle);
}

/* A program of one segment of `length` bytes, with a text of its own in it. */
static void write_program(uint8_t *bytes, size_t length, const char *text)
{
    static const uint8_t head[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
    memset(bytes, 0, length);
    memcpy(bytes, head, sizeof head);
    bytes[20] = 1;
    bytes[32] = 64;
    bytes[52] = 64;
    bytes[54] = 56;
    bytes[56] = 1;
    bytes[64] = 1;
    for (unsigned i = 0; i < 8; i++)
        bytes[64 + 32 + i] = (uint8_t)((uint64_t)length >> 8 * i);
    for (size_t at = 256; at + strlen(text) < length && at < 2000; at += strlen(text))
        memcpy(bytes + at, text, strlen(text));
}

/* What a file's segments say, united in one record and read again. */
static struct km_file_scores score_united(struct km_detector_worker *worker, const uint8_t *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    struct km_detector_fold *fold = km_detector_fold_new(&err);
    assert_non_null(fold);
    for (size_t at = 0; at < length; at += KM_SEGMENT_BYTES) {
        size_t left = length - at;
        struct km_segment segment = {.bytes = bytes + at, .length = left < KM_SEGMENT_BYTES ? left : KM_SEGMENT_BYTES};
        assert_ok(km_detector_score_segments(worker, &segment, 1, &err), err);
        assert_ok(km_detector_fold_add(fold, at, &segment, &err), err);
        km_segment_done(&segment);
    }
    struct km_segment one, read = {.length = length, .is_whole = true};
    struct km_buf record;
    struct km_file_scores united;
    assert_ok(km_detector_fold_unite(fold, worker, &one, &err), err);
    assert_ok(km_detector_fold_finish(fold, worker, &united, &err), err);
    km_buf_init(&record, KM_SEGMENT_MAX_RECORD);
    assert_ok(km_segment_format(&one, &record, &err), err);
    assert_ok(km_segment_parse(&read, (const uint8_t *)record.data, record.length, &err), err);
    assert_ok(km_detector_fold_add(fold, 0, &read, &err), err);
    assert_ok(km_detector_fold_finish(fold, worker, &united, &err), err);
    km_buf_done(&record);
    km_detector_fold_free(fold);
    return united;
}

/* Whatever is before and behind it, in whichever segment it lies: a program says what it says alone. */
static void an_appended_program_is_a_part(void **state)
{
    (void)state;
    static const size_t places[] = {0, 5000, 700000, KM_SEGMENT_BYTES + 4096, 2 * KM_SEGMENT_BYTES + 100000};
    static const char bad[] =
        "brute_force wordlist essid sniffing spoofed bssid aircrack payload shellcode handshake\n";
    static const char good[] = "printf locale usage gettext option filename directory symbolic nothing standard\n";
    enum { PROGRAM = 20000, BEFORE = 3000 };
    struct bundle bundle;
    struct km_err err = KM_ERR_INIT;
    bundle_init(&bundle);
    bundle_add_all(&bundle, 5);
    struct km_detector *detector = bundle_open(&bundle);
    struct km_detector_worker *worker = km_detector_worker_new(detector, &err);
    struct km_file_scores alone, all;
    write_program(content, PROGRAM, bad);
    assert_ok(km_detector_score_file(worker, content, PROGRAM, &alone, &err), err);
    assert_int_equal(alone.part_end, 0);
    assert_string_equal(alone.lookalike, "tool (1 usr/bin/tool)");
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        memset(content, ' ', sizeof content);
        for (size_t at = 0; at + sizeof good < sizeof content; at += sizeof good - 1)
            memcpy(content + at, good, sizeof good - 1);
        if (places[i] >= BEFORE + 2000)
            write_program(content + places[i] - BEFORE, BEFORE, good);
        write_program(content + places[i], PROGRAM, bad);
        assert_ok(km_detector_score_file(worker, content, sizeof content, &all, &err), err);
        assert_int_equal(all.part_begin, places[i]);
        assert_int_equal(all.part_end, places[i] + PROGRAM);
        assert_int_equal(all.bytes, sizeof content);
        assert_memory_equal(&all.tokens, &alone.tokens, sizeof all.tokens);
        assert_memory_equal(&all.network, &alone.network, sizeof all.network);
        assert_memory_equal(&all.known, &alone.known, sizeof all.known);
        assert_string_equal(all.lookalike, alone.lookalike);
        assert_int_equal(all.window_begin, places[i] + alone.window_begin);
        assert_int_equal(all.range_count, alone.range_count);
        for (size_t k = 0; k < all.range_count; k++)
            assert_int_equal(all.ranges[k].begin, places[i] + alone.ranges[k].begin);
        assert_true(km_detector_rank(detector, &all) >= km_detector_rank(detector, &alone));
        const struct km_file_scores united = score_united(worker, content, sizeof content);
        assert_int_equal(united.part_begin, all.part_begin);
        assert_int_equal(united.part_end, all.part_end);
        assert_int_equal(united.window_begin, all.window_begin);
        assert_memory_equal(&united.tokens, &all.tokens, sizeof all.tokens);
    }
    km_detector_worker_free(worker);
    km_detector_free(detector);
    bundle_done(&bundle);
}

static void features_have_names(void **state)
{
    (void)state;
    for (int i = 0; i < KM_FEATURE_COUNT; i++) {
        enum km_feature back;
        assert_true(km_feature_from_name(km_feature_name((enum km_feature)i), &back));
        assert_int_equal(back, i);
    }
    enum km_feature none;
    assert_false(km_feature_from_name("tokens", &none));
}

static enum km_code open_code(const struct bundle *bundle, char *text)
{
    struct km_err err = KM_ERR_INIT;
    struct km_detector *detector = NULL;
    enum km_code code = km_detector_open(bundle->folder, &detector, &err);
    if (code == KM_OK) {
        code = km_detector_load(detector, &err);
        struct km_err again = KM_ERR_INIT;
        assert_int_equal(km_detector_load(detector, &again), code);
        assert_string_equal(again.text, err.text);
        km_detector_free(detector);
    }
    (void)snprintf(text, KM_ERR_TEXT_BYTES, "%s", err.text);
    return code;
}

static void bundles_that_lie_are_refused(void **state)
{
    (void)state;
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"
    static const struct {
        const char *manifest;
        enum km_code code;
        const char *says;
    } rows[] = {
        {"", KM_FORMAT, "bundle.json"},
        {"{}", KM_FORMAT, "bundle"},
        {"{\"komainu_detector\":2,\"name\":\"x\"}", KM_UNSUPPORTED, "version"},
        {"{\"komainu_detector\":1}", KM_FORMAT, "name"},
        {"{\"komainu_detector\":1,\"name\":\"x\\n\"}", KM_FORMAT, "name"},
        {"{\"komainu_detector\":1,\"name\":\"x\",\"more\":1}", KM_FORMAT, "more"},
        {"{\"komainu_detector\":1,\"name\":\"x\",\"network\":{\"file\":\"network\"}}", KM_FORMAT, "sha256"},
        {"{\"komainu_detector\":1,\"name\":\"x\",\"network\":{\"file\":\"network\",\"sha256\":\"" ZEROS "\"}}",
         KM_CONFLICT, "SHA-256"},
        {"{\"komainu_detector\":1,\"name\":\"x\",\"network\":{\"file\":\"../network\",\"sha256\":\"" ZEROS "\"}}",
         KM_FORMAT, "name of a file"},
        {"{\"komainu_detector\":1,\"name\":\"x\",\"fusion\":{\"file\":\"gone\",\"sha256\":\"" ZEROS "\"}}", KM_NOTFOUND,
         "gone"},
    };
    struct bundle bundle;
    char text[KM_ERR_TEXT_BYTES];
    bundle_init(&bundle);
    assert_int_equal(open_code(&bundle, text), KM_NOTFOUND);
    bundle_add_network(&bundle, 1, 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bundle_write(&bundle, "bundle.json", rows[i].manifest);
        assert_int_equal(open_code(&bundle, text), rows[i].code);
        if (!strstr(text, rows[i].says))
            fail_msg("'%s' does not say '%s'", text, rows[i].says);
    }
    bundle_add_manifest(&bundle, &network_only); /* other weights than the card's */
    assert_int_equal(open_code(&bundle, text), KM_OK);
    int fd = openat(bundle.folder, "network.safetensors", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 100000), 1);
    (void)close(fd);
    assert_int_equal(open_code(&bundle, text), KM_CONFLICT);
    bundle_done(&bundle);
}

static void weights_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    static const float spoils[] = {NAN, INFINITY};
    for (size_t i = 0; i < 2; i++) {
        struct bundle bundle;
        char text[KM_ERR_TEXT_BYTES];
        bundle_init(&bundle);
        bundle_add_network(&bundle, 1, spoils[i]);
        bundle_add_manifest(&bundle, &network_only);
        assert_int_equal(open_code(&bundle, text), KM_FORMAT);
        bundle_done(&bundle);
    }
}

static void a_fusion_names_features(void **state)
{
    (void)state;
    struct bundle bundle;
    char text[KM_ERR_TEXT_BYTES];
    const struct km_detector_parts parts = {.fusion = "fusion.json"};
    bundle_init(&bundle);
    bundle_write(&bundle, "fusion.json",
                 "{\"komainu_additive\":1,\"bias\":-3,\"terms\":[{\"name\":\"network.score\",\"weight\":2}]}");
    bundle_add_manifest(&bundle, &parts);
    struct km_detector *detector = bundle_open(&bundle);
    assert_non_null(km_detector_fusion(detector));
    assert_false(km_detector_has_network(detector));
    assert_non_null(strstr(km_detector_version(detector), "seeded"));
    struct km_file_scores scores = {.network = 1.5F, .tokens = NAN, .window = NAN, .known = NAN, .benign = NAN};
    assert_true(fabs(km_detector_rank(detector, &scores) - 3) < 1e-9);
    km_detector_free(detector);
    bundle_write(&bundle, "fusion.json",
                 "{\"komainu_additive\":1,\"bias\":-3,\"terms\":[{\"name\":\"luck\",\"weight\":2}]}");
    bundle_add_manifest(&bundle, &parts);
    assert_int_equal(open_code(&bundle, text), KM_FORMAT);
    bundle_done(&bundle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_segment_is_scored_alone),
        cmocka_unit_test(a_files_score_lies_between_the_mean_and_the_strongest),
        cmocka_unit_test(a_file_is_its_segments),
        cmocka_unit_test(a_united_file_scores_as_its_segments_did),
        cmocka_unit_test(an_appended_program_is_a_part),
        cmocka_unit_test(features_have_names),
        cmocka_unit_test(bundles_that_lie_are_refused),
        cmocka_unit_test(weights_that_are_no_numbers_are_refused),
        cmocka_unit_test(a_fusion_names_features),
    };
    return KM_RUN_TESTS(tests);
}
