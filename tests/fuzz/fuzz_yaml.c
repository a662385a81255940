/* YAML streams: every document must be printable as JSON that our own parser takes back. */
#include <stdint.h>

#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_BYTES ((size_t)64 << 20)

static void check(const struct km_json *value)
{
    struct km_err err = KM_ERR_INIT;
    struct km_buf text;
    km_buf_init(&text, MAX_BYTES);
    enum km_code code = km_json_format(value, 0, &text, &err);
    if (code == KM_OK) { /* KM_LIMIT: a long string that many aliases repeat */
        struct km_json *again = km_json_parse(km_buf_text(&text), text.length, MAX_BYTES, &err);
        KM_ASSERT(again != NULL);
        km_json_free(again);
    }
    KM_ASSERT(code == KM_OK || code == KM_LIMIT);
    km_buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_yaml *yaml = km_yaml_open((const char *)data, size, MAX_BYTES, &err);
    KM_ASSERT(yaml != NULL);
    struct km_json *value = NULL;
    while (km_yaml_next(yaml, &value, &err) == KM_OK && value) {
        check(value);
        km_json_free(value);
    }
    km_yaml_close(yaml);
    return 0;
}
