/*
 * What of a finding is kept: paths, arguments (of programs), addresses and contents, each whole, hashed or not at all.
 * The store's settings collect.paths … say it; without them contents are not kept and the rest is whole.
 *
 * Hashed text is "hash:" and sixteen hexadecimal digits of a SHA-256 keyed with a random salt of the store: the same
 * text gives the same hash, so that incidents and decisions still find each other, and nobody finds the text by trying
 * without the store.
 */
#ifndef KM_DESK_STORE_COLLECT_H
#define KM_DESK_STORE_COLLECT_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"
#include "finding/strange.h"

#define KM_COLLECT_TEXT_BYTES 32 /* of a replacement */
#define KM_COLLECT_SALT_BYTES 16

enum km_collect_kind {
    KM_COLLECT_PATHS = 0,
    KM_COLLECT_ARGUMENTS = 1,
    KM_COLLECT_ADDRESSES = 2,
    KM_COLLECT_CONTENTS = 3,
};
#define KM_COLLECT_KINDS 4

enum km_collect_level {
    KM_COLLECT_NONE = 0,
    KM_COLLECT_HASHED = 1,
    KM_COLLECT_WHOLE = 2,
};

struct km_collect {
    enum km_collect_level levels[KM_COLLECT_KINDS];
    uint8_t salt[KM_COLLECT_SALT_BYTES];
};

/* Reads the settings; draws the salt when the store has none. */
enum km_code km_collect_load(struct km_desk *desk, struct km_collect *out, struct km_err *err) KM_MUST_USE;

/* The text to keep: `text` itself, or a replacement written to `room` (KM_COLLECT_TEXT_BYTES). NULL stays NULL. */
const char *km_collect_text(const struct km_collect *collect, enum km_collect_kind kind, const char *text, char *room);

/* The same for an argument of evidence, whose name says what it holds; a name that is not known is no personal data
 * ("package", "database") and kept whole. */
const char *km_collect_argument(const struct km_collect *collect, const char *evidence, const char *name,
                                const char *text, char *room);

/* The keys of what was strange (finding/strange.h), hashed with the store's salt, or NULL: there are none, or paths are
 * not kept at all, of which they are made. room holds KM_STRANGE_TEXT_BYTES. */
const char *km_collect_strange(const struct km_collect *collect, const char *strange, char *room);

#endif
