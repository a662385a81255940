/*
 * What a run judges by, for the desk: its model, hash lists and rules, and when they were made. `komainu kpi` says how
 * old they are. Trouble is said on standard error: the run goes on.
 */
#ifndef KM_CLI_IN_FORCE_H
#define KM_CLI_IN_FORCE_H

#include "cli/desk_link.h"
#include "daemon/rules/rules.h"

/* A model by its version, whose first word is its name; made on the day that the card in its folder says. folder NULL:
 * the installed one. */
void km_in_force_model(struct km_desk_link *link, const char *version, const char *folder);

/* Hash lists by the time at which each file was last written. */
void km_in_force_hash_lists(struct km_desk_link *link, const char *const *paths, size_t count);

/* A rule set by its digest (km_rules_digest); made when the newest of its files was last written. */
void km_in_force_rules(struct km_desk_link *link, const struct km_rules *rules, const char *digest);

#endif
