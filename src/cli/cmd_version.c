#include <stdio.h>

#include "cli/cmd.h"

static int run(const struct km_options *options, int operand_count, char **operands)
{
    (void)options;
    (void)operand_count;
    (void)operands;
    printf("komainu %s\n", KM_VERSION);
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_version = {"version", NULL, "print the version", NULL, run};
