#include "pilot_clock.h"

#include "base/clock.h"

#define STARTED_NS (PILOT_BEGIN_NS - PILOT_DAY_NS) /* the machine */

/* NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming) */
int64_t __wrap_km_clock_wall_ns(void);
int64_t __wrap_km_clock_monotonic_ns(void);

static int64_t now_ns = PILOT_BEGIN_NS;

void pilot_clock_set(int64_t wall_ns)
{
    if (wall_ns > now_ns)
        now_ns = wall_ns;
}

int64_t pilot_clock_now(void)
{
    return now_ns;
}

uint64_t pilot_clock_monotonic(int64_t wall_ns)
{
    return (uint64_t)(wall_ns - STARTED_NS);
}

int64_t __wrap_km_clock_wall_ns(void)
{
    return now_ns;
}

int64_t __wrap_km_clock_monotonic_ns(void)
{
    return now_ns - STARTED_NS;
}
/* NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp,readability-identifier-naming) */
