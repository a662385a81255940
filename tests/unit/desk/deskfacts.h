/* Rows written straight into a store, at times that a test chooses. */
#ifndef KM_TESTS_DESKFACTS_H
#define KM_TESTS_DESKFACTS_H

#include "deskfile.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define HOUR   (3600 * SECOND)
#define DAY    (86400 * SECOND)
#define NOON   (INT64_C(20000) * DAY + DAY / 2)

__attribute__((format(printf, 2, 3))) static inline void facts_do(struct km_desk *desk, const char *format, ...)
{
    char sql[2048];
    va_list args;
    va_start(args, format);
    assert_true(vsnprintf(sql, sizeof sql, format, args) < (int)sizeof sql);
    va_end(args);
    desk_do(desk, sql);
}

static inline void facts_run(struct km_desk *desk, int64_t id, const char *kind, const char *host, int64_t began_ns,
                             int64_t ended_ns)
{
    facts_do(desk,
             "INSERT INTO run(id, token, kind, host, who, began_ns, ended_ns, cpu_ms, memory_peak_bytes)"
             " VALUES(%lld, 'r%lld', '%s', '%s', 'kato', %lld, nullif(%lld, 0), 2000, 1000000)",
             (long long)id, (long long)id, kind, host, (long long)began_ns, (long long)ended_ns);
}

static inline void facts_watch(struct km_desk *desk, int64_t run, const char *unit, const char *role, int64_t from_ns,
                               int64_t to_ns, int mature)
{
    facts_do(desk,
             "INSERT INTO watch(run_id, unit, role, from_ns, to_ns, mature, confidence, episodes, tapped)"
             " VALUES(%lld, '%s', '%s', %lld, %lld, %d, 1, 10, 1)",
             (long long)run, unit, role, (long long)from_ns, (long long)to_ns, mature);
}

/* kind -1: nobody decided. unit NULL: a file of the image "shop". */
static inline void facts_alert(struct km_desk *desk, const char *unit, int64_t opened_ns, int64_t after_ns, int kind,
                               double minutes)
{
    facts_do(desk,
             "INSERT INTO incident(key, kind, host, subject, image, dominant, first_ns, last_ns, count, verdict, score,"
             " confidence, shown, shown_ns, opened_ns, minutes) VALUES('k', '%s', 'gate', '%s', %s, 'e', %lld, %lld, 1,"
             " 2, 0.8, 1, 1, %lld, %lld, %.3f)",
             unit ? "daemon" : "file", unit ? unit : "opt/a", unit ? "NULL" : "'shop'", (long long)(opened_ns - SECOND),
             (long long)opened_ns, (long long)opened_ns, (long long)opened_ns, minutes);
    if (kind < 0)
        return;
    facts_do(desk,
             "INSERT INTO decision(incident_id, kind, who, note, at_ns, guardian, host, unit, image)"
             " VALUES(last_insert_rowid(), %d, 'kato', 'n', %lld, 'guard', 'gate', %s%s%s, %s);"
             "UPDATE incident SET decision_kind=%d, decided_ns=%lld, first_decided_ns=%lld, state=iif(%d<3, 4, 2)"
             " WHERE id=(SELECT max(id) FROM incident)",
             kind, (long long)(opened_ns + after_ns), unit ? "'" : "", unit ? unit : "NULL", unit ? "'" : "",
             unit ? "NULL" : "'shop'", kind, (long long)(opened_ns + after_ns), (long long)(opened_ns + after_ns),
             kind);
}

#endif
