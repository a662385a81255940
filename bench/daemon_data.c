#include "daemon_data.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

void bench_die(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    fputs("bench: ", stderr);
    (void)vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

uint64_t draw_next(uint64_t *state)
{
    *state += 0x9e3779b97f4a7c15ULL;
    uint64_t v = *state;
    v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ULL;
    v = (v ^ v >> 27) * 0x94d049bb133111ebULL;
    return v ^ v >> 31;
}

/* name TAB label TAB numbers. Longer traces than an episode holds are cut into several of the same name. */
static void add_line(struct samples *samples, char *line)
{
    char *label = strchr(line, '\t');
    char *calls = label ? strchr(label + 1, '\t') : NULL;
    if (!calls)
        bench_die("a line without two tabs");
    *label++ = '\0';
    *calls++ = '\0';
    size_t count = 1;
    for (const char *c = calls; *c; c++)
        count += *c == ' ';
    uint16_t *packed = malloc(count * sizeof *packed);
    if (!packed)
        bench_die("out of memory");
    size_t n = 0;
    for (char *end; n < count; calls = end, n++) {
        long number = strtol(calls, &end, 10);
        if (end == calls)
            break;
        packed[n] = km_call_pack(KM_SPACE_FOREIGN, km_call_fold(KM_SPACE_FOREIGN, number));
    }
    for (size_t begin = 0; begin < n; begin += KM_EPISODE_MAX_CALLS) {
        size_t length = n - begin < KM_EPISODE_MAX_CALLS ? n - begin : KM_EPISODE_MAX_CALLS;
        struct km_err err = KM_ERR_INIT;
        if (km_grow((void **)&samples->items, &samples->capacity, samples->count + 1, sizeof(struct sample), 1 << 20,
                    &err) != KM_OK)
            bench_die("%s", err.text);
        struct sample *s = &samples->items[samples->count++];
        *s = (struct sample){.name = strdup(line), .attack = strcmp(label, "normal") != 0};
        s->episode =
            (struct km_episode){.complete = true, .feed = KM_FEED_IMPORT, .tid = 1, .tgid = 1, .count = length};
        s->episode.packed = malloc(length * sizeof *packed);
        s->episode.attrs = calloc(length, 1);
        if (!s->name || !s->episode.packed || !s->episode.attrs)
            bench_die("out of memory");
        memcpy(s->episode.packed, packed + begin, length * sizeof *packed);
        for (size_t i = 0; i < length; i++)
            (void)km_thread_push(&s->episode.totals, KM_SPACE_FOREIGN, km_call_number(packed[begin + i]));
    }
    free(packed);
}

void samples_load(struct samples *samples, const char *folder, const char *file)
{
    char command[4096];
    if (snprintf(command, sizeof command, "xz -dc '%s/syscalls/%s'", folder, file) >= (int)sizeof command)
        bench_die("the path is too long");
    FILE *in = popen(command, "re"); /* NOLINT(cert-env33-c): a bench on the developer's own data */
    if (!in)
        bench_die("cannot run xz");
    char *line = NULL;
    size_t room = 0;
    while (getline(&line, &room, in) > 0)
        add_line(samples, line);
    free(line);
    if (pclose(in) != 0)
        bench_die("cannot read %s", file);
}

void samples_free(struct samples *samples)
{
    for (size_t i = 0; i < samples->count; i++) {
        free(samples->items[i].name);
        free(samples->items[i].episode.packed);
        free(samples->items[i].episode.attrs);
    }
    free(samples->items);
    *samples = (struct samples){0};
}
