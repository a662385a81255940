/*
 * A subcommand: a row of the table in main.c. One cmd_<name>.c each.
 */
#ifndef KM_CLI_CMD_H
#define KM_CLI_CMD_H

/* Exit statuses of all commands; scan's are in the order in which several targets combine: error, findings, gaps. */
enum km_exit {
    KM_EXIT_OK = 0,
    KM_EXIT_ERROR = 1,    /* an error, or bad usage */
    KM_EXIT_FINDINGS = 2, /* findings at or above --fail-on */
    KM_EXIT_INCOMPLETE = 3,
};

struct km_cmd {
    const char *name;
    const char *summary;               /* one line for `komainu --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an enum km_exit */
};

extern const struct km_cmd km_cmd_render;
extern const struct km_cmd km_cmd_version;

#endif
