#include "container/scan/contents.h"

#include <stdlib.h>
#include <string.h>

#include "base/keyhash.h"
#include "base/mem.h"

struct km_contents {
    const struct km_records *records;
    const struct km_link *links; /* in the order of their ids */
    size_t link_count;
    uint32_t *targets; /* of each link: entry id + 1, or 0 */
};

/* A table of wanted (blob, path). */
struct link_table {
    struct km_keyhash key;
    size_t size; /* a power of two */
    uint64_t *hashes;
    uint32_t *first; /* link index + 1; 0: an empty slot */
    uint32_t *next;  /* of each link: another one to the same target, index + 1 */
};

static void link_table_done(struct link_table *table)
{
    free(table->hashes);
    free(table->first);
    free(table->next);
}

static size_t link_slot(const struct link_table *table, uint32_t blob, const char *path, uint64_t *out_hash)
{
    uint64_t hash = km_keyhash_bytes(&table->key, path, strlen(path)) + blob;
    size_t at = hash & (table->size - 1);
    while (table->first[at] && table->hashes[at] != hash)
        at = (at + 1) & (table->size - 1);
    *out_hash = hash;
    return at;
}

static enum km_code link_table_init(struct link_table *table, const struct km_link *links, size_t count,
                                    struct km_err *err)
{
    *table = (struct link_table){.size = 64};
    while (table->size < 2 * count)
        table->size *= 2;
    km_keyhash_init(&table->key);
    table->hashes = km_calloc(table->size, sizeof *table->hashes, SIZE_MAX, err);
    table->first = km_calloc(table->size, sizeof *table->first, SIZE_MAX, err);
    table->next = km_calloc(count, sizeof *table->next, SIZE_MAX, err);
    if (!table->hashes || !table->first || !table->next)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        if (links[i].type != KM_ENTRY_HARDLINK)
            continue;
        uint64_t hash;
        size_t at = link_slot(table, links[i].blob, links[i].target, &hash);
        table->next[i] = table->first[at];
        table->hashes[at] = hash;
        table->first[at] = (uint32_t)i + 1;
    }
    return KM_OK;
}

static enum km_code resolve(struct km_contents *contents, const struct km_layout *layout, struct km_err *err)
{
    if (contents->link_count == 0)
        return KM_OK;
    struct link_table table KM_CLEANUP(link_table_done) = {0};
    enum km_code code = link_table_init(&table, contents->links, contents->link_count, err);
    for (size_t id = 0; code == KM_OK && id < km_layout_entry_count(layout); id++) {
        struct km_place place = km_layout_place(layout, (uint32_t)id);
        if (place.type != KM_ENTRY_FILE || place.parent != KM_ENTRY_NONE)
            continue;
        uint64_t hash;
        size_t at = link_slot(&table, place.blob, place.path, &hash);
        for (uint32_t link = table.first[at]; link; link = table.next[link - 1])
            contents->targets[link - 1] = (uint32_t)id + 1;
    }
    return code;
}

struct km_contents *km_contents_new(const struct km_examine *examine, const struct km_layout *layout,
                                    struct km_err *err)
{
    struct km_contents *contents = km_calloc(1, sizeof *contents, SIZE_MAX, err);
    if (!contents)
        return NULL;
    contents->records = km_examine_records(examine);
    contents->link_count = km_links_get(km_examine_links(examine), &contents->links);
    contents->targets = km_calloc(contents->link_count, sizeof *contents->targets, SIZE_MAX, err);
    if (!contents->targets || resolve(contents, layout, err) != KM_OK) {
        km_contents_free(contents);
        return NULL;
    }
    return contents;
}

void km_contents_free(struct km_contents *contents)
{
    if (!contents)
        return;
    free(contents->targets);
    free(contents);
}

const struct km_record *km_contents_find(const struct km_contents *contents, uint32_t id, enum km_entry_type type)
{
    if (type == KM_ENTRY_FILE)
        return km_records_find(contents->records, id);
    if (type != KM_ENTRY_HARDLINK)
        return NULL;
    size_t low = 0, high = contents->link_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (contents->links[middle].id < id)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == contents->link_count || contents->links[low].id != id || !contents->targets[low])
        return NULL;
    return km_records_find(contents->records, contents->targets[low] - 1);
}
