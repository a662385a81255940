/*
 * References to images in registries and engines: [HOST[:PORT]/]PATH[:TAG][@ALGORITHM:HEX], as docker and podman read
 * them.
 */
#ifndef KM_CONTAINER_SOURCE_IMAGEREF_H
#define KM_CONTAINER_SOURCE_IMAGEREF_H

#include "base/err.h"

#define KM_IMAGEREF_MAX_BYTES 640

/* Checks a reference and writes it to out with ":latest" where it has neither tag nor digest. A tag beside a digest is
 * left out: the digest decides, and tools differ on what they do with both. No host is added. KM_FORMAT (the text says
 * what is wrong); out is then untouched. */
enum km_code km_imageref_normalise(const char *text, char out[KM_IMAGEREF_MAX_BYTES], struct km_err *err) KM_MUST_USE;

#endif
