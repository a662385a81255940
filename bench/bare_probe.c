#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "bare_probe.h"

static const struct bpf_insn nothing[] = {
    {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
    {.code = BPF_JMP | BPF_EXIT},
};

static bool keep(struct bare_probe *bare, int fd)
{
    if (fd < 0)
        return false;
    bare->fds[bare->count++] = fd;
    return true;
}

static bool attach_enter(struct bare_probe *bare)
{
    LIBBPF_OPTS(bpf_prog_load_opts, options, .expected_attach_type = BPF_TRACE_RAW_TP);
    int target = libbpf_find_vmlinux_btf_id("sys_enter", BPF_TRACE_RAW_TP);
    if (target < 0)
        return false;
    options.attach_btf_id = (__u32)target;
    int program = bpf_prog_load(BPF_PROG_TYPE_TRACING, "bare_enter", "GPL", nothing, 2, &options);
    return keep(bare, program) && keep(bare, bpf_raw_tracepoint_open(NULL, program));
}

static bool attach_exit(struct bare_probe *bare)
{
    FILE *file = fopen("/sys/kernel/tracing/events/syscalls/sys_exit_openat/id", "re");
    char text[16] = "";
    if (!file)
        return false;
    bool read = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    if (!read)
        return false;
    struct perf_event_attr attributes = {.type = PERF_TYPE_TRACEPOINT,
                                         .size = sizeof attributes,
                                         .config = strtoull(text, NULL, 10),
                                         .sample_period = 1};
    int event = (int)syscall(SYS_perf_event_open, &attributes, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
    int program = bpf_prog_load(BPF_PROG_TYPE_TRACEPOINT, "bare_exit", "GPL", nothing, 2, NULL);
    if (!keep(bare, program) || !keep(bare, event))
        return false;
    return ioctl(event, PERF_EVENT_IOC_SET_BPF, program) == 0 && ioctl(event, PERF_EVENT_IOC_ENABLE, 0) == 0;
}

bool bare_probe_attach(struct bare_probe *bare)
{
    bare->count = 0;
    if (attach_enter(bare) && attach_exit(bare))
        return true;
    int error = errno;
    bare_probe_detach(bare);
    errno = error;
    return false;
}

void bare_probe_detach(struct bare_probe *bare)
{
    while (bare->count > 0)
        (void)close(bare->fds[--bare->count]);
}
