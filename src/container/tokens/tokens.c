#include "container/tokens/tokens.h"

#include <string.h>

#include "container/tokens/elfsymbols.h"
#include "container/tokens/idset.h"
#include "container/tokens/tokenhash.h"
#include "container/tokens/tokentexts.h"
#include "container/tokens/wordscan.h"

#define MARGIN       KM_WORDSCAN_MARGIN
#define FULL         (KM_TOKEN_WINDOW_BYTES + MARGIN) /* bytes from the window's begin that decide all its words */
#define HEAD_WINDOWS (KM_TOKEN_HEAD_BYTES / KM_TOKEN_WINDOW_BYTES)
#define HELD_IDS     ((size_t)1 << 17)
#define MAX_SYMBOLS  (KM_ELF_MAX_SYMBOLS - 1)
#define MAX_LINE     128 /* of an interpreter line */

/* A window of an ELF file's head, kept back because its symbols come when the file is over. */
struct held {
    struct km_token_window window; /* without its set */
    size_t begin, count;           /* in held_ids */
};

struct symbol {
    uint32_t id;
    uint32_t window;
};

struct km_token_extractor {
    struct km_token_sink sink;
    uint64_t fed;          /* bytes of the file so far */
    uint64_t window_begin; /* in the file */
    size_t filled;         /* bytes in the buffer from the window's begin */
    bool has_headers;      /* of an ELF file with a dynamic segment */
    uint32_t windows;
    struct km_elf elf;
    uint32_t dynamic_filled;
    size_t held_count, held_used, symbol_count;
    struct held held[HEAD_WINDOWS];
    struct km_wordscan scan;
    struct km_idset window, file;
    struct km_token_texts texts;
    uint8_t buffer[KM_WORDSCAN_BUFFER + 64]; /* MARGIN bytes before the window, then it and what is behind it */
    uint8_t head[KM_TOKEN_HEAD_BYTES];
    uint8_t dynamic[KM_ELF_DYNAMIC_BYTES];
    uint32_t ids[KM_TOKEN_IDS]; /* of the window, and in the end of the file; before that, of the windows held */
    uint32_t held_ids[HELD_IDS];
    struct symbol symbols[MAX_SYMBOLS];
};

_Static_assert(sizeof(struct km_token_extractor) < (size_t)4 << 20, "tokens.h promises it");

struct km_token_extractor *km_token_extractor_new(struct km_err *err)
{
    struct km_token_extractor *extractor = km_calloc(1, sizeof *extractor, sizeof *extractor, err);
    if (extractor)
        km_token_extractor_begin(extractor, NULL);
    return extractor;
}

void km_token_extractor_free(struct km_token_extractor *extractor)
{
    free(extractor);
}

void km_token_extractor_begin(struct km_token_extractor *extractor, const struct km_token_sink *sink)
{
    extractor->sink = sink ? *sink : (struct km_token_sink){0};
    extractor->fed = extractor->window_begin = 0;
    extractor->filled = 0;
    extractor->has_headers = false;
    extractor->windows = 0;
    extractor->elf = (struct km_elf){0};
    extractor->dynamic_filled = 0;
    extractor->held_count = extractor->held_used = extractor->symbol_count = 0;
    memset(extractor->buffer, 0, MARGIN);
    km_wordscan_reset(&extractor->scan);
    km_idset_clear(&extractor->window);
    km_idset_clear(&extractor->file);
    km_token_texts_clear(&extractor->texts);
}

void km_token_extractor_want(struct km_token_extractor *extractor, const uint64_t *ids)
{
    extractor->texts.wanted = ids;
}

bool km_token_extractor_text(const struct km_token_extractor *extractor, uint32_t id, char out[KM_TOKEN_TEXT_BYTES])
{
    return km_idset_has(&extractor->file, id) && km_token_texts_find(&extractor->texts, id, out);
}

static bool is_new(void *context, uint64_t hash)
{
    const struct km_token_extractor *extractor = context;
    return !km_idset_has(&extractor->window, km_token_id(hash));
}

static void take_token(struct km_token_extractor *extractor, enum km_token_kind kind, const uint8_t *text,
                       size_t length, uint64_t hash)
{
    uint32_t id = km_token_id(hash);
    if (km_idset_add(&extractor->window, id) && km_idset_add(&extractor->file, id))
        km_token_texts_add(&extractor->texts, id, kind, text, length);
}

static void take_word(void *context, const uint8_t *text, size_t length, uint64_t hash)
{
    take_token(context, KM_TOKEN_WORD, text, length, hash);
    if (length >= KM_TOKEN_STEM_BYTES && !memchr(text, '_', KM_TOKEN_STEM_BYTES))
        take_token(context, KM_TOKEN_STEM, text, KM_TOKEN_STEM_BYTES, km_token_hash_stem(text));
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t';
}

/* The next word of an interpreter line: its last path component without version, line[*at .. *at + length). */
static size_t read_program(const uint8_t *line, size_t end, size_t *at, size_t *out_next)
{
    size_t begin = *at;
    while (begin < end && is_blank(line[begin]))
        begin++;
    size_t stop = begin;
    for (; stop < end && !is_blank(line[stop]); stop++)
        if (line[stop] == '/')
            begin = stop + 1;
    *out_next = stop;
    while (stop > begin && ((line[stop - 1] >= '0' && line[stop - 1] <= '9') || line[stop - 1] == '.'))
        stop--;
    *at = begin;
    return stop - begin;
}

/* "#!/usr/bin/env python3": python. */
static void take_interpreter(struct km_token_extractor *extractor)
{
    const uint8_t *line = extractor->buffer + MARGIN;
    size_t end = 2, next;
    if (extractor->filled < 3 || line[0] != '#' || line[1] != '!')
        return;
    while (end < extractor->filled && end < MAX_LINE && line[end] >= ' ' && line[end] < 0x7f)
        end++;
    size_t at = 2, length = read_program(line, end, &at, &next);
    while (length > 0 && ((length == 3 && memcmp(line + at, "env", 3) == 0) || line[at] == '-')) {
        at = next;
        length = read_program(line, end, &at, &next);
    }
    if (length > 0)
        take_token(extractor, KM_TOKEN_INTERPRETER, line + at, length,
                   km_token_hash(KM_TOKEN_INTERPRETER, (const char *)line + at, length));
}

static enum km_code tell_window(struct km_token_extractor *extractor, struct km_token_window *window,
                                struct km_err *err)
{
    extractor->windows++;
    if (!extractor->sink.window)
        return KM_OK;
    window->set.ids = extractor->ids;
    window->set.count = km_idset_list(&extractor->window, extractor->ids);
    return extractor->sink.window(extractor->sink.context, window, err);
}

/* Tells the window, or keeps it back for its symbols. */
static enum km_code finish_window(struct km_token_extractor *extractor, size_t length, struct km_err *err)
{
    enum km_code code = KM_OK;
    struct km_token_window window = {.offset = extractor->window_begin, .bytes = (uint32_t)length};
    bool hold = extractor->has_headers && window.offset < KM_TOKEN_HEAD_BYTES &&
                HELD_IDS - extractor->held_used >= extractor->window.count;
    if (hold) {
        struct held *held = &extractor->held[extractor->held_count++];
        held->window = window;
        held->begin = extractor->held_used;
        held->count = km_idset_list(&extractor->window, extractor->held_ids + held->begin);
        extractor->held_used += held->count;
    } else if (extractor->window.count > 0) {
        code = tell_window(extractor, &window, err);
    }
    km_idset_clear(&extractor->window);
    return code;
}

/* What of the dynamic segment went by before the headers were read; the rest is kept as it comes. */
static void start_dynamic(struct km_token_extractor *extractor)
{
    const struct km_elf *elf = &extractor->elf;
    if (elf->dynamic_offset >= extractor->fed)
        return;
    uint64_t there = extractor->fed - elf->dynamic_offset;
    extractor->dynamic_filled = there < elf->dynamic_bytes ? (uint32_t)there : elf->dynamic_bytes;
    memcpy(extractor->dynamic, extractor->head + elf->dynamic_offset, extractor->dynamic_filled);
}

static void keep_dynamic(struct km_token_extractor *extractor, const uint8_t *bytes, uint64_t length)
{
    uint64_t begin = extractor->elf.dynamic_offset + extractor->dynamic_filled;
    uint32_t room = extractor->elf.dynamic_bytes - extractor->dynamic_filled;
    if (room == 0 || extractor->fed > begin || length <= begin - extractor->fed)
        return;
    uint64_t skip = begin - extractor->fed;
    uint32_t take = length - skip < room ? (uint32_t)(length - skip) : room;
    if (bytes)
        memcpy(extractor->dynamic + extractor->dynamic_filled, bytes + skip, take);
    else
        memset(extractor->dynamic + extractor->dynamic_filled, 0, take);
    extractor->dynamic_filled += take;
}

static void read_headers(struct km_token_extractor *extractor)
{
    extractor->has_headers = km_elf_read_headers(extractor->head, (size_t)extractor->fed, &extractor->elf);
    if (extractor->has_headers)
        start_dynamic(extractor);
}

/* The words of the window's first `length` bytes. */
static enum km_code scan_window(struct km_token_extractor *extractor, size_t length, struct km_err *err)
{
    if (extractor->window_begin == 0) {
        read_headers(extractor); /* here, and not in feed, so that the same bytes are at hand however they came */
        take_interpreter(extractor);
    }
    struct km_word_sink sink = {.context = extractor, .word = take_word, .is_new = is_new};
    km_wordscan_run(&extractor->scan, extractor->buffer, length, &sink);
    return finish_window(extractor, length, err);
}

/* Makes the next window the one in the buffer. */
static void shift_window(struct km_token_extractor *extractor)
{
    size_t rest = extractor->filled - KM_TOKEN_WINDOW_BYTES;
    memmove(extractor->buffer, extractor->buffer + KM_TOKEN_WINDOW_BYTES, MARGIN + rest);
    extractor->filled = rest;
    extractor->window_begin += KM_TOKEN_WINDOW_BYTES;
}

static void take_bytes(struct km_token_extractor *extractor, const uint8_t *bytes, size_t length)
{
    uint8_t *place = extractor->buffer + MARGIN + extractor->filled;
    if (bytes)
        memcpy(place, bytes, length);
    else
        memset(place, 0, length);
    if (extractor->fed < KM_TOKEN_HEAD_BYTES && (extractor->window_begin == 0 || extractor->has_headers)) {
        size_t at = (size_t)extractor->fed, room = KM_TOKEN_HEAD_BYTES - at;
        memcpy(extractor->head + at, place, length < room ? length : room);
    }
    if (extractor->has_headers)
        keep_dynamic(extractor, bytes, length);
    extractor->filled += length;
    extractor->fed += length;
}

enum km_code km_token_extractor_feed(struct km_token_extractor *extractor, const void *bytes, uint64_t length,
                                     struct km_err *err)
{
    const uint8_t *at = bytes;
    uint64_t zeros = 0; /* of this hole, taken so far */
    while (length > 0) {
        if (!at && zeros >= 2 * FULL && length >= KM_TOKEN_WINDOW_BYTES) {
            /* Nothing but zeros in the buffer: windows of zeros have no words. */
            uint64_t skip = length / KM_TOKEN_WINDOW_BYTES * KM_TOKEN_WINDOW_BYTES;
            if (extractor->has_headers)
                keep_dynamic(extractor, NULL, skip);
            if (extractor->has_headers && extractor->fed < KM_TOKEN_HEAD_BYTES)
                memset(extractor->head + extractor->fed, 0, KM_TOKEN_HEAD_BYTES - (size_t)extractor->fed);
            extractor->window_begin += skip;
            extractor->fed += skip;
            length -= skip;
            continue;
        }
        size_t step = FULL - extractor->filled;
        step = length < step ? (size_t)length : step;
        take_bytes(extractor, at, step);
        at = at ? at + step : NULL;
        zeros += step;
        length -= step;
        if (extractor->filled < FULL)
            break;
        enum km_code code = scan_window(extractor, KM_TOKEN_WINDOW_BYTES, err);
        if (code != KM_OK)
            return code;
        shift_window(extractor);
    }
    return KM_OK;
}

/* What is left in the buffer: one window, or one and the begin of another. */
static enum km_code scan_rest(struct km_token_extractor *extractor, struct km_err *err)
{
    enum km_code code = KM_OK;
    while (code == KM_OK && extractor->filled > 0) {
        size_t length = extractor->filled < KM_TOKEN_WINDOW_BYTES ? extractor->filled : KM_TOKEN_WINDOW_BYTES;
        memset(extractor->buffer + MARGIN + extractor->filled, 0,
               sizeof extractor->buffer - MARGIN - extractor->filled);
        code = scan_window(extractor, length, err);
        if (extractor->filled <= KM_TOKEN_WINDOW_BYTES)
            break;
        shift_window(extractor);
    }
    return code;
}

static void take_symbol(void *context, enum km_token_kind kind, size_t offset, size_t length)
{
    struct km_token_extractor *extractor = context;
    const uint8_t *text = extractor->head + offset;
    if (kind == KM_TOKEN_NEEDED) {
        const uint8_t *suffix = memmem(text, length, ".so", 3);
        length = suffix ? (size_t)(suffix - text) : length;
    }
    uint32_t id = km_token_id(km_token_hash(kind, (const char *)text, length));
    if (km_idset_add(&extractor->file, id))
        km_token_texts_add(&extractor->texts, id, kind, text, length);
    if (extractor->symbol_count < MAX_SYMBOLS)
        extractor->symbols[extractor->symbol_count++] =
            (struct symbol){.id = id, .window = (uint32_t)(offset / KM_TOKEN_WINDOW_BYTES)};
}

static enum km_token_symbols read_symbols(struct km_token_extractor *extractor)
{
    if (!extractor->has_headers)
        return KM_TOKEN_SYMBOLS_NONE;
    struct km_elf_names names = {.context = extractor, .name = take_symbol};
    size_t length = extractor->fed < KM_TOKEN_HEAD_BYTES ? (size_t)extractor->fed : KM_TOKEN_HEAD_BYTES;
    return km_elf_read_symbols(&extractor->elf, extractor->head, length, extractor->dynamic, extractor->dynamic_filled,
                               &names);
}

/* The windows that were kept back, with their symbols. */
static enum km_code tell_held(struct km_token_extractor *extractor, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < extractor->held_count; i++) {
        struct held *held = &extractor->held[i];
        for (size_t k = 0; k < held->count; k++)
            (void)km_idset_add(&extractor->window, extractor->held_ids[held->begin + k]);
        for (size_t k = 0; k < extractor->symbol_count; k++)
            if (extractor->symbols[k].window == held->window.offset / KM_TOKEN_WINDOW_BYTES)
                (void)km_idset_add(&extractor->window, extractor->symbols[k].id);
        if (extractor->window.count > 0)
            code = tell_window(extractor, &held->window, err);
        km_idset_clear(&extractor->window);
    }
    return code;
}

enum km_code km_token_extractor_end(struct km_token_extractor *extractor, struct km_token_file *out, struct km_err *err)
{
    enum km_code code = scan_rest(extractor, err);
    if (code != KM_OK)
        return code;
    enum km_token_symbols symbols = read_symbols(extractor);
    code = tell_held(extractor, err);
    if (code != KM_OK)
        return code;
    *out = (struct km_token_file){.bytes = extractor->fed, .windows = extractor->windows, .symbols = symbols};
    out->set.ids = extractor->ids;
    out->set.count = km_idset_list(&extractor->file, extractor->ids);
    return KM_OK;
}
