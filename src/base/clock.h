/*
 * Time. Monotonic for durations and deadlines, wall clock only for what a person will read.
 */
#ifndef KM_BASE_CLOCK_H
#define KM_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#define KM_NS_PER_S  INT64_C(1000000000)
#define KM_NS_PER_MS INT64_C(1000000)

/* Nanoseconds of CLOCK_MONOTONIC. */
int64_t km_clock_monotonic_ns(void);

/* Nanoseconds since 1970 of CLOCK_REALTIME. */
int64_t km_clock_wall_ns(void);

#define KM_CLOCK_UTC_BYTES 32
/* RFC 3339 in UTC with seconds: "2026-11-21T22:50:35Z". out holds KM_CLOCK_UTC_BYTES. */
void km_clock_format_utc(int64_t wall_ns, char *out);

#endif
