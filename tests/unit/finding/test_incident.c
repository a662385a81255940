#define KM_TEST_NAME "incident"
#include "../cm.h"

#include <stdio.h>
#include <string.h>

#include "finding/incident.h"

#define S   INT64_C(1000000000)
#define DAY (86400 * S)
#define T0  (20000 * DAY + 3600 * S)

static struct km_err err;

static struct km_incidents *new_incidents(unsigned per_daemon, unsigned per_host)
{
    struct km_incident_config config = {.per_daemon = per_daemon, .per_host = per_host};
    struct km_incidents *incidents = km_incidents_new(&config, &err);
    assert_non_null(incidents);
    return incidents;
}

static struct km_incident_answer add(struct km_incidents *incidents, const char *daemon, const char *key,
                                     int64_t time_ns, double strength)
{
    struct km_incident_answer answer = {0};
    struct km_incident_report report = {
        .daemon = daemon, .role = "worker", .key = key, .time_ns = time_ns, .strength = strength};
    assert_ok(km_incidents_add(incidents, &report, &answer, &err), err);
    return answer;
}

static void findings_within_the_gap_are_one(void **state)
{
    (void)state;
    static const struct {
        int64_t after;
        bool is_new;
    } rows[] = {{0, true}, {1 * S, false}, {600 * S, false}, {601 * S, true}, {-1 * S, false}, {-1300 * S, true}};
    struct km_incidents *incidents = new_incidents(100, 100);
    int64_t now = T0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        now += rows[i].after;
        struct km_incident_answer answer = add(incidents, "web", "exec /bin/sh", now, 5);
        if (answer.is_new != rows[i].is_new)
            fail_msg("row %zu: new %d", i, answer.is_new);
        now = answer.incident->last_ns;
    }
    assert_int_equal(km_incidents_count(incidents), 3);
    km_incidents_free(incidents);
}

static void groups_keep_first_last_count_and_strongest(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(100, 100);
    (void)add(incidents, "web", "a", T0, 5);
    struct km_incident_answer weaker = add(incidents, "web", "a", T0 + 10 * S, 4);
    assert_false(weaker.grew);
    struct km_incident_answer stronger = add(incidents, "web", "a", T0 + 5 * S, 10);
    assert_true(stronger.grew);
    assert_false(stronger.show);
    assert_int_equal(stronger.incident->count, 3);
    assert_int_equal(stronger.incident->first_ns, T0);
    assert_int_equal(stronger.incident->last_ns, T0 + 10 * S);
    assert_true(stronger.incident->strongest == 10);
    assert_true(add(incidents, "web", "b", T0, 1).is_new);
    assert_true(add(incidents, "db", "a", T0, 1).is_new);
    km_incidents_free(incidents);
}

/* Names that look alike after cutting or escaping stay apart. */
static void long_and_hostile_names_stay_apart(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(100, 100);
    char one[1000], two[1000];
    memset(one, 'x', sizeof one);
    memset(two, 'x', sizeof two);
    one[999] = two[999] = '\0';
    two[998] = 'y';
    assert_true(add(incidents, "web", one, T0, 1).is_new);
    assert_true(add(incidents, "web", two, T0, 1).is_new);
    struct km_incident_answer answer = add(incidents, "we\x1b[2J", "\n", T0, 1);
    assert_null(strchr(answer.incident->daemon, '\x1b'));
    assert_null(strchr(answer.incident->key, '\n'));
    km_incidents_free(incidents);
}

static void the_budget_sends_the_rest_to_the_digest(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(3, 5);
    static const char *const keys[] = {"a", "b", "c", "d", "e"};
    unsigned shown = 0;
    for (size_t i = 0; i < 5; i++)
        shown += add(incidents, "web", keys[i], T0 + (int64_t)i, 9 - (double)i).show;
    assert_int_equal(shown, 3);
    /* Stronger than all that was shown: once above the budget. */
    assert_true(add(incidents, "web", "strong", T0, 20).show);
    assert_false(add(incidents, "web", "stronger", T0, 30).show);
    /* Another daemon has a budget of its own, within the host's. */
    assert_true(add(incidents, "db", "a", T0, 2).show);
    assert_true(add(incidents, "db", "b", T0, 3).show);
    assert_false(add(incidents, "db", "c", T0, 1).show);
    assert_int_equal(km_incidents_shown_today(incidents), 6);
    size_t count;
    const struct km_incident **digest = km_incidents_digest(incidents, km_incidents_day(T0), &count, &err);
    assert_int_equal(count, 4);
    static const char *const order[] = {"stronger", "d", "e", "c"};
    for (size_t i = 0; i < count; i++)
        assert_string_equal(digest[i]->key, order[i]);
    free((void *)digest);
    km_incidents_free(incidents);
}

static bool shows_program(struct km_incidents *incidents, const char *key)
{
    struct km_incident_answer answer = {0};
    struct km_incident_report report = {
        .daemon = "web", .role = "worker", .key = key, .time_ns = T0, .strength = 1.5, .program = true};
    assert_ok(km_incidents_add(incidents, &report, &answer, &err), err);
    return answer.show;
}

static void noise_cannot_use_up_the_place_of_a_program(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(2, 100);
    assert_true(add(incidents, "web", "a", T0, 50).show);
    assert_true(add(incidents, "web", "b", T0, 50).show);
    assert_true(add(incidents, "web", "c", T0, 60).show); /* the strongest, once */
    assert_false(add(incidents, "web", "d", T0, 50).show);
    assert_true(shows_program(incidents, "exec /bin/sh"));
    struct km_json *snapshot KM_CLEANUP(km_json_cleanup) = km_incidents_save(incidents);
    assert_ok(km_incidents_restore(incidents, snapshot, &err), err);
    assert_true(shows_program(incidents, "exec /bin/nc"));
    assert_false(shows_program(incidents, "exec /bin/id")); /* nor can programs flood */
    assert_false(add(incidents, "web", "e", T0, 50).show);
    km_incidents_free(incidents);
}

static void what_is_too_weak_waits_until_it_is_strong(void **state)
{
    (void)state;
    struct km_incident_config config = {.per_daemon = 1, .per_host = 5, .least_strength = 2};
    struct km_incidents *incidents = km_incidents_new(&config, &err);
    assert_non_null(incidents);
    assert_false(add(incidents, "web", "a", T0, 1).show);
    assert_false(add(incidents, "web", "a", T0, 1.9).show);
    assert_int_equal(km_incidents_shown_today(incidents), 0);
    assert_true(add(incidents, "web", "a", T0, 2).show);
    assert_false(add(incidents, "web", "a", T0, 3).show);
    assert_int_equal(km_incidents_shown_today(incidents), 1);
    km_incidents_free(incidents);
}

static void a_day_renews_the_budget(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(1, 1);
    int64_t midnight = 20000 * DAY;
    assert_true(add(incidents, "web", "a", midnight - 1, 5).show);
    assert_false(add(incidents, "web", "b", midnight - 1, 1).show);
    assert_true(add(incidents, "web", "c", midnight, 1).show);
    /* Back over midnight: no new day, and none when it comes again. */
    assert_false(add(incidents, "web", "d", midnight - S, 1).show);
    assert_false(add(incidents, "web", "e", midnight + S, 1).show);
    /* A clock that was a year ahead is not believed for a year. */
    assert_true(add(incidents, "web", "f", midnight + 365 * DAY, 1).show);
    assert_true(add(incidents, "web", "g", midnight + 2 * S, 1).show);
    assert_false(add(incidents, "web", "h", midnight + 3 * S, 1).show);
    assert_int_equal(km_incidents_day(-1), -1);
    km_incidents_free(incidents);
}

static void memory_is_bounded_and_what_is_forgotten_is_counted(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(2, 2);
    char key[16];
    for (int i = 0; i < KM_INCIDENTS_MAX + 100; i++) {
        (void)snprintf(key, sizeof key, "k%d", i);
        (void)add(incidents, "web", key, T0 + i, i == 50 ? 1000 : 1 + i % 7);
    }
    assert_int_equal(km_incidents_count(incidents), KM_INCIDENTS_MAX);
    assert_in_range(km_incidents_forgotten(incidents), 98, 100); /* those that were shown are not counted */
    bool found = false;
    for (size_t i = 0; i < km_incidents_count(incidents); i++)
        found = found || strcmp(km_incidents_get(incidents, i)->key, "k50") == 0;
    assert_true(found);
    assert_null(km_incidents_get(incidents, KM_INCIDENTS_MAX));
    km_incidents_free(incidents);
}

static void daemons_beyond_the_limit_share_one_budget(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(1, 100000);
    char daemon[16];
    unsigned shown = 0;
    for (int i = 0; i < KM_INCIDENTS_MAX_DAEMONS + 50; i++) {
        (void)snprintf(daemon, sizeof daemon, "d%d", i);
        shown += add(incidents, daemon, "a", T0, 1).show;
    }
    assert_in_range(shown, KM_INCIDENTS_MAX_DAEMONS - 1, KM_INCIDENTS_MAX_DAEMONS);
    km_incidents_free(incidents);
}

static void a_snapshot_restores_everything(void **state)
{
    (void)state;
    struct km_incidents *incidents = new_incidents(2, 5), *again = new_incidents(2, 5);
    (void)add(incidents, "web", "a\x1b", T0, 5);
    (void)add(incidents, "web", "b", T0, 3);
    (void)add(incidents, "web", "c", T0, 1);
    struct km_json *snapshot = km_incidents_save(incidents);
    assert_ok(km_incidents_restore(again, snapshot, &err), err);
    assert_int_equal(km_incidents_count(again), 3);
    for (size_t i = 0; i < 3; i++)
        assert_memory_equal(km_incidents_get(again, i), km_incidents_get(incidents, i), sizeof(struct km_incident));
    struct km_json *second = km_incidents_save(again);
    struct km_buf one, two;
    km_buf_init(&one, 1 << 20);
    km_buf_init(&two, 1 << 20);
    assert_ok(km_json_format(snapshot, 0, &one, &err), err);
    assert_ok(km_json_format(second, 0, &two, &err), err);
    assert_string_equal(km_buf_text(&one), km_buf_text(&two));
    /* It goes on where it was: the budget is used, and the incident is open. */
    assert_false(add(again, "web", "a\x1b", T0 + S, 1).is_new);
    assert_false(add(again, "web", "d", T0 + S, 1).show);
    km_buf_done(&one);
    km_buf_done(&two);
    km_json_free(snapshot);
    km_json_free(second);
    km_incidents_free(incidents);
    km_incidents_free(again);
}

static void damaged_snapshots_change_nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{}",
        "{\"schema\":\"komainu.incidents/2\"}",
        "{\"schema\":\"komainu.incidents/1\",\"incidents\":[{}]}",
        "{\"schema\":\"komainu.incidents/1\",\"accounts\":[{\"daemon\":\"x\",\"shown\":-1}]}",
        "{\"schema\":\"komainu.incidents/1\",\"forgotten\":-1}",
        "{\"schema\":\"komainu.incidents/1\",\"incidents\":[{\"id\":\"0123456789abcdeg\",\"hash\":\"0123456789abcdef\","
        "\"daemon\":\"\",\"role\":\"\",\"key\":\"\",\"first_ns\":1,\"last_ns\":2,\"count\":1}]}",
        "{\"schema\":\"komainu.incidents/1\",\"incidents\":[{\"id\":\"0123456789abcdef\",\"hash\":\"0123456789abcdef\","
        "\"daemon\":\"\",\"role\":\"\",\"key\":\"\",\"first_ns\":3,\"last_ns\":2,\"count\":1}]}",
    };
    struct km_incidents *incidents = new_incidents(2, 5);
    (void)add(incidents, "web", "a", T0, 5);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct km_json *snapshot = km_json_parse(texts[i], strlen(texts[i]), 4096, &err);
        assert_non_null(snapshot);
        if (km_incidents_restore(incidents, snapshot, &err) != KM_FORMAT)
            fail_msg("snapshot %zu was taken", i);
        km_json_free(snapshot);
    }
    assert_int_equal(km_incidents_count(incidents), 1);
    km_incidents_free(incidents);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(findings_within_the_gap_are_one),
        cmocka_unit_test(groups_keep_first_last_count_and_strongest),
        cmocka_unit_test(long_and_hostile_names_stay_apart),
        cmocka_unit_test(the_budget_sends_the_rest_to_the_digest),
        cmocka_unit_test(noise_cannot_use_up_the_place_of_a_program),
        cmocka_unit_test(what_is_too_weak_waits_until_it_is_strong),
        cmocka_unit_test(a_day_renews_the_budget),
        cmocka_unit_test(memory_is_bounded_and_what_is_forgotten_is_counted),
        cmocka_unit_test(daemons_beyond_the_limit_share_one_budget),
        cmocka_unit_test(a_snapshot_restores_everything),
        cmocka_unit_test(damaged_snapshots_change_nothing),
    };
    return KM_RUN_TESTS(tests);
}
