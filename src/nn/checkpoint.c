#include "nn/checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "nn/weightsfile.h"
#include "nn/wholefile.h"

#define VERSION "2"
#define PARTS   4

static const char *const prefixes[PARTS] = {"", "first.", "second.", "mean."};

/* A trainer's memory as plain tensors. */
struct memory {
    int count; /* of the parts: the mean is not always kept */
    struct km_weights *parts[PARTS];
};

static void memory_done(struct memory *memory)
{
    for (int i = 0; i < PARTS; i++)
        km_weights_free(memory->parts[i]);
}

static enum km_code memory_make(struct memory *memory, const struct km_trainer *trainer, struct km_err *err)
{
    for (int i = 0; i < PARTS && km_trainer_has(trainer, (enum km_trainer_part)i); i++) {
        memory->count = i + 1;
        memory->parts[i] = km_weights_new(km_trainer_graph(trainer), err);
        if (!memory->parts[i])
            return err->code;
        for (size_t t = 0; t < km_weights_count(memory->parts[i]); t++) { /* the file's names */
            struct km_tensor *tensor = km_weights_at(memory->parts[i], t);
            char name[KM_WEIGHTS_NAME_BYTES];
            int length = snprintf(name, sizeof name, "%s%s", prefixes[i], tensor->name);
            if (length < 0 || (size_t)length >= sizeof name)
                return km_fail(err, KM_LIMIT, "checkpoint: the name '%s' is too long", tensor->name);
            memcpy(tensor->name, name, sizeof name);
        }
    }
    return KM_OK;
}

/* All that decides the course of training, as one line; hexadecimal floats are exact. */
static void settings_text(const struct km_trainer_options *o, char *out, size_t bytes)
{
    (void)snprintf(
        out, bytes,
        "batch=%u shards=%u seed=%llu loss=%d:%a optimiser=%d:%a:%a:%a:%a:%a schedule=%a:%a:%llu:%llu norm=%a "
        "average=%a rows=%a:%llu",
        o->batch, o->shards, (unsigned long long)o->seed, (int)o->loss.kind, (double)o->loss.smoothing,
        (int)o->optimiser.kind, (double)o->optimiser.momentum, (double)o->optimiser.beta1, (double)o->optimiser.beta2,
        (double)o->optimiser.epsilon, (double)o->optimiser.weight_decay, o->schedule.peak, o->schedule.floor,
        (unsigned long long)o->schedule.warmup, (unsigned long long)o->schedule.total, (double)o->norm_momentum,
        (double)o->average, (double)o->rows.share, (unsigned long long)o->rows.steps);
}

static enum km_code write_memory(const struct memory *memory, const struct km_trainer *trainer, int fd,
                                 struct km_err *err)
{
    size_t each = km_weights_count(memory->parts[0]), all = each * (size_t)memory->count;
    KM_CLEANUP(km_cleanup_free)
    struct km_safetensors_item *items = km_calloc(all, sizeof *items, SIZE_MAX, err);
    if (!items)
        return err->code;
    for (size_t i = 0; i < all; i++) {
        const struct km_tensor *tensor = km_weights_get(memory->parts[i / each], i % each);
        items[i] = (struct km_safetensors_item){
            .name = tensor->name, .rank = tensor->rank, .dims = tensor->dims, .values = tensor->values};
    }
    char settings[512], steps[24];
    settings_text(km_trainer_options(trainer), settings, sizeof settings);
    (void)snprintf(steps, sizeof steps, "%llu", (unsigned long long)km_trainer_steps(trainer));
    KM_CLEANUP(km_json_cleanup) struct km_json *metadata = km_json_new_object();
    km_json_set_string(metadata, "komainu_checkpoint", VERSION);
    km_json_set_string(metadata, "settings", settings);
    km_json_set_string(metadata, "steps", steps);
    return km_safetensors_write(fd, items, all, metadata, err);
}

enum km_code km_checkpoint_save(struct km_trainer *trainer, int folder, const char *name, struct km_err *err)
{
    KM_CLEANUP(memory_done) struct memory memory = {0};
    enum km_code code = memory_make(&memory, trainer, err);
    for (int i = 0; code == KM_OK && i < memory.count; i++)
        code = km_trainer_get(trainer, (enum km_trainer_part)i, memory.parts[i], err);
    if (code != KM_OK)
        return code;
    KM_CLEANUP(km_replacement_abort) struct km_replacement file;
    code = km_replacement_begin(&file, folder, name, err);
    if (code == KM_OK)
        code = write_memory(&memory, trainer, file.fd, err);
    return code == KM_OK ? km_replacement_commit(&file, err) : code;
}

static enum km_code read_settings(const struct km_safetensors *file, const struct km_trainer *trainer,
                                  uint64_t *out_steps, struct km_err *err)
{
    const char *version = km_safetensors_metadata(file, "komainu_checkpoint");
    const char *settings = km_safetensors_metadata(file, "settings"), *steps = km_safetensors_metadata(file, "steps");
    if (!version || strcmp(version, VERSION) != 0 || !settings || !steps)
        return km_fail(err, KM_FORMAT, "not a checkpoint of this version");
    char *end;
    errno = 0;
    *out_steps = strtoull(steps, &end, 10);
    if (steps[0] < '0' || steps[0] > '9' || *end != '\0' || errno != 0)
        return km_fail(err, KM_FORMAT, "checkpoint: '%.32s' is no number of steps", steps);
    char own[512];
    settings_text(km_trainer_options(trainer), own, sizeof own);
    if (strcmp(own, settings) != 0)
        return km_fail(err, KM_CONFLICT, "checkpoint: made with other settings (%.200s)", settings);
    return KM_OK;
}

enum km_code km_checkpoint_load(struct km_trainer *trainer, int fd, struct km_err *err)
{
    KM_CLEANUP(km_cleanup_free) uint8_t *bytes = NULL;
    size_t length = 0;
    enum km_code code = km_wholefile_read(fd, KM_CHECKPOINT_MAX_BYTES, &bytes, &length, err);
    if (code != KM_OK)
        return km_err_wrap(err, "checkpoint");
    KM_CLEANUP(km_safetensors_cleanup) struct km_safetensors *file = km_safetensors_parse(bytes, length, err);
    if (!file)
        return km_err_wrap(err, "checkpoint");
    uint64_t steps = 0;
    KM_CLEANUP(memory_done) struct memory memory = {0};
    code = read_settings(file, trainer, &steps, err);
    if (code == KM_OK)
        code = memory_make(&memory, trainer, err);
    for (int i = 0; code == KM_OK && i < memory.count; i++) {
        struct km_weights_report report; /* each part does not know the others */
        code = km_weights_load(memory.parts[i], file, &report, err);
    }
    for (int i = 0; code == KM_OK && i < memory.count; i++)
        code = km_trainer_set(trainer, (enum km_trainer_part)i, memory.parts[i], err);
    if (code == KM_OK)
        km_trainer_set_steps(trainer, steps);
    return code;
}
