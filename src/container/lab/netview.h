/*
 * The file view as the networks of nn/ see it: one graph a side of square, and one worker that scores whole files.
 */
#ifndef KM_CONTAINER_LAB_NETVIEW_H
#define KM_CONTAINER_LAB_NETVIEW_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "container/imaging/fileview.h"
#include "nn/architecture.h"
#include "nn/graph.h"
#include "nn/stem.h"
#include "nn/weights.h"

/* Hilbert stem orders of the file view's four sides. Read-only after its birth; outlives graphs made with it. */
struct km_netview;
struct km_netview *km_netview_new(struct km_err *err) KM_MUST_USE; /* NULL: KM_NOMEM */
void km_netview_free(struct km_netview *view);
KM_DEFINE_CLEANUP(struct km_netview, km_netview_cleanup, km_netview_free);

/* side is one of the file view's. Borrowed. */
const struct km_stem_order *km_netview_order(const struct km_netview *view, uint32_t side);
/* The light network with the hash stem, one output, on squares of that side. */
enum km_code km_netview_graph(const struct km_netview *view, uint32_t side, struct km_graph *out,
                              struct km_err *err) KM_MUST_USE;

/* A scorer belongs to the thread that made it. weights: of a graph above, copied. NULL with *err set: the codes of
 * network.h. */
struct km_netscorer;
struct km_netscorer *km_netscorer_new(const struct km_netview *view, const struct km_weights *weights,
                                      struct km_err *err) KM_MUST_USE;
void km_netscorer_free(struct km_netscorer *scorer);
KM_DEFINE_CLEANUP(struct km_netscorer, km_netscorer_cleanup, km_netscorer_free);

/* The file's score as a scan has it: its squares' logits, each by its bytes, joined by KM_NETWORK_SOFTNESS. length at
 * least 1. KM_IO of the backend. */
enum km_code km_netscorer_run(struct km_netscorer *scorer, const uint8_t *bytes, size_t length, double *out,
                              struct km_err *err) KM_MUST_USE;

#endif
