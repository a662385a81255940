/*
 * What a role deals with: programs started, directories opened, addresses, identities. A landmark becomes a line of
 * text in which what changes from run to run is replaced (digits by '#', random names by '*'), and a role keeps the
 * lines of the episodes learned. A line never seen is surprising by how rarely the role brings new ones of its kind.
 */
#ifndef KM_PROFILE_ENTITY_H
#define KM_PROFILE_ENTITY_H

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

const struct km_entity *km_entity_find(const struct km_entity_set *set, const char *text);

/* KM_NOMEM. Beyond KM_ENTITY_MAX lines new ones are counted as dropped. */
enum km_code km_entity_learn(struct km_entity_set *set, enum km_landmark_kind kind, const char *text, uint32_t episodes,
                             struct km_err *err) KM_MUST_USE;

/* -ln of the probability that one of `episodes` learned brings a new line of this kind. */
double km_entity_surprise(const struct km_entity_set *set, enum km_landmark_kind kind, uint64_t episodes);

/* "exec", "open", "connect" … Static storage. */
const char *km_landmark_to_string(enum km_landmark_kind kind);

#endif
