#include "base/cancel.h"

#include "base/clock.h"

void km_cancel_request(struct km_cancel *cancel)
{
    atomic_store_explicit(&cancel->requested, 1, memory_order_relaxed);
}

enum km_code km_cancel_check(const struct km_cancel *cancel, struct km_err *err)
{
    if (!cancel)
        return KM_OK;
    if (atomic_load_explicit(&cancel->requested, memory_order_relaxed))
        return km_fail(err, KM_CANCELLED, "interrupted");
    if (cancel->deadline_ns && km_clock_monotonic_ns() > cancel->deadline_ns)
        return km_fail(err, KM_CANCELLED, "the time limit is over");
    return KM_OK;
}
