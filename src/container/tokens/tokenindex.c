#include "container/tokens/tokenindex.h"

#include <math.h>
#include <string.h>

#include "base/text.h"
#include "container/tokens/tokenindex_internal.h"

#define MAX_TEXT_BYTES ((size_t)64 << 20)

struct km_token_index *km_token_index_new(struct km_err *err)
{
    struct km_token_index *index = km_calloc(1, sizeof *index, SIZE_MAX, err);
    if (!index)
        return NULL;
    km_keyhash_init(&index->key);
    pthread_mutex_init(&index->filling, NULL);
    return index;
}

void km_token_index_free(struct km_token_index *index)
{
    if (!index)
        return;
    free(index->entries);
    free(index->ids);
    free(index->families);
    free(index->texts);
    free(index->slots);
    free(index->starts);
    free(index->posting);
    free(index->factor);
    free(index->row);
    pthread_mutex_destroy(&index->filling);
    free(index);
}

size_t km_token_index_count(const struct km_token_index *index, enum km_token_index_side side)
{
    return index->counts[side];
}

static enum km_code add_text(struct km_token_index *index, const char *text, size_t *out, struct km_err *err)
{
    char escaped[KM_TEXT_ESCAPED_MAX(KM_TOKEN_INDEX_LABEL_BYTES)];
    size_t length = strlen(text);
    if (length >= KM_TOKEN_INDEX_LABEL_BYTES)
        return km_fail(err, KM_LIMIT, "token index: a label of %zu bytes", length);
    km_text_escape(text, length, escaped, sizeof escaped);
    if (strcmp(text, escaped) != 0)
        return km_fail(err, KM_FORMAT, "token index: a label with control characters: '%s'", text);
    void *array = index->texts;
    enum km_code code = km_grow(&array, &index->text_room, index->text_bytes + length + 1, 1, MAX_TEXT_BYTES, err);
    index->texts = array;
    if (code != KM_OK)
        return code;
    memcpy(index->texts + index->text_bytes, text, length + 1);
    *out = index->text_bytes;
    index->text_bytes += length + 1;
    return KM_OK;
}

enum km_code km_token_index_family(struct km_token_index *index, const char *family, uint32_t *out, struct km_err *err)
{
    for (size_t i = index->family_count; i-- > 0;) /* files of a family come together */
        if (strcmp(index->texts + index->families[i], family) == 0) {
            *out = (uint32_t)i;
            return KM_OK;
        }
    return km_token_index_append_family(index, family, out, err);
}

enum km_code km_token_index_append_family(struct km_token_index *index, const char *family, uint32_t *out,
                                          struct km_err *err)
{
    void *array = index->families;
    enum km_code code = km_grow(&array, &index->family_room, index->family_count + 1, sizeof *index->families,
                                KM_TOKEN_INDEX_MAX_FAMILIES, err);
    index->families = array;
    size_t text = 0;
    if (code == KM_OK)
        code = add_text(index, family, &text, err);
    if (code != KM_OK)
        return code;
    index->families[index->family_count] = text;
    *out = (uint32_t)index->family_count++;
    return KM_OK;
}

static uint64_t digest_of(const struct km_token_index *index, const struct km_token_entry *entry, const uint32_t *kept)
{
    uint64_t head = (uint64_t)entry->family << 32 | (uint64_t)entry->total << 1 | (uint64_t)entry->side;
    return km_keyhash_bytes(&index->key, kept, entry->count * sizeof *kept) ^ head * UINT64_C(0x9E3779B97F4A7C15);
}

/* The slot of an equal entry, or the empty one where it belongs. */
static size_t find_slot(const struct km_token_index *index, const struct km_token_entry *entry, const uint32_t *kept)
{
    size_t mask = index->slot_count - 1, at = (size_t)entry->digest & mask;
    for (; index->slots[at] != 0; at = (at + 1) & mask) {
        const struct km_token_entry *there = &index->entries[index->slots[at] - 1];
        if (there->digest == entry->digest && there->side == entry->side && there->family == entry->family &&
            there->total == entry->total && there->count == entry->count &&
            memcmp(index->ids + there->begin, kept, entry->count * sizeof *kept) == 0)
            break;
    }
    return at;
}

static enum km_code grow_slots(struct km_token_index *index, struct km_err *err)
{
    if (index->slot_count >= 2 * (index->entry_count + 1))
        return KM_OK;
    size_t count = index->slot_count ? 2 * index->slot_count : 64;
    uint32_t *slots = km_calloc(count, sizeof *slots, SIZE_MAX, err);
    if (!slots)
        return err->code;
    free(index->slots);
    index->slots = slots;
    index->slot_count = count;
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct km_token_entry *entry = &index->entries[i];
        index->slots[find_slot(index, entry, index->ids + entry->begin)] = (uint32_t)i + 1;
    }
    return KM_OK;
}

static enum km_code make_room(struct km_token_index *index, size_t ids, struct km_err *err)
{
    enum km_code code = grow_slots(index, err);
    if (code != KM_OK)
        return code;
    void *entries = index->entries, *all = index->ids;
    code = km_grow(&entries, &index->entry_room, index->entry_count + 1, sizeof *index->entries,
                   KM_TOKEN_INDEX_MAX_ENTRIES, err);
    index->entries = entries;
    if (code == KM_OK)
        code = km_grow(&all, &index->id_room, index->id_count + ids, sizeof *index->ids, KM_TOKEN_INDEX_MAX_IDS, err);
    index->ids = all;
    return code == KM_OK ? KM_OK : km_err_wrap(err, "token index");
}

enum km_code km_token_index_put(struct km_token_index *index, const struct km_token_record *record, struct km_err *err)
{
    KM_ASSERT(!index->starts);
    struct km_token_entry entry = {.side = record->side,
                                   .family = record->family,
                                   .total = record->total,
                                   .begin = (uint32_t)index->id_count,
                                   .count = (uint32_t)record->count};
    enum km_code code = make_room(index, record->count, err);
    if (code != KM_OK)
        return code;
    entry.digest = digest_of(index, &entry, record->kept);
    size_t slot = find_slot(index, &entry, record->kept);
    if (index->slots[slot] != 0)
        return KM_OK;
    code = add_text(index, record->file, &entry.file, err);
    if (code != KM_OK)
        return code;
    memcpy(index->ids + index->id_count, record->kept, record->count * sizeof *record->kept);
    index->id_count += record->count;
    index->entries[index->entry_count++] = entry;
    index->slots[slot] = (uint32_t)index->entry_count;
    index->counts[record->side]++;
    return KM_OK;
}

enum km_code km_token_index_add(struct km_token_index *index, enum km_token_index_side side, const char *family,
                                const char *file, const struct km_token_set *set, struct km_err *err)
{
    if (set->count < KM_TOKEN_INDEX_MIN_TOKENS)
        return KM_OK;
    for (size_t i = 0; i < set->count; i++)
        if (set->ids[i] >= KM_TOKEN_IDS || (i > 0 && set->ids[i] <= set->ids[i - 1]))
            return km_fail(err, KM_FORMAT, "token index: no ascending set of ids");
    struct km_token_record record = {.side = side,
                                     .file = file,
                                     .total = (uint32_t)set->count,
                                     .kept = set->ids,
                                     .count = set->count < KM_TOKEN_INDEX_KEEP ? set->count : KM_TOKEN_INDEX_KEEP};
    enum km_code code = km_token_index_family(index, family, &record.family, err);
    return code == KM_OK ? km_token_index_put(index, &record, err) : code;
}

enum km_code km_token_index_merge(struct km_token_index *index, const struct km_token_index *other, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free)
    uint32_t *families = km_calloc(other->family_count, sizeof *families, SIZE_MAX, err);
    if (!families)
        return err->code;
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < other->family_count; i++)
        code = km_token_index_family(index, other->texts + other->families[i], &families[i], err);
    for (size_t i = 0; code == KM_OK && i < other->entry_count; i++) {
        const struct km_token_entry *entry = &other->entries[i];
        struct km_token_record record = {.side = entry->side,
                                         .family = families[entry->family],
                                         .file = other->texts + entry->file,
                                         .total = entry->total,
                                         .kept = other->ids + entry->begin,
                                         .count = entry->count};
        code = km_token_index_put(index, &record, err);
    }
    return code;
}

static void fill_postings(struct km_token_index *index)
{
    for (size_t i = 0; i < index->id_count; i++)
        index->starts[index->ids[i] + 1]++;
    for (uint32_t id = 0; id < KM_TOKEN_IDS; id++)
        index->starts[id + 1] += index->starts[id];
    /* Filling moves each start to the next one's place; shifting them back by one puts them right. */
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct km_token_entry *entry = &index->entries[i];
        for (uint32_t k = 0; k < entry->count; k++)
            index->posting[index->starts[index->ids[entry->begin + k]]++] = (uint32_t)i;
    }
    memmove(index->starts + 1, index->starts, KM_TOKEN_IDS * sizeof *index->starts);
    index->starts[0] = 0;
}

static void make_rows(struct km_token_index *index)
{
    size_t words = km_token_index_row_words(index);
    for (uint32_t id = 0; words > 0 && id < KM_TOKEN_IDS; id++) {
        if (!km_token_index_is_row(index, id))
            continue;
        memset(index->row, 0, words * sizeof *index->row);
        for (uint32_t k = index->starts[id]; k < index->starts[id + 1]; k++)
            index->row[index->posting[k] / 32] |= UINT32_C(1) << index->posting[k] % 32;
        memcpy(index->posting + index->starts[id], index->row, words * sizeof *index->row);
    }
}

static void fill_factors(struct km_token_index *index)
{
    for (size_t i = 0; i < index->entry_count; i++) {
        const struct km_token_entry *entry = &index->entries[i];
        double squares = 0, scale = (double)entry->total / entry->count;
        for (uint32_t k = 0; k < entry->count; k++) {
            double weight = (double)index->idf[index->ids[entry->begin + k]];
            squares += weight * weight;
        }
        index->factor[i] = squares > 0 ? (float)(scale / sqrt(scale * squares)) : 0;
    }
}

void km_token_index_fill(const struct km_token_index *index)
{
    struct km_token_index *mine = (struct km_token_index *)(uintptr_t)index; /* to others it is as if filled ever */
    if (atomic_load_explicit(&mine->filled, memory_order_acquire))
        return;
    pthread_mutex_lock(&mine->filling);
    if (!atomic_load_explicit(&mine->filled, memory_order_relaxed)) {
        fill_factors(mine);
        fill_postings(mine);
        make_rows(mine);
        atomic_store_explicit(&mine->filled, true, memory_order_release);
    }
    pthread_mutex_unlock(&mine->filling);
}

enum km_code km_token_index_prepare(struct km_token_index *index, const float *idf, struct km_err *err)
{
    KM_ASSERT(!index->starts);
    KM_CLEANUP(km_cleanup_free) uint32_t *starts = km_calloc(KM_TOKEN_IDS + 1, sizeof *starts, SIZE_MAX, err);
    KM_CLEANUP(km_cleanup_free)
    uint32_t *posting = starts ? km_calloc(index->id_count, sizeof *posting, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free)
    float *factor = posting ? km_calloc(index->entry_count, sizeof *factor, SIZE_MAX, err) : NULL;
    KM_CLEANUP(km_cleanup_free)
    uint32_t *row = factor ? km_calloc(km_token_index_row_words(index), sizeof *row, SIZE_MAX, err) : NULL;
    if (!row)
        return err->code;
    index->idf = idf;
    index->row = km_steal(row);
    index->starts = km_steal(starts);
    index->posting = km_steal(posting);
    index->factor = km_steal(factor);
    return KM_OK;
}
