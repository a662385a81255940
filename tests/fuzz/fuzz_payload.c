/* The search behind scripts and programs: nothing is lost of the file, memory comes back, and the same payloads are
 * found however the bytes come. */
#include <string.h>

#include "container/source/payload.h"
#include "container/source/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUDGET ((size_t)16 << 20)

struct input {
    const uint8_t *data;
    size_t size, at, step;
};

static enum km_code read_input(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    struct input *input = context;
    (void)err;
    size_t take = input->size - input->at;
    take = take < input->step ? take : input->step;
    take = take < size ? take : size;
    memcpy(buffer, input->data + input->at, take);
    input->at += take;
    *out_length = take;
    return KM_OK;
}

struct outcome {
    unsigned members, faults;
    uint64_t bytes, sum;
};

static enum km_code on_fault(void *context, const struct km_fault *fault, struct km_err *err)
{
    struct outcome *outcome = context;
    (void)fault, (void)err;
    outcome->faults++;
    return KM_OK;
}

static struct outcome search(const uint8_t *data, size_t size, size_t step, bool look_only)
{
    struct km_err err = KM_ERR_INIT;
    struct outcome outcome = {0};
    size_t memory = BUDGET, head = size < KM_PAYLOAD_HEAD_BYTES ? size : KM_PAYLOAD_HEAD_BYTES;
    const struct km_inflate_limits limits = {.max_ratio = 100, .grace_bytes = 1 << 20, .memory_left = &memory};
    struct km_payload_place place = km_payload_expect(data, head, size);
    if (place.head == KM_PAYLOAD_NONE)
        return outcome;
    struct input input = {.data = data, .size = size, .step = step};
    struct km_stream *stream = km_stream_new_callback(&(struct km_stream_callback){&input, read_input, NULL}, &err);
    struct km_members *members = stream ? km_payload_new(place, stream, &limits, look_only, &err) : NULL;
    struct km_member member;
    bool found = members != NULL;
    if (members)
        members->faults = (struct km_fault_sink){&outcome, on_fault};
    while (found && members->next(members, &member, &found, &err) == KM_OK && found) {
        struct km_piece piece = {.length = 1};
        outcome.members++;
        while (piece.length > 0 && members->read(members, &piece, &err) == KM_OK) {
            outcome.bytes += piece.length;
            for (uint64_t i = 0; i < piece.length; i++)
                outcome.sum = outcome.sum * 31 + ((const uint8_t *)piece.bytes)[i];
        }
    }
    KM_ASSERT(!look_only || outcome.members == 0);
    if (members) {
        KM_ASSERT(stream->position == size); /* to its end, whatever was found */
        members->close(members);
    }
    KM_ASSERT(memory == BUDGET);
    km_stream_close(stream);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct outcome whole = search(data, size, SIZE_MAX, false), parts = search(data, size, 777, false);
    KM_ASSERT(whole.members == parts.members && whole.bytes == parts.bytes && whole.sum == parts.sum);
    (void)search(data, size, 5000, true);
    return 0;
}
