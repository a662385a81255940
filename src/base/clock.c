#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/err.h"

static int64_t read_clock(clockid_t clock)
{
    struct timespec now;
    KM_ASSERT(clock_gettime(clock, &now) == 0);
    return (int64_t)now.tv_sec * KM_NS_PER_S + now.tv_nsec;
}

int64_t km_clock_monotonic_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

int64_t km_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

void km_clock_format_utc(int64_t wall_ns, char *out)
{
    time_t seconds = (time_t)(wall_ns / KM_NS_PER_S);
    struct tm utc;
    if (!gmtime_r(&seconds, &utc) || strftime(out, KM_CLOCK_UTC_BYTES, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        snprintf(out, KM_CLOCK_UTC_BYTES, "unknown");
}
