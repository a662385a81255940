/*
 * Weight sets in safetensors files. Files are hostile: a set is filled from one only when every tensor is there, in its
 * shape, with finite values; else it stays what it was.
 */
#ifndef KM_NN_WEIGHTSFILE_H
#define KM_NN_WEIGHTSFILE_H

#include "base/err.h"
#include "nn/safetensors.h"
#include "nn/weights.h"

struct km_weights_report {
    size_t unknown;                                /* tensors of the file that the network does not have */
    char first_unknown[KM_SAFETENSORS_NAME_BYTES]; /* the first of them, or "" */
};

/* Tensors named *.num_batches_tracked (torch's step counters) are passed over in silence. KM_NOTFOUND with the name of
 * a missing tensor, KM_CONFLICT for another shape, KM_FORMAT for values that are not finite or a negative variance,
 * KM_UNSUPPORTED for a dtype that is not F32, F16 or BF16, KM_NOMEM. */
enum km_code km_weights_load(struct km_weights *weights, const struct km_safetensors *file,
                             struct km_weights_report *out_report, struct km_err *err) KM_MUST_USE;

/* Writes all tensors to fd (km_safetensors_write). */
enum km_code km_weights_save(const struct km_weights *weights, int fd, struct km_err *err) KM_MUST_USE;

#endif
