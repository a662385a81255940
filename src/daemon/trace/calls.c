#include "daemon/trace/calls.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const struct {
    unsigned char space;
    unsigned short number;
    const char *name;
} calls[] = {
#include "syscalls.inc"
};

const char *km_call_name(unsigned space, unsigned folded)
{
    if (space == KM_SPACE_X32)
        space = KM_SPACE_NATIVE;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i].space == space && calls[i].number == folded)
            return calls[i].name;
    return NULL;
}

void km_call_format(unsigned space, unsigned folded, char *out)
{
    const char *name = km_call_name(space, folded);
    const char *prefix = space == KM_SPACE_COMPAT ? "i386 " : space == KM_SPACE_X32 ? "x32 " : "";
    if (name)
        (void)snprintf(out, KM_CALL_NAME_BYTES, "%s%s", prefix, name);
    else
        (void)snprintf(out, KM_CALL_NAME_BYTES, "%scall %u", prefix, folded);
}

int km_call_find(const char *name)
{
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        if (calls[i].space == KM_SPACE_NATIVE && strcmp(calls[i].name, name) == 0)
            return calls[i].number;
    return -1;
}
