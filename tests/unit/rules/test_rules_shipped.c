/* Every rule that is installed: an event that fires it, and one that nearly does. */
#define KM_TEST_NAME "rules_shipped"
#include "../cm.h"

#include <fcntl.h>
#include <stdlib.h>

#include "daemon/trace/calls.h"
#include "rule_bench.h"

static const uint8_t public_address[4] = {8, 8, 4, 4};
static const uint8_t private_address[4] = {10, 0, 0, 7};

struct row {
    const char *rule;
    bool fires;
    enum km_landmark_kind kind;
    const char *image, *parent, *path, *path2, *call;
    const uint8_t *address;
    uint64_t value;
    uint32_t flags, peer;
    uint8_t outcome;
    uint32_t uid;
};

#define EXEC(name, truth, from, program)                                                                               \
    {                                                                                                                  \
        .rule = (name), .fires = (truth), .kind = KM_LANDMARK_EXEC, .parent = (from), .image = (program)               \
    }
#define WRITE(name, truth, by, file)                                                                                   \
    {                                                                                                                  \
        .rule = (name), .fires = (truth), .kind = KM_LANDMARK_OPEN, .image = (by), .path = (file),                     \
        .flags = O_WRONLY | O_CREAT                                                                                    \
    }
#define READ(name, truth, by, file)                                                                                    \
    {                                                                                                                  \
        .rule = (name), .fires = (truth), .kind = KM_LANDMARK_OPEN, .image = (by), .path = (file)                      \
    }

static const struct row rows[] = {
    EXEC("server_starts_shell", true, "/usr/sbin/nginx", "/usr/bin/dash"),
    EXEC("server_starts_shell", true, "/usr/sbin/php-fpm8.2", "/bin/sh"),
    EXEC("server_starts_shell", true, "/usr/lib/postgresql/15/bin/postgres", "/bin/sh"),
    EXEC("server_starts_shell", false, "/usr/sbin/nginx", "/usr/sbin/nginx"),
    EXEC("server_starts_shell", false, "/usr/sbin/cron", "/bin/sh"),
    EXEC("server_starts_downloader", true, "/usr/bin/redis-server", "/usr/bin/curl"),
    EXEC("server_starts_downloader", false, "/usr/bin/redis-server", "/usr/bin/curlew"),
    EXEC("server_starts_compiler", true, "/usr/sbin/apache2", "/usr/bin/gcc-12"),
    EXEC("server_starts_compiler", false, "/usr/bin/make", "/usr/bin/gcc-12"),
    EXEC("server_starts_package_manager", true, "/usr/sbin/apache2", "/usr/bin/apt-get"),
    EXEC("server_starts_package_manager", false, "/usr/bin/unattended-upgrade", "/usr/bin/apt-get"),
    EXEC("program_from_temporary_folder", true, "/bin/sh", "/dev/shm/.x"),
    EXEC("program_from_temporary_folder", true, "/bin/sh", "/tmp/a/b"),
    EXEC("program_from_temporary_folder", false, "/bin/sh", "/usr/bin/tmp"),
    EXEC("program_from_temporary_folder", false, "/usr/bin/dpkg", "/tmp/preinst"),
    {.rule = "program_from_memory", .fires = true, .kind = KM_LANDMARK_MEMFD_EXEC, .image = "/memfd:a (deleted)"},
    EXEC("program_from_memory", true, "/usr/sbin/nginx", "/proc/self/fd/3"),
    {.rule = "program_from_memory", .kind = KM_LANDMARK_MEMFD, .image = "/usr/sbin/nginx", .path = "a"},
    {.rule = "program_from_memory", .kind = KM_LANDMARK_MEMFD_EXEC, .image = "/usr/bin/runc"},
    WRITE("write_scheduled_job", true, "/usr/bin/redis-server", "/var/spool/cron/crontabs/root"),
    WRITE("write_scheduled_job", true, "/usr/sbin/nginx", "/etc/crontab"),
    WRITE("write_scheduled_job", false, "/usr/bin/crontab", "/var/spool/cron/crontabs/root"),
    WRITE("write_scheduled_job", false, "/usr/sbin/nginx", "/etc/cron"),
    READ("write_scheduled_job", false, "/usr/sbin/nginx", "/etc/crontab"),
    WRITE("write_system_service", true, "/usr/sbin/nginx", "/etc/systemd/system/x.service"),
    WRITE("write_system_service", true, "/usr/sbin/nginx", "/etc/rc3.d/S01x"),
    WRITE("write_system_service", false, "/usr/sbin/nginx", "/etc/systemd/journald.conf"),
    WRITE("write_ssh_authorized_keys", true, "/usr/bin/redis-server", "/root/.ssh/authorized_keys"),
    WRITE("write_ssh_authorized_keys", false, "/usr/bin/redis-server", "/root/.ssh/known_hosts"),
    WRITE("write_account_files", true, "/usr/sbin/nginx", "/etc/passwd"),
    WRITE("write_account_files", true, "/usr/sbin/nginx", "/etc/sudoers.d/x"),
    WRITE("write_account_files", false, "/usr/bin/passwd", "/etc/shadow"),
    READ("write_account_files", false, "/usr/sbin/nginx", "/etc/passwd"),
    WRITE("write_library_preload", true, "/usr/sbin/nginx", "/etc/ld.so.preload"),
    WRITE("write_library_preload", true, "/usr/bin/dpkg", "/etc/ld.so.preload"),
    WRITE("write_library_preload", false, "/usr/bin/dpkg", "/etc/ld.so.conf.d/x.conf"),
    WRITE("write_login_script", true, "/usr/sbin/nginx", "/etc/profile.d/x.sh"),
    WRITE("write_login_script", true, "/usr/sbin/nginx", "/home/a/.bashrc"),
    WRITE("write_login_script", false, "/usr/sbin/nginx", "/home/a/bashrc"),
    WRITE("write_login_check", true, "/usr/sbin/nginx", "/etc/pam.d/sshd"),
    WRITE("write_login_check", true, "/usr/sbin/nginx", "/usr/lib/x86_64-linux-gnu/security/pam_x.so"),
    WRITE("write_login_check", false, "/usr/bin/dpkg", "/etc/pam.d/sshd"),
    WRITE("write_program_folder", true, "/usr/sbin/nginx", "/usr/bin/ls"),
    WRITE("write_program_folder", false, "/usr/bin/dpkg", "/usr/bin/ls"),
    WRITE("write_program_folder", false, "/usr/sbin/nginx", "/usr/share/x"),
    {.rule = "denied_write_startup_place",
     .fires = true,
     .kind = KM_LANDMARK_OPEN,
     .image = "/usr/sbin/nginx",
     .path = "/etc/cron.d/x",
     .flags = O_WRONLY,
     .outcome = KM_OUTCOME_DENIED},
    {.rule = "denied_write_startup_place",
     .kind = KM_LANDMARK_OPEN,
     .image = "/usr/sbin/nginx",
     .path = "/etc/cron.d/x",
     .outcome = KM_OUTCOME_DENIED},
    {.rule = "database_writes_outside_data",
     .fires = true,
     .kind = KM_LANDMARK_RENAME,
     .image = "/usr/bin/redis-server",
     .path = "/var/www/html/temp-1.rdb",
     .path2 = "/var/www/html/x.php"},
    WRITE("database_writes_outside_data", false, "/usr/bin/redis-server", "/var/lib/redis/dump.rdb"),
    WRITE("database_writes_outside_data", false, "/usr/bin/redis-server", "/etc/redis/redis.conf"),
    WRITE("web_server_writes_web_root", true, "/usr/sbin/php-fpm8.2", "/var/www/html/x.php"),
    WRITE("web_server_writes_web_root", false, "/usr/bin/rsync", "/var/www/html/x.php"),
    WRITE("web_server_writes_web_root", false, "/usr/sbin/nginx", "/var/www/app/cache/x"),
    {.rule = "delete_logs",
     .fires = true,
     .kind = KM_LANDMARK_UNLINK,
     .image = "/usr/sbin/nginx",
     .path = "/var/log/auth.log"},
    {.rule = "delete_logs",
     .fires = true,
     .kind = KM_LANDMARK_RENAME,
     .image = "/usr/sbin/nginx",
     .path = "/var/log/auth.log",
     .path2 = "/tmp/x"},
    WRITE("delete_logs", true, "/usr/sbin/nginx", "/var/log/wtmp"),
    {.rule = "delete_logs", .kind = KM_LANDMARK_UNLINK, .image = "/usr/sbin/logrotate", .path = "/var/log/auth.log.4"},
    {.rule = "delete_logs",
     .kind = KM_LANDMARK_UNLINK,
     .image = "/usr/sbin/nginx",
     .path = "/var/log/auth.log",
     .outcome = KM_OUTCOME_DENIED},
    READ("read_password_file", true, "/usr/sbin/nginx", "/etc/shadow"),
    READ("read_password_file", false, "/usr/sbin/sshd", "/etc/shadow"),
    READ("read_password_file", false, "/usr/sbin/nginx", "/etc/passwd"),
    READ("read_private_keys", true, "/usr/sbin/nginx", "/etc/ssh/ssh_host_rsa_key"),
    READ("read_private_keys", true, "/usr/sbin/nginx", "/root/.ssh/id_ed25519"),
    READ("read_private_keys", false, "/usr/sbin/nginx", "/etc/ssh/ssh_host_rsa_key.pub"),
    READ("read_private_keys", false, "/usr/sbin/sshd", "/etc/ssh/ssh_host_rsa_key"),
    {.rule = "unexpected_listener",
     .fires = true,
     .kind = KM_LANDMARK_LISTEN,
     .image = "/usr/bin/nc.openbsd",
     .address = private_address},
    {.rule = "unexpected_listener", .fires = true, .kind = KM_LANDMARK_LISTEN, .image = "/tmp/x"},
    {.rule = "unexpected_listener", .kind = KM_LANDMARK_LISTEN, .image = "/usr/sbin/nginx", .address = private_address},
    {.rule = "unexpected_listener", .kind = KM_LANDMARK_BIND, .image = "/usr/bin/nc.openbsd"},
    {.rule = "database_connects_outward",
     .fires = true,
     .kind = KM_LANDMARK_CONNECT,
     .image = "/usr/lib/postgresql/15/bin/postgres",
     .address = public_address},
    {.rule = "database_connects_outward",
     .kind = KM_LANDMARK_CONNECT,
     .image = "/usr/lib/postgresql/15/bin/postgres",
     .address = private_address},
    {.rule = "database_connects_outward",
     .kind = KM_LANDMARK_ACCEPT,
     .image = "/usr/bin/redis-server",
     .address = public_address},
    {.rule = "shell_connects_outward",
     .fires = true,
     .kind = KM_LANDMARK_CONNECT,
     .image = "/usr/bin/bash",
     .address = public_address},
    {.rule = "shell_connects_outward",
     .kind = KM_LANDMARK_CONNECT,
     .image = "/usr/bin/bash",
     .address = private_address},
    {.rule = "kernel_module_loaded",
     .fires = true,
     .kind = KM_LANDMARK_MODULE,
     .image = "/usr/sbin/nginx",
     .call = "finit_module"},
    {.rule = "kernel_module_loaded", .kind = KM_LANDMARK_MODULE, .image = "/usr/bin/kmod", .call = "finit_module"},
    {.rule = "kernel_module_loaded", .kind = KM_LANDMARK_MODULE, .image = "/usr/sbin/nginx", .call = "bpf"},
    {.rule = "process_memory_touched",
     .fires = true,
     .kind = KM_LANDMARK_PTRACE,
     .image = "/usr/sbin/nginx",
     .peer = 99},
    WRITE("process_memory_touched", true, "/usr/sbin/nginx", "/proc/99/mem"),
    READ("process_memory_touched", false, "/usr/sbin/nginx", "/proc/99/mem"),
    {.rule = "process_memory_touched", .kind = KM_LANDMARK_PTRACE, .image = "/usr/bin/strace", .peer = 99},
    {.rule = "setuid_bit_set",
     .fires = true,
     .kind = KM_LANDMARK_SETUID_BIT,
     .image = "/usr/sbin/nginx",
     .path = "/tmp/x",
     .value = 04755},
    {.rule = "setuid_bit_set",
     .kind = KM_LANDMARK_SETUID_BIT,
     .image = "/usr/sbin/nginx",
     .path = "/tmp/x",
     .value = 02755},
    {.rule = "became_administrator",
     .fires = true,
     .kind = KM_LANDMARK_IDENTITY,
     .image = "/usr/sbin/nginx",
     .call = "setuid",
     .value = 0,
     .uid = 33},
    {.rule = "became_administrator",
     .kind = KM_LANDMARK_IDENTITY,
     .image = "/usr/sbin/nginx",
     .call = "setuid",
     .value = 33,
     .uid = 33},
    {.rule = "became_administrator",
     .kind = KM_LANDMARK_IDENTITY,
     .image = "/usr/sbin/nginx",
     .call = "setuid",
     .value = 0,
     .uid = 0},
    {.rule = "namespace_changed",
     .fires = true,
     .kind = KM_LANDMARK_NAMESPACE,
     .image = "/usr/sbin/nginx",
     .call = "unshare",
     .value = 0x10000000},
    {.rule = "namespace_changed",
     .kind = KM_LANDMARK_NAMESPACE,
     .image = "/usr/sbin/nginx",
     .call = "unshare",
     .value = 0x40000000},
    {.rule = "writable_code_memory",
     .fires = true,
     .kind = KM_LANDMARK_EXEC_MEMORY,
     .image = "/usr/sbin/nginx",
     .flags = 7},
    {.rule = "writable_code_memory", .kind = KM_LANDMARK_EXEC_MEMORY, .image = "/usr/sbin/nginx", .flags = 5},
    {.rule = "file_system_mounted",
     .fires = true,
     .kind = KM_LANDMARK_MOUNT,
     .image = "/usr/sbin/nginx",
     .path = "/mnt"},
    {.rule = "file_system_mounted", .kind = KM_LANDMARK_MOUNT, .image = "/usr/lib/systemd/systemd", .path = "/mnt"},
};

static struct km_bytes bytes_of(const char *text)
{
    return (struct km_bytes){text, text ? strlen(text) : 0};
}

struct fired {
    const char *rule; /* file name without its ending */
    bool found;
};

static enum km_code note_file(void *context, const struct km_rule_match *match, struct km_err *err)
{
    (void)err;
    struct fired *fired = context;
    const char *name = strrchr(match->rule->file, '/') + 1;
    size_t length = strlen(fired->rule);
    fired->found |= strncmp(name, fired->rule, length) == 0 && name[length] == '.';
    return KM_OK;
}

static bool row_fires(struct km_rules *rules, const struct row *row)
{
    struct km_err err = KM_ERR_INIT;
    struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 5, .tgid = 5};
    struct km_rule_process process = {
        .image = bytes_of(row->image), .parent_image = bytes_of(row->parent), .pid = 5, .uid = row->uid};
    struct km_event_landmark *l = &event.landmark;
    l->kind = (uint16_t)row->kind;
    l->outcome = row->outcome ? row->outcome : KM_OUTCOME_OK;
    l->path = bytes_of(row->path);
    l->path2 = bytes_of(row->path2);
    l->flags = row->flags;
    l->value = row->value;
    l->peer_tid = row->peer;
    if (row->call)
        l->number = (uint16_t)km_call_find(row->call);
    if (row->address) {
        l->address = (struct km_address){.family = 2, .port = 443, .length = 4};
        memcpy(l->address.bytes, row->address, 4);
    }
    struct fired fired = {row->rule, false};
    struct km_rules_matcher matcher = {&fired, note_file};
    assert_ok(km_rules_match(rules, &process, &event, &matcher, &err), err);
    return fired.found;
}

static struct km_rules *load(void)
{
    struct km_err err = KM_ERR_INIT;
    struct told told = {0};
    struct km_rules_listener listener = {&told, note_report};
    struct km_rules *rules = km_rules_new(&err);
    assert_non_null(rules);
    assert_ok(km_rules_load_path(rules, KM_SHIPPED_RULES, &listener, &err), err);
    if (told.refused + told.hidden > 0)
        fail_msg("%u refused, %u hidden: %s", told.refused, told.hidden, told.reason);
    return rules;
}

static void every_rule_fires_and_nearly_fires(void **state)
{
    (void)state;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = load();
    unsigned wrong = 0;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (row_fires(rules, &rows[i]) != rows[i].fires) {
            print_message("row %zu: %s should %s\n", i, rows[i].rule, rows[i].fires ? "fire" : "not fire");
            wrong++;
        }
    assert_int_equal(wrong, 0);
    for (size_t i = 0; i < km_rules_count(rules); i++) {
        const char *name = strrchr(km_rules_get(rules, i)->file, '/') + 1;
        unsigned hits = 0, misses = 0;
        for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++)
            if (strncmp(name, rows[r].rule, strlen(rows[r].rule)) == 0 && name[strlen(rows[r].rule)] == '.') {
                hits += rows[r].fires;
                misses += !rows[r].fires;
            }
        if (hits == 0 || misses == 0)
            fail_msg("%s has %u events that fire and %u that do not", name, hits, misses);
    }
}

static void every_rule_explains_itself(void **state)
{
    (void)state;
    struct km_rules *rules KM_CLEANUP(km_rules_cleanup) = load();
    assert_true(km_rules_count(rules) >= 18);
    for (size_t i = 0; i < km_rules_count(rules); i++) {
        const struct km_rule *rule = km_rules_get(rules, i);
        size_t length = strlen(rule->description);
        if (strlen(rule->id) != 36 || length < 20 || rule->description[length - 1] != '.' ||
            rule->falsepositive_count == 0 || rule->tag_count < 2 || !*rule->status || strlen(rule->title) > 80)
            fail_msg("%s does not say all that it should", rule->file);
        for (size_t t = 0; t < rule->tag_count; t++)
            assert_int_equal(strncmp(rule->tags[t], "attack.", 7), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rule_fires_and_nearly_fires),
        cmocka_unit_test(every_rule_explains_itself),
    };
    return KM_RUN_TESTS(tests);
}
