#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"

static int show(const struct km_cmd *cmd, const char *config)
{
    struct km_err err = KM_ERR_INIT;
    struct km_options *options = NULL;
    char name[] = "komainu", flag[] = "--config";
    char *arguments[] = {name, flag, (char *)(uintptr_t)config, NULL};
    int first = 0;
    if (km_options_read(cmd, config ? 3 : 1, arguments, &options, &first, &err) != KM_OK) {
        fprintf(stderr, "komainu: config: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
    km_options_print(options, stdout);
    km_options_free(options);
    return KM_EXIT_OK;
}

static const struct km_option rows[] = {
    {.name = "file",
     .letter = 'f',
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "show what this configuration file gives, instead of the usual ones"},
    {0},
};

static int run(const struct km_options *options, int operand_count, char **operands)
{
    if (operand_count != 1 || strcmp(operands[0], "show") != 0) {
        fprintf(stderr, "komainu: config: the one action is 'show'\n");
        return KM_EXIT_ERROR;
    }
    for (size_t i = 0; km_commands[i]; i++) {
        bool configurable = false;
        for (const struct km_option *row = km_commands[i]->options; row && row->name; row++)
            configurable = configurable || !row->only_flag;
        if (configurable && show(km_commands[i], km_options_text(options, "file")) != KM_EXIT_OK)
            return KM_EXIT_ERROR;
    }
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_config = {"config", "show", "print every option with its value and where it comes from",
                                     rows, run};
