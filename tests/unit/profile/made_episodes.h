/* Episodes of an imagined server: read, work, write, in a few variations; and one that it never does. */
#ifndef KM_TESTS_MADE_EPISODES_H
#define KM_TESTS_MADE_EPISODES_H

#include <string.h>

#include "daemon/profile/profile.h"

#define MADE_MAX 128

struct made {
    uint16_t packed[MADE_MAX];
    uint8_t attrs[MADE_MAX];
    struct km_episode episode;
};

static inline void made_finish(struct made *m, size_t count)
{
    memset(m->attrs, 0, sizeof m->attrs);
    m->episode = (struct km_episode){.complete = true,
                                     .feed = KM_FEED_LEARN,
                                     .tid = 1,
                                     .tgid = 1,
                                     .packed = m->packed,
                                     .attrs = m->attrs,
                                     .count = count};
    for (size_t i = 0; i < count; i++)
        (void)km_thread_push(&m->episode.totals, km_call_space_of(m->packed[i]), km_call_number(m->packed[i]));
}

static inline void made_normal(struct made *m, unsigned seed)
{
    size_t n = 0;
    m->packed[n++] = km_call_pack(0, 232);
    m->packed[n++] = km_call_pack(0, 0);
    for (unsigned i = 0; i < 10 + seed % 7; i++)
        m->packed[n++] = km_call_pack(0, i % 3 == 0 ? 257 : i % 3 == 1 ? 5 : 3);
    if (seed % 5 == 0)
        m->packed[n++] = km_call_pack(0, 9);
    m->packed[n++] = km_call_pack(0, 1);
    m->packed[n++] = km_call_pack(0, 1);
    made_finish(m, n);
}

static inline void made_strange(struct made *m)
{
    static const uint16_t numbers[] = {232, 0,  41, 42, 33,  33, 33, 59, 41,  42,
                                       33,  59, 57, 61, 101, 59, 90, 87, 105, 59};
    for (size_t i = 0; i < 40; i++)
        m->packed[i] = km_call_pack(0, numbers[i % 20]);
    made_finish(m, 40);
}

#endif
