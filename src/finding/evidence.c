#include "finding/evidence.h"

#include <inttypes.h>
#include <string.h>

#include "base/text.h"

#define LONGEST_ARGUMENT_BYTES 1024

static const struct {
    const char *id;
    const char *sentence;
    const char *advice;
} sentences[] = {
    {KM_EVIDENCE_TEST_FILE, "it is {name}: harmless, and meant to be found",
     "Ask who put the test file there; if it was a test of the scanner, it worked. Remove it from the image."},
    {KM_EVIDENCE_HASH_LISTED, "its SHA-256 is on the list {list} as \"{name}\"",
     "Treat it as what the list says. Do not run the image; keep it for analysis, and rebuild it without this file."},
    {KM_EVIDENCE_UNOWNED, "no package of the image's {database} database owns it",
     "Compare with the image's build file: if a step copies or downloads it on purpose, note that; if none does, ask "
     "where it came from."},
    {KM_EVIDENCE_CHANGED, "it differs from what package {package} shipped (MD5 here {actual})",
     "Reinstall the package in the build and compare; a packaged program that was changed later needs an explanation."},
    {KM_EVIDENCE_EXECUTABLE, "it is executable ({format})", NULL},
    {KM_EVIDENCE_SETUID, "it runs with its owner's rights (mode {mode}, owner {uid})", NULL},
    {KM_EVIDENCE_SYSTEM_PLACE, "it lies in {place}, where packages put their programs", NULL},
    {KM_EVIDENCE_TEMPORARY_PLACE, "it lies in {place}, which is for temporary files", NULL},
    {KM_EVIDENCE_HIDDEN_NAME, "its name is hidden ({name})", NULL},
    {KM_EVIDENCE_DELETED, "a later layer deletes it ({layer}), but the image still carries it",
     "Anyone who has the image has this file; if it is a secret or unwanted, rebuild without the layer that added it."},
};

static size_t find_row(const char *id)
{
    size_t i = 0;
    while (i < sizeof sentences / sizeof sentences[0] && strcmp(sentences[i].id, id) != 0)
        i++;
    return i;
}

static enum km_code append_argument(const struct km_arg *arg, struct km_buf *out, struct km_err *err)
{
    char text[LONGEST_ARGUMENT_BYTES];
    switch (arg->type) {
    case KM_ARG_TEXT:
        km_text_escape(arg->text, strlen(arg->text), text, sizeof text);
        return km_buf_append_text(out, text, err);
    case KM_ARG_INTEGER:
        return km_buf_append_format(out, err, "%" PRId64, arg->integer);
    case KM_ARG_REAL:
        return km_buf_append_format(out, err, "%.4g", arg->real);
    }
    return km_fail(err, KM_FORMAT, "an argument of unknown type");
}

static enum km_code append_unknown(const struct km_evidence *evidence, struct km_buf *out, struct km_err *err)
{
    enum km_code code = km_buf_append_text(out, evidence->id, err);
    for (size_t i = 0; code == KM_OK && i < evidence->arg_count; i++) {
        code = km_buf_append_format(out, err, " %s=", evidence->args[i].name);
        if (code == KM_OK)
            code = append_argument(&evidence->args[i], out, err);
    }
    return code;
}

static const struct km_arg *find_argument(const struct km_evidence *evidence, const char *name, size_t length)
{
    for (size_t i = 0; i < evidence->arg_count; i++)
        if (strlen(evidence->args[i].name) == length && strncmp(evidence->args[i].name, name, length) == 0)
            return &evidence->args[i];
    return NULL;
}

enum km_code km_evidence_format(const struct km_evidence *evidence, struct km_buf *out, struct km_err *err)
{
    size_t row = find_row(evidence->id);
    if (row == sizeof sentences / sizeof sentences[0])
        return append_unknown(evidence, out, err);
    enum km_code code = KM_OK;
    for (const char *at = sentences[row].sentence; *at && code == KM_OK;) {
        size_t plain = strcspn(at, "{");
        code = km_buf_append(out, at, plain, err);
        at += plain;
        if (*at != '{' || code != KM_OK)
            continue;
        size_t length = strcspn(at + 1, "}");
        const struct km_arg *arg = find_argument(evidence, at + 1, length);
        code = arg ? append_argument(arg, out, err) : km_buf_append_text(out, "?", err);
        at += length + 2;
    }
    return code;
}

const char *km_evidence_advice(const char *id)
{
    size_t row = find_row(id);
    return row < sizeof sentences / sizeof sentences[0] ? sentences[row].advice : NULL;
}

static struct km_arg *add(struct km_evidence *evidence, const char *name, enum km_arg_type type)
{
    KM_ASSERT(evidence->arg_count < KM_EVIDENCE_MAX_ARGS);
    struct km_arg *arg = &evidence->args[evidence->arg_count++];
    *arg = (struct km_arg){.name = name, .type = type};
    return arg;
}

void km_evidence_add_text(struct km_evidence *evidence, const char *name, const char *text)
{
    add(evidence, name, KM_ARG_TEXT)->text = text ? text : "";
}

void km_evidence_add_integer(struct km_evidence *evidence, const char *name, int64_t integer)
{
    add(evidence, name, KM_ARG_INTEGER)->integer = integer;
}
