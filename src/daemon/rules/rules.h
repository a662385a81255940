/*
 * Sigma rules over daemon events: the known-bad. Rule files are YAML, written by many hands and not trusted; what this
 * build cannot judge exactly as it is written is refused with the reason, never loaded in part.
 *
 * One landmark is seen by the rules of every log source that it stands for:
 *
 *   category process_creation      EXEC, MEMFD_EXEC
 *   category file_event            OPEN for writing, RENAME (the new name)
 *   category file_access           OPEN for reading
 *   category file_delete           UNLINK
 *   category file_rename           RENAME
 *   category network_connection    CONNECT (Initiated: true), ACCEPT (Initiated: false); no UNIX sockets
 *   service auditd                 each one, as records of type SYSCALL, EXECVE, PATH
 *   product komainu, category daemon   each one, with its Action and Outcome (docs/formats/rules.md)
 *
 * A program that did not start and a file that was not changed are no process_creation, file_event, file_delete or
 * file_rename; attempts that were denied are seen by the other log sources. The probe tells landmarks, not every call:
 * a file's opening is told when its place is new to the role, sensitive, or a system place written to.
 *
 * A field whose value is not known for an event matches like one that is missing (false; null matches). A rule that
 * says "and not" over such a field may therefore fire where it should not; unknown_fields of the match tells.
 *
 * Lifecycle: km_rules_new, load (any number of files and folders), match, km_rules_free. One thread at a time.
 *
 * Limits: KM_RULES_MAX rules, KM_RULES_MAX_FILE_BYTES a file, KM_RULES_MAX_FILES files and KM_RULES_MAX_DEPTH levels a
 * folder, KM_RULES_MAX_VALUES values and KM_RULES_MAX_REGEX regular expressions a rule. A regular expression that needs
 * more than KM_RULES_REGEX_STEPS steps on a value does not match, which is counted.
 */
#ifndef KM_RULES_RULES_H
#define KM_RULES_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "daemon/trace/event.h"

#define KM_RULES_MAX             20000
#define KM_RULES_MAX_FILE_BYTES  ((size_t)1 << 20)
#define KM_RULES_MAX_FILES       20000
#define KM_RULES_MAX_DEPTH       16
#define KM_RULES_MAX_VALUES      10000
#define KM_RULES_MAX_REGEX       64
#define KM_RULES_MAX_VALUE_BYTES 32768 /* of a field; longer ones are cut, which is counted */
#define KM_RULES_REGEX_STEPS     20000
#define KM_RULES_MAX_HITS        8
#define KM_RULES_NO_UID          UINT32_MAX

struct km_rules;

/* KM_NOMEM. */
struct km_rules *km_rules_new(struct km_err *err) KM_MUST_USE;
void km_rules_free(struct km_rules *rules);
KM_DEFINE_CLEANUP(struct km_rules, km_rules_cleanup, km_rules_free);

/* ---- loading ---- */

enum km_rule_level { /* as Sigma orders them; a rule without one is MEDIUM */
                     KM_RULE_INFORMATIONAL = 0,
                     KM_RULE_LOW = 1,
                     KM_RULE_MEDIUM = 2,
                     KM_RULE_HIGH = 3,
                     KM_RULE_CRITICAL = 4,
};

/* "informational" … "critical". Static storage. */
const char *km_rule_level_to_string(enum km_rule_level level);

/* What a rule says of itself; texts are UTF-8 without control characters, never NULL, "" when the rule does not say.
 * Lives as long as the rules. */
struct km_rule {
    const char *id; /* lower case */
    const char *title;
    const char *description;
    const char *status;
    const char *author;
    const char *logsource; /* "linux process_creation", "linux auditd", "komainu daemon" */
    const char *const *tags;
    size_t tag_count;
    const char *const *falsepositives;
    size_t falsepositive_count;
    const char *const *references;
    size_t reference_count;
    const char *file; /* the name given at loading, below a folder with its path */
    unsigned line;    /* where its document begins */
    enum km_rule_level level;
};

enum km_rule_outcome {
    KM_RULE_LOADED = 1,
    KM_RULE_REFUSED = 2,
    KM_RULE_HIDDEN = 3, /* its id was loaded before: that one is used */
};

/* What became of one rule of a file, or of the file (id and title "" then). Valid during the call. */
struct km_rule_report {
    const char *file;
    unsigned line; /* as near as can be told; 0 = the whole file */
    const char *id, *title;
    enum km_rule_outcome outcome;
    const struct km_err *reason; /* REFUSED: KM_FORMAT, KM_LIMIT, KM_UNSUPPORTED (valid Sigma), the I/O codes;
                                    HIDDEN: KM_CONFLICT. NULL for LOADED */
    const struct km_rule *rule;  /* LOADED, else NULL */
};

struct km_rules_listener { /* may be NULL where it is asked for */
    void *context;
    void (*report)(void *context, const struct km_rule_report *report);
};

/* Loads every document of a file from fd, which stays the caller's; `name` is for messages. A file that cannot be read
 * or is no YAML is one refusal, and so is each rule that is not supported; neither is a failure of the call. KM_NOMEM,
 * KM_LIMIT (KM_RULES_MAX). */
enum km_code km_rules_load_file(struct km_rules *rules, int fd, const char *name,
                                const struct km_rules_listener *listener, struct km_err *err) KM_MUST_USE;

/* Loads all *.yml and *.yaml below a folder, each level in the order of its names' bytes. dirfd stays the caller's.
 * Symbolic links, names that begin with a dot and files that are not regular are left alone. A folder below that cannot
 * be read is a refusal. KM_IO, KM_DENIED (the folder itself), KM_NOMEM, KM_LIMIT. */
enum km_code km_rules_load_folder(struct km_rules *rules, int dirfd, const char *name,
                                  const struct km_rules_listener *listener, struct km_err *err) KM_MUST_USE;

/* A file or a folder by its path. KM_NOTFOUND, and as above. */
enum km_code km_rules_load_path(struct km_rules *rules, const char *path, const struct km_rules_listener *listener,
                                struct km_err *err) KM_MUST_USE;

size_t km_rules_count(const struct km_rules *rules); /* loaded */

/* Rule i below km_rules_count, in the order of loading. */
const struct km_rule *km_rules_get(const struct km_rules *rules, size_t i);

#define KM_RULES_DIGEST_BYTES 65
/* SHA-256 in hexadecimal of all loaded rules, in order: the version of the rule set, for a finding. Changes when a rule
 * changes, not when a file is moved. out holds KM_RULES_DIGEST_BYTES. KM_NOMEM. */
enum km_code km_rules_digest(const struct km_rules *rules, char *out, struct km_err *err) KM_MUST_USE;

/* ---- matching ---- */

/* The process that acts. For EXEC and MEMFD_EXEC: the started program, as it is after the call; its parent is what
 * started it (the program before the call, or the process that forked). For IDENTITY: user and uid as they were before
 * the call. Texts are raw bytes; empty = not known. */
struct km_rule_process {
    struct km_bytes image;            /* absolute path; for EXEC empty means the landmark's path */
    struct km_bytes arguments;        /* separated by NUL, as /proc/PID/cmdline holds them */
    struct km_bytes parent_image;     /* absolute path */
    struct km_bytes parent_arguments; /* separated by NUL */
    struct km_bytes user;             /* name */
    struct km_bytes directory;        /* current; a path that is not absolute is taken from here */
    struct km_bytes comm;
    struct km_bytes unit;
    struct km_bytes role;
    uint32_t pid; /* 0: the event's tgid */
    uint32_t parent_pid;
    uint32_t uid; /* the effective one; KM_RULES_NO_UID = not known */
};

/* A value of the rule that the event met. */
struct km_rule_hit {
    const char *field;     /* "CommandLine"; for a keyword, where it was found */
    const char *pattern;   /* as the rule writes it, with modifiers: "endswith /bash" */
    struct km_bytes value; /* the field's, raw bytes */
};

/* One rule that fired. Valid during the call. */
struct km_rule_match {
    const struct km_rule *rule;
    const struct km_rule_hit *hits; /* at most KM_RULES_MAX_HITS: what the rule asked for, not what it excepted */
    size_t hit_count;
    unsigned unknown_fields; /* fields that the rule looked at and that were not known */
};

struct km_rules_matcher {
    void *context;
    enum km_code (*match)(void *context, const struct km_rule_match *match, struct km_err *err);
};

/* Calls matcher->match for each rule that fires on a landmark, once per rule, by log source and then in the order of
 * loading. Events of other kinds match nothing. Fails with the callback's code only, which ends it. */
enum km_code km_rules_match(struct km_rules *rules, const struct km_rule_process *process, const struct km_event *event,
                            const struct km_rules_matcher *matcher, struct km_err *err) KM_MUST_USE;

/* Whether any loaded rule looks at events like this one: when not, its process need not be described. */
bool km_rules_wants(const struct km_rules *rules, const struct km_event *event);

struct km_rules_stats {
    size_t loaded, refused, hidden, files;
    uint64_t events;         /* landmarks given to km_rules_match */
    uint64_t matches;        /* rules that fired */
    uint64_t regex_exceeded; /* expressions given up at KM_RULES_REGEX_STEPS */
    uint64_t values_cut;     /* longer than KM_RULES_MAX_VALUE_BYTES */
    const char *regex_title; /* a rule whose expression was given up, or NULL: to be said once */
};
void km_rules_get_stats(const struct km_rules *rules, struct km_rules_stats *out);

#endif
