/* Corpus recipes: what is read can name no file, URL or size that the header does not allow. */
#include <stdint.h>
#include <string.h>

#include "container/lab/recipe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct km_err err = KM_ERR_INIT;
    struct km_recipes recipes = {0};
    if (km_recipe_parse((const char *)data, size, &recipes, &err) != KM_OK)
        return 0;
    for (size_t i = 0; i < recipes.count; i++) {
        const struct km_recipe *row = &recipes.rows[i];
        KM_ASSERT(row->bytes > 0 && row->bytes <= KM_RECIPE_MAX_PACKAGE_BYTES);
        KM_ASSERT(strncmp(row->path, "pool/", 5) == 0 && !strstr(row->path, "/."));
        KM_ASSERT(!strchr(row->package, '/') && row->package[0] != '-' && row->package[0] != '\0');
    }
    km_recipe_done(&recipes);
    return 0;
}
