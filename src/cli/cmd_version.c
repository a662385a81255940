#include <stdio.h>

#include "cli/cmd.h"

static int run(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("komainu %s\n", KM_VERSION);
    return KM_EXIT_OK;
}

const struct km_cmd km_cmd_version = {"version", "print the version", run};
