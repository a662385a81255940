#include "daemon/trace/import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/trace/import_internal.h"

struct km_import *km_import_new(enum km_import_kind kind, const char *unit, const struct km_event_sink *sink,
                                struct km_err *err)
{
    struct km_import *import = km_calloc(1, sizeof *import, SIZE_MAX, err);
    if (!import)
        return NULL;
    import->kind = kind;
    import->sink = *sink;
    (void)snprintf(import->unit, sizeof import->unit, "%s", unit);
    km_buf_init(&import->line, KM_IMPORT_MAX_LINE_BYTES);
    return import;
}

void km_import_free(struct km_import *import)
{
    if (!import)
        return;
    km_import_strace_done(import);
    km_buf_done(&import->line);
    free(import);
}

void km_import_get_stats(const struct km_import *import, struct km_import_stats *out)
{
    *out = import->stats;
}

enum km_code km_import_obtain_role(struct km_import *import, const char *name, uint16_t *out_role, struct km_err *err)
{
    for (size_t i = 0; i < import->role_count; i++)
        if (strcmp(import->roles[i].name, name) == 0) {
            *out_role = (uint16_t)(i + 1);
            return KM_OK;
        }
    if (import->role_count == KM_IMPORT_ROLES) {
        *out_role = KM_IMPORT_ROLES;
        return KM_OK;
    }
    struct km_import_role *role = &import->roles[import->role_count++];
    (void)snprintf(role->name, sizeof role->name, "%s", name);
    *out_role = (uint16_t)import->role_count;
    struct km_event event = {.time_ns = import->time_ns, .role = *out_role, .kind = KM_EVENT_ROLE};
    event.role_info.unit = (struct km_bytes){import->unit, strlen(import->unit)};
    event.role_info.name = (struct km_bytes){role->name, strlen(role->name)};
    return import->sink.event(import->sink.context, &event, err);
}

static enum km_code take_line(struct km_import *import, const char *line, size_t length, struct km_err *err)
{
    import->stats.lines++;
    if (length > 0 && line[length - 1] == '\r')
        length--;
    if (length == 0)
        return KM_OK;
    switch (import->kind) {
    case KM_IMPORT_TSV:
        return km_import_tsv_line(import, line, length, err);
    case KM_IMPORT_STRACE:
        return km_import_strace_line(import, line, length, err);
    }
    return KM_OK;
}

/* A line that lies in one piece is read in place. */
enum km_code km_import_text(struct km_import *import, const char *text, size_t length, struct km_err *err)
{
    enum km_code code = KM_OK;
    while (length > 0 && code == KM_OK) {
        const char *newline = memchr(text, '\n', length);
        size_t piece = newline ? (size_t)(newline - text) : length;
        if (!newline || import->line.length > 0)
            code = km_buf_append(&import->line, text, piece, err);
        if (code != KM_OK)
            return km_err_wrap(err, "line %llu", (unsigned long long)import->stats.lines + 1);
        if (!newline)
            return KM_OK;
        if (import->line.length > 0) {
            code = take_line(import, import->line.data, import->line.length, err);
            km_buf_clear(&import->line);
        } else {
            code = take_line(import, text, piece, err);
        }
        text += piece + 1;
        length -= piece + 1;
    }
    return code;
}

enum km_code km_import_finish(struct km_import *import, struct km_err *err)
{
    enum km_code code = KM_OK;
    if (import->line.length > 0)
        code = take_line(import, import->line.data, import->line.length, err);
    km_buf_clear(&import->line);
    if (code == KM_OK && import->kind == KM_IMPORT_STRACE)
        code = km_import_strace_finish(import, err);
    return code;
}
