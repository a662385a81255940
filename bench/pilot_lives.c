#include "pilot_lives.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "daemon/trace/trace_file.h"
#include "daemon_data.h"

#define LEAST_NS     (UINT64_C(60) * 1000000000) /* a shorter run, of a configuration check, belongs to what follows */
#define AFTER_NS     (UINT64_C(10) * 1000000000) /* as in bench_daemon_own: so long after it a misuse may be told */
#define MAX_TIDS     ((size_t)1 << 22)
#define KEY_BYTES    512
#define ENDING       ".trace.xz"
#define ENDING_BYTES (sizeof ENDING - 1)

static const char *const daemons[PILOT_DAEMONS] = {"nginx", "postgresql", "redis"};

const char *pilot_daemon_name(unsigned daemon)
{
    return daemons[daemon];
}

/* Roles of all recordings: unit and kind of thread. */
struct roles {
    char keys[KM_WINDOW_MAX_ROLES][KEY_BYTES];
    size_t count;
};

/* A role as its recording introduced it last. */
struct introduced {
    struct km_event event;
    char *texts[4];
};

struct cutter {
    struct pilot_lives *lives;
    struct roles *roles;
    const char *to;
    struct introduced introduced[KM_WINDOW_MAX_ROLES]; /* by index in the recording */
    uint16_t index[KM_WINDOW_MAX_ROLES];               /* among all */
    uint8_t *alive;
    unsigned alive_count;
    struct pilot_life *life; /* being written */
    struct km_trace_writer *writer;
    int fd;
    uint64_t first_ns, last_ns;
};

static uint16_t find_index(struct roles *roles, const struct km_event_role *role)
{
    char key[KEY_BYTES];
    (void)snprintf(key, sizeof key, "%.*s %.*s", (int)role->unit.length, role->unit.data, (int)role->name.length,
                   role->name.data);
    size_t i = 0;
    while (i < roles->count && strcmp(roles->keys[i], key) != 0)
        i++;
    if (i + 1 == KM_WINDOW_MAX_ROLES)
        bench_die("too many roles");
    if (i == roles->count)
        memcpy(roles->keys[roles->count++], key, sizeof key);
    return (uint16_t)(i + 1);
}

static void keep_role(struct cutter *cutter, const struct km_event *event)
{
    struct introduced *role = &cutter->introduced[event->role];
    role->event = *event;
    struct km_event_role *info = &role->event.role_info;
    struct km_bytes *const texts[] = {&info->unit, &info->name, &info->exe, &info->package};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        free(role->texts[i]);
        role->texts[i] = strndup(texts[i]->length ? texts[i]->data : "", texts[i]->length);
        if (!role->texts[i])
            bench_die("out of memory");
        texts[i]->data = role->texts[i];
    }
    cutter->index[event->role] = find_index(cutter->roles, info);
}

static void put(struct cutter *cutter, const struct km_event *event)
{
    struct km_err err = KM_ERR_INIT;
    struct km_event out = *event;
    out.role = event->role < KM_WINDOW_MAX_ROLES ? cutter->index[event->role] : 0;
    if (km_trace_writer_event(cutter->writer, &out, &err) != KM_OK)
        bench_die("%s", err.text);
}

static void begin_life(struct cutter *cutter, const char *name, unsigned daemon, uint64_t now_ns)
{
    struct km_err err = KM_ERR_INIT;
    struct pilot_lives *lives = cutter->lives;
    if (lives->count == PILOT_MAX_LIVES)
        bench_die("too many lives");
    cutter->life = &lives->items[lives->count];
    *cutter->life = (struct pilot_life){.daemon = daemon, .begin_ns = now_ns, .offset_ns = now_ns - cutter->first_ns};
    (void)snprintf(cutter->life->name, sizeof cutter->life->name, "%s", name);
    (void)snprintf(cutter->life->path, sizeof cutter->life->path, "%s/%zu.trace", cutter->to, lives->count++);
    cutter->fd = open(cutter->life->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    cutter->writer = cutter->fd < 0 ? NULL : km_trace_writer_new(cutter->fd, 0, 0, &err);
    if (!cutter->writer)
        bench_die("cannot write %s", cutter->life->path);
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES; i++) {
        struct km_event event = cutter->introduced[i].event;
        event.time_ns = now_ns;
        if (event.kind == KM_EVENT_ROLE)
            put(cutter, &event);
    }
}

static void end_life(struct cutter *cutter)
{
    struct km_err err = KM_ERR_INIT;
    if (!cutter->life)
        return;
    cutter->life->length_ns = cutter->last_ns - cutter->life->begin_ns;
    if (km_trace_writer_flush(cutter->writer, &err) != KM_OK || close(cutter->fd) != 0)
        bench_die("cannot write %s", cutter->life->path);
    km_trace_writer_free(cutter->writer);
    cutter->life = NULL;
}

/* Whether anything runs after this event. */
static bool runs(struct cutter *cutter, const struct km_event *event)
{
    if (event->tid >= MAX_TIDS)
        bench_die("a thread number of %u", event->tid);
    bool is_new = event->kind == KM_EVENT_THREAD && !cutter->alive[event->tid];
    bool ended = event->kind == KM_EVENT_END && cutter->alive[event->tid];
    cutter->alive[event->tid] = (uint8_t)(is_new || (cutter->alive[event->tid] && !ended));
    cutter->alive_count += (unsigned)is_new;
    cutter->alive_count -= (unsigned)ended;
    return cutter->alive_count > 0 || !ended;
}

/* least_ns: a life is at least so long; UINT64_MAX: all of the recording is one. */
static void cut_events(struct cutter *cutter, FILE *in, const char *name, unsigned daemon, uint64_t least_ns)
{
    struct km_err err = KM_ERR_INIT;
    struct km_trace_reader *reader = km_trace_reader_new(fileno(in), &err);
    struct km_event event;
    enum km_code code = reader ? KM_OK : err.code;
    while (code == KM_OK && (code = km_trace_reader_next(reader, &event, &err)) == KM_OK) {
        if (cutter->first_ns == 0)
            cutter->first_ns = event.time_ns;
        if (!cutter->life)
            begin_life(cutter, name, daemon, event.time_ns);
        cutter->last_ns = event.time_ns > cutter->last_ns ? event.time_ns : cutter->last_ns;
        if (event.kind == KM_EVENT_ROLE && event.role < KM_WINDOW_MAX_ROLES)
            keep_role(cutter, &event);
        put(cutter, &event);
        if (!runs(cutter, &event) && event.time_ns - cutter->life->begin_ns >= least_ns)
            end_life(cutter);
    }
    if (code != KM_NOTFOUND)
        bench_die("%s: %s", name, err.text);
    km_trace_reader_free(reader);
    end_life(cutter);
}

static void cut_recording(struct pilot_lives *lives, struct roles *roles, const char *from, const char *to,
                          const char *name, unsigned daemon)
{
    char command[2 * PILOT_PATH_BYTES];
    struct cutter cutter = {.lives = lives, .roles = roles, .to = to, .alive = calloc(MAX_TIDS, 1)};
    if (!cutter.alive)
        bench_die("out of memory");
    (void)snprintf(command, sizeof command, "xz -dc '%s/%s" ENDING "'", from, name);
    FILE *in = popen(command, "re"); /* NOLINT(cert-env33-c): a bench on the developer's own data */
    if (!in)
        bench_die("cannot run xz");
    cut_events(&cutter, in, name, daemon, strchr(name, '.') ? UINT64_MAX : LEAST_NS);
    if (pclose(in) != 0)
        bench_die("%s: xz failed", name);
    for (size_t i = 0; i < KM_WINDOW_MAX_ROLES; i++)
        for (size_t t = 0; t < sizeof cutter.introduced[i].texts / sizeof cutter.introduced[i].texts[0]; t++)
            free(cutter.introduced[i].texts[t]);
    free(cutter.alive);
}

static void read_labels(struct pilot_life *life, const char *from)
{
    char path[2 * PILOT_PATH_BYTES], line[256];
    (void)snprintf(path, sizeof path, "%s/%s.labels", from, life->name);
    FILE *in = fopen(path, "re");
    if (!in)
        bench_die("cannot read %s", path);
    while (fgets(line, sizeof line, in)) {
        char *end;
        uint64_t time_ns = strtoull(line, &end, 10);
        if (strcmp(end, "\tmisuse\n") == 0)
            life->misuse_ns = time_ns - life->begin_ns;
        else if (strcmp(end, "\tmisuse over\n") == 0)
            life->over_ns = time_ns - life->begin_ns + AFTER_NS;
    }
    (void)fclose(in);
    if (life->misuse_ns == 0 || life->over_ns < life->misuse_ns)
        bench_die("%s says nothing of a misuse", path);
}

static int is_recording(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > ENDING_BYTES && strcmp(entry->d_name + length - ENDING_BYTES, ENDING) == 0;
}

void pilot_lives_cut(struct pilot_lives *lives, const char *from, const char *to)
{
    struct roles *roles = calloc(1, sizeof *roles);
    struct dirent **entries;
    int count = scandir(from, &entries, is_recording, alphasort);
    if (!roles || count < 0)
        bench_die("cannot read %s", from);
    lives->count = 0;
    for (int i = 0; i < count; i++) {
        char name[PILOT_NAME_BYTES];
        (void)snprintf(name, sizeof name, "%.*s", (int)(strlen(entries[i]->d_name) - ENDING_BYTES), entries[i]->d_name);
        free(entries[i]);
        size_t base = strcspn(name, ".");
        unsigned daemon = 0;
        while (daemon < PILOT_DAEMONS && (strlen(daemons[daemon]) != base || strncmp(daemons[daemon], name, base) != 0))
            daemon++;
        if (daemon == PILOT_DAEMONS)
            bench_die("%s is of no daemon of the pilot", name);
        size_t first = lives->count;
        cut_recording(lives, roles, from, to, name, daemon);
        if (name[base] == '.')
            read_labels(&lives->items[first], from);
    }
    free(entries);
    free(roles);
}
