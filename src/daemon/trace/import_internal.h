/* What the line reader and the two formats share. */
#ifndef KM_TRACE_IMPORT_INTERNAL_H
#define KM_TRACE_IMPORT_INTERNAL_H

#include "base/buf.h"
#include "daemon/trace/import.h"
#include "daemon/trace/tidmap.h"

#define KM_IMPORT_ROLES 255

struct km_import_role {
    char name[32];
};

struct km_import {
    enum km_import_kind kind;
    struct km_event_sink sink;
    struct km_import_stats stats;
    struct km_buf line;
    char unit[KM_EVENT_MAX_NAME_BYTES];
    struct km_tidmap threads; /* strace: struct thread of import_strace.c */
    struct km_import_role roles[KM_IMPORT_ROLES];
    size_t role_count;
    uint64_t time_ns; /* of the last line */
};

/* The index (from 1) of a role by name; announces it when it is new. The last index serves all that find no room. */
enum km_code km_import_obtain_role(struct km_import *import, const char *name, uint16_t *out_role, struct km_err *err);

enum km_code km_import_tsv_line(struct km_import *import, const char *line, size_t length, struct km_err *err);
enum km_code km_import_strace_line(struct km_import *import, const char *line, size_t length, struct km_err *err);
enum km_code km_import_strace_finish(struct km_import *import, struct km_err *err);
void km_import_strace_done(struct km_import *import);

#endif
