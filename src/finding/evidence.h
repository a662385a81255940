/*
 * The evidence that komainu can give: ids, and the sentences made from them at output.
 *
 * An id is stable (it is stored and sent); its sentence is a template whose {name} parts are the evidence's arguments.
 * Another language is another table.
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
#define KM_EVIDENCE_DELETED         "layer.deleted"   /* layer */

/* Appends the English sentence for a piece of evidence; an id that the table lacks is printed with its arguments, so
 * that nothing is hidden. Argument text is escaped. KM_NOMEM, KM_LIMIT. */
enum km_code km_evidence_format(const struct km_evidence *evidence, struct km_buf *out, struct km_err *err) KM_MUST_USE;

/* What a person should do about evidence with this id: one sentence, or NULL. Static storage. */
const char *km_evidence_advice(const char *id);

/* Adds a named argument; KM_ASSERT when there are too many. */
void km_evidence_add_text(struct km_evidence *evidence, const char *name, const char *text);
void km_evidence_add_integer(struct km_evidence *evidence, const char *name, int64_t integer);

#endif
