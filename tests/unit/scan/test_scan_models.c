#define KM_TEST_NAME "scan_models"
#include "bundles.h"

#include <stdatomic.h>
#include <sys/stat.h>

#include "../source/archives.h"
#include "container/scan/baseline_collect.h"
#include "container/scan/scan.h"
#include "finding/json_output.h"
#include "finding/result.h"

#define LARGE_BYTES (5 * KM_SEGMENT_BYTES / 2 + 12345)
#define CODE_FILES  (600 + 3 - 103 + 5)

/* A small file system with a detector that calls much of it suspicious. */
struct world {
    struct bundle bundle, root;
    struct km_detector *detector;
};

static void write_file(const struct world *world, const char *path, const uint8_t *bytes, size_t length, mode_t mode)
{
    int fd = openat(world->root.folder, path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    for (size_t at = 0; at < length;) {
        ssize_t n = write(fd, bytes + at, length - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    (void)close(fd);
}

static int make_world(void **state)
{
    static struct world world;
    static uint8_t content[LARGE_BYTES];
    char name[64];
    bundle_init(&world.bundle);
    bundle_add_all(&world.bundle, 7);
    bundle_write(&world.bundle, "fusion.json",
                 "{\"komainu_additive\":1,\"bias\":0,\"terms\":["
                 "{\"name\":\"tokens.score\",\"weight\":1,\"low\":-4,\"high\":4},"
                 "{\"name\":\"tokens.lookalike\",\"weight\":3},"
                 "{\"name\":\"network.score\",\"weight\":0.3,\"low\":-2,\"high\":2}],"
                 "\"calibration\":{\"threshold\":-1,\"negatives\":400,\"above\":0,\"wanted\":0.001,"
                 "\"set\":\"nothing real\"}}\n");
    static const struct km_detector_parts parts = {
        .network = "network", .tokens = "tokens", .index = "known", .fusion = "fusion.json"};
    bundle_add_manifest(&world.bundle, &parts);
    world.detector = bundle_open(&world.bundle);
    bundle_init(&world.root);
    assert_int_equal(mkdirat(world.root.folder, "bin", 0755), 0);
    assert_int_equal(mkdirat(world.root.folder, "doc", 0755), 0);
    for (uint32_t i = 0; i < 40; i++) { /* data: of one segment, of several, and what a name makes code */
        size_t length = i == 1 ? LARGE_BYTES : i == 2 ? KM_SEGMENT_BYTES : 1 + i * 300;
        fill_content(content, length, 100 + i);
        content[0] = ' ';
        (void)snprintf(name, sizeof name, "doc/data%u.%s", i, i % 8 == 7 ? "py" : "txt");
        write_file(&world, name, content, length, 0755);
    }
    for (uint32_t i = 0; i < 600; i++) {
        size_t length = i % 7 == 0 ? i * 300 : i % 5 == 0 ? 0 : 100 + i * 13;
        fill_content(content, length, i % 40); /* some are the same */
        memcpy(content, "#!/bin/sh\n", length < 10 ? length : 10);
        (void)snprintf(name, sizeof name, "%s/file%u", i % 3 == 0 ? "doc" : "bin", i);
        write_file(&world, name, content, length, 0755);
    }
    fill_content(content, sizeof content, 99);
    memcpy(content, "#!/bin/sh\n", 10);
    write_file(&world, "bin/large", content, sizeof content, 0755);
    write_file(&world, "bin/exact", content, 2 * KM_SEGMENT_BYTES, 0755);
    int fd = openat(world.root.folder, "bin/sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);
    assert_int_equal(pwrite(fd, "#!/bin/sh\nbrute force wordlist\n", 31, 0), 31);
    assert_int_equal(pwrite(fd, "wordlist", 8, 9000000), 8);
    assert_int_equal(ftruncate(fd, 30000000), 0);
    (void)close(fd);
    *state = &world;
    return 0;
}

static int end_world(void **state)
{
    struct world *world = *state;
    km_detector_free(world->detector);
    bundle_done(&world->bundle);
    bundle_done(&world->root);
    return 0;
}

struct noted {
    struct km_pipeline_counts counts;
    struct km_cancel cancel;
    uint64_t cancel_after;
};

static void take_counts(void *context, const struct km_pipeline *pipeline, const struct km_layout *layout)
{
    struct noted *seen = context;
    (void)layout;
    seen->counts = km_pipeline_counts(pipeline);
}

static void watch(void *context, uint64_t bytes_read, uint64_t bytes_total)
{
    struct noted *seen = context;
    (void)bytes_total;
    if (seen->cancel_after > 0 && bytes_read >= seen->cancel_after)
        km_cancel_request(&seen->cancel);
}

/* The result as JSON, without the time that it took. The caller frees it. */
static char *scan(const struct world *world, struct km_scan_options *options, struct noted *seen,
                  struct km_results **out_results)
{
    struct km_err err = KM_ERR_INIT;
    struct km_source *source = NULL;
    struct km_results *results = km_results_new((size_t)64 << 20, &err);
    assert_non_null(results);
    const struct km_sink sink = km_results_sink(results);
    const struct km_target target = {.name = "world"};
    assert_ok(km_source_open_fd(dup(world->root.folder), KM_SOURCE_DIR, "world", NULL, &source, &err), err);
    options->max_findings = 10000;
    options->scored = take_counts;
    options->scored_context = seen;
    options->progress = watch;
    options->progress_context = seen;
    options->versions.komainu = "test";
    assert_ok(km_scan_run(source, &target, options, &sink, &seen->cancel, &err), err);
    km_source_close(source);
    struct km_buf text;
    km_buf_init(&text, (size_t)64 << 20);
    assert_ok(km_json_output_format(results, false, &text, &err), err);
    char *seconds = strstr(text.data, "\"seconds\"");
    assert_non_null(seconds);
    KM_ASSERT(seconds);
    char *copy = strndup(text.data, (size_t)(seconds - text.data));
    km_buf_done(&text);
    if (out_results)
        *out_results = results;
    else
        km_results_free(results);
    return copy;
}

static void workers_change_nothing(void **state)
{
    const struct world *world = *state;
    static const unsigned jobs[] = {1, 2, 7, 2};
    char *first = NULL;
    for (size_t i = 0; i < sizeof jobs / sizeof jobs[0]; i++) {
        struct noted seen = {0};
        struct km_results *results = NULL;
        struct km_scan_options options = {.detector = world->detector, .jobs = jobs[i]};
        char *text = scan(world, &options, &seen, &results);
        assert_int_equal(seen.counts.files_scored, CODE_FILES); /* of data nobody asks the models */
        assert_int_equal(seen.counts.segments_cached, 0);
        const struct km_result *result = km_results_get(results, 0);
        assert_int_equal(result->outcome.verdict, KM_VERDICT_SUSPICIOUS);
        assert_true(result->finding_count > 50);
        assert_non_null(result->outcome.expectation);
        assert_int_equal(result->outcome.expectation->negatives, 400);
        assert_int_equal(result->outcome.coverage.gaps, 0);
        assert_non_null(strstr(text, "network.score"));
        assert_non_null(strstr(text, "tokens.lookalike"));
        if (first)
            assert_string_equal(first, text);
        else
            first = strdup(text);
        free(text);
        km_results_free(results);
    }
    free(first);
}

static void a_cache_changes_nothing_but_the_time(void **state)
{
    const struct world *world = *state;
    struct km_err err = KM_ERR_INIT;
    struct bundle place;
    char path[96];
    bundle_init(&place);
    (void)snprintf(path, sizeof path, "%s/cache", place.path);
    struct km_scan_options options = {.detector = world->detector, .jobs = 2};
    struct noted seen = {0};
    char *without = scan(world, &options, &seen, NULL);
    for (int round = 0; round < 2; round++) {
        assert_ok(km_segcache_open(path, KM_SEGCACHE_DEFAULT_BYTES, &options.cache, NULL, &err), err);
        seen = (struct noted){0};
        char *with = scan(world, &options, &seen, NULL);
        assert_string_equal(with, without);
        assert_null(km_segcache_trouble(options.cache));
        if (round == 1)
            assert_int_equal(seen.counts.segments_cached, seen.counts.segments);
        else
            assert_true(seen.counts.segments_cached < seen.counts.segments);
        free(with);
        km_segcache_close(options.cache);
    }
    free(without);
    bundle_done(&place);
}

/* ---- Compressed files that the cache remembers ---- */

#define MAX_PACKED_BYTES (4U << 20)

struct packed {
    const char *name;
    size_t length;            /* of its content, of which there are … */
    unsigned layers, members; /* besides the first */
    const char *begin;
    size_t cut, behind; /* bytes taken off and added */
    bool damaged, kept;
    void (*make)(const struct km_buf *raw, struct km_buf *out); /* NULL: make_gzip */
};

static const struct packed packed_files[] = {
    {.name = "plain.txt.gz", .length = 5000, .kept = true},
    {.name = "plain.txt.xz", .length = 5000, .kept = true, .make = make_xz},
    {.name = "plain.txt.zst", .length = 5000, .kept = true, .make = make_zstd},
    {.name = "plain.txt.bz2", .length = 5000, .kept = true, .make = make_bzip2},
    {.name = "twice.txt.gz", .length = 5000, .members = 1, .kept = true},
    {.name = "blocks.txt.gz", .length = 1000000, .kept = true},
    {.name = "large.txt.gz", .length = 3000000}, /* more than a megabyte compressed */
    {.name = "short.txt.gz", .length = 100},
    {.name = "layers.txt.gz", .length = 5000, .layers = 1},
    {.name = "tool.gz", .length = 5000, .begin = "#!/bin/sh\n"},
    {.name = "tool.py.gz", .length = 5000},
    {.name = "cut.txt.gz", .length = 5000, .cut = 20},
    {.name = "behind.txt.gz", .length = 5000, .behind = 700},
    {.name = "damaged.txt.gz", .length = 5000, .damaged = true},
};
#define PACKED_FILES (sizeof packed_files / sizeof packed_files[0])

/* Of the file's bytes and of its innermost content. */
struct packed_hashes {
    uint8_t file[KM_SHA256_BYTES], content[KM_SHA256_BYTES];
};

static void make_packed(const struct world *world, size_t number, struct packed_hashes *out)
{
    static uint8_t content[MAX_PACKED_BYTES];
    const struct packed *packed = &packed_files[number];
    void (*const make)(const struct km_buf *, struct km_buf *) = packed->make ? packed->make : make_gzip;
    struct km_err err = KM_ERR_INIT;
    struct km_buf raw, one, file;
    char path[64];
    km_buf_init(&raw, MAX_PACKED_BYTES);
    km_buf_init(&one, MAX_PACKED_BYTES);
    km_buf_init(&file, MAX_PACKED_BYTES);
    fill_content(content, packed->length, 500 + number);
    memcpy(content, packed->begin ? packed->begin : " ", packed->begin ? strlen(packed->begin) : 1);
    assert_ok(km_digest_sha256(content, packed->length, out->content, &err), err);
    assert_ok(km_buf_append(&raw, content, packed->length, &err), err);
    make(&raw, &one);
    for (unsigned i = 0; i < packed->layers; i++)
        make(&one, &one);
    for (unsigned i = 0; i <= packed->members; i++)
        assert_ok(km_buf_append(&file, one.data, one.length, &err), err);
    if (packed->damaged)
        file.data[file.length - 6] ^= 1; /* the checksum */
    assert_ok(km_buf_append(&file, content, packed->behind, &err), err);
    size_t length = file.length - packed->cut;
    assert_ok(km_digest_sha256(file.data, length, out->file, &err), err);
    (void)snprintf(path, sizeof path, "doc/%s", packed->name);
    write_file(world, path, (const uint8_t *)file.data, length, 0644);
    km_buf_done(&raw);
    km_buf_done(&one);
    km_buf_done(&file);
}

static struct km_hashlist *list_of(const uint8_t sha256[KM_SHA256_BYTES])
{
    struct km_err err = KM_ERR_INIT;
    struct km_hashlist *list = km_hashlist_new(&err);
    char text[2 * KM_SHA256_BYTES + 1];
    assert_non_null(list);
    km_hex_format(sha256, KM_SHA256_BYTES, text);
    assert_ok(km_hashlist_add_text(list, "bad", text, strlen(text), &err), err);
    km_hashlist_seal(list);
    return list;
}

/* A root of packed files alone, with the world's detector, and a place for a cache. */
struct packed_world {
    struct world world;
    struct bundle place;
    char cache[96];
};

static void packed_init(struct packed_world *packed, const struct world *world)
{
    packed->world = *world;
    bundle_init(&packed->place);
    bundle_init(&packed->world.root);
    (void)snprintf(packed->cache, sizeof packed->cache, "%s/cache", packed->place.path);
    assert_int_equal(mkdirat(packed->world.root.folder, "doc", 0755), 0);
}

static void packed_done(struct packed_world *packed)
{
    bundle_done(&packed->world.root);
    bundle_done(&packed->place);
}

static struct km_segcache *packed_cache(const struct packed_world *packed)
{
    struct km_err err = KM_ERR_INIT;
    struct km_segcache *cache = NULL;
    assert_ok(km_segcache_open(packed->cache, KM_SEGCACHE_DEFAULT_BYTES, &cache, NULL, &err), err);
    return cache;
}

/* `listed`: the one entry of a hash list, or NULL. */
static char *scan_packed(const struct packed_world *packed, bool with_cache, const uint8_t *listed)
{
    struct km_hashlist *list = listed ? list_of(listed) : NULL;
    struct km_scan_options options = {.detector = packed->world.detector, .jobs = 2, .hashes = list};
    struct noted noted = {0};
    options.cache = with_cache ? packed_cache(packed) : NULL;
    char *text = scan(&packed->world, &options, &noted, NULL);
    assert_null(km_segcache_trouble(options.cache));
    km_segcache_close(options.cache);
    km_hashlist_free(list);
    return text;
}

static void what_a_compressed_file_holds_is_remembered(void **state)
{
    struct packed_world packed;
    struct packed_hashes hashes[PACKED_FILES];
    packed_init(&packed, *state);
    for (size_t i = 0; i < PACKED_FILES; i++)
        make_packed(&packed.world, i, &hashes[i]);
    char *without = scan_packed(&packed, false, NULL), *cold = scan_packed(&packed, true, NULL),
         *warm = scan_packed(&packed, true, NULL);
    assert_non_null(strstr(without, "damaged.txt.gz"));
    assert_non_null(strstr(without, "tool.gz"));
    assert_string_equal(cold, without);
    assert_string_equal(warm, without);
    struct km_segcache *cache = packed_cache(&packed);
    for (size_t i = 0; i < PACKED_FILES; i++) {
        struct km_segcache_inside inside;
        bool kept = km_segcache_get_inside(cache, hashes[i].file, &inside);
        if (kept != packed_files[i].kept)
            fail_msg("%s: %d", packed_files[i].name, kept);
        if (kept)
            assert_int_equal(inside.size, packed_files[i].length * (1 + packed_files[i].members));
        if (kept && packed_files[i].members == 0)
            assert_memory_equal(inside.sha256, hashes[i].content, KM_SHA256_BYTES);
    }
    km_segcache_close(cache);
    free(without);
    free(cold);
    free(warm);
    packed_done(&packed);
}

/* The lists are of today, and the content is not looked at: it is called what the cache says. */
static void a_remembered_file_stays_closed(void **state)
{
    static const struct km_segcache_inside another = {.size = 77, .sha256 = "another content"};
    struct packed_world packed;
    struct packed_hashes hashes;
    packed_init(&packed, *state);
    make_packed(&packed.world, 0, &hashes);
    free(scan_packed(&packed, true, NULL));
    char *without = scan_packed(&packed, false, hashes.content), *with = scan_packed(&packed, true, hashes.content);
    assert_non_null(strstr(without, "\"verdict\": \"malicious\""));
    assert_string_equal(with, without);
    struct km_segcache *cache = packed_cache(&packed);
    km_segcache_put_inside(cache, hashes.file, &another);
    km_segcache_close(cache);
    char *told = scan_packed(&packed, true, another.sha256);
    assert_non_null(strstr(told, "\"verdict\": \"malicious\""));
    free(told);
    free(with);
    free(without);
    packed_done(&packed);
}

/* The weights are spoiled after a scan: what it left in the cache is theirs, and needs them no more. */
static void models_are_loaded_when_there_is_something_to_score(void **state)
{
    (void)state;
    struct world small;
    struct km_err err = KM_ERR_INIT;
    struct bundle place;
    char path[96];
    uint8_t content[5000];
    bundle_init(&place);
    (void)snprintf(path, sizeof path, "%s/cache", place.path);
    bundle_init(&small.bundle);
    bundle_add_all(&small.bundle, 7);
    bundle_init(&small.root);
    assert_int_equal(mkdirat(small.root.folder, "bin", 0755), 0);
    fill_content(content, sizeof content, 5);
    memcpy(content, "#!/bin/sh\n", 10);
    write_file(&small, "bin/tool", content, sizeof content, 0755);
    small.detector = bundle_open(&small.bundle);
    struct km_scan_options options = {.detector = small.detector, .jobs = 2};
    struct noted seen = {0};
    assert_ok(km_segcache_open(path, KM_SEGCACHE_DEFAULT_BYTES, &options.cache, NULL, &err), err);
    char *before = scan(&small, &options, &seen, NULL);
    assert_int_equal(seen.counts.files_scored, 1);
    km_segcache_close(options.cache);
    km_detector_free(small.detector);
    int fd = openat(small.bundle.folder, "network.safetensors", O_RDWR | O_CLOEXEC);
    assert_int_equal(pwrite(fd, "x", 1, 100000), 1);
    (void)close(fd);
    small.detector = bundle_open(&small.bundle);
    options.detector = small.detector;
    assert_ok(km_segcache_open(path, KM_SEGCACHE_DEFAULT_BYTES, &options.cache, NULL, &err), err);
    char *after = scan(&small, &options, &seen, NULL);
    assert_string_equal(after, before);
    fill_content(content + 10, sizeof content - 10, 6);
    write_file(&small, "bin/other", content, sizeof content, 0755);
    char *other = scan(&small, &options, &seen, NULL);
    assert_non_null(strstr(other, "\"verdict\": \"incomplete\""));
    assert_non_null(strstr(other, "\"code\": \"conflict\""));
    assert_int_equal(unlinkat(small.root.folder, "bin/tool", 0), 0);
    assert_int_equal(unlinkat(small.root.folder, "bin/other", 0), 0);
    char *nothing = scan(&small, &options, &seen, NULL); /* no scores, cached or made: it is said all the same */
    assert_non_null(strstr(nothing, "\"code\": \"conflict\""));
    free(nothing);
    free(other);
    km_segcache_close(options.cache);
    km_detector_free(small.detector);
    free(before);
    free(after);
    bundle_done(&small.root);
    bundle_done(&small.bundle);
    bundle_done(&place);
}

/* A baseline of the whole world. */
static struct km_baseline *know_all(const struct world *world, const struct bundle *place)
{
    struct km_err err = KM_ERR_INIT;
    struct km_source *source = NULL;
    struct km_baseline *baseline = NULL;
    struct km_results *results = km_results_new((size_t)64 << 20, &err);
    const struct km_sink sink = km_results_sink(results);
    const struct km_target target = {.name = "world"};
    const struct km_scan_options options = {.jobs = 1};
    struct km_baseline_addition addition = {
        .image = {.name = "world", .target = "", .who = "", .reason = ""}, .part_fd = -1, .max_bytes = 64 << 20};
    struct km_baseline_collect *collect = km_baseline_collect_new(&err);
    assert_non_null(collect);
    assert_ok(km_source_open_fd(dup(world->root.folder), KM_SOURCE_DIR, "world", NULL, &source, &err), err);
    km_source_tap(source, km_baseline_collect_sink(collect));
    assert_ok(km_scan_run(source, &target, &options, &sink, NULL, &err), err);
    assert_ok(km_baseline_collect_finish(collect, km_source_layout(source), &addition, &err), err);
    assert_ok(km_baseline_add(place->folder, &addition, &err), err);
    assert_ok(km_baseline_open(place->folder, &baseline, &err), err);
    km_baseline_collect_free(collect);
    km_results_free(results);
    km_source_close(source);
    return baseline;
}

/* Large ones, too; but one that is larger than what is held is scored before its hash is known. */
static void what_the_baseline_knows_is_not_scored(void **state)
{
    const struct world *world = *state;
    struct bundle place;
    bundle_init(&place);
    write_file(world, "bin/huge", (const uint8_t *)"#!/bin/sh\n", 10, 0755);
    int fd = openat(world->root.folder, "bin/huge", O_WRONLY | O_CLOEXEC);
    assert_int_equal(ftruncate(fd, (KM_PIPELINE_HELD_SEGMENTS + 1) * (off_t)KM_SEGMENT_BYTES), 0);
    (void)close(fd);
    struct km_baseline *baseline = know_all(world, &place);
    for (uint64_t huge = 1;; huge--) {
        struct noted seen = {0};
        struct km_scan_options options = {.detector = world->detector, .baseline = baseline, .jobs = 2};
        free(scan(world, &options, &seen, NULL));
        assert_int_equal(seen.counts.files_scored, huge);
        assert_true(seen.counts.files_known > CODE_FILES);
        if (huge == 0)
            break;
        assert_int_equal(unlinkat(world->root.folder, "bin/huge", 0), 0);
    }
    km_baseline_close(baseline);
    bundle_done(&place);
}

static void a_policy_leaves_gaps(void **state)
{
    const struct world *world = *state;
    static const char text[] = "skip bin/file1\nmetadata bin/file2\nfragments bin/large\nfragments bin/file4\n"
                               "fragments bin/exact\n";
    struct km_err err = KM_ERR_INIT;
    struct km_policy *policy = km_policy_parse("own", text, strlen(text), &err);
    assert_non_null(policy);
    struct km_scan_options options = {.detector = world->detector, .policy = policy, .jobs = 2};
    struct noted seen = {0};
    struct km_results *results = NULL;
    char *json = scan(world, &options, &seen, &results);
    const struct km_result *result = km_results_get(results, 0);
    assert_int_equal(seen.counts.files_scored, CODE_FILES - 2);
    assert_int_equal(result->outcome.coverage.gaps, 3); /* of exact, both segments are the first and the last */
    uint64_t left_out = 0;
    for (size_t i = 0; i < result->gap_count; i++) {
        assert_int_equal(result->gaps[i].reason, KM_GAP_POLICY);
        left_out += result->gaps[i].bytes;
    }
    const struct km_coverage *coverage = &result->outcome.coverage;
    assert_int_equal(coverage->bytes_total - coverage->bytes_examined, left_out);
    assert_int_equal(coverage->files_total - coverage->files_examined, 3);
    assert_true(left_out > KM_SEGMENT_BYTES); /* the middle of large */
    for (size_t i = 0; i < result->finding_count; i++)
        assert_string_not_equal(result->findings[i].subject.path, "bin/file1");
    free(json);
    km_results_free(results);
    km_policy_free(policy);
}

static void cancelling_joins_and_reports(void **state)
{
    const struct world *world = *state;
    for (uint64_t after = 1; after < 4000000; after = after * 10 + 1) {
        struct km_scan_options options = {.detector = world->detector, .jobs = 3};
        struct noted seen = {.cancel_after = after};
        struct km_results *results = NULL;
        char *json = scan(world, &options, &seen, &results);
        const struct km_result *result = km_results_get(results, 0);
        assert_true(result->ended && !result->outcome.error);
        assert_true(result->outcome.coverage.gaps > 0);
        assert_true(result->outcome.verdict != KM_VERDICT_CLEAN);
        free(json);
        km_results_free(results);
    }
}

/* A callback that fails ends the scan with its code, whatever the workers do meanwhile. */
static enum km_code refuse_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context, (void)gap;
    return km_fail(err, KM_NOMEM, "no room");
}

static enum km_code take_target(void *context, const struct km_target *target, struct km_err *err)
{
    (void)context, (void)target, (void)err;
    return KM_OK;
}

static void a_failure_joins(void **state)
{
    const struct world *world = *state;
    struct km_err err = KM_ERR_INIT;
    struct km_source *source = NULL;
    struct km_policy *policy = km_policy_parse("own", "metadata bin/file5*", 19, &err);
    const struct km_sink sink = {.target_begin = take_target, .gap = refuse_gap};
    const struct km_target target = {.name = "world"};
    const struct km_scan_options options = {.detector = world->detector, .policy = policy, .jobs = 3};
    assert_ok(km_source_open_fd(dup(world->root.folder), KM_SOURCE_DIR, "world", NULL, &source, &err), err);
    assert_int_equal(km_scan_run(source, &target, &options, &sink, NULL, &err), KM_NOMEM);
    km_source_close(source);
    km_policy_free(policy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(workers_change_nothing),
        cmocka_unit_test(a_cache_changes_nothing_but_the_time),
        cmocka_unit_test(what_a_compressed_file_holds_is_remembered),
        cmocka_unit_test(a_remembered_file_stays_closed),
        cmocka_unit_test(models_are_loaded_when_there_is_something_to_score),
        cmocka_unit_test(what_the_baseline_knows_is_not_scored),
        cmocka_unit_test(a_policy_leaves_gaps),
        cmocka_unit_test(cancelling_joins_and_reports),
        cmocka_unit_test(a_failure_joins),
    };
    return cmocka_run_group_tests_name(KM_TEST_NAME, tests, make_world, end_world);
}
