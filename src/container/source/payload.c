#include "container/source/payload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "container/source/elfhead.h"
#include "container/source/lookahead.h"
#include "container/source/sniff.h"
#include "container/source/tarhead.h"
#include "container/source/upxhead.h"

#define MIN_MAGIC_BYTES   8   /* less cannot be told from chance */
#define MIN_PAYLOAD_BYTES 20  /* no compressed data with content are shorter */
#define TEXT_PROOF        256 /* bytes of a head without "#!" that must all be text */
#define USTAR_AT          257
#define SALT_BYTES        24                  /* of what says of itself that it is encrypted: not all of it is text */
#define TRY_BYTES         ((uint64_t)1 << 20) /* of output, after which compressed data are believed */
#define ZIP_HEADER_BYTES  30
#define NAME_BYTES        24

struct payload {
    struct km_members base;
    struct km_lookahead ahead;
    struct km_payload_place place;
    struct km_inflate_limits limits;
    struct km_stream *inflated; /* of the current payload, or NULL */
    bool raw;                   /* the current payload is an archive's own bytes */
    bool look_only, over, line_begins, signed_by_upx;
    unsigned tries, payloads;
    uint64_t payload_start;
    char name[NAME_BYTES];
};

/* ---- Heads ---- */

/* What the kernel loads ends where the last segment does. Section headers may lie: theirs is within the file or does
 * not count. */
static uint64_t end_of_elf(const struct km_elfhead *elf, const uint8_t *head, size_t length, uint64_t size,
                           uint64_t *out_code_at)
{
    uint64_t end = elf->header_bytes, sections = km_elfhead_sections_end(elf);
    struct km_elfhead_program program;
    for (size_t i = 0; km_elfhead_program(elf, head, length, i, &program); i++) {
        if (program.type != KM_ELFHEAD_LOAD)
            continue;
        if (*out_code_at == 0 && (program.flags & KM_ELFHEAD_EXECUTE))
            *out_code_at = program.begin;
        end = program.end > end ? program.end : end;
    }
    if (end > size) /* the kernel maps what is not there, too: nothing it says of its end can be believed */
        return elf->header_bytes;
    return sections > end && sections <= size ? sections : end;
}

static bool is_text(const uint8_t *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if ((bytes[i] < 0x20 && !(bytes[i] >= '\t' && bytes[i] <= '\r')) || bytes[i] >= 0x7f)
            return false;
    return true;
}

struct km_payload_place km_payload_expect(const uint8_t *head, size_t length, uint64_t size)
{
    struct km_elfhead elf;
    if (km_elfhead_read(head, length, &elf)) {
        struct km_payload_place place = {.head = KM_PAYLOAD_ELF};
        place.from = end_of_elf(&elf, head, length, size, &place.code_at);
        return place;
    }
    bool script = length >= 3 && head[0] == '#' && head[1] == '!';
    if (script || (length >= TEXT_PROOF && is_text(head, TEXT_PROOF)))
        return (struct km_payload_place){.head = KM_PAYLOAD_TEXT};
    return (struct km_payload_place){.head = KM_PAYLOAD_NONE};
}

/* ---- Finding a magic number ---- */

/* Most lines of most texts end here: two bytes of every magic number of sniff.c, the second ones by the first. */
static bool starts_like_magic(const uint8_t *bytes)
{
    static const uint8_t seconds[256][2] = {
        [0x04] = {0x22}, [0x1f] = {0x8b}, [0x28] = {0xb5}, ['!'] = {'<'},      ['-'] = {'-'},
        ['0'] = {'7'},   ['7'] = {'z'},   ['B'] = {'Z'},   ['L'] = {'U', 'Z'}, ['M'] = {'S'},
        ['P'] = {'K'},   ['Q'] = {'F'},   ['R'] = {'a'},   ['S'] = {'a'},      ['a'] = {'g'},
        ['h'] = {'s'},   ['x'] = {'a'},   [0x89] = {'L'},  [0xed] = {0xab},    [0xfd] = {'7'},
    };
    const uint8_t *second = seconds[bytes[0]];
    return bytes[1] != 0 && (bytes[1] == second[0] || bytes[1] == second[1]);
}

/* The formats that are looked for. Textual magics (cpio, ar, PGP) mean something only where binary data are expected.
 */
static bool may_begin(const struct payload *self, const uint8_t *bytes, size_t length)
{
    if (length > USTAR_AT + 5 && memcmp(bytes + USTAR_AT, "ustar", 5) == 0)
        return true;
    if (length < MIN_MAGIC_BYTES || !starts_like_magic(bytes))
        return false;
    switch (km_sniff(bytes, length)) {
    case KM_CONTENT_GZIP:
    case KM_CONTENT_ZSTD:
    case KM_CONTENT_XZ:
    case KM_CONTENT_BZIP2:
    case KM_CONTENT_ZIP:
    case KM_CONTENT_TAR:
    case KM_CONTENT_UNSUPPORTED:
        return true;
    case KM_CONTENT_AR:
    case KM_CONTENT_CPIO:
        return self->place.head == KM_PAYLOAD_ELF;
    case KM_CONTENT_ENCRYPTED:
        return self->place.head == KM_PAYLOAD_ELF || !is_text(bytes, length < SALT_BYTES ? length : SALT_BYTES);
    case KM_CONTENT_PLAIN:
        break;
    }
    return false;
}

/* The first place in a block where something may begin; `length` when there is none. Of the last bytes, in which a
 * magic would be cut off, the caller keeps enough unless the stream is over. */
static size_t find_place(const struct payload *self, const uint8_t *bytes, size_t length, bool last)
{
    size_t end = last ? length : length - KM_SNIFF_BYTES;
    if (self->place.head == KM_PAYLOAD_ELF) {
        for (size_t i = 0; i < end; i++)
            if (may_begin(self, bytes + i, length - i))
                return i;
        return end;
    }
    size_t i = 0;
    bool line = self->line_begins;
    while (i < end) {
        if (line && may_begin(self, bytes + i, length - i))
            return i;
        const uint8_t *newline = memchr(bytes + i, '\n', end - i);
        if (!newline)
            return end;
        i = (size_t)(newline - bytes) + 1;
        line = true;
    }
    return end;
}

/* ---- Proving it ---- */

static bool zip_holds(const uint8_t *bytes, size_t length)
{
    if (length < ZIP_HEADER_BYTES)
        return false;
    uint64_t version = km_elfhead_number(bytes + 4, 1, false), method = km_elfhead_number(bytes + 8, 2, false),
             name = km_elfhead_number(bytes + 26, 2, false);
    bool method_known = method == 0 || method == 8 || method == 9 || method == 12 || method == 14 || method == 93 ||
                        method == 95 || method == 99;
    return memcmp(bytes, "PK\3\4", 4) == 0 && version <= 63 && method_known && name > 0 && name <= 4096;
}

/* Decodes what is shown; true unless it is damaged, which 256 KiB of chance are not long in being. */
static enum km_code decodes(struct payload *self, enum km_content content, const uint8_t *bytes, size_t length,
                            bool *out_holds, struct km_err *err)
{
    struct km_stream *memory KM_CLEANUP(km_stream_cleanup) = km_stream_new_memory(bytes, length, err);
    struct km_stream *inflated KM_CLEANUP(km_stream_cleanup) =
        memory ? km_inflate_new(content, memory, &self->limits, err) : NULL;
    if (!inflated)
        return err->code;
    uint64_t made = 0;
    enum km_code code = km_stream_skip(inflated, TRY_BYTES, &made, err);
    if (code != KM_OK)
        return code;
    if (made == TRY_BYTES) {
        *out_holds = true;
        return KM_OK;
    }
    const struct km_fault *fault = km_inflate_fault(inflated);
    bool cut = fault && fault->reason == KM_GAP_TRUNCATED;
    bool whole = !fault || fault->reason == KM_GAP_TRAILING;
    bool refused = fault && (fault->reason == KM_GAP_LIMIT || fault->reason == KM_GAP_UNSUPPORTED);
    /* A block of bzip2 or zstd may be longer than what is shown; their magic numbers and headers are longer, too. */
    bool long_blocks = content == KM_CONTENT_BZIP2 || content == KM_CONTENT_ZSTD;
    *out_holds = (whole && made > 0) || refused || (cut && (made > 0 || (long_blocks && length == KM_LOOKAHEAD_MAX)));
    return KM_OK;
}

static enum km_code holds(struct payload *self, enum km_content *out_content, bool *out_holds, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t length = 0;
    enum km_code code = km_lookahead_show(&self->ahead, KM_LOOKAHEAD_MAX, &bytes, &length, err);
    *out_holds = false;
    if (code != KM_OK || length < MIN_PAYLOAD_BYTES)
        return code;
    length = length < KM_LOOKAHEAD_MAX ? length : KM_LOOKAHEAD_MAX;
    enum km_content content = km_sniff(bytes, length);
    *out_content = content;
    if (km_inflate_handles(content))
        return decodes(self, content, bytes, length, out_holds, err);
    *out_holds = content != KM_CONTENT_PLAIN && (content != KM_CONTENT_ZIP || zip_holds(bytes, length));
    return KM_OK;
}

/* ---- Members ---- */

static enum km_code tell(struct payload *self, enum km_gap_reason reason, const char *detail, struct km_err *err)
{
    const struct km_fault fault = {
        .reason = reason, .offset = self->ahead.base.position, .bytes = UINT64_MAX, .detail = detail};
    return km_members_fault(&self->base, &fault, err);
}

/* A shared library that UPX packed keeps its own headers and is not opened. UPX 3 signs it where its code begins, … */
static enum km_code look_at_code(struct payload *self, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    uint64_t skipped = 0;
    if (self->ahead.base.position >= self->place.code_at)
        return KM_OK;
    enum km_code code =
        km_stream_skip(&self->ahead.base, self->place.code_at - self->ahead.base.position, &skipped, err);
    if (code == KM_OK)
        code = km_lookahead_show(&self->ahead, KM_STREAM_PEEK_MAX, &bytes, &have, err);
    self->signed_by_upx = code == KM_OK && have >= 8 && memcmp(bytes + 4, "UPX!", 4) == 0;
    return code;
}

/* … UPX 4 at the file's end. */
static enum km_code stop(struct payload *self, struct km_err *err)
{
    uint64_t skipped = 0;
    bool first = !self->over;
    self->over = true;
    enum km_code code = km_stream_skip(&self->ahead.base, UINT64_MAX, &skipped, err);
    bool packed = self->place.head == KM_PAYLOAD_ELF &&
                  (self->signed_by_upx || km_upxhead_ends(self->ahead.last, self->ahead.last_bytes));
    if (code != KM_OK || !first || !packed)
        return code;
    return tell(self, KM_GAP_UNSUPPORTED, "packed by UPX in a way that is not opened (a shared library)", err);
}

static void begin_payload(struct payload *self, struct km_member *out)
{
    if (++self->payloads == 1)
        snprintf(self->name, sizeof self->name, "payload");
    else
        snprintf(self->name, sizeof self->name, "payload-%u", self->payloads);
    self->payload_start = self->ahead.base.position;
    *out = (struct km_member){.type = KM_ENTRY_FILE,
                              .path = self->name,
                              .size = KM_SIZE_UNKNOWN,
                              .mode = 0600,
                              .offset = self->payload_start};
}

/* Something that holds was found where the stream stands. */
static enum km_code open_payload(struct payload *self, enum km_content content, struct km_member *out, bool *out_found,
                                 struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    enum km_code code = km_lookahead_show(&self->ahead, KM_STREAM_PEEK_MAX, &bytes, &have, err);
    if (code != KM_OK)
        return code;
    const char *name = km_sniff_name(bytes, have);
    enum km_gap_reason reason = self->look_only                     ? KM_GAP_NESTED
                                : content == KM_CONTENT_ENCRYPTED   ? KM_GAP_ENCRYPTED
                                : content == KM_CONTENT_UNSUPPORTED ? KM_GAP_UNSUPPORTED
                                                                    : KM_GAP_LIMIT;
    if (reason != KM_GAP_LIMIT || self->payloads == KM_PAYLOAD_MAX) {
        code = tell(self, reason, reason == KM_GAP_LIMIT ? "too many payloads" : name, err);
        return code == KM_OK ? stop(self, err) : code;
    }
    self->raw = !km_inflate_handles(content);
    if (!self->raw) {
        self->inflated = km_inflate_new(content, &self->ahead.base, &self->limits, err);
        if (!self->inflated)
            return err->code;
    }
    begin_payload(self, out);
    *out_found = true;
    return KM_OK;
}

/* One step of the search: to the next place, and past it when nothing holds there. */
static enum km_code search(struct payload *self, struct km_member *out, bool *out_found, struct km_err *err)
{
    const uint8_t *bytes = NULL;
    size_t have = 0;
    enum km_code code = km_stream_peek(&self->ahead.base, 1, &bytes, &have, err);
    if (code == KM_OK && have <= KM_SNIFF_BYTES)
        code = km_lookahead_show(&self->ahead, KM_LOOKAHEAD_MAX, &bytes, &have, err);
    if (code != KM_OK || have < MIN_MAGIC_BYTES)
        return code == KM_OK ? stop(self, err) : code;
    bool last = have <= KM_SNIFF_BYTES;
    size_t place = find_place(self, bytes, have, last), end = last ? have : have - KM_SNIFF_BYTES;
    if (place > 0) {
        self->line_begins = bytes[place - 1] == '\n';
        km_stream_consume(&self->ahead.base, place);
    }
    if (place == end)
        return KM_OK;
    if (self->tries++ == KM_PAYLOAD_MAX_TRIES) {
        code = tell(self, KM_GAP_LIMIT, "too many places that look like compressed data", err);
        return code == KM_OK ? stop(self, err) : code;
    }
    enum km_content content = KM_CONTENT_PLAIN;
    bool proven = false;
    code = holds(self, &content, &proven, err);
    if (code != KM_OK)
        return code;
    if (proven)
        return open_payload(self, content, out, out_found, err);
    self->line_begins = false;
    return km_stream_skip(&self->ahead.base, 1, &(uint64_t){0}, err);
}

static enum km_code next_member(struct km_members *members, struct km_member *out, bool *out_found, struct km_err *err)
{
    struct payload *self = (struct payload *)members;
    uint64_t skipped = 0;
    enum km_code code = KM_OK;
    *out_found = false;
    if (self->inflated) {
        km_stream_close(self->inflated);
        self->inflated = NULL;
        self->line_begins = true; /* another one may follow at once */
    }
    if (self->raw && !self->over)
        return stop(self, err);
    code = look_at_code(self, err);
    if (code == KM_OK && self->ahead.base.position < self->place.from)
        code = km_stream_skip(&self->ahead.base, self->place.from - self->ahead.base.position, &skipped, err);
    while (code == KM_OK && !*out_found && !self->over)
        code = search(self, out, out_found, err);
    return code == KM_OK && self->over ? stop(self, err) : code;
}

static enum km_code read_member(struct km_members *members, struct km_piece *out, struct km_err *err)
{
    struct payload *self = (struct payload *)members;
    struct km_stream *stream = self->raw ? &self->ahead.base : self->inflated;
    uint64_t at = self->raw ? stream->position - self->payload_start : stream->position;
    const uint8_t *bytes = NULL;
    size_t got = 0;
    *out = (struct km_piece){0};
    enum km_code code = km_stream_next(stream, UINT64_MAX, &bytes, &got, err);
    if (code != KM_OK)
        return code;
    *out = (struct km_piece){.offset = at, .bytes = bytes, .length = got};
    const struct km_fault *fault = got == 0 && !self->raw ? km_inflate_fault(stream) : NULL;
    if (!fault || fault->reason == KM_GAP_TRAILING) /* what follows is looked at next */
        return KM_OK;
    out->broken = out->told = true;
    struct km_fault told = *fault;
    told.where = self->name;
    return km_members_fault(&self->base, &told, err);
}

static void close_payload(struct km_members *members)
{
    struct payload *self = (struct payload *)members;
    km_stream_close(self->inflated);
    km_lookahead_done(&self->ahead);
    free(self);
}

struct km_members *km_payload_new(struct km_payload_place place, struct km_stream *stream,
                                  const struct km_inflate_limits *limits, bool look_only, struct km_err *err)
{
    struct payload *self = malloc(sizeof *self);
    if (!self) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *self);
        return NULL;
    }
    *self = (struct payload){.place = place, .limits = *limits, .look_only = look_only, .line_begins = true};
    self->base.next = next_member;
    self->base.read = read_member;
    self->base.close = close_payload;
    km_lookahead_init(&self->ahead, stream);
    return &self->base;
}
