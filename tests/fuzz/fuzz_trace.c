/* The trace reader on whole files, and the event decoder on bare payloads (which the checksum would otherwise guard);
 * what is decoded goes through the deployment and the assembler and is encoded again. */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/trace/deploy.h"
#include "daemon/trace/episode.h"
#include "daemon/trace/trace_codec.h"
#include "daemon/trace/trace_file.h"

static enum km_code take_episode(void *context, const struct km_episode *episode, struct km_err *err)
{
    (void)context;
    (void)err;
    if (episode->count > KM_EPISODE_MAX_CALLS || episode->window_count > KM_EPISODE_MAX_WINDOWS)
        abort();
    return KM_OK;
}

static enum km_code take_event(void *context, const struct km_event *event, struct km_err *err)
{
    return km_assembler_event(context, event, err);
}

static bool knows_even(void *context, uint16_t role, unsigned long long window, unsigned space)
{
    (void)context;
    (void)role;
    (void)space;
    return window % 2 == 0;
}

static void read_payload(const uint8_t *data, size_t size, struct km_deploy *deploy)
{
    struct km_err err = KM_ERR_INIT;
    struct km_trace_context in = {0}, out = {0}, again = {0};
    struct km_event event, copy;
    const uint8_t *at = data, *end = data + size;
    struct km_buf bytes;
    km_buf_init(&bytes, KM_TRACE_MAX_BLOCK_BYTES);
    while (km_trace_decode(&in, &at, end, &event)) {
        km_buf_clear(&bytes);
        if (km_deploy_event(deploy, &event, &err) != KM_OK || km_trace_encode(&out, &event, &bytes, &err) != KM_OK)
            break;
        const uint8_t *back = (const uint8_t *)bytes.data;
        if (!km_trace_decode(&again, &back, back + bytes.length, &copy) || copy.time_ns != event.time_ns ||
            copy.tid != event.tid || copy.kind != event.kind)
            abort();
    }
    km_buf_done(&bytes);
}

static void read_file(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || write(fd, data, size) != (ssize_t)size || lseek(fd, 0, SEEK_SET) != 0)
        abort();
    struct km_trace_reader *reader = km_trace_reader_new(fd, &err);
    struct km_event event;
    while (reader && km_trace_reader_next(reader, &event, &err) == KM_OK)
        ;
    km_trace_reader_free(reader);
    (void)close(fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_episode_sink sink = {NULL, take_episode};
    struct km_assembler *assembler = km_assembler_new(&sink, &err);
    struct km_deploy_config config = {.knows_window = knows_even, .tap_share = 20000};
    struct km_event_sink events = {assembler, take_event};
    struct km_deploy *deploy = km_deploy_new(&config, &events, &err);
    if (!assembler || !deploy)
        abort();
    struct km_episode_rule rule;
    km_episode_rule_default(&rule);
    km_deploy_set_rule(deploy, 1, &rule);
    km_assembler_set_rule(assembler, 1, &rule);
    read_file(data, size);
    read_payload(data, size, deploy);
    if (km_deploy_finish(deploy, &err) != KM_OK || km_assembler_finish(assembler, &err) != KM_OK)
        abort();
    km_deploy_free(deploy);
    km_assembler_free(assembler);
    return 0;
}
