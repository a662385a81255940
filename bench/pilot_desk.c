#include "pilot_desk.h"

#include <stdio.h>
#include <string.h>

#include "daemon_data.h"
#include "desk/store/query.h"
#include "desk/triage/decide.h"
#include "desk/triage/incident_list.h"
#include "desk/triage/suppress.h"
#include "desk/triage/triage.h"
#include "pilot_clock.h"

#define SUPPRESSES   0.05 /* of what is judged benign; another so much is benign-once */
#define MINUTES      3
#define TOLERATED_NS (30 * PILOT_DAY_NS)
#define WHO          "operator"

void pilot_desk_open(struct pilot_desk *desk, const char *path, uint64_t seed)
{
    struct km_err err = KM_ERR_INIT;
    char salt[33];
    struct km_random random;
    km_random_init(&random, ~seed);
    uint64_t high = km_random_next(&random), low = km_random_next(&random);
    (void)snprintf(salt, sizeof salt, "%016llx%016llx", (unsigned long long)high, (unsigned long long)low);
    km_random_init(&desk->random, ~seed + 1);
    desk->desk = km_desk_open(path, &err);
    if (!desk->desk || km_desk_set_setting(desk->desk, "collect.salt", salt, &err) != KM_OK)
        bench_die("%s", err.text);
}

void pilot_desk_close(struct pilot_desk *desk)
{
    km_desk_close(desk->desk);
}

int64_t pilot_desk_ask(struct pilot_desk *desk, const char *static_sql, const char *text, size_t count,
                       const int64_t *numbers)
{
    struct km_err err = KM_ERR_INIT;
    bool row = false;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(desk->desk, static_sql, &err);
    if (!query)
        bench_die("%s", err.text);
    km_query_bind_text(query, 1, text);
    for (size_t i = 0; i < count; i++)
        km_query_bind_integer(query, (int)i + 2, numbers[i]);
    if (km_query_step(query, &row, &err) != KM_OK)
        bench_die("%s", err.text);
    return row ? km_query_integer(query, 0) : 0;
}

void pilot_desk_stage(struct pilot_desk *desk, const struct pilot_staged *staged)
{
    if (desk->staged_count == PILOT_MAX_STAGED)
        bench_die("too many misuses");
    desk->staged[desk->staged_count++] = *staged;
}

/* ---- what is true ---- */

/* A daemon's misuse is known by its time, a tool in an image by its place. */
static bool is_misuse(struct pilot_desk *desk, int64_t incident)
{
    if (pilot_desk_ask(desk, "SELECT count(*) FROM finding WHERE incident_id=?2 AND kind='file' AND instr(path, ?1)=1",
                       PILOT_TOOL_PATH, 1, &incident) > 0)
        return true;
    for (size_t i = 0; i < desk->staged_count; i++) {
        const struct pilot_staged *staged = &desk->staged[i];
        const int64_t numbers[] = {incident, staged->from_ns, staged->until_ns};
        if (staged->kind == PILOT_DAEMON &&
            pilot_desk_ask(desk,
                           "SELECT count(*) FROM finding WHERE incident_id=?2 AND unit=?1 AND at_ns BETWEEN ?3 AND ?4",
                           staged->subject, 3, numbers) > 0)
            return true;
    }
    return false;
}

static bool is_detected(struct pilot_desk *desk, const struct pilot_staged *staged)
{
    static const char of_daemon[] =
        "SELECT count(*) FROM finding f JOIN incident i ON i.id=f.incident_id WHERE f.unit=?1 AND f.at_ns BETWEEN ?2"
        " AND ?3 AND i.shown IN (1, 3, 4)";
    static const char of_image[] =
        "SELECT count(*) FROM finding f JOIN incident i ON i.id=f.incident_id WHERE f.image=?1 AND f.at_ns BETWEEN ?2"
        " AND ?3 AND i.shown IN (1, 3, 4) AND instr(f.path, '" PILOT_TOOL_PATH "')=1";
    const int64_t numbers[] = {staged->from_ns, staged->until_ns};
    return pilot_desk_ask(desk, staged->kind == PILOT_DAEMON ? of_daemon : of_image, staged->subject, 2, numbers) > 0;
}

/* ---- the person ---- */

struct listed {
    int64_t id;
    enum pilot_kind kind;
    enum km_triage_shown shown;
    bool returned;
    char subject[128], dominant[256];
};

struct list {
    struct listed items[1024];
    size_t count;
};

static enum km_code collect(void *context, const struct km_incident_row *row, struct km_err *err)
{
    struct list *list = context;
    (void)err;
    if (row->decision >= 0 || list->count == sizeof list->items / sizeof list->items[0])
        return KM_OK;
    struct listed *item = &list->items[list->count++];
    *item = (struct listed){.id = row->id,
                            .kind = strcmp(row->kind, "daemon") == 0 ? PILOT_DAEMON : PILOT_IMAGE,
                            .shown = row->shown,
                            .returned = row->returned_ns != 0};
    (void)snprintf(item->subject, sizeof item->subject, "%s", row->subject);
    (void)snprintf(item->dominant, sizeof item->dominant, "%s", row->dominant);
    return KM_OK;
}

static void read_list(struct pilot_desk *desk, int shown, struct list *out)
{
    struct km_err err = KM_ERR_INIT;
    bool more = false;
    const struct km_incident_filter filter = {
        .state = -1, .shown = shown, .limit = sizeof out->items / sizeof out->items[0]};
    out->count = 0;
    if (km_incident_list(desk->desk, &filter, out, collect, &more, &err) != KM_OK)
        bench_die("%s", err.text);
}

static void count_new(struct pilot_desk *desk, const struct list *list, struct pilot_evening *out)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct listed *item = &list->items[i];
        if (item->id >= PILOT_MAX_INCIDENT)
            bench_die("too many incidents");
        if (desk->seen[item->id])
            continue;
        desk->seen[item->id] = true;
        bool alert = item->shown == KM_TRIAGE_ALERT, misuse = is_misuse(desk, item->id);
        out->false_alerts[item->kind] += alert && !misuse;
        out->returned += alert && !misuse && item->returned;
        out->questions += !alert;
        if (desk->verbose)
            fprintf(stderr, "# %s: day %.2f: %s%s: %s, %s\n", desk->decides ? "decides" : "closes",
                    (double)(pilot_clock_now() - PILOT_BEGIN_NS) / (double)PILOT_DAY_NS,
                    km_triage_shown_to_string(item->shown), misuse ? " (misuse)" : "", item->subject, item->dominant);
    }
}

static void close_incident(struct pilot_desk *desk, int64_t id)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_incident_change closed = {.who = WHO, .state = KM_TRIAGE_CLOSED, .minutes = -1, .importance = -1};
    if (km_incident_apply(desk->desk, id, &closed, pilot_clock_now(), &err) != KM_OK)
        bench_die("close: %s", err.text);
}

static void suppress(struct pilot_desk *desk, const struct listed *item)
{
    struct km_err err = KM_ERR_INIT;
    int64_t id;
    const struct km_suppression suppression = {.daemon = item->subject,
                                               .evidence = item->dominant,
                                               .reason = "known job",
                                               .owner = WHO,
                                               .expires_ns = pilot_clock_now() + 14 * PILOT_DAY_NS};
    if (km_suppress_add(desk->desk, &suppression, WHO, pilot_clock_now(), &id, &err) != KM_OK)
        bench_die("suppress: %s", err.text);
}

/* Returns whether it was a mistake. */
static bool decide(struct pilot_desk *desk, const struct listed *item)
{
    struct km_err err = KM_ERR_INIT;
    int64_t id;
    bool misuse = is_misuse(desk, item->id);
    bool mistaken = km_random_real(&desk->random) < desk->wrong;
    bool attack = misuse != mistaken;
    double how = km_random_real(&desk->random);
    struct km_verdict_given given = {item->id, KM_DECISION_ATTACK, WHO, "looked at", 0, MINUTES};
    if (!attack)
        given.kind = how < 2 * SUPPRESSES ? KM_DECISION_BENIGN_ONCE : KM_DECISION_BENIGN_LEARN;
    enum km_code code = km_decide_add(desk->desk, &given, pilot_clock_now(), &id, &err);
    if (code == KM_CONFLICT && !attack) { /* of a file whose content is not known */
        given.kind = KM_DECISION_BENIGN_UNTIL;
        given.until_ns = pilot_clock_now() + TOLERATED_NS;
        code = km_decide_add(desk->desk, &given, pilot_clock_now(), &id, &err);
    }
    if (code != KM_OK)
        bench_die("decide: %s", err.text);
    if (attack)
        close_incident(desk, item->id);
    else if (how < SUPPRESSES && item->kind == PILOT_DAEMON)
        suppress(desk, item);
    if (desk->verbose && mistaken)
        fprintf(stderr, "# mistaken: incident %lld, %s, is %s\n", (long long)item->id, item->subject,
                misuse ? "a misuse" : "benign");
    return mistaken;
}

static void review(struct pilot_desk *desk, const struct list *list, struct pilot_evening *out)
{
    for (size_t i = 0; i < list->count && out->reviewed < desk->reviews; i++) {
        out->reviewed++;
        if (desk->decides)
            out->mistakes += decide(desk, &list->items[i]);
        else
            close_incident(desk, list->items[i].id);
        pilot_clock_set(pilot_clock_now() + MINUTES * INT64_C(60000000000));
    }
}

void pilot_desk_evening(struct pilot_desk *desk, int64_t day_ns, struct pilot_evening *out)
{
    static struct list list;
    struct km_err err = KM_ERR_INIT;
    *out = (struct pilot_evening){0};
    if (km_triage_run(desk->desk, pilot_clock_now(), NULL, &err) != KM_OK)
        bench_die("triage: %s", err.text);
    for (size_t i = 0; i < desk->staged_count; i++) {
        const struct pilot_staged *staged = &desk->staged[i];
        if (staged->from_ns < day_ns)
            continue;
        bool detected = is_detected(desk, staged);
        out->staged[staged->kind]++;
        out->detected[staged->kind] += detected;
        if (desk->verbose)
            fprintf(stderr, "# %s: staged %s at %s: %s\n", desk->decides ? "decides" : "closes", staged->what,
                    staged->subject, detected ? "shown" : "missed");
    }
    read_list(desk, -1, &list);
    count_new(desk, &list, out);
    review(desk, &list, out);
    read_list(desk, KM_TRIAGE_DIGEST, &list);
    review(desk, &list, out);
}

bool pilot_desk_is_settled(struct pilot_desk *desk, const char *image, int64_t day_ns)
{
    int64_t open = pilot_desk_ask(desk,
                                  "SELECT count(*) FROM incident_image m JOIN incident i ON i.id=m.incident_id WHERE"
                                  " m.image=?1 AND i.state<4",
                                  image, 0, NULL);
    int64_t attacks = pilot_desk_ask(desk,
                                     "SELECT count(*) FROM incident_image m JOIN decision d ON"
                                     " d.incident_id=m.incident_id WHERE m.image=?1 AND d.kind=4 AND d.at_ns>=?2",
                                     image, 1, &day_ns);
    int64_t benign = pilot_desk_ask(desk,
                                    "SELECT count(*) FROM incident_image m JOIN decision d ON"
                                    " d.incident_id=m.incident_id WHERE m.image=?1 AND d.kind=1",
                                    image, 0, NULL);
    return open == 0 && attacks == 0 && benign > 0;
}
