/*
 * Results as text for a person at a terminal: findings first, then what was and was not looked at, then the verdict.
 */
#ifndef KM_FINDING_TEXT_OUTPUT_H
#define KM_FINDING_TEXT_OUTPUT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "finding/result.h"

struct km_text_options {
    bool colour;   /* ANSI colours */
    bool show_all; /* every finding in full, also those below the threshold */
};

/* Prints all results. KM_IO when the stream fails, KM_NOMEM, KM_LIMIT. */
enum km_code km_text_output_print(const struct km_results *results, const struct km_text_options *options, FILE *out,
                                  struct km_err *err) KM_MUST_USE;

#endif
