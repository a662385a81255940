#include "container/scan/inside.h"

#include <string.h>

#include "container/source/source.h"

bool km_inside_ask(struct km_inside *inside, struct km_segcache *cache, const void *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    inside->is_asked = km_digest_sha256(bytes, length, inside->sha256, &err) == KM_OK;
    inside->is_known = inside->is_asked && km_segcache_get_inside(cache, inside->sha256, &inside->content);
    return inside->is_known;
}

void km_inside_note(struct km_inside *inside, uint64_t size, const uint8_t sha256[KM_SHA256_BYTES])
{
    inside->has_content = true;
    inside->content.size = size;
    memcpy(inside->content.sha256, sha256, sizeof inside->content.sha256);
}

void km_inside_keep(const struct km_inside *inside, struct km_segcache *cache)
{
    if (inside->has_content && inside->members == 1 && !inside->is_spoiled &&
        inside->content.size <= KM_SOURCE_MAX_RECALLED)
        km_segcache_put_inside(cache, inside->sha256, &inside->content);
}
