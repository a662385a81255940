#include "package/package_index.h"

#include <stdio.h>
#include <string.h>

/* What dpkg keeps about a package beside its list; owned by it, without checksums. */
static const char *const own_files[] = {"list",   "md5sums", "conffiles", "preinst",  "postinst", "prerm",
                                        "postrm", "config",  "templates", "triggers", "shlibs",   "symbols"};
#define OWN_FILES (sizeof own_files / sizeof own_files[0])

/* A package by the name that its files in info/ or status.d/ have. */
struct candidate {
    const char *name, *architecture;
    uint32_t index; /* in view->packages */
    enum km_package_install install;
    bool part;
    bool has_files;
    bool has_list; /* a .list that names something, if only "/." */
};

struct builder {
    struct km_package_db *db;
    struct km_package_view *view;
    struct candidate *candidates; /* sorted by compare_candidates */
    size_t candidate_count, candidate_capacity;
    size_t attached;
    bool last; /* nothing is asked of the db any more: records are freed as they are joined */
};

/* A list and a checksum of one package for one path become one entry. The first checksum stays. */
static enum km_code insert(struct builder *builder, const struct km_dpkg_sum *sum, uint32_t package, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    struct km_package_entry entry = {
        .key = km_package_normalise(view, sum->key), .next = KM_DPKG_NONE, .package = package};
    entry.flags = sum->flags | (sum->key & KM_DPKG_KEY_USR ? KM_DPKG_SUM_RAW_USR : 0);
    memcpy(entry.md5, sum->md5, sizeof entry.md5);
    uint32_t *slot = km_package_find_slot(view, entry.key);
    unsigned owners = 0;
    for (uint32_t i = *slot; i != KM_DPKG_NONE; i = view->entries[i].next, owners++) {
        struct km_package_entry *known = &view->entries[i];
        if (known->package != package || km_package_entry_raw_key(known) != sum->key)
            continue;
        if (!(known->flags & KM_DPKG_SUM_HAS_MD5))
            memcpy(known->md5, entry.md5, sizeof known->md5);
        known->flags |= entry.flags;
        return KM_OK;
    }
    if (owners >= KM_PACKAGE_MAX_OWNERS) {
        view->summary.owners_dropped++;
        return KM_OK;
    }
    void *entries = view->entries;
    enum km_code code =
        km_dpkg_grow(builder->db, &entries, &view->entry_capacity, view->entry_count + 1, sizeof entry, err);
    view->entries = entries;
    if (code != KM_OK)
        return code;
    entry.next = *slot;
    *slot = (uint32_t)view->entry_count;
    view->entries[view->entry_count++] = entry;
    return KM_OK;
}

static int compare_candidates(const void *a, const void *b)
{
    const struct candidate *x = a, *y = b;
    if (x->part != y->part)
        return x->part ? 1 : -1;
    int order = strcmp(x->name, y->name);
    if (order != 0)
        return order;
    if (x->install != y->install)
        return x->install > y->install ? -1 : 1; /* what is installed first */
    order = strcmp(x->architecture, y->architecture);
    if (order != 0)
        return order;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* The first candidate that is not before `wanted`. */
static struct candidate *lower_bound(const struct builder *builder, const struct candidate *wanted)
{
    size_t low = 0, high = builder->candidate_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (compare_candidates(&builder->candidates[middle], wanted) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < builder->candidate_count ? &builder->candidates[low] : NULL;
}

static struct candidate *find_exact(const struct builder *builder, const char *name, const char *architecture)
{
    for (int install = KM_PACKAGE_INSTALLED; install >= KM_PACKAGE_REMOVED; install--) {
        struct candidate wanted = {.name = name, .architecture = architecture, .install = (unsigned)install};
        struct candidate *found = lower_bound(builder, &wanted);
        if (found && !found->part && found->install == wanted.install && strcmp(found->name, name) == 0 &&
            strcmp(found->architecture, architecture) == 0)
            return found;
    }
    return NULL;
}

/* The package that a file of info/ or status.d/ is about, or NULL. */
static struct candidate *package_of(const struct builder *builder, const struct km_package_file *file)
{
    char *stem = builder->db->names + file->stem;
    bool part = file->kind == KM_PACKAGE_FILE_PART_SUMS;
    char *colon = part ? NULL : strchr(stem, ':');
    if (colon) {
        *colon = '\0';
        struct candidate *found = find_exact(builder, stem, colon + 1);
        *colon = ':';
        return found;
    }
    struct candidate wanted = {.name = stem, .architecture = "", .install = KM_PACKAGE_INSTALLED, .part = part};
    struct candidate *found = lower_bound(builder, &wanted);
    return found && found->part == part && strcmp(found->name, stem) == 0 ? found : NULL;
}

static bool is_detail(const struct km_package_file *file)
{
    return file->kind == KM_PACKAGE_FILE_SUMS || file->kind == KM_PACKAGE_FILE_CONFFILES ||
           file->kind == KM_PACKAGE_FILE_ALTERNATIVE;
}

static bool has_stanzas(const struct km_package_file *file)
{
    return file->kind == KM_PACKAGE_FILE_STATUS || file->kind == KM_PACKAGE_FILE_PART;
}

static void give_reason(struct km_package_view *view, enum km_package_usability usability, const struct km_err *reason)
{
    view->summary.usability = usability;
    memcpy(view->reason, reason->text, sizeof view->reason);
}

static bool is_used(const struct km_package_file *file)
{
    return file->selected && !file->damage;
}

static void forget_if_last(const struct builder *builder, struct km_package_file *file)
{
    if (builder->last)
        km_dpkg_forget(file);
}

/* Drops what the image does not show; false when something visible is damaged or there is no status at all. */
static bool check_files(struct builder *builder)
{
    struct km_package_view *view = builder->view;
    struct km_err reason = KM_ERR_INIT;
    bool any = false;
    if (builder->db->spoiled[0] != '\0') {
        km_fail(&reason, KM_FORMAT, "%s", builder->db->spoiled);
        give_reason(view, KM_PACKAGE_UNUSABLE, &reason);
        return false;
    }
    for (struct km_package_file *file = builder->db->first; file; file = file->next) {
        if (!file->selected) {
            forget_if_last(builder, file);
            continue;
        }
        any |= has_stanzas(file);
        if (!file->ended)
            (void)km_dpkg_damage(file, "not read to its end");
        if (!file->damage)
            continue;
        view->summary.damaged_details += is_detail(file);
        if (is_detail(file))
            continue;
        km_fail(&reason, KM_FORMAT, "%s, line %llu: %s", builder->db->names + file->path,
                (unsigned long long)file->line, file->damage);
        give_reason(view, KM_PACKAGE_UNUSABLE, &reason);
        return false;
    }
    if (!any) {
        km_fail(&reason, KM_NOTFOUND, "there is no dpkg database");
        give_reason(view, KM_PACKAGE_ABSENT, &reason);
    }
    return any;
}

static enum km_code add_package(struct builder *builder, const struct km_package_file *file,
                                const struct km_dpkg_package *package, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    const char *names = view->names;
    struct km_package_info info = {names + package->name,
                                   names + package->version,
                                   names + package->architecture,
                                   names + (package->source ? package->source : package->name),
                                   package->install,
                                   package->essential};
    bool part = file->kind == KM_PACKAGE_FILE_PART;
    struct candidate candidate = {.name = part ? names + file->stem : info.name,
                                  .architecture = info.architecture,
                                  .index = (uint32_t)view->package_count,
                                  .install = info.install,
                                  .part = part};
    void *packages = view->packages;
    enum km_code code =
        km_dpkg_grow(builder->db, &packages, &view->package_capacity, view->package_count + 1, sizeof info, err);
    view->packages = packages;
    if (code != KM_OK)
        return code;
    view->packages[view->package_count++] = info;
    void *candidates = builder->candidates;
    code = km_dpkg_grow(builder->db, &candidates, &builder->candidate_capacity, builder->candidate_count + 1,
                        sizeof candidate, err);
    builder->candidates = candidates;
    if (code == KM_OK)
        builder->candidates[builder->candidate_count++] = candidate;
    return code;
}

static enum km_code make_slots(struct builder *builder, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    size_t records = 0, count = 16;
    for (const struct km_package_file *file = builder->db->first; file; file = file->next)
        if (is_used(file))
            records += file->key_count + file->sum_count + (file->kind == KM_PACKAGE_FILE_LIST ? OWN_FILES : 0);
    view->summary.records = records;
    while (count < 2 * records)
        count *= 2;
    void *slots = NULL;
    enum km_code code = km_dpkg_grow(builder->db, &slots, &view->slot_capacity, count, sizeof *view->slots, err);
    if (code != KM_OK)
        return code;
    view->slots = slots;
    view->slot_count = count;
    memset(view->slots, 0xff, count * sizeof *view->slots);
    return KM_OK;
}

/* Packages, then the conffiles that their stanzas name: their checksums go first, whatever the order of the files. */
static enum km_code add_stanzas(struct builder *builder, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    for (struct km_package_file *file = builder->db->first; file; file = file->next) {
        if (!is_used(file) || !has_stanzas(file))
            continue;
        uint32_t base = (uint32_t)view->package_count;
        for (size_t i = 0; i < file->package_count; i++) {
            enum km_code code = add_package(builder, file, &file->packages[i], err);
            if (code != KM_OK)
                return code;
        }
        for (size_t i = 0; i < file->sum_count; i++) {
            uint32_t package = base + file->sums[i].package;
            if (view->packages[package].install == KM_PACKAGE_REMOVED)
                continue;
            enum km_code code = insert(builder, &file->sums[i], package, err);
            if (code != KM_OK)
                return code;
        }
        forget_if_last(builder, file);
    }
    for (size_t i = 0; i < view->package_count; i++)
        view->summary.packages += view->packages[i].install >= KM_PACKAGE_PARTIAL;
    if (builder->candidate_count > 1)
        qsort(builder->candidates, builder->candidate_count, sizeof *builder->candidates, compare_candidates);
    return KM_OK;
}

/* One list or checksum file of one package. */
static enum km_code add_files_of_package(struct builder *builder, struct km_package_file *file, struct km_err *err)
{
    struct candidate *candidate = package_of(builder, file);
    if (!candidate || candidate->install < KM_PACKAGE_PARTIAL) {
        builder->view->summary.unmatched += !candidate || candidate->install == KM_PACKAGE_REMOVED;
        return KM_OK;
    }
    if (file->kind != KM_PACKAGE_FILE_CONFFILES && file->key_count + file->sum_count > 0) {
        candidate->has_files = true;
        candidate->has_list |= file->kind == KM_PACKAGE_FILE_LIST;
        builder->attached++;
    }
    uint32_t flags = file->kind == KM_PACKAGE_FILE_CONFFILES ? KM_DPKG_SUM_CONFFILE : 0;
    for (size_t i = 0; i < file->key_count; i++) {
        struct km_dpkg_sum sum = {.key = file->keys[i], .flags = flags};
        enum km_code code = insert(builder, &sum, candidate->index, err);
        if (code != KM_OK)
            return code;
    }
    for (size_t i = 0; i < file->sum_count; i++) {
        enum km_code code = insert(builder, &file->sums[i], candidate->index, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static enum km_code add_own_files(struct builder *builder, struct km_package_file *file, struct km_err *err)
{
    const struct candidate *candidate = package_of(builder, file);
    if (!candidate || candidate->install < KM_PACKAGE_CONFIG)
        return KM_OK;
    for (size_t i = 0; i < OWN_FILES; i++) {
        char path[1024];
        int length =
            snprintf(path, sizeof path, "var/lib/dpkg/info/%s.%s", builder->db->names + file->stem, own_files[i]);
        if (length < 0 || (size_t)length >= sizeof path)
            return KM_OK; /* no package has such a name */
        struct km_dpkg_sum sum = {.key = km_dpkg_key(&builder->view->key, path, (size_t)length)};
        enum km_code code = insert(builder, &sum, candidate->index, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static enum km_code add_links(struct builder *builder, const struct km_package_file *file, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    void *links = view->links;
    enum km_code code = km_dpkg_grow(builder->db, &links, &view->link_capacity, view->link_count + file->key_count,
                                     sizeof *view->links, err);
    view->links = links;
    if (code != KM_OK)
        return code;
    for (size_t i = 0; i < file->key_count; i++)
        view->links[view->link_count++] = km_package_normalise(view, file->keys[i]);
    return KM_OK;
}

static int compare_from(const void *a, const void *b)
{
    const struct km_dpkg_diversion *x = a, *y = b;
    return km_package_compare_keys(&x->from, &y->from);
}

static int compare_to(const void *a, const void *b)
{
    const struct km_dpkg_diversion *x = a, *y = b;
    return km_package_compare_keys(&x->to, &y->to);
}

static enum km_code add_diversions(struct builder *builder, const struct km_package_file *file, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    size_t count = view->diversion_count + file->diversion_count;
    void *by_from = view->by_from, *by_to = view->by_to;
    enum km_code code = km_dpkg_grow(builder->db, &by_from, &view->from_capacity, count, sizeof *view->by_from, err);
    view->by_from = by_from;
    if (code == KM_OK)
        code = km_dpkg_grow(builder->db, &by_to, &view->to_capacity, count, sizeof *view->by_to, err);
    view->by_to = by_to;
    if (code != KM_OK)
        return code;
    for (size_t i = 0; i < file->diversion_count; i++) {
        struct km_dpkg_diversion diversion = file->diversions[i];
        view->by_from[view->diversion_count] = diversion;
        diversion.to = km_package_normalise(view, diversion.to);
        view->by_to[view->diversion_count++] = diversion;
    }
    return KM_OK;
}

static enum km_code add_file(struct builder *builder, struct km_package_file *file, struct km_err *err)
{
    switch (file->kind) {
    case KM_PACKAGE_FILE_LIST:
    case KM_PACKAGE_FILE_SUMS:
    case KM_PACKAGE_FILE_PART_SUMS:
    case KM_PACKAGE_FILE_CONFFILES:
        return add_files_of_package(builder, file, err);
    case KM_PACKAGE_FILE_DIVERSIONS:
        return add_diversions(builder, file, err);
    case KM_PACKAGE_FILE_ALTERNATIVE:
        return add_links(builder, file, err);
    case KM_PACKAGE_FILE_NONE:
    case KM_PACKAGE_FILE_STATUS:
    case KM_PACKAGE_FILE_PART:
        break;
    }
    return KM_OK;
}

static enum km_code join(struct builder *builder, struct km_err *err)
{
    struct km_package_view *view = builder->view;
    enum km_code code = make_slots(builder, err);
    if (code == KM_OK)
        code = add_stanzas(builder, err);
    for (struct km_package_file *file = builder->db->first; file && code == KM_OK; file = file->next) {
        if (is_used(file))
            code = add_file(builder, file, err);
        forget_if_last(builder, file);
    }
    if (code != KM_OK)
        return code;
    if (view->link_count > 1)
        qsort(view->links, view->link_count, sizeof *view->links, km_package_compare_keys);
    if (view->diversion_count > 1) {
        qsort(view->by_from, view->diversion_count, sizeof *view->by_from, compare_from);
        qsort(view->by_to, view->diversion_count, sizeof *view->by_to, compare_to);
    }
    view->summary.files = view->entry_count;
    for (struct km_package_file *file = builder->db->first; file && code == KM_OK; file = file->next)
        if (is_used(file) && file->kind == KM_PACKAGE_FILE_LIST)
            code = add_own_files(builder, file, err);
    if (code != KM_OK)
        return code;
    for (size_t i = 0; i < builder->candidate_count; i++) {
        const struct candidate *candidate = &builder->candidates[i];
        view->summary.packages_bare += candidate->install >= KM_PACKAGE_PARTIAL && !candidate->has_files;
        view->summary.lists_missing +=
            candidate->install == KM_PACKAGE_INSTALLED && !candidate->part && !candidate->has_list;
    }
    return KM_OK;
}

static void judge_usability(const struct builder *builder)
{
    struct km_err reason = KM_ERR_INIT;
    struct km_package_view *view = builder->view;
    view->summary.usability = KM_PACKAGE_USABLE;
    if (builder->attached > 0)
        return;
    if (view->summary.packages == 0)
        km_fail(&reason, KM_NOTFOUND, "the dpkg database names no installed package");
    else
        km_fail(&reason, KM_NOTFOUND, "the dpkg database has no lists of files");
    give_reason(view, KM_PACKAGE_ABSENT, &reason);
}

static struct km_package_view *make_view(struct km_package_db *db, bool last, struct km_err *err)
{
    KM_ASSERT(!db->viewed);
    KM_CLEANUP(km_package_view_cleanup) struct km_package_view *view = km_calloc(1, sizeof *view, SIZE_MAX, err);
    if (!view)
        return NULL;
    struct builder builder = {.db = db, .view = view, .last = last};
    view->lender = db;
    db->viewed = true;
    view->key.hash_key = db->hash_key;
    view->key.aliases = db->aliases;
    view->names = db->names;
    if (!check_files(&builder))
        return km_steal(view);
    enum km_code code = join(&builder, err);
    km_dpkg_release(db, builder.candidates, builder.candidate_capacity, sizeof *builder.candidates);
    if (code == KM_LIMIT)
        give_reason(view, KM_PACKAGE_UNUSABLE, err);
    else if (code == KM_OK)
        judge_usability(&builder);
    else
        return NULL;
    return km_steal(view);
}

struct km_package_view *km_package_db_view(struct km_package_db *db, struct km_err *err)
{
    return make_view(db, false, err);
}

struct km_package_view *km_package_db_finish(struct km_package_db *db, struct km_err *err)
{
    struct km_package_view *view = make_view(db, true, err);
    if (!view)
        return NULL;
    view->lender = NULL;
    db->viewed = false;
    db->names = NULL;
    return view;
}
