#include "cli/guard_journal.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <syslog.h>
#include <unistd.h>

#ifdef KM_HAVE_SYSTEMD
/* Without the place in this file, which nobody who reads an alert looks for. */
#define SD_JOURNAL_SUPPRESS_LOCATION
#include <systemd/sd-journal.h>
#endif

#include "base/buf.h"
#include "base/mem.h"
#include "base/text.h"
#include "finding/alert_output.h"

#define IDENTIFIER  "komainu-guard"
#define MAX_FIELDS  16
#define MAX_BYTES   ((size_t)2 << 20)
#define VALUE_BYTES 1024

/* The fields of an entry, one after the other; where each begins. */
struct entry {
    struct km_buf text;
    size_t begin[MAX_FIELDS];
    size_t count;
    enum km_code code;
    struct km_err *err;
};

bool km_guard_journal_is_stderr(void)
{
    struct stat st;
    const char *stream = getenv("JOURNAL_STREAM");
    char own[64];
    if (!stream || fstat(STDERR_FILENO, &st) != 0)
        return false;
    (void)snprintf(own, sizeof own, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, own) == 0;
}

static void add(struct entry *entry, const char *name, const char *value)
{
    if (entry->code != KM_OK || !value)
        return;
    KM_ASSERT(entry->count < MAX_FIELDS);
    entry->begin[entry->count++] = entry->text.length;
    entry->code = km_buf_append_format(&entry->text, entry->err, "%s=%s", name, value);
}

static void add_escaped(struct entry *entry, const char *name, const char *value)
{
    char text[VALUE_BYTES];
    if (!value || !*value)
        return;
    (void)km_text_escape(value, strlen(value), text, sizeof text);
    add(entry, name, text);
}

static void add_real(struct entry *entry, const char *name, double value)
{
    char text[64];
    (void)snprintf(text, sizeof text, "%.3f", value);
    add(entry, name, text);
}

static void add_integer(struct entry *entry, const char *name, unsigned value)
{
    char text[32];
    (void)snprintf(text, sizeof text, "%u", value);
    add(entry, name, text);
}

static bool send_entry(const struct entry *entry)
{
#ifdef KM_HAVE_SYSTEMD
    struct iovec fields[MAX_FIELDS];
    char *text = (char *)entry->text.data;
    for (size_t i = 0; i < entry->count; i++) {
        size_t end = i + 1 < entry->count ? entry->begin[i + 1] : entry->text.length;
        fields[i] = (struct iovec){text + entry->begin[i], end - entry->begin[i]};
    }
    return sd_journal_sendv(fields, (int)entry->count) == 0;
#else
    (void)entry;
    return false;
#endif
}

static void fall_back(int priority, const char *line)
{
    static bool opened;
    if (!opened)
        openlog(IDENTIFIER, LOG_PID, LOG_DAEMON);
    opened = true;
    syslog(priority, "%s", line);
}

void km_guard_journal_say(const char *line)
{
    struct km_err err = KM_ERR_INIT;
    struct entry entry = {.err = &err};
    km_buf_init(&entry.text, MAX_BYTES);
    add(&entry, "MESSAGE", line);
    add_integer(&entry, "PRIORITY", LOG_NOTICE);
    add(&entry, "SYSLOG_IDENTIFIER", IDENTIFIER);
    if (entry.code != KM_OK || !send_entry(&entry))
        fall_back(LOG_NOTICE, line);
    km_buf_done(&entry.text);
}

/* A field's value is not a line. */
static void add_json(struct entry *entry, const char *json)
{
    add(entry, "KOMAINU_ALERT", json);
    const char *text = km_buf_text(&entry->text);
    if (entry->code == KM_OK && text[entry->text.length - 1] == '\n')
        entry->text.length--;
}

static void add_alert(struct entry *entry, const struct km_alert *alert, const char *json)
{
    const struct km_finding *finding = alert->finding;
    char id[17];
    (void)snprintf(id, sizeof id, "%016" PRIx64, alert->incident->id);
    add(entry, "SYSLOG_IDENTIFIER", IDENTIFIER);
    add(entry, "MESSAGE_ID", KM_GUARD_JOURNAL_ALERT_ID);
    add_escaped(entry, "KOMAINU_DAEMON", finding->subject.daemon);
    add_escaped(entry, "KOMAINU_ROLE", finding->subject.role);
    add_escaped(entry, "KOMAINU_KEY", alert->incident->key);
    add(entry, "KOMAINU_INCIDENT", id);
    add(entry, "KOMAINU_VERDICT", km_verdict_to_string(finding->verdict));
    add_real(entry, "KOMAINU_SCORE", finding->score);
    add_real(entry, "KOMAINU_CONFIDENCE", finding->confidence);
    add_real(entry, "KOMAINU_SURPRISE", alert->surprise);
    add_integer(entry, "KOMAINU_PID", finding->subject.pid);
    add_escaped(entry, "KOMAINU_EXECUTABLE", finding->subject.executable);
    add_json(entry, json);
}

enum km_code km_guard_journal_alert(const struct km_alert *alert, const char *json, struct km_err *err)
{
    int priority = alert->finding->verdict == KM_VERDICT_MALICIOUS ? LOG_ALERT : LOG_WARNING;
    struct entry entry = {.err = err};
    struct km_buf line;
    km_buf_init(&line, MAX_BYTES);
    km_buf_init(&entry.text, MAX_BYTES);
    enum km_code code = km_buf_append_text(&line, "ALERT ", err);
    if (code == KM_OK)
        code = km_alert_format_line(alert, &line, err);
    if (code == KM_OK) {
        add(&entry, "MESSAGE", km_buf_text(&line));
        add_integer(&entry, "PRIORITY", (unsigned)priority);
        add_alert(&entry, alert, json);
        code = entry.code;
    }
    if (code == KM_OK && !send_entry(&entry))
        fall_back(priority, km_buf_text(&line));
    km_buf_done(&line);
    km_buf_done(&entry.text);
    return code;
}
