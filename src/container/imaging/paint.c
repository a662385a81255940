#include "container/imaging/paint.h"

#include <stdlib.h>
#include <string.h>

#define MASKED 255

/* A painted range that has begun and reaches forward. */
struct layer {
    uint64_t end;
    uint8_t value;
};

/* A range of the latest member, which may not have begun yet. */
struct claim {
    uint64_t begin;
    uint64_t end;
    uint8_t value;
};

struct km_paint {
    struct km_tarwalk *walk;
    struct km_pathset *mask;
    uint64_t members;
    struct claim claims[2];
    unsigned first_claim, claim_count;
    bool over;
    struct layer *layers; /* ends descend towards the top, which is the latest: others cannot be seen any more */
    size_t layer_count;
    size_t layer_capacity;
};

struct km_paint *km_paint_new(const struct km_tarwalk_input *input, struct km_pathset *mask, struct km_err *err)
{
    KM_CLEANUP(km_paint_cleanup) struct km_paint *paint = km_calloc(1, sizeof *paint, sizeof *paint, err);
    if (!paint)
        return NULL;
    paint->mask = mask;
    paint->walk = km_tarwalk_new(input, err);
    return paint->walk ? km_steal(paint) : NULL;
}

void km_paint_free(struct km_paint *paint)
{
    if (!paint)
        return;
    km_tarwalk_free(paint->walk);
    free(paint->layers);
    free(paint);
}

static uint8_t header_value(char type)
{
    static const uint8_t values[] = {155, 140, 125, 105, 90, 75, 60, 45};
    return type >= '0' && type <= '7' ? values[type - '0'] : 0;
}

static uint8_t data_value(uint64_t number)
{
    static const uint8_t values[] = {255, 230, 205, 180};
    return values[number % 4];
}

static uint64_t end_of(uint64_t begin, uint64_t size)
{
    uint64_t end;
    return __builtin_add_overflow(begin, size, &end) ? UINT64_MAX : end;
}

static enum km_code fetch_member(struct km_paint *paint, struct km_err *err)
{
    struct km_tarwalk_member member;
    bool found;
    enum km_code code = km_tarwalk_next(paint->walk, &member, &found, err);
    if (code != KM_OK)
        return code;
    paint->first_claim = 0;
    paint->claim_count = 0;
    if (!found) {
        paint->over = true;
        return KM_OK;
    }
    paint->members++;
    uint64_t data_end = end_of(member.data_begin, member.size);
    if (!paint->mask) {
        paint->claims[0] = (struct claim){member.header_begin, member.data_begin, header_value(member.type)};
        paint->claims[1] = (struct claim){member.data_begin, data_end, data_value(member.number)};
        paint->claim_count = member.size > 0 ? 2 : 1;
    } else if (!member.name_cut && km_pathset_match(paint->mask, member.name, member.name_length)) {
        paint->claims[0] = (struct claim){member.header_begin, data_end, MASKED};
        paint->claim_count = 1;
    }
    return KM_OK;
}

static enum km_code push_layer(struct km_paint *paint, const struct claim *claim, struct km_err *err)
{
    while (paint->layer_count > 0 && paint->layers[paint->layer_count - 1].end <= claim->end)
        paint->layer_count--;
    void *layers = paint->layers;
    enum km_code code = km_grow(&layers, &paint->layer_capacity, paint->layer_count + 1, sizeof *paint->layers,
                                KM_PAINT_MAX_DEPTH, err);
    paint->layers = layers;
    if (code == KM_LIMIT)
        return km_fail(err, KM_LIMIT, "more than %u members claim data that encloses each other", KM_PAINT_MAX_DEPTH);
    if (code != KM_OK)
        return code;
    paint->layers[paint->layer_count++] = (struct layer){claim->end, claim->value};
    return KM_OK;
}

/* Takes in every claim that begins at or before `offset`; afterwards a claim lies ahead or the walk is over. */
static enum km_code advance(struct km_paint *paint, uint64_t offset, struct km_err *err)
{
    for (;;) {
        while (paint->first_claim == paint->claim_count && !paint->over) {
            enum km_code code = fetch_member(paint, err);
            if (code != KM_OK)
                return code;
        }
        if (paint->over || paint->claims[paint->first_claim].begin > offset)
            return KM_OK;
        const struct claim *claim = &paint->claims[paint->first_claim++];
        if (claim->end <= offset)
            continue;
        enum km_code code = push_layer(paint, claim, err);
        if (code != KM_OK)
            return code;
    }
}

enum km_code km_paint_next(struct km_paint *paint, uint64_t offset, struct km_paint_run *out_run, struct km_err *err)
{
    enum km_code code = advance(paint, offset, err);
    if (code != KM_OK)
        return code;
    while (paint->layer_count > 0 && paint->layers[paint->layer_count - 1].end <= offset)
        paint->layer_count--;
    struct km_paint_run run = {0, UINT64_MAX};
    if (paint->layer_count > 0)
        run = (struct km_paint_run){paint->layers[paint->layer_count - 1].value,
                                    paint->layers[paint->layer_count - 1].end};
    if (!paint->over && paint->claims[paint->first_claim].begin < run.end)
        run.end = paint->claims[paint->first_claim].begin;
    *out_run = run;
    return KM_OK;
}

enum km_code km_paint_finish(struct km_paint *paint, struct km_err *err)
{
    enum km_code code = KM_OK;
    while (code == KM_OK && !paint->over)
        code = fetch_member(paint, err);
    return code;
}

uint64_t km_paint_get_members(const struct km_paint *paint)
{
    return paint->members;
}

enum km_tarwalk_stop km_paint_get_stop(const struct km_paint *paint, uint64_t *out_offset)
{
    return km_tarwalk_get_stop(paint->walk, out_offset);
}
