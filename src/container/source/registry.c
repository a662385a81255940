#include "container/source/registry.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>

#include "base/spawn.h"
#include "container/source/imageref.h"
#include "container/source/stream.h"

/* skopeo writes 3 KiB of archive even when it finds no image: up to here its exit status is asked for at once, so that
 * such a failure is one of opening. */
#define HEAD_BYTES         16384
#define MAX_ARGUMENTS      20
#define MAX_PLATFORM_BYTES 64

struct transfer {
    struct km_spawn *child;
    char folder[256]; /* private, for temporary files; "" before it is made */
    char head[HEAD_BYTES];
    size_t head_start, head_end;
    bool over;
};

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk)
{
    (void)status;
    (void)kind;
    (void)walk;
    (void)remove(path); /* what stays is the system's to clean: no failure here may replace a result */
    return 0;
}

static void free_transfer(struct transfer *transfer)
{
    if (!transfer)
        return;
    km_spawn_close(transfer->child);
    if (transfer->folder[0])
        (void)nftw(transfer->folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(transfer);
}
KM_DEFINE_CLEANUP(struct transfer, transfer_cleanup, free_transfer);

/* ---- skopeo's words ---- */

/* time="…" level=fatal msg="what happened" is how it speaks; the message is what a person wants. */
static void extract_message(const char *line, char *out, size_t out_bytes)
{
    const char *message = strstr(line, " msg=\"");
    (void)snprintf(out, out_bytes, "%s", message ? message + strlen(" msg=\"") : line);
    size_t length = strlen(out);
    if (message && length > 0 && out[length - 1] == '"')
        out[length - 1] = '\0';
}

static enum km_code code_of_message(const char *message)
{
    static const struct {
        const char *words;
        enum km_code code;
    } rows[] = {{"manifest unknown", KM_NOTFOUND},           {"name unknown", KM_NOTFOUND},
                {"no image found in manifest", KM_NOTFOUND}, {"unauthorized", KM_DENIED},
                {"authentication required", KM_DENIED},      {"access to the resource is denied", KM_DENIED}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strstr(message, rows[i].words))
            return rows[i].code;
    return KM_IO;
}

/* Asks for skopeo's exit status, once its output is over. */
static enum km_code finish(struct transfer *transfer, struct km_err *err)
{
    enum km_code code = km_spawn_finish(transfer->child, err);
    if (code != KM_IO)
        return code;
    const char *text = km_spawn_error_text(transfer->child);
    const char *newline = strrchr(text, '\n');
    char message[KM_ERR_TEXT_BYTES];
    extract_message(newline ? newline + 1 : text, message, sizeof message);
    return *message ? km_fail(err, code_of_message(message), "skopeo: %s", message) : KM_IO;
}

/* ---- The stream ---- */

static enum km_code read_transfer(void *context, void *buffer, size_t size, size_t *out_length, struct km_err *err)
{
    struct transfer *transfer = context;
    size_t left = transfer->head_end - transfer->head_start;
    if (left > 0) {
        size_t length = left < size ? left : size;
        memcpy(buffer, transfer->head + transfer->head_start, length);
        transfer->head_start += length;
        *out_length = length;
        return KM_OK;
    }
    size_t length = 0;
    enum km_code code = transfer->over ? KM_OK : km_spawn_read(transfer->child, buffer, size, &length, err);
    if (code == KM_OK && length == 0)
        code = finish(transfer, err);
    if (code == KM_OK)
        *out_length = length;
    return code;
}

static void close_transfer(void *context)
{
    free_transfer(context);
}

static enum km_code read_head(struct transfer *transfer, struct km_err *err)
{
    while (!transfer->over && transfer->head_end < HEAD_BYTES) {
        size_t length = 0;
        enum km_code code = km_spawn_read(transfer->child, transfer->head + transfer->head_end,
                                          HEAD_BYTES - transfer->head_end, &length, err);
        if (code != KM_OK)
            return code;
        transfer->head_end += length;
        transfer->over = length == 0;
    }
    return transfer->over ? finish(transfer, err) : KM_OK;
}

/* ---- Starting ---- */

static enum km_code make_folder(struct transfer *transfer, struct km_err *err)
{
    const char *base = getenv("TMPDIR"); /* layers are large: /var/tmp is not in memory, /tmp often is */
    char path[sizeof transfer->folder];
    if (snprintf(path, sizeof path, "%s/komainu-XXXXXX", base && *base ? base : "/var/tmp") >= (int)sizeof path)
        return km_fail(err, KM_LIMIT, "TMPDIR is too long");
    if (!mkdtemp(path))
        return km_fail_errno(err, errno, "cannot make a folder in %s", base && *base ? base : "/var/tmp");
    memcpy(transfer->folder, path, sizeof path);
    return KM_OK;
}

/* Splits "OS/ARCHITECTURE[/VARIANT]" in place; *out_variant may be NULL. */
static bool split_platform(char *platform, const char **out_architecture, const char **out_variant)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789_";
    char *rest = NULL;
    if (!strtok_r(platform, "/", &rest))
        return false;
    *out_architecture = strtok_r(NULL, "/", &rest);
    *out_variant = strtok_r(NULL, "/", &rest);
    const char *const parts[] = {platform, *out_architecture, *out_variant ? *out_variant : "any"};
    for (size_t i = 0; i < 3; i++)
        if (!parts[i] || !*parts[i] || parts[i][strspn(parts[i], allowed)])
            return false;
    return !strtok_r(NULL, "/", &rest);
}

struct command {
    const char *words[MAX_ARGUMENTS + 1];
    size_t count;
};

static void add_word(struct command *command, const char *word)
{
    KM_ASSERT(command->count < MAX_ARGUMENTS);
    command->words[command->count++] = word;
}

static void add_option(struct command *command, const char *name, const char *value)
{
    if (!value)
        return;
    add_word(command, name);
    add_word(command, value);
}

static enum km_code start(struct transfer *transfer, const struct km_registry_request *request, struct km_err *err)
{
    char platform[MAX_PLATFORM_BYTES] = "";
    const char *architecture = NULL, *variant = NULL;
    if (request->platform && (snprintf(platform, sizeof platform, "%s", request->platform) >= (int)sizeof platform ||
                              !split_platform(platform, &architecture, &variant)))
        return km_fail(err, KM_FORMAT, "'%.100s' is no platform: OS/ARCHITECTURE[/VARIANT]", request->platform);
    char reference[KM_IMAGEREF_MAX_BYTES], source[KM_IMAGEREF_MAX_BYTES + 16], temporary[sizeof transfer->folder + 16];
    enum km_code code = km_imageref_normalise(request->reference, reference, err);
    if (code == KM_OK)
        code = make_folder(transfer, err);
    if (code != KM_OK)
        return code;
    (void)snprintf(source, sizeof source, "docker://%s", reference);
    (void)snprintf(temporary, sizeof temporary, "TMPDIR=%s", transfer->folder);
    struct command command = {0};
    add_word(&command, request->program ? request->program : "skopeo");
    add_option(&command, "--override-os", request->platform ? platform : NULL);
    add_option(&command, "--override-arch", architecture);
    add_option(&command, "--override-variant", variant);
    add_word(&command, "copy");
    add_word(&command, "--quiet");
    add_option(&command, "--src-authfile", request->auth_file);
    if (request->no_tls)
        add_word(&command, "--src-tls-verify=false");
    add_word(&command, source);
    add_word(&command, "docker-archive:/dev/stdout");
    const struct km_spawn_options options = {
        .argv = command.words,
        .environment = (const char *const[]){temporary, NULL},
        .time_limit_ms = request->time_limit_ms,
        .cancel = request->cancel,
    };
    transfer->child = km_spawn_start(&options, err);
    return transfer->child ? KM_OK : err->code;
}

enum km_code km_registry_open(const struct km_registry_request *request, struct km_stream **out_stream,
                              struct km_err *err)
{
    struct transfer *transfer KM_CLEANUP(transfer_cleanup) = km_calloc(1, sizeof *transfer, SIZE_MAX, err);
    if (!transfer)
        return err->code;
    enum km_code code = start(transfer, request, err);
    if (code == KM_OK)
        code = read_head(transfer, err);
    if (code != KM_OK)
        return code;
    const struct km_stream_callback callback = {.context = transfer, .read = read_transfer, .done = close_transfer};
    struct km_stream *stream = km_stream_new_callback(&callback, err);
    if (!stream)
        return err->code;
    (void)km_steal(transfer);
    *out_stream = stream;
    return KM_OK;
}
