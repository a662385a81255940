#include "cli/guard_memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/newfile.h"

#define PATH_BYTES 4096
#define LINE_BYTES 1024

struct km_guard_memory {
    void *say_context;
    void (*say)(void *context, const char *line);
    bool trouble;
    uint64_t written; /* hash of the snapshot */
    char path[PATH_BYTES];
};

struct km_guard_memory *km_guard_memory_open(const char *folder, void *say_context,
                                             void (*say)(void *context, const char *line), struct km_err *err)
{
    struct km_guard_memory *memory KM_CLEANUP(km_guard_memory_cleanup) = km_calloc(1, sizeof *memory, SIZE_MAX, err);
    if (!memory)
        return NULL;
    memory->say_context = say_context;
    memory->say = say;
    int n = snprintf(memory->path, sizeof memory->path, "%s/%s", folder, KM_GUARD_MEMORY_NAME);
    if (n < 0 || (size_t)n >= sizeof memory->path) {
        km_fail(err, KM_LIMIT, "the path of the profile store is too long");
        return NULL;
    }
    return km_steal(memory);
}

void km_guard_memory_close(struct km_guard_memory *memory)
{
    free(memory);
}

static void tell(const struct km_guard_memory *memory, const char *what, const struct km_err *cause)
{
    char line[LINE_BYTES];
    (void)snprintf(line, sizeof line, "%s%s%s", what, cause ? ": " : "", cause ? cause->text : "");
    memory->say(memory->say_context, line);
}

static uint64_t hash_of(const struct km_buf *text)
{
    uint64_t hash = 0xcbf29ce484222325ULL;
    const char *bytes = km_buf_text(text);
    for (size_t i = 0; i < text->length; i++)
        hash = (hash ^ (uint8_t)bytes[i]) * 0x100000001b3ULL;
    return hash;
}

void km_guard_memory_load(struct km_guard_memory *memory, struct km_incidents *incidents)
{
    struct km_err err = KM_ERR_INIT;
    struct km_buf text;
    km_buf_init(&text, KM_GUARD_MEMORY_MAX_BYTES);
    enum km_code code = km_buf_append_file(&text, memory->path, &err);
    struct km_json *snapshot KM_CLEANUP(km_json_cleanup) =
        code == KM_OK ? km_json_parse(km_buf_text(&text), text.length, KM_GUARD_MEMORY_MAX_BYTES, &err) : NULL;
    if (code == KM_OK)
        code = snapshot ? km_incidents_restore(incidents, snapshot, &err) : err.code;
    if (code != KM_OK && code != KM_NOTFOUND)
        tell(memory, "the incidents of before cannot be used, and the budget begins anew", &err);
    km_buf_done(&text);
}

static enum km_code write_whole(const struct km_guard_memory *memory, const struct km_buf *text, struct km_err *err)
{
    struct km_newfile *file KM_CLEANUP(km_newfile_cleanup) = km_newfile_open(memory->path, err);
    enum km_code code = file ? km_newfile_write(file, text->data, text->length, err) : err->code;
    return code == KM_OK ? km_newfile_commit(file, err) : code;
}

void km_guard_memory_save(struct km_guard_memory *memory, const struct km_incidents *incidents)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *snapshot KM_CLEANUP(km_json_cleanup) = km_incidents_save(incidents);
    struct km_buf text;
    km_buf_init(&text, KM_GUARD_MEMORY_MAX_BYTES);
    enum km_code code = km_json_format(snapshot, 0, &text, &err);
    uint64_t hash = code == KM_OK ? hash_of(&text) : 0;
    if (code == KM_OK && hash != memory->written)
        code = write_whole(memory, &text, &err);
    km_buf_done(&text);
    if (code == KM_OK)
        memory->written = hash;
    if ((code != KM_OK) == memory->trouble)
        return;
    memory->trouble = code != KM_OK;
    tell(memory, memory->trouble ? "incidents cannot be kept for a restart" : "incidents are kept again",
         memory->trouble ? &err : NULL);
}
