#include "daemon/inventory/inventory_internal.h"

#ifdef KM_HAVE_SYSTEMD

#include <string.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>

#define MAX_UNITS    4096
#define TIMEOUT_USEC 5000000
#define DESTINATION  "org.freedesktop.systemd1"
#define INTERFACE    DESTINATION ".Service"

static void bus_cleanup(sd_bus **bus)
{
    sd_bus_flush_close_unref(*bus);
}

static void message_cleanup(sd_bus_message **message)
{
    sd_bus_message_unref(*message);
}

static enum km_code connect_bus(const char *address, sd_bus **out, struct km_err *err)
{
    int result;
    if (!address) {
        if (sd_booted() <= 0)
            return km_fail(err, KM_UNSUPPORTED, "systemd does not run this host; daemons are told by their processes");
        result = sd_bus_open_system(out);
    } else {
        result = sd_bus_new(out);
        if (result >= 0)
            result = sd_bus_set_address(*out, address);
        if (result >= 0)
            result = sd_bus_set_bus_client(*out, 1);
        if (result >= 0)
            result = sd_bus_start(*out);
    }
    if (result >= 0)
        result = sd_bus_set_method_call_timeout(*out, TIMEOUT_USEC);
    return result < 0 ? km_fail_errno(err, -result, "the bus of systemd") : KM_OK;
}

struct reader {
    sd_bus *bus;
    struct km_arena *arena;
    struct km_units *out;
};

static const char *control_group(const struct reader *reader, const char *path, struct km_err *err)
{
    char *text = NULL;
    int result = sd_bus_get_property_string(reader->bus, DESTINATION, path, INTERFACE, "ControlGroup", NULL, &text);
    const char *copy = km_arena_strndup(reader->arena, result >= 0 ? text : "", result >= 0 ? strlen(text) : 0, err);
    free(text);
    return copy;
}

static enum km_code add_unit(const struct reader *reader, const char *name, const char *description, const char *path,
                             struct km_err *err)
{
    struct km_units *out = reader->out;
    struct km_unit unit = {0};
    enum km_code code = km_grow((void **)&out->rows, &out->capacity, out->count + 1, sizeof *out->rows, MAX_UNITS, err);
    if (code != KM_OK)
        return code;
    if (sd_bus_get_property_trivial(reader->bus, DESTINATION, path, INTERFACE, "MainPID", NULL, 'u', &unit.main_pid) <
        0)
        unit.main_pid = 0; /* it ended meanwhile */
    unit.name = km_arena_strndup(reader->arena, name, strlen(name), err);
    unit.description = km_arena_strndup(reader->arena, description, strlen(description), err);
    unit.cgroup = control_group(reader, path, err);
    if (!unit.name || !unit.description || !unit.cgroup)
        return err->code;
    out->rows[out->count++] = unit;
    return KM_OK;
}

static enum km_code read_reply(const struct reader *reader, sd_bus_message *reply, struct km_err *err)
{
    const char *name;
    const char *description;
    const char *active;
    const char *path;
    int result = sd_bus_message_enter_container(reply, 'a', "(ssssssouso)");
    while (result >= 0) {
        result = sd_bus_message_read(reply, "(ssssssouso)", &name, &description, NULL, &active, NULL, NULL, &path, NULL,
                                     NULL, NULL);
        if (result <= 0)
            break;
        size_t length = strlen(name);
        if (length < 8 || strcmp(name + length - 8, ".service") != 0 || strcmp(active, "inactive") == 0)
            continue;
        enum km_code code = add_unit(reader, name, description, path, err);
        if (code != KM_OK)
            return code;
    }
    return result < 0 ? km_fail_errno(err, -result, "systemd's list of units") : KM_OK;
}

enum km_code km_units_read(const char *bus_address, struct km_arena *arena, struct km_units *out, struct km_err *err)
{
    __attribute__((cleanup(bus_cleanup))) sd_bus *bus = NULL;
    __attribute__((cleanup(message_cleanup))) sd_bus_message *reply = NULL;
    enum km_code code = connect_bus(bus_address, &bus, err);
    if (code != KM_OK)
        return code;
    int result = sd_bus_call_method(bus, DESTINATION, "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager",
                                    "ListUnits", NULL, &reply, NULL);
    if (result < 0)
        return km_fail_errno(err, -result, "asking systemd for its units");
    const struct reader reader = {bus, arena, out};
    return read_reply(&reader, reply, err);
}

#else

enum km_code km_units_read(const char *bus_address, struct km_arena *arena, struct km_units *out, struct km_err *err)
{
    (void)bus_address;
    (void)arena;
    (void)out;
    return km_fail(err, KM_UNSUPPORTED, "this komainu was built without libsystemd; units are told by their cgroups");
}

#endif
