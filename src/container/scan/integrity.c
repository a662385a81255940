#include "container/scan/integrity.h"

#include <stdio.h>
#include <string.h>

/* A status without any list is no accident: images that are built from parts of packages get one for the sake of
 * vulnerability scanners. Lists of some packages and not of others are what dpkg never leaves behind. */
static void describe_gap(const struct km_package_summary *summary, char out_gap[KM_ERR_TEXT_BYTES])
{
    int length = 0;
    if (summary->lists_missing > 0)
        length = snprintf(out_gap, KM_ERR_TEXT_BYTES,
                          "%zu of %zu packages have no list of files: theirs look unowned and are not compared",
                          summary->lists_missing, summary->packages);
    if (summary->damaged_details > 0)
        snprintf(out_gap + length, KM_ERR_TEXT_BYTES - (size_t)length,
                 "%s%zu lists of checksums, configuration files or alternatives are damaged and left out",
                 length > 0 ? "; " : "", summary->damaged_details);
}

void km_integrity_begin(struct km_integrity *integrity, const struct km_package_view *view,
                        char out_gap[KM_ERR_TEXT_BYTES])
{
    struct km_package_summary summary;
    km_package_view_summarize(view, &summary);
    *integrity = (struct km_integrity){.packages = summary.packages};
    out_gap[0] = '\0';
    switch (summary.usability) {
    case KM_PACKAGE_ABSENT:
        integrity->database = "none";
        if (summary.packages > 0)
            integrity->detail = summary.reason;
        break;
    case KM_PACKAGE_UNUSABLE:
        integrity->database = "unusable";
        integrity->detail = summary.reason;
        snprintf(out_gap, KM_ERR_TEXT_BYTES, "%s", summary.reason);
        break;
    case KM_PACKAGE_USABLE:
        integrity->database = "dpkg";
        describe_gap(&summary, out_gap);
        break;
    }
}

void km_integrity_skip(struct km_integrity *integrity, const char *detail)
{
    *integrity = (struct km_integrity){.database = "unusable", .detail = detail};
}

void km_integrity_count(struct km_integrity *integrity, const struct km_case *file)
{
    if (!file->record || !km_place_is_shown(&file->place))
        return;
    switch (file->match.state) {
    case KM_PACKAGE_NO_DATABASE:
        break;
    case KM_PACKAGE_UNOWNED:
    case KM_PACKAGE_DIVERTED:
        integrity->files_unowned++;
        integrity->executables_unowned += km_record_is_executable(file->record);
        break;
    case KM_PACKAGE_UNCHECKED:
        integrity->files_unchecked++;
        break;
    case KM_PACKAGE_INTACT:
        integrity->files_intact++;
        break;
    case KM_PACKAGE_CHANGED:
        integrity->files_changed++;
        break;
    case KM_PACKAGE_CONFFILE:
        integrity->files_configuration++;
        break;
    }
}

static unsigned rank(const struct km_integrity *integrity)
{
    if (!integrity->database)
        return 0;
    return strcmp(integrity->database, "unusable") == 0 ? 3 : strcmp(integrity->database, "dpkg") == 0 ? 2 : 1;
}

void km_integrity_add(struct km_integrity *sum, const struct km_integrity *image)
{
    if (rank(image) > rank(sum)) {
        sum->database = image->database;
        sum->detail = image->detail;
    }
    sum->packages += image->packages;
    sum->files_intact += image->files_intact;
    sum->files_unchecked += image->files_unchecked;
    sum->files_configuration += image->files_configuration;
    sum->files_changed += image->files_changed;
    sum->files_unowned += image->files_unowned;
    sum->executables_unowned += image->executables_unowned;
}
