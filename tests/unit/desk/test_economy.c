#define KM_TEST_NAME "economy"
#include "../cm.h"

#include <math.h>

#include "desk/triage/economy.h"
#include "deskfacts.h"

#define CLOSE 1e-6

static void enter(struct km_economy *economy, enum km_economy_input input, const char *text)
{
    struct km_err err = KM_ERR_INIT;
    assert_ok(km_economy_enter(economy, input, text, 0.5, &err), err);
}

/* 2 alerts a day, 3 minutes: 36.5 hours a year. */
static struct km_economy example(void)
{
    struct km_economy economy = {0};
    enter(&economy, KM_ECONOMY_WAGE, "20:40:80");
    enter(&economy, KM_ECONOMY_HARDWARE, "500:1000:1500");
    enter(&economy, KM_ECONOMY_INCIDENT_COST, "10000:50000:100000");
    enter(&economy, KM_ECONOMY_BASE_RATE, "0:0.2:1");
    enter(&economy, KM_ECONOMY_EFFECT, "0.1:0.5:0.8");
    enter(&economy, KM_ECONOMY_ALERTS, "1:2:4");
    enter(&economy, KM_ECONOMY_MINUTES, "3");
    return economy;
}

static void a_table_worked_out_by_hand(void **state)
{
    (void)state;
    struct km_economy economy = example();
    struct km_economy_table table;
    km_economy_compute(&economy, &table);
    assert_true(fabs(table.mid.work - 1460) < CLOSE); /* 36.5 x 40 */
    assert_true(fabs(table.mid.cost - 2460) < CLOSE);
    assert_true(fabs(table.mid.saved - 5000) < CLOSE); /* 0.2 x 50000 x 0.5 */
    assert_true(fabs(table.mid.net - 2540) < CLOSE);
    assert_true(fabs(table.at_low[KM_ECONOMY_WAGE].net - 3270) < CLOSE);  /* 730 less */
    assert_true(fabs(table.at_high[KM_ECONOMY_WAGE].net - 1080) < CLOSE); /* 1460 more */
    assert_true(fabs(table.at_low[KM_ECONOMY_BASE_RATE].net + 2460) < CLOSE);
    assert_true(fabs(table.at_high[KM_ECONOMY_EFFECT].net - 5540) < CLOSE);
    /* worst: 4 x 365 x 4.5 / 60 x 80 + 1500 = 10260, nothing saved; best: 1 x 365 x 1.5 / 60 x 20 + 500 = 682.5 */
    assert_true(fabs(table.worst.net + 10260) < CLOSE);
    assert_true(fabs(table.best.net - (80000 - 682.5)) < CLOSE);
    assert_true(fabs(table.break_even.mid - 2460.0 / 25000) < CLOSE);
    assert_true(fabs(table.break_even.low - 682.5 / 80000) < CLOSE);
    assert_true(fabs(table.break_even.high - 10.26) < CLOSE);
}

static void an_alert_that_saves_nothing_never_pays(void **state)
{
    (void)state;
    struct km_economy economy = example();
    enter(&economy, KM_ECONOMY_EFFECT, "0");
    struct km_economy_table table;
    km_economy_compute(&economy, &table);
    assert_true(isinf(table.break_even.low) && isinf(table.break_even.high));
    assert_true(table.best.net < 0);
}

static void numbers_as_people_type_them(void **state)
{
    (void)state;
    static const struct {
        enum km_economy_input input;
        const char *text;
        enum km_code code;
        double low, mid, high;
    } cases[] = {
        {KM_ECONOMY_WAGE, "40", KM_OK, 20, 40, 60},
        {KM_ECONOMY_WAGE, "0", KM_OK, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1:1:1", KM_OK, 1, 1, 1},
        {KM_ECONOMY_EFFECT, "0.9", KM_OK, 0.45, 0.9, 1}, /* a share ends at 1 */
        {KM_ECONOMY_EFFECT, "0.9:1:1.1", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_EFFECT, "2", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "-1", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1:2", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1:2:3:4", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "3:2:1", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1:2:3 ", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1::3", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "inf", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "nan", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1e999", KM_FORMAT, 0, 0, 0},
        {KM_ECONOMY_WAGE, "1e16", KM_FORMAT, 0, 0, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct km_err err = KM_ERR_INIT;
        struct km_economy economy = {0};
        enum km_code code = km_economy_enter(&economy, cases[i].input, cases[i].text, 0.5, &err);
        const struct km_range3 *range = &economy.inputs[cases[i].input];
        if (code != cases[i].code || fabs(range->low - cases[i].low) > CLOSE ||
            fabs(range->mid - cases[i].mid) > CLOSE || fabs(range->high - cases[i].high) > CLOSE)
            fail_msg("'%s': %s, %g:%g:%g", cases[i].text, km_code_to_string(code), range->low, range->mid, range->high);
        assert_int_equal(economy.sources[cases[i].input], code == KM_OK ? KM_ECONOMY_ENTERED : KM_ECONOMY_MISSING);
    }
}

static void what_was_entered_is_kept_and_yields_to_what_is_entered(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) = km_desk_open(":memory:", &err);
    struct km_economy economy = example(), again = {0};
    assert_ok(km_economy_save(desk, &economy, "kato", NOON, &err), err);
    enter(&again, KM_ECONOMY_WAGE, "1:2:3");
    assert_ok(km_economy_load(desk, &again, &err), err);
    assert_true(again.inputs[KM_ECONOMY_WAGE].mid == 2);
    assert_int_equal(again.sources[KM_ECONOMY_WAGE], KM_ECONOMY_ENTERED);
    assert_true(again.inputs[KM_ECONOMY_EFFECT].high == 0.8);
    assert_int_equal(again.sources[KM_ECONOMY_EFFECT], KM_ECONOMY_STORED);
    assert_int_equal(desk_number(desk, "SELECT count(*) FROM audit WHERE action='economy.set'"), 7);
    desk_do(desk, "UPDATE economy SET high=-1 WHERE name='effect'");
    struct km_economy damaged = {0};
    assert_int_equal(km_economy_load(desk, &damaged, &err), KM_FORMAT);
}

static void what_was_measured_fills_in_and_no_data_does_not(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_desk *desk KM_CLEANUP(km_desk_cleanup) = km_desk_open(":memory:", &err);
    const struct km_kpi_request request = {.since_ns = NOON, .until_ns = NOON + 2 * DAY, .now_ns = NOON + 2 * DAY};
    struct km_kpi_report *nothing KM_CLEANUP(km_kpi_cleanup) = km_kpi_measure(desk, &request, &err);
    struct km_economy economy = {0};
    km_economy_measure(&economy, nothing, 0.5);
    assert_int_equal(economy.sources[KM_ECONOMY_ALERTS], KM_ECONOMY_MISSING);
    assert_int_equal(economy.sources[KM_ECONOMY_MINUTES], KM_ECONOMY_MISSING);
    facts_run(desk, 1, "guard", "gate", NOON, 0);
    facts_watch(desk, 1, "a.service", "main", NOON, NOON + DAY, 1);
    facts_alert(desk, "a.service", NOON, MINUTE, 4, 4);
    struct km_kpi_report *some KM_CLEANUP(km_kpi_cleanup) = km_kpi_measure(desk, &request, &err);
    km_economy_measure(&economy, some, 0.5);
    assert_true(fabs(economy.inputs[KM_ECONOMY_ALERTS].mid - 0.5) < CLOSE); /* one in two days */
    assert_true(fabs(economy.inputs[KM_ECONOMY_ALERTS].high - 5.571643 / 2) < 1e-5);
    assert_true(fabs(economy.inputs[KM_ECONOMY_MINUTES].low - 2) < CLOSE);
    assert_int_equal(economy.sources[KM_ECONOMY_MINUTES], KM_ECONOMY_MEASURED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_worked_out_by_hand),
        cmocka_unit_test(an_alert_that_saves_nothing_never_pays),
        cmocka_unit_test(numbers_as_people_type_them),
        cmocka_unit_test(what_was_entered_is_kept_and_yields_to_what_is_entered),
        cmocka_unit_test(what_was_measured_fills_in_and_no_data_does_not),
    };
    return KM_RUN_TESTS(tests);
}
