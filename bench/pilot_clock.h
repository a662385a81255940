/*
 * The pilot's clock. The program is linked with --wrap for base/clock.h, so that everything in it, the product's code
 * too, reads the time that is set here: months pass in minutes, and each run is the same.
 */
#ifndef KM_BENCH_PILOT_CLOCK_H
#define KM_BENCH_PILOT_CLOCK_H

#include <stdint.h>

#define PILOT_DAY_NS   (INT64_C(86400) * 1000000000)
#define PILOT_BEGIN_NS (INT64_C(20454) * PILOT_DAY_NS) /* a midnight */

/* Wall clock; it never goes back. The monotonic clock is as far behind it as when the machine started. */
void pilot_clock_set(int64_t wall_ns);
int64_t pilot_clock_now(void);

/* A moment of the wall clock on the monotonic one. */
uint64_t pilot_clock_monotonic(int64_t wall_ns);

#endif
