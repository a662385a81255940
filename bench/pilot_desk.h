/*
 * The person of the pilot, and what is true: looks at the desk each evening, at so many incidents, first at the list,
 * then at the digest, and is wrong about some. Benign is mostly benign-learn, sometimes benign-once, and of a daemon
 * sometimes a suppression for two weeks besides; an attack is decided and closed, for it is cleared away. In the
 * control the same person only closes what was looked at.
 */
#ifndef KM_BENCH_PILOT_DESK_H
#define KM_BENCH_PILOT_DESK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "desk/store/store.h"
#include "stats/random.h"

#define PILOT_TOOL_PATH    "usr/local/sbin/" /* where the tools are in images, and nothing else */
#define PILOT_MAX_STAGED   512
#define PILOT_MAX_INCIDENT 16384

enum pilot_kind { PILOT_DAEMON = 0, PILOT_IMAGE = 1, PILOT_KINDS = 2 };

/* A misuse. */
struct pilot_staged {
    enum pilot_kind kind;
    char subject[128];         /* the unit, or the image's name */
    int64_t from_ns, until_ns; /* findings about it are of this time */
    const char *what;          /* for -v */
};

struct pilot_desk {
    struct km_desk *desk;
    struct km_random random;
    bool decides, verbose;
    double wrong;
    unsigned reviews; /* a day */
    struct pilot_staged staged[PILOT_MAX_STAGED];
    size_t staged_count;
    bool seen[PILOT_MAX_INCIDENT];
};

/* Makes the store at `path`, with a salt that comes from the seed. Ends the program on failure, as all of these. */
void pilot_desk_open(struct pilot_desk *desk, const char *path, uint64_t seed);
void pilot_desk_close(struct pilot_desk *desk);

void pilot_desk_stage(struct pilot_desk *desk, const struct pilot_staged *staged);

struct pilot_evening {
    unsigned false_alerts[PILOT_KINDS];                  /* shown for the first time */
    unsigned returned;                                   /* of these, back from a suppression that ended */
    unsigned questions;                                  /* of the uncertain band and the sample, the same */
    unsigned staged[PILOT_KINDS], detected[PILOT_KINDS]; /* since day_ns; detected: shown */
    unsigned reviewed, mistakes;
};

/* Triage at the clock's time, then the person. day_ns: when the day began. */
void pilot_desk_evening(struct pilot_desk *desk, int64_t day_ns, struct pilot_evening *out);

/* Whether everything that was ever found in this image was looked at and nothing of it is an attack since day_ns. */
bool pilot_desk_is_settled(struct pilot_desk *desk, const char *image, int64_t day_ns);

/* The first column of the first row, 0 without one. text is ?1, the numbers ?2 and so on. */
int64_t pilot_desk_ask(struct pilot_desk *desk, const char *static_sql, const char *text, size_t count,
                       const int64_t *numbers);

#endif
