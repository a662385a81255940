/* Inputs without a name for the tests of this folder. */
#ifndef KM_TESTS_MEMFILE_H
#define KM_TESTS_MEMFILE_H

#include <sys/mman.h>
#include <unistd.h>

#include "base/err.h"

static inline int memfile_open(const void *bytes, size_t length)
{
    int fd = memfd_create("test", MFD_CLOEXEC);
    KM_ASSERT(fd >= 0 && write(fd, bytes, length) == (ssize_t)length && lseek(fd, 0, SEEK_SET) == 0);
    return fd;
}

#endif
