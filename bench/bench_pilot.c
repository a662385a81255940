/*
 * A pilot of 35 simulated days on the real store, triage, decisions and suppressions: bench_pilot FILE.svg. Do false
 * alerts fall as people decide, and does detection of staged misuse stay? Prints "name value unit low high n" by week,
 * and the same for people who only close what they see ("closed").
 *
 * The findings are made up, at the rates below; no guardian runs here. A benign cause raises findings for as long as it
 * lives; a staged misuse raises one with probability RAISED, and one in MIMICS does what a benign cause does, too. The
 * operator looks at every alert each evening and is wrong with probability WRONG, either way. Whether a finding is a
 * misuse is the lowest bit of its time: triage does not look at it.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk/store/query.h"
#include "desk/store/recorder.h"
#include "desk/triage/decide.h"
#include "desk/triage/incident_list.h"
#include "desk/triage/suppress.h"
#include "desk/triage/triage.h"
#include "stats/interval.h"

#define DAYS        35
#define WEEKS       (DAYS / 7)
#define PILOTS      20
#define FIRST_DAY   20000 /* since 1970 */
#define CAUSES      120
#define BORN_LATER  30 /* of the causes: on a day of the pilot */
#define FILES       40 /* of the causes: found by each day's scan; the rest by a daemon's guard */
#define DAEMONS     20
#define MISUSE_RATE 1.0 /* a day */
#define RAISED      0.9
#define MIMICS      5
#define WRONG       0.1
#define SUPPRESSES  0.15 /* of what is judged benign; as often benign-once, else benign-learn */
#define MAX_ALERTS  1000
#define NORMAL_95   1.959964

struct cause {
    bool file;
    unsigned daemon, act;
    int born;
    double rate; /* findings a day */
};

struct pilot {
    struct km_desk *desk;
    struct km_recorder *recorder;
    uint64_t random;
    bool decides;
    struct cause causes[CAUSES];
    double false_alerts[WEEKS]; /* a day */
    double staged[WEEKS], detected[WEEKS];
};

static _Noreturn void die(const char *what, const struct km_err *err)
{
    fprintf(stderr, "bench_pilot: %s: %s\n", what, err->text);
    exit(1);
}

/* xorshift64*: the same causes in every run; what triage draws at random differs with the salt of the store. */
static double draw(struct pilot *pilot)
{
    pilot->random ^= pilot->random >> 12;
    pilot->random ^= pilot->random << 25;
    pilot->random ^= pilot->random >> 27;
    return (double)((pilot->random * UINT64_C(0x2545F4914F6CDD1D)) >> 11) * 0x1p-53;
}

static unsigned draw_below(struct pilot *pilot, unsigned bound)
{
    return (unsigned)(draw(pilot) * bound);
}

static unsigned draw_poisson(struct pilot *pilot, double mean)
{
    unsigned count = 0;
    double product = draw(pilot);
    while (product > exp(-mean)) {
        product *= draw(pilot);
        count++;
    }
    return count;
}

static void make_causes(struct pilot *pilot)
{
    for (unsigned i = 0; i < CAUSES; i++) {
        struct cause *cause = &pilot->causes[i];
        cause->file = i < FILES;
        cause->daemon = draw_below(pilot, DAEMONS);
        cause->act = i;
        cause->born = i % (CAUSES / BORN_LATER) == 0 ? (int)draw_below(pilot, DAYS) : 0;
        cause->rate = cause->file ? 1 : 0.03 * exp(4 * draw(pilot)); /* few causes make most of the noise */
    }
}

/* Records what a guardian would. */
static void raise_finding(struct pilot *pilot, const struct cause *cause, int64_t at_ns, double score)
{
    struct km_err err = KM_ERR_INIT;
    char subject[64], act[64], sha256[65];
    struct km_evidence evidence = {.id = cause->file ? "package.unowned" : "first.exec", .weight = 3};
    (void)snprintf(act, sizeof act, "/srv/act%u", cause->act);
    (void)snprintf(sha256, sizeof sha256, "%064x", cause->act);
    (void)snprintf(subject, sizeof subject, cause->file ? "image%u:1" : "daemon%u.service", cause->daemon);
    evidence.args[evidence.arg_count++] = (struct km_arg){.name = "what", .type = KM_ARG_TEXT, .text = act};
    struct km_finding finding = {.kind = cause->file ? "file" : "daemon",
                                 .subject = {.layer_index = -1, .uid = -1},
                                 .verdict = KM_VERDICT_SUSPICIOUS,
                                 .score = score,
                                 .confidence = 1,
                                 .time_wall_ns = at_ns,
                                 .evidence_count = 1,
                                 .evidence = &evidence};
    if (cause->file) {
        finding.subject.image = subject;
        finding.subject.path = act;
        finding.subject.sha256 = sha256;
    } else {
        finding.subject.daemon = subject;
        finding.subject.role = "worker";
    }
    struct km_sink sink = km_recorder_sink(pilot->recorder);
    if (sink.finding(sink.context, &finding, &err) != KM_OK)
        die("record", &err);
}

static int64_t time_within(struct pilot *pilot, int64_t day, bool misuse)
{
    int64_t at_ns = day * KM_TRIAGE_DAY_NS + (int64_t)(draw(pilot) * 0.9 * (double)KM_TRIAGE_DAY_NS);
    return (at_ns & ~INT64_C(1)) | (misuse ? 1 : 0);
}

static int64_t ask(struct pilot *pilot, const char *static_sql, int64_t parameter)
{
    struct km_err err = KM_ERR_INIT;
    bool row = false;
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open(pilot->desk, static_sql, &err);
    if (!query)
        die("ask", &err);
    km_query_bind_integer(query, 1, parameter);
    if (km_query_step(query, &row, &err) != KM_OK)
        die("ask", &err);
    return row ? km_query_integer(query, 0) : 0;
}

static bool is_misuse(struct pilot *pilot, int64_t incident)
{
    return ask(pilot, "SELECT max(at_ns & 1) FROM finding WHERE incident_id=?1", incident) == 1;
}

struct alerts {
    size_t count;
    int64_t ids[MAX_ALERTS];
    char daemons[MAX_ALERTS][64], evidence[MAX_ALERTS][128];
};

static enum km_code collect_alert(void *context, const struct km_incident_row *row, struct km_err *err)
{
    struct alerts *alerts = context;
    if (alerts->count == MAX_ALERTS)
        return km_fail(err, KM_LIMIT, "too many alerts");
    if (row->decision >= 0)
        return KM_OK;
    (void)snprintf(alerts->daemons[alerts->count], sizeof alerts->daemons[0], "%s",
                   strcmp(row->kind, "daemon") == 0 ? row->subject : "");
    (void)snprintf(alerts->evidence[alerts->count], sizeof alerts->evidence[0], "%s", row->dominant);
    alerts->ids[alerts->count++] = row->id;
    return KM_OK;
}

static void decide(struct pilot *pilot, const struct alerts *alerts, size_t i, int64_t now_ns)
{
    struct km_err err = KM_ERR_INIT;
    int64_t id;
    bool attack = is_misuse(pilot, alerts->ids[i]) != (draw(pilot) < WRONG);
    double how = draw(pilot);
    struct km_verdict_given given = {alerts->ids[i], KM_DECISION_ATTACK, "operator", "looked at", 0, 3};
    if (!attack)
        given.kind = how < 2 * SUPPRESSES ? KM_DECISION_BENIGN_ONCE : KM_DECISION_BENIGN_LEARN;
    if (km_decide_add(pilot->desk, &given, now_ns, &id, &err) != KM_OK)
        die("decide", &err);
    if (attack || how >= SUPPRESSES || !*alerts->daemons[i])
        return;
    const struct km_suppression suppression = {.daemon = alerts->daemons[i],
                                               .evidence = alerts->evidence[i],
                                               .reason = "known job",
                                               .owner = "operator",
                                               .expires_ns = now_ns + 14 * KM_TRIAGE_DAY_NS};
    if (km_suppress_add(pilot->desk, &suppression, "operator", now_ns, &id, &err) != KM_OK)
        die("suppress", &err);
}

static void look_at_alerts(struct pilot *pilot, int day, int64_t now_ns)
{
    static struct alerts alerts;
    struct km_err err = KM_ERR_INIT;
    bool more = false;
    const struct km_incident_filter filter = {.state = -1, .shown = KM_TRIAGE_ALERT, .limit = MAX_ALERTS};
    alerts.count = 0;
    if (km_incident_list(pilot->desk, &filter, &alerts, collect_alert, &more, &err) != KM_OK)
        die("list", &err);
    for (size_t i = 0; i < alerts.count; i++) {
        const struct km_incident_change closed = {
            .who = "operator", .state = KM_TRIAGE_CLOSED, .minutes = -1, .importance = -1};
        pilot->false_alerts[day / 7] += is_misuse(pilot, alerts.ids[i]) ? 0 : 1.0 / 7;
        if (pilot->decides)
            decide(pilot, &alerts, i, now_ns);
        else if (km_incident_apply(pilot->desk, alerts.ids[i], &closed, now_ns, &err) != KM_OK)
            die("close", &err);
    }
}

/* One day: what the causes raise, perhaps staged misuse, triage in the evening, then the operator. */
static void live_day(struct pilot *pilot, int day)
{
    struct km_err err = KM_ERR_INIT;
    int64_t staged[64];
    unsigned raised = 0, misuses = draw_poisson(pilot, MISUSE_RATE);
    for (unsigned i = 0; i < CAUSES; i++) {
        const struct cause *cause = &pilot->causes[i];
        unsigned count = day < cause->born ? 0 : cause->file ? 1 : draw_poisson(pilot, cause->rate);
        for (unsigned k = 0; k < count; k++)
            raise_finding(pilot, cause, time_within(pilot, FIRST_DAY + day, false), 0.5 + 0.3 * draw(pilot));
    }
    for (unsigned i = 0; i < misuses && i < 64; i++) {
        struct cause misuse = {.file = draw(pilot) < 0.25, .daemon = draw_below(pilot, DAEMONS)};
        misuse.act = 1000 + draw_below(pilot, misuse.file ? 1000000 : 4);
        if (!misuse.file && draw_below(pilot, MIMICS) == 0)
            misuse = pilot->causes[FILES + draw_below(pilot, CAUSES - FILES)];
        pilot->staged[day / 7]++;
        if (draw(pilot) >= RAISED)
            continue;
        staged[raised] = time_within(pilot, FIRST_DAY + day, true);
        raise_finding(pilot, &misuse, staged[raised++], 0.6 + 0.35 * draw(pilot));
    }
    int64_t evening_ns = (FIRST_DAY + day) * KM_TRIAGE_DAY_NS + KM_TRIAGE_DAY_NS * 19 / 20;
    if (km_recorder_flush(pilot->recorder, &err) != KM_OK ||
        km_triage_run(pilot->desk, evening_ns, NULL, &err) != KM_OK)
        die("triage", &err);
    for (unsigned i = 0; i < raised; i++)
        pilot->detected[day / 7] += (double)ask(
            pilot, "SELECT i.shown IN (1, 3, 4) FROM finding f JOIN incident i ON i.id=f.incident_id WHERE f.at_ns=?1",
            staged[i]);
    look_at_alerts(pilot, day, evening_ns);
}

static void live(struct pilot *pilot, uint64_t seed, bool decides)
{
    struct km_err err = KM_ERR_INIT;
    *pilot = (struct pilot){.random = seed * UINT64_C(0x9E3779B97F4A7C15) + 1, .decides = decides};
    pilot->desk = km_desk_open(":memory:", &err);
    const struct km_recorder_options options = {
        .kind = "guard", .who = "bench", .host = "pilot", .versions = {.komainu = "bench"}};
    if (!pilot->desk || !(pilot->recorder = km_recorder_new(pilot->desk, &options, &err)))
        die("open", &err);
    make_causes(pilot);
    for (int day = 0; day < DAYS; day++)
        live_day(pilot, day);
    km_recorder_free(pilot->recorder);
    km_desk_close(pilot->desk);
}

struct curve {
    struct km_estimate alarms[WEEKS], detection[WEEKS];
};

static void measure(bool decides, const char *suffix, struct curve *curve)
{
    static struct pilot pilots[PILOTS];
    for (unsigned p = 0; p < PILOTS; p++)
        live(&pilots[p], p + 1, decides);
    for (int week = 0; week < WEEKS; week++) {
        double sum = 0, squares = 0, staged = 0, detected = 0;
        for (unsigned p = 0; p < PILOTS; p++) {
            sum += pilots[p].false_alerts[week];
            squares += pilots[p].false_alerts[week] * pilots[p].false_alerts[week];
            staged += pilots[p].staged[week];
            detected += pilots[p].detected[week];
        }
        double mean = sum / PILOTS;
        double spread = NORMAL_95 * sqrt(fmax(squares / PILOTS - mean * mean, 0) / (PILOTS - 1));
        curve->alarms[week] = (struct km_estimate){mean, {mean - spread, mean + spread}};
        curve->detection[week] = (struct km_estimate){detected / staged, km_interval_wilson(detected, staged, 0.95)};
        printf("pilot.falsealarms%s.week%d %.2f 1/day %.2f %.2f %d\n", suffix, week + 1, mean, mean - spread,
               mean + spread, PILOTS * 7);
        printf("pilot.detection%s.week%d %.3f share %.3f %.3f %.0f\n", suffix, week + 1, detected / staged,
               curve->detection[week].interval.low, curve->detection[week].interval.high, staged);
    }
}

/* A curve with the bars of its intervals; top is the value at the upper edge. */
static void draw_curve(FILE *out, const struct km_estimate *points, double top, double left, const char *color)
{
    fprintf(out, "<g stroke=\"%s\" fill=\"none\">", color);
    for (int week = 0; week < WEEKS; week++) {
        double x = left + 20 + 50 * week;
        fprintf(out, "<path d=\"M%.1f %.1fV%.1f\"/>", x, 180 - 150 * points[week].interval.low / top,
                180 - 150 * points[week].interval.high / top);
        if (week > 0)
            fprintf(out, "<path d=\"M%.1f %.1fL%.1f %.1f\"/>", x - 50, 180 - 150 * points[week - 1].value / top, x,
                    180 - 150 * points[week].value / top);
    }
    fputs("</g>\n", out);
}

static int save_picture(const char *path, const struct curve *decided, const struct curve *closed)
{
    double top = 1;
    FILE *out = fopen(path, "we");
    if (!out)
        return 1;
    for (int week = 0; week < WEEKS; week++)
        top = fmax(top, fmax(decided->alarms[week].interval.high, closed->alarms[week].interval.high));
    fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 600 230\" font-size=\"11\">\n");
    fprintf(out,
            "<text x=\"20\" y=\"16\">false alerts a day, weeks 1 to %d (top: %.1f)</text>"
            "<text x=\"320\" y=\"16\">share of staged misuse shown (top: 1)</text>\n"
            "<path d=\"M20 30V180H280M320 30V180H580\" fill=\"none\" stroke=\"#999\"/>\n"
            "<text x=\"20\" y=\"210\" fill=\"#0b5fa5\">people decide</text>"
            "<text x=\"120\" y=\"210\" fill=\"#e08214\">people only close</text>\n",
            WEEKS, top);
    draw_curve(out, decided->alarms, top, 20, "#0b5fa5");
    draw_curve(out, closed->alarms, top, 20, "#e08214");
    draw_curve(out, decided->detection, 1, 320, "#0b5fa5");
    draw_curve(out, closed->detection, 1, 320, "#e08214");
    fputs("</svg>\n", out);
    return fclose(out) == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct curve decided, closed;
    if (argc != 2) {
        fprintf(stderr, "usage: bench_pilot FILE.svg\n");
        return 1;
    }
    measure(true, "", &decided);
    measure(false, ".closed", &closed);
    if (save_picture(argv[1], &decided, &closed) != 0) {
        fprintf(stderr, "bench_pilot: cannot write %s\n", argv[1]);
        return 1;
    }
    return 0;
}
