/*
 * What UPX does to machine code before it compresses it, undone: targets of calls and jumps, which it made absolute so
 * that they repeat, become relative again. A filter is its own inverse's mirror and knows nothing but its block.
 */
#ifndef KM_CONTAINER_SOURCE_UPXFILTER_H
#define KM_CONTAINER_SOURCE_UPXFILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Undoes filter `filter` with `parameter` in place. False when it is not known (bytes are then untouched). Known: 0x46,
 * 0x49 and 0x80 to 0x87 of x86, 0x50 of arm, 0x52 of arm64, and 0, which changes nothing. */
bool km_upxfilter_undo(uint8_t filter, uint8_t parameter, uint8_t *bytes, size_t length);

#endif
