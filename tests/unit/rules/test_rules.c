#define KM_TEST_NAME "rules"
#include "../cm.h"

#include <fcntl.h>

#include "daemon/trace/calls.h"
#include "rule_bench.h"

#define NATIVE(name) ((uint16_t)km_call_find(name))

/* An event in which every field of process_creation has a value. */
static const struct km_rule_process shell = {
    .image = {"/usr/bin/bash", 13},
    .arguments = {"bash\0-c\0id > /tmp/Out*1?\\x\0", 27},
    .parent_image = {"/usr/sbin/nginx", 15},
    .parent_arguments = {"nginx: worker process\0", 22},
    .user = {"www-data", 8},
    .directory = {"/var/www", 8},
    .comm = {"bash", 4},
    .pid = 4711,
    .parent_pid = 80,
    .uid = 33,
};

static struct km_event landmark(enum km_landmark_kind kind, const char *path)
{
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 4711, .tgid = 4711};
    event.landmark.kind = (uint16_t)kind;
    event.landmark.outcome = KM_OUTCOME_OK;
    event.landmark.path = (struct km_bytes){path, strlen(path)};
    return event;
}

static bool fires(const char *logsource, const char *detection, const struct km_rule_process *process,
                  const struct km_event *event)
{
    char text[4096];
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    int length = snprintf(text, sizeof text, "title: T\nlogsource: %s\ndetection:\n%s", logsource, detection);
    assert_true(length > 0 && length < (int)sizeof text);
    struct told told = load_text(rules, text, (size_t)length);
    if (told.loaded != 1)
        fail_msg("refused: %s: %s", detection, told.reason);
    return match(rules, process, event).matches == 1;
}

#define PROCESS "{product: linux, category: process_creation}"

static bool shell_fires(const char *item)
{
    char detection[1024];
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    (void)snprintf(detection, sizeof detection, "  sel:\n    %s\n  condition: sel\n", item);
    return fires(PROCESS, detection, &shell, &event);
}

static void modifiers_table(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        bool fires;
    } rows[] = {
        {"Image: /usr/bin/bash", true},
        {"Image: /USR/bin/BASH", true},
        {"Image: bash", false},
        {"Image|cased: /usr/bin/Bash", false},
        {"Image|cased: /usr/bin/bash", true},
        {"Image|endswith: /bash", true},
        {"Image|endswith: /bas", false},
        {"Image|endswith: [/sh, /BASH]", true},
        {"Image|endswith|cased: /BASH", false},
        {"Image|startswith: /usr", true},
        {"Image|startswith: usr", false},
        {"Image|contains: R/B", true},
        {"Image|contains: r//b", false},
        {"Image|contains|all: [usr, bin, bash]", true},
        {"Image|contains|all: [usr, bin, zsh]", false},
        {"Image|contains: ''", true},
        {"CommandLine: 'bash -c id > /tmp/Out\\*1\\?\\\\x'", true},
        {"CommandLine: 'bash -c id > /tmp/out\\*1\\?\\x'", true}, /* a backslash before x is itself */
        {"CommandLine: 'bash -c id > /tmp/out\\\\*'", false},     /* an escaped backslash, then any run */
        {"CommandLine|contains: 'Out\\*1'", true},
        {"CommandLine|contains: 'Out\\?1'", false},
        {"CommandLine|contains: 'O?t?1'", true},
        {"CommandLine|contains: 'O?1'", false},
        {"CommandLine: 'bash*tmp*x'", true},
        {"CommandLine: 'bash*tmp*y'", false},
        {"CommandLine: '*'", true},
        {"CommandLine: '?*'", true},
        {"CommandLine|startswith: 'b?sh -'", true},
        {"CommandLine|endswith: '1*x'", true},
        {"CommandLine: 'bash -c id'", false},
        {"CommandLine|re: '^bash.+id'", true},
        {"CommandLine|re: '^BASH'", false},
        {"CommandLine|re|i: '^BASH'", true},
        {"CommandLine|re: 'id >\\s/tmp'", true},
        {"CommandLine|re: '\\d{3}'", false},
        {"CommandLine|re: ['^no', 'id']", true},
        {"CommandLine|re|all: ['^no', 'id']", false},
        {"ProcessId: 4711", true},
        {"ProcessId: '4711'", true},
        {"ProcessId: 471", false},
        {"ProcessId|gt: 4710", true},
        {"ProcessId|gt: 4711", false},
        {"ProcessId|gte: 4711", true},
        {"ProcessId|lt: 4711", false},
        {"ProcessId|lte: 4711", true},
        {"ProcessId|lt: -1", false},
        {"Image|lt: 5", false},
        {"User|exists: true", true},
        {"User|exists: false", false},
        {"User: null", false},
        {"User: ''", false},
        {"User: [null, www-data]", true},
        {"ParentImage|endswith: nginx\n    User: www-data", true},
        {"ParentImage|endswith: nginx\n    User: root", false},
        {"- Image: /bin/sh\n    - User: www-data", true},
        {"- Image: /bin/sh\n    - User: root", false},
        {"- 'worker PROCESS'", true}, /* keywords: any field */
        {"- 'no such'\n    - 'www-data'", true},
        {"- 'no such'", false},
        {"'|all': ['nginx', 'www-data']", true},
        {"'|all': ['nginx', 'apache']", false},
        {"ParentCommandLine: 'nginx: worker process'", true},
        {"CurrentDirectory: /var/www", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (shell_fires(rows[i].item) != rows[i].fires)
            fail_msg("'%s' should %s", rows[i].item, rows[i].fires ? "fire" : "not fire");
}

static void unknown_values_are_missing(void **state)
{
    (void)state;
    static const struct {
        const char *detection;
        bool fires;
    } rows[] = {
        {"  sel:\n    User: null\n  condition: sel\n", true},
        {"  sel:\n    User: ''\n  condition: sel\n", true},
        {"  sel:\n    User|exists: false\n  condition: sel\n", true},
        {"  sel:\n    User: '*'\n  condition: sel\n", false},
        {"  sel:\n    User|contains: ''\n  condition: sel\n", false},
        {"  sel:\n    User|re: '.*'\n  condition: sel\n", false},
        {"  sel:\n    Image: /bin/sh\n  f:\n    User: root\n  condition: sel and not f\n", true},
    };
    struct km_rule_process nothing = {.uid = KM_RULES_NO_UID};
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/bin/sh");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (fires(PROCESS, rows[i].detection, &nothing, &event) != rows[i].fires)
            fail_msg("%s should %s", rows[i].detection, rows[i].fires ? "fire" : "not fire");
}

static void conditions_table(void **state)
{
    (void)state;
    /* t1, t2, _t hold; f1, f2 do not */
    static const struct {
        const char *condition;
        bool fires;
    } rows[] = {
        {"t1", true},
        {"f1", false},
        {"not f1", true},
        {"not t1", false},
        {"not not t1", true},
        {"t1 and t2", true},
        {"t1 and f1", false},
        {"f1 and t1", false},
        {"f1 or t1", true},
        {"f1 or f2", false},
        {"t1 or f1 and f2", true}, /* and binds tighter */
        {"f1 and f2 or t1", true},
        {"(t1 or f1) and f2", false},
        {"f1 and (f2 or t1)", false},
        {"not f1 and t1", true},
        {"not (f1 and t1)", true},
        {"not (t1 or f1)", false},
        {"t1 and not f1 and not f2", true},
        {"not (not (t1))", true},
        {"t1 AND NOT f1", true},
        {"((t1))", true},
        {"1 of f*", false},
        {"1 of t*", true},
        {"any of t*", true},
        {"all of t*", true},
        {"all of f*", false},
        {"1 of *1", true},
        {"all of *1", false},
        {"1 of them", true},
        {"all of them", false},
        {"not 1 of f*", true},
        {"not all of t*", false},
        {"t1 and not 1 of f*", true},
        {"1 of f* or (t1 and all of t*)", true},
        {"1 of f* or all of t* and f1", false},
        {"(1 of t*) and (not f1 or f2)", true},
        {"1 of t1", true},
        {"_h and all of t*", true},
        {"[f1, t1]", true}, /* a list: any of them */
        {"[f1, f2]", false},
        {"[t1, f1]", true},
        {"[f1, 'f2 and t1', 'not f1']", true},
    };
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char detection[512];
        (void)snprintf(detection, sizeof detection,
                       "  t1:\n    Image|endswith: bash\n  t2:\n    User: www-data\n  f1:\n    User: root\n"
                       "  f2:\n    Image: x\n  _h:\n    User|contains: w\n  condition: %s\n",
                       rows[i].condition);
        if (fires(PROCESS, detection, &shell, &event) != rows[i].fires)
            fail_msg("'%s' should %s", rows[i].condition, rows[i].fires ? "hold" : "not hold");
    }
}

static void them_leaves_out_underscores(void **state)
{
    (void)state;
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    assert_true(
        fires(PROCESS, "  a:\n    User: www-data\n  _b:\n    User: root\n  condition: all of them\n", &shell, &event));
    assert_false(
        fires(PROCESS, "  a:\n    User: root\n  _b:\n    User: www-data\n  condition: 1 of them\n", &shell, &event));
}

static struct km_event address_event(enum km_landmark_kind kind, uint16_t family, const uint8_t *bytes, uint16_t port)
{
    struct km_event event = landmark(kind, "");
    event.landmark.address = (struct km_address){.family = family, .port = port, .length = family == 2 ? 4 : 16};
    memcpy(event.landmark.address.bytes, bytes, event.landmark.address.length);
    return event;
}

#define NETWORK "{product: linux, category: network_connection}"

static void addresses_table(void **state)
{
    (void)state;
    static const uint8_t v4[] = {10, 1, 2, 3};
    static const uint8_t v6[] = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x07};
    static const uint8_t mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 2, 3};
    static const struct {
        const uint8_t *bytes;
        size_t family;
        const char *item;
        bool fires;
    } rows[] = {
        {v4, 2, "DestinationIp: 10.1.2.3", true},
        {v4, 2, "DestinationIp|startswith: '10.'", true},
        {v4, 2, "DestinationIp|cidr: 10.0.0.0/8", true},
        {v4, 2, "DestinationIp|cidr: 10.1.2.3", true},
        {v4, 2, "DestinationIp|cidr: 10.1.2.2/31", true},
        {v4, 2, "DestinationIp|cidr: 10.1.2.0/31", false},
        {v4, 2, "DestinationIp|cidr: 11.0.0.0/8", false},
        {v4, 2, "DestinationIp|cidr: 0.0.0.0/0", true},
        {v4, 2, "DestinationIp|cidr: '::/0'", false},
        {v4, 2, "DestinationIp|cidr: [192.168.0.0/16, 10.0.0.0/9]", true},
        {mapped, 10, "DestinationIp|cidr: 10.0.0.0/8", true},
        {v6, 10, "DestinationIp: '2001:db8::7'", true},
        {v6, 10, "DestinationIp|cidr: '2001:db8::/33'", true},
        {v6, 10, "DestinationIp|cidr: '2001:db8:8000::/33'", false},
        {v6, 10, "DestinationIp|cidr: 10.0.0.0/8", false},
        {v4, 2, "DestinationPort: 4444", true},
        {v4, 2, "DestinationPort: [80, 443]", false},
        {v4, 2, "DestinationPort|gte: 1024", true},
        {v4, 2, "Initiated: 'true'", true},
        {v4, 2, "Initiated: true", true},
        {v4, 2, "Initiated: false", false},
        {v4, 2, "SourceIp|exists: true", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char detection[256];
        struct km_event event = address_event(KM_LANDMARK_CONNECT, (uint16_t)rows[i].family, rows[i].bytes, 4444);
        (void)snprintf(detection, sizeof detection, "  s:\n    %s\n  condition: s\n", rows[i].item);
        if (fires(NETWORK, detection, &shell, &event) != rows[i].fires)
            fail_msg("%s should %s", rows[i].item, rows[i].fires ? "fire" : "not fire");
    }
    struct km_event event = address_event(KM_LANDMARK_ACCEPT, 2, v4, 40000);
    assert_true(
        fires(NETWORK, "  s:\n    Initiated: 'false'\n    SourceIp: 10.1.2.3\n  condition: s\n", &shell, &event));
    /* A UNIX socket is no network connection. */
    event = landmark(KM_LANDMARK_CONNECT, "");
    event.landmark.address = (struct km_address){.family = 1, .length = 11, .bytes = "/run/x.sock"};
    assert_false(fires(NETWORK, "  s:\n    Image: '*'\n  condition: s\n", &shell, &event));
    assert_true(fires("{product: komainu, category: daemon}", "  s:\n    SocketPath|endswith: .sock\n  condition: s\n",
                      &shell, &event));
}

static void landmarks_reach_their_sources(void **state)
{
    (void)state;
    static const struct {
        const char *logsource, *item;
        enum km_landmark_kind kind;
        uint32_t flags;
        size_t outcome;
        const char *path;
        bool fires;
    } rows[] = {
        {"{product: linux, category: file_event}", "TargetFilename: /etc/cron.d/x", KM_LANDMARK_OPEN, O_WRONLY,
         KM_OUTCOME_OK, "/etc/cron.d/x", true},
        {"{product: linux, category: file_event}", "TargetFilename: /etc/cron.d/x", KM_LANDMARK_OPEN, O_WRONLY,
         KM_OUTCOME_UNKNOWN, "/etc//cron.d/./y/../x", true},
        {"{product: linux, category: file_event}", "TargetFilename: /etc/cron.d/x", KM_LANDMARK_OPEN, O_WRONLY,
         KM_OUTCOME_DENIED, "/etc/cron.d/x", false},
        {"{product: linux, category: file_event}", "TargetFilename: /etc/cron.d/x", KM_LANDMARK_OPEN, O_RDONLY,
         KM_OUTCOME_OK, "/etc/cron.d/x", false},
        {"{category: file_event}", "TargetFilename: /var/www/a", KM_LANDMARK_OPEN, O_CREAT, KM_OUTCOME_OK, "a", true},
        {"{product: linux, category: file_access}", "TargetFilename: /etc/shadow", KM_LANDMARK_OPEN, O_RDONLY,
         KM_OUTCOME_DENIED, "/etc/shadow", true},
        {"{product: linux, category: file_delete}", "TargetFilename: /var/log/x", KM_LANDMARK_UNLINK, 0, KM_OUTCOME_OK,
         "/var/log/x", true},
        {"{product: linux, category: file_event}", "TargetFilename: /var/log/x", KM_LANDMARK_UNLINK, 0, KM_OUTCOME_OK,
         "/var/log/x", false},
        {PROCESS, "Image: /bin/sh", KM_LANDMARK_EXEC, 0, KM_OUTCOME_ERROR, "/bin/sh", false},
        {"{product: komainu, category: daemon}", "Action: exec\n    Outcome: error", KM_LANDMARK_EXEC, 0,
         KM_OUTCOME_ERROR, "/bin/sh", true},
        {"{product: komainu, category: daemon}", "Action: open_write\n    Outcome: denied", KM_LANDMARK_OPEN, O_RDWR,
         KM_OUTCOME_DENIED, "/etc/shadow", true},
        {"{product: komainu, category: daemon}", "Zone: sensitive", KM_LANDMARK_OPEN, O_RDONLY, KM_OUTCOME_OK,
         "/etc/shadow", true},
        {"{product: komainu, category: daemon}", "Mode: '4755'", KM_LANDMARK_SETUID_BIT, 0, KM_OUTCOME_OK, "/tmp/s",
         true},
        {"{product: komainu, category: daemon}", "Writable: true", KM_LANDMARK_EXEC_MEMORY, 7, KM_OUTCOME_OK, "", true},
        {"{product: komainu, category: daemon}", "Writable: true", KM_LANDMARK_EXEC_MEMORY, 5, KM_OUTCOME_OK, "",
         false},
    };
    struct km_rule_process process = shell;
    process.image = (struct km_bytes){NULL, 0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char detection[256];
        struct km_event event = landmark(rows[i].kind, rows[i].path);
        event.landmark.flags = rows[i].flags;
        event.landmark.outcome = (uint8_t)rows[i].outcome;
        event.landmark.value = 04755;
        (void)snprintf(detection, sizeof detection, "  s:\n    %s\n  condition: s\n", rows[i].item);
        if (fires(rows[i].logsource, detection, &process, &event) != rows[i].fires)
            fail_msg("row %zu: %s should %s", i, rows[i].item, rows[i].fires ? "fire" : "not fire");
    }
    struct km_event event = landmark(KM_LANDMARK_RENAME, "temp.rdb");
    event.landmark.path2 = BYTES("/etc/cron.d/dump");
    assert_true(fires("{category: file_event}", "  s:\n    TargetFilename: /etc/cron.d/dump\n  condition: s\n", &shell,
                      &event));
    assert_true(
        fires("{category: file_rename}",
              "  s:\n    TargetFilename: /etc/cron.d/dump\n    SourceFilename: /var/www/temp.rdb\n  condition: s\n",
              &shell, &event));
}

static void audit_records_table(void **state)
{
    (void)state;
    static const struct {
        const char *item;
        bool fires;
    } rows[] = {
        {"type: SYSCALL\n    SYSCALL: execve", true},
        {"type: SYSCALL\n    syscall: connect", false},
        {"type: SYSCALL\n    exe: /usr/bin/bash\n    comm: bash", true},
        {"type: SYSCALL\n    success: 'yes'\n    uid: 33\n    pid: 4711\n    ppid: 80", true},
        {"type: EXECVE\n    a0: bash\n    a1: '-c'", true},
        {"type: EXECVE\n    a2|contains: '/tmp/'\n    argc: 3", true},
        {"a1: '-c'", true},
        {"a3: '*'", false},
        {"type: PATH\n    name: /usr/bin/bash\n    nametype: NORMAL", true},
        {"type: PATH\n    nametype: CREATE", false},
        {"type: [PATH, EXECVE]", true},
    };
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    event.landmark.number = NATIVE("execve");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char detection[256];
        (void)snprintf(detection, sizeof detection, "  s:\n    %s\n  condition: s\n", rows[i].item);
        if (fires("{product: linux, service: auditd}", detection, &shell, &event) != rows[i].fires)
            fail_msg("%s should %s", rows[i].item, rows[i].fires ? "fire" : "not fire");
    }
    event = landmark(KM_LANDMARK_RENAME, "/tmp/a");
    event.landmark.path2 = BYTES("/etc/b");
    assert_true(fires("{service: auditd, product: linux}",
                      "  s:\n    type: PATH\n    name: /tmp/a\n    nametype: DELETE\n  condition: s\n", &shell,
                      &event));
    assert_true(fires("{service: auditd, product: linux}",
                      "  s:\n    type: PATH\n    name: /etc/b\n    nametype: CREATE\n  condition: s\n", &shell,
                      &event));
}

/* One rule, two audit records of one event that it fits: told once. */
static void a_rule_is_told_once_an_event(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    static const char text[] = "title: Any\nlogsource: {product: linux, service: auditd}\n"
                               "detection:\n  s:\n    type: [SYSCALL, PATH, EXECVE]\n  condition: s\n";
    assert_int_equal(load_text(rules, text, sizeof text - 1).loaded, 1);
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    assert_int_equal(match(rules, &shell, &event).matches, 1);
    assert_int_equal(match(rules, &shell, &event).matches, 1);
    struct km_event call = {.kind = KM_EVENT_CALL};
    assert_true(km_rules_wants(rules, &event));
    assert_false(km_rules_wants(rules, &call));
    assert_int_equal(match(rules, &shell, &call).matches, 0);
}

static void a_match_says_what_was_asked_for(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    static const char text[] =
        "title: Shell \x07 of a server\nid: 7C0F0B6E-4A51-4F0E-9E34-111111111111\n"
        "description: |\n  One line,\n  and another.\nlevel: high\ntags: [attack.execution, attack.t1059]\n"
        "falsepositives: maintenance\nlogsource: " PROCESS "\n"
        "detection:\n  s:\n    Image|endswith: [/sh, /bash]\n    ParentImage|contains: nginx\n"
        "  k:\n    - tmp/out\n  f:\n    User: root\n    CommandLine|contains: apt\n  condition: s and k and not f\n";
    /* A control character is no YAML. */
    assert_int_equal(load_text(rules, text, sizeof text - 1).refused, 1);
    char clean[sizeof text];
    memcpy(clean, text, sizeof text);
    *strchr(clean, '\x07') = '-';
    assert_int_equal(load_text(rules, clean, sizeof clean - 1).loaded, 1);
    const struct km_rule *rule = km_rules_get(rules, 0);
    assert_string_equal(rule->id, "7c0f0b6e-4a51-4f0e-9e34-111111111111");
    assert_string_equal(rule->description, "One line, and another.");
    assert_int_equal(rule->level, KM_RULE_HIGH);
    assert_int_equal(rule->tag_count, 2);
    assert_string_equal(rule->tags[1], "attack.t1059");
    assert_int_equal(rule->falsepositive_count, 1);
    assert_string_equal(rule->status, "");
    assert_string_equal(rule->logsource, "linux process_creation");
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    struct km_rule_process process = shell;
    process.user = (struct km_bytes){NULL, 0};
    struct told told = match(rules, &process, &event);
    assert_int_equal(told.matches, 1);
    assert_string_equal(told.hits, "Image endswith /bash=/usr/bin/bash;ParentImage contains nginx=/usr/sbin/nginx;"
                                   "CommandLine contains tmp/out=bash -c id > /tmp/Out*1?\\x;");
    assert_int_equal(told.unknown_fields, 1); /* User, in the exception */
    assert_int_equal(match(rules, &shell, &event).unknown_fields, 0);
}

/* Nested repetition on a text that nearly fits: given up, counted, and not a match. */
static void a_regex_bomb_is_given_up(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    static const char text[] = "title: Bomb\nlogsource: " PROCESS "\ndetection:\n  s:\n"
                               "    CommandLine|re: '^(a+)+$'\n  condition: s\n";
    assert_int_equal(load_text(rules, text, sizeof text - 1).loaded, 1);
    char line[4000];
    memset(line, 'a', sizeof line);
    line[sizeof line - 1] = 'b';
    struct km_rule_process process = {.arguments = {line, sizeof line}, .uid = KM_RULES_NO_UID};
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/bin/x");
    struct km_rules_stats stats;
    assert_int_equal(match(rules, &process, &event).matches, 0);
    km_rules_get_stats(rules, &stats);
    assert_int_equal(stats.regex_exceeded, 1);
    assert_string_equal(stats.regex_title, "Bomb");
    process.arguments.length = 20;
    assert_int_equal(match(rules, &process, &event).matches, 1);
    km_rules_get_stats(rules, &stats);
    assert_int_equal(stats.regex_exceeded, 1);
    assert_int_equal(stats.matches, 1);
    assert_int_equal(stats.events, 2);
}

static void long_values_are_cut_and_counted(void **state)
{
    (void)state;
    static char line[300000];
    memset(line, 'x', sizeof line);
    memcpy(line + sizeof line - 6, "needle", 6); /* NOLINT(bugprone-not-null-terminated-result) */
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    static const char text[] = "title: Cut\nlogsource: " PROCESS "\ndetection:\n  s:\n"
                               "    CommandLine|contains: needle\n  condition: s\n";
    assert_int_equal(load_text(rules, text, sizeof text - 1).loaded, 1);
    struct km_bytes all = {line, sizeof line};
    struct km_rule_process process = {.image = all,
                                      .arguments = all,
                                      .parent_image = all,
                                      .parent_arguments = all,
                                      .user = all,
                                      .directory = all,
                                      .comm = all,
                                      .unit = all,
                                      .role = all};
    struct km_event event = landmark(KM_LANDMARK_OPEN, "");
    event.landmark.path = (struct km_bytes){line, 4096};
    event.landmark.kind = KM_LANDMARK_EXEC;
    struct km_rules_stats stats;
    assert_int_equal(match(rules, &process, &event).matches, 0);
    km_rules_get_stats(rules, &stats);
    assert_true(stats.values_cut > 0);
}

static enum km_code refuse_match(void *context, const struct km_rule_match *match, struct km_err *err)
{
    (void)context;
    (void)match;
    return km_fail(err, KM_CANCELLED, "enough");
}

static void a_callback_ends_the_matching(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    static const char text[] = "title: A\nlogsource: " PROCESS "\ndetection:\n  s:\n    Image: '*'\n  condition: s\n";
    assert_int_equal(load_text(rules, text, sizeof text - 1).loaded, 1);
    struct km_rules_matcher matcher = {NULL, refuse_match};
    struct km_event event = landmark(KM_LANDMARK_EXEC, "/usr/bin/bash");
    assert_int_equal(km_rules_match(rules, &shell, &event, &matcher, &err), KM_CANCELLED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(modifiers_table),
        cmocka_unit_test(unknown_values_are_missing),
        cmocka_unit_test(conditions_table),
        cmocka_unit_test(them_leaves_out_underscores),
        cmocka_unit_test(addresses_table),
        cmocka_unit_test(landmarks_reach_their_sources),
        cmocka_unit_test(audit_records_table),
        cmocka_unit_test(a_rule_is_told_once_an_event),
        cmocka_unit_test(a_match_says_what_was_asked_for),
        cmocka_unit_test(a_regex_bomb_is_given_up),
        cmocka_unit_test(long_values_are_cut_and_counted),
        cmocka_unit_test(a_callback_ends_the_matching),
    };
    return KM_RUN_TESTS(tests);
}
