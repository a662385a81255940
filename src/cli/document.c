#include "cli/document.h"

#include <stdio.h>

enum km_code km_document_print(const struct km_json *document, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, KM_DOCUMENT_MAX_BYTES);
    enum km_code code = km_json_format(document, 2, &text, err);
    if (code == KM_OK)
        puts(km_buf_text(&text));
    km_buf_done(&text);
    return code;
}
