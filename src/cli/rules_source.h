/*
 * Where a command finds rules: the folders that the user names, or the usual ones. Those of the site come before those
 * that are installed with the program, so that a rule of the same id replaces an installed one.
 */
#ifndef KM_CLI_RULES_SOURCE_H
#define KM_CLI_RULES_SOURCE_H

#include "daemon/rules/rules.h"

/* Loads files and folders; count 0: /etc/komainu/rules, then $KOMAINU_RULES or else the installed folder. A usual
 * folder that is not there is left out; one that the user named (KOMAINU_RULES too) is KM_NOTFOUND. NULL: the error, as
 * of km_rules_load_path. */
struct km_rules *km_rules_source_load(const char *const *paths, size_t count, const struct km_rules_listener *listener,
                                      struct km_err *err) KM_MUST_USE;

#endif
