#include "container/imaging/colour.h"

#include <math.h>
#include <string.h>

#define WINDOW 32

static const char *const map_names[] = {
    [KM_COLOUR_CLASS] = "class",
    [KM_COLOUR_MAGNITUDE] = "magnitude",
    [KM_COLOUR_STRUCTURE] = "structure",
    [KM_COLOUR_ENTROPY] = "entropy",
};

const char *km_colour_map_to_string(enum km_colour_map map)
{
    return map_names[map];
}

enum km_code km_colour_parse_maps(const char *text, enum km_colour_map *out_maps, size_t *out_count, struct km_err *err)
{
    enum km_colour_map maps[KM_COLOUR_MAX_MAPS];
    size_t count = 0;
    const char *name = text;
    for (;;) {
        size_t length = strcspn(name, ",");
        size_t map = 0;
        while (map < sizeof map_names / sizeof map_names[0] &&
               (strlen(map_names[map]) != length || memcmp(map_names[map], name, length) != 0))
            map++;
        if (map == sizeof map_names / sizeof map_names[0])
            return km_fail(err, KM_FORMAT, "no colour map '%.*s' (there are class, magnitude, structure, entropy)",
                           (int)(length < 40 ? length : 40), name);
        if (count == KM_COLOUR_MAX_MAPS)
            return km_fail(err, KM_FORMAT, "more than %d colour maps", KM_COLOUR_MAX_MAPS);
        maps[count++] = (enum km_colour_map)map;
        if (name[length] == '\0')
            break;
        name += length + 1;
    }
    memcpy(out_maps, maps, count * sizeof maps[0]);
    *out_count = count;
    return KM_OK;
}

uint8_t km_colour_class(uint8_t byte)
{
    if (byte == 0)
        return KM_COLOUR_CLASS_ZERO;
    if (byte == 0xff)
        return KM_COLOUR_CLASS_FF;
    bool printable = (byte >= 0x09 && byte <= 0x0d) || (byte >= 0x20 && byte <= 0x7e);
    return printable ? KM_COLOUR_CLASS_PRINTABLE : KM_COLOUR_CLASS_OTHER;
}

void km_colour_fill_class(uint8_t table[256])
{
    for (unsigned byte = 0; byte < 256; byte++)
        table[byte] = km_colour_class((uint8_t)byte);
}

void km_colour_fill_class_palette(uint8_t table[256][3])
{
    static const uint8_t printable[3] = {55, 126, 184};
    static const uint8_t other[3] = {228, 26, 28};
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t class = km_colour_class((uint8_t)byte);
        if (class == KM_COLOUR_CLASS_PRINTABLE)
            memcpy(table[byte], printable, 3);
        else if (class == KM_COLOUR_CLASS_OTHER)
            memcpy(table[byte], other, 3);
        else
            memset(table[byte], class, 3);
    }
}

/* The reference sums 256 terms as two halves of 128, each in 8 lanes that take every eighth term in ascending order. */
static void sum_lane(struct km_entropy *entropy, uint8_t symbol)
{
    unsigned half = symbol / 128U, lane = symbol % 8U;
    double sum = 0;
    for (unsigned k = 0; k < 16; k++)
        sum += entropy->terms[entropy->counts[half * 128U + lane + 8 * k]];
    entropy->lanes[half][lane] = sum;
}

static uint8_t byte_at(const struct km_entropy *entropy, size_t position, size_t ahead)
{
    /* position + ahead - WINDOW / 2, which may lie in front of the sequence */
    size_t shifted = position + ahead;
    if (shifted < WINDOW / 2 || shifted - WINDOW / 2 >= entropy->length)
        return 0;
    return entropy->sequence[shifted - WINDOW / 2];
}

void km_entropy_init(struct km_entropy *entropy, const uint8_t *sequence, size_t length)
{
    *entropy = (struct km_entropy){.sequence = sequence, .length = length};
    for (int count = 1; count <= WINDOW; count++) {
        double share = (double)count / WINDOW;
        entropy->terms[count] = -share * log(share);
    }
    entropy->whole = log((double)(length < WINDOW ? length : WINDOW));
    for (size_t ahead = 0; ahead < WINDOW; ahead++)
        entropy->counts[byte_at(entropy, 0, ahead)]++;
    for (unsigned half = 0; half < 2; half++)
        for (unsigned lane = 0; lane < 8; lane++)
            sum_lane(entropy, (uint8_t)(half * 128 + lane));
}

double km_entropy_next(struct km_entropy *entropy)
{
    double halves[2];
    for (unsigned half = 0; half < 2; half++) {
        const double *lane = entropy->lanes[half];
        halves[half] = ((lane[0] + lane[1]) + (lane[2] + lane[3])) + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
    }
    uint8_t leaving = byte_at(entropy, entropy->position, 0);
    uint8_t coming = byte_at(entropy, entropy->position, WINDOW);
    entropy->position++;
    if (leaving != coming) {
        entropy->counts[leaving]--;
        entropy->counts[coming]++;
        sum_lane(entropy, leaving);
        sum_lane(entropy, coming);
    }
    return entropy->whole > 0 ? (halves[0] + halves[1]) / entropy->whole : 0;
}
