#include "desk/triage/economy.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "desk/triage/triage_internal.h"

#define DAYS_A_YEAR 365
#define MAX_INPUT   1e15

static const struct {
    const char *name, *unit, *question;
    bool good; /* more of it is better for the balance */
    double most;
} inputs[KM_ECONOMY_INPUTS] = {
    [KM_ECONOMY_WAGE] = {"wage", "money/hour", "What does an hour of an operator's work cost?", false, MAX_INPUT},
    [KM_ECONOMY_HARDWARE] = {"hardware", "money/year", "What do machines and upkeep for komainu cost a year?", false,
                             MAX_INPUT},
    [KM_ECONOMY_INCIDENT_COST] = {"incident-cost", "money", "What does one incident cost?", true, MAX_INPUT},
    [KM_ECONOMY_BASE_RATE] = {"base-rate", "1/year", "How many such incidents a year are there without komainu?", true,
                              MAX_INPUT},
    [KM_ECONOMY_EFFECT] = {"effect", "share", "What share of an incident's cost does an alert save (0 to 1)?", true, 1},
    [KM_ECONOMY_ALERTS] = {"alerts-per-day", "1/day", "How many alerts a day do people look at?", false, MAX_INPUT},
    [KM_ECONOMY_MINUTES] = {"minutes-per-alert", "min", "How many minutes does an alert take?", false, MAX_INPUT},
};

const char *km_economy_name(enum km_economy_input input)
{
    return inputs[input].name;
}

const char *km_economy_unit(enum km_economy_input input)
{
    return inputs[input].unit;
}

const char *km_economy_question(enum km_economy_input input)
{
    return inputs[input].question;
}

static struct km_range3 range_around(double mid, double spread, double most)
{
    return (struct km_range3){fmax(0, mid * (1 - spread)), mid, fmin(most, mid * (1 + spread))};
}

static bool parse_number(const char **at, double *out)
{
    char *end = NULL;
    if (strspn(*at, "0123456789.") == 0) /* no sign, no space, no name of infinity */
        return false;
    *out = strtod(*at, &end);
    *at = end;
    return isfinite(*out);
}

enum km_code km_economy_enter(struct km_economy *economy, enum km_economy_input input, const char *text, double spread,
                              struct km_err *err)
{
    double numbers[3];
    int count = 0;
    const char *at = text;
    bool good = true, more = true;
    while (good && more && count < 3) {
        good = parse_number(&at, &numbers[count++]);
        more = good && *at == ':';
        at += more;
    }
    if (!good || more || *at != '\0' || count == 2)
        return km_fail(err, KM_FORMAT, "%s: '%s' is neither NUMBER nor LOW:MIDDLE:HIGH", inputs[input].name, text);
    struct km_range3 range = count == 3 ? (struct km_range3){numbers[0], numbers[1], numbers[2]}
                                        : range_around(numbers[0], spread, inputs[input].most);
    if (range.low > range.mid || range.mid > range.high)
        return km_fail(err, KM_FORMAT, "%s: '%s' does not ascend or is too large", inputs[input].name, text);
    if (range.high > inputs[input].most)
        return km_fail(err, KM_FORMAT, "%s: at most %g", inputs[input].name, inputs[input].most);
    economy->inputs[input] = range;
    economy->sources[input] = KM_ECONOMY_ENTERED;
    economy->spread[input] = count == 1;
    return KM_OK;
}

static int find_input(const char *name)
{
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++)
        if (strcmp(inputs[i].name, name) == 0)
            return i;
    return -1;
}

enum km_code km_economy_load(struct km_desk *desk, struct km_economy *economy, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) =
        km_query_open_once(desk, "SELECT name, low, value, high FROM economy", err);
    bool row = false;
    enum km_code code = query ? KM_OK : err->code;
    while (code == KM_OK && (code = km_query_step(query, &row, err)) == KM_OK && row) {
        int input = find_input(km_query_text(query, 0));
        struct km_range3 range = {km_query_real(query, 1), km_query_real(query, 2), km_query_real(query, 3)};
        bool ordered = range.low >= 0 && range.low <= range.mid && range.mid <= range.high;
        if (input < 0 || economy->sources[input] != KM_ECONOMY_MISSING)
            continue;
        if (!ordered || range.high > inputs[input].most)
            return km_fail(err, KM_FORMAT, "the store's %s is out of range", inputs[input].name);
        economy->inputs[input] = range;
        economy->sources[input] = KM_ECONOMY_STORED;
    }
    return code;
}

static enum km_code save_one(struct km_desk *desk, const struct km_economy *economy, int input, const char *who,
                             int64_t now_ns, struct km_err *err)
{
    struct km_query *query KM_CLEANUP(km_query_cleanup) = km_query_open_once(
        desk,
        "INSERT INTO economy VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(name) DO UPDATE SET low=excluded.low,"
        " value=excluded.value, high=excluded.high, unit=excluded.unit, at_ns=excluded.at_ns, who=excluded.who",
        err);
    if (!query)
        return err->code;
    km_query_bind_text(query, 1, inputs[input].name);
    km_query_bind_real(query, 2, economy->inputs[input].low);
    km_query_bind_real(query, 3, economy->inputs[input].mid);
    km_query_bind_real(query, 4, economy->inputs[input].high);
    km_query_bind_text(query, 5, inputs[input].unit);
    km_query_bind_integer(query, 6, now_ns);
    km_query_bind_text(query, 7, who);
    if (km_query_run(query, err) != KM_OK)
        return err->code;
    struct km_json *detail KM_CLEANUP(km_json_cleanup) = km_json_new_object();
    km_json_set_string(detail, "name", inputs[input].name);
    km_json_set_real(detail, "low", economy->inputs[input].low);
    km_json_set_real(detail, "value", economy->inputs[input].mid);
    km_json_set_real(detail, "high", economy->inputs[input].high);
    return km_triage_audit(desk, who, "economy.set", input, detail, err);
}

enum km_code km_economy_save(struct km_desk *desk, const struct km_economy *economy, const char *who, int64_t now_ns,
                             struct km_err *err)
{
    enum km_code code = km_desk_begin(desk, err);
    for (int i = 0; code == KM_OK && i < KM_ECONOMY_INPUTS; i++)
        if (economy->sources[i] == KM_ECONOMY_ENTERED)
            code = save_one(desk, economy, i, who, now_ns, err);
    if (code == KM_OK)
        code = km_desk_commit(desk, err);
    km_desk_rollback(desk);
    return code;
}

void km_economy_measure(struct km_economy *economy, const struct km_kpi_report *figures, double spread)
{
    const struct km_kpi *alerts = km_kpi_find(figures, "alerts"), *minutes = km_kpi_find(figures, "minutes_per_alert");
    const struct km_kpi *rate = km_kpi_find(figures, "alerts_per_host_day");
    double days = (double)(figures->until_ns - figures->since_ns) / 8.64e13;
    if (economy->sources[KM_ECONOMY_ALERTS] == KM_ECONOMY_MISSING && alerts->known && rate->known) {
        double a_day = alerts->value / days, per_rate = rate->value > 0 ? a_day / rate->value : 0;
        economy->inputs[KM_ECONOMY_ALERTS] = (struct km_range3){rate->low * per_rate, a_day, rate->high * per_rate};
        economy->sources[KM_ECONOMY_ALERTS] = KM_ECONOMY_MEASURED;
    }
    if (economy->sources[KM_ECONOMY_MINUTES] == KM_ECONOMY_MISSING && minutes->known) {
        economy->inputs[KM_ECONOMY_MINUTES] = range_around(minutes->value, spread, MAX_INPUT);
        economy->sources[KM_ECONOMY_MINUTES] = KM_ECONOMY_MEASURED;
        economy->spread[KM_ECONOMY_MINUTES] = true;
    }
}

static struct km_economy_result compute(const double *at)
{
    struct km_economy_result result;
    result.work = at[KM_ECONOMY_ALERTS] * DAYS_A_YEAR * at[KM_ECONOMY_MINUTES] / 60 * at[KM_ECONOMY_WAGE];
    result.cost = result.work + at[KM_ECONOMY_HARDWARE];
    result.saved = at[KM_ECONOMY_BASE_RATE] * at[KM_ECONOMY_INCIDENT_COST] * at[KM_ECONOMY_EFFECT];
    result.net = result.saved - result.cost;
    return result;
}

static double break_even(const double *at, double cost)
{
    double saved_by_one = at[KM_ECONOMY_INCIDENT_COST] * at[KM_ECONOMY_EFFECT];
    return saved_by_one > 0 ? cost / saved_by_one : cost > 0 ? INFINITY : 0;
}

void km_economy_compute(const struct km_economy *economy, struct km_economy_table *out)
{
    double mid[KM_ECONOMY_INPUTS], worst[KM_ECONOMY_INPUTS], best[KM_ECONOMY_INPUTS];
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        const struct km_range3 *range = &economy->inputs[i];
        KM_ASSERT(economy->sources[i] != KM_ECONOMY_MISSING);
        mid[i] = range->mid;
        worst[i] = inputs[i].good ? range->low : range->high;
        best[i] = inputs[i].good ? range->high : range->low;
    }
    out->mid = compute(mid);
    out->worst = compute(worst);
    out->best = compute(best);
    for (int i = 0; i < KM_ECONOMY_INPUTS; i++) {
        double at[KM_ECONOMY_INPUTS];
        memcpy(at, mid, sizeof at);
        at[i] = economy->inputs[i].low;
        out->at_low[i] = compute(at);
        at[i] = economy->inputs[i].high;
        out->at_high[i] = compute(at);
    }
    out->break_even = (struct km_range3){break_even(best, out->best.cost), break_even(mid, out->mid.cost),
                                         break_even(worst, out->worst.cost)};
}
