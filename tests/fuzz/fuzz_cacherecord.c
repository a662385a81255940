/* A record of the segment cache: what is accepted can be written again, and reads back the same. */
#include <stdlib.h>
#include <string.h>

#include "container/scan/segment.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming) */

static void check(const uint8_t *data, size_t size, size_t length, bool is_whole)
{
    struct km_err err = KM_ERR_INIT;
    struct km_segment segment = {.length = length, .is_whole = is_whole};
    struct km_segment again = {.length = length, .is_whole = is_whole};
    if (km_segment_parse(&segment, data, size, &err) != KM_OK)
        return;
    struct km_buf record, copy;
    km_buf_init(&record, KM_SEGMENT_MAX_RECORD);
    km_buf_init(&copy, KM_SEGMENT_MAX_RECORD);
    if (km_segment_format(&segment, &record, &err) == KM_OK) {
        KM_ASSERT(km_segment_parse(&again, (const uint8_t *)record.data, record.length, &err) == KM_OK);
        KM_ASSERT(again.id_count == segment.id_count);
        KM_ASSERT(km_segment_format(&again, &copy, &err) == KM_OK);
        KM_ASSERT(copy.length == record.length && memcmp(copy.data, record.data, copy.length) == 0);
    }
    km_buf_done(&record);
    km_buf_done(&copy);
    km_segment_done(&segment);
    km_segment_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t length = 0;
    if (size >= 8)
        memcpy(&length, data + 4, sizeof length);
    if (length == 0 || length > KM_SEGMENT_BYTES)
        length = KM_SEGMENT_BYTES;
    check(data, size, length, true);
    check(data, size, length, false);
    return 0;
}
