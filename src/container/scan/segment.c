#include "container/scan/segment.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "container/tokens/tokens.h"

/* Little endian on disk, whatever the machine. */
#define RECORD_MAGIC 0x32534d4bU /* "KMS2" */
#define MAX_LOGIT    1e6F

void km_segment_done(struct km_segment *segment)
{
    free(segment->ids);
    segment->ids = NULL;
    segment->id_count = 0;
}

/* ---- Writing ---- */

static enum km_code put32(struct km_buf *out, uint32_t value, struct km_err *err)
{
    const uint8_t bytes[] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16), (uint8_t)(value >> 24)};
    return km_buf_append(out, bytes, sizeof bytes, err);
}

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static enum km_code put_text(struct km_buf *out, const char *text, struct km_err *err)
{
    size_t length = strlen(text);
    const uint8_t head = (uint8_t)length;
    enum km_code code = km_buf_append(out, &head, 1, err);
    return code == KM_OK ? km_buf_append(out, text, length, err) : code;
}

static enum km_code put_ids(struct km_buf *out, const struct km_segment *segment, struct km_err *err)
{
    enum km_code code = put32(out, (uint32_t)segment->id_count, err);
    uint32_t before = 0;
    for (size_t i = 0; code == KM_OK && i < segment->id_count; i++) {
        uint8_t bytes[5];
        size_t n = 0;
        uint32_t step = segment->ids[i] - before;
        for (; step >= 0x80; step >>= 7)
            bytes[n++] = (uint8_t)(step | 0x80);
        bytes[n++] = (uint8_t)step;
        before = segment->ids[i];
        code = km_buf_append(out, bytes, n, err);
    }
    return code;
}

static enum km_code put_numbers(struct km_buf *out, const uint32_t *numbers, size_t count, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (size_t i = 0; code == KM_OK && i < count; i++)
        code = put32(out, numbers[i], err);
    return code;
}

static enum km_code put_scores(struct km_buf *out, const struct km_segment_scores *s, struct km_err *err)
{
    const uint32_t head[] = {bits_of(s->file_logit), bits_of(s->window_logit), s->windows,      s->window_begin,
                             bits_of(s->known),      bits_of(s->benign),       bits_of(s->sum), s->cells,
                             s->range_count,         s->reason_count};
    enum km_code code = put_numbers(out, head, sizeof head / sizeof head[0], err);
    for (size_t i = 0; code == KM_OK && i < s->range_count; i++) {
        const uint32_t row[] = {(uint32_t)s->ranges[i].begin, (uint32_t)s->ranges[i].end, bits_of(s->ranges[i].logit)};
        code = put_numbers(out, row, 3, err);
    }
    for (size_t i = 0; code == KM_OK && i < s->reason_count; i++) {
        code = put32(out, bits_of(s->reasons[i].weight), err);
        if (code == KM_OK)
            code = put_text(out, s->reasons[i].text, err);
    }
    return code == KM_OK ? put_text(out, s->lookalike, err) : code;
}

enum km_code km_segment_format(const struct km_segment *segment, struct km_buf *out, struct km_err *err)
{
    const struct km_segment_part *part = &segment->part;
    const uint32_t head[] = {RECORD_MAGIC, (uint32_t)segment->length, segment->is_whole, part->end};
    const uint32_t place[] = {part->begin, bits_of(part->rank)};
    enum km_code code = put_numbers(out, head, sizeof head / sizeof head[0], err);
    if (code == KM_OK && part->end > 0)
        code = put_numbers(out, place, 2, err);
    if (code == KM_OK && part->end > 0)
        code = put_scores(out, &part->scores, err);
    if (code == KM_OK)
        code = put_scores(out, &segment->scores, err);
    return code == KM_OK ? put_ids(out, segment, err) : code;
}

/* ---- Reading ---- */

struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static uint32_t get32(struct reader *r)
{
    if (r->end - r->at < 4) {
        r->bad = true;
        return 0;
    }
    uint32_t value = r->at[0] | (uint32_t)r->at[1] << 8 | (uint32_t)r->at[2] << 16 | (uint32_t)r->at[3] << 24;
    r->at += 4;
    return value;
}

/* NaN is "unknown"; other numbers have their bounds. */
static float get_real(struct reader *r)
{
    float value;
    uint32_t bits = get32(r);
    memcpy(&value, &bits, sizeof value);
    if (!isnan(value) && !(fabsf(value) <= MAX_LOGIT))
        r->bad = true;
    return isnan(value) ? NAN : value;
}

static void get_text(struct reader *r, char *out, size_t out_bytes)
{
    size_t length = r->at < r->end ? *r->at : SIZE_MAX;
    if (length >= out_bytes || (size_t)(r->end - r->at) - 1 < length) {
        r->bad = true;
        return;
    }
    for (size_t i = 0; i < length; i++) {
        char c = (char)r->at[1 + i];
        r->bad = r->bad || c < ' ' || c > '~';
        out[i] = c;
    }
    out[length] = '\0';
    r->at += 1 + length;
}

static uint32_t get_step(struct reader *r)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28 && r->at < r->end; shift += 7) {
        uint8_t byte = *r->at++;
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    r->bad = true;
    return 0;
}

static void get_ranges(struct reader *r, struct km_segment_scores *s)
{
    if (s->range_count > KM_DETECTOR_RANGES)
        r->bad = true;
    for (size_t i = 0; !r->bad && i < s->range_count; i++) {
        uint32_t begin = get32(r), end = get32(r);
        s->ranges[i] = (struct km_score_range){begin, end, get_real(r)};
        r->bad = r->bad || begin >= end || end > s->bytes || isnan(s->ranges[i].logit);
    }
}

static void get_reasons(struct reader *r, struct km_segment_scores *s)
{
    if (s->reason_count > KM_DETECTOR_REASONS)
        r->bad = true;
    for (size_t i = 0; !r->bad && i < s->reason_count; i++) {
        s->reasons[i].weight = get_real(r);
        get_text(r, s->reasons[i].text, sizeof s->reasons[i].text);
        r->bad = r->bad || isnan(s->reasons[i].weight);
    }
}

static enum km_code get_ids(struct reader *r, struct km_segment *segment, struct km_err *err)
{
    uint32_t count = get32(r);
    if (r->bad || count == 0)
        return KM_OK;
    if (segment->is_whole || count > KM_TOKEN_IDS || count > (size_t)(r->end - r->at)) {
        r->bad = true;
        return KM_OK;
    }
    segment->ids = km_calloc(count, sizeof *segment->ids, SIZE_MAX, err);
    if (!segment->ids)
        return err->code;
    segment->id_count = count;
    uint64_t id = 0;
    for (uint32_t i = 0; !r->bad && i < count; i++) {
        uint32_t step = get_step(r);
        id += step;
        r->bad = r->bad || id >= KM_TOKEN_IDS || (i > 0 && step == 0);
        segment->ids[i] = (uint32_t)id;
    }
    return KM_OK;
}

static void get_scores(struct reader *r, size_t length, struct km_segment_scores *out)
{
    struct km_segment_scores s = {.bytes = (uint32_t)length};
    s.file_logit = get_real(r);
    s.window_logit = get_real(r);
    s.windows = get32(r);
    s.window_begin = get32(r);
    s.known = get_real(r);
    s.benign = get_real(r);
    s.sum = get_real(r);
    s.cells = get32(r);
    s.range_count = get32(r);
    s.reason_count = get32(r);
    size_t room = (length + KM_SEGMENT_BYTES - 1) / KM_SEGMENT_BYTES * KM_SEGMENT_BYTES;
    r->bad = r->bad || s.windows > room / KM_TOKEN_WINDOW_BYTES || s.window_begin > length || s.cells > room / 1024 ||
             (s.cells > 0 && isnan(s.sum));
    get_ranges(r, &s);
    get_reasons(r, &s);
    if (!r->bad)
        get_text(r, s.lookalike, sizeof s.lookalike);
    *out = s;
}

static void get_part(struct reader *r, size_t length, struct km_segment_part *out)
{
    struct km_segment_part part = {.end = get32(r)};
    if (!r->bad && part.end > 0) {
        part.begin = get32(r);
        part.rank = get_real(r);
        r->bad = r->bad || part.end > length || part.begin >= part.end || isnan(part.rank);
        if (!r->bad)
            get_scores(r, part.end - part.begin, &part.scores);
    }
    *out = part;
}

enum km_code km_segment_parse(struct km_segment *segment, const uint8_t *record, size_t length, struct km_err *err)
{
    struct reader r = {record, record + length, false};
    struct km_segment read = {.is_whole = segment->is_whole};
    r.bad = get32(&r) != RECORD_MAGIC || get32(&r) != segment->length || get32(&r) != (uint32_t)segment->is_whole;
    if (!r.bad)
        get_part(&r, segment->length, &read.part);
    if (!r.bad)
        get_scores(&r, segment->length, &read.scores);
    enum km_code code = r.bad ? KM_OK : get_ids(&r, &read, err);
    if (code == KM_OK && (r.bad || r.at != r.end))
        code = km_fail(err, KM_FORMAT, "a record of the cache is damaged");
    if (code != KM_OK) {
        km_segment_done(&read);
        return code;
    }
    segment->scores = read.scores;
    segment->part = read.part;
    segment->ids = read.ids;
    segment->id_count = read.id_count;
    return KM_OK;
}
