#include "daemon/profile/profile_file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/digest.h"
#include "base/json.h"
#include "daemon/profile/profile_internal.h"

#define HEAD_BYTES     56 /* mark 8, version 2, zero 2, sections 4, length 8, SHA-256 32 */
#define HASHED_BYTES   24 /* of the head */
#define MAX_META_BYTES 65536

static const uint8_t file_mark[8] = {'K', 'M', 'P', 'R', 'O', 'F', '\n', 0};

enum section {
    SECTION_META = 1,
    SECTION_NGRAM = 2,
    SECTION_SETS = 3,
    SECTION_ENTITIES = 4,
    SECTION_SPREADS = 5,
    SECTION_KEPT = 6,
    SECTION_CALIBRATION = 7,
};

static void put_le(uint8_t *out, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        out[i] = (uint8_t)(v >> (8 * i));
}

static enum km_code add(struct km_buf *out, uint64_t v, int bytes, struct km_err *err)
{
    uint8_t raw[8];
    put_le(raw, v, bytes);
    return km_buf_append(out, raw, (size_t)bytes, err);
}

static enum km_code add_double(struct km_buf *out, double v, struct km_err *err)
{
    uint64_t raw;
    memcpy(&raw, &v, sizeof raw);
    return add(out, raw, 8, err);
}

static enum km_code save_meta(const struct km_profile *p, const char *note, struct km_buf *out, struct km_err *err)
{
    struct km_json *root KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(root, "unit", p->identity.unit);
    km_json_set_string(root, "role", p->identity.role);
    km_json_set_string(root, "exe", p->identity.exe);
    km_json_set_string(root, "package", p->identity.package);
    km_json_set_string(root, "build_id", p->identity.build_id);
    km_json_set_string(root, "note", note);
    km_json_set_integer(root, "episodes", (int64_t)p->episodes);
    km_json_set_integer(root, "offered", (int64_t)p->kept.offered);
    km_json_set_integer(root, "offered_novel", (int64_t)p->novel.offered);
    km_json_set_integer(root, "learned_ns", (int64_t)(p->last_ns - p->first_ns));
    if (p->pace > 0)
        km_json_set_real(root, "pace", p->pace);
    km_json_set_integer(root, "draw", (int64_t)p->draw);
    km_json_set_real(root, "novelty", p->novelty);
    km_json_set_integer(root, "max_calls", p->rule.max_calls);
    km_json_set_integer(root, "escalate_misses", p->rule.escalate_misses);
    km_json_set_integer(root, "escalate_calls", p->rule.escalate_calls);
    struct km_json *waits = km_json_new_array();
    for (unsigned n = 0; n < KM_CALL_NUMBERS; n++)
        if (km_call_set_has(p->rule.wait_set, n))
            km_json_append(waits, km_json_new_integer(n));
    km_json_set(root, "waits", waits);
    return km_json_format(root, 0, out, err);
}

static enum km_code save_sets(const struct km_profile *p, struct km_buf *out, struct km_err *err)
{
    enum km_code code = add(out, p->sets.count, 4, err);
    for (size_t i = 0; i < p->sets.count && code == KM_OK; i++) {
        const struct km_call_set *set = &p->sets.sets[i];
        code = add(out, set->count, 4, err);
        for (int w = 0; w < KM_CALL_SET_WORDS && code == KM_OK; w++)
            code = add(out, set->bits[w], 8, err);
    }
    return code;
}

static enum km_code save_entities(const struct km_profile *p, struct km_buf *out, struct km_err *err)
{
    enum km_code code = add(out, p->entities.count, 4, err);
    for (size_t i = 0; i < p->entities.count && code == KM_OK; i++) {
        const struct km_entity *e = &p->entities.items[i];
        size_t length = strlen(e->text);
        code = add(out, e->count, 4, err);
        if (code == KM_OK)
            code = add(out, e->kind, 1, err);
        if (code == KM_OK)
            code = add(out, length, 2, err);
        if (code == KM_OK)
            code = km_buf_append(out, e->text, length, err);
    }
    return code;
}

static enum km_code save_spread(const struct km_bits_spread *s, struct km_buf *out, struct km_err *err)
{
    enum km_code code = add_double(out, s->sum, err);
    if (code == KM_OK)
        code = add_double(out, s->calls, err);
    for (int b = 0; b < KM_MEASURE_BINS && code == KM_OK; b++)
        code = add_double(out, s->bin[b], err);
    return code;
}

static enum km_code save_kept(const struct km_kept_list *list, struct km_buf *out, struct km_err *err)
{
    enum km_code code = add(out, list->count, 4, err);
    for (size_t i = 0; i < list->count && code == KM_OK; i++) {
        const struct km_kept *k = &list->items[i];
        uint8_t head[32] = {0};
        put_le(head, k->count, 4);
        head[4] = k->attrs != NULL;
        head[5] = k->start_filled;
        head[6] = k->start_space;
        head[7] = k->novel;
        put_le(head + 8, k->start_window, 8);
        put_le(head + 16, k->duration_ns, 8);
        code = km_buf_append(out, head, 24, err);
        for (size_t c = 0; c < k->count && code == KM_OK; c++)
            code = add(out, k->packed[c], 2, err);
        if (code == KM_OK && k->attrs)
            code = km_buf_append(out, k->attrs, k->count, err);
    }
    return code;
}

static enum km_code save_values(const double *values, size_t count, struct km_buf *out, struct km_err *err)
{
    enum km_code code = add(out, count, 4, err);
    for (size_t i = 0; i < count && code == KM_OK; i++)
        code = add_double(out, values[i], err);
    return code;
}

static enum km_code save_calibration(const struct km_profile *p, struct km_buf *out, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (int v = 0; v < KM_VIEWS && code == KM_OK; v++) {
        for (int c = 0; c < KM_CHANNELS && code == KM_OK; c++)
            code = save_values(p->calibration[v].channel[c].sorted, p->calibration[v].channel[c].count, out, err);
        if (code == KM_OK)
            code = save_values(p->calibration[v].scores, p->calibration[v].score_count, out, err);
    }
    for (int s = 0; s < KM_STRATA && code == KM_OK; s++) {
        code = save_values(p->history[s].scores, p->history[s].count, out, err);
        if (code == KM_OK)
            code = add_double(out, p->history[s].episodes, err);
    }
    return code;
}

static enum km_code save_averages(const struct km_profile *p, struct km_buf *out, struct km_err *err)
{
    enum km_code code = save_spread(&p->known, out, err);
    if (code == KM_OK)
        code = save_spread(&p->unknown, out, err);
    const double foretold[] = {p->foretold.base, p->foretold.per_variety, p->foretold.per_distance};
    for (size_t i = 0; i < sizeof foretold / sizeof foretold[0] && code == KM_OK; i++)
        code = add_double(out, foretold[i], err);
    return code;
}

static enum km_code save_section(const struct km_profile *p, enum section id, const char *note, struct km_buf *out,
                                 struct km_err *err)
{
    switch (id) {
    case SECTION_META:
        return save_meta(p, note, out, err);
    case SECTION_NGRAM:
        return km_ngram_save(p->ngram, out, err);
    case SECTION_SETS:
        return save_sets(p, out, err);
    case SECTION_ENTITIES:
        return save_entities(p, out, err);
    case SECTION_SPREADS:
        return save_averages(p, out, err);
    case SECTION_KEPT: {
        enum km_code code = save_kept(&p->kept, out, err);
        return code == KM_OK ? save_kept(&p->novel, out, err) : code;
    }
    case SECTION_CALIBRATION:
        return save_calibration(p, out, err);
    }
    return KM_OK;
}

/* SHA-256 of the head's first bytes and of all sections. */
static enum km_code digest_file(const uint8_t *bytes, size_t length, uint8_t *out, struct km_err *err)
{
    struct km_digest *digest = km_digest_new(KM_DIGEST_SHA256, err);
    if (!digest)
        return err->code;
    km_digest_update(digest, bytes, HASHED_BYTES);
    km_digest_update(digest, bytes + HEAD_BYTES, length - HEAD_BYTES);
    km_digest_finish(digest, out);
    km_digest_free(digest);
    return KM_OK;
}

enum km_code km_profile_save(const struct km_profile *profile, const char *note, struct km_buf *out, struct km_err *err)
{
    size_t begin = out->length;
    static const uint8_t room[HEAD_BYTES];
    enum km_code code = km_buf_append(out, room, sizeof room, err);
    for (int id = SECTION_META; id <= SECTION_CALIBRATION && code == KM_OK; id++) {
        code = add(out, (uint64_t)id, 4, err);
        if (code == KM_OK)
            code = add(out, 0, 8, err);
        size_t at = out->length;
        if (code == KM_OK)
            code = save_section(profile, (enum section)id, note, out, err);
        if (code == KM_OK)
            put_le((uint8_t *)out->data + at - 8, out->length - at, 8);
    }
    if (code != KM_OK)
        return code;
    uint8_t *head = (uint8_t *)out->data + begin;
    memcpy(head, file_mark, sizeof file_mark);
    put_le(head + 8, KM_PROFILE_VERSION, 2);
    put_le(head + 12, SECTION_CALIBRATION, 4);
    put_le(head + 16, out->length - begin, 8);
    return digest_file(head, out->length - begin, head + HASHED_BYTES, err);
}

struct in {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t take(struct in *in, int bytes)
{
    if (in->end - in->at < bytes) {
        in->bad = true;
        in->at = in->end;
        return 0;
    }
    uint64_t v = 0;
    for (int i = bytes - 1; i >= 0; i--)
        v = v << 8 | in->at[i];
    in->at += bytes;
    return v;
}

/* A finite number; anything else is damage. */
static double take_double(struct in *in)
{
    uint64_t raw = take(in, 8);
    double v;
    memcpy(&v, &raw, sizeof v);
    if (isfinite(v))
        return v;
    in->bad = true;
    return 0;
}

static enum km_code broken(const char *what, struct km_err *err)
{
    return km_fail(err, KM_FORMAT, "the profile's %s break the format", what);
}

static uint32_t small_integer(const struct km_json *root, const char *key)
{
    int64_t v = km_json_integer(root, key, 0);
    return v >= 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
}

static uint64_t natural(const struct km_json *root, const char *name)
{
    int64_t value = km_json_integer(root, name, 0);
    return value > 0 ? (uint64_t)value : 0;
}

static enum km_code load_meta(struct km_profile *p, struct in *in, char *note, struct km_err *err)
{
    struct km_json *root KM_CLEANUP(km_json_cleanup) =
        km_json_parse((const char *)in->at, (size_t)(in->end - in->at), MAX_META_BYTES, err);
    if (!root)
        return km_err_wrap(err, "the profile's description");
    (void)snprintf(p->identity.unit, sizeof p->identity.unit, "%s", km_json_string(root, "unit", ""));
    (void)snprintf(p->identity.role, sizeof p->identity.role, "%s", km_json_string(root, "role", ""));
    (void)snprintf(p->identity.exe, sizeof p->identity.exe, "%s", km_json_string(root, "exe", ""));
    (void)snprintf(p->identity.package, sizeof p->identity.package, "%s", km_json_string(root, "package", ""));
    (void)snprintf(p->identity.build_id, sizeof p->identity.build_id, "%s", km_json_string(root, "build_id", ""));
    (void)snprintf(note, KM_EVENT_MAX_NAME_BYTES, "%s", km_json_string(root, "note", ""));
    p->episodes = natural(root, "episodes");
    p->last_ns = natural(root, "learned_ns");
    p->kept.offered = natural(root, "offered");
    p->novel.offered = natural(root, "offered_novel");
    uint64_t draw = (uint64_t)km_json_integer(root, "draw", 0);
    p->draw = draw ? draw : p->draw;
    double pace = km_json_real(root, "pace", 0);
    p->pace = isfinite(pace) && pace > 0 ? pace : 0;
    double novelty = km_json_real(root, "novelty", 1);
    p->novelty = novelty >= 0 && novelty <= 1 ? novelty : 1;
    p->rule = (struct km_episode_rule){.max_calls = small_integer(root, "max_calls"),
                                       .escalate_misses = small_integer(root, "escalate_misses"),
                                       .escalate_calls = small_integer(root, "escalate_calls")};
    const struct km_json *waits = km_json_find(root, "waits");
    for (size_t i = 0; i < km_json_size(waits); i++) {
        int64_t number = km_json_integer(km_json_at(waits, i), "", -1);
        if (number >= 0 && number < KM_CALL_NUMBERS)
            km_call_set_add(p->rule.wait_set, (unsigned)number);
    }
    in->at = in->end;
    return KM_OK;
}

static enum km_code load_sets(struct km_profile *p, struct in *in, struct km_err *err)
{
    size_t count = (size_t)take(in, 4);
    if (in->bad || count > KM_NEAREST_MAX_SETS)
        return broken("call sets", err);
    p->sets.sets = km_calloc(count + 1, sizeof *p->sets.sets, SIZE_MAX, err);
    if (!p->sets.sets)
        return err->code;
    p->sets.capacity = count + 1;
    for (size_t i = 0; i < count; i++) {
        struct km_call_set *set = &p->sets.sets[p->sets.count++];
        set->count = (uint32_t)take(in, 4);
        for (int w = 0; w < KM_CALL_SET_WORDS; w++)
            set->bits[w] = take(in, 8);
    }
    return in->bad ? broken("call sets", err) : KM_OK;
}

static enum km_code load_entities(struct km_profile *p, struct in *in, struct km_err *err)
{
    size_t count = (size_t)take(in, 4);
    if (in->bad || count > KM_ENTITY_MAX)
        return broken("entities", err);
    for (size_t i = 0; i < count; i++) {
        char text[KM_ENTITY_TEXT_BYTES];
        uint32_t episodes = (uint32_t)take(in, 4);
        unsigned kind = (unsigned)take(in, 1);
        size_t length = (size_t)take(in, 2);
        if (in->bad || length >= sizeof text || length > (size_t)(in->end - in->at) || kind >= KM_LANDMARK_KINDS ||
            memchr(in->at, 0, length))
            return broken("entities", err);
        memcpy(text, in->at, length);
        text[length] = '\0';
        in->at += length;
        enum km_code code = km_entity_learn(&p->entities, (enum km_landmark_kind)kind, text, episodes, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

static bool load_spread(struct km_bits_spread *s, struct in *in)
{
    s->sum = take_double(in);
    s->calls = take_double(in);
    bool positive = s->sum >= 0 && s->calls >= 0;
    for (int b = 0; b < KM_MEASURE_BINS; b++) {
        s->bin[b] = take_double(in);
        positive = positive && s->bin[b] >= 0;
    }
    return positive && !in->bad;
}

static enum km_code load_one_kept(struct km_kept_list *list, struct in *in, struct km_err *err)
{
    struct km_kept *k = &list->items[list->count++];
    k->count = (uint32_t)take(in, 4);
    bool has_attrs = take(in, 1) != 0;
    k->start_filled = (uint8_t)take(in, 1);
    k->start_space = (uint8_t)take(in, 1);
    k->novel = take(in, 1) != 0;
    k->start_window = take(in, 8);
    k->duration_ns = take(in, 8);
    size_t bytes = (size_t)k->count * (has_attrs ? 3 : 2);
    if (in->bad || k->count > KM_EPISODE_MAX_CALLS || k->start_filled > KM_WINDOW_CALLS || k->start_space > 3 ||
        k->start_window > KM_WINDOW_MASK || bytes > (size_t)(in->end - in->at)) {
        k->count = 0;
        return broken("kept episodes", err);
    }
    k->packed = km_calloc(k->count, sizeof *k->packed, SIZE_MAX, err);
    k->attrs = has_attrs ? km_calloc(k->count, 1, SIZE_MAX, err) : NULL;
    if (!k->packed || (has_attrs && !k->attrs))
        return err->code;
    for (size_t c = 0; c < k->count; c++)
        k->packed[c] = (uint16_t)(take(in, 2) & ((4U << KM_WINDOW_CALL_BITS) - 1));
    for (size_t c = 0; has_attrs && c < k->count; c++)
        k->attrs[c] = (uint8_t)(take(in, 1) & 127);
    list->calls += k->count;
    return KM_OK;
}

static enum km_code load_kept(struct km_kept_list *list, size_t most, struct in *in, struct km_err *err)
{
    size_t count = (size_t)take(in, 4);
    if (in->bad || count > most)
        return broken("kept episodes", err);
    list->items = km_calloc(count + 1, sizeof *list->items, SIZE_MAX, err);
    if (!list->items)
        return err->code;
    list->capacity = count + 1;
    enum km_code code = KM_OK;
    for (size_t i = 0; i < count && code == KM_OK; i++)
        code = load_one_kept(list, in, err);
    return code;
}

/* A list of numbers; NULL with *err set. The caller frees it. */
static double *load_values(struct in *in, size_t *out_count, struct km_err *err)
{
    size_t count = (size_t)take(in, 4);
    if (in->bad || count > KM_PROFILE_KEPT_EPISODES + KM_PROFILE_NOVEL_EPISODES ||
        count * 8 > (size_t)(in->end - in->at)) {
        (void)broken("calibration", err);
        return NULL;
    }
    double *values = km_calloc(count + 1, sizeof *values, SIZE_MAX, err);
    for (size_t i = 0; values && i < count; i++)
        values[i] = take_double(in);
    *out_count = count;
    return values;
}

static enum km_code load_view(struct km_calibration *calibration, struct in *in, struct km_err *err)
{
    for (int c = 0; c < KM_CHANNELS; c++) {
        size_t count;
        double *values KM_CLEANUP(km_cleanup_free) = load_values(in, &count, err);
        if (!values)
            return err->code;
        enum km_code code = km_tail_init(&calibration->channel[c], values, count, err);
        if (code != KM_OK)
            return code;
    }
    size_t count;
    calibration->scores = load_values(in, &count, err);
    if (!calibration->scores)
        return err->code;
    calibration->score_count = count;
    return in->bad ? broken("calibration", err) : km_tail_init(&calibration->score, calibration->scores, count, err);
}

static enum km_code load_history(struct km_history *history, struct in *in, struct km_err *err)
{
    history->scores = load_values(in, &history->count, err);
    if (!history->scores)
        return err->code;
    history->episodes = take_double(in);
    return history->episodes >= 0 && !in->bad ? KM_OK : broken("calibration", err);
}

static bool load_averages(struct km_profile *p, struct in *in)
{
    if (!load_spread(&p->known, in) || !load_spread(&p->unknown, in))
        return false;
    p->foretold.base = take_double(in);
    p->foretold.per_variety = take_double(in);
    p->foretold.per_distance = take_double(in);
    return !in->bad;
}

static enum km_code load_section(struct km_profile *p, unsigned id, struct in *in, char *note, struct km_err *err)
{
    enum km_code code = KM_OK;
    switch ((enum section)id) {
    case SECTION_META:
        return load_meta(p, in, note, err);
    case SECTION_NGRAM: {
        struct km_ngram *ngram = km_ngram_load(in->at, (size_t)(in->end - in->at), err);
        if (!ngram)
            return err->code;
        km_ngram_free(p->ngram);
        p->ngram = ngram;
        in->at = in->end;
        return KM_OK;
    }
    case SECTION_SETS:
        return load_sets(p, in, err);
    case SECTION_ENTITIES:
        return load_entities(p, in, err);
    case SECTION_SPREADS:
        return load_averages(p, in) ? KM_OK : broken("averages", err);
    case SECTION_KEPT:
        code = load_kept(&p->kept, KM_PROFILE_KEPT_EPISODES, in, err);
        return code == KM_OK ? load_kept(&p->novel, KM_PROFILE_NOVEL_EPISODES, in, err) : code;
    case SECTION_CALIBRATION:
        for (int v = 0; v < KM_VIEWS && code == KM_OK; v++)
            code = load_view(&p->calibration[v], in, err);
        for (int s = 0; s < KM_STRATA && code == KM_OK; s++)
            code = load_history(&p->history[s], in, err);
        return code;
    }
    return km_fail(err, KM_FORMAT, "the profile has an unknown section");
}

static enum km_code check_head(const uint8_t *bytes, size_t length, struct km_err *err)
{
    if (length < sizeof file_mark || memcmp(bytes, file_mark, sizeof file_mark) != 0)
        return km_fail(err, KM_FORMAT, "not a komainu profile");
    if (length < HEAD_BYTES)
        return km_fail(err, KM_FORMAT, "the profile is cut short");
    struct in in = {bytes + 8, bytes + HEAD_BYTES, false};
    unsigned version = (unsigned)take(&in, 2);
    if (version != KM_PROFILE_VERSION)
        return km_fail(err, KM_UNSUPPORTED,
                       "the profile is of version %u and this program reads version %d: learn the daemon again",
                       version, KM_PROFILE_VERSION);
    (void)take(&in, 2);
    uint64_t sections = take(&in, 4), said = take(&in, 8);
    if (said != length)
        return km_fail(err, KM_FORMAT, "the profile says %llu bytes and has %zu", (unsigned long long)said, length);
    uint8_t sum[KM_SHA256_BYTES];
    enum km_code code = digest_file(bytes, length, sum, err);
    if (code != KM_OK)
        return code;
    if (memcmp(sum, bytes + HASHED_BYTES, sizeof sum) != 0 || sections != SECTION_CALIBRATION)
        return km_fail(err, KM_FORMAT, "the profile is damaged: its checksum does not fit");
    return KM_OK;
}

struct km_profile *km_profile_load(const void *bytes, size_t length, char *note, struct km_err *err)
{
    if (length > KM_PROFILE_MAX_FILE_BYTES) {
        km_fail(err, KM_LIMIT, "a profile of %zu bytes is above the limit of %zu", length, KM_PROFILE_MAX_FILE_BYTES);
        return NULL;
    }
    if (check_head(bytes, length, err) != KM_OK)
        return NULL;
    static const struct km_profile_identity nobody;
    static const struct km_episode_rule life;
    struct km_profile *p KM_CLEANUP(km_profile_cleanup) = km_profile_new(&nobody, &life, err);
    if (!p)
        return NULL;
    char kept[KM_EVENT_MAX_NAME_BYTES] = "";
    struct in in = {(const uint8_t *)bytes + HEAD_BYTES, (const uint8_t *)bytes + length, false};
    for (unsigned id = SECTION_META; id <= SECTION_CALIBRATION; id++) {
        unsigned found = (unsigned)take(&in, 4);
        uint64_t section_bytes = take(&in, 8);
        if (in.bad || found != id || section_bytes > (uint64_t)(in.end - in.at)) {
            km_fail(err, KM_FORMAT, "section %u of the profile is not where it should be", id);
            return NULL;
        }
        struct in section = {in.at, in.at + section_bytes, false};
        if (load_section(p, id, &section, kept, err) != KM_OK)
            return NULL;
        if (section.bad || section.at != section.end) {
            km_fail(err, KM_FORMAT, "section %u of the profile has the wrong length", id);
            return NULL;
        }
        in.at += section_bytes;
    }
    if (in.at != in.end) {
        km_fail(err, KM_FORMAT, "bytes behind the profile's last section");
        return NULL;
    }
    if (note)
        memcpy(note, kept, sizeof kept);
    return km_steal(p);
}
