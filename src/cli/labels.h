/*
 * Labels: what people said at the desk about contents of containers, as a file for the commands that learn
 * (data/schema/labels-1.json). `komainu alerts labels` writes it; train, calibrate and baseline add read it, and what
 * it calls suspicious or attack never becomes an example of the benign.
 */
#ifndef KM_CLI_LABELS_H
#define KM_CLI_LABELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/digest.h"
#include "base/err.h"
#include "base/mem.h"
#include "desk/store/store.h"

#define KM_LABELS_MAX_BYTES ((size_t)64 << 20) /* of a file */
#define KM_LABELS_MAX       200000

enum km_label {
    KM_LABEL_NONE = 0,
    KM_LABEL_BENIGN = 1,
    KM_LABEL_BAD = 2, /* suspicious or attack */
};

struct km_labels;

/* Reads a file. NULL with *err set: KM_FORMAT (no labels of komainu, or an entry that is none), KM_LIMIT, KM_IO,
 * KM_NOTFOUND, KM_NOMEM. */
struct km_labels *km_labels_open(const char *path, struct km_err *err) KM_MUST_USE;
void km_labels_free(struct km_labels *labels);
KM_DEFINE_CLEANUP(struct km_labels, km_labels_cleanup, km_labels_free);

/* The label of a content; counted once for each content, for km_labels_report. labels NULL: KM_LABEL_NONE. */
enum km_label km_labels_meet(struct km_labels *labels, const uint8_t sha256[KM_SHA256_BYTES]);
enum km_label km_labels_meet_bytes(struct km_labels *labels, const void *bytes, size_t length);

/* One line on standard error: how many of each were met, and how many were not. labels NULL: nothing. */
void km_labels_report(const struct km_labels *labels, const char *command);

/* Writes what the store says to `path` ("-": standard output), then acknowledges the decisions that are in it and adds
 * an entry to the audit log, so that a file that was not written acknowledges nothing. Codes of the store; KM_IO. */
struct km_labels_written {
    size_t benign, suspicious, attack;
    int64_t acknowledged; /* decisions that had waited */
};
enum km_code km_labels_write(struct km_desk *desk, const char *path, const char *who, int64_t now_ns,
                             struct km_labels_written *out, struct km_err *err) KM_MUST_USE;

#endif
