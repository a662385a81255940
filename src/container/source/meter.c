#include "container/source/meter.h"

#include <stdlib.h>

#define REPORT_EVERY ((uint64_t)4 << 20)

struct metered {
    struct km_stream base;
    struct km_meter *meter;
    struct km_stream *source;
    bool own;
};

enum km_code km_meter_add(struct km_meter *meter, uint64_t bytes, struct km_err *err)
{
    meter->bytes += bytes;
    if (meter->bytes >= meter->next_report) {
        meter->next_report = meter->bytes + REPORT_EVERY;
        if (meter->sink && meter->sink->progress)
            meter->sink->progress(meter->sink->context, meter->bytes, meter->total);
    }
    return km_cancel_check(meter->cancel, err);
}

static enum km_code pull_metered(struct km_stream *base, const uint8_t **out_bytes, size_t *out_length,
                                 struct km_err *err)
{
    struct metered *metered = (struct metered *)base;
    enum km_code code = km_stream_next(metered->source, UINT64_MAX, out_bytes, out_length, err);
    base->lasting = metered->source->lasting;
    return code == KM_OK ? km_meter_add(metered->meter, *out_length, err) : code;
}

static void close_metered(struct km_stream *base)
{
    struct metered *metered = (struct metered *)base;
    if (metered->own)
        km_stream_close(metered->source);
    free(metered);
}

struct km_stream *km_meter_stream_new(struct km_meter *meter, struct km_stream *source, bool own, struct km_err *err)
{
    struct metered *metered = calloc(1, sizeof *metered);
    if (!metered) {
        km_fail(err, KM_NOMEM, "out of memory (%zu bytes)", sizeof *metered);
        return NULL;
    }
    metered->base.pull = pull_metered;
    metered->base.close = close_metered;
    metered->meter = meter;
    metered->source = source;
    metered->own = own;
    return &metered->base;
}
