#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/text.h"
#include "cli/cmd.h"
#include "cli/document.h"
#include "daemon/inventory/inventory.h"

#define CELL_BYTES 160

static const struct km_option rows[] = {
    {.name = "format",
     .type = KM_OPTION_CHOICE,
     .choices = "text|json",
     .fallback = "text",
     .help = "a page for people, or one JSON document"},
    {.name = "root",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .fallback = "/",
     .only_flag = true,
     .help = "whose packages and users are meant"},
    {.name = "proc-root",
     .type = KM_OPTION_TEXT,
     .argument = "DIR",
     .fallback = "/proc",
     .only_flag = true,
     .help = "where the processes are shown"},
    {.name = "bus",
     .type = KM_OPTION_TEXT,
     .argument = "ADDRESS",
     .only_flag = true,
     .help = "D-Bus address of systemd; unset: the system bus"},
    {.name = "guarded",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .fallback = "/run/komainu/guarded",
     .help = "names of the guarded daemons, one a line"},
    {.name = NULL},
};

static const struct {
    const char *id;
    const char *text;
} reasons[] = {
    {"reach.any", "any network can reach it"},
    {"reach.address", "it can be reached at an address of this host"},
    {"reach.loopback", "programs of this host can reach it"},
    {"reach.unix", "local programs can reach it through a socket"},
    {"user.root", "it runs as root"},
    {"capabilities.strong", "it has rights that are as good as root's"},
    {"program.setuid", "its program has the setuid or setgid bit"},
    {"program.replaced", "its program was replaced or removed since it started"},
    {"package.none", "no package owns its program"},
    {"sandbox.none", "no sandbox limits what it may do"},
    {"container.privileged", "its container may administrate the host"},
};

static const char *reason_text(const char *id)
{
    for (size_t i = 0; i < sizeof reasons / sizeof reasons[0]; i++)
        if (strcmp(reasons[i].id, id) == 0)
            return reasons[i].text;
    return id;
}

static const char *kind_text(enum km_inventory_kind kind)
{
    switch (kind) {
    case KM_INVENTORY_UNIT:
        return "unit";
    case KM_INVENTORY_CONTAINER:
        return "container";
    case KM_INVENTORY_TREE:
        return "processes";
    }
    return "";
}

/* ---- text ---- */

static const char *escaped(const char *text, char out[CELL_BYTES])
{
    (void)km_text_escape(text, strlen(text), out, CELL_BYTES);
    return out;
}

/* One sentence, whatever the package or the unit says. */
static void print_purpose(const struct km_daemon *daemon)
{
    char cell[CELL_BYTES];
    if (daemon->purpose[0])
        printf("    What it is: %s.\n", escaped(daemon->purpose, cell));
    else if (daemon->package[0])
        printf("    What it is: a program of the package %s.\n", escaped(daemon->package, cell));
    else
        printf("    What it is: nothing on this host says.\n");
}

static void print_listeners(const struct km_daemon *daemon)
{
    char cell[CELL_BYTES];
    if (daemon->listener_count == 0)
        return;
    printf("    Listens:");
    for (size_t i = 0; i < daemon->listener_count && i < KM_INVENTORY_MAX_LISTENERS; i++) {
        const struct km_listener *listener = &daemon->listeners[i];
        bool ip = listener->reach != KM_REACH_UNIX;
        printf("%s %s%s", i ? "," : "", ip ? (listener->udp ? "udp " : "tcp ") : "",
               escaped(listener->address[0] ? listener->address : "(unnamed)", cell));
        if (ip)
            printf(" port %u (%s)", (unsigned)listener->port, km_reach_to_string(listener->reach));
    }
    if (daemon->listener_count > KM_INVENTORY_MAX_LISTENERS)
        printf(" and %zu more", daemon->listener_count - KM_INVENTORY_MAX_LISTENERS);
    printf("\n");
}

static void print_daemon(size_t place, const struct km_daemon *daemon)
{
    char cell[CELL_BYTES];
    char uptime[24];
    km_text_format_seconds(daemon->uptime_seconds, uptime, sizeof uptime);
    printf("%3zu. %s%s\n", place, escaped(daemon->name, cell), daemon->guarded ? "  [guarded]" : "");
    print_purpose(daemon);
    printf("    Runs: as %s, ", escaped(daemon->user, cell));
    printf("%" PRIu32 " process%s, main %" PRIu32 ", for %s", daemon->processes, daemon->processes == 1 ? "" : "es",
           daemon->main_pid, uptime);
    printf(", %s", daemon->exe[0] ? escaped(daemon->exe, cell) : "program unknown");
    if (daemon->package[0])
        printf(" (%s", escaped(daemon->package, cell));
    if (daemon->package[0])
        printf(" %s)", escaped(daemon->version, cell));
    printf("\n");
    print_listeners(daemon);
    printf("    Rank %d:", daemon->rank_points);
    for (size_t i = 0; i < daemon->reason_count; i++)
        printf("%s %s (%d)", i ? "," : "", reason_text(daemon->reasons[i].id), daemon->reasons[i].points);
    printf("%s\n", daemon->reason_count ? "" : " nothing of note");
}

static void print_text(const struct km_inventory *inventory)
{
    size_t count = km_inventory_count(inventory);
    for (size_t i = 0; i < count; i++)
        print_daemon(i + 1, km_inventory_get(inventory, i));
    printf("%zu daemon%s, those to guard first on top.\n", count, count == 1 ? "" : "s");
}

/* ---- JSON ---- */

static struct km_json *listeners_json(const struct km_daemon *daemon)
{
    static const char *const reach[] = {"none", "unix", "loopback", "address", "any"};
    struct km_json *array = km_json_new_array();
    for (size_t i = 0; i < daemon->listener_count && i < KM_INVENTORY_MAX_LISTENERS; i++) {
        const struct km_listener *listener = &daemon->listeners[i];
        struct km_json *object = km_json_new_object();
        bool ip = listener->reach != KM_REACH_UNIX;
        km_json_set_string(object, "protocol", ip ? (listener->udp ? "udp" : "tcp") : "unix");
        km_json_set_string(object, "address", listener->address);
        if (ip)
            km_json_set_integer(object, "port", listener->port);
        km_json_set_string(object, "faces", reach[listener->reach]);
        km_json_append(array, object);
    }
    return array;
}

static struct km_json *daemon_json(const struct km_daemon *daemon)
{
    char capabilities[20];
    struct km_json *object = km_json_new_object();
    struct km_json *why = km_json_new_array();
    (void)snprintf(capabilities, sizeof capabilities, "%016" PRIx64, daemon->capabilities);
    km_json_set_string(object, "name", daemon->name);
    km_json_set_string(object, "kind", kind_text(daemon->kind));
    km_json_set_string(object, "purpose", daemon->purpose[0] ? daemon->purpose : NULL);
    km_json_set_string(object, "user", daemon->user);
    km_json_set_integer(object, "uid", daemon->uid);
    km_json_set_integer(object, "main_pid", daemon->main_pid);
    km_json_set_integer(object, "processes", daemon->processes);
    km_json_set_real(object, "uptime_seconds", daemon->uptime_seconds);
    km_json_set_string(object, "program", daemon->exe[0] ? daemon->exe : NULL);
    km_json_set_string(object, "package", daemon->package[0] ? daemon->package : NULL);
    km_json_set_string(object, "version", daemon->version[0] ? daemon->version : NULL);
    km_json_set_string(object, "cgroup", daemon->cgroup);
    km_json_set_string(object, "capabilities", capabilities);
    km_json_set_bool(object, "no_new_privileges", daemon->no_new_privs);
    km_json_set_bool(object, "seccomp", daemon->seccomp);
    km_json_set_bool(object, "setuid", daemon->setuid_program);
    km_json_set_bool(object, "program_replaced", daemon->deleted_program);
    km_json_set_integer(object, "listeners_total", (int64_t)daemon->listener_count);
    km_json_set(object, "listeners", listeners_json(daemon));
    km_json_set_bool(object, "guarded", daemon->guarded);
    km_json_set_integer(object, "rank", daemon->rank_points);
    for (size_t i = 0; i < daemon->reason_count; i++) {
        struct km_json *reason = km_json_new_object();
        km_json_set_string(reason, "id", daemon->reasons[i].id);
        km_json_set_integer(reason, "points", daemon->reasons[i].points);
        km_json_append(why, reason);
    }
    km_json_set(object, "reasons", why);
    return object;
}

static enum km_code print_json(const struct km_inventory *inventory, struct km_err *err)
{
    KM_CLEANUP(km_json_cleanup) struct km_json *document = km_json_new_object();
    struct km_json *daemons = km_json_new_array();
    struct km_json *notes = km_json_new_array();
    for (size_t i = 0; i < km_inventory_count(inventory); i++)
        km_json_append(daemons, daemon_json(km_inventory_get(inventory, i)));
    const char *note;
    for (size_t i = 0; (note = km_inventory_note(inventory, i)) != NULL; i++)
        km_json_append(notes, km_json_new_string(note));
    km_json_set_integer(document, "version", 1);
    km_json_set(document, "daemons", daemons);
    km_json_set(document, "notes", notes);
    return km_document_print(document, err);
}

static int run(const struct km_options *given, int operand_count, char **operands)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_inventory_options options = {
        .root = km_options_text(given, "root"),
        .proc_root = km_options_text(given, "proc-root"),
        .bus_address = km_options_text(given, "bus"),
        .guarded_path = km_options_text(given, "guarded"),
    };
    (void)operand_count;
    (void)operands;
    KM_CLEANUP(km_inventory_cleanup) struct km_inventory *inventory = km_inventory_read(&options, &err);
    if (!inventory) {
        fprintf(stderr, "komainu: daemons: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    if (strcmp(km_options_text(given, "format"), "json") == 0) {
        if (print_json(inventory, &err) != KM_OK) {
            fprintf(stderr, "komainu: daemons: %s\n", err.text);
            return KM_EXIT_ERROR;
        }
        return KM_EXIT_OK;
    }
    print_text(inventory);
    const char *note;
    for (size_t i = 0; (note = km_inventory_note(inventory, i)) != NULL; i++)
        fprintf(stderr, "komainu: daemons: %s\n", note);
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_daemons = {"daemons", NULL, "which daemons run here, and which to guard first", rows, run};
