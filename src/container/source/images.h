/*
 * Where blobs are: the members of a docker-archive or oci-archive, or the files of an OCI layout directory. Every one
 * is read in the order in which it comes; which of them matter, and for what, is the layout's business.
 */
#ifndef KM_CONTAINER_SOURCE_IMAGES_H
#define KM_CONTAINER_SOURCE_IMAGES_H

#include "container/source/meter.h"
#include "container/source/reader.h"
#include "container/source/stream.h"

/* True when the first headers of a tar look like those of an archive of images, not of a file system. */
bool km_images_look_like(const uint8_t *bytes, size_t length);

/* What both ways of reading are given. */
struct km_images {
    struct km_reader *reader;
    struct km_layout *layout;
    struct km_meter *meter;
};

/* Reads all members of the tar `stream` as blobs. */
enum km_code km_images_read_archive(const struct km_images *images, struct km_stream *stream,
                                    struct km_err *err) KM_MUST_USE;

/* Reads index.json, oci-layout and all files below blobs/ of the directory dir_fd, which stays the caller's.
 * KM_FORMAT: there is no index.json. */
enum km_code km_images_read_directory(const struct km_images *images, int dir_fd, struct km_err *err) KM_MUST_USE;

#endif
