#include "daemon/rules/rule_fields.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "daemon/trace/event.h"

#define BIT(source) (1u << (source))
#define PROCESS     BIT(KM_RULE_PROCESS_CREATION)
#define FILES       (BIT(KM_RULE_FILE_EVENT) | BIT(KM_RULE_FILE_ACCESS) | BIT(KM_RULE_FILE_DELETE) | BIT(KM_RULE_FILE_RENAME))
#define RENAME      BIT(KM_RULE_FILE_RENAME)
#define NETWORK     BIT(KM_RULE_NETWORK)
#define AUDITD      BIT(KM_RULE_AUDITD)
#define DAEMON      BIT(KM_RULE_DAEMON)
#define SIGMA       (PROCESS | FILES | NETWORK | DAEMON) /* those with field names of Sigma's own taxonomy */
#define SYSCALL     KM_RULE_AUDIT_SYSCALL
#define EXECVE      KM_RULE_AUDIT_EXECVE
#define PATH        KM_RULE_AUDIT_PATH

static const struct {
    const char *product, *category, *service;
} sources[KM_RULE_SOURCE_COUNT] = {
    [KM_RULE_PROCESS_CREATION] = {"linux", "process_creation", NULL},
    [KM_RULE_FILE_EVENT] = {"linux", "file_event", NULL},
    [KM_RULE_FILE_ACCESS] = {"linux", "file_access", NULL},
    [KM_RULE_FILE_DELETE] = {"linux", "file_delete", NULL},
    [KM_RULE_FILE_RENAME] = {"linux", "file_rename", NULL},
    [KM_RULE_NETWORK] = {"linux", "network_connection", NULL},
    [KM_RULE_AUDITD] = {"linux", NULL, "auditd"},
    [KM_RULE_DAEMON] = {"komainu", "daemon", NULL},
};

static const char *const source_names[KM_RULE_SOURCE_COUNT] = {
    [KM_RULE_PROCESS_CREATION] = "linux process_creation",
    [KM_RULE_FILE_EVENT] = "linux file_event",
    [KM_RULE_FILE_ACCESS] = "linux file_access",
    [KM_RULE_FILE_DELETE] = "linux file_delete",
    [KM_RULE_FILE_RENAME] = "linux file_rename",
    [KM_RULE_NETWORK] = "linux network_connection",
    [KM_RULE_AUDITD] = "linux auditd",
    [KM_RULE_DAEMON] = "komainu daemon",
};

static const struct {
    const char *name;
    enum km_rule_field field;
    unsigned sources;
    unsigned audit; /* records that have it */
} fields[] = {
    {"Image", KM_RULE_IMAGE, SIGMA, 0},
    {"CommandLine", KM_RULE_COMMAND_LINE, SIGMA, 0},
    {"ParentImage", KM_RULE_PARENT_IMAGE, SIGMA, 0},
    {"ParentCommandLine", KM_RULE_PARENT_COMMAND_LINE, SIGMA, 0},
    {"User", KM_RULE_USER, SIGMA, 0},
    {"CurrentDirectory", KM_RULE_DIRECTORY, SIGMA, 0},
    {"ProcessId", KM_RULE_PROCESS_ID, SIGMA, 0},
    {"ParentProcessId", KM_RULE_PARENT_PROCESS_ID, SIGMA, 0},
    {"TargetFilename", KM_RULE_TARGET_FILENAME, FILES | DAEMON, 0},
    {"SourceFilename", KM_RULE_SOURCE_FILENAME, RENAME | DAEMON, 0},
    {"DestinationIp", KM_RULE_DESTINATION_IP, NETWORK | DAEMON, 0},
    {"DestinationPort", KM_RULE_DESTINATION_PORT, NETWORK | DAEMON, 0},
    {"SourceIp", KM_RULE_SOURCE_IP, NETWORK | DAEMON, 0},
    {"SourcePort", KM_RULE_SOURCE_PORT, NETWORK | DAEMON, 0},
    {"Initiated", KM_RULE_INITIATED, NETWORK | DAEMON, 0},
    {"Action", KM_RULE_ACTION, DAEMON, 0},
    {"Outcome", KM_RULE_OUTCOME, DAEMON, 0},
    {"Zone", KM_RULE_ZONE, DAEMON, 0},
    {"Call", KM_RULE_CALL, DAEMON, 0},
    {"Unit", KM_RULE_UNIT, DAEMON, 0},
    {"Role", KM_RULE_ROLE, DAEMON, 0},
    {"Comm", KM_RULE_COMM, DAEMON, 0},
    {"Uid", KM_RULE_UID, DAEMON, 0},
    {"NewId", KM_RULE_NEW_ID, DAEMON, 0},
    {"Mode", KM_RULE_MODE, DAEMON, 0},
    {"Namespaces", KM_RULE_NAMESPACES, DAEMON, 0},
    {"Writable", KM_RULE_WRITABLE, DAEMON, 0},
    {"SocketPath", KM_RULE_SOCKET_PATH, DAEMON, 0},
    {"Value", KM_RULE_VALUE, DAEMON, 0},
    {"TargetProcessId", KM_RULE_TARGET_PROCESS_ID, DAEMON, 0},
    {"type", KM_RULE_AUDIT_TYPE, AUDITD, SYSCALL | EXECVE | PATH},
    {"SYSCALL", KM_RULE_CALL, AUDITD, SYSCALL},
    {"syscall", KM_RULE_CALL, AUDITD, SYSCALL},
    {"success", KM_RULE_AUDIT_SUCCESS, AUDITD, SYSCALL},
    {"exe", KM_RULE_IMAGE, AUDITD, SYSCALL},
    {"comm", KM_RULE_COMM, AUDITD, SYSCALL},
    {"pid", KM_RULE_PROCESS_ID, AUDITD, SYSCALL},
    {"ppid", KM_RULE_PARENT_PROCESS_ID, AUDITD, SYSCALL},
    {"uid", KM_RULE_UID, AUDITD, SYSCALL},
    {"euid", KM_RULE_UID, AUDITD, SYSCALL},
    {"argc", KM_RULE_AUDIT_ARGC, AUDITD, EXECVE},
    {"name", KM_RULE_AUDIT_NAME, AUDITD, PATH},
    {"nametype", KM_RULE_AUDIT_NAMETYPE, AUDITD, PATH},
};

/* Names that rules use and that no event of ours can have. */
static const struct {
    const char *name;
    unsigned sources;
    const char *why;
} unobserved[] = {
    {"DestinationHostname", NETWORK, "the probe sees addresses, not names"},
    {"SourceHostname", NETWORK, "the probe sees addresses, not names"},
    {"Protocol", NETWORK, "the probe does not tell it"},
    {"key", AUDITD, "it is set by the audit rules of a host"},
    {"LogonId", SIGMA, "it is not taken"},
    {"OriginalFileName", SIGMA, "it is known on Windows only"},
    {"IntegrityLevel", SIGMA, "it is known on Windows only"},
    {"Hashes", SIGMA, "programs are not hashed when they start"},
    {"ParentUser", SIGMA, "it is not taken"},
    {"auid", AUDITD, "it is not taken"},
    {"cwd", AUDITD, "it is not taken"},
    {"proctitle", AUDITD, "it is not taken"},
};

/* System calls that can be a landmark. */
static const char *const told_calls[] = {
    "open",     "openat",      "openat2",  "creat",         "connect",       "bind",
    "listen",   "accept",      "accept4",  "execve",        "execveat",      "setuid",
    "setgid",   "setreuid",    "setregid", "setresuid",     "setresgid",     "setfsuid",
    "setfsgid", "capset",      "unshare",  "setns",         "clone",         "clone3",
    "mmap",     "mprotect",    "ptrace",   "pkey_mprotect", "memfd_create",  "process_vm_writev",
    "bpf",      "init_module", "chmod",    "finit_module",  "delete_module", "fchmod",
    "fchmodat", "fchmodat2",   "unlink",   "rmdir",         "unlinkat",      "rename",
    "renameat", "renameat2",   "mount",    "move_mount",    "umount2",       "pivot_root",
    "chroot",   "kill",        "tkill",    "tgkill",
};
static const char *const audit_types[] = {"SYSCALL", "EXECVE", "PATH"};
static const char *const actions[KM_LANDMARK_KINDS + 1] = {
    [0] = "open_write",
    [KM_LANDMARK_EXEC] = "exec",
    [KM_LANDMARK_OPEN] = "open_read",
    [KM_LANDMARK_CONNECT] = "connect",
    [KM_LANDMARK_BIND] = "bind",
    [KM_LANDMARK_LISTEN] = "listen",
    [KM_LANDMARK_ACCEPT] = "accept",
    [KM_LANDMARK_IDENTITY] = "identity",
    [KM_LANDMARK_CAPABILITY] = "capability",
    [KM_LANDMARK_NAMESPACE] = "namespace",
    [KM_LANDMARK_EXEC_MEMORY] = "executable_memory",
    [KM_LANDMARK_MEMFD] = "memfd",
    [KM_LANDMARK_MEMFD_EXEC] = "memfd_exec",
    [KM_LANDMARK_PTRACE] = "ptrace",
    [KM_LANDMARK_MODULE] = "module",
    [KM_LANDMARK_SETUID_BIT] = "setuid_bit",
    [KM_LANDMARK_UNLINK] = "unlink",
    [KM_LANDMARK_RENAME] = "rename",
    [KM_LANDMARK_MOUNT] = "mount",
    [KM_LANDMARK_KILL] = "kill",
};
static const char *const outcomes[] = {"ok", "denied", "error"};
static const char *const truths[] = {"true", "false"};
static const char *const successes[] = {"yes", "no"};

static const struct {
    enum km_rule_field field;
    unsigned sources;
    const char *const *words;
    size_t count;
} vocabularies[] = {
    {KM_RULE_AUDIT_TYPE, AUDITD, audit_types, sizeof audit_types / sizeof audit_types[0]},
    {KM_RULE_CALL, AUDITD | DAEMON, told_calls, sizeof told_calls / sizeof told_calls[0]},
    {KM_RULE_ACTION, DAEMON, actions, KM_LANDMARK_KINDS},
    {KM_RULE_OUTCOME, DAEMON, outcomes, sizeof outcomes / sizeof outcomes[0]},
    {KM_RULE_INITIATED, NETWORK | DAEMON, truths, 2},
    {KM_RULE_WRITABLE, DAEMON, truths, 2},
    {KM_RULE_AUDIT_SUCCESS, AUDITD, successes, 2},
};

static bool same(const char *a, const char *b)
{
    return (!a && !b) || (a && b && strcmp(a, b) == 0);
}

enum km_code km_rule_source_find(const char *product, const char *category, const char *service,
                                 enum km_rule_source *out, struct km_err *err)
{
    bool product_known = !product;
    for (unsigned i = 0; i < KM_RULE_SOURCE_COUNT; i++) {
        bool product_fits = product ? same(product, sources[i].product) : strcmp(sources[i].product, "linux") == 0;
        product_known |= product_fits;
        if (product_fits && same(category, sources[i].category) && same(service, sources[i].service)) {
            *out = (enum km_rule_source)i;
            return KM_OK;
        }
    }
    if (!product_known)
        return km_fail(err, KM_UNSUPPORTED, "the rule is for the product '%s'", product);
    if (service)
        return km_fail(err, KM_UNSUPPORTED, "the service '%s'%s%s is not observed: its log is not read", service,
                       category ? " with the category " : "", category ? category : "");
    if (category)
        return km_fail(err, KM_UNSUPPORTED, "the category '%s' is not observed", category);
    return km_fail(err, KM_UNSUPPORTED, "the logsource names neither a category nor a service: it is for log files");
}

const char *km_rule_source_to_string(enum km_rule_source source)
{
    return source_names[source];
}

/* a0 … a15 of an audit record. */
static bool find_argument(const char *name, enum km_rule_field *out)
{
    size_t length = strlen(name);
    if (name[0] != 'a' || length < 2 || length > 3 || strspn(name + 1, "0123456789") != length - 1)
        return false;
    unsigned number = length == 2 ? (unsigned)(name[1] - '0') : (unsigned)((name[1] - '0') * 10 + name[2] - '0');
    if (number >= KM_RULE_ARGUMENTS)
        return false;
    *out = (enum km_rule_field)(KM_RULE_AUDIT_A0 + number);
    return true;
}

enum km_code km_rule_field_find(enum km_rule_source source, const char *name, enum km_rule_field *out,
                                struct km_err *err)
{
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if ((fields[i].sources & BIT(source)) && strcmp(fields[i].name, name) == 0) {
            *out = fields[i].field;
            return KM_OK;
        }
    if (source == KM_RULE_AUDITD && find_argument(name, out))
        return KM_OK;
    for (size_t i = 0; i < sizeof unobserved / sizeof unobserved[0]; i++)
        if ((unobserved[i].sources & BIT(source)) && strcmp(unobserved[i].name, name) == 0)
            return km_fail(err, KM_UNSUPPORTED, "the field '%s' is never observed: %s", name, unobserved[i].why);
    return km_fail(err, KM_UNSUPPORTED, "'%s' is no field of %s", name, source_names[source]);
}

static const char *argument_name(unsigned number)
{
    static const char *const names[KM_RULE_ARGUMENTS] = {"a0", "a1", "a2",  "a3",  "a4",  "a5",  "a6",  "a7",
                                                         "a8", "a9", "a10", "a11", "a12", "a13", "a14", "a15"};
    return names[number];
}

const char *km_rule_field_name(enum km_rule_source source, enum km_rule_field field)
{
    if (field >= KM_RULE_AUDIT_A0 && source == KM_RULE_AUDITD)
        return argument_name((unsigned)field - KM_RULE_AUDIT_A0);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if ((fields[i].sources & BIT(source)) && fields[i].field == field)
            return fields[i].name;
    return NULL;
}

uint64_t km_rule_source_fields(enum km_rule_source source)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].sources & BIT(source))
            bits |= KM_RULE_FIELD_BIT(fields[i].field);
    if (source == KM_RULE_AUDITD)
        for (unsigned i = 0; i < KM_RULE_ARGUMENTS; i++)
            bits |= KM_RULE_FIELD_BIT(KM_RULE_AUDIT_A0 + i);
    return bits;
}

unsigned km_rule_field_audit(enum km_rule_field field)
{
    if (field >= KM_RULE_AUDIT_A0)
        return EXECVE;
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (fields[i].sources == AUDITD && fields[i].field == field)
            return fields[i].audit;
    return 0;
}

bool km_rule_field_can_be(enum km_rule_source source, enum km_rule_field field, const char *value)
{
    for (size_t v = 0; v < sizeof vocabularies / sizeof vocabularies[0]; v++) {
        if (vocabularies[v].field != field || !(vocabularies[v].sources & BIT(source)))
            continue;
        for (size_t i = 0; i < vocabularies[v].count; i++)
            if (vocabularies[v].words[i] && strcasecmp(vocabularies[v].words[i], value) == 0)
                return true;
        return false;
    }
    return true;
}

const char *km_rule_action_name(unsigned landmark_kind, bool writes)
{
    if (landmark_kind == 0 || landmark_kind >= KM_LANDMARK_KINDS)
        return NULL;
    return actions[landmark_kind == KM_LANDMARK_OPEN && writes ? 0 : landmark_kind];
}
