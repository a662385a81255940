/*
 * One run of a oneDNN primitive with all that surrounds it: arguments whose memory order differs from the primitive's
 * are reordered through scratch memory, before the run (in) or after it (out). Private to the oneDNN backend.
 *
 * Life: km_pass_begin takes the primitive; km_pass_in / km_pass_out declare its arguments, by the address of the
 * pointer that will be set when memory has been planned; scratch_bytes is then final; km_pass_bind reads the pointers;
 * km_pass_run; km_pass_done. After the first failure the rest does nothing: the code is kept in `code`.
 */
#ifndef KM_NN_DNPASS_H
#define KM_NN_DNPASS_H

#include "nn/dn.h"

#define KM_PASS_MAX_LANES 10

struct km_lane {
    enum km_dn_arg arg;
    bool out;
    const struct km_dn_md *outside; /* borrowed */
    struct km_dn_md *inside;        /* owned; NULL when both orders are one */
    const void *pointer;            /* address of the caller's pointer variable */
    size_t offset_bytes;            /* in scratch; only with `inside` */
    struct km_dn_prim *reorder;
};

struct km_pass {
    struct km_dn *dn;
    struct km_dn_prim *prim; /* owned; NULL: this pass does not exist, and binding and running do nothing */
    struct km_lane lanes[KM_PASS_MAX_LANES];
    int count;
    size_t scratch_bytes;
    enum km_code code;
};

/* Takes over prim, which is NULL when its making failed: then code is that of *err. */
void km_pass_begin(struct km_pass *pass, struct km_dn *dn, struct km_dn_prim *prim, const struct km_err *err);

/* outside NULL: the buffer is in the primitive's own order. */
void km_pass_in(struct km_pass *pass, enum km_dn_arg arg, const struct km_dn_md *outside, const void *pointer,
                struct km_err *err);
void km_pass_out(struct km_pass *pass, enum km_dn_arg arg, const struct km_dn_md *outside, const void *pointer,
                 struct km_err *err);

enum km_code km_pass_bind(struct km_pass *pass, void *scratch, struct km_err *err) KM_MUST_USE;
enum km_code km_pass_run(struct km_pass *pass, struct km_err *err) KM_MUST_USE;
void km_pass_done(struct km_pass *pass);

#endif
