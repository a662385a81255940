/*
 * The settings that people may change in the store, with their ranges; each change is an audit entry.
 */
#ifndef KM_DESK_STORE_SETTINGS_H
#define KM_DESK_STORE_SETTINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "desk/store/store.h"

struct km_setting {
    const char *name;    /* "collect.paths", "retention.findings", "budget.daemon" */
    const char *usual;   /* when it was never set */
    const char *choices; /* words separated by "|", or NULL: a whole number */
    int64_t least, most; /* of a number */
    const char *help;
};

/* i from 0; NULL behind the last. Static storage. */
const struct km_setting *km_settings_get(size_t i);

/* Checks and writes, with its audit entry, in a transaction of its own. KM_NOTFOUND: no such setting. KM_FORMAT: the
 * value does not fit. */
enum km_code km_settings_change(struct km_desk *desk, const char *name, const char *value, const char *who,
                                struct km_err *err) KM_MUST_USE;

/* A number among them as it is now. */
enum km_code km_settings_number(struct km_desk *desk, const char *name, int64_t *out, struct km_err *err) KM_MUST_USE;

#endif
