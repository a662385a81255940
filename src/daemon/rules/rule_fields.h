/*
 * Log sources and their fields: what a rule may name, and for which records a field can have a value.
 */
#ifndef KM_RULES_RULE_FIELDS_H
#define KM_RULES_RULE_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum km_rule_source {
    KM_RULE_PROCESS_CREATION = 0,
    KM_RULE_FILE_EVENT = 1,
    KM_RULE_FILE_ACCESS = 2,
    KM_RULE_FILE_DELETE = 3,
    KM_RULE_FILE_RENAME = 4,
    KM_RULE_NETWORK = 5,
    KM_RULE_AUDITD = 6,
    KM_RULE_DAEMON = 7,
};
#define KM_RULE_SOURCE_COUNT 8

/* Records of the audit log, as bits. */
#define KM_RULE_AUDIT_SYSCALL 1u
#define KM_RULE_AUDIT_EXECVE  2u
#define KM_RULE_AUDIT_PATH    4u

#define KM_RULE_ARGUMENTS 16 /* a0 … a15 */

enum km_rule_field {
    KM_RULE_FIELD_NONE = 0,
    KM_RULE_IMAGE,
    KM_RULE_COMMAND_LINE,
    KM_RULE_PARENT_IMAGE,
    KM_RULE_PARENT_COMMAND_LINE,
    KM_RULE_USER,
    KM_RULE_DIRECTORY,
    KM_RULE_PROCESS_ID,
    KM_RULE_PARENT_PROCESS_ID,
    KM_RULE_TARGET_FILENAME,
    KM_RULE_SOURCE_FILENAME,
    KM_RULE_DESTINATION_IP,
    KM_RULE_DESTINATION_PORT,
    KM_RULE_SOURCE_IP,
    KM_RULE_SOURCE_PORT,
    KM_RULE_INITIATED,
    KM_RULE_ACTION,
    KM_RULE_OUTCOME,
    KM_RULE_ZONE,
    KM_RULE_CALL,
    KM_RULE_UNIT,
    KM_RULE_ROLE,
    KM_RULE_COMM,
    KM_RULE_UID,
    KM_RULE_NEW_ID,
    KM_RULE_MODE,
    KM_RULE_NAMESPACES,
    KM_RULE_WRITABLE,
    KM_RULE_SOCKET_PATH,
    KM_RULE_VALUE,
    KM_RULE_TARGET_PROCESS_ID,
    KM_RULE_AUDIT_TYPE,
    KM_RULE_AUDIT_NAME,
    KM_RULE_AUDIT_NAMETYPE,
    KM_RULE_AUDIT_SUCCESS,
    KM_RULE_AUDIT_ARGC,
    KM_RULE_AUDIT_A0,
    KM_RULE_AUDIT_A_LAST = KM_RULE_AUDIT_A0 + KM_RULE_ARGUMENTS - 1,
};
#define KM_RULE_FIELD_COUNT      (KM_RULE_AUDIT_A_LAST + 1)
#define KM_RULE_FIELD_BIT(field) (UINT64_C(1) << (field))

/* The source of a rule's logsource; NULL where it has no such key. KM_UNSUPPORTED. */
enum km_code km_rule_source_find(const char *product, const char *category, const char *service,
                                 enum km_rule_source *out, struct km_err *err) KM_MUST_USE;

/* "linux process_creation". Static storage. */
const char *km_rule_source_to_string(enum km_rule_source source);

/* The field of a name in a source. KM_UNSUPPORTED says whether the name is unknown or never observed. */
enum km_code km_rule_field_find(enum km_rule_source source, const char *name, enum km_rule_field *out,
                                struct km_err *err) KM_MUST_USE;

/* The name that a source gives a field, or NULL when it has none. Static storage. */
const char *km_rule_field_name(enum km_rule_source source, enum km_rule_field field);

/* All fields of a source, as bits: what a keyword is looked for in. */
uint64_t km_rule_source_fields(enum km_rule_source source);

/* In which audit records a field is, as KM_RULE_AUDIT_ bits. */
unsigned km_rule_field_audit(enum km_rule_field field);

/* Whether a field can ever have the value: for fields that have a fixed set of them, true for others. */
bool km_rule_field_can_be(enum km_rule_source source, enum km_rule_field field, const char *value);

/* The word for a landmark's kind ("listen"), or NULL. Static storage. */
const char *km_rule_action_name(unsigned landmark_kind, bool writes);

#endif
