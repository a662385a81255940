#include "finding/evidence.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "base/words.h"

#define LONGEST_ARGUMENT_BYTES 1024

static const struct {
    const char *id;
    const char *sentence;
    const char *advice;
} sentences[] = {
    {KM_EVIDENCE_TEST_FILE, "it is {name}: harmless, and meant to be found",
     "Ask who put the test file there; if it was a test of the scanner, it worked. Remove it from the image."},
    {KM_EVIDENCE_HASH_LISTED, "its SHA-256 is on the list {list} as \"{name}\"",
     "Treat it as what the list says. Do not run the image; keep it for analysis, and rebuild it without this file."},
    {KM_EVIDENCE_UNOWNED, "no package of the image's {database} database owns it",
     "Compare with the image's build file: if a step copies or downloads it on purpose, note that; if none does, ask "
     "where it came from."},
    {KM_EVIDENCE_CHANGED, "it differs from what package {package} shipped (MD5 here {actual})",
     "Reinstall the package in the build and compare; a packaged program that was changed later needs an explanation."},
    {KM_EVIDENCE_EXECUTABLE, "it is executable ({format})", NULL},
    {KM_EVIDENCE_SETUID, "it runs with its owner's rights (mode {mode}, owner {uid})", NULL},
    {KM_EVIDENCE_SYSTEM_PLACE, "it lies in {place}, where packages put their programs", NULL},
    {KM_EVIDENCE_TEMPORARY_PLACE, "it lies in {place}, which is for temporary files", NULL},
    {KM_EVIDENCE_HIDDEN_NAME, "its name is hidden ({name})", NULL},
    {KM_EVIDENCE_ODD_NAME, "the archive stores it under a name that climbs with '..' or cannot be kept whole",
     "Honest tools do not store such names: who unpacks this archive without care may overwrite files elsewhere. Ask "
     "where the archive comes from."},
    {KM_EVIDENCE_DELETED, "a later layer deletes it ({layer}), but the image still carries it",
     "Anyone who has the image has this file; if it is a secret or unwanted, rebuild without the layer that added it."},
    {KM_EVIDENCE_FIRST_EXEC, "it started the program {what}, which it never did while it was learned ({arguments})",
     "Ask who runs this server whether it is meant to start that program. If not, treat the server as taken over: keep "
     "its logs, look at what the program did, and cut it off from the network."},
    {KM_EVIDENCE_FIRST_OPEN, "it opened files in a place it never used: {what}",
     "Look whether a change of its configuration explains the place. If none does, find out who made it read or write "
     "there, and what the file holds."},
    {KM_EVIDENCE_FIRST_CONNECT, "it connected to an address of a kind it never used: {what}",
     "Ask whether this server is meant to call others. If not, look at what it sent and from which request that came."},
    {KM_EVIDENCE_FIRST_BIND, "it took an address it never used: {what}",
     "Look whether its configuration names this address; if not, find out who opened it."},
    {KM_EVIDENCE_FIRST_LISTEN, "it listens where it never did: {what}",
     "Look whether its configuration names this port; a port that nobody asked for is a way in for others."},
    {KM_EVIDENCE_FIRST_ACCEPT, "it was reached from a kind of network that never did: {what}",
     "Look whether the firewall and the server's configuration mean to let that network in."},
    {KM_EVIDENCE_FIRST_IDENTITY, "it changed to a user or group it never was: {what}",
     "A server that changes its user on its own may be giving itself rights; compare with its configuration."},
    {KM_EVIDENCE_FIRST_CAPABILITY, "it set rights it never had set: {what}",
     "Compare with its unit file; a server that changes its own rights needs an explanation."},
    {KM_EVIDENCE_FIRST_NAMESPACE, "it entered or made a namespace, which it never did: {what}",
     "Servers seldom do that by themselves; ask whether a sandbox or container was configured."},
    {KM_EVIDENCE_FIRST_MEMORY, "it made memory executable in a way it never did: {what}",
     "Foreign code may have been loaded. Look for a new plug-in or library; if there is none, treat it as an attack."},
    {KM_EVIDENCE_FIRST_MEMFD, "it made a file that exists in memory only: {what}",
     "This is a usual way to hide a program. Unless the software is known to do it, look at the process now."},
    {KM_EVIDENCE_FIRST_MEMFD_EXEC, "it started a program that exists in memory only: {what}",
     "Treat it as an attack: keep the machine running, save the process's memory, cut the network."},
    {KM_EVIDENCE_FIRST_PTRACE, "it looked into or changed another process: {what}",
     "Servers do not debug others. Unless somebody debugs here, treat it as an attack."},
    {KM_EVIDENCE_FIRST_MODULE, "it loaded code into the kernel: {what}",
     "Treat it as an attack unless an administrator did it: what runs in the kernel can hide everything."},
    {KM_EVIDENCE_FIRST_SETUID_BIT, "it made a file that runs with its owner's rights: {what}",
     "Remove the bit unless somebody can say what it is for."},
    {KM_EVIDENCE_FIRST_UNLINK, "it deleted a file in a system place: {what}",
     "Look at what is missing, and restore it; ask why the server may write there."},
    {KM_EVIDENCE_FIRST_RENAME, "it renamed a file in a system place: {what}",
     "Look at both names; a replaced system file needs an explanation."},
    {KM_EVIDENCE_FIRST_MOUNT, "it mounted or unmounted a file system: {what}",
     "Ask whether its configuration says so; mounts can hide files or open others."},
    {KM_EVIDENCE_FIRST_KILL, "it sent a signal to a foreign process: {what}",
     "Look at which process got it and whether it still runs."},
    {KM_EVIDENCE_SEQUENCE,
     "{calls} system calls came in an order or mix that its {episodes} learned episodes hardly know",
     "Compare with the log of the server at this time: which request was that? If it was ordinary, accept it with "
     "'komainu profile accept'."},
    {KM_EVIDENCE_CALL, "after {after} came {call}; expected instead: {expected}", NULL},
    {KM_EVIDENCE_CALL_SET, "it used a set of system calls unlike any learned one", NULL},
    {KM_EVIDENCE_NEAREST,
     "nearest normal episode (seen {episodes} times): this one has besides: {extra}; it lacks: "
     "{missing}",
     NULL},
    {KM_EVIDENCE_RATE, "it made {per_second} calls a second, another pace than usual",
     "Look at the load at this time; a sudden pace may be a scan, a loop, or an attack by many requests."},
    {KM_EVIDENCE_PACE,
     "over ten seconds it made {per_second} calls a second, {times} times as many as in the busiest ten seconds that "
     "were "
     "learned ({learned})",
     "Look at who asks it for so much at this time: a scan, a loop, an attack by many requests, or simply more users. "
     "If "
     "it stays so, learn it again (komainu guard --relearn --learn)."},
    {KM_EVIDENCE_ERRORS, "{percent} % of its calls failed, more than usual",
     "Many failures can mean that somebody tries what is not allowed; look at the server's log."},
    {KM_EVIDENCE_NEW_ROLE,
     "a kind of thread appeared that none of {episodes} learned episodes had: {role}, program {program}",
     "Ask whether the server was changed to do something new. If so, learn it again (komainu guard --relearn); if not, "
     "look at that program now."},
    {KM_EVIDENCE_PROGRAM_CHANGED,
     "its program {program} is another one than was learned, and no upgrade of a package "
     "explains it (build {learned} then, {running} now)",
     "Compare the file with its package (dpkg --verify). A server program that nobody upgraded and that changed must "
     "be taken for replaced by an intruder."},
    {KM_EVIDENCE_RULE, "rule \"{title}\" ({level}) fired: {field} {pattern}: {value}",
     "The rule describes a known way of attack. Look at the process and who started it; if it is meant, write a "
     "decision for it."},
    {KM_EVIDENCE_COMPARED_ACT,
     "compared with {episodes} learned episodes: none of them had it, and at most one in {one_in} brought anything new "
     "of its kind",
     NULL},
    {KM_EVIDENCE_COMPARED_SCORE,
     "compared with its ordinary episodes: its strangeness is {score}, and about one in {one_in} of them reaches "
     "{threshold}",
     NULL},
    {KM_EVIDENCE_ALONE,
     "nothing but the order and mix of calls is strange, {unknown} unknown runs of six within ten seconds where "
     "{needed} would count, and no act is new: rare ordinary work looks so, too; trust this less",
     NULL},
    {KM_EVIDENCE_UPGRADED,
     "the package was upgraded to {package} after this was learned, and for {left} more episodes what is only somewhat "
     "strange is taken for the new version's: trust this less",
     NULL},
    {KM_EVIDENCE_STARTING,
     "its process was starting or ending, which was never learned, so that much of this may be ordinary: trust this "
     "less",
     NULL},
    {KM_EVIDENCE_IMMATURE,
     "its profile is young ({episodes} episodes, {novelty} % of what came was new to the last): "
     "trust this less",
     NULL},
    {KM_EVIDENCE_LOST, "{events} events were lost before it: trust this less", NULL},
    {KM_EVIDENCE_TOKENS, "its words score {score} for likeness to tools of attack: {words}",
     "Look at what the file is for: administrators' tools use the same words. If it belongs here, say so with a "
     "decision or add the image to the site's baseline."},
    {KM_EVIDENCE_BACKGROUND, "its words stand out in this container (by {score} deviations)", NULL},
    {KM_EVIDENCE_LOOKALIKE,
     "of the known files, {file} is nearest (similarity {similarity}, less the nearest benign file's: {score})",
     "Compare with the named tool: another build or release of it has the same words. Ask who needs it in this image."},
    {KM_EVIDENCE_NETWORK, "the network scores its bytes {score}, highest at offset {offset}", NULL},
    {KM_EVIDENCE_PICTURE,
     "the network {model} scores its picture {score} at most; {above} of {patches} patches are above {threshold}",
     "The picture tells no file: 'komainu render --byte' names the one at an offset, and a scan without --view tar "
     "looks at each."},
    {KM_EVIDENCE_PART,
     "it is several files one behind the other; this is said of the one from byte {begin} to byte {end}", NULL},
    {KM_EVIDENCE_PACKED_FOREIGN, "it is packed ({packing}), could not be looked into, and nobody vouches for it",
     "Ask for the unpacked program; what must hide its content in an image needs an explanation."},
    {KM_EVIDENCE_BASELINE_KNOWN, "the site's baseline has exactly this content", NULL},
};

static size_t find_row(const char *id)
{
    size_t i = 0;
    while (i < sizeof sentences / sizeof sentences[0] && strcmp(sentences[i].id, id) != 0)
        i++;
    return i;
}

static enum km_code append_argument(const struct km_arg *arg, struct km_buf *out, struct km_err *err)
{
    char text[LONGEST_ARGUMENT_BYTES];
    switch (arg->type) {
    case KM_ARG_TEXT:
        km_text_escape(arg->text, strlen(arg->text), text, sizeof text);
        return km_buf_append_text(out, text, err);
    case KM_ARG_INTEGER:
        return km_buf_append_format(out, err, "%" PRId64, arg->integer);
    case KM_ARG_REAL:
        return isnan(arg->real) ? km_buf_append_text(out, "unknown", err)
                                : km_buf_append_format(out, err, "%.3g", arg->real);
    }
    return km_fail(err, KM_FORMAT, "an argument of unknown type");
}

static enum km_code append_unknown(const struct km_evidence *evidence, struct km_buf *out, struct km_err *err)
{
    enum km_code code = km_buf_append_text(out, evidence->id, err);
    for (size_t i = 0; code == KM_OK && i < evidence->arg_count; i++) {
        code = km_buf_append_format(out, err, " %s=", evidence->args[i].name);
        if (code == KM_OK)
            code = append_argument(&evidence->args[i], out, err);
    }
    return code;
}

static const struct km_arg *find_argument(const struct km_evidence *evidence, const char *name, size_t length)
{
    for (size_t i = 0; i < evidence->arg_count; i++)
        if (strlen(evidence->args[i].name) == length && strncmp(evidence->args[i].name, name, length) == 0)
            return &evidence->args[i];
    return NULL;
}

enum km_code km_evidence_format(const struct km_evidence *evidence, struct km_buf *out, struct km_err *err)
{
    size_t row = find_row(evidence->id);
    if (row == sizeof sentences / sizeof sentences[0])
        return append_unknown(evidence, out, err);
    enum km_code code = KM_OK;
    for (const char *at = km_words(sentences[row].sentence); *at && code == KM_OK;) {
        size_t plain = strcspn(at, "{");
        code = km_buf_append(out, at, plain, err);
        at += plain;
        if (*at != '{' || code != KM_OK)
            continue;
        size_t length = strcspn(at + 1, "}");
        const struct km_arg *arg = find_argument(evidence, at + 1, length);
        code = arg ? append_argument(arg, out, err) : km_buf_append_text(out, "?", err);
        at += 1 + length;
        at += *at == '}'; /* a catalogue may be damaged */
    }
    return code;
}

const char *km_evidence_advice(const char *id)
{
    size_t row = find_row(id);
    const char *advice = row < sizeof sentences / sizeof sentences[0] ? sentences[row].advice : NULL;
    return advice ? km_words(advice) : NULL;
}

int km_evidence_rank(const char *id)
{
    static const char *const acts[] = {"first.", "rule.", "program."};
    static const char *const details[] = {"confidence.", "compared."};
    for (size_t i = 0; i < sizeof acts / sizeof acts[0]; i++)
        if (strncmp(id, acts[i], strlen(acts[i])) == 0)
            return 2;
    for (size_t i = 0; i < sizeof details / sizeof details[0]; i++)
        if (strncmp(id, details[i], strlen(details[i])) == 0)
            return 0;
    return strcmp(id, KM_EVIDENCE_CALL) != 0 && strcmp(id, KM_EVIDENCE_NEAREST) != 0;
}

const struct km_evidence *km_evidence_first(const struct km_finding *finding)
{
    const struct km_evidence *best = NULL;
    int best_rank = -1;
    for (size_t i = 0; i < finding->evidence_count; i++) {
        const struct km_evidence *evidence = &finding->evidence[i];
        int rank = km_evidence_rank(evidence->id);
        if (!best || rank > best_rank || (rank == best_rank && evidence->weight > best->weight)) {
            best = evidence;
            best_rank = rank;
        }
    }
    return best;
}

static struct km_arg *add(struct km_evidence *evidence, const char *name, enum km_arg_type type)
{
    KM_ASSERT(evidence->arg_count < KM_EVIDENCE_MAX_ARGS);
    struct km_arg *arg = &evidence->args[evidence->arg_count++];
    *arg = (struct km_arg){.name = name, .type = type};
    return arg;
}

void km_evidence_add_text(struct km_evidence *evidence, const char *name, const char *text)
{
    add(evidence, name, KM_ARG_TEXT)->text = text ? text : "";
}

void km_evidence_add_real(struct km_evidence *evidence, const char *name, double real)
{
    add(evidence, name, KM_ARG_REAL)->real = real;
}

void km_evidence_add_integer(struct km_evidence *evidence, const char *name, int64_t integer)
{
    add(evidence, name, KM_ARG_INTEGER)->integer = integer;
}
