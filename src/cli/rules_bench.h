/*
 * How fast rules are matched, over the landmarks of a trace or over a stream made for it.
 */
#ifndef KM_CLI_RULES_BENCH_H
#define KM_CLI_RULES_BENCH_H

#include "daemon/rules/rules.h"

/* Prints lines "name value unit low high n" on stdout: medians of several runs. trace_path NULL: the built-in stream.
 * KM_NOTFOUND (a trace without landmarks), KM_FORMAT, KM_LIMIT, the I/O codes, KM_NOMEM. */
enum km_code km_rules_bench(struct km_rules *rules, const char *trace_path, struct km_err *err) KM_MUST_USE;

#endif
