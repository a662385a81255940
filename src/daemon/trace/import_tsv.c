#include <string.h>

#include "daemon/trace/import_internal.h"

#define LARGEST_NUMBER 1000000

static enum km_code emit(struct km_import *import, struct km_event *event, enum km_event_kind kind, struct km_err *err)
{
    event->kind = (uint8_t)kind;
    return import->sink.event(import->sink.context, event, err);
}

/* Reads numbers separated by single spaces; every byte must belong to one. */
static enum km_code take_calls(struct km_import *import, struct km_event *event, const char *at, const char *end,
                               struct km_err *err)
{
    while (at < end) {
        long number = 0;
        const char *digits = at;
        for (; at < end && *at >= '0' && *at <= '9' && number <= LARGEST_NUMBER; at++)
            number = number * 10 + (*at - '0');
        if (at == digits || number > LARGEST_NUMBER || (at < end && *at != ' '))
            return km_fail(err, KM_FORMAT, "line %llu: the calls are not numbers separated by spaces",
                           (unsigned long long)import->stats.lines);
        while (at < end && *at == ' ')
            at++;
        import->stats.calls++;
        event->call = (struct km_event_call){.number = (uint16_t)km_call_fold(KM_SPACE_FOREIGN, number),
                                             .space = KM_SPACE_FOREIGN};
        enum km_code code = emit(import, event, KM_EVENT_CALL, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

enum km_code km_import_tsv_line(struct km_import *import, const char *line, size_t length, struct km_err *err)
{
    const char *end = line + length;
    const char *label = memchr(line, '\t', length);
    const char *calls = label ? memchr(label + 1, '\t', (size_t)(end - label - 1)) : NULL;
    if (!calls)
        return km_fail(err, KM_FORMAT, "line %llu: not name, label and calls separated by tabs",
                       (unsigned long long)import->stats.lines);
    struct km_event event = {.feed = KM_FEED_IMPORT, .tid = (uint32_t)import->stats.lines};
    event.tgid = event.tid;
    enum km_code code = km_import_obtain_role(import, "trace", &event.role, err);
    size_t name_length = (size_t)(label - line);
    event.thread = (struct km_event_thread){
        .comm = {line, name_length < KM_EVENT_MAX_NAME_BYTES ? name_length : KM_EVENT_MAX_NAME_BYTES}};
    if (code == KM_OK)
        code = emit(import, &event, KM_EVENT_THREAD, err);
    if (code == KM_OK)
        code = take_calls(import, &event, calls + 1, end, err);
    event.state = (struct km_thread_state){0};
    return code == KM_OK ? emit(import, &event, KM_EVENT_END, err) : code;
}
