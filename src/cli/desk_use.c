#include "cli/desk_use.h"

#include "desk/store/store.h"

enum km_desk_link_use km_desk_link_use(const struct km_options *options, const char *flag, const char *named)
{
    if (!km_options_is_given(options, flag) && km_options_is_given(options, named))
        return KM_DESK_LINK_ASKED;
    if (km_options_is_set(options, flag))
        return km_options_flag(options, flag) ? KM_DESK_LINK_ASKED : KM_DESK_LINK_NONE;
    if (km_options_text(options, named))
        return KM_DESK_LINK_ASKED;
    return km_desk_is_there() ? KM_DESK_LINK_USUAL : KM_DESK_LINK_NONE;
}
