/* A hostile model card; what is accepted can be written and reads back as itself. */
#include <string.h>

#include "nn/card.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size); /* NOLINT(readability-identifier-naming) */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    static struct km_card card, again;
    if (km_card_parse((const char *)data, size, &card, &err) != KM_OK)
        return 0;
    struct km_buf text;
    km_buf_init(&text, 2 * KM_CARD_MAX_BYTES);
    if (km_card_format(&card, &text, &err) == KM_OK && text.length <= KM_CARD_MAX_BYTES) {
        KM_ASSERT(km_card_parse(km_buf_text(&text), text.length, &again, &err) == KM_OK);
        KM_ASSERT(strcmp(card.name, again.name) == 0 && memcmp(card.sha256, again.sha256, sizeof card.sha256) == 0);
        KM_ASSERT(card.metric_count == again.metric_count && card.data_count == again.data_count);
    }
    km_buf_done(&text);
    return 0;
}
