/*
 * Names of system calls, from the headers that the program was built with.
 */
#ifndef KM_TRACE_CALLS_H
#define KM_TRACE_CALLS_H

#include "daemon/trace/window.h"

/* The name of a folded call number, or NULL. x32 calls are called by their native names. Static storage. */
const char *km_call_name(unsigned space, unsigned folded);

#define KM_CALL_NAME_BYTES 48
/* The name, or "call 17", "i386 call 17" when it has none. out holds KM_CALL_NAME_BYTES. */
void km_call_format(unsigned space, unsigned folded, char *out);

/* The folded number of a native call's name, or -1. */
int km_call_find(const char *name);

#endif
