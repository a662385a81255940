/*
 * How many events a second the probe delivers without loss: a process of several threads makes calls at a stated rate,
 * each of which is told, and counts them; what was delivered and what was counted as lost must add up to them.
 */
#ifndef KM_BENCH_GUARD_FLOOD_H
#define KM_BENCH_GUARD_FLOOD_H

/* Prints the figures of `rate` events a second, as calls of a full stream and as landmarks, and of a reader that is
 * stopped. Returns the exit status. */
int flood_print(long rate);

#endif
