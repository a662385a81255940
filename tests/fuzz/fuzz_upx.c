/* The unpacker of UPX on any file that it takes for one; memory comes back, and no more comes out than was promised. */
#include <stdlib.h>

#include "container/source/stream.h"
#include "container/source/upx.h"
#include "container/source/upxfilter.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BUDGET ((size_t)8 << 20)

static void unpack(const struct km_upx_head *head, const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    size_t memory = BUDGET;
    const struct km_inflate_limits limits = {.max_ratio = 100, .grace_bytes = 1 << 20, .memory_left = &memory};
    struct km_stream *stream = km_stream_new_memory(data, size, &err);
    struct km_members *members = stream ? km_upx_new(head, stream, &limits, &err) : NULL;
    struct km_member member;
    bool found = members != NULL;
    while (found && members->next(members, &member, &found, &err) == KM_OK && found) {
        struct km_piece piece = {.length = 1};
        uint64_t at = 0;
        while (piece.length > 0 && members->read(members, &piece, &err) == KM_OK) {
            KM_ASSERT(piece.length == 0 || piece.offset == at);
            at += piece.length;
        }
        KM_ASSERT(at <= member.size);
    }
    if (members)
        members->close(members);
    KM_ASSERT(memory == BUDGET);
    km_stream_close(stream);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_upx_head head;
    (void)km_upxhead_ends(data, size);
    if (km_upxhead_find(data, size, &head))
        unpack(&head, data, size);
    uint8_t *copy = size > 2 ? malloc(size) : NULL;
    if (copy) {
        for (size_t i = 0; i < size; i++)
            copy[i] = data[i];
        (void)km_upxfilter_undo(data[0], data[1], copy + 2, size - 2);
        free(copy);
    }
    return 0;
}
