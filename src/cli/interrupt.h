/*
 * Ctrl-C for long commands: the first one asks for an orderly end, the second one ends the program at once.
 */
#ifndef KM_CLI_INTERRUPT_H
#define KM_CLI_INTERRUPT_H

#include "base/cancel.h"

/* What SIGINT, SIGTERM and SIGHUP request; a signal handler has no other way. */
extern struct km_cancel km_interrupt;

/* From now on. SIGHUP stays ignored where it was: nohup. */
void km_interrupt_catch(void);

#endif
