#include "container/scan/imageview.h"

#include <stdlib.h>

#include "base/mem.h"
#include "container/scan/weigh.h"
#include "container/source/focus.h"

#define NO_IMAGE SIZE_MAX

/* A record is hashed, looked up and stored; an entry is only looked at. */
#define STEPS_PER_RECORD UINT64_C(4)

struct km_imageview {
    struct km_examine *examine;
    const struct km_layout *layout;
    struct km_focus *focus;
    struct km_package_view *packages;
    size_t image;
};

struct km_imageview *km_imageview_new(struct km_examine *examine, const struct km_layout *layout, struct km_err *err)
{
    struct km_imageview *view = km_calloc(1, sizeof *view, SIZE_MAX, err);
    if (!view)
        return NULL;
    view->examine = examine;
    view->layout = layout;
    view->image = NO_IMAGE;
    view->focus = km_focus_new(layout, err);
    if (!view->focus) {
        km_imageview_free(view);
        return NULL;
    }
    return view;
}

void km_imageview_free(struct km_imageview *view)
{
    if (!view)
        return;
    km_package_view_free(view->packages);
    km_focus_free(view->focus);
    free(view);
}

static void select_files(struct km_imageview *view, struct km_package_db *db)
{
    const struct km_records *records = km_examine_records(view->examine);
    const uint32_t *ids;
    size_t count = km_focus_entries(view->focus, &ids);
    for (size_t i = 0; i < count; i++) {
        const struct km_record *record = km_records_find(records, ids[i]);
        if (!record || !record->package_file)
            continue;
        struct km_place place = km_focus_place(view->focus, ids[i]);
        if (place.type == KM_ENTRY_FILE && km_place_is_shown(&place))
            km_package_db_select(db, km_examine_package_file(view->examine, record->package_file));
    }
    const struct km_link *links;
    count = km_links_get(km_examine_links(view->examine), &links);
    for (size_t i = 0; i < count; i++) {
        if (links[i].type != KM_ENTRY_SYMLINK)
            continue;
        struct km_place place = km_focus_place(view->focus, links[i].id);
        if (km_place_is_shown(&place))
            km_package_db_add_alias(db, place.path, links[i].target);
    }
}

static void take_steps(const struct km_imageview *view, uint64_t *steps_left)
{
    const struct km_link *links;
    struct km_package_summary summary;
    km_package_view_summarize(view->packages, &summary);
    uint64_t steps = (uint64_t)km_examine_package_file_count(view->examine) +
                     km_links_get(km_examine_links(view->examine), &links) + STEPS_PER_RECORD * summary.records;
    *steps_left -= steps < *steps_left ? steps : *steps_left;
}

/* The usual single image has its database's memory to itself: records are freed as they are joined. */
enum km_code km_imageview_open(struct km_imageview *view, size_t image, uint64_t *steps_left, struct km_err *err)
{
    if (view->image == image)
        return KM_OK;
    struct km_package_db *db = km_examine_packages(view->examine);
    km_package_view_free(km_steal(view->packages));
    view->image = NO_IMAGE;
    enum km_code code = km_focus_set(view->focus, image, steps_left, err);
    if (code != KM_OK)
        return code;
    km_package_db_deselect_all(db);
    select_files(view, db);
    bool only = km_layout_image_count(view->layout) == 1;
    view->packages = only ? km_package_db_finish(db, err) : km_package_db_view(db, err);
    if (!view->packages)
        return err->code;
    take_steps(view, steps_left);
    view->image = image;
    return KM_OK;
}

size_t km_imageview_entries(const struct km_imageview *view, const uint32_t **out_ids)
{
    return km_focus_entries(view->focus, out_ids);
}

struct km_place km_imageview_place(const struct km_imageview *view, uint32_t id)
{
    return km_focus_place(view->focus, id);
}

const struct km_package_view *km_imageview_packages(const struct km_imageview *view)
{
    return view->packages;
}
