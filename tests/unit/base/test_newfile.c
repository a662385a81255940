#define KM_TEST_NAME "newfile"
#include "../cm.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/newfile.h"

struct fixture {
    char folder[32];
    char path[64];
    struct km_err err;
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.folder = "/tmp/km-newfile-XXXXXX", .err = KM_ERR_INIT};
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->path, sizeof f->path, "%s/file", f->folder);
}

static unsigned count_files(const struct fixture *f)
{
    unsigned count = 0;
    DIR *directory = opendir(f->folder);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count;
}

static void fixture_done(struct fixture *f)
{
    (void)unlink(f->path);
    assert_int_equal(rmdir(f->folder), 0); /* nothing temporary is left */
}

static void expect_content(struct fixture *f, const char *expected)
{
    struct km_buf buf;
    km_buf_init(&buf, (size_t)1 << 20);
    assert_ok(km_buf_append_file(&buf, f->path, &f->err), f->err);
    assert_string_equal(km_buf_text(&buf), expected);
    km_buf_done(&buf);
}

static struct km_newfile *open_with(struct fixture *f, const char *text)
{
    struct km_newfile *file = km_newfile_open(f->path, &f->err);
    assert_non_null(file);
    assert_ok(km_newfile_write(file, text, strlen(text), &f->err), f->err);
    return file;
}

static void a_file_appears_when_it_is_complete(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct km_newfile *file = open_with(&f, "new");
    assert_int_equal(access(f.path, F_OK), -1);
    assert_int_equal(count_files(&f), 1); /* the temporary one */
    assert_ok(km_newfile_commit(file, &f.err), f.err);
    expect_content(&f, "new");
    km_newfile_close(file);
    expect_content(&f, "new");
    fixture_done(&f);
}

static void without_commit_the_old_file_stays(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct km_newfile *file = open_with(&f, "old");
    assert_ok(km_newfile_commit(file, &f.err), f.err);
    km_newfile_close(file);
    file = open_with(&f, "half of the ne");
    km_newfile_close(file);
    expect_content(&f, "old");
    assert_int_equal(count_files(&f), 1);
    fixture_done(&f);
}

static void a_new_file_has_the_mode_of_the_umask(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    mode_t before = umask(027);
    struct km_newfile *file = open_with(&f, "x");
    assert_int_equal(umask(before), 027);
    assert_ok(km_newfile_commit(file, &f.err), f.err);
    km_newfile_close(file);
    struct stat status;
    assert_int_equal(stat(f.path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0640);
    fixture_done(&f);
}

static void more_than_the_buffer_holds(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct km_newfile *file = open_with(&f, "");
    struct km_buf expected;
    km_buf_init(&expected, (size_t)1 << 20);
    for (unsigned i = 0; i < 30000; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "%u;", i);
        assert_ok(km_newfile_write(file, text, (size_t)length, &f.err), f.err);
        assert_ok(km_buf_append(&expected, text, (size_t)length, &f.err), f.err);
    }
    assert_ok(km_newfile_commit(file, &f.err), f.err);
    km_newfile_close(file);
    expect_content(&f, km_buf_text(&expected));
    km_buf_done(&expected);
    fixture_done(&f);
}

static void folders_that_are_not_there(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    assert_null(km_newfile_open("/nonexistent/file", &err));
    assert_int_equal(err.code, KM_NOTFOUND);
    assert_string_equal(err.text, "cannot write /nonexistent/file: No such file or directory");
    km_newfile_close(NULL);
}

static void devices_are_written_in_place(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_newfile *file = km_newfile_open("/dev/null", &err);
    assert_non_null(file);
    assert_ok(km_newfile_write(file, "gone", 4, &err), err);
    assert_ok(km_newfile_commit(file, &err), err);
    km_newfile_close(file);
    struct stat status;
    assert_int_equal(stat("/dev/null", &status), 0);
    assert_true(S_ISCHR(status.st_mode));
}

static void a_full_device_is_told(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_newfile *file = km_newfile_open("/dev/full", &err);
    assert_non_null(file);
    assert_ok(km_newfile_write(file, "lost", 4, &err), err); /* only buffered */
    assert_int_equal(km_newfile_commit(file, &err), KM_IO);
    assert_string_equal(err.text, "cannot write /dev/full: No space left on device");
    km_newfile_close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_appears_when_it_is_complete),
        cmocka_unit_test(without_commit_the_old_file_stays),
        cmocka_unit_test(a_new_file_has_the_mode_of_the_umask),
        cmocka_unit_test(more_than_the_buffer_holds),
        cmocka_unit_test(folders_that_are_not_there),
        cmocka_unit_test(devices_are_written_in_place),
        cmocka_unit_test(a_full_device_is_told),
    };
    return KM_RUN_TESTS(tests);
}
