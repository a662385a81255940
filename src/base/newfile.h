/*
 * A file that appears under its name only when it is complete: until km_newfile_commit it is a temporary file in the
 * same folder, which km_newfile_close removes. What exists and is no regular file (a device, a pipe) is written in
 * place; "-" is standard output. Writes are buffered. Not thread-safe.
 */
#ifndef KM_BASE_NEWFILE_H
#define KM_BASE_NEWFILE_H

#include <stddef.h>

#include "base/err.h"
#include "base/mem.h"

struct km_newfile;

/* NULL with *err set: KM_IO, KM_DENIED, KM_NOTFOUND (the folder), KM_NOMEM. */
struct km_newfile *km_newfile_open(const char *path, struct km_err *err) KM_MUST_USE;

/* KM_IO (a full disk). */
enum km_code km_newfile_write(struct km_newfile *file, const void *bytes, size_t length,
                              struct km_err *err) KM_MUST_USE;

/* Writes what is buffered and gives the file its name. KM_IO, KM_DENIED; the file is then still temporary. */
enum km_code km_newfile_commit(struct km_newfile *file, struct km_err *err) KM_MUST_USE;

void km_newfile_close(struct km_newfile *file);
KM_DEFINE_CLEANUP(struct km_newfile, km_newfile_cleanup, km_newfile_close);

#endif
