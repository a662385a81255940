/*
 * Search expressions: words that must all occur ("nginx shadow"), the beginnings of words count; "quoted phrases";
 * -word for what must not occur; path:word, image:word, daemon:word, package:word, evidence:word, sha256:word for one
 * column. Everything else is text: no expression reaches SQLite's own query language unquoted.
 */
#ifndef KM_DESK_TRIAGE_SEARCH_H
#define KM_DESK_TRIAGE_SEARCH_H

#include "base/buf.h"
#include "base/err.h"

#define KM_SEARCH_MAX_BYTES 512
#define KM_SEARCH_MAX_TERMS 16

/* Appends the FTS5 expression of table finding_words, without its column `verdict`. KM_FORMAT: an open quote, no word,
 * only words that must not occur; KM_LIMIT. */
enum km_code km_search_format(const char *text, struct km_buf *out, struct km_err *err) KM_MUST_USE;

#endif
