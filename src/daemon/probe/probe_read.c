/*
 * Records of the ring become events. The kernel wrote the records, so their sizes are checked only to catch our own
 * mistakes; the texts in them are a daemon's and hostile.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "daemon/probe/build_id.h"
#include "daemon/probe/places.h"
#include "daemon/probe/probe_internal.h"

static int deliver(struct km_probe *probe, const struct km_event *event)
{
    if (!probe->sink)
        return 0;
    probe->failed = probe->sink->event(probe->sink->context, event, probe->err);
    return probe->failed == KM_OK ? 0 : -1;
}

/* In a time namespace the kernel's clock is not ours. */
static uint64_t our_time(const struct km_probe *probe, uint64_t kernel_ns)
{
    return kernel_ns + (uint64_t)probe->clock_offset_ns;
}

/* ---- roles ---- */

/* comm without its digits, a '+' for each fork. */
static size_t role_name(const struct km_probe_role *row, char out[KM_PROBE_COMM_BYTES + KM_PROBE_MAX_DEPTH + 1])
{
    size_t used = 0;
    for (size_t i = 0; i < KM_PROBE_COMM_BYTES && row->comm[i] != '\0'; i++)
        if (row->comm[i] < '0' || row->comm[i] > '9')
            out[used++] = row->comm[i];
    for (unsigned i = 0; i < row->depth && i < KM_PROBE_MAX_DEPTH; i++)
        out[used++] = '+';
    return used;
}

/* Looks at the program of process tgid. Returns whether it is another one than before. */
static bool look_at_program(struct km_probe *probe, unsigned role, uint32_t tgid, struct km_event_role *info,
                            char exe[KM_EVENT_MAX_PATH_BYTES])
{
    struct km_probe_role_seen *seen = &probe->roles[role];
    char path[KM_PROBE_NAME_BYTES + 32];
    struct stat st;

    seen->tgid = tgid;
    (void)snprintf(path, sizeof path, "%s/%u/exe", probe->proc_root, tgid);
    int fd KM_CLEANUP(km_cleanup_close) = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0)
        return false;
    bool other = seen->exe_device != st.st_dev || seen->exe_inode != st.st_ino;
    seen->exe_device = st.st_dev;
    seen->exe_inode = st.st_ino;
    if (!other && seen->introduced)
        return false;
    ssize_t length = readlink(path, exe, KM_EVENT_MAX_PATH_BYTES);
    info->exe = (struct km_bytes){exe, length > 0 ? (size_t)length : 0};
    info->build_id_length = (uint8_t)km_build_id_read(fd, info->build_id);
    return other;
}

/* Introduces a role before its first event, and again when its threads come from another program. */
static int introduce(struct km_probe *probe, unsigned role, unsigned daemon, uint32_t tgid, uint64_t time_ns)
{
    char name[KM_PROBE_COMM_BYTES + KM_PROBE_MAX_DEPTH + 1];
    char exe[KM_EVENT_MAX_PATH_BYTES];
    struct km_event event = {.time_ns = time_ns, .role = (uint16_t)role, .kind = KM_EVENT_ROLE};
    struct km_probe_role_seen *seen = &probe->roles[role];
    bool other = look_at_program(probe, role, tgid, &event.role_info, exe);

    if (seen->introduced && !other)
        return 0;
    event.tgid = tgid;
    event.role_info.unit = (struct km_bytes){probe->daemons[daemon].target, strlen(probe->daemons[daemon].target)};
    event.role_info.name.data = name;
    if (role != KM_PROBE_NO_ROLE)
        event.role_info.name.length = role_name(&probe->skeleton->bss->roles[role], name);
    seen->introduced = true;
    return deliver(probe, &event);
}

/* ---- landmarks ---- */

static void take_address(const struct km_probe_landmark_record *record, struct km_address *out)
{
    size_t length = record->address_bytes < sizeof record->address ? record->address_bytes : sizeof record->address;
    const __u8 *raw = record->address;

    if (length < 2)
        return;
    out->family = (uint16_t)(raw[0] | raw[1] << 8);
    if (length >= 4 && (out->family == 2 || out->family == 10))
        out->port = (uint16_t)(raw[2] << 8 | raw[3]);
    size_t at = out->family == 2 ? 4 : out->family == 10 ? 8 : 2;
    size_t want = out->family == 2 ? 4 : out->family == 10 ? 16 : sizeof out->bytes;
    if (length <= at)
        return;
    if (want > length - at)
        want = length - at;
    if (want > sizeof out->bytes)
        want = sizeof out->bytes;
    memcpy(out->bytes, raw + at, want);
    out->length = (uint16_t)want;
    /* A file name ends at its NUL, an abstract one at its length. */
    if (out->family == 1 && out->bytes[0] != 0)
        out->length = (uint16_t)strnlen((const char *)out->bytes, want);
}

static int read_landmark(struct km_probe *probe, const struct km_probe_landmark_record *record, struct km_event *event)
{
    struct km_event_landmark *landmark = &event->landmark;

    event->kind = KM_EVENT_LANDMARK;
    *landmark = (struct km_event_landmark){
        .kind = record->kind,
        .outcome = record->outcome,
        .number = KM_PROBE_CALL_NUMBER(record->call),
        .space = KM_PROBE_CALL_SPACE(record->call),
        .flags = record->flags,
        .peer_tid = record->peer_tid,
        .value = record->value,
        .digest = record->digest,
    };
    if (record->path_bytes > 0 && record->path_bytes < KM_PROBE_PATH_BYTES)
        landmark->path = (struct km_bytes){record->text, record->path_bytes};
    if (record->path2_bytes > 0 && record->path2_bytes < KM_PROBE_PATH_BYTES)
        landmark->path2 = (struct km_bytes){record->text + KM_PROBE_PATH_BYTES, record->path2_bytes};
    if (landmark->path.length > 0)
        landmark->zone = (uint8_t)km_places_zone(landmark->path.data, landmark->path.length);
    /* A link counts for where it leads. */
    if (landmark->kind == KM_LANDMARK_OPEN && landmark->path2.length > 0 &&
        km_places_zone(landmark->path2.data, landmark->path2.length) == KM_ZONE_SENSITIVE)
        landmark->zone = KM_ZONE_SENSITIVE;
    take_address(record, &landmark->address);
    return deliver(probe, event);
}

/* ---- records ---- */

static int read_calls(struct km_probe *probe, const struct km_probe_calls_record *record, struct km_event *event)
{
    uint32_t count = record->count < KM_PROBE_BATCH_CALLS ? record->count : KM_PROBE_BATCH_CALLS;
    uint64_t begin = event->time_ns;
    uint64_t first = record->header.time_ns;
    uint64_t span = record->end_ns > first ? record->end_ns - first : 0;
    int result = 0;

    event->kind = KM_EVENT_CALL;
    for (uint32_t i = 0; i < count && result == 0; i++) {
        /* A batch has the time of its first and last call; those between are spread evenly. */
        event->time_ns = begin + (count > 1 ? span * i / (count - 1) : 0);
        event->call = (struct km_event_call){
            .number = KM_PROBE_CALL_NUMBER(record->calls[i].number),
            .space = KM_PROBE_CALL_SPACE(record->calls[i].number),
            .outcome = record->calls[i].outcome,
            .arg_class = record->calls[i].arg_class,
        };
        result = deliver(probe, event);
    }
    return result;
}

static int read_thread(struct km_probe *probe, const struct km_probe_thread_record *record, struct km_event *event)
{
    event->kind = KM_EVENT_THREAD;
    event->thread = (struct km_event_thread){
        .parent_tid = record->parent_tid,
        .uid = record->uid,
        .cgroup = record->cgroup,
        .comm = {record->comm, strnlen(record->comm, sizeof record->comm)},
    };
    return deliver(probe, event);
}

static int read_state(struct km_probe *probe, const struct km_probe_state_record *record, struct km_event *event)
{
    static const uint8_t kinds[] = {
        [KM_PROBE_REC_END] = KM_EVENT_END,
        [KM_PROBE_REC_WINDOW] = KM_EVENT_WINDOW,
        [KM_PROBE_REC_EPISODE] = KM_EVENT_EPISODE,
    };
    event->kind = kinds[record->header.kind];
    event->state = record->state;
    return deliver(probe, event);
}

static int read_stream(struct km_probe *probe, const struct km_probe_stream_record *record, struct km_event *event)
{
    event->kind = KM_EVENT_STREAM;
    event->stream = (struct km_event_stream){.feed = record->header.feed, .started = record->started != 0};
    return deliver(probe, event);
}

int km_probe_read_record(void *context, void *data, size_t bytes)
{
    struct km_probe *probe = context;
    const struct km_probe_header *header = data;

    KM_ASSERT(bytes >= sizeof *header && header->bytes <= bytes && header->daemon < KM_PROBE_MAX_DAEMONS);
    struct km_event event = {
        .time_ns = our_time(probe, header->time_ns),
        .tid = header->tid,
        .tgid = header->tgid,
        .role = header->role,
        .feed = header->feed,
    };
    bool started = header->kind == KM_PROBE_REC_THREAD && probe->roles[header->role].tgid != header->tgid;
    if ((started || !probe->roles[header->role].introduced) &&
        introduce(probe, header->role, header->daemon, header->tgid, event.time_ns) != 0)
        return -1;
    switch ((enum km_probe_kind)header->kind) {
    case KM_PROBE_REC_THREAD:
        return read_thread(probe, data, &event);
    case KM_PROBE_REC_END:
    case KM_PROBE_REC_WINDOW:
    case KM_PROBE_REC_EPISODE:
        return read_state(probe, data, &event);
    case KM_PROBE_REC_CALLS:
        return read_calls(probe, data, &event);
    case KM_PROBE_REC_LANDMARK:
        return read_landmark(probe, data, &event);
    case KM_PROBE_REC_STREAM:
        return read_stream(probe, data, &event);
    }
    return 0;
}

/* ---- what stayed in the kernel ---- */

static enum km_code tell_role(struct km_probe *probe, unsigned role, int64_t now_ns, uint64_t interval_ns)
{
    struct km_probe_role_seen *seen = &probe->roles[role];
    struct km_probe_role_counters sum = {0};
    struct km_event event = {.time_ns = (uint64_t)now_ns, .role = (uint16_t)role};

    for (int cpu = 0; cpu < probe->cpus; cpu++) {
        const struct km_probe_role_counters *row = &probe->cpu_rows[cpu];
        uint64_t *told = &probe->told_lost[(size_t)role * (size_t)probe->cpus + (size_t)cpu];
        sum.calls += row->calls;
        sum.episodes += row->episodes;
        sum.misses += row->misses;
        sum.errors += row->errors;
        if (row->lost == *told)
            continue;
        event.kind = KM_EVENT_LOSS;
        event.loss = (struct km_event_loss){.events = row->lost - *told, .cpu = (uint16_t)cpu};
        *told = row->lost;
        if (deliver(probe, &event) != 0)
            return probe->failed;
    }
    if (sum.calls == seen->told.calls && sum.episodes == seen->told.episodes)
        return KM_OK;
    event.kind = KM_EVENT_RATE;
    event.rate = (struct km_event_rate){
        .interval_ns = interval_ns,
        .calls = sum.calls - seen->told.calls,
        .episodes = sum.episodes - seen->told.episodes,
        .misses = sum.misses - seen->told.misses,
        .errors = sum.errors - seen->told.errors,
    };
    seen->told = sum;
    return deliver(probe, &event) == 0 ? KM_OK : probe->failed;
}

enum km_code km_probe_read_rates(struct km_probe *probe, int64_t now_ns, struct km_err *err)
{
    uint64_t interval_ns = probe->rates_ns ? (uint64_t)(now_ns - probe->rates_ns) : 0;
    enum km_code code = KM_OK;

    probe->failed = KM_OK;
    probe->err = err;
    probe->rates_ns = now_ns;
    for (__u32 role = 0; role < KM_PROBE_MAX_ROLES && code == KM_OK; role++) {
        if (!probe->roles[role].introduced && !probe->skeleton->bss->roles[role].ready)
            continue;
        if (bpf_map_lookup_elem(bpf_map__fd(probe->skeleton->maps.role_counters), &role, probe->cpu_rows) != 0)
            return km_fail(err, KM_IO, "reading the probe's role counters");
        if (!probe->roles[role].introduced) {
            const struct km_probe_role *row = &probe->skeleton->bss->roles[role];
            if (introduce(probe, role, row->daemon, row->tgid, (uint64_t)now_ns) != 0)
                return probe->failed;
        }
        code = tell_role(probe, role, now_ns, interval_ns);
    }
    return code;
}
