#include "container/imaging/mosaic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "container/imaging/colour.h"
#include "container/imaging/mosaicdata.h"

#define FIRST_CELL_BYTES 16U
#define ENTROPY_SCALE    8192.0 /* entropy_terms: bits times this, for a whole chunk at most 8 * 8192 */

/* Three counts of up to KM_MOSAIC_CHUNK_BYTES in one word: one addition a byte. */
#define TEXT_SHIFT 10
#define HIGH_SHIFT 20
#define COUNT_MASK 0x3ffU
_Static_assert(KM_MOSAIC_CHUNK_BYTES <= COUNT_MASK, "a chunk's counts fit their fields");

struct km_mosaic *km_mosaic_new(size_t max_pixels, struct km_err *err)
{
    if (max_pixels < KM_MOSAIC_MIN_PIXELS || max_pixels > KM_MOSAIC_MAX_PIXELS) {
        km_fail(err, KM_LIMIT, "a mosaic has %zu to %zu pixels", KM_MOSAIC_MIN_PIXELS, KM_MOSAIC_MAX_PIXELS);
        return NULL;
    }
    KM_CLEANUP(km_mosaic_cleanup) struct km_mosaic *mosaic = km_calloc(1, sizeof *mosaic, sizeof *mosaic, err);
    if (!mosaic)
        return NULL;
    mosaic->max_cells = max_pixels;
    mosaic->cell_bytes = FIRST_CELL_BYTES;
    for (unsigned byte = 0; byte < 256; byte++)
        mosaic->class_counts[byte] =
            (byte == 0 ? 1U : 0U) |
            (km_colour_class((uint8_t)byte) == KM_COLOUR_CLASS_PRINTABLE ? 1U << TEXT_SHIFT : 0U) |
            (byte >= 0x80 ? 1U << HIGH_SHIFT : 0U);
    for (unsigned count = 1; count < KM_MOSAIC_CHUNK_BYTES; count++) {
        double share = (double)count / KM_MOSAIC_CHUNK_BYTES;
        mosaic->entropy_terms[count] = (uint16_t)(-share * log2(share) * ENTROPY_SCALE);
    }
    mosaic->cells = km_calloc(max_pixels, sizeof *mosaic->cells, SIZE_MAX, err);
    return mosaic->cells ? km_steal(mosaic) : NULL;
}

void km_mosaic_free(struct km_mosaic *mosaic)
{
    if (!mosaic)
        return;
    free(mosaic->cells);
    free(mosaic->entries);
    free(mosaic);
}

static uint8_t mean(uint8_t a, uint8_t b)
{
    return (uint8_t)((a + b + 1U) / 2);
}

/* Makes room when every cell is used: a cell becomes twice as large. */
static void merge_neighbours(struct km_mosaic *mosaic)
{
    for (size_t i = 0; i + 1 < mosaic->cell_count; i += 2) {
        struct km_mosaic_cell a = mosaic->cells[i], b = mosaic->cells[i + 1];
        mosaic->cells[i / 2] = (struct km_mosaic_cell){mean(a.zero, b.zero), mean(a.text, b.text), mean(a.high, b.high),
                                                       mean(a.entropy, b.entropy)};
    }
    mosaic->cell_count /= 2;
    mosaic->cell_bytes *= 2;
}

static void finish_cell(struct km_mosaic *mosaic)
{
    uint64_t bytes = mosaic->sum.bytes;
    mosaic->cells[mosaic->cell_count++] = (struct km_mosaic_cell){
        (uint8_t)(mosaic->sum.zero * 255 / bytes),
        (uint8_t)(mosaic->sum.text * 255 / bytes),
        (uint8_t)(mosaic->sum.high * 255 / bytes),
        (uint8_t)(mosaic->sum.entropy / bytes),
    };
    memset(&mosaic->sum, 0, sizeof mosaic->sum);
    if (mosaic->cell_count == mosaic->max_cells)
        merge_neighbours(mosaic);
}

/* 255 = 8 bits, which a short chunk cannot reach: it is measured against what it can. */
static uint8_t chunk_entropy(const struct km_mosaic *mosaic)
{
    uint16_t counts[256] = {0};
    size_t length = mosaic->chunk_length;
    for (size_t i = 0; i < length; i++)
        counts[mosaic->chunk[i]]++;
    uint64_t sum = 0;
    for (size_t byte = 0; byte < 256; byte++)
        sum += mosaic->entropy_terms[(size_t)counts[byte] * KM_MOSAIC_CHUNK_BYTES / length];
    uint64_t scaled = sum * 255 / (uint64_t)(8 * ENTROPY_SCALE);
    return scaled > 255 ? 255 : (uint8_t)scaled;
}

static void flush_chunk(struct km_mosaic *mosaic)
{
    if (mosaic->chunk_length == 0)
        return;
    uint8_t entropy = chunk_entropy(mosaic);
    for (size_t i = 0; i < mosaic->chunk_length;) {
        uint64_t room = mosaic->cell_bytes - mosaic->sum.bytes;
        size_t part = mosaic->chunk_length - i < room ? mosaic->chunk_length - i : (size_t)room;
        uint32_t counts = 0;
        for (size_t k = 0; k < part; k++)
            counts += mosaic->class_counts[mosaic->chunk[i + k]];
        mosaic->sum.zero += counts & COUNT_MASK;
        mosaic->sum.text += counts >> TEXT_SHIFT & COUNT_MASK;
        mosaic->sum.high += counts >> HIGH_SHIFT;
        mosaic->sum.entropy += (uint64_t)entropy * part;
        mosaic->sum.bytes += part;
        i += part;
        if (mosaic->sum.bytes == mosaic->cell_bytes)
            finish_cell(mosaic);
    }
    mosaic->chunk_length = 0;
}

/* Zeros without looking at each: whole cells at a time, which become fewer as they grow. */
static void add_zeros(struct km_mosaic *mosaic, uint64_t length)
{
    while (length > 0) {
        uint64_t room = mosaic->cell_bytes - mosaic->sum.bytes;
        uint64_t part = length < room ? length : room;
        mosaic->sum.bytes += part;
        mosaic->sum.zero += part;
        length -= part;
        if (mosaic->sum.bytes == mosaic->cell_bytes)
            finish_cell(mosaic);
    }
}

void km_mosaic_add(struct km_mosaic *mosaic, const uint8_t *bytes, uint64_t length)
{
    uint64_t left = UINT64_MAX / 2 - mosaic->position; /* a hole may claim anything */
    length = length < left ? length : left;
    mosaic->position += length;
    if (!bytes) {
        flush_chunk(mosaic);
        add_zeros(mosaic, length);
        return;
    }
    while (length > 0) {
        size_t room = KM_MOSAIC_CHUNK_BYTES - mosaic->chunk_length;
        size_t part = length < room ? (size_t)length : room;
        memcpy(mosaic->chunk + mosaic->chunk_length, bytes, part);
        mosaic->chunk_length += part;
        bytes += part;
        length -= part;
        if (mosaic->chunk_length == KM_MOSAIC_CHUNK_BYTES)
            flush_chunk(mosaic);
    }
}

static void begin_layer(struct km_mosaic *mosaic, uint32_t id)
{
    if (mosaic->layer_count > 0 && mosaic->layers[mosaic->layer_count - 1].id == id)
        return;
    if (mosaic->layer_count == KM_MOSAIC_MAX_LAYERS)
        return;
    mosaic->layers[mosaic->layer_count++] = (struct km_mosaic_layer){.id = id, .begin = mosaic->position};
}

enum km_code km_mosaic_begin_entry(struct km_mosaic *mosaic, uint32_t layer, uint64_t *out_entry, struct km_err *err)
{
    if (mosaic->entry_count < KM_MOSAIC_MAX_ENTRIES) {
        void *entries = mosaic->entries;
        enum km_code code = km_grow(&entries, &mosaic->entry_capacity, mosaic->entry_count + 1, sizeof *mosaic->entries,
                                    KM_MOSAIC_MAX_ENTRIES, err);
        mosaic->entries = entries;
        if (code != KM_OK)
            return code;
        mosaic->entries[mosaic->entry_count++] = mosaic->position;
    }
    begin_layer(mosaic, layer);
    mosaic->layers[mosaic->layer_count - 1].entries++;
    *out_entry = mosaic->entry_total++;
    return KM_OK;
}

void km_mosaic_end_entry(struct km_mosaic *mosaic)
{
    flush_chunk(mosaic);
}

/* Printable ASCII for the built-in font, cut in the middle: both ends of a path say something. */
static void copy_text(const char *text, char out[KM_MOSAIC_TEXT_BYTES])
{
    char escaped[1024];
    size_t length = km_text_escape(text, strlen(text), escaped, sizeof escaped);
    size_t room = KM_MOSAIC_TEXT_BYTES - 1;
    if (length <= room) {
        memcpy(out, escaped, length + 1);
        return;
    }
    size_t front = (room - 3) / 3, back = room - 3 - front;
    snprintf(out, KM_MOSAIC_TEXT_BYTES, "%.*s...%s", (int)front, escaped, escaped + length - back);
}

void km_mosaic_name_layer(struct km_mosaic *mosaic, uint32_t layer, const char *text)
{
    for (unsigned i = 0; i < mosaic->layer_count; i++)
        if (mosaic->layers[i].id == layer)
            copy_text(text, mosaic->layers[i].text);
}

void km_mosaic_mark(struct km_mosaic *mosaic, uint64_t entry, uint64_t begin, uint64_t end,
                    enum km_mosaic_severity severity, const char *label)
{
    mosaic->mark_total++;
    if (mosaic->mark_count == KM_MOSAIC_MAX_MARKS || entry >= mosaic->entry_count)
        return;
    uint64_t first = mosaic->entries[entry];
    uint64_t behind = entry + 1 < mosaic->entry_count ? mosaic->entries[entry + 1] : mosaic->position;
    uint64_t size = behind - first;
    begin = begin < size ? begin : size;
    end = end < size ? end : size;
    if (mosaic->mark_count < KM_MOSAIC_MAX_LABELS)
        copy_text(label, mosaic->labels[mosaic->mark_count]);
    mosaic->marks[mosaic->mark_count++] =
        (struct km_mosaic_mark){first + begin, first + (end > begin ? end : begin), severity};
}
