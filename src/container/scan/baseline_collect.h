/*
 * What a baseline takes from an image: listens to a source's run (km_source_tap) and keeps the SHA-256 of each regular
 * file that was delivered to its last byte, members of nested archives too; at the end, the diff ids of layers that
 * were read whole. Empty files are left out: everything has those. Of programs the tokens are kept, too, as the benign
 * side of a token index: a later build of a program is then near to what the site knows.
 *
 * Memory: 32 bytes a file, about 4 KiB a program within the limits of tokens/tokenindex.h, 4 MiB for each nesting.
 * Lifecycle: new, tap, run, finish, free. One thread.
 */
#ifndef KM_CONTAINER_SCAN_BASELINE_COLLECT_H
#define KM_CONTAINER_SCAN_BASELINE_COLLECT_H

#include "base/err.h"
#include "base/mem.h"
#include "container/scan/baseline_edit.h"
#include "container/source/layout.h"
#include "container/source/source.h"

struct km_baseline_collect;

/* NULL with *err set: KM_NOMEM. */
struct km_baseline_collect *km_baseline_collect_new(struct km_err *err) KM_MUST_USE;
void km_baseline_collect_free(struct km_baseline_collect *collect);
KM_DEFINE_CLEANUP(struct km_baseline_collect, km_baseline_collect_cleanup, km_baseline_collect_free);

/* For km_source_tap; borrowed from collect. */
const struct km_entry_sink *km_baseline_collect_sink(const struct km_baseline_collect *collect);

/* After the run: fills in files, layers, image.digest and image.gaps of an addition, borrowed from collect and layout.
 * KM_NOMEM. */
enum km_code km_baseline_collect_finish(struct km_baseline_collect *collect, const struct km_layout *layout,
                                        struct km_baseline_addition *addition, struct km_err *err) KM_MUST_USE;

struct km_baseline_programs {
    uint64_t kept;     /* different ones with tokens enough */
    uint64_t left_out; /* the index was full */
};

/* After the run: writes the index, which no model is needed for, to fd: the content of the part "tokens". KM_IO,
 * KM_NOMEM. */
enum km_code km_baseline_collect_save_tokens(const struct km_baseline_collect *collect, int fd,
                                             struct km_baseline_programs *out, struct km_err *err) KM_MUST_USE;

#endif
