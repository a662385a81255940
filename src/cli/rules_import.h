/*
 * Copies rules that this build can judge from a folder of Sigma rules into a folder of the user, and says what was left
 * out and why. A file is copied as it is, so one that holds a rule that is refused is left out as a whole.
 */
#ifndef KM_CLI_RULES_IMPORT_H
#define KM_CLI_RULES_IMPORT_H

#include <stdbool.h>

#include "base/err.h"

/* Prints a line for each file that is left out, and a summary, on stdout. Each file appears complete or not at all. A
 * file whose rule's id is in `to` with another text is left out, unless `force` replaces it. `to` is made when it is
 * not there. KM_IO, KM_NOTFOUND (from), KM_DENIED, KM_LIMIT, KM_NOMEM; what was copied before stays. */
enum km_code km_rules_import(const char *from, const char *to, bool force, struct km_err *err) KM_MUST_USE;

#endif
