/*
 * Two listeners to one run: everything that a source tells goes to the first one and then to the second. Each has its
 * own state of each entry. The first failure of either ends the run, as ever.
 */
#ifndef KM_CONTAINER_SOURCE_TEE_H
#define KM_CONTAINER_SOURCE_TEE_H

#include "container/source/source.h"

struct km_tee_pair;

struct km_tee {
    struct km_entry_sink sink;
    const struct km_entry_sink *first, *second;
    struct km_tee_pair *unused;
};

/* Borrows both; &tee->sink is what a source is given. Lives in the caller's storage until km_tee_done. */
void km_tee_init(struct km_tee *tee, const struct km_entry_sink *first, const struct km_entry_sink *second);
void km_tee_done(struct km_tee *tee);

#endif
