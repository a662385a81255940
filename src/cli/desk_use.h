/*
 * Which store a guardian's command uses, if any.
 */
#ifndef KM_CLI_DESK_USE_H
#define KM_CLI_DESK_USE_H

#include "cli/options.h"

/* Whether a guardian's command uses a store: `flag` and `named` are its options for that. A flag that says no is the
 * last word. Without any, a store that is there already is used (docs/adr/0006-recording.md), and trouble with that one
 * is no error of the command. */
enum km_desk_link_use {
    KM_DESK_LINK_NONE = 0,
    KM_DESK_LINK_USUAL = 1, /* nobody asked for it */
    KM_DESK_LINK_ASKED = 2,
};
enum km_desk_link_use km_desk_link_use(const struct km_options *options, const char *flag, const char *named);

#endif
