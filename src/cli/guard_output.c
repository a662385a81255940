#include "cli/guard_output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/text.h"
#include "cli/guard_journal.h"
#include "finding/alert_output.h"

#define MAX_ALERT_BYTES ((size_t)1 << 20)
#define STATUS_BYTES    512
#define DEFAULT_COLUMNS 80

struct target {
    char *path; /* NULL: standard output */
    int fd;
    bool json, failed;
    uint64_t missed;
};

struct km_guard_output {
    struct target targets[KM_GUARD_OUTPUTS];
    size_t count;
    bool colour, status_shown, journal;
    char status[STATUS_BYTES];
};

struct km_guard_output *km_guard_output_new(const char *format, struct km_err *err)
{
    struct km_guard_output *output = km_calloc(1, sizeof *output, SIZE_MAX, err);
    if (!output)
        return NULL;
    output->colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");
    output->status_shown = isatty(STDERR_FILENO);
    output->journal = km_guard_journal_is_stderr();
    if (strcmp(format, "none") != 0)
        output->targets[output->count++] = (struct target){.fd = STDOUT_FILENO, .json = strcmp(format, "jsonl") == 0};
    return output;
}

void km_guard_output_free(struct km_guard_output *output)
{
    if (!output)
        return;
    km_guard_output_status(output, "");
    for (size_t i = 0; i < output->count; i++) {
        struct target *target = &output->targets[i];
        if (target->path)
            (void)close(target->fd);
        free(target->path);
    }
    free(output);
}

enum km_code km_guard_output_add(struct km_guard_output *output, const char *spec, struct km_err *err)
{
    const char *path = strchr(spec, '=');
    size_t length = path ? (size_t)(path - spec) : 0;
    bool json = length == 5 && strncmp(spec, "jsonl", 5) == 0, text = length == 4 && strncmp(spec, "text", 4) == 0;
    if ((!json && !text) || !path[1])
        return km_fail(err, KM_FORMAT, "--output: '%s' is neither jsonl=FILE nor text=FILE", spec);
    if (output->count == KM_GUARD_OUTPUTS)
        return km_fail(err, KM_LIMIT, "at most %d outputs", KM_GUARD_OUTPUTS);
    struct target target = {.json = json, .path = km_strndup(path + 1, strlen(path + 1), err)};
    if (!target.path)
        return err->code;
    target.fd = open(target.path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0640);
    if (target.fd < 0) {
        km_fail_errno(err, errno, "cannot write to %s", target.path);
        free(target.path);
        return err->code;
    }
    output->targets[output->count++] = target;
    return KM_OK;
}

static bool write_whole(int fd, const char *data, size_t length)
{
    while (length > 0) {
        ssize_t n = write(fd, data, length);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        data += n;
        length -= (size_t)n;
    }
    return true;
}

/* A line that is written in part is taken back, so that the file stays whole lines. */
static bool append_whole(const struct target *target, const char *data, size_t length)
{
    off_t before = target->path ? lseek(target->fd, 0, SEEK_END) : -1;
    if (write_whole(target->fd, data, length))
        return true;
    int why = errno;
    if (before >= 0)
        (void)!ftruncate(target->fd, before);
    errno = why;
    return false;
}

static void wipe_status(const struct km_guard_output *output)
{
    if (output->status_shown && output->status[0])
        (void)!write(STDERR_FILENO, "\r\033[K", 4);
}

static void draw_status(const struct km_guard_output *output)
{
    if (output->status_shown && output->status[0])
        (void)!write(STDERR_FILENO, output->status, strlen(output->status));
}

void km_guard_output_say(void *context, const char *line)
{
    struct km_guard_output *output = context;
    if (output->journal) {
        km_guard_journal_say(line);
        return;
    }
    wipe_status(output);
    fprintf(stderr, "komainu: guard: %s\n", line);
    draw_status(output);
}

static void note_written(struct km_guard_output *output, struct target *target, bool written, int why)
{
    char line[1024];
    const char *name = target->path ? target->path : "standard output";
    target->missed += !written;
    if (written == !target->failed)
        return;
    target->failed = !written;
    if (written)
        (void)snprintf(line, sizeof line, "%s is written again; it missed %llu alerts", name,
                       (unsigned long long)target->missed);
    else
        (void)snprintf(line, sizeof line, "%s cannot be written: %s; alerts go on elsewhere", name, strerror(why));
    km_guard_output_say(output, line);
    if (written)
        target->missed = 0;
}

enum km_code km_guard_output_alert(void *context, const struct km_alert *alert, struct km_err *err)
{
    struct km_guard_output *output = context;
    struct km_buf json, text;
    km_buf_init(&json, MAX_ALERT_BYTES);
    km_buf_init(&text, MAX_ALERT_BYTES);
    enum km_code code = km_alert_format_json(alert, &json, err);
    if (code == KM_OK && output->journal)
        code = km_guard_journal_alert(alert, km_buf_text(&json), err);
    wipe_status(output);
    for (size_t i = 0; i < output->count && code == KM_OK; i++) {
        struct target *target = &output->targets[i];
        km_buf_clear(&text);
        if (!target->json)
            code = km_alert_format_text(alert, !target->path && output->colour, &text, err);
        const struct km_buf *form = target->json ? &json : &text;
        if (code != KM_OK)
            break;
        errno = 0;
        bool written = append_whole(target, km_buf_text(form), form->length);
        note_written(output, target, written, errno);
    }
    draw_status(output);
    km_buf_done(&json);
    km_buf_done(&text);
    return code;
}

bool km_guard_output_has_status(const struct km_guard_output *output)
{
    return output->status_shown;
}

void km_guard_output_status(struct km_guard_output *output, const char *line)
{
    struct winsize size = {0};
    if (!output->status_shown || strncmp(line, output->status, sizeof output->status - 1) == 0)
        return;
    size_t columns =
        ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1 ? size.ws_col - 1U : DEFAULT_COLUMNS;
    wipe_status(output);
    (void)snprintf(output->status, sizeof output->status, "%.*s",
                   (int)(columns < sizeof output->status ? columns : sizeof output->status - 1), line);
    draw_status(output);
}
