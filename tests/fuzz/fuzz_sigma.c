/* The reader of rules, and a few records matched against what it loads. The bytes behind the last NUL, when there is
 * one, are also a process's arguments and an event's path. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/rules/rules.h"

#define KINDS (KM_LANDMARK_KINDS + 2) /* and two that there are not */

static enum km_code look(void *context, const struct km_rule_match *match, struct km_err *err)
{
    (void)err;
    size_t *sum = context;
    if (match->hit_count > KM_RULES_MAX_HITS)
        abort();
    for (size_t i = 0; i < match->hit_count; i++)
        *sum += strlen(match->hits[i].field) + strlen(match->hits[i].pattern) + match->hits[i].value.length;
    return KM_OK;
}

static void report(void *context, const struct km_rule_report *report)
{
    (void)context;
    if ((report->outcome == KM_RULE_LOADED) != (report->rule != NULL) ||
        (report->outcome == KM_RULE_LOADED) != (report->reason == NULL))
        abort();
    if (report->reason && (report->reason->code == KM_OK || !report->reason->text[0]))
        abort();
}

static void match_all(struct km_rules *rules, const char *bytes, size_t length)
{
    struct km_err err = KM_ERR_INIT;
    struct km_bytes text = {bytes, length};
    struct km_rule_process process = {.image = text,
                                      .arguments = text,
                                      .parent_image = {"/usr/sbin/nginx", 15},
                                      .user = {"www-data", 8},
                                      .directory = {"/var/../lib", 11},
                                      .uid = 33};
    size_t sum = 0;
    struct km_rules_matcher matcher = {&sum, look};
    for (unsigned kind = 0; kind < KINDS; kind++) {
        struct km_event event = {.kind = KM_EVENT_LANDMARK, .tid = 7, .tgid = 7};
        event.landmark.kind = (uint16_t)kind;
        event.landmark.outcome = (uint8_t)(kind % 4);
        event.landmark.flags = kind % 2 ? O_WRONLY | O_CREAT : 0;
        event.landmark.path = event.landmark.path2 = text;
        event.landmark.value = length;
        event.landmark.address =
            (struct km_address){.family = kind % 3 ? 2 : 10, .port = 80, .length = kind % 3 ? 4 : 16};
        memcpy(event.landmark.address.bytes, bytes, length < 16 ? length : 16);
        if (km_rules_match(rules, &process, &event, &matcher, &err) != KM_OK)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_rules_listener listener = {NULL, report};
    const uint8_t *mark = size ? memrchr(data, '\0', size) : NULL;
    size_t rule_bytes = mark ? (size_t)(mark - data) : size;
    struct km_rules *rules = km_rules_new(&err);
    int fd = memfd_create("rules", MFD_CLOEXEC);
    if (!rules || fd < 0 || (rule_bytes > 0 && write(fd, data, rule_bytes) != (ssize_t)rule_bytes) ||
        lseek(fd, 0, SEEK_SET) != 0)
        abort();
    if (km_rules_load_file(rules, fd, "fuzz", &listener, &err) != KM_OK)
        abort();
    char digest[KM_RULES_DIGEST_BYTES];
    if (km_rules_digest(rules, digest, &err) != KM_OK)
        abort();
    match_all(rules, (const char *)data + rule_bytes, size - rule_bytes);
    match_all(rules, "/bin/sh\0-c\0id", 13);
    (void)close(fd);
    km_rules_free(rules);
    return 0;
}
