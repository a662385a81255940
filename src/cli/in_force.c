#include "cli/in_force.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/clock.h"
#include "container/lab/modelfolder.h"
#include "desk/triage/when.h"

#define MAX_CARD_BYTES ((size_t)1 << 20)
#define MAX_PATH_BYTES 4096
#define MAX_NAME_BYTES 128

static void tell(struct km_desk_link *link, const struct km_component *component)
{
    struct km_err err = KM_ERR_INIT;
    if (km_recorder_add_component(km_desk_link_recorder(link), component, &err) != KM_OK)
        fprintf(stderr, "komainu: not recorded which %s is in force: %s\n", component->kind, err.text);
}

/* 0: there is no card, or it does not say; the detector itself does not read it. */
static int64_t read_created(const char *folder)
{
    char path[MAX_PATH_BYTES];
    struct km_err ignored = KM_ERR_INIT;
    struct km_buf text;
    int64_t made_ns = 0;

    km_buf_init(&text, MAX_CARD_BYTES);
    (void)snprintf(path, sizeof path, "%s/%s", folder, KM_MODELFOLDER_CARD);
    struct km_json *card = km_buf_append_file(&text, path, &ignored) == KM_OK
                               ? km_json_parse(km_buf_text(&text), text.length, MAX_CARD_BYTES, &ignored)
                               : NULL;
    if (km_when_parse(km_json_string(card, "created", ""), KM_WHEN_PAST, km_clock_wall_ns(), &made_ns, &ignored) !=
        KM_OK)
        made_ns = 0;
    km_json_free(card);
    km_buf_done(&text);
    return made_ns;
}

void km_in_force_model(struct km_desk_link *link, const char *version, const char *folder)
{
    char name[MAX_NAME_BYTES];
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(version, " "), version);
    tell(link, &(struct km_component){.kind = "model",
                                      .name = "container",
                                      .version = name,
                                      .digest = version,
                                      .made_ns = read_created(folder ? folder : KM_MODEL_DIR)});
}

static int64_t written_ns(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 ? (int64_t)status.st_mtim.tv_sec * KM_NS_PER_S + status.st_mtim.tv_nsec : 0;
}

void km_in_force_hash_lists(struct km_desk_link *link, const char *const *paths, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const char *slash = strrchr(paths[i], '/');
        char version[KM_CLOCK_UTC_BYTES];
        int64_t made_ns = written_ns(paths[i]);
        km_clock_format_utc(made_ns, version);
        tell(link, &(struct km_component){.kind = "hash list",
                                          .name = slash ? slash + 1 : paths[i],
                                          .version = made_ns ? version : NULL,
                                          .made_ns = made_ns});
    }
}

void km_in_force_rules(struct km_desk_link *link, const struct km_rules *rules, const char *digest)
{
    int64_t newest_ns = 0;
    for (size_t i = 0; i < km_rules_count(rules); i++) {
        int64_t at_ns = written_ns(km_rules_get(rules, i)->file);
        newest_ns = at_ns > newest_ns ? at_ns : newest_ns;
    }
    tell(link, &(struct km_component){.kind = "rules", .name = "daemon", .digest = digest, .made_ns = newest_ns});
}
