/*
 * Options of a command: one table of rows, read from four places. A value on the command line wins over the environment
 * (KOMAINU_<COMMAND>_<NAME>, dashes as underscores), that over the configuration file (<command>: {<name>: value}),
 * that over the row's own default. Every place checks by the same row: an unknown key or a value out of range is an
 * error that names the place ("komainu.yaml:7: …").
 *
 * The configuration file is -c FILE, else $XDG_CONFIG_HOME/komainu/komainu.yaml (~/.config), read over
 * /etc/komainu/komainu.yaml; never one in the current directory, which may be an extracted image.
 */
#ifndef KM_CLI_OPTIONS_H
#define KM_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

enum km_option_type {
    KM_OPTION_FLAG = 0,    /* --name, --no-name */
    KM_OPTION_INTEGER = 1, /* least..most */
    KM_OPTION_REAL = 2,    /* least..most */
    KM_OPTION_CHOICE = 3,  /* one word of `choices` */
    KM_OPTION_TEXT = 4,
    KM_OPTION_TEXTS = 5, /* may be repeated */
};

struct km_option {
    const char *name; /* long name; NULL ends a table */
    enum km_option_type type;
    char letter;          /* short name, or 0 */
    bool only_flag;       /* belongs to one run: not read from environment or file */
    const char *argument; /* its name in help: "FILE" */
    const char *fallback; /* default as text, or NULL: unset */
    double least, most;   /* inclusive, for numbers */
    const char *choices;  /* words separated by "|" */
    const char *help;
};

struct km_cmd;
struct km_options;

/* Reads all four places. *out_options is the caller's, freed with km_options_free; *out_first_operand indexes argv.
 * KM_FORMAT for bad usage and bad values, KM_NOTFOUND for a -c file that is not there, KM_CANCELLED when --help was
 * printed on stdout (the command ends with success). */
enum km_code km_options_read(const struct km_cmd *cmd, int argc, char **argv, struct km_options **out_options,
                             int *out_first_operand, struct km_err *err) KM_MUST_USE;
void km_options_free(struct km_options *options);

/* The value by name; the name must be in the table and the type must fit (KM_ASSERT). */
bool km_options_flag(const struct km_options *options, const char *name);
int64_t km_options_integer(const struct km_options *options, const char *name);
double km_options_real(const struct km_options *options, const char *name);
const char *km_options_text(const struct km_options *options, const char *name); /* also choices; NULL: unset */
size_t km_options_texts(const struct km_options *options, const char *name, const char *const **out_texts);

/* Whether the value comes from the command line. */
bool km_options_is_given(const struct km_options *options, const char *name);
/* Whether it was said anywhere: on the command line, in the environment or in a file. */
bool km_options_is_set(const struct km_options *options, const char *name);

/* Prints each configurable option of a command as YAML with its value and where that comes from. */
void km_options_print(const struct km_options *options, FILE *out);

#endif
