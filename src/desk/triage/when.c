#include "desk/triage/when.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"

#define DAY_S       INT64_C(86400)
#define MAX_SECONDS INT64_C(9000000000) /* the year 2255: nanoseconds fit into 64 bits */
#define MAX_AMOUNT  100000

/* "36h": an amount with a unit; 0 seconds when the text has another form. */
static int64_t parse_span(const char *text)
{
    static const struct {
        char unit;
        int64_t seconds;
    } units[] = {{'m', 60}, {'h', 3600}, {'d', DAY_S}, {'w', 7 * DAY_S}};
    int64_t amount = 0;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 6 || text[digits] == '\0' || text[digits + 1] != '\0')
        return 0;
    for (size_t i = 0; i < digits; i++)
        amount = amount * 10 + (text[i] - '0');
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (units[i].unit == text[digits] && amount > 0 && amount <= MAX_AMOUNT)
            return amount * units[i].seconds;
    return 0;
}

/* Exactly the digits and signs of the pattern, where 0 stands for a digit. */
static int has_form(const char *text, const char *pattern)
{
    for (; *pattern; text++, pattern++)
        if (*pattern == '0' ? *text < '0' || *text > '9' : *text != *pattern)
            return 0;
    return *text == '\0';
}

static int is_same_day(const struct tm *a, const struct tm *b)
{
    return a->tm_year == b->tm_year && a->tm_mon == b->tm_mon && a->tm_mday == b->tm_mday;
}

/* timegm takes 31 February as 3 March; a person meant something else. */
static enum km_code parse_moment(const char *text, enum km_when_side side, int64_t *out_seconds, struct km_err *err)
{
    struct tm given = {0};
    int day = has_form(text, "0000-00-00");
    const char *end = day                                      ? strptime(text, "%Y-%m-%d", &given)
                      : has_form(text, "0000-00-00T00:00:00Z") ? strptime(text, "%Y-%m-%dT%H:%M:%SZ", &given)
                                                               : NULL;
    struct tm checked = given;
    if (!end || *end != '\0')
        return km_fail(err, KM_FORMAT, "'%s' is no time: YYYY-MM-DD, YYYY-MM-DDThh:mm:ssZ, or 36h, 7d, 2w", text);
    int64_t seconds = (int64_t)timegm(&checked);
    if (!is_same_day(&given, &checked))
        return km_fail(err, KM_FORMAT, "'%s': there is no such day", text);
    *out_seconds = day && side == KM_WHEN_FUTURE ? seconds + DAY_S : seconds;
    return KM_OK;
}

enum km_code km_when_parse(const char *text, enum km_when_side side, int64_t now_ns, int64_t *out_ns,
                           struct km_err *err)
{
    int64_t seconds = parse_span(text);
    if (seconds > 0)
        seconds = now_ns / KM_NS_PER_S + (side == KM_WHEN_PAST ? -seconds : seconds);
    else if (parse_moment(text, side, &seconds, err) != KM_OK)
        return err->code;
    if (seconds < 0 || seconds > MAX_SECONDS)
        return km_fail(err, KM_LIMIT, "'%s' is too far away", text);
    *out_ns = seconds * KM_NS_PER_S;
    return KM_OK;
}
