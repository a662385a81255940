#include "tlsh_shim.h"

#include <tlsh.h>

void *km_tlsh_new(const unsigned char *bytes, size_t length)
{
    Tlsh *hash = new Tlsh();
    hash->final(bytes, static_cast<unsigned>(length));
    const char *text = hash->getHash();
    if (text && *text)
        return hash;
    delete hash;
    return nullptr;
}

void km_tlsh_free(void *hash)
{
    delete static_cast<Tlsh *>(hash);
}

int km_tlsh_distance(const void *a, const void *b)
{
    return static_cast<const Tlsh *>(a)->totalDiff(static_cast<const Tlsh *>(b));
}
