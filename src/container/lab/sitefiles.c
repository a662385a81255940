#include "container/lab/sitefiles.h"

#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "container/lab/samplekind.h"
#include "container/source/source.h"

/* The windows of the file that is read: their ids one behind the other. */
struct held {
    uint32_t *ids;
    size_t id_count, id_capacity;
    size_t *ends;
    size_t count, capacity;
};

struct reading {
    struct km_sitefiles *site;
    struct held held;
    struct km_token_extractor *extractor;
    uint8_t *bytes; /* KM_SAMPLE_MAX_BYTES: of the file that is open */
    char path[4096];
    uint64_t size, filled;
    bool open;
};

static enum km_code begin_file(void *context, const struct km_entry *entry, void **out_state, struct km_err *err)
{
    struct reading *reading = context;
    (void)err;
    *out_state = NULL;
    if (entry->depth > 0)
        return KM_OK;
    reading->open = entry->type == KM_ENTRY_FILE && entry->size >= KM_SAMPLE_MIN_BYTES &&
                    entry->size <= KM_SAMPLE_MAX_BYTES && strlen(entry->path) < sizeof reading->path;
    if (!reading->open)
        return KM_OK;
    memcpy(reading->path, entry->path, strlen(entry->path) + 1);
    reading->size = entry->size;
    reading->filled = 0;
    *out_state = reading;
    return KM_OK;
}

static enum km_code fill_file(void *context, void *state, uint64_t offset, const void *bytes, uint64_t length,
                              struct km_err *err)
{
    struct reading *reading = context;
    (void)err;
    if (!state || offset > reading->size || length > reading->size - offset)
        return KM_OK;
    if (bytes)
        memcpy(reading->bytes + offset, bytes, (size_t)length);
    else
        memset(reading->bytes + offset, 0, (size_t)length);
    reading->filled += length;
    return KM_OK;
}

static enum km_code hold_window(void *context, const struct km_token_window *window, struct km_err *err)
{
    struct held *held = context;
    size_t count = window->set.count;
    enum km_code code = km_grow((void **)&held->ids, &held->id_capacity, held->id_count + count, sizeof *held->ids,
                                KM_SITEFILES_MAX_IDS, err);
    if (code == KM_OK)
        code = km_grow((void **)&held->ends, &held->capacity, held->count + 1, sizeof *held->ends, KM_SITEFILES_MAX_IDS,
                       err);
    if (code != KM_OK)
        return code;
    memcpy(held->ids + held->id_count, window->set.ids, count * sizeof *held->ids);
    held->id_count += count;
    held->ends[held->count++] = held->id_count;
    return KM_OK;
}

static void forget_file(struct km_sitefile *file)
{
    for (size_t i = 0; i < file->window_count; i++)
        free((void *)file->windows[i].ids);
    free(file->windows);
    free(file->ids);
}

static uint32_t *copy_ids(const uint32_t *ids, size_t count, struct km_err *err)
{
    uint32_t *copy = km_calloc(count, sizeof *copy, SIZE_MAX, err);
    if (copy)
        memcpy(copy, ids, count * sizeof *copy);
    return copy;
}

static enum km_code keep_windows(const struct held *held, struct km_sitefile *file, struct km_err *err)
{
    if (held->count < 2)
        return KM_OK;
    file->windows = km_calloc(held->count, sizeof *file->windows, SIZE_MAX, err);
    if (!file->windows)
        return err->code;
    for (size_t i = 0, begin = 0; i < held->count; begin = held->ends[i++]) {
        size_t count = held->ends[i] - begin;
        uint32_t *ids = copy_ids(held->ids + begin, count, err);
        if (!ids)
            return err->code;
        file->windows[file->window_count++] = (struct km_token_set){ids, count};
    }
    return KM_OK;
}

static enum km_code keep_file(struct reading *reading, const struct km_token_set *set, struct km_err *err)
{
    struct km_sitefiles *site = reading->site;
    size_t ids = set->count + (reading->held.count < 2 ? 0 : reading->held.id_count);
    if (ids > KM_SITEFILES_MAX_IDS - site->ids)
        return km_fail(err, KM_LIMIT, "the site's files have more than %zu tokens", KM_SITEFILES_MAX_IDS);
    enum km_code code =
        km_grow((void **)&site->files, &site->capacity, site->count + 1, sizeof *site->files, KM_SITEFILES_MAX, err);
    if (code != KM_OK)
        return code;
    struct km_sitefile file = {.ids = copy_ids(set->ids, set->count, err), .count = set->count};
    code = file.ids ? keep_windows(&reading->held, &file, err) : err->code;
    if (code != KM_OK) {
        forget_file(&file);
        return code;
    }
    (void)km_text_escape(reading->path, strlen(reading->path), file.label, sizeof file.label);
    site->files[site->count++] = file;
    site->ids += ids;
    return KM_OK;
}

static enum km_code end_file(void *context, void *state, bool complete, struct km_err *err)
{
    struct reading *reading = context;
    if (!state || !complete || reading->filled != reading->size ||
        km_sample_kind_detect(reading->path, reading->bytes, (size_t)reading->size) == KM_SAMPLE_NONE)
        return KM_OK;
    struct km_sitefiles *site = reading->site;
    if (site->excludes && site->excludes(site->excludes_context, reading->bytes, (size_t)reading->size))
        return KM_OK;
    struct km_token_file file;
    const struct km_token_sink sink = {.context = &reading->held, .window = hold_window};
    reading->held.id_count = reading->held.count = 0;
    km_token_extractor_begin(reading->extractor, &sink);
    enum km_code code = km_token_extractor_feed(reading->extractor, reading->bytes, reading->size, err);
    if (code == KM_OK)
        code = km_token_extractor_end(reading->extractor, &file, err);
    return code == KM_OK && file.set.count >= KM_TOKEN_INDEX_MIN_TOKENS ? keep_file(reading, &file.set, err) : code;
}

static enum km_code pass_gap(void *context, const struct km_gap *gap, struct km_err *err)
{
    (void)context;
    (void)gap;
    (void)err;
    return KM_OK; /* what cannot be read teaches nothing */
}

enum km_code km_sitefiles_read(struct km_sitefiles *site, const char *target, const struct km_cancel *cancel,
                               struct km_err *err)
{
    KM_CLEANUP(km_token_extractor_cleanup) struct km_token_extractor *extractor = km_token_extractor_new(err);
    KM_CLEANUP(km_cleanup_free)
    uint8_t *bytes = extractor ? km_calloc((size_t)KM_SAMPLE_MAX_BYTES, 1, SIZE_MAX, err) : NULL;
    if (!bytes)
        return err->code;
    struct km_source_limits limits = KM_SOURCE_LIMITS_INIT;
    limits.nested_depth = 0;
    struct km_source *source = NULL;
    enum km_code code = km_source_open(target, &limits, &source, err);
    if (code != KM_OK)
        return km_err_wrap(err, "%s", target);
    struct reading reading = {.site = site, .extractor = extractor, .bytes = bytes};
    const struct km_entry_sink sink = {
        .context = &reading, .begin = begin_file, .data = fill_file, .end = end_file, .gap = pass_gap};
    code = km_source_run(source, &sink, cancel, err);
    km_source_close(source);
    free(reading.held.ids);
    free(reading.held.ends);
    return code == KM_OK ? code : km_err_wrap(err, "%s", target);
}

void km_sitefiles_done(struct km_sitefiles *site)
{
    for (size_t i = 0; i < site->count; i++)
        forget_file(&site->files[i]);
    free(site->files);
    *site = (struct km_sitefiles){0};
}
