#include <stdlib.h>

#include "base/err.h"
#include "container/scan/fileparts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Parts follow each other without gaps, none but the last is short, and they end. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool more = size > 0;
    for (size_t begin = 0, end = 0; more; begin = end) {
        more = km_filepart_find_end(data, size, begin, &end);
        KM_ASSERT(end > begin && end <= size && (more || end == size));
        KM_ASSERT(!more || end - begin >= KM_FILEPART_LEAST_BYTES);
    }
    return 0;
}
