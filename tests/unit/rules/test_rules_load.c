#define KM_TEST_NAME "rules_load"
#include "../cm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "rule_bench.h"

#define HEAD   "title: T\nlogsource: {product: linux, category: process_creation}\n"
#define AUDIT  "title: T\nlogsource: {product: linux, service: auditd}\n"
#define DETECT HEAD "detection:\n  s:\n    "
#define END    "\n  condition: s\n"

static struct told load_alone(const char *text, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    assert_non_null(rules);
    struct told told = load_text(rules, text, length);
    struct km_rules_stats stats;
    km_rules_get_stats(rules, &stats);
    assert_int_equal(stats.loaded, told.loaded);
    assert_int_equal(stats.refused, told.refused);
    assert_int_equal(stats.loaded, km_rules_count(rules));
    return told;
}

static void refusals_name_line_and_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum km_code code;
        unsigned line;
        const char *reason; /* a part of it */
    } rows[] = {
        {"", KM_FORMAT, 0, "holds no rule"},
        {"---\n---\n", KM_FORMAT, 0, "holds no rule"},
        {"title: [\n", KM_FORMAT, 2, "line 2"},
        {"- a\n- b\n", KM_FORMAT, 1, "no map"},
        {"logsource: {category: process_creation}\n", KM_FORMAT, 1, "no title"},
        {"title: ''\n", KM_FORMAT, 1, "no title"},
        {"title: T\n", KM_FORMAT, 1, "no logsource"},
        {"title: [a]\n", KM_FORMAT, 1, "'title' is no text"},
        {"title: T\nlevel: loud\n", KM_FORMAT, 1, "loud"},
        {"title: T\nid: 12\n", KM_FORMAT, 1, "id is no text"},
        {"title: T\nid: 'a b'\n", KM_FORMAT, 1, "other characters"},
        {"title: T\nlogsource: {}\n", KM_UNSUPPORTED, 1, "neither a category nor a service"},
        {"title: T\nlogsource: {product: linux}\n", KM_UNSUPPORTED, 1, "neither a category nor a service"},
        {"title: T\nlogsource: {product: windows, category: process_creation}\n", KM_UNSUPPORTED, 1, "windows"},
        {"title: T\nlogsource: {product: linux, category: dns_query}\n", KM_UNSUPPORTED, 1, "dns_query"},
        {"title: T\nlogsource: {product: linux, service: sshd}\n", KM_UNSUPPORTED, 1, "sshd"},
        {"title: T\nlogsource: {product: linux, service: [a]}\n", KM_FORMAT, 1, "service is no text"},
        {"title: T\nlogsource: {product: linux, host: x}\n", KM_UNSUPPORTED, 1, "host"},
        {HEAD, KM_FORMAT, 1, "no detection"},
        {HEAD "detection:\n  s: {Image: x}\n", KM_FORMAT, 3, "no condition"},
        {HEAD "detection:\n  s: {Image: x}\n  condition: []\n", KM_FORMAT, 3, "no condition"},
        {HEAD "detection:\n  s: {Image: x}\n  condition: {a: b}\n", KM_FORMAT, 5, "no text"},
        {HEAD "detection:\n  s: {}\n  condition: s\n", KM_FORMAT, 4, "empty map"},
        {HEAD "detection:\n  s: []\n  condition: s\n", KM_FORMAT, 4, "empty list"},
        {HEAD "detection:\n  s: [{Image: x}, word]\n  condition: s\n", KM_UNSUPPORTED, 4, "both maps and keywords"},
        {HEAD "detection:\n  s: [[a]]\n  condition: s\n", KM_FORMAT, 4, "a list or a map"},
        {HEAD "detection:\n  s: {Image: x}\n  timeframe: 5m\n  condition: s\n", KM_UNSUPPORTED, 5, "time frame"},
        {DETECT "Image: []" END, KM_FORMAT, 5, "empty list"},
        {DETECT "Image: {a: b}" END, KM_FORMAT, 5, "a list or a map"},
        {DETECT "Image: 1.5" END, KM_UNSUPPORTED, 5, "quotes"},
        {DETECT "Image|contains: null" END, KM_FORMAT, 5, "null"},
        {DETECT "Image|all: x" END, KM_FORMAT, 5, "before a list"},
        {DETECT "Image|wide: x" END, KM_UNSUPPORTED, 5, "'wide' is not supported"},
        {DETECT "Image|base64offset|contains: x" END, KM_UNSUPPORTED, 5, "base64offset"},
        {DETECT "CommandLine|windash|contains: x" END, KM_UNSUPPORTED, 5, "windash"},
        {DETECT "Image|fieldref: x" END, KM_UNSUPPORTED, 5, "fieldref"},
        {DETECT "Image|expand: '%x%'" END, KM_UNSUPPORTED, 5, "expand"},
        {DETECT "Image|like: x" END, KM_UNSUPPORTED, 5, "'like' is not known"},
        {DETECT "Image|contains|endswith: x" END, KM_FORMAT, 5, "contradicts"},
        {DETECT "Image|re|contains: x" END, KM_FORMAT, 5, "contradicts"},
        {DETECT "Image|i: x" END, KM_FORMAT, 5, "behind 're'"},
        {DETECT "Image|re|cased: x" END, KM_FORMAT, 5, "for strings only"},
        {DETECT "Image|re: '('" END, KM_FORMAT, 5, "regular expression"},
        {DETECT "Image|re: '(*UTF)a'" END, KM_FORMAT, 5, "regular expression"},
        {DETECT "Image|exists: maybe" END, KM_FORMAT, 5, "true or false"},
        {DETECT "ProcessId|lt: many" END, KM_FORMAT, 5, "whole number"},
        {DETECT "OriginalFileName: x" END, KM_UNSUPPORTED, 5, "never observed"},
        {DETECT "EventID: 4688" END, KM_UNSUPPORTED, 5, "no field of linux process_creation"},
        {DETECT "image: x" END, KM_UNSUPPORTED, 5, "no field"},
        {DETECT "'|endswith': [a]" END, KM_FORMAT, 5, "keywords"},
        {"title: T\nlogsource: {category: network_connection}\ndetection:\n  s:\n    DestinationIp|cidr: "
         "10.0.0.0/33" END,
         KM_FORMAT, 5, "no network"},
        {"title: T\nlogsource: {category: network_connection}\ndetection:\n  s:\n    DestinationIp|cidr: host/8" END,
         KM_FORMAT, 5, "no network"},
        {"title: T\nlogsource: {category: network_connection}\ndetection:\n  s:\n    DestinationHostname: x" END,
         KM_UNSUPPORTED, 5, "addresses, not names"},
        {AUDIT "detection:\n  s:\n    type: USER_LOGIN" END, KM_UNSUPPORTED, 5, "USER_LOGIN"},
        {AUDIT "detection:\n  s:\n    syscall: [execve, getdents]" END, KM_UNSUPPORTED, 5, "getdents"},
        {AUDIT "detection:\n  s:\n    key: x" END, KM_UNSUPPORTED, 5, "audit rules of a host"},
        {AUDIT "detection:\n  s:\n    type: SYSCALL\n    a0: x" END, KM_UNSUPPORTED, 4, "'a0' is not observed"},
        {AUDIT "detection:\n  s:\n    name: x\n    a0: x" END, KM_UNSUPPORTED, 4, "not observed in records"},
        {HEAD "correlation: {type: event_count}\n", KM_UNSUPPORTED, 1, "correlation"},
        {HEAD "filter: {rules: any}\n", KM_UNSUPPORTED, 1, "filter"},
        {"action: global\n" HEAD, KM_UNSUPPORTED, 1, "collection"},
        {HEAD "status: unsupported\n", KM_UNSUPPORTED, 1, "own status"},
        {"a: &a [*a]\n", KM_FORMAT, 1, "line 1"},
        {"title: \xff\n", KM_FORMAT, 1, "UTF-8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct told told = load_alone(rows[i].text, strlen(rows[i].text));
        if (told.loaded != 0 || told.refused != 1 || told.code != rows[i].code || told.line != rows[i].line ||
            !strstr(told.reason, rows[i].reason))
            fail_msg("row %zu: %s\n%u refused, line %u, %s: %s", i, rows[i].text, told.refused, told.line,
                     km_code_to_string(told.code), told.reason);
    }
}

static void wrong_conditions_table(void **state)
{
    (void)state;
    static const struct {
        const char *condition;
        enum km_code code;
        const char *reason;
    } rows[] = {
        {"''", KM_FORMAT, "operator"},
        {"s and", KM_FORMAT, "operator"},
        {"and s", KM_FORMAT, "operator"},
        {"s s", KM_FORMAT, "where 'and' or 'or' belongs"},
        {"s (s)", KM_FORMAT, "where 'and' or 'or' belongs"},
        {"(s", KM_FORMAT, "parentheses"},
        {"s)", KM_FORMAT, "parentheses"},
        {"()", KM_FORMAT, "operator"},
        {"not", KM_FORMAT, "operator"},
        {"s and not", KM_FORMAT, "operator"},
        {"nobody", KM_FORMAT, "'nobody'"},
        {"1 of nobody*", KM_FORMAT, "'nobody*'"},
        {"1 of", KM_FORMAT, "where a selection"},
        {"1 of (s)", KM_FORMAT, "behind 'of'"},
        {"2 of s*", KM_UNSUPPORTED, "'2 of'"},
        {"1 of *s*", KM_UNSUPPORTED, "one '*'"},
        {"s | count() > 3", KM_UNSUPPORTED, "aggregation"},
        {"s near s", KM_FORMAT, "where 'and' or 'or' belongs"},
        {"near s", KM_UNSUPPORTED, "near"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        int length =
            snprintf(text, sizeof text, "%sdetection:\n  s: {Image: x}\n  condition: %s\n", HEAD, rows[i].condition);
        struct told told = load_alone(text, (size_t)length);
        if (told.refused != 1 || told.code != rows[i].code || (rows[i].code == KM_UNSUPPORTED && told.line != 5))
            fail_msg("%s: %u refused, line %u, %s", rows[i].condition, told.refused, told.line, told.reason);
        if (!strstr(told.reason, rows[i].reason) && strcmp(rows[i].condition, "1 of") != 0)
            fail_msg("%s: %s", rows[i].condition, told.reason);
    }
}

/* A text made of a head, a part repeated, and an end. */
static struct told load_repeated(const char *head, const char *part, size_t times, const char *end)
{
    size_t part_length = strlen(part), length = strlen(head) + part_length * times + strlen(end);
    char *text = malloc(length + 1);
    assert_non_null(text);
    char *at = text + sprintf(text, "%s", head);
    for (size_t i = 0; i < times; i++, at += part_length)
        memcpy(at, part, part_length);
    memcpy(at, end, strlen(end));
    struct told told = load_alone(text, length);
    free(text);
    return told;
}

static void hostile_sizes_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *head, *part;
        size_t times;
        const char *end;
        enum km_code code;
    } rows[] = {
        {DETECT "Image: [", "a,", 1000000, "a]" END, KM_LIMIT},             /* a million values: the file */
        {DETECT "Image: [", "a,", 200000, "a]" END, KM_LIMIT},              /* the values of YAML */
        {DETECT "Image: [", "a,", KM_RULES_MAX_VALUES, "a]" END, KM_LIMIT}, /* those of a rule */
        {DETECT "Image: ", "a", 5000, END, KM_LIMIT},                       /* one value */
        {DETECT "Image|re: [", "a,", KM_RULES_MAX_REGEX, "a]" END, KM_LIMIT},
        {DETECT "Image|re: '", "(", 60, "'" END, KM_FORMAT},
        {DETECT "Image|re: '", "(a{1,200}){1,200}", 50, "'" END, KM_FORMAT},
        {HEAD "detection:\n  s: {Image: x}\n  condition: ", "(", 65, "s\n", KM_LIMIT},
        {HEAD "detection:\n  s: {Image: x}\n  condition: ", "not ", 65, "s\n", KM_LIMIT},
        {HEAD "detection:\n  s: {Image: x}\n  condition: ", "s and ", 600, "s\n", KM_LIMIT},
        {HEAD "detection:\n  s: {Image: x}\n  condition: ", "s", 200, "\n", KM_LIMIT},
        {HEAD "detection: ", "[", 100, "", KM_FORMAT},
        {HEAD "tags: [", "a,", 300, "a]\n", KM_LIMIT},
        {"title: T\nid: ", "a", 65, "\n", KM_FORMAT},
        {DETECT "", "x", 300, ": y" END, KM_LIMIT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct told told = load_repeated(rows[i].head, rows[i].part, rows[i].times, rows[i].end);
        bool depth = rows[i].part[0] == '[' && told.code == KM_LIMIT; /* of YAML: either */
        if (told.loaded != 0 || told.refused != 1 || (told.code != rows[i].code && !depth))
            fail_msg("row %zu: %u loaded, %u refused: %s: %s", i, told.loaded, told.refused,
                     km_code_to_string(told.code), told.reason);
    }
    assert_int_equal(load_repeated(DETECT "Image: [", "a,", KM_RULES_MAX_VALUES - 1, "a]" END).loaded, 1);
    assert_int_equal(load_repeated(HEAD "detection:\n  s: {Image: x}\n  condition: ", "(s) and ", 200, "s\n").loaded,
                     1);
    /* "1 of them" written out many times over many selections */
    char text[60000];
    int at = snprintf(text, sizeof text, "%sdetection:\n", HEAD);
    for (int i = 0; i < KM_RULES_MAX_REGEX * 4 - 1; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, "  s%d: {Image: x}\n", i);
    at += snprintf(text + at, sizeof text - (size_t)at, "  condition: 1 of them");
    for (int i = 0; i < 60; i++)
        at += snprintf(text + at, sizeof text - (size_t)at, " and 1 of them");
    struct told told = load_alone(text, (size_t)at);
    assert_int_equal(told.code, KM_LIMIT);
    assert_non_null(strstr(told.reason, "steps"));
}

static void documents_of_a_file_stand_alone(void **state)
{
    (void)state;
    static const char text[] = "# two of three\n---\ntitle: A\nid: a\nlogsource: {category: process_creation}\n"
                               "detection:\n  s: {Image: x}\n  condition: s\n---\n"
                               "title: B\nlogsource: {category: process_creation}\n"
                               "detection:\n  s:\n    CommandLine|wide: x\n  condition: s\n--- \n"
                               "title: C\nid: c\nlogsource: {category: process_creation}\n"
                               "detection:\n  s: {Image: y}\n  condition: s\n---\n";
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    struct told told = load_text(rules, text, sizeof text - 1);
    assert_int_equal(told.loaded, 2);
    assert_int_equal(told.refused, 1);
    assert_int_equal(km_rules_get(rules, 0)->line, 3);
    assert_int_equal(km_rules_get(rules, 1)->line, 17);
    assert_string_equal(km_rules_get(rules, 1)->title, "C");
    /* What comes behind a broken document is not read, what came before stays. */
    static const char broken[] = "title: D\nid: d\nlogsource: {category: process_creation}\n"
                                 "detection:\n  s: {Image: x}\n  condition: s\n---\ntitle: [\n---\ntitle: E\n";
    told = load_text(rules, broken, sizeof broken - 1);
    assert_int_equal(told.loaded, 1);
    assert_int_equal(told.refused, 1);
    assert_int_equal(told.line, 9);
}

static void the_first_of_an_id_counts(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    static const char one[] = "id: ABC\n" DETECT "Image: one" END, two[] = "id: abc\n" DETECT "Image: two" END;
    static const char nameless[] = DETECT "Image: one" END, other[] = DETECT "Image: two" END;
    char first[KM_RULES_DIGEST_BYTES], second[KM_RULES_DIGEST_BYTES];
    assert_int_equal(load_text(rules, one, sizeof one - 1).loaded, 1);
    assert_ok(km_rules_digest(rules, first, &err), err);
    struct told told = load_text(rules, two, sizeof two - 1);
    assert_int_equal(told.hidden, 1);
    assert_int_equal(told.code, KM_CONFLICT);
    assert_ok(km_rules_digest(rules, second, &err), err);
    assert_string_equal(first, second);
    /* Without an id, the content makes one. */
    assert_int_equal(load_text(rules, nameless, sizeof nameless - 1).loaded, 1);
    assert_int_equal(load_text(rules, nameless, sizeof nameless - 1).hidden, 1);
    assert_int_equal(load_text(rules, other, sizeof other - 1).loaded, 1);
    assert_int_equal(strncmp(km_rules_get(rules, 1)->id, "content-", 8), 0);
    assert_ok(km_rules_digest(rules, second, &err), err);
    assert_string_not_equal(first, second);
    assert_int_equal(km_rules_count(rules), 3);
}

/* ---- folders ---- */

static void write_rule(int dir, const char *name, const char *id)
{
    int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "id: %s\n%s", id, DETECT "Image: x" END) > 0);
    (void)close(fd);
}

static void a_folder_is_walked_in_order(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    char path[] = "/tmp/km_rules_XXXXXX", deep[KM_RULES_MAX_DEPTH * 2 + 3] = "d";
    assert_non_null(mkdtemp(path));
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(dir >= 0);
    write_rule(dir, "b.yml", "b");
    write_rule(dir, "a.yaml", "a");
    write_rule(dir, "c.txt", "c");
    write_rule(dir, ".d.yml", "hidden");
    assert_int_equal(symlinkat("b.yml", dir, "link.yml"), 0);
    assert_int_equal(mkfifoat(dir, "pipe.yml", 0600), 0);
    assert_int_equal(mkdirat(dir, "aa", 0700), 0);
    write_rule(dir, "aa/z.yml", "z");
    for (unsigned i = 0; i < KM_RULES_MAX_DEPTH; i++) { /* one level too many */
        assert_int_equal(mkdirat(dir, deep, 0700), 0);
        memcpy(deep + strlen(deep), "/d", 3);
    }
    struct told told = {0};
    struct km_rules_listener listener = {&told, note_report};
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    assert_ok(km_rules_load_folder(rules, dir, "folder/", &listener, &err), err);
    assert_int_equal(told.loaded, 3);
    assert_int_equal(told.refused, 1);
    assert_int_equal(told.code, KM_LIMIT);
    static const char *const ids[] = {"a", "z", "b"}, *const files[] = {"folder/a.yaml", "folder/aa/z.yml",
                                                                        "folder/b.yml"};
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(km_rules_get(rules, i)->id, ids[i]);
        assert_string_equal(km_rules_get(rules, i)->file, files[i]);
    }
    assert_int_equal(km_rules_load_path(rules, "/nowhere/at/all", NULL, &err), KM_NOTFOUND);
    assert_int_equal(km_rules_load_path(rules, "/dev/null", NULL, &err), KM_FORMAT);
    static const char *const names[] = {"b.yml", "a.yaml", "c.txt", ".d.yml", "link.yml", "pipe.yml", "aa/z.yml"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_int_equal(unlinkat(dir, names[i], 0), 0);
    assert_int_equal(unlinkat(dir, "aa", AT_REMOVEDIR), 0);
    for (char *cut = strrchr(deep, '/'); cut; cut = strrchr(deep, '/')) {
        *cut = '\0';
        assert_int_equal(unlinkat(dir, deep, AT_REMOVEDIR), 0);
    }
    (void)close(dir);
    assert_int_equal(rmdir(path), 0);
}

static void a_file_that_cannot_be_read_is_one_refusal(void **state)
{
    (void)state;
    struct km_err err = KM_ERR_INIT;
    struct told told = {0};
    struct km_rules_listener listener = {&told, note_report};
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = km_rules_new(&err);
    int fd = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_ok(km_rules_load_file(rules, fd, "folder", &listener, &err), err);
    (void)close(fd);
    assert_int_equal(told.refused, 1);
    assert_int_equal(told.code, KM_IO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refusals_name_line_and_reason),
        cmocka_unit_test(wrong_conditions_table),
        cmocka_unit_test(hostile_sizes_are_refused),
        cmocka_unit_test(documents_of_a_file_stand_alone),
        cmocka_unit_test(the_first_of_an_id_counts),
        cmocka_unit_test(a_folder_is_walked_in_order),
        cmocka_unit_test(a_file_that_cannot_be_read_is_one_refusal),
    };
    return KM_RUN_TESTS(tests);
}
