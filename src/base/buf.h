/*
 * A growable run of bytes with a maximum given at its birth. Lives in the caller's storage: km_buf_init, km_buf_done.
 * A NUL always stands behind the last byte, so that text can be read in place. After a failed append the content is
 * what it was before.
 */
#ifndef KM_BASE_BUF_H
#define KM_BASE_BUF_H

#include <stddef.h>

#include "base/err.h"

struct km_buf {
    char *data;       /* NULL until the first append; data[length] == '\0' after it */
    size_t length;    /* bytes in use, without the NUL */
    size_t capacity;  /* bytes allocated */
    size_t max_bytes; /* appends beyond this fail with KM_LIMIT */
};

void km_buf_init(struct km_buf *buf, size_t max_bytes);
void km_buf_done(struct km_buf *buf);

/* KM_LIMIT beyond max_bytes, KM_NOMEM. */
enum km_code km_buf_append(struct km_buf *buf, const void *bytes, size_t length, struct km_err *err) KM_MUST_USE;
enum km_code km_buf_append_text(struct km_buf *buf, const char *text, struct km_err *err) KM_MUST_USE;
enum km_code km_buf_append_format(struct km_buf *buf, struct km_err *err, const char *fmt, ...)
    KM_PRINTF(3, 4) KM_MUST_USE;

/* Appends the whole content of the regular file `path`. KM_NOTFOUND, KM_DENIED, KM_IO; KM_FORMAT for what is no regular
 * file; KM_LIMIT, KM_NOMEM. The text names the file. */
enum km_code km_buf_append_file(struct km_buf *buf, const char *path, struct km_err *err) KM_MUST_USE;

/* Forgets the content, keeps the memory. */
void km_buf_clear(struct km_buf *buf);

/* The content as text: never NULL. Borrowed until the next append or done. */
const char *km_buf_text(const struct km_buf *buf);

#endif
