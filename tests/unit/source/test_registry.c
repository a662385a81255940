#define KM_TEST_NAME "registry"
#include "../cm.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container/source/registry.h"
#include "container/source/stream.h"

/* A folder with a shell script that stands in for skopeo; TMPDIR lies in it, too. */
struct fixture {
    char folder[64], program[96], temporary[96];
};

static void fixture_init(struct fixture *f, const char *script)
{
    *f = (struct fixture){.folder = "/tmp/km-registry-XXXXXX"};
    assert_non_null(mkdtemp(f->folder));
    (void)snprintf(f->program, sizeof f->program, "%s/skopeo", f->folder);
    (void)snprintf(f->temporary, sizeof f->temporary, "%s/tmp", f->folder);
    assert_int_equal(mkdir(f->temporary, 0700), 0);
    assert_int_equal(setenv("TMPDIR", f->temporary, 1), 0);
    FILE *file = fopen(f->program, "we");
    assert_non_null(file);
    assert_true(fprintf(file, "#!/bin/sh\n%s\n", script) > 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(f->program, 0700), 0);
}

static unsigned count_files(const char *folder)
{
    unsigned count = 0;
    DIR *directory = opendir(folder);
    assert_non_null(directory);
    for (const struct dirent *entry; (entry = readdir(directory));)
        count += entry->d_name[0] != '.';
    (void)closedir(directory);
    return count;
}

/* Nothing of the transfer may be left. */
static void fixture_done(struct fixture *f)
{
    assert_int_equal(count_files(f->temporary), 0);
    assert_int_equal(rmdir(f->temporary), 0);
    assert_int_equal(unlink(f->program), 0);
    assert_int_equal(rmdir(f->folder), 0);
}

/* The stream's text, or "code: text". */
static void fetch(const struct km_registry_request *request, char *out, size_t out_bytes)
{
    struct km_err err = KM_ERR_INIT;
    struct km_stream *stream KM_CLEANUP(km_stream_cleanup) = NULL;
    size_t length = 0;
    enum km_code code = km_registry_open(request, &stream, &err);
    if (code == KM_OK)
        code = km_stream_read(stream, out, out_bytes - 1, &length, &err);
    out[length] = '\0';
    if (code != KM_OK)
        (void)snprintf(out, out_bytes, "%s: %s", km_code_to_string(code), err.text);
}

static void expect(const char *script, const struct km_registry_request *base, const char *expected)
{
    struct fixture f;
    fixture_init(&f, script);
    struct km_registry_request request = *base;
    request.program = f.program;
    char got[1024];
    fetch(&request, got, sizeof got);
    assert_string_equal(got, expected);
    fixture_done(&f);
}

static void arguments(void **state)
{
    (void)state;
    static const char print[] = "echo \"$@\"";
    expect(print, &(struct km_registry_request){.reference = "r:5000/x"},
           "copy --quiet docker://r:5000/x:latest docker-archive:/dev/stdout\n");
    expect(print,
           &(struct km_registry_request){
               .reference = "r/x:1", .platform = "linux/arm/v7", .auth_file = "/a b", .no_tls = true},
           "--override-os linux --override-arch arm --override-variant v7 copy --quiet --src-authfile /a b "
           "--src-tls-verify=false docker://r/x:1 docker-archive:/dev/stdout\n");
    expect(print, &(struct km_registry_request){.reference = "x", .platform = "linux/arm64"},
           "--override-os linux --override-arch arm64 copy --quiet docker://x:latest docker-archive:/dev/stdout\n");
}

static void what_is_refused_before_anything_starts(void **state)
{
    (void)state;
    static const char *const platforms[] = {"", "linux", "linux/", "/amd64", "a/b/c/d", "linux/--x", "Linux/amd64"};
    for (size_t i = 0; i < sizeof platforms / sizeof platforms[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_stream *stream = NULL;
        const struct km_registry_request request = {
            .reference = "x", .platform = platforms[i], .program = "/bin/false"};
        assert_int_equal(km_registry_open(&request, &stream, &err), KM_FORMAT);
    }
    expect("echo started", &(struct km_registry_request){.reference = "--option"},
           "format: '--option' is no image reference");
    struct km_err err = KM_ERR_INIT;
    struct km_stream *stream = NULL;
    assert_int_equal(setenv("TMPDIR", "/nonexistent", 1), 0);
    assert_int_equal(km_registry_open(&(struct km_registry_request){.reference = "x"}, &stream, &err), KM_NOTFOUND);
    assert_int_equal(setenv("TMPDIR", "/tmp", 1), 0);
    const struct km_registry_request no_program = {.reference = "x", .program = "komainu-no-skopeo"};
    assert_int_equal(km_registry_open(&no_program, &stream, &err), KM_NOTFOUND);
    assert_string_equal(err.text, "cannot start komainu-no-skopeo: No such file or directory");
}

/* skopeo writes the end of an archive also when it fails. */
static void failures_by_status(void **state)
{
    (void)state;
    const struct km_registry_request request = {.reference = "x"};
    expect(
        "head -c 3072 /dev/zero; echo 'time=\"t\" level=fatal msg=\"reading manifest: manifest unknown\"' >&2; exit 1",
        &request, "not-found: skopeo: reading manifest: manifest unknown");
    expect("echo 'msg: unauthorized' >&2; exit 1", &request, "denied: skopeo: msg: unauthorized");
    expect("echo 'something else' >&2; exit 2", &request, "io: skopeo: something else");
    expect("exit 2", &request, "io: skopeo ended with status 2");
    expect("kill -9 $$", &request, "io: skopeo ended with signal 9");
    expect("printf 'all is well'; echo warning >&2", &request, "all is well");
}

/* More than the head that opening waits for, then a failure: reading to the end shows it. */
static void a_failure_half_way_comes_at_the_end(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "head -c 1000000 /dev/zero; echo 'connection reset' >&2; exit 1");
    struct km_err err = KM_ERR_INIT;
    struct km_stream *stream = NULL;
    const struct km_registry_request request = {.reference = "x", .program = f.program};
    assert_ok(km_registry_open(&request, &stream, &err), err);
    uint64_t skipped = 0;
    assert_ok(km_stream_skip(stream, 1000000, &skipped, &err), err);
    assert_int_equal(skipped, 1000000);
    assert_int_equal(km_stream_skip(stream, 1, &skipped, &err), KM_IO);
    assert_string_equal(err.text, "skopeo: connection reset");
    km_stream_close(stream);
    fixture_done(&f);
}

static void temporary_files_go_with_the_stream(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, "mkdir -p \"$TMPDIR/a/b\"; echo x > \"$TMPDIR/a/b/layer\"; head -c 20000 /dev/zero; "
                     "echo \"$TMPDIR\" >&2; sleep 1000");
    struct km_err err = KM_ERR_INIT;
    struct km_stream *stream = NULL;
    struct km_cancel cancel = KM_CANCEL_INIT;
    const struct km_registry_request request = {.reference = "x", .program = f.program, .cancel = &cancel};
    assert_ok(km_registry_open(&request, &stream, &err), err);
    assert_int_equal(count_files(f.temporary), 1);
    uint64_t skipped = 0;
    km_cancel_request(&cancel);
    assert_int_equal(km_stream_skip(stream, 30000, &skipped, &err), KM_CANCELLED);
    km_stream_close(stream);
    fixture_done(&f);
}

static void the_time_limit_ends_it(void **state)
{
    (void)state;
    expect("sleep 1000", &(struct km_registry_request){.reference = "x", .time_limit_ms = 50},
           "io: skopeo: not done within 0 s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments),
        cmocka_unit_test(what_is_refused_before_anything_starts),
        cmocka_unit_test(failures_by_status),
        cmocka_unit_test(a_failure_half_way_comes_at_the_end),
        cmocka_unit_test(temporary_files_go_with_the_stream),
        cmocka_unit_test(the_time_limit_ends_it),
    };
    return KM_RUN_TESTS(tests);
}
