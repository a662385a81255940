/*
 * A progress bar on standard error: bytes, rate and remaining time. Shown on a terminal only; redrawn ten times a
 * second at most. One at a time, one thread.
 */
#ifndef KM_CLI_PROGRESS_H
#define KM_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct km_progress {
    char label[256];
    bool shown; /* standard error is a terminal and the user did not say no */
    int64_t start_ns, drawn_ns;
    uint64_t done, total;
};

/* label is escaped, and cut at its start when the line is short. wanted: false never shows anything. */
void km_progress_begin(struct km_progress *progress, const char *label, bool wanted);

/* total may be UINT64_MAX (unknown) and may change. */
void km_progress_update(struct km_progress *progress, uint64_t done, uint64_t total);

/* The same as a callback; context is the struct km_progress. */
void km_progress_show(void *context, uint64_t done, uint64_t total);

/* Wipes the line. */
void km_progress_end(struct km_progress *progress);

/* Work of several parts, each with a bar of its own. Begin with all but `wanted` zero. */
struct km_progress_parts {
    struct km_progress progress;
    const char *part; /* the present one, or NULL; the worker's text, compared by address */
    bool wanted;
};

/* A callback; context is the struct km_progress_parts. Another `part` than before begins a new bar. */
void km_progress_show_part(void *context, const char *part, uint64_t done, uint64_t total);
void km_progress_parts_end(struct km_progress_parts *parts);

/* The line itself, for `columns` of terminal width; out_bytes >= columns + 8. Returns its length. */
size_t km_progress_format(const struct km_progress *progress, int64_t now_ns, unsigned columns, char *out,
                          size_t out_bytes);

#endif
