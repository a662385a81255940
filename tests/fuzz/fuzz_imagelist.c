/* Compose files, Helm values, Kubernetes manifests: every row has a reference that stays itself, or an error. */
#include <stdint.h>
#include <string.h>

#include "container/source/imagelist.h"
#include "container/source/imageref.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_imagelist *list = km_imagelist_parse((const char *)data, size, &err);
    for (size_t i = 0; list && i < km_imagelist_count(list); i++) {
        const struct km_imagelist_row *row = km_imagelist_row(list, i);
        KM_ASSERT(row->name && (row->reference == NULL) != (row->error == NULL));
        char again[KM_IMAGEREF_MAX_BYTES];
        KM_ASSERT(!row->reference ||
                  (km_imageref_normalise(row->reference, again, &err) == KM_OK && strcmp(row->reference, again) == 0));
    }
    km_imagelist_free(list);
    return 0;
}
