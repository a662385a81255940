/*
 * Memory of ten guarded daemons with real profiles: our recordings of three daemons, guarded under ten names.
 *
 * usage: bench_daemon_memory FOLDER     (bench/data/daemons)
 *
 * Each is learned for forty minutes into a store; then another process loads the profiles and is fed, through all ten
 * daemons, ten minutes of full streams, which is more than a filter tells. Its resident memory is read before it ends.
 * The probe (its ring, 8 MiB, and the kernel's maps) is not part of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/guard/guard.h"
#include "daemon/trace/trace_file.h"
#include "daemon_data.h"

#define DAEMONS    10
#define LEARN_NS   (UINT64_C(40) * 60 * 1000000000)
#define GUARD_NS   (UINT64_C(10) * 60 * 1000000000)
#define ROLE_STEP  24
#define TID_STEP   10000000U
#define PATH_BYTES 4096
#define NAME_BYTES 64

static const char *const recordings[] = {"nginx", "postgresql", "redis"};
#define RECORDINGS (sizeof recordings / sizeof recordings[0])

struct feeding {
    struct km_guard *guard;
    unsigned index; /* of the daemon */
    char name[NAME_BYTES];
    uint64_t begin_ns, until_ns; /* of the recording */
};

/* The event as the index-th daemon's. False: it is not to be fed. */
static bool rename_event(struct feeding *feeding, struct km_event *event)
{
    if (feeding->begin_ns == 0)
        feeding->begin_ns = event->time_ns;
    if (event->time_ns - feeding->begin_ns > feeding->until_ns || event->role >= ROLE_STEP)
        return false;
    event->role = (uint16_t)(event->role + ROLE_STEP * feeding->index);
    event->tid += event->tid ? TID_STEP * feeding->index : 0;
    event->tgid += event->tgid ? TID_STEP * feeding->index : 0;
    if (event->kind == KM_EVENT_ROLE)
        event->role_info.unit = (struct km_bytes){feeding->name, strlen(feeding->name)};
    if (event->kind == KM_EVENT_THREAD)
        event->thread.parent_tid += event->thread.parent_tid ? TID_STEP * feeding->index : 0;
    return true;
}

static void feed(const char *folder, struct feeding *feeding)
{
    char command[PATH_BYTES];
    struct km_err err = KM_ERR_INIT;
    struct km_event event;
    (void)snprintf(feeding->name, sizeof feeding->name, "%s-%u.service", recordings[feeding->index % RECORDINGS],
                   feeding->index);
    (void)snprintf(command, sizeof command, "xz -dc '%s/%s.trace.xz'", folder, recordings[feeding->index % RECORDINGS]);
    FILE *in = popen(command, "re"); /* NOLINT(cert-env33-c): a bench on the developer's own data */
    struct km_trace_reader *reader = in ? km_trace_reader_new(fileno(in), &err) : NULL;
    if (!reader)
        bench_die("%s: %s", feeding->name, err.text);
    enum km_code code;
    while ((code = km_trace_reader_next(reader, &event, &err)) == KM_OK)
        if (rename_event(feeding, &event) && km_guard_event(feeding->guard, &event, &err) != KM_OK)
            bench_die("%s: %s", feeding->name, err.text);
    if (code != KM_NOTFOUND)
        bench_die("%s: %s", feeding->name, err.text);
    km_trace_reader_free(reader);
    (void)pclose(in);
}

static double resident_mib(const char *what)
{
    char line[256];
    double kib = 0;
    FILE *file = fopen("/proc/self/status", "re");
    while (file && fgets(line, sizeof line, file))
        if (strncmp(line, what, strlen(what)) == 0)
            kib = strtod(line + strlen(what) + 1, NULL);
    if (file)
        (void)fclose(file);
    return kib / 1024;
}

static struct km_guard *open_guard(struct km_store *store, uint64_t learn_ns)
{
    struct km_err err = KM_ERR_INIT;
    const struct km_guard_config config = {.store = store, .learn_ns = learn_ns};
    struct km_guard *guard = km_guard_new(&config, &err);
    if (!guard)
        bench_die("%s", err.text);
    return guard;
}

static struct km_store *open_store(const char *path)
{
    struct km_err err = KM_ERR_INIT;
    struct km_store *store = km_store_open(path, &err);
    if (!store)
        bench_die("%s", err.text);
    return store;
}

static void learn_all(const char *folder, const char *path)
{
    struct km_store *store = open_store(path);
    for (unsigned i = 0; i < DAEMONS; i++) {
        struct feeding feeding = {.guard = open_guard(store, LEARN_NS), .index = i, .until_ns = LEARN_NS + 1000000000};
        feed(folder, &feeding);
        km_guard_free(feeding.guard);
    }
    km_store_close(store);
}

static enum km_code count_profile(void *context, const struct km_store_entry *entry, struct km_err *err)
{
    size_t *count = context;
    (void)err;
    *count += entry->version > 0;
    return KM_OK;
}

static void guard_all(const char *folder, const char *path)
{
    struct km_err err = KM_ERR_INIT;
    size_t profiles = 0;
    struct km_store *store = open_store(path);
    if (km_store_list(store, &profiles, count_profile, &err) != KM_OK)
        bench_die("%s", err.text);
    double before = resident_mib("VmRSS:");
    struct feeding feeding = {.guard = open_guard(store, 0), .until_ns = GUARD_NS};
    for (; feeding.index < DAEMONS; feeding.index++) {
        feeding.begin_ns = 0;
        feed(folder, &feeding);
    }
    double after = resident_mib("VmRSS:");
    printf("memory.daemons.resident %.3g MiB - - %d\n", after, DAEMONS);
    printf("memory.daemons.peak %.3g MiB - - %d\n", resident_mib("VmHWM:"), DAEMONS);
    printf("memory.daemon %.3g MiB - - %d\n", (after - before) / DAEMONS, DAEMONS);
    printf("memory.profiles %zu profiles - - %d\n", profiles, DAEMONS);
    km_guard_free(feeding.guard);
    km_store_close(store);
}

/* In a process of its own: what it used before must not count. */
static void apart(void (*work)(const char *folder, const char *path), const char *folder, const char *path)
{
    int status = 0;
    (void)fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        work(folder, path);
        (void)fflush(stdout);
        _exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        bench_die("the measuring process failed");
}

int main(int argc, char **argv)
{
    char path[] = "/tmp/komainu-memory-XXXXXX", command[PATH_BYTES];
    if (argc != 2)
        bench_die("usage: bench_daemon_memory FOLDER");
    if (!mkdtemp(path))
        bench_die("cannot make a folder below /tmp");
    apart(learn_all, argv[1], path);
    apart(guard_all, argv[1], path);
    (void)snprintf(command, sizeof command, "rm -rf '%s'", path);
    return system(command) == 0 ? 0 : 1; /* NOLINT(cert-env33-c): the folder made above */
}
