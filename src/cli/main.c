#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cmd.h"

const struct km_cmd *const km_commands[] = {
    &km_cmd_scan,
    &km_cmd_baseline,
    &km_cmd_calibrate,
    &km_cmd_render,
    &km_cmd_daemons,
    &km_cmd_guard,
    &km_cmd_replay,
    &km_cmd_profile,
    &km_cmd_rules,
    &km_cmd_alerts,
    &km_cmd_kpi,
    &km_cmd_stage,
    &km_cmd_audit,
    &km_cmd_report,
    &km_cmd_privacy,
    &km_cmd_dataset,
    &km_cmd_train,
    &km_cmd_evaluate,
    &km_cmd_model,
    &km_cmd_config,
    &km_cmd_completion,
    &km_cmd_version,
    NULL,
};

static void print_usage(FILE *out)
{
    fprintf(out, "usage: komainu COMMAND [OPTIONS] [ARGUMENTS]\n\ncommands:\n");
    for (size_t i = 0; km_commands[i]; i++)
        fprintf(out, "  %-12s %s\n", km_commands[i]->name, km_commands[i]->summary);
    fprintf(out, "\n'komainu COMMAND --help' explains a command.\n");
}

/* What is opened later must not become a standard stream by its number: a message would land in a result's file.
 * Opened the wrong way round, the stand-in fails as the closed descriptor would. */
static void occupy_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0)
            (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY); /* takes the lowest free number */
}

/* A full disk under stdout must not look like success. */
static int end_output(const char *who, int status)
{
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status == KM_EXIT_ERROR)
        return status;
    fprintf(stderr, "komainu%s%s: cannot write to standard output\n", *who ? ": " : "", who);
    return KM_EXIT_ERROR;
}

static int run_command(const struct km_cmd *cmd, int argc, char **argv)
{
    struct km_err err = KM_ERR_INIT;
    struct km_options *options = NULL;
    int first_operand = 0;
    enum km_code code = km_options_read(cmd, argc, argv, &options, &first_operand, &err);
    if (code == KM_CANCELLED)
        return end_output(cmd->name, KM_EXIT_OK); /* --help */
    if (code != KM_OK) {
        fprintf(stderr, "komainu: %s: %s\n", cmd->name, err.text);
        return KM_EXIT_ERROR;
    }
    int status;
    if (!cmd->operands && first_operand < argc) {
        fprintf(stderr, "komainu: %s takes no arguments\n", cmd->name);
        status = KM_EXIT_ERROR;
    } else {
        status = cmd->run(options, argc - first_operand, argv + first_operand);
    }
    km_options_free(options);
    return end_output(cmd->name, status);
}

int main(int argc, char **argv)
{
    occupy_standard_streams();
    /* Archive names are decoded by libraries that ask the locale; UTF-8 must not depend on the user's. */
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        (void)setlocale(LC_CTYPE, "");
    (void)signal(SIGPIPE, SIG_IGN); /* a closed pipe or socket is an error to report, not an end */
    if (argc < 2) {
        print_usage(stderr);
        return KM_EXIT_ERROR;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "help") == 0) {
        print_usage(stdout);
        return end_output("", KM_EXIT_OK);
    }
    const char *name = strcmp(argv[1], "--version") == 0 ? "version" : argv[1];
    for (size_t i = 0; km_commands[i]; i++)
        if (strcmp(km_commands[i]->name, name) == 0)
            return run_command(km_commands[i], argc - 1, argv + 1);
    fprintf(stderr, "komainu: no command '%s'; 'komainu --help' lists them\n", name);
    return KM_EXIT_ERROR;
}
