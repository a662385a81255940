/* The tar header walk and the painter on top of it: offsets ascend, members fit the input, nothing is read outside. */
#include <stdint.h>
#include <string.h>

#include "container/imaging/paint.h"
#include "container/imaging/tarwalk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct memory {
    const uint8_t *bytes;
    size_t length;
};

static enum km_code read_memory(void *context, uint64_t offset, void *out, size_t length, struct km_err *err)
{
    const struct memory *memory = context;
    (void)err;
    KM_ASSERT(offset <= memory->length && length <= memory->length - offset);
    memcpy(out, memory->bytes + offset, length);
    return KM_OK;
}

static void walk_all(const struct km_tarwalk_input *input)
{
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_tarwalk_cleanup) struct km_tarwalk *walk = km_tarwalk_new(input, &err);
    uint64_t behind = 0, count = 0;
    for (;;) {
        struct km_tarwalk_member member;
        bool found;
        KM_ASSERT(km_tarwalk_next(walk, &member, &found, &err) == KM_OK);
        if (!found)
            break;
        KM_ASSERT(member.number == count++);
        KM_ASSERT(member.header_begin >= behind && member.data_begin >= member.header_begin + KM_TARWALK_BLOCK);
        KM_ASSERT(member.data_begin <= input->size_bytes);
        KM_ASSERT(member.name_length <= KM_TARWALK_MAX_NAME && member.name[member.name_length] == '\0');
        behind = member.header_begin + KM_TARWALK_BLOCK;
    }
    uint64_t offset;
    KM_ASSERT(km_tarwalk_get_stop(walk, &offset) != KM_TARWALK_GOING);
    KM_ASSERT(count <= input->size_bytes / KM_TARWALK_BLOCK);
}

static void paint_all(const struct km_tarwalk_input *input)
{
    struct km_err err = KM_ERR_INIT;
    KM_CLEANUP(km_paint_cleanup) struct km_paint *paint = km_paint_new(input, NULL, &err);
    for (uint64_t offset = 0; offset < input->size_bytes;) {
        struct km_paint_run run;
        KM_ASSERT(km_paint_next(paint, offset, &run, &err) == KM_OK);
        KM_ASSERT(run.end > offset);
        offset = run.end;
    }
    KM_ASSERT(km_paint_finish(paint, &err) == KM_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memory memory = {data, size};
    struct km_tarwalk_input input = {&memory, read_memory, size};
    walk_all(&input);
    paint_all(&input);
    return 0;
}
