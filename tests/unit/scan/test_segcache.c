#define KM_TEST_NAME "segcache"
#include "bundles.h"

#include <lmdb.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "container/scan/segcache.h"
#include "container/scan/segstore.h"
#include "container/source/source.h"

#define CAPACITY ((size_t)16 << 20)

static struct km_segment make_segment(uint32_t seed, bool is_whole)
{
    static uint32_t ids[300];
    struct km_segment segment = {.length = 5000 + seed % 1000, .is_whole = is_whole};
    struct km_segment_scores *s = &segment.scores;
    s->bytes = (uint32_t)segment.length;
    s->file_logit = (float)seed / 7;
    s->window_logit = -1.5F;
    s->windows = 1;
    s->known = is_whole ? 0.5F : NAN;
    s->benign = NAN;
    s->sum = 2.25F;
    s->cells = 5;
    s->range_count = 2;
    s->ranges[0] = (struct km_score_range){1024, 2048, 3};
    s->ranges[1] = (struct km_score_range){0, 1024, -2};
    s->reason_count = 1;
    (void)snprintf(s->reasons[0].text, sizeof s->reasons[0].text, "word%u", seed);
    s->reasons[0].weight = 0.75F;
    (void)snprintf(s->lookalike, sizeof s->lookalike, "tool (%u)", seed);
    for (uint32_t i = 0; i < 300; i++)
        ids[i] = i * 800 + seed % 800;
    if (!is_whole) {
        segment.ids = ids;
        segment.id_count = 300;
    }
    return segment;
}

static struct km_segcache_key key_of(uint32_t seed, bool is_whole)
{
    struct km_segcache_key key = {.kind = is_whole ? KM_SEGCACHE_FILE : KM_SEGCACHE_SEGMENT};
    memcpy(key.content, &seed, sizeof seed);
    return key;
}

static void put(struct km_segcache *cache, uint32_t seed, bool is_whole)
{
    const struct km_segment segment = make_segment(seed, is_whole);
    const struct km_segcache_key key = key_of(seed, is_whole);
    km_segcache_put(cache, &key, &segment);
}

/* Whether it is there; then it is what was put. */
static bool check(struct km_segcache *cache, uint32_t seed, bool is_whole)
{
    const struct km_segment wanted = make_segment(seed, is_whole);
    const struct km_segcache_key key = key_of(seed, is_whole);
    struct km_segment got = {.length = wanted.length, .is_whole = is_whole};
    if (!km_segcache_get(cache, &key, &got))
        return false;
    assert_true(got.scores.file_logit == wanted.scores.file_logit);
    assert_true(isnan(got.scores.benign));
    assert_string_equal(got.scores.lookalike, wanted.scores.lookalike);
    assert_string_equal(got.scores.reasons[0].text, wanted.scores.reasons[0].text);
    assert_int_equal(got.scores.ranges[0].begin, 1024);
    assert_int_equal(got.id_count, wanted.id_count);
    if (got.id_count > 0)
        assert_memory_equal(got.ids, wanted.ids, got.id_count * sizeof *got.ids);
    km_segment_done(&got);
    return true;
}

static char folder[128], data_file[160];

static int make_folder(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof folder, "/tmp/komainu-cache-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    (void)snprintf(folder + strlen(folder), sizeof folder - strlen(folder), "/a/b");
    (void)snprintf(data_file, sizeof data_file, "%s/data.mdb", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    folder[strlen(folder) - 4] = '\0';
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static struct km_segcache *open_cache(char note[KM_ERR_TEXT_BYTES])
{
    struct km_err err = KM_ERR_INIT;
    struct km_segcache *cache = NULL;
    assert_ok(km_segcache_open(folder, CAPACITY, &cache, note, &err), err);
    return cache;
}

static void fill(uint32_t count)
{
    char note[KM_ERR_TEXT_BYTES];
    struct km_segcache *cache = open_cache(note);
    for (uint32_t i = 0; i < count; i++)
        put(cache, i, i % 2 == 0);
    km_segcache_close(cache);
}

static void what_was_put_is_there_again(void **state)
{
    (void)state;
    char note[KM_ERR_TEXT_BYTES];
    struct km_segcache *cache = open_cache(note);
    assert_false(check(cache, 1, true));
    put(cache, 1, true);
    put(cache, 2, false);
    km_segcache_flush(cache);
    assert_true(check(cache, 1, true) && check(cache, 2, false));
    assert_false(check(cache, 1, false)); /* a whole file is not a segment of one */
    km_segcache_close(cache);
    cache = open_cache(note);
    assert_string_equal(note, "");
    assert_true(check(cache, 1, true) && check(cache, 2, false));
    assert_null(km_segcache_trouble(cache));
    km_segcache_close(cache);
    struct stat status;
    assert_int_equal(stat(folder, &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
    assert_int_equal(stat(data_file, &status), 0);
    assert_int_equal(status.st_mode & 077, 0);
    assert_false(km_segcache_get(NULL, &(struct km_segcache_key){.kind = KM_SEGCACHE_FILE}, NULL));
}

static void an_md5_is_kept_beside_the_scores(void **state)
{
    (void)state;
    char note[KM_ERR_TEXT_BYTES];
    uint8_t sha256[KM_SHA256_BYTES] = {1}, md5[KM_MD5_BYTES] = {7, 8, 9}, got[KM_MD5_BYTES] = {0};
    struct km_segcache *cache = open_cache(note);
    struct km_segcache_key key = {.content = {1}, .kind = KM_SEGCACHE_FILE};
    const struct km_segment segment = make_segment(1, true);
    assert_false(km_segcache_get_md5(cache, sha256, got));
    km_segcache_put_md5(cache, sha256, md5);
    km_segcache_put(cache, &key, &segment);
    km_segcache_close(cache);
    cache = open_cache(note);
    assert_true(km_segcache_get_md5(cache, sha256, got));
    assert_memory_equal(got, md5, sizeof md5);
    struct km_segment file = {.length = segment.length, .is_whole = true};
    assert_true(km_segcache_get(cache, &key, &file));
    /* What is no MD5 is not taken for one. */
    uint8_t other[KM_SHA256_BYTES] = {2};
    key = (struct km_segcache_key){.content = {2}, .kind = KM_SEGCACHE_MD5};
    km_segcache_put(cache, &key, &segment);
    km_segcache_flush(cache);
    assert_false(km_segcache_get_md5(cache, other, got));
    assert_false(km_segcache_get_md5(NULL, sha256, got));
    assert_null(km_segcache_trouble(cache));
    km_segcache_close(cache);
}

static void what_a_file_holds_is_kept_within_its_limit(void **state)
{
    (void)state;
    char note[KM_ERR_TEXT_BYTES];
    const uint8_t files[3][KM_SHA256_BYTES] = {{1}, {2}, {3}};
    const struct km_segcache_inside largest = {.size = KM_SOURCE_MAX_RECALLED, .sha256 = {7, 8, 9}},
                                    larger = {.size = KM_SOURCE_MAX_RECALLED + 1};
    struct km_segcache_inside got;
    struct km_segcache *cache = open_cache(note);
    assert_false(km_segcache_get_inside(cache, files[0], &got));
    km_segcache_put_inside(cache, files[0], &largest);
    km_segcache_put_inside(cache, files[1], &larger);
    const struct km_segcache_key another = {
        .content = {3}, .models = {KM_SEGCACHE_INSIDE_RULES}, .kind = KM_SEGCACHE_INSIDE};
    const struct km_segment segment = make_segment(1, true);
    km_segcache_put(cache, &another, &segment);
    km_segcache_close(cache);
    cache = open_cache(note);
    assert_true(km_segcache_get_inside(cache, files[0], &got));
    assert_int_equal(got.size, largest.size);
    assert_memory_equal(got.sha256, largest.sha256, sizeof got.sha256);
    assert_false(km_segcache_get_inside(cache, files[1], &got));
    assert_false(km_segcache_get_inside(cache, files[2], &got)); /* a record of another kind */
    assert_false(km_segcache_get_inside(NULL, files[0], &got));
    assert_null(km_segcache_trouble(cache));
    km_segcache_close(cache);
}

static void a_folder_open_to_others_is_refused(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_segcache *cache = NULL;
    fill(1);
    assert_int_equal(chmod(folder, 0755), 0);
    assert_int_equal(km_segcache_open(folder, CAPACITY, &cache, NULL, &err), KM_DENIED);
    assert_int_equal(km_segcache_open(folder, 1000, &cache, NULL, &err), KM_LIMIT);
    assert_int_equal(km_segcache_open(data_file, CAPACITY, &cache, NULL, &err), KM_IO);
}

static void overwrite(long offset, size_t length, uint8_t value)
{
    static uint8_t bytes[1 << 16];
    int fd = open(data_file, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    memset(bytes, value, sizeof bytes);
    for (size_t at = 0; at < length; at += sizeof bytes)
        assert_true(pwrite(fd, bytes, length - at < sizeof bytes ? length - at : sizeof bytes, offset + (long)at) > 0);
    (void)close(fd);
}

/* Whatever is done to the file, the next scan works; it says when it had to begin anew. */
static void damage_is_said_and_survived(void **state)
{
    (void)state;
    static const struct {
        long offset;
        size_t length;
        uint8_t value;
        off_t cut;    /* to this size, when it is not -1 */
        bool is_said; /* false: it may hit pages that are not in use, or leave nothing */
    } rows[] = {
        {0, 0, 0, 0, false},         {0, 0, 0, 5000, true},          {0, 0, 0, 100000, true},
        {0, 8192, 0xff, -1, true},   {0, 300000, 0x55, -1, true},    {8192, 4096, 0xff, -1, false},
        {8192, 200000, 0, -1, true}, {16384, 65536, 0xaa, -1, true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char note[KM_ERR_TEXT_BYTES];
        fill(800);
        if (rows[i].cut >= 0)
            assert_int_equal(truncate(data_file, rows[i].cut), 0);
        overwrite(rows[i].offset, rows[i].length, rows[i].value);
        struct km_segcache *cache = open_cache(note);
        if (rows[i].is_said && !strstr(note, "damaged"))
            fail_msg("damage %zu was not noticed", i);
        for (uint32_t k = 0; k < 800; k++)
            (void)check(cache, k, k % 2 == 0);
        put(cache, 5, true);
        km_segcache_flush(cache);
        assert_true(check(cache, 5, true));
        assert_null(km_segcache_trouble(cache));
        km_segcache_close(cache);
    }
}

static void old_records_give_way(void **state)
{
    (void)state;
    char note[KM_ERR_TEXT_BYTES];
    struct km_segcache *cache = open_cache(note);
    uint32_t kept = 0, last = 40000;
    for (uint32_t i = 0; i < last; i++) {
        put(cache, i, false);
        if (i % 1000 == 0 && i > 0)
            assert_true(check(cache, 3, false)); /* what is used moves on */
        if (i == 3)
            km_segcache_flush(cache);
    }
    km_segcache_flush(cache);
    assert_null(km_segcache_trouble(cache));
    for (uint32_t i = 0; i < last; i++)
        kept += check(cache, i, false);
    assert_true(kept > 1000 && kept < last - 1000);
    assert_true(check(cache, last - 1, false));
    assert_true(check(cache, 3, false));
    km_segcache_close(cache);
    struct stat status;
    assert_int_equal(stat(data_file, &status), 0);
    assert_true((size_t)status.st_size <= CAPACITY);
}

static void a_killed_writer_leaves_a_whole_cache(void **state)
{
    (void)state;
    char note[KM_ERR_TEXT_BYTES];
    fill(100);
    for (int round = 0; round < 5; round++) {
        int ready[2];
        assert_int_equal(pipe(ready), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct km_err err = KM_ERR_INIT;
            struct km_segcache *cache = NULL;
            if (km_segcache_open(folder, CAPACITY, &cache, NULL, &err) != KM_OK)
                _exit(1);
            for (uint32_t i = 1000;; i++) {
                put(cache, i, true);
                if (i % 100 == 0)
                    km_segcache_flush(cache);
                if (i == 3000 && write(ready[1], "x", 1) != 1)
                    _exit(1);
            }
        }
        char byte;
        assert_int_equal(read(ready[0], &byte, 1), 1);
        assert_int_equal(kill(child, SIGKILL), 0);
        assert_int_equal(waitpid(child, NULL, 0), child);
        (void)close(ready[0]);
        (void)close(ready[1]);
        struct km_segcache *cache = open_cache(note);
        assert_string_equal(note, "");
        assert_true(check(cache, 7, false));
        assert_true(check(cache, 1500, true));
        km_segcache_close(cache);
    }
}

static bool write_all(const char *path, size_t kib)
{
    static const uint8_t bytes[1024];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    bool good = fd >= 0;
    for (size_t i = 0; good && i < kib; i++)
        good = write(fd, bytes, sizeof bytes) == (ssize_t)sizeof bytes;
    return good && close(fd) == 0;
}

/* In a child with a file system of its own of 256 KiB, of which so many are left: 0 the cache did as it should, 2 there
 * is no such file system to be had. */
static int use_full_disk(size_t left_kib)
{
    char path[192], note[KM_ERR_TEXT_BYTES];
    struct km_err err = KM_ERR_INIT;
    struct km_segcache *cache = NULL;
    (void)snprintf(path, sizeof path, "%s/other", folder);
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", folder, "tmpfs", 0, "size=256k,mode=0700") != 0)
        return 2;
    if (!write_all(path, 256 - left_kib))
        return 3;
    enum km_code code = km_segcache_open(folder, CAPACITY, &cache, note, &err);
    if (code != KM_OK)
        return code == KM_LIMIT || code == KM_IO ? 0 : 4;
    for (uint32_t i = 0; i < 3000; i++)
        put(cache, i, true);
    km_segcache_flush(cache);
    if (!km_segcache_trouble(cache) || check(cache, 2999, true))
        return 5;
    km_segcache_close(cache);
    /* Room again: it goes on. */
    if (unlink(path) != 0 || km_segcache_open(folder, CAPACITY, &cache, note, &err) != KM_OK)
        return 6;
    put(cache, 1, true);
    km_segcache_flush(cache);
    bool good = !km_segcache_trouble(cache) && check(cache, 1, true);
    km_segcache_close(cache);
    return good ? 0 : 7;
}

static void a_full_disk_is_said_and_survived(void **state)
{
    (void)state;
    static const size_t left[] = {0, 4, 8, 12, 16, 20, 28, 40, 64, 128};
    fill(0);
    for (size_t i = 0; i < sizeof left / sizeof left[0]; i++) {
        int status;
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(use_full_disk(left[i]));
        assert_int_equal(waitpid(child, &status, 0), child);
        if (WIFEXITED(status) && WEXITSTATUS(status) == 2) {
            print_message("no mount namespace of its own is to be had here\n");
            skip();
        }
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("with %zu KiB left: status %d", left[i], status);
    }
}

/* As another version of komainu would leave it. */
static void another_versions_cache_begins_anew(void **state)
{
    (void)state;
    char note[KM_ERR_TEXT_BYTES];
    uint32_t version = KM_SEGCACHE_VERSION + 1;
    MDB_env *env;
    MDB_txn *txn;
    MDB_dbi meta;
    MDB_val key = {strlen("version"), (void *)"version"}, value = {sizeof version, &version};
    fill(10);
    assert_int_equal(mdb_env_create(&env), 0);
    assert_int_equal(mdb_env_set_maxdbs(env, 4), 0);
    assert_int_equal(mdb_env_open(env, folder, 0, 0600), 0);
    assert_int_equal(mdb_txn_begin(env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_dbi_open(txn, "meta", 0, &meta), 0);
    assert_int_equal(mdb_put(txn, meta, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);
    mdb_env_close(env);
    struct km_segcache *cache = open_cache(note);
    assert_non_null(strstr(note, "another version"));
    assert_false(check(cache, 2, true));
    put(cache, 2, true);
    km_segcache_flush(cache);
    assert_true(check(cache, 2, true));
    assert_null(km_segcache_trouble(cache));
    km_segcache_close(cache);
}

static void records_are_checked(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_buf record;
    struct km_segment segment = make_segment(9, false);
    segment.part = (struct km_segment_part){1000, 4000, -0.5F, segment.scores};
    segment.part.scores.bytes = 3000;
    km_buf_init(&record, KM_SEGMENT_MAX_RECORD);
    assert_ok(km_segment_format(&segment, &record, &err), err);
    struct km_segment got = {.length = segment.length};
    assert_ok(km_segment_parse(&got, (const uint8_t *)record.data, record.length, &err), err);
    assert_int_equal(got.part.begin, 1000);
    assert_int_equal(got.part.end, 4000);
    assert_memory_equal(&got.part.rank, &segment.part.rank, sizeof got.part.rank);
    assert_memory_equal(&got.part.scores.sum, &segment.part.scores.sum, sizeof got.part.scores.sum);
    assert_string_equal(got.part.scores.lookalike, segment.scores.lookalike);
    km_segment_done(&got);
    for (size_t length = 0; length < record.length; length++)
        assert_int_equal(km_segment_parse(&got, (const uint8_t *)record.data, length, &err), KM_FORMAT);
    struct km_segment other = {.length = segment.length + 1};
    assert_int_equal(km_segment_parse(&other, (const uint8_t *)record.data, record.length, &err), KM_FORMAT);
    other = (struct km_segment){.length = segment.length, .is_whole = true};
    assert_int_equal(km_segment_parse(&other, (const uint8_t *)record.data, record.length, &err), KM_FORMAT);
    /* Of the record, and of its part: both scores follow the same rules. */
    static const struct {
        size_t offset; /* of a 32-bit number */
        uint32_t value;
    } rows[] = {{0, 1},           {12, 1000 /* the part ends where it begins */},
                {12, 70000},      {16, 4000},
                {20, 0x7fc00000}, {24, 0x7f800000 /* infinite */},
                {32, 17},         {36, 0xffffffff},
                {52, 2000},       {56, 5},
                {60, 7},          {64, 0xffffffff},
                {68, 0},          {72, 0x7fc00000 /* NaN */}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct km_buf spoiled;
        km_buf_init(&spoiled, KM_SEGMENT_MAX_RECORD);
        assert_ok(km_buf_append(&spoiled, record.data, record.length, &err), err);
        memcpy(spoiled.data + rows[i].offset, &rows[i].value, 4);
        assert_int_equal(km_segment_parse(&got, (const uint8_t *)spoiled.data, spoiled.length, &err), KM_FORMAT);
        km_buf_done(&spoiled);
    }
    km_buf_done(&record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_put_is_there_again, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(an_md5_is_kept_beside_the_scores, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_a_file_holds_is_kept_within_its_limit, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_folder_open_to_others_is_refused, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(damage_is_said_and_survived, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(another_versions_cache_begins_anew, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_full_disk_is_said_and_survived, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(old_records_give_way, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_killed_writer_leaves_a_whole_cache, make_folder, remove_folder),
        cmocka_unit_test(records_are_checked),
    };
    return KM_RUN_TESTS(tests);
}
