#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/words.h"
#include "cli/cmd.h"
#include "cli/guard_run.h"

#define MOST_SECONDS 315360000.0 /* ten years */

static const struct km_option rows[] = {
    {.name = "unit",
     .letter = 'u',
     .type = KM_OPTION_TEXTS,
     .argument = "UNIT",
     .help = "guard this systemd unit, over restarts; it need not run yet"},
    {.name = "command",
     .type = KM_OPTION_TEXTS,
     .argument = "NAME",
     .help = "guard programs started under this name, and their children"},
    {.name = "pid",
     .letter = 'p',
     .type = KM_OPTION_TEXTS,
     .argument = "PID",
     .only_flag = true,
     .help = "guard this process and its children until it ends"},
    {.name = "cgroup",
     .type = KM_OPTION_TEXTS,
     .argument = "PATH",
     .help = "guard this cgroup and those below it; the path begins below the cgroup root with /"},
    {.name = "learn",
     .type = KM_OPTION_TEXT,
     .argument = "DURATION",
     .help = "learn daemons that have no mature profile for exactly so long (90s, 30m, 2h, 7d)"},
    {.name = "relearn",
     .type = KM_OPTION_FLAG,
     .only_flag = true,
     .help = "with --learn: learn also daemons that have a mature profile"},
    {.name = "for",
     .type = KM_OPTION_TEXT,
     .argument = "DURATION",
     .only_flag = true,
     .help = "end after so long; without it a signal ends the command"},
    {.name = "output",
     .letter = 'o',
     .type = KM_OPTION_TEXTS,
     .argument = "FORMAT=FILE",
     .help = "append alerts to a file, too: jsonl=FILE or text=FILE"},
    {.name = "format",
     .letter = 'f',
     .type = KM_OPTION_CHOICE,
     .choices = "text|jsonl|none",
     .fallback = "text",
     .help = "alerts on standard output"},
    {.name = "record",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .only_flag = true,
     .help = "write the events to a new trace file, for komainu replay"},
    {.name = "store", .type = KM_OPTION_TEXT, .argument = "FOLDER", .help = "the profile store"},
    {.name = "rules",
     .type = KM_OPTION_TEXTS,
     .argument = "PATH",
     .help = "rules of this file or folder instead of the usual ones; see komainu-rules(1)"},
    {.name = "use-rules", .type = KM_OPTION_FLAG, .fallback = "true", .help = "judge by rules, too"},
    {.name = "decisions",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .help = "what people said about findings; see komainu-decisions(5)"},
    {.name = "use-desk",
     .type = KM_OPTION_FLAG,
     .help = "keep findings in the desk's store, and apply its decisions; unset: if it is there already"},
    {.name = "desk", .type = KM_OPTION_TEXT, .argument = "FILE", .help = "the desk's store; implies --use-desk"},
    {.name = "budget",
     .type = KM_OPTION_INTEGER,
     .argument = "ALERTS",
     .fallback = "3",
     .least = 1,
     .most = 100000,
     .help = "incidents shown a day and daemon; the others go to the digest"},
    {.name = "host-budget",
     .type = KM_OPTION_INTEGER,
     .argument = "ALERTS",
     .fallback = "10",
     .least = 1,
     .most = 1000000,
     .help = "incidents shown a day"},
    {.name = "hide-arguments",
     .type = KM_OPTION_FLAG,
     .help = "the kernel keeps the arguments of started programs; only their digest is known"},
    {.name = "guarded",
     .type = KM_OPTION_TEXT,
     .argument = "FILE",
     .fallback = "/run/komainu/guarded",
     .help = "where to write the names of the guarded daemons, one a line, while they are"},
    {.name = "lang",
     .type = KM_OPTION_CHOICE,
     .choices = "en|ja",
     .help = "language of alerts as text; unset: by LC_ALL, LC_MESSAGES and LANG"},
    {.name = NULL},
};

/* "90s", "1.5h", "7d"; a number alone is seconds. */
static enum km_code parse_duration(const struct km_options *options, const char *name, uint64_t *out,
                                   struct km_err *err)
{
    static const struct {
        const char *unit;
        double seconds;
    } units[] = {{"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
    const char *text = km_options_text(options, name);
    *out = 0;
    if (!text)
        return KM_OK;
    char *end;
    errno = 0;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        double seconds = value * units[i].seconds;
        if (strcmp(end, units[i].unit) != 0 || end == text || errno != 0 || !(seconds > 0) || seconds > MOST_SECONDS)
            continue;
        *out = (uint64_t)(seconds * (double)KM_NS_PER_S);
        return KM_OK;
    }
    return km_fail(err, KM_FORMAT, "--%s: '%s' is no duration; write 90s, 30m, 2h or 7d", name, text);
}

static size_t count_targets(const struct km_options *options)
{
    static const char *const names[] = {"unit", "command", "pid", "cgroup"};
    const char *const *texts;
    size_t count = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        count += km_options_texts(options, names[i], &texts);
    return count;
}

static int run(const struct km_options *options, int operand_count, char **operands)
{
    (void)operand_count;
    (void)operands;
    struct km_err err = KM_ERR_INIT;
    struct km_guard_times times;
    enum km_code code = km_words_choose(km_options_text(options, "lang"), &err);
    if (code == KM_OK)
        code = parse_duration(options, "learn", &times.learn_ns, &err);
    if (code == KM_OK)
        code = parse_duration(options, "for", &times.for_ns, &err);
    if (code == KM_OK && count_targets(options) == 0)
        code = km_fail(&err, KM_FORMAT,
                       "name what to guard: --unit, --command, --pid or --cgroup; "
                       "'komainu daemons' proposes");
    if (code == KM_OK && km_options_flag(options, "relearn") && times.learn_ns == 0)
        code = km_fail(&err, KM_FORMAT, "--relearn needs --learn");
    if (code != KM_OK) {
        fprintf(stderr, "komainu: guard: %s\n", err.text);
        return KM_EXIT_ERROR;
    }
#ifdef KM_HAVE_PROBE
    return km_guard_run(options, &times);
#else
    fprintf(stderr, "komainu: guard: this build has no probe: it was made without clang, bpftool or libbpf\n");
    return KM_EXIT_ERROR;
#endif
}

const struct km_cmd km_cmd_guard = {"guard", NULL, "learn how daemons behave, and tell what is strange", rows, run};
