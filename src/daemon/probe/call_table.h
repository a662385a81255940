/*
 * Which class a call has for the probe, in each number space; made at build time from call_classes.txt and the kernel's
 * headers.
 */
#ifndef KM_PROBE_CALL_TABLE_H
#define KM_PROBE_CALL_TABLE_H

#include "daemon/probe/bpf/probe_abi.h"

/* Fills table[space][folded number] with enum km_probe_class. */
void km_call_table_fill(__u8 table[KM_PROBE_SPACES][KM_CALL_NUMBERS]);

/* The i-th native call whose outcome a landmark wants, by name ("openat"), or NULL behind the last. */
const char *km_call_table_outcome(size_t i);

/* The native calls before which an episode ends by default. */
void km_call_table_waits(unsigned long long set[KM_CALL_SET_WORDS]);

#endif
