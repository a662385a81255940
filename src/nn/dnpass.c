#include "nn/dnpass.h"

#include <string.h>

#include "nn/op.h"

void km_pass_begin(struct km_pass *pass, struct km_dn *dn, struct km_dn_prim *prim, const struct km_err *err)
{
    pass->dn = dn;
    pass->prim = prim;
    pass->code = prim ? KM_OK : err->code;
    if (prim) /* the scratchpad comes first */
        pass->scratch_bytes = km_op_align(km_dn_prim_bytes(prim, KM_DN_SCRATCHPAD));
}

static void add_lane(struct km_pass *pass, const struct km_lane *like, struct km_err *err)
{
    if (pass->code != KM_OK)
        return;
    KM_ASSERT(pass->count < KM_PASS_MAX_LANES);
    struct km_lane *lane = &pass->lanes[pass->count++];
    *lane = *like;
    if (!lane->outside)
        return;
    lane->inside = km_dn_prim_md(pass->prim, lane->arg, err);
    if (!lane->inside) {
        pass->code = err->code;
        return;
    }
    if (km_dn_md_equal(lane->inside, lane->outside)) {
        km_dn_md_free(lane->inside);
        lane->inside = NULL;
        return;
    }
    lane->offset_bytes = pass->scratch_bytes;
    pass->scratch_bytes += km_op_align(km_dn_md_bytes(lane->inside));
}

void km_pass_in(struct km_pass *pass, enum km_dn_arg arg, const struct km_dn_md *outside, const void *pointer,
                struct km_err *err)
{
    add_lane(pass, &(struct km_lane){.arg = arg, .outside = outside, .pointer = pointer}, err);
}

void km_pass_out(struct km_pass *pass, enum km_dn_arg arg, const struct km_dn_md *outside, const void *pointer,
                 struct km_err *err)
{
    add_lane(pass, &(struct km_lane){.arg = arg, .out = true, .outside = outside, .pointer = pointer}, err);
}

static enum km_code bind_lane(struct km_pass *pass, struct km_lane *lane, void *scratch, struct km_err *err)
{
    void *buffer;
    memcpy(&buffer, lane->pointer, sizeof buffer); /* pointers to const and not: one representation */
    if (!lane->inside)
        return km_dn_prim_bind(pass->prim, lane->arg, buffer, err);
    void *within = (char *)scratch + lane->offset_bytes;
    const struct km_dn_md *from = lane->out ? lane->inside : lane->outside;
    const struct km_dn_md *to = lane->out ? lane->outside : lane->inside;
    lane->reorder = km_dn_reorder_new(pass->dn, from, to, err);
    if (!lane->reorder)
        return err->code;
    enum km_code code = km_dn_prim_bind(pass->prim, lane->arg, within, err);
    if (code == KM_OK)
        code = km_dn_prim_bind(lane->reorder, KM_DN_SRC, lane->out ? within : buffer, err);
    if (code == KM_OK)
        code = km_dn_prim_bind(lane->reorder, KM_DN_DST, lane->out ? buffer : within, err);
    return code;
}

enum km_code km_pass_bind(struct km_pass *pass, void *scratch, struct km_err *err)
{
    if (!pass->prim)
        return KM_OK;
    enum km_code code = KM_OK;
    if (km_dn_prim_bytes(pass->prim, KM_DN_SCRATCHPAD) > 0)
        code = km_dn_prim_bind(pass->prim, KM_DN_SCRATCHPAD, scratch, err);
    for (int i = 0; code == KM_OK && i < pass->count; i++)
        code = bind_lane(pass, &pass->lanes[i], scratch, err);
    return code;
}

static enum km_code run_lanes(struct km_pass *pass, bool out, struct km_err *err)
{
    enum km_code code = KM_OK;
    for (int i = 0; code == KM_OK && i < pass->count; i++)
        if (pass->lanes[i].reorder && pass->lanes[i].out == out)
            code = km_dn_prim_run(pass->lanes[i].reorder, err);
    return code;
}

enum km_code km_pass_run(struct km_pass *pass, struct km_err *err)
{
    if (!pass->prim)
        return KM_OK;
    enum km_code code = run_lanes(pass, false, err);
    if (code == KM_OK)
        code = km_dn_prim_run(pass->prim, err);
    return code == KM_OK ? run_lanes(pass, true, err) : code;
}

void km_pass_done(struct km_pass *pass)
{
    for (int i = 0; i < pass->count; i++) {
        km_dn_prim_free(pass->lanes[i].reorder);
        km_dn_md_free(pass->lanes[i].inside);
    }
    km_dn_prim_free(pass->prim);
}
