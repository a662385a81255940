#include "container/scan/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"

#define MAX_LINKS      1000000
#define MAX_TEXT_BYTES ((size_t)32 << 20)

struct km_links {
    struct km_arena *texts;
    struct km_link *list;
    size_t count, capacity;
};

struct km_links *km_links_new(struct km_err *err)
{
    struct km_links *links = km_calloc(1, sizeof *links, sizeof *links, err);
    if (!links)
        return NULL;
    links->texts = km_arena_new(MAX_TEXT_BYTES, err);
    if (links->texts)
        return links;
    free(links);
    return NULL;
}

void km_links_free(struct km_links *links)
{
    if (!links)
        return;
    km_arena_free(links->texts);
    free(links->list);
    free(links);
}

enum km_code km_links_add(struct km_links *links, const struct km_entry *entry, struct km_err *err)
{
    bool wanted = entry->type == KM_ENTRY_HARDLINK || (entry->type == KM_ENTRY_SYMLINK && !strchr(entry->path, '/'));
    if (!wanted || entry->depth > 0 || !entry->link)
        return KM_OK;
    struct km_link link = {.id = entry->id, .blob = entry->blob, .type = entry->type};
    void *list = links->list;
    enum km_code code = km_grow(&list, &links->capacity, links->count + 1, sizeof link, MAX_LINKS, err);
    links->list = list;
    if (code == KM_OK) {
        link.target = km_arena_strndup(links->texts, entry->link, strlen(entry->link), err);
        code = link.target ? KM_OK : err->code;
    }
    if (code == KM_OK)
        links->list[links->count++] = link;
    return code == KM_LIMIT ? KM_OK : code;
}

size_t km_links_get(const struct km_links *links, const struct km_link **out)
{
    *out = links->list;
    return links->count;
}
