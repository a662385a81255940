/*
 * The network of the file view over segments: each is cut into squares (imaging/fileview.h), squares of one side run
 * together, whatever segment they are of, and each square's logit depends on its own bytes alone.
 *
 * A km_squares_model is read-only after its birth and shared; a km_squares belongs to the thread that made it, shares
 * the model's weights and outlives it not.
 */
#ifndef KM_CONTAINER_SCAN_SQUARES_H
#define KM_CONTAINER_SCAN_SQUARES_H

#include "base/err.h"
#include "container/scan/segment.h"

struct km_squares_model;

/* From a card and weights (nn/modelfile.h), read from their start. KM_UNSUPPORTED for another architecture than
 * "light", a stem that needs colours, another view than "file", more than one output; KM_FORMAT when it answers an
 * empty square with no number; and the codes of km_model_load, km_network_new. */
enum km_code km_squares_model_load(int card_fd, int weights_fd, struct km_squares_model **out,
                                   struct km_err *err) KM_MUST_USE;
void km_squares_model_free(struct km_squares_model *model);

struct km_squares;
struct km_squares *km_squares_new(const struct km_squares_model *model, struct km_err *err) KM_MUST_USE;
void km_squares_free(struct km_squares *squares);

/* Sets sum, cells and ranges of the segments' scores. A square whose logit is no number counts as unread: the segment
 * has cells 0. KM_IO of the backend. */
enum km_code km_squares_score(struct km_squares *squares, struct km_segment *segments, size_t count,
                              struct km_err *err) KM_MUST_USE;

#endif
