/*
 * What a role deals with: programs started, directories opened, addresses, identities. A landmark becomes a line of
 * text in which what changes from run to run is replaced (digits by '#', random names by '*'), and a role keeps the
 * lines of the episodes learned. A line never seen is surprising by how rarely the role brings new ones of its kind.
 */
#ifndef KM_PROFILE_ENTITY_H
#define KM_PROFILE_ENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "daemon/trace/event.h"

#define KM_ENTITY_TEXT_BYTES 256 /* with the NUL */
#define KM_ENTITY_MAX        4096

struct km_entity {
    char *text;     /* escaped; owned by the set */
    uint32_t count; /* episodes */
    uint8_t kind;   /* enum km_landmark_kind */
};

/* All zero is empty. */
struct km_entity_set {
    struct km_entity *items;
    size_t count, capacity;
    uint32_t *slots; /* open addressing: index + 1 by the text's hash */
    size_t slot_count;
    uint32_t kinds[KM_LANDMARK_KINDS]; /* different lines of each kind */
    uint64_t dropped;
};

void km_entity_set_done(struct km_entity_set *set);

/* The line of a landmark: "exec /usr/sbin/nginx", "write /var/lib/nginx/#/", "connect inet private 5432". out holds
 * KM_ENTITY_TEXT_BYTES. */
void km_entity_format(const struct km_event_landmark *landmark, char *out);

/* A path with its changing parts replaced, escaped: "/proc/#/stat", "/tmp/nginx-*". out_bytes >= 8. */
void km_entity_template(struct km_bytes path, char *out, size_t out_bytes);

/* The line, or NULL. Of opened files and connections also the line of the same act with or without success. */
const struct km_entity *km_entity_find(const struct km_entity_set *set, const char *text);

/* KM_NOMEM. Beyond KM_ENTITY_MAX lines new ones are counted as dropped. */
enum km_code km_entity_learn(struct km_entity_set *set, enum km_landmark_kind kind, const char *text, uint32_t episodes,
                             struct km_err *err) KM_MUST_USE;

/* -ln of the probability that one of `episodes` learned brings a new line of this kind. */
double km_entity_surprise(const struct km_entity_set *set, enum km_landmark_kind kind, uint64_t episodes);

enum km_gravity {
    KM_GRAVITY_SLIGHT = 0, /* something new: one sign among others */
    KM_GRAVITY_GRAVE = 1, /* new, this alone needs an explanation: a place, a peer or rights that servers do not vary */
    KM_GRAVITY_PROGRAM = 2, /* foreign code runs: a program, a module, another process's memory */
};

/* How much a landmark says when the role never had one like it. Acts that failed are slight, but for connections; so is
 * the first read of an ordinary file directly in /etc (km_zone_is_ordinary). */
enum km_gravity km_entity_gravity(const struct km_event_landmark *landmark);

/* Whether a process that starts, while no start was learned, may not do it either without being told: foreign code, an
 * open where credentials, keys or schedules are, a write to, removal from or renaming in a system place, a connection
 * to a public address. */
bool km_entity_is_inexcusable(const struct km_event_landmark *landmark);

/* Whether it reads, and does not write, what lies with the configuration and is no secret; a link only if it stays
 * there.
 */
bool km_entity_reads_config(const struct km_event_landmark *landmark);

/* Whether the address is reachable over the Internet: of IPv4 or IPv6, and not of this host, a private network, a link,
 * a group or a documentation range. */
bool km_entity_is_public(const struct km_address *address);

/* Whether the landmark is a program's loader at work: a process starts. */
bool km_entity_is_start(const struct km_event_landmark *landmark);

/* "exec", "open", "connect" … Static storage. */
const char *km_landmark_to_string(enum km_landmark_kind kind);

#endif
