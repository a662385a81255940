/*
 * What the guard may still do once its programs are in the kernel. It reads what hostile daemons write, so it keeps
 * only what that takes:
 *
 *   CAP_BPF, CAP_PERFMON     maps, the iterator over tasks, attaching the tracepoints of calls' exits
 *   CAP_SYS_PTRACE           /proc/PID/exe, cwd and root of other users' processes; nothing is ever traced
 *   CAP_DAC_READ_SEARCH      programs and package databases that only their owner may read
 *
 * It can then neither send signals to others, nor change files that are not its own, nor its identity. New programs
 * gain nothing (no_new_privs).
 */
#ifndef KM_GUARD_PRIVILEGE_H
#define KM_GUARD_PRIVILEGE_H

#include "base/err.h"

/* For the calling thread, and threads that it makes. KM_IO; rights are then as far gone as the kernel got. */
enum km_code km_privilege_drop(struct km_err *err) KM_MUST_USE;

#endif
