/*
 * The slow backend: every operator as the plain loops of its definition, sums in double. Tests compare the fast one
 * with it; builds under ThreadSanitizer run it. Layouts are plain, so nothing is reordered.
 */
#ifndef KM_NN_REFERENCE_H
#define KM_NN_REFERENCE_H

struct km_backend;

extern const struct km_backend km_reference_backend;

#endif
