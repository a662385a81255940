#include <locale.h>
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"

static const struct km_cmd *const commands[] = {
    &km_cmd_render,
    &km_cmd_version,
};

static void print_usage(FILE *out)
{
    fprintf(out, "usage: komainu COMMAND [OPTIONS] [ARGUMENTS]\n\ncommands:\n");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        fprintf(out, "  %-12s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(out, "\n'komainu COMMAND --help' explains a command.\n");
}

int main(int argc, char **argv)
{
    /* Archive names are decoded by libraries that ask the locale; UTF-8 must not depend on the user's. */
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "");
    if (argc < 2) {
        print_usage(stderr);
        return KM_EXIT_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return KM_EXIT_OK;
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i]->run(argc - 1, argv + 1);
    fprintf(stderr, "komainu: no command '%s'; 'komainu --help' lists them\n", name);
    return KM_EXIT_ERROR;
}
