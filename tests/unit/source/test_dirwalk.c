#define KM_TEST_NAME "dirwalk"
#include "../cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "archives.h"

static struct seen seen; /* large: not for the stack */

struct folder {
    char path[64];
    int fd;
};

static int set_up(void **state)
{
    struct folder *folder = calloc(1, sizeof *folder);
    assert_non_null(folder);
    (void)snprintf(folder->path, sizeof folder->path, "/tmp/km-dirwalk-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    folder->fd = open(folder->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(folder->fd >= 0);
    *state = folder;
    return 0;
}

static int tear_down(void **state)
{
    struct folder *folder = *state;
    char command[128];
    (void)close(folder->fd);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder->path);
    int result = system(command); /* NOLINT(cert-env33-c): the path is our own */
    free(folder);
    return result;
}

static void write_file(const struct folder *folder, const char *name, const char *text)
{
    int fd = openat(folder->fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
}

static void see(const struct folder *folder)
{
    char target[128];
    (void)snprintf(target, sizeof target, "dir:%s", folder->path);
    see_target(target, NULL, &seen);
}

static void only_regular_files_are_opened(void **state)
{
    const struct folder *folder = *state;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    write_file(folder, "file", "12345");
    assert_int_equal(mkfifoat(folder->fd, "fifo", 0600), 0); /* an open would wait for ever */
    assert_int_equal(symlinkat("loop", folder->fd, "loop"), 0);
    assert_int_equal(symlinkat("/etc/passwd", folder->fd, "outside"), 0);
    assert_int_equal(symlinkat("..", folder->fd, "up"), 0);
    (void)snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", folder->path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    see(folder);
    assert_int_equal(close(fd), 0);
    assert_int_equal(seen.code, KM_OK);
    assert_int_equal(seen.gap_count, 0);
    assert_int_equal(seen.entry_count, 6);
    assert_string_equal(seen.scheme, "dir");
    assert_int_equal(seen_find(&seen, "fifo")->entry.type, KM_ENTRY_FIFO);
    assert_int_equal(seen_find(&seen, "socket")->entry.type, KM_ENTRY_SOCKET);
    assert_int_equal(seen_find(&seen, "outside")->entry.type, KM_ENTRY_SYMLINK);
    assert_string_equal(seen_find(&seen, "outside")->link, "/etc/passwd");
    assert_int_equal(seen.coverage.bytes_total, 5);
    assert_int_equal(seen_find(&seen, "file")->entry.mode, 0640);
}

static void hard_links_are_read_once(void **state)
{
    const struct folder *folder = *state;
    write_file(folder, "a", "12345");
    assert_int_equal(linkat(folder->fd, "a", folder->fd, "b", 0), 0);
    see(folder);
    assert_int_equal(seen_find(&seen, "a")->entry.type, KM_ENTRY_FILE);
    assert_int_equal(seen_find(&seen, "b")->entry.type, KM_ENTRY_HARDLINK);
    assert_string_equal(seen_find(&seen, "b")->link, "a");
    assert_int_equal(seen.coverage.bytes_total, 5);
}

static void holes_are_told_as_holes(void **state)
{
    const struct folder *folder = *state;
    write_file(folder, "sparse", "head");
    int fd = openat(folder->fd, "sparse", O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, "tail", 4, (off_t)8 << 30), 4);
    assert_int_equal(close(fd), 0);
    see(folder);
    const struct seen_entry *sparse = seen_find(&seen, "sparse");
    assert_non_null(sparse);
    assert_int_equal(sparse->delivered, ((uint64_t)8 << 30) + 4);
    assert_true(sparse->complete);
    if (sparse->holes == 0) {
        print_message("this file system keeps no holes: only the length was checked\n");
        skip();
    }
    assert_true(sparse->holes > (uint64_t)7 << 30);
}

static void order_is_that_of_names(void **state)
{
    const struct folder *folder = *state;
    write_file(folder, "z", "1");
    write_file(folder, "\xff\n\033[31m", "2");
    assert_int_equal(mkdirat(folder->fd, "m", 0700), 0);
    write_file(folder, "m/b", "3");
    write_file(folder, "m/a", "4");
    write_file(folder, ".wh.a", "5"); /* a directory has no lower layers: an ordinary name */
    see(folder);
    static const char *const order[] = {".wh.a", "m", "m/a", "m/b", "z", "\xff\n\033[31m"};
    assert_int_equal(seen.entry_count, 6);
    for (size_t i = 0; i < 6; i++)
        assert_string_equal(seen.entries[i].path, order[i]);
    assert_int_equal(seen.entries[0].entry.type, KM_ENTRY_FILE);
}

static void too_deep_is_a_gap(void **state)
{
    const struct folder *folder = *state;
    int fd = fcntl(folder->fd, F_DUPFD_CLOEXEC, 0);
    for (int i = 0; i < 300; i++) {
        assert_int_equal(mkdirat(fd, "d", 0700), 0);
        int next = openat(fd, "d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        assert_true(next >= 0);
        assert_int_equal(close(fd), 0);
        fd = next;
    }
    assert_int_equal(close(fd), 0);
    see(folder);
    assert_int_equal(seen.code, KM_OK);
    assert_non_null(seen_gap(&seen, KM_GAP_LIMIT));
    assert_true(seen.entry_count >= 256 && seen.entry_count < 300);
}

static void an_oci_layout_needs_its_index(void **state)
{
    const struct folder *folder = *state;
    char target[128];
    assert_int_equal(mkdirat(folder->fd, "blobs", 0700), 0);
    assert_int_equal(mkdirat(folder->fd, "blobs/sha256", 0700), 0);
    (void)snprintf(target, sizeof target, "oci-dir:%s", folder->path);
    see_target(target, NULL, &seen);
    assert_int_equal(seen.code, KM_FORMAT);
    write_file(folder, "index.json", "{\"schemaVersion\":2,\"manifests\":[]}");
    assert_int_equal(mkfifoat(folder->fd, "blobs/sha256/pipe", 0600), 0);
    see_target(target, NULL, &seen);
    const struct seen_gap *gap = seen_gap(&seen, KM_GAP_UNREADABLE);
    assert_non_null(gap);
    assert_string_equal(gap->where, "blobs/sha256/pipe");
    write_file(folder, "oci-layout", "{}");
    see_target(folder->path, NULL, &seen); /* no scheme: the content tells */
    assert_string_equal(seen.scheme, "oci-dir");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_regular_files_are_opened, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hard_links_are_read_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(holes_are_told_as_holes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(order_is_that_of_names, set_up, tear_down),
        cmocka_unit_test_setup_teardown(too_deep_is_a_gap, set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_oci_layout_needs_its_index, set_up, tear_down),
    };
    return KM_RUN_TESTS(tests);
}
