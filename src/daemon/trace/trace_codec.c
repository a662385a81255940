#include "daemon/trace/trace_codec.h"

#include <string.h>

/* Tag: kind in the low four bits; SAME: thread, role and feed are the previous event's; ATTR: a call's outcome and
 * argument class follow. */
#define TAG_KIND 0x0f
#define TAG_SAME 0x10
#define TAG_ATTR 0x20
#define TAG_ALL  (TAG_KIND | TAG_SAME | TAG_ATTR)

struct out {
    uint8_t bytes[KM_TRACE_LARGEST_EVENT_BYTES];
    size_t length;
};

static void put(struct out *o, uint64_t v)
{
    while (v >= 0x80) {
        o->bytes[o->length++] = (uint8_t)(v | 0x80);
        v >>= 7;
    }
    o->bytes[o->length++] = (uint8_t)v;
}

static void put_text(struct out *o, struct km_bytes text, size_t limit)
{
    size_t length = text.length < limit ? text.length : limit;
    put(o, length);
    if (length > 0)
        memcpy(o->bytes + o->length, text.data, length);
    o->length += length;
}

static void put_words(struct out *o, const unsigned long long *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put(o, words[i]);
}

static uint64_t zigzag(uint64_t difference)
{
    return difference << 1 ^ (uint64_t)((int64_t)difference >> 63);
}

static void put_state(struct out *o, const struct km_thread_state *s)
{
    put(o, s->window & KM_WINDOW_MASK);
    put(o, s->recent);
    put_words(o, s->set, KM_CALL_SET_WORDS);
    put_words(o, s->pairs, KM_PAIR_SKETCH_WORDS);
    put(o, s->calls);
    put(o, s->misses);
    put(o, s->streamed);
    put(o, s->filled <= KM_WINDOW_CALLS ? s->filled : KM_WINDOW_CALLS);
    put(o, s->space & 3);
}

static void put_landmark(struct out *o, const struct km_event_landmark *l)
{
    put(o, l->kind);
    put(o, l->zone);
    put(o, (l->outcome & 3) | (l->space & 3) << 2);
    put(o, l->number);
    put(o, l->flags);
    put(o, l->peer_tid);
    put(o, l->value);
    put(o, l->digest);
    put_text(o, l->path, KM_EVENT_MAX_PATH_BYTES);
    put_text(o, l->path2, KM_EVENT_MAX_PATH_BYTES);
    put(o, l->address.family);
    if (l->address.family == 0)
        return;
    put(o, l->address.port);
    put_text(o, (struct km_bytes){(const char *)l->address.bytes, l->address.length}, KM_EVENT_MAX_ADDRESS);
}

static void put_role(struct out *o, const struct km_event_role *r)
{
    put_text(o, r->unit, KM_EVENT_MAX_NAME_BYTES);
    put_text(o, r->name, KM_EVENT_MAX_NAME_BYTES);
    put_text(o, r->exe, KM_EVENT_MAX_PATH_BYTES);
    put_text(o, r->package, KM_EVENT_MAX_NAME_BYTES);
    put_text(o, (struct km_bytes){(const char *)r->build_id, r->build_id_length}, KM_EVENT_BUILD_ID_BYTES);
}

static void put_body(struct out *o, const struct km_event *e)
{
    switch ((enum km_event_kind)e->kind) {
    case KM_EVENT_ROLE:
        put_role(o, &e->role_info);
        return;
    case KM_EVENT_THREAD:
        put(o, e->thread.parent_tid);
        put(o, e->thread.uid);
        put(o, e->thread.cgroup);
        put_text(o, e->thread.comm, KM_EVENT_MAX_NAME_BYTES);
        return;
    case KM_EVENT_CALL:
        put(o, (e->call.number & (KM_CALL_NUMBERS - 1)) | (e->call.space & 3) << KM_WINDOW_CALL_BITS);
        if ((o->bytes[0] & TAG_ATTR) != 0)
            put(o, (e->call.outcome & 3) | (e->call.arg_class & 31) << 2);
        return;
    case KM_EVENT_END:
    case KM_EVENT_WINDOW:
    case KM_EVENT_EPISODE:
        put_state(o, &e->state);
        return;
    case KM_EVENT_LANDMARK:
        put_landmark(o, &e->landmark);
        return;
    case KM_EVENT_STREAM:
        put(o, (e->stream.feed & 7) << 1 | (e->stream.started != 0));
        return;
    case KM_EVENT_RATE:
        put(o, e->rate.interval_ns);
        put(o, e->rate.calls);
        put(o, e->rate.episodes);
        put(o, e->rate.misses);
        put(o, e->rate.errors);
        return;
    case KM_EVENT_LOSS:
        put(o, e->loss.events);
        put(o, e->loss.cpu);
        return;
    }
}

enum km_code km_trace_encode(struct km_trace_context *context, const struct km_event *event, struct km_buf *out,
                             struct km_err *err)
{
    struct out o;
    bool same = event->tid == context->tid && event->tgid == context->tgid && event->role == context->role &&
                event->feed == context->feed;
    bool attr = event->kind == KM_EVENT_CALL && (event->call.outcome != 0 || event->call.arg_class != 0);
    o.bytes[0] = (uint8_t)((event->kind & TAG_KIND) | (same ? TAG_SAME : 0) | (attr ? TAG_ATTR : 0));
    o.length = 1;
    if (!same) {
        put(&o, event->tid);
        put(&o, event->tgid);
        put(&o, event->role);
        put(&o, event->feed & 7);
    }
    put(&o, zigzag(event->time_ns - context->time_ns));
    put_body(&o, event);
    *context = (struct km_trace_context){event->time_ns, event->tid, event->tgid, event->role, event->feed & 7};
    return km_buf_append(out, o.bytes, o.length, err);
}

struct in {
    const uint8_t *at, *end;
    bool bad;
};

static uint64_t get_long(struct in *in)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (in->at == in->end)
            break;
        uint8_t b = *in->at++;
        if (shift == 63 && b > 1)
            break;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (b < 0x80)
            return v;
    }
    in->bad = true;
    return 0;
}

static inline uint64_t get(struct in *in)
{
    if (in->at != in->end && *in->at < 0x80)
        return *in->at++;
    return get_long(in);
}

/* A number that must not be above `limit`. */
static uint64_t get_below(struct in *in, uint64_t limit)
{
    uint64_t v = get(in);
    if (v <= limit)
        return v;
    in->bad = true;
    return 0;
}

static struct km_bytes get_text(struct in *in, size_t limit)
{
    size_t length = (size_t)get_below(in, limit);
    if (length > (size_t)(in->end - in->at)) {
        in->bad = true;
        length = 0;
    }
    struct km_bytes text = {length ? (const char *)in->at : NULL, length};
    in->at += length;
    return text;
}

static void get_words(struct in *in, unsigned long long *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        words[i] = get(in);
}

static void get_state(struct in *in, struct km_thread_state *s)
{
    *s = (struct km_thread_state){0};
    s->window = get_below(in, KM_WINDOW_MASK);
    s->recent = get(in);
    get_words(in, s->set, KM_CALL_SET_WORDS);
    get_words(in, s->pairs, KM_PAIR_SKETCH_WORDS);
    s->calls = (unsigned)get_below(in, UINT32_MAX);
    s->misses = (unsigned)get_below(in, UINT32_MAX);
    s->streamed = (unsigned)get_below(in, UINT32_MAX);
    s->filled = (unsigned char)get_below(in, KM_WINDOW_CALLS);
    s->space = (unsigned char)get_below(in, 3);
}

static void get_landmark(struct in *in, struct km_event_landmark *l)
{
    *l = (struct km_event_landmark){0};
    l->kind = (uint16_t)get_below(in, KM_LANDMARK_KINDS - 1);
    l->zone = (uint8_t)get_below(in, KM_ZONE_COUNT - 1);
    unsigned both = (unsigned)get_below(in, 15);
    l->outcome = both & 3;
    l->space = (uint8_t)(both >> 2);
    l->number = (uint16_t)get_below(in, KM_CALL_NUMBERS - 1);
    l->flags = (uint32_t)get_below(in, UINT32_MAX);
    l->peer_tid = (uint32_t)get_below(in, UINT32_MAX);
    l->value = get(in);
    l->digest = get(in);
    l->path = get_text(in, KM_EVENT_MAX_PATH_BYTES);
    l->path2 = get_text(in, KM_EVENT_MAX_PATH_BYTES);
    l->address.family = (uint16_t)get_below(in, UINT16_MAX);
    if (l->address.family == 0)
        return;
    l->address.port = (uint16_t)get_below(in, UINT16_MAX);
    struct km_bytes address = get_text(in, KM_EVENT_MAX_ADDRESS);
    l->address.length = (uint16_t)address.length;
    if (address.length > 0)
        memcpy(l->address.bytes, address.data, address.length);
}

static void get_role(struct in *in, struct km_event_role *r)
{
    *r = (struct km_event_role){0};
    r->unit = get_text(in, KM_EVENT_MAX_NAME_BYTES);
    r->name = get_text(in, KM_EVENT_MAX_NAME_BYTES);
    r->exe = get_text(in, KM_EVENT_MAX_PATH_BYTES);
    r->package = get_text(in, KM_EVENT_MAX_NAME_BYTES);
    struct km_bytes id = get_text(in, KM_EVENT_BUILD_ID_BYTES);
    r->build_id_length = (uint8_t)id.length;
    if (id.length > 0)
        memcpy(r->build_id, id.data, id.length);
}

static void get_body(struct in *in, bool attr, struct km_event *e)
{
    switch ((enum km_event_kind)e->kind) {
    case KM_EVENT_ROLE:
        get_role(in, &e->role_info);
        return;
    case KM_EVENT_THREAD:
        e->thread.parent_tid = (uint32_t)get_below(in, UINT32_MAX);
        e->thread.uid = (uint32_t)get_below(in, UINT32_MAX);
        e->thread.cgroup = get(in);
        e->thread.comm = get_text(in, KM_EVENT_MAX_NAME_BYTES);
        return;
    case KM_EVENT_CALL: {
        unsigned packed = (unsigned)get_below(in, (4U << KM_WINDOW_CALL_BITS) - 1);
        unsigned both = attr ? (unsigned)get_below(in, 127) : 0;
        e->call = (struct km_event_call){.number = packed & (KM_CALL_NUMBERS - 1),
                                         .space = (uint8_t)(packed >> KM_WINDOW_CALL_BITS),
                                         .outcome = both & 3,
                                         .arg_class = (uint8_t)(both >> 2)};
        return;
    }
    case KM_EVENT_END:
    case KM_EVENT_WINDOW:
    case KM_EVENT_EPISODE:
        get_state(in, &e->state);
        return;
    case KM_EVENT_LANDMARK:
        get_landmark(in, &e->landmark);
        return;
    case KM_EVENT_STREAM: {
        unsigned both = (unsigned)get_below(in, 15);
        e->stream = (struct km_event_stream){(uint8_t)(both >> 1), both & 1};
        return;
    }
    case KM_EVENT_RATE:
        e->rate.interval_ns = get(in);
        e->rate.calls = get(in);
        e->rate.episodes = get(in);
        e->rate.misses = get(in);
        e->rate.errors = get(in);
        return;
    case KM_EVENT_LOSS:
        e->loss.events = get(in);
        e->loss.cpu = (uint16_t)get_below(in, UINT16_MAX);
        return;
    }
    in->bad = true;
}

bool km_trace_decode(struct km_trace_context *context, const uint8_t **at, const uint8_t *end, struct km_event *out)
{
    struct in in = {*at, end, false};
    if (in.at == in.end || (*in.at & ~TAG_ALL) != 0)
        return false;
    uint8_t tag = *in.at++;
    out->kind = tag & TAG_KIND;
    bool attr = (tag & TAG_ATTR) != 0;
    if (attr && out->kind != KM_EVENT_CALL)
        return false;
    if ((tag & TAG_SAME) == 0) {
        context->tid = (uint32_t)get_below(&in, UINT32_MAX);
        context->tgid = (uint32_t)get_below(&in, UINT32_MAX);
        context->role = (uint16_t)get_below(&in, UINT16_MAX);
        context->feed = (uint8_t)get_below(&in, 7);
    }
    uint64_t folded = get(&in);
    context->time_ns += folded >> 1 ^ (0 - (folded & 1));
    out->time_ns = context->time_ns;
    out->tid = context->tid;
    out->tgid = context->tgid;
    out->role = context->role;
    out->feed = context->feed;
    get_body(&in, attr, out);
    if (in.bad)
        return false;
    *at = in.at;
    return true;
}
