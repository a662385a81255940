#include "cli/progress.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/text.h"

#define REDRAW_NS       (100 * KM_NS_PER_MS)
#define FIRST_DRAW_NS   (300 * KM_NS_PER_MS) /* short work shows nothing */
#define LARGEST_COLUMNS 200
#define BAR_COLUMNS     24

void km_progress_begin(struct km_progress *progress, const char *label, bool wanted)
{
    *progress = (struct km_progress){.shown = wanted && isatty(STDERR_FILENO), .total = UINT64_MAX};
    km_text_escape(label, strlen(label), progress->label, sizeof progress->label);
    progress->start_ns = km_clock_monotonic_ns();
    progress->drawn_ns = progress->start_ns + FIRST_DRAW_NS - REDRAW_NS;
}

static unsigned terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < LARGEST_COLUMNS ? size.ws_col : LARGEST_COLUMNS;
}

static void format_bar(const struct km_progress *progress, char *out)
{
    double share = progress->total > 0 ? (double)progress->done / (double)progress->total : 1;
    unsigned filled = share >= 1 ? BAR_COLUMNS : (unsigned)(share * BAR_COLUMNS);
    for (unsigned i = 0; i < BAR_COLUMNS; i++)
        out[i] = i < filled ? '#' : '.';
    out[BAR_COLUMNS] = '\0';
}

/* The label gives way to the numbers: its end is what tells one target from the next. */
static void format_label(const char *label, size_t room, char *out, size_t out_bytes)
{
    size_t length = strlen(label);
    const char *end = label + (length > room ? length - room : 0);
    while (((unsigned char)*end & 0xc0) == 0x80) /* not into a character */
        end++;
    snprintf(out, out_bytes, "%s%s", end, *end ? "  " : "");
}

size_t km_progress_format(const struct km_progress *progress, int64_t now_ns, unsigned columns, char *out,
                          size_t out_bytes)
{
    char done[32], total[32], rate[32], left[32], bar[BAR_COLUMNS + 1], numbers[192], label[512];
    double seconds = (double)(now_ns - progress->start_ns) / (double)KM_NS_PER_S;
    double per_second = seconds > 0 ? (double)progress->done / seconds : 0;
    km_text_format_bytes(progress->done, done, sizeof done);
    km_text_format_bytes((uint64_t)per_second, rate, sizeof rate);
    if (progress->total == UINT64_MAX) {
        snprintf(numbers, sizeof numbers, "%s  %s/s", done, rate);
    } else {
        uint64_t rest = progress->total > progress->done ? progress->total - progress->done : 0;
        km_text_format_bytes(progress->total, total, sizeof total);
        km_text_format_seconds(per_second > 0 ? (double)rest / per_second : -1, left, sizeof left);
        format_bar(progress, bar);
        snprintf(numbers, sizeof numbers, "[%s]  %s of %s  %s/s  %s left", bar, done, total, rate, left);
    }
    size_t width = columns > 1 ? columns - 1 : 1, needed = strlen(numbers) + 2;
    format_label(progress->label, width > needed ? width - needed : 0, label, sizeof label);
    int length = snprintf(out, out_bytes, "%s%.*s", label, (int)(width - strlen(label)), numbers);
    return length < 0 ? 0 : (size_t)length;
}

void km_progress_update(struct km_progress *progress, uint64_t done, uint64_t total)
{
    progress->done = done;
    progress->total = total;
    if (!progress->shown)
        return;
    int64_t now_ns = km_clock_monotonic_ns();
    if (now_ns - progress->drawn_ns < REDRAW_NS)
        return;
    progress->drawn_ns = now_ns;
    char line[LARGEST_COLUMNS + 8];
    km_progress_format(progress, now_ns, terminal_columns(), line, sizeof line);
    fprintf(stderr, "\r\033[K%s", line);
    (void)fflush(stderr);
}

void km_progress_show(void *context, uint64_t done, uint64_t total)
{
    km_progress_update(context, done, total);
}

void km_progress_end(struct km_progress *progress)
{
    if (progress->shown)
        fputs("\r\033[K", stderr);
    progress->shown = false;
}

void km_progress_show_part(void *context, const char *part, uint64_t done, uint64_t total)
{
    struct km_progress_parts *parts = context;
    if (parts->part != part) {
        km_progress_parts_end(parts);
        km_progress_begin(&parts->progress, part, parts->wanted);
        parts->part = part;
    }
    km_progress_update(&parts->progress, done, total);
}

void km_progress_parts_end(struct km_progress_parts *parts)
{
    if (parts->part)
        km_progress_end(&parts->progress);
    parts->part = NULL;
}
