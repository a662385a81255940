/*
 * Inventory and probe against a machine with systemd, from outside: its bus, its processes, a unit that restarts.
 * Started by systemd_machine, which boots it; skips without.
 */
#define KM_TEST_NAME "systemd-machine"
#include "../unit/cm.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/spawn.h"
#include "daemon/inventory/inventory.h"
#include "daemon/probe/probe.h"

static struct km_err err;
static const char *lead;

static void in_machine(const char *command)
{
    const char *const argv[] = {"nsenter", "-t", lead, "-a", "sh", "-c", command, NULL};
    const struct km_spawn_options options = {.argv = argv, .time_limit_ms = 60000};
    KM_CLEANUP(km_spawn_cleanup) struct km_spawn *child = km_spawn_start(&options, &err);
    if (!child)
        fail_msg("%s", err.text);
    assert_ok(km_spawn_finish(child, &err), err);
}

static void units_come_over_the_bus(void **state)
{
    (void)state;
    char root[64];
    char proc[80];
    char bus[128];
    (void)snprintf(root, sizeof root, "/proc/%s/root", lead);
    (void)snprintf(proc, sizeof proc, "%s/proc", root);
    (void)snprintf(bus, sizeof bus, "unix:path=%s/run/dbus/system_bus_socket", root);
    const struct km_inventory_options options = {
        .root = root, .proc_root = proc, .bus_address = bus, .guarded_path = "/nonexistent"};
    KM_CLEANUP(km_inventory_cleanup) struct km_inventory *inventory = km_inventory_read(&options, &err);
    if (!inventory)
        fail_msg("%s", err.text);
    const char *note = km_inventory_note(inventory, 0);
    if (note && strstr(note, "libsystemd")) {
        print_message("skipped: %s\n", note);
        skip();
    }
    assert_null(note);
    assert_true(km_inventory_count(inventory) >= 3);
    const struct km_daemon *first = km_inventory_get(inventory, 0);
    assert_string_equal(first->name, "nginx.service");
    assert_int_equal(first->kind, KM_INVENTORY_UNIT);
    assert_true(strstr(first->purpose, "web server") != NULL);
    assert_string_equal(first->exe, "/usr/sbin/nginx");
    assert_string_equal(first->package, "nginx");
    assert_string_equal(first->user, "root");
    assert_int_equal(first->reach, KM_REACH_ANY);
    assert_true(first->processes >= 2);
}

struct heard {
    size_t threads, ends, calls, execs, roles;
    bool master, worker;
    unsigned long long cgroups[8]; /* distinct */
    size_t cgroup_count;
};

static enum km_code hear(void *context, const struct km_event *event, struct km_err *error)
{
    struct heard *h = context;
    (void)error;
    h->ends += event->kind == KM_EVENT_END;
    h->calls += event->kind == KM_EVENT_CALL;
    if (event->kind == KM_EVENT_ROLE) {
        h->roles++;
        h->master |= event->role_info.name.length == 5 && memcmp(event->role_info.name.data, "nginx", 5) == 0;
        h->worker |= event->role_info.name.length > 5 && memcmp(event->role_info.name.data, "nginx+", 6) == 0;
    }
    if (event->kind == KM_EVENT_THREAD) {
        size_t i = 0;
        h->threads++;
        while (i < h->cgroup_count && h->cgroups[i] != event->thread.cgroup)
            i++;
        if (i == h->cgroup_count && i < 8)
            h->cgroups[h->cgroup_count++] = event->thread.cgroup;
    }
    return KM_OK;
}

static void a_unit_stays_guarded_when_it_restarts(void **state)
{
    (void)state;
    struct heard heard = {0};
    const struct km_event_sink sink = {&heard, hear};
    unsigned daemon = 0;
    struct km_probe *probe = km_probe_open(NULL, &err);
    if (!probe) {
        print_message("skipped: %s\n", err.text);
        skip();
    }
    assert_ok(km_probe_guard(probe, KM_PROBE_SCOPE_UNIT, "nginx.service", KM_PROBE_LEARN, &daemon, &err), err);
    unsigned running = km_probe_threads(probe, daemon);
    assert_true(running >= 2); /* enrolled while running */
    for (int i = 0; i < 2; i++) {
        in_machine("systemctl restart nginx");
        assert_ok(km_probe_poll(probe, 0, &sink, &err), err);
    }
    assert_true(heard.cgroup_count >= 2); /* another id each time */
    assert_true(heard.ends > running);    /* all of the first start's; the second's workers may not have come so far */
    assert_true(heard.calls > 100);
    assert_true(heard.master);
    assert_true(heard.worker);
    assert_true(km_probe_threads(probe, daemon) >= 1); /* workers may still be to come */
    struct km_probe_counters counters;
    assert_ok(km_probe_read_counters(probe, daemon, -1, &counters, &err), err);
    assert_int_equal(counters.lost_calls + counters.lost_records, 0);
    in_machine("systemctl stop nginx");
    assert_ok(km_probe_poll(probe, 0, &sink, &err), err);
    assert_int_equal(km_probe_threads(probe, daemon), 0);
    in_machine("systemctl start nginx");
    assert_true(km_probe_threads(probe, daemon) >= 1); /* workers may still be to come */
    km_probe_close(probe);
}

int main(void)
{
    lead = getenv("KOMAINU_MACHINE_PID");
    if (!lead) {
        print_message("skipped: no machine; systemd_machine boots one\n");
        return 77;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(units_come_over_the_bus),
        cmocka_unit_test(a_unit_stays_guarded_when_it_restarts),
    };
    return KM_RUN_TESTS(tests);
}
