/*
 * A token that ends work early: set from a signal handler or another thread, or by a deadline. Whoever loops or waits
 * checks it; a cancelled operation returns KM_CANCELLED and what it has so far stays valid.
 */
#ifndef KM_BASE_CANCEL_H
#define KM_BASE_CANCEL_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/err.h"

struct km_cancel {
    atomic_int requested;
    int64_t deadline_ns; /* monotonic; 0 = none. Set before the token is shared. */
};

#define KM_CANCEL_INIT                                                                                                 \
    {                                                                                                                  \
        0, 0                                                                                                           \
    }

/* Async-signal-safe. */
void km_cancel_request(struct km_cancel *cancel);

/* KM_OK, or KM_CANCELLED with "interrupted" or "the time limit is over". A NULL token is never cancelled. */
enum km_code km_cancel_check(const struct km_cancel *cancel, struct km_err *err) KM_MUST_USE;

#endif
