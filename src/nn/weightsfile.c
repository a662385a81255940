#include "nn/weightsfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void shape_text(uint32_t rank, const uint64_t *dims, char *out, size_t bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (uint32_t i = 0; i < rank && used < bytes; i++) {
        int length = snprintf(out + used, bytes - used, "%s%llu", i ? "x" : "", (unsigned long long)dims[i]);
        used += length > 0 ? (size_t)length : 0;
    }
}

static enum km_code check_tensor(const struct km_tensor *tensor, const struct km_safetensor *found, struct km_err *err)
{
    if (!found)
        return km_fail(err, KM_NOTFOUND, "weights: tensor '%s' is missing", tensor->name);
    if (found->rank == tensor->rank && memcmp(found->dims, tensor->dims, tensor->rank * sizeof *tensor->dims) == 0)
        return KM_OK;
    char have[128], want[128];
    shape_text(found->rank, found->dims, have, sizeof have);
    shape_text(tensor->rank, tensor->dims, want, sizeof want);
    return km_fail(err, KM_CONFLICT, "weights: tensor '%s' is [%s], the network wants [%s]", tensor->name, have, want);
}

static enum km_code read_tensor(const struct km_tensor *tensor, const struct km_safetensor *found, float *out,
                                struct km_err *err)
{
    enum km_code code = km_safetensors_read(found, out, err);
    if (code != KM_OK)
        return km_err_wrap(err, "weights");
    for (size_t i = 0; tensor->role == KM_ROLE_VARIANCE && i < tensor->floats; i++)
        if (out[i] < 0)
            return km_fail(err, KM_FORMAT, "weights: tensor '%s': a variance below 0", tensor->name);
    return KM_OK;
}

static bool is_step_counter(const char *name)
{
    static const char ending[] = ".num_batches_tracked";
    size_t length = strlen(name), wanted = sizeof ending - 1;
    return length >= wanted && strcmp(name + length - wanted, ending) == 0;
}

static bool has(const struct km_weights *weights, const char *name)
{
    for (size_t i = 0; i < km_weights_count(weights); i++)
        if (strcmp(km_weights_get(weights, i)->name, name) == 0)
            return true;
    return false;
}

static void report_unknown(const struct km_weights *weights, const struct km_safetensors *file,
                           struct km_weights_report *report)
{
    for (size_t i = 0; i < km_safetensors_count(file); i++) {
        const char *name = km_safetensors_get(file, i)->name;
        if (has(weights, name) || is_step_counter(name))
            continue;
        if (report->unknown++ == 0)
            (void)snprintf(report->first_unknown, sizeof report->first_unknown, "%s", name);
    }
}

enum km_code km_weights_load(struct km_weights *weights, const struct km_safetensors *file,
                             struct km_weights_report *out_report, struct km_err *err)
{
    size_t count = km_weights_count(weights), floats = km_weights_floats(weights);
    for (size_t i = 0; i < count; i++) {
        const struct km_tensor *tensor = km_weights_get(weights, i);
        if (check_tensor(tensor, km_safetensors_find(file, tensor->name), err) != KM_OK)
            return err->code;
    }
    /* all shapes fit: no more than the network's own size is taken */
    KM_CLEANUP(km_cleanup_free) float *values = km_calloc(floats, sizeof *values, KM_WEIGHTS_MAX_BYTES, err);
    if (!values)
        return err->code;
    float *next = values;
    for (size_t i = 0; i < count; i++) {
        const struct km_tensor *tensor = km_weights_get(weights, i);
        if (read_tensor(tensor, km_safetensors_find(file, tensor->name), next, err) != KM_OK)
            return err->code;
        next += tensor->floats;
    }
    next = values;
    for (size_t i = 0; i < count; i++) {
        struct km_tensor *tensor = km_weights_at(weights, i);
        memcpy(tensor->values, next, tensor->floats * sizeof *next);
        next += tensor->floats;
    }
    struct km_weights_report report = {0};
    report_unknown(weights, file, &report);
    *out_report = report;
    return KM_OK;
}

enum km_code km_weights_save(const struct km_weights *weights, int fd, struct km_err *err)
{
    size_t count = km_weights_count(weights);
    KM_CLEANUP(km_cleanup_free)
    struct km_safetensors_item *items = km_calloc(count, sizeof *items, SIZE_MAX, err);
    if (!items)
        return err->code;
    for (size_t i = 0; i < count; i++) {
        const struct km_tensor *tensor = km_weights_get(weights, i);
        items[i] = (struct km_safetensors_item){
            .name = tensor->name, .rank = tensor->rank, .dims = tensor->dims, .values = tensor->values};
    }
    return km_safetensors_write(fd, items, count, NULL, err);
}
