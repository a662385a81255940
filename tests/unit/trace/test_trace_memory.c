#define KM_TEST_NAME "trace_memory"
#include "../cm.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../failing.h"
#include "daemon/trace/trace_file.h"

#define EVENTS 50

static struct km_event event_number(unsigned i)
{
    struct km_event event = {.kind = KM_EVENT_CALL, .role = 1, .tid = 9, .tgid = 8, .time_ns = 1000 + i};
    event.call = (struct km_event_call){.number = (uint16_t)(i % 300)};
    return event;
}

static enum km_code write_trace(int fd, struct km_err *err)
{
    KM_CLEANUP(km_trace_writer_cleanup) struct km_trace_writer *writer = km_trace_writer_new(fd, 1, 2, err);
    if (!writer)
        return err->code;
    enum km_code code = KM_OK;
    for (unsigned i = 0; i < EVENTS && code == KM_OK; i++) {
        struct km_event event = event_number(i);
        code = km_trace_writer_event(writer, &event, err);
    }
    return code == KM_OK ? km_trace_writer_flush(writer, err) : code;
}

/* The code at the end: KM_NOTFOUND when all was read. */
static enum km_code read_trace(int fd, unsigned *out_count, struct km_err *err)
{
    KM_CLEANUP(km_trace_reader_cleanup) struct km_trace_reader *reader = km_trace_reader_new(fd, err);
    if (!reader)
        return err->code;
    struct km_event event;
    enum km_code code;
    for (*out_count = 0; (code = km_trace_reader_next(reader, &event, err)) == KM_OK; ++*out_count)
        assert_int_equal(event.call.number, event_number(*out_count).call.number);
    return code;
}

static void every_failed_allocation_of_writing_is_reported(void **state)
{
    (void)state;
    bool whole = false;
    for (int n = 0; n < 1000 && !whole; n++) {
        struct km_err err = KM_ERR_INIT;
        unsigned count = 0;
        int fd = memfd_create("trace", MFD_CLOEXEC);
        assert_true(fd >= 0);
        fail_allocations_after(n);
        enum km_code code = write_trace(fd, &err);
        whole = end_failing() == 0;
        assert_int_equal(code, whole ? KM_OK : KM_NOMEM);
        if (whole) {
            assert_in_range(n, 2, 999);
            assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
            assert_int_equal(read_trace(fd, &count, &err), KM_NOTFOUND);
            assert_int_equal(count, EVENTS);
        }
        assert_int_equal(close(fd), 0);
    }
    assert_true(whole);
}

static void every_failed_allocation_of_reading_is_reported(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    int fd = memfd_create("trace", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_ok(write_trace(fd, &err), err);
    bool whole = false;
    for (int n = 0; n < 1000 && !whole; n++) {
        unsigned count = 0;
        assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
        fail_allocations_after(n);
        enum km_code code = read_trace(fd, &count, &err);
        whole = end_failing() == 0;
        assert_int_equal(code, whole ? KM_NOTFOUND : KM_NOMEM); /* never a shorter trace */
        assert_true(!whole || (count == EVENTS && n >= 2));
    }
    assert_true(whole);
    assert_int_equal(close(fd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_failed_allocation_of_writing_is_reported),
        cmocka_unit_test(every_failed_allocation_of_reading_is_reported),
    };
    return KM_RUN_TESTS(tests);
}
