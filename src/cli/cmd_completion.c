#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"

/* Each command's long options on one line of a case statement; the shells share this list. */
static void print_options_of(const struct km_cmd *cmd)
{
    for (const struct km_option *row = cmd->options; row && row->name; row++)
        printf(" --%s", row->name);
    printf(" --config --help");
}

static void print_command_names(void)
{
    for (size_t i = 0; km_commands[i]; i++)
        printf("%s%s", i ? " " : "", km_commands[i]->name);
}

static void print_choice_cases(const char *indent)
{
    for (size_t i = 0; km_commands[i]; i++)
        for (const struct km_option *row = km_commands[i]->options; row && row->name; row++)
            if (row->type == KM_OPTION_CHOICE) {
                printf("%s%s--%s) words=\"", indent, km_commands[i]->name, row->name);
                for (const char *c = row->choices; *c; c++)
                    putchar(*c == '|' ? ' ' : *c);
                printf("\" ;;\n");
            }
}

static void print_bash(void)
{
    printf("# bash completion for komainu: source it, or save it as /usr/share/bash-completion/completions/komainu\n"
           "_komainu() {\n    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} "
           "cmd=${COMP_WORDS[1]} words=\n"
           "    if [ \"$COMP_CWORD\" = 1 ]; then\n        COMPREPLY=($(compgen -W \"");
    print_command_names();
    printf(" --help --version\" -- \"$cur\"))\n        return\n    fi\n    case $cmd$prev in\n");
    print_choice_cases("        ");
    printf("    esac\n    if [ -z \"$words\" ] && [ \"${cur#-}\" != \"$cur\" ]; then\n        case $cmd in\n");
    for (size_t i = 0; km_commands[i]; i++) {
        printf("            %s) words=\"", km_commands[i]->name);
        print_options_of(km_commands[i]);
        printf("\" ;;\n");
    }
    printf("        esac\n    fi\n    if [ -n \"$words\" ]; then\n        COMPREPLY=($(compgen -W \"$words\" -- "
           "\"$cur\"))\n"
           "    else\n        COMPREPLY=($(compgen -f -- \"$cur\"))\n    fi\n}\ncomplete -o filenames -F _komainu "
           "komainu\n");
}

static void print_zsh(void)
{
    printf("#compdef komainu\n# zsh completion for komainu: save it as _komainu in a folder of $fpath\n"
           "autoload -U +X bashcompinit && bashcompinit\n");
    print_bash();
}

static void print_fish(void)
{
    printf("# fish completion for komainu: save it as ~/.config/fish/completions/komainu.fish\n");
    for (size_t i = 0; km_commands[i]; i++) {
        const struct km_cmd *cmd = km_commands[i];
        printf("complete -c komainu -n __fish_use_subcommand -f -a %s -d '%s'\n", cmd->name, cmd->summary);
        for (const struct km_option *row = cmd->options; row && row->name; row++) {
            printf("complete -c komainu -n '__fish_seen_subcommand_from %s' -l %s", cmd->name, row->name);
            if (row->letter)
                printf(" -s %c", row->letter);
            if (row->type == KM_OPTION_CHOICE) {
                printf(" -x -a '");
                for (const char *c = row->choices; *c; c++)
                    putchar(*c == '|' ? ' ' : *c);
                putchar('\'');
            } else if (row->type != KM_OPTION_FLAG) {
                printf(" -r");
            }
            putchar('\n');
        }
    }
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    (void)options;
    static const struct {
        const char *name;
        void (*print)(void);
    } shells[] = {{"bash", print_bash}, {"zsh", print_zsh}, {"fish", print_fish}};
    for (size_t i = 0; operand_count == 1 && i < sizeof shells / sizeof shells[0]; i++)
        if (strcmp(shells[i].name, operands[0]) == 0) {
            shells[i].print();
            return KM_EXIT_OK;
        }
    fprintf(stderr, "komainu: completion: name one shell: bash, zsh or fish\n");
    return KM_EXIT_ERROR;
}

const struct km_cmd km_cmd_completion = {"completion", "SHELL", "print a completion script for bash, zsh or fish", NULL,
                                         run};
