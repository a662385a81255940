/*
 * The common currency of both guardians: what was found, how sure, and what was really looked at.
 *
 * A finding carries no prose. Its evidence is an id with arguments and a weight (finding/evidence.h lists the ids); the
 * sentence is made at output, in the reader's language. Records are plain data whose strings are borrowed from the
 * producer for the time of a sink call: a sink that keeps them copies them.
 */
#ifndef KM_FINDING_FINDING_H
#define KM_FINDING_FINDING_H

#include <stddef.h>
#include <stdint.h>

/* What the machine says. Never an error, and never made from one. Values are stored and sent. */
enum km_verdict {
    KM_VERDICT_CLEAN = 0,      /* everything was examined, nothing found */
    KM_VERDICT_INCOMPLETE = 1, /* nothing found in what was examined, and not all was examined */
    KM_VERDICT_SUSPICIOUS = 2,
    KM_VERDICT_MALICIOUS = 3,
};

/* Why bytes were not examined, or were examined without being understood. */
enum km_gap_reason {
    KM_GAP_TRUNCATED = 0,    /* the input ends before its format says so */
    KM_GAP_DAMAGED = 1,      /* bytes that break the format; reading went on behind them */
    KM_GAP_TRAILING = 2,     /* bytes after the end of an archive or of compressed data */
    KM_GAP_UNREFERENCED = 3, /* a blob that no manifest names */
    KM_GAP_MISSING = 4,      /* a blob that a manifest names and that is not there */
    KM_GAP_LIMIT = 5,        /* a stated limit was met: ratio, depth, entries, memory */
    KM_GAP_ENCRYPTED = 6,    /* opaque */
    KM_GAP_NESTED = 7,       /* opaque: an archive deeper than the stated depth */
    KM_GAP_UNSUPPORTED = 8,  /* opaque: a format that this build does not open */
    KM_GAP_UNREADABLE = 9,   /* the operating system refused or failed */
    KM_GAP_MISMATCH = 10,    /* content is not what its digest or size promised */
    KM_GAP_CANCELLED = 11,   /* the user or a deadline ended the work */
    KM_GAP_POLICY = 12,      /* the scan policy said so */
};

struct km_gap {
    enum km_gap_reason reason;
    const char *where;  /* raw bytes: path, blob or layer; "" for the whole source */
    const char *layer;  /* digest of the layer, or NULL */
    uint64_t offset;    /* first byte within `where`, in its uncompressed stream; UINT64_MAX when unknown */
    uint64_t bytes;     /* how many; UINT64_MAX when unknown */
    const char *detail; /* one escaped line, or NULL */
};

/* Opaque content was read and hashed but not understood; a gap was not even read. */
static inline int km_gap_is_opaque(enum km_gap_reason reason)
{
    return reason == KM_GAP_ENCRYPTED || reason == KM_GAP_NESTED || reason == KM_GAP_UNSUPPORTED;
}

/* One number line for the whole of a target. examined + opaque + (sum of known gaps inside files) = total. */
struct km_coverage {
    uint64_t bytes_total; /* uncompressed size of all regular files of all layers, as far as headers were readable */
    uint64_t bytes_examined;
    uint64_t bytes_opaque;
    uint64_t files_total;
    uint64_t files_examined; /* to the last byte */
    uint64_t gaps;           /* how many were reported, opaque ones included */
};

enum km_arg_type {
    KM_ARG_TEXT = 0,
    KM_ARG_INTEGER = 1,
    KM_ARG_REAL = 2,
};

struct km_arg {
    const char *name;
    enum km_arg_type type;
    const char *text;
    int64_t integer;
    double real;
};

#define KM_EVIDENCE_MAX_ARGS 6

struct km_evidence {
    const char *id;        /* "package.changed", see finding/evidence.h */
    double weight;         /* its term in the additive score, in log-odds (natural logarithm) */
    const char *reference; /* a link or name of the source of the knowledge, or NULL */
    size_t arg_count;
    struct km_arg args[KM_EVIDENCE_MAX_ARGS];
};

struct km_range {
    uint64_t begin; /* bytes of the subject, half open */
    uint64_t end;
};

/* Where a finding is. Strings are raw bytes (hostile), NULL when they do not apply. */
struct km_subject {
    const char *image;         /* "name:tag" when known */
    const char *path;          /* in the container; for members of nested archives "outer!/inner" */
    const char *layer;         /* "sha256:…" of the layer's uncompressed stream (diff id) */
    int64_t layer_index;       /* 0 = base layer; -1 = not layered */
    const char *layer_history; /* the build step that made it */
    const char *deleted_by;    /* diff id of the layer whose whiteout deletes it */
    const char *replaced_by;   /* diff id of the layer that puts another file in its place */
    const char *sha256;        /* hex digest of the content, or NULL */
    uint64_t size_bytes;
    const char *daemon;     /* of a daemon: its unit, or by what else it is guarded */
    const char *role;       /* the kind of thread */
    const char *executable; /* path of the program */
    const char *command;    /* the process's arguments, separated by spaces */
    uint32_t pid, tid;      /* process and thread; 0 = none */
    int64_t uid;            /* user; -1 = not known */
    const char *alarm;      /* under which it waits in the profile store's quarantine, or NULL */
    const char *strange;    /* of a daemon: the keys of what was strange (finding/strange.h), or NULL */
};

struct km_decision; /* decision.h */

struct km_finding {
    const char *kind; /* "file", "daemon": which guardian and what sort of subject */
    struct km_subject subject;
    enum km_verdict verdict;
    double score;                       /* probability-like, 0..1: what the additive model says */
    double confidence;                  /* 0..1: how far to trust the score, lowered by gaps and losses */
    const char *package;                /* owner "name version", or NULL */
    int64_t time_wall_ns;               /* when it happened; 0 = at no moment of its own */
    const struct km_decision *decision; /* what a person said about it, or NULL; does not change the verdict here */
    size_t range_count;
    const struct km_range *ranges;
    size_t evidence_count;
    const struct km_evidence *evidence;
};

/* What the package database inside a container says about its files. Files that a later layer deletes or replaces do
 * not count. All zero with database "none" when there is no database to compare with: neutral, not suspicious. */
struct km_integrity {
    const char *database; /* "dpkg", "none", or "unusable" */
    const char *detail;   /* why it is unusable, or why a database that is there says nothing; or NULL */
    uint64_t packages;
    uint64_t files_intact;        /* as the package shipped them */
    uint64_t files_unchecked;     /* owned, and the package has no checksum for them */
    uint64_t files_configuration; /* owned configuration files, which may differ */
    uint64_t files_changed;
    uint64_t files_unowned;
    uint64_t executables_unowned;
};

/* Version stamps that go with a result. */
struct km_versions {
    const char *komainu;
    const char *rules; /* identification of hash lists and rules used, or NULL */
    const char *model; /* NULL until a learned model takes part */
};

/* How many false alarms a calibrated detector is expected to give: of the benign files of a set, so many were at or
 * above the threshold in use. */
struct km_expectation {
    double rate, low, high; /* false alarms a program, with its 95 % interval */
    double wanted;          /* the rate that the threshold was chosen for */
    uint64_t negatives, above;
    uint64_t programs; /* of the target, that were judged so */
    const char *set;   /* what the benign files were */
};

struct km_target {
    const char *name;   /* as the user gave it */
    const char *scheme; /* "docker-archive", "dir", …; NULL while it is not known */
};

/* An image that the target turned out to hold; known at its end. */
struct km_image_info {
    const char *name;     /* "repo:tag", or NULL */
    const char *digest;   /* of its manifest or config, or NULL */
    const char *platform; /* "linux/amd64", or NULL */
    uint64_t layers;
    struct km_integrity packages; /* database NULL: not known */
};

/* "clean", "incomplete", "suspicious", "malicious". Static storage. */
const char *km_verdict_to_string(enum km_verdict verdict);
/* "truncated", "damaged", … Static storage. */
const char *km_gap_reason_to_string(enum km_gap_reason reason);

#endif
