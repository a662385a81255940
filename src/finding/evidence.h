/*
 * The evidence that komainu can give: ids, and the sentences made from them at output.
 *
 * An id is stable (it is stored and sent); its sentence is a template whose {name} parts are the evidence's arguments.
 * Another language is another catalogue (po/).
 */
#ifndef KM_FINDING_EVIDENCE_H
#define KM_FINDING_EVIDENCE_H

#include "base/buf.h"
#include "base/err.h"
#include "finding/finding.h"

#define KM_EVIDENCE_TEST_FILE       "inert.test-file" /* name */
#define KM_EVIDENCE_HASH_LISTED     "hash.listed"     /* list, name */
#define KM_EVIDENCE_UNOWNED         "package.unowned" /* database */
#define KM_EVIDENCE_CHANGED         "package.changed" /* package, actual */
#define KM_EVIDENCE_EXECUTABLE      "file.executable" /* format */
#define KM_EVIDENCE_SETUID          "file.setuid"     /* mode, uid */
#define KM_EVIDENCE_SYSTEM_PLACE    "place.system"    /* place */
#define KM_EVIDENCE_TEMPORARY_PLACE "place.temporary" /* place */
#define KM_EVIDENCE_HIDDEN_NAME     "place.hidden"    /* name */
#define KM_EVIDENCE_ODD_NAME        "name.odd"
#define KM_EVIDENCE_DELETED         "layer.deleted"     /* layer */
#define KM_EVIDENCE_TOKENS          "tokens.score"      /* score, words */
#define KM_EVIDENCE_BACKGROUND      "tokens.background" /* score */
#define KM_EVIDENCE_LOOKALIKE       "tokens.lookalike"  /* score, file, similarity */
#define KM_EVIDENCE_NETWORK         "network.score"     /* score, offset */
#define KM_EVIDENCE_PICTURE         "picture.score"     /* score, patches, above, threshold, benign, model */
#define KM_EVIDENCE_PART            "file.part"         /* begin, end */
#define KM_EVIDENCE_PACKED_FOREIGN  "packed.foreign"    /* packing */
#define KM_EVIDENCE_BASELINE_KNOWN  "baseline.known"

/* Of daemons. "first.<act>": an act that the role never did in `episodes` learned ones; what says on what. */
#define KM_EVIDENCE_FIRST_EXEC       "first.exec" /* what, arguments, episodes; the same for all of them: */
#define KM_EVIDENCE_FIRST_OPEN       "first.open"
#define KM_EVIDENCE_FIRST_CONNECT    "first.connect"
#define KM_EVIDENCE_FIRST_BIND       "first.bind"
#define KM_EVIDENCE_FIRST_LISTEN     "first.listen"
#define KM_EVIDENCE_FIRST_ACCEPT     "first.accept"
#define KM_EVIDENCE_FIRST_IDENTITY   "first.identity"
#define KM_EVIDENCE_FIRST_CAPABILITY "first.capability"
#define KM_EVIDENCE_FIRST_NAMESPACE  "first.namespace"
#define KM_EVIDENCE_FIRST_MEMORY     "first.executable-memory"
#define KM_EVIDENCE_FIRST_MEMFD      "first.memfd"
#define KM_EVIDENCE_FIRST_MEMFD_EXEC "first.memfd-exec"
#define KM_EVIDENCE_FIRST_PTRACE     "first.ptrace"
#define KM_EVIDENCE_FIRST_MODULE     "first.module"
#define KM_EVIDENCE_FIRST_SETUID_BIT "first.setuid-bit"
#define KM_EVIDENCE_FIRST_UNLINK     "first.unlink"
#define KM_EVIDENCE_FIRST_RENAME     "first.rename"
#define KM_EVIDENCE_FIRST_MOUNT      "first.mount"
#define KM_EVIDENCE_FIRST_KILL       "first.kill"
#define KM_EVIDENCE_SEQUENCE         "behaviour.sequence" /* calls, episodes: order and mix of the calls */
#define KM_EVIDENCE_CALL             "behaviour.call"     /* call, after, expected, bits: a part of the sequence */
#define KM_EVIDENCE_CALL_SET         "behaviour.call-set" /* calls, episodes */
#define KM_EVIDENCE_NEAREST          "behaviour.nearest"  /* episodes, extra, missing */
#define KM_EVIDENCE_RATE             "behaviour.rate"     /* per_second */
#define KM_EVIDENCE_PACE             "behaviour.pace"     /* per_second, times, learned */
#define KM_EVIDENCE_ERRORS           "behaviour.errors"   /* percent */
#define KM_EVIDENCE_NEW_ROLE         "role.new"           /* role, program, episodes */
#define KM_EVIDENCE_PROGRAM_CHANGED  "program.changed"    /* program, learned, running, package */
#define KM_EVIDENCE_RULE             "rule.matched"       /* rule, title, level, field, pattern, value */
#define KM_EVIDENCE_COMPARED_ACT     "compared.act"       /* episodes, one_in */
#define KM_EVIDENCE_COMPARED_SCORE   "compared.score"     /* score, threshold, one_in */
#define KM_EVIDENCE_ALONE            "confidence.alone"   /* unknown, needed */
#define KM_EVIDENCE_STARTING         "confidence.starting"
#define KM_EVIDENCE_UPGRADED         "confidence.upgraded" /* package, left */
#define KM_EVIDENCE_IMMATURE         "confidence.immature" /* episodes, novelty */
#define KM_EVIDENCE_LOST             "confidence.lost"     /* events */

/* Appends the sentence for a piece of evidence in the language of the process (base/words.h); an id that the table
 * lacks is printed with its arguments, so that nothing is hidden. Argument text is escaped. KM_NOMEM, KM_LIMIT. */
enum km_code km_evidence_format(const struct km_evidence *evidence, struct km_buf *out, struct km_err *err) KM_MUST_USE;

/* How well a sentence about this evidence tells what happened, beside its weight: 2 an act or a rule, 1 anything else
 * with a weight of its own, 0 a detail or a doubt. A finding's first sentence is made from the weightiest of the best.
 */
int km_evidence_rank(const char *id);

/* The evidence to begin with, or NULL when there is none. */
const struct km_evidence *km_evidence_first(const struct km_finding *finding);

/* What a person should do about evidence with this id: one sentence, or NULL. Static storage. */
const char *km_evidence_advice(const char *id);

/* Adds a named argument; KM_ASSERT when there are too many. */
void km_evidence_add_text(struct km_evidence *evidence, const char *name, const char *text);
void km_evidence_add_real(struct km_evidence *evidence, const char *name, double real); /* NaN: unknown */
void km_evidence_add_integer(struct km_evidence *evidence, const char *name, int64_t integer);

#endif
