/* The user side of bpf/probe_landmark.h: the same keys from an event. The integration test compares the two. */
#include <string.h>

#include "daemon/probe/places.h"
#include "daemon/probe/probe.h"

#define O_WRITES        (00000001U | 00000002U | 00000100U | 00001000U)
#define MPROTECT_NATIVE 10 /* mprotect and pkey_mprotect by their numbers, which never change */
#define PKEY_NATIVE     329
#define MPROTECT_COMPAT 125
#define PKEY_COMPAT     380

static __u64 path_key(unsigned role, const struct km_event_landmark *landmark)
{
    struct km_probe_path path;
    km_places_scan(landmark->path.data, landmark->path.length, &path);
    if (landmark->kind == KM_LANDMARK_OPEN && landmark->path2.length > 0) {
        struct km_probe_path real;
        __u64 named = km_probe_path_directory(&path, (__u32)landmark->path.length);
        km_places_scan(landmark->path2.data, landmark->path2.length, &real);
        return km_probe_entity(role, landmark->kind, km_probe_link_detail(named, real.directory));
    }
    unsigned places = km_places_of(landmark->path.data, landmark->path.length);
    unsigned writes = landmark->kind != KM_LANDMARK_OPEN || (landmark->flags & O_WRITES);
    unsigned told = km_probe_place_told(places, writes != 0) ||
                    (landmark->kind == KM_LANDMARK_OPEN && landmark->flags == KM_PROBE_CHDIR_FLAGS);
    return km_probe_entity(role, landmark->kind, km_probe_path_detail(&path, told != 0, writes != 0));
}

static __u64 rename_key(unsigned role, const struct km_event_landmark *landmark)
{
    struct km_probe_path from;
    struct km_probe_path to;
    km_places_scan(landmark->path.data, landmark->path.length, &from);
    km_places_scan(landmark->path2.data, landmark->path2.length, &to);
    return km_probe_entity(role, landmark->kind, from.whole + 3 * to.whole);
}

static __u64 address_key(unsigned role, const struct km_event_landmark *landmark)
{
    const struct km_address *address = &landmark->address;
    struct km_probe_path path;
    char name[KM_EVENT_MAX_ADDRESS + 1] = "";
    __u8 raw[KM_PROBE_ADDR_BYTES] = {0};

    raw[0] = (__u8)(address->family & 0xff);
    raw[1] = (__u8)(address->family >> 8);
    raw[2] = (__u8)(address->port >> 8);
    raw[3] = (__u8)(address->port & 0xff);
    size_t at = address->family == 2 ? 4 : address->family == 10 ? 8 : 2;
    size_t length = address->length < sizeof address->bytes ? address->length : sizeof address->bytes;
    memcpy(raw + at, address->bytes, length < sizeof raw - at ? length : sizeof raw - at);
    __u32 raw_bytes = address->family == 2 ? 16 : address->family == 10 ? 28 : (__u32)(2 + length);
    __u64 detail =
        km_probe_address_detail(raw, address->family == 0 ? 0 : raw_bytes, landmark->kind == KM_LANDMARK_CONNECT);
    if (address->family == 1) {
        memcpy(name, address->bytes, length);
        if (name[0] == '\0')
            name[0] = '@';
        km_places_scan(name, strnlen(name, sizeof name - 1), &path);
        detail ^= path.whole;
    }
    return km_probe_entity(role, landmark->kind, detail);
}

static __u64 memory_key(unsigned role, const struct km_event_landmark *landmark)
{
    struct km_probe_path path;
    __u64 detail = landmark->flags;
    unsigned number = landmark->number;

    if (landmark->space == KM_SPACE_COMPAT ? number == MPROTECT_COMPAT || number == PKEY_COMPAT
                                           : number == MPROTECT_NATIVE || number == PKEY_NATIVE)
        detail |= 0x100;
    if (landmark->path.length > 0) {
        km_places_scan(landmark->path.data, landmark->path.length, &path);
        detail += path.whole;
    }
    return km_probe_entity(role, landmark->kind, detail);
}

uint64_t km_probe_landmark_key(unsigned role, const struct km_event_landmark *landmark)
{
    switch ((enum km_landmark_kind)landmark->kind) {
    case KM_LANDMARK_OPEN:
    case KM_LANDMARK_UNLINK:
        return path_key(role, landmark);
    case KM_LANDMARK_RENAME:
        return rename_key(role, landmark);
    case KM_LANDMARK_CONNECT:
    case KM_LANDMARK_ACCEPT:
        return address_key(role, landmark);
    case KM_LANDMARK_EXEC_MEMORY:
        return memory_key(role, landmark);
    case KM_LANDMARK_KILL:
        return km_probe_entity(role, landmark->kind, landmark->value);
    case KM_LANDMARK_EXEC:
    case KM_LANDMARK_BIND:
    case KM_LANDMARK_LISTEN:
    case KM_LANDMARK_IDENTITY:
    case KM_LANDMARK_CAPABILITY:
    case KM_LANDMARK_NAMESPACE:
    case KM_LANDMARK_MEMFD:
    case KM_LANDMARK_MEMFD_EXEC:
    case KM_LANDMARK_PTRACE:
    case KM_LANDMARK_MODULE:
    case KM_LANDMARK_SETUID_BIT:
    case KM_LANDMARK_MOUNT:
        return 0;
    }
    return 0;
}
