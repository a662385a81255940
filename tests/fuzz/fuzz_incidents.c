/* The snapshot of incidents: what is restored can be added to, shown and saved, and comes back the same. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "finding/incident.h"

#define MAX_BYTES ((size_t)16 << 20)

static void format(const struct km_incidents *incidents, struct km_buf *out)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *saved = km_incidents_save(incidents);
    km_buf_init(out, MAX_BYTES);
    if (!saved || km_json_format(saved, 0, out, &err) != KM_OK)
        abort();
    km_json_free(saved);
}

static struct km_incidents *new_incidents(void)
{
    const struct km_incident_config config = {.per_daemon = 2, .per_host = 3, .least_strength = 1};
    struct km_err err = KM_ERR_INIT;
    struct km_incidents *incidents = km_incidents_new(&config, &err);
    if (!incidents)
        abort();
    return incidents;
}

static void add_some(struct km_incidents *incidents)
{
    static const int64_t times[] = {0, INT64_MAX, INT64_MIN, 1790000000000000000, 1790000000000000000};
    struct km_err err = KM_ERR_INIT;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        struct km_incident_report report = {"a", "b", i % 2 ? "c" : "\x1b[2J\n", times[i], (double)i, i % 3 == 0};
        struct km_incident_answer answer = {0};
        if (km_incidents_add(incidents, &report, &answer, &err) != KM_OK)
            abort();
        KM_ASSERT(answer.incident && answer.incident->count > 0 && (!answer.show || answer.incident->shown));
    }
    size_t count = 0;
    const struct km_incident **digest = km_incidents_digest(incidents, 0, &count, &err);
    if (!digest)
        abort();
    for (size_t i = 0; i < count; i++)
        KM_ASSERT(!digest[i]->shown && (i == 0 || digest[i - 1]->strongest >= digest[i]->strongest));
    free((void *)digest);
}

/* Whether it was taken. */
static bool restore(struct km_incidents *incidents, const void *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_json *snapshot = km_json_parse(data, size, MAX_BYTES, &err);
    if (!snapshot)
        return false;
    enum km_code code = km_incidents_restore(incidents, snapshot, &err);
    KM_ASSERT(code == KM_OK || (err.text[0] != '\0' && km_incidents_count(incidents) == 0));
    km_json_free(snapshot);
    return code == KM_OK;
}

static void expect_printable(const struct km_incidents *incidents)
{
    for (size_t i = 0; i < km_incidents_count(incidents); i++) {
        const struct km_incident *one = km_incidents_get(incidents, i);
        for (const char *text = one->key; *text; text++)
            KM_ASSERT((unsigned char)*text >= ' ');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_incidents *incidents = new_incidents(), *again = new_incidents();
    if (restore(incidents, data, size)) {
        struct km_buf first, second;
        expect_printable(incidents);
        add_some(incidents);
        format(incidents, &first);
        if (!restore(again, km_buf_text(&first), first.length))
            abort();
        format(again, &second);
        KM_ASSERT(first.length == second.length && memcmp(first.data, second.data, first.length) == 0);
        km_buf_done(&first);
        km_buf_done(&second);
    }
    km_incidents_free(incidents);
    km_incidents_free(again);
    return 0;
}
