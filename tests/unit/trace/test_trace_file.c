#define KM_TEST_NAME "trace_file"
#include "../cm.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/trace/trace_file.h"

static int new_file(void)
{
    int fd = memfd_create("trace", MFD_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static struct km_bytes text(const char *t)
{
    return (struct km_bytes){t, strlen(t)};
}

/* One event of every kind, with values at their limits. */
static size_t make_events(struct km_event *out)
{
    size_t n = 0;
    out[n] = (struct km_event){.kind = KM_EVENT_ROLE, .role = 3, .time_ns = 5};
    out[n].role_info = (struct km_event_role){
        .unit = text("nginx.service"), .name = text("nginx+"), .exe = text("/usr/sbin/nginx"), .build_id_length = 20};
    memset(out[n++].role_info.build_id, 0xab, 20);
    out[n] = (struct km_event){.kind = KM_EVENT_THREAD, .role = 3, .tid = 9, .tgid = 8, .time_ns = UINT64_MAX};
    out[n++].thread =
        (struct km_event_thread){.parent_tid = UINT32_MAX, .uid = 33, .cgroup = UINT64_MAX, .comm = text("nginx")};
    out[n] = (struct km_event){.kind = KM_EVENT_CALL, .role = 3, .tid = 9, .tgid = 8, .time_ns = 7, .feed = 1};
    out[n++].call = (struct km_event_call){511, 3, 2, 16};
    out[n] = (struct km_event){.kind = KM_EVENT_CALL, .role = 3, .tid = 9, .tgid = 8, .time_ns = 8, .feed = 1};
    out[n++].call = (struct km_event_call){.number = 1};
    static const enum km_event_kind states[] = {KM_EVENT_WINDOW, KM_EVENT_EPISODE, KM_EVENT_END};
    for (int i = 0; i < 3; i++) {
        out[n] = (struct km_event){.kind = (uint8_t)states[i], .role = 3, .tid = 9, .tgid = 8, .time_ns = 1};
        out[n].state = (struct km_thread_state){
            .window = KM_WINDOW_MASK, .recent = UINT64_MAX, .calls = UINT32_MAX, .misses = 1, .filled = 6, .space = 3};
        out[n].state.set[7] = UINT64_MAX;
        out[n++].state.pairs[0] = 1;
    }
    out[n] = (struct km_event){.kind = KM_EVENT_LANDMARK, .role = 3, .tid = 9, .tgid = 8, .time_ns = 1};
    out[n].landmark = (struct km_event_landmark){.kind = KM_LANDMARK_CONNECT,
                                                 .zone = KM_ZONE_RELATIVE,
                                                 .outcome = 3,
                                                 .number = 42,
                                                 .space = 2,
                                                 .flags = UINT32_MAX,
                                                 .value = UINT64_MAX,
                                                 .digest = 1,
                                                 .path = text("/a\nb"),
                                                 .path2 = text("c")};
    out[n++].landmark.address = (struct km_address){.family = 2, .port = 65535, .length = 4, .bytes = {127, 0, 0, 1}};
    out[n] = (struct km_event){.kind = KM_EVENT_STREAM, .tid = 9, .time_ns = 1};
    out[n++].stream = (struct km_event_stream){KM_FEED_ESCALATION, 1};
    out[n] = (struct km_event){.kind = KM_EVENT_RATE, .role = 255, .time_ns = 1};
    out[n++].rate = (struct km_event_rate){1, 2, 3, 4, UINT64_MAX};
    out[n] = (struct km_event){.kind = KM_EVENT_LOSS, .time_ns = 1};
    out[n++].loss = (struct km_event_loss){UINT64_MAX, UINT16_MAX};
    return n;
}

static void assert_same_text(struct km_bytes a, struct km_bytes b)
{
    assert_int_equal(a.length, b.length);
    if (a.length > 0)
        assert_memory_equal(a.data, b.data, a.length);
}

static void assert_same_event(const struct km_event *a, const struct km_event *b)
{
    assert_int_equal(a->kind, b->kind);
    assert_true(a->time_ns == b->time_ns && a->tid == b->tid && a->tgid == b->tgid);
    assert_true(a->role == b->role && a->feed == b->feed);
    if (a->kind == KM_EVENT_CALL)
        assert_memory_equal(&a->call, &b->call, sizeof a->call);
    if (a->kind == KM_EVENT_WINDOW || a->kind == KM_EVENT_EPISODE || a->kind == KM_EVENT_END)
        assert_memory_equal(&a->state, &b->state, sizeof a->state);
    if (a->kind == KM_EVENT_RATE)
        assert_memory_equal(&a->rate, &b->rate, sizeof a->rate);
    if (a->kind == KM_EVENT_LOSS)
        assert_true(a->loss.events == b->loss.events && a->loss.cpu == b->loss.cpu);
    if (a->kind == KM_EVENT_STREAM)
        assert_memory_equal(&a->stream, &b->stream, sizeof a->stream);
    if (a->kind == KM_EVENT_THREAD) {
        assert_same_text(a->thread.comm, b->thread.comm);
        assert_true(a->thread.cgroup == b->thread.cgroup && a->thread.parent_tid == b->thread.parent_tid);
    }
    if (a->kind == KM_EVENT_ROLE) {
        assert_same_text(a->role_info.unit, b->role_info.unit);
        assert_same_text(a->role_info.exe, b->role_info.exe);
        assert_memory_equal(a->role_info.build_id, b->role_info.build_id, 20);
    }
    if (a->kind == KM_EVENT_LANDMARK) {
        assert_same_text(a->landmark.path, b->landmark.path);
        assert_same_text(a->landmark.path2, b->landmark.path2);
        assert_true(a->landmark.value == b->landmark.value && a->landmark.flags == b->landmark.flags);
        assert_int_equal(a->landmark.outcome, b->landmark.outcome);
        assert_int_equal(a->landmark.space, b->landmark.space);
        assert_int_equal(a->landmark.address.port, b->landmark.address.port);
        assert_memory_equal(a->landmark.address.bytes, b->landmark.address.bytes, 4);
    }
}

static void write_events(int fd, int rounds)
{
    struct km_err err = KM_ERR_INIT;
    struct km_event events[16];
    size_t n = make_events(events);
    struct km_trace_writer *writer = km_trace_writer_new(fd, 77, 66, &err);
    assert_non_null(writer);
    for (int r = 0; r < rounds; r++)
        for (size_t i = 0; i < n; i++)
            assert_ok(km_trace_writer_event(writer, &events[i], &err), err);
    assert_ok(km_trace_writer_flush(writer, &err), err);
    km_trace_writer_free(writer);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    int fd = new_file();
    write_events(fd, 400); /* several blocks */
    (void)lseek(fd, 0, SEEK_SET);
    struct km_err err = KM_ERR_INIT;
    struct km_event events[16], event;
    size_t n = make_events(events);
    struct km_trace_reader *reader = km_trace_reader_new(fd, &err);
    assert_non_null(reader);
    for (int r = 0; r < 400; r++)
        for (size_t i = 0; i < n; i++) {
            assert_ok(km_trace_reader_next(reader, &event, &err), err);
            assert_same_event(&event, &events[i]);
        }
    assert_int_equal(km_trace_reader_next(reader, &event, &err), KM_NOTFOUND);
    assert_int_equal(km_trace_reader_next(reader, &event, &err), KM_NOTFOUND);
    struct km_trace_info info;
    km_trace_reader_get_info(reader, &info);
    assert_true(info.wall_ns == 77 && info.monotonic_ns == 66 && info.cut_bytes == 0);
    assert_true(info.blocks > 1);
    km_trace_reader_free(reader);
    close(fd);
}

/* Counts the events that can be read; *out_code says how it ended. */
static size_t read_all(int fd, enum km_code *out_code, uint64_t *out_cut)
{
    struct km_err err = KM_ERR_INIT;
    (void)lseek(fd, 0, SEEK_SET);
    struct km_trace_reader *reader = km_trace_reader_new(fd, &err);
    *out_code = err.code;
    *out_cut = 0;
    if (!reader)
        return 0;
    struct km_event event;
    size_t n = 0;
    while ((*out_code = km_trace_reader_next(reader, &event, &err)) == KM_OK)
        n++;
    struct km_trace_info info;
    km_trace_reader_get_info(reader, &info);
    *out_cut = info.cut_bytes;
    km_trace_reader_free(reader);
    return n;
}

static void a_killed_recorder_loses_what_is_pending_alone(void **state)
{
    (void)state;
    int fd = new_file();
    struct km_err err = KM_ERR_INIT;
    struct km_trace_writer *writer = km_trace_writer_new(fd, 0, 0, &err);
    struct km_event event = {.kind = KM_EVENT_CALL, .tid = 1};
    for (int i = 0; i < 100; i++) { /* ten a second */
        event.time_ns = (uint64_t)i * 100000000;
        assert_ok(km_trace_writer_event(writer, &event, &err), err);
    }
    km_trace_writer_free(writer); /* nothing is flushed: as after kill -9 */
    enum km_code code;
    uint64_t cut;
    size_t n = read_all(fd, &code, &cut);
    assert_int_equal(code, KM_NOTFOUND);
    assert_in_range(n, 90, 99);
    close(fd);
}

static void every_cut_is_survived(void **state)
{
    (void)state;
    int fd = new_file();
    write_events(fd, 1);
    off_t size = lseek(fd, 0, SEEK_END);
    for (off_t keep = size - 1; keep >= 0; keep--) {
        assert_int_equal(ftruncate(fd, keep), 0);
        enum km_code code;
        uint64_t cut;
        size_t n = read_all(fd, &code, &cut);
        if (keep < 40) {
            assert_int_equal(code, KM_FORMAT);
        } else {
            assert_int_equal(code, KM_NOTFOUND);
            assert_true(n < 11); /* of eleven events in two blocks */
            assert_true(cut <= (uint64_t)keep - 40);
        }
    }
    close(fd);
}

/* A changed byte is refused, or makes the last block look unfinished: never read as events. */
static void every_changed_byte_is_noticed(void **state)
{
    (void)state;
    int fd = new_file();
    write_events(fd, 1);
    off_t size = lseek(fd, 0, SEEK_END);
    for (off_t at = 0; at < size; at++) {
        uint8_t byte, changed;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        changed = byte ^ 0x41;
        assert_int_equal(pwrite(fd, &changed, 1, at), 1);
        enum km_code code;
        uint64_t cut;
        size_t n = read_all(fd, &code, &cut);
        assert_true(n < 11);
        assert_true(code == KM_FORMAT || code == KM_UNSUPPORTED || (code == KM_NOTFOUND && cut > 0));
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    }
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(a_killed_recorder_loses_what_is_pending_alone),
        cmocka_unit_test(every_cut_is_survived),
        cmocka_unit_test(every_changed_byte_is_noticed),
    };
    return KM_RUN_TESTS(tests);
}
