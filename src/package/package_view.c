#include "package/package_index.h"

#include <string.h>

#define MOST_EQUAL_DIVERSIONS 8 /* of one name; dpkg allows one */

uint64_t km_package_normalise(const struct km_package_view *view, uint64_t key)
{
    return view->key.aliases >> KM_DPKG_KEY_TOP(key) & 1 ? key & ~KM_DPKG_KEY_USR : key;
}

uint64_t km_package_entry_raw_key(const struct km_package_entry *entry)
{
    return entry->key | (entry->flags & KM_DPKG_SUM_RAW_USR ? KM_DPKG_KEY_USR : 0);
}

uint32_t *km_package_find_slot(const struct km_package_view *view, uint64_t key)
{
    size_t mask = view->slot_count - 1;
    size_t i = (size_t)(key >> 4) & mask;
    while (view->slots[i] != KM_DPKG_NONE && view->entries[view->slots[i]].key != key)
        i = (i + 1) & mask;
    return &view->slots[i];
}

int km_package_compare_keys(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;
    return *x < *y ? -1 : *x > *y;
}

void km_package_view_free(struct km_package_view *view)
{
    if (!view)
        return;
    struct km_package_db *lender = view->lender;
    struct km_package_db none = {.used_bytes = SIZE_MAX};
    struct km_package_db *db = lender ? lender : &none;
    km_dpkg_release(db, view->packages, view->package_capacity, sizeof *view->packages);
    km_dpkg_release(db, view->entries, view->entry_capacity, sizeof *view->entries);
    km_dpkg_release(db, view->slots, view->slot_capacity, sizeof *view->slots);
    km_dpkg_release(db, view->by_from, view->from_capacity, sizeof *view->by_from);
    km_dpkg_release(db, view->by_to, view->to_capacity, sizeof *view->by_to);
    km_dpkg_release(db, view->links, view->link_capacity, sizeof *view->links);
    if (lender)
        lender->viewed = false;
    else
        free(view->names);
    free(view);
}

void km_package_view_summarize(const struct km_package_view *view, struct km_package_summary *out)
{
    *out = view->summary;
    out->reason = view->reason;
}

size_t km_package_view_count(const struct km_package_view *view)
{
    return view->package_count;
}

const struct km_package_info *km_package_view_at(const struct km_package_view *view, size_t i)
{
    KM_ASSERT(i < view->package_count);
    return &view->packages[i];
}

const char *km_package_state_to_string(enum km_package_state state)
{
    switch (state) {
    case KM_PACKAGE_NO_DATABASE:
        return "no-database";
    case KM_PACKAGE_UNOWNED:
        return "unowned";
    case KM_PACKAGE_UNCHECKED:
        return "unchecked";
    case KM_PACKAGE_INTACT:
        return "intact";
    case KM_PACKAGE_CHANGED:
        return "changed";
    case KM_PACKAGE_CONFFILE:
        return "conffile";
    case KM_PACKAGE_DIVERTED:
        return "diverted";
    }
    return "unknown";
}

/* A diversion moves the files of all packages but its own. The administrator's has ":" for a package, which none is. */
static bool moves(const struct km_package_view *view, const struct km_dpkg_diversion *diversion,
                  const struct km_package_entry *entry)
{
    return diversion->from == km_package_entry_raw_key(entry) &&
           strcmp(view->names + diversion->package, view->packages[entry->package].name) != 0;
}

/* The first diversion of a sorted array whose key is not below `key`. */
static size_t first_diversion(const struct km_package_view *view, bool by_to, uint64_t key)
{
    size_t low = 0, high = view->diversion_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if ((by_to ? view->by_to[middle].to : view->by_from[middle].from) < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_moved(const struct km_package_view *view, const struct km_package_entry *entry)
{
    uint64_t key = km_package_entry_raw_key(entry);
    size_t first = first_diversion(view, false, key);
    for (size_t i = first; i < view->diversion_count && i - first < MOST_EQUAL_DIVERSIONS; i++) {
        if (view->by_from[i].from != key)
            break;
        if (moves(view, &view->by_from[i], entry))
            return true;
    }
    return false;
}

static enum km_package_state judge(const struct km_package_entry *entry, const uint8_t *md5)
{
    bool conffile = entry->flags & KM_DPKG_SUM_CONFFILE;
    if (!md5 || !(entry->flags & KM_DPKG_SUM_HAS_MD5))
        return conffile ? KM_PACKAGE_CONFFILE : KM_PACKAGE_UNCHECKED;
    if (memcmp(md5, entry->md5, sizeof entry->md5) == 0)
        return KM_PACKAGE_INTACT;
    return conffile ? KM_PACKAGE_CONFFILE : KM_PACKAGE_CHANGED;
}

/* How much a statement counts among those of several owners. */
static unsigned weight(enum km_package_state state)
{
    switch (state) {
    case KM_PACKAGE_INTACT:
        return 6;
    case KM_PACKAGE_CHANGED:
        return 5;
    case KM_PACKAGE_CONFFILE:
        return 4;
    case KM_PACKAGE_UNCHECKED:
        return 3;
    case KM_PACKAGE_DIVERTED:
        return 2;
    case KM_PACKAGE_UNOWNED:
        return 1;
    case KM_PACKAGE_NO_DATABASE:
        break;
    }
    return 0;
}

static void consider(const struct km_package_view *view, const struct km_package_entry *entry,
                     struct km_package_match match, struct km_package_match *best)
{
    match.package = &view->packages[entry->package];
    match.conffile = entry->flags & KM_DPKG_SUM_CONFFILE;
    match.obsolete = entry->flags & KM_DPKG_SUM_OBSOLETE;
    if (weight(match.state) > weight(best->state))
        *best = match;
}

static void find_here(const struct km_package_view *view, uint64_t key, const uint8_t *md5,
                      struct km_package_match *best)
{
    for (uint32_t i = *km_package_find_slot(view, key); i != KM_DPKG_NONE; i = view->entries[i].next) {
        const struct km_package_entry *entry = &view->entries[i];
        bool moved = view->diversion_count > 0 && is_moved(view, entry);
        struct km_package_match match = {.state = moved ? KM_PACKAGE_DIVERTED : judge(entry, md5), .diverted = moved};
        consider(view, entry, match, best);
    }
}

/* Files that diversions moved to this name. */
static void find_diverted(const struct km_package_view *view, uint64_t key, const uint8_t *md5,
                          struct km_package_match *best)
{
    size_t first = first_diversion(view, true, key);
    for (size_t n = first; n < view->diversion_count && n - first < MOST_EQUAL_DIVERSIONS; n++) {
        const struct km_dpkg_diversion *diversion = &view->by_to[n];
        if (diversion->to != key)
            break;
        for (uint32_t i = *km_package_find_slot(view, km_package_normalise(view, diversion->from)); i != KM_DPKG_NONE;
             i = view->entries[i].next) {
            const struct km_package_entry *entry = &view->entries[i];
            struct km_package_match match = {.state = judge(entry, md5), .diverted = true};
            if (moves(view, diversion, entry))
                consider(view, entry, match, best);
        }
    }
}

void km_package_find(const struct km_package_view *view, const char *path, const uint8_t *md5,
                     struct km_package_match *out)
{
    *out = (struct km_package_match){.state = KM_PACKAGE_NO_DATABASE};
    if (view->summary.usability != KM_PACKAGE_USABLE)
        return;
    out->state = KM_PACKAGE_UNOWNED;
    uint64_t key = km_package_normalise(view, km_dpkg_key(&view->key, path, strlen(path)));
    find_here(view, key, md5, out);
    if (view->diversion_count > 0)
        find_diverted(view, key, md5, out);
}

bool km_package_is_alternative(const struct km_package_view *view, const char *path)
{
    if (view->summary.usability != KM_PACKAGE_USABLE || view->link_count == 0)
        return false;
    uint64_t key = km_package_normalise(view, km_dpkg_key(&view->key, path, strlen(path)));
    return bsearch(&key, view->links, view->link_count, sizeof key, km_package_compare_keys) != NULL;
}
