#include "container/tokens/tokentexts.h"

#include <stdio.h>
#include <string.h>

#include "base/text.h"

/* A record: the id, kind and length in four bytes (18 + 3 + 8 bits), then the text. */
#define HEAD_BYTES 4
#define KEPT_BYTES 48

static const char *const prefixes[] = {"", "import ", "export ", "needs ", "runs ", ""};

void km_token_texts_clear(struct km_token_texts *texts)
{
    texts->common.length = texts->asked.length = 0;
}

void km_token_texts_add(struct km_token_texts *texts, uint32_t id, enum km_token_kind kind, const uint8_t *text,
                        size_t length)
{
    bool asked = texts->wanted && texts->wanted[id >> 6] >> (id & 63) & 1;
    struct km_token_run *run = asked ? &texts->asked : &texts->common;
    length = length < KEPT_BYTES ? length : KEPT_BYTES;
    if (KM_TOKEN_TEXTS_BYTES - run->length < HEAD_BYTES + length)
        return;
    uint32_t head = id | (uint32_t)kind << KM_TOKEN_BITS | (uint32_t)length << (KM_TOKEN_BITS + 3);
    memcpy(run->bytes + run->length, &head, HEAD_BYTES);
    memcpy(run->bytes + run->length + HEAD_BYTES, text, length);
    run->length += HEAD_BYTES + length;
}

static bool find_in(const struct km_token_run *run, uint32_t id, char out[KM_TOKEN_TEXT_BYTES])
{
    for (size_t at = 0; at < run->length;) {
        uint32_t head;
        memcpy(&head, run->bytes + at, HEAD_BYTES);
        size_t length = head >> (KM_TOKEN_BITS + 3);
        if ((head & (KM_TOKEN_IDS - 1)) == id) {
            unsigned kind = head >> KM_TOKEN_BITS & 7;
            const char *prefix = prefixes[kind];
            size_t used = (size_t)snprintf(out, KM_TOKEN_TEXT_BYTES, "%s", prefix);
            km_text_escape((const char *)run->bytes + at + HEAD_BYTES, length, out + used, KM_TOKEN_TEXT_BYTES - used);
            used = strlen(out);
            if (kind == KM_TOKEN_STEM) /* short: it always fits */
                (void)snprintf(out + used, KM_TOKEN_TEXT_BYTES - used, "*");
            return true;
        }
        at += HEAD_BYTES + length;
    }
    return false;
}

bool km_token_texts_find(const struct km_token_texts *texts, uint32_t id, char out[KM_TOKEN_TEXT_BYTES])
{
    return find_in(&texts->asked, id, out) || find_in(&texts->common, id, out);
}
