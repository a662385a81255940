#define KM_TEST_NAME "baseline"
#include "../cm.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "container/scan/baseline_edit.h"

/* ---- A disk that may end at any moment: LMDB's and our own calls come here, for the program's symbols win ---- */

static int calls_until_death = -1; /* -1: never */

static void maybe_die(void)
{
    if (calls_until_death >= 0 && calls_until_death-- == 0)
        (void)raise(SIGKILL);
}

#pragma GCC diagnostic ignored "-Wmissing-prototypes"
#pragma GCC visibility push(default)
int fsync(int fd)
{
    maybe_die();
    return (int)syscall(SYS_fsync, fd);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's are not for us to use */
int renameat(int old_fd, const char *old_name, int new_fd, const char *new_name)
{
    maybe_die();
    int result = (int)syscall(SYS_renameat, old_fd, old_name, new_fd, new_name);
    maybe_die();
    return result;
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's are not for us to use */
int unlinkat(int fd, const char *name, int flags)
{
    maybe_die();
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's are not for us to use */
ssize_t write(int fd, const void *bytes, size_t length)
{
    maybe_die();
    return syscall(SYS_write, fd, bytes, length);
}

/* NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name): glibc's are not for us to use */
ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t offset)
{
    maybe_die();
    return syscall(SYS_pwrite64, fd, bytes, length, offset);
}
#pragma GCC visibility pop

/* ---- A store ---- */

static char folder[] = "/tmp/komainu-baseline-XXXXXX";
static int dir_fd = -1;

static int make_folder(void **state)
{
    (void)state;
    memset(strrchr(folder, '-') + 1, 'X', 6);
    if (!mkdtemp(folder))
        return -1;
    dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : 0;
}

static size_t list_folder(const char *prefix, char *out_name, bool remove)
{
    size_t count = 0;
    DIR *listing = opendir(folder);
    assert_non_null(listing);
    for (const struct dirent *entry; (entry = readdir(listing));)
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0) {
            count++;
            if (out_name)
                (void)snprintf(out_name, 256, "%s", entry->d_name);
            if (remove)
                (void)syscall(SYS_unlinkat, dir_fd, entry->d_name, 0);
        }
    closedir(listing);
    return count;
}

static int drop_folder(void **state)
{
    (void)state;
    list_folder("", NULL, true);
    close(dir_fd);
    return rmdir(folder);
}

/* Content number n: any 32 bytes that differ. */
static void hash_of(uint32_t n, uint8_t out[KM_SHA256_BYTES])
{
    for (size_t i = 0; i < KM_SHA256_BYTES; i++)
        out[i] = (uint8_t)((n * 2654435761u) >> (8 * (i % 4))) ^ (uint8_t)(n + i);
    memcpy(out + 8, &n, sizeof n);
}

static uint8_t many[40000][KM_SHA256_BYTES], layer[1][KM_SHA256_BYTES];

/* Adds contents [first, last) and one layer under a name. */
static enum km_code add_limited(const char *name, uint32_t first, uint32_t last, uint64_t max_bytes, struct km_err *err)
{
    for (uint32_t i = first; i < last; i++)
        hash_of(i, many[i - first]);
    hash_of(1000000 + first, layer[0]);
    struct km_baseline_addition addition = {
        .image = {.name = name, .target = "tar:x", .digest = "", .who = "me", .reason = "", .added_ns = 5, .gaps = 2},
        .files = many,
        .file_count = last - first,
        .layers = layer,
        .layer_count = 1,
        .max_bytes = max_bytes};
    return km_baseline_add(dir_fd, &addition, err);
}

static void add(const char *name, uint32_t first, uint32_t last)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(add_limited(name, first, last, KM_BASELINE_MAX_BYTES, &err), err);
}

static struct km_baseline *open_store(void)
{
    struct km_err err = KM_ERR_INIT;
    struct km_baseline *baseline = NULL;
    assert_ok(km_baseline_open(dir_fd, &baseline, &err), err);
    return baseline;
}

static bool has(const struct km_baseline *baseline, uint32_t n)
{
    uint8_t hash[KM_SHA256_BYTES];
    hash_of(n, hash);
    return km_baseline_has_file(baseline, hash);
}

static void expect_failure(enum km_code code, const char *words)
{
    struct km_err err = KM_ERR_INIT;
    struct km_baseline *baseline = NULL;
    assert_int_equal(km_baseline_open(dir_fd, &baseline, &err), code);
    assert_null(baseline);
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.text, words));
    assert_null(strchr(err.text, '\n'));
}

/* ---- Tests ---- */

static void what_was_added_is_known_and_nothing_else(void **state)
{
    (void)state;
    uint8_t hash[KM_SHA256_BYTES];
    add("one", 0, 1000);
    struct km_baseline *baseline = open_store();
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(has(baseline, i));
    assert_false(has(baseline, 1000));
    hash_of(1000000, hash);
    assert_true(km_baseline_has_layer(baseline, hash));
    assert_false(km_baseline_has_file(baseline, hash)); /* a layer is no file */
    hash_of(0, hash);
    assert_false(km_baseline_has_layer(baseline, hash));
    assert_false(km_baseline_has_file(NULL, hash));
    assert_false(km_baseline_has_layer(NULL, hash));
    assert_int_equal(km_baseline_file_count(baseline), 1000);
    assert_int_equal(km_baseline_layer_count(baseline), 1);
    assert_int_equal(km_baseline_image_count(baseline), 1);
    const struct km_baseline_image *image = km_baseline_image(baseline, 0);
    assert_string_equal(image->name, "one");
    assert_string_equal(image->target, "tar:x");
    assert_string_equal(image->who, "me");
    assert_int_equal(image->files, 1000);
    assert_int_equal(image->layers, 1);
    assert_int_equal(image->added_ns, 5);
    assert_int_equal(image->gaps, 2);
    km_baseline_close(baseline);
}

static void doubles_count_once(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    uint8_t same[3][KM_SHA256_BYTES];
    hash_of(7, same[0]);
    hash_of(8, same[1]);
    hash_of(7, same[2]);
    struct km_baseline_addition addition = {.image = {.name = "a\033[31m", .target = "", .who = "", .reason = ""},
                                            .files = same,
                                            .file_count = 3,
                                            .max_bytes = KM_BASELINE_MAX_BYTES};
    assert_ok(km_baseline_add(dir_fd, &addition, &err), err);
    struct km_baseline *baseline = open_store();
    assert_int_equal(km_baseline_image(baseline, 0)->files, 2);
    assert_int_equal(km_baseline_image(baseline, 0)->layers, 0);
    assert_string_equal(km_baseline_image(baseline, 0)->name, "a\\x1b[31m"); /* nothing reaches a terminal */
    assert_int_equal(km_baseline_add(dir_fd, &addition, &err), KM_CONFLICT);
    assert_ok(km_baseline_remove(dir_fd, "a\\x1b[31m", &err), err);
    km_baseline_close(baseline);
}

static void removing_takes_exactly_what_nobody_else_has(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    uint8_t hash[KM_SHA256_BYTES];
    const struct km_baseline_image *images[4];
    add("one", 0, 20000);
    add("two", 10000, 40000);
    struct km_baseline *baseline = open_store();
    char digest[KM_SHA256_HEX_BYTES];
    memcpy(digest, km_baseline_digest(baseline), sizeof digest);
    assert_int_equal(km_baseline_file_count(baseline), 40000);
    hash_of(15000, hash);
    assert_int_equal(km_baseline_find_images(baseline, hash, images, 4), 2);
    assert_string_equal(images[0]->name, "one");
    assert_string_equal(images[1]->name, "two");
    assert_int_equal(km_baseline_find_images(baseline, hash, images, 1), 2);
    assert_int_equal(km_baseline_remove(dir_fd, "three", &err), KM_NOTFOUND);
    assert_ok(km_baseline_remove(dir_fd, "one", &err), err);
    for (uint32_t i = 0; i < 40000; i += 7)
        assert_true(has(baseline, i)); /* an open baseline stays as it was */
    km_baseline_close(baseline);
    baseline = open_store();
    for (uint32_t i = 0; i < 40000; i++)
        assert_int_equal(has(baseline, i), i >= 10000);
    assert_int_equal(km_baseline_find_images(baseline, hash, images, 4), 1);
    hash_of(1000000, hash);
    assert_false(km_baseline_has_layer(baseline, hash));
    assert_int_equal(km_baseline_file_count(baseline), 30000);
    assert_string_not_equal(km_baseline_digest(baseline), digest);
    km_baseline_close(baseline);
    assert_ok(km_baseline_remove(dir_fd, "two", &err), err);
    baseline = open_store();
    assert_int_equal(km_baseline_image_count(baseline), 0);
    assert_int_equal(km_baseline_file_count(baseline), 0);
    assert_false(has(baseline, 20000));
    km_baseline_close(baseline);
    add("three", 5, 6); /* numbers are never used twice */
    baseline = open_store();
    assert_int_equal(km_baseline_image(baseline, 0)->number, 3);
    km_baseline_close(baseline);
    assert_int_equal(list_folder("hashes-", NULL, false), 1); /* nothing old stays */
}

static void change_byte(const char *name, long at, int change)
{
    char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    assert_int_equal(fseek(file, at, at < 0 ? SEEK_END : SEEK_SET), 0);
    int byte = fgetc(file);
    assert_int_equal(fseek(file, -1, SEEK_CUR), 0);
    assert_int_not_equal(fputc(byte ^ change, file), EOF);
    (void)fclose(file);
}

static int memory_file(const char *text)
{
    int fd = memfd_create("part", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static void what_is_stored_with_an_image_comes_and_goes_with_it(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char text[16] = "", name[256];
    int part = memory_file("tokens of two"), fd = -1;
    add("one", 0, 10);
    struct km_baseline_addition addition = {.image = {.name = "two", .target = "", .who = "", .reason = ""},
                                            .part = "tokens",
                                            .part_fd = part,
                                            .max_bytes = KM_BASELINE_MAX_BYTES};
    assert_ok(km_baseline_add(dir_fd, &addition, &err), err);
    close(part);
    add("three", 0, 10); /* keeps it */
    struct km_baseline *baseline = open_store();
    assert_int_equal(km_baseline_open_part(baseline, 0, "tokens", &fd, &err), KM_NOTFOUND);
    assert_int_equal(km_baseline_open_part(baseline, 1, "others", &fd, &err), KM_NOTFOUND);
    assert_ok(km_baseline_open_part(baseline, 1, "tokens", &fd, &err), err);
    assert_int_equal(read(fd, text, sizeof text), 13);
    assert_memory_equal(text, "tokens of two", 13);
    close(fd);
    assert_int_equal(list_folder("part-", name, false), 1);
    change_byte(name, 3, 1);
    assert_int_equal(km_baseline_open_part(baseline, 1, "tokens", &fd, &err), KM_FORMAT);
    change_byte(name, 3, 1);
    km_baseline_close(baseline);
    assert_ok(km_baseline_remove(dir_fd, "two", &err), err);
    assert_int_equal(list_folder("part-", NULL, false), 0);
}

static void no_baseline_is_said_so(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    expect_failure(KM_NOTFOUND, "no baseline");
    assert_int_equal(km_baseline_remove(dir_fd, "x", &err), KM_NOTFOUND);
    struct km_baseline *baseline = NULL;
    assert_int_equal(km_baseline_open_path("/nowhere/at/all", &baseline, &err), KM_NOTFOUND);
    assert_ok(km_baseline_open_path(folder, &baseline, &err) == KM_NOTFOUND ? KM_OK : KM_IO, err);
}

static void damage_is_told_and_never_written_over(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char name[256], path[512];
    add("one", 0, 3000);
    assert_int_equal(list_folder("hashes-", name, false), 1);
    static const long places[] = {0, 20, 4096, 5000, 9000, -1, -3000};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        change_byte(name, places[i], 0x10);
        expect_failure(KM_FORMAT, "damaged");
        assert_int_equal(add_limited("two", 0, 5, KM_BASELINE_MAX_BYTES, &err), KM_FORMAT);
        change_byte(name, places[i], 0x10);
    }
    static const long words[] = {0, 30, 100, 200, -2};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        change_byte("current", words[i], 0x04);
        expect_failure(KM_FORMAT, "damaged");
        assert_int_equal(add_limited("two", 0, 5, KM_BASELINE_MAX_BYTES, &err), KM_FORMAT);
        change_byte("current", words[i], 0x04);
    }
    km_baseline_close(open_store());
    (void)snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(truncate(path, 4096), 0);
    expect_failure(KM_FORMAT, "damaged");
    assert_int_equal(unlink(path), 0);
    expect_failure(KM_FORMAT, "is missing");
    (void)snprintf(path, sizeof path, "%s/current", folder);
    assert_int_equal(truncate(path, 0), 0);
    expect_failure(KM_FORMAT, "damaged");
}

static void another_version_is_told(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    add("one", 0, 3);
    change_byte("current", (long)strlen("komainu-baseline "), '1' ^ '2');
    expect_failure(KM_UNSUPPORTED, "format 2");
    assert_int_equal(add_limited("two", 0, 5, KM_BASELINE_MAX_BYTES, &err), KM_UNSUPPORTED);
}

static void what_others_may_write_is_not_trusted(void **state)
{
    (void)state;
    char name[256];
    add("one", 0, 3);
    assert_int_equal(fchmod(dir_fd, 0777), 0);
    expect_failure(KM_DENIED, "other users");
    assert_int_equal(fchmod(dir_fd, 0755), 0);
    km_baseline_close(open_store());
    assert_int_equal(list_folder("hashes-", name, false), 1);
    assert_int_equal(fchmodat(dir_fd, name, 0660, 0), 0);
    expect_failure(KM_DENIED, "other users");
    assert_int_equal(fchmodat(dir_fd, name, 0600, 0), 0);
    assert_int_equal(fchmodat(dir_fd, "current", 0602, 0), 0);
    expect_failure(KM_DENIED, "other users");
}

static void a_link_is_not_followed(void **state)
{
    (void)state;
    add("one", 0, 3);
    assert_int_equal(syscall(SYS_renameat, dir_fd, "current", dir_fd, "elsewhere"), 0);
    assert_int_equal(symlinkat("elsewhere", dir_fd, "current"), 0);
    expect_failure(KM_IO, "current");
}

static void full_is_told_and_leaves_the_old_state(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    add("one", 0, 100);
    assert_int_equal(add_limited("two", 100, 30000, 64 << 10, &err), KM_LIMIT);
    assert_non_null(strstr(err.text, "full"));
    assert_int_equal(list_folder("", NULL, false), 3); /* current, hashes, lock */
    struct km_baseline *baseline = open_store();
    assert_int_equal(km_baseline_image_count(baseline), 1);
    assert_false(has(baseline, 200));
    km_baseline_close(baseline);
}

static void one_writer_at_a_time(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    add("one", 0, 3);
    int lock = openat(dir_fd, "lock", O_RDWR | O_CLOEXEC);
    assert_int_equal(flock(lock, LOCK_EX), 0);
    assert_int_equal(add_limited("two", 0, 5, KM_BASELINE_MAX_BYTES, &err), KM_CONFLICT);
    assert_int_equal(km_baseline_remove(dir_fd, "one", &err), KM_CONFLICT);
    km_baseline_close(open_store()); /* readers do not care */
    close(lock);
    add("two", 0, 5);
}

/* Kills a writer before each of its calls that change the disk. Each time the store is the one before or the one after,
 * whole, and the next writer works. */
static void kill_everywhere(enum km_code (*change)(struct km_err *err), enum km_code (*undo)(struct km_err *err),
                            bool (*is_done)(const struct km_baseline *baseline))
{
    struct km_err err = KM_ERR_INIT;
    bool survived = false;
    int deaths = 0, before = 0, after = 0;
    for (int n = 0; !survived; n++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            struct km_err child_err = KM_ERR_INIT;
            calls_until_death = n;
            _exit(change(&child_err) == KM_OK ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        survived = WIFEXITED(status);
        if (survived)
            assert_int_equal(WEXITSTATUS(status), 0);
        deaths += !survived;
        struct km_baseline *baseline = open_store();
        bool done = is_done(baseline);
        km_baseline_close(baseline);
        before += !done;
        after += done;
        if (survived)
            assert_true(done);
        if (done)
            assert_ok(undo(&err), err);
    }
    assert_true(deaths > 10);
    assert_true(before > 5);
    assert_true(after > 1); /* also deaths behind the rename */
    assert_int_equal(list_folder("", NULL, false), 3);
}

static enum km_code add_two(struct km_err *err)
{
    return add_limited("two", 500, 1500, KM_BASELINE_MAX_BYTES, err);
}

static enum km_code remove_two(struct km_err *err)
{
    return km_baseline_remove(dir_fd, "two", err);
}

static bool has_two(const struct km_baseline *baseline)
{
    bool two = km_baseline_image_count(baseline) == 2;
    for (uint32_t i = 0; i < 1500; i++)
        assert_int_equal(has(baseline, i), i < 1000 || two);
    assert_int_equal(km_baseline_file_count(baseline), two ? 1500 : 1000);
    return two;
}

static bool has_no_two(const struct km_baseline *baseline)
{
    return !has_two(baseline);
}

static void a_killed_add_leaves_the_state_before_or_after(void **state)
{
    (void)state;
    add("one", 0, 1000);
    kill_everywhere(add_two, remove_two, has_two);
}

static void a_killed_removal_leaves_the_state_before_or_after(void **state)
{
    (void)state;
    add("one", 0, 1000);
    add("two", 500, 1500);
    kill_everywhere(remove_two, add_two, has_no_two);
}

static void *look_up(void *argument)
{
    const struct km_baseline *baseline = argument;
    size_t wrong = 0;
    for (uint32_t i = 0; i < 4000; i++)
        wrong += has(baseline, i) != (i < 2000);
    return (void *)(uintptr_t)wrong;
}

static void many_threads_may_ask(void **state)
{
    (void)state;
    pthread_t threads[4];
    add("one", 0, 2000);
    struct km_baseline *baseline = open_store();
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, look_up, baseline), 0);
    for (size_t i = 0; i < 4; i++) {
        void *wrong;
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    km_baseline_close(baseline);
}

static void the_folder_is_the_users(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char path[KM_BASELINE_PATH_BYTES], store[KM_BASELINE_PATH_BYTES + 1];
    assert_ok(km_baseline_path("here", path, &err), err);
    assert_string_equal(path, "here");
    memset(store, 'a', sizeof store - 1);
    store[sizeof store - 1] = '\0';
    assert_int_equal(km_baseline_path(store, path, &err), KM_LIMIT);
    (void)setenv("XDG_STATE_HOME", "/state", 1);
    assert_ok(km_baseline_path(NULL, path, &err), err);
    assert_string_equal(path, geteuid() == 0 ? "/var/lib/komainu/baseline" : "/state/komainu/baseline");
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, make_folder, drop_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_was_added_is_known_and_nothing_else),
        STORE_TEST(doubles_count_once),
        STORE_TEST(removing_takes_exactly_what_nobody_else_has),
        STORE_TEST(what_is_stored_with_an_image_comes_and_goes_with_it),
        STORE_TEST(no_baseline_is_said_so),
        STORE_TEST(damage_is_told_and_never_written_over),
        STORE_TEST(another_version_is_told),
        STORE_TEST(what_others_may_write_is_not_trusted),
        STORE_TEST(a_link_is_not_followed),
        STORE_TEST(full_is_told_and_leaves_the_old_state),
        STORE_TEST(one_writer_at_a_time),
        STORE_TEST(a_killed_add_leaves_the_state_before_or_after),
        STORE_TEST(a_killed_removal_leaves_the_state_before_or_after),
        STORE_TEST(many_threads_may_ask),
        cmocka_unit_test(the_folder_is_the_users),
    };
    return KM_RUN_TESTS(tests);
}
