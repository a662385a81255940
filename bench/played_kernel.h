/*
 * The probe's part, played: the kernel's exact key set and the filter, between a full stream of events and a guard. A
 * daemon's events pass unfiltered until the guard says that it is learned. A tick every quarter of a second, except
 * over gaps of more than a minute: there nothing ran. Ends the program when memory runs out.
 */
#ifndef KM_BENCH_PLAYED_KERNEL_H
#define KM_BENCH_PLAYED_KERNEL_H

#include "daemon/guard/guard.h"

struct played_kernel;

struct played_kernel *played_kernel_new(void);
void played_kernel_free(struct played_kernel *kernel);

/* For km_guard_config. */
struct km_guard_kernel played_kernel_calls(struct played_kernel *kernel);
/* Before the first event; the guard is borrowed. `filters`: all daemons are learned already. */
void played_kernel_attach(struct played_kernel *kernel, struct km_guard *guard, bool filters);

/* Hands the event to the guard as a deployment would. */
enum km_code played_kernel_event(struct played_kernel *kernel, const struct km_event *event, struct km_err *err);
enum km_code played_kernel_finish(struct played_kernel *kernel, struct km_err *err);

/* Time of the first event that was filtered; 0: none yet. */
uint64_t played_kernel_begun(const struct played_kernel *kernel);

#endif
