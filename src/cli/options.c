#include "cli/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/folder.h"
#include "base/mem.h"
#include "base/yaml.h"
#include "cli/cmd.h"

#define MAX_OPTIONS           48
#define MAX_TEXTS             1024
#define MAX_CONFIG_FILE_BYTES ((size_t)1 << 20)
#define PLACE_BYTES           4200 /* a path and a line number */
#define NO_PREFIX_CODE        1000 /* getopt's value of --no-<row> is this + row */
#define COMMAND_LINE          "command line"
#define ROW_CODE              2000 /* … and of --<row> this + row, so that no letter collides */

struct value {
    char *texts[MAX_TEXTS]; /* all types are kept as checked text */
    size_t count;
    char origin[256]; /* "default", "command line", "environment", "FILE" */
};

struct km_options {
    const struct km_cmd *cmd;
    size_t row_count;
    struct value *values[MAX_OPTIONS];
};

static size_t count_rows(const struct km_cmd *cmd)
{
    size_t count = 0;
    while (cmd->options && cmd->options[count].name)
        count++;
    KM_ASSERT(count < MAX_OPTIONS);
    return count;
}

static size_t row_of(const struct km_options *options, const char *name)
{
    for (size_t i = 0; i < options->row_count; i++)
        if (strcmp(options->cmd->options[i].name, name) == 0)
            return i;
    return SIZE_MAX;
}

static const struct value *value_of(const struct km_options *options, const char *name,
                                    const struct km_option **out_row)
{
    size_t row = row_of(options, name);
    KM_ASSERT(row != SIZE_MAX);
    *out_row = &options->cmd->options[row];
    return options->values[row];
}

static bool is_choice(const char *choices, const char *text)
{
    size_t length = strlen(text);
    for (const char *word = choices; *word;) {
        size_t word_length = strcspn(word, "|");
        if (word_length == length && length > 0 && strncmp(word, text, length) == 0)
            return true;
        word += word_length + (word[word_length] == '|');
    }
    return false;
}

static enum km_code check_number(const struct km_option *row, const char *text, struct km_err *err)
{
    char *end = NULL;
    errno = 0;
    double number = row->type == KM_OPTION_INTEGER ? (double)strtoll(text, &end, 10) : strtod(text, &end);
    if (end == text || *end != '\0' || errno != 0 || !isfinite(number))
        return km_fail(err, KM_FORMAT, "--%s wants a number, not '%s'", row->name, text);
    if (number < row->least || number > row->most)
        return km_fail(err, KM_FORMAT, "--%s must be between %g and %g, not %s", row->name, row->least, row->most,
                       text);
    return KM_OK;
}

static enum km_code check_text(const struct km_option *row, const char *text, struct km_err *err)
{
    switch (row->type) {
    case KM_OPTION_FLAG:
        if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
            return KM_OK;
        return km_fail(err, KM_FORMAT, "--%s is true or false, not '%s'", row->name, text);
    case KM_OPTION_INTEGER:
    case KM_OPTION_REAL:
        return check_number(row, text, err);
    case KM_OPTION_CHOICE:
        if (is_choice(row->choices, text))
            return KM_OK;
        return km_fail(err, KM_FORMAT, "--%s is one of %s, not '%s'", row->name, row->choices, text);
    case KM_OPTION_TEXT:
    case KM_OPTION_TEXTS:
        return KM_OK;
    }
    return km_fail(err, KM_UNSUPPORTED, "--%s has an unknown type", row->name);
}

static void forget(struct value *value)
{
    for (size_t i = 0; i < value->count; i++)
        free(value->texts[i]);
    value->count = 0;
}

/* A value from a stronger place replaces the weaker one's; the same place adds to a repeatable option. */
static enum km_code set_value(struct km_options *options, size_t i, const char *text, const char *origin,
                              struct km_err *err)
{
    const struct km_option *row = &options->cmd->options[i];
    struct value *value = options->values[i];
    enum km_code code = check_text(row, text, err);
    if (code != KM_OK)
        return code;
    if (row->type != KM_OPTION_TEXTS || strcmp(value->origin, origin) != 0)
        forget(value);
    if (value->count >= MAX_TEXTS)
        return km_fail(err, KM_LIMIT, "--%s is given more than %d times", row->name, MAX_TEXTS);
    char *copy = km_strndup(text, strlen(text), err);
    if (!copy)
        return err->code;
    value->texts[value->count++] = copy;
    snprintf(value->origin, sizeof value->origin, "%s", origin);
    return KM_OK;
}

static enum km_code read_defaults(struct km_options *options, struct km_err *err)
{
    for (size_t i = 0; i < options->row_count; i++) {
        options->values[i] = calloc(1, sizeof *options->values[i]);
        if (!options->values[i])
            return km_fail(err, KM_NOMEM, "out of memory (options)");
        const struct km_option *row = &options->cmd->options[i];
        const char *text = row->fallback ? row->fallback : row->type == KM_OPTION_FLAG ? "false" : NULL;
        if (text && set_value(options, i, text, "default", err) != KM_OK)
            return err->code;
    }
    return KM_OK;
}

static enum km_code scalar_text(const struct km_json *json, struct km_buf *out, struct km_err *err)
{
    if (km_json_type(json) == KM_JSON_STRING)
        return km_buf_append_text(out, km_json_text(json), err);
    if (km_json_type(json) == KM_JSON_ARRAY || km_json_type(json) == KM_JSON_OBJECT)
        return km_fail(err, KM_FORMAT, "a single value is expected");
    return km_json_format(json, 0, out, err);
}

static enum km_code set_from_json(struct km_options *options, size_t i, const struct km_json *json, const char *origin,
                                  struct km_err *err)
{
    bool list = km_json_type(json) == KM_JSON_ARRAY && options->cmd->options[i].type == KM_OPTION_TEXTS;
    size_t count = list ? km_json_size(json) : 1;
    enum km_code code = KM_OK;
    for (size_t k = 0; k < count && code == KM_OK; k++) {
        struct km_buf text;
        km_buf_init(&text, MAX_CONFIG_FILE_BYTES);
        code = scalar_text(list ? km_json_at(json, k) : json, &text, err);
        if (code == KM_OK)
            code = set_value(options, i, km_buf_text(&text), origin, err);
        km_buf_done(&text);
    }
    return code;
}

/* "FILE:LINE" of a key, for messages. YAML values carry no line, so the text is searched; a key that was written with
 * escapes is not found and gives "FILE". */
static void place_of(const char *path, const char *text, const char *key, char *out, size_t out_bytes)
{
    size_t length = strlen(key);
    unsigned line = 1;
    for (const char *at = text; *at; at++) {
        line += at > text && at[-1] == '\n';
        bool begins = at == text || strchr(" \t\n\"'{,", at[-1]);
        if (begins && strncmp(at, key, length) == 0 && at[length] != '\0' && strchr(":\"' \t", at[length])) {
            snprintf(out, out_bytes, "%s:%u", path, line);
            return;
        }
    }
    snprintf(out, out_bytes, "%s", path);
}

static const struct km_cmd *find_command(const char *name)
{
    for (size_t i = 0; km_commands[i]; i++)
        if (strcmp(km_commands[i]->name, name) == 0)
            return km_commands[i];
    return NULL;
}

static const struct km_option *find_configurable(const struct km_cmd *cmd, const char *name)
{
    for (const struct km_option *row = cmd->options; row && row->name; row++)
        if (strcmp(row->name, name) == 0 && !row->only_flag)
            return row;
    return NULL;
}

/* A section is a command's name; sections of other commands are checked too, so that a typing error never hides. */
static enum km_code read_section(struct km_options *options, const char *path, const char *text, const char *section,
                                 const struct km_json *members, struct km_err *err)
{
    const struct km_cmd *cmd = find_command(section);
    char place[PLACE_BYTES];
    place_of(path, text, section, place, sizeof place);
    if (!cmd)
        return km_fail(err, KM_FORMAT, "%s: '%s' is no command of komainu", place, section);
    for (size_t i = 0; i < km_json_size(members); i++) {
        const char *key = km_json_key_at(members, i);
        place_of(path, text, key, place, sizeof place);
        if (!find_configurable(cmd, key))
            return km_fail(err, KM_FORMAT, "%s: '%s' is no option of %s", place, key, section);
        if (cmd != options->cmd)
            continue;
        enum km_code code = set_from_json(options, row_of(options, key), km_json_at(members, i), path, err);
        if (code != KM_OK)
            return km_err_wrap(err, "%s", place);
    }
    return KM_OK;
}

static enum km_code read_config(struct km_options *options, const char *path, struct km_err *err)
{
    struct km_buf text;
    km_buf_init(&text, MAX_CONFIG_FILE_BYTES);
    enum km_code code = km_buf_append_file(&text, path, err);
    struct km_json *document KM_CLEANUP(km_json_cleanup) = NULL;
    if (code == KM_OK) {
        document = km_yaml_parse(km_buf_text(&text), text.length, MAX_CONFIG_FILE_BYTES, err);
        if (!document)
            code = km_err_wrap(err, "%s", path);
    }
    if (code == KM_OK && km_json_type(document) != KM_JSON_OBJECT && km_json_type(document) != KM_JSON_NULL)
        code = km_fail(err, KM_FORMAT, "%s:1: a mapping of commands is expected", path);
    for (size_t i = 0; code == KM_OK && i < km_json_size(document); i++)
        code =
            read_section(options, path, km_buf_text(&text), km_json_key_at(document, i), km_json_at(document, i), err);
    km_buf_done(&text);
    return code;
}

/* The default files may be missing, not unreadable: a file that does not apply must not go unnoticed. */
static enum km_code read_default_configs(struct km_options *options, struct km_err *err)
{
    char personal[4096] = "";
    enum km_code code = km_folder_own(KM_FOLDER_CONFIG, "komainu.yaml", personal, sizeof personal, err);
    if (code != KM_OK && code != KM_NOTFOUND)
        return code;
    const char *const paths[] = {"/etc/komainu/komainu.yaml", personal};
    for (size_t i = 0; i < 2; i++) {
        if (!*paths[i] || read_config(options, paths[i], err) == KM_OK || err->code == KM_NOTFOUND)
            continue;
        return err->code;
    }
    return KM_OK;
}

/* KOMAINU_SCAN_FAIL_ON for --fail-on of scan. */
static void variable_name(const char *command, const char *option, char *out, size_t out_bytes)
{
    int length = snprintf(out, out_bytes, "KOMAINU_%s_%s", command, option);
    KM_ASSERT(length > 0 && (size_t)length < out_bytes);
    for (char *c = out; *c; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

static enum km_code read_environment(struct km_options *options, struct km_err *err)
{
    for (size_t i = 0; i < options->row_count; i++) {
        const struct km_option *row = &options->cmd->options[i];
        char name[128];
        variable_name(options->cmd->name, row->name, name, sizeof name);
        const char *text = row->only_flag ? NULL : getenv(name);
        if (text && set_value(options, i, text, name, err) != KM_OK)
            return km_err_wrap(err, "environment %s", name);
    }
    return KM_OK;
}

static void print_row(const struct km_option *row, FILE *out)
{
    char left[80];
    int length = row->letter ? snprintf(left, sizeof left, "  -%c, --%s", row->letter, row->name)
                             : snprintf(left, sizeof left, "      --%s", row->name);
    if (row->type != KM_OPTION_FLAG && length > 0 && (size_t)length < sizeof left)
        snprintf(left + length, sizeof left - (size_t)length, " %s",
                 row->type == KM_OPTION_CHOICE ? row->choices : row->argument);
    else if (row->fallback && strcmp(row->fallback, "true") == 0 && length > 0 && (size_t)length < sizeof left)
        snprintf(left + length, sizeof left - (size_t)length, ", --no-%s", row->name);
    fprintf(out, strlen(left) < 31 ? "%-31s %s" : "%s\n                                %s", left, row->help);
    if (row->fallback && row->type != KM_OPTION_FLAG)
        fprintf(out, " (default: %s)", row->fallback);
    fputc('\n', out);
}

static void print_help(const struct km_cmd *cmd)
{
    printf("usage: komainu %s [OPTIONS]%s%s\n\n%s\n\noptions:\n", cmd->name, cmd->operands ? " " : "",
           cmd->operands ? cmd->operands : "", cmd->summary);
    for (const struct km_option *row = cmd->options; row && row->name; row++)
        print_row(row, stdout);
    printf("  -c, --config FILE             read this configuration file instead of the usual ones\n");
    printf("  -h, --help                    print this help\n\nmanual: man komainu-%s\n", cmd->name);
}

struct getopt_tables {
    struct option longs[2 * MAX_OPTIONS + 3];
    char negated[MAX_OPTIONS][64];
    char shorts[2 * MAX_OPTIONS + 8];
};

static void fill_getopt(const struct km_cmd *cmd, struct getopt_tables *tables)
{
    size_t n = 0, s = 0;
    tables->shorts[s++] = ':';
    for (int i = 0; cmd->options && cmd->options[i].name; i++) {
        const struct km_option *row = &cmd->options[i];
        int takes = row->type == KM_OPTION_FLAG ? no_argument : required_argument;
        tables->longs[n++] = (struct option){row->name, takes, NULL, ROW_CODE + i};
        if (row->type == KM_OPTION_FLAG) {
            snprintf(tables->negated[i], sizeof tables->negated[i], "no-%s", row->name);
            tables->longs[n++] = (struct option){tables->negated[i], no_argument, NULL, NO_PREFIX_CODE + i};
        }
        if (row->letter) {
            tables->shorts[s++] = row->letter;
            if (takes == required_argument)
                tables->shorts[s++] = ':';
        }
    }
    tables->longs[n++] = (struct option){"config", required_argument, NULL, 'c'};
    tables->longs[n++] = (struct option){"help", no_argument, NULL, 'h'};
    memcpy(tables->shorts + s, "c:h", 4);
}

static int row_of_letter(const struct km_cmd *cmd, int letter)
{
    for (int i = 0; cmd->options && cmd->options[i].name; i++)
        if (cmd->options[i].letter == letter)
            return i;
    return -1;
}

/* One pass of getopt. The first looks for -c and --help and complains; the second sets values over the other places. */
static enum km_code read_flags(struct km_options *options, int argc, char **argv, const char **out_config,
                               struct km_err *err)
{
    struct getopt_tables tables = {0};
    fill_getopt(options->cmd, &tables);
    optind = 0;
    opterr = 0;
    for (int c; (c = getopt_long(argc, argv, tables.shorts, tables.longs, NULL)) != -1;) {
        if (c == ':')
            return km_fail(err, KM_FORMAT, "%s wants an argument", argv[optind - 1]);
        if (c == 'h') {
            print_help(options->cmd);
            return km_fail(err, KM_CANCELLED, "help printed");
        }
        int row = c >= ROW_CODE         ? c - ROW_CODE
                  : c >= NO_PREFIX_CODE ? c - NO_PREFIX_CODE
                                        : row_of_letter(options->cmd, c);
        if (c == 'c' && row < 0) {
            *out_config = optarg;
            continue;
        }
        if (c == '?' || row < 0)
            return km_fail(err, KM_FORMAT, "unknown option '%s'; 'komainu %s --help' lists them", argv[optind - 1],
                           options->cmd->name);
        const char *text = optarg ? optarg : c >= NO_PREFIX_CODE && c < ROW_CODE ? "false" : "true";
        enum km_code code = set_value(options, (size_t)row, text, COMMAND_LINE, err);
        if (code != KM_OK)
            return code;
    }
    return KM_OK;
}

enum km_code km_options_read(const struct km_cmd *cmd, int argc, char **argv, struct km_options **out_options,
                             int *out_first_operand, struct km_err *err)
{
    struct km_options *options = calloc(1, sizeof *options);
    if (!options)
        return km_fail(err, KM_NOMEM, "out of memory (options)");
    options->cmd = cmd;
    options->row_count = count_rows(cmd);
    const char *config = NULL;
    enum km_code code = read_defaults(options, err);
    if (code == KM_OK)
        code = read_flags(options, argc, argv, &config, err); /* for -c, --help and a first complaint */
    for (size_t i = 0; code == KM_OK && i < options->row_count; i++)
        if (options->values[i] && strcmp(options->values[i]->origin, COMMAND_LINE) == 0)
            options->values[i]->origin[0] = '\0'; /* the second pass sets it again, once */
    if (code == KM_OK)
        code = config ? read_config(options, config, err) : read_default_configs(options, err);
    if (code == KM_OK)
        code = read_environment(options, err);
    if (code == KM_OK)
        code = read_flags(options, argc, argv, &config, err);
    if (code != KM_OK) {
        km_options_free(options);
        return code;
    }
    *out_first_operand = optind;
    *out_options = options;
    return KM_OK;
}

void km_options_free(struct km_options *options)
{
    if (!options)
        return;
    for (size_t i = 0; i < options->row_count && options->values[i]; i++) {
        forget(options->values[i]);
        free(options->values[i]);
    }
    free(options);
}

bool km_options_flag(const struct km_options *options, const char *name)
{
    const struct km_option *row;
    const struct value *value = value_of(options, name, &row);
    KM_ASSERT(row->type == KM_OPTION_FLAG && value->count == 1);
    return strcmp(value->texts[0], "true") == 0;
}

int64_t km_options_integer(const struct km_options *options, const char *name)
{
    const struct km_option *row;
    const struct value *value = value_of(options, name, &row);
    KM_ASSERT(row->type == KM_OPTION_INTEGER && value->count == 1);
    return strtoll(value->texts[0], NULL, 10);
}

double km_options_real(const struct km_options *options, const char *name)
{
    const struct km_option *row;
    const struct value *value = value_of(options, name, &row);
    KM_ASSERT(row->type == KM_OPTION_REAL && value->count == 1);
    return strtod(value->texts[0], NULL);
}

const char *km_options_text(const struct km_options *options, const char *name)
{
    const struct km_option *row;
    const struct value *value = value_of(options, name, &row);
    KM_ASSERT(row->type == KM_OPTION_TEXT || row->type == KM_OPTION_CHOICE);
    return value->count ? value->texts[0] : NULL;
}

size_t km_options_texts(const struct km_options *options, const char *name, const char *const **out_texts)
{
    const struct km_option *row;
    const struct value *value = value_of(options, name, &row);
    KM_ASSERT(row->type == KM_OPTION_TEXTS);
    *out_texts = (const char *const *)value->texts;
    return value->count;
}

bool km_options_is_given(const struct km_options *options, const char *name)
{
    const struct km_option *row;
    return strcmp(value_of(options, name, &row)->origin, COMMAND_LINE) == 0;
}

bool km_options_is_set(const struct km_options *options, const char *name)
{
    const struct km_option *row;
    const char *origin = value_of(options, name, &row)->origin;
    return *origin != '\0' && strcmp(origin, "default") != 0;
}

/* A text as a quoted YAML scalar, which a JSON string is. */
static void print_quoted(const char *text, FILE *out)
{
    struct km_json *value KM_CLEANUP(km_json_cleanup) = km_json_new_string(text);
    struct km_buf line;
    struct km_err err = KM_ERR_INIT;
    km_buf_init(&line, MAX_CONFIG_FILE_BYTES);
    if (km_json_format(value, 0, &line, &err) == KM_OK)
        fputs(km_buf_text(&line), out);
    km_buf_done(&line);
}

void km_options_print(const struct km_options *options, FILE *out)
{
    fprintf(out, "%s:\n", options->cmd->name);
    for (size_t i = 0; i < options->row_count; i++) {
        const struct km_option *row = &options->cmd->options[i];
        const struct value *value = options->values[i];
        if (row->only_flag)
            continue;
        if (value->count == 0) {
            fprintf(out, "  # %s: unset\n", row->name);
            continue;
        }
        fprintf(out, "  %s: %s", row->name, row->type == KM_OPTION_TEXTS ? "[" : "");
        for (size_t k = 0; k < value->count; k++) {
            fputs(k ? ", " : "", out);
            if (row->type == KM_OPTION_TEXT || row->type == KM_OPTION_TEXTS)
                print_quoted(value->texts[k], out);
            else
                fputs(value->texts[k], out);
        }
        fprintf(out, "%s  # %s\n", row->type == KM_OPTION_TEXTS ? "]" : "", value->origin);
    }
}
