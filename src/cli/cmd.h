/*
 * A subcommand: a row of the table in main.c. One cmd_<name>.c each. The same row feeds parsing, --help, the
 * configuration file, `komainu config show` and shell completion.
 */
#ifndef KM_CLI_CMD_H
#define KM_CLI_CMD_H

#include "cli/options.h"

/* Exit statuses of all commands; several targets combine to the worst, in the order 1, 2, 3, 0. */
enum km_exit {
    KM_EXIT_OK = 0,
    KM_EXIT_ERROR = 1,    /* an error, or bad usage */
    KM_EXIT_FINDINGS = 2, /* findings at or above --fail-on */
    KM_EXIT_INCOMPLETE = 3,
};

struct km_cmd {
    const char *name;
    const char *operands;            /* for the usage line: "TARGET..."; NULL: takes none */
    const char *summary;             /* one line for `komainu --help` */
    const struct km_option *options; /* ends with a row without name; NULL: none but --help */
    /* operands are what stands behind the options. Returns an enum km_exit. */
    int (*run)(const struct km_options *options, int operand_count, char **operands);
};

/* The table of main.c, ended by NULL: for completion and config. */
extern const struct km_cmd *const km_commands[];

extern const struct km_cmd km_cmd_baseline;
extern const struct km_cmd km_cmd_alerts;
extern const struct km_cmd km_cmd_audit;
extern const struct km_cmd km_cmd_calibrate;
extern const struct km_cmd km_cmd_completion;
extern const struct km_cmd km_cmd_config;
extern const struct km_cmd km_cmd_privacy;
extern const struct km_cmd km_cmd_kpi;
extern const struct km_cmd km_cmd_stage;
extern const struct km_cmd km_cmd_profile;
extern const struct km_cmd km_cmd_replay;
extern const struct km_cmd km_cmd_report;
extern const struct km_cmd km_cmd_rules;
extern const struct km_cmd km_cmd_daemons;
extern const struct km_cmd km_cmd_guard;
extern const struct km_cmd km_cmd_dataset;
extern const struct km_cmd km_cmd_train;
extern const struct km_cmd km_cmd_evaluate;
extern const struct km_cmd km_cmd_model;
extern const struct km_cmd km_cmd_scan;
extern const struct km_cmd km_cmd_render;
extern const struct km_cmd km_cmd_version;

#endif
