/*
 * The system's log for a guard that a service manager started: the journal, whose entries carry an alert's parts as
 * fields; without libsystemd, or where no journal answers, syslog. The message is one line of escaped text either way.
 *
 *     MESSAGE_ID=f0c7…            all alerts: journalctl MESSAGE_ID=…
 *     KOMAINU_DAEMON= _ROLE= _KEY= _INCIDENT= _VERDICT= _SCORE= _CONFIDENCE= _SURPRISE= _PID= _EXECUTABLE=
 *     KOMAINU_ALERT=              the alert as JSON (data/schema/alert-1.json)
 */
#ifndef KM_CLI_GUARD_JOURNAL_H
#define KM_CLI_GUARD_JOURNAL_H

#include <stdbool.h>

#include "base/err.h"
#include "finding/alert.h"

#define KM_GUARD_JOURNAL_ALERT_ID "f0c7a6d2b5e94c3f8a1d6e0b72c49d15"

/* Whether standard error is the journal's own stream (JOURNAL_STREAM names its device and inode): then its lines are
 * better sent as entries. */
bool km_guard_journal_is_stderr(void);

/* One line, escaped. */
void km_guard_journal_say(const char *line);

/* json: the same alert, one line. KM_NOMEM, KM_LIMIT; trouble with the journal ends nothing. */
enum km_code km_guard_journal_alert(const struct km_alert *alert, const char *json, struct km_err *err) KM_MUST_USE;

#endif
