/* What was watched and examined, what was lost, what that took from the machine. */
#include <math.h>
#include <stdio.h>

#include "desk/triage/kpi_internal.h"
#include "desk/triage/stage_sql.h"

#define WATCHES                                                                                                        \
    "FROM watch w JOIN run r ON r.id=w.run_id WHERE w.to_ns>w.from_ns AND w.to_ns>?1 AND w.from_ns<?2 "                \
    "AND " KM_SQL_DAEMON_IN_SCOPE("w.unit")

/* An image of a target: its name where there is one, else the target's. Another program may have written the list. */
#define OF_IMAGE(member) "iif(j.type='object', json_extract(j.value, '$." member "'), NULL)"
#define TARGETS                                                                                                        \
    "FROM target t JOIN run r ON r.id=t.run_id LEFT JOIN json_each(iif(json_valid(t.images), t.images, '[]')) j WHERE" \
    " r.kind='scan' AND t.ended_ns IS NOT NULL AND (" KM_SQL_IMAGE_IN_SCOPE("t.name") " OR " KM_SQL_IMAGE_IN_SCOPE(    \
        OF_IMAGE("name")) ")"

/* ---- daemons ---- */

/* The union of intervals that come sorted by begin within a group. */
struct sweep {
    int64_t end_ns;
    double total_ns;
};

static void sweep_add(struct sweep *sweep, int64_t from_ns, int64_t to_ns)
{
    if (from_ns < sweep->end_ns)
        from_ns = sweep->end_ns;
    if (to_ns <= from_ns)
        return;
    sweep->total_ns += (double)(to_ns - from_ns);
    sweep->end_ns = to_ns;
}

struct watched {
    double all_ns, unripe_ns, expected_ns;
    int64_t daemons, stretches;
};

/* A moment is mature when no role that was watched then was not. */
static enum km_code sum_watched(const struct km_kpi_work *work, struct watched *out, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_kpi_open(work,
                    "SELECT w.mature, max(w.from_ns, ?1), min(w.to_ns, ?2), dense_rank() OVER (ORDER BY r.host, w.unit)"
                    " AS subject " WATCHES " ORDER BY subject, w.from_ns",
                    err);
    struct sweep all = {0}, unripe = {0};
    int64_t subject = 0;
    bool row = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        if (km_query_integer(query, 3) != subject) {
            subject = km_query_integer(query, 3);
            all.end_ns = unripe.end_ns = 0;
        }
        sweep_add(&all, km_query_integer(query, 1), km_query_integer(query, 2));
        if (km_query_integer(query, 0) == 0)
            sweep_add(&unripe, km_query_integer(query, 1), km_query_integer(query, 2));
        out->stretches++;
    }
    out->daemons = subject;
    out->all_ns = all.total_ns;
    out->unripe_ns = unripe.total_ns;
    return code;
}

/* From when a daemon came under guard, at the earliest since the period began, to the period's end. */
static enum km_code sum_expected(const struct km_kpi_work *work, double *out, struct km_err *err)
{
    return km_kpi_read_row(work,
                           "SELECT sum(?2-max(?1, (SELECT min(e.from_ns) FROM watch e JOIN run q ON q.id=e.run_id"
                           " WHERE e.unit=d.unit AND q.host=d.host AND e.to_ns>e.from_ns))+0.0) FROM (SELECT DISTINCT"
                           " r.host, w.unit " WATCHES ") d",
                           out, 1, err);
}

static enum km_code add_daemons(struct km_kpi_work *work, struct km_kpi_exposure *out, struct km_err *err)
{
    struct watched watched = {0};
    double expected = NAN, faults = 0;
    enum km_code code = sum_watched(work, &watched, err);
    if (code == KM_OK)
        code = sum_expected(work, &expected, err);
    if (code == KM_OK)
        code = km_kpi_read_row(work,
                               "SELECT count(*) FROM watch w WHERE w.to_ns<w.from_ns AND w.from_ns>=?1 AND w.to_ns<?2"
                               " AND " KM_SQL_DAEMON_IN_SCOPE("w.unit"),
                               &faults, 1, err);
    if (code != KM_OK)
        return code;
    work->report->clock_faults += (int64_t)faults;
    out->daemon_days = watched.all_ns / KM_KPI_DAY_NS;
    struct km_kpi *row = km_kpi_add(work, "daemon_days", "days that daemons were watched", "days");
    km_kpi_set(row, watched.stretches > 0 ? out->daemon_days : NAN, (double)watched.daemons, "daemons");
    row = km_kpi_add(work, "daemon_hours_watched", "daemon-hours watched since each came under guard", "share");
    km_kpi_set(row, watched.all_ns / expected, (double)watched.daemons, "daemons");
    row = km_kpi_add(work, "daemon_hours_mature", "daemon-hours watched with a mature profile", "share");
    km_kpi_set(row, (watched.all_ns - watched.unripe_ns) / expected, (double)watched.daemons, "daemons");
    return KM_OK;
}

/* ---- containers ---- */

static enum km_code add_images(struct km_kpi_work *work, struct km_kpi_exposure *out, struct km_err *err)
{
    double bytes[4], images[2];
    enum km_code code = km_kpi_read_row(
        work,
        "SELECT total(examined), total(opaque), total(bytes), count(*) FROM (SELECT max(t.bytes_examined)"
        " AS examined, max(t.bytes_opaque) AS opaque, max(t.bytes_total) AS bytes " TARGETS
        " AND t.ended_ns>=?1 AND t.ended_ns<?2 GROUP BY t.id) WHERE bytes>0",
        bytes, 4, err);
    if (code == KM_OK) /* the same content under another name is not new */
        code = km_kpi_read_row(
            work,
            "SELECT coalesce(sum(first>=?1), 0), count(*) FROM (SELECT min(t.ended_ns) AS first, max(t.ended_ns) AS"
            " last " TARGETS " AND t.ended_ns<?2 GROUP BY coalesce(" OF_IMAGE("digest") ", " OF_IMAGE(
                "name") ", t.name)) WHERE last>=?1",
            images, 2, err);
    if (code != KM_OK)
        return code;
    out->new_images = images[0];
    km_kpi_set(km_kpi_add(work, "images_new", "images scanned for the first time", "count"),
               images[1] > 0 ? images[0] : NAN, images[1], "images scanned");
    km_kpi_set(km_kpi_add(work, "bytes", "bytes in what was scanned", "bytes"), bytes[3] > 0 ? bytes[2] : NAN, bytes[3],
               "scans");
    km_kpi_set(km_kpi_add(work, "bytes_examined", "bytes examined", "share"), bytes[0] / bytes[2], bytes[3], "scans");
    km_kpi_set(km_kpi_add(work, "bytes_opaque", "bytes read and not understood", "share"), bytes[1] / bytes[2],
               bytes[3], "scans");
    return KM_OK;
}

/* ---- hosts ---- */

/* A host counts from its first to its last activity in the period, and at least a day: a single scan is a day's work.
 */
static enum km_code sum_host_days(const struct km_kpi_work *work, double *out, struct km_err *err)
{
    return km_kpi_read_row(work,
                           "SELECT coalesce(sum(max(1.0, (b-a)/8.64e13)), 0) FROM (SELECT min(a) AS a, max(b) AS b FROM"
                           " (SELECT r.host AS host, max(w.from_ns, ?1) AS a, min(w.to_ns, ?2) AS b " WATCHES
                           " UNION ALL SELECT r.host, max(t.began_ns, ?1), t.ended_ns " TARGETS
                           " AND t.ended_ns>=?1 AND t.ended_ns<?2) GROUP BY host)",
                           out, 1, err);
}

/* ---- losses ---- */

static enum km_code add_losses(struct km_kpi_work *work, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_kpi_open(work,
                    "SELECT what, total(lost), total(seen), count(*) FROM loss WHERE at_ns>=?1 AND at_ns<?2 AND (unit"
                    " IS NULL OR " KM_SQL_DAEMON_IN_SCOPE("unit") ") GROUP BY what ORDER BY what LIMIT 20",
                    err);
    struct km_kpi *worst = km_kpi_add(work, "loss", "lost, of the kind with the largest share", "share");
    double largest = NAN, reports = 0;
    bool unknown = false, row = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        char id[96];
        const char *what = km_query_text(query, 0);
        double lost = km_query_real(query, 1), seen = km_query_real(query, 2);
        snprintf(id, sizeof id, "loss.%s", what);
        struct km_kpi *kind = km_kpi_add(work, id, "lost", "share");
        km_kpi_set_about(kind, what);
        km_kpi_set(kind, lost / seen, km_query_real(query, 3), "reports");
        if (!kind->known) {
            kind->note = "{n} lost of an unknown number";
            kind->note_number = lost;
        }
        unknown = unknown || !kind->known;
        reports += km_query_real(query, 3);
        largest = kind->known ? fmax(largest, kind->value) : largest;
    }
    km_kpi_set(worst, unknown ? NAN : largest, reports, "reports");
    return code;
}

/* ---- what it took ---- */

static enum km_code add_load(struct km_kpi_work *work, struct km_err *err)
{
    double share[2], guard[2], run[3];
    enum km_code code = km_kpi_read_row(work,
                                        "SELECT avg(value), count(value) FROM health WHERE name='cpu_share' AND"
                                        " at_ns>=?1 AND at_ns<?2 AND ?3 IS NOT NULL",
                                        share, 2, err);
    if (code == KM_OK)
        code = km_kpi_read_row(work,
                               "SELECT total(cpu_ms)*1e6/total(ended_ns-began_ns), count(*) FROM run WHERE kind='guard'"
                               " AND cpu_ms IS NOT NULL AND ended_ns>began_ns AND ended_ns>=?1 AND ended_ns<?2 AND ?3"
                               " IS NOT NULL",
                               guard, 2, err);
    if (code == KM_OK)
        code = km_kpi_read_row(work,
                               "SELECT total(cpu_ms)/1000.0, count(cpu_ms), (SELECT max(m) FROM (SELECT"
                               " memory_peak_bytes AS m FROM run WHERE ended_ns>=?1 AND ended_ns<?2 UNION ALL SELECT"
                               " value FROM health WHERE name='memory_bytes' AND at_ns>=?1 AND at_ns<?2)) FROM run"
                               " WHERE ended_ns>=?1 AND ended_ns<?2 AND ?3 IS NOT NULL",
                               run, 3, err);
    if (code != KM_OK)
        return code;
    bool reported = share[1] > 0;
    km_kpi_set(km_kpi_add(work, "cpu_share", "the guard's share of one processor", "share"),
               reported ? share[0] : guard[0], reported ? share[1] : guard[1], reported ? "reports" : "runs");
    km_kpi_set(km_kpi_add(work, "cpu_seconds", "processor time of runs that ended", "s"), run[1] > 0 ? run[0] : NAN,
               run[1], "runs");
    km_kpi_set(km_kpi_add(work, "memory_peak", "most memory at once", "bytes"), run[2], run[1], "runs");
    return KM_OK;
}

enum km_code km_kpi_measure_coverage(struct km_kpi_work *work, struct km_kpi_exposure *out, struct km_err *err)
{
    enum km_code code = add_images(work, out, err);
    if (code == KM_OK)
        code = add_daemons(work, out, err);
    if (code == KM_OK)
        code = sum_host_days(work, &out->host_days, err);
    if (code == KM_OK)
        code = add_losses(work, err);
    return code == KM_OK ? add_load(work, err) : code;
}
