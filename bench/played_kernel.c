#include "played_kernel.h"

#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "daemon/trace/deploy.h"
#include "daemon_data.h"

#define TICK_NS UINT64_C(250000000)
#define GAP_NS  UINT64_C(60000000000)

struct played_kernel {
    struct km_guard *guard;
    struct km_deploy *deploy;
    uint64_t *keys; /* a hash set; 0: free */
    size_t used, slots;
    char units[KM_WINDOW_MAX_ROLES][KM_EVENT_MAX_NAME_BYTES];
    bool filters[KM_WINDOW_MAX_ROLES];
    bool filters_all;
    uint64_t begin_ns, tick_ns;
};

struct played_kernel *played_kernel_new(void)
{
    struct played_kernel *kernel = calloc(1, sizeof *kernel);
    if (!kernel)
        bench_die("out of memory");
    return kernel;
}

void played_kernel_free(struct played_kernel *kernel)
{
    if (!kernel)
        return;
    km_deploy_free(kernel->deploy);
    free(kernel->keys);
    free(kernel);
}

static size_t slot_of(const uint64_t *keys, size_t slots, uint64_t key)
{
    size_t i = (size_t)(key * 0x9e3779b97f4a7c15ULL >> 32) & (slots - 1);
    while (keys[i] != 0 && keys[i] != key)
        i = (i + 1) & (slots - 1);
    return i;
}

static bool has_key(const struct played_kernel *kernel, uint64_t key)
{
    return kernel->slots > 0 && kernel->keys[slot_of(kernel->keys, kernel->slots, key + 1)] != 0;
}

static void add_key(struct played_kernel *kernel, uint64_t key)
{
    if (2 * (kernel->used + 1) > kernel->slots) {
        size_t slots = kernel->slots ? 2 * kernel->slots : 1024;
        uint64_t *keys = calloc(slots, sizeof *keys);
        if (!keys)
            bench_die("out of memory");
        for (size_t i = 0; i < kernel->slots; i++)
            if (kernel->keys[i] != 0)
                keys[slot_of(keys, slots, kernel->keys[i])] = kernel->keys[i];
        free(kernel->keys);
        kernel->keys = keys;
        kernel->slots = slots;
    }
    size_t at = slot_of(kernel->keys, kernel->slots, key + 1);
    kernel->used += kernel->keys[at] == 0;
    kernel->keys[at] = key + 1;
}

static enum km_code add_known(void *context, const uint64_t *keys, size_t count, struct km_err *err)
{
    (void)err;
    for (size_t i = 0; i < count; i++)
        add_key(context, keys[i]);
    return KM_OK;
}

static enum km_code replace_known(void *context, const uint64_t *keys, size_t count, struct km_err *err)
{
    struct played_kernel *kernel = context;
    if (kernel->slots > 0)
        memset(kernel->keys, 0, kernel->slots * sizeof *kernel->keys);
    kernel->used = 0;
    return add_known(context, keys, count, err);
}

/* The raw act, as the probe hashes it: not the line that the profile makes of it. */
static uint64_t landmark_key(void *context, unsigned role, const struct km_event_landmark *landmark)
{
    (void)context;
    uint64_t h = 0xcbf29ce484222325ULL ^ role;
    const struct km_address *address = &landmark->address;
    const uint64_t head[] = {landmark->kind, landmark->value, landmark->flags, landmark->outcome, landmark->zone};
    const struct km_bytes texts[] = {landmark->path, landmark->path2, {(const char *)address, sizeof *address}};
    for (size_t i = 0; i < sizeof head / sizeof head[0]; i++)
        h = (h ^ head[i]) * 0x100000001b3ULL;
    for (size_t t = 0; t < sizeof texts / sizeof texts[0]; t++)
        for (size_t i = 0; i < texts[t].length; i++)
            h = (h ^ (uint8_t)texts[t].data[i]) * 0x100000001b3ULL;
    return h | 1;
}

static bool knows_window(void *context, uint16_t role, unsigned long long window, unsigned space)
{
    return has_key(context, km_window_key(window, space, role));
}

static bool knows_landmark(void *context, uint16_t role, const struct km_event_landmark *landmark)
{
    return has_key(context, landmark_key(context, role, landmark));
}

static enum km_code set_rule(void *context, unsigned role, const struct km_episode_rule *rule, struct km_err *err)
{
    struct played_kernel *kernel = context;
    (void)err;
    km_deploy_set_rule(kernel->deploy, (uint16_t)role, rule);
    return KM_OK;
}

static enum km_code learned(void *context, const char *daemon, struct km_err *err)
{
    struct played_kernel *kernel = context;
    (void)err;
    for (size_t role = 0; role < KM_WINDOW_MAX_ROLES; role++)
        kernel->filters[role] |= strcmp(kernel->units[role], daemon) == 0;
    return KM_OK;
}

struct km_guard_kernel played_kernel_calls(struct played_kernel *kernel)
{
    return (struct km_guard_kernel){.context = kernel,
                                    .add_known = add_known,
                                    .replace_known = replace_known,
                                    .landmark_key = landmark_key,
                                    .set_rule = set_rule,
                                    .learned = learned};
}

void played_kernel_attach(struct played_kernel *kernel, struct km_guard *guard, bool filters)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_deploy_config filter = {
        .context = kernel, .knows_window = knows_window, .knows_landmark = knows_landmark, .told_once = true};
    const struct km_event_sink sink = {guard, km_guard_event};
    struct km_episode_rule rule;
    kernel->guard = guard;
    kernel->filters_all = filters;
    kernel->deploy = km_deploy_new(&filter, &sink, &err);
    if (!kernel->deploy)
        bench_die("%s", err.text);
    km_episode_rule_default(&rule);
    for (unsigned role = 0; role < KM_WINDOW_MAX_ROLES; role++)
        km_deploy_set_rule(kernel->deploy, (uint16_t)role, &rule);
}

/* A role of a daemon that is learned already is filtered from its beginning. */
static void note_role(struct played_kernel *kernel, const struct km_event *event)
{
    const struct km_bytes *unit = &event->role_info.unit;
    char *name = kernel->units[event->role];
    km_text_escape(unit->data ? unit->data : "", unit->length, name, KM_EVENT_MAX_NAME_BYTES);
    for (size_t role = 0; role < KM_WINDOW_MAX_ROLES; role++)
        kernel->filters[event->role] |= kernel->filters[role] && strcmp(kernel->units[role], name) == 0;
}

static enum km_code tick(struct played_kernel *kernel, uint64_t now_ns, struct km_err *err)
{
    if (kernel->tick_ns == 0 || now_ns > kernel->tick_ns + GAP_NS)
        kernel->tick_ns = now_ns;
    enum km_code code = KM_OK;
    for (; code == KM_OK && kernel->tick_ns + TICK_NS <= now_ns; kernel->tick_ns += TICK_NS) {
        const struct km_event event = {.kind = KM_EVENT_RATE, .time_ns = kernel->tick_ns + TICK_NS};
        code = km_guard_event(kernel->guard, &event, err);
    }
    return code;
}

enum km_code played_kernel_event(struct played_kernel *kernel, const struct km_event *event, struct km_err *err)
{
    if (tick(kernel, event->time_ns, err) != KM_OK)
        return err->code;
    unsigned role = event->role % KM_WINDOW_MAX_ROLES;
    if (event->kind == KM_EVENT_ROLE)
        note_role(kernel, event);
    bool filters = kernel->filters_all || kernel->filters[role];
    if (filters && kernel->begin_ns == 0)
        kernel->begin_ns = event->time_ns;
    return filters ? km_deploy_event(kernel->deploy, event, err) : km_guard_event(kernel->guard, event, err);
}

enum km_code played_kernel_finish(struct played_kernel *kernel, struct km_err *err)
{
    return km_deploy_finish(kernel->deploy, err);
}

uint64_t played_kernel_begun(const struct played_kernel *kernel)
{
    return kernel->begin_ns;
}
