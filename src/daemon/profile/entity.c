#include "daemon/profile/entity.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/text.h"
#include "daemon/trace/zone.h"

#define FIRST_SLOTS     64
#define RANDOM_NAME_MIN 6 /* mkstemp's XXXXXX */
#define FAMILY_UNIX     1
#define FAMILY_INET     2
#define FAMILY_INET6    10
#define FAMILY_NETLINK  16
#define EPHEMERAL_PORT  32768     /* above it a peer's port says nothing */
#define OPEN_FOR_WRITE  3         /* O_ACCMODE */
#define OPEN_DIRECTORY  010200000 /* O_PATH | O_DIRECTORY: what chdir is told as */
#define PROTECT_WRITE   2
#define FAILED          " failed"

static const char *const kind_names[KM_LANDMARK_KINDS] = {
    [KM_LANDMARK_EXEC] = "exec",
    [KM_LANDMARK_OPEN] = "open",
    [KM_LANDMARK_CONNECT] = "connect",
    [KM_LANDMARK_BIND] = "bind",
    [KM_LANDMARK_LISTEN] = "listen",
    [KM_LANDMARK_ACCEPT] = "accept",
    [KM_LANDMARK_IDENTITY] = "identity",
    [KM_LANDMARK_CAPABILITY] = "capability",
    [KM_LANDMARK_NAMESPACE] = "namespace",
    [KM_LANDMARK_EXEC_MEMORY] = "executable-memory",
    [KM_LANDMARK_MEMFD] = "memfd",
    [KM_LANDMARK_MEMFD_EXEC] = "memfd-exec",
    [KM_LANDMARK_PTRACE] = "ptrace",
    [KM_LANDMARK_MODULE] = "module",
    [KM_LANDMARK_SETUID_BIT] = "setuid-bit",
    [KM_LANDMARK_UNLINK] = "unlink",
    [KM_LANDMARK_RENAME] = "rename",
    [KM_LANDMARK_MOUNT] = "mount",
    [KM_LANDMARK_KILL] = "kill",
};

const char *km_landmark_to_string(enum km_landmark_kind kind)
{
    return (unsigned)kind < KM_LANDMARK_KINDS && kind_names[kind] ? kind_names[kind] : "unknown";
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_alnum(char c)
{
    return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* A run of letters and digits that nobody chose: six or more that mix digits or cases inside. */
static bool looks_random(const char *text, size_t length)
{
    if (length < RANDOM_NAME_MIN)
        return false;
    unsigned changes = 0;
    bool lower = false, upper = false, digit = false;
    for (size_t i = 0; i < length; i++) {
        bool l = text[i] >= 'a' && text[i] <= 'z', d = is_digit(text[i]), u = !l && !d;
        changes += i > 0 && ((l && !lower) || (d && !digit) || (u && !upper));
        lower = l;
        digit = d;
        upper = u;
    }
    return changes >= 2;
}

void km_entity_template(struct km_bytes path, char *out, size_t out_bytes)
{
    char flat[KM_ENTITY_TEXT_BYTES];
    size_t n = 0, room = out_bytes < sizeof flat ? out_bytes : sizeof flat;
    for (size_t i = 0; i < path.length && n + 1 < room;) {
        size_t run = 0;
        while (i + run < path.length && is_alnum(path.data[i + run]))
            run++;
        if (run == 0) {
            flat[n++] = path.data[i++];
            continue;
        }
        if (looks_random(path.data + i, run)) {
            flat[n++] = '*';
            i += run;
            continue;
        }
        for (size_t end = i + run; i < end && n + 1 < room;) {
            bool digits = is_digit(path.data[i]);
            flat[n++] = digits ? '#' : path.data[i];
            i++;
            while (digits && i < end && is_digit(path.data[i]))
                i++;
        }
    }
    km_text_escape(flat, n, out, out_bytes);
}

/* The directory of a path, its slash included; all of it when it has none. */
static struct km_bytes directory_of(struct km_bytes path)
{
    size_t length = path.length;
    while (length > 0 && path.data[length - 1] != '/')
        length--;
    return length > 0 ? (struct km_bytes){path.data, length} : path;
}

static const char *inet_class(const uint8_t *b)
{
    if (b[0] == 127)
        return "loopback";
    if (b[0] == 0)
        return "any";
    if (b[0] == 10 || (b[0] == 172 && (b[1] & 0xf0) == 16) || (b[0] == 192 && b[1] == 168) ||
        (b[0] == 169 && b[1] == 254))
        return "private";
    return "public";
}

static const char *inet6_class(const uint8_t *b)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    if (memcmp(b, mapped, sizeof mapped) == 0)
        return inet_class(b + 12);
    bool zero = true;
    for (int i = 0; i < 15; i++)
        zero = zero && b[i] == 0;
    if (zero)
        return b[15] == 1 ? "loopback" : b[15] == 0 ? "any" : "public";
    if ((b[0] & 0xfe) == 0xfc || (b[0] == 0xfe && (b[1] & 0xc0) == 0x80))
        return "private";
    return "public";
}

static void format_address(const struct km_address *a, bool with_port, char *out, size_t room)
{
    if (a->family == FAMILY_UNIX) {
        size_t length = a->length < KM_EVENT_MAX_ADDRESS ? a->length : KM_EVENT_MAX_ADDRESS;
        char name[KM_ENTITY_TEXT_BYTES / 2];
        km_entity_template((struct km_bytes){(const char *)a->bytes, length}, name, sizeof name);
        (void)snprintf(out, room, "unix %s", name);
        return;
    }
    const char *where = a->family == FAMILY_INET && a->length >= 4     ? inet_class(a->bytes)
                        : a->family == FAMILY_INET6 && a->length >= 16 ? inet6_class(a->bytes)
                                                                       : "";
    const char *family = a->family == FAMILY_INET || a->family == FAMILY_INET6 ? "inet"
                         : a->family == FAMILY_NETLINK                         ? "netlink"
                                                                               : "family";
    if (with_port && a->port != 0 && a->port < EPHEMERAL_PORT)
        (void)snprintf(out, room, "%s %s %u", family, where, a->port);
    else if (where[0])
        (void)snprintf(out, room, "%s %s", family, where);
    else
        (void)snprintf(out, room, "%s %u", family, a->family);
}

static void format_open(const struct km_event_landmark *l, char *out, size_t room)
{
    char first[KM_ENTITY_TEXT_BYTES / 2 - 24], second[KM_ENTITY_TEXT_BYTES / 2 - 24];
    /* A sensitive file is named, and one written in a place of the system; of others the directory counts. */
    bool directory = (l->flags & OPEN_DIRECTORY) == OPEN_DIRECTORY;
    bool whole =
        l->zone == KM_ZONE_SENSITIVE || directory || km_zone_names_file(l->path, (l->flags & OPEN_FOR_WRITE) != 0);
    km_entity_template(whole ? l->path : directory_of(l->path), first, sizeof first);
    if (l->path2.length > 0) {
        km_entity_template(directory_of(l->path2), second, sizeof second);
        (void)snprintf(out, room, "link %s to %s", first, second);
        return;
    }
    (void)snprintf(out, room, "%s %s",
                   directory                          ? "directory"
                   : (l->flags & OPEN_FOR_WRITE) != 0 ? "write"
                                                      : "read",
                   first);
}

/* What was removed or renamed, as a file that was written. */
static struct km_bytes changed(struct km_bytes path)
{
    return km_zone_names_file(path, true) ? path : directory_of(path);
}

/* What follows the kind. */
static void format_detail(const struct km_event_landmark *l, char *out, size_t room)
{
    char first[KM_ENTITY_TEXT_BYTES / 2 - 24], second[KM_ENTITY_TEXT_BYTES / 2 - 24];
    switch ((enum km_landmark_kind)l->kind) {
    case KM_LANDMARK_EXEC:
    case KM_LANDMARK_MEMFD_EXEC:
    case KM_LANDMARK_MEMFD:
    case KM_LANDMARK_MODULE:
    case KM_LANDMARK_MOUNT:
        km_entity_template(l->path, out, room);
        return;
    case KM_LANDMARK_OPEN:
        format_open(l, out, room);
        return;
    case KM_LANDMARK_CONNECT:
    case KM_LANDMARK_BIND:
    case KM_LANDMARK_LISTEN:
        format_address(&l->address, true, out, room);
        return;
    case KM_LANDMARK_ACCEPT:
        format_address(&l->address, false, out, room);
        return;
    case KM_LANDMARK_IDENTITY:
        (void)snprintf(out, room, "call %u to %llu", l->number, (unsigned long long)l->value);
        return;
    case KM_LANDMARK_CAPABILITY:
    case KM_LANDMARK_NAMESPACE:
        (void)snprintf(out, room, "0x%llx", (unsigned long long)l->value);
        return;
    case KM_LANDMARK_EXEC_MEMORY:
        km_entity_template(l->path, first, sizeof first);
        (void)snprintf(out, room, "prot 0x%x %s", l->flags & 7, first[0] ? first : "anonymous");
        return;
    case KM_LANDMARK_PTRACE:
    case KM_LANDMARK_KILL:
        (void)snprintf(out, room, "%llu", (unsigned long long)l->value);
        return;
    case KM_LANDMARK_SETUID_BIT:
    case KM_LANDMARK_UNLINK:
        km_entity_template(l->kind == KM_LANDMARK_UNLINK ? changed(l->path) : l->path, out, room);
        return;
    case KM_LANDMARK_RENAME:
        km_entity_template(changed(l->path), first, sizeof first);
        km_entity_template(changed(l->path2), second, sizeof second);
        (void)snprintf(out, room, "%s to %s", first, second);
        return;
    }
    (void)snprintf(out, room, "%llu", (unsigned long long)l->value);
}

void km_entity_format(const struct km_event_landmark *landmark, char *out)
{
    char detail[KM_ENTITY_TEXT_BYTES - 32];
    format_detail(landmark, detail, sizeof detail);
    static const char *const outcomes[] = {"", "", " denied", FAILED};
    (void)snprintf(out, KM_ENTITY_TEXT_BYTES, "%s %s%s", km_landmark_to_string(landmark->kind), detail,
                   outcomes[landmark->outcome & 3]);
}

void km_entity_set_done(struct km_entity_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->items[i].text);
    free(set->items);
    free(set->slots);
    *set = (struct km_entity_set){0};
}

static size_t hash_text(const char *text)
{
    uint64_t h = 0xcbf29ce484222325ULL;
    for (; *text; text++)
        h = (h ^ (uint8_t)*text) * 0x100000001b3ULL;
    return (size_t)(h ^ h >> 29);
}

static size_t slot_of(const struct km_entity_set *set, const char *text)
{
    size_t i = hash_text(text) & (set->slot_count - 1);
    while (set->slots[i] != 0 && strcmp(set->items[set->slots[i] - 1].text, text) != 0)
        i = (i + 1) & (set->slot_count - 1);
    return i;
}

static const struct km_entity *find_exactly(const struct km_entity_set *set, const char *text)
{
    uint32_t index = set->slots[slot_of(set, text)];
    return index ? &set->items[index - 1] : NULL;
}

/* The kernel tells an opened place or a peer once, whether the call failed or not: which of the two came first says
 * nothing. */
static bool is_told_once(const char *text)
{
    static const char *const kinds[] = {"open ", "connect "};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (strncmp(text, kinds[i], strlen(kinds[i])) == 0)
            return true;
    return false;
}

const struct km_entity *km_entity_find(const struct km_entity_set *set, const char *text)
{
    char other[KM_ENTITY_TEXT_BYTES + sizeof FAILED];
    if (set->slot_count == 0)
        return NULL;
    const struct km_entity *found = find_exactly(set, text);
    size_t length = strlen(text), suffix = strlen(FAILED);
    if (found || !is_told_once(text) || length >= KM_ENTITY_TEXT_BYTES)
        return found;
    if (length > suffix && strcmp(text + length - suffix, FAILED) == 0)
        (void)snprintf(other, sizeof other, "%.*s", (int)(length - suffix), text);
    else
        (void)snprintf(other, sizeof other, "%s%s", text, FAILED);
    return find_exactly(set, other);
}

static enum km_code enlarge(struct km_entity_set *set, struct km_err *err)
{
    size_t slot_count = set->slot_count ? set->slot_count * 2 : FIRST_SLOTS;
    uint32_t *slots = km_calloc(slot_count, sizeof *slots, SIZE_MAX, err);
    if (!slots)
        return err->code;
    free(set->slots);
    set->slots = slots;
    set->slot_count = slot_count;
    for (size_t i = 0; i < set->count; i++)
        set->slots[slot_of(set, set->items[i].text)] = (uint32_t)i + 1;
    return KM_OK;
}

enum km_code km_entity_learn(struct km_entity_set *set, enum km_landmark_kind kind, const char *text, uint32_t episodes,
                             struct km_err *err)
{
    enum km_code code = KM_OK;
    if ((set->count + 1) * 2 > set->slot_count)
        code = enlarge(set, err);
    if (code != KM_OK)
        return code;
    size_t slot = slot_of(set, text);
    if (set->slots[slot] == 0) {
        if (set->count == KM_ENTITY_MAX) {
            set->dropped++;
            return KM_OK;
        }
        code = km_grow((void **)&set->items, &set->capacity, set->count + 1, sizeof *set->items, KM_ENTITY_MAX, err);
        if (code != KM_OK)
            return code;
        char *copy = km_strndup(text, strlen(text), err);
        if (!copy)
            return err->code;
        set->items[set->count++] = (struct km_entity){copy, 0, (uint8_t)kind};
        set->slots[slot] = (uint32_t)set->count;
        if ((unsigned)kind < KM_LANDMARK_KINDS)
            set->kinds[kind]++;
    }
    struct km_entity *entity = &set->items[set->slots[slot] - 1];
    entity->count = entity->count > UINT32_MAX - episodes ? UINT32_MAX : entity->count + episodes;
    return KM_OK;
}

static bool is_inet(const struct km_address *a)
{
    return a->family == FAMILY_INET || a->family == FAMILY_INET6;
}

static bool is_private_place(unsigned zone)
{
    return zone == KM_ZONE_CONFIG || zone == KM_ZONE_SENSITIVE || zone == KM_ZONE_HOME;
}

/* Where a name directly in /etc leads to is the administrator's choice, as long as no secret is there. */
static bool leads_to_ordinary(struct km_bytes target)
{
    enum km_zone zone = km_zone_of_path(target);
    return zone == KM_ZONE_SYSTEM || zone == KM_ZONE_RUN || zone == KM_ZONE_PROC || km_zone_is_ordinary(target);
}

static enum km_gravity gravity_of_open(const struct km_event_landmark *l)
{
    bool writes = (l->flags & OPEN_FOR_WRITE) != 0;
    bool enters = (l->flags & OPEN_DIRECTORY) == OPEN_DIRECTORY;
    bool ordinary = !writes && !enters && l->zone == KM_ZONE_CONFIG && km_zone_is_ordinary(l->path);
    if (ordinary && (l->path2.length == 0 || leads_to_ordinary(l->path2)))
        return KM_GRAVITY_SLIGHT;
    if (l->path2.length > 0 || is_private_place(l->zone) || ((writes || enters) && l->zone == KM_ZONE_SYSTEM))
        return KM_GRAVITY_GRAVE;
    return KM_GRAVITY_SLIGHT;
}

bool km_entity_reads_config(const struct km_event_landmark *l)
{
    return l->kind == KM_LANDMARK_OPEN && (l->flags & OPEN_FOR_WRITE) == 0 &&
           (l->flags & OPEN_DIRECTORY) != OPEN_DIRECTORY && l->zone == KM_ZONE_CONFIG &&
           km_zone_of_path(l->path) == KM_ZONE_CONFIG &&
           (l->path2.length == 0 || km_zone_of_path(l->path2) == KM_ZONE_CONFIG);
}

static enum km_gravity gravity_of_memory(const struct km_event_landmark *l)
{
    bool writable = (l->flags & PROTECT_WRITE) != 0, foreign = l->path.length > 0 && l->zone != KM_ZONE_SYSTEM;
    return writable || foreign ? KM_GRAVITY_GRAVE : KM_GRAVITY_SLIGHT;
}

enum km_gravity km_entity_gravity(const struct km_event_landmark *l)
{
    /* A connection that goes on in the background fails with EINPROGRESS. */
    if (l->kind == KM_LANDMARK_CONNECT)
        return is_inet(&l->address) ? KM_GRAVITY_GRAVE : KM_GRAVITY_SLIGHT;
    if (l->outcome == KM_OUTCOME_DENIED || l->outcome == KM_OUTCOME_ERROR)
        return KM_GRAVITY_SLIGHT;
    switch ((enum km_landmark_kind)l->kind) {
    case KM_LANDMARK_EXEC:
    case KM_LANDMARK_MEMFD_EXEC:
    case KM_LANDMARK_PTRACE:
    case KM_LANDMARK_MODULE:
    case KM_LANDMARK_SETUID_BIT:
        return KM_GRAVITY_PROGRAM;
    case KM_LANDMARK_LISTEN:
    case KM_LANDMARK_IDENTITY:
    case KM_LANDMARK_CAPABILITY:
    case KM_LANDMARK_NAMESPACE:
    case KM_LANDMARK_MEMFD:
    case KM_LANDMARK_UNLINK:
    case KM_LANDMARK_RENAME:
    case KM_LANDMARK_MOUNT:
    case KM_LANDMARK_KILL:
        return KM_GRAVITY_GRAVE;
    case KM_LANDMARK_BIND:
        return is_inet(&l->address) && l->address.port != 0 && l->address.port < EPHEMERAL_PORT ? KM_GRAVITY_GRAVE
                                                                                                : KM_GRAVITY_SLIGHT;
    case KM_LANDMARK_OPEN:
        return gravity_of_open(l);
    case KM_LANDMARK_EXEC_MEMORY:
        return gravity_of_memory(l);
    case KM_LANDMARK_CONNECT:
    case KM_LANDMARK_ACCEPT:
        return KM_GRAVITY_SLIGHT;
    }
    return KM_GRAVITY_SLIGHT;
}

static bool is_public_v4(const uint8_t *b)
{
    static const struct {
        uint8_t first, mask, second;
    } inner[] = {{10, 0, 0},       {127, 0, 0},      {0, 0, 0},       {172, 0xf0, 16},
                 {192, 0xff, 168}, {169, 0xff, 254}, {100, 0xc0, 64}, {198, 0xfe, 18}};
    if (b[0] >= 224)
        return false;
    for (size_t i = 0; i < sizeof inner / sizeof inner[0]; i++)
        if (b[0] == inner[i].first && (b[1] & inner[i].mask) == inner[i].second)
            return false;
    static const uint8_t documented[][3] = {{192, 0, 2}, {198, 51, 100}, {203, 0, 113}, {192, 0, 0}};
    for (size_t i = 0; i < sizeof documented / sizeof documented[0]; i++)
        if (memcmp(b, documented[i], 3) == 0)
            return false;
    return true;
}

bool km_entity_is_public(const struct km_address *address)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff}, none[15] = {0};
    const uint8_t *b = address->bytes;
    if (address->family == FAMILY_INET)
        return is_public_v4(b);
    if (address->family != FAMILY_INET6)
        return false;
    if (memcmp(b, mapped, sizeof mapped) == 0)
        return is_public_v4(b + sizeof mapped);
    bool here = memcmp(b, none, sizeof none) == 0 && b[15] <= 1;
    bool link = b[0] == 0xfe && (b[1] & 0xc0) == 0x80,
         documented = b[0] == 0x20 && b[1] == 0x01 && b[2] == 0x0d && b[3] == 0xb8;
    return !here && !link && !documented && (b[0] & 0xfe) != 0xfc && b[0] != 0xff;
}

bool km_entity_is_inexcusable(const struct km_event_landmark *l)
{
    if (km_entity_gravity(l) == KM_GRAVITY_PROGRAM)
        return true;
    if (l->kind == KM_LANDMARK_CONNECT)
        return km_entity_is_public(&l->address);
    if (l->outcome == KM_OUTCOME_DENIED || l->outcome == KM_OUTCOME_ERROR)
        return false;
    if (l->kind == KM_LANDMARK_UNLINK || l->kind == KM_LANDMARK_RENAME)
        return true;
    bool writes = (l->flags & OPEN_FOR_WRITE) != 0;
    return l->kind == KM_LANDMARK_OPEN && (l->zone == KM_ZONE_SENSITIVE || (writes && l->zone == KM_ZONE_SYSTEM));
}

bool km_entity_is_start(const struct km_event_landmark *l)
{
    static const char *const loaders[] = {"/libc.so.", "/libc-", "/ld-musl-"};
    if (l->kind != KM_LANDMARK_EXEC_MEMORY)
        return false;
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++)
        if (l->path.length > 0 && memmem(l->path.data, l->path.length, loaders[i], strlen(loaders[i])))
            return true;
    return false;
}

double km_entity_surprise(const struct km_entity_set *set, enum km_landmark_kind kind, uint64_t episodes)
{
    double types = (unsigned)kind < KM_LANDMARK_KINDS ? set->kinds[kind] : 0;
    return log(((double)episodes + types + 2) / (types + 1));
}
