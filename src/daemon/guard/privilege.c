#include "daemon/guard/privilege.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WORD_BITS 32
#define MAX_CAP   63

static uint64_t kept(void)
{
    static const unsigned caps[] = {CAP_BPF, CAP_PERFMON, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH};
    uint64_t mask = 0;
    for (size_t i = 0; i < sizeof caps / sizeof caps[0]; i++)
        mask |= UINT64_C(1) << caps[i];
    return mask;
}

enum km_code km_privilege_drop(struct km_err *err)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    uint64_t keep = kept();
    if (syscall(SYS_capget, &header, data) != 0)
        return km_fail_errno(err, errno, "reading the process's rights");
    /* The bounding set takes CAP_SETPCAP, which an unprivileged user has not and need not have. */
    for (unsigned cap = 0; cap <= MAX_CAP; cap++)
        if ((keep >> cap & 1) == 0 && prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
            (void)prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
    (void)prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    for (unsigned word = 0; word < _LINUX_CAPABILITY_U32S_3; word++) {
        data[word].permitted &= (uint32_t)(keep >> (word * WORD_BITS));
        data[word].effective = data[word].permitted;
        data[word].inheritable = 0;
    }
    if (syscall(SYS_capset, &header, data) != 0)
        return km_fail_errno(err, errno, "giving up rights");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return km_fail_errno(err, errno, "giving up new rights");
    return KM_OK;
}
