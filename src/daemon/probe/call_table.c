#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "daemon/probe/call_table.h"

static const struct row {
    __u8 space;
    __u16 number;
    __u8 class;
    const char *name;
} rows[] = {
#include "call_table.inc"
};

#define ROWS (sizeof rows / sizeof rows[0])

void km_call_table_fill(__u8 table[KM_PROBE_SPACES][KM_CALL_NUMBERS])
{
    memset(table, KM_PROBE_CALL_PLAIN, (size_t)KM_PROBE_SPACES * KM_CALL_NUMBERS);
    for (size_t i = 0; i < ROWS; i++)
        table[rows[i].space][km_call_fold(rows[i].space, rows[i].number)] = rows[i].class;
}

static bool wants_outcome(__u8 class)
{
    switch ((enum km_probe_class) class) {
    case KM_PROBE_CALL_PLAIN:
    case KM_PROBE_CALL_SOCKET:
    case KM_PROBE_CALL_ENDS:
    case KM_PROBE_CALL_FD:
    case KM_PROBE_CALL_WAIT:
        return false;
    case KM_PROBE_CALL_OPEN:
    case KM_PROBE_CALL_OPENAT:
    case KM_PROBE_CALL_OPENAT2:
    case KM_PROBE_CALL_CREAT:
    case KM_PROBE_CALL_CHDIR:
    case KM_PROBE_CALL_CONNECT:
    case KM_PROBE_CALL_BIND:
    case KM_PROBE_CALL_LISTEN:
    case KM_PROBE_CALL_ACCEPT:
    case KM_PROBE_CALL_EXECVE:
    case KM_PROBE_CALL_EXECVEAT:
    case KM_PROBE_CALL_IDENTITY:
    case KM_PROBE_CALL_CAPSET:
    case KM_PROBE_CALL_UNSHARE:
    case KM_PROBE_CALL_SETNS:
    case KM_PROBE_CALL_MMAP:
    case KM_PROBE_CALL_MPROTECT:
    case KM_PROBE_CALL_MEMFD:
    case KM_PROBE_CALL_PTRACE:
    case KM_PROBE_CALL_VM_WRITE:
    case KM_PROBE_CALL_MODULE:
    case KM_PROBE_CALL_FMODULE:
    case KM_PROBE_CALL_DMODULE:
    case KM_PROBE_CALL_BPF:
    case KM_PROBE_CALL_CHMOD:
    case KM_PROBE_CALL_FCHMOD:
    case KM_PROBE_CALL_FCHMODAT:
    case KM_PROBE_CALL_UNLINK:
    case KM_PROBE_CALL_UNLINKAT:
    case KM_PROBE_CALL_RENAME:
    case KM_PROBE_CALL_RENAMEAT:
    case KM_PROBE_CALL_MOUNT:
    case KM_PROBE_CALL_UMOUNT:
    case KM_PROBE_CALL_KILL:
    case KM_PROBE_CALL_TGKILL:
    case KM_PROBE_CALL_CLONE:
    case KM_PROBE_CALL_CLONE3:
        return true;
    }
    return false;
}

const char *km_call_table_outcome(size_t i)
{
    for (size_t r = 0; r < ROWS; r++)
        if (rows[r].space == KM_SPACE_NATIVE && wants_outcome(rows[r].class) && i-- == 0)
            return rows[r].name;
    return NULL;
}

void km_call_table_waits(unsigned long long set[KM_CALL_SET_WORDS])
{
    memset(set, 0, sizeof(unsigned long long) * KM_CALL_SET_WORDS);
    for (size_t i = 0; i < ROWS; i++)
        if (rows[i].space == KM_SPACE_NATIVE &&
            (rows[i].class == KM_PROBE_CALL_WAIT || rows[i].class == KM_PROBE_CALL_ACCEPT))
            km_call_set_add(set, km_call_fold(KM_SPACE_NATIVE, rows[i].number));
}
