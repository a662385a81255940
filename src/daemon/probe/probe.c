#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/mem.h"
#include "daemon/probe/call_table.h"
#include "daemon/probe/places.h"
#include "daemon/probe/probe_internal.h"

#define DEFAULT_RING_BYTES     ((size_t)8 << 20)
#define DEFAULT_EPISODE_CALLS  200
#define DEFAULT_ESCALATE       8    /* misses in the last 64 windows */
#define DEFAULT_ESCALATE_CALLS 2048 /* streamed then */
#define RATE_INTERVAL_NS       (1 * KM_NS_PER_S)

/* The last warning of libbpf while a probe is opened: the reason that a plain errno hides. One probe at a time is
 * opened by a thread, hence thread-local. */
static _Thread_local char last_warning[256];

__attribute__((format(printf, 2, 0))) static int keep_warning(enum libbpf_print_level level, const char *format,
                                                              va_list args)
{
    if (level == LIBBPF_WARN && !last_warning[0]) {
        (void)vsnprintf(last_warning, sizeof last_warning, format, args);
        last_warning[strcspn(last_warning, "\n")] = '\0';
    }
    return 0;
}

static struct bpf_program *const *always_programs(const struct probe_bpf *skeleton, size_t *out_count,
                                                  struct bpf_program **storage)
{
    size_t n = 0;
    storage[n++] = skeleton->progs.on_fork;
    storage[n++] = skeleton->progs.on_exec;
    storage[n++] = skeleton->progs.on_task_exit;
    storage[n++] = skeleton->progs.on_task_free;
    storage[n++] = skeleton->progs.on_rename;
    storage[n++] = skeleton->progs.on_cgroup_mkdir;
    storage[n++] = skeleton->progs.on_cgroup_rmdir;
    storage[n++] = skeleton->progs.on_cgroup_attach;
    storage[n++] = skeleton->progs.on_enter;
    *out_count = n;
    return storage;
}

static void set_default_rule(struct km_episode_rule *out)
{
    memset(out, 0, sizeof *out);
    km_call_table_waits(out->wait_set);
    out->max_calls = DEFAULT_EPISODE_CALLS;
    out->escalate_misses = DEFAULT_ESCALATE;
    out->escalate_calls = DEFAULT_ESCALATE_CALLS;
}

static enum km_code load_failed(int error, struct km_err *err)
{
    const char *why = last_warning[0] ? last_warning : "no reason given";
    if (error == EPERM)
        return km_fail(err, KM_DENIED, "the kernel refuses BPF: it takes root, or CAP_BPF with CAP_PERFMON (%s)", why);
    if (error == ENOMEM)
        return km_fail(err, KM_NOMEM, "no memory for the probe's maps");
    if (access("/sys/kernel/btf/vmlinux", R_OK) != 0)
        return km_fail(err, KM_UNSUPPORTED,
                       "the kernel has no BTF (/sys/kernel/btf/vmlinux): the probe needs CONFIG_DEBUG_INFO_BTF");
    return km_fail(err, KM_UNSUPPORTED, "the kernel does not take the probe's programs: %s (%s)", strerror(error), why);
}

static void set_places(struct km_probe *probe)
{
    struct km_place place;
    for (size_t i = 0; km_places_get(i, &place); i++) {
        __u32 flags = 0;
        int map = bpf_map__fd(probe->skeleton->maps.places);
        (void)bpf_map_lookup_elem(map, &place.hash, &flags); /* the same name twice: flags are or-ed */
        flags |= place.flags;
        (void)bpf_map_update_elem(map, &place.hash, &flags, BPF_ANY);
        probe->skeleton->bss->place_hint[place.hash >> 6 & (KM_PROBE_HINT_WORDS - 1)] |= 1ULL << (place.hash & 63);
    }
}

static enum km_code load(struct km_probe *probe, const struct km_probe_options *options, struct km_err *err)
{
    size_t ring_bytes = options->ring_bytes ? options->ring_bytes : DEFAULT_RING_BYTES;
    libbpf_print_fn_t before = libbpf_set_print(keep_warning);
    last_warning[0] = '\0';

    probe->skeleton = probe_bpf__open();
    if (!probe->skeleton) {
        int error = errno;
        libbpf_set_print(before);
        return load_failed(error, err);
    }
    km_call_table_fill((__u8(*)[KM_CALL_NUMBERS])probe->skeleton->rodata->call_class);
    probe->skeleton->rodata->read_arguments = !options->hide_arguments;
    probe->skeleton->rodata->wake_bytes = (__u32)(ring_bytes / 4);
    int error = -bpf_map__set_max_entries(probe->skeleton->maps.ring, (__u32)ring_bytes);
    if (error == 0)
        error = -probe_bpf__load(probe->skeleton);
    libbpf_set_print(before);
    if (error != 0)
        return load_failed(error, err);

    struct km_episode_rule rule;
    set_default_rule(&rule);
    for (size_t i = 0; i < KM_PROBE_MAX_ROLES; i++)
        probe->skeleton->bss->rules[i] = options->rule ? *options->rule : rule;
    set_places(probe);
    probe->ring = ring_buffer__new(bpf_map__fd(probe->skeleton->maps.ring), km_probe_read_record, probe, NULL);
    if (!probe->ring)
        return km_fail_errno(err, errno, "the probe's ring");
    return KM_OK;
}

/* What CLOCK_MONOTONIC is ahead here of the kernel's, in a time namespace: "monotonic  SECONDS  NANOSECONDS". */
static int64_t clock_offset_ns(void)
{
    long long seconds = 0;
    long long rest = 0;
    FILE *file = fopen("/proc/self/timens_offsets", "re");
    if (!file)
        return 0;
    char line[128];
    while (fgets(line, sizeof line, file)) {
        char *at = line;
        if (strncmp(line, "monotonic", 9) != 0)
            continue;
        seconds = strtoll(at + 9, &at, 10);
        rest = strtoll(at, NULL, 10);
    }
    (void)fclose(file);
    return seconds * KM_NS_PER_S + rest;
}

struct km_probe *km_probe_open(const struct km_probe_options *options, struct km_err *err)
{
    static const struct km_probe_options none;
    if (!options)
        options = &none;
    size_t ring_bytes = options->ring_bytes ? options->ring_bytes : DEFAULT_RING_BYTES;
    if ((ring_bytes & (ring_bytes - 1)) != 0 || ring_bytes < 4096 || ring_bytes > (size_t)1 << 30) {
        km_fail(err, KM_FORMAT, "the ring's size must be a power of two from 4096 to 2^30, not %zu", ring_bytes);
        return NULL;
    }
    struct km_probe *probe = km_calloc(1, sizeof *probe, SIZE_MAX, err);
    if (!probe)
        return NULL;
    (void)snprintf(probe->proc_root, sizeof probe->proc_root, "%s", options->proc_root ? options->proc_root : "/proc");
    km_probe_scope_find_root(options->cgroup_root, probe->cgroup_root, sizeof probe->cgroup_root);
    probe->tap_period_ms = options->tap_period_ms;
    probe->tap_window_ms = options->tap_window_ms;
    probe->tap_share = options->tap_share;
    probe->tap_episodes = options->tap_episodes;
    if (getrandom(&probe->tap_random, sizeof probe->tap_random, 0) < 0)
        probe->tap_random = (uint64_t)km_clock_monotonic_ns();
    probe->clock_offset_ns = clock_offset_ns();
    probe->cpus = libbpf_num_possible_cpus();
    if (probe->cpus < 1) {
        km_fail(err, KM_IO, "the number of CPUs cannot be read");
        km_probe_close(probe);
        return NULL;
    }
    probe->cpu_rows = km_calloc((size_t)probe->cpus, sizeof *probe->cpu_rows, SIZE_MAX, err);
    probe->told_lost = km_calloc((size_t)probe->cpus * KM_PROBE_MAX_ROLES, sizeof *probe->told_lost, SIZE_MAX, err);
    if (!probe->cpu_rows || !probe->told_lost || load(probe, options, err) != KM_OK) {
        km_probe_close(probe);
        return NULL;
    }
    return probe;
}

/* ---- attaching ---- */

static void detach_exit_all(struct km_probe *probe)
{
    bpf_link__destroy(probe->exit_all);
    probe->exit_all = NULL;
}

static void detach_exits(struct km_probe *probe)
{
    for (size_t i = 0; i < KM_PROBE_MAX_EXITS; i++) {
        bpf_link__destroy(probe->exits[i]);
        probe->exits[i] = NULL;
    }
    probe->exit_count = 0;
}

static void detach(struct km_probe *probe)
{
    detach_exit_all(probe);
    detach_exits(probe);
    /* Backwards: enter was attached last. */
    for (size_t i = sizeof probe->always / sizeof probe->always[0]; i-- > 0;) {
        bpf_link__destroy(probe->always[i]);
        probe->always[i] = NULL;
    }
    probe->attached = false;
}

/* The exits of single calls need tracefs. Without them every exit is looked at. */
static void attach_exits(struct km_probe *probe)
{
    char event[64];
    const char *name;

    if (access("/sys/kernel/tracing/events/syscalls", X_OK) != 0 &&
        access("/sys/kernel/debug/tracing/events/syscalls", X_OK) != 0)
        return;
    libbpf_print_fn_t before = libbpf_set_print(keep_warning);
    for (size_t i = 0; (name = km_call_table_outcome(i)) != NULL && probe->exit_count < KM_PROBE_MAX_EXITS; i++) {
        (void)snprintf(event, sizeof event, "sys_exit_%s", name);
        /* A kernel may lack a call: its landmarks then leave with the outcome unknown, at the thread's next one. */
        struct bpf_link *link = bpf_program__attach_tracepoint(probe->skeleton->progs.on_call_exit, "syscalls", event);
        if (link)
            probe->exits[probe->exit_count++] = link;
    }
    libbpf_set_print(before);
}

static bool is_learning(const struct km_probe *probe)
{
    for (size_t i = 1; i < KM_PROBE_MAX_DAEMONS; i++)
        if (probe->daemons[i].mode == KM_PROBE_LEARN)
            return true;
    return false;
}

/* Outcomes come from the exits of single calls (cheapest while filtering: 316 ns a call against 356), from every exit
 * while something learns (371 against 411 with both), and from both while a tap or an escalation lasts, which is too
 * short for attaching and detaching some forty tracepoints. */
static enum km_code update_exits(struct km_probe *probe, struct km_err *err)
{
    if (!probe->attached) {
        detach_exit_all(probe);
        return KM_OK;
    }
    bool learning = is_learning(probe);
    if (!learning && probe->exit_count == 0)
        attach_exits(probe);
    bool need =
        learning || probe->exit_count == 0 || probe->skeleton->bss->streams > 0 || probe->skeleton->bss->tap_share > 0;
    if (need && !probe->exit_all) {
        probe->exit_all = bpf_program__attach(probe->skeleton->progs.on_exit);
        if (!probe->exit_all)
            return km_fail_errno(err, errno, "attaching the probe to the exits of calls");
    }
    if (!need)
        detach_exit_all(probe);
    if (learning)
        detach_exits(probe);
    return KM_OK;
}

static enum km_code attach(struct km_probe *probe, struct km_err *err)
{
    struct bpf_program *storage[9];
    size_t count;
    struct bpf_program *const *programs = always_programs(probe->skeleton, &count, storage);
    libbpf_print_fn_t before = libbpf_set_print(keep_warning);

    last_warning[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        probe->always[i] = bpf_program__attach(programs[i]);
        if (!probe->always[i]) {
            int error = errno;
            libbpf_set_print(before);
            detach(probe);
            return km_fail_errno(err, error, "attaching the probe (%s)", bpf_program__name(programs[i]));
        }
    }
    libbpf_set_print(before);
    probe->attached = true;
    return KM_OK;
}

/* Runs the task iterator once: it enrols what is in the maps and drops threads whose daemon is off. */
static enum km_code enrol(struct km_probe *probe, struct km_err *err)
{
    struct bpf_link *link = bpf_program__attach_iter(probe->skeleton->progs.enrol, NULL);
    if (!link)
        return km_fail_errno(err, errno, "the iterator over running tasks");
    int fd = bpf_iter_create(bpf_link__fd(link));
    if (fd < 0) {
        int error = errno;
        bpf_link__destroy(link);
        return km_fail_errno(err, error, "the iterator over running tasks");
    }
    char drain[512];
    ssize_t got;
    do
        got = read(fd, drain, sizeof drain);
    while (got > 0 || (got < 0 && errno == EINTR) || (got < 0 && errno == EAGAIN));
    int error = errno;
    close(fd);
    bpf_link__destroy(link);
    if (got < 0)
        return km_fail_errno(err, error, "reading the running tasks");
    return KM_OK;
}

/* ---- guarding ---- */

static unsigned guarded_daemons(const struct km_probe *probe)
{
    unsigned count = 0;
    for (size_t i = 1; i < KM_PROBE_MAX_DAEMONS; i++)
        count += probe->daemons[i].mode != KM_PROBE_OFF;
    return count;
}

static unsigned find_daemon(const struct km_probe *probe, enum km_probe_scope scope, const char *target)
{
    unsigned unused = 0;
    for (unsigned i = KM_PROBE_MAX_DAEMONS - 1; i > 0; i--) {
        const struct km_probe_daemon *daemon = &probe->daemons[i];
        if (!daemon->used)
            unused = i;
        else if (daemon->scope == scope && strcmp(daemon->target, target) == 0)
            return i;
    }
    return unused;
}

static void write_mode(struct km_probe *probe, unsigned daemon, enum km_probe_mode mode)
{
    probe->daemons[daemon].mode = mode;
    __atomic_store_n(&probe->skeleton->bss->daemon_mode[daemon], (__u8)mode, __ATOMIC_RELEASE);
}

enum km_code km_probe_guard(struct km_probe *probe, enum km_probe_scope scope, const char *target,
                            enum km_probe_mode mode, unsigned *out_daemon, struct km_err *err)
{
    if (strlen(target) == 0 || strlen(target) >= KM_PROBE_NAME_BYTES)
        return km_fail(err, KM_LIMIT, "the name of a daemon has 1 to %d bytes", KM_PROBE_NAME_BYTES - 1);
    unsigned daemon = find_daemon(probe, scope, target);
    if (daemon == 0)
        return km_fail(err, KM_LIMIT, "%d daemons are guarded, and that is the most", KM_PROBE_MAX_DAEMONS - 1);

    struct km_probe_daemon *row = &probe->daemons[daemon];
    struct km_probe_daemon before = *row;
    row->scope = scope;
    (void)snprintf(row->target, sizeof row->target, "%s", target);
    enum km_code code = KM_OK;
    bool was_attached = probe->attached;
    if (!was_attached)
        code = attach(probe, err);
    if (code == KM_OK) {
        write_mode(probe, daemon, mode);
        code = km_probe_scope_fill(probe, daemon, err);
    }
    if (code == KM_OK)
        code = update_exits(probe, err);
    /* Twice: what was forked between the look into /proc and the first pass is found by the second. */
    for (int pass = 0; pass < 2 && code == KM_OK; pass++) {
        code = enrol(probe, err);
        if (code == KM_OK && pass == 0)
            code = km_probe_scope_fill(probe, daemon, err);
    }
    if (code != KM_OK) {
        km_probe_scope_clear(probe, daemon);
        write_mode(probe, daemon, before.mode);
        *row = before;
        if (!was_attached)
            detach(probe);
        return km_err_wrap(err, "guarding %s", target);
    }
    row->used = true;
    *out_daemon = daemon;
    return KM_OK;
}

static bool is_guarded(const struct km_probe *probe, unsigned daemon)
{
    return daemon > 0 && daemon < KM_PROBE_MAX_DAEMONS && probe->daemons[daemon].mode != KM_PROBE_OFF;
}

enum km_code km_probe_unguard(struct km_probe *probe, unsigned daemon, struct km_err *err)
{
    if (!is_guarded(probe, daemon))
        return km_fail(err, KM_NOTFOUND, "no daemon %u is guarded", daemon);
    km_probe_scope_clear(probe, daemon);
    write_mode(probe, daemon, KM_PROBE_OFF);
    enum km_code code = enrol(probe, err);
    if (guarded_daemons(probe) == 0)
        detach(probe);
    else if (code == KM_OK)
        code = update_exits(probe, err);
    return code;
}

enum km_code km_probe_set_mode(struct km_probe *probe, unsigned daemon, enum km_probe_mode mode, struct km_err *err)
{
    if (!is_guarded(probe, daemon))
        return km_fail(err, KM_NOTFOUND, "no daemon %u is guarded", daemon);
    if (mode == KM_PROBE_OFF)
        return km_probe_unguard(probe, daemon, err);
    write_mode(probe, daemon, mode);
    return update_exits(probe, err);
}

unsigned km_probe_threads(const struct km_probe *probe, unsigned daemon)
{
    if (daemon >= KM_PROBE_MAX_DAEMONS)
        return 0;
    __s32 threads = __atomic_load_n(&probe->skeleton->bss->daemon_threads[daemon], __ATOMIC_RELAXED);
    return threads > 0 ? (unsigned)threads : 0;
}

unsigned km_probe_role_daemon(const struct km_probe *probe, unsigned role)
{
    if (role == 0 || role >= KM_PROBE_MAX_ROLES || !probe->skeleton->bss->roles[role].ready)
        return 0;
    return probe->skeleton->bss->roles[role].daemon;
}

enum km_code km_probe_set_rule(struct km_probe *probe, unsigned role, const struct km_episode_rule *rule,
                               struct km_err *err)
{
    if (role == 0 || role >= KM_PROBE_MAX_ROLES)
        return km_fail(err, KM_NOTFOUND, "there is no role %u", role);
    probe->skeleton->bss->rules[role] = *rule;
    return KM_OK;
}

/* ---- the known set ---- */

static void add_to(__u64 *words, uint64_t key)
{
    __u64 mixed = km_probe_mix(key);
    words[km_probe_bloom_index(mixed)] |= km_probe_bloom_bits(mixed);
}

enum km_code km_probe_add_known(struct km_probe *probe, const uint64_t *keys, size_t count, struct km_err *err)
{
    if (count > KM_PROBE_MAX_KEYS - probe->known)
        return km_fail(err, KM_LIMIT, "the known set holds %d keys", KM_PROBE_MAX_KEYS);
    for (size_t i = 0; i < count; i++)
        add_to(probe->skeleton->bss->bloom, keys[i]);
    probe->known += count;
    return KM_OK;
}

enum km_code km_probe_replace_known(struct km_probe *probe, const uint64_t *keys, size_t count, struct km_err *err)
{
    if (count > KM_PROBE_MAX_KEYS)
        return km_fail(err, KM_LIMIT, "the known set holds %d keys", KM_PROBE_MAX_KEYS);
    __u64 *words KM_CLEANUP(km_cleanup_free) = km_calloc(KM_PROBE_BLOOM_WORDS, sizeof *words, SIZE_MAX, err);
    if (!words)
        return KM_NOMEM;
    for (size_t i = 0; i < count; i++)
        add_to(words, keys[i]);
    /* A key's bits lie in one word, and words are replaced whole: no key of both sets is unknown for a moment. */
    for (size_t i = 0; i < KM_PROBE_BLOOM_WORDS; i++)
        __atomic_store_n(&probe->skeleton->bss->bloom[i], words[i], __ATOMIC_RELAXED);
    probe->known = count;
    /* What was known may not be now, and was perhaps told before that. */
    __atomic_fetch_add(&probe->skeleton->bss->known_sets, 1, __ATOMIC_RELAXED);
    return KM_OK;
}

/* ---- reading ---- */

static uint64_t next_random(struct km_probe *probe)
{
    probe->tap_random = km_probe_mix(probe->tap_random + 0x9e3779b97f4a7c15ULL);
    return probe->tap_random;
}

/* Opens and closes tap windows. Their distance is random between half and one and a half periods, so that a daemon
 * cannot keep time with them. */
static void turn_tap(struct km_probe *probe, int64_t now_ns)
{
    struct probe_bpf__bss *shared = probe->skeleton->bss;
    if (probe->tap_period_ms == 0)
        return;
    if (shared->tap_share != 0 && now_ns >= probe->tap_until_ns)
        shared->tap_share = 0;
    if (now_ns < probe->tap_next_ns)
        return;
    int64_t period = (int64_t)probe->tap_period_ms * KM_NS_PER_MS;
    if (probe->tap_next_ns != 0) {
        shared->tap_left = probe->tap_episodes;
        shared->tap_share = probe->tap_share;
        probe->tap_until_ns = now_ns + (int64_t)probe->tap_window_ms * KM_NS_PER_MS;
    }
    probe->tap_next_ns = now_ns + period / 2 + (int64_t)(next_random(probe) % (uint64_t)period);
}

enum km_code km_probe_poll(struct km_probe *probe, int timeout_ms, const struct km_event_sink *sink, struct km_err *err)
{
    enum km_code code;

    probe->sink = sink;
    probe->failed = KM_OK;
    probe->err = err;
    int got = ring_buffer__poll(probe->ring, timeout_ms);
    /* Most records come without a wake-up, so that the poll alone would leave them. */
    if (got >= 0 && probe->failed == KM_OK)
        got = ring_buffer__consume(probe->ring);
    probe->sink = NULL;
    if (probe->failed != KM_OK)
        return probe->failed;
    if (got < 0 && got != -EINTR)
        return km_fail_errno(err, -got, "reading the probe's ring");

    int64_t now_ns = km_clock_monotonic_ns();
    turn_tap(probe, now_ns);
    if (__atomic_exchange_n(&probe->skeleton->bss->rescan, 0, __ATOMIC_ACQ_REL) != 0) {
        code = enrol(probe, err);
        if (code != KM_OK)
            return code;
    }
    code = update_exits(probe, err);
    if (code == KM_OK && now_ns - probe->rates_ns >= RATE_INTERVAL_NS) {
        probe->sink = sink;
        code = km_probe_read_rates(probe, now_ns, err);
        probe->sink = NULL;
    }
    return code;
}

enum km_code km_probe_read_counters(const struct km_probe *probe, unsigned daemon, int cpu,
                                    struct km_probe_counters *out, struct km_err *err)
{
    if (daemon >= KM_PROBE_MAX_DAEMONS || cpu >= probe->cpus)
        return km_fail(err, KM_NOTFOUND, "no counters of daemon %u, CPU %d", daemon, cpu);
    struct km_probe_counters *rows KM_CLEANUP(km_cleanup_free) =
        km_calloc((size_t)probe->cpus, sizeof *rows, SIZE_MAX, err);
    if (!rows)
        return KM_NOMEM;
    if (bpf_map_lookup_elem(bpf_map__fd(probe->skeleton->maps.counters), &daemon, rows) != 0)
        return km_fail_errno(err, errno, "reading the probe's counters");
    struct km_probe_counters sum = {0};
    for (int i = 0; i < probe->cpus; i++) {
        if (cpu >= 0 && i != cpu)
            continue;
        sum.records += rows[i].records;
        sum.calls += rows[i].calls;
        sum.lost_records += rows[i].lost_records;
        sum.lost_calls += rows[i].lost_calls;
        sum.storage_failed += rows[i].storage_failed;
        sum.roles_full += rows[i].roles_full;
        sum.unread += rows[i].unread;
        sum.repeated += rows[i].repeated;
        sum.withheld += rows[i].withheld;
    }
    *out = sum;
    return KM_OK;
}

void km_probe_get_status(const struct km_probe *probe, struct km_probe_status *out)
{
    *out = (struct km_probe_status){
        .daemons = guarded_daemons(probe),
        .attached = probe->attached,
        .exit_attached = probe->exit_all != NULL,
        .single_exits = probe->exit_count > 0,
        .exits_attached = (unsigned)probe->exit_count,
    };
    for (size_t i = 1; i < KM_PROBE_MAX_ROLES; i++)
        out->roles += probe->skeleton->bss->roles[i].ready != 0;
}

void km_probe_close(struct km_probe *probe)
{
    if (!probe)
        return;
    detach(probe);
    ring_buffer__free(probe->ring);
    probe_bpf__destroy(probe->skeleton);
    free(probe->cpu_rows);
    free(probe->told_lost);
    free(probe);
}
