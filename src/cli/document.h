/*
 * How a command prints one JSON document on standard output.
 */
#ifndef KM_CLI_DOCUMENT_H
#define KM_CLI_DOCUMENT_H

#include "base/err.h"
#include "base/json.h"

#define KM_DOCUMENT_MAX_BYTES ((size_t)64 << 20)

/* Indented, with a newline behind it. Whether standard output took it is looked at when the command ends. KM_LIMIT: the
 * document is larger than KM_DOCUMENT_MAX_BYTES; KM_NOMEM. Prints nothing on failure. */
enum km_code km_document_print(const struct km_json *document, struct km_err *err) KM_MUST_USE;

#endif
