/*
 * The build id of an ELF program: what tells two builds of a daemon apart.
 */
#ifndef KM_PROBE_BUILD_ID_H
#define KM_PROBE_BUILD_ID_H

#include <stddef.h>
#include <stdint.h>

#include "daemon/trace/event.h"

/* Reads the GNU build id of the ELF file open at fd into out. Returns its length (at most KM_EVENT_BUILD_ID_BYTES; a
 * longer one is cut), or 0 when the file has none, is no ELF file or breaks its format. Moves no file offset. Reads at
 * most 64 program headers and 64 KiB of notes. */
size_t km_build_id_read(int fd, uint8_t out[KM_EVENT_BUILD_ID_BYTES]);

#endif
