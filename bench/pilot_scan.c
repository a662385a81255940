#include "pilot_scan.h"

#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "daemon_data.h"

#define PATH_BYTES 1024
#define MAX_WORDS  24

/* For options.c: a configuration file may name these. */
const struct km_cmd *const km_commands[] = {&km_cmd_scan, &km_cmd_baseline, NULL};

static void read_names(const char *folder, const char *file, struct pilot_names *out)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *in = fopen(path, "re");
    if (!in)
        bench_die("cannot read %s", path);
    out->count = 0;
    while (out->count < PILOT_MAX_NAMES && fgets(out->items[out->count], PILOT_IMAGE_BYTES, in)) {
        char *name = out->items[out->count];
        name[strcspn(name, "\n")] = '\0';
        out->count += name[0] != '\0';
    }
    (void)fclose(in);
    if (out->count == 0)
        bench_die("%s is empty", path);
}

void pilot_scan_open(struct pilot_scan *scan)
{
    read_names(scan->images, "apps.tsv", &scan->apps);
    read_names(scan->images, "tools.tsv", &scan->tools);
    scan->has_baseline = false;
    scan->added.count = 0;
}

void pilot_scan_folder(const struct pilot_scan *scan, const struct pilot_image *image, char *out)
{
    bool tool = image->tool >= 0;
    (void)snprintf(out, PILOT_IMAGE_BYTES, "%.60s-%u%s%.40s", scan->apps.items[image->app], image->version,
                   tool ? "+" : "", tool ? scan->tools.items[image->tool] : "");
}

void pilot_scan_name(const struct pilot_scan *scan, const struct pilot_image *image, char *out)
{
    (void)snprintf(out, PILOT_IMAGE_BYTES, "%.60s:%u", scan->apps.items[image->app], image->version);
    char *dash = strchr(out, '-');
    if (dash)
        *dash = '/';
}

static void run(const struct km_cmd *cmd, const char *const *words)
{
    char *argv[MAX_WORDS + 1] = {(char *)cmd->name};
    struct km_err err = KM_ERR_INIT;
    struct km_options *options = NULL;
    int argc = 1, first = 0;
    while (words[argc - 1] && argc < MAX_WORDS) {
        argv[argc] = (char *)words[argc - 1];
        argc++;
    }
    if (km_options_read(cmd, argc, argv, &options, &first, &err) != KM_OK)
        bench_die("%s: %s", cmd->name, err.text);
    if (cmd->run(options, argc - first, argv + first) == KM_EXIT_ERROR)
        bench_die("komainu %s failed: %s", cmd->name, argv[argc - 1]);
    km_options_free(options);
}

static void name_target(const struct pilot_scan *scan, const struct pilot_image *image, char out[PATH_BYTES])
{
    char folder[PILOT_IMAGE_BYTES];
    pilot_scan_folder(scan, image, folder);
    (void)snprintf(out, PATH_BYTES, "oci-dir:%s/%s", scan->images, folder);
}

void pilot_scan_image(struct pilot_scan *scan, const struct pilot_image *image)
{
    char target[PATH_BYTES];
    name_target(scan, image, target);
    run(&km_cmd_scan, (const char *const[]){"--model", scan->model, "--cache", scan->cache, "--baseline",
                                            scan->has_baseline ? scan->baseline : "none", "--store", scan->desk,
                                            "--jobs", "1", "--no-progress", "--fail-on", "never", target, NULL});
}

void pilot_scan_accept(struct pilot_scan *scan, const struct pilot_image *image)
{
    char target[PATH_BYTES], folder[PILOT_IMAGE_BYTES];
    pilot_scan_folder(scan, image, folder);
    for (size_t i = 0; i < scan->added.count; i++)
        if (strcmp(scan->added.items[i], folder) == 0)
            return;
    if (scan->added.count == PILOT_MAX_NAMES)
        bench_die("too many images in the baseline");
    memcpy(scan->added.items[scan->added.count++], folder, sizeof folder);
    name_target(scan, image, target);
    run(&km_cmd_baseline,
        (const char *const[]){"--model", scan->model, "--store", scan->baseline, "--name", folder, "--force",
                              "every alert of it was looked at", "--jobs", "1", "--no-progress", "add", target, NULL});
    scan->has_baseline = true;
}
