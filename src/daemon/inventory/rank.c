#include "daemon/inventory/inventory.h"

/* Capabilities that are as good as root: chown, dac_override, fowner, setuid, setgid, sys_module, sys_rawio,
 * sys_ptrace, sys_admin, bpf, and their like. */
#define STRONG                                                                                                         \
    (1ULL << 0 | 1ULL << 1 | 1ULL << 2 | 1ULL << 3 | 1ULL << 6 | 1ULL << 7 | 1ULL << 8 | 1ULL << 16 | 1ULL << 17 |     \
     1ULL << 18 | 1ULL << 19 | 1ULL << 21 | 1ULL << 31 | 1ULL << 39)

static void add(struct km_daemon *daemon, const char *id, int points)
{
    if (daemon->reason_count == KM_INVENTORY_MAX_REASONS)
        return;
    daemon->reasons[daemon->reason_count++] = (struct km_reason){id, points};
    daemon->rank_points += points;
}

static void add_reach(struct km_daemon *daemon)
{
    switch (daemon->reach) {
    case KM_REACH_NONE:
        break;
    case KM_REACH_UNIX:
        add(daemon, "reach.unix", 5);
        break;
    case KM_REACH_LOOPBACK:
        add(daemon, "reach.loopback", 10);
        break;
    case KM_REACH_ADDRESS:
        add(daemon, "reach.address", 30);
        break;
    case KM_REACH_ANY:
        add(daemon, "reach.any", 40);
        break;
    }
}

void km_inventory_rank(struct km_daemon *daemon)
{
    daemon->rank_points = 0;
    daemon->reason_count = 0;
    add_reach(daemon);
    if (daemon->uid == 0)
        add(daemon, "user.root", 25);
    else if (daemon->capabilities & STRONG)
        add(daemon, "capabilities.strong", 15);
    if (daemon->setuid_program)
        add(daemon, "program.setuid", 5);
    if (daemon->deleted_program)
        add(daemon, "program.replaced", 10);
    if (daemon->package_known && daemon->package[0] == '\0')
        add(daemon, "package.none", 10);
    if (!daemon->seccomp && !daemon->no_new_privs && daemon->reach > KM_REACH_UNIX)
        add(daemon, "sandbox.none", 5);
    if (daemon->kind == KM_INVENTORY_CONTAINER && daemon->uid == 0 && (daemon->capabilities & 1ULL << 21))
        add(daemon, "container.privileged", 15);
}

const char *km_reach_to_string(enum km_reach reach)
{
    switch (reach) {
    case KM_REACH_NONE:
        return "nobody";
    case KM_REACH_UNIX:
        return "local programs";
    case KM_REACH_LOOPBACK:
        return "this host";
    case KM_REACH_ADDRESS:
        return "one address";
    case KM_REACH_ANY:
        return "any network";
    }
    return "nobody";
}
