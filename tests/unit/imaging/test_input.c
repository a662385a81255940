#define KM_TEST_NAME "input"
#include "../cm.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "container/imaging/input.h"
#include "memfile.h"

static int open_pipe(const char *text)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(write(ends[1], text, strlen(text)), strlen(text));
    (void)close(ends[1]);
    return ends[0];
}

static void files_are_read_at_any_offset(void **state)
{
    (void)state;
    struct km_input input;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_input_open(&input, memfile_open("0123456789", 10), NULL, &err), err);
    assert_int_equal(input.bytes, 10);
    char out[3];
    assert_ok(km_input_read(&input, 7, out, 3, &err), err);
    assert_memory_equal(out, "789", 3);
    assert_int_equal(km_input_read(&input, 8, out, 3, &err), KM_IO); /* it has become shorter */
    km_input_close(&input);
    km_input_close(&input);
}

static void pipes_are_stored_first(void **state)
{
    (void)state;
    struct km_input input;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_input_open(&input, open_pipe("from a pipe"), NULL, &err), err);
    assert_int_equal(input.bytes, 11);
    char out[4];
    assert_ok(km_input_read(&input, 7, out, 4, &err), err);
    assert_memory_equal(out, "pipe", 4);
    km_input_close(&input);
}

static void what_cannot_be_read_is_refused(void **state)
{
    (void)state;
    struct km_input input = KM_INPUT_CLOSED;
    struct km_err err = KM_ERR_INIT;
    assert_int_equal(km_input_open(&input, open("/", O_RDONLY | O_CLOEXEC), NULL, &err), KM_UNSUPPORTED);
    assert_int_equal(km_input_open(&input, -1, NULL, &err), KM_IO);
    const char *folder = getenv("TMPDIR");
    char *before = folder ? strdup(folder) : NULL;
    setenv("TMPDIR", "/no/such/folder", 1);
    assert_int_equal(km_input_open(&input, open_pipe("x"), NULL, &err), KM_NOTFOUND);
    assert_non_null(strstr(err.text, "/no/such/folder"));
    if (before)
        setenv("TMPDIR", before, 1);
    else
        unsetenv("TMPDIR");
    free(before);
    struct km_cancel cancel = KM_CANCEL_INIT;
    km_cancel_request(&cancel);
    assert_int_equal(km_input_open(&input, open_pipe("x"), &cancel, &err), KM_CANCELLED);
    assert_int_equal(input.fd, -1);
}

static void windows_move_forward(void **state)
{
    (void)state;
    static uint8_t bytes[600000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7 >> 3);
    struct km_input input;
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_input_open(&input, memfile_open(bytes, sizeof bytes), NULL, &err), err);
    static const uint64_t distances[] = {1, 100000};
    for (size_t i = 0; i < 2; i++) {
        struct km_input_window window;
        assert_ok(km_input_window_init(&window, &input, distances[i], &err), err);
        for (uint64_t offset = 0; offset < sizeof bytes; offset += 99991) {
            assert_ok(km_input_window_move(&window, offset, &err), err);
            assert_int_equal(window.begin, offset);
            assert_true(window.length >= 1 && window.length <= KM_INPUT_WINDOW_BYTES);
            assert_memory_equal(window.bytes, bytes + offset, window.length);
        }
        km_input_window_done(&window);
    }
    km_input_close(&input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_are_read_at_any_offset),
        cmocka_unit_test(pipes_are_stored_first),
        cmocka_unit_test(what_cannot_be_read_is_refused),
        cmocka_unit_test(windows_move_forward),
    };
    return KM_RUN_TESTS(tests);
}
