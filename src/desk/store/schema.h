/*
 * The tables, as a list of steps from each schema to the next. A step that is released is never changed; a new one is
 * added. PRAGMA user_version holds the number of steps done.
 */
#ifndef KM_DESK_STORE_SCHEMA_H
#define KM_DESK_STORE_SCHEMA_H

#include <stddef.h>

/* The SQL that makes schema `number` (1…) of the one before it, or NULL when there is no such step. Static storage. */
const char *km_schema_step(unsigned number);

/* How many steps there are. */
unsigned km_schema_newest(void);

#endif
