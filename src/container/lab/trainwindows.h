/*
 * The strongest window of each file that teaches words, as a model that has learned from whole files sees it: what a
 * second training joins to the files (tokentrain.h). Only the strongest so far is kept, so memory is that of one window
 * a file.
 */
#ifndef KM_CONTAINER_LAB_TRAINWINDOWS_H
#define KM_CONTAINER_LAB_TRAINWINDOWS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "container/tokens/tokenmodel.h"

#define KM_TRAINWINDOWS_MAX_IDS ((size_t)1 << 28)

struct km_trainwindows;

/* files: how many; none has a window yet. NULL with *err set: KM_NOMEM. The model is borrowed. */
struct km_trainwindows *km_trainwindows_new(const struct km_token_model *model, size_t files,
                                            struct km_err *err) KM_MUST_USE;
void km_trainwindows_free(struct km_trainwindows *windows);
KM_DEFINE_CLEANUP(struct km_trainwindows, km_trainwindows_cleanup, km_trainwindows_free);

/* Reads a file for the first time and keeps its strongest window, the first of equals; none if it has fewer than two.
 * KM_LIMIT beyond KM_TRAINWINDOWS_MAX_IDS in all, KM_NOMEM. */
enum km_code km_trainwindows_read(struct km_trainwindows *windows, size_t file, const uint8_t *bytes, size_t length,
                                  struct km_err *err) KM_MUST_USE;

/* [files]. Borrowed. */
const struct km_token_set *km_trainwindows_sets(const struct km_trainwindows *windows);

#endif
